//! Every number of the simulated tenant as a setting, and the named profiles.
//!
//! Defaults are those of the specification ("a faithful simulator"), but for
//! what goes wrong by chance, which has its number in the switches; where the
//! public record is silent they are guesses, and `docs/simulator.md` says
//! which. What the numbers do lives in the files of their concern.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::switches::Switch;

/// No span is longer, so that a time and a few spans make a time again.
pub(super) const SPAN_MAX: SignedDuration = SignedDuration::from_hours(24 * 3652);

/// Settings that are one span; all others may be drawn from a range.
const SINGLE_SPANS: [&str; 4] = ["import.delay_max", "import.tick", "sync.gap", "throttle.window"];

/// Numbers with a fraction that are no shares of something.
const RATES: [&str; 1] = ["import.refill_per_s"];

/// What a setting without a fraction may be.
fn whole_numbers_of(name: &str) -> RangeInclusive<i128> {
    match name {
        "import.duplicate_code" => i32::MIN.into()..=i32::MAX.into(),
        "import.burst" => 0..=u32::MAX.into(),
        "list.page_size" | "list.top_max" => 1..=MOST,
        status if status.ends_with("status") => 200..=599,
        _ => 0..=MOST,
    }
}

/// More than anybody counts.
const MOST: i128 = usize::MAX as i128;

/// A span of virtual time, drawn anew for each use: `min` to `max`, both
/// included. As text `45s..100s`, or `15s` where both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The shortest.
    pub min: SignedDuration,
    /// The longest.
    pub max: SignedDuration,
}

impl Delay {
    /// From `min` to `max` milliseconds.
    #[must_use]
    pub const fn millis(min: i64, max: i64) -> Self {
        Self { min: SignedDuration::from_millis(min), max: SignedDuration::from_millis(max) }
    }

    /// From `min` to `max` seconds.
    #[must_use]
    pub const fn secs(min: i64, max: i64) -> Self {
        Self { min: SignedDuration::from_secs(min), max: SignedDuration::from_secs(max) }
    }

    /// No delay.
    pub const NONE: Self = Self::millis(0, 0);
}

impl FromStr for Delay {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let one = |part: &str| -> Result<SignedDuration, SettingError> {
            let part = part.trim();
            let bad =
                || SettingError(format!("`{part}` is not a span of time such as `45s`, `1.5s`, `500ms` or `30m`"));
            let span: SignedDuration = part.parse().map_err(|_| bad())?;
            if span > SPAN_MAX {
                return Err(SettingError(format!("`{part}` is longer than ten years")));
            }
            if span.is_negative() { Err(bad()) } else { Ok(span) }
        };
        let (min, max) = match text.split_once("..") {
            Some((min, max)) => (one(min)?, one(max)?),
            None => (one(text)?, one(text)?),
        };
        if max < min {
            return Err(SettingError(format!("`{text}` ends before it begins")));
        }
        Ok(Self { min, max })
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "{:#}", self.min);
        }
        write!(f, "{:#}..{:#}", self.min, self.max)
    }
}

impl Serialize for Delay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Says why a setting cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(missing_docs, reason = "some settings say by their name what they are")]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

group! {
    /// Everything that can be set; the default is the profile `busy`.
    Settings {
        login: Login = Login::default(),
        wire: Wire = Wire::default(),
        import: Import = Import::default(),
        visibility: Visibility = Visibility::default(),
        list: List = List::default(),
        update: Update = Update::default(),
        delete: Delete = Delete::default(),
        intune: Intune = Intune::default(),
        sync: Sync = Sync::default(),
        profiles: Profiles = Profiles::default(),
        throttle: Throttle = Throttle::default(),
        batch: Batch = Batch::default(),
        faults: Faults = Faults::default(),
        directory: Directory = Directory::default(),
    }
}

