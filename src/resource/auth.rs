//! How to sign in, as declared. Secrets never stand here, only references.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::form::GUID;

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
// No docs: they would make `oneOf` of the schema's `enum`.
pub enum AuthType {
    WorkloadIdentity,
    ClientSecret,
    Certificate,
    ManagedIdentity,
    AzureCli,
    Browser,
    DeviceCode,
}

impl AuthType {
    const fn name(self) -> &'static str {
        match self {
            Self::WorkloadIdentity => "WorkloadIdentity",
            Self::ClientSecret => "ClientSecret",
            Self::Certificate => "Certificate",
            Self::ManagedIdentity => "ManagedIdentity",
            Self::AzureCli => "AzureCli",
            Self::Browser => "Browser",
            Self::DeviceCode => "DeviceCode",
        }
    }

    const fn needs_client_id(self) -> bool {
        !matches!(self, Self::ManagedIdentity | Self::AzureCli)
    }

    /// Which optional member belongs to this type.
    const fn takes(self, member: Member) -> bool {
        match member {
            Member::ClientId => !matches!(self, Self::AzureCli),
            Member::SecretRef => matches!(self, Self::ClientSecret),
            Member::CertificateRef => matches!(self, Self::Certificate),
            Member::ServiceAccountName => matches!(self, Self::WorkloadIdentity),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    ClientId,
    SecretRef,
    CertificateRef,
    ServiceAccountName,
}

/// A key of a Kubernetes Secret in the object's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key of the entry in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

macro_rules! identity {
    ($(#[$meta:meta])* pub struct $name:ident { $($extra:tt)* }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
        $(#[$meta])*
        #[x_kube(validation = Rule::new(
            "!has(self.type) || self.type in ['ManagedIdentity', 'AzureCli'] || has(self.clientId)"
        ).message("this type needs `clientId`"))]
        #[x_kube(validation = Rule::new(
            "!has(self.clientId) || (has(self.type) && self.type != 'AzureCli')"
        ).message("`clientId` does not belong to this type"))]
        #[x_kube(validation = Rule::new(
            "!has(self.secretRef) || (has(self.type) && self.type == 'ClientSecret')"
        ).message("`secretRef` belongs to type `ClientSecret`"))]
        #[x_kube(validation = Rule::new(
            "!has(self.certificateRef) || (has(self.type) && self.type == 'Certificate')"
        ).message("`certificateRef` belongs to type `Certificate`"))]
        #[x_kube(validation = Rule::new(
            "!has(self.serviceAccountName) || (has(self.type) && self.type == 'WorkloadIdentity')"
        ).message("`serviceAccountName` belongs to type `WorkloadIdentity`"))]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[schemars(transform = super::schema::no_nulls)]
        pub struct $name {
            $($extra)*
            /// The application (client) id of the app registration, a GUID.
            #[schemars(length(max = GUID.max), pattern(GUID.pattern))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub client_id: Option<String>,
            /// `ClientSecret` in a cluster: where the secret stands, in the same
            /// namespace. A command takes that of `AZURE_CLIENT_SECRET`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub secret_ref: Option<SecretKeyRef>,
            /// `Certificate` in a cluster: where the PEM with certificate and
            /// private key stands, in the same namespace. A command takes that of the
            /// file that `AZURE_CLIENT_CERTIFICATE_PATH` names.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub certificate_ref: Option<SecretKeyRef>,
            /// `WorkloadIdentity` in a cluster: a `ServiceAccount` of the
            /// object's own namespace. A command takes the token of the file that
            /// `AZURE_FEDERATED_TOKEN_FILE` names, or of GitHub's own service.
            #[schemars(length(min = 1, max = 253))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub service_account_name: Option<String>,
        }

        impl $name {
            fn members(&self) -> Members<'_> {
                Members {
                    client_id: self.client_id.as_deref(),
                    given: [
                        (Member::ClientId, "clientId", self.client_id.is_some()),
                        (Member::SecretRef, "secretRef", self.secret_ref.is_some()),
                        (Member::CertificateRef, "certificateRef", self.certificate_ref.is_some()),
                        (Member::ServiceAccountName, "serviceAccountName", self.service_account_name.is_some()),
                    ],
                }
            }
        }
    };
}

identity! {
    /// One identity: a type, and the members that this type takes.
    pub struct Identity {
        /// How this identity proves itself. Not acted on yet: `Browser` and
        /// `DeviceCode`. In a cluster `ClientSecret`, `Certificate` and
        /// `WorkloadIdentity`, with what stands in the namespace.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        pub type_: Option<AuthType>,
    }
}

