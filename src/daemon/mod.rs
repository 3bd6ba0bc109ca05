//! The loop that turns the wheel: polls the sources, lets time pass for incidents, hands alerts over, and ends well.
//!
//! [`run`] goes on until it is told to stop; [`run_once`] makes one pass and delivers what is queued. Both are put
//! together by `Plant`: a [`Watch`] for each source, which makes the passes; a dispatcher for each notifier; and one
//! [`Keeper`] that all of them share, which is what makes their order of events one order.
//!
//! What both touch outside of the program is [`Outside`], which can be replaced as a whole.
//!
//! A [`History`] reads a source once and through, beside all that.
//!
//! Sources do not wait for each other: each has a task of its own, and polls are a signal that a task which is still
//! busy sees once it is done, so that passes over one source never overlap. Waits are raced against shutdown, work
//! never is.

mod clock;
mod control;
mod feed;
mod heartbeat;
mod history;
mod inventory;
mod limits;
mod outside;
mod pass;
mod patience;
mod schedule;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::heartbeat::Heartbeat;
use self::schedule::{Calendar, Chore};
use crate::aws::{AwsError, Source};
use crate::config::{Cadence, Config};
use crate::model::{WallClock, WallTime};
use crate::notify::{BadNotifier, Dispatcher, Sender, with_causes};
use crate::store::{Home, Keeper, LedgerSettings, Recipient, StoreError, Sweep};
use crate::trail::{PlanSettings, SourceId};

pub use control::{Answer, Ask, MAX_REPLY, PROTOCOL, Refusal, RefusalCode, Reply, Says, socket};
pub use heartbeat::BadHeartbeat;
pub use history::{History, HistoryPage, Unfinished};
pub use inventory::Inventory;
pub use limits::{Limits, Polls};
pub use outside::Outside;
pub use pass::{PassSettings, Report, Watch};
pub use schedule::BadSchedule;

/// How often incidents and sources are looked at for what time alone brings.
const TICK: Duration = Duration::from_secs(5);

/// How long the page or the delivery in hand may take once a stop was asked for.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// How far back Event history goes.
pub const EVENT_HISTORY: Duration = Duration::from_secs(90 * 86_400);

/// How long a single run delivers, once it has read.
const DRAIN: Duration = Duration::from_secs(30);

/// The same where somebody said how long it may take.
const DRAIN_IN_TIME: Duration = Duration::from_secs(5);

/// How long rules that select secrets by tag make the first poll wait for the inventory.
const INVENTORY_FIRST: Duration = Duration::from_secs(15);

/// Two sources' polls begin this far apart at most.
const FURTHEST_APART: Duration = Duration::from_millis(100);

/// The same for a single run, which somebody waits for.
const FURTHEST_APART_ONCE: Duration = Duration::from_millis(2);

/// Slices that a single run prunes at most: it has to end, and the next run begins where the old rows lie.
const PRUNE_ONCE: usize = 50;

/// Why the daemon cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// AWS, before the first request.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A notifier.
    #[error(transparent)]
    Notifier(#[from] BadNotifier),
    /// The calendar.
    #[error(transparent)]
    Schedule(#[from] BadSchedule),
    /// The heartbeat.
    #[error(transparent)]
    Heartbeat(#[from] BadHeartbeat),
    /// A task ended in a way that no task should.
    #[error("a task of the daemon has ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

/// How a single run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// Every source was read through.
    pub read_through: bool,
    /// Alerts that some notifier has not accepted.
    pub undelivered: u64,
    /// It was told to stop.
    pub stopped: bool,
}

/// Everything that runs, put together and not yet running.
struct Plant {
    keeper: Keeper,
    home: Home,
    watches: Vec<Watch>,
    dispatchers: Vec<Arc<Dispatcher<Keeper>>>,
    census: Census,
}

/// Who is asked which secrets there are, and where the answers are kept.
struct Census {
    sources: Vec<Source>,
    inventory: Arc<Inventory>,
}

/// What wakes the daemon's loop.
enum Wake {
    Chore(Chore),
    Tick,
    /// A task has ended; only a failing store makes one do that.
    Ended(Result<Result<(), StoreError>, tokio::task::JoinError>),
    Stop,
}

/// Runs until `stop` is cancelled.
pub async fn run(config: &Config, outside: &Outside, stop: CancellationToken) -> Result<(), Fatal> {
    let heartbeat = Heartbeat::new(config)?;
    let plant = Plant::build(config, outside, Some(outside.clock.now())).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), state_dir = %config.state_dir.display(), rules = config.rules.len(),
        notifiers = config.notifiers.len(), sources = plant.watches.len(), "watching"
    );
    let Plant { keeper, home, watches, dispatchers, census } = plant;
    let clock = &outside.clock;
    if census.is_asked_for_tags(config) {
        census.answered(&stop).await;
    } else if config.poll.inventory {
        census.ask();
    }
    // A channel for each source: tokio wakes those who share one in an order drawn by lot, and equal worlds are to go the
    // same way.
    let mut signals = Vec::new();
    let mut tasks = JoinSet::new();
    let spread = spacing(config.poll.cadence.longest_gap(clock.now()), watches.len());
    for (place, watch) in (0..).zip(watches) {
        let (sender, signal) = watch::channel(Instant::now());
        signals.push(sender);
        let polls = Polls { signal, offset: spread * place };
        tasks.spawn(watch_source(watch, polls, stop.clone()));
    }
    for dispatcher in dispatchers {
        let (queued, stop) = (keeper.queued(), stop.clone());
        tasks.spawn(async move { dispatcher.run(queued, stop).await });
    }
    if let Some(heartbeat) = heartbeat {
        tasks.spawn(heartbeat.run(keeper.clone(), clock.clone(), stop.clone()));
    }
    if let Some(control) = control(config, outside) {
        tasks.spawn(control.serve(keeper.clone(), clock.clone(), stop.clone()));
    }
    let ended = turn(config, outside, &keeper, &census, &signals, &mut tasks, &stop).await;

    stop.cancel();
    let finished = tokio::time::timeout(LAST_WORDS, finish(&mut tasks)).await;
    if finished.is_err() {
        tracing::warn!(seconds = LAST_WORDS.as_secs(), "not all work in hand came to an end; nothing is lost by that");
        tasks.shutdown().await;
    }
    close(keeper, home).await;
    // Of two that the store's end has reached, the one that met with its cause says more.
    match (ended, finished.unwrap_or(Ok(()))) {
        (Err(Fatal::Store(StoreError::Stopped)), Err(cause)) => Err(cause),
        (ended, finished) => ended.and(finished),
    }
}

