//! Silences: alerts that somebody does not want to be sent for a while, such as while all secrets are moved.
//!
//! A silenced alert is decided, numbered and kept like any other, and queued for nobody; its row says by which silence,
//! so that `explain` and `alerts` can. It is silenced only if all that it holds is meant: one access that is not sends
//! it out. That an incident is over is told if anything of it was told before. What the daemon says of itself is never
//! silenced.

use serde::{Deserialize, Serialize};

use super::kv::Writes;
use super::ledger::Ledger;
use super::rows::{self, AlertRow};
use super::{StoreError, keys};
use crate::detect::{Condition, Globs, Incident, IncidentId, State, episode_id};
use crate::model::{Alert, AlertKind, EventTime, WallTime};

/// Digits of a silence's id, at least: short enough to be typed.
const ID_DIGITS: usize = 8;

/// Which alerts are not to be sent, for how long, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// What is meant.
    #[serde(flatten)]
    pub meant: Hushed,
    /// Why.
    pub reason: String,
    /// Since when.
    pub began: WallTime,
    /// Until when, at the latest.
    pub until: WallTime,
    /// When somebody ended it before that.
    pub ended: Option<WallTime>,
    /// How many alerts were not sent because of it.
    pub alerts: u64,
}

/// Which alerts a silence means: those of which everything is meant by each key that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hushed {
    /// Globs over the rule's name; none: every rule.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Globs over secrets, as in a rule; none: all.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Globs over principals, as in a rule; none: all.
    #[serde(default)]
    pub principals: Vec<String>,
}

/// A silence whose globs are compiled.
#[derive(Clone, Debug)]
pub(super) struct Hush {
    pub(super) row: Silence,
    rules: Globs,
    condition: Condition,
}

impl Silence {
    /// When it ends or has ended.
    #[must_use]
    pub fn end(&self) -> WallTime {
        self.ended.map_or(self.until, |ended| ended.min(self.until))
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: WallTime) -> bool {
        // One that began in the future was begun by a clock that has been set back since.
        self.began <= now && self.end() > now
    }
}

impl Hushed {
    /// Compiles the globs; the error names the first that is none.
    pub fn compiled(&self) -> Result<(Globs, Condition), globset::Error> {
        let condition = Condition {
            secrets: Globs::of_secrets(&self.secrets)?,
            principals: Globs::new(&self.principals)?,
            ..Condition::default()
        };
        Ok((Globs::new(&self.rules)?, condition))
    }

    /// Whether it means every alert.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.rules.is_empty() && self.secrets.is_empty() && self.principals.is_empty()
    }
}

impl Hush {
    fn of(row: Silence) -> Result<Self, globset::Error> {
        let (rules, condition) = row.meant.compiled()?;
        Ok(Self { row, rules, condition })
    }

    fn means(&self, alert: &Alert) -> bool {
        (self.rules.is_empty() || self.rules.matches(&alert.rule.name))
            && alert.accesses.iter().all(|access| self.condition.matches(access))
    }
}

