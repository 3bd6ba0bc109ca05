//! When a pass ends before it is through, and how it waits until then.
//!
//! A reading ends early for one of three reasons, which [`Ended`] tells apart because different things follow: it gave
//! way to the next poll, and what is left shows in the next plan; all is to end; or something failed. Waits are raced
//! against the first two, work never is.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::detect::Trouble;
use crate::store::StoreError;

/// When a pass ends before it is through.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Cancelled when the page in hand is to be the last.
    pub stop: CancellationToken,
    /// Changes when the next poll is due: from then on a reading is left to it, after a page at least. None: this is
    /// the only pass.
    pub polls: Option<Polls>,
    /// When everything is.
    pub deadline: Option<Instant>,
}

/// When polls of one source are due: all sources are told at once, and each is late by its own offset, so that a
/// thousand of them do not ask at the same instant.
#[derive(Clone, Debug)]
pub struct Polls {
    /// Tells when polls became due.
    pub signal: watch::Receiver<Instant>,
    /// This source's.
    pub offset: Duration,
}

/// Why a reading ended before its last page.
pub(super) enum Ended {
    /// The next poll is due.
    GaveWay,
    /// All is to end.
    Stopped,
    /// Something went wrong at the source.
    Failed(Trouble),
    /// The store cannot go on, and so nothing can.
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Limits {
    /// What `work` yields, unless the deadline comes first. A stop waits for it: it is the page in hand.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout_at(deadline, work).await.map_err(|_| Ended::Stopped),
        }
    }

    /// Resolves when the pass is to end.
    pub(super) async fn over(&self) {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = deadline => {}
        }
    }

    /// Resolves when the next poll is due, and not before `earliest`.
    pub(super) async fn next_poll(&self, earliest: Instant) {
        let Some(polls) = &self.polls else { return std::future::pending().await };
        polls.clone().next().await;
        tokio::time::sleep_until(earliest).await;
    }
}

impl Polls {
    /// Waits for the next poll. Cancelling it loses nothing: a signal that was not [seen](Self::seen) stays one.
    pub(super) async fn next(&mut self) {
        if self.signal.changed().await.is_err() {
            // Whoever gave the signal has gone; the stop comes on its own way.
            std::future::pending().await
        }
        let due = *self.signal.borrow() + self.offset;
        tokio::time::sleep_until(due).await;
    }

    /// Notes that the polls that were signalled so far are being made.
    pub(super) fn seen(&mut self) {
        self.signal.borrow_and_update();
    }
}

/// Waits for `length`, unless all is to end before.
pub(super) async fn pause(length: Duration, limits: &Limits) -> Result<(), Ended> {
    tokio::select! {
        biased;
        () = tokio::time::sleep(length) => Ok(()),
        () = limits.over() => Err(Ended::Stopped),
    }
}
