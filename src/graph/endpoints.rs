//! Where tokens and requests may go: the four clouds, loopback, and hosts
//! that somebody named on the command line. No requests here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

/// Microsoft's clouds. Hosts: Microsoft Graph's list of national deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// Everybody who is in none of the others.
    Global,
    /// Microsoft 365 Government, GCC High.
    GccHigh,
    /// The US Department of Defense.
    Dod,
    /// Operated by 21Vianet.
    China,
}

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 4] = [Self::Global, Self::GccHigh, Self::Dod, Self::China];

    /// As a manifest writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "Global",
            Self::GccHigh => "GccHigh",
            Self::Dod => "Dod",
            Self::China => "China",
        }
    }

    /// Where it signs in and where its Graph is.
    #[must_use]
    pub fn endpoints(self) -> Endpoints {
        let (login, graph) = match self {
            Self::Global => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
            Self::GccHigh => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
            Self::Dod => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
            Self::China => ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
        };
        Endpoints { login: login.to_owned(), graph: graph.to_owned() }
    }
}

/// The name that newer Microsoft pages give to the login of China.
const CHINA_LOGIN_NEW: &str = "login.partner.microsoftonline.cn";

/// Two base URLs without a slash at the end, such as
/// `https://graph.microsoft.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Where tokens come from.
    pub login: String,
    /// Where Graph answers.
    pub graph: String,
}

/// Says why a base URL is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL, or one with a path, a query or a user.
    #[error("`{0}` is not the base URL of an endpoint: write `https://host` without a path")]
    NotABase(String),
    /// A token would be readable on the way.
    #[error("`{0}` is plain http: only loopback may be reached without TLS")]
    Plain(String),
    /// The host is nobody's that we know.
    #[error(
        "`{0}` is not a host of Microsoft's clouds: a token sent there could be stolen, so it must be named on the command line with `--allow-endpoint {0}`"
    )]
    Foreign(String),
}

impl Endpoints {
    /// Checks two base URLs: hosts of the four clouds or in `allowed_hosts`
    /// over https, loopback also over http.
    ///
    /// # Errors
    /// The URL or host that is refused, and what to do.
    pub fn custom(login: &str, graph: &str, allowed_hosts: &[String]) -> Result<Self, EndpointError> {
        let hosts = Hosts::with(allowed_hosts);
        Ok(Self { login: hosts.base(login)?, graph: hosts.base(graph)? })
    }

    /// The host among these two that may not see a credential: one on loopback
    /// that nobody has named. Whoever can write a manifest can have a listener
    /// there, and plain http hides nothing from it.
    #[must_use]
    pub fn untrusted(&self, allowed_hosts: &[String]) -> Option<String> {
        let hosts = Hosts::with(allowed_hosts);
        let of = |base: &String| Url::parse(base).ok().filter(|url| is_loopback(url) && !hosts.name(url));
        let host = [&self.login, &self.graph].into_iter().find_map(of)?;
        host.host_str().map(str::to_owned)
    }

    /// The scope that a token for this Graph is asked for.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}/.default", self.graph)
    }
}

/// The hosts that requests may go to. Which of them may see a credential:
/// [`Endpoints::untrusted`].
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    extra: Vec<String>,
}

impl Hosts {
    /// The four clouds, loopback, and `extra` (from the command line only).
    #[must_use]
    pub(super) fn with(extra: &[String]) -> Self {
        Self { extra: extra.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// True if the command line names this URL's host.
    fn name(&self, url: &Url) -> bool {
        let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
        url.host_str().is_some_and(|host| self.extra.iter().any(|extra| bare(extra) == bare(host)))
    }

    /// True if a request may go to this URL.
    #[must_use]
    pub(super) fn allow(&self, url: &Url) -> bool {
        is_loopback(url) && matches!(url.scheme(), "http" | "https")
            || url.scheme() == "https" && url.host_str().is_some_and(|host| self.knows(host))
    }

    fn knows(&self, host: &str) -> bool {
        let of_cloud = |cloud: &Cloud| {
            let Endpoints { login, graph } = cloud.endpoints();
            [login, graph].iter().any(|base| base.strip_prefix("https://") == Some(host))
        };
        host == CHINA_LOGIN_NEW || Cloud::ALL.iter().any(of_cloud) || self.extra.iter().any(|extra| extra == host)
    }

    fn base(&self, text: &str) -> Result<String, EndpointError> {
        let not_a_base = || EndpointError::NotABase(text.to_owned());
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| not_a_base())?;
        let host = url.host_str().ok_or_else(not_a_base)?.to_owned();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(not_a_base());
        }
        match url.scheme() {
            "https" | "http" if self.allow(&url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
            "http" => Err(EndpointError::Plain(text.to_owned())),
            "https" => Err(EndpointError::Foreign(host)),
            _ => Err(not_a_base()),
        }
    }
}

/// True for the address of something on this machine, however it is written.
#[must_use]
pub(crate) fn is_on_loopback(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| is_loopback(&url))
}

