//! The time before watching began, read once for rules that tell what is new.
//!
//! It comes after everything else that a pass has to do, gives way to the next poll after any page, and never makes a
//! source late or blind: what goes wrong here is tried again after the next pass. The newest days come first, though
//! nothing is learnt before all of it is read.

use std::time::Duration;

use tokio::time::Instant;

use super::super::feed::Feed;
use super::super::limits::{Ended, Limits};
use super::{Report, SAY_AGAIN, Watch};
use crate::model::{EventTime, Span, WallTime};
use crate::store::{Past, StoreError};
use crate::trail::{Density, Planned, Purpose};

/// How long a single run reads the past: somebody waits for it, and the next run goes on.
const ONCE: Duration = Duration::from_secs(30);

/// Longest span of one reading, in seconds.
const LONGEST: i64 = 86_400;

impl Watch {
    /// Reads of `past` what there is time for.
    pub(super) async fn read_past(
        &mut self,
        past: Vec<Past>,
        began: WallTime,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        let mut limits = limits.clone();
        if limits.polls.is_none() {
            let end = Instant::now() + ONCE;
            limits.deadline = Some(limits.deadline.map_or(end, |deadline| deadline.min(end)));
        }
        let mut report = Report::default();
        for Past { event_source, coverage, span } in past {
            let unread = coverage.unread(span);
            let mut feed = Feed::past(&event_source, coverage, Density::default());
            for span in unread.into_iter().rev().flat_map(pieces) {
                let planned = Planned { span, purpose: Purpose::Past };
                match self.read(&mut feed, planned, began, &limits, &mut report).await {
                    Ok(()) => {}
                    Err(Ended::Store(error)) => return Err(error),
                    Err(Ended::GaveWay | Ended::Stopped) => return Ok(()),
                    Err(Ended::Failed(why)) => {
                        if self.past_failed.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                            tracing::warn!(
                                source = %self.source.id, %why,
                                "the past cannot be read, so that rules with first_seen stay silent; each pass tries again"
                            );
                            self.past_failed = Some(Instant::now());
                        }
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// `span` in pieces of at most [`LONGEST`], newest first.
fn pieces(span: Span) -> impl Iterator<Item = Span> {
    let next = move |to: EventTime| (to >= span.from).then(|| Span { from: to.minus(LONGEST - 1).max(span.from), to });
    std::iter::successors(next(span.to), move |piece| next(piece.from.minus(1)))
}
