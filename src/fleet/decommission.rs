//! Devices that leave for good, asked for by name: first what stands of each, and
//! why it may not go; then, in `work`, the documented order, Intune, Autopilot,
//! Entra. What an Intune or Entra record is of can be read only while the device
//! is registered: it is written into the ledger before anything is asked for, so
//! that any machine can go on where one broke off.

mod work;

use jiff::Timestamp;

use super::{Member, Members};
use crate::graph::{ErrorKind, Graph, GraphError, ManagedDevice};
use crate::ledger::{Leaving, LeavingObject, Ledger, Tombstone, Tracked};
use crate::model::{
    Action, Deregister, Device, DeviceKey, Effect, Field, ManagedDeviceId, RegistrationId, Scope, SerialKey,
    SerialNumber,
};
use crate::plan::{LimitReading, guard};
pub(crate) use work::{Departure, End, Ended, News};

/// One of the places that a device leaves, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The device in Intune. Whoever works with it notices.
    Intune,
    /// The registration. The service refuses it while the device is enrolled.
    Autopilot,
    /// The device object. Never before the registration: a device that is
    /// registered without one cannot enrol any more.
    Entra,
}

impl Step {
    /// The name of the place.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Intune => "Intune",
            Self::Autopilot => "Autopilot",
            Self::Entra => "Entra",
        }
    }
}

/// A device that may go, and what stands of it.
#[derive(Debug, Clone)]
pub(crate) struct Leaver {
    /// As the ledger has it.
    pub device: DeviceKey,
    /// What it is registered by, or was.
    pub id: RegistrationId,
    /// As it was read; `None`: that step is done.
    pub registration: Option<Box<Device>>,
    /// In Intune, with what is known of it there.
    pub managed: Vec<(ManagedDeviceId, Option<ManagedDevice>)>,
    /// In Entra.
    pub objects: Vec<LeavingObject>,
    /// Where nothing could be read, for want of a permission.
    pub unseen: Vec<(Step, GraphError)>,
    /// Since when it is on its way, where an earlier run began.
    pub since: Option<Timestamp>,
}

impl Leaver {
    /// The removal of its registration, if that is still there.
    fn effect(&self) -> Option<Effect> {
        let before = self.registration.clone()?;
        let action = Action::Deregister(Deregister { id: self.id, before });
        Some(Effect { device: self.device.clone(), action })
    }

    /// What the ledger has to know before anything is asked for.
    fn leaving(&self) -> Leaving {
        let managed_devices = self.managed.iter().map(|(id, _)| *id).collect();
        Leaving { managed_devices, directory_devices: self.objects.clone() }
    }

    /// Why a step could not be looked at.
    #[must_use]
    pub(crate) fn unseen(&self, step: Step) -> Option<&GraphError> {
        self.unseen.iter().find(|(of, _)| *of == step).map(|(_, error)| error)
    }
}

/// Why a device may not go.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// It is none of ours.
    NotTracked,
    /// It has gone before, by whichever way.
    WentBefore(Timestamp),
    /// Its registration is gone, and it was not us.
    Vanished,
    /// Until `protect: false` is applied; since which plan.
    Protected(String),
    /// Several devices or registrations have this serial: which.
    Ambiguous(Vec<String>),
    /// The registration is not as it was applied: in what.
    Changed(Vec<String>),
    /// Its tag, and the scope.
    OutOfScope(String, Scope),
}

/// A serial that was named in vain.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub serial: SerialKey,
    pub why: Refusal,
}

/// What is found of the serials that were named.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub leavers: Vec<Leaver>,
    pub refused: Vec<Refused>,
}

impl Member<'_> {
    /// True if something is known under this serial that can go, or is going;
    /// `gone`: or that went.
    fn has(&self, serial: &SerialKey, gone: bool) -> bool {
        let of = |ledger: &Ledger| {
            let is_meant = |stone: &Tombstone| stone.serial_number.key() == *serial && (gone || stone.left.is_some());
            ledger.devices().any(|tracked| tracked.serial_number.key() == *serial)
                || ledger.tombstones().iter().any(is_meant)
        };
        self.book.as_ref().and_then(super::Book::ledger).is_some_and(|ledger| of(ledger))
    }

    async fn survey(&self, serials: &[SerialKey]) -> Result<Survey, GraphError> {
        let (graph, scope) = (&self.connection.graph, &self.desired.tenant.scope);
        let Some(ledger) = self.book.as_ref().and_then(super::Book::ledger) else { return Ok(Survey::default()) };
        let observed = graph.list_devices().await?;
        let mut survey = Survey::default();
        for serial in serials {
            let judged = match known(ledger, serial) {
                Ok(known) => look(graph, &known, observed.devices(), scope).await?,
                Err(why) => Err(why),
            };
            match judged {
                Ok(leaver) => survey.leavers.push(leaver),
                Err(why) => survey.refused.push(Refused { serial: serial.clone(), why }),
            }
        }
        Ok(survey)
    }

    /// How many registrations more would go than the ledger counts already.
    fn limit(&self, leavers: &[Leaver], approved: Option<u32>) -> LimitReading {
        let ledger = self.book.as_ref().and_then(super::Book::ledger);
        let counts = |leaver: &&Leaver| leaver.registration.is_some() && leaver.since.is_none();
        let count = leavers.iter().filter(counts).count();
        let now = self.connection.graph.service_now();
        let spent = ledger.map_or(0, |ledger| ledger.deleted_within_a_day(now));
        let tracked = ledger.map_or(0, |ledger| ledger.devices().len());
        guard::removals_by_name(&self.desired.tenant.limits, count, spent, tracked, approved)
    }
}

