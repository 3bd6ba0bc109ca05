//! The ledger: the one place that reads and writes the store, and where the pure parts meet the rows.
//!
//! A page goes in by [`take`](Ledger::take): known events are dropped, new ones written, judged against their stored
//! neighbours, and what follows (incidents, alerts in the outbox) is written with them, all or nothing. Time goes in by
//! [`tick`](Ledger::tick): updates that are due, incidents that are over, sources that are blind. The dispatcher takes
//! alerts out by [`next`](Ledger::next) and says what became of them by [`settle`](Ledger::settle).
//!
//! The truth is in the accesses: windows are worked out anew from them each time, and what was covered before a page is
//! what the accesses before it say. The one thing that they do not show, that an access was reported elsewhere before a
//! better record moved it, stands in its match row. The only copies in memory are the open incidents, the sources' rows and the next alert number, all read back at the start.
//!
//! Nothing is durable before [`sync`](Ledger::sync); [`Keeper`](super::Keeper) sees to that.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::kv::{Kv, Writes};
use super::overview::Walked;
use super::rows::{self, AllowanceRow, RuleRow, SourceRow};
use super::silences::Hush;
use super::tally::Tally;
use super::{SimulatedDisk, StoreError, keys};
use crate::detect::{Allowance, Incident, IncidentId, MemoryId, Rule, RuleId, Trouble};
use crate::model::{EventTime, Severity, WallTime};
use crate::trail::{Coverage, SourceId, Visibility};

/// How much of what was read a power cut may make to be read again.
const LAZY_AT_MOST: Duration = Duration::from_secs(60);

/// What the ledger must know of the configuration.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What they need not count.
    pub allowances: Vec<Allowance>,
    /// The notifiers.
    pub recipients: Vec<Recipient>,
    /// The sources that are read.
    pub sources: Vec<SourceId>,
    /// The event sources that are read of each.
    pub event_sources: Vec<String>,
    /// An event may appear this long after it happened; see [`Coverage`].
    pub lateness: Duration,
    /// Every second is read once more at this age; see [`Coverage`].
    pub recheck: Duration,
    /// How far back a rule counts when it is new.
    pub backfill: Duration,
    /// How long things are kept, by event time.
    pub retention: Duration,
    /// A source not read through for this long is blind.
    pub stale_after: Duration,
    /// Blindness is counted from here at the earliest: the start of a daemon, which cannot have read before. None for
    /// one pass from cron, where the store alone tells how long it has been.
    pub awake_since: Option<WallTime>,
}

/// A notifier, as far as it matters for what is queued for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub name: String,
    /// Alerts below this are not for it.
    pub min_severity: Severity,
    /// Whether it hears that an incident is over.
    pub send_resolved: bool,
}

/// A rule and from where on it counts.
#[derive(Clone, Debug)]
pub(super) struct ActiveRule {
    /// Worked out once: it is a hash, and part of every key.
    pub(super) id: RuleId,
    pub(super) rule: Rule,
    pub(super) from: EventTime,
    /// Where it remembers what is no news.
    pub(super) memory: Option<MemoryId>,
    /// The allowance that it watches; none: it is one of the configuration's own.
    pub(super) watches: Option<usize>,
}

/// Why a source cannot be read through.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles {
    /// Why the last pass has not.
    pub(super) verdict: Option<Trouble>,
    /// What the present one has met with since its last answer.
    pub(super) obstacle: Option<Trouble>,
}

impl Troubles {
    pub(super) fn present(&self) -> Option<&Trouble> {
        self.obstacle.as_ref().or(self.verdict.as_ref())
    }
}

