//! The allow-list: what it keeps from rules, what it tells of, and what it leaves alone.

use std::time::Duration;

use secretwatch::detect::{Allowance, AtMost, Condition, Globs, Rule};
use secretwatch::model::{Alert, AlertKind, EventTime, WallTime};
use secretwatch::store::{Ledger, LedgerSettings};

use crate::promise::{START, access, drain, rule, settings};

const DAY: u64 = 86_400;

fn at(secs: u64) -> WallTime {
    EventTime(START).wall().plus(Duration::from_secs(secs))
}

/// Ann may do whatever she likes.
fn ann() -> Allowance {
    Allowance {
        name: "ann".to_owned(),
        owner: "platform".to_owned(),
        reason: "she rotates them".to_owned(),
        until: None,
        condition: Condition { principals: Globs::new(&["*user/ann".to_owned()]).unwrap(), ..Condition::default() },
        rules: Vec::new(),
        at_most: None,
    }
}

fn with(rules: Vec<Rule>, allowances: Vec<Allowance>) -> LedgerSettings {
    LedgerSettings { allowances, ..settings(rules) }
}

fn ledger(rules: Vec<Rule>, allowances: Vec<Allowance>) -> Ledger {
    Ledger::in_memory(with(rules, allowances), at(0)).unwrap()
}

/// What is told when accesses `(seconds, who)` are taken in at `now`: `rule id,id` for each alert that holds any.
fn told(ledger: &mut Ledger, now: WallTime, page: &[(i64, &str)]) -> Vec<String> {
    let page = page.iter().map(|(secs, who)| access(&format!("{who}{secs}"), START + secs, "s", who)).collect();
    ledger.take(page, now).unwrap();
    ledger.tick(now, true).unwrap();
    in_lines(&drain(ledger, now))
}

fn in_lines(alerts: &[Alert]) -> Vec<String> {
    let holding = alerts.iter().filter(|alert| !alert.accesses.is_empty());
    let line = |alert: &Alert| {
        let ids: Vec<_> = alert.accesses.iter().map(|access| access.event_id.as_str()).collect();
        format!("{} {}", alert.rule.name, ids.join(","))
    };
    holding.map(line).collect()
}

#[test]
fn what_is_allowed_is_not_counted_and_its_use_is() {
    let mut ledger = ledger(vec![rule("r")], vec![ann()]);
    assert_eq!(told(&mut ledger, at(10), &[(1, "ann"), (2, "bob"), (3, "ann")]), ["r bob2"]);
    let used = &ledger.allowances()[0];
    assert_eq!((used.used, used.last_used), (2, Some(EventTime(START + 3))));
}

#[test]
fn it_names_the_rules_that_it_is_for() {
    let for_one = Allowance { rules: vec!["quiet".to_owned()], ..ann() };
    let mut ledger = ledger(vec![rule("quiet"), rule("loud")], vec![for_one]);
    assert_eq!(told(&mut ledger, at(10), &[(1, "ann")]), ["loud ann1"]);
    assert_eq!(ledger.allowances()[0].used, 1);
}

#[test]
fn it_ends_by_the_time_of_the_event() {
    let ending = Allowance { until: Some(EventTime(START + 100)), ..ann() };
    let mut ledger = ledger(vec![rule("r")], vec![ending]);
    assert_eq!(told(&mut ledger, at(90), &[(99, "ann"), (100, "ann")]), ["r ann100"]);
}

#[test]
fn more_than_is_allowed_is_told_by_a_rule_of_its_own() {
    let few = Allowance { at_most: Some(AtMost { accesses: 2, window: 60 }), ..ann() };
    let quiet = Rule { notify: vec!["all".to_owned()], ..rule("r") };
    let mut ledger = ledger(vec![quiet], vec![few]);
    assert_eq!(told(&mut ledger, at(10), &[(1, "ann"), (50, "ann"), (90, "ann")]), [""; 0]);
    assert_eq!(told(&mut ledger, at(60), &[(55, "ann")]), ["allow/ann ann1,ann50,ann55,ann90"]);
    assert_eq!(told(&mut ledger, at(60), &[(58, "bob")]), ["r bob58"]);
}

