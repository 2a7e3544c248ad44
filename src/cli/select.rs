//! `--target` and `--exclude`: a run over some of the declared devices.

use globset::{Glob, GlobMatcher};

use crate::manifest::Fleet;
use crate::model::{Claim, SerialKey, pattern};

use super::error::CliError;
use super::exit::Exit;
use super::source::Declared;

/// Which of the declared devices a run is about.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Selection {
    /// Only these devices: a serial or a glob, `tag=PATTERN` (as declared) or `file=PATTERN` (repeatable)
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse, help_heading = "Part of a plan")]
    target: Vec<Pattern>,
    /// All but these devices, in the same words
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse, help_heading = "Part of a plan")]
    exclude: Vec<Pattern>,
}

/// One pattern, as it was typed and as it is meant.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    of: Of,
    glob: GlobMatcher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Serial,
    Tag,
    File,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (of, glob) = match text.split_once('=') {
            Some(("tag", tag)) => (Of::Tag, pattern(tag)?),
            Some(("file", file)) => (Of::File, pattern(file.trim_start_matches("./"))?),
            Some((other, _)) => return Err(format!("`{other}=` is none of: tag=, file=, or a serial without `=`")),
            None => (Of::Serial, pattern(SerialKey::of(text).as_str())?),
        };
        let glob = Glob::compile_matcher(&glob);
        Ok(Self { text: text.to_owned(), of, glob })
    }

    /// A tag that is left open is nobody's to choose by.
    fn matches(&self, claim: &Claim, fleet: &Fleet) -> bool {
        match self.of {
            Of::Serial => self.glob.is_match(claim.serial.key().as_str()),
            Of::Tag => claim.group_tag.text().is_some_and(|tag| self.glob.is_match(tag)),
            Of::File => {
                let place = fleet.places.get(claim.origin);
                place.is_some_and(|place| self.glob.is_match(place.file.trim_start_matches("./")))
            }
        }
    }
}

impl Selection {
    /// True if the run is about all devices.
    pub(super) fn is_empty(&self) -> bool {
        self.target.is_empty() && self.exclude.is_empty()
    }

    /// Targets and excludes as they were typed.
    pub(super) fn words(&self) -> (Vec<String>, Vec<String>) {
        let words = |all: &[Pattern]| all.iter().map(|pattern| pattern.text.clone()).collect();
        (words(&self.target), words(&self.exclude))
    }

    /// Narrows what is declared to what is wanted. Tenants of which that is
    /// nothing are left out.
    ///
    /// # Errors
    /// When a pattern matches nothing, or nothing is left: a typo must not look
    /// like a tenant on which there is nothing to do.
    pub(super) fn narrow(&self, declared: &mut Declared) -> Result<(), CliError> {
        if self.is_empty() {
            return Ok(());
        }
        let fleets = &mut declared.fleets;
        for (flag, patterns) in [("--target", &self.target), ("--exclude", &self.exclude)] {
            let is_there = |pattern: &Pattern| {
                fleets.iter().any(|fleet| fleet.desired.claims().iter().any(|claim| pattern.matches(claim, fleet)))
            };
            if let Some(pattern) = patterns.iter().find(|pattern| !is_there(pattern)) {
                let message = format!("`{flag} {}` matches no declared device", pattern.text);
                return Err(CliError::new(Exit::Invalid, message)
                    .hint("a serial or a glob over serials, `tag=` over declared tags, `file=` over paths as typed"));
            }
        }
        for fleet in fleets.iter_mut() {
            let any = |patterns: &[Pattern], claim: &Claim| patterns.iter().any(|of| of.matches(claim, fleet));
            let is_wanted =
                |claim: &Claim| (self.target.is_empty() || any(&self.target, claim)) && !any(&self.exclude, claim);
            let part = fleet.desired.part(is_wanted);
            fleet.desired = part;
        }
        let mut is_left = fleets.iter().map(|fleet| !fleet.desired.claims().is_empty()).collect::<Vec<_>>().into_iter();
        let mut is_news_left = is_left.clone();
        fleets.retain(|_| is_left.next().unwrap_or_default());
        declared.news.retain(|_| is_news_left.next().unwrap_or_default());
        if fleets.is_empty() {
            let message = "`--exclude` leaves no device of those that are wanted";
            return Err(CliError::new(Exit::Invalid, message));
        }
        Ok(())
    }
}
