//! Rules: which accesses count, how they are grouped, and when a group is worth an alert.
//!
//! A [`Rule`] that exists has been checked by `config`: its globs compile, its window holds at least one second and its
//! threshold is at least one. Its [`fingerprint`](Rule::fingerprint) covers the keys that affect counting and nothing
//! else, so that a change of wording never counts anything again.
//!
//! What an access adds to a window is its [`Share`]. For a rule with [`steps`](Rule::steps) that is which of them it is
//! a part of; a rule with [`first_seen`](Rule::first_seen) counts only while a combination is news, which takes a memory
//! that is not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::condition::Condition;
use crate::model::{Access, SEQUENCE, Severity};

/// One rule of the configuration.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique among the rules.
    pub name: String,
    /// What it is about, for people.
    pub description: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// Names of the notifiers that get its alerts.
    pub notify: Vec<String>,
    /// Which accesses count.
    pub condition: Condition,
    /// What has to happen one after the other within the window; none: the statistic alone decides.
    pub steps: Vec<Step>,
    /// Only combinations count that are news; none: all.
    pub first_seen: Option<FirstSeen>,
    /// What is counted.
    pub statistic: Statistic,
    /// The window crosses at this value.
    pub threshold: u64,
    /// Seconds of event time in a window; at least 1.
    pub window: i64,
    /// Crossing windows whose ends are at most `window + hold` seconds apart belong to one incident.
    pub hold: i64,
    /// Seconds between two reports of new accesses while an incident is open.
    pub update_every: i64,
    /// What tells one group from another; none: one group for all.
    pub group_by: Vec<GroupKey>,
}

/// One step of a sequence: it is taken once the statistic over the accesses that meet its condition reaches the
/// threshold, counted from the end of the step before.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which accesses are part of it, besides what the rule itself demands.
    pub condition: Condition,
    /// What is counted. All steps of a rule that count distinct values count those of the same key.
    pub statistic: Statistic,
    /// The step is taken at this value.
    pub threshold: u64,
}

/// Steps that a rule may have.
pub const MAX_STEPS: usize = 8;

/// What makes a combination of values news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstSeen {
    /// Which values make the combination.
    pub of: Vec<GroupKey>,
    /// A combination not seen for this long is news again, in seconds.
    pub memory: i64,
    /// Nothing is news before this much of the past is known, in seconds.
    pub learn: i64,
    /// How far back the Event history is read in order to know it, in seconds.
    pub seed: i64,
}

/// What one access adds to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// A number for its value in a distinct count; the same for all in a sum.
    pub value: u64,
    /// The steps that it is a part of, a bit each; none of them unless the rule has any.
    pub steps: u8,
}

/// What alerts tell about a rule, as plain data: it is stored, since the last alert of an incident may be due after the
/// rule has gone from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCard {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `severity`.
    pub severity: Severity,
    /// `runbook`.
    pub runbook: Option<String>,
    /// The statistic's name.
    pub statistic: String,
    /// `threshold`.
    pub threshold: u64,
    /// `window`, in seconds.
    pub window: i64,
    /// Names of the notifiers.
    pub notify: Vec<String>,
}

/// What a rule counts in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Accesses.
    Sum,
    /// Distinct values of a key; accesses without a value do not count.
    Distinct(GroupKey),
}

impl Statistic {
    /// The key whose values are counted.
    fn key(self) -> Option<GroupKey> {
        match self {
            Self::Sum => None,
            Self::Distinct(key) => Some(key),
        }
    }

    /// Its name in alerts: `sum`, `distinct secret`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Sum => "sum".to_owned(),
            Self::Distinct(key) => format!("distinct {}", key.word()),
        }
    }
}

/// What accesses can be grouped by, and distinct values of what can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey {
    /// The account in whose trail the record stands.
    Account,
    /// The Region.
    Region,
    /// The secret: owning account, Region and name; shown as the name.
    Secret,
    /// The principal: the role of a session.
    Principal,
    /// The role and its session.
    Session,
    /// The address.
    SourceIp,
    /// The user agent.
    UserAgent,
    /// The event's name.
    Event,
    /// The outcome.
    Outcome,
}

