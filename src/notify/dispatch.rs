//! The one loop that hands alerts over: next → send → settle → next, for one notifier.
//!
//! A failure that is about the receiver makes the whole notifier wait, since a receiver that is down is down for every
//! incident; one that is about the alert holds up its own chain only, and the store knows that from the
//! [`Settlement`]. Where the notifier has fallbacks, an attempt goes on by their [`Way`]s once their time has come; the
//! alert stays in this notifier's outbox meanwhile, so its chain waits and there is one place that knows its fate.
//!
//! In a storm, alerts of different chains may share a message. Only its acceptance means anything for those that share
//! it: short of that they are as they were, and the next message tells of one alert alone. So no alert is settled by a
//! message that did not get through, and one that the receiver chokes on cannot hold up the others for long.
//!
//! Waits are raced against shutdown, attempts never are: an attempt that was begun is finished, within
//! the time that the sender allows itself, and what became of it is recorded.
//!
//! [`Dispatcher::run`] goes on until it is told to stop. [`Dispatcher::drain`] is for `--once` and ends by itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::format::Letter;
use super::retry::{self, HURRIED, REFUSED, UNREACHED};
use super::way::Course;
use super::{Outbox, Outcome, Way, Which};
use crate::config;
use crate::model::{Alert, WallClock, WallTime};
use crate::store::{Delivery, Next, Settlement, StoreError};

/// Longest sleep: the wall clock, by which alerts become due, may be set, or go on while this machine sleeps.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How often a drain tries one chain, and how many failures in a row tell it that the receiver is down.
const DRAIN_TRIES: u32 = 3;

/// How long a drain waits for a receiver that asks for a pause.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// So many alerts have to wait before they share a message. Fewer are each worth one of their own.
const STORM: usize = 10;

/// So many share one at most: what somebody can still read.
const SHARED_MAX: usize = 20;

/// Hands the alerts in one notifier's outbox over to its sender.
pub struct Dispatcher<O> {
    notifier: String,
    retry_for: Duration,
    /// The notifier's own way first.
    ways: Vec<Way>,
    outbox: Arc<O>,
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
    /// Of the alert whose turn it was, and then of those that shared its message.
    settlements: Vec<Settlement>,
}

/// Where one run stands.
struct Turn<'a> {
    course: Course,
    /// The last message that alerts shared was not accepted: the next tells of one alone.
    alone: bool,
    deadline: Option<Instant>,
    shutdown: &'a CancellationToken,
}

impl<O: Outbox> Dispatcher<O> {
    /// The notifier whose outbox it empties.
    #[must_use]
    pub fn notifier(&self) -> &str {
        &self.notifier
    }

    /// For `notifier`, whose alerts wait in `outbox` until they are due by `clock`. The first of `ways` is its own.
    pub fn new(notifier: &config::Notifier, ways: Vec<Way>, outbox: Arc<O>, clock: WallClock) -> Self {
        Self { notifier: notifier.name.clone(), retry_for: notifier.retry_for, ways, outbox, clock }
    }

