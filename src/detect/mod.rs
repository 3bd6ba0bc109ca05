//! Which accesses make an incident. Pure: no I/O, no clock, no randomness, no logging.
//!
//! A [`Rule`] says which accesses count, by a [`Condition`], and how they are grouped; an [`Allowance`] takes some of them
//! off. [`window`] knows which windows cross, and `sequence` those in which one thing followed another; [`Sightings`]
//! know what is news. [`judge()`] turns a page of new accesses and their stored neighbours into changes of [`Incident`]s,
//! and [`compose`] writes the alerts; those about a source that cannot be read say its [`Trouble`]. Whoever calls these
//! loads what they ask for and stores what they answer; see `store::Ledger`.

mod allow;
mod compose;
mod condition;
mod incident;
mod judge;
mod memory;
mod pattern;
mod rule;
mod sequence;
mod trouble;
pub mod window;

pub use allow::{AllowId, Allowance, AtMost};
pub use compose::{
    DAEMON_RULE, Lapse, about_allowance, about_digest, about_source, about_test, alert_id, compose, episode_id,
    resolved,
};
pub use condition::{Condition, Globs, Verdict};
pub use incident::{Incident, IncidentId, State};
pub use judge::{Change, Removal, Touch, judge, removal};
pub use memory::Sightings;
pub use pattern::{Clause, Pattern, PatternError};
pub use rule::{
    FirstSeen, Group, GroupId, GroupKey, MAX_STEPS, MemoryId, Rule, RuleCard, RuleId, Share, Statistic, Step,
};
pub use trouble::Trouble;
pub use window::Entry;
