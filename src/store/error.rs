//! What can go wrong with the store. All of it means: stop. What was committed is safe, and what was not will be read
//! again.

use std::path::PathBuf;

/// Why the store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another instance holds the state directory.
    #[error("another secretwatch is using {}; stop it, or give this one a state_dir of its own", .0.display())]
    Locked(PathBuf),
    /// A newer version of secretwatch has written it.
    #[error(
        "the store in {} has schema version {found}, this secretwatch knows {known} at most; install the newer version \
         again, or start with an empty state_dir",
        path.display()
    )]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// It was opened but does not hold what it should.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// The folder cannot be opened as a store.
    #[error(
        "the store in {} cannot be opened: {why}; it was left as it is: restore it from a copy, or move it aside to begin \
         anew",
        path.display()
    )]
    Unopened {
        /// The store's folder.
        path: PathBuf,
        /// What the store engine or the system said.
        why: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::sync::Arc<std::io::Error>,
    },
    /// Reading or writing rows failed.
    #[error("the store cannot be read or written")]
    Engine(#[source] sled::Error),
    /// The thread that owns the store has ended.
    #[error("the store's thread has ended; an earlier message says why")]
    Stopped,
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Engine(error)
    }
}
