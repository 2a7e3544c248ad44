//! A decommission at work: each device one step after the other, several devices
//! side by side, since a step takes up to half an hour. Nothing is believed but
//! readings: what is asked for is looked at until it is gone, and what is found
//! gone is not asked for.

use jiff::{SignedDuration, Timestamp};

use super::{Leaver, Member, Step};
use crate::apply::{FRESH_FOR, Halt, access};
use crate::clock::{self, Stop};
use crate::graph::{DirectoryDevice, ErrorKind, GraphError, GraphWriter, Write};
use crate::ledger::{Act, Deed, DeregisterEnd, Entry, Leaving, LeavingObject, Phase};
use crate::model::{
    Device, DeviceKey, DirectoryObjectId, Field, Frozen, ManagedDeviceId, RegistrationId, SerialKey, later,
};
use crate::plan::GONE_WITHIN;

/// The rhythm of looking, and the rhythm after the first minutes.
const LOOK: SignedDuration = SignedDuration::from_secs(15);
const LOOK_LATER: SignedDuration = SignedDuration::from_secs(60);
const USUAL: SignedDuration = SignedDuration::from_mins(5);

/// So long a device may take to leave Intune once that was asked for, and its
/// registration to show it. Nobody documents it; ten minutes are usual. Whoever
/// waits in vain runs the command again.
const LEFT_WITHIN: SignedDuration = SignedDuration::from_mins(35);

/// How one step of a device ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// It was asked for, and is gone.
    Gone,
    /// It was not there.
    Absent,
    /// We may not: a person has to.
    ByHand(GraphError),
    /// It comes from a directory of the user's own: a person deletes it there.
    Synced,
    /// It is not what it was, and was left alone; in words.
    Changed(String),
    /// Asked for, or waited for, since then, and still there.
    NotGone { since: Timestamp },
    /// The service did not take it.
    Failed(GraphError),
    /// It was not come to; why, in words.
    NotReached(String),
}

impl End {
    /// True if nothing is left to do.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Gone | Self::Absent)
    }
}

/// What one step of a device was about, and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub step: Step,
    /// What a person finds it by.
    pub what: String,
    pub end: End,
}

/// What is told while it is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News<'e> {
    /// The service has taken a request, and takes its time.
    Asked(Step),
    /// A step has ended.
    Ended(&'e Ended),
}

/// What became of all of them, in the order in which they were named.
#[must_use = "an outcome that nobody reads is work lost"]
pub(crate) struct Departure {
    pub of: Vec<(DeviceKey, Vec<Ended>)>,
    /// Why it broke off, if so.
    pub halt: Option<Halt>,
}

enum Stage {
    Intune,
    Autopilot,
    /// The registration is gone, and the ledger does not know yet.
    Gone,
    Entra,
    Over,
}

struct Item {
    leaver: Leaver,
    stage: Stage,
    /// When this stage began.
    began: Timestamp,
    /// When its removal was asked for, in this stage.
    asked: Option<Timestamp>,
    look_at: Timestamp,
    /// True once anything of it was asked for, in this run or before.
    touched: bool,
    /// True once this run has seen it in Intune.
    was_managed: bool,
    /// What is left to look at in this stage.
    managed: Vec<ManagedDeviceId>,
    objects: Vec<(LeavingObject, bool)>,
    ended: Vec<Ended>,
}

impl Item {
    fn new(leaver: Leaver, now: Timestamp) -> Self {
        Self {
            stage: Stage::Intune,
            began: now,
            asked: None,
            look_at: now,
            touched: leaver.since.is_some(),
            was_managed: false,
            managed: leaver.managed.iter().map(|(id, _)| *id).collect(),
            objects: leaver.objects.iter().map(|object| (object.clone(), false)).collect(),
            ended: Vec::new(),
            leaver,
        }
    }

    fn enter(&mut self, stage: Stage, now: Timestamp) {
        (self.stage, self.began, self.asked, self.look_at) = (stage, now, None, now);
    }