/// Where the daemon is asked what it knows. It watches as well without.
fn control(config: &Config, outside: &Outside) -> Option<Control> {
    if outside.disk.is_some() {
        return None;
    }
    Control::open(&config.state_dir)
        .inspect_err(|error| {
            tracing::warn!(why = with_causes(error), "no other command can ask this daemon what it knows");
        })
        .ok()
}

/// Reads every source once, delivers what is queued, and ends; the reading no later than after `max_time`.
pub async fn run_once(
    config: &Config,
    outside: &Outside,
    max_time: Option<Duration>,
    stop: CancellationToken,
) -> Result<Once, Fatal> {
    let deadline = max_time.map(|length| Instant::now() + length);
    let clock = outside.clock.clone();
    let heartbeat = Heartbeat::new(config)?;
    let Plant { keeper, home, watches, dispatchers, census } = Plant::build(config, outside, None).await?;
    if census.is_asked_for_tags(config) {
        census.answered(&stop).await;
    }
    let mut passes = JoinSet::new();
    for (place, mut watch) in (0..).zip(watches) {
        let limits = Limits { stop: stop.clone(), polls: None, deadline };
        passes.spawn(async move {
            unless(&limits.stop, tokio::time::sleep(FURTHEST_APART_ONCE * place)).await;
            watch.pass(&limits).await
        });
    }
    // Alerts go out beside the passes: whoever is ended from outside has said what it knew.
    let reading = stop.child_token();
    let mut deliveries = JoinSet::new();
    for dispatcher in &dispatchers {
        let (dispatcher, queued, reading) = (dispatcher.clone(), keeper.queued(), reading.clone());
        deliveries.spawn(async move { dispatcher.run(queued, reading).await });
    }
    let mut read_through = true;
    while let Some(ended) = passes.join_next().await {
        read_through &= ended.map_err(Fatal::Task)??.read_through;
    }
    tick(&keeper, &clock, true).await?;
    reading.cancel();
    finish(&mut deliveries).await?;

    let drain_until = Instant::now() + if deadline.is_some() { DRAIN_IN_TIME } else { DRAIN };
    let mut drains = JoinSet::new();
    for dispatcher in dispatchers {
        let stop = stop.clone();
        drains.spawn(async move { dispatcher.drain(Some(drain_until), &stop).await.map(drop) });
    }
    finish(&mut drains).await?;
    let undelivered = keeper.run(|ledger| ledger.undelivered()).await?;
    if let Some(heartbeat) = heartbeat.filter(|_| read_through && undelivered == 0) {
        // A time of its own: alerts may have taken up all of theirs.
        heartbeat.once(Instant::now() + DRAIN_IN_TIME, &stop).await;
    }
    prune(keeper.clone(), PRUNE_ONCE, clock, stop.clone()).await?;
    close(keeper, home).await;
    Ok(Once { read_through, undelivered, stopped: stop.is_cancelled() })
}

