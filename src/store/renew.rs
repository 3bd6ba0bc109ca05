//! `secretwatch store renew`: a store that is damaged is set aside, and a new one begins with what can be saved.
//!
//! What was told decides. An access that an alert holds, which was handed over or still can be, is marked as reported,
//! and is never told again. Everything else about counting is worked out anew at the next start, from the accesses
//! themselves: so what was covered and not told yet is told then, and what was lost and is read again counts as if it
//! came late. Coverage does not come along: Event history is read again.
//!
//! The old folder is kept as it was, under another name; all reading is done on a copy. The new one is written beside
//! it, made durable, and takes its place by one rename, which the next start finishes if this process dies before it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::copy::{copy, remove_shortcuts, store_in, walk};
use super::keys::{self, Key};
use super::kv::{self, FOLDER, Kv, MAX_BATCH, Row, SUCCESSOR, Writes};
use super::ledger::check_version;
use super::pack::unpack;
use super::rows::{self, AlertRow, AllowanceRow, DeliveryRow, FateRow, IndexRow, RuleRow, SourceRow, UnreadableRow};
use super::silences::Silence;
use super::survey::{TABLES, look_at, text_of};
use super::{StoreError, intake};
use crate::detect::{GroupId, Incident, RuleId, State};
use crate::model::{EventTime, WallTime};

/// How a store is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Where Event history is read from again; none: from `backfill` before the last time that every source had been
    /// read through, and where that is not known, before now.
    pub since: Option<EventTime>,
    /// `poll.backfill`.
    pub backfill: std::time::Duration,
    /// Renew a store that is well, too.
    pub force: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Where the old store lies now.
    pub aside: PathBuf,
    /// Whether it could be opened at all. If not, nothing is known, and what is read again is told again.
    pub opened: bool,
    /// By table: what it holds, rows carried over, and rows that could be read and were left out or worked out anew.
    pub tables: Vec<(&'static str, u64, u64)>,
    /// Places where rows could not be read; how many is not known.
    pub gaps: u64,
    /// Where Event history is read from again.
    pub begins: EventTime,
}

/// Sets the store in `state_dir` aside and begins a new one with what can be saved of it.
pub fn renew(state_dir: &Path, renewal: &Renewal, now: WallTime) -> Result<Renewed, StoreError> {
    if !state_dir.is_dir() {
        return Err(StoreError::Missing(state_dir.join(FOLDER)));
    }
    let _lock = kv::lock(state_dir)?;
    kv::succeed(state_dir)?;
    let path = store_in(state_dir)?;
    // Both go if this comes to nothing: whoever renews for want of space must not be left with less.
    let (copied, new) = (Scratch(state_dir.join(kv::COPY)), Scratch(state_dir.join(SUCCESSOR)));
    let old = open_copy(&path, &copied.0)?;
    if let Some((old, mended)) = &old {
        if let Err(newer @ StoreError::Newer { .. }) = check_version(old, &path) {
            return Err(newer);
        }
        if !mended && !renewal.force && old.verify().is_ok() && look_at(old)?.damaged == 0 {
            return Err(StoreError::Well(path));
        }
    }
    let mut transfer = Transfer::begin(&new.0)?;
    if let Some((old, _)) = &old {
        transfer.all(old)?;
    }
    let begins = transfer.finish(renewal, now)?;
    let renewed = Renewed {
        aside: aside(state_dir, now),
        opened: old.is_some(),
        tables: transfer.tables(),
        gaps: transfer.gaps,
        begins,
    };
    drop((old, transfer));
    kv::closed(&new.0);
    kv::closed(&copied.0);
    fs::rename(&path, &renewed.aside).map_err(|source| kv::io("rename", &path, source))?;
    kv::succeed(state_dir)?;
    Ok(renewed)
}

/// A folder that goes when it is dropped, if it is still there.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The copy of the store, opened; without what sled can do without, if need be, which the second value says. None if it
/// cannot be opened either way.
fn open_copy(path: &Path, copied: &Path) -> Result<Option<(Kv, bool)>, StoreError> {
    for mended in [false, true] {
        kv::remove_folder(copied)?;
        copy(path, copied)?;
        if mended {
            remove_shortcuts(copied)?;
        }
        match Kv::open_alone(copied) {
            Ok(kv) if kv.prefix(&[]).next().is_some() => return Ok(Some((kv, mended))),
            Ok(_) | Err(StoreError::Engine { .. } | StoreError::Unopened { .. }) => {}
            Err(error) => return Err(error),
        }
        kv::closed(copied);
    }
    Ok(None)
}

/// A name that nothing has yet.
fn aside(state_dir: &Path, now: WallTime) -> PathBuf {
    let stamp: String = now.second().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let names = (0..).map(|n| if n == 0 { format!("db.damaged-{stamp}") } else { format!("db.damaged-{stamp}-{n}") });
    let mut paths = names.map(|name| state_dir.join(name));
    paths.find(|path| !path.exists()).unwrap_or_else(|| state_dir.join("db.damaged"))
}

