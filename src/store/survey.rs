//! `secretwatch store check`: is every row what it should be, and does everything lead where it should?
//!
//! The rows are read from a copy of the store, opened as the daemon would open it: nothing is changed, not even by sled.
//! Each row is decoded, and for each what it refers to is looked for. What retention takes away in slices may be half
//! gone: what leads to accesses older than the oldest is no damage.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::copy::{Opened, open_copy, walk};
use super::keys::{self, Key};
use super::kv::{self, Kv};
use super::pack::unpack;
use super::rows::{
    self, AlertRow, AllowanceRow, DeliveryRow, FateRow, IndexRow, Pending, RuleRow, SourceRow, UnreadableRow,
};
use super::silences::Silence;
use super::{StoreError, intake};
use crate::detect::{Incident, State};
use crate::model::{Access, Alert, EventTime};

/// Damaged rows that are told one by one.
const TOLD: usize = 50;

/// Every table, in the order in which it is shown, and what an operator calls it.
pub(super) const TABLES: [(u8, &str); 22] = [
    (keys::ACCESS, "accesses"),
    (keys::INDEX, "event ids"),
    (keys::COPY, "further records of an access"),
    (keys::MATCH, "accesses that rules count"),
    (keys::INCIDENT, "incidents"),
    (keys::OPEN, "open incidents"),
    (keys::PENDING, "accesses not told yet"),
    (keys::ALERT, "alerts"),
    (keys::ALERT_OF, "alerts of incidents"),
    (keys::EVENTS, "accesses that alerts hold"),
    (keys::BODY, "texts of alerts"),
    (keys::DELIVERY, "outbox"),
    (keys::FATE, "deliveries done"),
    (keys::RULE, "rules"),
    (keys::SOURCE, "sources"),
    (keys::SIGHTINGS, "combinations seen"),
    (keys::ALLOWANCE, "uses of the allow-list"),
    (keys::SILENCE, "silences"),
    (keys::UNREADABLE, "records that made no sense"),
    (keys::META[0], "schema version"),
    (keys::BATCHES[0], "number of writes"),
    (keys::BEGINNING[0], "beginning"),
];

/// What is in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The store's folder.
    pub path: PathBuf,
    /// Bytes that it takes on disk.
    pub bytes_on_disk: u64,
    /// What its tables hold; those without rows are left out.
    pub tables: Vec<TableSize>,
    /// How many rows are damaged, or places where rows cannot be read.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
}

/// How much a table holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// What it holds.
    pub table: &'static str,
    /// How many rows.
    pub rows: u64,
    /// Bytes in keys and values.
    pub bytes: u64,
}

/// A row that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its table.
    pub table: &'static str,
    /// Its key; what is no printable ASCII is escaped.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// Looks at all that the store in `state_dir` holds. Copies it to the system's folder for temporary files first.
pub fn survey(state_dir: &Path) -> Result<Survey, StoreError> {
    let Opened { kv, path, scratch: _scratch } = open_copy(state_dir)?;
    let mut survey = look_at(&kv)?;
    survey.bytes_on_disk = folder_bytes(&path)?;
    survey.path = path;
    Ok(survey)
}

/// Looks at every row.
pub(super) fn look_at(kv: &Kv) -> Result<Survey, StoreError> {
    let oldest = oldest_access(kv);
    let mut look = Look { kv, oldest, damaged: 0, damage: Vec::new() };
    let mut tables = Vec::new();
    for (table, name) in TABLES {
        let mut size = TableSize { table: name, rows: 0, bytes: 0 };
        let gaps = walk(kv, table, &mut |(key, value)| {
            size.rows += 1;
            size.bytes += (key.len() + value.len()) as u64;
            if let Err(why) = look.row(&key, &value) {
                look.report(name, &key, why);
            }
            Ok(())
        })?;
        for gap in gaps {
            look.report(name, &gap.after, format!("rows after this one cannot be read: {}", with_cause(&gap.error)));
        }
        if size.rows > 0 {
            tables.push(size);
        }
    }
    let Look { damaged, damage, .. } = look;
    Ok(Survey { path: PathBuf::new(), bytes_on_disk: 0, tables, damaged, damage })
}

/// The bytes of all files in a folder.
fn folder_bytes(path: &Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(|source| kv::io("read", path, source))? {
        let entry = entry.map_err(|source| kv::io("read", path, source))?;
        let file = entry.metadata().map_err(|source| kv::io("read", &entry.path(), source))?;
        bytes += if file.is_dir() { folder_bytes(&entry.path())? } else { file.len() };
    }
    Ok(bytes)
}