group! {
    /// The token endpoint.
    Login {
        /// Life of an access token.
        token_life: Delay = Delay::secs(3599, 3599),
        /// What an app may do unless `Tenant::set_roles` says otherwise.
        roles: Vec<String> = ["DeviceManagementServiceConfig.ReadWrite.All", "User.Read.All", "Organization.Read.All", "Device.ReadWrite.All", "Group.Read.All", "DeviceManagementManagedDevices.ReadWrite.All", "DeviceManagementManagedDevices.PrivilegedOperations.All"].map(str::to_owned).to_vec(),
        /// Tenant ids or domains that may log in; empty for any.
        tenants: Vec<String> = Vec::new(),
        /// Share of token requests answered with 503.
        error_share: f64 = 0.0,
    }
}

group! {
    /// The skin of every answer.
    Wire {
        /// How long a request takes in virtual time: it moves a clock that
        /// only jumps, in process too, and is waited for where time runs.
        latency: Delay = Delay::NONE,
        /// Whether answers on a port are compressed for clients that take it.
        gzip: bool = true,
    }
}

group! {
    /// Import requests and their records.
    Import {
        /// From the POST to the outcome, for a single device (rule 10).
        delay: Delay = Delay::secs(45, 100),
        /// Added per record that is already waiting.
        delay_per_queued: Delay = Delay::millis(500, 500),
        /// The longest an outcome takes.
        delay_max: Delay = Delay::secs(900, 900),
        /// Records finish in groups, at multiples of this.
        tick: Delay = Delay::secs(15, 15),
        /// Share of records that are seen as `pending` before they end.
        pending_share: f64 = 0.3,
        /// Share of records that are seen as `partial` before they end.
        partial_share: f64 = 0.0,
        /// Share of complete records that show no registration id to their
        /// first reader (rule 12).
        empty_id_share: f64 = 0.0,
        /// Share of good rows that end in 640 `StorageError` (rule 13).
        storage_error_share: f64 = 0.0,
        /// Code of a device that is twice in one call; the real one is
        /// unknown (rule 13).
        duplicate_code: i32 = 0,
        /// Most rows in one call; more are refused with 400 (rule 18).
        rows_max: usize = 500,
        /// Whether import POSTs have a limit of their own (rule 17).
        throttled: bool = true,
        /// Import POSTs that pass at once.
        burst: u32 = 60,
        /// Import POSTs that become free per second.
        refill_per_s: f64 = 1.0,
        /// Whether an empty `importId` and `productKey` come back filled with
        /// the record's own id (rule 7).
        echo_guid: bool = false,
        /// Whether a hash with a wrong SHA-256 trailer is refused; unknown in
        /// the real service.
        checks_digest: bool = true,
        /// Whether any bytes pass for a hash, their digest for the hardware.
        accepts_any_hash: bool = false,
        /// Whether a user of an unknown domain is refused at the POST.
        checks_domain: bool = true,
        /// Status of DELETE of a record that does not exist: 200 was seen in
        /// 2020 (rule 16).
        missing_delete_status: u16 = 404,
    }
}

group! {
    /// When a new registration can be seen (rule 24).
    Visibility {
        by_id: Delay = Delay::secs(0, 2),
        in_list: Delay = Delay::secs(0, 120),
        /// Share of registrations that take `tail` instead of `in_list`.
        tail_share: f64 = 0.05,
        tail: Delay = Delay::secs(120, 900),
        /// How long a device that its vendor registered waits for the
        /// tenant's own sync, unless somebody asks for one first.
        vendor: Delay = Delay::secs(43_200, 86_400),
    }
}

group! {
    /// Lists and queries (rules 19 to 23).
    List {
        page_size: usize = 1000,
        /// The most that `$top` gets.
        top_max: usize = 1000,
        /// Whether `contains(serialNumber,'…')` is served; otherwise every
        /// filter on registrations is refused with 400.
        contains: bool = true,
        /// Whether `contains` refuses a blank or a hyphen.
        contains_refuses_hyphen: bool = true,
        /// Whether `$select` on registrations is answered with 500.
        select_fails: bool = true,
        /// Whether the beta list shows year 0001 as last contact.
        blanks_contact: bool = true,
        /// Whether lists show no user.
        blanks_user: bool = false,
    }
}

