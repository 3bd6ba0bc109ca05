//! Writes alerts: which accesses go into which message, and under which id.
//!
//! Lists are split here, before anything is committed, and alike for all notifiers, so that every receiver sees the
//! same alerts under the same ids.

use super::RuleCard;
use super::allow::Allowance;
use super::incident::{Incident, State};
use super::rule::Fields;
use super::trouble::Trouble;
use crate::model::{Access, Alert, AlertKind, AlertRule, EventTime, MAX_ACCESSES, MAX_BYTES, Report, SCHEMA, WallTime};

/// Room for what is added to an alert after its accesses have been measured: the summary and grown numbers.
const SLACK: usize = 2_048;

/// The alerts of `kind` that tell of `accesses`, which are sorted, which no earlier alert held, and which the incident's
/// `pending` counts no more. If one message cannot hold them all, `updated` alerts follow. `sequence` and `last_alert`
/// move on. It says nothing about nothing.
#[must_use]
pub fn compose(
    rule: &RuleCard,
    incident: &mut Incident,
    kind: AlertKind,
    accesses: Vec<Access>,
    now: WallTime,
) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut left = accesses.len() as u64;
    let mut kind = kind;
    for held in split(blank(rule, incident, kind, now), accesses) {
        left -= held.len() as u64;
        let mut alert = blank(rule, incident, kind, now);
        // What is pending beyond these follows at once, too.
        alert.accesses_omitted = left + incident.pending;
        alert.accesses = held;
        alert.id = alert_id(&alert, incident.sequence);
        alert.summary = alert.summarise();
        alerts.push(alert);
        incident.sequence += 1;
        incident.last_alert = now;
        kind = AlertKind::Updated;
    }
    alerts
}

/// The `resolved` alert of `incident`; `reason` where it is not simply over.
#[must_use]
pub fn resolved(rule: &RuleCard, incident: &mut Incident, reason: Option<&str>, now: WallTime) -> Alert {
    let mut alert = blank(rule, incident, AlertKind::Resolved, now);
    alert.reason = reason.map(str::to_owned);
    alert.id = alert_id(&alert, incident.sequence);
    alert.summary = alert.summarise();
    incident.sequence += 1;
    incident.last_alert = now;
    alert
}

/// The idempotency key: a hash of kind, rule, incident, sequence and the ids of the events held.
#[must_use]
pub fn alert_id(alert: &Alert, sequence: u64) -> String {
    let mut hash = Fields::new("alert");
    hash.some(alert.kind.word());
    hash.some(&alert.rule.name);
    hash.some(&alert.incident);
    hash.some(&sequence.to_string());
    for access in &alert.accesses {
        hash.some(&access.event_id);
    }
    hex::encode(&hash.end()[..16])
}

fn blank(rule: &RuleCard, incident: &Incident, kind: AlertKind, now: WallTime) -> Alert {
    Alert {
        schema: SCHEMA.to_owned(),
        id: String::new(),
        incident: incident.id.0.clone(),
        kind,
        rule: AlertRule { name: rule.name.clone(), description: rule.description.clone(), severity: rule.severity },
        group: incident.group.labels.clone(),
        statistic: rule.statistic.clone(),
        value: incident.value,
        threshold: rule.threshold,
        window_seconds: rule.window,
        first_access: Some(incident.first_access),
        last_access: Some(incident.last_access),
        accesses: Vec::new(),
        accesses_total: incident.accesses,
        accesses_omitted: 0,
        merged_into: match &incident.state {
            State::Merged(into) => Some(into.0.clone()),
            State::Open | State::Resolved => None,
        },
        reason: None,
        trouble: None,
        advice: None,
        report: None,
        runbook: rule.runbook.clone(),
        decided: now,
        summary: String::new(),
    }
}

/// Cuts `accesses` into lists that fit one alert each. A list holds at least one, whatever its size: records are cut to
/// a sane length where they are read.
fn split(blank: Alert, accesses: Vec<Access>) -> Vec<Vec<Access>> {
    let room = MAX_BYTES.saturating_sub(json_len(&blank) + SLACK);
    let mut parts: Vec<Vec<Access>> = Vec::new();
    let mut used = usize::MAX;
    for access in accesses {
        let len = json_len(&access) + 1;
        match parts.last_mut() {
            Some(part) if part.len() < MAX_ACCESSES && used + len <= room => {
                part.push(access);
                used += len;
            }
            _ => {
                parts.push(vec![access]);
                used = len;
            }
        }
    }
    parts
}

fn json_len<T: serde::Serialize>(value: &T) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        // Plain data always serialises; should that ever change, such a value gets a message of its own.
        Err(_) => MAX_BYTES,
    }
}

/// Counts bytes instead of keeping them.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The name under which alerts about the daemon itself go.
pub const DAEMON_RULE: &str = "secretwatch";