impl Ledger {
    /// All silences that are kept, the oldest first.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.iter().map(|hush| &hush.row)
    }

    pub(super) fn load_silences(&mut self) -> Result<(), StoreError> {
        let mut silences = Vec::new();
        for row in self.kv.prefix(&[keys::SILENCE]) {
            let (key, value) = row?;
            let hush = Hush::of(rows::decode(&key, &value)?);
            silences.push(hush.map_err(|error| rows::damaged(format!("a silence: {error}")))?);
        }
        silences.sort_by(|a, b| (a.row.began, &a.row.id).cmp(&(b.row.began, &b.row.id)));
        self.silences = silences;
        Ok(())
    }

    /// Silences what is `meant` from `now` until then. The globs have to be right.
    pub fn silence(
        &mut self,
        meant: &Hushed,
        reason: &str,
        now: WallTime,
        until: WallTime,
    ) -> Result<Silence, StoreError> {
        let digits = episode_id(&format!("silence {meant:?} {reason}"), now);
        let is_free = |id: &&str| !self.silences.iter().any(|hush| hush.row.id == *id);
        let id = (ID_DIGITS..=digits.len()).filter_map(|length| digits.get(..length)).find(is_free);
        let row = Silence {
            id: id.unwrap_or(&digits).to_owned(),
            meant: meant.clone(),
            reason: reason.to_owned(),
            began: now,
            until,
            ended: None,
            alerts: 0,
        };
        let hush = Hush::of(row.clone()).map_err(|error| rows::damaged(format!("a new silence: {error}")))?;
        self.write_silence(&row)?;
        self.silences.push(hush);
        Ok(row)
    }

    /// Ends the silence `id`, if it holds. None: there is no such silence.
    pub fn end_silence(&mut self, id: &str, now: WallTime) -> Result<Option<Silence>, StoreError> {
        let Some(hush) = self.silences.iter_mut().find(|hush| hush.row.id == id) else { return Ok(None) };
        if hush.row.holds(now) {
            hush.row.ended = Some(now);
        }
        let row = hush.row.clone();
        self.write_silence(&row)?;
        Ok(Some(row))
    }

    fn write_silence(&mut self, row: &Silence) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        writes.put(keys::silence(&row.id), rows::encode(row)?);
        self.write(writes)
    }

    /// The silence because of which `alert` is not sent, if one is; and that it was used.
    pub(super) fn silenced(&mut self, alert: &Alert, writes: &mut Writes) -> Result<Option<String>, StoreError> {
        if self.silences.is_empty() {
            return Ok(None);
        }
        let by = match alert.kind {
            AlertKind::Opened | AlertKind::Updated => {
                let holds = |hush: &&Hush| hush.row.holds(alert.decided) && hush.means(alert);
                self.silences.iter().find(holds).map(|hush| hush.row.id.clone())
            }
            AlertKind::Resolved => self.never_told(&alert.incident)?,
            AlertKind::Test | AlertKind::Blind | AlertKind::Sighted | AlertKind::Notice | AlertKind::Digest => None,
        };
        if let Some(hush) = self.silences.iter_mut().find(|hush| Some(&hush.row.id) == by.as_ref()) {
            hush.row.alerts += 1;
            writes.put(keys::silence(&hush.row.id), rows::encode(&hush.row)?);
        }
        Ok(by)
    }

    /// The silence that the last alert of the open incident `id` met with, if all of them have met with one, and all of
    /// those that have gone on in it.
    fn never_told(&self, id: &str) -> Result<Option<String>, StoreError> {
        let Some(incident) = self.open.get(&IncidentId(id.to_owned())) else { return Ok(None) };
        let prefix = keys::group(keys::INCIDENT, incident.rule, incident.group_id()).end();
        let rows = self.kv.prefix(&prefix).map(|row| row.and_then(|(key, value)| rows::decode(&key, &value)));
        let group = rows.collect::<Result<Vec<Incident>, _>>()?;
        let mut parts = vec![incident];
        let mut last = None;
        while let Some(part) = parts.pop() {
            let Some(silence) = self.all_silenced(part)? else { return Ok(None) };
            last = last.or(Some(silence));
            parts.extend(group.iter().filter(|other| other.state == State::Merged(part.id.clone())));
        }
        Ok(last)
    }

    /// The silence that the last alert of `incident` met with, if all of them are stored and have met with one.
    fn all_silenced(&self, incident: &Incident) -> Result<Option<String>, StoreError> {
        let (mut last, mut alerts) = (None, 0);
        for seq in self.alerts_of(&incident.id.0)? {
            let key = keys::numbered(keys::ALERT, seq).end();
            let Some(value) = self.kv.row(&key)? else { return Ok(None) };
            last = rows::decode::<AlertRow>(&key, &value)?.silenced;
            if last.is_none() {
                return Ok(None);
            }
            alerts += 1;
        }
        // The one in question has a number already. Those that are not stored any more may have been told.
        Ok(last.filter(|_| alerts + 1 >= incident.sequence))
    }

    /// Lets go of those that ended before `floor`; their rows go with the sweep.
    pub(super) fn forget_silences(&mut self, floor: EventTime) {
        self.silences.retain(|hush| hush.row.end() >= floor.wall());
    }
}
