//! Times in which nothing is written: once, or every week. All of them are
//! compared with the service's time, which the caller tells.

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The minutes of a week.
const WEEK: u32 = 7 * 24 * 60;

/// A time in which nothing is written to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// What people approve it by.
    pub name: String,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub window: Window,
}

/// When a freeze is on. Its end is no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Window {
    /// From one moment to another.
    Once {
        /// The first moment.
        #[schemars(with = "String")]
        from: Timestamp,
        /// The first moment after it.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// Every week, by the clocks of a place; shorter than a week.
    Weekly {
        /// When it begins, such as `Fri 16:00`.
        #[schemars(with = "String")]
        from: WeekTime,
        /// When it ends, such as `Mon 06:00`.
        #[schemars(with = "String")]
        until: WeekTime,
        /// Whose clocks, such as `Europe/Oslo`.
        #[schemars(with = "String")]
        zone: Zone,
    },
}

/// A minute of the week, such as `Fri 16:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeekTime(u32);

/// A time zone of the IANA database that is built in: the same on any machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A freeze that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// Its name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
    /// When it ends, by the service's clock.
    pub until: Timestamp,
    /// True if a person lets changes through it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
}

/// Which end of a window a moment is.
#[derive(Debug, Clone, Copy)]
enum Edge {
    From,
    Until,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl WeekTime {
    /// Reads `Fri 16:00`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (day, time) = text.split_once(' ').ok_or("a day, a blank and a time are wanted")?;
        let day = DAYS.iter().position(|known| *known == day);
        let day = day.ok_or_else(|| format!("the day is none of {}", DAYS.join(", ")))?;
        let number = |text: &str, end: u32| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|number| is_plain && *number < end)
        };
        let (hour, minute) = time.split_once(':').unwrap_or_default();
        match (u32::try_from(day), number(hour, 24), number(minute, 60)) {
            (Ok(day), Some(hour), Some(minute)) => Ok(Self((day * 24 + hour) * 60 + minute)),
            _ => Err("the time is not one from 00:00 to 23:59".to_owned()),
        }
    }

    /// The moment in the week that begins with this Monday. Where the clocks jump,
    /// a time may be none or two: that which makes the window the longer one.
    fn after(self, monday: Date, weeks: i64, zone: &Zone, edge: Edge) -> Option<Timestamp> {
        let days = weeks * 7 + i64::from(self.0 / (24 * 60));
        let (hour, minute) = (i8::try_from(self.0 / 60 % 24).ok()?, i8::try_from(self.0 % 60).ok()?);
        let day = monday.checked_add(Span::new().try_days(days).ok()?).ok()?;
        let moment = zone.zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
        match edge {
            Edge::From => moment.earlier().ok(),
            Edge::Until => moment.later().ok(),
        }
    }

    /// The minutes from here to another one: more than none, and a week at most.
    fn until(self, other: Self) -> u32 {
        match (other.0 + WEEK - self.0) % WEEK {
            0 => WEEK,
            minutes => minutes,
        }
    }
}

impl std::fmt::Display for WeekTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = DAYS[(self.0 / (24 * 60)) as usize % DAYS.len()];
        write!(f, "{day} {:02}:{:02}", self.0 / 60 % 24, self.0 % 60)
    }
}

impl TryFrom<String> for WeekTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<WeekTime> for String {
    fn from(time: WeekTime) -> Self {
        time.to_string()
    }
}

impl Zone {
    /// The zone of this name; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let name = zone.iana_name()?.to_owned();
        (!zone.is_unknown()).then_some(Self { name, zone })
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| format!("there is no time zone `{name}`"))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl Window {
    /// The times around a moment in which it is on, oldest first: the one in which
    /// that lies, and the next.
    fn around(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        match self {
            Self::Once { from, until } => vec![(*from, *until)],
            Self::Weekly { from, until, zone } => {
                let today = zone.zone.to_datetime(now).date();
                let since_monday = i64::from(Weekday::Monday.until(today.weekday()));
                let Ok(monday) = today.checked_sub(Span::new().days(since_monday)) else { return Vec::new() };
                let wraps = i64::from(until.0 <= from.0);
                let of = |week: i64| {
                    let from = from.after(monday, week, zone, Edge::From)?;
                    Some((from, until.after(monday, week + wraps, zone, Edge::Until)?))
                };
                (-1..=1).filter_map(of).collect()
            }
        }
    }

    /// When it ends, if it is on.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now).into_iter().find(|(from, until)| (*from..*until).contains(&now)).map(|(_, until)| until)
    }

    /// The times from this moment on at which it is on, the next ones first.
    fn coming(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let coming = self.around(now).into_iter().filter(move |(_, until)| now < *until);
        coming.map(move |(from, until)| (from.max(now), until))
    }

    /// True if it is on whenever the other one is.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Once { from, until }, Self::Once { from: other, until: end }) => from <= other && end <= until,
            (Self::Weekly { from, until, zone }, Self::Weekly { from: other, until: end, zone: place }) => {
                let before = (other.0 + WEEK - from.0) % WEEK;
                zone == place && before + other.until(*end) <= from.until(*until)
            }
            _ => false,
        }
    }

    /// When it is on for the last time, if that is known.
    #[must_use]
    pub(super) fn is_over_at(&self) -> Option<Timestamp> {
        match self {
            Self::Once { until, .. } => Some(*until),
            Self::Weekly { .. } => None,
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Once { from, until } => write!(f, "{from} to {until}"),
            Self::Weekly { from, until, zone } => write!(f, "{from} to {until} {}", zone.name),
        }
    }
}

