//! Named switches: the ways in which tenants differ, each by itself, on top of
//! any profile. And settings as a YAML text.
//!
//! One table says of each its name, what it does and what it sets; the command
//! line, the control API, the profile `hostile`, the page for strangers and
//! the tests read it. What a number means lives in `settings.rs`, what it does
//! in the file of its concern.

use std::str::FromStr;

use serde_json::Value;

use super::settings::{Delay, SettingError, Settings};
use super::words::yaml_fault;

macro_rules! switches {
    ($($kind:ident $variant:ident = $name:literal: $what:literal, |$settings:ident| $set:expr;)*) => {
        /// One way in which tenants differ.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Switch { $(#[doc = $what] $variant,)* }

        impl Switch {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, in half a sentence.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }

            /// Whether it is a fault: what a client has to live with, and a
            /// part of the profile `hostile`. The others are a matter of the
            /// tenant's kind or age.
            #[must_use]
            pub fn is_fault(self) -> bool {
                match self { $(Self::$variant => switches!(@is_fault $kind),)* }
            }

            fn apply(self, settings: &mut Settings) {
                match self { $(Self::$variant => { let $settings = settings; $set; })* }
            }
        }
    };
    (@is_fault fault) => { true };
    (@is_fault kind) => { false };
}

switches! {
    fault NoFilter = "no-filter": "every filter on registrations is refused with 400",
        |s| s.list.contains = false;
    kind SelectWorks = "select-works": "`$select` on registrations is no server error but ignored",
        |s| s.list.select_fails = false;
    fault Autosync = "autosync": "a finished import starts a sync, and it counts for the ten minutes",
        |s| s.sync.after_import = true;
    kind BrokenAssign = "broken-assign": "`assignUserToDevice` is refused with 400 for every user",
        |s| s.update.assign_broken_share = 1.0;
    kind Documented = "documented": "the documented action `deleteDevices` exists",
        |s| s.delete.by_serial = true;
    fault EchoGuid = "echo-guid": "an empty `importId` and `productKey` come back filled with the record's id",
        |s| s.import.echo_guid = true;
    kind Year2020 = "2020": "as seen in 2020: deleting an import record that does not exist is a success",
        |s| s.import.missing_delete_status = 200;
    fault Year2023 = "2023": "as seen in 2023: lists show no user",
        |s| s.list.blanks_user = true;
    kind Update200 = "update-200": "`updateDeviceProperties` answers 200 instead of 204",
        |s| s.update.status = 200;
    kind Gone404 = "gone-404": "deleting what is already deleted is a 404 instead of a 400 with a phrase",
        |s| s.delete.gone_status = 404;
    kind Partial = "partial": "import records pass through `partial`",
        |s| s.import.partial_share = 1.0;
    kind LinkedEarly = "linked-early": "a registration shows its Entra device before it is enrolled",
        |s| s.directory.linked_early = true;
    kind AnyHash = "any-hash": "any bytes pass for a hardware hash",
        |s| s.import.accepts_any_hash = true;
    kind NoLimits = "no-limits": "no request limits and no limit on import POSTs",
        |s| { s.throttle.on = false; s.import.throttled = false };
    kind Faults = "faults": "every fault, as in the profile `hostile`",
        |s| Switch::faults().for_each(|fault| fault.apply(s));
    fault SlowImports = "slow-imports": "an import ends after 45 to 100 s, later behind a queue, in groups",
        |s| {
            let busy = Settings::busy().import;
            s.import.delay = busy.delay;
            s.import.delay_per_queued = busy.delay_per_queued;
            s.import.tick = busy.tick;
            s.import.pending_share = busy.pending_share;
        };
    fault ImportThrottle = "import-throttle": "60 import POSTs pass at once, then one per second",
        |s| s.import.throttled = true;
    fault RequestLimits = "request-limits": "an app has 100 writes and 1000 requests in 20 s, all have twice that",
        |s| s.throttle.on = true;
    fault LateVisibility = "late-visibility": "a registration is listed within 2 minutes, one in twenty within 15",
        |s| s.visibility = Settings::busy().visibility;
    fault LateUpdates = "late-updates": "a change shows by id after 2 to 60 s, in the list after 10 to 300 s",
        |s| {
            let busy = Settings::busy().update;
            s.update.by_id = busy.by_id;
            s.update.in_list = busy.in_list;
        };
    fault SlowDeletes = "slow-deletes": "a deletion takes 10 s to 30 min, and none is taken right after the import",
        |s| {
            let busy = Settings::busy().delete;
            s.delete.visible = busy.visible;
            s.delete.settling = busy.settling;
            s.intune.deleting = Settings::busy().intune.deleting;
        };
    fault BlankContacts = "blank-contacts": "the beta list shows the year 1 as last contact",
        |s| s.list.blanks_contact = true;
    fault PartialStates = "partial-states": "one import record in five passes through `partial`",
        |s| s.import.partial_share = 0.2;
    fault EmptyRegistrationIds = "empty-registration-ids":
        "one complete record in fifty hides its registration id from its first reader",
        |s| s.import.empty_id_share = 0.02;
    fault StorageErrors = "storage-errors": "one good row in two hundred ends in 640 `StorageError`",
        |s| s.import.storage_error_share = 0.005;
    fault LostUpdates = "lost-updates": "one accepted change in a hundred never takes effect",
        |s| s.update.lost_share = 0.01;
    fault UpdateConflicts = "update-conflicts": "one change in a hundred is refused with 412",
        |s| s.update.conflict_share = 0.01;
    fault RefusedUsers = "refused-users": "`assignUserToDevice` is refused with 400 for one user in five",
        |s| s.update.assign_broken_share = 0.2;
    fault ShuffledBatches = "shuffled-batches": "the answers of a `$batch` come in any order",
        |s| s.batch.shuffled = true;
    fault LongSyncs = "long-syncs": "a sync runs for up to a minute",
        |s| s.sync.runs = Settings::busy().sync.runs;
    fault FailedSyncs = "failed-syncs": "one sync in ten fails",
        |s| s.sync.fail_share = 0.1;
    fault ShortTokens = "short-tokens": "a token lives for 90 to 300 s",
        |s| s.login.token_life = Delay::secs(90, 300);
    fault LoginErrors = "login-errors": "one token request in twenty is answered with 503",
        |s| s.login.error_share = 0.05;
    fault ServerErrors = "server-errors": "one request in a hundred is answered with 500",
        |s| s.faults.server_error = 0.01;
    fault QueryBroker = "query-broker": "one read in a hundred is answered with the query broker's 500",
        |s| s.faults.query_broker = 0.01;
    fault Unavailable = "unavailable": "one request in a hundred is answered with 503",
        |s| s.faults.unavailable = 0.01;
    fault GatewayTimeouts = "gateway-timeouts": "one request in a hundred is done, and answered with 504",
        |s| s.faults.gateway_timeout = 0.01;
    fault HtmlErrors = "html-errors": "one request in two hundred is answered with a page of HTML",
        |s| s.faults.html = 0.005;
    fault LostAnswers = "lost-answers": "one request in a hundred is done, and its connection drops",
        |s| s.faults.lost_answer = 0.01;
    fault LostRequests = "lost-requests": "one request in two hundred is not done, and its connection drops",
        |s| s.faults.lost_request = 0.005;
}

