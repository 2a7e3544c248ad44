//! A tenant's listing from within the process: pages of 1,000 registrations,
//! written as the service writes them, and the time that this took.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use apgit::door::graph::{Credential, LoginError};
use apgit::door::transport::{Request, Response, Transport, TransportError};
use cpu_time::{ProcessTime, ThreadTime};
use secrecy::SecretString;

use crate::fleets;

const PAGE: usize = 1000;

/// Serves the listing and the settings of a tenant with so many devices.
pub struct Pages {
    devices: usize,
    spent: Mutex<Duration>,
    settings_at: Mutex<Option<ProcessTime>>,
}

impl Pages {
    pub fn new(devices: usize) -> Self {
        Self { devices, spent: Mutex::new(Duration::ZERO), settings_at: Mutex::new(None) }
    }

    /// The CPU time of this process since it asked for the settings.
    pub fn since_settings(&self) -> Duration {
        let at = *self.settings_at.lock().expect("no holder of this lock panics");
        at.expect("every plan asks for the settings").elapsed()
    }

    /// The CPU time that producing answers took.
    pub fn spent(&self) -> Duration {
        *self.spent.lock().expect("no holder of this lock panics")
    }

    fn page(&self, first: usize) -> String {
        let mut text = String::with_capacity(PAGE * 900);
        text.push_str(r#"{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#deviceManagement/windowsAutopilotDeviceIdentities","#);
        let last = self.devices.min(first + PAGE);
        if last < self.devices {
            let next = "http://127.0.0.1:9/v1.0/deviceManagement/windowsAutopilotDeviceIdentities?$skiptoken=";
            write!(text, r#""@odata.nextLink":"{next}{last}","#).expect("text grows");
        }
        write!(text, r#""@odata.count":{},"value":["#, last - first).expect("text grows");
        for number in first..last {
            let comma = if number == first { "" } else { "," };
            let (tag, serial) = (fleets::tag(number), fleets::serial(number));
            let user = fleets::user(number).unwrap_or_default();
            write!(
                text,
                r#"{comma}{{"id":"{number:08x}-0000-4000-8000-000000000000","groupTag":"{tag}","purchaseOrderIdentifier":"","serialNumber":"{serial}","productKey":"","manufacturer":"Contoso","model":"Notebook 14","enrollmentState":"notContacted","lastContactedDateTime":"0001-01-01T00:00:00Z","addressableUserName":"","userPrincipalName":"{user}","resourceName":"","skuNumber":"0001","systemFamily":"Notebook","azureActiveDirectoryDeviceId":"00000000-0000-0000-0000-000000000000","managedDeviceId":"00000000-0000-0000-0000-000000000000","displayName":""}}"#
            )
            .expect("text grows");
        }
        text.push_str("]}");
        text
    }
}

const SETTINGS: &str = r#"{"id":"5a1f0a4e-0000-4000-8000-000000000000","lastSyncDateTime":"2026-01-05T06:00:00.5000000Z","lastManualSyncTriggerDateTime":"2026-01-05T06:00:00.0000000Z","syncStatus":"completed"}"#;

#[async_trait::async_trait]
impl Transport for Pages {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let start = ThreadTime::now();
        let query = request.uri().query().unwrap_or_default();
        let first = query.rsplit_once("skiptoken=").and_then(|(_, token)| token.parse().ok()).unwrap_or(0);
        let asks_settings = request.uri().path().contains("Settings");
        if asks_settings {
            *self.settings_at.lock().expect("no holder of this lock panics") = Some(ProcessTime::now());
        }
        let body = if asks_settings { SETTINGS.to_owned() } else { self.page(first) };
        let response = http::Response::new(bytes::Bytes::from(body));
        *self.spent.lock().expect("no holder of this lock panics") += start.elapsed();
        Ok(response)
    }
}

/// A token that nobody checks.
pub struct NoLogin;

#[async_trait::async_trait]
impl Credential for NoLogin {
    async fn token(&self) -> Result<SecretString, LoginError> {
        Ok(SecretString::from("token"))
    }

    async fn forget(&self) {}
}
