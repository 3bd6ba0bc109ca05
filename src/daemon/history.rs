//! Reads a source's Event history once and through, for whoever wants to look at it: no store, no coverage, no polls.
//!
//! A [`History`] keeps to the same pace, and puts up with the same faults, as the passes of a daemon do. It asks for one
//! span after the other, newest page first, and hands over each page as it comes. Whoever stops it keeps what has come:
//! each page says from where on everything has.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::{Ended, Limits, pause};
use super::patience::{Next, Patience};
use super::trouble::trouble;
use crate::aws::Source;
use crate::detect::Trouble;
use crate::model::{EventTime, Span, WallClock};
use crate::trail::{Filter, Item, Pace, Query, Reading, SourceId};

/// Reads one source.
#[derive(Debug)]
pub struct History {
    source: Source,
    pace: Pace,
    clock: WallClock,
}

/// One page, as it is handed over.
#[derive(Debug)]
pub struct HistoryPage {
    /// Its events, newest first as far as AWS keeps to that.
    pub items: Vec<Item>,
    /// What has been read through by this page and those before it; none as long as not even one second has.
    pub covered: Option<Span>,
}

/// Why a reading ended before its last page.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfinished {
    /// It was told to stop.
    Stopped,
    /// AWS would not go on.
    Failed(Trouble),
}

impl From<Ended> for Unfinished {
    /// Nobody makes it give way, and there is no store that could fail.
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(why) => Self::Failed(why),
            Ended::GaveWay | Ended::Stopped | Ended::Store(_) => Self::Stopped,
        }
    }
}

impl History {
    /// A reader of `source` at this share of its quota.
    #[must_use]
    pub fn new(source: Source, requests_per_second: f64, clock: WallClock) -> Self {
        Self { source, pace: Pace::new(requests_per_second), clock }
    }

    /// Which source it is.
    #[must_use]
    pub fn id(&self) -> &SourceId {
        &self.source.id
    }

    /// Reads the events of `event_source` within `span`, page by page, until `stop`. A page that is under way then is the
    /// last.
    pub async fn read(
        &mut self,
        event_source: &str,
        span: Span,
        stop: &CancellationToken,
        told: &mut (dyn FnMut(HistoryPage) + Send),
    ) -> Result<(), Unfinished> {
        let limits = Limits { stop: stop.clone(), polls: None, deadline: None::<Instant> };
        let mut reading = Reading::new(span, self.clock.now());
        let mut query = Query { filter: Filter::EventSource(event_source.to_owned()), span };
        let (mut token, mut patience): (Option<String>, _) = (None, Patience::default());
        let mut covered: Option<Span> = None;
        loop {
            self.wait_turn(&limits).await?;
            match self.source.lookup.page(&query, token.as_deref()).await {
                Ok(page) => {
                    self.pace.ok(self.clock.now());
                    patience.answered();
                    token = page.token;
                    let times: Vec<EventTime> = page.items.iter().filter_map(|item| item.time).collect();
                    let step = reading.page(&times, token.is_none());
                    if step.forget.is_some() {
                        covered = None;
                    }
                    covered = step.cover.map_or(covered, |news| {
                        Some(Span { from: news.from, to: covered.map_or(news.to, |span| span.to) })
                    });
                    told(HistoryPage { items: page.items, covered });
                    let Some(next) = &token else { return Ok(()) };
                    reading.follow(next).map_err(|stuck| Unfinished::Failed(Trouble::Other(stuck.to_string())))?;
                }
                Err(error) => {
                    let (next, now) = (patience.failed(error.class), self.clock.now());
                    let why = || Unfinished::Failed(trouble(&error, patience.throttles(), now));
                    match next {
                        Next::AtItsPace => self.pace.throttled(now, 0.5 + fastrand::f64() / 2.0),
                        Next::After(wait) => pause(wait, &limits).await?,
                        Next::Anew => {
                            query.span = reading.restart().ok_or_else(why)?;
                            token = None;
                        }
                        Next::GiveUp => return Err(why()),
                    }
                }
            }
        }
    }

    /// Waits until the next request may go out.
    async fn wait_turn(&mut self, limits: &Limits) -> Result<(), Ended> {
        let now = self.clock.now();
        pause(self.pace.next(now).since(now), limits).await?;
        if limits.stop.is_cancelled() {
            return Err(Ended::Stopped);
        }
        self.pace.sent(self.clock.now());
        Ok(())
    }
}
