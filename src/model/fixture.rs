//! An access and an alert that are like real ones, for tests to vary.

pub(crate) use super::sample::{START, access, alert, denied};
