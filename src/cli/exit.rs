//! How it went, as the number that scripts and service managers act on. The numbers are part of the interface.

use std::error::Error;
use std::process::{ExitCode, Termination};

use crate::daemon::{Fatal, Once};
use crate::store::StoreError;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or stopped by a signal.
    Done,
    /// A pass was incomplete, or a file could not be read.
    Incomplete,
    /// What was asked about is not known.
    Unknown,
    /// Read through, but an alert is still undelivered.
    Undelivered,
    /// Wrong usage.
    Usage,
    /// A fault of the program itself.
    Software,
    /// The store cannot be read or written.
    Store,
    /// Another instance holds the state.
    Locked,
    /// Wrong configuration.
    Configuration,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Unknown => 1,
            Self::Undelivered => 2,
            Self::Usage => 64,
            Self::Software => 70,
            Self::Store => 74,
            Self::Locked => 75,
            Self::Configuration => 78,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl From<Once> for Exit {
    fn from(once: Once) -> Self {
        match once {
            Once { stopped: true, .. } => Self::Done,
            Once { read_through: false, .. } => Self::Incomplete,
            Once { undelivered: 1.., .. } => Self::Undelivered,
            Once { .. } => Self::Done,
        }
    }
}

/// What ended the daemon, told and as a status.
pub(super) fn fatal(error: &Fatal) -> Exit {
    tell(error);
    match error {
        Fatal::Store(StoreError::Locked(_)) => Exit::Locked,
        Fatal::Store(_) => Exit::Store,
        Fatal::Aws(_) | Fatal::Notifier(_) | Fatal::Schedule(_) | Fatal::Heartbeat(_) => Exit::Configuration,
        Fatal::Task(_) => Exit::Software,
    }
}

/// Says on standard error what went wrong, with its causes.
pub(super) fn tell(error: &dyn Error) {
    eprintln!("secretwatch: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
