//! Where reports go: one of them to stdout, others to files.

use crate::manifest::Fleet;
use crate::render::document::{FailureDocument, FleetDocument, Kind};
use crate::render::{Detail, Document, Format, Look};

use super::args::ReportTo;
use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::secrets::masked;
use super::settings::{print, tell};

/// The reports of a run, and what was reported so far: a document per tenant.
pub(super) struct Outlets {
    outlets: Vec<Outlet>,
    /// For formats that draw a run at its end.
    documents: Vec<Document>,
    /// True if the run has several tenants.
    several: bool,
    /// The tenant that is worked on.
    tenant: Option<String>,
}

/// One report.
struct Outlet {
    to: ReportTo,
    look: Look,
    /// What goes to a file.
    text: String,
}

impl Outlets {
    /// Text goes to stdout if nothing else is wanted there.
    ///
    /// # Errors
    /// When two reports want stdout, or a format does not show such documents.
    pub(super) fn new(mut wanted: Vec<ReportTo>, kind: Kind, look: Look) -> Result<Self, CliError> {
        if let Some(ReportTo { format, .. }) = wanted.iter().find(|report| !report.format.shows(kind)) {
            let shown: Vec<&str> = Format::ALL.into_iter().filter(|f| f.shows(kind)).map(Format::name).collect();
            let message = format!("`apgit {}` has no report in the format `{}`", kind.command(), format.name());
            return Err(CliError::new(Exit::Usage, message).hint(format!("its formats: {}", shown.join(", "))));
        }
        match wanted.iter().filter(|report| report.path.is_none()).count() {
            0 => wanted.push(ReportTo::stdout(Format::Text)),
            1 => {}
            _ => {
                return Err(CliError::new(Exit::Usage, "only one report can go to stdout")
                    .hint("write the others to files: --report json=plan.json"));
            }
        }
        // Told before anything is done, and looked at again when it is written.
        for path in wanted.iter().filter_map(|report| report.path.as_deref()) {
            file::refuse_link(path)?;
            let folder = file::folder_of(path);
            if !folder.is_dir() {
                let message = format!(
                    "the report `{}` cannot be written: there is no folder `{}`",
                    path.display(),
                    folder.display()
                );
                return Err(CliError::new(Exit::Usage, message).hint("create it first"));
            }
        }
        // A file has no colours, whatever the terminal has.
        let file_look = Look { detail: look.detail, ..Look::default() };
        let outlet = |to: ReportTo| {
            let look = if to.path.is_some() { file_look } else { look };
            Outlet { to, look, text: String::new() }
        };
        let outlets = wanted.into_iter().map(outlet).collect();
        Ok(Self { outlets, documents: Vec::new(), several: false, tenant: None })
    }

    /// Leaves what was told already out of the report on stdout.
    #[must_use]
    pub(super) fn totals_on_stdout(mut self) -> Self {
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.to.path.is_none()) {
            outlet.look.detail = Detail::Totals;
        }
        self
    }

    /// Leaves stdout to something else than a report.
    #[must_use]
    pub(super) fn without_stdout(mut self) -> Self {
        self.outlets.retain(|outlet| outlet.to.path.is_some());
        self
    }

    /// True if stdout belongs to this format.
    #[must_use]
    pub(super) fn stdout_is(&self, format: Format) -> bool {
        self.outlets.iter().any(|outlet| outlet.to == ReportTo::stdout(format))
    }

    /// Says how many tenants the run is over.
    pub(super) fn over(&mut self, tenants: usize) {
        self.several = tenants > 1;
    }

    /// Goes on with a tenant.
    pub(super) fn begin(&mut self, fleet: &Fleet) {
        self.tenant = Some(fleet.desired.tenant.name.clone());
    }

    /// True if the run has several tenants.
    #[must_use]
    pub(super) fn are_of_several(&self) -> bool {
        self.several
    }

    /// Adds a document: on stdout at once where the format is read as a run goes
    /// on, else at its end.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub(super) fn add(&mut self, document: Document) -> Result<(), CliError> {
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.to.format.streams()) {
            outlet.take(&document)?;
        }
        self.keep(document);
        Ok(())
    }

    /// Adds a document that has been told already: only formats that draw a run
    /// at its end have it.
    pub(super) fn keep(&mut self, document: Document) {
        self.documents.push(document);
        self.tenant = None;
    }

    /// Tells of an error that ends the work on the present tenant, and not the run.
    pub(super) fn fail(&mut self, error: CliError, look: &Look) -> Exit {
        let failure = self.failure(&error);
        let error = match self.tenant.as_deref().filter(|_| self.several) {
            Some(name) => error.of_tenant(name),
            None => error,
        };
        tell(&error.text(look));
        self.keep(failure);
        error.exit
    }

    /// The error of the tenant in that place, which ends the run.
    pub(super) fn of(&mut self, fleets: &[&Fleet], (at, error): (usize, impl Into<CliError>)) -> CliError {
        self.begin(fleets[at]);
        let error: CliError = error.into();
        if self.several { error.of_tenant(&fleets[at].desired.tenant.name) } else { error }
    }

    /// Ends the reports. An error ends those for tools, too: one that is missing
    /// or old would tell them less than nothing.
    ///
    /// # Errors
    /// The error of the run; else what cannot be written.
    pub(super) fn finish(mut self, ended: Result<Exit, CliError>) -> Result<Exit, CliError> {
        if let Err(error) = &ended {
            // What ends a run before any tenant had its turn stands alone.
            self.several &= self.tenant.is_some() || !self.documents.is_empty();
            let failure = self.failure(error);
            self.keep(failure);
        }
        let written = self.write(ended.as_ref().map_or_else(|error| error.exit, |exit| *exit));
        ended.and_then(|exit| written.map(|()| exit))
    }

    fn failure(&self, error: &CliError) -> Document {
        let CliError { exit, message, hints, problems } = error.clone();
        let tenant = self.tenant.clone().filter(|_| self.several);
        Document::Failure(FailureDocument { tenant, problems, ..FailureDocument::new(exit.code(), message, hints) })
    }

    /// One report that cannot be written costs no other.
    fn write(self, exit: Exit) -> Result<(), CliError> {
        let Self { outlets, documents, several, .. } = self;
        // One tenant has one document; what went wrong after it is told on stderr.
        let whole = if several {
            Some(Document::Fleet(FleetDocument::new(documents, exit.code())))
        } else {
            documents.into_iter().next()
        };
        outlets.into_iter().map(|outlet| outlet.end(whole.as_ref())).fold(Ok(()), Result::and)
    }
}

impl Outlet {
    fn take(&mut self, document: &Document) -> Result<(), CliError> {
        let text = self.to.format.draw(document, &self.look);
        if self.to.path.is_none() {
            return print(&text);
        }
        self.text.push_str(&text);
        Ok(())
    }

    /// `whole` is the run as one document.
    fn end(mut self, whole: Option<&Document>) -> Result<(), CliError> {
        if !self.to.format.streams() {
            whole.map_or(Ok(()), |document| self.take(document))?;
        }
        let Some(path) = self.to.path else { return Ok(()) };
        file::write(&path, &masked(&self.text))
    }
}
