//! Why somebody was told of an access, or why not, as plain data: what `secretwatch explain` prints.
//!
//! An [`Explanation`] is about one event id. Its [`Finding`] says what is known under that id and how it was read;
//! there is a [`Ruling`] for each rule, with what was counted, the [`Window`] that came closest, the incident, the
//! alert and where that stands with each notifier. Each ruling and the whole say in one sentence what it comes to.
//!
//! The serialised form is public, schema [`EXPLANATION`]: keys may be added, none may change its meaning. How all this
//! is found out is [`Ledger::explain`](super::Ledger::explain)'s business, and how it looks on a terminal is `cli`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::Verdict;
use crate::model::{Access, AlertKind, EventTime, Outcome, Severity, Span, WallTime};

/// The schema's name and version, in every explanation.
pub const EXPLANATION: &str = "secretwatch.explanation.v1";

/// What became of one event, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`EXPLANATION`].
    pub schema: String,
    /// The id that was asked about; at most as much of it as an id can have.
    pub event_id: String,
    /// When that was.
    pub asked: WallTime,
    /// What the answer rests on.
    pub basis: Basis,
    /// The answer in one sentence or two.
    pub headline: String,
    /// What is known under the id.
    pub finding: Finding,
    /// What each rule made of it: those of the configuration in their order, those that watch its allow-list, and
    /// earlier versions that have counted it. None where there is no access.
    pub rules: Vec<Ruling>,
    /// What was not looked at because there is too much of it.
    pub limits: Vec<String>,
}

/// What an explanation rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// What was read and sent.
    State,
    /// Files, over which the rules were run: nothing was sent.
    Files,
}

/// What is known under an event id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "known_as", rename_all = "snake_case")]
pub enum Finding {
    /// The record of an access that stands for it.
    Access(Box<Known>),
    /// Another record of an access, or a name that other records give it.
    Copy(Box<Copied>),
    /// A record that made no sense.
    Unreadable(Unread),
    /// A record of an event source that is not read.
    Ignored {
        /// What it says.
        access: Box<Access>,
        /// The event sources that are read.
        event_sources: Vec<String>,
    },
    /// Nothing.
    Nothing(Watched),
}

/// An access, and how it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The id that it counts under, however many records tell of it.
    pub counts_as: String,
    /// The access, as the best record of it tells.
    pub access: Access,
    /// Seconds from when it happened to when its first record was read.
    pub late_seconds: u64,
    /// Whether that is more than `lateness`: ordinary polls no longer look for it by then.
    pub later_than_lateness: bool,
    /// Whether the record itself is kept, for filter patterns.
    pub record: Kept,
    /// Further records of it, some twenty at most.
    pub others: Vec<Access>,
}

/// Whether a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// It is.
    Yes,
    /// It is larger than what is kept.
    Oversize,
    /// It was not at hand; an earlier version kept none.
    No,
}

/// A record of an access that is told by another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// The id that the access counts under.
    pub counts_as: String,
    /// The record that was asked about; none where other records only name it, or where it is not kept any more.
    pub copy: Option<Access>,
    /// The access; none where its own record has not been read yet, or is not kept any more.
    pub counted: Option<Known>,
}

/// A record that made no sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// When it was read.
    pub seen: EventTime,
    /// What is wrong with it.
    pub reason: String,
    /// The beginning of it.
    pub raw: String,
}

/// What has been read at all, by which one can tell why an event is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// The sources, with how far each has been read.
    pub sources: Vec<SourceSight>,
    /// The event sources that are read of each.
    pub event_sources: Vec<String>,
    /// What happened longer ago is not kept, in seconds.
    pub retention_seconds: u64,
    /// An event may appear this long after it happened and still be found by ordinary polls, in seconds.
    pub lateness_seconds: u64,
    /// Records that made no sense, whose ids could not be read.
    pub nameless: u64,
}

/// How far one source has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSight {
    /// The account, as it is called.
    pub account: String,
    /// The Region.
    pub region: String,
    /// The account's id, once known.
    pub account_id: Option<String>,
    /// When the last pass began that read it through.
    pub read_through: Option<WallTime>,
    /// Since when it counts as blind.
    pub blind_since: Option<WallTime>,
    /// Why it cannot be read through, as far as a running daemon knows.
    pub trouble: Option<String>,
    /// Seconds within which half of its events, and 99 of 100, became visible, as measured lately.
    pub visible_within: Option<(u64, u64)>,
    /// What has been read of it.
    pub feeds: Vec<FeedSight>,
}