impl Frozen {
    /// For people: which, why, and until when.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("`{}` until {}: {}", self.name, self.until, self.reason)
    }

    /// True if both are the same time for the same reason: a name alone may stand
    /// for another one by now.
    #[must_use]
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.name, &self.reason, self.until) == (&other.name, &other.reason, other.until)
    }
}

impl Freeze {
    fn as_on(&self, until: Timestamp) -> Frozen {
        Frozen { name: self.name.clone(), reason: self.reason.clone(), until, approved: false }
    }

    /// True if nothing is written at any time at which the other one forbids it.
    #[must_use]
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.window.covers(&other.window)
    }
}

/// Those that are on at a moment.
#[must_use]
pub(super) fn frozen(freezes: &[Freeze], now: Timestamp) -> Vec<Frozen> {
    freezes.iter().filter_map(|freeze| Some(freeze.as_on(freeze.window.ends(now)?))).collect()
}

/// The first moment from this one on at which nothing may be written, and by
/// which freeze; but for those that a person has approved.
#[must_use]
pub(super) fn next(
    freezes: &[Freeze],
    is_approved: impl Fn(&Frozen) -> bool,
    now: Timestamp,
) -> Option<(Timestamp, Frozen)> {
    let next = freezes.iter().filter_map(|freeze| {
        let coming = freeze.window.coming(now).map(|(from, until)| (from, freeze.as_on(until)));
        coming.into_iter().find(|(_, frozen)| !is_approved(frozen))
    });
    next.min_by_key(|(from, _)| *from)
}

