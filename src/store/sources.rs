//! What is known of each source: what has been read of it and when, whose it is, how busy, and how late its events are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::StoreError;
use super::kv::Writes;
use super::ledger::{Ledger, LedgerSettings, source_key};
use super::rows::{self, SourceRow};
use crate::model::WallTime;
use crate::trail::{Coverage, SourceId, Visibility};

impl Ledger {
    /// What is known of each configured source.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<SourceId, SourceRow> {
        &self.sources
    }

    /// What has been read of `event_source` in `source`, as it counts at `now`. Where watching would begin in the future
    /// the clock has been set back since, and it begins anew; the second value says so.
    #[must_use]
    pub fn coverage(&self, source: &SourceId, event_source: &str, now: WallTime) -> (Coverage, bool) {
        let stored = self.sources.get(source).and_then(|row| row.coverage.get(event_source));
        match stored {
            Some(coverage) if coverage.since() <= now.second() => {
                let mut coverage = coverage.clone();
                coverage.discard_after(now);
                (coverage, false)
            }
            stored => (self.unread_coverage(now), stored.is_some()),
        }
    }

    /// Whether anything is kept about what has been read of `event_source` in `source`.
    #[must_use]
    pub fn covers(&self, source: &SourceId, event_source: &str) -> bool {
        self.sources.get(source).is_some_and(|row| row.coverage.contains_key(event_source))
    }

    /// How many events a second `event_source` in `source` had, as measured last.
    #[must_use]
    pub fn per_second(&self, source: &SourceId, event_source: &str) -> Option<f64> {
        self.sources.get(source)?.per_second.get(event_source).copied()
    }

    /// Notes how many events a second `event_source` in `source` has. Written with the next [`cover`](Self::cover).
    pub fn measured(&mut self, source: &SourceId, event_source: &str, per_second: f64) {
        if let Some(row) = self.sources.get_mut(source) {
            row.per_second.insert(event_source.to_owned(), per_second);
        }
    }

    /// Lets go of what has been read of `event_source` in `source`, which is looked up no more.
    pub fn uncover(&mut self, source: &SourceId, event_source: &str) -> Result<(), StoreError> {
        self.update_source(source, |row| {
            row.coverage.remove(event_source);
            row.per_second.remove(event_source);
        })
    }

    /// Keeps `coverage` as what has been read of `event_source` in `source`. It need not be durable before something
    /// else is: losing it means reading again, and what was read is known. Something was read, so what kept the source
    /// from answering is over.
    pub fn cover(&mut self, source: &SourceId, event_source: &str, coverage: Coverage) -> Result<(), StoreError> {
        if let Some(troubles) = self.troubles.get_mut(source) {
            troubles.obstacle = None;
        }
        self.update_source(source, |row| {
            row.coverage.insert(event_source.to_owned(), coverage);
        })
    }

    /// Notes how long after they happened events of `source` were first seen. Written with the next [`cover`](Self::cover),
    /// which is the same job's where a page is taken: a row of its own for a statistic would be one write too many, and
    /// what a crash takes is one page of it.
    pub fn saw(&mut self, source: &SourceId, delays: &[Duration]) {
        delays.iter().for_each(|delay| self.tally.visibility.note(*delay));
        if let Some(row) = self.sources.get_mut(source) {
            delays.iter().for_each(|delay| row.visibility.note(*delay));
        }
    }

    /// Notes that the account behind `source` is `account_id`. If it was another before, what had been read was
    /// another account's, and watching begins anew. Returns whether that was so.
    pub fn identify(&mut self, source: &SourceId, account_id: &str, now: WallTime) -> Result<bool, StoreError> {
        let Some(row) = self.sources.get(source) else { return Ok(false) };
        if row.account_id.as_deref() == Some(account_id) {
            return Ok(false);
        }
        let moved = row.account_id.is_some();
        let anew = self.unread_coverage(now);
        self.update_source(source, |row| {
            row.account_id = Some(account_id.to_owned());
            if moved {
                row.coverage.values_mut().for_each(|coverage| *coverage = anew.clone());
                row.read_through = None;
                row.visibility = Visibility::default();
                (row.known, row.seeding) = (None, None);
            }
        })?;
        if moved {
            self.begin_seeding(source, now)?;
        }
        Ok(moved)
    }

    /// Notes the account of a source's own records, where nobody else has said it.
    pub fn learn_account(&mut self, source: &SourceId, account_id: &str) -> Result<(), StoreError> {
        let is_news = self.sources.get(source).is_some_and(|row| row.account_id.is_none());
        if is_news && !account_id.is_empty() {
            self.update_source(source, |row| row.account_id = Some(account_id.to_owned()))?;
        }
        Ok(())
    }

    /// The coverage of a feed that has never been read.
    pub(super) fn unread_coverage(&self, now: WallTime) -> Coverage {
        let since = self.beginning.unwrap_or(now.minus(self.settings.backfill).second());
        Coverage::new(since, self.settings.lateness, self.settings.recheck)
    }

    pub(super) fn update_source(
        &mut self,
        source: &SourceId,
        change: impl FnOnce(&mut SourceRow),
    ) -> Result<(), StoreError> {
        let Some(mut row) = self.sources.get(source).cloned() else { return Ok(()) };
        change(&mut row);
        self.write_source(source, row, Writes::default())
    }

    /// Whether this account is read in this Region.
    pub(super) fn is_source(&self, account: &str, region: &str) -> bool {
        self.sources.iter().any(|(id, row)| {
            id.region == region && (id.account == account || row.account_id.as_deref() == Some(account))
        })
    }

    pub(super) fn load_sources(&mut self, now: WallTime) -> Result<(), StoreError> {
        for source in self.settings.sources.clone() {
            let key = source_key(&source);
            let row = match self.kv.row(&key)? {
                Some(row) => rows::decode(&key, &row)?,
                None => SourceRow {
                    coverage: BTreeMap::new(),
                    created: now,
                    account_id: None,
                    read_through: None,
                    blind: None,
                    visibility: Visibility::default(),
                    per_second: BTreeMap::new(),
                    known: None,
                    seeding: None,
                },
            };
            self.sources.insert(source.clone(), row);
            let unread = self.unread_coverage(now);
            let LedgerSettings { lateness, recheck, event_sources, .. } = self.settings.clone();
            self.update_source(&source, |row| {
                // What is known of the past is known of those that were read.
                if !row.coverage.is_empty() && event_sources.iter().any(|name| !row.coverage.contains_key(name)) {
                    (row.known, row.seeding) = (None, None);
                }
                // One that is configured no more keeps what was read: should it come back, the gap shows.
                for name in event_sources {
                    row.coverage.entry(name).or_insert_with(|| unread.clone());
                }
                for coverage in row.coverage.values_mut() {
                    coverage.adopt(lateness, recheck, now);
                    coverage.discard_after(now);
                }
            })?;
            self.begin_seeding(&source, now)?;
        }
        Ok(())
    }
}
