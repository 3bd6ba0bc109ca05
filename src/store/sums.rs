//! Accesses counted by who accessed what, how, and how that ended, some thousands at a time: what a report is made of.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::ledger::Ledger;
use super::lists::{AccessPlace, AccessQuery, PAGE_BYTES};
use super::{keys, rows};
use crate::detect::{Condition, Incident, State};
use crate::model::{Access, EventTime, IncidentLine, Outcome, Outcomes};

/// Rows of incidents that are looked at for one page.
const LOOKED_AT: usize = 2_000;

/// Seconds of the finest stretch.
pub const HOUR: i64 = 3_600;

/// What some accesses have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Combination {
    /// Account, Region and name of the secret, where the call names one.
    pub secret: Option<(String, String, String)>,
    /// The principal's ARN, a session's being its role's; or what else it is known by.
    pub principal: String,
    /// The event's name.
    pub event: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// The accesses of one combination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many there are.
    pub count: u64,
    /// The first.
    pub first: EventTime,
    /// The last.
    pub last: EventTime,
    /// From where the last came.
    pub source_ip: Option<String>,
}

/// Some accesses, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumsPage {
    /// By what they have in common.
    pub sums: Vec<(Combination, Sum)>,
    /// By the hour, as the second at which it begins.
    pub hours: BTreeMap<i64, Outcomes>,
    /// The oldest of all that were looked at.
    pub oldest: Option<EventTime>,
    /// Where to go on; none: there are no more.
    pub next: Option<AccessPlace>,
}

/// Which incidents are wanted: those that had an access from then on, or are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentQuery {
    /// From then on.
    pub since: EventTime,
    /// Where to go on, which a page has named.
    pub after: Option<String>,
}

/// Some incidents, in no order that means anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentPage {
    /// What was found.
    pub incidents: Vec<IncidentLine>,
    /// Where to go on; none: there are no more.
    pub next: Option<String>,
}

impl Sum {
    /// That of one access.
    fn of(access: &Access) -> Self {
        Self { count: 1, first: access.time, last: access.time, source_ip: access.source_ip.clone() }
    }

    /// Adds `other`, in whatever order they come.
    pub fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        if other.last > self.last {
            (self.last, self.source_ip) = (other.last, other.source_ip);
        }
    }
}

impl Combination {
    /// How much it takes, about.
    fn bytes(&self) -> usize {
        let secret =
            self.secret.as_ref().map_or(0, |(account, region, name)| account.len() + region.len() + name.len());
        secret + self.principal.len() + self.event.len() + 200
    }

    fn of(access: &Access) -> Self {
        let secret = access.secret.as_ref();
        Self {
            secret: secret.map(|it| (it.account.clone(), it.region.clone(), it.name.clone())),
            principal: access.principal.key(),
            event: access.event.clone(),
            outcome: access.outcome,
        }
    }
}

impl Ledger {
    /// Counts what `query` and its compiled `condition` want, of some hundreds that are looked at, the newest first. The
    /// daemon's own calls are left out.
    pub fn sums(&self, query: &AccessQuery, condition: &Condition) -> Result<SumsPage, StoreError> {
        let (mut sums, mut page) = (BTreeMap::<Combination, Sum>::new(), SumsPage::default());
        let mut bytes = 0;
        page.next = self.scan(query, condition, |access| {
            page.oldest = Some(access.time);
            if access.own {
                return ControlFlow::Continue(());
            }
            let hour = access.time.0.div_euclid(HOUR) * HOUR;
            page.hours.entry(hour).or_default().add(access.outcome, 1);
            let sum = Sum::of(access);
            match sums.entry(Combination::of(access)) {
                Entry::Occupied(mut known) => known.get_mut().absorb(sum),
                Entry::Vacant(new) => {
                    bytes += new.key().bytes();
                    new.insert(sum);
                }
            }
            if bytes >= PAGE_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        page.sums = sums.into_iter().collect();
        Ok(page)
    }

    /// The incidents that `query` wants.
    pub fn incident_lines(&self, query: &IncidentQuery) -> Result<IncidentPage, StoreError> {
        let after = query.after.as_ref().map(|after| hex::decode(after).unwrap_or_default());
        let from = after.clone().unwrap_or(vec![keys::INCIDENT]);
        let (mut incidents, mut last) = (Vec::new(), None);
        for (looked_at, row) in self.kv.range(&from, &[keys::INCIDENT + 1]).enumerate() {
            if looked_at >= LOOKED_AT {
                return Ok(IncidentPage { incidents, next: last.map(hex::encode) });
            }
            let (key, value) = row?;
            if Some(&key) != after.as_ref() {
                let incident: Incident = rows::decode(&key, &value)?;
                let is_open = incident.state == State::Open;
                let is_merged = matches!(incident.state, State::Merged(_));
                if !is_merged && (is_open || incident.last_access >= query.since) {
                    incidents.push(line(incident, is_open));
                }
            }
            last = Some(key);
        }
        Ok(IncidentPage { incidents, next: None })
    }
}

fn line(incident: Incident, open: bool) -> IncidentLine {
    let Incident { id, rule_name, group, opened, first_access, last_access, value, accesses, .. } = incident;
    IncidentLine {
        incident: id.0,
        rule: rule_name,
        severity: None,
        group: group.labels,
        opened,
        open,
        first_access,
        last_access,
        value,
        accesses,
        summary: None,
    }
}
