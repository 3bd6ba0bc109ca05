//! The loop that turns the wheel: polls the sources, lets time pass for incidents, hands alerts over, and ends well.
//!
//! [`run`] goes on until it is told to stop; [`run_once`] makes one pass and delivers what is queued. Both are put
//! together by `Plant`: a [`Watch`] for each source, which makes the passes; a dispatcher for each notifier; and one
//! [`Keeper`] that all of them share, which is what makes their order of events one order.
//!
//! What runs under one configuration is a `Shift`. A configuration that is read again while the daemon runs is checked
//! and turned into `Parts` first; only then does the shift end, and the next begin over the same store.
//!
//! A [`History`] reads a source once and through, beside all that.
//!
//! What both touch outside of the program is [`Outside`], which can be replaced as a whole.

mod clock;
mod control;
mod feed;
#[cfg(test)]
mod fixture;
mod heartbeat;
mod history;
mod inquiry;
mod inventory;
mod limits;
mod outside;
mod pass;
mod patience;
mod protocol;
mod reload;
mod schedule;
mod shift;
mod supervisor;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::heartbeat::Heartbeat;
use self::shift::{Over, Shift};
use crate::aws::{Aws, AwsError, Source};
use crate::config::{Config, Notifier};
use crate::model::{WallClock, WallTime};
use crate::notify::{BadNotifier, Dispatcher, Sender, Way, with_causes};
use crate::status::Server;
use crate::store::{AlertQuery, AlertSight, Home, Keeper, Ledger, LedgerSettings, Recipient, StoreError, Sweep};
use crate::trail::{PlanSettings, SourceId};

pub use control::{MAX_REPLY, socket};
pub use heartbeat::BadHeartbeat;
pub use history::{History, HistoryPage, Unfinished};
pub use inquiry::Inquiry;
pub use inventory::Inventory;
pub use limits::{Limits, Polls};
pub use outside::{Outside, Service};
pub use pass::{PassSettings, Report, Watch};
pub use protocol::{
    Answer, Ask, Condition, LONGEST_SILENCE, Order, PROTOCOL, Refusal, RefusalCode, Reply, Request, Says,
};
pub use reload::Reloads;
pub use schedule::BadSchedule;
pub use supervisor::Supervisor;
pub use trouble::trouble;

/// How far back Event history goes.
pub const EVENT_HISTORY: Duration = Duration::from_secs(90 * 86_400);

/// How long a single run delivers, once it has read.
const DRAIN: Duration = Duration::from_secs(30);

/// The same where somebody said how long it may take.
const DRAIN_IN_TIME: Duration = Duration::from_secs(5);

/// How long an answer in hand may take at the end.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How long rules that select secrets by tag make the first poll wait for the inventory.
const INVENTORY_FIRST: Duration = Duration::from_secs(15);

/// Two sources' polls of a single run, which somebody waits for, begin this far apart.
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

/// What a configuration asks for, as far as it can be had or refused before anything is touched.
struct Parts {
    config: Config,
    sources: Vec<Source>,
    /// In the order of the notifiers.
    senders: Senders,
    heartbeat: Option<Heartbeat>,
}

/// Everything that runs, put together and not yet running.
struct Plant {
    config: Config,
    keeper: Keeper,
    watches: Vec<Watch>,
    dispatchers: Vec<Arc<Dispatcher<Keeper>>>,
    heartbeat: Option<Heartbeat>,
    census: Census,
}

/// Who is asked which secrets there are, and where the answers are kept.
struct Census {
    sources: Vec<Source>,
    inventory: Arc<Inventory>,
}

/// Runs until `stop` is cancelled: a `Shift` for each configuration, one after the other over the same store.
pub async fn run(config: &Config, outside: &Outside, stop: CancellationToken) -> Result<(), Fatal> {
    let mut service = outside.service.clone();
    let mut parts = Parts::of(config.clone(), outside).await?;
    let awake_since = Some(outside.clock.now());
    let (keeper, home) = open(&parts, outside, awake_since).await?;
    // Through every shift: who asks need not know that one follows another.
    let desk = stop.child_token();
    let asked =
        control(config, outside).map(|it| tokio::spawn(it.serve(keeper.clone(), outside.clock.clone(), desk.clone())));
    let shown = status(config, outside).await;
    let shown = shown.map(|it| tokio::spawn(it.serve(keeper.clone(), outside.clock.clone(), desk.clone())));
    let ended = loop {
        let plant = Plant::build(parts, &keeper, outside);
        plant.log();
        let mut shift = match Shift::begin(plant, outside, &stop).await {
            Ok(shift) => shift,
            Err(error) => break Err(error),
        };
        service.supervisor.ready(shift.sources());
        let over = shift.turn(outside, &mut service, &stop).await;
        if !matches!(over, Ok(Over::Relieved(_))) {
            service.supervisor.stopping();
        }
        let finished = shift.finish(&stop).await;
        match (over, finished) {
            (Ok(Over::Relieved(next)), Ok(())) => parts = *next,
            (Ok(Over::Stopped), finished) => break finished,
            // Of two that the store's end has reached, the one that met with its cause says more.
            (Err(Fatal::Store(StoreError::Stopped)), Err(cause)) => break Err(cause),
            (Err(error), _) | (_, Err(error)) => break Err(error),
        }
        if let Err(error) = service.supervisor.meanwhile(reconfigure(&keeper, &parts, outside, awake_since)).await {
            break Err(error);
        }
    };
    desk.cancel();
    if let Some(mut asked) = asked
        && tokio::time::timeout(LAST_ANSWER, &mut asked).await.is_err()
    {
        asked.abort();
    }
    if let Some(mut shown) = shown
        && tokio::time::timeout(LAST_ANSWER, &mut shown).await.is_err()
    {
        shown.abort();
    }
    close(keeper, home).await;
    ended
}

