//! Which accesses make an incident. Pure: no I/O, no clock, no randomness, no logging.

mod rule;

pub use rule::{Globs, Group, GroupId, GroupKey, Rule, RuleId, Statistic};