identity! {
    /// How to sign in: one identity for everything, or one for reading and one
    /// for writing, or one for everything with an exception.
    #[x_kube(validation = Rule::new(
        "has(self.type) || (has(self.read) && has(self.write))"
    ).message("give a `type`, or both `read` and `write`"))]
    pub struct Auth {
        /// How to sign in where nothing below says otherwise. Not acted on yet:
        /// `Browser` and `DeviceCode`. In a cluster `ClientSecret`, `Certificate`
        /// and `WorkloadIdentity`, with what stands in the namespace.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        pub type_: Option<AuthType>,
        /// The identity that plans: it needs to read only.
        #[x_kube(validation = Rule::new("has(self.type)").message("an identity has a `type`"))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub read: Option<Identity>,
        /// The identity that applies.
        #[x_kube(validation = Rule::new("has(self.type)").message("an identity has a `type`"))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub write: Option<Identity>,
    }
}

impl Auth {
    /// The identity for reading the tenant.
    #[must_use]
    pub fn reader(&self) -> Identity {
        self.read.clone().unwrap_or_else(|| self.base())
    }

    /// The identity for writing to the tenant.
    #[must_use]
    pub fn writer(&self) -> Identity {
        self.write.clone().unwrap_or_else(|| self.base())
    }

    /// What stands beside `read` and `write`.
    pub(super) fn base(&self) -> Identity {
        Identity {
            type_: self.type_,
            client_id: self.client_id.clone(),
            secret_ref: self.secret_ref.clone(),
            certificate_ref: self.certificate_ref.clone(),
            service_account_name: self.service_account_name.clone(),
        }
    }
}

/// What to do instead about a field that named a file to sign in with. `None`
/// for every other field.
///
/// Whoever may push a branch could have had any file of the machine sent as a
/// credential; in a cluster, a name in the object's own namespace takes its place.
#[must_use]
pub fn credential_path(field: &str) -> Option<&'static str> {
    match field {
        "tokenFile" => Some(
            "a branch must not say which file is sent: name it in the environment, `AZURE_FEDERATED_TOKEN_FILE`, and \
             remove the line",
        ),
        "certificateFile" => Some(
            "a branch must not say which file is read: name it in the environment, `AZURE_CLIENT_CERTIFICATE_PATH`, \
             and remove the line",
        ),
        _ => None,
    }
}

struct Members<'a> {
    client_id: Option<&'a str>,
    given: [(Member, &'static str, bool); 4],
}

/// Checks what the schema cannot: which member belongs to which type.
pub(super) fn check(auth: &Auth, problems: &mut Problems) {
    if auth.type_.is_none() && (auth.read.is_none() || auth.write.is_none()) {
        problems.push_hint(
            &["auth"],
            "auth-type",
            "`auth` does not say how to sign in",
            "give a `type`, or both `read` and `write`",
        );
    }
    check_members(&["auth"], auth.type_, &auth.members(), problems);
    for (name, identity) in [("read", &auth.read), ("write", &auth.write)] {
        let Some(identity) = identity else { continue };
        let path = ["auth", name];
        if identity.type_.is_none() {
            problems.push_hint(&path, "auth-type", format!("`auth.{name}` has no `type`"), "add a `type`");
        }
        check_members(&path, identity.type_, &identity.members(), problems);
    }
}

fn check_members(path: &[&'static str], kind: Option<AuthType>, members: &Members<'_>, problems: &mut Problems) {
    let at = |name: &'static str| [path, &[name]].concat();
    if let Some(kind) = kind
        && kind.needs_client_id()
        && members.client_id.is_none()
    {
        problems.push_hint(
            path,
            "auth-member-missing",
            format!("sign-in of type `{}` needs `clientId`", kind.name()),
            "add the application (client) id of the app registration",
        );
    }
    if members.client_id.is_some_and(|text| !GUID.fits(text)) {
        problems.push(&at("clientId"), "not-a-guid", "`clientId` is not a GUID");
    }
    for (member, name, given) in members.given {
        let fits = kind.is_some_and(|kind| kind.takes(member));
        if given && !fits {
            let (message, hint) = match (kind, member) {
                (Some(AuthType::AzureCli), Member::ClientId) => (
                    "`clientId` does not belong to type `AzureCli`".to_owned(),
                    "remove it: `az login` has said which app signs in",
                ),
                (Some(kind), _) => (format!("`{name}` does not belong to type `{}`", kind.name()), "remove it"),
                (None, _) => (format!("`{name}` needs a `type` beside it"), "add a `type`"),
            };
            problems.push_hint(&at(name), "auth-member-extra", message, hint);
        }
    }
}
