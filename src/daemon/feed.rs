//! One stream of events of a source: what is asked for, what has been read of it, and how busy it is.
//!
//! There is one [`Feed`] for each configured event source. One more stands in front of them while a source that is too
//! busy to be kept up with is *narrowed*: it asks for reads of secrets alone, so that those are told of in time, while
//! the feeds behind it work off everything, oldest first. Its coverage is its own, so nothing that it reads counts as
//! read for the others: what was left out for a while stays a backlog, is shown as one, and is read in the end.

use crate::model::{Access, EventTime};
use crate::trail::{Coverage, Density, Filter, PlanSettings};

/// The event that a narrowed source is read for. CloudTrail looks up by one attribute only, and this is the one event
/// that tells of a secret's value.
const NARROWED_TO: &str = "GetSecretValue";

/// The event source that can be narrowed.
pub(super) const NARROWED_OF: &str = "secretsmanager.amazonaws.com";

/// Under which name the narrowed feed's coverage is kept: no event source has such a name.
pub(super) const NARROWED: &str = "EventName=GetSecretValue";

/// One stream of events.
#[derive(Debug)]
pub(super) struct Feed {
    /// Under which its coverage is kept.
    pub(super) name: String,
    pub(super) filter: Filter,
    pub(super) coverage: Coverage,
    pub(super) density: Density,
    /// Nothing more of it is read in this pass.
    pub(super) broken: bool,
    /// It is read from before watching began, and its coverage is kept apart.
    pub(super) is_past: bool,
}

impl Feed {
    /// A configured event source.
    pub(super) fn of(event_source: &str, coverage: Coverage, density: Density) -> Self {
        let (name, filter) = (event_source.to_owned(), Filter::EventSource(event_source.to_owned()));
        Self { name, filter, coverage, density, broken: false, is_past: false }
    }

    /// The same before watching began.
    pub(super) fn past(event_source: &str, coverage: Coverage, density: Density) -> Self {
        Self { is_past: true, ..Self::of(event_source, coverage, density) }
    }

    /// Reads of secrets alone, as covered so far.
    pub(super) fn narrowed(coverage: Coverage, density: Density) -> Self {
        let (name, filter) = (NARROWED.to_owned(), Filter::EventName(NARROWED_TO.to_owned()));
        Self { name, filter, coverage, density, broken: false, is_past: false }
    }

    /// What a narrowed feed that begins at `since` has read: nothing. It is not rechecked, since the whole feed is.
    pub(super) fn nothing_narrowed(since: EventTime, settings: &PlanSettings) -> Coverage {
        Coverage::new(since, settings.lateness, std::time::Duration::ZERO)
    }

    /// Whether `access` belongs to it: other services may have an event of the name that a narrowed feed asks for.
    pub(super) fn wants(&self, access: &Access) -> bool {
        !self.is_narrowed() || access.event_source == NARROWED_OF
    }

    /// Whether this is the narrowed one.
    pub(super) fn is_narrowed(&self) -> bool {
        self.name == NARROWED
    }

    /// Whether this is the one that a narrowed feed stands in for.
    pub(super) fn can_be_narrowed(&self) -> bool {
        self.name == NARROWED_OF
    }
}
