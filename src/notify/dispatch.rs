//! The one loop that hands alerts over: next → send → settle → next, for one notifier.
//!
//! A failure that is about the receiver makes the whole notifier wait, since a receiver that is down is down for every
//! incident; one that is about the alert holds up its own chain only, and the store knows that from the
//! [`Settlement`]. Waits are raced against shutdown, attempts never are: an attempt that was begun is finished, within
//! the time that the sender allows itself, and what became of it is recorded.
//!
//! [`Dispatcher::run`] goes on until it is told to stop. [`Dispatcher::drain`] is for `--once` and ends by itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::retry::{self, HURRIED, REFUSED, UNREACHED};
use super::{Outbox, Outcome, Sender, Which};
use crate::config;
use crate::model::WallClock;
use crate::store::{Delivery, Next, Settlement, StoreError};

/// Longest sleep: the wall clock, by which alerts become due, may be set, or go on while this machine sleeps.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How often a drain tries one chain, and how many failures in a row tell it that the receiver is down.
const DRAIN_TRIES: u32 = 3;

/// How long a drain waits for a receiver that asks for a pause.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// Hands the alerts in one notifier's outbox over to its sender.
pub struct Dispatcher<O> {
    notifier: String,
    retry_for: Duration,
    sender: Sender,
    outbox: Arc<O>,
    /// Since this dispatcher was made.
    stats: Mutex<NotifierStats>,
    clock: WallClock,
}

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifierStats {
    /// Alerts that the receiver took.
    pub accepted: u64,
    /// Attempts that are to be repeated.
    pub failed: u64,
    /// Alerts that became dead letters.
    pub dead: u64,
}

/// What a drain did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How its attempts ended.
    pub stats: NotifierStats,
    /// Why it ended.
    pub end: End,
}

/// Why a drain ended. What is still undelivered then, the store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that was queued was tried as often as a drain tries.
    Done,
    /// The receiver could not be reached several times in a row, or asked for a longer pause.
    Unreachable,
    /// The deadline came, or shutdown.
    OutOfTime,
}

/// How one attempt went.
struct Tried {
    outcome: Outcome,
    settlement: Settlement,
    jitter: u16,
}

impl<O: Outbox> Dispatcher<O> {
    /// For `notifier`, whose alerts wait in `outbox` until they are due by `clock`.
    pub fn new(notifier: &config::Notifier, sender: Sender, outbox: Arc<O>, clock: WallClock) -> Self {
        Self {
            notifier: notifier.name.clone(),
            retry_for: notifier.retry_for,
            sender,
            outbox,
            stats: Mutex::default(),
            clock,
        }
    }

    /// What was done so far, by `run` and `drain` together.
    pub fn stats(&self) -> NotifierStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what is due, and waits for more, until `shutdown`. `wake` changes when something was queued. An error
    /// is the store's, and nothing may be sent after one.
    pub async fn run(&self, mut wake: watch::Receiver<()>, shutdown: CancellationToken) -> Result<(), StoreError> {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            // Before looking, so that what is queued while we look wakes us.
            wake.borrow_and_update();
            let now = self.clock.now();
            match self.outbox.next(&self.notifier, now, Which::Due).await? {
                Next::Send(delivery) => {
                    let tried = self.hand_over(&delivery, &mut failures, None).await?;
                    if let Outcome::Transient { retry_after, .. } = tried.outcome {
                        let pause = UNREACHED.jittered(failures, tried.jitter).max(retry::obeyed(retry_after));
                        unless(&shutdown, tokio::time::sleep(pause)).await;
                    }
                }
                Next::Wait(until) => {
                    // A millisecond at least: a store that contradicts itself must not make this loop spin.
                    let pause = until.since(now).clamp(Duration::from_millis(1), LOOK_AGAIN);
                    unless(&shutdown, async {
                        let _ = tokio::time::timeout(pause, woken(&mut wake)).await;
                    })
                    .await;
                }
                Next::Idle => unless(&shutdown, woken(&mut wake)).await,
            }
        }
        Ok(())
    }

    /// Hands over everything that is queued, whether it is due or not, and ends. What fails is tried again after a
    /// moment, a few times; an attempt that is under way at `deadline` is given up as failed. Nothing is begun after
    /// `deadline` or `shutdown`.
    pub async fn drain(&self, deadline: Option<Instant>, shutdown: &CancellationToken) -> Result<Drained, StoreError> {
        let mut stats = NotifierStats::default();
        let mut chains = Chains::default();
        let mut failures = 0;
        let end = loop {
            let now = Instant::now();
            if shutdown.is_cancelled() || deadline.is_some_and(|deadline| deadline <= now) {
                break End::OutOfTime;
            }
            chains.release(now);
            let next = self.outbox.next(&self.notifier, self.clock.now(), Which::AllBut(&chains.held)).await?;
            let until = match (next, chains.next_release()) {
                (Next::Send(delivery), _) => {
                    let tried = self.hand_over(&delivery, &mut failures, deadline).await?;
                    stats.count(&tried.settlement);
                    chains.settle(&delivery.alert.incident, &tried.outcome, Instant::now());
                    let Outcome::Transient { retry_after, .. } = tried.outcome else { continue };
                    let pause = HURRIED.after(failures).max(retry::obeyed(retry_after));
                    if failures >= DRAIN_TRIES || pause > DRAIN_PATIENCE {
                        break End::Unreachable;
                    }
                    Instant::now() + pause
                }
                (Next::Wait(_) | Next::Idle, Some(release)) => release,
                (Next::Wait(_) | Next::Idle, None) => break End::Done,
            };
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            unless(shutdown, tokio::time::sleep_until(until)).await;
        };
        Ok(Drained { stats, end })
    }

    /// One attempt and its record. What is in `delivery` is committed already; it is delivered here, and then marked:
    /// commit → deliver → mark delivered. If this process dies between the last two, the same id is sent again, never
    /// another. `failures` counts the transient failures in a row, whichever alerts they hit.
    async fn hand_over(
        &self,
        delivery: &Delivery,
        failures: &mut u32,
        deadline: Option<Instant>,
    ) -> Result<Tried, StoreError> {
        let sending = self.sender.send(&delivery.alert, self.clock.now());
        let outcome = match deadline {
            None => sending.await,
            Some(deadline) => tokio::time::timeout_at(deadline, sending)
                .await
                .unwrap_or_else(|_| Outcome::transient("no answer before the time was up")),
        };
        *failures = match &outcome {
            Outcome::Transient { .. } => failures.saturating_add(1),
            // It was reached.
            Outcome::Accepted | Outcome::Permanent { .. } => 0,
        };
        let jitter = fastrand::u16(..);
        let settlement = retry::settle(delivery, &outcome, self.clock.now(), self.retry_for, jitter);
        self.outbox.settle(delivery, settlement.clone()).await?;
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).count(&settlement);
        tell(delivery, &settlement, *failures);
        Ok(Tried { outcome, settlement, jitter })
    }
}

