//! What happens to a device, as one character. Colours are the formats'.

/// What happens to a device, as one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    Register,
    Update,
    Awaiting,
    Unmanaged,
    Blocked,
    Conflict,
}

impl Symbol {
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Register => "+",
            Self::Update => "~",
            Self::Awaiting => ">",
            Self::Unmanaged => "?",
            Self::Blocked => "!",
            Self::Conflict => "x",
        }
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
            Self::Awaiting => "waiting",
            Self::Unmanaged => "unmanaged",
            Self::Blocked => "blocked",
            Self::Conflict => "conflict",
        }
    }
}