#[test]
fn what_it_would_allow_of_nobody_is_not_used() {
    let mut ledger = ledger(vec![Rule { condition: Condition::default(), ..rule("r") }], vec![ann()]);
    let mut own = access("own", START, "s", "ann");
    own.own = true;
    ledger.take(vec![own], at(5)).unwrap();
    assert_eq!(ledger.allowances()[0].used, 0);
}

/// The notices among what is queued at `now`.
fn notices(ledger: &mut Ledger, now: WallTime) -> Vec<String> {
    ledger.tick(now, false).unwrap();
    let alerts = drain(ledger, now);
    alerts.into_iter().filter(|alert| alert.kind == AlertKind::Notice).map(|alert| alert.summary).collect()
}

#[test]
fn an_entry_that_has_run_out_is_told_of_once() {
    let ending = || Allowance { until: Some(EventTime(START + 100)), ..ann() };
    let dir = tempfile::tempdir().unwrap();
    let open = |allowance| Ledger::open(dir.path(), with(vec![rule("r")], vec![allowance]), at(0)).unwrap();
    let mut ledger = open(ending());
    assert_eq!(notices(&mut ledger, at(99)), [""; 0]);
    let told = notices(&mut ledger, at(100));
    assert_eq!(told, [r#"The entry "ann" of the allow-list, owned by platform, has run out (never used)"#]);
    assert_eq!(notices(&mut ledger, at(5_000)), [""; 0]);
    drop(ledger);
    assert_eq!(notices(&mut open(ending()), at(6_000)), [""; 0], "a restart does not repeat it");
    let renewed = Allowance { until: Some(EventTime(START + 7_000)), ..ann() };
    assert_eq!(notices(&mut open(renewed), at(7_000)).len(), 1, "another date is another end");
}

#[test]
fn an_entry_that_nobody_uses_is_told_of_each_month() {
    let mut ledger = ledger(vec![rule("r")], vec![ann()]);
    told(&mut ledger, at(10), &[(5, "ann")]);
    assert_eq!(notices(&mut ledger, at(29 * DAY)), [""; 0]);
    let later = notices(&mut ledger, at(31 * DAY));
    assert!(matches!(&later[..], [one] if one.contains("has not been used for 30 days")), "{later:?}");
    assert_eq!(notices(&mut ledger, at(60 * DAY)), [""; 0]);
    assert_eq!(notices(&mut ledger, at(62 * DAY)).len(), 1);
}

#[test]
fn what_is_allowed_is_no_news_later() {
    use secretwatch::detect::{FirstSeen, GroupKey};
    let of = vec![GroupKey::Principal];
    let first_seen = Some(FirstSeen { of: of.clone(), memory: 1_000_000, learn: 0, seed: 0 });
    let rule = Rule { first_seen, group_by: of, window: 60, ..rule("new") };
    let ending = Allowance { until: Some(EventTime(START + 100)), ..ann() };
    let mut ledger = ledger(vec![rule], vec![ending]);
    assert_eq!(told(&mut ledger, at(10), &[(1, "ann"), (2, "bob")]), ["new bob2"]);
    assert_eq!(told(&mut ledger, at(300), &[(290, "ann"), (291, "bob")]), [""; 0]);
}

#[test]
fn an_entry_that_is_added_counts_nothing_again_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let open = |allowances| Ledger::open(dir.path(), with(vec![rule("r")], allowances), at(20)).unwrap();
    let mut first = open(Vec::new());
    assert_eq!(told(&mut first, at(10), &[(1, "ann")]), ["r ann1"]);
    drop(first);
    let mut second = open(vec![ann()]);
    second.tick(at(20), true).unwrap();
    assert!(drain(&mut second, at(20)).is_empty());
    let page = [("ann25", 25, "ann"), ("bob26", 26, "bob")].map(|(id, secs, who)| access(id, START + secs, "s", who));
    second.take(page.to_vec(), at(30)).unwrap();
    second.tick(at(30), true).unwrap();
    let alerts = drain(&mut second, at(30));
    assert_eq!(in_lines(&alerts), ["r bob26"]);
    assert_eq!(alerts[0].kind, AlertKind::Updated, "the incident is still open");
}