    /// Looks again after a while; false once it has taken too long.
    fn wait(&mut self, now: Timestamp, within: SignedDuration) -> bool {
        let since = self.asked.unwrap_or(self.began);
        let rhythm = if now < later(since, USUAL) { LOOK } else { LOOK_LATER };
        self.look_at = later(now, rhythm);
        now < later(since, within)
    }

    /// Which step it is at.
    fn step(&self) -> Step {
        match self.stage {
            Stage::Intune => Step::Intune,
            Stage::Autopilot => Step::Autopilot,
            Stage::Gone | Stage::Entra | Stage::Over => Step::Entra,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn end(&mut self, step: Step, what: String, end: End) {
        self.ended.push(Ended { step, what, end });
    }

    /// Nothing more is done to this device: the later steps need this one.
    fn stop(&mut self, step: Step, what: String, end: End) {
        self.end(step, what, end);
        self.stage = Stage::Over;
        let why = format!("{} comes first", step.name());
        for later in [Step::Autopilot, Step::Entra].into_iter().filter(|later| *later > step) {
            let what = self.what(later);
            self.end(later, what, End::NotReached(why.clone()));
        }
    }

    fn serial(&self) -> &str {
        self.leaver.device.serial.as_str()
    }

    fn what(&self, step: Step) -> String {
        match step {
            Step::Intune => match self.leaver.managed.as_slice() {
                [] => format!("serial {}", self.serial()),
                [(id, _), ..] => format!("serial {}, device {id}", self.serial()),
            },
            Step::Autopilot => format!("serial {}, registration {}", self.serial(), self.leaver.id),
            Step::Entra => self.leaver.objects.first().map_or_else(|| format!("serial {}", self.serial()), named),
        }
    }
}

/// What a person finds an object of Entra by.
fn named(object: &LeavingObject) -> String {
    let id = object.device.map(|id| format!("device ID {id}"));
    let id = id.or_else(|| object.object.map(|id| format!("object ID {id}"))).unwrap_or_default();
    match object.name.as_str() {
        "" => id,
        name => format!("`{name}`, {id}"),
    }
}

/// What is asked for beside the registration.
enum Removal {
    Managed(ManagedDeviceId),
    Object(DirectoryObjectId),
}

type Answer = Result<(), GraphError>;

struct Worker<'w, 'm> {
    member: &'w mut Member<'m>,
    writer: GraphWriter,
    /// By which the writer closes.
    freeze: Option<Frozen>,
    stop: &'w Stop,
}

/// Lets devices go. Before the first request all that goes is in the ledger; a
/// ledger that cannot be written keeps all of them.
pub(super) async fn decommission(
    member: &mut Member<'_>,
    leavers: Vec<Leaver>,
    stop: &Stop,
    told: &mut (dyn FnMut(&DeviceKey, News<'_>) + Send),
) -> Departure {
    let freeze = member.next_freeze();
    let writer = GraphWriter::new(member.connection.graph.clone()).closing(freeze.as_ref().map(|(from, _)| *from));
    let now = member.connection.clock.now();
    let mut items: Vec<Item> = leavers.into_iter().map(|leaver| Item::new(leaver, now)).collect();
    let mut worker = Worker { member, writer, freeze: freeze.map(|(_, frozen)| frozen), stop };
    let mut halt = worker.begin(&items).await.err();
    if halt.is_none() {
        halt = worker.work(&mut items, told).await.err();
        let ended = worker.end(&items).await;
        halt = halt.or(ended.err());
    }
    if let Some(halt) = &halt {
        for item in items.iter_mut().filter(|item| !item.is_over()) {
            let step = item.step();
            let what = item.what(step);
            item.stop(step, what, End::NotReached(halt.to_string()));
        }
    }
    Departure { of: items.into_iter().map(|item| (item.leaver.device, item.ended)).collect(), halt }
}

impl Worker<'_, '_> {
    fn now(&self) -> Timestamp {
        self.member.connection.clock.now()
    }

    async fn record(&mut self, entries: Vec<Entry>) -> Result<(), Halt> {
        self.member.journal.requested(self.writer.take_writes());
        Ok(self.member.journal.record(self.writer.service_now(), entries).await?)
    }

    /// Asks for a removal that no journal knows of: a line in the audit log comes
    /// before it, and one after it.
    async fn audited(&mut self, item: &Item, act: Act, what: String, request: Removal) -> Result<Answer, Halt> {
        let Leaver { device, id, .. } = &item.leaver;
        let (serial_number, registration_id) = (Some(device.serial.clone()), Some(*id));
        let deed = Deed { serial_number, registration_id, ..Deed::of(act) }.saying(what);
        self.member.journal.announce(self.writer.service_now(), Phase::Intent, vec![deed.clone()]).await?;
        let answer = match request {
            Removal::Managed(id) => self.writer.delete_managed_device(id).await,
            Removal::Object(id) => self.writer.delete_directory_device(id).await,
        };
        let deed = match &answer {
            Ok(()) => deed.ends("accepted"),
            Err(error) if error.effect_is_unknown() => deed.ends("lost"),
            Err(error) => deed.ends("refused").saying(error.to_string()),
        };
        self.member.journal.requested(self.writer.take_writes());
        self.member.journal.announce(self.writer.service_now(), Phase::Outcome, vec![deed]).await?;
        Ok(answer)
    }

    async fn begin(&mut self, items: &[Item]) -> Result<(), Halt> {
        let leaving: Vec<(DeviceKey, Leaving)> =
            items.iter().map(|item| (item.leaver.device.clone(), item.leaver.leaving())).collect();
        let now = self.writer.service_now();
        if let Some(audit) = self.member.journal.audit() {
            items.iter().filter_map(|item| item.leaver.effect()).for_each(|effect| audit.learn(&effect));
        }
        let Some(book) = &mut self.member.book else { return Ok(()) };
        Ok(book.leave(&leaving, now).await?)
    }

    async fn end(&mut self, items: &[Item]) -> Result<(), Halt> {
        let is_nobodys = |ended: &Ended| ended.step == Step::Entra && matches!(ended.end, End::Changed(_));
        let is_settled = |ended: &Ended| ended.end.is_done() || is_nobodys(ended);
        let is_settled = |item: &&Item| item.is_over() && item.ended.iter().all(is_settled);
        let settled: Vec<RegistrationId> = items.iter().filter(is_settled).map(|item| item.leaver.id).collect();
        let untouched = items.iter().filter(|item| !item.touched).map(|item| item.leaver.device.clone());
        let untouched: Vec<DeviceKey> = untouched.collect();
        let now = self.writer.service_now();
        let Some(book) = &mut self.member.book else { return Ok(()) };
        Ok(book.departed(&settled, &untouched, now).await?)
    }

    /// Works until every device has come to an end.
    async fn work(
        &mut self,
        items: &mut [Item],
        told: &mut (dyn FnMut(&DeviceKey, News<'_>) + Send),
    ) -> Result<(), Halt> {
        loop {
            let now = self.now();
            for item in items.iter_mut().filter(|item| !item.is_over() && item.look_at <= now) {
                if self.stop.is_asked() {
                    return Err(Halt::Asked);
                }
                if let Some(frozen) = self.freeze.as_ref().filter(|_| self.writer.is_closed()) {
                    return Err(Halt::Frozen(frozen.sentence()));
                }
                let (before, step, asked) = (item.ended.len(), item.step(), item.asked);
                let visited = self.visit(item).await;
                if asked.is_none() && item.asked.is_some() {
                    told(&item.leaver.device, News::Asked(step));
                }
                item.ended[before..].iter().for_each(|ended| told(&item.leaver.device, News::Ended(ended)));
                visited?;
            }
            self.forget(items).await?;
            let Some(next) = items.iter().filter(|item| !item.is_over()).map(|item| item.look_at).min() else {
                return Ok(());
            };
            let clock = self.member.connection.clock.clone();
            clock::wait(clock.as_ref(), self.stop, next).await.map_err(|_| Halt::Asked)?;
        }
    }

    /// The ledger forgets what is gone, before anything is done in Entra: what is
    /// left there stands with the tombstones then.
    async fn forget(&mut self, items: &mut [Item]) -> Result<(), Halt> {
        let gone: Vec<&mut Item> = items.iter_mut().filter(|item| matches!(item.stage, Stage::Gone)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let (now, service_now) = (self.now(), self.writer.service_now());
        if let Some(book) = &mut self.member.book {
            let devices: Vec<DeviceKey> = gone.iter().map(|item| item.leaver.device.clone()).collect();
            book.gone(&devices, service_now).await?;
        }
        gone.into_iter().for_each(|item| item.enter(Stage::Entra, now));
        Ok(())
    }

    /// One look at a device, and what follows from it. Errors are about us, and
    /// end the work.
    async fn visit(&mut self, item: &mut Item) -> Result<(), Halt> {
        match item.stage {
            Stage::Intune => self.intune(item).await,
            Stage::Autopilot => self.autopilot(item).await,
            Stage::Entra => self.entra(item).await,
            Stage::Gone | Stage::Over => Ok(()),
        }
    }

    async fn intune(&mut self, item: &mut Item) -> Result<(), Halt> {
        while let Some(id) = item.managed.first().copied() {
            let device = match self.writer.managed_device(id).await {
                Ok(None) => {
                    item.managed.remove(0);
                    item.asked = None;
                    continue;
                }
                Ok(Some(device)) => device,
                Err(error) if error.kind == ErrorKind::Permission => {
                    // The registration tells as well, once a person has done it.
                    if self.is_unlinked(item).await? {
                        item.managed.clear();
                        break;
                    }
                    item.stop(Step::Intune, item.what(Step::Intune), End::ByHand(error));
                    return Ok(());
                }
                Err(error) => return self.again(item, Step::Intune, LEFT_WITHIN, error),
            };
            item.was_managed = true;
            if item.leaver.device.serial.key() != SerialKey::of(&device.serial) {
                let words = format!("Intune calls it `{}` now", device.serial);
                item.stop(Step::Intune, item.what(Step::Intune), End::Changed(words));
                return Ok(());
            }
            let now = self.now();
            if item.asked.is_none() {
                // Whoever was asked has taken their time.
                match self.read(item.leaver.id).await.map(|now| now.and_then(|now| moved(&item.leaver, &now))) {
                    Ok(None) => {}
                    Ok(Some(words)) => {
                        item.stop(Step::Intune, item.what(Step::Intune), End::Changed(words));
                        return Ok(());
                    }
                    Err(error) => return self.again(item, Step::Intune, LEFT_WITHIN, error),
                }
                item.touched = true;
                let what = format!("managed device {id}");
                match self.audited(item, Act::RemoveFromIntune, what, Removal::Managed(id)).await? {
                    Ok(()) => item.asked = Some(now),
                    Err(error) if error.kind == ErrorKind::Permission => {
                        item.touched = item.leaver.since.is_some();
                        item.stop(Step::Intune, item.what(Step::Intune), End::ByHand(error));
                        return Ok(());
                    }
                    Err(error) => return self.again(item, Step::Intune, LEFT_WITHIN, error),
                }
            }
            if !item.wait(now, LEFT_WITHIN) {
                let since = item.asked.unwrap_or(item.began);
                item.stop(Step::Intune, item.what(Step::Intune), End::NotGone { since });
            }
            return Ok(());
        }
        let linked = item.leaver.registration.as_ref().is_some_and(|device| device.is_enrolled());
        if let (Some(error), true) =
            (item.leaver.unseen(Step::Intune).cloned(), linked && item.leaver.managed.is_empty())
        {
            item.stop(Step::Intune, item.what(Step::Intune), End::ByHand(error));
            return Ok(());
        }
        let end = if item.was_managed { End::Gone } else { End::Absent };
        item.end(Step::Intune, item.what(Step::Intune), end);
        item.enter(Stage::Autopilot, self.now());
        Ok(())
    }

    /// True if the registration says that its device is not in Intune.
    async fn is_unlinked(&self, item: &Item) -> Result<bool, Halt> {
        match self.read(item.leaver.id).await {
            Ok(device) => Ok(device.is_none_or(|device| !device.is_enrolled())),
            Err(error) => access(&error).map_or(Ok(false), Err),
        }
    }

    async fn read(&self, id: RegistrationId) -> Result<Option<Device>, GraphError> {
        self.writer.get_devices(&[id]).await.pop().expect("an answer per question").1
    }

    async fn autopilot(&mut self, item: &mut Item) -> Result<(), Halt> {
        let id = item.leaver.id;
        let what = item.what(Step::Autopilot);
        let device = match self.read(id).await {
            Ok(Some(device)) => device,
            Ok(None) => {
                let gone = Entry::DeregisterEnd { registration_id: id, removal: DeregisterEnd::Gone };
                // What we have not asked for, others have done.
                let is_ours = item.asked.is_some() || self.member.journal.deleting().contains_key(&id);
                let intent = (!is_ours).then_some(Entry::DeregisterIntent { registration_id: id });
                self.record(intent.into_iter().chain([gone]).collect()).await?;
                let end = if item.leaver.registration.is_some() { End::Gone } else { End::Absent };
                item.end(Step::Autopilot, what, end);
                item.enter(Stage::Gone, self.now());
                return Ok(());
            }
            Err(error) => return self.again(item, Step::Autopilot, GONE_WITHIN, error),
        };
        if item.asked.is_none() {
            if let Some(words) = moved(&item.leaver, &device) {
                item.stop(Step::Autopilot, what, End::Changed(words));
                return Ok(());
            }
            // Intune has said that it is gone, and the registration shows the
            // link for a while.
            if !device.is_enrolled() {
                return self.deregister(item, what).await;
            }
        }
        let since = item.asked.unwrap_or(item.began);
        let within = if item.asked.is_some() { GONE_WITHIN } else { LEFT_WITHIN };
        if !item.wait(self.now(), within) {
            item.stop(Step::Autopilot, what, End::NotGone { since });
        }
        Ok(())
    }

    async fn deregister(&mut self, item: &mut Item, what: String) -> Result<(), Halt> {
        let id = item.leaver.id;
        let now = self.now();
        item.touched = true;
        self.record(vec![Entry::DeregisterIntent { registration_id: id }]).await?;
        let answer = self.writer.write(&[Write::Deregister { id }], Some(later(now, FRESH_FOR))).await.remove(0);
        let removal = match &answer {
            Ok(()) => DeregisterEnd::Accepted,
            Err(error) if error.effect_is_unknown() => DeregisterEnd::Lost,
            Err(_) => DeregisterEnd::Refused,
        };
        self.record(vec![Entry::DeregisterEnd { registration_id: id, removal }]).await?;
        match answer {
            Ok(()) => {
                item.asked = Some(now);
                item.wait(now, GONE_WITHIN);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Permission => {
                item.stop(Step::Autopilot, what, End::ByHand(error));
                Ok(())
            }
            // Its link is gone, and the service remembers it for a while.
            Err(error) if error.kind == ErrorKind::Enrolled => {
                if !item.wait(now, LEFT_WITHIN) {
                    item.stop(Step::Autopilot, what, End::Failed(error));
                }
                Ok(())
            }
            Err(error) => self.again(item, Step::Autopilot, LEFT_WITHIN, error),
        }
    }

    async fn entra(&mut self, item: &mut Item) -> Result<(), Halt> {
        if let (true, Some(error)) = (item.objects.is_empty(), item.leaver.unseen(Step::Entra).cloned())
            && item.ended.iter().all(|ended| ended.step != Step::Entra)
        {
            item.end(Step::Entra, item.what(Step::Entra), End::ByHand(error));
        }
        while let Some((object, asked)) = item.objects.first().cloned() {
            let what = named(&object);
            let found = match self.object(&object).await {
                Ok(found) => found,
                Err(error) if error.kind == ErrorKind::Permission => {
                    item.objects.remove(0);
                    item.end(Step::Entra, what, End::ByHand(error));
                    continue;
                }
                Err(error) => return self.again(item, Step::Entra, LEFT_WITHIN, error),
            };
            let end = match found {
                None => Some(if asked { End::Gone } else { End::Absent }),
                Some(found) => match stays(&item.leaver, &object, &found) {
                    Some(end) => Some(end),
                    None if asked => None,
                    None => match self
                        .audited(item, Act::RemoveFromEntra, what.clone(), Removal::Object(found.object))
                        .await?
                    {
                        // Without an id of its own it cannot be read again.
                        Ok(()) if found.id.is_none() => Some(End::Gone),
                        Ok(()) => {
                            item.objects[0].1 = true;
                            item.asked = Some(self.now());
                            None
                        }
                        Err(error) if error.kind == ErrorKind::Permission => Some(End::ByHand(error)),
                        Err(error) => return self.again(item, Step::Entra, LEFT_WITHIN, error),
                    },
                },
            };
            let now = self.now();
            match end {
                Some(end) => {
                    item.objects.remove(0);
                    item.end(Step::Entra, what, end);
                    item.asked = None;
                }
                None if !item.wait(now, LEFT_WITHIN) => {
                    item.objects.remove(0);
                    item.end(Step::Entra, what, End::NotGone { since: item.asked.unwrap_or(item.began) });
                }
                None => return Ok(()),
            }
        }
        if item.ended.iter().all(|ended| ended.step != Step::Entra) {
            item.end(Step::Entra, item.what(Step::Entra), End::Absent);
        }
        item.stage = Stage::Over;
        Ok(())
    }

    /// The object as it is now; one that has no id to read it by, as it was.
    async fn object(&self, object: &LeavingObject) -> Result<Option<DirectoryDevice>, GraphError> {
        match (object.device, object.object) {
            (Some(id), _) => self.writer.directory_device(id).await,
            (None, Some(known)) => {
                let LeavingObject { name, synced, .. } = object.clone();
                Ok(Some(DirectoryDevice { object: known, id: None, name, registration: None, is_synced: synced }))
            }
            (None, None) => Ok(None),
        }
    }

    /// What the service did not do now, it may do a little later.
    fn again(&self, item: &mut Item, step: Step, within: SignedDuration, error: GraphError) -> Result<(), Halt> {
        if let Some(halt) = access(&error).filter(|_| error.kind != ErrorKind::Permission) {
            return Err(halt);
        }
        let now = self.now();
        let patient = item.wait(now, within);
        item.look_at = item.look_at.max(later(now, error.retry_after.unwrap_or_default()));
        if error.kind == ErrorKind::Permission {
            item.stop(step, item.what(step), End::ByHand(error));
        } else if !error.is_transient() || !patient {
            item.stop(step, item.what(step), End::Failed(error));
        }
        Ok(())
    }
}

/// In what a registration is not what was consented to.
fn moved(leaver: &Leaver, device: &Device) -> Option<String> {
    let before = leaver.registration.as_deref()?;
    let is_known = |id: ManagedDeviceId| leaver.managed.iter().any(|(known, _)| *known == id);
    if device.managed_device_id.is_some_and(|id| !is_known(ManagedDeviceId(id))) {
        return Some("it has enrolled anew meanwhile".to_owned());
    }
    if device.key() != before.key() {
        return Some(format!("its serial is `{}` now", device.serial));
    }
    let field = Field::ALL.into_iter().find(|field| !field.same(field.of(before), field.of(device)))?;
    Some(format!("its {} was `{}`, and is `{}` now", field.label(), field.of(before), field.of(device)))
}

/// Why an object stays where it is.
fn stays(leaver: &Leaver, known: &LeavingObject, found: &DirectoryDevice) -> Option<End> {
    let is_other = known.object.is_some_and(|object| object != found.object);
    let is_of_another = found.registration.is_some_and(|id| id != leaver.id);
    match () {
        () if is_other => Some(End::Changed("another object has its place".to_owned())),
        () if is_of_another => Some(End::Changed("it belongs to another registration now".to_owned())),
        () if found.is_synced || known.synced => Some(End::Synced),
        () => None,
    }
}
