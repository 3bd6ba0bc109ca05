//! Everything that the daemon meets outside of itself, in one value, so that all of it can be another world.
//!
//! In production that is AWS, the machine's clock, a folder and a calendar. A simulation brings its own AWS, its own
//! clock and a disk that it holds in its hands; then nothing here waits for anything but tokio's time, which a test may
//! have paused: the ledger is kept by a task instead of a thread, and chores come by that time instead of by calendar.
//!
//! Receivers of alerts other than SNS are not part of it: a webhook has a client of its own and needs a network.

use std::path::Path;

use super::reload::Reloads;
use super::supervisor::Supervisor;
use crate::aws::Aws;
use crate::model::{WallClock, WallTime};
use crate::store::{Ledger, LedgerSettings, SimulatedDisk, StoreError};

/// What lies outside.
#[derive(Clone, Debug)]
pub struct Outside {
    /// AWS: the trails, and the topics.
    pub aws: Aws,
    /// The wall clock. Waits are made by tokio's.
    pub clock: WallClock,
    /// Where the store lies; none: in the folder that the configuration names.
    pub disk: Option<SimulatedDisk>,
    /// Who runs it.
    pub service: Service,
}

/// What makes the daemon a service: somebody waits for its word, and may want it to read its configuration again.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Who waits.
    pub supervisor: Supervisor,
    /// Where the wish comes from; none: nobody has it.
    pub reloads: Option<Reloads>,
}

impl Outside {
    /// This machine, and the real AWS or what is taken for it.
    #[must_use]
    pub fn machine(aws: Aws) -> Self {
        Self { aws, clock: WallClock::machine(), disk: None, service: Service::default() }
    }

    /// The same as a service, whose `supervisor` is told how it goes, and whose configuration can be read again.
    #[must_use]
    pub fn as_a_service(self, supervisor: Supervisor, reloads: Reloads) -> Self {
        Self { service: Service { supervisor, reloads: Some(reloads) }, ..self }
    }

    /// A world in which nothing is real. It needs a runtime of one thread if things are to happen in the same order
    /// each time.
    #[must_use]
    pub fn simulated(aws: Aws, clock: WallClock, disk: SimulatedDisk) -> Self {
        Self { aws, clock, disk: Some(disk), service: Service::default() }
    }

    /// Opens the store. A folder may make its caller wait.
    pub(super) fn open(
        disk: Option<SimulatedDisk>,
        state_dir: &Path,
        settings: LedgerSettings,
        now: WallTime,
    ) -> Result<Ledger, StoreError> {
        match disk {
            Some(disk) => Ledger::simulated(&disk, settings, now),
            None => Ledger::open(state_dir, settings, now),
        }
    }
}
