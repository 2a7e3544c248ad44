//! What can be read. The type [`Graph`] has no write methods, so a plan
//! cannot change a tenant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use reqwest::Url;
use uuid::Uuid;

use super::batch::{self, Part, PartResult};
use super::client::{Budget, Call, Client, Repeat, json};
use super::endpoints::Endpoints;
use super::error::{About, ErrorKind, GraphError};
use super::listing::Listing;
use super::login::Credential;
use super::pace::{Class, Pace, PaceLimits};
use super::records::{ImportRecord, Organization};
use super::{READ_SCOPE, Settings, wire};
use crate::clock::{ServiceTime, SharedClock, Stop};
use crate::model::{Coverage, Device, Observed, RegistrationId, SyncState};
use crate::transport::SharedTransport;

pub(super) const REGISTRATIONS: &str = "/v1.0/deviceManagement/windowsAutopilotDeviceIdentities";
pub(super) const IMPORTS: &str = "/v1.0/deviceManagement/importedWindowsAutopilotDeviceIdentities";
/// Settings and sync exist under beta only.
pub(super) const SETTINGS: &str = "/beta/deviceManagement/windowsAutopilotSettings";

/// Reads a tenant. Clones share the budget, the token and the counter.
#[derive(Clone)]
pub struct Graph(pub(super) Arc<Client>);

impl Graph {
    /// `seed` feeds the jitter of waits and the `client-request-id`s.
    #[must_use]
    pub fn new(
        transport: SharedTransport,
        clock: SharedClock,
        endpoints: Endpoints,
        credential: Arc<dyn Credential>,
        seed: u64,
    ) -> Self {
        let budget = Arc::new(Mutex::new(Pace::new(PaceLimits::default())));
        Self::with(transport, clock, endpoints, credential, seed, budget, Settings::default())
    }

