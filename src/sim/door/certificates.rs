//! The certificates of a simulated tenant that speaks TLS: an authority made
//! for this run, and one certificate for loopback and for Microsoft's hosts.
//!
//! Which hosts count as Microsoft's is decided here; what is answered there
//! is not. The authority's key is dropped once it has signed, so that nobody
//! can sign anything else with it, even where a client was told to trust it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// Login and Graph hosts of the four clouds: what a certificate is for, and
/// where a proxy leads. Source: Microsoft Graph's list of national clouds;
/// the last logins are names that other client libraries use.
pub const MICROSOFT_HOSTS: [&str; 10] = [
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "login.microsoftonline.us",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "login.chinacloudapi.cn",
    "microsoftgraph.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
    "login.microsoft.com",
];

/// Some clients refuse certificates that live longer.
const DAYS: i64 = 397;

/// What a server needs to speak TLS, and what its clients need to trust it.
#[derive(Clone)]
pub struct Certificates {
    authority: String,
    acceptor: TlsAcceptor,
}

/// Says why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("cannot make certificates for the simulated tenant: {0}")]
pub struct CertificateError(String);

impl Certificates {
    /// Makes an authority and a certificate of it for `localhost`, 127.0.0.1,
    /// `::1` and [`MICROSOFT_HOSTS`], valid from a day ago for 397 days of
    /// real time.
    ///
    /// # Errors
    /// When this machine has no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        make().map_err(CertificateError)
    }

    /// The authority's certificate as PEM: what a client must trust.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

fn make() -> Result<Certificates, String> {
    let text = |error: rcgen::Error| error.to_string();
    let authority_key = KeyPair::generate().map_err(text)?;
    let mut authority = params(Vec::new(), "apgit simulated tenant, authority of one run").map_err(text)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_certificate = authority.self_signed(&authority_key).map_err(text)?;

    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(MICROSOFT_HOSTS.map(str::to_owned));
    let key = KeyPair::generate().map_err(text)?;
    let mut server = params(names, "apgit simulated tenant").map_err(text)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Strict verifiers want to be told which key of the authority signed.
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).map_err(text)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificates { authority: authority_certificate.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}

fn params(names: Vec<String>, common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let day = |days: i64| {
        let at = Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let date = at.to_zoned(TimeZone::UTC).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = day(-1);
    params.not_after = day(DAYS - 1);
    Ok(params)
}

/// Whether a proxy may lead to this host: Microsoft's, and the tenant's own
/// loopback names.
pub(super) fn is_served(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    MICROSOFT_HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host))
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
