//! What tests of the daemon's parts stand on.

use std::time::Duration;

use crate::model::WallTime;
use crate::store::{Ledger, LedgerSettings};

/// A ledger that leaves no trace and knows nothing.
pub(super) fn ledger() -> Ledger {
    let day = Duration::from_secs(86_400);
    let settings = LedgerSettings {
        rules: Vec::new(),
        allowances: Vec::new(),
        recipients: Vec::new(),
        sources: Vec::new(),
        event_sources: Vec::new(),
        lateness: day,
        recheck: day,
        backfill: day,
        retention: day,
        stale_after: day,
        awake_since: None,
    };
    Ledger::in_memory(settings, WallTime(0)).unwrap()
}
