//! Alerts that are like real ones: what a template is tried with before it may be used, what the documents show, and
//! what tests vary.

use std::collections::BTreeMap;

use super::{
    Access, Alert, AlertKind, AlertRule, BlindLine, DeniedLine, EventTime, IncidentLine, Outcome, Outcomes, PairLine,
    Principal, PrincipalLine, REPORT, Ranked, Report, SCHEMA, Secret, SecretLine, Severity, Stretch,
};

/// 2026-05-27T18:45:54Z.
pub(crate) const START: EventTime = EventTime(1_779_907_554);

/// One alert of every kind, and of an access with all that can be known of it and with as little as can be. Whoever can
/// write these can write any.
#[must_use]
pub fn sample_alerts() -> Vec<Alert> {
    let incident = [full_access(0), access(7), denied(30), bare_access(41)];
    let extent = |alert: &mut Alert| {
        (alert.accesses_total, alert.value) = (incident.len() as u64, 3);
        (alert.first_access, alert.last_access) = (Some(START), Some(START.plus(41)));
    };
    let opened = sample("1", AlertKind::Opened, incident[..1].to_vec(), |alert| {
        alert.runbook = Some("https://wiki.example.com/secret-was-read".to_owned());
    });
    let updated = sample("2", AlertKind::Updated, incident[1..].to_vec(), extent);
    let resolved = sample("3", AlertKind::Resolved, Vec::new(), extent);
    let merged = sample("4", AlertKind::Resolved, Vec::new(), |alert| {
        extent(alert);
        alert.merged_into = Some("0c4be0a1d8814a2f8f0c1b6e5d7a9f32".to_owned());
    });
    let test = sample("5", AlertKind::Test, Vec::new(), |_| {});
    let [blind, sighted] = [("6", AlertKind::Blind), ("7", AlertKind::Sighted)].map(|(id, kind)| {
        sample(id, kind, Vec::new(), |alert| {
            about_daemon(alert, &[("account", "111122223333"), ("region", "us-east-2")]);
            if kind == AlertKind::Blind {
                alert.reason = Some("AWS does not let this identity look".to_owned());
                alert.trouble = Some("denied".to_owned());
                alert.advice = Some("Allow cloudtrail:LookupEvents.".to_owned());
            }
        })
    });
    let notice = sample("8", AlertKind::Notice, Vec::new(), |alert| {
        about_daemon(alert, &[("allowance", "nightly-backup")]);
        alert.rule.severity = Severity::Low;
        alert.reason = Some("The entry \"nightly-backup\" of the allow-list, owned by ops, has run out".to_owned());
        alert.advice = Some("Ask its owner whether it is still right.".to_owned());
    });
    let closed = sample("9", AlertKind::Resolved, Vec::new(), |alert| {
        extent(alert);
        alert.reason = Some("rule changed".to_owned());
        alert.rule.description = None;
        alert.group = BTreeMap::from([("source_ip".to_owned(), None)]);
    });
    let digest = sample("a", AlertKind::Digest, Vec::new(), |alert| {
        about_daemon(alert, &[]);
        alert.rule.name = "digest".to_owned();
        alert.rule.description = Some("What happened, by the calendar".to_owned());
        alert.rule.severity = Severity::Info;
        alert.statistic = "sum".to_owned();
        (alert.value, alert.threshold, alert.window_seconds) = (3, 0, 604_800);
        alert.report = Some(Box::new(sample_report()));
    });
    vec![opened, updated, resolved, merged, test, blind, sighted, notice, closed, digest]
}

/// A report with one line in each list.
fn sample_report() -> Report {
    let accesses = Outcomes { all: 3, success: 2, denied: 1, failed: 0 };
    let (principal, secret) = ("arn:aws:iam::111122223333:role/app".to_owned(), "prod/db-password".to_owned());
    let one = |number| Outcomes { all: number, success: number, ..Outcomes::default() };
    let (account, region) = ("111122223333".to_owned(), "us-east-2".to_owned());
    Report {
        schema: REPORT.to_owned(),
        from: START.minus(604_800),
        to: START,
        known_from: Some(START.minus(2_592_000)),
        cut_short: false,
        accesses,
        secrets: 1,
        principals: 1,
        over_time: vec![Stretch { from: START.minus(604_800), accesses }],
        by_secret: Ranked::first(
            vec![SecretLine { secret: secret.clone(), account, region, accesses, principals: 1, last: START }],
            10,
        ),
        by_principal: Ranked::first(
            vec![PrincipalLine { principal: principal.clone(), accesses, secrets: 1, last: START }],
            10,
        ),
        new_pairs: Some(Ranked::first(
            vec![PairLine {
                principal: principal.clone(),
                secret: secret.clone(),
                accesses: one(2),
                first: START.minus(60),
            }],
            10,
        )),
        denied: Ranked::first(
            vec![DeniedLine {
                principal,
                secret: Some(secret.clone()),
                event: "GetSecretValue".to_owned(),
                count: 1,
                last: START,
                source_ip: Some("203.0.113.9".to_owned()),
            }],
            10,
        ),
        incidents: Ranked::first(
            vec![IncidentLine {
                incident: "a90b13de774c4f0f9b1d2ce86f4a0c35".to_owned(),
                rule: "secret-is-accessed".to_owned(),
                severity: Some(Severity::Medium),
                group: BTreeMap::from([("secret".to_owned(), Some(secret))]),
                opened: START.wall(),
                open: false,
                first_access: START.minus(60),
                last_access: START,
                value: 2,
                accesses: 2,
                summary: Some("Secret prod/db-password was read by role app".to_owned()),
            }],
            10,
        ),
        alerts: BTreeMap::from([("opened".to_owned(), 1), ("resolved".to_owned(), 1)]),
        undelivered: 0,
        blind: vec![BlindLine {
            summary: "Blind: secretwatch cannot read the events of 111122223333/us-east-2".to_owned(),
            told: START.minus(7_200).wall(),
            until: Some(START.minus(6_600).wall()),
            seconds: 600,
        }],
    }
}

