//! Which accesses make an incident. Pure: no I/O, no clock, no randomness, no logging.
//!
//! A [`Rule`] says which accesses count and how they are grouped. [`window`] knows which windows cross. [`judge()`]
//! turns a page of new accesses and their stored neighbours into changes of [`Incident`]s, and [`compose`] writes the
//! alerts; those about a source that cannot be read say its [`Trouble`]. Whoever calls these loads what they ask for and stores what they answer; see `store::Ledger`.

mod compose;
mod incident;
mod judge;
mod pattern;
mod rule;
mod trouble;
pub mod window;

pub use compose::{DAEMON_RULE, about_source, alert_id, compose, episode_id, resolved};
pub use incident::{Incident, IncidentId, State};
pub use judge::{Change, Removal, Touch, judge, removal};
pub use pattern::{Clause, Pattern, PatternError};
pub use rule::{Globs, Group, GroupId, GroupKey, Rule, RuleCard, RuleId, Statistic};
pub use trouble::Trouble;
pub use window::Entry;
