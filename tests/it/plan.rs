//! What the planner decides, as text to read aloud: declarations, the tenant,
//! and the plan that follows.

mod canary;
mod elsewhere;
mod freeze;
mod properties;
mod removal;

use std::collections::HashMap;
use std::sync::Arc;

use apgit::door::ledger::{ImportFact, PendingUpdate, Tail};
use apgit::door::model::{
    AdoptionPolicy, Claim, Coverage, Desired, Device, DeviceKey, DisplayName, EnrollmentState, Field, FieldChange,
    Greeting, GroupTag, HashCheck, HashDigest, HashLocation, HashRef, ImportState, Observed, Policy, RegistrationId,
    Scope, SerialNumber, Target, Tenant, TenantId, UserPrincipalName, Want,
};
use apgit::door::plan::{self, Action, Approvals, Facts, HashFact, Note, Plan, Waiting, guard, import_id};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::support;

const NOW: Timestamp = Timestamp::constant(1_780_000_000, 0);

fn digest(serial: &str) -> HashDigest {
    let mut bytes = [0; 32];
    bytes[..serial.len()].copy_from_slice(serial.as_bytes());
    HashDigest(bytes)
}

/// `SERIAL key=value …`: `tag`, `user`, `greeting`, `name`, `id`, and the bare
/// words `vendor` (no hash), `suspend`, `never` (no adoption).
fn claim(line: &str) -> Claim {
    let mut words = line.split_whitespace();
    let serial = words.next().unwrap();
    let location = HashLocation::File("hash.txt".into());
    let reference = HashRef { location, pin: None, check: HashCheck::Decode };
    let mut claim = Claim { hash: Some(Arc::new(reference)), ..support::claim(serial) };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "tag" => claim.group_tag = want(value, |text| GroupTag::parse(text).unwrap()),
            "user" => claim.user = want(value, |text| UserPrincipalName::parse(text).unwrap()),
            "greeting" => claim.addressable_user_name = want(value, |text| Greeting::parse(text).unwrap()),
            "name" => claim.display_name = want(value, |text| DisplayName::parse(text).unwrap()),
            "id" => claim.registration_id = Some(RegistrationId(Uuid::from_u128(value.parse().unwrap()))),
            "vendor" => claim.hash = None,
            "suspend" => claim.suspend = true,
            "never" => claim.adoption = AdoptionPolicy::Never,
            other => panic!("no such word: {other}"),
        }
    }
    claim
}

fn want<T>(value: &str, parse: impl Fn(&str) -> T) -> Want<T> {
    if value.is_empty() { Want::Clear } else { Want::Set(parse(value)) }
}

/// `SERIAL ID key=value …`: `tag`, `user`, `greeting`, `name`, `enrolled`, and
/// last `foreign`: nobody here made or changed it.
fn device(line: &str) -> Device {
    let mut words = line.split_whitespace();
    let (serial, number) = (words.next().unwrap(), words.next().unwrap());
    let mut device = support::device(serial, number.parse().unwrap());
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "tag" => device.group_tag = value.into(),
            "user" => device.user = value.into(),
            "greeting" => device.addressable_user_name = value.into(),
            "name" => device.display_name = value.into(),
            "enrolled" => device.enrollment = EnrollmentState::Enrolled,
            "foreign" => {}
            other => panic!("no such word: {other}"),
        }
    }
    device
}

/// Facts in which every claim's hash was read; users are taken on trust.
fn facts(claims: &[Claim]) -> Facts {
    let hash = |claim: &Claim| {
        let fact = HashFact::Read { digest: digest(claim.serial.as_str()), hardware: Vec::new() };
        (claim.key(), fact)
    };
    Facts { now: NOW, hashes: claims.iter().map(hash).collect(), ..Facts::default() }
}

struct Case {
    tenant: Tenant,
    claims: Vec<Claim>,
    devices: Vec<Device>,
    coverage: Coverage,
    facts: Facts,
}

fn case(claims: &str, devices: &str) -> Case {
    let lines = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let (claims, devices): (Vec<String>, Vec<String>) = (lines(claims), lines(devices));
    let claims: Vec<Claim> = claims.iter().map(|line| claim(line)).collect();
    let mut facts = facts(&claims);
    let known = devices.iter().filter(|line| !line.ends_with(" foreign"));
    facts.owned = known.map(|line| device(line).id).collect();
    let devices = devices.iter().map(|line| device(line)).collect();
    Case { tenant: support::tenant(), claims, devices, coverage: Coverage::All, facts }
}

impl Case {
    fn plan(&self) -> Plan {
        let desired = Desired::new(self.tenant.clone(), self.claims.clone());
        let observed = Observed::new(self.coverage.clone(), self.devices.clone(), NOW);
        plan::plan(&desired, &observed, &self.facts)
    }

