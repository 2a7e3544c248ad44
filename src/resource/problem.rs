//! A problem of a field, named by its path: `manifest` turns the path into a
//! place, the operator into a condition.

/// One step into an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// Into a field, by its name in manifests.
    Field(&'static str),
    /// Into a list, from 0.
    Index(usize),
}

/// The way from an object's root to a field, such as `spec.devices[3].groupTag`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// One step further, into a field.
    #[must_use]
    pub fn field(mut self, name: &'static str) -> Self {
        self.0.push(Segment::Field(name));
        self
    }

    /// One step further, into a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What is wrong with a field. The message never repeats a hash or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Which field, from the object's root.
    pub path: FieldPath,
    /// A stable short name, such as `serial-placeholder`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What they can do.
    pub hint: Option<String>,
}

/// Problems as they are found; the checks go on after each.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<FieldProblem>,
    prefix: FieldPath,
}

impl Problems {
    /// `prefix` is put before the path of every problem.
    #[must_use]
    pub fn under(prefix: FieldPath) -> Self {
        Self { found: Vec::new(), prefix }
    }

    /// `path` is relative to the prefix.
    pub fn push(&mut self, path: &[&'static str], code: &'static str, message: impl Into<String>) {
        self.add(path, code, message.into(), None);
    }

    /// The same, with what to do.
    pub fn push_hint(
        &mut self,
        path: &[&'static str],
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(path, code, message.into(), Some(hint.into()));
    }

    /// Looks into an entry of a list: its problems have paths from there.
    pub(super) fn within(&mut self, list: &[&'static str], index: usize, look: impl FnOnce(&mut Self)) {
        let entry = list.iter().fold(self.prefix.clone(), |path, name| path.field(name)).index(index);
        let outside = std::mem::replace(&mut self.prefix, entry);
        look(self);
        self.prefix = outside;
    }

    fn add(&mut self, path: &[&'static str], code: &'static str, message: String, hint: Option<String>) {
        let path = path.iter().fold(self.prefix.clone(), |path, name| path.field(name));
        self.found.push(FieldProblem { path, code, message, hint });
    }

    /// How many were found so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// True if nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<FieldProblem> {
        self.found
    }
}