/// Of each freeze the time in which this moment lies, or the next one.
#[must_use]
pub(super) fn coming(freezes: &[Freeze], now: Timestamp) -> Vec<Frozen> {
    let coming = |freeze: &Freeze| freeze.window.coming(now).next().map(|(_, until)| freeze.as_on(until));
    freezes.iter().filter_map(coming).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn weekly(from: &str, until: &str, zone: &str) -> Window {
        let time = |text| WeekTime::parse(text).expect("a time of the week");
        Window::Weekly { from: time(from), until: time(until), zone: Zone::named(zone).expect("a zone") }
    }

    #[track_caller]
    fn check(window: &Window, now: &str, ends: Option<&str>) {
        assert_eq!(window.ends(at(now)), ends.map(at), "{window} at {now}");
    }

    #[test]
    fn a_weekend_follows_the_clocks_of_its_place_in_summer_and_winter() {
        let weekend = weekly("Fri 16:00", "Mon 06:00", "Europe/Oslo");
        check(&weekend, "2026-07-03T13:59:59Z", None);
        check(&weekend, "2026-07-03T14:00:00Z", Some("2026-07-06T04:00:00Z"));
        check(&weekend, "2026-07-06T03:59:59Z", Some("2026-07-06T04:00:00Z"));
        check(&weekend, "2026-07-06T04:00:00Z", None);
        check(&weekend, "2026-01-02T14:59:59Z", None);
        check(&weekend, "2026-01-02T15:00:00Z", Some("2026-01-05T05:00:00Z"));
        // In the weekend in which the clocks go back it is an hour longer.
        check(&weekend, "2026-10-23T14:00:00Z", Some("2026-10-26T05:00:00Z"));
    }

    #[test]
    fn where_the_clocks_jump_a_window_is_the_longer_one() {
        // They go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
        let night = weekly("Sun 02:30", "Sun 04:00", "Europe/Oslo");
        check(&night, "2026-03-29T00:30:00Z", Some("2026-03-29T02:00:00Z"));
        check(&night, "2026-03-29T00:29:59Z", None);
        check(&night, "2026-10-25T00:30:00Z", Some("2026-10-25T03:00:00Z"));
        let night = weekly("Sat 22:00", "Sun 02:30", "Europe/Oslo");
        check(&night, "2026-03-29T01:29:59Z", Some("2026-03-29T01:30:00Z"));
        check(&night, "2026-10-25T01:29:59Z", Some("2026-10-25T01:30:00Z"));
        check(&night, "2026-10-25T01:30:00Z", None);
    }

    #[test]
    fn a_window_within_a_week_and_one_around_its_turn_are_found_alike() {
        let night = weekly("Tue 22:30", "Wed 04:15", "UTC");
        check(&night, "2026-07-07T22:30:00Z", Some("2026-07-08T04:15:00Z"));
        check(&night, "2026-07-07T22:29:59Z", None);
        let all_but_an_hour = weekly("Mon 01:00", "Mon 00:00", "UTC");
        check(&all_but_an_hour, "2026-07-05T23:00:00Z", Some("2026-07-06T00:00:00Z"));
        check(&all_but_an_hour, "2026-07-06T00:30:00Z", None);
        check(&all_but_an_hour, "2026-07-06T01:00:00Z", Some("2026-07-13T00:00:00Z"));
    }

    #[test]
    fn the_next_one_is_the_first_that_nobody_has_approved() {
        let freeze = |name: &str, window| Freeze { name: name.into(), reason: "rest".into(), window };
        let once = Window::Once { from: at("2026-07-01T00:00:00Z"), until: at("2026-07-02T00:00:00Z") };
        let freezes = [freeze("weekend", weekly("Fri 16:00", "Mon 06:00", "UTC")), freeze("release", once)];
        let next = |now: &str, approved: &[&str]| {
            let is_approved = |frozen: &Frozen| approved.contains(&frozen.name.as_str());
            let (from, frozen) = super::next(&freezes, is_approved, at(now)).expect("one of them");
            format!("{} {from}", frozen.name)
        };
        assert_eq!(next("2026-06-30T10:00:00Z", &[]), "release 2026-07-01T00:00:00Z");
        assert_eq!(next("2026-06-30T10:00:00Z", &["release"]), "weekend 2026-07-03T16:00:00Z");
        assert_eq!(next("2026-07-01T10:00:00Z", &[]), "release 2026-07-01T10:00:00Z");
        assert_eq!(next("2026-07-02T00:00:00Z", &[]), "weekend 2026-07-03T16:00:00Z");
        assert_eq!(
            frozen(&freezes, at("2026-07-04T00:00:00Z"))[0].sentence(),
            "`weekend` until 2026-07-06T06:00:00Z: rest"
        );
    }

    #[test]
    fn one_covers_another_that_lies_within_it() {
        let covers = |a: &Window, b: &Window| a.covers(b);
        let weekend = weekly("Fri 16:00", "Mon 06:00", "UTC");
        assert!(covers(&weekend, &weekend) && covers(&weekend, &weekly("Sat 00:00", "Mon 06:00", "UTC")));
        assert!(!covers(&weekly("Sat 00:00", "Mon 06:00", "UTC"), &weekend));
        assert!(!covers(&weekend, &weekly("Fri 16:00", "Mon 06:01", "UTC")));
        assert!(!covers(&weekend, &weekly("Fri 16:00", "Mon 06:00", "Europe/Oslo")));
        assert!(covers(&weekly("Mon 00:00", "Sun 23:00", "UTC"), &weekly("Tue 00:00", "Sun 23:00", "UTC")));
        assert!(!covers(&weekly("Mon 00:00", "Sun 23:00", "UTC"), &weekly("Sun 22:00", "Mon 01:00", "UTC")));
    }

    #[test]
    fn what_is_no_time_of_the_week_is_told() {
        let told = |text| WeekTime::parse(text).unwrap_err();
        assert!(told("Friday 16:00").contains("none of Mon, Tue") && told("fri 16:00").contains("none of"));
        assert!(
            told("Fri 24:00").contains("23:59")
                && told("Fri 16:60").contains("23:59")
                && told("Fri 6:00").contains("23:59")
        );
        assert!(told("16:00").contains("a day") && told("Fri +1:00").contains("23:59"));
        assert_eq!(WeekTime::parse("Sun 23:59").unwrap().to_string(), "Sun 23:59");
        assert!(
            Zone::named("Europe/Olso").is_none() && Zone::named("").is_none() && Zone::named("Etc/Unknown").is_none()
        );
        assert_eq!(String::from(Zone::named("europe/oslo").unwrap()), "Europe/Oslo");
    }
}