group! {
    /// Changes of a registration's properties (rules 27 to 29).
    Update {
        by_id: Delay = Delay::secs(2, 60),
        in_list: Delay = Delay::secs(10, 300),
        /// Share of accepted changes that never take effect.
        lost_share: f64 = 0.0,
        /// Share of requests refused with 412.
        conflict_share: f64 = 0.0,
        /// Status of an accepted change: 204, or 200 as some have seen.
        status: u16 = 204,
        /// Share of users that `assignUserToDevice` refuses with 400.
        assign_broken_share: f64 = 0.2,
    }
}

group! {
    /// Deletion of registrations (rules 30 to 32).
    Delete {
        /// From the accepted request to the end.
        visible: Delay = Delay::secs(10, 1800),
        status: u16 = 204,
        /// Status inside a `$batch`.
        batch_status: u16 = 200,
        /// Status for a registration that is already deleted: 400 with a
        /// phrase, or 404.
        gone_status: u16 = 400,
        /// How long after its import a registration cannot be deleted yet.
        settling: Delay = Delay::secs(0, 9),
        /// Whether the documented `deleteDevices` action exists; otherwise
        /// it is a route error.
        by_serial: bool = false,
    }
}

group! {
    /// Devices in Intune: how they leave (the times are guesses), and the
    /// documented limits, which are not those of Autopilot.
    Intune {
        /// From the accepted deletion of a device to its end.
        deleting: Delay = Delay::secs(10, 600),
        /// From an accepted wipe or retirement to the same end: the device
        /// must be in touch first.
        wiping: Delay = Delay::secs(300, 3600),
        /// Of one app, within `throttle.window`, while `throttle.on`.
        app_writes: usize = 200,
        app_requests: usize = 2000,
        all_writes: usize = 400,
        all_requests: usize = 4000,
    }
}

impl Intune {
    /// The same, for requests about devices in Intune.
    pub(in crate::sim) fn limits(&self, like: &Throttle) -> Throttle {
        let Self { app_writes, app_requests, all_writes, all_requests, .. } = *self;
        Throttle { app_writes, app_requests, all_writes, all_requests, ..like.clone() }
    }
}

group! {
    /// The tenant's sync with the device directory (rule 33).
    Sync {
        runs: Delay = Delay::millis(500, 60_000),
        /// Least time from the last sync to the next trigger.
        gap: Delay = Delay::secs(600, 600),
        /// Share of syncs that end as `failed`.
        fail_share: f64 = 0.0,
        /// Whether a finished import starts a sync of its own, one that
        /// counts for the gap.
        after_import: bool = false,
    }
}

group! {
    /// Deployment profiles and their assignment (rule 35).
    Profiles {
        /// Names and the group tag they are for; `*` for every tag.
        list: Vec<ProfileSetting> = vec![ProfileSetting { name: "Corporate devices".to_owned(), group_tag: "*".to_owned() }],
        pending_after: Delay = Delay::secs(10, 120),
        assigned_after: Delay = Delay::secs(60, 780),
    }
}

/// A deployment profile and the group tag whose devices it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSetting {
    /// By which the portal shows it.
    pub name: String,
    /// `*` for every device.
    pub group_tag: String,
}

impl Profiles {
    /// Whether any profile is for devices of this tag.
    pub(in crate::sim) fn targets(&self, group_tag: &str) -> bool {
        self.list.iter().any(|profile| profile.group_tag == "*" || profile.group_tag == group_tag)
    }
}

group! {
    /// The documented limits per sliding window (rule 36).
    Throttle {
        on: bool = true,
        window: Delay = Delay::secs(20, 20),
        app_writes: usize = 100,
        app_requests: usize = 1000,
        all_writes: usize = 200,
        all_requests: usize = 2000,
        /// Share of refusals that carry `Retry-After`.
        retry_after_share: f64 = 0.3,
        retry_after: Delay = Delay::secs(10, 30),
    }
}

