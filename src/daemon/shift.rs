//! What runs under one configuration: the tasks that read and deliver, and the loop that turns them.
//!
//! A [`Shift`] begins with a [`Plant`](super::Plant) and goes on until it is stopped or *relieved*: a new configuration
//! was found right, and everything that it asks for is at hand. Then it finishes what it has in hand, as at a stop, and
//! the next begins over the same store, which stays open and locked between the two. What is lost with a shift is what
//! is lost with a process that ends well: nothing that counts.
//!
//! Sources do not wait for each other: each has a task of its own, and polls are a signal that a task which is still
//! busy sees once it is done, so that passes over one source never overlap. Waits are raced against shutdown, work
//! never is.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::inquiry::Inquiry;
use super::limits::{Limits, Polls};
use super::outside::{Outside, Service};
use super::pass::Watch;
use super::protocol::Says;
use super::reload::{Refused, Reloads};
use super::schedule::{Calendar, Chore};
use super::supervisor::Supervisor;
use super::{Census, Fatal, Parts, Plant, finish, prune, tick};
use crate::config::{Cadence, Config, Digest, LoadError};
use crate::model::WallClock;
use crate::store::{Keeper, StoreError};

/// How often incidents and sources are looked at for what time alone brings.
const TICK: Duration = Duration::from_secs(5);

/// How long the page or the delivery in hand may take once a stop was asked for.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// The same where the next shift waits: longer than an attempt of ours usually takes, so that none is made twice, and
/// much shorter than a source may go without being read.
const HANDOVER: Duration = Duration::from_secs(45);

/// Two sources' polls begin this far apart at most.
const FURTHEST_APART: Duration = Duration::from_millis(100);

/// Lines of each list of a digest.
const DIGEST_LINES: usize = 10;

/// Chores that may wait; more of them are there already.
const CHORES: usize = 8;

/// See the module.
pub(super) struct Shift {
    config: Config,
    keeper: Keeper,
    census: Census,
    /// A channel for each source: tokio wakes those who share one in an order drawn by lot, and equal worlds are to go
    /// the same way.
    polls: Vec<watch::Sender<Instant>>,
    tasks: JoinSet<Result<(), StoreError>>,
    calendar: Calendar,
    chores: mpsc::Receiver<Chore>,
    /// Ends this shift, and no other.
    stop: CancellationToken,
}

/// Why the loop has ended.
pub(super) enum Over {
    /// It was stopped.
    Stopped,
    /// This is to take its place.
    Relieved(Box<Parts>),
}

/// What wakes the daemon's loop.
enum Wake {
    Chore(Chore),
    Tick,
    /// A task has ended; only a failing store makes one do that.
    Ended(Result<Result<(), StoreError>, tokio::task::JoinError>),
    /// Somebody wanted the configuration to be read again.
    Found(Box<Result<Config, LoadError>>),
    Stop,
}

impl Shift {
    /// Lets everything in `plant` run.
    pub(super) async fn begin(plant: Plant, outside: &Outside, stop: &CancellationToken) -> Result<Self, Fatal> {
        let Plant { config, keeper, watches, dispatchers, heartbeat, census } = plant;
        let (clock, stop) = (&outside.clock, stop.child_token());
        if census.is_asked_for_tags(&config) {
            census.answered(&stop).await;
        } else if config.poll.inventory {
            census.ask();
        }
        let (mut polls, mut tasks) = (Vec::new(), JoinSet::new());
        let spread = spacing(config.poll.cadence.longest_gap(clock.now()), watches.len());
        for (place, watch) in (0..).zip(watches) {
            let (sender, signal) = watch::channel(Instant::now());
            polls.push(sender);
            tasks.spawn(watch_source(watch, Polls { signal, offset: spread * place }, stop.clone()));
        }
        for dispatcher in dispatchers {
            let (queued, stop) = (keeper.queued(), stop.clone());
            tasks.spawn(async move { dispatcher.run(queued, stop).await });
        }
        if let Some(heartbeat) = heartbeat {
            tasks.spawn(heartbeat.run(keeper.clone(), clock.clone(), stop.clone()));
        }
        let (errands, chores) = mpsc::channel(CHORES);
        let mut own = Vec::new();
        if let Cadence::Cron(cron) = &config.poll.cadence {
            own.push((Chore::Poll, cron.as_str()));
        }
        if let Some(digest) = &config.digest {
            own.push((Chore::Digest, digest.schedule.as_str()));
        }
        let calendar = match outside.disk {
            None => Calendar::start(&own, &errands).await?,
            Some(_) => Calendar::by_tokios_time(&errands),
        };
        Ok(Self { config, keeper, census, polls, tasks, calendar, chores, stop })
    }

    /// How many sources are read.
    pub(super) fn sources(&self) -> usize {
        self.polls.len()
    }

    /// The loop.
    pub(super) async fn turn(
        &mut self,
        outside: &Outside,
        service: &mut Service,
        stop: &CancellationToken,
    ) -> Result<Over, Fatal> {
        let Service { supervisor, reloads } = service;
        let mut poll = match &self.config.poll.cadence {
            Cadence::Every(interval) => Some(interval_from_now(*interval)),
            Cadence::Cron(_) => None,
        };
        let mut ticks = tokio::time::interval(TICK.min(supervisor.patience()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                Some(ended) = self.tasks.join_next() => Wake::Ended(ended),
                found = found_anew(reloads.as_mut()) => Wake::Found(Box::new(found)),
                Some(chore) = self.chores.recv() => Wake::Chore(chore),
                () = next_tick(poll.as_mut()) => Wake::Chore(Chore::Poll),
                _ = ticks.tick() => Wake::Tick,
            };
            match wake {
                Wake::Stop => return Ok(Over::Stopped),
                Wake::Ended(ended) => {
                    ended.map_err(Fatal::Task)??;
                }
                Wake::Found(found) => {
                    supervisor.reloading();
                    match self.relief(*found, outside).await {
                        Ok(parts) => return Ok(Over::Relieved(Box::new(parts))),
                        Err(refused) => {
                            refused.log();
                            supervisor.goes_on();
                        }
                    }
                }
                Wake::Chore(chore) => self.attend(chore, outside),
                Wake::Tick => self.tick(outside, supervisor).await?,
            }
        }
    }