impl<O> fmt::Debug for Dispatcher<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("notifier", &self.notifier)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

impl NotifierStats {
    fn count(&mut self, settlement: &Settlement) {
        match settlement {
            Settlement::Accepted { .. } => self.accepted += 1,
            Settlement::Retry { .. } => self.failed += 1,
            Settlement::Dead { .. } => self.dead += 1,
        }
    }
}

/// The chains that failed in one drain. By stored times they would not come up again in it, and without them they
/// would come up at once and for ever.
#[derive(Default)]
struct Chains {
    /// Failures by incident.
    failures: HashMap<String, u32>,
    /// Not to be tried now; those not in `releases` not in this drain.
    held: HashSet<String>,
    releases: BTreeSet<(Instant, String)>,
}

impl Chains {
    fn settle(&mut self, incident: &str, outcome: &Outcome, now: Instant) {
        if *outcome == Outcome::Accepted {
            self.failures.remove(incident);
            return;
        }
        let failures = self.failures.entry(incident.to_owned()).or_default();
        *failures += 1;
        self.held.insert(incident.to_owned());
        if *failures < DRAIN_TRIES {
            self.releases.insert((now + HURRIED.after(*failures), incident.to_owned()));
        }
    }

    fn next_release(&self) -> Option<Instant> {
        self.releases.first().map(|(at, _)| *at)
    }

    fn release(&mut self, now: Instant) {
        while self.next_release().is_some_and(|at| at <= now) {
            if let Some((_, incident)) = self.releases.pop_first() {
                self.held.remove(&incident);
            }
        }
    }
}

/// One line about one attempt. Repeated failures are told when the wait between them grows, not each time.
fn tell(delivery: &Delivery, settlement: &Settlement, failures: u32) {
    let Delivery { notifier, alert, attempts, .. } = delivery;
    let (id, kind, incident) = (&*alert.id, alert.kind.word(), &*alert.incident);
    let attempts = attempts.saturating_add(1);
    match settlement {
        Settlement::Accepted { .. } => {
            info!(notifier, alert = id, kind, incident, attempts, "alert accepted");
        }
        Settlement::Dead { error, .. } => {
            error!(notifier, alert = id, kind, incident, attempts, error, "alert given up; it is a dead letter now");
        }
        Settlement::Retry { at, parked, error, .. } => {
            let worth_it = if *parked { REFUSED.is_step(attempts) } else { UNREACHED.is_step(failures) };
            let what = if *parked { "alert refused" } else { "notifier not reached" };
            if worth_it {
                warn!(notifier, alert = id, kind, incident, attempts, error, retry = %at, "{what}");
            } else {
                debug!(notifier, alert = id, kind, incident, attempts, error, retry = %at, "{what}");
            }
        }
    }
}

/// Waits for `wait` to end, or for `shutdown`.
async fn unless(shutdown: &CancellationToken, wait: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = wait => {}
    }
}

/// Waits until something was queued; for ever, if nobody is left who could.
async fn woken(wake: &mut watch::Receiver<()>) {
    if wake.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
pub(super) mod tests;
