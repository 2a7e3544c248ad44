//! Schedule (pure) and execute (shell).