/// The store, opened for one configuration.
#[derive(Debug)]
pub struct Ledger {
    pub(super) kv: Kv,
    pub(super) settings: LedgerSettings,
    pub(super) rules: Vec<ActiveRule>,
    pub(super) open: BTreeMap<IncidentId, Incident>,
    pub(super) sources: BTreeMap<SourceId, SourceRow>,
    /// How the allowances were used, in their order.
    pub(super) allowances: Vec<AllowanceRow>,
    /// The oldest first.
    pub(super) silences: Vec<Hush>,
    pub(super) next_seq: u64,
    /// Where watching begins in a store that was renewed, while it is being opened for the first time.
    beginning: Option<EventTime>,
    /// Why a source's last pass failed; for the alert that says it is blind.
    pub(super) troubles: BTreeMap<SourceId, Troubles>,
    /// Deliveries queued since the last [`sync`](Self::sync).
    queued: u64,
    unsynced: bool,
    /// Something was written that may wait for the next [`sync`](Self::sync), or get lost: what was read, which is then
    /// read again.
    lazy: bool,
    /// When the rows that may wait were last made durable.
    flushed: WallTime,
    /// How many batches it has tried to write.
    batches: u64,
    pub(super) tally: Tally,
    pub(super) walked: Walked,
    /// When time was last let pass.
    pub(super) ticked: WallTime,
}

impl Ledger {
    /// Opens the store in `state_dir/db` and activates rules that are new.
    pub fn open(state_dir: &Path, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        let kv = Kv::open(state_dir)?;
        check_version(&kv, &state_dir.join("db"))?;
        let mut ledger = Self::over(kv, settings, now)?;
        ledger.kv.begun()?;
        Ok(ledger)
    }

    /// Opens the store on `disk`.
    pub fn simulated(disk: &SimulatedDisk, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        Self::over(Kv::simulated(disk), settings, now)
    }

    /// A ledger that leaves no trace.
    pub fn in_memory(settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        Self::over(Kv::memory(), settings, now)
    }

    fn over(kv: Kv, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        let mut ledger = Self::blank(kv, settings, now)?;
        let mut writes = Writes::default();
        writes.put(keys::META.to_vec(), keys::VERSION.to_be_bytes().to_vec());
        ledger.write(writes)?;
        ledger.load_open()?;
        ledger.load_sources(now)?;
        ledger.load_allowances(now)?;
        ledger.activate_rules(now)?;
        for source in ledger.settings.sources.clone() {
            ledger.finish_seeding(&source, now)?;
        }
        if ledger.beginning.take().is_some() {
            let mut writes = Writes::default();
            writes.remove(keys::BEGINNING.to_vec());
            ledger.write(writes)?;
        }
        ledger.sync()?;
        Ok(ledger)
    }

    /// Goes by other settings from now on, as if it were opened anew, without letting go of the store in between. After
    /// an error it is of no use any more.
    pub fn reconfigure(&mut self, settings: LedgerSettings, now: WallTime) -> Result<(), StoreError> {
        self.flush()?;
        let kv = std::mem::replace(&mut self.kv, Kv::memory());
        let (mut troubles, tally) = (std::mem::take(&mut self.troubles), std::mem::take(&mut self.tally));
        *self = Self::over(kv, settings, now)?;
        // What is known of a source that is still read; the rest would be told as its last trouble for ever.
        troubles.retain(|source, _| self.sources.contains_key(source));
        (self.troubles, self.tally) = (troubles, tally);
        Ok(())
    }

    /// One that has not looked at its rows yet.
    pub(super) fn blank(kv: Kv, settings: LedgerSettings, now: WallTime) -> Result<Self, StoreError> {
        let mut ledger = Self {
            next_seq: last_seq(&kv)?.map_or(0, |seq| seq + 1),
            beginning: beginning(&kv)?,
            kv,
            settings,
            rules: Vec::new(),
            open: BTreeMap::new(),
            sources: BTreeMap::new(),
            allowances: Vec::new(),
            silences: Vec::new(),
            troubles: BTreeMap::new(),
            queued: 0,
            unsynced: false,
            lazy: false,
            flushed: now,
            batches: 0,
            tally: Tally::default(),
            walked: Walked::default(),
            ticked: now,
        };
        ledger.load_silences()?;
        Ok(ledger)
    }

