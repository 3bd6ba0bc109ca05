//! Rules: which accesses count, how they are grouped, and when a group is worth an alert.
//!
//! A [`Rule`] that exists has been checked by `config`: its globs compile, its window holds at least one second and its
//! threshold is at least one. Its [`fingerprint`](Rule::fingerprint) covers the keys that affect counting and nothing
//! else, so that a change of wording never counts anything again.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Access, Outcome, Severity};

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
    /// Event names that count; none: every event.
    pub events: Vec<String>,
    /// The outcome that counts; none: any.
    pub outcome: Option<Outcome>,
    /// Globs over the secret's name or ARN; none: all, and accesses that name no secret.
    pub secrets: Globs,
    /// Globs over the principal's ARN; none: all.
    pub principals: Globs,
    /// Principals that do not count.
    pub exclude_principals: Globs,
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
        let [a, b, c, d, e, f, g, h, ..] = hash.end();
        Some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
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
    /// Whether `access` counts.
    #[must_use]
    pub fn matches(&self, access: &Access) -> bool {
        let secret = access.secret.as_ref();
        (self.events.is_empty() || self.events.contains(&access.event))
            && self.outcome.is_none_or(|outcome| outcome == access.outcome)
            && (self.secrets.is_empty()
                || secret.is_some_and(|secret| {
                    // By name or by ARN, however the caller spelt it: an ARN can be told from every spelling.
                    self.secrets.matches(&secret.name)
                        || self.secrets.matches(&secret.partial_arn())
                        || secret.requested.as_ref().is_some_and(|text| self.secrets.matches(text))
                }))
            && (self.principals.is_empty() || self.principals.matches(&access.principal.key()))
            && !self.exclude_principals.matches(&access.principal.key())
    }

    /// The group that `access` falls into.
    #[must_use]
    pub fn group(&self, access: &Access) -> Group {
        let mut hash = Fields::new("group");
        for key in &self.group_by {
            key.feed(access, &mut hash);
        }
        let labels = self.group_by.iter().map(|key| (key.word().to_owned(), key.label(access))).collect();
        let mut id = [0; 16];
        id.copy_from_slice(&hash.end()[..16]);
        Group { id: GroupId(id), labels }
    }

    /// What `access` adds to the statistic: a number for its value, or none where it has no value to count.
    #[must_use]
    pub fn value(&self, access: &Access) -> Option<u64> {
        match self.statistic {
            Statistic::Sum => Some(0),
            Statistic::Distinct(key) => key.value(access),
        }
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
        hash.list(&self.events);
        hash.maybe(self.outcome.map(Outcome::word));
        hash.list(&self.secrets.texts);
        hash.list(&self.principals.texts);
        hash.list(&self.exclude_principals.texts);
        hash.some(&self.statistic.words());
        hash.some(&self.threshold.to_string());
        hash.some(&self.window.to_string());
        // The order of the keys makes no group different.
        let mut keys: Vec<&str> = self.group_by.iter().map(|key| key.word()).collect();
        keys.sort_unstable();
        for key in keys {
            hash.some(key);
        }
        hash.end()
    }

    /// What alerts tell about it.
    #[must_use]
    pub fn card(&self) -> RuleCard {
        RuleCard {
            name: self.name.clone(),
            description: self.description.clone(),
            severity: self.severity,
            runbook: self.runbook.clone(),
            statistic: self.statistic.words(),
            threshold: self.threshold,
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
        let mut id = [0; 8];
        id.copy_from_slice(&hash.end()[..8]);
        RuleId(id)
    }
}

/// A list of globs, of which one must match. `*` also matches `/`, since secrets and roles are named like paths and
/// `prod/*` is meant to hold all of production.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// Compiles the globs; the error names the first that is none.
    pub fn new(texts: &[String]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for text in texts {
            builder.add(GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build()?);
        }
        Ok(Self { texts: texts.to_vec(), set: builder.build()? })
    }

    /// The same over secrets, where an ARN may be written as the console shows it: what is matched has lost its final
    /// `-` and six characters, since not every spelling of a secret has them.
    pub fn of_secrets(texts: &[String]) -> Result<Self, globset::Error> {
        let mut globs = Self::new(texts)?;
        let cut = texts.iter().filter_map(|text| {
            let (head, suffix) = text.rsplit_once('-')?;
            let is_suffix = suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric() || c == '?');
            (text.starts_with("arn:") && is_suffix).then(|| head.to_owned())
        });
        globs.set = Self::new(&texts.iter().cloned().chain(cut).collect::<Vec<_>>())?.set;
        Ok(globs)
    }

    /// The globs as they were written.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }
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
