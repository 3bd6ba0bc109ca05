//! An incident: one rule and group at or over its threshold, from the first crossing until it is over.
//!
//! Crossing windows whose ends are at most [`Rule::reach`] apart belong to one incident. Their windows never overlap
//! those of another incident of the group, so every covered access belongs to exactly one.

use serde::{Deserialize, Serialize};

use super::rule::Fields;
use super::window::{Crossing, Entry};
use super::{Group, GroupId, Rule, RuleId};
use crate::model::{EventTime, Span, WallTime};

/// The name of an incident: a hash of its rule, its group and the first access of its first crossing, so that equal
/// accesses give equal ids after a loss of state too. 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncidentId(pub String);

/// One incident, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// The rule's version that it belongs to.
    pub rule: RuleId,
    /// The rule's name, which outlives the version.
    pub rule_name: String,
    /// The group.
    pub group: Group,
    /// Where it stands.
    pub state: State,
    /// When it was opened, by our clock.
    pub opened: WallTime,
    /// The end of its first crossing window.
    pub first_end: EventTime,
    /// The end of its last crossing window.
    pub last_end: EventTime,
    /// The first access that it covers.
    pub first_access: EventTime,
    /// The last access that it covers.
    pub last_access: EventTime,
    /// The largest statistic of any of its crossing windows.
    pub value: u64,
    /// How many accesses it covers.
    pub accesses: u64,
    /// How many of them no alert holds yet.
    pub pending: u64,
    /// How many alerts it has had.
    pub sequence: u64,
    /// When the last of those was decided.
    pub last_alert: WallTime,
}

/// Where an incident stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on.
    Open,
    /// It is over; a late access can reopen it.
    Resolved,
    /// It goes on in another.
    Merged(IncidentId),
}

impl Incident {
    /// The incident that `crossing` opens, of which `first` is the earliest access. It covers nothing yet.
    #[must_use]
    pub fn open(rule: &Rule, group: &Group, crossing: Crossing, first: &Entry, now: WallTime) -> Self {
        let id = rule.id();
        let mut hash = Fields::new("incident");
        hash.some(&hex::encode(id.0));
        hash.some(&hex::encode(group.id.0));
        hash.some(&first.at.to_string());
        hash.some(&first.id);
        Self {
            id: IncidentId(hex::encode(&hash.end()[..16])),
            rule: id,
            rule_name: rule.name.clone(),
            group: group.clone(),
            state: State::Open,
            opened: now,
            first_end: crossing.end,
            last_end: crossing.end,
            first_access: first.at,
            last_access: crossing.end,
            value: crossing.value,
            accesses: 0,
            pending: 0,
            sequence: 0,
            last_alert: now,
        }
    }

    /// The group's hash.
    #[must_use]
    pub fn group_id(&self) -> GroupId {
        self.group.id
    }

    /// Whether a window that ends at `end` belongs to it.
    #[must_use]
    pub fn reaches(&self, rule: &Rule, end: EventTime) -> bool {
        self.first_end.minus(rule.reach()) <= end && end <= self.last_end.plus(rule.reach())
    }

    /// Takes `crossing` in.
    pub fn extend(&mut self, crossing: Crossing) {
        self.first_end = self.first_end.min(crossing.end);
        self.last_end = self.last_end.max(crossing.end);
        self.value = self.value.max(crossing.value);
    }

    /// Covers one more access.
    pub fn cover(&mut self, entry: &Entry) {
        self.first_access = self.first_access.min(entry.at);
        self.last_access = self.last_access.max(entry.at);
        self.accesses += 1;
        self.pending += 1;
    }

    /// Takes in all that `other` was, which goes on here.
    pub fn swallow(&mut self, other: &Self) {
        self.extend(Crossing { end: other.first_end, value: other.value });
        self.extend(Crossing { end: other.last_end, value: other.value });
        self.first_access = self.first_access.min(other.first_access);
        self.last_access = self.last_access.max(other.last_access);
        self.accesses += other.accesses;
        self.pending += other.pending;
    }

    /// Which of two goes on when they join: the one opened first, then the smaller id.
    #[must_use]
    pub fn seniority(&self) -> (WallTime, &IncidentId) {
        (self.opened, &self.id)
    }

    /// Whether an `updated` alert is due for what is pending.
    #[must_use]
    pub fn update_due(&self, rule: &Rule, now: WallTime) -> bool {
        let every = std::time::Duration::from_secs(u64::try_from(rule.update_every).unwrap_or(0));
        // A last alert in the future was decided by a clock that has been set back since.
        self.pending > 0 && (now < self.last_alert || now >= self.last_alert.plus(every))
    }

    /// The event time that must have settled before it is over: any access in it could still belong here.
    #[must_use]
    pub fn watched(&self, rule: &Rule) -> Span {
        let from = self.first_access.minus(rule.window);
        Span { from, to: self.last_access.plus(rule.reach()).max(from) }
    }
}