    /// Makes everything written so far durable, if any of it has to be before somebody is told. Returns how many deliveries that has put into outboxes.
    pub fn sync(&mut self) -> Result<u64, StoreError> {
        if self.unsynced {
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.queued))
    }

    /// Whether its calls may wait for a device.
    pub(super) fn blocks(&self) -> bool {
        self.kv.blocks()
    }

    /// Makes durable what may wait for it, too.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.unsynced || self.lazy {
            self.kv.sync()?;
            (self.unsynced, self.lazy) = (false, false);
        }
        Ok(())
    }

    /// Sees to it that what may wait for being durable does not wait for long.
    pub(super) fn flush_now_and_then(&mut self, now: WallTime) {
        let waited = now.since(self.flushed).max(self.flushed.since(now));
        if waited > LAZY_AT_MOST {
            self.flushed = now;
            self.unsynced |= self.lazy;
        }
    }

    /// Bytes that the store takes on disk.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        self.kv.bytes()
    }

    /// How many incidents are open, by rule.
    #[must_use]
    pub fn open_incidents(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for incident in self.open.values() {
            *counts.entry(incident.rule_name.clone()).or_default() += 1;
        }
        counts
    }

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

    /// Writes `row` together with `writes`.
    pub(super) fn write_source(
        &mut self,
        source: &SourceId,
        row: SourceRow,
        mut writes: Writes,
    ) -> Result<(), StoreError> {
        let tells_more = writes.len() > 0;
        writes.put(source_key(source), rows::encode(&row)?);
        self.kv.apply(writes)?;
        self.lazy = true;
        self.unsynced |= tells_more;
        self.sources.insert(source.clone(), row);
        Ok(())
    }

    /// Whether this account is read in this Region.
    pub(super) fn is_source(&self, account: &str, region: &str) -> bool {
        self.sources.iter().any(|(id, row)| {
            id.region == region && (id.account == account || row.account_id.as_deref() == Some(account))
        })
    }

    pub(super) fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
        if writes.len() > 0 {
            self.batches += 1;
            self.kv.apply(writes)?;
            self.unsynced = true;
        }
        Ok(())
    }

    /// Runs `job`. An error in the outer result is one of writing, after which the ledger is of no use any more; one in
    /// the inner has changed nothing.
    pub fn attempt<T>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let before = self.batches;
        match job(self) {
            Err(error) if self.batches != before => Err(error),
            done => Ok(done),
        }
    }

    pub(super) fn count_queued(&mut self, deliveries: u64) {
        self.queued += deliveries;
    }

    pub(super) fn load_open(&mut self) -> Result<(), StoreError> {
        for row in self.kv.prefix(&[keys::OPEN]) {
            let (key, at) = row?;
            let Some(row) = self.kv.row(&at)? else {
                return Err(rows::damaged(format!("open incident {} is missing", String::from_utf8_lossy(&key[1..]))));
            };
            let incident: Incident = rows::decode(&at, &row)?;
            self.open.insert(incident.id.clone(), incident);
        }
        Ok(())
    }

    fn load_sources(&mut self, now: WallTime) -> Result<(), StoreError> {
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

    /// Makes the configured rules current. A version that is new counts what is stored already, from `backfill` ago
    /// on, and ends the incidents of the one before it. Can be interrupted anywhere and done again.
    fn activate_rules(&mut self, now: WallTime) -> Result<(), StoreError> {
        let stored = self.rule_rows()?;
        let rules = self.all_rules();
        let names: HashSet<String> = rules.iter().map(|(rule, _)| rule.name.clone()).collect();
        for (rule, watches) in rules {
            let row = stored.get(&rule.name).filter(|row| row.id == rule.id());
            if row.is_none() && stored.contains_key(&rule.name) {
                self.close_incidents(&stored[&rule.name], "rule changed", now)?;
            }
            let mut row = row.cloned().unwrap_or_else(|| RuleRow {
                id: rule.id(),
                activated: now,
                from: self
                    .beginning
                    .into_iter()
                    .chain([now.minus(self.settings.backfill).second()])
                    .min()
                    .unwrap_or_default(),
                ready: false,
                card: rule.card(),
            });
            row.card = rule.card();
            self.write_rule(&rule.name, &row)?;
            let memory = rule.memory();
            self.rules.push(ActiveRule { id: row.id, from: row.from, rule: rule.clone(), memory, watches });
            if !row.ready {
                self.remember_stored(self.rules.len() - 1, now)?;
                self.count_stored(self.rules.len() - 1, now)?;
                row.ready = true;
                self.write_rule(&rule.name, &row)?;
            }
        }
        for (name, row) in &stored {
            if !names.contains(name) {
                self.close_incidents(row, "rule removed", now)?;
                let mut writes = Writes::default();
                writes.remove(rule_key(name));
                self.write(writes)?;
            }
        }
        Ok(())
    }

    /// The rules of the configuration, and those that watch its allowances.
    pub(super) fn all_rules(&self) -> Vec<(Rule, Option<usize>)> {
        let LedgerSettings { rules, allowances, .. } = &self.settings;
        let watches = allowances.iter().enumerate().filter_map(|(place, it)| Some((it.watch(rules)?, Some(place))));
        rules.iter().map(|rule| (rule.clone(), None)).chain(watches).collect()
    }

    /// Lets rules that would begin to count after `now` begin anew: the clock that they were activated by has been set
    /// back since, and what happens until that time comes would count for nobody.
    pub fn reactivate_rules(&mut self, now: WallTime) -> Result<(), StoreError> {
        let from = now.minus(self.settings.backfill).second();
        for index in 0..self.rules.len() {
            if self.rules[index].from <= now.second() {
                continue;
            }
            let ActiveRule { id, rule, from: begins, .. } = &mut self.rules[index];
            *begins = from;
            let (name, card) = (rule.name.clone(), rule.card());
            let mut row = RuleRow { id: *id, activated: now, from, ready: false, card };
            self.write_rule(&name, &row)?;
            self.count_stored(index, now)?;
            row.ready = true;
            self.write_rule(&name, &row)?;
        }
        Ok(())
    }

    pub(super) fn rule_rows(&self) -> Result<BTreeMap<String, RuleRow>, StoreError> {
        let mut stored = BTreeMap::new();
        for row in self.kv.prefix(&[keys::RULE]) {
            let (key, value) = row?;
            let row: RuleRow = rows::decode(&key, &value)?;
            stored.insert(row.card.name.clone(), row);
        }
        Ok(stored)
    }

    /// Writes the current version of the rule at `index`, and whether it has counted all that it should.
    pub(super) fn put_rule(
        &self,
        index: usize,
        ready: bool,
        now: WallTime,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let ActiveRule { id, rule, from, .. } = &self.rules[index];
        let key = rule_key(&rule.name);
        let stored = self.kv.row(&key)?.map(|row| rows::decode::<RuleRow>(&key, &row)).transpose()?;
        let activated = stored.map_or(now, |row| row.activated);
        let row = RuleRow { id: *id, activated, from: *from, ready, card: rule.card() };
        writes.put(key, rows::encode(&row)?);
        Ok(())
    }

    fn write_rule(&mut self, name: &str, row: &RuleRow) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        writes.put(rule_key(name), rows::encode(row)?);
        self.write(writes)
    }
}