impl GroupKey {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::Region,
        Self::Secret,
        Self::Principal,
        Self::Session,
        Self::SourceIp,
        Self::UserAgent,
        Self::Event,
        Self::Outcome,
    ];

    /// The word for it, as in `group_by` and in an alert's `group`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Region => "region",
            Self::Secret => "secret",
            Self::Principal => "principal",
            Self::Session => "session",
            Self::SourceIp => "source_ip",
            Self::UserAgent => "user_agent",
            Self::Event => "event",
            Self::Outcome => "outcome",
        }
    }

    /// The key that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.word() == word)
    }

    /// The value that is shown to people.
    fn label(self, access: &Access) -> Option<String> {
        match self {
            Self::Account => Some(access.account.clone()),
            Self::Region => Some(access.region.clone()),
            Self::Secret => access.secret.as_ref().map(|secret| secret.name.clone()),
            Self::Principal => Some(access.principal.key()),
            Self::Session => access.principal.session.as_ref().map(|name| format!("{}/{name}", access.principal.key())),
            Self::SourceIp => access.source_ip.clone(),
            Self::UserAgent => access.user_agent.clone(),
            Self::Event => Some(access.event.clone()),
            Self::Outcome => Some(access.outcome.word().to_owned()),
        }
    }

    /// Feeds what identifies the value, which for a secret is more than what is shown.
    fn feed(self, access: &Access, hash: &mut Fields) {
        match (self, &access.secret) {
            (Self::Secret, Some(secret)) => {
                hash.some(&secret.account);
                hash.some(&secret.region);
                hash.some(&secret.name);
            }
            _ => hash.maybe(self.label(access).as_deref()),
        }
    }

    /// A number that stands for the value in distinct counts.
    fn value(self, access: &Access) -> Option<u64> {
        self.label(access)?;
        let mut hash = Fields::new("value");
        self.feed(access, &mut hash);
        Some(u64::from_be_bytes(front(hash)))
    }
}

/// One combination of a rule's `group_by` values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What tells it from every other group of the same rule.
    pub id: GroupId,
    /// What is shown: key to value.
    pub labels: BTreeMap<String, Option<String>>,
}

/// The hash of a group's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub [u8; 16]);

/// A rule in one of its versions: the hash of its name and its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId(pub [u8; 8]);

impl Rule {
    /// Whether `access` counts, as far as it alone can tell.
    #[must_use]
    pub fn matches(&self, access: &Access) -> bool {
        self.condition.matches(access)
            && (self.steps.is_empty() || self.steps.iter().any(|step| step.condition.matches(access)))
    }

    /// Whether it has to look at records themselves.
    #[must_use]
    pub fn reads_records(&self) -> bool {
        self.condition.reads_records() || self.steps.iter().any(|step| step.condition.reads_records())
    }

    /// The group that `access` falls into.
    #[must_use]
    pub fn group(&self, access: &Access) -> Group {
        let mut hash = Fields::new("group");
        for key in &self.group_by {
            key.feed(access, &mut hash);
        }
        let labels = self.group_by.iter().map(|key| (key.word().to_owned(), key.label(access))).collect();
        Group { id: GroupId(front(hash)), labels }
    }

    /// What `access`, which matches, adds to a window; none where it has no value to count.
    #[must_use]
    pub fn share(&self, access: &Access) -> Option<Share> {
        if self.steps.is_empty() {
            let value = self.statistic.key().map_or(Some(0), |key| key.value(access))?;
            return Some(Share { value, steps: 0 });
        }
        let counted = self.steps.iter().find_map(|step| step.statistic.key());
        let value = counted.and_then(|key| key.value(access));
        let is_part =
            |step: &Step| step.condition.matches(access) && (step.statistic == Statistic::Sum || value.is_some());
        let parts = self.steps.iter().enumerate().filter(|(_, step)| is_part(step));
        let steps = parts.fold(0, |steps, (place, _)| steps | 1_u8.checked_shl(place as u32).unwrap_or(0));
        (steps != 0).then_some(Share { value: value.unwrap_or(0), steps })
    }

    /// The value that the statistic over a window must reach: for a sequence, the number of its steps.
    #[must_use]
    pub fn goal(&self) -> u64 {
        if self.steps.is_empty() { self.threshold } else { self.steps.len() as u64 }
    }

