//! What a CloudTrail record means, apart from any rule, store or network.
//!
//! A record is the JSON that AWS wrote; an [`Access`] is what it says, normalised: who did what to which secret, when,
//! from where, with which outcome. An [`Alert`] is what we say about accesses. Everything here is plain data and pure
//! functions, and uses no other module of the crate.

mod access;
mod alert;
#[cfg(test)]
pub(crate) mod fixture;
mod identity;
mod json;
mod record;
mod report;
mod sample;
mod secret;
mod summary;
mod text;
mod time;

pub use access::{Access, MAX_RECORD, Outcome, Principal};
pub use alert::{Alert, AlertKind, AlertRule, MAX_ACCESSES, MAX_BYTES, SCHEMA, Severity};
pub(crate) use json::{Object, Text};
pub(crate) use record::event_source;
pub use record::{Unreadable, read_record};
pub use report::{
    BlindLine, DeniedLine, IncidentLine, Outcomes, PairLine, PrincipalLine, REPORT, Ranked, Report, SecretLine, Stretch,
};
pub use sample::sample_alerts;
pub use secret::Secret;
pub use summary::{SEQUENCE, count, duration_in_words, group_key_words, printable, statistic_words};
pub(crate) use text::SHORT;
pub use time::{EventTime, Span, WallClock, WallTime};
