//! Where records come from, and which seconds of event time have been read.
//!
//! CloudTrail's Event history is late, unordered and served newest first, so there is no cursor. Instead [`Coverage`]
//! holds which seconds of event time have been read and at what age, and [`Density`] how busy they are; [`plan`] says
//! from both what to read next and how deep ([`Depth`]), [`Pace`] says when the next request may go out, and
//! [`Reading`] turns the pages of one reading into the spans they cover. [`Visibility`] measures how late events show
//! up. These are pure: they take the time as an argument and touch nothing. [`Lookup`] is the one part that talks to
//! AWS.
//!
//! Absent on purpose: what a record means (`model`), what is done with it (`detect`), where coverage is kept (`store`)
//! and the loop that performs a plan (`daemon`).

use std::fmt;

use serde::{Deserialize, Serialize};

mod coverage;
mod density;
mod depth;
mod files;
mod lookup;
mod pace;
mod plan;
mod reading;
mod spans;
mod visibility;

pub use coverage::{Coverage, Fresh};
pub use density::Density;
pub use depth::Depth;
pub use files::{
    Damage, Fault, MAX_BYTES_IN_FLIGHT, MAX_FILE_BYTES, Origin, Progress, ReadSettings, Summary, Wanted, read_paths,
};
pub use lookup::{Filter, Item, Lookup, LookupClass, LookupError, LookupPage, PAGE_EVENTS, Query};
pub use pace::Pace;
pub use plan::{Budget, Plan, PlanSettings, Planned, Purpose, behind, floor, lost, overdue_recheck, plan};
pub use reading::{Reading, Step, Stuck};
pub use spans::SpanSet;
pub use visibility::{BUCKETS, Histogram, Visibility};

/// One account and Region whose Event history is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId {
    /// The account's twelve digits where the configuration tells them, else the name it gives the account.
    pub account: String,
    /// The Region, such as `us-east-2`.
    pub region: String,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
