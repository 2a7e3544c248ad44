//! Which address means what: the table of routes, real and phantom.
//!
//! Documented pages describe some routes that the service does not have;
//! those are refused the way the service refuses them, and loudly logged.

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, Version};
use super::errors::Problem;
use super::query;
use crate::sim::state::{Key, Tenant};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) enum Target {
    Token(String),
    OpenId(String),
    Keys,
    InstanceDiscovery,
    ManagedIdentity,
    Control(Vec<String>),
    Batch,
    /// `$batch` without a version in front of it.
    BatchOfNoVersion,
    Registrations,
    Registration(Uuid),
    RegistrationAction(Uuid, Action),
    DeleteDevices,
    Imports,
    ImportAction,
    Import(Uuid),
    Settings,
    Sync,
    Profiles,
    Profile(Uuid),
    ProfileDevices(Uuid),
    ProfileAssignments(Uuid),
    Corporates,
    Corporate(Uuid),
    CorporateImport,
    CorporateSearch,
    ManagedDevices,
    ManagedDevice(Uuid),
    ManagedAction(Uuid, ManagedAction),
    Devices,
    Device(Key),
    ScopeTags,
    Groups,
    Group(String),
    User(String),
    Organization,
    Metadata,
    /// A known set with something behind it that does not exist.
    NoRoute(&'static str),
    Unknown(String),
}

/// Actions on one registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Action {
    UpdateProperties,
    AssignUser,
    UnassignUser,
    AllowNextEnrollment,
    AssignResourceAccount,
    UnassignResourceAccount,
}

/// Actions on one device in Intune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum ManagedAction {
    Wipe,
    Retire,
}

/// Which permissions a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Area {
    /// Nobody asks: login, control.
    Open,
    /// Any token.
    Token,
    AutopilotRead,
    AutopilotWrite,
    Users,
    Organization,
    Groups,
    DevicesRead,
    DevicesWrite,
    ManagedRead,
    ManagedWrite,
    /// Wipes and the like.
    ManagedPrivileged,
}

