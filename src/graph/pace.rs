//! The budget: how fast requests may go. Pure: it is told the time and
//! never waits itself.
//!
//! Microsoft documents, per app and tenant, 100 writes and 1000 requests in
//! any 20 seconds for Intune's enrolment services, and twice that for its
//! devices; imports are throttled far earlier in practice (after 60 to 70
//! posted in a row). We stay below, leave a share to other apps, and learn from
//! every 429. The directory's limits are others and larger; what we ask it
//! counts as if it were an enrolment service.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::model::later;

/// What a request counts as. A batch counts its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Read,
    Write,
    /// A POST of the `import` action, whatever the number of its rows.
    Import,
    /// The tenant sync. Its 429 is a rule about ten minutes, not about load,
    /// so nothing is learnt from it.
    Sync,
    /// Reading devices in Intune.
    IntuneRead,
    /// Deleting devices in Intune.
    IntuneWrite,
}

impl Class {
    fn writes(self) -> bool {
        match self {
            Self::Read | Self::IntuneRead => false,
            Self::Write | Self::Import | Self::Sync | Self::IntuneWrite => true,
        }
    }
}

/// The service's limits, and the part of them that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaceLimits {
    /// Requests of any class per window.
    pub requests_max: u32,
    /// Writes per window; imports and syncs count too.
    pub writes_max: u32,
    /// Requests about devices in Intune per window, which have limits of their
    /// own.
    pub intune_requests_max: u32,
    /// Writes of these.
    pub intune_writes_max: u32,
    pub window: SignedDuration,
    /// The least time between two imports.
    pub import_gap: SignedDuration,
    /// What we take of the limits, 1 to 100; the rest is for other apps.
    pub share_percent: u32,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            requests_max: 1000,
            writes_max: 100,
            intune_requests_max: 2000,
            intune_writes_max: 200,
            window: SignedDuration::from_secs(20),
            import_gap: SignedDuration::from_secs(1),
            share_percent: 80,
        }
    }
}

/// The budget of one app in one tenant.
#[derive(Debug)]
pub struct Pace {
    limits: PaceLimits,
    enrolment: Service,
    intune: Service,
    imports: Speed,
    last_import: Option<Timestamp>,
    paused: [Option<Timestamp>; 6],
}

/// What counts together.
#[derive(Debug)]
struct Service {
    requests: Window,
    writes: Window,
}

/// No answer asks for less than a second, whatever `Retry-After` says.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);

impl Pace {
    #[must_use]
    pub fn new(limits: PaceLimits) -> Self {
        let share = |max: u32| (max * limits.share_percent.clamp(1, 100) / 100).max(1);
        Self {
            enrolment: Service {
                requests: Window::new(share(limits.requests_max)),
                writes: Window::new(share(limits.writes_max)),
            },
            intune: Service {
                requests: Window::new(share(limits.intune_requests_max)),
                writes: Window::new(share(limits.intune_writes_max)),
            },
            imports: Speed::default(),
            last_import: None,
            paused: [None; 6],
            limits,
        }
    }

    /// Books `cost` requests for now.
    ///
    /// # Errors
    /// The time at which to ask again; nothing is booked.
    pub fn ask(&mut self, class: Class, cost: u32, now: Timestamp) -> Result<(), Timestamp> {
        let earliest = self.earliest(class, cost, now);
        if earliest > now {
            return Err(earliest);
        }
        let service = self.service_mut(class);
        service.requests.book(cost, now);
        if class.writes() {
            service.writes.book(cost, now);
        }
        if class == Class::Import {
            self.last_import = Some(now);
        }
        Ok(())
    }

    /// The most that one request of this class may count just now: a batch
    /// has no more parts than this.
    #[must_use]
    pub fn most(&self, class: Class) -> u32 {
        let service = self.service(class);
        let requests = service.requests.allowed();
        if class.writes() { service.writes.allowed().min(requests) } else { requests }
    }

    /// The service said 429: go half as fast from here, and send nothing of
    /// this class for `wait`.
    pub fn throttled(&mut self, class: Class, wait: SignedDuration, now: Timestamp) {
        match class {
            Class::Read | Class::IntuneRead => self.service_mut(class).requests.speed.halve(now),
            Class::Write | Class::IntuneWrite => self.service_mut(class).writes.speed.halve(now),
            Class::Import => self.imports.halve(now),
            Class::Sync => return,
        }
        let until = later(now, wait.max(PAUSE_MIN));
        let paused = &mut self.paused[class as usize];
        *paused = Some(paused.map_or(until, |already| already.max(until)));
    }