impl Plant {
    /// Opens the store and makes the clients; asks nobody anything yet.
    async fn build(config: &Config, outside: &Outside, awake_since: Option<WallTime>) -> Result<Self, Fatal> {
        let Outside { aws, clock, disk } = outside;
        let sources = aws.sources(&config.accounts).await?;
        let ids = sources.iter().map(|source| source.id.clone()).collect();
        let settings = ledger_settings(config, ids, awake_since);
        let state_dir = config.state_dir.clone();
        let (now, disk) = (clock.now(), disk.clone());
        let is_simulated = disk.is_some();
        let open = move || {
            let mut ledger = Outside::open(disk, &state_dir, settings, now)?;
            let orphans = ledger.bury_orphans(now)?;
            ledger.sync()?;
            Ok::<_, StoreError>((ledger, orphans))
        };
        // Another thread has no place in a simulation: what it does comes when it likes.
        let opened =
            if is_simulated { open() } else { tokio::task::spawn_blocking(open).await.map_err(Fatal::Task)? };
        let (ledger, orphans) = opened?;
        if orphans > 0 {
            tracing::warn!(alerts = orphans, "alerts for notifiers that are gone are dead letters now");
        }
        let (keeper, home) = Keeper::start(ledger);

        let inventory = Arc::new(Inventory::of_tags(config.secret_tags()));
        let passes = pass_settings(config, now);
        let watches = sources
            .iter()
            .map(|source| Watch::new(source.clone(), passes.clone(), keeper.clone(), inventory.clone(), clock.clone()))
            .collect();
        let outbox = Arc::new(keeper.clone());
        let mut dispatchers = Vec::new();
        for notifier in config.notifiers.values() {
            let sender = Sender::new(notifier, |region| aws.sns(region))?;
            dispatchers.push(Arc::new(Dispatcher::new(notifier, sender, outbox.clone(), clock.clone())));
        }
        Ok(Self { keeper, home, watches, dispatchers, census: Census { sources, inventory } })
    }
}

/// The loop.
async fn turn(
    config: &Config,
    outside: &Outside,
    keeper: &Keeper,
    census: &Census,
    polls: &[watch::Sender<Instant>],
    tasks: &mut JoinSet<Result<(), StoreError>>,
    stop: &CancellationToken,
) -> Result<(), Fatal> {
    let (chores, mut queue) = mpsc::channel(8);
    let (interval, cron) = match &config.poll.cadence {
        Cadence::Every(interval) => (Some(*interval), None),
        Cadence::Cron(cron) => (None, Some(cron.as_str())),
    };
    let calendar = match outside.disk {
        None => Calendar::start(cron, &chores).await?,
        Some(_) => Calendar::by_tokios_time(&chores),
    };
    let mut poll = interval.map(|interval| {
        // The first poll is made by each source's task on its own.
        let mut poll = tokio::time::interval_at(Instant::now() + interval, interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
        poll
    });
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let wake = tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            Some(ended) = tasks.join_next() => Wake::Ended(ended),
            Some(chore) = queue.recv() => Wake::Chore(chore),
            () = next_tick(poll.as_mut()) => Wake::Chore(Chore::Poll),
            _ = ticks.tick() => Wake::Tick,
        };
        match wake {
            Wake::Stop => break,
            Wake::Ended(ended) => {
                ended.map_err(Fatal::Task)??;
            }
            Wake::Chore(Chore::Poll) => {
                let now = Instant::now();
                polls.iter().for_each(|poll| poll.send_modify(|due| *due = now));
            }
            Wake::Chore(Chore::Prune) => {
                tasks.spawn(prune(keeper.clone(), usize::MAX, outside.clock.clone(), stop.clone()));
            }
            Wake::Chore(Chore::Inventory) if config.poll.inventory => census.ask(),
            Wake::Chore(Chore::Inventory) => {}
            Wake::Tick => tick(keeper, &outside.clock, false).await?,
        }
    }
    calendar.stop().await;
    Ok(())
}

async fn next_tick(poll: Option<&mut tokio::time::Interval>) {
    match poll {
        Some(poll) => drop(poll.tick().await),
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
    unless(&stop, tokio::time::sleep(polls.offset)).await;
    while !stop.is_cancelled() {
        polls.seen();
        let limits = Limits { stop: stop.clone(), polls: Some(polls.clone()), deadline: None };
        watch.pass(&limits).await?;
        unless(&stop, polls.next()).await;
    }
    Ok(())
}

/// Waits for `wait` to end, or for `stop`.
async fn unless(stop: &CancellationToken, wait: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = wait => {}
    }
}

/// Lets what is due at this time happen; pending updates count as due if `flush`.
async fn tick(keeper: &Keeper, clock: &WallClock, flush: bool) -> Result<(), StoreError> {
    let now = clock.now();
    keeper.run(move |ledger| ledger.tick(now, flush)).await
}