fn oldest_access(kv: &Kv) -> EventTime {
    let first = kv.prefix(&[keys::ACCESS]).next().and_then(Result::ok);
    first.and_then(|(key, _)| keys::time_at(&key, 1)).unwrap_or(EventTime(i64::MAX))
}

fn with_cause(error: &StoreError) -> String {
    match error {
        StoreError::Engine { source, .. } => source.to_string(),
        StoreError::Unopened { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

/// What is wrong with a row, in words.
type Sound = Result<(), String>;

struct Look<'a> {
    kv: &'a Kv,
    /// Of the accesses.
    oldest: EventTime,
    damaged: u64,
    damage: Vec<Damage>,
}

impl Look<'_> {
    fn report(&mut self, table: &'static str, key: &[u8], why: String) {
        self.damaged += 1;
        if self.damage.len() < TOLD {
            self.damage.push(Damage { table, key: key.escape_ascii().to_string(), why });
        }
    }

    fn row(&self, key: &[u8], value: &[u8]) -> Sound {
        const VERSION: u8 = keys::META[0];
        match key.first().copied().unwrap_or_default() {
            keys::ACCESS => self.access(key, &unpacked(key, value)?),
            keys::INDEX => self.index(key, value),
            keys::COPY => self.copy(key, &unpacked(key, value)?),
            keys::MATCH => self.matched(key, value),
            keys::INCIDENT => self.incident(key, &decode(value)?),
            keys::OPEN => self.open(key, value),
            keys::PENDING => self.pending(key, &decode::<Vec<Pending>>(value)?),
            keys::ALERT => self.alert(key, &decode(value)?),
            keys::ALERT_OF => self.alert_of(key),
            keys::EVENTS => decode::<Vec<String>>(value).and_then(|_| self.part_of_alert(key)),
            keys::BODY => self.part_of_alert(key),
            keys::DELIVERY => decode::<DeliveryRow>(value).and_then(|_| self.delivery(key)),
            keys::FATE => decode::<FateRow>(value).and_then(|_| self.part_of_alert(key)),
            keys::RULE => is(decode::<RuleRow>(value)?.card.name.as_bytes() == &key[1..], "it names another rule"),
            keys::SOURCE => decode::<SourceRow>(value).map(drop),
            keys::SIGHTINGS => rows::sightings(key, value).map(drop).map_err(|_| "it makes no sense".to_owned()),
            keys::ALLOWANCE => decode::<AllowanceRow>(value).map(drop),
            keys::SILENCE => is(keys::silence(&decode::<Silence>(value)?.id) == key, "it is another's"),
            keys::UNREADABLE => {
                decode::<UnreadableRow>(value)?;
                let hash = key.get(9..).unwrap_or_default();
                self.exists(&Key::of(keys::INDEX).text(intake::UNREADABLE).bytes(hash).end(), "mark")
            }
            VERSION => is(value.len() == 4, "it is no version"),
            _ => is(value.len() == 8, "it is no number"),
        }
    }

    fn access(&self, key: &[u8], access: &Access) -> Sound {
        is(key == keys::access(access.time, access.identity()), "it is stored under another time or id")?;
        self.exists(&keys::index(&access.event_id), "event id")?;
        self.exists(&keys::index(access.identity()), "event id")
    }

    fn index(&self, key: &[u8], value: &[u8]) -> Sound {
        let id = keys::text_at(key, 1).ok_or("its id is no text")?;
        let row = IndexRow::decode(id, value).map_err(|_| "it makes no sense")?;
        if id.starts_with(intake::UNREADABLE) {
            return self.exists(&Key::of(keys::UNREADABLE).time(row.at).number(row.hash).end(), "record");
        }
        if row.at < self.oldest {
            return Ok(());
        }
        let place = match self.read(&keys::index(&row.identity))? {
            Some(value) => IndexRow::decode(&row.identity, &value).map_err(|_| "its access cannot be found")?,
            None => row,
        };
        if place.at < self.oldest {
            return Ok(());
        }
        self.exists(&keys::access(place.at, &place.identity), "access")
    }

    fn copy(&self, key: &[u8], access: &Access) -> Sound {
        is(key == keys::copy(access.time, &access.event_id), "it is stored under another time or id")?;
        self.exists(&keys::index(&access.event_id), "event id")
    }

    fn matched(&self, key: &[u8], value: &[u8]) -> Sound {
        let entry = rows::entry(key, value).map_err(|_| "it makes no sense")?;
        if entry.at < self.oldest { Ok(()) } else { self.exists(&keys::access(entry.at, &entry.id), "access") }
    }

    fn incident(&self, key: &[u8], incident: &Incident) -> Sound {
        let place = keys::incident(incident.rule, incident.group_id(), incident.first_end, &incident.id);
        is(key == place, "it is stored under another time or group")?;
        let mut pending = 0;
        for row in self.kv.prefix(&keys::pending(&incident.id).end()) {
            let (_, value) = row.map_err(|error| with_cause(&error))?;
            pending += decode::<Vec<Pending>>(&value)?.len() as u64;
        }
        if pending != incident.pending {
            return Err(format!("it waits to tell of {} accesses, of which {pending} are there", incident.pending));
        }
        match incident.state {
            State::Open => self.exists(&keys::open(&incident.id), "entry among the open ones"),
            State::Resolved | State::Merged(_) => Ok(()),
        }
    }

    fn open(&self, key: &[u8], place: &[u8]) -> Sound {
        let incident: Incident = match self.read(place)? {
            Some(row) => decode(&row)?,
            None => return Err("its incident is missing".to_owned()),
        };
        is(incident.id.0.as_bytes() == &key[1..] && incident.state == State::Open, "its incident is not open")
    }

    fn pending(&self, key: &[u8], pending: &[Pending]) -> Sound {
        let id = key.get(1..key.len().saturating_sub(8)).unwrap_or_default();
        self.exists(&Key::of(keys::OPEN).bytes(id).end(), "open incident")?;
        pending.iter().try_for_each(|access| self.exists(&keys::index(&access.id), "access"))
    }

    fn alert(&self, key: &[u8], alert: &AlertRow) -> Sound {
        let seq = keys::number_at(key, 1).ok_or("it has no number")?;
        self.exists(&keys::alert_of(&alert.incident, seq), "entry among those of its incident")?;
        let mut is_queued = false;
        for name in &alert.notifiers {
            if self.read(&keys::queue(name).number(seq).end())?.is_some() {
                is_queued = true;
            } else {
                self.exists(&keys::numbered(keys::FATE, seq).text(name).end(), "entry in the outbox")?;
            }
        }
        if is_queued { text_of(self.kv, seq, alert).map(drop) } else { Ok(()) }
    }

    fn alert_of(&self, key: &[u8]) -> Sound {
        let seq = key.len().checked_sub(8).and_then(|at| keys::number_at(key, at)).ok_or("it has no number")?;
        self.exists(&keys::numbered(keys::ALERT, seq).end(), "alert")
    }

    fn part_of_alert(&self, key: &[u8]) -> Sound {
        let seq = keys::number_at(key, 1).ok_or("it has no number")?;
        self.exists(&keys::numbered(keys::ALERT, seq).end(), "alert")
    }

    fn delivery(&self, key: &[u8]) -> Sound {
        let seq = key.len().checked_sub(8).and_then(|at| keys::number_at(key, at)).ok_or("it has no number")?;
        self.exists(&keys::numbered(keys::ALERT, seq).end(), "alert")
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.kv.row(key).map_err(|error| with_cause(&error))
    }

    fn exists(&self, key: &[u8], what: &str) -> Sound {
        match self.read(key)? {
            Some(_) => Ok(()),
            None => Err(format!("its {what} is missing")),
        }
    }
}

/// The alert `seq` as it is to be sent.
pub(super) fn text_of(kv: &Kv, seq: u64, row: &AlertRow) -> Result<Alert, String> {
    let (mut parts, mut body) = (0, Vec::new());
    for part in kv.prefix(&keys::numbered(keys::BODY, seq).end()) {
        body.extend_from_slice(&part.map_err(|error| with_cause(&error))?.1);
        parts += 1;
    }
    let alert: Alert = decode(&body).map_err(|why| format!("its text is damaged: {why}"))?;
    match parts == row.parts && alert.id == row.id {
        true => Ok(alert),
        false => Err("its text is another alert's".to_owned()),
    }
}

fn decode<T: for<'de> serde::Deserialize<'de>>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

fn unpacked(key: &[u8], value: &[u8]) -> Result<Access, String> {
    unpack(key, value).map_err(|error| match error {
        StoreError::Damaged { what } => what,
        other => other.to_string(),
    })
}

fn is(true_of_it: bool, otherwise: &str) -> Sound {
    if true_of_it { Ok(()) } else { Err(otherwise.to_owned()) }
}
