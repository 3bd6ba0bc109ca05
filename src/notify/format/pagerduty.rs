//! PagerDuty: an event for its Events API v2.
//!
//! The incident is the deduplication key, so that what is told of it later joins the same page, and its end resolves it.
//! An incident that goes on under another id is resolved under its own. Limits are PagerDuty's; details are a digest
//! for whoever was woken, and far below them.

use serde_json::{Map, Value, json};

use super::super::digest::{Digest, Room};
use super::{Letter, fitting, place, summary, told};
use crate::model::{AlertKind, Severity, printable};

/// Characters of the summary.
const SUMMARY_MAX: usize = 1_024;

/// Bytes of the details; PagerDuty takes 512 KB for the whole event.
const DETAILS_MAX: usize = 64_000;

/// The event; `key` says whose it is.
pub(super) fn event(letter: &Letter<'_>, key: &str) -> Value {
    let alert = letter.alert;
    if matches!(alert.kind, AlertKind::Resolved | AlertKind::Sighted | AlertKind::Digest) {
        return json!({ "routing_key": key, "event_action": "resolve", "dedup_key": alert.incident });
    }
    let links = alert.runbook.iter().map(|runbook| json!({ "href": runbook, "text": "Runbook" }));
    told([
        ("routing_key", json!(key)),
        ("event_action", json!("trigger")),
        ("dedup_key", json!(alert.incident)),
        ("client", json!("secretwatch")),
        ("links", links.collect()),
        ("payload", payload(letter)),
    ])
}

fn payload(letter: &Letter<'_>) -> Value {
    let alert = letter.alert;
    let source = match place(alert) {
        (Some(account), Some(region)) => format!("{account}/{region}"),
        _ => "secretwatch".to_owned(),
    };
    let secret = alert.accesses.iter().find_map(|access| access.secret.as_ref());
    told([
        ("summary", json!(summary(alert, SUMMARY_MAX))),
        ("source", json!(printable(&source, SUMMARY_MAX))),
        ("severity", json!(severity(alert.rule.severity))),
        ("timestamp", json!(alert.decided)),
        ("component", json!(secret.map(|secret| printable(&secret.name, SUMMARY_MAX)))),
        ("group", json!(printable(&alert.rule.name, SUMMARY_MAX))),
        ("class", json!(alert.kind.word())),
        (
            "custom_details",
            fitting(&[Room::MAIL, Room::CHAT, Room::NARROW], DETAILS_MAX, |room| details(letter, &room)),
        ),
    ])
}

/// PagerDuty has four.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

/// What is shown to whoever is paged, by label.
fn details(letter: &Letter<'_>, room: &Room) -> Value {
    let digest = Digest::of(letter, room);
    let mut details = Map::new();
    for fact in digest.all_facts().chain(&digest.ids) {
        details.insert(fact.label.to_owned(), json!(fact.values.join("\n")));
    }
    let steps = digest.steps.iter().map(|step| {
        let command = step.command.as_ref().map(|parts| parts.join(" "));
        [Some(step.words.clone()), step.link.clone(), command].into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let listed = digest.listed.as_ref().map(|listed| listed.lines.join("\n")).unwrap_or_default();
    for (label, text) in [
        ("Accesses", listed),
        ("Note", digest.notes.join("\n")),
        ("Why", digest.why.join("\n")),
        ("What to do", steps.collect::<Vec<_>>().join("\n")),
    ] {
        if !text.is_empty() {
            details.insert(label.to_owned(), json!(text));
        }
    }
    Value::Object(details)
}
