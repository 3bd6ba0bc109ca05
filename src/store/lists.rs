//! Lists of what the store holds, newest first, a page at a time: accesses by event time, alerts by number.
//!
//! A page ends where enough has been found, but also where enough has been looked at: whoever asks goes on from there,
//! and pages that are being read and alerts that wait to be sent go in between.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::explain::Heads;
use super::explanation::{AlertSight, Standing};
use super::kv::Writes;
use super::ledger::Ledger;
use super::rows::{self, AlertRow, DeliveryRow, FateRow};
use super::{StoreError, keys, pack};
use crate::detect::{Condition, Globs};
use crate::model::{Access, EventTime, Outcome, WallTime};

/// Rows that are looked at for one page.
const LOOKED_AT: usize = 5_000;

/// Rows of one slice of a walk over very many: others wait for the ledger meanwhile.
const SLICE: usize = 500;

/// Accesses or alerts of one page, at most.
const PAGE: usize = 1_000;

/// Bytes of one page as JSON, about.
pub(super) const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Where a list of accesses goes on: before this one.
pub type AccessPlace = (EventTime, String);

/// Which accesses are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessQuery {
    /// From then on, by event time; none: all that are kept.
    pub since: Option<EventTime>,
    /// Globs over secrets, as in a rule; none: all, and accesses that name no secret.
    pub secrets: Vec<String>,
    /// Globs over principals, as in a rule; none: all.
    pub principals: Vec<String>,
    /// How they ended; none: anyhow.
    pub outcome: Option<Outcome>,
    /// Only those that the rule of this name is about; none at all, if there is no such rule.
    pub rule: Option<String>,
    /// Only those before this one, which a page has named.
    pub before: Option<AccessPlace>,
    /// How many at most.
    pub limit: usize,
}

/// Some accesses, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessPage {
    /// What was found.
    pub accesses: Vec<Access>,
    /// Where to go on; none: there are no more.
    pub next: Option<AccessPlace>,
}

/// Which alerts are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertQuery {
    /// Only this one.
    pub id: Option<String>,
    /// Decided from then on; none: all that are kept.
    pub since: Option<WallTime>,
    /// Only those that a notifier has not accepted.
    pub undelivered: bool,
    /// Only those before this number, which a page has named.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Some alerts, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertPage {
    /// What was found.
    pub alerts: Vec<AlertSight>,
    /// Where to go on; none: there are no more.
    pub next: Option<u64>,
}

/// What came of sending an alert to a notifier again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resent {
    /// The notifier.
    pub notifier: String,
    /// What came of it.
    pub outcome: Resend,
}

/// An alert's id, and what came of sending it again; nothing, if it is not stored.
pub type ResentAlert = (String, Option<Vec<Resent>>);

/// The outcomes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resend {
    /// It is in the outbox, and due.
    Queued,
    /// It has been accepted already, and is not sent twice.
    Accepted,
    /// There is no such notifier any more.
    NoNotifier,
    /// What was to be sent is not stored any more.
    NoText,
}

impl AccessQuery {
    /// What it demands, compiled; the error names the first glob that is none.
    pub fn condition(&self) -> Result<Condition, globset::Error> {
        Ok(Condition {
            outcome: self.outcome,
            secrets: Globs::of_secrets(&self.secrets)?,
            principals: Globs::new(&self.principals)?,
            ..Condition::default()
        })
    }
}