impl Target {
    pub(in crate::sim) fn of(call: &Call<'_>) -> Self {
        let lower: Vec<String> = call.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        if call.version.is_some() {
            return Self::of_graph(call, &lower);
        }
        match lower.as_slice() {
            ["_sim", ..] => Self::Control(call.segments[1..].to_vec()),
            [_, "oauth2", "v2.0", "token"] => Self::Token(call.segments[0].clone()),
            [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"] => Self::Keys,
            [_, "v2.0", ".well-known", "openid-configuration"] | [_, ".well-known", "openid-configuration"] => {
                Self::OpenId(call.segments[0].clone())
            }
            ["common", "discovery", "instance"] => Self::InstanceDiscovery,
            ["metadata", "identity", "oauth2", "token"] => Self::ManagedIdentity,
            ["$batch"] if call.method == Method::POST => Self::BatchOfNoVersion,
            _ => Self::Unknown(call.segments.first().cloned().unwrap_or_default()),
        }
    }

    fn of_graph(call: &Call<'_>, lower: &[&str]) -> Self {
        let beta = call.is_beta();
        let unknown = |at: usize| Self::Unknown(call.segments.get(at).cloned().unwrap_or_default());
        let id = |at: usize| lower[at].parse::<Uuid>();
        match lower {
            ["$batch"] => Self::Batch,
            ["$metadata"] => Self::Metadata,
            ["organization"] => Self::Organization,
            ["devices"] => Self::Devices,
            ["devices", key] => Key::read(key).map_or(Self::NoRoute("~/entityset/key"), Self::Device),
            ["groups"] => Self::Groups,
            ["groups", _] => Self::Group(call.segments[1].clone()),
            ["users", _] => Self::User(call.segments[1].clone()),
            ["devicemanagement", rest @ ..] => match rest {
                ["windowsautopilotdeviceidentities"] => Self::Registrations,
                ["windowsautopilotdeviceidentities", "deletedevices" | "microsoft.graph.deletedevices"] => {
                    Self::DeleteDevices
                }
                ["windowsautopilotdeviceidentities", _] => match id(2) {
                    Ok(id) => Self::Registration(id),
                    Err(_) => Self::NoRoute("~/singleton/navigation/key"),
                },
                ["windowsautopilotdeviceidentities", _, action] => {
                    let action = match action.strip_prefix("microsoft.graph.").unwrap_or(action) {
                        "updatedeviceproperties" => Action::UpdateProperties,
                        "assignusertodevice" => Action::AssignUser,
                        "unassignuserfromdevice" => Action::UnassignUser,
                        "allownextenrollment" if beta => Action::AllowNextEnrollment,
                        "assignresourceaccounttodevice" if beta => Action::AssignResourceAccount,
                        "unassignresourceaccountfromdevice" if beta => Action::UnassignResourceAccount,
                        _ => return unknown(3),
                    };
                    match id(2) {
                        Ok(id) => Self::RegistrationAction(id, action),
                        Err(_) => Self::NoRoute("~/singleton/navigation/key/action"),
                    }
                }
                ["importedwindowsautopilotdeviceidentities"] => Self::Imports,
                ["importedwindowsautopilotdeviceidentities", "import" | "microsoft.graph.import"] => Self::ImportAction,
                ["importedwindowsautopilotdeviceidentities", _] => match id(2) {
                    Ok(id) => Self::Import(id),
                    Err(_) => Self::NoRoute("~/singleton/navigation/key"),
                },
                ["windowsautopilotsettings"] if beta => Self::Settings,
                ["windowsautopilotsettings", "sync" | "microsoft.graph.sync"] if beta => Self::Sync,
                ["rolescopetags"] if beta => Self::ScopeTags,
                ["manageddevices"] => Self::ManagedDevices,
                ["manageddevices", _] => id(2).map_or(Self::NoRoute("~/singleton/navigation/key"), Self::ManagedDevice),
                ["manageddevices", _, action] => {
                    let action = match action.strip_prefix("microsoft.graph.").unwrap_or(action) {
                        "wipe" => ManagedAction::Wipe,
                        "retire" => ManagedAction::Retire,
                        _ => return unknown(3),
                    };
                    match id(2) {
                        Ok(id) => Self::ManagedAction(id, action),
                        Err(_) => Self::NoRoute("~/singleton/navigation/key/action"),
                    }
                }
                ["importeddeviceidentities"] if beta => Self::Corporates,
                ["importeddeviceidentities", "importdeviceidentitylist"] if beta => Self::CorporateImport,
                ["importeddeviceidentities", "searchexistingidentities"] if beta => Self::CorporateSearch,
                ["importeddeviceidentities", _] if beta => {
                    id(2).map_or(Self::NoRoute("~/singleton/navigation/key"), Self::Corporate)
                }
                ["windowsautopilotdeploymentprofiles"] if beta => Self::Profiles,
                ["windowsautopilotdeploymentprofiles", _] if beta => match id(2) {
                    Ok(id) => Self::Profile(id),
                    Err(_) => Self::NoRoute("~/singleton/navigation/key"),
                },
                ["windowsautopilotdeploymentprofiles", _, "assignments"] if beta => {
                    id(2).map_or(Self::NoRoute("~/singleton/navigation/key/navigation"), Self::ProfileAssignments)
                }
                ["windowsautopilotdeploymentprofiles", _, "assigneddevices"] if beta => match id(2) {
                    Ok(id) => Self::ProfileDevices(id),
                    Err(_) => Self::NoRoute("~/singleton/navigation/key/navigation"),
                },
                _ => unknown(1),
            },
            _ => unknown(0),
        }
    }

    /// The route with ids as `{id}`, without version: for counters and logs.
    pub(in crate::sim) fn template(&self) -> &'static str {
        match self {
            Self::Token(_) => "{tenant}/oauth2/v2.0/token",
            Self::OpenId(_) => "{tenant}/v2.0/.well-known/openid-configuration",
            Self::Keys => "{tenant}/discovery/v2.0/keys",
            Self::InstanceDiscovery => "common/discovery/instance",
            Self::ManagedIdentity => "metadata/identity/oauth2/token",
            Self::Control(_) => "_sim",
            Self::Batch => "$batch",
            Self::Registrations => "deviceManagement/windowsAutopilotDeviceIdentities",
            Self::Registration(_) => "deviceManagement/windowsAutopilotDeviceIdentities/{id}",
            Self::RegistrationAction(_, action) => match action {
                Action::UpdateProperties => {
                    "deviceManagement/windowsAutopilotDeviceIdentities/{id}/updateDeviceProperties"
                }
                Action::AssignUser => "deviceManagement/windowsAutopilotDeviceIdentities/{id}/assignUserToDevice",
                Action::UnassignUser => "deviceManagement/windowsAutopilotDeviceIdentities/{id}/unassignUserFromDevice",
                Action::AllowNextEnrollment => {
                    "deviceManagement/windowsAutopilotDeviceIdentities/{id}/allowNextEnrollment"
                }
                Action::AssignResourceAccount => {
                    "deviceManagement/windowsAutopilotDeviceIdentities/{id}/assignResourceAccountToDevice"
                }
                Action::UnassignResourceAccount => {
                    "deviceManagement/windowsAutopilotDeviceIdentities/{id}/unassignResourceAccountFromDevice"
                }
            },
            Self::DeleteDevices => "deviceManagement/windowsAutopilotDeviceIdentities/deleteDevices",
            Self::Imports => "deviceManagement/importedWindowsAutopilotDeviceIdentities",
            Self::ImportAction => "deviceManagement/importedWindowsAutopilotDeviceIdentities/import",
            Self::Import(_) => "deviceManagement/importedWindowsAutopilotDeviceIdentities/{id}",
            Self::Settings => "deviceManagement/windowsAutopilotSettings",
            Self::Sync => "deviceManagement/windowsAutopilotSettings/sync",
            Self::Profiles => "deviceManagement/windowsAutopilotDeploymentProfiles",
            Self::Profile(_) => "deviceManagement/windowsAutopilotDeploymentProfiles/{id}",
            Self::ProfileDevices(_) => "deviceManagement/windowsAutopilotDeploymentProfiles/{id}/assignedDevices",
            Self::ProfileAssignments(_) => "deviceManagement/windowsAutopilotDeploymentProfiles/{id}/assignments",
            Self::Corporates => "deviceManagement/importedDeviceIdentities",
            Self::Corporate(_) => "deviceManagement/importedDeviceIdentities/{id}",
            Self::CorporateImport => "deviceManagement/importedDeviceIdentities/importDeviceIdentityList",
            Self::CorporateSearch => "deviceManagement/importedDeviceIdentities/searchExistingIdentities",
            Self::ManagedDevices => "deviceManagement/managedDevices",
            Self::ManagedDevice(_) => "deviceManagement/managedDevices/{id}",
            Self::ManagedAction(_, ManagedAction::Wipe) => "deviceManagement/managedDevices/{id}/wipe",
            Self::ManagedAction(_, ManagedAction::Retire) => "deviceManagement/managedDevices/{id}/retire",
            Self::Devices => "devices",
            Self::Device(_) => "devices/{id}",
            Self::ScopeTags => "deviceManagement/roleScopeTags",
            Self::Groups => "groups",
            Self::Group(_) => "groups/{id}",
            Self::Metadata => "$metadata",
            Self::User(_) => "users/{id}",
            Self::Organization => "organization",
            Self::NoRoute(_) => "(no route)",
            Self::BatchOfNoVersion | Self::Unknown(_) => "(unknown)",
        }
    }

