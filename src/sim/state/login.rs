//! The login service: tokens for apps, and the discovery documents that
//! client libraries fetch first.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tenant::Tenant;
use super::token::Claims;
use super::tracked::Tracked;
use crate::sim::door::{Answer, Area, Call, Problem};

/// The secret of every app in every simulated tenant, but for those that were
/// given one of their own. It opens nothing else.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

/// Tokens given out, and what apps may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Logins {
    pub(super) tokens: Tracked<String, Token>,
    #[serde(flatten)]
    pub(super) known: Known,
}

/// Who has logged in, and what apps may do besides the setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    tenants_seen: BTreeSet<String>,
    pub(super) roles: BTreeMap<String, Vec<String>>,
    /// Of apps that have one of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) secrets: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Token {
    app: String,
    /// The tenant's id, where the client called it by one.
    #[serde(default)]
    tenant: Option<Uuid>,
    /// Host of the Graph that it is for.
    audience: String,
    expires: Timestamp,
    /// The same by the clock of its client, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_for_client: Option<Timestamp>,
    /// Preferred name of the login service that gave it out; none where that
    /// stands for any cloud's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    /// Its client declared that it answers claims challenges.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    answers_claims: bool,
    /// Since when it is worth nothing, however long it was to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Timestamp>,
}

/// Graph as an app: a scope may name it instead of a host.
const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";

/// What client libraries add to every scope; MSAL for Go and Java do it even
/// where an app asks for itself.
const SCOPES_ADDED: [&str; 3] = ["openid", "offline_access", "profile"];

/// A cloud: the names of its login service, the preferred one first, and the
/// hosts of its Graph. A token of one login is refused by the Graph of another
/// cloud. Source: the public instance discovery document.
struct Cloud {
    logins: &'static [&'static str],
    graphs: &'static [&'static str],
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        logins: &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
        graphs: &["graph.microsoft.com"],
    },
    Cloud {
        logins: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        graphs: &["microsoftgraph.chinacloudapi.cn"],
    },
    Cloud {
        logins: &["login.microsoftonline.us", "login.usgovcloudapi.net"],
        graphs: &["graph.microsoft.us", "dod-graph.microsoft.us"],
    },
];

impl Cloud {
    fn of_login(host: &str) -> Option<&'static Self> {
        CLOUDS.iter().find(|cloud| cloud.logins.iter().any(|login| login.eq_ignore_ascii_case(host)))
    }

    fn of_graph(host: &str) -> Option<&'static Self> {
        CLOUDS.iter().find(|cloud| cloud.graphs.iter().any(|graph| graph.eq_ignore_ascii_case(host)))
    }
}

/// The one resource that the scopes name: `<resource>/.default`.
fn resource_of(scopes: &str) -> Option<&str> {
    let mut resources = scopes.split_whitespace().filter(|scope| !SCOPES_ADDED.contains(scope));
    let (Some(one), None) = (resources.next(), resources.next()) else { return None };
    one.strip_suffix("/.default").filter(|resource| !resource.is_empty())
}

/// Whether the `claims` of a token request declare the capability `cp1`: that
/// the client answers claims challenges.
fn declares_cp1(claims: &str) -> bool {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let declared = claims["access_token"]["xms_cc"]["values"].as_array();
    declared.into_iter().flatten().any(|one| one.as_str().is_some_and(|name| name.eq_ignore_ascii_case("cp1")))
}

fn alias_json(aliases: &[&str]) -> Value {
    json!({
        "preferred_network": aliases.first(),
        "preferred_cache": aliases.get(1).or(aliases.first()),
        "aliases": aliases,
    })
}

fn authority_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest.split('/').next().unwrap_or_default())
}

fn bearer(header: Option<&str>) -> Option<&str> {
    let header = header?;
    header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")).map(str::trim)
}

/// The id and the secret of an app in a header instead of the form.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

/// Whether the app proves who it is.
fn check_proof(form: &BTreeMap<String, String>, app: &str, own_secret: &str) -> Result<(), Problem> {
    let refused = |code, description: &str| Problem::login(401, "invalid_client", code, description);
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), _) if secret == own_secret => Ok(()),
        (Some(_), _) => Err(refused(
            7_000_215,
            &format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{app}'."
            ),
        )),
        (None, Some(assertion)) if looks_like_jwt(assertion) => {
            let kind = form.get("client_assertion_type").map(String::as_str);
            if kind == Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
                return Ok(());
            }
            let description = "The request body must contain the following parameter: 'client_assertion_type'.";
            Err(Problem::login(400, "invalid_request", 900_144, description))
        }
        (None, Some(_)) => Err(refused(50027, "JWT token is invalid or malformed.")),
        (None, None) => Err(refused(
            7_000_216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        )),
    }
}

