//! What happens to a device, as one character. Colours are the formats'.

/// What happens to a device, as one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// It is registered.
    Register,
    /// Its registration changes.
    Update,
    /// Its registration is removed.
    Deregister,
    /// It is forgotten, and stays registered.
    Release,
    /// It is taken note of.
    Adopt,
    /// What was applied is loosened.
    Loosen,
    /// It waits for somebody else.
    Awaiting,
    /// It is declared nowhere.
    Unmanaged,
    /// A rule of ours or a person's word stops it.
    Blocked,
    /// A fact outside stops it.
    Conflict,
}

impl Symbol {
    /// The character, of ASCII.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Register => "+",
            Self::Update => "~",
            Self::Deregister => "-",
            Self::Release => ".",
            Self::Adopt => "=",
            Self::Loosen => "*",
            Self::Awaiting => ">",
            Self::Unmanaged => "?",
            Self::Blocked => "!",
            Self::Conflict => "x",
        }
    }

    /// The word that explains it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
            Self::Deregister => "deregister",
            Self::Release => "release",
            Self::Adopt => "adopt",
            Self::Loosen => "loosen",
            Self::Awaiting => "waiting",
            Self::Unmanaged => "unmanaged",
            Self::Blocked => "blocked",
            Self::Conflict => "conflict",
        }
    }
}
