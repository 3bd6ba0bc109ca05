//! An access and an alert that are like real ones, for tests to vary.

use std::collections::BTreeMap;

use super::{Access, Alert, AlertKind, AlertRule, EventTime, Outcome, Principal, SCHEMA, Secret, Severity};

/// 2026-05-27T18:45:54Z.
pub(crate) const START: EventTime = EventTime(1_779_907_554);

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
        runbook: None,
        decided: START.plus(241).wall(),
        summary: String::new(),
    };
    alert.summary = alert.summarise();
    alert
}