    /// The template of a route that somebody wrote down, in whatever letter
    /// case, with or without its version; none where there is no such route.
    pub(in crate::sim) fn template_of(route: &str) -> Option<&'static str> {
        let strangers = [Self::Unknown(String::new()), Self::NoRoute("")].map(|target| target.template());
        if let Some(strange) = strangers.into_iter().find(|template| *template == route) {
            return Some(strange);
        }
        // Any id and any name make an address of it.
        let path = route.replace("{id}", &Uuid::nil().to_string()).replace("{tenant}", "any");
        let path = path.trim_start_matches('/');
        ["", "beta/"].into_iter().find_map(|version| {
            let request = http::Request::post(format!("http://localhost/{version}{path}")).body(Bytes::new()).ok()?;
            let call = Call::read(&request, Uuid::nil(), Timestamp::UNIX_EPOCH);
            let template = Self::of(&call).template();
            (template != "_sim" && !strangers.contains(&template)).then_some(template)
        })
    }

    pub(in crate::sim) fn area(&self, method: &Method) -> Area {
        match self {
            Self::Token(_)
            | Self::OpenId(_)
            | Self::Keys
            | Self::InstanceDiscovery
            | Self::ManagedIdentity
            | Self::Metadata
            | Self::Control(_) => Area::Open,
            Self::Batch | Self::BatchOfNoVersion | Self::NoRoute(_) | Self::Unknown(_) => Area::Token,
            Self::User(_) => Area::Users,
            Self::Organization => Area::Organization,
            Self::ScopeTags => Area::Token,
            Self::Groups | Self::Group(_) => Area::Groups,
            Self::Devices | Self::Device(_) if method == Method::GET => Area::DevicesRead,
            Self::Devices | Self::Device(_) => Area::DevicesWrite,
            Self::ManagedDevices | Self::ManagedDevice(_) if method == Method::GET => Area::ManagedRead,
            Self::ManagedDevices | Self::ManagedDevice(_) => Area::ManagedWrite,
            Self::ManagedAction(..) => Area::ManagedPrivileged,
            _ if method == Method::GET => Area::AutopilotRead,
            _ => Area::AutopilotWrite,
        }
    }

    /// Whether this is a POST of import requests.
    pub(in crate::sim) fn is_import_post(&self, method: &Method) -> bool {
        matches!(self, Self::Imports | Self::ImportAction) && method == Method::POST
    }

    fn is_post_only(&self) -> bool {
        matches!(
            self,
            Self::Batch
                | Self::RegistrationAction(..)
                | Self::ManagedAction(..)
                | Self::DeleteDevices
                | Self::ImportAction
                | Self::Sync
                | Self::CorporateImport
                | Self::CorporateSearch
        )
    }
}

