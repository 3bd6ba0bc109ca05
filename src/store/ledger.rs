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

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::kv::{Kv, Writes};
use super::overview::Walked;
use super::rows::{self, AllowanceRow, SourceRow};
use super::silences::Hush;
use super::tally::Tally;
use super::{SimulatedDisk, StoreError, keys};
use crate::detect::{Allowance, Incident, IncidentId, MemoryId, Rule, RuleId, Trouble};
use crate::model::{EventTime, Severity, WallTime};
use crate::trail::SourceId;

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
    /// An event may appear this long after it happened; see [`Coverage`](crate::trail::Coverage).
    pub lateness: Duration,
    /// Every second is read once more at this age; see [`Coverage`](crate::trail::Coverage).
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
    pub(super) beginning: Option<EventTime>,
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

    /// Writes `row` together with `writes`.
    pub(super) fn write_source(
        &mut self,
        source: &SourceId,
        row: SourceRow,
        mut writes: Writes,
    ) -> Result<(), StoreError> {
        let tells_more = writes.len() > 0;
        writes.put(source_key(source), rows::encode(&row)?);
        self.apply(writes)?;
        self.lazy = true;
        self.unsynced |= tells_more;
        self.sources.insert(source.clone(), row);
        Ok(())
    }

    pub(super) fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
        if writes.len() > 0 {
            self.apply(writes)?;
            self.unsynced = true;
        }
        Ok(())
    }

    fn apply(&mut self, writes: Writes) -> Result<(), StoreError> {
        self.batches += 1;
        self.kv.apply(writes)
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
}

/// The key of the row of `source`.
pub(super) fn source_key(source: &SourceId) -> Vec<u8> {
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
