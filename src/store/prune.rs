//! Letting go of what is older than `retention`: one sweep over the tables, in slices. Each slice is a small batch of
//! its own, so that pages and deliveries go on in between and the disk's space is used again; a sweep that is broken
//! off is simply begun anew an hour later.

use super::StoreError;
use super::keys::{self, Key};
use super::kv::{MAX_BATCH, Row, Writes};
use super::ledger::{ActiveRule, Ledger};
use super::life::alert_rows;
use super::pack;
use super::rows::{self, AlertRow, Pending};
use super::silences::Silence;
use crate::detect::{Incident, State};
use crate::model::{Access, EventTime, WallTime};

/// Rows that one slice looks at: tables that are not sorted by time hold more that stays than that goes.
const SLICE: usize = 1_000;

/// The tables that are swept, in this order.
const TABLES: [u8; 8] = [
    keys::ACCESS,
    keys::COPY,
    keys::UNREADABLE,
    keys::ALERT,
    keys::INCIDENT,
    keys::SIGHTINGS,
    keys::SILENCE,
    keys::MATCH,
];

/// Where a sweep goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep(Vec<u8>);

/// What is to be done about one row.
enum Verdict {
    /// It goes, and these with it.
    Goes(Vec<Vec<u8>>),
    /// It stays.
    Stays,
    /// It stays, and so do all rows before this key.
    StaysUpTo(Vec<u8>),
    /// It stays, and so does the rest of its table.
    RestStays,
}

impl Sweep {
    /// From the beginning.
    #[must_use]
    pub fn begin() -> Self {
        Self(vec![TABLES[0]])
    }

    /// The beginning of the table after `table`.
    fn after(table: u8) -> Option<Self> {
        let place = TABLES.iter().position(|swept| *swept == table)?;
        TABLES.get(place + 1).map(|table| Self(vec![*table]))
    }
}

impl Ledger {
    /// One slice of a sweep. Returns how many rows went, and where to go on; nothing there when the sweep is done.
    pub fn prune(&mut self, sweep: &Sweep, now: WallTime) -> Result<(usize, Option<Sweep>), StoreError> {
        let Some(floor) = self.floor(now)? else { return Ok((0, None)) };
        let mut writes = Writes::default();
        let next = self.sweep(sweep, floor, &mut writes)?;
        let rows = writes.len();
        self.write(writes)?;
        self.forget_silences(floor);
        Ok((rows, next))
    }

    /// Up to where things go; none while nothing may. That is the retention, less what a late access at its edge still
    /// needs: the neighbours that its windows hold. What is covered and not told yet stays. And the local clock alone
    /// deletes nothing: if it were a month ahead, that would be all there is.
    fn floor(&self, now: WallTime) -> Result<Option<EventTime>, StoreError> {
        let Some(confirmed) = self.sources.values().filter_map(|row| row.read_through).max() else { return Ok(None) };
        let oldest = now.min(confirmed).minus(self.settings.retention).second();
        let margin = self.rules.iter().map(|active| active.rule.reach().saturating_add(active.rule.window)).max();
        let mut floor = oldest;
        // By access, not by incident: one that never ends must not keep all that it ever covered.
        for row in self.kv.prefix(&[keys::PENDING]) {
            let (key, value) = row?;
            let pending: Vec<Pending> = rows::decode(&key, &value)?;
            floor = pending.iter().map(|access| access.at).fold(floor, EventTime::min);
        }
        Ok(Some(floor.minus(margin.unwrap_or(0))))
    }

    fn sweep(&self, Sweep(from): &Sweep, floor: EventTime, writes: &mut Writes) -> Result<Option<Sweep>, StoreError> {
        let Some(&table) = from.first() else { return Ok(None) };
        for (looked_at, row) in self.kv.range(from, &[table + 1]).enumerate() {
            let row = row?;
            if row.0.first() != Some(&table) {
                break;
            }
            if looked_at >= SLICE || writes.len() >= MAX_BATCH {
                return Ok(Some(Sweep(row.0)));
            }
            match self.verdict(table, &row, floor)? {
                Verdict::Goes(others) => {
                    others.into_iter().for_each(|key| writes.remove(key));
                    writes.remove(row.0);
                }
                Verdict::Stays => {}
                Verdict::StaysUpTo(key) => return Ok(Some(Sweep(key))),
                Verdict::RestStays => break,
            }
        }
        Ok(Sweep::after(table))
    }