group! {
    /// `$batch` (rule 38).
    Batch {
        parts_max: usize = 20,
        shuffled: bool = true,
    }
}

group! {
    /// Shares of all Graph requests that go wrong (rule 37).
    Faults {
        /// 500 without effect.
        server_error: f64 = 0.0,
        /// 500 of the query broker: a throttle in disguise; reads only.
        query_broker: f64 = 0.0,
        /// 503 with `Retry-After`, without effect.
        unavailable: f64 = 0.0,
        /// `Retry-After` of a 503.
        retry_after: Delay = Delay::secs(5, 24),
        /// 504 after the effect.
        gateway_timeout: f64 = 0.0,
        /// An HTML page of status 400, 403 or 502, without effect.
        html: f64 = 0.0,
        /// The connection drops after the effect.
        lost_answer: f64 = 0.0,
        /// The connection drops before the effect.
        lost_request: f64 = 0.0,
    }
}

group! {
    /// Users and the organisation.
    Directory {
        display_name: String = "Contoso (simulated)".to_owned(),
        /// Every user of these exists, but for `missing_users`.
        domains: Vec<String> = ["contoso.com", "contoso.onmicrosoft.com"].map(str::to_owned).to_vec(),
        missing_users: Vec<String> = Vec::new(),
        /// From a registration to its Entra device object (rule 34).
        device: Delay = Delay::secs(0, 300),
        /// From a new tag to the object's `[OrderID]` (rule 34).
        device_tag: Delay = Delay::secs(60, 600),
        /// Whether a registration shows its Entra device before it is
        /// enrolled.
        linked_early: bool = false,
        /// Whether the device object of a device that has enrolled stays when
        /// its registration goes (a guess: Microsoft's page says that it goes
        /// where devices join Entra only).
        object_stays: bool = true,
        /// Whether device objects come from a directory of the user's own
        /// (hybrid join).
        hybrid: bool = false,
    }
}

impl Settings {
    /// No faults, no limits, short delays: for a first try and for tests of
    /// something else.
    #[must_use]
    pub fn calm() -> Self {
        let mut calm = Self::default();
        calm.import.delay = Delay::secs(5, 15);
        calm.import.delay_per_queued = Delay::millis(10, 10);
        calm.import.tick = Delay::secs(5, 5);
        calm.import.pending_share = 0.0;
        calm.import.throttled = false;
        calm.visibility.by_id = Delay::NONE;
        calm.visibility.in_list = Delay::secs(0, 5);
        calm.visibility.tail_share = 0.0;
        calm.list.blanks_contact = false;
        calm.update.by_id = Delay::secs(0, 1);
        calm.update.in_list = Delay::secs(0, 5);
        calm.update.assign_broken_share = 0.0;
        calm.delete.visible = Delay::secs(10, 60);
        calm.delete.settling = Delay::NONE;
        calm.intune.deleting = Delay::secs(5, 30);
        calm.intune.wiping = Delay::secs(30, 60);
        calm.sync.runs = Delay::millis(500, 500);
        calm.profiles.pending_after = Delay::secs(1, 5);
        calm.profiles.assigned_after = Delay::secs(10, 60);
        calm.directory.device = Delay::secs(0, 5);
        calm.directory.device_tag = Delay::secs(1, 10);
        calm.throttle.on = false;
        calm.batch.shuffled = false;
        calm
    }

    /// The specification's defaults: real delays, limits, lists that lag.
    #[must_use]
    pub fn busy() -> Self {
        Self::default()
    }

    /// `busy` and every fault.
    #[must_use]
    pub fn hostile() -> Self {
        Self::busy().switched(Switch::Faults)
    }

    /// These settings for the tenant that `own` are for: its names stay.
    #[must_use]
    pub(in crate::sim) fn named_as(mut self, own: &Self) -> Self {
        self.directory.domains.clone_from(&own.directory.domains);
        self.directory.display_name.clone_from(&own.directory.display_name);
        self.login.tenants.clone_from(&own.login.tenants);
        self
    }

