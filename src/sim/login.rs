//! The login service: tokens for apps, and the discovery documents that
//! client libraries fetch first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::errors::Problem;
use super::routes::Area;
use super::tenant::Tenant;

/// The secret of every app in every simulated tenant. It opens nothing else.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

/// Tokens given out, and what apps may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Logins {
    tokens: BTreeMap<String, Token>,
    tenants_seen: BTreeSet<String>,
    pub(super) roles: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Token {
    app: String,
    /// Host of the Graph that it is for.
    audience: String,
    expires: Timestamp,
}

/// Graph hosts of the four clouds: a token for one is refused by the others.
const CLOUD_HOSTS: [&str; 4] =
    ["graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"];

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

impl Tenant {
    /// OAuth2 client credentials, with a secret or a signed assertion. The
    /// assertion's signature is not checked: any JWT will do.
    pub(super) fn issue_token(&mut self, call: &Call<'_>, tenant: &str) -> Result<Answer, Problem> {
        if self.random.chance("login errors", self.settings.login.error_share) {
            return Err(Problem::login(
                503,
                "temporarily_unavailable",
                90033,
                "A transient error has occurred. Please try again.",
            ));
        }
        let form: BTreeMap<String, String> = call.form().into_iter().collect();
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
        let known = &self.settings.login.tenants;
        if !known.is_empty() && !known.iter().any(|one| one.eq_ignore_ascii_case(&tenant)) {
            return Err(Problem::login(400, "invalid_request", 90002, format!("Tenant '{tenant}' not found.")));
        }
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
        let Some(audience) = field("scope").strip_suffix("/.default").filter(|audience| !audience.is_empty()) else {
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
        match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(secret), _) if secret == CLIENT_SECRET => {}
            (Some(_), _) => {
                return Err(Problem::login(
                    401,
                    "invalid_client",
                    7_000_215,
                    format!(
                        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{app}'."
                    ),
                ));
            }
            (None, Some(assertion)) if looks_like_jwt(assertion) => {
                if field("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
                    return Err(Problem::login(
                        400,
                        "invalid_request",
                        900_144,
                        "The request body must contain the following parameter: 'client_assertion_type'.",
                    ));
                }
            }
            (None, Some(_)) => {
                return Err(Problem::login(401, "invalid_client", 50027, "JWT token is invalid or malformed."));
            }
            (None, None) => {
                return Err(Problem::login(
                    401,
                    "invalid_client",
                    7_000_216,
                    "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
                ));
            }
        }
        self.logins.tenants_seen.insert(tenant);
        let (token, life_s) = self.new_token(app, audience);
        Ok(Answer::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s, "access_token": token}),
        ))
    }

    /// The endpoint that a virtual machine finds its identity at.
    pub(super) fn issue_managed_identity_token(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        if call.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
            return Err(Problem::plain(400, "invalid_request", "Required metadata header not specified"));
        }
        let resource = call.option("resource").unwrap_or_default().to_owned();
        let app = call.option("client_id").unwrap_or("managed-identity").to_lowercase();
        let (token, life_s) = self.new_token(app, &resource);
        let expires_on = self.now.as_second() + life_s;
        Ok(Answer::json(
            200,
            &json!({
                "access_token": token, "token_type": "Bearer", "resource": resource,
                "expires_in": life_s.to_string(), "expires_on": expires_on.to_string(),
            }),
        ))
    }

    fn new_token(&mut self, app: String, audience: &str) -> (String, i64) {
        let life = self.random.delay("token life", self.settings.login.token_life);
        let token = format!("sim.{}", self.random.text("token", 180));
        let audience = host_of(audience).to_lowercase();
        self.logins.tokens.insert(token.clone(), Token { app, audience, expires: self.now + life });
        (token, life.as_secs())
    }

    /// The app whose token the request carries.
    pub(super) fn authenticate(&self, call: &Call<'_>) -> Result<String, Problem> {
        let invalid = |message: &str| Problem::plain(401, "InvalidAuthenticationToken", message);
        let header = call.header("authorization").ok_or_else(|| invalid("Access token is empty."))?;
        let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer "));
        let token = token.and_then(|token| self.logins.tokens.get(token.trim()));
        let token = token.ok_or_else(|| invalid("CompactToken parsing failed with error code: 80049217"))?;
        if self.now >= token.expires {
            return Err(invalid("Lifetime validation failed, the token is expired."));
        }
        let host = host_of(&call.origin).to_lowercase();
        if token.audience != host
            && CLOUD_HOSTS.contains(&host.as_str())
            && CLOUD_HOSTS.contains(&token.audience.as_str())
        {
            return Err(invalid("Access token validation failure. Invalid audience."));
        }
        Ok(token.app.clone())
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
        };
        let roles = self.logins.roles.get(app).unwrap_or(&self.settings.login.roles);
        if enough.iter().any(|wanted| roles.iter().any(|role| role == wanted)) {
            return Ok(());
        }
        Err(match area {
            Area::Users | Area::Organization => {
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

    pub(super) fn openid_configuration(call: &Call<'_>, tenant: &str) -> Answer {
        let base = format!("{}/{tenant}", call.origin);
        Answer::json(
            200,
            &json!({
                "issuer": format!("{base}/v2.0"),
                "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
                "jwks_uri": format!("{base}/discovery/v2.0/keys"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
        )
    }

    pub(super) fn instance_discovery(call: &Call<'_>) -> Answer {
        let host = call.origin.split_once("://").map_or("", |(_, host)| host);
        let asked = call.option("authorization_endpoint").unwrap_or_default();
        let asked = asked.split_once("://").map_or(asked, |(_, rest)| rest);
        let tenant = asked.split('/').nth(1).unwrap_or("common");
        Answer::json(
            200,
            &json!({
                "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", call.origin),
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }),
        )
    }

    /// Every token ever given out, for tests that look for leaks.
    #[must_use]
    pub fn issued_tokens(&self) -> Vec<String> {
        self.logins.tokens.keys().cloned().collect()
    }

    /// Tenant ids or domains that have logged in, in lower case.
    #[must_use]
    pub fn tenants_seen(&self) -> Vec<String> {
        self.logins.tenants_seen.iter().cloned().collect()
    }

    /// Makes every token given out so far invalid.
    pub fn expire_tokens(&mut self) {
        let now = self.now;
        self.logins.tokens.values_mut().for_each(|token| token.expires = token.expires.min(now));
        self.changed = true;
    }
}

fn looks_like_jwt(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let base64url = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    parts.len() == 3 && parts.iter().all(base64url)
}