/// True for `localhost`, 127.0.0.0/8 and `::1`.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// True for plain http to 169.254.0.0/16, where Azure serves a machine its
/// managed identity.
pub(super) fn is_link_local(url: &Url) -> bool {
    let address = url.host_str().and_then(|host| host.parse::<Ipv4Addr>().ok());
    url.scheme() == "http" && address.is_some_and(|address| address.is_link_local())
}

/// True for the hosts that give a GitHub workflow its identity token.
pub(super) fn is_github(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str().is_some_and(|host| host.ends_with(".actions.githubusercontent.com"))
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (login at {})", self.graph, self.login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(base: &str, allowed: &[&str]) -> Result<Endpoints, EndpointError> {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        Endpoints::custom(base, base, &allowed)
    }

    #[test]
    fn the_four_clouds_are_their_own_custom_endpoints() {
        for cloud in Cloud::ALL {
            let endpoints = cloud.endpoints();
            assert_eq!(Endpoints::custom(&endpoints.login, &endpoints.graph, &[]), Ok(endpoints));
        }
    }

    #[test]
    fn loopback_may_be_plain_http() {
        for base in ["http://127.0.0.1:8800", "http://localhost:1/", "http://[::1]:8800", "https://127.0.0.2"] {
            assert!(custom(base, &[]).is_ok(), "{base}");
        }
    }

    #[test]
    fn loopback_sees_a_credential_when_it_is_named() {
        let untrusted = |login: &str, graph: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Endpoints::custom(login, graph, &allowed).expect("they may be reached").untrusted(&allowed)
        };
        let cloud = Cloud::Global.endpoints();
        let here = "http://127.0.0.1:8800";
        assert_eq!(untrusted(&cloud.login, &cloud.graph, &[]), None);
        assert_eq!(untrusted(here, here, &[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(untrusted(here, here, &["127.0.0.1"]), None);
        assert_eq!(untrusted(&cloud.login, here, &[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(untrusted(here, "http://127.0.0.2:8800", &["127.0.0.1"]).as_deref(), Some("127.0.0.2"));
        assert_eq!(untrusted("http://LOCALHOST:1", here, &["127.0.0.1"]).as_deref(), Some("localhost"));
        assert_eq!(untrusted("http://127.1:1", here, &[]).as_deref(), Some("127.0.0.1"));
        for name in ["::1", "[::1]"] {
            assert_eq!(untrusted("https://[::1]:8800", "http://[::1]:8800", &[name]), None);
        }
    }

    #[test]
    fn a_foreign_host_needs_to_be_named() {
        let refused = custom("https://graph.contoso.example", &[]).unwrap_err();
        assert_eq!(refused, EndpointError::Foreign("graph.contoso.example".to_owned()));
        assert!(custom("https://graph.contoso.example", &["Graph.Contoso.Example"]).is_ok());
        assert!(matches!(
            custom("http://graph.contoso.example", &["graph.contoso.example"]),
            Err(EndpointError::Plain(_))
        ));
    }

    #[test]
    fn hosts_that_only_look_like_microsofts_are_foreign() {
        for base in [
            "https://graph.microsoft.com.evil.example",
            "https://evil-graph.microsoft.com.example",
            "https://graph.microsoft.com@evil.example",
            "https://127.0.0.1.evil.example",
            "https://localhost.evil.example",
        ] {
            assert!(custom(base, &[]).is_err(), "{base}");
        }
        assert!(custom("http://graph.microsoft.com", &[]).is_err());
        assert!(custom("https://graph.microsoft.com/v1.0", &[]).is_err());
        assert!(custom("file:///etc/passwd", &[]).is_err());
    }
}