    /// The profile of that name: `calm`, `busy` or `hostile`.
    /// [`Switch`]es come on top.
    ///
    /// # Errors
    /// When there is no such profile.
    pub fn named(name: &str) -> Result<Self, SettingError> {
        match name {
            "calm" => Ok(Self::calm()),
            "busy" => Ok(Self::busy()),
            "hostile" => Ok(Self::hostile()),
            _ => Err(SettingError(format!("there is no profile `{name}`; take `calm`, `busy` or `hostile`"))),
        }
    }

    /// Sets one field by its path: `import.delay=45s..100s`,
    /// `throttle.on=false`, `update.lostShare=2%`. Words may be written
    /// `lost_share` or `lostShare`; a list is comma-separated.
    ///
    /// # Errors
    /// When the field does not exist or cannot hold the value.
    pub fn set(&mut self, assignment: &str) -> Result<(), SettingError> {
        use serde_json::Value;
        let (path, text) = assignment
            .split_once('=')
            .ok_or_else(|| SettingError(format!("`{assignment}` is not of the form `name=value`")))?;
        let (path, text) = (path.trim(), text.trim());
        let mut tree = serde_json::to_value(&*self).expect("settings are plain data");
        let mut place = &mut tree;
        for word in path.split('.') {
            place = place
                .get_mut(snake_case(word))
                .ok_or_else(|| SettingError(format!("there is no setting `{path}`: `{word}` is not known")))?;
        }
        let bad = |wanted: &str| SettingError(format!("`{text}` is not {wanted}, which `{path}` needs"));
        let name = path.split('.').map(snake_case).collect::<Vec<_>>().join(".");
        let is_share = place.is_f64() && !RATES.contains(&name.as_str());
        *place = match place {
            Value::String(_) if SINGLE_SPANS.contains(&name.as_str()) && text.contains("..") => {
                return Err(bad("a single span"));
            }
            Value::Bool(_) => Value::Bool(text.parse().map_err(|_| bad("`true` or `false`"))?),
            Value::Number(_) => {
                let number = match text.strip_suffix('%') {
                    Some(percent) => percent.trim().parse::<f64>().map(|p| serde_json::json!(p / 100.0)).ok(),
                    None => serde_json::from_str::<serde_json::Number>(text).map(Value::Number).ok(),
                };
                let number = number.ok_or_else(|| bad("a number"))?;
                let value = number.as_f64().unwrap_or_default();
                if is_share && !(0.0..=1.0).contains(&value) {
                    return Err(bad("a share from 0 to 1, or 0% to 100%"));
                }
                if place.is_f64() && value < 0.0 {
                    return Err(bad("at least 0"));
                }
                if name.ends_with("status") && !(200.0..600.0).contains(&value) {
                    return Err(bad("an HTTP status"));
                }
                if ["list.page_size", "list.top_max"].contains(&name.as_str()) && value < 1.0 {
                    return Err(bad("at least 1"));
                }
                if !place.is_f64() {
                    let range = whole_numbers_of(&name);
                    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                    if !whole.is_some_and(|whole| range.contains(&whole)) {
                        return Err(bad(&format!("a whole number from {} to {}", range.start(), range.end())));
                    }
                }
                number
            }
            Value::String(_) => Value::String(text.to_owned()),
            Value::Array(_) if text.starts_with('[') => serde_json::from_str(text).map_err(|_| bad("a list"))?,
            Value::Array(_) => text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect(),
            _ => return Err(SettingError(format!("`{path}` is a group of settings, not one of them"))),
        };
        *self = serde_json::from_value(tree).map_err(|e| SettingError(format!("cannot set `{path}`: {e}")))?;
        Ok(())
    }
}

