//! What an access token looks like: a JWT for Graph, as scripts take it apart
//! to show who is signed in and with which permissions.
//!
//! Nobody but Graph can check the signature of a token that is for Graph (its
//! header has a nonce that Graph hashes first), so clients do not try, and
//! bytes at random stand for it here. What a token is worth is known to the
//! tenant that gave it out, not read from its text.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::random::Random;

/// As long as a signature of RS256.
const SIGNATURE_BYTES: usize = 256;

/// What a token says of itself. Source: the login service's reference of
/// access token claims, version 1.0, for an app without a user.
pub(super) struct Claims<'a> {
    pub(super) audience: &'a str,
    pub(super) tenant: Uuid,
    pub(super) app: &'a str,
    /// Proved by an assertion instead of a secret.
    pub(super) by_assertion: bool,
    /// The client declared the capability `cp1`.
    pub(super) answers_claims: bool,
    pub(super) roles: &'a [String],
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

impl Claims<'_> {
    /// The token as it is sent; no two are the same.
    pub(super) fn into_jwt(self, random: &mut Random) -> String {
        let header = json!({
            "typ": "JWT", "nonce": random.text("token", 43), "alg": "RS256",
            "x5t": "simulated", "kid": "simulated",
        });
        let principal = Uuid::new_v5(&self.tenant, self.app.as_bytes());
        let issuer = format!("https://sts.windows.net/{}/", self.tenant);
        let mut claims = json!({
            "aud": self.audience, "iss": issuer, "idp": issuer, "tid": self.tenant,
            "iat": self.issued.as_second(), "nbf": self.issued.as_second(), "exp": self.expires.as_second(),
            "app_displayname": "simulated", "appid": self.app, "idtyp": "app", "ver": "1.0",
            "appidacr": if self.by_assertion { "2" } else { "1" },
            "oid": principal, "sub": principal, "roles": self.roles,
            "uti": random.text("token", 22),
        });
        if self.answers_claims {
            claims["xms_cc"] = json!(["CP1"]);
        }
        let signature: Vec<u8> = (0..SIGNATURE_BYTES / 8).flat_map(|_| random.next("token").to_be_bytes()).collect();
        let part = |value: &Value| BASE64_URL.encode(value.to_string());
        format!("{}.{}.{}", part(&header), part(&claims), BASE64_URL.encode(signature))
    }
}
