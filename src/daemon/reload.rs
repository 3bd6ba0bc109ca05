//! A configuration that is read again while the daemon runs.
//!
//! [`Reloads`] is where the wish comes from, and how the configuration is found then. What it holds is checked as at a
//! start; what is wrong is [`Refused`], said line by line, and the old one goes on. Nothing has been touched until then.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::Fatal;
use crate::config::{Config, LoadError};
use crate::notify::with_causes;

/// Finds, reads and checks the configuration.
type Read = dyn Fn() -> Result<Config, LoadError> + Send + Sync;

/// Wishes that the configuration be read again.
#[derive(Clone)]
pub struct Reloads {
    /// Several wishes that come while one is being granted are one.
    wishes: watch::Receiver<()>,
    read: Arc<Read>,
}

/// Why a new configuration does not come into force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It cannot be read, or is wrong.
    #[error(transparent)]
    Wrong(#[from] LoadError),
    /// It names another state.
    #[error("state_dir cannot change while secretwatch runs; stop it, move the folder, and start it again")]
    Moved,
    /// It listens elsewhere.
    #[error("[status] cannot change while secretwatch runs; restart it")]
    Elsewhere,
    /// It asks for something that cannot be had.
    #[error(transparent)]
    Unusable(#[from] Fatal),
}

impl Reloads {
    /// Whenever `wishes` changes, `read` is asked for the configuration.
    pub fn new(
        wishes: watch::Receiver<()>,
        read: impl Fn() -> Result<Config, LoadError> + Send + Sync + 'static,
    ) -> Self {
        Self { wishes, read: Arc::new(read) }
    }

    /// Waits for a wish, and then finds the configuration. Cancelling it loses no wish.
    pub(super) async fn next(&mut self) -> Result<Config, LoadError> {
        if self.wishes.changed().await.is_err() {
            // Nobody is left who could have one.
            std::future::pending().await
        }
        (self.read)()
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}

impl Refused {
    /// Says it, a line for each problem, as `check` does.
    pub(super) fn log(&self) {
        match self {
            Self::Wrong(LoadError::Wrong(problems)) => {
                problems.iter().for_each(|problem| tracing::error!("{problem}"));
            }
            other => tracing::error!("{}", with_causes(other)),
        }
        tracing::error!("the new configuration is refused; the old one goes on");
    }
}