impl Members<'_> {
    /// The places of the tenants whose ledgers know a serial.
    pub(crate) fn with_serial(&self, serial: &SerialKey) -> Vec<usize> {
        let those = |gone| (0..self.of.len()).filter(|at| self.of[*at].has(serial, gone)).collect::<Vec<_>>();
        let here = those(false);
        if here.is_empty() { those(true) } else { here }
    }

    /// Reads what stands of devices, in one tenant.
    ///
    /// # Errors
    /// When the tenant cannot be read: then nothing is known of any of them.
    pub(crate) async fn survey(&self, at: usize, serials: &[SerialKey]) -> Result<Survey, GraphError> {
        self.of[at].survey(serials).await
    }

    /// Holds the removals of one tenant against its limit.
    pub(crate) fn removal_limit(&self, at: usize, leavers: &[Leaver], approved: Option<u32>) -> LimitReading {
        self.of[at].limit(leavers, approved)
    }

    /// Lets devices of one tenant go, step by step, and says what became of each.
    pub(crate) async fn decommission(
        &mut self,
        at: usize,
        leavers: Vec<Leaver>,
        told: &mut (dyn FnMut(&DeviceKey, News<'_>) + Send),
    ) -> Departure {
        let Self { of, stop } = self;
        work::decommission(&mut of[at], leavers, stop, told).await
    }
}

/// What the ledger knows of a device.
enum Known<'l> {
    Tracked(&'l Tracked),
    /// Its registration is gone, and something is left of it.
    Gone(&'l Tombstone, &'l Leaving),
}

impl Known<'_> {
    fn serial(&self) -> &SerialNumber {
        match self {
            Self::Tracked(tracked) => &tracked.serial_number,
            Self::Gone(stone, _) => &stone.serial_number,
        }
    }

    fn id(&self) -> RegistrationId {
        match self {
            Self::Tracked(tracked) => tracked.registration_id,
            Self::Gone(stone, _) => stone.registration_id,
        }
    }

    fn leaving(&self) -> Leaving {
        match self {
            Self::Tracked(tracked) => tracked.leaving().cloned().unwrap_or_default(),
            Self::Gone(_, left) => Leaving::clone(left),
        }
    }
}

fn known<'l>(ledger: &'l Ledger, serial: &SerialKey) -> Result<Known<'l>, Refusal> {
    let tracked: Vec<&Tracked> = ledger.devices().filter(|of| of.serial_number.key() == *serial).collect();
    match tracked.as_slice() {
        [tracked] if tracked.protect => {
            Err(Refusal::Protected(format!("{} ({})", &tracked.at.to_string()[..10], tracked.plan)))
        }
        [tracked] => Ok(Known::Tracked(tracked)),
        [] => {
            let stones = ledger.tombstones().iter().rev().filter(|of| of.serial_number.key() == *serial);
            let mut before = None;
            for stone in stones {
                match &stone.left {
                    Some(left) => return Ok(Known::Gone(stone, left)),
                    None => _ = before.get_or_insert(stone.at),
                }
            }
            Err(before.map_or(Refusal::NotTracked, Refusal::WentBefore))
        }
        several => Err(Refusal::Ambiguous(several.iter().map(|of| of.registration_id.to_string()).collect())),
    }
}

/// Reads one device, and says why it may not go.
async fn look(
    graph: &Graph,
    known: &Known<'_>,
    listed: &[Device],
    scope: &Scope,
) -> Result<Result<Leaver, Refusal>, GraphError> {
    let (id, serial) = (known.id(), known.serial());
    let others = listed.iter().filter(|device| device.id != id && device.key() == serial.key());
    let others: Vec<String> = others.map(|device| device.id.to_string()).collect();
    if !others.is_empty() {
        return Ok(Err(Refusal::Ambiguous(others)));
    }
    let device = DeviceKey { serial: serial.clone(), registration: declared(known) };
    let mut leaver = Leaver {
        device,
        id,
        registration: None,
        managed: known.leaving().managed_devices.into_iter().map(|id| (id, None)).collect(),
        objects: known.leaving().directory_devices,
        unseen: Vec::new(),
        since: since(known),
    };
    let reading = graph.get_devices(&[id]).await.pop().expect("an answer per question").1?;
    match (reading, known) {
        (None, Known::Tracked(tracked)) if tracked.leaving().is_none() => Ok(Err(Refusal::Vanished)),
        (None, _) => Ok(Ok(leaver)),
        // It says of itself that it is gone, and stands there.
        (Some(device), Known::Gone(..)) => Ok(Err(Refusal::Ambiguous(vec![device.id.to_string()]))),
        (Some(device), Known::Tracked(tracked)) => {
            if let Some(why) = refuses(tracked, &device, scope) {
                return Ok(Err(why));
            }
            if let Err(why) = intune(graph, &mut leaver, &device).await? {
                return Ok(Err(why));
            }
            entra(graph, &mut leaver).await?;
            leaver.registration = Some(Box::new(device));
            Ok(Ok(leaver))
        }
    }
}