/// How far one event source in one source has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedSight {
    /// The event source.
    pub event_source: String,
    /// Nothing before this second is looked for.
    pub since: EventTime,
    /// The last second that was read.
    pub read_to: Option<EventTime>,
    /// Everything up to this second was read after `lateness` had passed.
    pub settled_to: Option<EventTime>,
    /// What was not read before `read_to`, some ten at most.
    pub gaps: Vec<Span>,
}

/// What one rule made of an access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// The rule's name.
    pub rule: String,
    /// How bad it is, unless the rule is gone.
    pub severity: Option<Severity>,
    /// Which version of it this is about.
    pub version: Version,
    /// What it comes to, in one sentence without a capital and a full stop.
    pub summary: String,
    /// What it counts and how much of that is too much, unless the rule is gone.
    pub measure: Option<Measure>,
    /// Whether it has counted the access: that is a fact, which later changes of the allow-list leave as it is.
    pub counted: bool,
    /// What speaks against counting it, as the configuration stands.
    pub objection: Option<Objection>,
    /// What each key of its condition makes of the access.
    pub demands: Vec<Demand>,
    /// The same for its steps.
    pub steps: Vec<StepRuling>,
    /// The entries of the allow-list that are about it and mean the access.
    pub allowances: Vec<AllowanceRuling>,
    /// What it knows of the combination that has to be news.
    pub first_seen: Option<News>,
    /// The group that it counted the access in.
    pub group: Option<BTreeMap<String, Option<String>>>,
    /// Whether an alert had held the access before a better record of it moved it to this group.
    pub told_before: bool,
    /// The window in which the access came closest to the threshold.
    pub window: Option<Window>,
    /// The incident that covers the access.
    pub incident: Option<IncidentSight>,
    /// The alert that holds it.
    pub alert: Option<AlertSight>,
    /// When the incident's next update is due, where that will hold the access.
    pub update_due: Option<WallTime>,
}

/// Which version of a rule a ruling is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Version {
    /// The one of the configuration, which counts.
    Active {
        /// It counts what happened from here on.
        from: EventTime,
        /// When it was activated.
        activated: Option<WallTime>,
    },
    /// The one of the configuration, which no daemon has been started with.
    Waiting,
    /// One that the configuration does not have any more.
    Former,
}

/// What a rule counts, and how much of that is too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// `sum`, `distinct secret`, `sequence`.
    pub statistic: String,
    /// A window crosses at this value.
    pub threshold: u64,
    /// Its length.
    pub window_seconds: i64,
}

/// What speaks against counting an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objection {
    /// It is the daemon's own inventory call.
    Own,
    /// Its event source is not read.
    EventSource,
    /// It happened before the rule began to count.
    TooEarly,
    /// A key of the condition demands something else.
    Condition,
    /// It is a part of no step.
    Steps,
    /// The allow-list keeps it away.
    Allowed,
    /// The rule watches an entry of the allow-list, which has kept it from no rule.
    NotAllowed,
    /// It has no value of the key that is counted.
    NoValue,
    /// It lacks a value of the combination that has to be news.
    NoCombination,
    /// Too little of the past is known to tell what is news.
    NotLearnt,
    /// Its combination was seen before.
    NotNews,
}

/// What one key of a condition makes of an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The key, as in the configuration.
    pub key: String,
    /// What it demands.
    pub wanted: String,
    /// What the access has.
    pub found: String,
    /// Whether it is met.
    pub holds: bool,
}

impl From<Verdict> for Demand {
    fn from(verdict: Verdict) -> Self {
        let Verdict { key, wanted, found, holds } = verdict;
        Self { key: key.to_owned(), wanted, found, holds }
    }
}

/// What one step of a sequence makes of an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRuling {
    /// What it counts and at which value it is taken.
    pub statistic: String,
    /// At this value it is taken.
    pub threshold: u64,
    /// What each key of its condition makes of the access.
    pub demands: Vec<Demand>,
    /// Whether the access is a part of it.
    pub part: bool,
    /// The statistic over the accesses of the window that are a part of it.
    pub value: Option<u64>,
    /// Whether the window holds it, behind the steps before it.
    pub taken: Option<bool>,
}

