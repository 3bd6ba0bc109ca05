//! The outbox in plain types: which alert is to be handed over next, and what became of handing it over.
//!
//! Each notifier has an outbox of its own. In it the alerts of one incident form a *chain*, in the order in which they
//! were decided: only the oldest of a chain is ever on offer, so nobody hears that an incident is over before hearing
//! that there is one. Chains do not wait for each other.

use std::collections::HashSet;
use std::time::Duration;

use super::kv::Writes;
use super::ledger::Ledger;
use super::rows::{self, AlertRow, DeliveryRow, FateRow};
use super::{StoreError, keys};
use crate::model::{Alert, WallTime};

/// No receiver is left alone for longer than this between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);

/// Rows that are looked at for alerts that could share a message: a storm shows in the first of them.
const LOOKED_AT: usize = 500;

/// What an outbox has to offer.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Hand this over now.
    Send(Box<Delivery>),
    /// There is something, but not before this time.
    Wait(WallTime),
    /// There is nothing.
    Idle,
}

/// One alert on its way to one notifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The notifier's name.
    pub notifier: String,
    /// Its place in that notifier's outbox.
    pub seq: u64,
    /// What is to be handed over.
    pub alert: Alert,
    /// How often that was tried before, in vain.
    pub attempts: u32,
    /// When it was queued; `retry_for` counts from here.
    pub queued: WallTime,
    /// It was refused before, rather than not reached.
    pub parked: bool,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The notifier has it; the next alert of its chain may go.
    Accepted {
        /// When.
        at: WallTime,
    },
    /// A notifier that stands in for this one has it; the next alert of its chain may go.
    Diverted {
        /// When.
        at: WallTime,
        /// Which one.
        by: String,
    },
    /// It stays at the head of its chain.
    Retry {
        /// Not again before this time.
        at: WallTime,
        /// How often it was tried by now.
        attempts: u32,
        /// Whether it was refused rather than not reached: something for a person to look at.
        parked: bool,
        /// Why it was not accepted.
        error: String,
    },
    /// It was given up and is kept as a dead letter; the next alert of its chain may go.
    Dead {
        /// When.
        at: WallTime,
        /// Why it was not accepted.
        error: String,
    },
}