fn rule_key(name: &str) -> Vec<u8> {
    keys::Key::of(keys::RULE).text(name).end()
}

fn source_key(source: &SourceId) -> Vec<u8> {
    keys::Key::of(keys::SOURCE).text_then(&source.account).text(&source.region).end()
}

pub(super) fn check_version(kv: &Kv, path: &Path) -> Result<(), StoreError> {
    let Some(row) = kv.row(keys::META)? else { return Ok(()) };
    let found: [u8; 4] = row.try_into().map_err(|_| rows::damaged("the schema version".to_owned()))?;
    let found = u32::from_be_bytes(found);
    if found > keys::VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: keys::VERSION });
    }
    Ok(())
}

/// Where a store that was renewed begins, if it was not opened since.
fn beginning(kv: &Kv) -> Result<Option<EventTime>, StoreError> {
    Ok(kv.row(keys::BEGINNING)?.and_then(|row| keys::time_at(&row, 0)))
}

fn last_seq(kv: &Kv) -> Result<Option<u64>, StoreError> {
    match kv.prefix(&[keys::ALERT]).next_back() {
        Some(row) => {
            let (key, _) = row?;
            keys::number_at(&key, 1).map(Some).ok_or_else(|| rows::damaged("the last alert's number".to_owned()))
        }
        None => Ok(None),
    }
}
