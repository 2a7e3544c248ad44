//! What a person approves on the command line: numbers per class, and
//! the digest of a plan; per tenant, where several are declared.

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;

use clap::Args;

use crate::manifest::Fleet;
use crate::model::SerialKey;
use crate::plan::Approvals;

use super::error::CliError;
use super::exit::Exit;

/// A value for one tenant, written `NAME=VALUE`, or for the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct For<T> {
    tenant: Option<String>,
    value: T,
}

impl<T> For<T> {
    fn parse<E: ToString>(text: &str, read: impl Fn(&str) -> Result<T, E>) -> Result<Self, String> {
        let (tenant, value) = match text.split_once('=') {
            Some((tenant, value)) => (Some(tenant.to_owned()), value),
            None => (None, text),
        };
        let value = read(value).map_err(|error| error.to_string())?;
        Ok(Self { tenant, value })
    }
}

pub(super) fn number(text: &str) -> Result<For<u32>, String> {
    For::parse(text, u32::from_str)
}

pub(super) fn word(text: &str) -> Result<For<String>, String> {
    For::parse(text, |word| if word.is_empty() { Err("a name is missing") } else { Ok(word.to_owned()) })
}

fn digest(text: &str) -> Result<For<String>, String> {
    For::parse(text, sha256)
}

pub(super) fn sha256(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hex);
    }
    Err("64 hex digits: those of a plan are under `digest` (a plan id is for people only)".to_owned())
}

/// Numbers of guarded changes that a person has seen.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Numbers {
    /// Let at most so many updates through (of one tenant: NAME=N)
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_updates: Vec<For<u32>>,
    /// Let at most so many retags of enrolled devices through
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_retags: Vec<For<u32>>,
    /// Let at most so many cleared tags and users through
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_clears: Vec<For<u32>>,
    /// Let at most so many registrations of others be changed
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_adopts: Vec<For<u32>>,
    /// Let at most so many registrations be removed
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_deletes: Vec<For<u32>>,
    /// Let at most so many devices be forgotten that stay registered
    #[arg(long, value_name = "[NAME=]N", value_parser = number, help_heading = "Approval")]
    pub approve_releases: Vec<For<u32>>,
    /// Let changes through this freeze, by its name; repeatable (of one tenant: NAME=FREEZE)
    #[arg(long, value_name = "[NAME=]FREEZE", value_parser = word, help_heading = "Approval")]
    pub approve_freeze: Vec<For<String>>,
    /// Import this device again now, though the service refused it lately
    #[arg(long, value_name = "SERIAL", help_heading = "Approval")]
    pub retry: Vec<String>,
}

/// The digest of a plan that somebody has seen.
#[derive(Debug, Clone, Args)]
pub(super) struct Digests {
    /// Do not ask if the plan has exactly this digest; else stop with 6 (of one tenant: NAME=SHA256)
    #[arg(long, value_name = "[NAME=]SHA256", value_parser = digest, help_heading = "Approval")]
    pub approve_digest: Vec<For<String>>,
}