impl Tenant {
    /// Does what the request asks, faults and limits left aside.
    pub(in crate::sim) fn dispatch(&mut self, call: &Call<'_>, target: &Target) -> Result<Answer, Problem> {
        let method = &call.method;
        let (get, post, delete) = (method == Method::GET, method == Method::POST, method == Method::DELETE);
        query::refuse_unserved(call)?;
        match target {
            Target::Token(tenant) if post => self.issue_token(call, tenant),
            Target::OpenId(tenant) if get => self.openid_configuration(call, tenant),
            Target::Keys if get => Ok(Answer::json(200, &serde_json::json!({"keys": []}))),
            Target::Metadata if get => Ok(super::metadata::document(call.is_beta())),
            Target::InstanceDiscovery if get => Self::instance_discovery(call),
            Target::ManagedIdentity if get => self.issue_managed_identity_token(call),
            Target::Control(rest) => self.control(call, rest),
            Target::Batch if post => self.batch(call),

            Target::Registrations if get => self.list_registrations(call),
            Target::Registration(id) if get => self.get_registration(call, *id),
            Target::Registration(id) if delete => self.delete_registration(call, *id),
            Target::RegistrationAction(id, action) if post => self.act_on_registration(call, *id, *action),
            Target::DeleteDevices if post && self.settings.delete.by_serial => self.delete_by_serial(call),

            Target::Imports if get => self.list_imports(call),
            Target::Imports if post => self.import_one(call),
            Target::ImportAction if post => self.import_many(call),
            Target::Import(id) if get => self.get_import(call, *id),
            Target::Import(id) if delete => self.delete_import(call, *id),

            Target::Settings if get => Ok(self.autopilot_settings(call)),
            Target::Sync if post => self.start_sync_by_hand(&call.app),
            Target::Profiles if get => Ok(self.list_profiles(call)),
            Target::Profile(id) if get => self.get_profile(call, *id),
            Target::ProfileDevices(id) if get => self.list_profile_devices(call, *id),
            Target::ProfileAssignments(id) if get => self.list_assignments(call, *id),

            Target::Corporates if get => self.list_corporate(call),
            Target::Corporate(id) if get => self.get_corporate(call, *id),
            Target::Corporate(id) if delete => self.delete_corporate(call, *id),
            Target::CorporateImport if post => self.import_corporate(call),
            Target::CorporateSearch if post => self.search_corporate(call),
            Target::ManagedDevices if get => self.list_managed(call),
            Target::ManagedDevice(id) if get => self.get_managed(call, *id),
            Target::ManagedDevice(id) if delete => self.delete_managed(call, *id),
            Target::ManagedAction(id, action) if post => self.act_on_managed(call, *id, *action),
            Target::Devices if get => self.list_objects(call),
            Target::Device(key) if get => self.get_object(call, *key),
            Target::Device(key) if delete => self.delete_object(call, *key),
            Target::ScopeTags if get => Ok(Self::scope_tags(call)),
            Target::Groups if get => Ok(self.list_groups(call)),
            Target::Group(id) if get => self.get_group(call, id),
            Target::User(name) if get => self.get_user(call, name),
            Target::Organization if get => Ok(self.organization(call)),

            Target::BatchOfNoVersion => Err(Self::batch_of_no_version()),
            Target::Unknown(segment) => Err(Self::unknown(call, segment)),
            Target::NoRoute(template) => Err(Self::phantom(call, template)),
            Target::Imports | Target::Registrations => Err(Self::phantom(call, "~/singleton/navigation")),
            Target::Import(_) | Target::Registration(_) => Err(Self::phantom(call, "~/singleton/navigation/key")),
            other if other.is_post_only() => Err(Self::phantom(call, "~/singleton/navigation/action")),
            _ => Err(Self::phantom(call, "~/singleton/navigation")),
        }
    }

    /// A client that was given the host alone as its base address.
    fn batch_of_no_version() -> Problem {
        tracing::warn!("`/$batch` has no version in front of it: it is `/v1.0/$batch` or `/beta/$batch`");
        let message = "Specified HTTP method is not allowed for the request target.";
        Problem::plain(405, "Request_BadRequest", message)
    }

    fn phantom(call: &Call<'_>, template: &str) -> Problem {
        tracing::warn!(method = %call.method, path = call.path(), "the service has no such route, whatever its documentation says");
        Problem::route(call, template)
    }

    fn unknown(call: &Call<'_>, segment: &str) -> Problem {
        match call.version {
            None => Problem::plain(400, "BadRequest", format!("Invalid version: {segment}")),
            // Seen in the field: profiles exist on beta alone, and v1.0 says so
            // with a 404 of its own.
            Some(Version::V1) if segment.eq_ignore_ascii_case("windowsAutopilotDeploymentProfiles") => {
                Problem::plain(404, "ResourceNotFound", format!("Resource not found for the segment '{segment}'."))
            }
            Some(_) => Problem::segment(segment),
        }
    }
}