impl Ledger {
    /// The next alert to hand over to `notifier` at `now`: of the chains whose head is due, the one that has been due
    /// for longest. With `but`, stored times do not matter, and the chains of those incidents are passed over.
    pub fn next(&self, notifier: &str, now: WallTime, but: Option<&HashSet<String>>) -> Result<Next, StoreError> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut first: Option<(Vec<u8>, DeliveryRow)> = None;
        for row in self.kv.prefix(&keys::queue(notifier).end()) {
            let (key, value) = row?;
            let row: DeliveryRow = rows::decode(&key, &value)?;
            if !seen.insert(row.incident.clone()) || but.is_some_and(|but| but.contains(&row.incident)) {
                continue;
            }
            // Rows lie in the order in which they were queued, so none behind one that was never tried is due for
            // longer.
            let row = due_by(row, now);
            let ends = but.is_some() || (row.attempts == 0 && row.next_at <= now);
            if first.as_ref().is_none_or(|(_, first)| row.next_at < first.next_at) {
                first = Some((key, row));
            }
            if ends {
                break;
            }
        }
        match first {
            None => Ok(Next::Idle),
            Some((_, row)) if but.is_none() && row.next_at > now => Ok(Next::Wait(row.next_at)),
            Some((key, row)) => Ok(Next::Send(Box::new(self.delivery(notifier, &key, row)?))),
        }
    }

    /// Further alerts that could go to `notifier` at `now` together with `delivery`, which is its next: the heads of other
    /// chains that are due and were never refused, of the same rule, kind and severity; at most so many, oldest first.
    pub fn beside(
        &self,
        delivery: &Delivery,
        now: WallTime,
        but: Option<&HashSet<String>>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let Delivery { notifier, alert, .. } = delivery;
        let mut seen: HashSet<String> = HashSet::from([alert.incident.clone()]);
        let mut found = Vec::new();
        for row in self.kv.prefix(&keys::queue(notifier).end()).take(LOOKED_AT) {
            if found.len() >= most {
                break;
            }
            let (key, value) = row?;
            let row: DeliveryRow = rows::decode(&key, &value)?;
            if !seen.insert(row.incident.clone()) || row.parked {
                continue;
            }
            let row = due_by(row, now);
            let waits = but.map_or(row.next_at > now, |but| but.contains(&row.incident));
            if !waits && self.is_like(&key, alert)? {
                found.push(self.delivery(notifier, &key, row)?);
            }
        }
        Ok(found)
    }

    /// Whether the alert of an outbox row is of the same rule, kind and severity as `alert`.
    fn is_like(&self, key: &[u8], alert: &Alert) -> Result<bool, StoreError> {
        let Some(seq) = queue_key(key).1 else { return Ok(false) };
        let key = keys::numbered(keys::ALERT, seq).end();
        let Some(value) = self.kv.row(&key)? else { return Ok(false) };
        let AlertRow { rule, kind, severity, .. } = rows::decode(&key, &value)?;
        Ok((rule.as_str(), kind, severity) == (alert.rule.name.as_str(), alert.kind, alert.rule.severity))
    }

    /// Records what became of one attempt. The alert's text goes once nobody can need it again.
    pub fn settle(&mut self, delivery: &Delivery, settlement: &Settlement) -> Result<(), StoreError> {
        let Delivery { notifier, seq, attempts, queued, .. } = delivery;
        if let Settlement::Accepted { at } | Settlement::Diverted { at, .. } = settlement {
            self.tally.accepted(&delivery.alert, *at);
        }
        self.settle_row(notifier, *seq, *attempts, *queued, settlement)
    }

    fn settle_row(
        &mut self,
        notifier: &str,
        seq: u64,
        attempts: u32,
        queued: WallTime,
        settlement: &Settlement,
    ) -> Result<(), StoreError> {
        let key = keys::queue(notifier).number(seq).end();
        let Some(value) = self.kv.row(&key)? else { return Ok(()) };
        let row: DeliveryRow = rows::decode(&key, &value)?;
        // Somebody had it queued anew while it was tried: only that it was taken counts.
        let is_anew = row.queued != queued;
        if is_anew && matches!(settlement, Settlement::Retry { .. } | Settlement::Dead { .. }) {
            return Ok(());
        }
        let mut writes = Writes::default();
        let attempts = attempts.saturating_add(1);
        let result = match settlement {
            Settlement::Accepted { .. } => "accepted",
            Settlement::Diverted { .. } => "diverted",
            Settlement::Retry { parked: true, .. } => "refused",
            Settlement::Retry { .. } => "failed",
            Settlement::Dead { .. } => "dead",
        };
        self.tally.delivery(notifier, result);
        let fate = match settlement {
            Settlement::Retry { at, attempts, parked, error } => {
                let row = DeliveryRow {
                    attempts: *attempts,
                    next_at: *at,
                    parked: *parked,
                    error: Some(error.clone()),
                    ..row
                };
                writes.put(key, rows::encode(&row)?);
                return self.write(writes);
            }
            Settlement::Accepted { at } => FateRow { accepted: Some(*at), by: None, dead: None, attempts, error: None },
            Settlement::Diverted { at, by } => {
                FateRow { accepted: Some(*at), by: Some(by.clone()), dead: None, attempts, error: row.error }
            }
            Settlement::Dead { at, error } => {
                FateRow { accepted: None, by: None, dead: Some(*at), attempts, error: Some(error.clone()) }
            }
        };
        writes.remove(key);
        writes.put(keys::numbered(keys::FATE, seq).text(notifier).end(), rows::encode(&fate)?);
        if fate.dead.is_none() && self.is_last_needed_by(seq, notifier)? {
            for row in self.kv.prefix(&keys::numbered(keys::BODY, seq).end()) {
                writes.remove(row?.0);
            }
        }
        self.write(writes)
    }

    /// How many alerts have not been accepted by a notifier, nor become dead letters.
    pub fn undelivered(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for row in self.kv.prefix(&[keys::DELIVERY]) {
            row?;
            count += 1;
        }
        Ok(count)
    }

    /// Gives up what is queued for notifiers that are no more: nobody would ever fetch it. It stays as dead letters.
    pub fn bury_orphans(&mut self, now: WallTime) -> Result<u64, StoreError> {
        let mut orphans = Vec::new();
        for row in self.kv.prefix(&[keys::DELIVERY]) {
            let (key, value) = row?;
            let (Some(name), Some(seq)) = queue_key(&key) else { continue };
            if !self.settings.recipients.iter().any(|recipient| recipient.name == name) {
                let DeliveryRow { attempts, queued, .. } = rows::decode(&key, &value)?;
                orphans.push((name.to_owned(), seq, attempts, queued));
            }
        }
        let error = "its notifier is no longer in the configuration".to_owned();
        for (name, seq, attempts, queued) in &orphans {
            self.settle_row(name, *seq, *attempts, *queued, &Settlement::Dead { at: now, error: error.clone() })?;
        }
        Ok(orphans.len() as u64)
    }

    fn delivery(&self, notifier: &str, key: &[u8], row: DeliveryRow) -> Result<Delivery, StoreError> {
        let (_, seq) = queue_key(key);
        let seq = seq.ok_or_else(|| rows::damaged(format!("outbox row {}", hex::encode(key))))?;
        let mut body = Vec::new();
        for part in self.kv.prefix(&keys::numbered(keys::BODY, seq).end()) {
            body.extend_from_slice(&part?.1);
        }
        let alert: Alert = rows::decode(key, &body)?;
        let DeliveryRow { attempts, queued, parked, .. } = row;
        Ok(Delivery { notifier: notifier.to_owned(), seq, alert, attempts, queued, parked })
    }

    /// Whether every other notifier of alert `seq` has accepted it. A dead letter keeps its text: it can be sent again.
    fn is_last_needed_by(&self, seq: u64, notifier: &str) -> Result<bool, StoreError> {
        let key = keys::numbered(keys::ALERT, seq).end();
        let Some(value) = self.kv.row(&key)? else { return Ok(true) };
        let alert: AlertRow = rows::decode(&key, &value)?;
        for name in alert.notifiers.iter().filter(|name| *name != notifier) {
            let key = keys::numbered(keys::FATE, seq).text(name).end();
            match self.kv.row(&key)? {
                Some(value) if rows::decode::<FateRow>(&key, &value)?.accepted.is_some() => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// A time that lies further ahead than any wait was set by a clock that has been set back since; and what was never
/// tried waits for nothing.
fn due_by(row: DeliveryRow, now: WallTime) -> DeliveryRow {
    let is_due = row.attempts == 0 || row.next_at > now.plus(LONGEST_WAIT);
    DeliveryRow { next_at: if is_due { row.next_at.min(now) } else { row.next_at }, ..row }
}

/// Notifier and number in the key of an outbox row.
fn queue_key(key: &[u8]) -> (Option<&str>, Option<u64>) {
    let name = key.get(1..key.len().saturating_sub(9)).and_then(|name| std::str::from_utf8(name).ok());
    (name, keys::number_at(key, key.len().saturating_sub(8)))
}