impl Tenant {
    /// `OAuth2` client credentials, with a secret or a signed assertion. The
    /// assertion's signature is not checked: any JWT will do.
    pub(in crate::sim) fn issue_token(&mut self, call: &Call<'_>, tenant: &str) -> Result<Answer, Problem> {
        if self.random.chance("login errors", self.settings.login.error_share) {
            return Err(Problem::login(
                503,
                "temporarily_unavailable",
                90033,
                "A transient error has occurred. Please try again.",
            ));
        }
        let mut form: BTreeMap<String, String> = call.form().into_iter().collect();
        if let Some((id, secret)) = call.header("authorization").and_then(basic) {
            form.entry("client_id".to_owned()).or_insert(id);
            form.entry("client_secret".to_owned()).or_insert(secret);
        }
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let tenant = tenant.to_lowercase();
        if ["common", "organizations", "consumers"].contains(&tenant.as_str()) {
            return Err(Problem::login(
                400,
                "invalid_request",
                50059,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            ));
        }
        self.known_tenant(&tenant)?;
        if field("grant_type") != "client_credentials" {
            let grant = field("grant_type");
            return Err(Problem::login(
                400,
                "unsupported_grant_type",
                70003,
                format!("The app requested an unsupported grant type '{grant}'."),
            ));
        }
        let app = field("client_id").to_lowercase();
        if app.is_empty() {
            return Err(Problem::login(
                400,
                "invalid_request",
                900_144,
                "The request body must contain the following parameter: 'client_id'.",
            ));
        }
        let Some(audience) = resource_of(field("scope")) else {
            let scope = field("scope");
            return Err(Problem::login(
                400,
                "invalid_scope",
                1_002_012,
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
                ),
            ));
        };
        let own_secret = self.logins.known.secrets.get(&app).map_or(CLIENT_SECRET, String::as_str);
        check_proof(&form, &app, own_secret)?;
        let id = tenant.parse().ok();
        self.logins.known.tenants_seen.insert(tenant);
        let asks = Asks {
            app,
            tenant: id,
            audience,
            by_assertion: !form.contains_key("client_secret"),
            answers_claims: declares_cp1(field("claims")),
            login: Cloud::of_login(host_of(&call.origin)),
        };
        let (token, life_s) = self.new_token(asks);
        Ok(Answer::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s, "access_token": token}),
        ))
    }

    /// The endpoint that a virtual machine finds its identity at.
    pub(in crate::sim) fn issue_managed_identity_token(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        if call.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
            return Err(Problem::plain(400, "invalid_request", "Required metadata header not specified"));
        }
        let resource = call.option("resource").unwrap_or_default().to_owned();
        let app = call.option("client_id").unwrap_or("managed-identity").to_lowercase();
        let asks =
            Asks { app, tenant: None, audience: &resource, by_assertion: true, answers_claims: false, login: None };
        let (token, life_s) = self.new_token(asks);
        let expires_on = self.now.as_second() + life_s;
        Ok(Answer::json(
            200,
            &json!({
                "access_token": token, "token_type": "Bearer", "resource": resource,
                "expires_in": life_s.to_string(), "expires_on": expires_on.to_string(),
            }),
        ))
    }

    fn new_token(&mut self, asks: Asks<'_>) -> (String, i64) {
        let Asks { app, tenant, audience, by_assertion, answers_claims, login } = asks;
        let life = self.random.delay("token life", self.settings.login.token_life);
        let expires = self.now + life;
        let claims = Claims {
            audience,
            tenant: tenant.unwrap_or(self.organization_id),
            app: &app,
            by_assertion,
            answers_claims,
            roles: self.logins.known.roles.get(&app).unwrap_or(&self.settings.login.roles),
            issued: self.now,
            expires,
        };
        let token = claims.into_jwt(&mut self.random);
        let audience = host_of(audience).to_lowercase();
        let expires_for_client = self.clients_now.map(|now| now + life);
        let login = login.map(|cloud| cloud.logins[0].to_owned());
        let kept = Token { app, tenant, audience, expires, expires_for_client, login, answers_claims, revoked: None };
        self.logins.tokens.insert(token.clone(), kept);
        (token, life.as_secs())
    }

    /// Whether this tenant gave out the token that the headers carry.
    pub(super) fn gave_token_of(&self, headers: &http::HeaderMap) -> bool {
        let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        bearer(header).is_some_and(|token| self.logins.tokens.contains_key(token))
    }

    /// The app whose token the request carries.
    pub(super) fn authenticate(&self, call: &Call<'_>) -> Result<(String, Option<Uuid>), Problem> {
        let host = host_of(&call.origin).to_lowercase();
        let cloud = Cloud::of_graph(&host);
        let invalid = |message: &str| {
            Problem::plain(401, "InvalidAuthenticationToken", message).sign_in(where_to_sign_in(call, cloud))
        };
        let header = call.header("authorization").ok_or_else(|| invalid("Access token is empty."))?;
        let token = bearer(Some(header)).and_then(|token| self.logins.tokens.get(token));
        let token = token.ok_or_else(|| invalid("CompactToken parsing failed with error code: 80049217"))?;
        // A client counts the life of a token by its own clock. Where that of
        // the tenant is quicker, or jumps, neither may end it too early.
        let lives_for_client = token.expires_for_client.zip(self.clients_now).is_some_and(|(end, now)| now < end);
        let lives = self.now < token.expires || lives_for_client;
        match token.revoked {
            Some(since) if lives && token.answers_claims => {
                let claims =
                    json!({"access_token": {"nbf": {"essential": true, "value": since.as_second().to_string()}}});
                let claims = STANDARD.encode(claims.to_string());
                let challenge = "Continuous access evaluation resulted in challenge with result: InteractionRequired \
                                 and code: TokenIssuedBeforeRevocationTimestamp";
                let how = where_to_sign_in(call, cloud);
                return Err(
                    invalid(challenge).sign_in(format!("{how}, error=\"insufficient_claims\", claims=\"{claims}\""))
                );
            }
            None if lives => {}
            _ => return Err(invalid("Lifetime validation failed, the token is expired.")),
        }
        // Loopback, and the name that Graph has as an app, stand for any cloud.
        let any_cloud = ["127.0.0.1", "localhost", "[", GRAPH_APP].contains(&token.audience.as_str());
        if let Some(cloud) = cloud {
            if token.audience != host && !any_cloud {
                return Err(invalid("Access token validation failure. Invalid audience."));
            }
            if token.login.as_deref().is_some_and(|login| login != cloud.logins[0]) {
                return Err(invalid("Access token validation failure. Invalid issuer."));
            }
        }
        Ok((token.app.clone(), token.tenant))
    }

    /// Whether the app may do this at all.
    pub(super) fn authorize(&self, app: &str, area: Area) -> Result<(), Problem> {
        let enough: &[&str] = match area {
            Area::Open | Area::Token => return Ok(()),
            Area::AutopilotRead => {
                &["DeviceManagementServiceConfig.Read.All", "DeviceManagementServiceConfig.ReadWrite.All"]
            }
            Area::AutopilotWrite => &["DeviceManagementServiceConfig.ReadWrite.All"],
            Area::Users => &["User.Read.All", "User.ReadBasic.All", "User.ReadWrite.All", "Directory.Read.All"],
            Area::Organization => &["Organization.Read.All", "Directory.Read.All"],
            Area::Groups => &["Group.Read.All", "GroupMember.Read.All", "Directory.Read.All"],
            Area::DevicesRead => &["Device.Read.All", "Device.ReadWrite.All", "Directory.Read.All"],
            Area::DevicesWrite => &["Device.ReadWrite.All"],
            Area::ManagedRead => {
                &["DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All"]
            }
            Area::ManagedWrite => &["DeviceManagementManagedDevices.ReadWrite.All"],
            Area::ManagedPrivileged => &["DeviceManagementManagedDevices.PrivilegedOperations.All"],
        };
        let roles = self.logins.known.roles.get(app).unwrap_or(&self.settings.login.roles);
        if enough.iter().any(|wanted| roles.iter().any(|role| role == wanted)) {
            return Ok(());
        }
        Err(match area {
            Area::Users | Area::Organization | Area::Groups | Area::DevicesRead | Area::DevicesWrite => {
                Problem::plain(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
            }
            _ => Problem::nested(
                403,
                format!(
                    "Application is not authorized to perform this operation. Application must have one of the following scopes: {}",
                    enough.join(", ")
                ),
            ),
        })
    }

    /// The document that client libraries fetch first. Those that check it
    /// want an issuer on the host that they asked.
    pub(in crate::sim) fn openid_configuration(&self, call: &Call<'_>, tenant: &str) -> Result<Answer, Problem> {
        let shared = ["common", "organizations", "consumers"].contains(&tenant.to_lowercase().as_str());
        if !shared {
            self.known_tenant(&tenant.to_lowercase())?;
        }
        let id = match tenant.parse::<Uuid>() {
            Ok(id) => id.to_string(),
            Err(_) if shared => "{tenantid}".to_owned(),
            Err(_) => self.id().to_string(),
        };
        let base = format!("{}/{tenant}", call.origin);
        let graph = graph_host_beside(call);
        Ok(Answer::json(
            200,
            &json!({
                "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                "jwks_uri": format!("{base}/discovery/v2.0/keys"),
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": format!("{}/{id}/v2.0", call.origin),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
                "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
                "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
                "tenant_region_scope": "EU",
                "cloud_instance_name": host_of(&call.origin),
                "msgraph_host": graph,
            }),
        ))
    }

    fn known_tenant(&self, tenant: &str) -> Result<(), Problem> {
        let known = &self.settings.login.tenants;
        if known.is_empty() || known.iter().any(|one| one.eq_ignore_ascii_case(tenant)) {
            return Ok(());
        }
        Err(Problem::login(400, "invalid_request", 90002, format!("Tenant '{tenant}' not found.")))
    }

    /// Which names a login host has: client libraries ask before they trust
    /// an authority that they do not know.
    pub(in crate::sim) fn instance_discovery(call: &Call<'_>) -> Result<Answer, Problem> {
        let asked = call.option("authorization_endpoint").unwrap_or_default();
        let path = asked.split_once("://").map_or(asked, |(_, rest)| rest);
        let tenant = path.split('/').nth(1).unwrap_or("common");
        let base = match asked.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
            None => call.origin.clone(),
        };
        let known = |host: &str| Cloud::of_login(host).is_some();
        if known(host_of(&call.origin)) && !known(host_of(&base)) {
            let message = "The 'authorization_endpoint' host is not a known login host.";
            return Err(Problem::login(400, "invalid_instance", 50049, message));
        }
        let mut metadata: Vec<Value> = CLOUDS.iter().map(|cloud| alias_json(cloud.logins)).collect();
        let own = authority_of(&base);
        if !known(own) {
            metadata.push(alias_json(&[own]));
        }
        Ok(Answer::json(
            200,
            &json!({
                "tenant_discovery_endpoint": format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": metadata,
            }),
        ))
    }

    /// Every token ever given out, for tests that look for leaks.
    #[must_use]
    pub fn issued_tokens(&self) -> Vec<String> {
        self.logins.tokens.keys().cloned().collect()
    }

    /// Tenant ids or domains that have logged in, in lower case.
    #[must_use]
    pub fn tenants_seen(&self) -> Vec<String> {
        self.logins.known.tenants_seen.iter().cloned().collect()
    }

    /// Makes every token given out so far invalid. Clients that declared `cp1`
    /// are told so by a claims challenge, others as if it had expired.
    pub fn expire_tokens(&mut self) {
        let now = self.now;
        for name in self.issued_tokens() {
            if let Some(token) = self.logins.tokens.get_mut(&name) {
                token.revoked.get_or_insert(now);
            }
        }
        self.changed = true;
    }
}

/// What a token is asked for with.
struct Asks<'a> {
    app: String,
    /// The tenant's id, where the client called it by one.
    tenant: Option<Uuid>,
    audience: &'a str,
    by_assertion: bool,
    answers_claims: bool,
    login: Option<&'static Cloud>,
}

/// The Graph of the cloud whose login was asked; any other login is its
/// own Graph.
fn graph_host_beside(call: &Call<'_>) -> String {
    let graph = Cloud::of_login(host_of(&call.origin)).map(|cloud| cloud.graphs[0]);
    graph.unwrap_or(authority_of(&call.origin)).to_owned()
}

/// How a 401 of Graph says where tokens are had.
fn where_to_sign_in(call: &Call<'_>, cloud: Option<&Cloud>) -> String {
    let login = cloud.map_or_else(|| call.origin.clone(), |cloud| format!("https://{}", cloud.logins[0]));
    format!("Bearer realm=\"\", authorization_uri=\"{login}/common/oauth2/authorize\", client_id=\"{GRAPH_APP}\"")
}

fn looks_like_jwt(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let base64url = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    parts.len() == 3 && parts.iter().all(base64url)
}
