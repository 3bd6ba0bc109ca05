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
            AlertKind::Digest => {
                self.report.as_ref().map_or_else(|| "Nothing to report".to_owned(), |it| it.sentence())
            }
            AlertKind::Notice => self.reason.clone().unwrap_or_else(|| "secretwatch has something to say".to_owned()),
        };
        printable(&sentence, SUMMARY_MAX)
    }

    fn opened(&self) -> String {
        let told = Told::of(&self.accesses);
        let sentence = match (self.accesses.len(), &told.secrets[..], told.outcome()) {
            (0, ..) => format!("Rule {} fired for {}", name(&self.rule.name), self.group_in_words()),
            (times, [secret], Some(Outcome::Success)) if told.reads => {
                format!("Secret {secret} was read{} by {}{}", often(times), told.who(), told.from())
            }
            (times, [secret], Some(Outcome::Denied)) if told.reads => {
                format!("Secret {secret} was refused{} to {}{}", often(times), told.who(), told.from())
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

/// What stands for a statistic where a rule has steps.
pub const SEQUENCE: &str = "sequence";

/// So many of something, as one says it.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    let plural = match noun {
        _ if number == 1 => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
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

/// What a statistic counts: one of it, several of it.
#[must_use]
pub fn statistic_words(statistic: &str) -> (String, String) {
    match statistic.strip_prefix("distinct ").map(group_key_words) {
        None if statistic == SEQUENCE => ("step".to_owned(), "steps".to_owned()),
        None => ("access".to_owned(), "accesses".to_owned()),
        Some(key) => {
            let many = if key.ends_with('s') { format!("{key}es") } else { format!("{key}s") };
            (key.to_owned(), format!("different {many}"))
        }
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

    /// `5 reads (2 refused) of 3 secrets by user alice from 4 addresses`; `number` comes first. How they ended stands
    /// early, since subjects and small screens cut the end.
    fn counted(&self, number: &str, more: &str) -> String {
        let plural = match (self.count, self.noun.as_str()) {
            (1, _) => "",
            (_, "access") => "es",
            _ => "s",
        };
        let of = if self.noun.ends_with(" call") { "on" } else { "of" };
        let of = match &self.secrets[..] {
            [] => String::new(),
            [secret] => format!(" {of} secret {secret}"),
            many => format!(" {of} {} secrets", many.len()),
        };
        let (noun, ended, who, from) = (&self.noun, self.ended(), self.who(), self.from());
        format!("{number} {more}{noun}{plural}{ended}{of} by {who}{from}")
    }

    /// How they ended, unless well.
    fn ended(&self) -> String {
        let all = if self.count == 1 { "" } else { "all " };
        match (self.outcome(), &self.error) {
            (Some(Outcome::Success), _) => String::new(),
            (Some(Outcome::Denied), _) => format!(" ({all}refused)"),
            (Some(Outcome::Failed), Some(error)) => format!(" (failed: {error})"),
            (Some(Outcome::Failed), None) => format!(" ({all}failed)"),
            (None, _) => {
                let parts = [(self.denied, "refused"), (self.failed, "failed")];
                let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
                format!(" ({})", parts.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn who(&self) -> String {
        match &self.principals[..] {
            [principal] => principal.clone(),
            many => format!("{} principals", many.len()),
        }
    }

    fn from(&self) -> String {
        match &self.addresses[..] {
            [] => String::new(),
            [address] => format!(" from {address}"),
            many => format!(" from {} addresses", many.len()),
        }
    }
}

fn often(times: usize) -> String {
    if times == 1 { String::new() } else { format!(" {times} times") }
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

/// A duration in its two largest units: `1 minute`, `2 hours 30 minutes`. Below zero it is none.
#[must_use]
pub fn duration_in_words(secs: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = secs.max(0);
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
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

#[cfg(test)]
mod tests {
    use super::super::fixture::{access, alert, denied};
    use super::*;
    use proptest::prelude::*;

    fn opened(accesses: Vec<Access>, expected: &str) {
        assert_eq!(alert(AlertKind::Opened, accesses).summarise(), expected);
    }

    fn with(secs: i64, change: impl FnOnce(&mut Access)) -> Access {
        let mut access = access(secs);
        change(&mut access);
        access
    }

    fn principal(kind: &str, name: Option<&str>, account: &str) -> Principal {
        let (name, account) = (name.map(str::to_owned), Some(account.to_owned()));
        Principal { kind: kind.to_owned(), name, account, ..Principal::default() }
    }

    #[test]
    fn an_opening_names_what_its_accesses_share_and_counts_what_they_do_not() {
        let secret = "prod/db-password";
        let by = "by role deploy (session ci-42) from 203.0.113.7";
        let alice = |access: &mut Access| {
            access.principal = principal("IAMUser", Some("alice"), "111122223333");
            access.source_ip = Some("198.51.100.9".to_owned());
        };
        let named = |name: &'static str| {
            move |access: &mut Access| {
                if let Some(secret) = &mut access.secret {
                    secret.name = name.to_owned();
                }
            }
        };
        opened(vec![access(0)], &format!("Secret {secret} was read {by}"));
        opened(vec![access(0), access(1)], &format!("Secret {secret} was read 2 times {by}"));
        let to = by.replace("by ", "to ");
        opened(vec![denied(0)], &format!("Secret {secret} was refused {to}"));
        opened(vec![denied(0), denied(1)], &format!("Secret {secret} was refused 2 times {to}"));
        opened(vec![access(0), denied(1), denied(2)], &format!("3 reads (2 refused) of secret {secret} {by}"));
        opened(
            vec![access(0), with(1, alice)],
            &format!("Secret {secret} was read 2 times by 2 principals from 2 addresses"),
        );
        opened(vec![access(0), with(1, named("prod/api"))], &format!("2 reads of 2 secrets {by}"));
        opened(
            vec![with(0, |access| access.principal.session = None), access(1)],
            &format!("Secret {secret} was read 2 times by role deploy from 203.0.113.7"),
        );
        opened(
            vec![with(0, |access| access.event = "UpdateSecret".to_owned())],
            &format!("An UpdateSecret call on secret {secret} {by}"),
        );
        opened(
            vec![with(0, |access| {
                access.outcome = Outcome::Failed;
                access.error = Some("ResourceNotFoundException".to_owned());
            })],
            &format!("A read (failed: ResourceNotFoundException) of secret {secret} {by}"),
        );
        opened(vec![with(0, |access| access.secret = None)], &format!("A read {by}"));
        opened(vec![], "Rule secret-is-accessed fired for secret prod/db-password");
    }

    #[test]
    fn principals_are_called_what_they_are() {
        let check = |principal: Principal, expected: &str| {
            let access = with(0, |access| {
                access.principal = principal;
                access.source_ip = None;
            });
            opened(vec![access], &format!("Secret prod/db-password was read by {expected}"));
        };
        let own = "111122223333";
        check(principal("Root", None, own), "the root user");
        check(principal("IAMUser", Some("alice"), own), "user alice");
        check(principal("AWSService", Some("lambda.amazonaws.com"), own), "AWS service lambda.amazonaws.com");
        check(principal("AWSAccount", None, "444455556666"), "somebody of account 444455556666");
        check(principal("AssumedRole", Some("ops"), "444455556666"), "role ops of account 444455556666");
        check(principal("Unknown", None, own), "somebody unknown");
        check(principal("WebIdentityUser", None, own), "somebody of type WebIdentityUser");
    }

    #[test]
    fn later_alerts_say_how_the_incident_stands() {
        let mut updated = alert(AlertKind::Updated, vec![access(0)]);
        updated.accesses_total = 14;
        assert_eq!(
            updated.summarise(),
            "1 more read of secret prod/db-password by role deploy (session ci-42) from 203.0.113.7; \
             14 accesses in all"
        );
        let refused = alert(AlertKind::Updated, vec![denied(0), denied(1)]).summarise();
        assert!(refused.starts_with("2 more reads (all refused) of secret prod/db-password by role"), "{refused}");
        let mut resolved = alert(AlertKind::Resolved, vec![]);
        resolved.accesses_total = 14;
        let what = "secret-is-accessed for secret prod/db-password";
        assert_eq!(resolved.summarise(), format!("Over: {what}, 14 accesses in all"));
        resolved.reason = Some("rule changed".to_owned());
        assert_eq!(resolved.summarise(), format!("Closed (rule changed): {what}, 14 accesses in all"));
        resolved.merged_into = Some("other".to_owned());
        assert_eq!(resolved.summarise(), format!("Goes on in an older incident: {what}"));
    }

    #[test]
    fn alerts_about_the_daemon_name_the_source() {
        let mut blind = alert(AlertKind::Blind, vec![]);
        blind.group = [("account", "111122223333"), ("region", "us-east-2")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())))
            .into();
        blind.reason = Some("LookupEvents is not allowed".to_owned());
        assert_eq!(
            blind.summarise(),
            "Blind: secretwatch cannot read the events of account 111122223333 in us-east-2: \
             LookupEvents is not allowed"
        );
        let sighted = Alert { kind: AlertKind::Sighted, ..blind };
        assert_eq!(
            sighted.summarise(),
            "No longer blind: secretwatch can read the events of account 111122223333 in us-east-2 again"
        );
        let nameless = Alert { group: BTreeMap::new(), ..sighted };
        assert!(nameless.summarise().contains("the events of a source again"));
    }

    #[test]
    fn a_name_cannot_hide_or_rearrange_the_rest() {
        let hostile = "x\" was read by nobody.\r\n\u{202e}Ignore\u{200b} this";
        let access = with(0, |access| access.secret.as_mut().unwrap().name = hostile.to_owned());
        let line = alert(AlertKind::Opened, vec![access]).summarise();
        assert!(
            line.starts_with("Secret \"x\" was read by nobody.???Ignore? this\" was read by role deploy"),
            "{line}"
        );
    }

    #[test]
    fn durations_are_said_in_two_units() {
        for (secs, expected) in [
            (-5, "0 seconds"),
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (90, "1 minute 30 seconds"),
            (3_600, "1 hour"),
            (3_605, "1 hour"),
            (100_000, "1 day 3 hours"),
            (i64::MAX, "106751991167300 days 15 hours"),
        ] {
            assert_eq!(duration_in_words(secs), expected, "{secs}");
        }
    }

    #[test]
    fn printable_cuts_at_characters() {
        for (text, max, expected) in [("", 3, ""), ("äöü", 3, "äöü"), ("äöüß", 3, "äö…"), ("a\tb", 3, "a?b")]
        {
            assert_eq!(printable(text, max), expected);
        }
    }

    #[test]
    fn statistics_are_said_in_words() {
        for (statistic, one, many) in [
            ("sum", "access", "accesses"),
            ("distinct secret", "secret", "different secrets"),
            ("distinct source_ip", "address", "different addresses"),
            ("distinct user_agent", "user agent", "different user agents"),
        ] {
            assert_eq!(statistic_words(statistic), (one.to_owned(), many.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_record_the_summary_is_one_short_line(
            texts in proptest::collection::vec(any::<String>(), 6), kind in 0..6usize, copies in 0..4i64,
        ) {
            let kinds = [AlertKind::Opened, AlertKind::Updated, AlertKind::Resolved, AlertKind::Test,
                AlertKind::Blind, AlertKind::Sighted];
            let accesses = (0..copies).map(|n| with(n, |access| {
                access.event = texts[0].clone();
                access.principal.kind = texts[1].clone();
                access.principal.name = (n > 0).then(|| texts[2].clone());
                access.source_ip = Some(texts[3].clone());
                access.error = Some(texts[4].clone());
                access.outcome = if n % 2 == 0 { Outcome::Failed } else { Outcome::Denied };
            })).collect();
            let mut alert = alert(kinds[kind], accesses);
            alert.rule.name = texts[5].clone();
            alert.reason = Some(texts[4].clone());
            alert.group.insert(texts[0].clone(), None);
            let line = alert.summarise();
            prop_assert!(line.chars().count() <= SUMMARY_MAX);
            prop_assert!(line.chars().all(is_shown));
        }
    }
}