    /// Two crossing window ends this far apart still belong to one incident, in seconds.
    #[must_use]
    pub fn reach(&self) -> i64 {
        self.window.saturating_add(self.hold)
    }

    /// A hash of all keys that affect counting. Texts, severity, `notify`, `update_every` and `hold` are outside: they
    /// change how accesses are told, never which.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Fields::new("rule");
        self.condition.feed(&mut hash);
        hash.some(&self.statistic.words());
        hash.some(&self.threshold.to_string());
        hash.some(&self.window.to_string());
        // The order of the keys makes no group different.
        let mut keys: Vec<&str> = self.group_by.iter().map(|key| key.word()).collect();
        keys.sort_unstable();
        for key in keys {
            hash.some(key);
        }
        for step in &self.steps {
            hash.some("step");
            step.condition.feed(&mut hash);
            hash.some(&step.statistic.words());
            hash.some(&step.threshold.to_string());
        }
        if let Some(first_seen) = &self.first_seen {
            hash.some("first_seen");
            first_seen.feed(&mut hash);
            hash.some(&first_seen.learn.to_string());
        }
        hash.end()
    }

    /// The id of what a rule with `first_seen` has to remember: rules that remember the same share a memory, and one
    /// whose other keys change keeps its own.
    #[must_use]
    pub fn memory(&self) -> Option<MemoryId> {
        let first_seen = self.first_seen.as_ref()?;
        let mut hash = Fields::new("memory");
        self.condition.feed(&mut hash);
        first_seen.feed(&mut hash);
        hash.some(&self.window.to_string());
        Some(MemoryId(front(hash)))
    }

    /// What alerts tell about it.
    #[must_use]
    pub fn card(&self) -> RuleCard {
        RuleCard {
            name: self.name.clone(),
            description: self.description.clone(),
            severity: self.severity,
            runbook: self.runbook.clone(),
            statistic: if self.steps.is_empty() { self.statistic.words() } else { SEQUENCE.to_owned() },
            threshold: self.goal(),
            window: self.window,
            notify: self.notify.clone(),
        }
    }

    /// The id under which this version of the rule counts.
    #[must_use]
    pub fn id(&self) -> RuleId {
        let mut hash = Fields::new("rule version");
        hash.some(&self.name);
        hash.some(&hex::encode(self.fingerprint()));
        RuleId(front(hash))
    }
}

impl FirstSeen {
    /// The combination that `access` has, as a hash; none where it lacks one of the values.
    #[must_use]
    pub fn combination(&self, access: &Access) -> Option<[u8; 16]> {
        let mut hash = Fields::new("combination");
        for key in &self.of {
            key.label(access)?;
            key.feed(access, &mut hash);
        }
        Some(front(hash))
    }

    /// The combination as it is shown: key to value.
    #[must_use]
    pub fn labels(&self, access: &Access) -> BTreeMap<String, Option<String>> {
        self.of.iter().map(|key| (key.word().to_owned(), key.label(access))).collect()
    }

    fn feed(&self, hash: &mut Fields) {
        let mut keys: Vec<&str> = self.of.iter().map(|key| key.word()).collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|key| hash.some(key));
        hash.some(&self.memory.to_string());
    }
}

/// The hash of what a memory holds: which accesses, of which values, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryId(pub [u8; 8]);

/// As many bytes of a hash as an id has, 32 at most.
pub(super) fn front<const N: usize>(hash: Fields) -> [u8; N] {
    let mut front = [0; N];
    front.iter_mut().zip(hash.end()).for_each(|(to, from)| *to = from);
    front
}

/// SHA-256 over a list of texts such that no two different lists give the same input.
#[derive(Clone)]
pub(crate) struct Fields(Sha256);

impl Fields {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.some(purpose);
        fields
    }

    pub(crate) fn some(&mut self, text: &str) {
        self.0.update([1]);
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    pub(crate) fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.some(text),
            None => self.0.update([0]),
        }
    }

    /// A list whose order does not matter.
    pub(crate) fn list(&mut self, texts: &[String]) {
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort_unstable();
        self.0.update([2]);
        self.0.update((sorted.len() as u64).to_be_bytes());
        for text in sorted {
            self.some(text);
        }
    }

    pub(crate) fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
