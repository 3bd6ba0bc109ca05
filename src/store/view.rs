//! A store that is only looked at, by another process than the one that keeps it.
//!
//! A [`View`] reads a copy of the store (see [`copy`](super::copy)): whoever looks may be root or have no right to
//! write, and sled writes as it opens. Its ledger is what the last start has made of the store: rules that have changed
//! in the configuration since are not activated, nothing is counted, queued or let go of. It is lent out by reference
//! alone, so nothing can be. A visit ([`Ledger::visit`]) is the same in the store itself, for small changes that somebody
//! orders while no daemon runs.

use std::path::Path;

use tempfile::TempDir;

use super::StoreError;
use super::copy::{Opened, open_copy, store_in};
use super::keys;
use super::kv::Kv;
use super::ledger::{ActiveRule, Ledger, LedgerSettings, check_version};
use super::rows;
use crate::model::WallTime;
use crate::trail::SourceId;

/// A ledger that nothing is written to.
#[derive(Debug)]
pub struct View {
    ledger: Ledger,
    /// Where its rows lie. Goes after it.
    _scratch: TempDir,
}

impl View {
    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Ledger {
    /// Looks at the store in `state_dir`, which nobody may be using, by the configuration in `settings`. Which sources
    /// there are is taken from the store.
    pub fn view(state_dir: &Path, settings: LedgerSettings, now: WallTime) -> Result<View, StoreError> {
        let Opened { kv, scratch, .. } = open_copy(state_dir)?;
        Ok(View { ledger: Self::as_stored(kv, settings, now)?, _scratch: scratch })
    }

    /// Opens the store in `state_dir`, which nobody may be using, for a small change: as the last start has left it, like
    /// a view, but the store itself.
    pub fn visit(state_dir: &Path, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        let path = store_in(state_dir)?;
        let mut kv = Kv::open(state_dir)?;
        check_version(&kv, &path)?;
        kv.begun()?;
        Self::as_stored(kv, settings, now)
    }

    fn as_stored(kv: Kv, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        let mut ledger = Self::blank(kv, settings, now)?;
        ledger.load_open()?;
        ledger.find_sources()?;
        let stored = ledger.rule_rows()?;
        for (rule, watches) in ledger.all_rules() {
            if let Some(row) = stored.get(&rule.name).filter(|row| row.id == rule.id()) {
                let (id, from, memory) = (row.id, row.from, rule.memory());
                ledger.rules.push(ActiveRule { id, rule, from, memory, watches });
            }
        }
        Ok(ledger)
    }

    fn find_sources(&mut self) -> Result<(), StoreError> {
        for row in self.kv.prefix(&[keys::SOURCE]) {
            let (key, value) = row?;
            let name = keys::text_at(&key, 1).and_then(|name| name.split_once('\0'));
            let (account, region) = name.ok_or_else(|| rows::damaged("the key of a source".to_owned()))?;
            let source = SourceId { account: account.to_owned(), region: region.to_owned() };
            self.sources.insert(source, rows::decode(&key, &value)?);
        }
        Ok(())
    }
}
