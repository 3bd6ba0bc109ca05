//! The Open Cybersecurity Schema Framework: a Detection Finding, for security lakes and SIEMs.
//!
//! Class 2004 of version 1.5.0, with the profile `cloud`. The incident is the finding, so further alerts about it are
//! updates of one thing; the alert's own id is the event's. Every access that the alert holds is an evidence. What the
//! schema has no place for stands in `unmapped`, as it asks for.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::digest::{Digest, Room};
use super::{Letter, place, summary, told};
use crate::model::{Access, Alert, AlertKind, Secret, Severity};

/// The schema's version.
const VERSION: &str = "1.5.0";

/// The class, Detection Finding. Its activities count from a hundred times that.
const CLASS: u32 = 2_004;

/// Characters of the message.
const MESSAGE_MAX: usize = 400;

/// The finding.
pub(super) fn finding(alert: &Alert) -> Value {
    let (activity, activity_name, status, status_name) = activity(alert.kind);
    let (_, region) = place(alert);
    told([
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("category_uid", json!(2)),
        ("category_name", json!("Findings")),
        ("class_uid", json!(CLASS)),
        ("class_name", json!("Detection Finding")),
        ("type_uid", json!(CLASS * 100 + activity)),
        ("type_name", json!(format!("Detection Finding: {activity_name}"))),
        ("time", json!(alert.decided.0)),
        ("start_time", json!(alert.first_access.map(|first| first.wall().0))),
        ("end_time", json!(alert.last_access.map(|last| last.wall().0))),
        ("count", json!(Some(alert.accesses_total).filter(|total| *total > 0))),
        ("severity_id", json!(severity(alert.rule.severity).0)),
        ("severity", json!(severity(alert.rule.severity).1)),
        ("status_id", json!(status)),
        ("status", json!(status_name)),
        ("is_alert", json!(alert.kind != AlertKind::Digest)),
        ("message", json!(summary(alert, MESSAGE_MAX))),
        ("metadata", metadata(alert)),
        ("cloud", told([("provider", json!("AWS")), ("region", json!(region))])),
        ("finding_info", finding_info(alert)),
        ("remediation", remediation(alert)),
        ("resources", resources(alert)),
        ("evidences", alert.accesses.iter().map(evidence).collect()),
        ("unmapped", unmapped(alert)),
    ])
}