/// What is known of an incident of the old store.
struct Known {
    rule: RuleId,
    group: GroupId,
}

/// From the old store to the new one.
struct Transfer {
    new: Kv,
    writes: Writes,
    /// By table: rows read, rows written.
    counts: HashMap<u8, (u64, u64)>,
    gaps: u64,
    incidents: HashMap<String, Known>,
    /// Incidents of which alerts were carried over.
    told: HashSet<String>,
    /// Accesses in alerts that were not, by incident.
    untold: HashMap<String, u64>,
    /// Accesses that alerts hold of whose incident nothing else is known.
    told_by: HashSet<(String, String)>,
    rules: HashMap<RuleId, String>,
    /// The first of the times at which sources had been read through.
    read_through: Option<WallTime>,
}

impl Transfer {
    fn begin(path: &Path) -> Result<Self, StoreError> {
        let mut transfer = Self {
            new: Kv::open_alone(path)?,
            writes: Writes::default(),
            counts: HashMap::new(),
            gaps: 0,
            incidents: HashMap::new(),
            told: HashSet::new(),
            untold: HashMap::new(),
            told_by: HashSet::new(),
            rules: HashMap::new(),
            read_through: None,
        };
        transfer.put(keys::META.to_vec(), keys::VERSION.to_be_bytes().to_vec())?;
        Ok(transfer)
    }

    /// In this order, since each table is judged by those before it.
    fn all(&mut self, old: &Kv) -> Result<(), StoreError> {
        self.each(old, keys::ACCESS, Self::access)?;
        self.write()?;
        self.each(old, keys::INDEX, Self::index)?;
        self.each(old, keys::COPY, Self::copy)?;
        self.each(old, keys::UNREADABLE, Self::unreadable)?;
        self.each(old, keys::RULE, Self::rule)?;
        self.each(old, keys::SOURCE, Self::source)?;
        self.each(old, keys::SIGHTINGS, Self::sightings)?;
        self.each(old, keys::ALLOWANCE, Self::allowance)?;
        self.each(old, keys::SILENCE, Self::silence)?;
        self.each(old, keys::INCIDENT, Self::note_incident)?;
        self.write()?;
        self.each(old, keys::ALERT, Self::alert)?;
        self.write()?;
        self.each(old, keys::INCIDENT, Self::incident)?;
        self.each(old, keys::MATCH, Self::matched)?;
        self.write()
    }

    /// Shows `each` every row of the old table that can be read.
    fn each(&mut self, old: &Kv, table: u8, each: Carry) -> Result<(), StoreError> {
        self.counts.entry(table).or_default().0 = 0;
        let gaps = walk(old, table, &mut |(key, value): Row| {
            self.counts.entry(table).or_default().0 += 1;
            each(self, old, &key, &value)
        })?;
        self.gaps += gaps.len() as u64;
        Ok(())
    }

    fn access(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(access) = unpack(key, value) else { return Ok(()) };
        let identity = access.identity();
        if key != keys::access(access.time, identity) {
            return Ok(());
        }
        if identity != access.event_id {
            let row = IndexRow { at: access.time, hash: 0, named_only: true, identity: identity.to_owned() };
            self.put(keys::index(identity), row.encode(identity))?;
        }
        self.put(
            keys::index(&access.event_id),
            intake::index_row(&access, identity, access.time).encode(&access.event_id),
        )?;
        self.put(key.to_vec(), value.to_vec())
    }

    /// Further names of accesses that are there.
    fn index(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let row = keys::text_at(key, 1).and_then(|id| IndexRow::decode(id, value).ok());
        match row {
            Some(row) if self.new.row(key)?.is_none() && self.holds(&row.identity)? => {
                self.put(key.to_vec(), value.to_vec())
            }
            _ => Ok(()),
        }
    }

    fn holds(&self, identity: &str) -> Result<bool, StoreError> {
        Ok(self.new.row(&keys::index(identity))?.is_some())
    }

    fn copy(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(access) = unpack(key, value) else { return Ok(()) };
        let is_known = key == keys::copy(access.time, &access.event_id) && self.holds(&access.event_id)?;
        if is_known { self.put(key.to_vec(), value.to_vec()) } else { Ok(()) }
    }

    fn unreadable(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let place = keys::time_at(key, 1).zip(keys::number_at(key, 9));
        let (Some((at, hash)), Ok(_)) = (place, rows::decode::<UnreadableRow>(key, value)) else { return Ok(()) };
        let index = IndexRow { at, hash, named_only: false, identity: String::new() };
        self.put(Key::of(keys::INDEX).text(intake::UNREADABLE).number(hash).end(), index.encode(intake::UNREADABLE))?;
        self.put(key.to_vec(), value.to_vec())
    }

