//! The ledger's own thread: one writer for all sources and notifiers, off the runtime's workers. Where no disk can make
//! it wait, as in a simulation, whose time must not go on while somebody works, it is a task of the runtime instead.
//!
//! Jobs are closures over the ledger. Those that wait while a flush is under way share the next one (group commit):
//! each has its own atomic batch, and none is answered before the flush that makes it durable. **Nothing may be told
//! to the world before [`Keeper::run`] has returned**: that is where "commit, deliver, mark delivered" begins. The
//! first failure ends the thread, and with it everything: a process that cannot write must not send.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::StoreError;
use super::ledger::Ledger;

/// Jobs that share one flush at most, so that none waits long for the others.
const GROUP: usize = 64;

/// Jobs that may wait; more make their callers wait in turn.
const BACKLOG: usize = 256;

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Job = Box<dyn FnOnce(&mut Ledger) -> Done + Send>;

/// A job that has been run, and is answered once that is durable.
struct Done {
    answer: Answer,
    /// The ledger cannot be trusted any more: what it holds in memory may be ahead of its rows.
    failed: bool,
}

/// Where a ledger is kept.
#[derive(Debug)]
pub enum Home {
    /// On a thread of its own.
    Thread(JoinHandle<()>),
    /// In a task of the runtime.
    Task(tokio::task::JoinHandle<()>),
}

impl Home {
    /// Waits until the ledger is closed, which a clean exit does. Returns whether that went well.
    pub async fn closed(self) -> bool {
        match self {
            Self::Thread(thread) => matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))),
            Self::Task(task) => task.await.is_ok(),
        }
    }
}

/// A handle to the ledger's thread. Clones share it; the thread ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct Keeper {
    jobs: mpsc::Sender<Job>,
    bells: Bells,
}

/// One for each who wants to hear of what is queued: tokio wakes those who share a channel in an order drawn by lot, and
/// a simulation is to go the same way each time.
type Bells = Arc<Mutex<Vec<watch::Sender<()>>>>;

impl Keeper {
    /// Gives `ledger` a home, within a runtime.
    pub fn start(ledger: Ledger) -> (Self, Home) {
        let (jobs, inbox) = mpsc::channel(BACKLOG);
        let bells = Bells::default();
        let desk = Desk { ledger, inbox, bells: Arc::clone(&bells) };
        let home = if desk.ledger.blocks() {
            Home::Thread(std::thread::spawn(move || desk.keep_blocking()))
        } else {
            Home::Task(tokio::spawn(desk.keep()))
        };
        (Self { jobs, bells }, home)
    }

    /// Runs `job` on the ledger. When this returns `Ok`, what it wrote is durable, but for what was only read: see
    /// [`Ledger::cover`].
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |ledger| {
            let done = job(ledger);
            let failed = done.is_err();
            if let Err(error) = &done {
                tracing::error!(%error, "the store has failed");
            }
            let answer = Box::new(move |synced: Result<(), StoreError>| {
                // Nobody waits any more if the caller was dropped; the write stands all the same.
                let _ = answer.send(done.and_then(|done| synced.map(|()| done)));
            });
            Done { answer, failed }
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Changes whenever alerts have been queued, durably.
    #[must_use]
    pub fn queued(&self) -> watch::Receiver<()> {
        let (bell, queued) = watch::channel(());
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|bell| !bell.is_closed());
        bells.push(bell);
        queued
    }
}

/// The ledger, and what waits for it.
struct Desk {
    ledger: Ledger,
    inbox: mpsc::Receiver<Job>,
    bells: Bells,
}

impl Desk {
    fn keep_blocking(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            if !self.group(first) {
                return;
            }
        }
        self.end();
    }

    async fn keep(mut self) {
        while let Some(first) = self.inbox.recv().await {
            if !self.group(first) {
                return;
            }
        }
        self.end();
    }

    /// Makes durable what did not have to be before.
    fn end(&mut self) {
        if let Err(error) = self.ledger.flush() {
            tracing::error!(%error, "the store cannot make its rows durable");
        }
    }

    /// Runs `first` and what waits behind it, makes that durable, and answers. Returns whether it can go on.
    fn group(&mut self, first: Job) -> bool {
        let mut done = vec![first(&mut self.ledger)];
        while done.len() < GROUP
            && !done.iter().any(|done| done.failed)
            && let Ok(job) = self.inbox.try_recv()
        {
            done.push(job(&mut self.ledger));
        }
        let mut failed = done.iter().any(|done| done.failed);
        let synced = self.ledger.sync();
        failed |= synced.is_err();
        if let Err(error) = &synced {
            tracing::error!(%error, "the store cannot make its rows durable");
        }
        for done in done {
            (done.answer)(synced.as_ref().map(drop).map_err(Clone::clone));
        }
        if let Ok(1..) = synced {
            let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
            bells.iter().for_each(|bell| bell.send_modify(|()| {}));
        }
        !failed
    }
}