    fn service(&self, class: Class) -> &Service {
        match class {
            Class::Read | Class::Write | Class::Import | Class::Sync => &self.enrolment,
            Class::IntuneRead | Class::IntuneWrite => &self.intune,
        }
    }

    fn service_mut(&mut self, class: Class) -> &mut Service {
        match class {
            Class::Read | Class::Write | Class::Import | Class::Sync => &mut self.enrolment,
            Class::IntuneRead | Class::IntuneWrite => &mut self.intune,
        }
    }

    fn earliest(&mut self, class: Class, cost: u32, now: Timestamp) -> Timestamp {
        let window = self.limits.window;
        let service = self.service_mut(class);
        let mut earliest = service.requests.earliest(cost, window, now);
        if class.writes() {
            earliest = earliest.max(service.writes.earliest(cost, window, now));
        }
        if class == Class::Import {
            self.imports.restore(window, now);
            let gap = self.limits.import_gap * 100 / i32::from(self.imports.percent);
            earliest = self.last_import.map_or(earliest, |last| earliest.max(later(last, gap)));
        }
        self.paused[class as usize].map_or(earliest, |until| earliest.max(until))
    }
}

/// A sliding window: what was sent in the last 20 seconds.
#[derive(Debug)]
struct Window {
    limit: u32,
    speed: Speed,
    sent: VecDeque<(Timestamp, u32)>,
    used: u32,
}

impl Window {
    fn new(limit: u32) -> Self {
        Self { limit, speed: Speed::default(), sent: VecDeque::new(), used: 0 }
    }

    fn allowed(&self) -> u32 {
        (self.limit * u32::from(self.speed.percent) / 100).max(1)
    }

    fn earliest(&mut self, cost: u32, window: SignedDuration, now: Timestamp) -> Timestamp {
        self.speed.restore(window, now);
        while let Some(&(at, cost)) = self.sent.front() {
            if later(at, window) > now {
                break;
            }
            self.used -= cost;
            self.sent.pop_front();
        }
        // A cost above what is allowed at all goes out alone, or never would.
        let cost = cost.min(self.allowed());
        let mut used = self.used;
        let mut earliest = now;
        for (at, freed) in &self.sent {
            if used + cost <= self.allowed() {
                break;
            }
            used -= freed;
            earliest = later(*at, window);
        }
        earliest
    }

    fn book(&mut self, cost: u32, now: Timestamp) {
        self.sent.push_back((now, cost));
        self.used += cost;
    }
}

/// How much of the limit we dare to use: halved by a 429, a tenth back for
/// every quiet window.
#[derive(Debug)]
struct Speed {
    percent: u8,
    quiet_since: Option<Timestamp>,
}

impl Default for Speed {
    fn default() -> Self {
        Self { percent: 100, quiet_since: None }
    }
}

impl Speed {
    const PERCENT_MIN: u8 = 5;

    fn halve(&mut self, now: Timestamp) {
        self.percent = (self.percent / 2).max(Self::PERCENT_MIN);
        self.quiet_since = Some(now);
    }