/// What an entry of the allow-list makes of an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceRuling {
    /// What it is called.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is right.
    pub reason: String,
    /// Until when.
    pub until: Option<EventTime>,
    /// Whether it was valid when the access happened.
    pub valid: bool,
    /// How many accesses it has kept from rules so far.
    pub used: u64,
}

/// What is known of the combination that has to be news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The combination: keys and values.
    pub combination: BTreeMap<String, Option<String>>,
    /// It is news again when it was not seen for so many seconds.
    pub memory_seconds: i64,
    /// From here on everything in the access's source is known; none while that is still being read.
    pub known_since: Option<EventTime>,
    /// From here on the rule tells what is news.
    pub learnt_from: Option<EventTime>,
    /// Times within which it was seen over and over, up to the access itself; some five at most, the last ones.
    pub seen: Vec<Span>,
    /// The one of them that makes it no news.
    pub seen_before: Option<Span>,
    /// Whether it is news.
    pub news: bool,
}

/// A window of a group that holds the access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first second and its last.
    pub span: Span,
    /// The statistic over it: for a sequence, the steps that it holds.
    pub value: u64,
    /// Whether that is enough.
    pub crosses: bool,
    /// How many accesses it holds.
    pub accesses: u64,
    /// The first of them.
    pub first: EventTime,
    /// The last of them.
    pub last: EventTime,
    /// Those around the one that was asked about, some twenty at most.
    pub listed: Vec<Listed>,
}

/// One access of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// When it happened.
    pub time: EventTime,
    /// Its event id.
    pub event_id: String,
    /// Its event.
    pub event: String,
    /// The secret's name.
    pub secret: Option<String>,
    /// Who it was.
    pub principal: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it is the one that was asked about.
    pub this: bool,
}

/// An incident, as far as it matters to one access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentSight {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: IncidentState,
    /// The incident that it goes on in.
    pub merged_into: Option<String>,
    /// When it was opened.
    pub opened: WallTime,
    /// The largest statistic of any of its windows.
    pub value: u64,
    /// How many accesses it covers.
    pub accesses: u64,
    /// The first of them.
    pub first_access: EventTime,
    /// The last of them.
    pub last_access: EventTime,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It goes on.
    Open,
    /// It is over.
    Resolved,
    /// It goes on in another.
    Merged,
}

/// An alert, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSight {
    /// Its id.
    pub id: String,
    /// Its incident's.
    pub incident: String,
    /// What it says.
    pub kind: AlertKind,
    /// The rule's name.
    pub rule: String,
    /// How grave it is.
    pub severity: Severity,
    /// When it was decided.
    pub decided: WallTime,
    /// How many accesses it holds.
    pub accesses: u64,
    /// Its summary.
    pub summary: String,
    /// The silence because of which it was sent to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<String>,
    /// Where it stands with each notifier.
    pub notifiers: Vec<Stand>,
}

/// Where an alert stands with one notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// The notifier's name.
    pub notifier: String,
    /// Where the alert stands.
    pub stand: Standing,
}

/// What became of an alert at a notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// It was accepted.
    Accepted {
        /// When.
        at: WallTime,
        /// How often it was tried.
        attempts: u32,
        /// The fallback that has accepted it in this one's place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// It is in the outbox.
    Waiting {
        /// Since when.
        since: WallTime,
        /// How often it was tried.
        attempts: u32,
        /// When it may be tried next.
        next_at: WallTime,
        /// Whether it was refused, so that it is tried again more slowly and somebody should look.
        parked: bool,
        /// What the last attempt met with.
        error: Option<String>,
        /// The alert of the same incident that has to be accepted first.
        behind: Option<String>,
    },
    /// It was given up, and is kept as a dead letter.
    Dead {
        /// When.
        at: WallTime,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt met with.
        error: Option<String>,
    },
    /// It was not sent to anybody, as somebody wished.
    Silenced {
        /// The silence's id.
        silence: String,
    },
    /// It would be sent there: nothing is, where files are explained.
    Meant,
    /// The rule does not name the notifier.
    NotNamed,
    /// The notifier hears of nothing so mild.
    TooMild {
        /// What it hears of.
        min_severity: Severity,
    },
    /// It was not queued for it, for no reason that stands in the present configuration.
    NotQueued,
    /// It was queued for it, and what became of it is not stored any more.
    Lost,
}