    /// What is stored is counted again: what is marked as reported stays so.
    fn rule(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(row) = rows::decode::<RuleRow>(key, value) else { return Ok(()) };
        self.rules.insert(row.id, row.card.name.clone());
        self.put(key.to_vec(), rows::encode(&RuleRow { ready: false, ..row })?)
    }

    fn source(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(mut row) = rows::decode::<SourceRow>(key, value) else { return Ok(()) };
        row.coverage.clear();
        // Sightings may be lost with the rest: what is new is learnt again.
        (row.known, row.seeding) = (None, None);
        let known = row.read_through.unwrap_or(row.created);
        self.read_through = Some(self.read_through.map_or(known, |first| first.min(known)));
        self.put(key.to_vec(), rows::encode(&row)?)
    }

    fn note_incident(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if let Ok(incident) = rows::decode::<Incident>(key, value) {
            let known = Known { rule: incident.rule, group: incident.group_id() };
            self.rules.entry(incident.rule).or_insert(incident.rule_name);
            self.incidents.insert(incident.id.0, known);
        }
        Ok(())
    }

    /// An alert goes over if somebody has it or can still be sent it; otherwise what it holds was told to nobody.
    fn alert(&mut self, old: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (Some(seq), Ok(alert)) = (keys::number_at(key, 1), rows::decode::<AlertRow>(key, value)) else {
            return Ok(());
        };
        let text = text_of(old, seq, &alert).ok();
        let fates: Vec<Fate> = alert.notifiers.iter().map(|name| fate_of(old, seq, name)).collect();
        let is_told =
            alert.notifiers.is_empty() || text.is_some() || fates.iter().any(|fate| matches!(fate, Fate::Done(_)));
        if !is_told {
            *self.untold.entry(alert.incident).or_default() += alert.accesses;
            return Ok(());
        }
        let ids = match &text {
            Some(text) => text.accesses.iter().map(|access| access.event_id.clone()).collect(),
            None => events_of(old, seq),
        };
        self.put(key.to_vec(), value.to_vec())?;
        self.put(keys::alert_of(&alert.incident, seq), Vec::new())?;
        for (part, ids) in ids.chunks(super::life::IDS_A_ROW).enumerate() {
            self.put(keys::numbered(keys::EVENTS, seq).part(part).end(), rows::encode(&ids)?)?;
        }
        if text.is_some() {
            for row in old.prefix(&keys::numbered(keys::BODY, seq).end()) {
                let (key, value) = row?;
                self.put(key, value)?;
            }
        }
        for (name, fate) in alert.notifiers.iter().zip(fates) {
            self.delivery(seq, &alert, name, fate, text.is_some())?;
        }
        self.told.insert(alert.incident.clone());
        self.mark_reported(old, &alert, &ids)
    }

    /// What becomes of an alert at one of its notifiers. Where nothing is known it is sent (again): its id is the same.
    fn delivery(&mut self, seq: u64, alert: &AlertRow, name: &str, fate: Fate, text: bool) -> Result<(), StoreError> {
        let fresh = || DeliveryRow::fresh(&alert.incident, alert.decided);
        let lost = || FateRow {
            accepted: None,
            by: None,
            dead: Some(alert.decided),
            attempts: 0,
            error: Some("its text was lost with a damaged store".to_owned()),
        };
        let done = keys::numbered(keys::FATE, seq).text(name).end();
        match fate {
            Fate::Done(row) => self.put(done, rows::encode(&row)?),
            _ if !text => self.put(done, rows::encode(&lost())?),
            Fate::Queued(row) => self.put(keys::queue(name).number(seq).end(), rows::encode(&row)?),
            Fate::Unknown => self.put(keys::queue(name).number(seq).end(), rows::encode(&fresh())?),
        }
    }

    fn silence(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if rows::decode::<Silence>(key, value).is_ok() { self.put(key.to_vec(), value.to_vec()) } else { Ok(()) }
    }

    fn sightings(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if rows::sightings(key, value).is_ok() { self.put(key.to_vec(), value.to_vec()) } else { Ok(()) }
    }

    fn allowance(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let is_sound = rows::decode::<AllowanceRow>(key, value).is_ok();
        if is_sound { self.put(key.to_vec(), value.to_vec()) } else { Ok(()) }
    }

    /// Marks what an alert holds, so that it is never told again.
    fn mark_reported(&mut self, old: &Kv, alert: &AlertRow, ids: &[String]) -> Result<(), StoreError> {
        for id in ids {
            let place = match self.place(&self.new, id)? {
                Some(place) => Some(place),
                None => self.place(old, id).unwrap_or_default(),
            };
            let Some((at, identity)) = place else { continue };
            match self.incidents.get(&alert.incident) {
                Some(known) => {
                    let key = keys::matched(known.rule, known.group, at, &identity);
                    let value = old.row(&key).ok().flatten().filter(|value| rows::entry(&key, value).is_ok());
                    self.put(key, rows::as_reported(&value.unwrap_or_default()))?;
                }
                None => {
                    self.told_by.insert((alert.rule.clone(), identity));
                }
            }
        }
        Ok(())
    }

