//! Declarations as text.

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// Who declares them.
pub const OWNER: &str = "corp-devices";

/// `contoso`, whose hashes may stand in plain text. `place` is a line of its
/// spec that says where it is: `cloud: Global`, or [`at_url`].
pub fn tenant_manifest(place: &str) -> String {
    format!(
        "apiVersion: apgit.dev/v1alpha1\n\
         kind: AutopilotTenant\n\
         metadata: {{name: contoso}}\n\
         spec:\n\
         \x20 tenantId: {TENANT}\n\
         \x20 {place}\n\
         \x20 auth: {{type: ClientSecret, clientId: aaaaaaaa-0000-4000-8000-000000000001}}\n\
         \x20 policy: Sync\n\
         \x20 ownerId: {OWNER}\n\
         \x20 hashStorage: PlainInGit\n"
    )
}

/// A tenant's place that is an address of ours.
pub fn at_url(url: &str) -> String {
    format!("endpoints: {{login: \"{url}\", graph: \"{url}\"}}")
}
