//! Which records are wanted, by the service that they tell of.
//!
//! A record of which that cannot be said is wanted: it is better looked at in vain than lost.

use crate::model::{Object, SHORT, event_source};

/// The services whose records are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// None: those of every service.
    event_sources: Option<Vec<String>>,
}

impl Wanted {
    /// Every record.
    #[must_use]
    pub fn everything() -> Self {
        Self { event_sources: None }
    }

    /// Those of these services, such as `secretsmanager.amazonaws.com`, and those that name none.
    #[must_use]
    pub fn of(event_sources: &[String]) -> Self {
        Self { event_sources: Some(event_sources.to_vec()) }
    }

    /// Whether everything is.
    pub(super) fn is_everything(&self) -> bool {
        self.event_sources.is_none()
    }

    /// Whether `record` is.
    pub(super) fn wants(&self, record: &Object<'_>) -> bool {
        match (&self.event_sources, event_source(record)) {
            (Some(wanted), Some(source)) => wanted.contains(&source),
            _ => true,
        }
    }

    /// Whether a record whose `eventSource` is written like this, without any escape, is certainly not wanted: of plain
    /// text it is known that reading changes nothing about it.
    pub(super) fn rules_out(&self, written: &[u8]) -> bool {
        // Without an early end, which would keep the compiler from looking at many bytes at once.
        let is_plain = written.iter().fold(true, |plain, byte| plain & byte.is_ascii_graphic());
        let is_text = is_plain && (1..=SHORT).contains(&written.len());
        let is_wanted = |wanted: &Vec<String>| wanted.iter().any(|wanted| wanted.as_bytes() == written);
        is_text && self.event_sources.as_ref().is_some_and(|wanted| !is_wanted(wanted))
    }
}