    /// Ends it: the work in hand may take its time, unless all is to end.
    pub(super) async fn finish(mut self, stop: &CancellationToken) -> Result<(), Fatal> {
        self.stop.cancel();
        self.calendar.stop().await;
        let patience = async {
            stop.run_until_cancelled(tokio::time::sleep(HANDOVER)).await;
            if stop.is_cancelled() {
                tokio::time::sleep(LAST_WORDS).await;
            }
        };
        tokio::select! {
            biased;
            finished = finish(&mut self.tasks) => return finished,
            () = patience => {}
        }
        tracing::warn!("not all work in hand came to an end; nothing is lost by that");
        self.tasks.shutdown().await;
        Ok(())
    }

    /// What takes this shift's place, if what was found is right and of use.
    async fn relief(&self, found: Result<Config, LoadError>, outside: &Outside) -> Result<Parts, Refused> {
        let config = found?;
        if config.state_dir != self.config.state_dir {
            return Err(Refused::Moved);
        }
        if config.status != self.config.status {
            return Err(Refused::Elsewhere);
        }
        Ok(Parts::of(config, outside).await?)
    }

    fn attend(&mut self, chore: Chore, outside: &Outside) {
        match chore {
            Chore::Poll => {
                let now = Instant::now();
                self.polls.iter().for_each(|poll| poll.send_modify(|due| *due = now));
            }
            Chore::Prune => {
                let (keeper, clock) = (self.keeper.clone(), outside.clock.clone());
                self.tasks.spawn(prune(keeper, usize::MAX, clock, self.stop.clone()));
            }
            Chore::Inventory if self.config.poll.inventory => self.census.ask(),
            Chore::Inventory => {}
            Chore::Digest => {
                if let Some(digest) = self.config.digest.clone() {
                    self.tasks.spawn(send_digest(digest, self.keeper.clone(), outside.clock.clone()));
                }
            }
        }
    }

    /// Lets time pass, and tells whoever waits for it how it goes.
    async fn tick(&self, outside: &Outside, supervisor: &mut Supervisor) -> Result<(), StoreError> {
        tick(&self.keeper, &outside.clock, false).await?;
        supervisor.alive();
        if supervisor.listens() {
            let now = outside.clock.now();
            let health = self.keeper.run(move |ledger| ledger.health(now)).await?;
            supervisor.report(&health, now);
        }
        Ok(())
    }
}

/// Puts a digest into the outboxes, once all is gathered that it tells, in slices between which others have their turn.
async fn send_digest(digest: Digest, keeper: Keeper, clock: WallClock) -> Result<(), StoreError> {
    let now = clock.now();
    let mut inquiry = Inquiry::new(now.minus(digest.since).second(), now, DIGEST_LINES);
    while let Some(ask) = inquiry.next() {
        match keeper.run(move |ledger| Ok(ask.answer(ledger, now))).await? {
            Ok(Says::Answer(answer)) => {
                inquiry.hear(answer);
            }
            Ok(Says::Refusal(refusal)) => {
                tracing::error!(why = refusal.message, "no digest this time");
                return Ok(());
            }
            // A row that cannot be read is told to whoever looks; it ends nothing.
            Err(error) => {
                tracing::error!(%error, "no digest this time");
                return Ok(());
            }
        }
    }
    let report = inquiry.report();
    let id = keeper.run(move |ledger| ledger.queue_digest(&digest.notify, report, now)).await?;
    tracing::info!(alert = id, "digest queued");
    Ok(())
}

/// The first poll is made by each source's task on its own.
fn interval_from_now(interval: Duration) -> Interval {
    let mut poll = tokio::time::interval_at(Instant::now() + interval, interval);
    poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
    poll
}

async fn next_tick(poll: Option<&mut Interval>) {
    match poll {
        Some(poll) => drop(poll.tick().await),
        None => std::future::pending().await,
    }
}

async fn found_anew(reloads: Option<&mut Reloads>) -> Result<Config, LoadError> {
    match reloads {
        Some(reloads) => reloads.next().await,
        None => std::future::pending().await,
    }
}

/// How far apart the polls of two of so many sources begin, if all are to be polled within `gap`: a thousand requests
/// at one instant would be a burst for the network, for STS and for this machine.
fn spacing(gap: Duration, sources: usize) -> Duration {
    let sources = u32::try_from(sources).unwrap_or(u32::MAX).max(1);
    (gap / sources).min(FURTHEST_APART)
}

/// Polls one source, at first when its turn comes and then at each signal, until told to stop.
async fn watch_source(mut watch: Watch, mut polls: Polls, stop: CancellationToken) -> Result<(), StoreError> {
    stop.run_until_cancelled(tokio::time::sleep(polls.offset)).await;
    while !stop.is_cancelled() {
        polls.seen();
        let limits = Limits { stop: stop.clone(), polls: Some(polls.clone()), deadline: None };
        watch.pass(&limits).await?;
        stop.run_until_cancelled(polls.next()).await;
    }
    Ok(())
}
