//! An alert in one plain sentence: what a telephone shows, what stands in a mail's subject and first line.
//!
//! Everything in it that came from a record was chosen by whoever made the call, and that may be an attacker who knows
//! that somebody will read this: [`printable`] takes out what could hide or rearrange the rest of the line. There is no
//! translation and no configuration here.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Alert, AlertKind, Outcome, Principal};

/// Longest name that is shown in a sentence, in characters.
const NAME_MAX: usize = 100;

/// Longest summary, in characters.
const SUMMARY_MAX: usize = 400;

impl Alert {
    /// One line that says what kind of alert this is, who did what to which secret, from where, and how often. Made
    /// from the other fields alone; without a full stop.
    #[must_use]
    pub fn summarise(&self) -> String {
        let sentence = match self.kind {
            AlertKind::Opened => self.opened(),
            AlertKind::Updated => self.updated(),
            AlertKind::Resolved => self.resolved(),
            AlertKind::Test => "This is a test: secretwatch was asked to send an alert, no secret was read".to_owned(),
            AlertKind::Blind => {
                let cause = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("Blind: secretwatch cannot read the events of {}{cause}", self.source())
            }
            AlertKind::Sighted => {
                format!("No longer blind: secretwatch can read the events of {} again", self.source())
            }
        };
        printable(&sentence, SUMMARY_MAX)
    }

    fn opened(&self) -> String {
        let told = Told::of(&self.accesses);
        let sentence = match (self.accesses.len(), &told.secrets[..], told.outcome()) {
            (0, ..) => format!("Rule {} fired for {}", name(&self.rule.name), self.group_in_words()),
            (1, [secret], Some(Outcome::Success)) if told.reads => format!("Secret {secret} was read{told}"),
            (times, [secret], Some(Outcome::Success)) if told.reads => {
                format!("Secret {secret} was read {times} times{told}")
            }
            (1, ..) => told.counted(told.article(), ""),
            (n, ..) => told.counted(&n.to_string(), ""),
        };
        sentence + &self.in_all()
    }

    fn updated(&self) -> String {
        let told = Told::of(&self.accesses);
        let sentence = match self.accesses.len() {
            0 => format!("Rule {} goes on for {}", name(&self.rule.name), self.group_in_words()),
            n => told.counted(&n.to_string(), "more "),
        };
        sentence + &self.in_all()
    }

    /// The incident's total, where this alert lists fewer.
    fn in_all(&self) -> String {
        let listed = u64::try_from(self.accesses.len()).unwrap_or(u64::MAX);
        if self.accesses_total > listed { format!("; {} in all", accesses(self.accesses_total)) } else { String::new() }
    }

    fn resolved(&self) -> String {
        let what = format!("{} for {}", name(&self.rule.name), self.group_in_words());
        match (&self.merged_into, &self.reason) {
            (Some(_), _) => format!("Goes on in an older incident: {what}"),
            (None, Some(reason)) => format!("Closed ({reason}): {what}, {} in all", accesses(self.accesses_total)),
            (None, None) => format!("Over: {what}, {} in all", accesses(self.accesses_total)),
        }
    }

    /// The source that a `blind` or `sighted` alert is about: it stands in the group.
    fn source(&self) -> String {
        let label = |key: &str| self.group.get(key).and_then(Option::as_deref).map(name);
        match (label("account"), label("region")) {
            (Some(account), Some(region)) => format!("account {account} in {region}"),
            (Some(account), None) => format!("account {account}"),
            (None, Some(region)) => region,
            (None, None) => "a source".to_owned(),
        }
    }

    /// The group as a person would say it: `secret prod/db, address 203.0.113.7`.
    #[must_use]
    pub fn group_in_words(&self) -> String {
        if self.group.is_empty() {
            return "everything it watches".to_owned();
        }
        let labels = self.group.iter().map(|(key, value)| match value {
            Some(value) => format!("{} {}", group_key_words(key), name(value)),
            None => format!("no {}", group_key_words(key)),
        });
        labels.collect::<Vec<_>>().join(", ")
    }
}

/// A `group_by` key as a person would say it.
#[must_use]
pub fn group_key_words(key: &str) -> &str {
    match key {
        "source_ip" => "address",
        "user_agent" => "user agent",
        other => other,
    }
}

/// What several accesses have in common, and where they differ.
struct Told {
    /// Whether all of them are GetSecretValue, which is called a read.
    reads: bool,
    /// What one of them is called.
    noun: String,
    /// The secrets' names, each once; one name in two accounts is two secrets.
    secrets: Vec<String>,
    principals: Vec<String>,
    addresses: Vec<String>,
    count: usize,
    denied: usize,
    failed: usize,
    /// The error, where there is one access.
    error: Option<String>,
}

impl Told {
    fn of(accesses: &[Access]) -> Self {
        let events: BTreeSet<&str> = accesses.iter().map(|access| access.event.as_str()).collect();
        let reads = events.len() == 1 && events.contains("GetSecretValue");
        let noun = match events.first() {
            _ if reads => "read".to_owned(),
            Some(event) if events.len() == 1 => format!("{} call", name(event)),
            _ => "access".to_owned(),
        };
        let secrets: BTreeSet<_> = (accesses.iter().filter_map(|access| access.secret.as_ref()))
            .map(|secret| (&secret.name, &secret.account, &secret.region))
            .collect();
        let addresses: BTreeSet<_> = accesses.iter().filter_map(|access| access.source_ip.as_deref()).collect();
        let ended = |outcome| accesses.iter().filter(|access| access.outcome == outcome).count();
        Self {
            reads,
            noun,
            secrets: secrets.into_iter().map(|(text, ..)| name(text)).collect(),
            principals: principals(accesses),
            addresses: addresses.into_iter().map(name).collect(),
            count: accesses.len(),
            denied: ended(Outcome::Denied),
            failed: ended(Outcome::Failed),
            error: accesses
                .first()
                .and_then(|access| access.error.as_deref())
                .map(name)
                .filter(|_| accesses.len() == 1),
        }
    }

