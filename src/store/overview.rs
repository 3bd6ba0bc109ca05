//! How everything stands at one moment: what the status page and the metrics show.
//!
//! Sources and incidents are in memory. Outboxes are short when all is well; when they are not, each of their rows is
//! walked over. Dead letters and the size on disk take a walk through everything that was delivered, so they are as old
//! as [`RECOUNTED`] at most.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use memchr::memmem;
use serde::Serialize;

use super::ledger::{Ledger, Troubles};
use super::rows::{self, DeliveryRow, SourceRow};
use super::tally::{Pass, Tally};
use super::{Health, StoreError, keys};
use crate::model::{EventTime, WallTime};
use crate::trail::SourceId;

/// How old what takes a walk may be.
const RECOUNTED: Duration = Duration::from_secs(60);

/// Requests a second that AWS answers for one account and Region.
const QUOTA: f64 = 2.0;

/// How everything stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// When this was.
    pub at: WallTime,
    /// When the daemon's loop last turned.
    pub ticked: WallTime,
    /// The worst of it.
    pub health: Health,
    /// Every source, in order.
    pub sources: Vec<SourceStanding>,
    /// Incidents that are open, the latest first.
    pub incidents: Vec<OpenIncident>,
    /// Every notifier, in order.
    pub outboxes: Vec<OutboxStanding>,
    /// The rules' names, in order.
    pub rules: Vec<String>,
    /// Bytes that the store takes on disk.
    pub store_bytes: u64,
    /// What was done since the process began.
    pub tally: Tally,
}

/// How a source stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceStanding {
    /// Its account, as configured.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// When the last pass ended that read it through.
    pub read_through: Option<WallTime>,
    /// Since when it is blind.
    pub blind_since: Option<WallTime>,
    /// Whether it was read through within `stale_after`.
    pub fresh: bool,
    /// Why the last pass has not read it through.
    pub trouble: Option<String>,
    /// The age of the oldest event time that has not been read.
    pub behind_seconds: u64,
    /// Half of its events became visible within so many seconds, if that is known.
    pub visible_within_seconds: Option<u64>,
    /// The part of AWS's quota that its last passes have taken, from 0 to 1; none before the second pass.
    pub quota_used: Option<f64>,
    /// Its last passes, the oldest first.
    pub passes: Vec<Pass>,
}

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenIncident {
    /// Its id.
    pub incident: String,
    /// The rule's name.
    pub rule: String,
    /// The group.
    pub group: BTreeMap<String, Option<String>>,
    /// When it was opened.
    pub opened: WallTime,
    /// Its first access.
    pub first_access: EventTime,
    /// Its last access.
    pub last_access: EventTime,
    /// The largest statistic of any window.
    pub value: u64,
    /// How many accesses it covers.
    pub accesses: u64,
}

/// How a notifier's outbox stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxStanding {
    /// The notifier.
    pub notifier: String,
    /// Alerts that it has not accepted.
    pub waiting: u64,
    /// Of these, the ones that it has refused.
    pub refused: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<WallTime>,
    /// Alerts that were given up.
    pub dead: u64,
}

/// What takes a walk to be known.
#[derive(Clone, Debug, Default)]
pub(super) struct Walked {
    at: Option<WallTime>,
    dead: BTreeMap<String, u64>,
    bytes: u64,
}

impl Ledger {
    /// How everything stands at `now`.
    pub fn overview(&mut self, now: WallTime) -> Result<Overview, StoreError> {
        let is_old = |at: WallTime| now.since(at) >= RECOUNTED || now < at;
        if self.walked.at.is_none_or(is_old) {
            self.walked = Walked { at: Some(now), dead: self.dead_letters()?, bytes: self.bytes()? };
        }
        let sources = self.sources.keys().map(|id| self.source_standing(id, now)).collect();
        let mut incidents: Vec<OpenIncident> = self.open.values().map(open_incident).collect();
        incidents.sort_by(|a, b| (b.last_access, &b.incident).cmp(&(a.last_access, &a.incident)));
        let mut outboxes = Vec::new();
        for recipient in &self.settings.recipients {
            outboxes.push(self.outbox_standing(&recipient.name)?);
        }
        Ok(Overview {
            at: now,
            ticked: self.ticked,
            health: self.health(now)?,
            sources,
            incidents,
            outboxes,
            rules: self.settings.rules.iter().map(|rule| rule.name.clone()).collect(),
            store_bytes: self.walked.bytes,
            tally: self.tally.clone(),
        })
    }

    fn source_standing(&self, id: &SourceId, now: WallTime) -> SourceStanding {
        let row = &self.sources[id];
        let median = row.visibility.quantile(0.5).filter(|median| *median != Duration::MAX);
        let passes = self.tally.passes.get(id);
        SourceStanding {
            account: id.account.clone(),
            region: id.region.clone(),
            read_through: row.read_through,
            blind_since: row.blind.as_ref().map(|blind| blind.since),
            fresh: self.is_fresh(row, now),
            trouble: self.troubles.get(id).and_then(Troubles::present).map(ToString::to_string),
            behind_seconds: behind_seconds(row, now),
            visible_within_seconds: median.map(|median| median.as_secs()),
            quota_used: passes.and_then(quota_used),
            passes: passes.map(|passes| passes.iter().copied().collect()).unwrap_or_default(),
        }
    }

    fn outbox_standing(&self, notifier: &str) -> Result<OutboxStanding, StoreError> {
        let (mut waiting, mut refused, mut oldest) = (0, 0, None);
        for row in self.kv.prefix(&keys::queue(notifier).end()) {
            let (key, value) = row?;
            waiting += 1;
            if oldest.is_none() {
                oldest = Some(rows::decode::<DeliveryRow>(&key, &value)?.queued);
            }
            refused += u64::from(memmem::find(&value, b"\"parked\":true").is_some());
        }
        let dead = self.walked.dead.get(notifier).copied().unwrap_or(0);
        Ok(OutboxStanding { notifier: notifier.to_owned(), waiting, refused, oldest, dead })
    }

    fn dead_letters(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut dead = BTreeMap::new();
        for row in self.kv.prefix(&[keys::FATE]) {
            let (key, value) = row?;
            if memmem::find(&value, b"\"dead\":null").is_none()
                && let Some(notifier) = keys::text_at(&key, 9)
            {
                *dead.entry(notifier.to_owned()).or_default() += 1;
            }
        }
        Ok(dead)
    }
}

/// The age of the oldest event time that has not been read.
pub(super) fn behind_seconds(source: &SourceRow, now: WallTime) -> u64 {
    let oldest = source.coverage.values().filter_map(|coverage| coverage.oldest_unread(now)).min();
    oldest.map_or(0, |oldest| now.since(oldest.wall()).as_secs())
}

/// The part of AWS's quota that `passes` have taken. What the first has asked for came before the time that they span.
fn quota_used(passes: &VecDeque<Pass>) -> Option<f64> {
    let (first, last) = (passes.front()?, passes.back()?);
    let seconds = last.ended.since(first.ended).as_secs_f64();
    let requests: u32 = passes.iter().skip(1).map(|pass| pass.requests).sum();
    (seconds > 0.0).then(|| (f64::from(requests) / (seconds * QUOTA)).min(1.0))
}

fn open_incident(incident: &crate::detect::Incident) -> OpenIncident {
    OpenIncident {
        incident: incident.id.0.clone(),
        rule: incident.rule_name.clone(),
        group: incident.group.labels.clone(),
        opened: incident.opened,
        first_access: incident.first_access,
        last_access: incident.last_access,
        value: incident.value,
        accesses: incident.accesses,
    }
}