impl Ledger {
    /// The accesses that `query` and its compiled `condition` want.
    pub fn accesses(&self, query: &AccessQuery, condition: &Condition) -> Result<AccessPage, StoreError> {
        let (mut accesses, mut bytes) = (Vec::new(), 0);
        let limit = query.limit.min(PAGE);
        if limit == 0 {
            return Ok(AccessPage { accesses, next: None });
        }
        let next = self.look_through(query, condition, LOOKED_AT, pack::unpack, |access| {
            bytes += rows::encode(&access)?.len();
            accesses.push(access);
            let is_full = accesses.len() >= limit || bytes >= PAGE_BYTES;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(AccessPage { accesses, next })
    }

    /// Shows `each` the accesses that `query` and its compiled `condition` want, the newest first, of some hundreds that
    /// are looked at, whatever the query's limit is; fewer, if it has enough. Returns where to go on; none: there are no
    /// more.
    pub fn scan(
        &self,
        query: &AccessQuery,
        condition: &Condition,
        mut each: impl FnMut(&Access) -> ControlFlow<()>,
    ) -> Result<Option<AccessPlace>, StoreError> {
        // Only patterns look at records, and only rules have them.
        let unpack = if query.rule.is_none() { pack::unpack_without_record } else { pack::unpack };
        self.look_through(query, condition, SLICE, unpack, |access| Ok(each(&access)))
    }

    fn look_through(
        &self,
        query: &AccessQuery,
        condition: &Condition,
        most: usize,
        unpack: impl Fn(&[u8], &[u8]) -> Result<Access, StoreError>,
        mut each: impl FnMut(Access) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<Option<AccessPlace>, StoreError> {
        let from = query.since.map_or(vec![keys::ACCESS], |since| keys::access(since, ""));
        let to = query.before.as_ref().map_or(vec![keys::ACCESS + 1], |(at, id)| keys::access(*at, id));
        let (mut last, mut is_enough) = (None, false);
        let rule = query.rule.as_ref().map(|name| self.rules.iter().find(|active| active.rule.name == *name));
        let is_meant = |access: &Access| match &rule {
            None => true,
            Some(None) => false,
            Some(Some(active)) => !access.own && active.rule.matches(access) && active.rule.share(access).is_some(),
        };
        for (looked_at, row) in self.kv.range(&from, &to).rev().enumerate() {
            if is_enough || looked_at >= most {
                return Ok(last);
            }
            let (key, value) = row?;
            if key == to {
                continue;
            }
            let access = unpack(&key, &value)?;
            last = Some((access.time, access.identity().to_owned()));
            is_enough = condition.matches(&access) && is_meant(&access) && each(access)?.is_break();
        }
        Ok(None)
    }

    /// The alerts that `query` wants, and where each stands.
    pub fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, StoreError> {
        let to = query.before.map_or(vec![keys::ALERT + 1], |before| keys::numbered(keys::ALERT, before).end());
        let limit = query.limit.min(PAGE);
        let mut alerts = Vec::new();
        let (mut last, mut heads) = (None, Heads::new());
        for (looked_at, row) in self.kv.range(&[keys::ALERT], &to).rev().enumerate() {
            if alerts.len() >= limit || looked_at >= LOOKED_AT {
                return Ok(AlertPage { alerts, next: last });
            }
            let (key, value) = row?;
            if key == to {
                continue;
            }
            let seq = keys::number_at(&key, 1).ok_or_else(|| rows::damaged("an alert's number".to_owned()))?;
            let row: AlertRow = rows::decode(&key, &value)?;
            if query.since.is_some_and(|since| row.decided < since) {
                break;
            }
            last = Some(seq);
            if query.id.as_ref().is_some_and(|id| *id != row.id) {
                continue;
            }
            let is_one = query.id.is_some();
            let sight = self.alert_sight(seq, row, None, &mut heads)?;
            if !query.undelivered || sight.is_undelivered() {
                alerts.push(sight);
            }
            if is_one {
                break;
            }
        }
        Ok(AlertPage { alerts, next: None })
    }

    /// The names of the notifiers.
    #[must_use]
    pub fn notifiers(&self) -> Vec<String> {
        self.settings.recipients.iter().map(|recipient| recipient.name.clone()).collect()
    }

    /// Puts what has not been accepted of these alerts into the outboxes again, due at once. Says what came of each; of
    /// one that is not stored, nothing.
    pub fn resend(&mut self, ids: &[String], now: WallTime) -> Result<Vec<ResentAlert>, StoreError> {
        let mut found = BTreeMap::new();
        for row in self.kv.prefix(&[keys::ALERT]).rev() {
            let (key, value) = row?;
            let row: AlertRow = rows::decode(&key, &value)?;
            if let Some(seq) = keys::number_at(&key, 1).filter(|_| ids.contains(&row.id)) {
                found.insert(row.id.clone(), (seq, row));
                if found.len() == ids.len() {
                    break;
                }
            }
        }
        let mut writes = Writes::default();
        let mut all = Vec::new();
        for id in ids {
            let resent = found.get(id).map(|(seq, alert)| self.requeue(*seq, alert, now, &mut writes)).transpose()?;
            all.push((id.clone(), resent));
        }
        self.write(writes)?;
        Ok(all)
    }

    fn requeue(
        &mut self,
        seq: u64,
        alert: &AlertRow,
        now: WallTime,
        writes: &mut Writes,
    ) -> Result<Vec<Resent>, StoreError> {
        let has_text = self.kv.prefix(&keys::numbered(keys::BODY, seq).end()).next().transpose()?.is_some();
        let mut resent = Vec::new();
        for name in &alert.notifiers {
            let (queued, done) =
                (keys::queue(name).number(seq).end(), keys::numbered(keys::FATE, seq).text(name).end());
            let fate = self.kv.row(&done)?.map(|value| rows::decode::<FateRow>(&done, &value)).transpose()?;
            let outcome = if fate.is_some_and(|fate| fate.accepted.is_some()) {
                Resend::Accepted
            } else if !self.settings.recipients.iter().any(|recipient| recipient.name == *name) {
                Resend::NoNotifier
            } else if !has_text {
                Resend::NoText
            } else {
                // As if it had been queued just now: it is tried for as long again.
                writes.put(queued, rows::encode(&DeliveryRow::fresh(&alert.incident, now))?);
                writes.remove(done);
                self.count_queued(1);
                Resend::Queued
            };
            resent.push(Resent { notifier: name.clone(), outcome });
        }
        Ok(resent)
    }
}

impl AlertSight {
    /// Whether a notifier may still accept it, without anybody having to mend something first.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.notifiers.iter().any(|it| matches!(it.stand, Standing::Waiting { parked: false, .. }))
    }

    /// Whether a notifier that it was queued for has not accepted it.
    #[must_use]
    pub fn is_undelivered(&self) -> bool {
        self.notifiers.iter().any(|it| matches!(it.stand, Standing::Waiting { .. } | Standing::Dead { .. }))
    }
}

impl Standing {
    /// A word for it; none where the alert was not queued for the notifier.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        Some(match self {
            Self::Accepted { .. } => "accepted",
            Self::Waiting { parked: true, .. } => "refused",
            Self::Waiting { .. } => "waiting",
            Self::Dead { .. } => "dead",
            Self::Silenced { .. } => "silenced",
            Self::Lost => "unknown",
            Self::Meant | Self::NotNamed | Self::TooMild { .. } | Self::NotQueued => return None,
        })
    }
}
