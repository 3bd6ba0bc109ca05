//! What happened in a stretch of time: what `secretwatch report` shows and a digest carries.
//!
//! The serialised form is public: schema `secretwatch.report.v1`. Keys may be added, none may change its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EventTime, Outcome, Severity, WallTime, count, duration_in_words, printable};

/// The schema's name and version, in every report.
pub const REPORT: &str = "secretwatch.report.v1";

/// See the module. Times are event times unless said otherwise, and accesses of the daemon itself are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT`].
    pub schema: String,
    /// The first second that it is about.
    pub from: EventTime,
    /// The last one: when it was asked for.
    pub to: EventTime,
    /// The oldest access that is kept; what is new is judged by what is known since then.
    pub known_from: Option<EventTime>,
    /// There were more combinations than are kept apart: totals are right, lists lack the rarest and oldest.
    pub cut_short: bool,
    /// How many accesses there were.
    pub accesses: Outcomes,
    /// To how many different secrets.
    pub secrets: u64,
    /// By how many different principals.
    pub principals: u64,
    /// The same by stretches of equal length, the oldest first.
    pub over_time: Vec<Stretch>,
    /// The secrets that were accessed most.
    pub by_secret: Ranked<SecretLine>,
    /// The principals that accessed most.
    pub by_principal: Ranked<PrincipalLine>,
    /// Who has accessed what for the first time, the latest first; none where nothing is kept from before.
    pub new_pairs: Option<Ranked<PairLine>>,
    /// What was refused to whom, most often first.
    pub denied: Ranked<DeniedLine>,
    /// Incidents that went on at some time of it, the latest first.
    pub incidents: Ranked<IncidentLine>,
    /// How many alerts were decided, by kind.
    pub alerts: BTreeMap<String, u64>,
    /// How many of those a notifier has not accepted.
    pub undelivered: u64,
    /// When a source was blind, the latest first.
    pub blind: Vec<BlindLine>,
}

/// How many there were, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// All of them.
    pub all: u64,
    /// That were allowed and done.
    pub success: u64,
    /// That were refused.
    pub denied: u64,
    /// That went wrong otherwise.
    pub failed: u64,
}

/// Some hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first second.
    pub from: EventTime,
    /// How many accesses it has.
    pub accesses: Outcomes,
}

/// The first lines of a list, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked<T> {
    /// The first.
    pub shown: Vec<T>,
    /// How many more there are.
    pub omitted: u64,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretLine {
    /// Its name.
    pub secret: String,
    /// The account that owns it.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// How often it was accessed.
    pub accesses: Outcomes,
    /// By how many principals.
    pub principals: u64,
    /// When last.
    pub last: EventTime,
}

/// A principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalLine {
    /// Its ARN, a session's being its role's; or what else it is known by.
    pub principal: String,
    /// How often it accessed anything.
    pub accesses: Outcomes,
    /// How many secrets.
    pub secrets: u64,
    /// When last.
    pub last: EventTime,
}

/// A principal and a secret that it had not accessed before, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairLine {
    /// The principal.
    pub principal: String,
    /// The secret's name.
    pub secret: String,
    /// How often since.
    pub accesses: Outcomes,
    /// When first.
    pub first: EventTime,
}

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedLine {
    /// To whom.
    pub principal: String,
    /// The secret's name, where the call names one.
    pub secret: Option<String>,
    /// The call.
    pub event: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: EventTime,
    /// From where it came then.
    pub source_ip: Option<String>,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentLine {
    /// Its id.
    pub incident: String,
    /// The rule's name.
    pub rule: String,
    /// How bad, as far as an alert that is kept says.
    pub severity: Option<Severity>,
    /// The group.
    pub group: BTreeMap<String, Option<String>>,
    /// When it was opened, by our clock.
    pub opened: WallTime,
    /// Whether it still is.
    pub open: bool,
    /// Its first access.
    pub first_access: EventTime,
    /// Its last one so far.
    pub last_access: EventTime,
    /// The largest statistic of any of its windows.
    pub value: u64,
    /// How many accesses it covers.
    pub accesses: u64,
    /// What its first alert that is kept says.
    pub summary: Option<String>,
}

/// A time when a source was blind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlindLine {
    /// What the alert said: which source, and why.
    pub summary: String,
    /// When that was told, by our clock; `stale_after` had passed by then.
    pub told: WallTime,
    /// When it could be read again; none: it still cannot.
    pub until: Option<WallTime>,
    /// How long that was, within the report's time.
    pub seconds: u64,
}

