//! One pass over one source: plan, read, commit, page by page.
//!
//! The order is what keeps the promise: a page's accesses, what they lead to and the coverage of what was read are one
//! job of the ledger, and the next request goes out only when that is durable. A pass can end between any two pages:
//! what is left shows as a gap in coverage, and the next plan fills it.
//!
//! Who retries what: the SDK retries no lookup. Throttled requests wait by [`Pace`] and are made again, with the same
//! token; passing faults get [`MAX_FAULTS`] more attempts; a refused token starts the rest of the reading again; and
//! what AWS denies ends the pass, to be tried again by the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::inventory::Inventory;
use crate::aws::{Identity, Source};
use crate::model::{Access, EventTime, Unreadable, WallClock, WallTime, read_record};
use crate::notify::with_causes;
use crate::store::{Keeper, StoreError, Taken};
use crate::trail::{
    Budget, Coverage, Filter, Item, LookupClass, LookupPage, Pace, PlanSettings, Planned, Purpose, Query, Reading,
    SourceId, floor, lost, plan,
};

/// Passing faults in a row (5xx, broken replies, no connection) that one reading puts up with.
const MAX_FAULTS: u32 = 3;

/// Throttled requests in a row before a pass gives up: some six minutes at the longest waits.
const MAX_THROTTLES: u32 = 10;

/// The first wait after a passing fault; it doubles.
const FIRST_FAULT_WAIT: Duration = Duration::from_millis(500);

/// One request in so many is for the backlog and rechecks at least.
const BEHIND_SHARE: u64 = 4;

/// Who we are is asked again after this long, where nobody would say.
const IDENTITY_AGAIN: Duration = Duration::from_secs(3600);

/// What a pass needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct PassSettings {
    /// What to plan by.
    pub plan: PlanSettings,
    /// What to look up.
    pub event_sources: Vec<String>,
    /// This daemon's share of the source's quota.
    pub requests_per_second: f64,
}

/// When a pass ends before it is through.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Cancelled when the page in hand is to be the last.
    pub stop: CancellationToken,
    /// Changes when the next poll is due: from then on the backlog is left to the next pass, after a page of it at
    /// least. None: this is the only pass.
    pub polls: Option<watch::Receiver<()>>,
    /// When everything is.
    pub deadline: Option<Instant>,
}

/// What a pass did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests made, and how many of them were throttled.
    pub requests: u64,
    /// See `requests`.
    pub throttled: u64,
    /// Requests among them that were not for the newest reading.
    behind_pages: u64,
    /// Records served.
    pub records: u64,
    /// What became of them.
    pub taken: Taken,
    /// Whether everything that the plan held was read.
    pub read_through: bool,
    /// Why not, if something went wrong.
    pub failure: Option<String>,
}

/// One source under watch.
#[derive(Debug)]
pub struct Watch {
    source: Source,
    settings: PassSettings,
    keeper: Keeper,
    pace: Pace,
    /// The local clock, and what is known of its error.
    local: WallClock,
    clock: Clock,
    identity: Option<Identity>,
    /// When that was last asked for in vain.
    identity_refused: Option<Instant>,
    inventory: Arc<Inventory>,
}

/// One event source of the source, during a pass.
struct Feed {
    event_source: String,
    coverage: Coverage,
    /// Nothing more of it is read in this pass.
    broken: bool,
}

