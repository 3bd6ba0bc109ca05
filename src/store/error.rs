//! What can go wrong with the store. There is one answer to all of it: stop, and say so (exit status 74), since
//! nothing may be told to the world that is not durable first.

use std::error::Error;

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct StoreError {
    action: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// `action` is what was tried, as in "cannot …": `"read the outbox"`.
    pub fn new(action: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, source: source.into() }
    }
}