    /// Hands over what is due, and waits for more, until `shutdown`. `wake` changes when something was queued. An error
    /// is the store's, and nothing may be sent after one.
    pub async fn run(&self, mut wake: watch::Receiver<()>, shutdown: CancellationToken) -> Result<(), StoreError> {
        let mut turn = Turn::new(Course::new(&self.ways, false), None, &shutdown);
        while !shutdown.is_cancelled() {
            // Before looking, so that what is queued while we look wakes us.
            wake.borrow_and_update();
            let now = self.clock.now();
            match self.outbox.next(&self.notifier, now, Which::Due).await? {
                Next::Send(delivery) => match turn.opens(&delivery, now) {
                    Some(until) => drop(shutdown.run_until_cancelled(tokio::time::sleep_until(until)).await),
                    None => drop(self.hand_over(&delivery, Which::Due, &mut turn).await?),
                },
                Next::Wait(until) => {
                    // A millisecond at least: a store that contradicts itself must not make this loop spin.
                    let pause = until.since(now).clamp(Duration::from_millis(1), LOOK_AGAIN);
                    shutdown
                        .run_until_cancelled(async {
                            let _ = tokio::time::timeout(pause, woken(&mut wake)).await;
                        })
                        .await;
                }
                Next::Idle => drop(shutdown.run_until_cancelled(woken(&mut wake)).await),
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
        let mut turn = Turn::new(Course::new(&self.ways, true), deadline, shutdown);
        let end = loop {
            let now = Instant::now();
            if shutdown.is_cancelled() || deadline.is_some_and(|deadline| deadline <= now) {
                break End::OutOfTime;
            }
            chains.release(now);
            let which = Which::AllBut(&chains.held);
            let until = match (self.outbox.next(&self.notifier, self.clock.now(), which).await?, chains.next_release())
            {
                (Next::Send(delivery), _) if turn.opens(&delivery, self.clock.now()).is_none() => {
                    let tried = self.hand_over(&delivery, which, &mut turn).await?;
                    tried.settlements.iter().for_each(|settlement| stats.count(settlement));
                    chains.settle(&delivery.alert.incident, &tried.outcome, Instant::now());
                    let Outcome::Transient { retry_after, .. } = tried.outcome else {
                        failures = 0;
                        continue;
                    };
                    failures += 1;
                    let pause = HURRIED.after(failures).max(retry::obeyed(retry_after));
                    if failures >= DRAIN_TRIES || pause > DRAIN_PATIENCE {
                        break End::Unreachable;
                    }
                    Instant::now() + pause
                }
                (Next::Send(delivery), _) => match turn.opens(&delivery, self.clock.now()) {
                    Some(until) if until.duration_since(now) > DRAIN_PATIENCE => break End::Unreachable,
                    until => until.unwrap_or(now),
                },
                (Next::Wait(_) | Next::Idle, Some(release)) => release,
                (Next::Wait(_) | Next::Idle, None) => break End::Done,
            };
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            shutdown.run_until_cancelled(tokio::time::sleep_until(until)).await;
        };
        Ok(Drained { stats, end })
    }

    /// One attempt, by whatever ways are open, and its record. What is in `delivery` is committed already; it is
    /// delivered here, and then marked: commit → deliver → mark delivered. If this process dies between the last two, the
    /// same id is sent again, never another.
    async fn hand_over(&self, delivery: &Delivery, which: Which<'_>, turn: &mut Turn<'_>) -> Result<Tried, StoreError> {
        let others = self.others(delivery, which, turn).await?;
        let jitter = fastrand::u16(..);
        let (outcome, by, shared) = self.attempt(delivery, &others, jitter, turn).await;
        let now = self.clock.now();
        let fallback = turn.course.next_fallback(delivery, now, Instant::now());
        let settlement = match (&outcome, by) {
            (Outcome::Accepted, Some(by)) => Settlement::Diverted { at: now, by },
            _ => retry::settle(delivery, &outcome, now, (self.retry_for, fallback), jitter),
        };
        let mut settlements = Vec::new();
        // Those that shared the message have what it has, if somebody has it; else nothing has happened to them.
        let others = if shared { others } else { Vec::new() };
        for delivery in std::iter::once(delivery).chain(&others) {
            self.outbox.settle(delivery, settlement.clone()).await?;
            tell(delivery, &settlement, turn.course.failures(0));
            settlements.push(settlement.clone());
        }
        Ok(Tried { outcome, settlements })
    }

    /// Those that may share a message with `delivery`, if there are enough of them.
    async fn others(
        &self,
        delivery: &Delivery,
        which: Which<'_>,
        turn: &Turn<'_>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let now = self.clock.now();
        let may = self.ways.first().is_some_and(|way| way.sender.shares())
            && turn.course.is_open(0, delivery, now, Instant::now());
        // The attempt after which it is given up is its own.
        if !may || turn.alone || delivery.parked || self.is_last(delivery, now) {
            return Ok(Vec::new());
        }
        let others = self.outbox.beside(delivery, now, which, SHARED_MAX - 1).await?;
        Ok(if others.len() + 1 < STORM { Vec::new() } else { others })
    }

    /// Whether an attempt at `now` is the one after which it is given up.
    fn is_last(&self, delivery: &Delivery, now: WallTime) -> bool {
        delivery.queued.plus(self.retry_for) <= now
    }

    /// Tries the ways that are open, the notifier's own first, until one takes it; before it is given up, all there are.
    /// Returns how that went, which fallback has taken it, and whether `others` were taken with it.
    async fn attempt(
        &self,
        delivery: &Delivery,
        others: &[Delivery],
        jitter: u16,
        turn: &mut Turn<'_>,
    ) -> (Outcome, Option<String>, bool) {
        let mut failed: Option<Outcome> = None;
        let is_last = self.is_last(delivery, self.clock.now());
        for (place, way) in self.ways.iter().enumerate() {
            let is_open = is_last || turn.course.is_open(place, delivery, self.clock.now(), Instant::now());
            if !is_open || (place > 0 && turn.is_over()) {
                continue;
            }
            let mut letter = Letter::of(&delivery.alert);
            if place > 0 {
                letter.fallback_for = Some(&self.notifier);
            } else if !others.is_empty() {
                match self.attempt_together(way, delivery, others, jitter, turn).await {
                    outcome @ Outcome::Accepted => return (outcome, None, true),
                    // It was reached, and what it refuses may be one of the others.
                    Outcome::Permanent { .. } => {}
                    outcome @ Outcome::Transient { .. } => {
                        failed = Some(outcome);
                        continue;
                    }
                }
            }
            let outcome = self.send(way, &letter, turn).await;
            turn.course.note(place, &outcome, jitter, Instant::now());
            if outcome == Outcome::Accepted {
                turn.alone &= place > 0;
                return (outcome, (place > 0).then(|| way.notifier.clone()), false);
            }
            failed = Some(match failed {
                None if place == 0 => outcome,
                // What a fallback says of an alert does not park it here.
                None => Outcome::transient("left alone for a while").and_by(&way.notifier, &outcome),
                Some(failed) => failed.and_by(&way.notifier, &outcome),
            });
        }
        (failed.unwrap_or_else(|| Outcome::transient("left alone for a while")), None, false)
    }

    /// One message for `delivery` and `others`.
    async fn attempt_together(
        &self,
        way: &Way,
        delivery: &Delivery,
        others: &[Delivery],
        jitter: u16,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let alerts: Vec<Alert> = others.iter().map(|other| other.alert.clone()).collect();
        let letter = Letter { others: &alerts, ..Letter::of(&delivery.alert) };
        let outcome = self.send(way, &letter, turn).await;
        turn.alone = outcome != Outcome::Accepted;
        turn.course.note(0, &outcome, jitter, Instant::now());
        outcome
    }

    /// Makes one attempt by `way`, within the time that there is.
    async fn send(&self, way: &Way, letter: &Letter<'_>, turn: &Turn<'_>) -> Outcome {
        let sending = way.sender.send(letter, self.clock.now());
        match turn.deadline {
            None => sending.await,
            Some(deadline) => tokio::time::timeout_at(deadline, sending)
                .await
                .unwrap_or_else(|_| Outcome::transient("no answer before the time was up")),
        }
    }
}

impl<'a> Turn<'a> {
    fn new(course: Course, deadline: Option<Instant>, shutdown: &'a CancellationToken) -> Self {
        Self { course, alone: false, deadline, shutdown }
    }

    /// When a way opens for `delivery`; none: there is one.
    fn opens(&self, delivery: &Delivery, clock: WallTime) -> Option<Instant> {
        let now = Instant::now();
        Some(self.course.first_opens(delivery, clock, now)).filter(|at| *at > now)
    }

    /// Whether nothing is to be begun any more.
    fn is_over(&self) -> bool {
        self.shutdown.is_cancelled() || self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl<O> fmt::Debug for Dispatcher<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("notifier", &self.notifier).field("ways", &self.ways).finish_non_exhaustive()
    }
}

impl NotifierStats {
    fn count(&mut self, settlement: &Settlement) {
        match settlement {
            Settlement::Accepted { .. } | Settlement::Diverted { .. } => self.accepted += 1,
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
        Settlement::Diverted { by, .. } => {
            info!(notifier, alert = id, kind, incident, attempts, by, "alert accepted by way of a fallback");
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

/// Waits until something was queued; for ever, if nobody is left who could.
async fn woken(wake: &mut watch::Receiver<()>) {
    if wake.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
pub(super) mod tests;
