//! An alert as a mail for somebody who was asleep: what happened, who it was, which secret, from where and when, why
//! this made an alert, what to do, and the ids last.
//!
//! Pure. Lists are shown as counts and a few lines, so a mail's length does not grow with the incident; whoever wants
//! everything has the alert's id. Everything that comes from a record goes through [`printable`], and a command is
//! offered for copying only if every word of it is harmless to a shell: a caller chooses the names that stand in it.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{Page, VALUE_MAX};
use crate::model::{
    Access, Alert, AlertKind, EventTime, Outcome, duration_in_words, group_key_words, printable, statistic_words,
};

/// Up to how many accesses are all shown.
const LISTED_MAX: usize = 10;

/// How many are shown at each end of a longer list.
const ENDS: usize = 5;

/// How many different values are shown with their counts.
const TOP: usize = 5;

/// Secrets named at most: each of them may have to be rotated.
const SECRETS_MAX: usize = 30;

/// SNS takes fewer than 100 characters.
const SUBJECT_MAX: usize = 99;

/// The subject of a mail: severity and summary, in printable ASCII, on one line, shorter than 100 characters.
#[must_use]
pub fn subject(alert: &Alert) -> String {
    let label = match alert.kind {
        AlertKind::Test => "test",
        _ => alert.rule.severity.word(),
    };
    let whole = format!("[{label}] {}", summary(alert)).replace('…', "...");
    let ascii: String = whole.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    match ascii.get(..SUBJECT_MAX) {
        Some(fits) if ascii.len() > SUBJECT_MAX => format!("{}...", &fits[..SUBJECT_MAX - 3]),
        _ => ascii,
    }
}

/// The body of a mail.
#[must_use]
pub fn text(alert: &Alert) -> String {
    let mut page = Page::default();
    page.paragraph(&format!("{}.", summary(alert)));
    page.gap();
    match alert.kind {
        AlertKind::Opened | AlertKind::Updated => {
            match &alert.accesses[..] {
                [] => {}
                [access] => one(&mut page, access),
                many => several(&mut page, many),
            }
            extent(&mut page, alert);
            why(&mut page, alert);
            advice(&mut page, alert);
        }
        AlertKind::Resolved => resolved(&mut page, alert),
        AlertKind::Test => {
            page.paragraph("Alerts reach you this way. There is nothing to do.");
        }
        AlertKind::Blind => blind(&mut page, alert),
        AlertKind::Sighted => {
            page.paragraph("What happened there in the meantime is read now; alerts about it may follow, late.");
        }
        AlertKind::Notice => {
            page.paragraph("What to do:");
            page.indented(alert.advice.as_deref().unwrap_or("Look at the configuration."));
        }
    }
    ids(&mut page, alert);
    page.into_text()
}

/// The composed summary; an alert that comes without gets one here.
fn summary(alert: &Alert) -> String {
    if alert.summary.is_empty() { alert.summarise() } else { printable(&alert.summary, VALUE_MAX) }
}

fn one(page: &mut Page, access: &Access) {
    if let Some(secret) = &access.secret {
        page.field("Secret", &secret.name);
        page.maybe("", secret.arn.as_deref().or(secret.requested.as_deref()).filter(|text| *text != secret.name));
    }
    page.field("Who", &access.principal.key());
    let detail = [("session", &access.principal.session), ("access key", &access.access_key_id)];
    let detail = detail.iter().filter_map(|(what, value)| value.as_ref().map(|value| format!("{what} {value}")));
    let detail = detail.chain(access.console.then(|| "signed in to the console".to_owned()));
    let detail = detail.chain(match access.mfa {
        Some(true) => Some("with a second factor".to_owned()),
        Some(false) => Some("without a second factor".to_owned()),
        None => None,
    });
    page.field("", &detail.collect::<Vec<_>>().join(", "));
    page.maybe("For", access.invoked_by.as_deref());
    page.maybe("From", access.source_ip.as_deref());
    page.maybe("", access.vpc_endpoint.as_ref().map(|id| format!("VPC endpoint {id}")).as_deref());
    page.maybe("Using", access.user_agent.as_deref());
    page.field("When", &format!("{}, seen {} later", moment(access.time), duration_in_words(lateness(access))));
    page.field("Where", &format!("account {}, {}", access.account, access.region));
    page.field("Call", &format!("{}, {}", access.event, ended(access)));
    if let Some(message) = &access.error_message {
        page.field("", message);
    }
}

/// Seconds between an access and our seeing it.
fn lateness(access: &Access) -> i64 {
    i64::try_from(access.seen.since(access.time.wall()).as_secs()).unwrap_or(i64::MAX)
}

/// How the call ended, plainly.
fn ended(access: &Access) -> String {
    let code = access.error.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match access.outcome {
        Outcome::Success => "which succeeded".to_owned(),
        Outcome::Denied => format!("which was refused{code}"),
        Outcome::Failed => format!("which failed{code}"),
    }
}