    fn verdict(&self, table: u8, (key, value): &Row, floor: EventTime) -> Result<Verdict, StoreError> {
        match table {
            keys::ACCESS | keys::COPY | keys::UNREADABLE if keys::time_at(key, 1).is_none_or(|at| at >= floor) => {
                Ok(Verdict::RestStays)
            }
            keys::ACCESS => Ok(Verdict::Goes(self.rows_of_access(&pack::unpack(key, value)?))),
            keys::COPY => Ok(Verdict::Goes(vec![keys::index(keys::text_at(key, 9).unwrap_or_default())])),
            keys::UNREADABLE => {
                let hash = key.get(9..).unwrap_or_default();
                Ok(Verdict::Goes(vec![Key::of(keys::INDEX).text(super::intake::UNREADABLE).bytes(hash).end()]))
            }
            keys::ALERT => self.judge_alert(key, &rows::decode(key, value)?, floor),
            keys::INCIDENT => {
                let incident: Incident = rows::decode(key, value)?;
                let goes = incident.state != State::Open && incident.last_end < floor;
                Ok(if goes { Verdict::Goes(Vec::new()) } else { Verdict::Stays })
            }
            keys::SIGHTINGS => {
                let last = rows::sightings(key, value)?.last();
                let goes = last.is_none_or(|last| last < floor.minus(self.remembered_for(key)));
                Ok(if goes { Verdict::Goes(Vec::new()) } else { Verdict::Stays })
            }
            keys::SILENCE => {
                let goes = rows::decode::<Silence>(key, value)?.end() < floor.wall();
                Ok(if goes { Verdict::Goes(Vec::new()) } else { Verdict::Stays })
            }
            _ => self.judge_match(key, value, floor),
        }
    }

    /// For how many seconds what the sightings row `key` holds is asked for; not at all if no rule shares its memory.
    fn remembered_for(&self, key: &[u8]) -> i64 {
        let shares = |active: &&ActiveRule| active.memory.is_some_and(|memory| key.get(1..9) == Some(&memory.0[..]));
        let first_seen = self.rules.iter().find(shares).and_then(|active| active.rule.first_seen.as_ref());
        first_seen.map_or(0, |first_seen| first_seen.memory)
    }

    /// What leads to an access and what has counted it.
    fn rows_of_access(&self, access: &Access) -> Vec<Vec<u8>> {
        let counting = self.rules.iter().filter(|active| active.rule.matches(access));
        counting
            .map(|active| keys::matched(active.id, active.rule.group(access).id, access.time, access.identity()))
            .chain([keys::index(&access.event_id), keys::index(access.identity())])
            .collect()
    }

    /// Alerts are numbered in the order of decision, so the old ones come first. One that somebody waits for stays.
    fn judge_alert(&self, key: &[u8], alert: &AlertRow, floor: EventTime) -> Result<Verdict, StoreError> {
        if alert.decided >= floor.wall() {
            return Ok(Verdict::RestStays);
        }
        let seq = keys::number_at(key, 1).ok_or_else(|| rows::damaged("an alert's number".to_owned()))?;
        for name in &alert.notifiers {
            if self.kv.row(&keys::queue(name).number(seq).end())?.is_some() {
                return Ok(Verdict::Stays);
            }
        }
        let mut others = vec![keys::alert_of(&alert.incident, seq)];
        for rows in alert_rows(seq) {
            for row in self.kv.prefix(&rows.end()) {
                others.push(row?.0);
            }
        }
        Ok(Verdict::Goes(others))
    }

    /// What current versions of rules have counted goes with its accesses. What others have is looked for here.
    fn judge_match(&self, key: &[u8], value: &[u8], floor: EventTime) -> Result<Verdict, StoreError> {
        if let Some(active) = self.rules.iter().find(|active| key.get(1..9) == Some(&active.id.0[..])) {
            let mut past = Key::of(keys::MATCH).bytes(&active.id.0).bytes(&[u8::MAX; 25]).end();
            past.push(u8::MAX);
            return Ok(Verdict::StaysUpTo(past));
        }
        Ok(if rows::entry(key, value)?.at < floor { Verdict::Goes(Vec::new()) } else { Verdict::Stays })
    }
}