    /// The plan over some of the declarations.
    fn plan_of(&self, is_wanted: impl Fn(&str) -> bool) -> Plan {
        let desired = Desired::new(self.tenant.clone(), self.claims.clone());
        let part = desired.part(|claim| is_wanted(claim.serial.as_str()));
        let observed = Observed::new(self.coverage.clone(), self.devices.clone(), NOW);
        plan::plan(&part, &observed, &self.facts)
    }

    fn scoped(mut self, patterns: &[&str]) -> Self {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        self.tenant.scope = Scope::new(patterns).expect("patterns of group tags");
        self
    }

    fn import(mut self, serial: &str, attempt: u32, age: SignedDuration, state: ImportState) -> Self {
        let number = SerialNumber::parse(serial).unwrap();
        let id = import_id(self.tenant.id, &self.tenant.owner, &number, digest(serial), attempt);
        self.facts.imports.insert(id, ImportFact { state, at: NOW - age });
        self
    }

    /// The registration `id` was made by our own import, which still owes it
    /// these values.
    fn made_by_import(self, serial: &str, id: u128, owed: &[(Field, &str)]) -> Self {
        let registration_id = registration(id);
        let mut case = self.import(serial, 1, MINUTE, ImportState::Complete { registration_id });
        let number = SerialNumber::parse(serial).unwrap();
        let import_id = import_id(case.tenant.id, &case.tenant.owner, &number, digest(serial), 1);
        let values = owed.iter().map(|(field, value)| (*field, (*value).into())).collect();
        let claim = case.claims.iter().find(|claim| claim.serial == number).expect("it is declared");
        let carried = [(Field::GroupTag, claim.group_tag.text()), (Field::UserPrincipalName, claim.user.text())];
        let carried = carried.into_iter().filter_map(|(field, value)| Some((field, value?.into()))).collect();
        case.facts.tails.insert(registration_id, Tail { import_id, values, carried });
        case
    }

    #[track_caller]
    fn plans(self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(read_aloud(&self.plan()), expected);
    }
}

fn read_aloud(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let what = match change.action() {
            Action::Register(register) => {
                let values = register.values.iter().map(|(field, value)| format!(" {}={value}", field.name()));
                let running = if register.running { " (running)" } else { "" };
                format!("+ {} attempt {}{running}{}", change.serial(), register.attempt, values.collect::<String>())
            }
            Action::Update(update) => {
                let fields =
                    update.fields.iter().map(|f| format!(" {} {:?} -> {:?}", f.field.name(), f.before, f.after));
                format!("~ {}{}", change.serial(), fields.collect::<String>())
            }
            Action::Deregister(_) => format!("- {}", change.serial()),
            Action::Release(release) if release.is_gone => format!(". {} (gone)", change.serial()),
            Action::Release(_) => format!(". {}", change.serial()),
            Action::Adopt(_) => format!("= {}", change.serial()),
            Action::Keep(keep) => {
                let protect = keep.protect.map(|protect| format!(" protect={protect}")).unwrap_or_default();
                let deletion = keep.deletion.map(|policy| format!(" {policy:?}")).unwrap_or_default();
                format!("{} {}{protect}{deletion}", if keep.loosens() { "*" } else { "=" }, change.serial())
            }
        };
        lines.push(what);
    }
    lines.extend(plan.held.iter().map(|held| format!("x {} {}", held.serial(), held.reason)));
    lines.extend(plan.awaiting.iter().map(|awaiting| {
        let what = match &awaiting.what {
            Waiting::Vendor => "vendor",
            Waiting::Registration { .. } => "registration",
            Waiting::Values { .. } => "values",
            Waiting::Gone { .. } => "gone",
        };
        format!("> {} {what}", awaiting.serial())
    }));
    lines.extend(plan.unmanaged.iter().map(|unmanaged| format!("? {}", unmanaged.serial())));
    if plan.counts.unchanged > 0 {
        lines.push(format!("{} unchanged", plan.counts.unchanged));
    }
    lines
}

#[test]
fn what_is_declared_and_not_there_is_registered_with_all_its_values() {
    case("A1 tag=OSL user=anna.keller@contoso.com name=LOBBY-01", "")
        .plans("+ A1 attempt 1 groupTag=OSL userPrincipalName=anna.keller@contoso.com displayName=LOBBY-01");
}

#[test]
fn what_is_there_as_declared_is_left_alone_whatever_the_case_of_serial_and_user() {
    case("A1 tag=OSL user=anna.keller@contoso.com", "a1 1 tag=OSL user=Anna.Keller@Contoso.com").plans("1 unchanged");
}

#[test]
fn an_absent_field_is_kept_and_an_empty_one_is_cleared() {
    case("A1\nA2 tag=", "A1 1 tag=X name=N\nA2 2 tag=X").plans(
        r#"~ A2 groupTag "X" -> ""
           1 unchanged"#,
    );
}

#[test]
fn a_device_we_never_claimed_is_left_alone() {
    case("A1 tag=X", "A1 1 tag=X\nB1 2 tag=X\nZ9 3").plans("? B1\n? Z9\n1 unchanged");
}

