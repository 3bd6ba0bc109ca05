//! The rows that are the store's own; accesses and incidents are stored as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::keys;
use crate::detect::{Entry, RuleCard, RuleId, Sightings};
use crate::model::{Alert, AlertKind, EventTime, Severity, WallTime};
use crate::trail::{Coverage, Visibility};

/// What has been seen under one event id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexRow {
    /// When the access happened: part of its key.
    pub(super) at: EventTime,
    /// Of the record's content, to tell a repeat from another event under the same id.
    pub(super) hash: u64,
    /// Only named by another record so far: the original of an update, or a shared id.
    pub(super) named_only: bool,
    /// Under which id the access counts.
    pub(super) identity: String,
}

impl IndexRow {
    /// The row of event `id`. Nearly every event counts under its own id, which is not written twice.
    pub(super) fn encode(&self, id: &str) -> Vec<u8> {
        let mut row = keys::time_bytes(self.at).to_vec();
        row.extend_from_slice(&self.hash.to_be_bytes());
        row.push(u8::from(self.named_only));
        if self.identity != id {
            row.extend_from_slice(self.identity.as_bytes());
        }
        row
    }

    pub(super) fn decode(id: &str, row: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            Some(Self {
                at: keys::time_at(row, 0)?,
                hash: keys::number_at(row, 8)?,
                named_only: *row.get(16)? != 0,
                identity: match keys::text_at(row, 17)? {
                    "" => id.to_owned(),
                    identity => identity.to_owned(),
                },
            })
        };
        read().ok_or_else(|| damaged(format!("the index row of event {id}")))
    }
}

/// An entry from the key and value of a match row.
pub(super) fn entry(key: &[u8], value: &[u8]) -> Result<Entry, StoreError> {
    // The key is table:1 rule:8 group:16 time:8 id.
    let read = || {
        Some(Entry {
            at: keys::time_at(key, 25)?,
            id: Arc::from(keys::text_at(key, 33)?),
            value: keys::number_at(value, 0)?,
            reported: *value.get(8)? != 0,
            // Rows of rules without steps end here.
            steps: value.get(9).copied().unwrap_or(0),
        })
    };
    read().ok_or_else(|| damaged(format!("match row {}", hex::encode(key))))
}

pub(super) fn entry_value(entry: &Entry) -> Vec<u8> {
    let mut value = entry.value.to_be_bytes().to_vec();
    value.push(u8::from(entry.reported));
    if entry.steps != 0 {
        value.push(entry.steps);
    }
    value
}

/// The value of a match row, as one that has been reported.
pub(super) fn as_reported(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len().max(9), 0);
    value[8] = 1;
    value
}

pub(super) fn sightings(key: &[u8], value: &[u8]) -> Result<Sightings, StoreError> {
    let run = |run: &[u8]| keys::time_at(run, 0).zip(keys::time_at(run, 8));
    let runs: Option<Vec<_>> = value.chunks(16).map(run).collect();
    runs.map(Sightings::from_runs).ok_or_else(|| damaged(format!("sightings row {}", hex::encode(key))))
}

pub(super) fn sightings_value(sightings: &Sightings) -> Vec<u8> {
    let bytes = |(first, last): &(EventTime, EventTime)| [keys::time_bytes(*first), keys::time_bytes(*last)].concat();
    sightings.runs().iter().flat_map(bytes).collect()
}

/// How an entry of the allow-list was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceRow {
    /// When it was first configured.
    pub created: WallTime,
    /// How many accesses it has kept from rules.
    pub used: u64,
    /// When the last of them happened.
    pub last_used: Option<EventTime>,
    /// Until when it was valid when that was said to be over.
    pub told_over: Option<EventTime>,
    /// When it was said last that it is not used.
    pub told_unused: Option<WallTime>,
}

/// A covered access that no alert holds yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) at: EventTime,
    pub(super) id: String,
}