    /// How all of them ended, if all ended alike.
    fn outcome(&self) -> Option<Outcome> {
        match (self.denied, self.failed) {
            (0, 0) => Some(Outcome::Success),
            (denied, 0) if denied == self.count => Some(Outcome::Denied),
            (0, failed) if failed == self.count => Some(Outcome::Failed),
            _ => None,
        }
    }

    fn article(&self) -> &'static str {
        if self.noun.starts_with(['a', 'A', 'E', 'I', 'O', 'U']) { "An" } else { "A" }
    }

    /// `5 reads of 2 secrets by user alice from 3 addresses`, and how they ended unless well. `number` comes first.
    fn counted(&self, number: &str, more: &str) -> String {
        let plural = match (self.count, self.noun.as_str()) {
            (1, _) => "",
            (_, "access") => "es",
            _ => "s",
        };
        let of = match &self.secrets[..] {
            [] => String::new(),
            [secret] => format!(" of secret {secret}"),
            many => format!(" of {} secrets", many.len()),
        };
        format!("{number} {more}{}{plural}{of}{self}{}", self.noun, self.ending())
    }

    fn ending(&self) -> String {
        let was = if self.count == 1 { "was" } else { "were" };
        match (self.outcome(), &self.error) {
            (Some(Outcome::Success), _) => String::new(),
            (Some(Outcome::Denied), _) => format!(" {was} refused"),
            (Some(Outcome::Failed), Some(error)) => format!(" failed ({error})"),
            (Some(Outcome::Failed), None) => " failed".to_owned(),
            (None, _) => {
                let parts = [(self.denied, "refused"), (self.failed, "failed")];
                let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
                format!(", of which {}", parts.collect::<Vec<_>>().join(" and "))
            }
        }
    }
}

impl std::fmt::Display for Told {
    /// By whom and from where.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.principals[..] {
            [] => Ok(()),
            [principal] => write!(f, " by {principal}"),
            many => write!(f, " by {} principals", many.len()),
        }?;
        match &self.addresses[..] {
            [] => Ok(()),
            [address] => write!(f, " from {address}"),
            many => write!(f, " from {} addresses", many.len()),
        }
    }
}

/// Who made these calls, each principal once; a session is named if it is the only one.
fn principals(accesses: &[Access]) -> Vec<String> {
    let mut sessions: BTreeMap<String, (&Access, BTreeSet<Option<&str>>)> = BTreeMap::new();
    for access in accesses {
        let entry = sessions.entry(access.principal.key()).or_insert((access, BTreeSet::new()));
        entry.1.insert(access.principal.session.as_deref());
    }
    let phrases = sessions.into_values().map(|(access, sessions)| {
        let mut phrase = principal(&access.principal);
        if let (1, Some(Some(session))) = (sessions.len(), sessions.first()) {
            phrase += &format!(" (session {})", name(session));
        }
        if let Some(account) = foreign_account(access) {
            phrase += &format!(" of account {}", name(account));
        }
        phrase
    });
    phrases.collect()
}

fn principal(principal: &Principal) -> String {
    let called = principal.name.as_deref().or(principal.arn.as_deref()).map(name);
    match (principal.kind.as_str(), called) {
        ("Root", _) => "the root user".to_owned(),
        ("AssumedRole" | "Role", Some(called)) => format!("role {called}"),
        ("IAMUser", Some(called)) => format!("user {called}"),
        ("AWSService", Some(called)) => format!("AWS service {called}"),
        ("AWSAccount", _) => "somebody".to_owned(),
        (_, Some(called)) => called,
        ("", None) | ("Unknown", None) => "somebody unknown".to_owned(),
        (kind, None) => format!("somebody of type {}", name(kind)),
    }
}

/// The principal's account, where that is not the one that owns the secret: the first thing to know about it.
fn foreign_account(access: &Access) -> Option<&str> {
    let owner = access.secret.as_ref().map(|secret| secret.account.as_str()).filter(|account| !account.is_empty());
    let owner = owner.unwrap_or(&access.account);
    access.principal.account.as_deref().filter(|account| *account != owner)
}

fn accesses(count: u64) -> String {
    format!("{count} access{}", if count == 1 { "" } else { "es" })
}

/// A name as it may stand in a sentence: in quotation marks where it could be taken for several words or for none.
fn name(text: &str) -> String {
    let shown = printable(text, NAME_MAX);
    let plain = !shown.is_empty() && !shown.contains(|c: char| c.is_whitespace() || c == '"');
    if plain { shown } else { format!("\"{shown}\"") }
}

/// `text` on one line, cut to `max` characters, with a question mark for everything that is not seen or that changes
/// how its neighbours are seen: control characters, line breaks, zero-width and direction marks.
#[must_use]
pub fn printable(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().take(max).map(|c| if is_shown(c) { c } else { '?' }).collect();
    if text.chars().nth(max).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

fn is_shown(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden
}