#[test]
fn a_partial_reading_says_nothing_about_unmanaged_devices_or_absence() {
    let mut case = case("A1\nA2", "A1 1\nB1 2");
    case.coverage = Coverage::Only(vec![]);
    case.plans("x A2 ChangedMeanwhile\n1 unchanged");
}

#[test]
fn a_serial_that_matches_twice_selects_nothing() {
    case("A1 tag=X", "A1 1\nA1 2").plans("x A1 AmbiguousSerial");
}

#[test]
fn a_registration_id_says_which_one_and_the_other_is_unmanaged() {
    case("A1 tag=X id=2", "A1 1\nA1 2").plans("~ A1 groupTag \"\" -> \"X\"\n? A1");
    case("A1 tag=X id=2\nA1 tag=Y id=1", "A1 1 tag=Y\nA1 2 tag=X").plans("2 unchanged");
    case("A1 tag=X id=3", "A1 1").plans("x A1 RegistrationNotFound\n? A1");
}

#[test]
fn without_a_hash_the_vendor_is_waited_for() {
    case("A1 vendor tag=X", "").plans("> A1 vendor");
    case("A1 vendor tag=X", "A1 1").plans("~ A1 groupTag \"\" -> \"X\"");
}

#[test]
fn policies_allow_less_and_say_so() {
    let with = |policy| {
        let mut case = case("A1 tag=X\nA2", "A1 1");
        case.tenant.policy = policy;
        case
    };
    with(Policy::Observe).plans("x A1 ObserveOnly\nx A2 ObserveOnly");
    with(Policy::CreateOnly).plans("+ A2 attempt 1\nx A1 UpdateNotAllowed");
    with(Policy::UpsertOnly).plans("~ A1 groupTag \"\" -> \"X\"\n+ A2 attempt 1");
}

#[test]
fn the_scope_bounds_writes_by_the_observed_tag_and_what_is_unmanaged() {
    let mut case =
        case("A1 tag=OSL-2\nA2 tag=OSL-2\nA3 tag=BER", "A1 1 tag=OSL-1\nA2 2 tag=BER\nB1 3 tag=BER\nB2 4 tag=OSL-9");
    case.tenant.scope = Scope::new(vec!["OSL-*".to_owned()]).unwrap();
    case.plans("~ A1 groupTag \"OSL-1\" -> \"OSL-2\"\nx A2 OutOfScope\nx A3 OutOfScope\n? B2");
}

#[test]
fn a_tag_that_leads_out_of_the_scope_is_a_way_without_return() {
    let scoped = |patterns| case("A1 tag=OLS-2\nA2 tag=", "A1 1 tag=OSL-1\nA2 2 tag=OSL-1").scoped(patterns);
    scoped(&["OSL-*"]).plans("x A1 OutOfScope\nx A2 OutOfScope");
    let held = scoped(&["OSL-*"]).plan().held;
    assert_eq!(held[0].details, ["group tag `OLS-2`, scope OSL-*"]);
    assert_eq!(held[1].details, ["no group tag, scope OSL-*"]);
    scoped(&["OSL-*", ""]).plans("~ A2 groupTag \"OSL-1\" -> \"\"\nx A1 OutOfScope");
}

#[test]
fn a_scope_may_hold_the_devices_that_have_no_tag() {
    let scoped = |patterns| case("A1 vendor tag=OSL-1\nA2\nA3 tag=BER", "A1 1\nB1 2\nB2 3 tag=BER").scoped(patterns);
    scoped(&["OSL-*", ""]).plans("~ A1 groupTag \"\" -> \"OSL-1\"\n+ A2 attempt 1\nx A3 OutOfScope\n? B1");
    scoped(&["OSL-*"]).plans("x A1 OutOfScope\nx A2 OutOfScope\nx A3 OutOfScope");
    let untagged = scoped(&["OSL-*"]).plan().held;
    assert_eq!(untagged[0].details, ["no group tag, scope OSL-*"]);
    let held = scoped(&["OSL-*", ""]).plan().held;
    assert_eq!(held[0].details, ["group tag `BER`, scope OSL-* \"\""]);
}

#[test]
fn a_tag_outside_the_scope_keeps_nobody_waiting_for_a_vendor() {
    let case = case("A1 vendor tag=BER\nA2 vendor tag=OSL-1\nA3 vendor", "").scoped(&["OSL-*"]);
    case.plans("x A1 OutOfScope\n> A2 vendor\n> A3 vendor");
}

#[test]
fn the_example_takes_on_the_device_that_its_vendor_registered() {
    let mut loaded = apgit::door::manifest::load(&["examples/contoso".into()]);
    let desired = loaded.fleets.remove(0).desired;
    let facts = facts(desired.claims());
    let observed = Observed::new(Coverage::All, vec![device("TEST-BGO-003 1")], NOW);
    let plan = plan::plan(&desired, &observed, &facts);
    assert!(read_aloud(&plan).contains(&"~ TEST-BGO-003 groupTag \"\" -> \"BGO-STD\"".to_owned()), "{plan:#?}");
}

