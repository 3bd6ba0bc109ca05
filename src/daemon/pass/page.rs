//! One page of a reading: what its events say, committed together with what has thereby been read; and how late they
//! became visible.

use std::time::Duration;

use super::super::feed::Feed;
use super::super::limits::Ended;
use super::{Report, Watch};
use crate::model::{Access, EventTime, Span, Unreadable, WallTime, read_record};
use crate::store::Taken;
use crate::trail::{Coverage, Depth, Item, LookupPage, PlanSettings, Reading};

/// What tells whether an access that is new was late, or only read late.
struct News {
    /// What had been read before its page.
    before: Coverage,
    seen: WallTime,
    /// What was read after this was read not long ago; none where that cannot be said.
    lately: Option<WallTime>,
}

/// How late a page's new accesses were.
#[derive(Default)]
struct Late {
    /// First seen minus event time, of those that were seen as soon as they could be.
    delays: Vec<Duration>,
    /// See [`Report`].
    stragglers: u64,
    latest: Duration,
}

impl News {
    /// An access in a second that had been read not long before was not visible then. One in a second that was never
    /// read may have been visible for long, unless the second is young.
    fn of(&self, first_seen: &[EventTime]) -> Late {
        let mut late = Late::default();
        for at in first_seen.iter().filter(|at| **at >= self.before.since()) {
            let (second, delay) = (Span { from: *at, to: *at }, self.seen.since(at.wall()));
            let is_straggler = self.before.settled(second);
            if is_straggler {
                late.stragglers += 1;
                late.latest = late.latest.max(delay);
            }
            if is_straggler || self.lately.is_some_and(|lately| self.was_missing(second, lately)) {
                late.delays.push(delay);
            }
        }
        late
    }

    fn was_missing(&self, second: Span, lately: WallTime) -> bool {
        let read = self.before.fresh().iter().find(|fresh| fresh.span.contains(second.from));
        read.map_or(second.from >= lately.second(), |read| read.at >= lately)
    }
}

impl Watch {
    /// Commits one page: what it says, and that it has been read.
    pub(super) async fn take_page(
        &self,
        feed: &mut Feed,
        page: LookupPage,
        reading: &mut Reading,
        uncovered: &mut Vec<EventTime>,
        report: &mut Report,
    ) -> Result<(), Ended> {
        // As late as AWS says it is: by a clock that is ahead, accesses would be too old to be kept.
        let seen = self.clock.now(self.local.now());
        let times: Vec<EventTime> = page.items.iter().filter_map(|item| item.time).collect();
        report.records += page.items.len() as u64;
        let (mut accesses, mut unreadable) = self.parse(page.items, seen);
        if feed.is_narrowed() {
            accesses.retain(|access| feed.wants(access));
            // Whose they are cannot be told; the whole feed comes to those that are ours.
            unreadable.clear();
        }
        let news = self.news(feed, reading, seen, report);

        let was_descending = reading.is_descending();
        let step = reading.page(&times, page.token.is_none());
        uncovered.extend(times);
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
            let settled = at.minus(self.settings.plan.lateness).second();
            feed.density.learn(span, settled, uncovered.extract_if(.., |at| *at >= span.from));
        }

        let (id, name, coverage) = (self.source.id.clone(), feed.name.clone(), feed.coverage.clone());
        let (per_second, is_past) = (feed.density.per_second(), feed.is_past);
        let (taken, late, has_learnt) = self
            .keeper
            .run(move |ledger| {
                if let Some(access) = accesses.first() {
                    ledger.learn_account(&id, &access.account)?;
                }
                let mut taken = ledger.take(accesses, seen)?;
                for (what, raw) in unreadable {
                    if ledger.keep_unreadable(&what, &raw, seen)? {
                        taken.unreadable.push(what);
                    }
                }
                let late = news.of(&std::mem::take(&mut taken.first_seen));
                if is_past {
                    let has_learnt = ledger.cover_past(&id, &name, coverage, seen)?;
                    return Ok((taken, late, has_learnt));
                }
                ledger.saw(&id, &late.delays);
                ledger.measured(&id, &name, per_second);
                ledger.cover(&id, &name, coverage)?;
                Ok((taken, late, false))
            })
            .await?;
        if has_learnt {
            tracing::info!(source = %self.source.id, "the past has been read; rules with first_seen know what is new");
        }
        report.stragglers += late.stragglers;
        report.latest = report.latest.max(late.latest);
        self.log_page(report, taken);
        Ok(())
    }

    /// What tells how late the page's new accesses were. A delay can only be measured where readings are much closer
    /// together than events are late: else it would be ours.
    fn news(&self, feed: &Feed, reading: &Reading, seen: WallTime, report: &Report) -> News {
        let PlanSettings { interval, lateness, .. } = self.settings.plan;
        let is_close = interval * 2 <= lateness && report.depth == Some(Depth::Whole);
        let lately = is_close.then(|| reading.at().minus(interval * 2));
        News { before: feed.coverage.clone(), seen, lately }
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
}