fn declared(known: &Known<'_>) -> Option<RegistrationId> {
    match known {
        Known::Tracked(tracked) => tracked.declared_registration_id,
        Known::Gone(..) => None,
    }
}

fn since(known: &Known<'_>) -> Option<Timestamp> {
    match known {
        Known::Tracked(tracked) => tracked.deleting.as_ref().map(|of| of.since),
        Known::Gone(stone, _) => Some(stone.at),
    }
}

/// What is deleted is as the ledger has it: who named it meant that one.
fn refuses(tracked: &Tracked, device: &Device, scope: &Scope) -> Option<Refusal> {
    if device.key() != tracked.serial_number.key() {
        return Some(Refusal::Changed(vec![format!("its serial is `{}` now", device.serial)]));
    }
    let quoted = |value: &str| if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") };
    let line = |field: Field| {
        let (was, is) = (quoted(tracked.value(field)), quoted(field.of(device)));
        format!("{}: {was} when applied, {is} now", field.label())
    };
    let changed: Vec<String> = tracked.changed_since(device).map(line).collect();
    match () {
        () if !changed.is_empty() => Some(Refusal::Changed(changed)),
        () if !scope.contains(&device.group_tag) => {
            Some(Refusal::OutOfScope(device.group_tag.to_string(), scope.clone()))
        }
        () => None,
    }
}

/// Finds the device in Intune: by the link of the registration, or, where that
/// lags behind, by the serial.
async fn intune(graph: &Graph, leaver: &mut Leaver, device: &Device) -> Result<Result<(), Refusal>, GraphError> {
    let linked = device.managed_device_id.map(ManagedDeviceId);
    if let Some(linked) = linked.filter(|linked| !leaver.managed.iter().any(|(id, _)| id == linked)) {
        leaver.managed.push((linked, None));
    }
    if leaver.managed.is_empty() && device.is_enrolled() {
        match seen(graph.managed_devices_of(&leaver.device.serial).await)? {
            Ok(found) if found.len() > 1 => {
                let ids = found.iter().map(|of| format!("{} in Intune", of.id)).collect();
                return Ok(Err(Refusal::Ambiguous(ids)));
            }
            Ok(found) => leaver.managed.extend(found.into_iter().map(|of| (of.id, Some(of)))),
            Err(error) => leaver.unseen.push((Step::Intune, error)),
        }
        return Ok(Ok(()));
    }
    for (id, known) in &mut leaver.managed {
        match seen(graph.managed_device(*id).await)? {
            Ok(found) => *known = found,
            Err(error) => {
                leaver.unseen.push((Step::Intune, error));
                break;
            }
        }
    }
    Ok(Ok(()))
}

/// Finds the devices in Entra: those that name the registration, and those that
/// Intune names.
async fn entra(graph: &Graph, leaver: &mut Leaver) -> Result<(), GraphError> {
    let mut found = Leaving { directory_devices: std::mem::take(&mut leaver.objects), ..Leaving::default() };
    let mut add = |object: LeavingObject| {
        found.add(&Leaving { directory_devices: vec![object], ..Leaving::default() });
    };
    let of = |read: crate::graph::DirectoryDevice| LeavingObject {
        object: Some(read.object),
        device: read.id,
        name: read.name,
        synced: read.is_synced,
    };
    let mut unseen = None;
    match seen(graph.directory_devices_of(leaver.id).await)? {
        Ok(objects) => objects.into_iter().map(of).for_each(&mut add),
        Err(error) => unseen = Some(error),
    }
    for id in leaver.managed.iter().filter_map(|(_, known)| known.as_ref()?.directory_device) {
        match seen(graph.directory_device(id).await)? {
            Ok(Some(read)) => add(of(read)),
            Ok(None) => {}
            Err(error) => {
                add(LeavingObject { device: Some(id), ..LeavingObject::default() });
                unseen = Some(error);
            }
        }
    }
    leaver.unseen.extend(unseen.map(|error| (Step::Entra, error)));
    leaver.objects = found.directory_devices;
    Ok(())
}

/// Lets a missing permission pass: a person does that step.
fn seen<T>(answer: Result<T, GraphError>) -> Result<Result<T, GraphError>, GraphError> {
    match answer {
        Err(error) if error.kind != ErrorKind::Permission => Err(error),
        answer => Ok(answer),
    }
}