fn several(page: &mut Page, accesses: &[Access]) {
    page.counts("Secrets", SECRETS_MAX, accesses, |access| access.secret.as_ref().map(|secret| secret.name.clone()));
    page.counts("Who", TOP, accesses, |access| Some(access.principal.key()));
    page.counts("Keys", TOP, accesses, |access| access.access_key_id.clone());
    page.counts("From", TOP, accesses, |access| access.source_ip.clone());
    page.counts("Using", TOP, accesses, |access| access.user_agent.clone());
    page.counts("Calls", TOP, accesses, |access| Some(format!("{}, {}", access.event, ended(access))));
    page.counts("Where", TOP, accesses, |access| Some(format!("account {}, {}", access.account, access.region)));
    page.gap();
    if accesses.len() <= LISTED_MAX {
        page.paragraph("The accesses (UTC):");
        accesses.iter().for_each(|access| page.access(access));
    } else {
        page.paragraph("The oldest and the newest (UTC):");
        accesses[..ENDS].iter().for_each(|access| page.access(access));
        page.indented(&format!("… {} between them …", accesses.len() - 2 * ENDS));
        accesses[accesses.len() - ENDS..].iter().for_each(|access| page.access(access));
    }
    page.gap();
}

/// How long the incident is and how many accesses it has, where that is more than what was shown.
fn extent(page: &mut Page, alert: &Alert) {
    let listed = u64::try_from(alert.accesses.len()).unwrap_or(u64::MAX);
    if listed == 1 && alert.accesses_total <= 1 {
        return;
    }
    if let (Some(first), Some(last)) = (alert.first_access, alert.last_access) {
        page.field("First", &moment(first));
        page.field("Last", &format!("{}, {} later", moment(last), duration_in_words(last.0.saturating_sub(first.0))));
    }
    let follow = match alert.accesses_omitted {
        0 => String::new(),
        n => format!("; {n} follow at once in further messages"),
    };
    let here = if listed == 0 { String::new() } else { format!("{listed} in this message, ") };
    page.field("How often", &format!("{here}{} in all{follow}", alert.accesses_total));
}

fn why(page: &mut Page, alert: &Alert) {
    page.gap();
    page.paragraph("Why this is an alert:");
    rule(page, alert);
    let (one, many) = statistic_words(&alert.statistic);
    let unit = if alert.threshold == 1 { one } else { many };
    let keys: Vec<&str> = alert.group.keys().map(|key| group_key_words(key)).collect();
    let each = if keys.is_empty() { String::new() } else { format!(" for one {}", keys.join(" and ")) };
    page.indented(&format!(
        "It fires at {} {unit} in {}{each}; the most so far was {}.",
        alert.threshold,
        duration_in_words(alert.window_seconds),
        alert.value
    ));
}

fn rule(page: &mut Page, alert: &Alert) {
    let says = match &alert.rule.description {
        Some(description) => format!(": {}", description.trim_end_matches('.')),
        None => String::new(),
    };
    page.indented(&format!("Rule {}, severity {}{says}.", alert.rule.name, alert.rule.severity.word()));
}

/// What to do: the operator's own words, else what one looks at first.
fn advice(page: &mut Page, alert: &Alert) {
    page.gap();
    page.paragraph("What to do:");
    if let Some(runbook) = &alert.runbook {
        page.indented(&format!("Follow {runbook}"));
        return;
    }
    let Some(access) = most_telling(&alert.accesses) else {
        page.indented("Look at the earlier messages of this incident.");
        return;
    };
    page.step("1. Is this expected? Ask whoever is responsible for the principal above", None);
    page.step("2. See what else it did, in CloudTrail", look_up(access));
    if alert.accesses.iter().any(|access| access.outcome == Outcome::Success) {
        let secrets: BTreeSet<_> =
            alert.accesses.iter().filter_map(|it| it.secret.as_ref().map(|it| &it.name)).collect();
        match secrets.len() {
            0 | 1 => page.step("3. If it is not: take its credentials away and rotate the secret", rotate(access)),
            _ => page.step(
                "3. If it is not: take its credentials away and rotate all of these secrets, as in",
                rotate(access),
            ),
        }
    } else {
        page.step("3. If it is not: take its credentials away; no secret was given out here", None);
    }
}

/// The newest access with the key that was used most: where a thief's reads are mixed with the ordinary ones of the role
/// that was stolen, that is the thief's.
fn most_telling(accesses: &[Access]) -> Option<&Access> {
    let uses = |access: &Access| accesses.iter().filter(|other| other.access_key_id == access.access_key_id).count();
    accesses.iter().max_by_key(|access| (uses(access), access.time))
}

/// The access's key shows one session; the session's name, under which events are filed, is the next best.
fn look_up(access: &Access) -> Option<[String; 3]> {
    let (key, value) = match (&access.access_key_id, &access.principal.session, &access.principal.name) {
        (Some(id), ..) => ("AccessKeyId", id),
        (None, Some(name), _) | (None, None, Some(name)) => ("Username", name),
        (None, None, None) => ("EventId", &access.event_id),
    };
    let attribute = format!("--lookup-attributes AttributeKey={key},AttributeValue={value}");
    let command = ["aws cloudtrail lookup-events".to_owned(), format!("--region {}", access.region), attribute];
    (is_harmless(value) && is_harmless(&access.region)).then_some(command)
}

