//! Text to located trees to claims and located problems.