/// Number and name of the activity, and of the status.
fn activity(kind: AlertKind) -> (u32, &'static str, u32, &'static str) {
    match kind {
        AlertKind::Opened | AlertKind::Blind | AlertKind::Notice => (1, "Create", 1, "New"),
        AlertKind::Updated => (2, "Update", 2, "In Progress"),
        AlertKind::Resolved | AlertKind::Sighted => (3, "Close", 4, "Resolved"),
        AlertKind::Test => (99, "Test", 99, "Test"),
        AlertKind::Digest => (99, "Digest", 99, "Digest"),
    }
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn metadata(alert: &Alert) -> Value {
    json!({
        "version": VERSION,
        "profiles": ["cloud"],
        "uid": alert.id,
        "correlation_uid": alert.incident,
        "log_name": "CloudTrail Event history",
        "product": { "name": "secretwatch", "vendor_name": "secretwatch", "version": env!("CARGO_PKG_VERSION") },
    })
}

fn finding_info(alert: &Alert) -> Value {
    told([
        ("uid", json!(alert.incident)),
        ("title", json!(alert.rule.name)),
        ("desc", json!(alert.rule.description)),
        ("first_seen_time", json!(alert.first_access.map(|first| first.wall().0))),
        ("last_seen_time", json!(alert.last_access.map(|last| last.wall().0))),
        ("modified_time", json!(alert.decided.0)),
        ("data_sources", json!(["AWS CloudTrail"])),
        ("analytic", json!({ "name": alert.rule.name, "type_id": 1, "type": "Rule" })),
    ])
}

/// What to do, in the words that people get.
fn remediation(alert: &Alert) -> Value {
    let steps = Digest::of(&Letter::of(alert), &Room::CHAT).steps;
    if steps.is_empty() {
        return Value::Null;
    }
    let words = steps.iter().map(|step| match &step.link {
        Some(link) => format!("{} {link}", step.words),
        None => step.words.clone(),
    });
    told([
        ("desc", json!(words.collect::<Vec<_>>().join(" "))),
        ("references", alert.runbook.iter().cloned().collect()),
    ])
}

/// The secrets, each once.
fn resources(alert: &Alert) -> Value {
    let mut secrets: Vec<&Secret> = Vec::new();
    for secret in alert.accesses.iter().filter_map(|access| access.secret.as_ref()) {
        let is_known = |other: &&Secret| {
            (&other.name, &other.account, &other.region) == (&secret.name, &secret.account, &secret.region)
        };
        if !secrets.iter().any(is_known) {
            secrets.push(secret);
        }
    }
    secrets.into_iter().map(resource).collect()
}

fn resource(secret: &Secret) -> Value {
    let owner = Some(&secret.account).filter(|account| !account.is_empty());
    let region = Some(&secret.region).filter(|region| !region.is_empty());
    told([
        ("name", json!(secret.name)),
        ("uid", json!(secret.arn)),
        ("type", json!("AWS Secrets Manager secret")),
        ("region", json!(region)),
        ("owner", told([("account", account(owner))])),
    ])
}

fn account(id: Option<&String>) -> Value {
    id.map_or(Value::Null, |id| json!({ "uid": id, "type_id": 10, "type": "AWS Account" }))
}

fn evidence(access: &Access) -> Value {
    told([
        ("actor", actor(access)),
        ("api", api(access)),
        ("src_endpoint", endpoint(access)),
        ("http_request", told([("user_agent", json!(access.user_agent))])),
        ("resources", access.secret.iter().map(resource).collect()),
        (
            "data",
            told([
                ("event_id", json!(access.event_id)),
                ("time", json!(access.time)),
                ("seen", json!(access.seen)),
                ("account", json!(access.account)),
                ("region", json!(access.region)),
                ("outcome", json!(access.outcome)),
                ("console", json!(access.console)),
            ]),
        ),
    ])
}

fn actor(access: &Access) -> Value {
    let principal = &access.principal;
    let user = told([
        ("type_id", json!(99)),
        ("type", json!(principal.kind)),
        ("name", json!(principal.name.as_ref().unwrap_or(&principal.kind))),
        ("uid", json!(principal.arn)),
        ("credential_uid", json!(access.access_key_id)),
        ("account", account(principal.account.as_ref())),
    ]);
    let session = told([("uid", json!(principal.session)), ("is_mfa", json!(access.mfa))]);
    told([("user", user), ("session", session), ("invoked_by", json!(access.invoked_by))])
}

fn api(access: &Access) -> Value {
    let service = Some(&access.event_source).filter(|source| !source.is_empty());
    told([
        ("operation", json!(access.event)),
        ("service", told([("name", json!(service))])),
        ("request", told([("uid", json!(access.request_id))])),
        ("response", told([("error", json!(access.error)), ("error_message", json!(access.error_message))])),
    ])
}

/// Calls that an AWS service makes have its name for an address.
fn endpoint(access: &Access) -> Value {
    let from = access.source_ip.as_deref();
    let address = from.filter(|from| from.parse::<IpAddr>().is_ok());
    let service = from.filter(|from| from.parse::<IpAddr>().is_err());
    told([("ip", json!(address)), ("svc_name", json!(service)), ("interface_uid", json!(access.vpc_endpoint))])
}

/// What the schema has no place for.
fn unmapped(alert: &Alert) -> Value {
    told([
        ("kind", json!(alert.kind)),
        ("group", json!(alert.group)),
        ("statistic", json!(alert.statistic)),
        ("value", json!(alert.value)),
        ("threshold", json!(alert.threshold)),
        ("window_seconds", json!(alert.window_seconds)),
        ("accesses_omitted", json!(alert.accesses_omitted)),
        ("merged_into", json!(alert.merged_into)),
        ("reason", json!(alert.reason)),
        ("trouble", json!(alert.trouble)),
    ])
}