/// An alert of `kind` with `accesses`, whose id ends with `id`, and what `change` makes of it.
fn sample(id: &str, kind: AlertKind, accesses: Vec<Access>, change: impl FnOnce(&mut Alert)) -> Alert {
    let mut alert = alert(kind, accesses);
    alert.id.replace_range(alert.id.len() - id.len().., id);
    change(&mut alert);
    alert.summary = alert.summarise();
    alert
}

fn about_daemon(alert: &mut Alert, labels: &[(&str, &str)]) {
    alert.incident = "77b0c1d2e3f405162738495a6b7c8d9e".to_owned();
    alert.rule.name = "secretwatch".to_owned();
    alert.rule.description = Some("secretwatch cannot see everything that it should".to_owned());
    alert.rule.severity = Severity::High;
    alert.group = labels.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect();
    alert.statistic = "seconds not read through".to_owned();
    (alert.value, alert.threshold, alert.window_seconds) = (1_020, 900, 0);
}

/// An access of which everything is known that can be.
fn full_access(secs: i64) -> Access {
    let mut access = access(secs);
    access.mfa = Some(false);
    access.vpc_endpoint = Some("vpce-0a1b2c3d4e5f60718".to_owned());
    access.invoked_by = Some("cloudformation.amazonaws.com".to_owned());
    access.console = true;
    access
}

/// An access of which hardly anything is known.
fn bare_access(secs: i64) -> Access {
    let mut access = access(secs);
    access.event = "ListSecrets".to_owned();
    access.secret = None;
    access.principal = Principal { kind: "Unknown".to_owned(), ..Principal::default() };
    (access.source_ip, access.user_agent, access.access_key_id, access.request_id) = (None, None, None, None);
    access.outcome = Outcome::Failed;
    access
}

/// A read of one secret by one session of a role, `secs` after [`START`], seen four minutes later.
pub(crate) fn access(secs: i64) -> Access {
    Access {
        event_id: format!("6c1e4b0a-0000-4000-8000-{secs:012}"),
        event: "GetSecretValue".to_owned(),
        time: START.plus(secs),
        seen: START.plus(secs + 240).wall(),
        account: "111122223333".to_owned(),
        region: "us-east-2".to_owned(),
        secret: Some(Secret {
            name: "prod/db-password".to_owned(),
            arn: Some("arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn".to_owned()),
            requested: Some("prod/db-password".to_owned()),
            account: "111122223333".to_owned(),
            region: "us-east-2".to_owned(),
            tags: None,
        }),
        principal: Principal {
            kind: "AssumedRole".to_owned(),
            arn: Some("arn:aws:iam::111122223333:role/deploy".to_owned()),
            name: Some("deploy".to_owned()),
            session: Some("ci-42".to_owned()),
            account: Some("111122223333".to_owned()),
        },
        source_ip: Some("203.0.113.7".to_owned()),
        user_agent: Some("aws-cli/2.31.0".to_owned()),
        access_key_id: Some("ASIAEXAMPLEEXAMPLE42".to_owned()),
        mfa: None,
        vpc_endpoint: None,
        invoked_by: None,
        request_id: Some("0d9f6c4e-0000-4000-8000-000000000000".to_owned()),
        outcome: Outcome::Success,
        error: None,
        error_message: None,
        console: false,
        event_source: "secretsmanager.amazonaws.com".to_owned(),
        shared_event_id: None,
        own: false,
        counts_as: None,
        updates: None,
        record: None,
        oversize: false,
    }
}

/// The same, refused.
pub(crate) fn denied(secs: i64) -> Access {
    let mut access = access(secs);
    access.outcome = Outcome::Denied;
    access.error = Some("AccessDenied".to_owned());
    access
}

/// An alert of the default rule with these accesses, and no others in its incident.
pub(crate) fn alert(kind: AlertKind, accesses: Vec<Access>) -> Alert {
    let mut alert = Alert {
        schema: SCHEMA.to_owned(),
        id: "5f2c9a1be07d44318d06c2a7b9e31f58".to_owned(),
        incident: "a90b13de774c4f0f9b1d2ce86f4a0c35".to_owned(),
        kind,
        rule: AlertRule {
            name: "secret-is-accessed".to_owned(),
            description: Some("A secret's value was read".to_owned()),
            severity: Severity::Medium,
        },
        group: BTreeMap::from([("secret".to_owned(), Some("prod/db-password".to_owned()))]),
        statistic: "sum".to_owned(),
        value: accesses.len() as u64,
        threshold: 1,
        window_seconds: 60,
        first_access: accesses.first().map(|access| access.time),
        last_access: accesses.last().map(|access| access.time),
        accesses_total: accesses.len() as u64,
        accesses_omitted: 0,
        accesses,
        merged_into: None,
        reason: None,
        trouble: None,
        advice: None,
        report: None,
        runbook: None,
        decided: START.plus(241).wall(),
        summary: String::new(),
    };
    alert.summary = alert.summarise();
    alert
}