/// Why a reading ended before its last page.
enum Ended {
    /// It was told to.
    Stopped,
    /// Something went wrong at the source.
    Failed(String),
    /// The store cannot go on, and so nothing can.
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Watch {
    /// A watch over `source` that has not read anything yet.
    #[must_use]
    pub fn new(
        source: Source,
        settings: PassSettings,
        keeper: Keeper,
        inventory: Arc<Inventory>,
        local: WallClock,
    ) -> Self {
        let pace = Pace::new(settings.requests_per_second);
        Self {
            source,
            settings,
            keeper,
            pace,
            local,
            clock: Clock::default(),
            identity: None,
            identity_refused: None,
            inventory,
        }
    }

    /// Which source it is.
    #[must_use]
    pub fn id(&self) -> &SourceId {
        &self.source.id
    }

    /// Reads through what is to be read at this time, as far as `limits` allow: the newest of every feed first.
    pub async fn pass(&mut self, limits: &Limits) -> Result<Report, StoreError> {
        self.learn_identity(limits).await?;
        let started = self.local.now();
        let began = self.clock.now(started);
        let mut report = Report { read_through: true, ..Report::default() };
        let mut feeds = Vec::new();
        for event_source in self.settings.event_sources.clone() {
            feeds.push(Feed { coverage: self.coverage(&event_source, began).await?, event_source, broken: false });
        }
        for (planned, feed) in self.plan(&feeds, began) {
            let feed = &mut feeds[feed];
            if feed.broken {
                continue;
            }
            match self.read(feed, planned, began, limits, &mut report).await {
                Ok(()) => {}
                // Nobody waits for a recheck: it is due again at the next pass.
                Err(Ended::Stopped) if planned.purpose == Purpose::Recheck => feed.broken = true,
                Err(Ended::Stopped) => {
                    feed.broken = true;
                    report.read_through = false;
                    if limits.deadline.is_some() && !limits.stop.is_cancelled() {
                        report.failure.get_or_insert_with(|| "the time that it may take ran out".to_owned());
                    }
                }
                Err(Ended::Failed(why)) => {
                    feed.broken = true;
                    report.read_through = false;
                    report.failure = Some(why);
                }
                Err(Ended::Store(error)) => return Err(error),
            }
        }
        self.conclude(started, &report).await?;
        self.log(started, &report);
        Ok(report)
    }

    /// What to read of which feed, most urgent first.
    fn plan(&self, feeds: &[Feed], now: WallTime) -> Vec<(Planned, usize)> {
        let mut readings: Vec<(Planned, usize)> = Vec::new();
        for (place, feed) in feeds.iter().enumerate() {
            let plan =
                plan(&feed.coverage, &crate::trail::Density::default(), now, &self.settings.plan, Budget::UNLIMITED)
                    .readings;
            readings.extend(plan.into_iter().map(|planned| (planned, place)));
        }
        readings.sort_by_key(|(planned, _)| planned.purpose);
        readings
    }

    /// What has been read, without what a clock that jumped makes doubtful and what is too old to be read.
    async fn coverage(&self, event_source: &str, now: WallTime) -> Result<Coverage, StoreError> {
        let (id, name) = (self.source.id.clone(), event_source.to_owned());
        let stored = self.keeper.run(move |ledger| Ok(ledger.coverage(&id, &name, now)));
        let (mut coverage, anew) = stored.await?;
        if anew {
            tracing::warn!(
                source = %self.source.id, event_source, %now,
                "the clock stands before the beginning of watching; watching begins anew"
            );
        }
        let lost = lost(&coverage, now, &self.settings.plan);
        if !lost.is_empty() {
            let seconds: i64 = lost.iter().map(|span| span.seconds()).sum();
            tracing::error!(
                source = %self.source.id, event_source, seconds, from = %lost[0].from,
                "event time that is too old to be read was never read and is lost"
            );
        }
        coverage.drop_before(floor(now, &self.settings.plan));
        Ok(coverage)
    }

    /// One reading, page by page.
    async fn read(
        &mut self,
        feed: &mut Feed,
        planned: Planned,
        began: WallTime,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<(), Ended> {
        let mut reading = Reading::new(planned.span, began);
        let mut query = Query { filter: Filter::EventSource(feed.event_source.clone()), span: planned.span };
        let mut token: Option<String> = None;
        let (mut faults, mut throttles) = (0, 0);
        loop {
            self.wait_turn(planned.purpose, limits, report).await?;
            let sent = self.local.now();
            self.pace.sent(sent);
            report.requests += 1;
            let answer = limits.in_time(self.source.lookup.page(&query, token.as_deref())).await?;
            match answer {
                Ok(page) => {
                    self.pace.ok(sent);
                    (faults, throttles) = (0, 0);
                    self.learn_time(sent, page.date);
                    token.clone_from(&page.token);
                    self.take_page(feed, page, &mut reading, report).await?;
                    let Some(next) = &token else { return Ok(()) };
                    reading.follow(next).map_err(|stuck| Ended::Failed(stuck.to_string()))?;
                }
                // Its date may be a proxy's, not AWS's: only an answer teaches the time.
                Err(error) => match error.class {
                    LookupClass::Throttled if throttles < MAX_THROTTLES => {
                        throttles += 1;
                        report.throttled += 1;
                        self.pace.throttled(self.local.now(), 0.5 + fastrand::f64() / 2.0);
                    }
                    LookupClass::Transient if faults < MAX_FAULTS => {
                        tracing::debug!(source = %self.source.id, error = %with_causes(&error), "lookup failed; again");
                        pause(FIRST_FAULT_WAIT * (1 << faults), limits).await?;
                        faults += 1;
                    }
                    LookupClass::TokenRefused => {
                        let Some(rest) = reading.restart() else { return Err(Ended::Failed(with_causes(&error))) };
                        tracing::info!(source = %self.source.id, "page token refused; reading the rest again");
                        query.span = rest;
                        token = None;
                    }
                    _ => return Err(Ended::Failed(with_causes(&error))),
                },
            }
        }
    }

    /// Commits one page: what it says, and that it has been read.
    async fn take_page(
        &self,
        feed: &mut Feed,
        page: LookupPage,
        reading: &mut Reading,
        report: &mut Report,
    ) -> Result<(), Ended> {
        let seen = self.local.now();
        let times: Vec<EventTime> = page.items.iter().filter_map(|item| item.time).collect();
        report.records += page.items.len() as u64;
        let (accesses, unreadable) = self.parse(page.items, seen);

        let was_descending = reading.is_descending();
        let step = reading.page(&times, page.token.is_none());
        if was_descending && !reading.is_descending() {
            tracing::warn!(source = %self.source.id, "pages are out of order; this reading counts when it is complete");
        }
        if let Some(span) = step.forget {
            feed.coverage.forget(span);
        }
        // AWS's clock decides how old the seconds were, if it is behind ours.
        let at = page.date.map_or(reading.at(), |date| reading.at().min(date));
        if let Some(span) = step.cover {
            feed.coverage.read(span, at);
        }

        let Feed { event_source, coverage, .. } = feed;
        let (id, name, coverage) = (self.source.id.clone(), event_source.clone(), coverage.clone());
        let taken = self.keeper.run(move |ledger| {
            if let Some(access) = accesses.first() {
                ledger.learn_account(&id, &access.account)?;
            }
            let mut taken = ledger.take(accesses, seen)?;
            for (what, raw) in unreadable {
                if ledger.keep_unreadable(&what, &raw, seen)? {
                    taken.unreadable.push(what);
                }
            }
            ledger.cover(&id, &name, coverage)?;
            Ok(taken)
        });
        self.log_page(report, taken.await?);
        Ok(())
    }

    fn parse(&self, items: Vec<Item>, seen: WallTime) -> (Vec<Access>, Vec<(Unreadable, String)>) {
        let mut accesses = Vec::with_capacity(items.len());
        let mut unreadable = Vec::new();
        for item in items {
            match item.record {
                Some(json) => match read_record(&json, seen) {
                    Ok(mut access) => {
                        access.own = self.identity.as_ref().is_some_and(|identity| identity.is_own(&access));
                        self.inventory.annotate(&mut access);
                        accesses.push(access);
                    }
                    Err(error) => {
                        unreadable.push((Unreadable { event_id: error.event_id.or(item.event_id), ..error }, json))
                    }
                },
                None => {
                    let reason = "the event came without its record (CloudTrailEvent)".to_owned();
                    let raw =
                        format!("{:?} {:?} {:?}", item.event_id, item.name, item.time.map(|time| time.to_string()));
                    unreadable.push((Unreadable { event_id: item.event_id, reason }, raw));
                }
            }
        }
        (accesses, unreadable)
    }

    fn log_page(&self, report: &mut Report, taken: Taken) {
        for what in &taken.unreadable {
            let event_id = what.event_id.as_deref().unwrap_or("unknown");
            tracing::warn!(source = %self.source.id, event_id, reason = what.reason, "record makes no sense; it is kept");
        }
        for event_id in &taken.conflicts {
            tracing::warn!(source = %self.source.id, event_id, "event id came again with another content; the first stands");
        }
        report.taken.absorb(taken);
    }

    async fn conclude(&self, started: WallTime, report: &Report) -> Result<(), StoreError> {
        let (id, read_through, failure) = (self.source.id.clone(), report.read_through, report.failure.clone());
        let now = self.local.now();
        self.keeper
            .run(move |ledger| {
                if read_through {
                    ledger.read_through(&id, started, now)?;
                } else if let Some(why) = failure {
                    ledger.not_read_through(&id, why);
                }
                Ok(())
            })
            .await
    }

    /// Says in one line what a pass did; at a level that lets quiet passes pass quietly.
    fn log(&self, started: WallTime, report: &Report) {
        let seconds = self.local.now().since(started).as_secs_f64();
        let Report { requests, throttled, records, taken, failure, .. } = report;
        let (new, duplicates) = (taken.accesses(), taken.duplicates);
        let source = &self.source.id;
        match failure {
            Some(why) => {
                tracing::warn!(%source, requests, throttled, records, new, duplicates, seconds, why, "pass incomplete");
            }
            None => {
                let read_through = report.read_through;
                tracing::info!(
                    %source, requests, throttled, records, new, duplicates, seconds, read_through, "pass"
                );
            }
        }
    }

    /// Asks who we are, until there is an answer; without one, own calls are counted like anybody's.
    async fn learn_identity(&mut self, limits: &Limits) -> Result<(), StoreError> {
        if self.identity.is_some() || self.identity_refused.is_some_and(|at| at.elapsed() < IDENTITY_AGAIN) {
            return Ok(());
        }
        let answer = tokio::select! {
            biased;
            answer = self.source.identity() => answer,
            () = limits.over() => return Ok(()),
        };
        match answer {
            Ok(identity) => {
                let (id, account, now) = (self.source.id.clone(), identity.account.clone(), self.local.now());
                let moved = self.keeper.run(move |ledger| ledger.identify(&id, &account, now)).await?;
                if moved {
                    let account = &identity.account;
                    tracing::warn!(source = %self.source.id, account, "another account than before; watching begins anew");
                }
                self.identity = Some(identity);
            }
            Err(error) => {
                tracing::info!(source = %self.source.id, error = %with_causes(&error), "own identity unknown");
                self.identity_refused = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn learn_time(&mut self, sent: WallTime, date: Option<WallTime>) {
        if let Some(ahead) = self.clock.learn(sent, date) {
            let seconds = ahead.as_secs_f64();
            tracing::warn!(source = %self.source.id, seconds, "the local clock is ahead of AWS; readings are dated by AWS");
        }
    }

    /// Waits until the next request may go out, unless this reading is to end before it.
    async fn wait_turn(&mut self, purpose: Purpose, limits: &Limits, report: &mut Report) -> Result<(), Ended> {
        let now = self.local.now();
        let turn = Instant::now() + self.pace.next(now).since(now);
        if limits.stop.is_cancelled() || limits.deadline.is_some_and(|end| turn >= end) {
            return Err(Ended::Stopped);
        }
        // A share of every pass is for what lies behind, however long the newest took: else a source that is always
        // busy would never catch up.
        let gives_way = purpose != Purpose::Fresh && report.behind_pages * BEHIND_SHARE > report.requests;
        report.behind_pages += u64::from(purpose != Purpose::Fresh);
        tokio::select! {
            biased;
            () = limits.stop.cancelled() => Err(Ended::Stopped),
            () = limits.next_poll(), if gives_way => Err(Ended::Stopped),
            () = tokio::time::sleep_until(turn) => Ok(()),
        }
    }
}

impl Limits {
    /// What `work` yields, unless the deadline comes first. A stop waits for it: it is the page in hand.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout_at(deadline, work).await.map_err(|_| Ended::Stopped),
        }
    }

    /// Resolves when the pass is to end.
    async fn over(&self) {
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

    /// Resolves when the next poll is due.
    async fn next_poll(&self) {
        let Some(mut polls) = self.polls.clone() else { return std::future::pending().await };
        if polls.changed().await.is_err() {
            // Whoever gave the signal has gone; the stop comes on its own way.
            std::future::pending().await
        }
    }
}

async fn pause(length: Duration, limits: &Limits) -> Result<(), Ended> {
    tokio::select! {
        biased;
        () = tokio::time::sleep(length) => Ok(()),
        () = limits.over() => Err(Ended::Stopped),
    }
}
