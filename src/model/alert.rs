//! One message about an incident, or about the daemon itself.
//!
//! The serialised form is public: schema `secretwatch.alert.v1`. Keys may be added, none may change its meaning.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Access, EventTime, Report, WallTime};

/// The schema's name and version, in every alert.
pub const SCHEMA: &str = "secretwatch.alert.v1";

/// Accesses that one alert lists at most; the rest follows in further alerts.
pub const MAX_ACCESSES: usize = 500;

/// Size of one alert as JSON, in bytes: below the 262,144 that SNS takes together with attributes.
pub const MAX_BYTES: usize = 200_000;

/// What an alert says of its incident or of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertKind {
    /// The first crossing of an incident.
    Opened,
    /// Accesses that joined it.
    Updated,
    /// It is over, or went on under another id (`merged_into`), or its rule was changed (`reason`).
    Resolved,
    /// Sent on purpose, to see whether it arrives.
    Test,
    /// A source cannot be read through.
    Blind,
    /// It can again.
    Sighted,
    /// Something about the daemon's own configuration that somebody should look at.
    Notice,
    /// What happened in a stretch of time, sent by the calendar.
    Digest,
}

impl AlertKind {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
            Self::Test => "test",
            Self::Blind => "blind",
            Self::Sighted => "sighted",
            Self::Notice => "notice",
            Self::Digest => "digest",
        }
    }
}

/// How bad it is, in the operator's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look some day.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it, as in configuration and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|severity| severity.word() == word).ok_or(())
    }
}

/// One alert, as it is queued and as receivers of `format = "json"` get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// [`SCHEMA`].
    pub schema: String,
    /// The idempotency key: equal ids have equal accesses, after a loss of state too.
    pub id: String,
    /// The incident's id; for alerts about the daemon, that of the episode.
    pub incident: String,
    /// What it says.
    pub kind: AlertKind,
    /// The rule that fired.
    pub rule: AlertRule,
    /// The incident's group: `group_by` key to value, null where the accesses have none.
    pub group: BTreeMap<String, Option<String>>,
    /// The statistic's name: `sum`, or `distinct secret` and the like.
    pub statistic: String,
    /// The largest statistic of any crossing window of the incident so far.
    pub value: u64,
    /// The rule's threshold.
    pub threshold: u64,
    /// The rule's window.
    pub window_seconds: i64,
    /// The incident's first covered access.
    pub first_access: Option<EventTime>,
    /// The incident's last covered access.
    pub last_access: Option<EventTime>,
    /// Accesses that no earlier alert of this rule held, by time.
    pub accesses: Vec<Access>,
    /// How many accesses the incident holds so far, this alert's and what follows included.
    pub accesses_total: u64,
    /// How many of those follow at once in further alerts.
    pub accesses_omitted: u64,
    /// The incident in which this one goes on.
    pub merged_into: Option<String>,
    /// Why it was resolved, if not simply for being over; of a source that is blind, why it is; of a notice, what it is
    /// about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What kind of trouble made a source blind, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The way out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Of a digest, what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<Report>>,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// When this alert was decided.
    pub decided: WallTime,
    /// One line for people.
    pub summary: String,
}

/// The rule's texts, as an alert carries them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRule {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `severity`.
    pub severity: Severity,
}
