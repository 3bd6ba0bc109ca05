//! One pass over one source: plan, read, commit, page by page.
//!
//! The order is what keeps the promise: a page's accesses, what they lead to and the coverage of what was read are one
//! job of the ledger, and the next request goes out only when it is done; durable, if it held anything new. A pass can
//! end between any two pages: what is left shows as a gap in coverage, and the next plan fills it.
//!
//! A pass has the requests of one interval to spend, and the interval is long enough for a few. When the next poll is
//! due it gives way at the end of a second, so that older seconds do not keep the newest waiting. One request in ten is
//! for what lies behind all the same.
//!
//! Who retries what: the SDK retries no lookup. Throttled requests wait by [`Pace`] and are made again, with the same
//! token; passing faults get a few more attempts ([`Patience`] says how many); a refused token starts the rest of the
//! reading again; and what AWS denies ends the pass, to be tried again by the next.

mod page;
mod past;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::{Clock, Skew};
use super::feed::{Feed, NARROWED, NARROWED_OF};
use super::inventory::Inventory;
use super::limits::{Ended, Limits, pause};
use super::patience::{Next, Patience};
use super::trouble::trouble;
use crate::aws::{Identity, Source};
use crate::config::Cadence;
use crate::detect::Trouble;
use crate::model::{EventTime, WallClock, WallTime, printable};
use crate::notify::with_causes;
use crate::store::{Asked, Keeper, Past, StoreError, Taken};
use crate::trail::{
    Budget, Coverage, Density, Depth, PAGE_EVENTS, Pace, PlanSettings, Planned, Purpose, Query, Reading, SourceId,
    behind, floor, lost, overdue_recheck, plan,
};

/// What each request adds to what the backlog may take when the next poll is due.
const BACKLOG_CREDIT: f64 = 0.1;

/// Requests that it can save up.
const MOST_CREDIT: f64 = 10.0;

/// Requests that a pass has for each feed at least, however short the interval is.
const LEAST_REQUESTS: f64 = 4.0;

/// From this share of refused requests on it is others, not events, that keep a source behind.
const THROTTLED_SHARE: f64 = 0.05;

/// The seconds that are going on while a pass begins may stay unread without its being behind: clocks differ.
const GOING_ON: Duration = Duration::from_secs(5);

/// What is no news is said once in this time.
const SAY_AGAIN: Duration = Duration::from_secs(86_400);

/// Longest error text that is logged of a question that is nice to have answered, in characters.
const ERROR_MAX: usize = 300;

/// Who we are is asked again after this long, where nobody would say.
const IDENTITY_AGAIN: Duration = Duration::from_secs(3600);

/// What a pass needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct PassSettings {
    /// What to plan by; the interval is that of the cadence.
    pub plan: PlanSettings,
    /// When polls begin.
    pub cadence: Cadence,
    /// What to look up.
    pub event_sources: Vec<String>,
    /// This daemon's share of the source's quota.
    pub requests_per_second: f64,
    /// A source not read through for this long is blind.
    pub stale_after: Duration,
    /// Whether one that is behind for longer than that looks up reads of secrets alone.
    pub narrow_when_behind: bool,
}

