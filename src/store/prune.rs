//! Letting go of what is older than `retention`, in slices: each is a small batch of its own, so that pages and
//! deliveries go on in between and the disk's space is used again.

use super::StoreError;
use super::keys;
use super::kv::{MAX_BATCH, Writes};
use super::ledger::Ledger;
use super::life::alert_rows;
use super::rows::{self, AlertRow};
use crate::detect::{Incident, State};
use crate::model::{Access, EventTime, WallTime};

impl Ledger {
    /// Removes one slice of what is older than the retention. Returns how many rows went; 0 when there is no more.
    pub fn prune(&mut self, now: WallTime) -> Result<usize, StoreError> {
        let floor = now.minus(self.settings.retention).second();
        let mut writes = Writes::default();
        self.prune_accesses(floor, &mut writes)?;
        self.prune_timed(keys::COPY, floor, &mut writes)?;
        self.prune_timed(keys::UNREADABLE, floor, &mut writes)?;
        self.prune_alerts(floor, &mut writes)?;
        self.prune_incidents(floor, &mut writes)?;
        let rows = writes.len();
        self.write(writes)?;
        Ok(rows)
    }

    fn prune_accesses(&self, floor: EventTime, writes: &mut Writes) -> Result<(), StoreError> {
        for row in self.kv.range(&[keys::ACCESS], &keys::access(floor, "")) {
            if writes.len() >= MAX_BATCH {
                break;
            }
            let (key, value) = row?;
            let access: Access = rows::decode(&key, &value)?;
            writes.remove(keys::index(&access.event_id));
            writes.remove(keys::index(access.identity()));
            for active in self.rules.iter().filter(|active| active.rule.matches(&access)) {
                let group = active.rule.group(&access);
                writes.remove(keys::matched(active.id, group.id, access.time, access.identity()));
            }
            writes.remove(key);
        }
        Ok(())
    }

    /// Copies and unreadable records, with the index rows that lead to them.
    fn prune_timed(&self, table: u8, floor: EventTime, writes: &mut Writes) -> Result<(), StoreError> {
        for row in self.kv.range(&[table], &keys::Key::of(table).time(floor).end()) {
            if writes.len() >= MAX_BATCH {
                break;
            }
            let (key, _) = row?;
            match table {
                keys::UNREADABLE => {
                    let mark = keys::Key::of(keys::INDEX).text("unreadable:").bytes(key.get(9..).unwrap_or_default());
                    writes.remove(mark.end());
                }
                _ => writes.remove(keys::index(keys::text_at(&key, 9).unwrap_or_default())),
            }
            writes.remove(key);
        }
        Ok(())
    }

    /// Alerts that nobody waits for. They are numbered in the order of decision, so the old ones come first.
    fn prune_alerts(&self, floor: EventTime, writes: &mut Writes) -> Result<(), StoreError> {
        for row in self.kv.prefix(&[keys::ALERT]) {
            let (key, value) = row?;
            let alert: AlertRow = rows::decode(&key, &value)?;
            if writes.len() >= MAX_BATCH || alert.decided >= floor.wall() {
                break;
            }
            let seq = keys::number_at(&key, 1).ok_or_else(|| rows::damaged("an alert's number".to_owned()))?;
            let mut waiting = false;
            for name in &alert.notifiers {
                waiting |= self.kv.row(&keys::queue(name).number(seq).end())?.is_some();
            }
            if waiting {
                continue;
            }
            for rows in alert_rows(seq) {
                for row in self.kv.prefix(&rows.end()) {
                    writes.remove(row?.0);
                }
            }
            writes.remove(keys::alert_of(&alert.incident, seq));
            writes.remove(key);
        }
        Ok(())
    }

    /// Incidents that are over, and what versions of rules that are gone have counted.
    fn prune_incidents(&self, floor: EventTime, writes: &mut Writes) -> Result<(), StoreError> {
        for row in self.kv.prefix(&[keys::INCIDENT]) {
            if writes.len() >= MAX_BATCH {
                return Ok(());
            }
            let (key, value) = row?;
            let incident: Incident = rows::decode(&key, &value)?;
            if incident.state != State::Open && incident.last_end < floor {
                writes.remove(key);
            }
        }
        let current: Vec<[u8; 8]> = self.rules.iter().map(|active| active.id.0).collect();
        for row in self.kv.prefix(&[keys::MATCH]) {
            if writes.len() >= MAX_BATCH {
                return Ok(());
            }
            let (key, value) = row?;
            let is_current = key.get(1..9).is_some_and(|id| current.iter().any(|current| current == id));
            if !is_current && rows::entry(&key, &value)?.at < floor {
                writes.remove(key);
            }
        }
        Ok(())
    }
}
