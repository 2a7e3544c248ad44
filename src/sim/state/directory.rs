//! The neighbours that a client asks about people: users and the
//! organisation.

use serde_json::json;
use uuid::Uuid;

use super::tenant::Tenant;
use crate::sim::door::{Answer, Call, Problem, query};

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

    pub(in crate::sim) fn get_user(&self, call: &Call<'_>, name: &str) -> Result<Answer, Problem> {
        if !self.user_exists(name) {
            return Err(Problem::no_object(name));
        }
        let local = name.split('@').next().unwrap_or_default();
        let user = json!({
            "@odata.context": call.context("users/$entity"),
            "businessPhones": [],
            "displayName": local,
            "givenName": null,
            "jobTitle": null,
            "mail": name,
            "mobilePhone": null,
            "officeLocation": null,
            "preferredLanguage": null,
            "surname": null,
            "userPrincipalName": name,
            "id": Uuid::new_v5(&self.organization_id, name.to_lowercase().as_bytes()),
        });
        Ok(Answer::json(200, &query::selected(call, user)))
    }

    /// `roleScopeTags`: the one that every tenant has. Beta only.
    pub(in crate::sim) fn scope_tags(call: &Call<'_>) -> Answer {
        let default = json!({"id": "0", "displayName": "Default", "description": "", "isBuiltIn": true});
        let context = call.context("deviceManagement/roleScopeTags");
        Answer::json(200, &json!({"@odata.context": context, "value": [default]}))
    }

    pub(in crate::sim) fn organization(&self, call: &Call<'_>) -> Answer {
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
        // Whoever logged in by a tenant's id finds that id here.
        let organization = json!({
            "id": call.tenant.unwrap_or(self.organization_id),
            "displayName": directory.display_name,
            "verifiedDomains": domains,
        });
        let value = [query::selected(call, organization)];
        Answer::json(200, &json!({"@odata.context": call.context("organization"), "value": value}))
    }
}