impl Outcomes {
    /// Adds so many that ended so.
    pub fn add(&mut self, outcome: Outcome, number: u64) {
        self.all += number;
        *match outcome {
            Outcome::Success => &mut self.success,
            Outcome::Denied => &mut self.denied,
            Outcome::Failed => &mut self.failed,
        } += number;
    }

    /// Adds all of `other`.
    pub fn absorb(&mut self, other: Self) {
        self.all += other.all;
        self.success += other.success;
        self.denied += other.denied;
        self.failed += other.failed;
    }

    /// What is no success, in words; nothing where there is none.
    #[must_use]
    pub fn trouble(&self) -> String {
        let parts = [(self.denied, "denied"), (self.failed, "failed")];
        let parts: Vec<String> =
            parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
        parts.join(", ")
    }
}

impl<T> Ranked<T> {
    /// The first `most` of `all`.
    #[must_use]
    pub fn first(mut all: Vec<T>, most: usize) -> Self {
        let omitted = all.len().saturating_sub(most) as u64;
        all.truncate(most);
        Self { shown: all, omitted }
    }

    /// How many there are, shown or not.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shown.len() as u64 + self.omitted
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shorten(&mut self, most: usize, each: impl FnMut(&mut T)) {
        self.omitted += self.shown.len().saturating_sub(most) as u64;
        self.shown.truncate(most);
        self.shown.iter_mut().for_each(each);
    }
}

impl Report {
    /// How long it is about, in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// For how many seconds any source was blind, all sources together.
    #[must_use]
    pub fn blind_seconds(&self) -> u64 {
        self.blind.iter().map(|line| line.seconds).sum()
    }

    /// All of it in a sentence, without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { accesses, secrets, principals, incidents, .. } = self;
        let trouble = accesses.trouble();
        let trouble = if trouble.is_empty() { String::new() } else { format!(", {trouble}") };
        let incidents = match incidents.len() {
            0 => "no incident".to_owned(),
            many => count(many, "incident"),
        };
        let blind = match self.blind_seconds() {
            0 => String::new(),
            seconds => format!(", blind for {}", duration_in_words(i64::try_from(seconds).unwrap_or(i64::MAX))),
        };
        let length = duration_in_words(self.seconds());
        let (all, secrets) = (count(accesses.all, "access"), count(*secrets, "secret"));
        format!("{all} to {secrets} by {} in {length}; {incidents}{trouble}{blind}", count(*principals, "principal"))
    }

    /// The same with lists of at most `most` lines and texts of at most `longest` characters.
    #[must_use]
    pub fn shortened(mut self, most: usize, longest: usize) -> Self {
        let short = |text: &mut String| *text = printable(text, longest);
        self.by_secret.shorten(most, |line| short(&mut line.secret));
        self.by_principal.shorten(most, |line| short(&mut line.principal));
        if let Some(pairs) = &mut self.new_pairs {
            pairs.shorten(most, |line| {
                short(&mut line.secret);
                short(&mut line.principal);
            });
        }
        self.denied.shorten(most, |line| {
            short(&mut line.principal);
            short(&mut line.event);
            line.secret.iter_mut().chain(&mut line.source_ip).for_each(short);
        });
        self.incidents.shorten(most, |line| {
            short(&mut line.rule);
            line.group.values_mut().flatten().chain(&mut line.summary).for_each(short);
        });
        self.blind.truncate(most);
        self.blind.iter_mut().for_each(|line| short(&mut line.summary));
        self
    }
}