#[test]
fn a_serial_meets_its_registration_in_any_case_of_ascii_letters_only() {
    case("ab-1 tag=X\nSTRAßE vendor tag=X", "AB-1 1\nSTRASSE 2")
        .plans("~ ab-1 groupTag \"\" -> \"X\"\n> STRAßE vendor\n? STRASSE");
}

#[test]
fn suspended_and_unadoptable_devices_are_held() {
    case("A1 tag=X suspend\nA2 tag=X never\nA3 suspend", "A1 1\nA2 2 foreign")
        .plans("x A1 Suspended\nx A2 AdoptionNotAllowed\nx A3 Suspended");
    case("A1 tag=X never", "A1 1").plans(r#"~ A1 groupTag "" -> "X""#);
}

#[test]
fn what_we_registered_is_ours_and_needs_no_adoption() {
    case("A1 name=N never", "A1 1 foreign")
        .made_by_import("A1", 1, &[(Field::DisplayName, "N")])
        .plans("~ A1 displayName \"\" -> \"N\"");
}

#[test]
fn users_outside_the_tenant_are_held_and_unverified_ones_are_noted() {
    let user = "user=anna.keller@contoso.com";
    let mut strange = case(&format!("A1 {user}\nA2 {user}"), "A1 1");
    strange.facts.domains = Some(vec!["fabrikam.com".to_owned()]);
    strange.plans("x A1 UserDomainNotVerified\nx A2 UserDomainNotVerified");
    let mut missing = case(&format!("A1 {user}"), "A1 1");
    missing.facts.users = HashMap::from([("anna.keller@contoso.com".to_owned(), false)]);
    missing.plans("x A1 UserNotFound");
    let plan = case(&format!("A1 {user}"), "A1 1").plan();
    assert_eq!(plan.changes[0].notes, [plan::Note::UserUnverified]);
}

#[test]
fn two_claims_of_one_machine_are_both_held() {
    let generated = apgit::door::hash::generate::Machine::new(apgit::door::hash::generate::Vendor::ALL[0], 1);
    let keys = apgit::door::hash::identity_keys(&generated.capture());
    let mut case = case("A1\nA2\nA3", "");
    for serial in ["A1", "A2"] {
        let fact = HashFact::Read { digest: digest(serial), hardware: keys.clone() };
        case.facts.hashes.insert(key(serial), fact);
    }
    case.plans("+ A3 attempt 1\nx A1 DuplicateHardware\nx A2 DuplicateHardware");
}

#[test]
fn an_unusable_hash_holds_its_device_only() {
    let mut case = case("A1\nA2", "");
    let fact = HashFact::Unusable { message: "the checksum does not match".to_owned() };
    case.facts.hashes.insert(key("A1"), fact);
    case.plans("+ A2 attempt 1\nx A1 HashUnusable");
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn registration(id: u128) -> RegistrationId {
    RegistrationId(Uuid::from_u128(id))
}

fn key(serial: &str) -> DeviceKey {
    DeviceKey::of(SerialNumber::parse(serial).unwrap())
}

fn error(code: i64, name: &str) -> ImportState {
    ImportState::Error { code, name: name.to_owned() }
}

#[test]
fn what_became_of_the_last_import_decides_about_the_next() {
    let done = || ImportState::Complete { registration_id: RegistrationId(Uuid::from_u128(9)) };
    let imported = |age, state| case("A1", "").import("A1", 1, age, state);
    imported(MINUTE, ImportState::Unsent).plans("+ A1 attempt 1");
    imported(MINUTE, ImportState::Running).plans("+ A1 attempt 1 (running)");
    imported(MINUTE, done()).plans("> A1 registration");
    imported(MINUTE * 16, done()).plans("+ A1 attempt 2");
    imported(MINUTE, error(640, "StorageError")).plans("+ A1 attempt 2");
    imported(MINUTE, error(806, "ZtdDeviceAlreadyAssigned")).plans("> A1 registration");
    imported(MINUTE * 16, error(806, "ZtdDeviceAlreadyAssigned")).plans("+ A1 attempt 2");
    imported(MINUTE, error(808, "ZtdDeviceAssignedToOtherTenant")).plans("x A1 AssignedToOtherTenant");
    imported(MINUTE * 60 * 25, error(808, "ZtdDeviceAssignedToOtherTenant")).plans("+ A1 attempt 2");
    imported(MINUTE, error(802, "InvalidZtdHardwareHash")).plans("x A1 InvalidHardwareHash");
    imported(MINUTE, error(0, "ZtdDeviceDuplicated")).plans("x A1 DuplicateHardware");
    imported(MINUTE, error(999, "SomethingNew")).plans("x A1 ImportFailed");
    imported(MINUTE, ImportState::Refused { message: "no".to_owned() }).plans("x A1 ImportRefused");
}

#[test]
fn a_refused_import_is_tried_again_where_somebody_asks_for_it() {
    for (code, name) in
        [(808, "ZtdDeviceAssignedToOtherTenant"), (999, "SomethingNew"), (802, "InvalidZtdHardwareHash")]
    {
        let mut refused = case("A1\nA2", "").import("A1", 1, MINUTE, error(code, name));
        refused = refused.import("A2", 1, MINUTE, error(code, name));
        refused.facts.retry.insert(apgit::door::model::SerialKey::of("a1"));
        let plan = read_aloud(&refused.plan());
        assert_eq!(plan[0], "+ A1 attempt 2", "{name}");
        assert!(plan[1].starts_with("x A2 "), "{name}: {plan:?}");
    }
}

#[test]
fn an_attempt_that_somebody_wanted_is_followed_by_whoever_comes_next() {
    let refused = || case("A1", "").import("A1", 1, MINUTE, error(808, "ZtdDeviceAssignedToOtherTenant"));
    refused().plans("x A1 AssignedToOtherTenant");
    refused().import("A1", 2, MINUTE, ImportState::Running).plans("+ A1 attempt 2 (running)");
}

#[test]
fn a_new_import_says_whether_the_one_before_failed_or_what_it_made_was_removed() {
    let notes = |state| case("A1", "").import("A1", 1, MINUTE * 20, state).plan().changes[0].notes.clone();
    let done = ImportState::Complete { registration_id: RegistrationId(Uuid::from_u128(9)) };
    assert_eq!(notes(done), [Note::RegisteredBefore]);
    assert_eq!(notes(error(640, "StorageError")), [Note::NewAttempt]);
}

#[test]
fn the_name_of_an_import_error_decides_before_its_number() {
    case("A1", "")
        .import("A1", 1, MINUTE, error(806, "ZtdDeviceAssignedToOtherTenant"))
        .plans("x A1 AssignedToOtherTenant");
}

#[test]
fn a_second_806_means_another_serial_and_is_held() {
    let here = || error(806, "ZtdDeviceAlreadyAssigned");
    case("A1", "").import("A1", 1, MINUTE * 20, here()).import("A1", 2, MINUTE, here()).plans("x A1 AlreadyRegistered");
}

#[test]
fn an_import_that_keeps_failing_is_held_after_six_attempts_a_day() {
    let mut failing = case("A1", "");
    for attempt in 1..=5 {
        failing = failing.import("A1", attempt, MINUTE, error(640, "StorageError"));
    }
    failing = failing.import("A1", 6, MINUTE, error(640, "StorageError"));
    failing.plans("x A1 ImportFailed");
}

#[test]
fn an_accepted_update_is_awaited_and_a_late_one_is_repeated() {
    let pending = |age| {
        let mut case = case("A1 tag=X", "A1 1 tag=Y");
        let fields = vec![FieldChange { field: Field::GroupTag, before: "Y".into(), after: "X".into() }];
        case.facts.pending.insert(RegistrationId(Uuid::from_u128(1)), PendingUpdate { since: NOW - age, fields });
        case
    };
    pending(MINUTE).plans("> A1 values");
    pending(MINUTE * 11).plans("~ A1 groupTag \"Y\" -> \"X\"");
}

#[test]
fn import_ids_follow_the_device_and_its_attempt_and_nothing_else() {
    let a = SerialNumber::parse("a1").unwrap();
    let id = |owner, attempt| import_id(TenantId(Uuid::from_u128(7)), owner, &a, digest("A1"), attempt);
    assert_eq!(
        id("o", 1),
        import_id(TenantId(Uuid::from_u128(7)), "o", &SerialNumber::parse("A1 ").unwrap(), digest("A1"), 1)
    );
    assert_ne!(id("o", 1), id("o", 2));
    assert_ne!(id("o", 1), id("p", 1));
    assert_ne!(id("o", 1), import_id(TenantId(Uuid::from_u128(8)), "o", &a, digest("A1"), 1));
}

/// `n` enrolled devices, of which the first `k` shall get another tag.
fn retagging(n: usize, k: usize, enrolled: bool) -> Case {
    let line = |i: usize| format!("A{i:04} tag={}", if i < k { "NEW" } else { "OLD" });
    let enrolled = if enrolled { "enrolled" } else { "" };
    let claims: Vec<String> = (0..n).map(line).collect();
    let devices: Vec<String> = (0..n).map(|i| format!("A{i:04} {} tag=OLD {enrolled}", i + 1)).collect();
    case(&claims.join("\n"), &devices.join("\n"))
}

fn cleared(case: &Case, approvals: &Approvals) -> (usize, usize) {
    let cleared = guard::clear(case.plan(), approvals);
    (cleared.plan().changes.len(), cleared.plan().held.len())
}

#[test]
fn a_class_over_its_limit_is_held_whole() {
    let none = Approvals::default();
    assert_eq!(cleared(&retagging(100, 25, true), &none), (25, 0));
    assert_eq!(cleared(&retagging(100, 26, true), &none), (0, 26));
    assert_eq!(cleared(&retagging(100, 30, false), &none), (30, 0));
    assert_eq!(cleared(&retagging(100, 31, false), &none), (0, 31));
    assert_eq!(cleared(&retagging(1000, 200, false), &none), (200, 0));
    assert_eq!(cleared(&retagging(1000, 201, false), &none), (0, 201));
}

#[test]
fn five_updates_always_pass() {
    assert_eq!(cleared(&retagging(6, 5, true), &Approvals::default()), (5, 0));
    assert_eq!(cleared(&retagging(6, 6, true), &Approvals::default()), (0, 6));
}

#[test]
fn an_approval_is_exact_and_for_its_class_only() {
    let case = retagging(100, 28, true);
    let approve = |retags, updates| Approvals { retags, updates, ..Approvals::default() };
    assert_eq!(cleared(&case, &approve(Some(28), None)), (28, 0));
    assert_eq!(cleared(&case, &approve(Some(27), None)), (0, 28));
    assert_eq!(cleared(&case, &approve(None, Some(28))), (0, 28));
}

#[test]
fn clearing_counts_like_deleting_also_in_a_small_fleet() {
    let clearing = |n: usize, k: usize| {
        let claims: Vec<String> = (0..n).map(|i| format!("A{i:04} {}", if i < k { "tag=" } else { "" })).collect();
        let devices: Vec<String> = (0..n).map(|i| format!("A{i:04} {} tag=OLD", i + 1)).collect();
        case(&claims.join("\n"), &devices.join("\n"))
    };
    assert_eq!(cleared(&clearing(12, 1), &Approvals::default()), (1, 0));
    assert_eq!(cleared(&clearing(12, 2), &Approvals::default()), (0, 2));
}

#[test]
fn a_guard_holds_its_class_and_lets_the_others_go() {
    let mut case = retagging(100, 31, false);
    case.claims.push(claim("B1 tag=NEW"));
    case.facts = facts(&case.claims);
    assert_eq!(cleared(&case, &Approvals::default()), (1, 31));
}

/// What a repeated round may still do after `first` was approved.
fn follow_up(first: &Case, mut then: Case) -> Vec<String> {
    let allowed = guard::clear(first.plan(), &Approvals::default()).approved();
    then.facts.tails_first = true;
    read_aloud(guard::clear_follow_up(then.plan(), &allowed, &Approvals::default()).plan())
}

#[test]
fn a_later_round_completes_what_its_own_import_made() {
    let first = || case("A1 tag=X name=N", "");
    let made = case("A1 tag=X name=N", "A1 1 tag=X").made_by_import("A1", 1, &[(Field::DisplayName, "N")]);
    assert_eq!(follow_up(&first(), made), [r#"~ A1 displayName "" -> "N""#]);
    // Somebody retagged it meanwhile, and has it in hand: that is for the next plan.
    let moved = case("A1 tag=X name=N", "A1 1 tag=Y").made_by_import("A1", 1, &[(Field::DisplayName, "N")]);
    assert_eq!(follow_up(&first(), moved), ["x A1 AlreadyRegistered"]);
    let named = case("A1 tag=X name=N", "A1 1 tag=Y name=N").made_by_import("A1", 1, &[]);
    assert_eq!(follow_up(&first(), named), ["x A1 AlreadyRegistered"]);
}

#[test]
fn a_later_round_leaves_alone_what_another_import_made() {
    let first = case("A1 tag=X name=N", "");
    assert_eq!(follow_up(&first, case("A1 tag=X name=N", "A1 1 tag=Y enrolled")), ["x A1 AlreadyRegistered"]);
    assert_eq!(follow_up(&first, case("A2 tag=X", "A2 1")), ["x A2 NotInFirstPlan"]);
}

#[test]
fn a_later_round_repeats_an_update_only_while_its_precondition_holds() {
    let first = || case("A1 tag=X name=N", "A1 1 tag=Y");
    let again = |device| follow_up(&first(), case("A1 tag=X name=N", device));
    assert_eq!(again("A1 1 tag=Y"), [r#"~ A1 groupTag "Y" -> "X" displayName "" -> "N""#]);
    assert_eq!(again("A1 1 tag=X"), [r#"~ A1 displayName "" -> "N""#]);
    assert_eq!(again("A1 1 tag=Z"), ["x A1 ChangedMeanwhile"]);
    assert_eq!(again("A1 1 tag=Y enrolled"), ["x A1 ChangedMeanwhile"]);
    assert_eq!(again("A1 1 tag=Y user=anna.keller@contoso.com"), ["x A1 ChangedMeanwhile"]);
    assert_eq!(again("A1 2 tag=Y"), ["x A1 ChangedMeanwhile"]);
}

#[test]
fn a_hash_that_was_swapped_is_not_the_approved_one() {
    let mut swapped = case("A1", "");
    let fact = HashFact::Read { digest: digest("B9"), hardware: Vec::new() };
    swapped.facts.hashes.insert(key("A1"), fact);
    assert_eq!(follow_up(&case("A1", ""), swapped), ["x A1 ChangedMeanwhile"]);
}

#[test]
fn what_an_import_could_not_carry_is_no_update_of_its_own() {
    let owed = |policy| {
        let mut case = case("A1 name=N", "A1 1").made_by_import("A1", 1, &[(Field::DisplayName, "N")]);
        case.tenant.policy = policy;
        case.tenant.limits.max_updates = 0;
        case
    };
    for policy in [Policy::CreateOnly, Policy::UpsertOnly, Policy::Sync] {
        let cleared = guard::clear(owed(policy).plan(), &Approvals::default());
        assert_eq!(read_aloud(cleared.plan()), [r#"~ A1 displayName "" -> "N""#], "{policy:?}");
    }
    owed(Policy::Observe).plans("x A1 ObserveOnly");
}

#[test]
fn create_only_writes_what_its_import_lacked_and_nothing_else() {
    let with = |device| {
        let mut case = case("A1 tag=X name=N", device).made_by_import("A1", 1, &[(Field::DisplayName, "N")]);
        case.tenant.policy = Policy::CreateOnly;
        case
    };
    with("A1 1 tag=X").plans(r#"~ A1 displayName "" -> "N""#);
    // Somebody has it in hand by now.
    with("A1 1 tag=Y").plans("x A1 UpdateNotAllowed");
    with("A1 1 tag=X enrolled").plans("x A1 UpdateNotAllowed");
    // Also where it is declared as they left it.
    let mut adopted = case("A1 tag=X name=N", "A1 1 tag=Y").made_by_import("A1", 1, &[(Field::DisplayName, "N")]);
    adopted.claims = vec![claim("A1 tag=Y name=N")];
    adopted.tenant.policy = Policy::CreateOnly;
    adopted.plans("x A1 UpdateNotAllowed");
    with("A1 1 tag=Y name=N").plans("x A1 UpdateNotAllowed");
    with("A1 1 tag=X name=M").plans("x A1 UpdateNotAllowed");
}

#[test]
fn taking_over_what_others_registered_counts_like_deleting() {
    let foreign = |n: usize| {
        let claims: Vec<String> = (0..n).map(|i| format!("A{i:04} tag=NEW")).collect();
        let devices: Vec<String> = (0..n).map(|i| format!("A{i:04} {} tag=OLD foreign", i + 1)).collect();
        case(&claims.join("\n"), &devices.join("\n"))
    };
    assert_eq!(cleared(&foreign(1), &Approvals::default()), (1, 0));
    assert_eq!(cleared(&foreign(2), &Approvals::default()), (0, 2));
    assert_eq!(cleared(&foreign(2), &Approvals { adopts: Some(2), ..Approvals::default() }), (2, 0));
}

#[test]
fn two_claims_of_one_serial_are_two_devices() {
    let plan = case("A1 tag=X id=1\nA1 tag=Y id=2", "A1 1 tag=Q\nA1 2 tag=Q").plan();
    let devices: Vec<_> = plan.changes.iter().map(|change| change.effect.device.clone()).collect();
    assert_eq!(devices.len(), 2);
    assert_ne!(devices[0], devices[1]);
}

#[test]
fn the_tenants_own_writes_are_part_of_the_plan() {
    let upkeep = |change: fn(&mut Case)| {
        let mut case = case("A1 vendor\nA2", "A2 2");
        change(&mut case);
        case.plan().upkeep
    };
    assert_eq!(upkeep(|_| {}).sync, Some(plan::SyncReason::Vendor));
    assert_eq!(upkeep(|case| case.tenant.sync_when_needed = false).sync, None);
    assert_eq!(upkeep(|case| case.facts.unsynced = Some(NOW)).sync, Some(plan::SyncReason::Owed { since: NOW }));
    for forbid in [|case: &mut Case| case.tenant.policy = Policy::Observe, |case: &mut Case| case.tenant.suspend = true]
    {
        let mut forbidden = case("A1 vendor\nA2\nA3", "A2 2");
        forbidden.facts.unsynced = Some(NOW);
        forbidden.facts.ended_records = vec![apgit::door::model::ImportRecordId(Uuid::from_u128(1))];
        forbid(&mut forbidden);
        assert!(!forbidden.plan().writes());
    }
}

#[test]
fn a_sync_that_came_after_the_imports_is_not_owed() {
    let mut case = case("A2", "A2 2");
    case.facts.unsynced = Some(NOW - SignedDuration::from_mins(5));
    let synced = |minutes| {
        let last_sync = Some(NOW - SignedDuration::from_mins(minutes));
        Some(apgit::door::model::SyncState { last_sync, last_manual_trigger: None, running: false, failed: false })
    };
    case.facts.sync = synced(6);
    assert!(case.plan().upkeep.sync.is_some());
    case.facts.sync = synced(3);
    assert!(case.plan().upkeep.is_empty());
}

#[test]
fn a_sync_that_began_before_the_imports_were_complete_is_owed() {
    let mut case = case("A2", "A2 2");
    let ago = |seconds| NOW - SignedDuration::from_secs(seconds);
    case.facts.unsynced = Some(ago(300));
    let mut is_owed = |trigger: Option<i64>, end: i64| {
        let (last_sync, last_manual_trigger) = (Some(ago(end)), trigger.map(ago));
        case.facts.sync =
            Some(apgit::door::model::SyncState { last_sync, last_manual_trigger, running: false, failed: false });
        case.plan().upkeep.sync.is_some()
    };
    assert!(is_owed(Some(310), 290), "it was under way");
    assert!(!is_owed(Some(299), 290));
    assert!(!is_owed(Some(299), 299), "half a second is no time");
    // Of a sync that nobody asked for, only the end is told.
    assert!(is_owed(None, 250) && is_owed(Some(3000), 250), "it may have taken a minute");
    assert!(!is_owed(None, 240) && !is_owed(Some(3000), 240));
    assert!(is_owed(Some(100), 3000), "the one that was asked for since has not ended");
}

#[test]
fn a_digest_is_for_its_target() {
    let digest = |target| {
        let mut case = case("A1 tag=X", "A1 1");
        case.facts.target = target;
        case.plan().digest().sha256
    };
    let real = digest(Target::Cloud("Global".to_owned()));
    assert_ne!(real, digest(Target::Simulated));
    assert_ne!(real, digest(Target::Cloud("GccHigh".to_owned())));
    assert_ne!(real, digest(Target::Endpoint("http://127.0.0.1:8800".to_owned())));
}

#[test]
fn the_digest_follows_the_effects_and_nothing_else() {
    let digest = |claims: &str, devices: &str| case(claims, devices).plan().digest().sha256;
    let devices = "A1 1\nA2 2";
    let base = digest("A1 tag=X\nA2 tag=Y", devices);
    assert_eq!(base, digest("A2 tag=Y\nA1 tag=X", devices));
    assert_eq!(base, digest("A1 tag=X\nA2 tag=Y", "A1 1\nA2 2\nZ1 3 tag=other"));
    assert_ne!(base, digest("A1 tag=X", devices));
    assert_ne!(base, digest("A1 tag=X\nA2 tag=Y", "A1 1\nA2 2 name=N"));
    let mut other = case("A1 tag=X\nA2 tag=Y", devices);
    other.tenant.id = TenantId(Uuid::from_u128(8));
    assert_ne!(base, other.plan().digest().sha256);
}

#[test]
fn nothing_is_looked_up_for_an_unchanged_tenant() {
    let case = case("A1 tag=X\nA2", "A1 1 tag=X\nA2 2");
    let desired = Desired::new(case.tenant.clone(), case.claims.clone());
    let observed = Observed::new(Coverage::All, case.devices.clone(), NOW);
    assert_eq!(plan::needs(&desired, &observed, None), plan::Needs::default());
}

#[test]
fn what_the_list_shows_is_read_singly_before_it_is_believed() {
    let case = case("A1 user=anna.keller@contoso.com\nA2 tag=X", "A1 1\nA2 2 tag=Y");
    let desired = Desired::new(case.tenant.clone(), case.claims.clone());
    let observed = Observed::new(Coverage::All, case.devices.clone(), NOW);
    let needs = plan::needs(&desired, &observed, None);
    assert_eq!(needs.read, [1, 2].map(registration), "whatever would be written is read singly");
    assert_eq!(needs.users, ["anna.keller@contoso.com"]);
}

#[test]
fn the_user_travels_alone_and_takes_the_greeting_along() {
    use apgit::door::model::{Request, Update};
    let (tag, user, greeting) = (Field::GroupTag, Field::UserPrincipalName, Field::AddressableUserName);
    let update = |changes: &[(Field, &str)]| {
        let before = Device { user: "tom@contoso.com".into(), ..support::device("A1", 1) };
        let change = |(field, after): &(Field, &str)| FieldChange {
            field: *field,
            before: field.of(&before).clone(),
            after: (*after).into(),
        };
        let fields = changes.iter().map(change).collect();
        Update { id: before.id, before: Box::new(before), fields, adopts: false, tail_of: None }
    };
    let write = |values: &[(Field, &str)]| Request::Write(values.iter().map(|(f, v)| (*f, (*v).into())).collect());
    let requests = |changes: &[(Field, &str)]| update(changes).requests();
    assert_eq!(requests(&[(tag, "X"), (user, "a@c.d")]), [write(&[(user, "a@c.d")]), write(&[(tag, "X")])]);
    assert_eq!(requests(&[(user, ""), (greeting, "")]), [Request::Unassign]);
    assert_eq!(requests(&[(user, ""), (tag, "")]), [Request::Unassign, write(&[(tag, "")])]);
    assert_eq!(requests(&[(greeting, "Tom")]), [write(&[(user, "tom@contoso.com"), (greeting, "Tom")])]);
    assert!(update(&[(greeting, "Tom")]).repeats_user() && !update(&[(tag, "X")]).repeats_user());
    let operations = Action::Update(update(&[(user, ""), (greeting, ""), (tag, "X")])).writes();
    assert_eq!(operations, ["unassignUserFromDevice", "updateDeviceProperties"]);
}