impl Switch {
    /// Those that are faults.
    pub fn faults() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|switch| switch.is_fault())
    }
}

impl FromStr for Switch {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        Self::ALL.iter().copied().find(|switch| switch.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|switch| format!("`{}`", switch.name())).collect();
            SettingError::new(format!("there is no switch `{name}`; take one of {}", names.join(", ")))
        })
    }
}

impl Settings {
    /// These settings with a switch turned.
    #[must_use]
    pub fn switched(mut self, switch: Switch) -> Self {
        switch.apply(&mut self);
        self
    }

    /// Changes what a YAML text names: `profile` first, then `switches`, then
    /// the settings themselves, nested or with dots in their names.
    ///
    /// # Errors
    /// When the text is not YAML, or names what does not exist; then nothing
    /// is changed.
    pub fn read_yaml(&mut self, text: &str) -> Result<(), SettingError> {
        let tree = serde_yaml::from_str(text).map_err(|error| SettingError::new(yaml_fault(&error)))?;
        self.read_tree(&tree)
    }

    pub(super) fn read_tree(&mut self, tree: &Value) -> Result<(), SettingError> {
        let fields = match tree {
            Value::Null => return Ok(()),
            Value::Object(fields) => fields,
            _ => return Err(SettingError::new("settings are a mapping of names to values".to_owned())),
        };
        let mut new = match fields.get("profile") {
            Some(profile) => Self::named(&as_text(profile))?.named_as(self),
            None => self.clone(),
        };
        let switches = match fields.get("switches") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(switches)) => switches.as_slice(),
            Some(one @ (Value::String(_) | Value::Number(_))) => std::slice::from_ref(one),
            Some(_) => return Err(SettingError::new("`switches` is a list of names".to_owned())),
        };
        for switch in switches {
            new = new.switched(as_text(switch).parse()?);
        }
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "profile" | "switches")) {
            new.put(name, value)?;
        }
        *self = new;
        Ok(())
    }

    fn put(&mut self, path: &str, value: &Value) -> Result<(), SettingError> {
        match value {
            Value::Object(fields) => {
                fields.iter().try_for_each(|(name, value)| self.put(&format!("{path}.{name}"), value))
            }
            value => self.set(&format!("{path}={}", as_text(value))),
        }
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_changes_a_profile_and_is_found_by_its_name() {
        for switch in Switch::ALL {
            let changes = |profile: Settings| profile.clone().switched(*switch) != profile;
            assert!(changes(Settings::calm()) || changes(Settings::busy()), "{switch:?}");
            assert!(!switch.is_fault() || changes(Settings::calm()), "{switch:?} is nothing new on a calm tenant");
            assert!(!switch.is_fault() || !changes(Settings::hostile()), "{switch:?} is not a part of `hostile`");
            assert_eq!(switch.name().parse::<Switch>().unwrap(), *switch);
        }
        let error = "no-such".parse::<Switch>().unwrap_err().to_string();
        assert!(error.starts_with("there is no switch `no-such`; take one of `no-filter`, "), "{error}");
    }

    #[test]
    fn a_yaml_text_names_a_profile_switches_and_settings() {
        let mut settings = Settings::busy();
        let text = "profile: calm\nswitches: [documented, 2023]\nthrottle:\n  on: true\n  app_writes: 7\n\
                    profiles.list:\n- {name: Kiosks, group_tag: KIOSK}\ndirectory: {domains: [a.example, b.example]}\n";
        settings.read_yaml(text).unwrap();
        let mut expected = Settings::calm();
        expected.delete.by_serial = true;
        expected.list.blanks_user = true;
        expected.throttle.on = true;
        expected.throttle.app_writes = 7;
        expected.directory.domains = vec!["a.example".to_owned(), "b.example".to_owned()];
        expected.profiles.list =
            vec![super::super::settings::ProfileSetting { name: "Kiosks".to_owned(), group_tag: "KIOSK".to_owned() }];
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_yaml_text_that_cannot_be_changes_nothing() {
        let mut settings = Settings::busy();
        for text in [
            "import: {dely: 3s}",
            "profile: wild",
            "switches: [nope]",
            "switches: {a: b}",
            "- 1",
            "import.delay: soon",
            "a: [b",
        ] {
            assert!(settings.read_yaml(text).is_err(), "{text}");
        }
        settings.read_yaml("").unwrap();
        assert_eq!(settings, Settings::busy());
    }

    #[test]
    fn settings_are_named_nested_or_with_dots() {
        let mut settings = Settings::busy();
        settings.read_yaml("switches: [no-filter]\nimport: {delay: 1m}\nupdate.lost_share: 2%").unwrap();
        assert!(!settings.list.contains);
        assert_eq!(settings.import.delay.to_string(), "1m");
        assert_ne!(settings.update, Settings::busy().update);
    }

    #[test]
    fn one_switch_needs_no_list() {
        let mut settings = Settings::busy();
        settings.read_yaml("switches: no-filter").unwrap();
        assert_eq!(settings, Settings::busy().switched(Switch::NoFilter));
    }

    #[test]
    fn switches_keep_each_other_in_any_order() {
        for switch in Switch::ALL {
            let before = Settings::busy().switched(*switch).switched(Switch::Faults);
            let after = Settings::busy().switched(Switch::Faults).switched(*switch);
            // What `faults` gives a number of its own, the switch may make total.
            if *switch != Switch::Partial && *switch != Switch::BrokenAssign && *switch != Switch::NoLimits {
                assert_eq!(before, after, "{switch:?}");
            }
        }
    }
}