/// Where the daemon is looked at. It watches as well without.
async fn status(config: &Config, outside: &Outside) -> Option<Server> {
    let status = config.status.as_ref().filter(|_| outside.disk.is_none())?;
    match Server::open(status).await {
        Ok(server) => {
            tracing::info!(url = %format!("http://{}/", status.listen), "status page and metrics");
            Some(server)
        }
        Err(error) => {
            tracing::warn!("{}", with_causes(&error));
            None
        }
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
    let parts = Parts::of(config.clone(), outside).await?;
    let (keeper, home) = open(&parts, outside, None).await?;
    let Plant { watches, dispatchers, heartbeat, census, .. } = Plant::build(parts, &keeper, outside);
    if census.is_asked_for_tags(config) {
        census.answered(&stop).await;
    }
    let mut passes = JoinSet::new();
    for (place, mut watch) in (0..).zip(watches) {
        let limits = Limits { stop: stop.clone(), polls: None, deadline };
        passes.spawn(async move {
            limits.stop.run_until_cancelled(tokio::time::sleep(FURTHEST_APART_ONCE * place)).await;
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
    drain(dispatchers, drain_until, &stop).await?;
    let undelivered = keeper.run(|ledger| ledger.undelivered()).await?;
    if let Some(heartbeat) = heartbeat.filter(|_| read_through && undelivered == 0) {
        // A time of its own: alerts may have taken up all of theirs.
        heartbeat.once(Instant::now() + DRAIN_IN_TIME, &stop).await;
    }
    prune(keeper.clone(), PRUNE_ONCE, clock, stop.clone()).await?;
    close(keeper, home).await;
    Ok(Once { read_through, undelivered, stopped: stop.is_cancelled() })
}

/// Between two rounds of delivering a test.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// Sends a test alert to `notifiers`, or to all, the way that alerts go; where no daemon runs that would. Whatever else is
/// queued for them goes, too. Says where it stands when everything was tried, after `patience` at the latest. Nothing
/// about the store changes besides; where there is none, none is made.
pub async fn send_test(
    config: &Config,
    outside: &Outside,
    notifiers: &[String],
    patience: Duration,
    stop: CancellationToken,
) -> Result<AlertSight, Fatal> {
    let (until, now) = (Instant::now() + patience, outside.clock.now());
    let senders = senders(config, &outside.aws)?;
    let settings = settings_of_view(config);
    let ledger = match Ledger::visit(&config.state_dir, settings.clone(), now) {
        Err(StoreError::Missing(_)) => Ledger::in_memory(settings, now)?,
        visited => visited?,
    };
    let (keeper, home) = Keeper::start(ledger);
    let is_meant = |name: &String| notifiers.is_empty() || notifiers.contains(name);
    let names: Vec<String> = config.notifiers.keys().filter(|name| is_meant(name)).cloned().collect();
    let named = names.clone();
    let id = keeper.run(move |ledger| ledger.queue_test(&named, now)).await?;
    let mut dispatchers = dispatchers(config, &senders, &keeper, &outside.clock);
    dispatchers.retain(|dispatcher| names.iter().any(|name| name == dispatcher.notifier()));
    let query = AlertQuery { id: Some(id), limit: 1, ..AlertQuery::default() };
    let sight = loop {
        drain(dispatchers.clone(), until, &stop).await?;
        let query = query.clone();
        let found = keeper.run(move |ledger| ledger.alerts(&query)).await?.alerts.pop();
        let sight = found.ok_or(StoreError::Stopped)?;
        if stop.is_cancelled() || Instant::now() + DRAIN_PAUSE >= until || !sight.is_under_way() {
            break sight;
        }
        stop.run_until_cancelled(tokio::time::sleep(DRAIN_PAUSE)).await;
    };
    // They hold the store, too.
    drop(dispatchers);
    close(keeper, home).await;
    Ok(sight)
}

/// Opens the store for one configuration; what waits there for notifiers that it does not name will never be delivered.
async fn open(parts: &Parts, outside: &Outside, awake_since: Option<WallTime>) -> Result<(Keeper, Home), Fatal> {
    let settings = ledger_settings(&parts.config, parts.ids(), awake_since);
    let state_dir = parts.config.state_dir.clone();
    let (now, disk) = (outside.clock.now(), outside.disk.clone());
    let is_simulated = disk.is_some();
    let open = move || {
        let mut ledger = Outside::open(disk, &state_dir, settings, now)?;
        let orphans = ledger.bury_orphans(now)?;
        ledger.sync()?;
        Ok::<_, StoreError>((ledger, orphans))
    };
    // Another thread has no place in a simulation: what it does comes when it likes.
    let opened = if is_simulated { open() } else { tokio::task::spawn_blocking(open).await.map_err(Fatal::Task)? };
    let (ledger, orphans) = opened?;
    log_orphans(orphans);
    Ok(Keeper::start(ledger))
}

/// Lets the store, which stays open and locked, go by another configuration.
async fn reconfigure(
    keeper: &Keeper,
    parts: &Parts,
    outside: &Outside,
    awake_since: Option<WallTime>,
) -> Result<(), Fatal> {
    let (settings, now) = (ledger_settings(&parts.config, parts.ids(), awake_since), outside.clock.now());
    let reconfigured = keeper.run(move |ledger| {
        ledger.reconfigure(settings, now)?;
        ledger.bury_orphans(now)
    });
    log_orphans(reconfigured.await?);
    Ok(())
}

fn log_orphans(orphans: u64) {
    if orphans > 0 {
        tracing::warn!(alerts = orphans, "alerts for notifiers that are gone are dead letters now");
    }
}

impl Parts {
    /// Makes the clients; asks nobody anything yet.
    async fn of(config: Config, outside: &Outside) -> Result<Self, Fatal> {
        let aws = &outside.aws;
        let heartbeat = Heartbeat::new(&config)?;
        let sources = aws.sources(&config.accounts).await?;
        let senders = senders(&config, aws)?;
        Ok(Self { config, sources, senders, heartbeat })
    }

    fn ids(&self) -> Vec<SourceId> {
        self.sources.iter().map(|source| source.id.clone()).collect()
    }
}

impl Plant {
    fn build(parts: Parts, keeper: &Keeper, outside: &Outside) -> Self {
        let Parts { config, sources, senders, heartbeat } = parts;
        let clock = &outside.clock;
        let inventory = Arc::new(Inventory::of_tags(config.secret_tags()));
        let passes = pass_settings(&config, clock.now());
        let watches = sources
            .iter()
            .map(|source| Watch::new(source.clone(), passes.clone(), keeper.clone(), inventory.clone(), clock.clone()))
            .collect();
        let dispatchers = dispatchers(&config, &senders, keeper, clock);
        let census = Census { sources, inventory };
        Self { config, keeper: keeper.clone(), watches, dispatchers, heartbeat, census }
    }

    fn log(&self) {
        let Self { config, watches, .. } = self;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), state_dir = %config.state_dir.display(), rules = config.rules.len(),
            notifiers = config.notifiers.len(), sources = watches.len(), "watching"
        );
    }
}

/// Who hands over to each notifier, by its name.
type Senders = BTreeMap<String, Arc<Sender>>;

fn senders(config: &Config, aws: &Aws) -> Result<Senders, BadNotifier> {
    let sender = |notifier: &Notifier| Sender::new(notifier, |region| aws.sns(region));
    config.notifiers.values().map(|it| Ok((it.name.clone(), Arc::new(sender(it)?)))).collect()
}

fn dispatchers(config: &Config, senders: &Senders, keeper: &Keeper, clock: &WallClock) -> Vec<Arc<Dispatcher<Keeper>>> {
    let outbox = Arc::new(keeper.clone());
    let dispatcher = |notifier: &Notifier| {
        let ways = Way::all(&config.notifiers, senders, &notifier.name);
        Arc::new(Dispatcher::new(notifier, ways, outbox.clone(), clock.clone()))
    };
    config.notifiers.values().map(dispatcher).collect()
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
        stop.run_until_cancelled(async { drop(tokio::time::timeout(INVENTORY_FIRST, answers).await) }).await;
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

/// Hands over what is queued, beside one another and no later than `until`.
async fn drain(
    dispatchers: Vec<Arc<Dispatcher<Keeper>>>,
    until: Instant,
    stop: &CancellationToken,
) -> Result<(), Fatal> {
    let mut drains = JoinSet::new();
    for dispatcher in dispatchers {
        let stop = stop.clone();
        drains.spawn(async move { dispatcher.drain(Some(until), &stop).await.map(drop) });
    }
    finish(&mut drains).await
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
