use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::detect::{Allowance, Condition, FirstSeen, Globs, GroupKey, Rule, Statistic, Step};
use crate::model::fixture::{START, access, denied};
use crate::model::{Severity, Unreadable};
use crate::store::{Ledger, LedgerSettings, Recipient};
use crate::trail::SourceId;

const HOUR: u64 = 3600;

fn rule(name: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        description: None,
        severity: Severity::High,
        runbook: None,
        notify: vec!["security".to_owned()],
        condition: Condition { events: vec!["GetSecretValue".to_owned()], ..Condition::default() },
        steps: Vec::new(),
        first_seen: None,
        statistic: Statistic::Sum,
        threshold: 3,
        window: 600,
        hold: 900,
        update_every: 900,
        group_by: vec![GroupKey::Principal],
    }
}

fn ledger(rules: Vec<Rule>, allowances: Vec<Allowance>) -> Ledger {
    let recipient = |name: &str, min_severity| Recipient { name: name.to_owned(), min_severity, send_resolved: false };
    let settings = LedgerSettings {
        rules,
        allowances,
        recipients: vec![recipient("security", Severity::Info), recipient("pager", Severity::Critical)],
        sources: vec![SourceId { account: "111122223333".to_owned(), region: "us-east-2".to_owned() }],
        event_sources: vec!["secretsmanager.amazonaws.com".to_owned()],
        lateness: Duration::from_secs(900),
        recheck: Duration::ZERO,
        backfill: Duration::from_secs(HOUR),
        retention: Duration::from_secs(30 * 24 * HOUR),
        stale_after: Duration::from_secs(HOUR),
        awake_since: None,
    };
    Ledger::in_memory(settings, START.plus(600).wall()).unwrap()
}

fn said(ledger: &Ledger, id: &str) -> String {
    text(&ledger.explain(id, START.plus(700).wall()).unwrap())
}

#[track_caller]
fn check(ledger: &Ledger, id: &str, expected: &str) {
    let said = said(ledger, id);
    assert_eq!(said, expected, "\n{said}");
}

#[test]
fn an_access_that_was_not_enough() {
    let outcome = Some(Outcome::Denied);
    let refused = Rule { condition: Condition { outcome, ..rule("r").condition }, ..rule("denied-reads") };
    let mut ledger = ledger(vec![rule("reads"), refused], Vec::new());
    ledger.take(vec![access(0), access(90)], START.plus(600).wall()).unwrap();
    check(
        &ledger,
        &access(0).event_id,
        "\
Rule reads counted it: 2 of 3 accesses in 10 minutes; nobody was told.

Event       6c1e4b0a-0000-4000-8000-000000000000
Call        GetSecretValue, success
Secret      prod/db-password
            arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn
Who         arn:aws:iam::111122223333:role/deploy
            session ci-42
From        203.0.113.7
Where       account 111122223333, us-east-2
Happened    2026-05-27 18:45:54 UTC
First seen  2026-05-27 18:49:54 UTC, 4 minutes after it happened
Record      not kept, so no pattern matches it

Rule reads, severity high
  Counted: 2 of 3 accesses in 10 minutes, which is not enough
  Counts    what happened from 2026-05-27 17:55:54 UTC on
  yes       events: GetSecretValue; wanted GetSecretValue
  Group     principal arn:aws:iam::111122223333:role/deploy
  Window    2026-05-27 18:37:25 to 18:47:24 UTC: 2 of 3 accesses in 10
            minutes, which does not cross
            => 2026-05-27 18:45:54 GetSecretValue prod/db-password by deploy
               2026-05-27 18:47:24 GetSecretValue prod/db-password by deploy

Rule denied-reads, severity high
  Not counted: outcome is success, wanted denied
  Counts    what happened from 2026-05-27 17:55:54 UTC on
  yes       events: GetSecretValue; wanted GetSecretValue
  NO        outcome: success; wanted denied
",
    );
}