/// An alert about a source that cannot be read through ([`AlertKind::Blind`]) or can again ([`AlertKind::Sighted`]).
/// `value` is the number of seconds for which it could not, `threshold` the number allowed; `trouble` is why.
#[must_use]
pub fn about_source(
    kind: AlertKind,
    episode: &str,
    labels: &[(&str, &str)],
    (value, threshold): (u64, u64),
    trouble: Option<&Trouble>,
    now: WallTime,
) -> Alert {
    let mut alert = Alert {
        schema: SCHEMA.to_owned(),
        id: String::new(),
        incident: episode.to_owned(),
        kind,
        rule: AlertRule {
            name: DAEMON_RULE.to_owned(),
            description: Some("secretwatch cannot see everything that it should".to_owned()),
            severity: crate::model::Severity::High,
        },
        group: labels.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect(),
        statistic: "seconds not read through".to_owned(),
        value,
        threshold,
        window_seconds: 0,
        first_access: None,
        last_access: None,
        accesses: Vec::new(),
        accesses_total: 0,
        accesses_omitted: 0,
        merged_into: None,
        reason: trouble.map(Trouble::to_string),
        trouble: trouble.map(|trouble| trouble.word().to_owned()),
        advice: trouble.and_then(Trouble::advice),
        report: None,
        runbook: None,
        decided: now,
        summary: String::new(),
    };
    alert.id = alert_id(&alert, 0);
    alert.summary = alert.summarise();
    alert
}

/// What is wrong with an entry of the allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// It has run out.
    Over,
    /// Nothing has used it for long.
    Unused,
}

/// An alert about an entry of the allow-list that somebody should look at.
#[must_use]
pub fn about_allowance(allowance: &Allowance, lapse: Lapse, last_used: Option<EventTime>, now: WallTime) -> Alert {
    let used = last_used.map_or("never used".to_owned(), |at| format!("last used at {at}"));
    let Allowance { name, owner, .. } = allowance;
    let (what, advice) = match lapse {
        Lapse::Over => (
            format!("The entry {name:?} of the allow-list, owned by {owner}, has run out ({used})"),
            "What it allowed counts again. Ask its owner whether it is still right: give it a new date, or remove it.",
        ),
        Lapse::Unused => (
            format!("The entry {name:?} of the allow-list, owned by {owner}, has not been used for 30 days ({used})"),
            "What nobody uses hides what nobody expects. Ask its owner, and remove it if it is no longer needed.",
        ),
    };
    let mut hash = Fields::new("allowance notice");
    hash.some(&hex::encode(allowance.id().0));
    hash.some(&now.to_string());
    let episode = hex::encode(&hash.end()[..16]);
    let mut alert = about_source(AlertKind::Notice, &episode, &[("allowance", name)], (0, 0), None, now);
    alert.rule.severity = crate::model::Severity::Low;
    alert.rule.description = Some("An entry of the allow-list wants to be looked at".to_owned());
    alert.statistic = "days not used".to_owned();
    (alert.reason, alert.advice) = (Some(what), Some(advice.to_owned()));
    alert.summary = alert.summarise();
    alert
}

/// A marked alert that says nothing but that alerts come this way; the `nth` that is decided.
#[must_use]
pub fn about_test(nth: u64, now: WallTime) -> Alert {
    let mut alert = about_source(AlertKind::Test, &episode_id(&format!("test {nth}"), now), &[], (0, 0), None, now);
    alert.rule.severity = crate::model::Severity::Info;
    alert.rule.description = Some("Somebody tries whether alerts get through".to_owned());
    alert.statistic = "sum".to_owned();
    alert
}

/// Lines of each list that a digest carries, and characters of their texts: far below what an alert may take.
const DIGEST_LINES: usize = 10;
const DIGEST_TEXT: usize = 300;

/// A report for those who asked for one by the calendar.
#[must_use]
pub fn about_digest(report: Report, now: WallTime) -> Alert {
    let report = report.shortened(DIGEST_LINES, DIGEST_TEXT);
    // Equal ids have equal content, whatever was lost in between.
    let content = serde_json::to_string(&report).unwrap_or_default();
    let mut alert =
        about_source(AlertKind::Digest, &episode_id(&content, now), &[], (report.accesses.all, 0), None, now);
    alert.rule = AlertRule {
        name: "digest".to_owned(),
        description: Some("What happened, by the calendar".to_owned()),
        severity: crate::model::Severity::Info,
    };
    (alert.statistic, alert.window_seconds) = ("sum".to_owned(), report.seconds());
    alert.report = Some(Box::new(report));
    alert.id = alert_id(&alert, 0);
    alert.summary = alert.summarise();
    alert
}

/// The id of an episode in which a source is blind.
#[must_use]
pub fn episode_id(source: &str, since: WallTime) -> String {
    let mut hash = Fields::new("episode");
    hash.some(source);
    hash.some(&since.to_string());
    hex::encode(&hash.end()[..16])
}
