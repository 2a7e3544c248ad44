//! A process that dies at any request and at any line of the journal.