#[test]
fn an_access_that_was_told() {
    let mut ledger = ledger(vec![Rule { threshold: 1, ..rule("reads") }], Vec::new());
    ledger.take(vec![access(0)], START.plus(600).wall()).unwrap();
    let said = said(&ledger, &access(0).event_id);
    let (_, rule) = said.split_once("\nRule reads").unwrap();
    assert_eq!(
        rule,
        ", severity high
  Alerted: alert 1ca8c6097f8e58980857512b8126f11f, waiting for security
  since 2026-05-27T18:55:54.000Z
  Counts    what happened from 2026-05-27 17:55:54 UTC on
  yes       events: GetSecretValue; wanted GetSecretValue
  Group     principal arn:aws:iam::111122223333:role/deploy
  Window    2026-05-27 18:35:55 to 18:45:54 UTC: 1 of 1 access in 10
            minutes, which crosses
            => 2026-05-27 18:45:54 GetSecretValue prod/db-password by deploy
  Incident  f72243a6274c272cd7830a9c378ecd0b
            open, opened 2026-05-27 18:55:54 UTC, 1 access(es), at most 1 at
            once
  Alert     1ca8c6097f8e58980857512b8126f11f
            opened, decided 2026-05-27 18:55:54 UTC, 1 access(es)
            Secret prod/db-password was read by role deploy (session ci-42)
            from 203.0.113.7
  Notifier  security: waits since 2026-05-27 18:55:54 UTC, not tried yet
  Notifier  pager: not for it: the rule's `notify` does not name it
",
        "\n{said}"
    );
}

#[test]
fn an_event_that_is_not_known() {
    check(
        &ledger(vec![rule("reads")], Vec::new()),
        "e",
        "\
Event e is not known here: no record with this id has been read.

What that can mean:
  - It is not visible yet. CloudTrail shows events minutes after they
    happened; each poll looks for those of the last 15 minutes again.
  - It happened elsewhere, or to another service: read are events of
    secretsmanager.amazonaws.com in the accounts and Regions below.
  - It happened before watching began, or longer ago than 30 days, which is
    what is kept.
  - It has another id: the one that is meant is called eventID in the
    record, not requestID.

Source      account 111122223333, us-east-2
Last pass   none has read it through yet
Events of   secretsmanager.amazonaws.com
Read        nothing yet
",
    );
}

/// Explanations of every kind.
fn all_kinds() -> Vec<String> {
    let step = |outcome| Step {
        condition: Condition { outcome: Some(outcome), ..Condition::default() },
        statistic: Statistic::Sum,
        threshold: 2,
    };
    let of = vec![GroupKey::Principal, GroupKey::Secret];
    let rules = vec![
        Rule { threshold: 1, ..rule("reads") },
        Rule { steps: vec![step(Outcome::Denied), step(Outcome::Success)], ..rule("steps") },
        Rule { first_seen: Some(FirstSeen { of, memory: 86_400, learn: 86_400, seed: 0 }), ..rule("news") },
    ];
    let allowance = Allowance {
        name: "backups".to_owned(),
        owner: "ops".to_owned(),
        reason: "they read everything, every night, and have done so for as long as anybody can remember".to_owned(),
        until: Some(START.plus(50)),
        condition: Condition { secrets: Globs::new(&["*".to_owned()]).unwrap(), ..Condition::default() },
        rules: vec!["steps".to_owned()],
        at_most: None,
    };
    let mut ledger = ledger(rules, vec![allowance]);
    let mut hostile = access(20);
    hostile.principal.session = Some("\u{1b}[2J\u{202e}\nNotifier  security: accepted".repeat(20));
    hostile.user_agent = Some("x".repeat(2000));
    hostile.error = Some("Odd\u{7f}".to_owned());
    let mut copy = access(30);
    copy.shared_event_id = Some("shared".to_owned());
    let pages: Vec<_> = (40..100).map(access).chain([access(0), denied(10), hostile, copy.clone()]).collect();
    let ids: Vec<String> = pages.iter().map(|access| access.event_id.clone()).collect();
    ledger.take(pages, START.plus(600).wall()).unwrap();
    let unreadable = Unreadable { event_id: Some("u".to_owned()), reason: "no\u{9b}time".to_owned() };
    ledger.keep_unreadable(&unreadable, "{\n\u{1b}", START.plus(600).wall()).unwrap();
    let ids = ids.iter().map(String::as_str).chain(["shared", "u", "nothing", "\u{1b}[31m"]);
    ids.map(|id| said(&ledger, id)).collect()
}

#[test]
fn lines_fit_a_terminal_and_carry_no_controls() {
    let all = all_kinds();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for text in &all {
        for line in text.lines() {
            // What is longer is one word that somebody wants to copy.
            let words = line.split_whitespace().count();
            assert!(line.chars().count() <= 80 || words <= 3, "{line}");
            assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
            let label = line.get(..12).unwrap_or_default().trim();
            *kinds.entry(label.to_owned()).or_default() += 1;
        }
    }
    for label in ["Step 1", "New is", "Known is", "Seen", "Allowed", "Counts as", "Trouble", "NO", "yes", "Notifier"] {
        assert!(kinds.contains_key(label), "no {label:?} in {kinds:?}");
    }
    assert!(all.concat().contains("more, in all from"), "no list was cut");
}