    /// When the access behind an event id happened, and under which id it counts.
    fn place(&self, kv: &Kv, id: &str) -> Result<Option<(EventTime, String)>, StoreError> {
        let read = |id: &str| match kv.row(&keys::index(id))? {
            Some(row) => IndexRow::decode(id, &row).map(Some),
            None => Ok(None),
        };
        let Some(row) = read(id)? else { return Ok(None) };
        let at = if row.identity == id { row.at } else { read(&row.identity)?.map_or(row.at, |real| real.at) };
        Ok(Some((at, row.identity)))
    }

    /// An incident that was told of goes over, with what was told.
    fn incident(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(mut incident) = rows::decode::<Incident>(key, value) else { return Ok(()) };
        let place = keys::incident(incident.rule, incident.group_id(), incident.first_end, &incident.id);
        if key != place || !self.told.contains(&incident.id.0) {
            return Ok(());
        }
        let untold = self.untold.get(&incident.id.0).copied().unwrap_or_default();
        incident.accesses = incident.accesses.saturating_sub(incident.pending + untold);
        incident.pending = 0;
        if incident.state == State::Open {
            self.put(keys::open(&incident.id), place.clone())?;
        }
        self.put(place, rows::encode(&incident)?)
    }

    /// What was reported before stays so, and so does what was counted of an access that is lost: if it is read again, it
    /// may have been told. Everything else is counted again.
    fn matched(&mut self, _: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Ok(entry) = rows::entry(key, value) else { return Ok(()) };
        if self.new.row(key)?.is_some() {
            return Ok(());
        }
        let rule = key.get(1..9).and_then(|id| id.try_into().ok()).map(RuleId);
        let name = rule.and_then(|rule| self.rules.get(&rule).cloned()).unwrap_or_default();
        let is_lost = self.new.row(&keys::access(entry.at, &entry.id))?.is_none();
        if entry.reported || is_lost || self.told_by.contains(&(name, entry.id.to_string())) {
            self.put(key.to_vec(), rows::as_reported(value))?;
        }
        Ok(())
    }

    /// Says where watching begins, and makes it all durable.
    fn finish(&mut self, renewal: &Renewal, now: WallTime) -> Result<EventTime, StoreError> {
        let known = self.read_through.map_or(now, |read| read.min(now));
        let begins = renewal.since.unwrap_or(known.minus(renewal.backfill).second());
        self.put(keys::BEGINNING.to_vec(), keys::time_bytes(begins).to_vec())?;
        self.write()?;
        self.new.sync()?;
        self.new.persist()?;
        self.new.begun()?;
        Ok(begins)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        if let Some(table) = key.first() {
            self.counts.entry(*table).or_default().1 += 1;
        }
        self.writes.put(key, value);
        if self.writes.len() >= MAX_BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.new.apply(std::mem::take(&mut self.writes))
    }

    fn tables(&self) -> Vec<(&'static str, u64, u64)> {
        let shown = TABLES.iter().filter_map(|(table, name)| {
            let (read, written) = self.counts.get(table)?;
            Some((*name, *written, read.saturating_sub(*written)))
        });
        shown.filter(|(_, kept, left)| kept + left > 0).collect()
    }
}

/// Carries over one row of the old store, if it is worth it.
type Carry = fn(&mut Transfer, old: &Kv, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

/// How an alert stands with a notifier.
enum Fate {
    Done(FateRow),
    Queued(DeliveryRow),
    Unknown,
}

fn fate_of(old: &Kv, seq: u64, name: &str) -> Fate {
    let read = |key: &[u8]| old.row(key).ok().flatten();
    let (done, queued) = (keys::numbered(keys::FATE, seq).text(name).end(), keys::queue(name).number(seq).end());
    if let Some(row) = read(&done).and_then(|row| rows::decode(&done, &row).ok()) {
        return Fate::Done(row);
    }
    match read(&queued).and_then(|row| rows::decode(&queued, &row).ok()) {
        Some(row) => Fate::Queued(row),
        None => Fate::Unknown,
    }
}

/// The events that an alert holds, as far as they can be read.
fn events_of(old: &Kv, seq: u64) -> Vec<String> {
    let parts = old.prefix(&keys::numbered(keys::EVENTS, seq).end()).filter_map(Result::ok);
    parts.filter_map(|(key, value)| rows::decode::<Vec<String>>(&key, &value).ok()).flatten().collect()
}