impl Numbers {
    /// The first flag that was given, if one was.
    pub(super) fn first(&self) -> Option<&'static str> {
        let all = [
            ("--approve-updates", self.approve_updates.is_empty()),
            ("--approve-retags", self.approve_retags.is_empty()),
            ("--approve-clears", self.approve_clears.is_empty()),
            ("--approve-adopts", self.approve_adopts.is_empty()),
            ("--approve-deletes", self.approve_deletes.is_empty()),
            ("--approve-releases", self.approve_releases.is_empty()),
            ("--approve-freeze", self.approve_freeze.is_empty()),
            ("--retry", self.retry.is_empty()),
        ];
        all.into_iter().find(|(_, is_empty)| !is_empty).map(|(flag, _)| flag)
    }

    /// What was approved for each of these tenants, in their order.
    ///
    /// # Errors
    /// When it is not clear which tenant is meant.
    pub(super) fn of(&self, fleets: &[Fleet]) -> Result<Vec<Approvals>, CliError> {
        let updates = each(fleets, "--approve-updates", &self.approve_updates)?;
        let retags = each(fleets, "--approve-retags", &self.approve_retags)?;
        let clears = each(fleets, "--approve-clears", &self.approve_clears)?;
        let adopts = each(fleets, "--approve-adopts", &self.approve_adopts)?;
        let deletes = each(fleets, "--approve-deletes", &self.approve_deletes)?;
        let releases = each(fleets, "--approve-releases", &self.approve_releases)?;
        let freezes = freezes(fleets, &self.approve_freeze)?;
        let retry: HashSet<SerialKey> = self.retry.iter().map(|serial| SerialKey::of(serial)).collect();
        let declared: HashSet<SerialKey> = fleets
            .iter()
            .flat_map(|fleet| fleet.desired.claims())
            .map(|claim| claim.serial.key())
            .filter(|key| retry.contains(key))
            .collect();
        if let Some(unknown) = self.retry.iter().find(|serial| !declared.contains(&SerialKey::of(serial))) {
            return Err(CliError::new(Exit::Invalid, format!("`--retry {unknown}`: no such device is declared")));
        }
        let of = |at: usize| Approvals {
            updates: updates[at],
            retags: retags[at],
            clears: clears[at],
            adopts: adopts[at],
            deletes: deletes[at],
            releases: releases[at],
            freezes: freezes[at].clone(),
            meant: None,
            retry: retry.clone(),
            grants: fleets[at].grants.clone(),
        };
        Ok((0..fleets.len()).map(of).collect())
    }
}

impl Digests {
    /// The digest that was approved for each of these tenants, in their order.
    ///
    /// # Errors
    /// When it is not clear which tenant is meant.
    pub(super) fn of(&self, fleets: &[Fleet]) -> Result<Vec<Option<String>>, CliError> {
        each(fleets, "--approve-digest", &self.approve_digest)
    }
}

/// An approval is for one tenant; where there are several it says for which.
pub(super) fn each<T: Clone>(fleets: &[Fleet], flag: &str, given: &[For<T>]) -> Result<Vec<Option<T>>, CliError> {
    let mut each = vec![None; fleets.len()];
    for For { tenant, value } in given {
        let at = place(fleets, flag, tenant.as_deref())?;
        if each[at].replace(value.clone()).is_some() {
            let name = &fleets[at].desired.tenant.name;
            return Err(CliError::new(Exit::Usage, format!("`{flag}` is given twice for tenant `{name}`")));
        }
    }
    Ok(each)
}

/// The freezes that are approved for each of these tenants, in their order.
pub(super) fn freezes(fleets: &[Fleet], given: &[For<String>]) -> Result<Vec<BTreeSet<String>>, CliError> {
    let mut each = vec![BTreeSet::new(); fleets.len()];
    for For { tenant, value } in given {
        each[place(fleets, "--approve-freeze", tenant.as_deref())?].insert(value.clone());
    }
    Ok(each)
}

/// Which tenant an approval is for.
fn place(fleets: &[Fleet], flag: &str, tenant: Option<&str>) -> Result<usize, CliError> {
    let names: Vec<&str> = fleets.iter().map(|fleet| fleet.desired.tenant.name.as_str()).collect();
    let declared = || format!("declared: {}", names.join(", "));
    match (tenant, names.as_slice()) {
        (None, [_]) => Ok(0),
        (None, _) => {
            let message = format!("several tenants are declared: `{flag}` must say for which it is");
            Err(CliError::new(Exit::Usage, message).hint(format!("{flag} NAME=…; {}", declared())))
        }
        (Some(name), names) => names.iter().position(|known| *known == name).ok_or_else(|| {
            let message = format!("`{flag} {name}=…`: there is no tenant `{name}`");
            CliError::new(Exit::Usage, message).hint(declared())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_may_name_its_tenant() {
        assert_eq!(number("3"), Ok(For { tenant: None, value: 3 }));
        assert_eq!(number("lab=3"), Ok(For { tenant: Some("lab".to_owned()), value: 3 }));
        assert!(number("lab=").is_err() && number("three").is_err());
        let hex = "ab".repeat(32);
        assert_eq!(digest(&format!("lab=sha256:{hex}")).map(|of| of.value), Ok(hex));
        assert!(digest("plan-0123456789ab").is_err());
    }
}