    fn restore(&mut self, window: SignedDuration, now: Timestamp) {
        while let Some(since) = self.quiet_since.filter(|since| later(*since, window) <= now) {
            self.percent = (self.percent + 10).min(100);
            self.quiet_since = (self.percent < 100).then_some(later(since, window));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    /// Sends as fast as the budget lets, and returns the times.
    fn run(pace: &mut Pace, class: Class, cost: u32, times: usize, start: Timestamp) -> Vec<Timestamp> {
        let mut now = start;
        let mut sent = Vec::new();
        while sent.len() < times {
            match pace.ask(class, cost, now) {
                Ok(()) => sent.push(now),
                Err(until) => {
                    assert!(until > now, "the budget must name a later time");
                    now = until;
                }
            }
        }
        sent
    }

    fn most_in_any_window(sent: &[Timestamp], cost: u32) -> u32 {
        let in_window = |from: &Timestamp| {
            sent.iter().filter(|at| *at >= from && **at < *from + SignedDuration::from_secs(20)).count()
        };
        u32::try_from(sent.iter().map(in_window).max().unwrap_or(0)).unwrap() * cost
    }

    #[test]
    fn writes_stay_under_eighty_in_any_twenty_seconds() {
        let mut pace = Pace::new(PaceLimits::default());
        let sent = run(&mut pace, Class::Write, 7, 100, at(0));
        assert_eq!(most_in_any_window(&sent, 7), 77);
    }

    #[test]
    fn reads_stay_under_eight_hundred_and_do_not_wait_for_writes() {
        let mut pace = Pace::new(PaceLimits::default());
        run(&mut pace, Class::Write, 20, 4, at(0));
        assert!(pace.ask(Class::Write, 1, at(1)).is_err());
        let sent = run(&mut pace, Class::Read, 20, 100, at(1));
        assert_eq!(sent[35], at(1), "720 reads fit beside 80 writes");
        assert!(most_in_any_window(&sent, 20) <= 800);
    }

    #[test]
    fn devices_in_intune_have_twice_as_much_and_a_budget_of_their_own() {
        let mut pace = Pace::new(PaceLimits::default());
        run(&mut pace, Class::Write, 20, 4, at(0));
        let sent = run(&mut pace, Class::IntuneWrite, 1, 400, at(0));
        assert_eq!((sent[159], sent[160]), (at(0), at(20)));
        assert_eq!(most_in_any_window(&sent, 1), 160);
        let sent = run(&mut pace, Class::IntuneRead, 1, 3000, at(100));
        assert_eq!(most_in_any_window(&sent, 1), 1600);
        pace.throttled(Class::IntuneWrite, SignedDuration::ZERO, at(200));
        assert_eq!((pace.most(Class::IntuneWrite), pace.most(Class::Write)), (80, 80));
    }

    #[test]
    fn imports_are_a_second_apart() {
        let mut pace = Pace::new(PaceLimits::default());
        let sent = run(&mut pace, Class::Import, 1, 5, at(0));
        assert_eq!(sent, [at(0), at(1), at(2), at(3), at(4)]);
    }

    #[test]
    fn a_429_halves_the_speed_and_quiet_gives_tenths_back() {
        let mut pace = Pace::new(PaceLimits::default());
        pace.throttled(Class::Write, SignedDuration::from_secs(3), at(0));
        assert_eq!(pace.most(Class::Write), 40);
        assert_eq!(pace.ask(Class::Write, 1, at(2)), Err(at(3)));
        assert_eq!(pace.ask(Class::Write, 1, at(3)), Ok(()));
        assert_eq!(pace.ask(Class::Write, 1, at(20)), Ok(()));
        assert_eq!(pace.most(Class::Write), 48);
        assert_eq!(pace.ask(Class::Write, 1, at(500)), Ok(()));
        assert_eq!(pace.most(Class::Write), 80);
    }

    #[test]
    fn many_429s_slow_us_down_but_never_stop_us() {
        let mut pace = Pace::new(PaceLimits::default());
        for second in 0..20 {
            pace.throttled(Class::Write, SignedDuration::ZERO, at(second));
            pace.throttled(Class::Import, SignedDuration::ZERO, at(second));
        }
        assert_eq!(pace.most(Class::Write), 4);
        let sent = run(&mut pace, Class::Write, 20, 3, at(20));
        assert_eq!(sent.len(), 3, "a batch above the limit still goes out, alone");
        let sent = run(&mut pace, Class::Import, 1, 3, at(100));
        assert!(sent[1] > sent[0] + SignedDuration::from_secs(1));
    }

    #[test]
    fn the_answer_of_a_sync_teaches_nothing() {
        let mut pace = Pace::new(PaceLimits::default());
        pace.throttled(Class::Sync, SignedDuration::from_secs(60), at(0));
        assert_eq!(pace.ask(Class::Sync, 1, at(0)), Ok(()));
        assert_eq!(pace.most(Class::Write), 80);
    }

    #[test]
    fn a_zero_retry_after_still_waits_a_second() {
        let mut pace = Pace::new(PaceLimits::default());
        pace.throttled(Class::Read, SignedDuration::ZERO, at(0));
        assert_eq!(pace.ask(Class::Read, 1, at(0)), Err(at(1)));
    }
}