/// An alert without its list of accesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    /// The alert's id.
    pub id: String,
    /// The incident's, or the episode's.
    pub incident: String,
    /// What it says.
    pub kind: AlertKind,
    /// The rule's name.
    pub rule: String,
    /// The rule's severity.
    pub severity: Severity,
    /// When it was decided.
    pub decided: WallTime,
    /// How many accesses it holds.
    pub accesses: u64,
    /// Its summary.
    pub summary: String,
    /// The notifiers that it was queued for.
    pub notifiers: Vec<String>,
    /// The silence because of which it was queued for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<String>,
    /// How many `b` rows its JSON takes.
    pub(super) parts: usize,
}

impl AlertRow {
    pub(super) fn new(alert: &Alert, notifiers: Vec<String>, silenced: Option<String>, parts: usize) -> Self {
        Self {
            id: alert.id.clone(),
            incident: alert.incident.clone(),
            kind: alert.kind,
            rule: alert.rule.name.clone(),
            severity: alert.rule.severity,
            decided: alert.decided,
            accesses: alert.accesses.len() as u64,
            summary: alert.summary.clone(),
            notifiers,
            silenced,
            parts,
        }
    }
}

/// One alert in one notifier's outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Whose order it is held to.
    pub incident: String,
    /// When it was queued.
    pub queued: WallTime,
    /// How often it has been tried.
    pub attempts: u32,
    /// When it may be tried next.
    pub next_at: WallTime,
    /// Refused for good: it is tried again, but slowly.
    pub parked: bool,
    /// What the last attempt met with.
    pub error: Option<String>,
}

impl DeliveryRow {
    /// Of an alert that is to be sent as soon as it can be.
    pub(super) fn fresh(incident: &str, decided: WallTime) -> Self {
        let incident = incident.to_owned();
        Self { incident, queued: decided, attempts: 0, next_at: decided, parked: false, error: None }
    }
}

/// What became of one alert at one notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateRow {
    /// When it was accepted; none: it is a dead letter.
    pub accepted: Option<WallTime>,
    /// The notifier that has accepted it in this one's place; none: it was this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was given up.
    pub dead: Option<WallTime>,
    /// How often it was tried.
    pub attempts: u32,
    /// The last error of a dead letter.
    pub error: Option<String>,
}

/// The current version of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    /// The version's id.
    pub id: RuleId,
    /// When it became current.
    pub activated: WallTime,
    /// It counts accesses from here on.
    pub from: EventTime,
    /// Whether the accesses that were stored before it became current have all been counted.
    pub ready: bool,
    /// What alerts tell about it.
    pub card: RuleCard,
}

/// What is known of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// What has been read of it, by event source: each is looked up on its own.
    pub coverage: BTreeMap<String, Coverage>,
    /// When it was first configured.
    pub created: WallTime,
    /// The account's id, once known. If it changes, another account answers under this name.
    pub account_id: Option<String>,
    /// When the last pass began that read it through.
    pub read_through: Option<WallTime>,
    /// The episode in which it cannot be read through.
    pub blind: Option<Blindness>,
    /// How late its events became visible.
    #[serde(default)]
    pub visibility: Visibility,
    /// How many events a second it has, by event source: what a process that begins plans by.
    #[serde(default)]
    pub per_second: BTreeMap<String, f64>,
    /// From here on everything is known, though it was read before watching began.
    #[serde(default)]
    pub known: Option<EventTime>,
    /// What is still being read in order to know it.
    #[serde(default)]
    pub seeding: Option<Seeding>,
}

/// The past, as far as it is read for rules that tell what is new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seeding {
    /// From here on.
    pub from: EventTime,
    /// What has been read of it, by event source.
    pub coverage: BTreeMap<String, Coverage>,
}

/// A source that cannot be read through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blindness {
    /// The episode's id.
    pub episode: String,
    /// When it was said.
    pub since: WallTime,
}

/// A record that made no sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableRow {
    /// Its event id, if that much could be read.
    pub event_id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// The record, or as much of it as fits a row.
    pub raw: String,
    /// Its length in bytes.
    pub len: usize,
}

pub(super) fn damaged(what: String) -> StoreError {
    StoreError::Damaged { what }
}

pub(super) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(row).map_err(|error| damaged(format!("a row that cannot be written: {error}")))
}

pub(super) fn decode<T: for<'de> Deserialize<'de>>(key: &[u8], row: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|error| damaged(format!("row {:?}: {error}", String::from_utf8_lossy(key))))
}
