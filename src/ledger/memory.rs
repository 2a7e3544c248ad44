//! A journal in memory.

use async_trait::async_trait;

use super::journal::{JournalError, JournalStore};

/// A store that forgets: for a run that must leave no file, and for reading a
/// tenant that was never written.
#[derive(Debug, Default)]
pub struct Memory(Vec<String>);

#[async_trait]
impl JournalStore for Memory {
    async fn read(&mut self) -> Result<Vec<String>, JournalError> {
        Ok(self.0.clone())
    }

    async fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.extend_from_slice(lines);
        Ok(())
    }

    async fn replace(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0 = lines.to_vec();
        Ok(())
    }
}