fn snake_case(word: &str) -> String {
    let mut snake = String::with_capacity(word.len() + 4);
    for letter in word.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_set_by_its_path() {
        let mut settings = Settings::busy();
        settings.set("import.delay=1m..2m").unwrap();
        settings.set("import.delayPerQueued = 20ms").unwrap();
        settings.set("throttle.on=false").unwrap();
        settings.set("update.lost_share=2.5%").unwrap();
        settings.set("list.page_size=7").unwrap();
        settings.set("directory.domains=a.example, b.example").unwrap();
        assert_eq!(settings.import.delay, Delay::secs(60, 120));
        assert_eq!(settings.import.delay_per_queued, Delay::millis(20, 20));
        assert!(!settings.throttle.on);
        assert!((settings.update.lost_share - 0.025).abs() < 1e-9);
        assert_eq!(settings.list.page_size, 7);
        assert_eq!(settings.directory.domains, ["a.example", "b.example"]);
    }

    #[test]
    fn every_number_can_be_set() {
        fn numbers(at: &str, tree: &serde_json::Value, found: &mut Vec<String>) {
            match tree {
                serde_json::Value::Object(fields) => {
                    fields.iter().for_each(|(name, value)| numbers(&format!("{at}.{name}"), value, found));
                }
                serde_json::Value::Number(_) => found.push(at.trim_start_matches('.').to_owned()),
                _ => {}
            }
        }
        let mut all = Vec::new();
        numbers("", &serde_json::to_value(Settings::busy()).unwrap(), &mut all);
        assert!(all.len() > 20, "{all:?}");
        for name in &all {
            let value = match name.as_str() {
                "import.refill_per_s" => "2.5",
                name if name.ends_with("status") => "202",
                name if name.ends_with("_share") || name.starts_with("faults.") => "12.5%",
                _ => "7",
            };
            let mut settings = Settings::busy();
            settings.set(&format!("{name}={value}")).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_ne!(settings, Settings::busy(), "{name}");
            assert!(settings.set(&format!("{name}=many")).is_err(), "{name}");
        }
        let mut settings = Settings::busy();
        settings.set("import.refill_per_s=2.5").unwrap();
        assert!((settings.import.refill_per_s - 2.5).abs() < 1e-9);
        settings.set("import.refill_per_s=2").unwrap();
        for refused in ["import.refill_per_s=-1", "update.lost_share=2.5", "import.burst=-1", "import.burst=2.5"] {
            assert!(settings.set(refused).is_err(), "{refused}");
        }
        settings.set("import.duplicate_code=-5").unwrap();
    }

    #[test]
    fn a_setting_that_cannot_be_says_so() {
        let mut settings = Settings::busy();
        let mut refuse = |text: &str| settings.set(text).unwrap_err().to_string();
        assert_eq!(refuse("import.dely=3s"), "there is no setting `import.dely`: `dely` is not known");
        assert_eq!(refuse("import=3s"), "`import` is a group of settings, not one of them");
        assert_eq!(refuse("throttle.on=maybe"), "`maybe` is not `true` or `false`, which `throttle.on` needs");
        assert_eq!(refuse("nonsense"), "`nonsense` is not of the form `name=value`");
        assert_eq!(
            refuse("import.burst=2.5"),
            "`2.5` is not a whole number from 0 to 4294967295, which `import.burst` needs"
        );
        assert!(refuse("import.burst=4294967296").contains("is not a whole number from 0 to 4294967295"));
        assert!(refuse("import.burst=50%").contains("is not a whole number from 0 to "));
        assert!(refuse("delete.status=204.5").contains("is not a whole number from 200 to 599"));
        assert!(refuse("list.page_size=2.5").contains("is not a whole number from 1 to "));
        assert!(refuse("import.duplicate_code=2147483648").contains("is not a whole number from -2147483648 to "));
        assert!(refuse("import.delay=9s..3s").ends_with("`9s..3s` ends before it begins"));
        assert!(refuse("import.delay=soon").contains("`soon` is not a span of time"));
        assert_eq!(settings, Settings::busy(), "a refused setting changes nothing");
    }

    #[test]
    fn a_profile_has_a_name() {
        assert_eq!(Settings::named("hostile").unwrap(), Settings::hostile());
        assert!(Settings::named("wild").is_err());
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let text = serde_json::to_string(&Settings::hostile()).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), Settings::hostile());
    }
}
