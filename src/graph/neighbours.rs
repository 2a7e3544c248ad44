//! What stands beside a registration: the device in Intune, and the device
//! object in Entra. Read and deleted one by one, as for a decommission, each
//! with a permission of its own.

use bytes::Bytes;
use http::Method;
use reqwest::Url;

use super::client::{Call, Repeat, json};
use super::error::{About, ErrorKind, GraphError};
use super::listing::Listing;
use super::pace::Class;
use super::reader::Graph;
use super::records::{DirectoryDevice, ManagedDevice};
use super::wire;
use super::writer::GraphWriter;
use crate::model::{DirectoryDeviceId, DirectoryObjectId, ManagedDeviceId, RegistrationId, SerialKey, SerialNumber};

const MANAGED_DEVICES: &str = "/v1.0/deviceManagement/managedDevices";
const DEVICES: &str = "/v1.0/devices";

const READ_MANAGED: About =
    About { operation: "read a device in Intune", scope: "DeviceManagementManagedDevices.Read.All" };
const DELETE_MANAGED: About =
    About { operation: "delete a device in Intune", scope: "DeviceManagementManagedDevices.ReadWrite.All" };
const READ_OBJECT: About = About { operation: "read a device in Entra", scope: "Device.Read.All" };
const DELETE_OBJECT: About = About { operation: "delete a device in Entra", scope: "Device.ReadWrite.All" };

impl Graph {
    /// The device in Intune that a registration links to; `None`: there is none
    /// any more.
    ///
    /// # Errors
    /// When the service gives no usable answer.
    pub async fn managed_device(&self, id: ManagedDeviceId) -> Result<Option<ManagedDevice>, GraphError> {
        let url = format!("{MANAGED_DEVICES}/{id}");
        let read: Option<wire::ManagedDeviceEntity> =
            self.read(READ_MANAGED, "/v1.0/deviceManagement/managedDevices/{id}", url, Class::IntuneRead).await?;
        let device = read.map(wire::ManagedDeviceEntity::into_device).transpose();
        match device.map_err(|reason| senseless(READ_MANAGED, reason))? {
            Some(device) if device.id != id => Err(another(READ_MANAGED, id, device.id)),
            device => Ok(device),
        }
    }

    /// The devices in Intune with this serial, compared as people do. Several
    /// where a device was enrolled anew, or where a serial is none.
    ///
    /// # Errors
    /// Whenever the listing is not complete.
    pub async fn managed_devices_of(&self, serial: &SerialNumber) -> Result<Vec<ManagedDevice>, GraphError> {
        let listing = Listing {
            about: READ_MANAGED,
            route: MANAGED_DEVICES,
            query: filter(&format!("serialNumber eq '{}'", quoted(serial.as_str()))),
            class: Class::IntuneRead,
            item: wire::ManagedDeviceEntity::into_device,
            key: |device: &ManagedDevice| device.id,
            texts: |device| device.serial.len() + device.name.len() + device.user.len(),
        };
        // What a filter lets through is not what was asked for until it was
        // looked at: some are honoured in part, or not at all.
        let mut devices = listing.read(&self.0).await?;
        devices.retain(|device| SerialKey::of(&device.serial) == SerialKey::of(serial.as_str()));
        Ok(devices)
    }

    /// The device in Entra that a registration or Intune links to; `None`:
    /// there is none any more.
    ///
    /// # Errors
    /// When the service gives no usable answer.
    pub async fn directory_device(&self, id: DirectoryDeviceId) -> Result<Option<DirectoryDevice>, GraphError> {
        let url = format!("{DEVICES}(deviceId='{id}')");
        let read: Option<wire::DirectoryDeviceEntity> =
            self.read(READ_OBJECT, "/v1.0/devices(deviceId='{id}')", url, Class::Read).await?;
        let device = read.map(wire::DirectoryDeviceEntity::into_device).transpose();
        match device.map_err(|reason| senseless(READ_OBJECT, reason))? {
            Some(device) if device.id != Some(id) => Err(another(READ_OBJECT, id, device.object)),
            device => Ok(device),
        }
    }

    /// The devices in Entra that say they belong to this registration; one, or
    /// none where the registration is gone or brand-new.
    ///
    /// # Errors
    /// Whenever the listing is not complete.
    pub async fn directory_devices_of(&self, id: RegistrationId) -> Result<Vec<DirectoryDevice>, GraphError> {
        let listing = Listing {
            about: READ_OBJECT,
            route: DEVICES,
            query: filter(&format!("physicalIds/any(p:p eq '[ZTDID]:{id}')")),
            class: Class::Read,
            item: wire::DirectoryDeviceEntity::into_device,
            key: |device: &DirectoryDevice| device.object,
            texts: |device| device.name.len(),
        };
        let mut devices = listing.read(&self.0).await?;
        devices.retain(|device| device.registration == Some(id));
        Ok(devices)
    }

    /// `None` for what the service says is not there.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        about: About,
        route: &'static str,
        path: String,
        class: Class,
    ) -> Result<Option<T>, GraphError> {
        let url = format!("{}{path}", self.0.endpoints.graph);
        match self.0.send(&call(about, Method::GET, route, url, class), json).await {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl GraphWriter {
    /// Asks for the deletion of a device in Intune. Accepted is not gone: read
    /// it until it is. One that is gone already is a success.
    ///
    /// # Errors
    /// When the service does not accept it.
    pub async fn delete_managed_device(&self, id: ManagedDeviceId) -> Result<(), GraphError> {
        let url = format!("{}{MANAGED_DEVICES}/{id}", self.0.endpoints.graph);
        self.delete(DELETE_MANAGED, "/v1.0/deviceManagement/managedDevices/{id}", url, Class::IntuneWrite).await
    }

    /// Deletes a device in Entra. One that is gone already is a success.
    ///
    /// Never that of a device that is still registered: Graph does it, and the
    /// device cannot enrol any more.
    ///
    /// # Errors
    /// When the service does not accept it.
    pub async fn delete_directory_device(&self, object: DirectoryObjectId) -> Result<(), GraphError> {
        let url = format!("{}{DEVICES}/{object}", self.0.endpoints.graph);
        self.delete(DELETE_OBJECT, "/v1.0/devices/{id}", url, Class::Write).await
    }

    async fn delete(&self, about: About, route: &'static str, url: String, class: Class) -> Result<(), GraphError> {
        let call = Call { send_before: self.before(None), ..call(about, Method::DELETE, route, url, class) };
        match self.0.send(&call, |_| Ok(())).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }
}

/// Twice is as good as once: what was deleted before is not there.
fn call(about: About, method: Method, route: &'static str, url: String, class: Class) -> Call {
    Call { about, method, url, route, body: Bytes::new(), class, cost: 1, repeat: Repeat::Freely, send_before: None }
}

fn senseless(about: About, reason: String) -> GraphError {
    GraphError::new(ErrorKind::Protocol, about, reason)
}

fn another(about: About, asked: impl std::fmt::Display, got: impl std::fmt::Display) -> GraphError {
    senseless(about, format!("asked for `{asked}`, got `{got}`"))
}

/// Text as it stands between quotes in a filter.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// A query with this filter, percent-encoded.
fn filter(text: &str) -> String {
    let mut url = Url::parse("http://localhost").expect("a constant URL");
    url.query_pairs_mut().append_pair("$filter", text);
    // A plus is a blank in forms, and a plus anywhere else.
    format!("?{}", url.query().unwrap_or_default().replace('+', "%20"))
}
