//! The journal in a cluster: numbered parts, of which only whoever wrote the last
//! can write the next.
//!
//! A part is made, never changed. Its number is taken by making it, and a number
//! is taken once: whoever comes second has lost the tenant. So a writer claims the
//! journal by making a part, and the one before it cannot write another line, and
//! without a line it sends nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Client, ResourceExt as _};

use super::super::journal::{JournalError, JournalStore};
use super::{Shelf, is_conflict, number, pieces, said, unpacked};
use crate::model::TenantId;

const DOCUMENT: &str = "journal";
/// The key of a part's number.
const NUMBER: &str = "number";
/// The keys of a part of a whole that takes the place of all before it: which, and
/// of how many.
const AT: &str = "at";
const OF: &str = "of";

/// So many parts are read one by one; more are put together by the next writer.
const PARTS: usize = 48;

/// The journal of one tenant and owner as objects of a namespace.
pub struct ClusterJournal {
    shelf: Shelf,
    /// The number of the last part that is ours or was read. `None` for a reader.
    last: Option<u64>,
    is_writer: bool,
}

impl ClusterJournal {
    /// For whoever writes: its first reading claims the journal.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, tenant: TenantId, owner: &str) -> Self {
        Self { shelf: Shelf::new(client, namespace, tenant, owner), last: None, is_writer: true }
    }

    /// For whoever only looks.
    #[must_use]
    pub fn read_only(client: &Client, namespace: &str, tenant: TenantId, owner: &str) -> Self {
        Self { is_writer: false, ..Self::new(client, namespace, tenant, owner) }
    }

    fn place(&self) -> String {
        format!("{}/{}-{DOCUMENT}", self.shelf.namespace, self.shelf.name)
    }

    fn error(&self, what: &'static str) -> impl Fn(String) -> JournalError {
        let path = self.place();
        move |reason| JournalError::Io { what, path: path.clone(), source: std::io::Error::other(reason) }
    }

    /// Takes the next number, with what is written under it.
    async fn make(&mut self, facts: &[(&str, usize)], text: Option<&str>) -> Result<(), JournalError> {
        let Some(last) = self.last else {
            let why = if self.is_writer { "a line before this one had no answer" } else { "it is read only" };
            return Err(self.error("write")(why.to_owned()));
        };
        let next = last + 1;
        let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
        let facts: BTreeMap<_, _> = facts.chain([(NUMBER.to_owned(), next.to_string())]).collect();
        let name = format!("{}-{DOCUMENT}-{next}", self.shelf.name);
        let part = self.shelf.object(name, DOCUMENT, facts, text);
        match tokio::time::timeout(super::TIME_MAX, self.shelf.api.create(&PostParams::default(), &part)).await {
            Ok(Ok(_)) => {
                self.last = Some(next);
                Ok(())
            }
            Ok(Err(error)) if is_conflict(&error) => {
                self.last = None;
                Err(JournalError::Locked { path: self.place() })
            }
            // Whether it was made, nobody knows: its number is not ours to take again.
            Ok(Err(error)) => {
                self.last = None;
                Err(self.error("write")(said(&error)))
            }
            Err(_) => {
                self.last = None;
                Err(self.error("write")("the API server does not answer".to_owned()))
            }
        }
    }

    async fn parts(&self) -> Result<Vec<(u64, ConfigMap)>, JournalError> {
        let parts = self.shelf.parts(DOCUMENT).await.map_err(self.error("read"))?;
        let mut parts: Vec<_> = parts.into_iter().filter_map(|part| Some((number(&part, NUMBER)?, part))).collect();
        parts.sort_by_key(|(number, _)| *number);
        Ok(parts)
    }

    /// Writes a whole, and removes what stood before it.
    async fn put(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let before = self.parts().await?;
        let text = text_of(lines);
        let pieces = pieces(&text);
        for (at, piece) in pieces.iter().enumerate() {
            self.make(&[(AT, at), (OF, pieces.len())], Some(piece)).await?;
        }
        for (_, part) in before {
            self.shelf.remove(&part.name_any()).await;
        }
        Ok(())
    }
}

