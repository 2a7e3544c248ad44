//! Problems of manifests as a document. A problem brings its source lines
//! along, masked, for people; whoever reads JSON has the files.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::manifest::{Excerpt, Loaded, Problem, Spot};
use crate::model::seen;

use super::place::{named, text};
use super::{FORMAT_VERSION, Severity};

/// What `apgit validate --json` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemsDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.problems"))]
    pub kind: &'static str,
    /// Devices that are declared.
    pub devices: usize,
    /// Documents in the files, those of other kinds included.
    pub documents: usize,
    /// Problems that stop a plan.
    pub errors: usize,
    /// Files that were read.
    pub files: usize,
    /// By place: at most 200 of a file, and one that counts its others.
    pub problems: Vec<ProblemDocument>,
    /// Documents of other kinds, left alone.
    pub skipped: usize,
    /// Tenants that are declared without a problem.
    pub tenants: usize,
    /// Problems that stop nothing.
    pub warnings: usize,
}

impl ProblemsDocument {
    /// Of what was declared.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let problems = problems(&loaded.problems);
        let Found { errors, warnings, .. } = Found::among(&problems);
        Self {
            format_version: FORMAT_VERSION,
            kind: "apgit.problems",
            devices: loaded.devices(),
            documents: loaded.documents,
            errors,
            files: loaded.files,
            problems,
            skipped: loaded.skipped,
            tenants: loaded.fleets.len(),
            warnings,
        }
    }
}

/// One problem, at one place or at several that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemDocument {
    /// A stable short name, such as `duplicate-serial`.
    pub code: &'static str,
    /// How many it stands for: itself, or all that is not shown of a file.
    #[serde(skip)]
    pub count: usize,
    /// What to do.
    pub hint: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Where, the first place first.
    pub places: Vec<SpotDocument>,
    /// Whether it stops a plan.
    pub severity: Severity,
}

/// A place in a file. Line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SpotDocument {
    /// Counted from 1, in characters.
    pub column: u32,
    /// Relative to where the command was run.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// Missing for a place that is not in a text, such as a folder.
    #[serde(skip)]
    pub excerpt: Option<ExcerptDocument>,
}

/// A source line without its secrets, and the bytes of it that a problem is
/// about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcerptDocument {
    /// The line.
    pub line: String,
    /// The bytes of it that are meant.
    pub range: Range<usize>,
}

/// How many problems there are, and in how many files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Problems that stop a plan.
    pub errors: usize,
    /// Problems that stop nothing.
    pub warnings: usize,
    /// Files that they are in.
    pub files: usize,
}

impl Found {
    /// Counts them.
    #[must_use]
    pub(crate) fn among(problems: &[ProblemDocument]) -> Self {
        let of = |severity| problems.iter().filter(move |problem| problem.severity == severity);
        let [errors, warnings] =
            [Severity::Error, Severity::Warning].map(|severity| of(severity).map(|problem| problem.count).sum());
        let files: BTreeSet<&str> = problems.iter().flat_map(|of| &of.places).map(|spot| &*spot.file).collect();
        Self { errors, warnings, files: files.len() }
    }
}

/// Problems as rows, in their own order.
#[must_use]
pub fn problems(found: &[Problem]) -> Vec<ProblemDocument> {
    let problem = |of: &Problem| ProblemDocument {
        code: of.code,
        count: of.count,
        hint: of.hint.as_deref().map(|hint| seen(hint).into_owned()),
        message: seen(&of.message).into_owned(),
        places: of.places.iter().map(spot).collect(),
        severity: of.severity.into(),
    };
    found.iter().map(problem).collect()
}

fn spot(Spot { place, excerpt }: &Spot) -> SpotDocument {
    let excerpt = excerpt.as_ref();
    SpotDocument { column: place.column, file: named(&place.file), line: place.line, excerpt: excerpt.map(drawable) }
}

/// A line that shows all that is in it. Tabs stay: they are drawn as blanks.
fn drawable(excerpt: &Excerpt) -> ExcerptDocument {
    let show = |part: &str| part.split('\t').map(seen).collect::<Vec<_>>().join("\t");
    let Range { start, end } = excerpt.range;
    let [before, meant, after] = [&excerpt.line[..start], &excerpt.line[start..end], &excerpt.line[end..]].map(show);
    let range = before.len()..before.len() + meant.len();
    ExcerptDocument { line: before + &meant + &after, range }
}
