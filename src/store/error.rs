//! What can go wrong with the store. All of it means: stop. What was committed is safe, and what was not will be read
//! again.

use std::io::ErrorKind;
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
    #[error(
        "the store is damaged: {what}; `secretwatch store check` says what else is, `secretwatch store renew` begins anew \
         with what can be saved"
    )]
    Damaged {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// The folder cannot be opened as a store.
    #[error(
        "the store in {} cannot be used: {why}; restore it from a copy, or begin anew with what can be saved of it by \
         `secretwatch store renew`",
        path.display()
    )]
    Unopened {
        /// The store's folder.
        path: PathBuf,
        /// What the store engine or the system said.
        why: String,
    },
    /// There is none.
    #[error("there is no store in {}: the first run makes one; is the state_dir right?", .0.display())]
    Missing(PathBuf),
    /// It was to be renewed, and nothing is wrong with it.
    #[error("nothing is wrong with the store in {}; to renew it all the same, say --force", .0.display())]
    Well(PathBuf),
    /// A file operation failed.
    #[error("cannot {doing} {}{}", path.display(), way_out(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::sync::Arc<std::io::Error>,
    },
    /// Reading or writing rows failed.
    #[error("the store in {} cannot be read or written{}", path.display(), engine_way_out(source))]
    Engine {
        /// The store's folder.
        path: PathBuf,
        /// What the store engine said.
        source: sled::Error,
    },
    /// The thread that owns the store has ended.
    #[error("the store's thread has ended; an earlier message says why")]
    Stopped,
}

/// What the operator can do about it.
fn way_out(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room there and start again: what was committed is safe, and the rest will be read again"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; the state_dir and all in it must be writable for the user that secretwatch runs as"
        }
        _ => "",
    }
}

fn engine_way_out(error: &sled::Error) -> &'static str {
    match error {
        sled::Error::Io(error) => way_out(error),
        _ => {
            "; `secretwatch store check` says what is damaged, `secretwatch store renew` begins anew with what can be \
             saved"
        }
    }
}