    /// The same, with a budget that other clients of this app in this tenant
    /// share, and settings.
    #[must_use]
    pub fn with(
        transport: SharedTransport,
        clock: SharedClock,
        endpoints: Endpoints,
        credential: Arc<dyn Credential>,
        seed: u64,
        budget: Budget,
        settings: Settings,
    ) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let calls = AtomicU64::new(0);
        let (stop, service) = (Stop::never(), ServiceTime::default());
        let writes = Mutex::default();
        let client =
            Client { transport, clock, endpoints, credential, budget, settings, random, calls, writes, stop, service };
        Self(Arc::new(client))
    }

    /// The same, hearing a request to stop in every wait. Before it is cloned.
    #[must_use]
    pub fn hearing(self, stop: Stop) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(client) => Self(Arc::new(Client { stop, ..client })),
            Err(shared) => Self(shared),
        }
    }

    /// The present by the service's own clock, as far as its answers told it.
    #[must_use]
    pub fn service_now(&self) -> Timestamp {
        self.0.service_now()
    }

    /// The service's time at a moment of ours.
    #[must_use]
    pub fn service_of(&self, ours: Timestamp) -> Timestamp {
        self.0.service.of(ours)
    }

    /// Our own time at a moment of the service's.
    #[must_use]
    pub fn ours(&self, service: Timestamp) -> Timestamp {
        self.0.service.ours(service)
    }

    /// The `client-request-id`s of what was written since they were last taken.
    #[must_use]
    pub(crate) fn take_writes(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.0.writes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lists every registration of the tenant.
    ///
    /// # Errors
    /// Whenever the listing is not complete: there is no partial `All`.
    pub async fn list_devices(&self) -> Result<Observed, GraphError> {
        let listing = Listing {
            about: About { operation: "list registrations", scope: READ_SCOPE },
            route: REGISTRATIONS,
            query: String::new(),
            class: Class::Read,
            item: wire::Registration::into_device,
            key: |device: &Device| device.id,
            texts: |device| wire::texts(device).iter().map(|text| text.len()).sum(),
        };
        let started = self.0.clock.now();
        let devices = listing.read(&self.0).await?;
        Ok(Observed::new(Coverage::All, devices, self.0.service.of(started)))
    }

    /// Reads single registrations, in `$batch` envelopes; results in the order
    /// of `ids`. `None`: the service says that there is no such registration.
    pub async fn get_devices(
        &self,
        ids: &[RegistrationId],
    ) -> Vec<(RegistrationId, Result<Option<Device>, GraphError>)> {
        let about = About { operation: "read a registration", scope: READ_SCOPE };
        let part = |id: &RegistrationId| Part {
            about,
            method: "GET",
            url: format!("{}/{id}", without_version(REGISTRATIONS)),
            body: None,
            repeat: Repeat::Freely,
        };
        let parts: Vec<Part> = ids.iter().map(part).collect();
        let answers = batch::send(&self.0, batch::BATCH, Class::Read, &parts, None).await;
        ids.iter().zip(answers).map(|(id, answer)| (*id, device_of(*id, answer, about))).collect()
    }

    /// Which of these registrations have a deployment profile: only beta tells. What
    /// cannot be read is not known to have one.
    ///
    /// # Errors
    /// When the answer is about us and not about a registration.
    pub async fn with_profile(&self, ids: &[RegistrationId]) -> Result<Vec<RegistrationId>, GraphError> {
        let about = About { operation: "read a deployment profile's state", scope: READ_SCOPE };
        let part = |id: &RegistrationId| Part {
            about,
            method: "GET",
            url: format!("{}/{id}", without_version(REGISTRATIONS)),
            body: None,
            repeat: Repeat::Freely,
        };
        let parts: Vec<Part> = ids.iter().map(part).collect();
        let mut found = Vec::new();
        for (id, answer) in ids.iter().zip(batch::send(&self.0, batch::BATCH_BETA, Class::Read, &parts, None).await) {
            match answer {
                Ok(body) if wire::has_profile(&body) => found.push(*id),
                Err(error) if error.is_about_us() || error.kind == ErrorKind::Stopped => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, %id, "cannot read whether it has a profile: it counts as if it had none");
                }
                Ok(_) => {}
            }
        }
        Ok(found)
    }

    /// When the tenant last synced with Autopilot, and whether it does now.
    ///
    /// # Errors
    /// When the settings cannot be read.
    pub async fn sync_state(&self) -> Result<SyncState, GraphError> {
        let about = About { operation: "read the sync state", scope: READ_SCOPE };
        let settings: wire::Settings = self.get(about, SETTINGS, SETTINGS.to_owned()).await?;
        Ok(settings.into())
    }

    /// Lists all import records of the tenant, whoever made them.
    ///
    /// # Errors
    /// Whenever the listing is not complete.
    pub async fn list_imports(&self) -> Result<Vec<ImportRecord>, GraphError> {
        let listing = Listing {
            about: About { operation: "list import records", scope: READ_SCOPE },
            route: IMPORTS,
            query: String::new(),
            class: Class::Read,
            item: wire::Imported::into_record,
            key: |record: &ImportRecord| record.id,
            texts: |record| record.serial.len(),
        };
        listing.read(&self.0).await
    }

    /// The tenant's name and verified domains; `None` without the permission
    /// to read them.
    ///
    /// # Errors
    /// When the directory gives no usable answer.
    pub async fn organization(&self) -> Result<Option<Organization>, GraphError> {
        let about = About { operation: "read the organization", scope: "Organization.Read.All" };
        let route = "/v1.0/organization";
        let page: Result<wire::Page<wire::OrganizationEntity>, _> = self.get(about, route, route.to_owned()).await;
        match page {
            Ok(page) => Ok(page.value.into_iter().next().map(Into::into)),
            Err(error) if error.kind == ErrorKind::Permission => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the directory knows these users, in `$batch` envelopes; results
    /// in their order. `None`: we may not read users, or got no usable answer.
    ///
    /// # Errors
    /// Only those that say something about us, such as a token refused.
    pub async fn users_exist(&self, user_principal_names: &[String]) -> Result<Vec<Option<bool>>, GraphError> {
        let about = About { operation: "look up a user", scope: "User.ReadBasic.All" };
        let part = |name: &String| Part {
            about,
            method: "GET",
            url: format!("/users/{}", segment(name)),
            body: None,
            repeat: Repeat::Freely,
        };
        let parts: Vec<Part> = user_principal_names.iter().map(part).collect();
        let answers = batch::send(&self.0, batch::BATCH, Class::Read, &parts, None).await;
        let exists = |answer: PartResult| match answer {
            Ok(_) => Ok(Some(true)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Some(false)),
            Err(error) if error.is_about_us() && error.kind != ErrorKind::Permission => Err(error),
            Err(_) => Ok(None),
        };
        answers.into_iter().map(exists).collect()
    }

    /// Requests sent to Graph so far, repeats included; a batch is one.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Where the requests go.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        about: About,
        route: &'static str,
        path: String,
    ) -> Result<T, GraphError> {
        let call = Call {
            about,
            method: Method::GET,
            url: format!("{}{path}", self.0.endpoints.graph),
            route,
            body: Bytes::new(),
            class: Class::Read,
            cost: 1,
            repeat: Repeat::Freely,
            send_before: None,
        };
        self.0.send(&call, json).await
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("endpoints", &self.0.endpoints).finish_non_exhaustive()
    }
}

/// The path as `$batch` wants it.
pub(super) fn without_version(path: &'static str) -> &'static str {
    path.trim_start_matches("/v1.0").trim_start_matches("/beta")
}

fn device_of(id: RegistrationId, answer: PartResult, about: About) -> Result<Option<Device>, GraphError> {
    let body = match answer {
        Ok(body) => body,
        Err(error) if error.says_absent() => return Ok(None),
        Err(error) => return Err(error),
    };
    let senseless = |reason: String| GraphError::new(ErrorKind::Protocol, about, reason);
    let registration: wire::Registration =
        serde_json::from_value(body).map_err(|_| senseless("the body is not a registration".to_owned()))?;
    let device = registration.into_device().map_err(senseless)?;
    if device.id != id {
        return Err(senseless(format!("asked for `{id}`, got `{}`", device.id)));
    }
    Ok(Some(device))
}

/// Percent-encodes one segment of a path.
fn segment(text: &str) -> String {
    let mut url = Url::parse("http://localhost").expect("a constant URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(text);
    }
    url.path().trim_start_matches('/').to_owned()
}
