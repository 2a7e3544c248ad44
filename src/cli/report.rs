//! Where reports go: one of them to stdout, others to files.

use std::path::Path;

use crate::render::document::FailureDocument;
use crate::render::{Document, Format, Look};

use super::args::{ReportTo, Reports};
use super::error::CliError;
use super::exit::Exit;
use super::settings::print;

/// The reports of a run, and the documents that they hold so far: one per
/// tenant.
pub struct Outlets {
    outlets: Vec<(ReportTo, String)>,
}

impl Outlets {
    /// # Errors
    /// When two reports want stdout.
    pub fn new(args: &Reports) -> Result<Self, CliError> {
        let json = args.json.then_some(ReportTo { format: Format::Json, path: None });
        let mut wanted: Vec<ReportTo> = args.report.iter().cloned().chain(json).collect();
        let on_stdout = wanted.iter().filter(|report| report.path.is_none()).count();
        match on_stdout {
            0 => wanted.push(ReportTo { format: Format::Text, path: None }),
            1 => {}
            _ => {
                return Err(CliError::new(Exit::Usage, "only one report can go to stdout")
                    .hint("write the others to files: --report json=plan.json"));
            }
        }
        Ok(Self { outlets: wanted.into_iter().map(|report| (report, String::new())).collect() })
    }

    /// True if stdout belongs to a report for tools.
    #[must_use]
    pub fn stdout_is_json(&self) -> bool {
        self.outlets.iter().any(|(report, _)| report.path.is_none() && report.format == Format::Json)
    }

    /// True if text goes to stdout.
    #[must_use]
    pub fn stdout_is_text(&self) -> bool {
        !self.stdout_is_json()
    }

    /// Adds a tenant's report: to stdout at once, to files at the end. `render`
    /// is told whether the text may be for a terminal.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn add(&mut self, mut render: impl FnMut(Format, Option<&Path>) -> String) -> Result<(), CliError> {
        for (report, documents) in &mut self.outlets {
            let document = render(report.format, report.path.as_deref());
            match &report.path {
                None => print(&document)?,
                Some(_) => documents.push_str(&document),
            }
        }
        Ok(())
    }

    /// Writes the files. An error ends the reports for tools, too: one that is
    /// missing or old would tell them less than nothing.
    ///
    /// # Errors
    /// The error of the run; else the file that cannot be written.
    pub fn finish<T>(mut self, ended: Result<T, CliError>) -> Result<T, CliError> {
        if let Err(error) = &ended {
            let CliError { exit, message, hints, problems } = error.clone();
            let failure = FailureDocument { problems, ..FailureDocument::new(exit.code(), message, hints) };
            let failure = Document::Failure(failure);
            self.add(|format, _| format.draw(&failure, &Look::default()))?;
        }
        let written = self.write();
        ended.and_then(|value| written.map(|()| value))
    }

    fn write(self) -> Result<(), CliError> {
        for (report, documents) in self.outlets {
            let Some(path) = report.path else { continue };
            std::fs::write(&path, documents).map_err(|error| CliError::file("write", &path, &error))?;
        }
        Ok(())
    }
}