/// One sweep over what is older than the retention, with room for others between its slices; at most so many.
async fn prune(keeper: Keeper, slices: usize, clock: WallClock, stop: CancellationToken) -> Result<(), StoreError> {
    let mut sweep = Some(Sweep::begin());
    let mut rows = 0;
    for _ in 0..slices {
        let Some(from) = sweep.take().filter(|_| !stop.is_cancelled()) else { break };
        let now = clock.now();
        let (gone, next) = keeper.run(move |ledger| ledger.prune(&from, now)).await?;
        rows += gone;
        sweep = next;
    }
    if rows > 0 {
        tracing::info!(rows, "let go of what is older than the retention");
    }
    Ok(())
}

impl Census {
    /// Whether rules want to know tags.
    fn is_asked_for_tags(&self, config: &Config) -> bool {
        config.poll.inventory && !config.secret_tags().is_empty()
    }

    /// Asks every source for its secrets, beside everything else. Nothing depends on the answer.
    fn ask(&self) {
        self.asked().detach_all();
    }

    /// Asks, and waits for the answers, but not for long: without them more is counted than need be.
    async fn answered(&self, stop: &CancellationToken) {
        let mut asked = self.asked();
        let answers = async { while asked.join_next().await.is_some() {} };
        unless(stop, async { drop(tokio::time::timeout(INVENTORY_FIRST, answers).await) }).await;
        asked.detach_all();
    }

    fn asked(&self) -> JoinSet<()> {
        let mut asked = JoinSet::new();
        for source in &self.sources {
            let (source, inventory) = (source.clone(), self.inventory.clone());
            asked.spawn(async move {
                match source.inventory().await {
                    Ok(listed) => {
                        tracing::debug!(source = %source.id, secrets = listed.len(), "inventory");
                        inventory.learn(listed);
                    }
                    Err(error) => {
                        tracing::info!(error = %with_causes(&error), "no inventory; alerts lack the arns of typed names");
                    }
                }
            });
        }
        asked
    }
}

/// Waits for the tasks; the first error counts.
async fn finish(tasks: &mut JoinSet<Result<(), StoreError>>) -> Result<(), Fatal> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(Fatal::Task).and_then(|ended| ended.map_err(Fatal::Store));
        outcome = outcome.and(ended);
    }
    outcome
}

/// Closes the store: it ends with the last keeper.
async fn close(keeper: Keeper, home: Home) {
    drop(keeper);
    if !home.closed().await {
        tracing::error!("the store's thread did not end well");
    }
}

/// What a ledger that is only looked at must know of `config`; which sources there are, its store tells.
#[must_use]
pub fn settings_of_view(config: &Config) -> LedgerSettings {
    ledger_settings(config, Vec::new(), None)
}

fn ledger_settings(config: &Config, sources: Vec<SourceId>, awake_since: Option<WallTime>) -> LedgerSettings {
    LedgerSettings {
        rules: config.rules.clone(),
        allowances: config.allowances.clone(),
        recipients: recipients(config),
        sources,
        event_sources: config.poll.event_sources.clone(),
        lateness: config.poll.lateness,
        recheck: config.poll.recheck,
        backfill: config.poll.backfill,
        retention: config.poll.retention,
        stale_after: stale_after(config, awake_since),
        awake_since,
    }
}

/// Polls that are further apart than `stale_after` would make every source blind between them.
fn stale_after(config: &Config, awake_since: Option<WallTime>) -> Duration {
    let allowed = config.poll.stale_after;
    match awake_since.map(|now| config.poll.cadence.longest_gap(now)) {
        Some(gap) if gap >= allowed => gap + allowed,
        // A single run does not know when the next one comes; its own passes are what it judges by.
        _ => allowed,
    }
}

fn recipients(config: &Config) -> Vec<Recipient> {
    let notifiers = config.notifiers.values();
    notifiers
        .map(|notifier| Recipient {
            name: notifier.name.clone(),
            min_severity: notifier.min_severity,
            send_resolved: notifier.send_resolved,
        })
        .collect()
}

fn pass_settings(config: &Config, now: WallTime) -> PassSettings {
    PassSettings {
        plan: PlanSettings {
            interval: config.poll.cadence.gap(now),
            lateness: config.poll.lateness,
            recheck: config.poll.recheck,
            // What is kept longer than AWS keeps it cannot be read any more, and an empty answer would not say so.
            retention: config.poll.retention.min(EVENT_HISTORY),
        },
        event_sources: config.poll.event_sources.clone(),
        requests_per_second: config.poll.requests_per_second,
        cadence: config.poll.cadence.clone(),
        stale_after: config.poll.stale_after,
        narrow_when_behind: config.poll.narrow_when_behind,
    }
}
