//! Chores by the calendar: cron expressions in UTC, which end as a [`Chore`] in the daemon's own queue.
//!
//! The scheduler runs jobs side by side, starts a second run of one that is late, and stops without waiting. So a job
//! here does nothing but drop a word into a queue; what it asks for is done by the daemon's loop, which knows about
//! overlap and shutdown. If the queue is full, the chore asked for is waiting there already.
//!
//! It looks at the machine's clock. In a simulation, which has another, [`Calendar::by_tokios_time`] takes its place.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Old rows are let go of once an hour: in slices, so that an hour's worth never holds up a page for long.
const PRUNE: &str = "0 23 * * * *";

/// New secrets get their ARNs within the hour.
const INVENTORY: &str = "0 41 * * * *";

/// Between two chores where each comes once an hour.
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// What is done by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Poll every source.
    Poll,
    /// Let go of what is older than the retention.
    Prune,
    /// Ask again which secrets there are.
    Inventory,
    /// Send a digest.
    Digest,
}

/// The calendar; it ends when this is dropped.
pub(super) enum Calendar {
    /// By the machine's clock.
    Scheduler(JobScheduler),
    /// By tokio's.
    Task(JoinHandle<()>),
}

/// The calendar cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot schedule {chore:?} by {cron:?}")]
pub struct BadSchedule {
    chore: Chore,
    cron: String,
    source: JobSchedulerError,
}

impl Calendar {
    /// Starts the calendar, with the operator's `own` expressions besides.
    pub(super) async fn start(own: &[(Chore, &str)], chores: &mpsc::Sender<Chore>) -> Result<Self, BadSchedule> {
        let failed = |chore, cron: &str| {
            let cron = cron.to_owned();
            move |source| BadSchedule { chore, cron, source }
        };
        let scheduler = JobScheduler::new().await.map_err(failed(Chore::Prune, PRUNE))?;
        for (chore, cron) in own.iter().copied().chain([(Chore::Prune, PRUNE), (Chore::Inventory, INVENTORY)]) {
            let chores = chores.clone();
            let job = Job::new(cron, move |_, _| {
                // A full queue holds this chore already; a closed one means that the daemon is going down.
                let _ = chores.try_send(chore);
            });
            let job = job.map_err(failed(chore, cron))?;
            scheduler.add(job).await.map_err(failed(chore, cron))?;
        }
        scheduler.start().await.map_err(failed(Chore::Prune, PRUNE))?;
        Ok(Self::Scheduler(scheduler))
    }

    /// Prunes and lists secrets once an hour by tokio's time. There are no polls and no digests by the calendar here.
    pub(super) fn by_tokios_time(chores: &mpsc::Sender<Chore>) -> Self {
        let chores = chores.clone();
        Self::Task(tokio::spawn(async move {
            for chore in [Chore::Prune, Chore::Inventory].into_iter().cycle() {
                tokio::time::sleep(HALF_AN_HOUR).await;
                let _ = chores.try_send(chore);
            }
        }))
    }

    pub(super) async fn stop(self) {
        match self {
            Self::Scheduler(mut scheduler) => {
                if let Err(error) = scheduler.shutdown().await {
                    tracing::debug!(%error, "the calendar did not stop");
                }
            }
            Self::Task(task) => task.abort(),
        }
    }
}
