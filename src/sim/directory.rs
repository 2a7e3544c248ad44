//! The neighbours that a client asks about people: users and the
//! organisation.

use serde_json::json;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::errors::Problem;
use super::tenant::Tenant;

impl Tenant {
    /// Whether the user's domain is one of this tenant's.
    pub(super) fn has_domain_of(&self, user: &str) -> bool {
        let domain = user.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        self.settings.directory.domains.iter().any(|one| one.eq_ignore_ascii_case(domain))
    }

    /// Every user of the tenant's domains exists unless a setting says
    /// otherwise.
    pub(super) fn user_exists(&self, user: &str) -> bool {
        let missing = self.settings.directory.missing_users.iter().any(|one| one.eq_ignore_ascii_case(user));
        let name = user.rsplit_once('@').map(|(name, _)| name).unwrap_or_default();
        !missing && !name.is_empty() && self.has_domain_of(user)
    }

    pub(super) fn get_user(&self, call: &Call<'_>, name: &str) -> Result<Answer, Problem> {
        if !self.user_exists(name) {
            let message = format!(
                "Resource '{name}' does not exist or one of its queried reference-property objects are not present."
            );
            return Err(Problem::plain(404, "Request_ResourceNotFound", message));
        }
        let local = name.split('@').next().unwrap_or_default();
        Ok(Answer::json(
            200,
            &json!({
                "@odata.context": call.context("users/$entity"),
                "id": Uuid::new_v5(&self.organization_id, name.to_lowercase().as_bytes()),
                "displayName": local,
                "mail": name,
                "userPrincipalName": name,
            }),
        ))
    }

    pub(super) fn organization(&self, call: &Call<'_>) -> Answer {
        let directory = &self.settings.directory;
        let domains: Vec<_> = directory
            .domains
            .iter()
            .enumerate()
            .map(|(at, name)| {
                json!({
                    "capabilities": "Email, OfficeCommunicationsOnline, Intune",
                    "isDefault": at == 0,
                    "isInitial": name.ends_with(".onmicrosoft.com"),
                    "name": name,
                    "type": "Managed",
                })
            })
            .collect();
        Answer::json(
            200,
            &json!({
                "@odata.context": call.context("organization"),
                "value": [{
                    "id": self.organization_id,
                    "displayName": directory.display_name,
                    "verifiedDomains": domains,
                }],
            }),
        )
    }
}