fn rotate(access: &Access) -> Option<[String; 3]> {
    let secret = access.secret.as_ref()?;
    let region = if secret.region.is_empty() { &access.region } else { &secret.region };
    let id = secret.arn.as_ref().unwrap_or(&secret.name);
    let command =
        ["aws secretsmanager rotate-secret".to_owned(), format!("--region {region}"), format!("--secret-id {id}")];
    (is_harmless(id) && is_harmless(region)).then_some(command)
}

/// Whether `value` is one word to any shell and neither an option nor a file name to the AWS CLI, which reads what
/// follows `file://`.
fn is_harmless(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+=.@:-".contains(c);
    (1..=VALUE_MAX).contains(&value.len())
        && value.chars().all(plain)
        && !value.starts_with(['-', '='])
        && !value.contains("://")
}

fn resolved(page: &mut Page, alert: &Alert) {
    match (&alert.merged_into, &alert.reason) {
        (Some(incident), _) => {
            page.paragraph(
                "An access that became visible late showed that this incident and an older one are the same. \
                 It goes on under the older one's id:",
            );
            page.field("Goes on as", incident);
        }
        (None, Some(_)) => page.paragraph("Accesses from now on are counted anew."),
        (None, None) => page.paragraph(
            "There were no more accesses for a while. This does not mean that they were \
                 harmless.",
        ),
    }
    page.gap();
    page.field("Group", &alert.group_in_words());
    extent(page, alert);
    page.gap();
    rule(page, alert);
    if let Some(runbook) = &alert.runbook {
        page.indented(&format!("What to do: {runbook}"));
    }
}

fn blind(page: &mut Page, alert: &Alert) {
    page.paragraph(
        "Until this ends, reads of secrets there make no alert. Nothing is lost yet: CloudTrail keeps events for 90 \
         days, and what was missed is read afterwards, back to what `retention` allows.",
    );
    page.gap();
    page.paragraph("What to do:");
    if let Some(runbook) = &alert.runbook {
        page.indented(&format!("Follow {runbook}"));
        return;
    }
    let log = match &alert.advice {
        Some(advice) => {
            page.indented(advice);
            "Its log says more."
        }
        None => "Its log says what is missing.",
    };
    page.indented(&format!("{log} Where it runs as a service:"));
    page.command(std::iter::once("journalctl -u secretwatch"));
}

fn ids(page: &mut Page, alert: &Alert) {
    page.gap();
    page.field("Alert", &alert.id);
    page.field("Incident", &alert.incident);
    if let [access] = &alert.accesses[..] {
        page.field("Event", &access.event_id);
    }
    page.field("Decided", &moment(alert.decided.second()));
}

/// `2026-05-27 18:45:54 UTC`.
fn moment(at: EventTime) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}

/// What mails are made of, besides.
impl Page {
    fn indented(&mut self, words: &str) {
        self.wrapped("  ", 2, words);
    }

    fn maybe(&mut self, label: &str, value: Option<&str>) {
        self.field(label, value.unwrap_or_default());
    }

    /// The most frequent values with their counts, or the only one without. Nothing if no access has one.
    fn counts(&mut self, label: &str, most: usize, accesses: &[Access], value: impl Fn(&Access) -> Option<String>) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for value in accesses.iter().filter_map(value) {
            *counts.entry(value).or_default() += 1;
        }
        if let (1, Some((value, _))) = (counts.len(), counts.first_key_value()) {
            return self.field(label, value);
        }
        let mut ranked: Vec<_> = counts.into_iter().collect();
        // Stable, so equal counts stay in the order of their names.
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (place, (value, count)) in ranked.iter().take(most).enumerate() {
            self.field(if place == 0 { label } else { "" }, &format!("{count} × {value}"));
        }
        if ranked.len() > most {
            self.field("", &format!("and {} more", ranked.len() - most));
        }
    }

    /// One line about one access: when, what, which, who.
    fn access(&mut self, access: &Access) {
        let what = access.secret.as_ref().map_or(access.event.as_str(), |secret| secret.name.as_str());
        let who = access.principal.name.as_deref().unwrap_or(&access.principal.kind);
        let how = match access.outcome {
            Outcome::Success => "",
            Outcome::Denied => ", refused",
            Outcome::Failed => ", failed",
        };
        let from = access.source_ip.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        self.indented(&format!("{}  {what} by {who}{from}{how}", moment(access.time).trim_end_matches(" UTC")));
    }

    /// Something to do, and the command for it, if there is one that can be copied without a second look.
    fn step(&mut self, words: &str, command: Option<[String; 3]>) {
        let end = if command.is_some() { ':' } else { '.' };
        self.wrapped("  ", 5, &format!("{words}{end}"));
        if let Some(parts) = command {
            self.command(parts.iter().map(String::as_str));
        }
    }

    /// A command, in parts that stay on one line each.
    fn command<'a>(&mut self, parts: impl Iterator<Item = &'a str>) {
        self.wrapped_with("     ", 7, " \\", parts);
    }
}

#[cfg(test)]
mod tests;