/// What a pass did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests made, and how many of them were throttled.
    pub requests: u64,
    /// See `requests`.
    pub throttled: u64,
    /// Records served.
    pub records: u64,
    /// What became of them.
    pub taken: Taken,
    /// Whether everything that the plan held was read.
    pub read_through: bool,
    /// Why not, if something went wrong.
    pub failure: Option<Trouble>,
    /// How deep the readings of the deepest feed went.
    pub depth: Option<Depth>,
    /// Accesses that were not there yet when their second was read at the age of `lateness`.
    pub stragglers: u64,
    /// The latest of them: how long after it happened it was found.
    pub latest: Duration,
    /// It gave way to the next poll.
    gave_way: bool,
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
    /// When a wider lateness was suggested last.
    suggested: Option<Instant>,
    /// When it was said last that rechecks are overdue.
    overdue: Option<Instant>,
    /// When it was said last that the past cannot be read.
    past_failed: Option<Instant>,
    /// Requests that the backlog may make although the next poll is due.
    credit: f64,
    /// The pass gives way to the next poll from here on.
    earliest: Instant,
    /// What is looked up, the narrowed one first; none before the first pass.
    feeds: Vec<Feed>,
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
            suggested: None,
            overdue: None,
            past_failed: None,
            credit: 0.0,
            earliest: Instant::now(),
            feeds: Vec::new(),
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
        let (mut feeds, past) = self.load(began).await?;
        let was_confirmed = self.clock.is_confirmed();
        if was_confirmed {
            self.give_up_what_is_too_old(&mut feeds, began);
        }
        for (planned, place) in self.plan(&feeds, began, limits, &mut report) {
            let feed = &mut feeds[place];
            if feed.broken {
                continue;
            }
            match self.read(feed, planned, began, limits, &mut report).await {
                Ok(()) => {}
                // Nobody waits for a recheck: it is due again at the next pass.
                Err(Ended::GaveWay | Ended::Stopped) if planned.purpose == Purpose::Recheck => feed.broken = true,
                Err(Ended::GaveWay) => report.gave_way = true,
                Err(Ended::Stopped) => {
                    feed.broken = true;
                    report.read_through = false;
                    if limits.deadline.is_some() && !limits.stop.is_cancelled() {
                        report.failure.get_or_insert(Trouble::OutOfTime);
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
        if !was_confirmed && self.clock.is_confirmed() {
            self.give_up_what_is_too_old(&mut feeds, self.clock.now(started));
        }
        let is_too_busy = report.gave_way && report.failure.is_none();
        self.narrow(&mut feeds, began, is_too_busy).await?;
        if report.gave_way {
            self.judge_what_is_left(&feeds, began, &mut report);
        }
        self.say_what_is_overdue(&feeds, began);
        if self.clock.behind() > self.settings.stale_after {
            // What happened since then by AWS's clock was not asked for.
            report.read_through = false;
            report.failure.get_or_insert(Trouble::Clock { ahead_secs: -whole_secs(self.clock.behind()) });
        }
        self.feeds = feeds;
        self.conclude(started, &report).await?;
        self.log(started, &report);
        if report.read_through && !past.is_empty() {
            self.read_past(past, began, limits).await?;
        }
        Ok(report)
    }

    /// The feeds, with their coverage as it counts now, and what is left of the past. How busy feeds are is remembered
    /// from pass to pass, and from process to process as a mean.
    async fn load(&mut self, now: WallTime) -> Result<(Vec<Feed>, Vec<Past>), StoreError> {
        let mut feeds = std::mem::take(&mut self.feeds);
        if feeds.is_empty() {
            let (id, names) = (self.source.id.clone(), self.settings.event_sources.clone());
            let may_narrow = self.settings.narrow_when_behind;
            let known = move |ledger: &mut crate::store::Ledger| {
                let measured = names.iter().map(|name| ledger.per_second(&id, name)).collect::<Vec<_>>();
                let was_narrowed = ledger.covers(&id, NARROWED);
                let is_narrowed = was_narrowed && may_narrow && names.iter().any(|name| name == NARROWED_OF);
                if was_narrowed && !is_narrowed {
                    ledger.uncover(&id, NARROWED)?;
                }
                Ok((measured, is_narrowed.then(|| ledger.per_second(&id, NARROWED))))
            };
            let (measured, narrowed) = self.keeper.run(known).await?;
            let nothing = Coverage::new(now.second(), self.settings.plan.lateness, Duration::ZERO);
            feeds.extend(narrowed.map(|per_second| Feed::narrowed(nothing.clone(), Density::new(per_second))));
            for (name, per_second) in self.settings.event_sources.iter().zip(measured) {
                feeds.push(Feed::of(name, nothing.clone(), Density::new(per_second)));
            }
        }
        // A poll with no room for a few requests is none: the pass takes the time that they need.
        let is_narrowed = feeds.iter().any(Feed::is_narrowed);
        let reading = feeds.iter().filter(|feed| !(is_narrowed && feed.can_be_narrowed())).count();
        let least = LEAST_REQUESTS * reading as f64 / self.pace.requests_per_second();
        let least = Duration::from_secs_f64(least);
        self.earliest = Instant::now() + least;
        self.settings.plan.interval = self.settings.cadence.gap(now).max(least);
        let horizon = self.horizon(now);
        let names = feeds.iter().map(|feed| feed.name.clone()).collect();
        let (covered, past) = self.coverage(names, now).await?;
        for (feed, coverage) in feeds.iter_mut().zip(covered) {
            feed.coverage = coverage;
            feed.density.drop_before(horizon);
            feed.broken = false;
        }
        Ok((feeds, past))
    }

    /// What to read of which feed, most urgent first.
    fn plan(&self, feeds: &[Feed], now: WallTime, limits: &Limits, report: &mut Report) -> Vec<(Planned, usize)> {
        let budget = self.budget(feeds.len(), limits);
        let is_narrowed = feeds.iter().any(Feed::is_narrowed);
        let mut readings: Vec<(Planned, usize)> = Vec::new();
        for (place, feed) in feeds.iter().enumerate() {
            let plan = plan(&feed.coverage, &feed.density, now, &self.settings.plan, budget);
            report.depth = report.depth.max(Some(plan.depth));
            let stands_back = is_narrowed && feed.can_be_narrowed();
            readings.extend(plan.readings.into_iter().filter_map(|planned| match planned.purpose {
                // The whole feed is rechecked, and its newest is what the narrowed one reads first.
                Purpose::Recheck if feed.is_narrowed() => None,
                Purpose::Fresh if stands_back => Some((Planned { purpose: Purpose::Backlog, ..planned }, place)),
                _ => Some((planned, place)),
            }));
        }
        // What lies behind goes oldest first, whichever feed it belongs to, and the newest of a feed that stands back comes
        // last: reads of secrets before both.
        readings.sort_by_key(|(planned, place)| match planned.purpose {
            Purpose::Fresh => (planned.purpose, false, EventTime(0)),
            purpose => {
                let is_narrowed = feeds.get(*place).is_some_and(Feed::is_narrowed);
                let oldest = if is_narrowed { EventTime(i64::MIN) } else { planned.span.from };
                (purpose, planned.span.to == now.second(), oldest)
            }
        });
        readings
    }

    /// What each of so many feeds may spend until the next poll.
    fn budget(&self, feeds: usize, limits: &Limits) -> Budget {
        let rate = self.pace.requests_per_second();
        let seconds = match (&limits.polls, limits.deadline) {
            (Some(_), _) => self.settings.plan.interval,
            (None, Some(deadline)) => deadline.saturating_duration_since(Instant::now()),
            (None, None) => return Budget::UNLIMITED,
        };
        Budget { requests: rate * seconds.as_secs_f64() / feeds.max(1) as f64 }
    }

    /// Whether a pass that gave way has left anything unread, and if so, why it is behind.
    fn judge_what_is_left(&self, feeds: &[Feed], began: WallTime, report: &mut Report) {
        let until = began.minus(GOING_ON);
        let oldest = feeds.iter().filter_map(|feed| behind(&feed.coverage, until, &self.settings.plan)).min();
        let Some(oldest) = oldest else { return };
        report.read_through = false;
        let narrowed = feeds.iter().any(Feed::is_narrowed);
        let seen_per_second =
            feeds.iter().filter(|feed| !feed.is_narrowed()).map(|feed| feed.density.per_second()).sum();
        let read_per_second = self.pace.requests_per_second() * f64::from(PAGE_EVENTS);
        let behind = began.since(oldest.wall());
        let trouble = if report.throttled as f64 > THROTTLED_SHARE * report.requests as f64 {
            Trouble::Throttled { in_a_row: self.pace.refused_in_a_row() }
        } else {
            let at_full_rate = self.pace.is_the_fastest();
            Trouble::Behind { seen_per_second, read_per_second, behind, narrowed, at_full_rate }
        };
        report.failure.get_or_insert(trouble);
    }

    /// Begins to look up reads of secrets alone when there was no time to read everything and the source is far behind,
    /// and ends it when it has caught up.
    async fn narrow(&self, feeds: &mut Vec<Feed>, began: WallTime, too_busy: bool) -> Result<(), StoreError> {
        let Some(whole) = feeds.iter().find(|feed| feed.can_be_narrowed()) else { return Ok(()) };
        let oldest = behind(&whole.coverage, began.minus(GOING_ON), &self.settings.plan);
        let is_narrowed = feeds.iter().any(Feed::is_narrowed);
        let (id, source) = (self.source.id.clone(), &self.source.id);
        match oldest {
            Some(oldest) if !is_narrowed && too_busy && self.settings.narrow_when_behind => {
                let coverage = Feed::nothing_narrowed(oldest, &self.settings.plan);
                let (stored, now) = (coverage.clone(), self.local.now());
                let is_stale = self.keeper.run(move |ledger| {
                    let is_stale = ledger.is_half_stale(&id, now);
                    if is_stale {
                        ledger.cover(&id, NARROWED, stored)?;
                    }
                    Ok(is_stale)
                });
                if !is_stale.await? {
                    return Ok(());
                }
                feeds.insert(0, Feed::narrowed(coverage, Density::default()));
                tracing::warn!(
                    %source, behind_seconds = began.since(oldest.wall()).as_secs(),
                    "far behind: GetSecretValue alone is looked up first from now on, everything else when there is time"
                );
            }
            None if is_narrowed => {
                self.keeper.run(move |ledger| ledger.uncover(&id, NARROWED)).await?;
                feeds.retain(|feed| !feed.is_narrowed());
                tracing::info!(%source, "caught up: every event is looked up again");
            }
            _ => {}
        }
        Ok(())
    }

    /// What has been read of each feed, without what a clock that jumped makes doubtful; and what is left of the past.
    async fn coverage(&self, names: Vec<String>, now: WallTime) -> Result<(Vec<Coverage>, Vec<Past>), StoreError> {
        let id = self.source.id.clone();
        let stored = self.keeper.run(move |ledger| {
            let stored: Vec<_> = names.iter().map(|name| ledger.coverage(&id, name, now)).collect();
            if stored.iter().any(|(_, anew)| *anew) {
                ledger.reactivate_rules(now)?;
            }
            Ok((stored, ledger.past(&id)))
        });
        let (stored, past) = stored.await?;
        if stored.iter().any(|(_, anew)| *anew) {
            tracing::warn!(
                source = %self.source.id, %now,
                "the clock stands before the beginning of watching; watching begins anew"
            );
        }
        Ok((stored.into_iter().map(|(coverage, _)| coverage).collect(), past))
    }

    /// Stops watching what is older than the retention, and says what of it was never read as it should have been. Only
    /// with a clock that AWS has confirmed: one that is a month ahead would give up everything.
    fn give_up_what_is_too_old(&self, feeds: &mut [Feed], now: WallTime) {
        for feed in feeds {
            let lost = lost(&feed.coverage, now, &self.settings.plan);
            if let Some(oldest) = lost.first() {
                let seconds: i64 = lost.iter().map(|span| span.seconds()).sum();
                tracing::error!(
                    source = %self.source.id, event_source = feed.name, seconds, from = %oldest.from,
                    "event time is too old to be read that was never read at the age of `lateness`; what it held is lost"
                );
            }
            feed.coverage.drop_before(floor(now, &self.settings.plan));
        }
    }

    /// Rechecks are what the quota ends first, and nobody is alerted of that.
    fn say_what_is_overdue(&mut self, feeds: &[Feed], now: WallTime) {
        let plan = &self.settings.plan;
        let overdue = feeds.iter().filter(|feed| !feed.is_narrowed());
        let oldest = overdue.filter_map(|feed| overdue_recheck(&feed.coverage, now, plan)).min();
        if let Some(oldest) = oldest
            && self.overdue.is_none_or(|at| at.elapsed() >= SAY_AGAIN)
        {
            tracing::warn!(
                source = %self.source.id, %oldest,
                "no quota is left for rechecks: events later than `lateness` will be missed; raise requests_per_second, \
                 or lengthen the interval"
            );
            self.overdue = Some(Instant::now());
        }
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
        let mut query = Query { filter: feed.filter.clone(), span: planned.span };
        let mut token: Option<String> = None;
        // Of the seconds that are not covered yet.
        let mut times: Vec<EventTime> = Vec::new();
        let (mut pages, mut patience) = (0_u64, Patience::default());
        loop {
            let may_give_way = !reading.is_amid_a_second() && (pages > 0 || planned.purpose != Purpose::Fresh);
            self.wait_turn(planned.purpose, may_give_way, limits).await?;
            let sent = self.local.now();
            self.pace.sent(sent);
            report.requests += 1;
            let answer = limits.in_time(self.source.lookup.page(&query, token.as_deref())).await?;
            match answer {
                Ok(page) => {
                    self.pace.ok(sent);
                    patience.answered();
                    pages += 1;
                    self.learn_time(sent, page.date);
                    token.clone_from(&page.token);
                    self.take_page(feed, page, &mut reading, &mut times, report).await?;
                    let Some(next) = &token else { return Ok(()) };
                    reading.follow(next).map_err(|stuck| Ended::Failed(Trouble::Other(stuck.to_string())))?;
                }
                // Its date may be a proxy's, not AWS's: only an answer teaches the time.
                Err(error) => {
                    let next = patience.failed(error.class);
                    let why = trouble(&error, patience.throttles(), self.local.now());
                    match next {
                        Next::AtItsPace => {
                            report.throttled += 1;
                            self.pace.throttled(self.local.now(), 0.5 + fastrand::f64() / 2.0);
                            self.note(why).await?;
                        }
                        Next::After(wait) => {
                            tracing::debug!(source = %self.source.id, error = %with_causes(&error), "lookup failed; again");
                            self.note(why).await?;
                            pause(wait, limits).await?;
                        }
                        Next::Anew => {
                            let Some(rest) = reading.restart() else { return Err(Ended::Failed(why)) };
                            tracing::info!(source = %self.source.id, "page token refused; reading the rest again");
                            query.span = rest;
                            times.retain(|at| *at > rest.to);
                            token = None;
                        }
                        Next::GiveUp => return Err(Ended::Failed(why)),
                    }
                }
            }
        }
    }

    /// How busy seconds are matters as far back as this.
    fn horizon(&self, now: WallTime) -> EventTime {
        now.minus(self.settings.plan.lateness + 2 * self.settings.plan.interval).second()
    }

    /// Tells at once what a pass that goes on has met with: it may wait for longer than a source may be blind.
    async fn note(&self, met: Trouble) -> Result<(), StoreError> {
        let id = self.source.id.clone();
        self.keeper
            .run(move |ledger| {
                ledger.obstructed(&id, met);
                Ok(())
            })
            .await
    }

    async fn conclude(&mut self, started: WallTime, report: &Report) -> Result<(), StoreError> {
        let (id, read_through, failure) = (self.source.id.clone(), report.read_through, report.failure.clone());
        let (now, lateness) = (self.local.now(), self.settings.plan.lateness);
        let Report { requests, throttled, records, .. } = *report;
        let asked = Asked { requests, throttled, failed: failure.is_some(), records };
        let suggested = self.keeper.run(move |ledger| {
            ledger.count_pass(&id, asked, now);
            if read_through {
                ledger.read_through(&id, started, now)?;
            } else if let Some(why) = failure {
                ledger.not_read_through(&id, why);
            }
            ledger.tick_after_pass(now)?;
            Ok(ledger.sources().get(&id).and_then(|row| row.visibility.suggest(lateness)))
        });
        if let Some(wider) = suggested.await?
            && self.suggested.is_none_or(|at| at.elapsed() >= SAY_AGAIN)
        {
            let wider = humantime::format_duration(wider);
            tracing::warn!(
                source = %self.source.id, lateness = %humantime::format_duration(lateness),
                "one event in a thousand becomes visible later than that; `poll.lateness = \"{wider}\"` would wait for it"
            );
            self.suggested = Some(Instant::now());
        }
        Ok(())
    }

    /// Says in one line what a pass did; at a level that lets quiet passes pass quietly.
    fn log(&self, started: WallTime, report: &Report) {
        let seconds = self.local.now().since(started).as_secs_f64();
        let Report { requests, throttled, records, taken, failure, .. } = report;
        let (new, duplicates) = (taken.accesses(), taken.duplicates);
        let source = &self.source.id;
        // 1 is the whole horizon at each poll; see `Depth`.
        let ratio = report.depth.map(Depth::ratio);
        if report.stragglers > 0 {
            let (stragglers, latest) = (report.stragglers, humantime::format_duration(report.latest));
            tracing::warn!(%source, stragglers, %latest, "accesses became visible later than `lateness`, up to so long after they happened");
        }
        match failure {
            Some(why) => {
                tracing::warn!(%source, requests, throttled, records, new, duplicates, ratio, seconds, %why, "pass incomplete");
            }
            None => {
                let read_through = report.read_through;
                tracing::info!(
                    %source, requests, throttled, records, new, duplicates, ratio, seconds, read_through, "pass"
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
                let error = printable(&with_causes(&error), ERROR_MAX);
                tracing::info!(source = %self.source.id, error, "own identity unknown");
                self.identity_refused = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn learn_time(&mut self, sent: WallTime, date: Option<WallTime>) {
        let source = &self.source.id;
        match self.clock.learn(sent, self.local.now(), date) {
            Some(Skew::Ahead(off)) => {
                let seconds = off.as_secs_f64();
                tracing::warn!(%source, seconds, "the local clock is ahead of AWS; readings are dated by AWS");
            }
            Some(Skew::Behind(off)) => {
                let seconds = off.as_secs_f64();
                tracing::warn!(%source, seconds, "the local clock is behind AWS; everything is read late by that much");
            }
            None => {}
        }
    }

    /// Waits until the next request may go out, unless this reading is to end before it.
    async fn wait_turn(&mut self, purpose: Purpose, may_give_way: bool, limits: &Limits) -> Result<(), Ended> {
        let now = self.local.now();
        let turn = Instant::now() + self.pace.next(now).since(now);
        if limits.stop.is_cancelled() || limits.deadline.is_some_and(|end| turn >= end) {
            return Err(Ended::Stopped);
        }
        // However long the newest took: else a source that is always busy would never catch up.
        let gives_way = may_give_way && (purpose != Purpose::Backlog || self.credit < 1.0);
        tokio::select! {
            biased;
            () = limits.stop.cancelled() => return Err(Ended::Stopped),
            () = limits.next_poll(self.earliest), if gives_way => return Err(Ended::GaveWay),
            () = tokio::time::sleep_until(turn) => {}
        }
        self.credit = match purpose {
            Purpose::Backlog => (self.credit - 1.0).max(0.0),
            Purpose::Fresh | Purpose::Recheck | Purpose::Past => (self.credit + BACKLOG_CREDIT).min(MOST_CREDIT),
        };
        Ok(())
    }
}

fn whole_secs(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