#[async_trait]
impl JournalStore for ClusterJournal {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        let parts = self.parts().await?;
        if self.is_writer {
            self.last = Some(parts.last().map_or(0, |(number, _)| *number));
            // From here on nobody else writes a line.
            self.make(&[], None).await?;
        }
        let count = parts.len();
        let mut text = String::new();
        for part in counting(&parts) {
            text.push_str(&unpacked(part).map_err(self.error("read"))?);
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if self.is_writer && count > PARTS {
            self.put(&lines).await?;
        }
        Ok(lines)
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let text = text_of(lines);
        for piece in pieces(&text) {
            self.make(&[], Some(piece)).await?;
        }
        Ok(())
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        // A plan reads only; what is too old stays until somebody applies.
        if !self.is_writer {
            return Ok(());
        }
        self.put(lines).await
    }

    fn is_read_only(&self) -> bool {
        !self.is_writer
    }
}

/// The parts that count: of the last whole that is whole, and what came after it.
/// Of one whose writer died in the middle, nothing does.
fn counting(parts: &[(u64, ConfigMap)]) -> impl Iterator<Item = &ConfigMap> {
    let whole = whole(parts);
    let first = whole.as_ref().map_or(0, |whole| whole.start);
    let is_meant = move |at: usize, part: &ConfigMap| {
        at >= first && (number(part, AT).is_none() || whole.as_ref().is_some_and(|whole| whole.contains(&at)))
    };
    parts.iter().enumerate().filter(move |(at, (_, part))| is_meant(*at, part)).map(|(_, (_, part))| part)
}

/// Where the last whole stands that is whole.
fn whole(parts: &[(u64, ConfigMap)]) -> Option<Range<usize>> {
    (0..parts.len()).rev().find_map(|last| {
        let (at, of) = (number(&parts[last].1, AT)?, number(&parts[last].1, OF)?);
        let first = last.checked_sub(usize::try_from(at).ok()?)?;
        let fits = |(place, (_, part)): (usize, &(u64, ConfigMap))| number(part, AT) == u64::try_from(place).ok();
        let is_whole = at + 1 == of && parts[first..=last].iter().enumerate().all(fits);
        is_whole.then_some(first..last + 1)
    })
}

fn text_of(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, whole: Option<(u64, u64)>) -> (u64, ConfigMap) {
        let mut facts = BTreeMap::from([(NUMBER.to_owned(), number.to_string())]);
        if let Some((at, of)) = whole {
            facts.extend([(AT.to_owned(), at.to_string()), (OF.to_owned(), of.to_string())]);
        }
        (number, ConfigMap { data: Some(facts), ..ConfigMap::default() })
    }

    #[test]
    fn what_counts_is_the_last_whole_that_is_whole_and_what_came_after_it() {
        let counts = |parts: &[(u64, ConfigMap)]| -> Vec<u64> {
            counting(parts).map(|part| number(part, NUMBER).expect("a number")).collect()
        };
        let parts = [part(1, None), part(2, Some((0, 2))), part(3, Some((1, 2))), part(4, None)];
        assert_eq!(counts(&parts), [2, 3, 4]);
        // A writer died in the middle of the next one, and another went on.
        let more = [part(5, Some((0, 3))), part(6, Some((1, 3))), part(7, None)];
        assert_eq!(counts(&[&parts[..], &more].concat()), [2, 3, 4, 7]);
        assert_eq!(counts(&[part(1, None), part(2, None)]), [1, 2]);
        assert_eq!(counts(&[]), [0_u64; 0]);
        // Of one whose beginning was removed, nothing is left to begin with.
        assert_eq!(counts(&[part(3, Some((1, 2))), part(4, None)]), [4]);
    }
}
