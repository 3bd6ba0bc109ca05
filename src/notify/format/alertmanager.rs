//! Prometheus Alertmanager: one alert for `POST /api/v2/alerts`.
//!
//! Alertmanager knows an alert by its labels, so they are the same from the beginning of an incident to its end, and
//! everything else is an annotation. It takes an alert for over once `endsAt` has passed, and five minutes after it came
//! if it has none: Prometheus sends alerts again and again, and this program does not. So an alert says how long it
//! holds unless something else is heard.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Letter, summary};
use crate::model::{Alert, AlertKind, WallTime, printable};

/// An incident goes on for so long if nothing more is heard of it; its end is always told before.
const OPEN_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Nothing ever ends a notice.
const NOTICED_FOR: Duration = Duration::from_secs(86_400);

/// Nor a test.
const TESTED_FOR: Duration = Duration::from_secs(300);

/// Characters of a label or an annotation; there is no limit, but for what somebody can read.
const TEXT_MAX: usize = 2_048;

/// The body: a list of one.
pub(super) fn alerts(letter: &Letter<'_>) -> Value {
    let alert = letter.alert;
    let since = alert.first_access.map_or(alert.decided, |first| first.wall()).min(alert.decided);
    json!([{
        "labels": labels(alert),
        "annotations": annotations(letter),
        "startsAt": since,
        "endsAt": ends(alert),
    }])
}

fn ends(alert: &Alert) -> WallTime {
    match alert.kind {
        // A digest gets here by way of a fallback alone, and is over at once.
        AlertKind::Resolved | AlertKind::Sighted | AlertKind::Digest => alert.decided,
        AlertKind::Opened | AlertKind::Updated | AlertKind::Blind => alert.decided.plus(OPEN_FOR),
        AlertKind::Notice => alert.decided.plus(NOTICED_FOR),
        AlertKind::Test => alert.decided.plus(TESTED_FOR),
    }
}

/// The keys of a group are words that are right as names of labels. A value that is missing is no label.
fn labels(alert: &Alert) -> Value {
    let own = [
        ("alertname", alert.rule.name.as_str()),
        ("severity", alert.rule.severity.word()),
        ("incident", alert.incident.as_str()),
    ];
    let group = alert.group.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?)));
    texts(group.chain(own))
}

fn annotations(letter: &Letter<'_>) -> Value {
    let alert = letter.alert;
    let (summary, value) = (summary(alert, TEXT_MAX), alert.value.to_string());
    let total = alert.accesses_total.to_string();
    let all = [
        ("summary", Some(summary.as_str())),
        ("description", alert.rule.description.as_deref()),
        ("runbook_url", alert.runbook.as_deref()),
        ("alert_id", Some(alert.id.as_str())),
        ("kind", Some(alert.kind.word())),
        ("value", Some(value.as_str())),
        ("accesses_total", Some(total.as_str())),
        ("reason", alert.reason.as_deref()),
        ("advice", alert.advice.as_deref()),
        ("merged_into", alert.merged_into.as_deref()),
        ("fallback_for", letter.fallback_for),
    ];
    texts(all.into_iter().filter_map(|(key, value)| Some((key, value?))))
}

fn texts<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let texts = texts.map(|(key, text)| (key.to_owned(), json!(printable(text, TEXT_MAX))));
    Value::Object(texts.collect::<Map<_, _>>())
}
