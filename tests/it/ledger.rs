//! What the ledger keeps to besides the counting itself: copies and updates of one access, changed rules, splitting,
//! blindness, retention.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use secretwatch::detect::{Condition, GroupKey, Rule, Trouble};
use secretwatch::model::{Access, Alert, AlertKind, EventTime, MAX_ACCESSES, MAX_BYTES, Severity, Span, WallTime};
use secretwatch::store::{
    AlertQuery, Hushed, Ledger, LedgerSettings, Next, Recipient, Resend, Resent, Settlement, SimulatedDisk, StoreError,
    Sweep,
};
use secretwatch::trail::SourceId;

use crate::promise::{EVENT_SOURCE, START, access, drain, rule, settings, source};

const OWNER: &str = "444455556666";
const CALLER: &str = "111122223333";

fn now() -> WallTime {
    EventTime(START + 1800).wall()
}

fn later(secs: u64) -> WallTime {
    now().plus(Duration::from_secs(secs))
}

fn ledger(rules: Vec<Rule>) -> Ledger {
    Ledger::in_memory(settings(rules), now()).unwrap()
}

/// The account `id` in the only Region.
pub(crate) fn source_of(id: &str) -> SourceId {
    SourceId { account: id.to_owned(), region: source().region }
}

fn with_accounts(rules: Vec<Rule>, accounts: &[&str]) -> LedgerSettings {
    let sources = accounts.iter().map(|id| source_of(id));
    LedgerSettings { sources: sources.collect(), ..settings(rules) }
}

/// The record of a cross-account access that `account` gets.
fn copy(id: &str, account: &str, shared: &str, principal: &str) -> Access {
    let mut copy = access(id, START, "theirs", principal);
    copy.account = account.to_owned();
    copy.shared_event_id = Some(shared.to_owned());
    if let Some(secret) = &mut copy.secret {
        secret.account = OWNER.to_owned();
    }
    copy
}

fn update(id: &str, original: &Access) -> Access {
    Access { event_id: id.to_owned(), updates: Some(original.event_id.clone()), ..original.clone() }
}

fn ids(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().flat_map(|alert| &alert.accesses).map(|access| access.event_id.as_str()).collect()
}

fn take(ledger: &mut Ledger, page: Vec<Access>, at: WallTime) -> Vec<Alert> {
    ledger.take(page, at).unwrap();
    drain(ledger, at)
}

fn prune(ledger: &mut Ledger, at: WallTime) {
    ledger.read_through(&source(), at, at).unwrap();
    let mut sweep = Some(Sweep::begin());
    while let Some(from) = sweep {
        sweep = ledger.prune(&from, at).unwrap().1;
    }
}

/// As if everything up to `at` had been read at `at`.
fn read_all(ledger: &mut Ledger, at: WallTime) {
    let mut coverage = ledger.sources()[&source()].coverage[EVENT_SOURCE].clone();
    coverage.read(Span { from: coverage.since(), to: at.second() }, at);
    ledger.cover(&source(), EVENT_SOURCE, coverage).unwrap();
}

#[test]
fn a_cross_account_access_counts_in_the_account_that_owns_the_secret() {
    for order in [["theirs", "ours"], ["ours", "theirs"]] {
        let mut ledger = Ledger::in_memory(with_accounts(vec![rule("r")], &[OWNER, CALLER]), now()).unwrap();
        let copies = BTreeMap::from([("theirs", copy("t", OWNER, "s", "p")), ("ours", copy("o", CALLER, "s", "p"))]);
        let mut alerts = Vec::new();
        for which in order {
            alerts.extend(take(&mut ledger, vec![copies[which].clone()], now()));
        }
        assert_eq!(ids(&alerts), ["t"], "{order:?}");
        assert_eq!(alerts[0].accesses[0].account, OWNER);
    }
}

#[test]
fn an_owner_that_is_read_elsewhere_only_is_no_owner() {
    let mut sources = with_accounts(vec![rule("r")], &[CALLER]);
    sources.sources.push(SourceId { account: OWNER.to_owned(), region: "eu-north-1".to_owned() });
    let mut ledger = Ledger::in_memory(sources, now()).unwrap();
    assert_eq!(ids(&take(&mut ledger, vec![copy("o", CALLER, "s", "p")], now())), ["o"]);
}

#[test]
fn without_the_owner_it_counts_once_whichever_copy_comes_first() {
    for order in [["222222222222", "333333333333"], ["333333333333", "222222222222"]] {
        let accounts = ["222222222222", "333333333333"];
        let by_secret = Rule { group_by: vec![GroupKey::Secret], ..rule("r") };
        let mut ledger = Ledger::in_memory(with_accounts(vec![by_secret], &accounts), now()).unwrap();
        let mut alerts = Vec::new();
        for account in order {
            alerts.extend(take(&mut ledger, vec![copy(&format!("e{account}"), account, "s", "p")], now()));
        }
        assert_eq!(alerts.iter().map(|alert| alert.accesses.len()).sum::<usize>(), 1, "{order:?}");
        let counted = ledger.access("s").unwrap().unwrap();
        assert_eq!(counted.account, "222222222222", "{order:?}");
    }
}

#[test]
fn an_update_is_the_same_access_in_either_order() {
    let original = access("e", START, "s", "p");
    for order in [[false, true], [true, false]] {
        let mut ledger = ledger(vec![rule("r")]);
        let mut alerts = Vec::new();
        for is_update in order {
            let record = if is_update { update("u", &original) } else { original.clone() };
            alerts.extend(take(&mut ledger, vec![record], now()));
        }
        assert_eq!(ids(&alerts).len(), 1, "{order:?}");
        assert_eq!(ledger.access("e").unwrap().unwrap().event_id, "u", "{order:?}: the update knows better");
        assert_eq!(ledger.take(vec![original.clone(), update("u", &original)], now()).unwrap().duplicates, 2);
    }
}

#[test]
fn an_update_that_moves_an_access_does_not_tell_of_it_again_but_counts_where_it_belongs() {
    let two = Rule { threshold: 2, group_by: vec![GroupKey::Principal], ..rule("r") };
    let mut ledger = ledger(vec![two]);
    let (a, b) = (access("a", START, "s", "wrong"), access("b", START, "s", "wrong"));
    assert_eq!(ids(&take(&mut ledger, vec![a.clone(), b], now())), ["a", "b"]);

    let mut moved = update("u", &a);
    moved.principal = access("x", START, "s", "right").principal;
    let alerts = take(&mut ledger, vec![moved, access("c", START + 1, "s", "right")], now());
    assert_eq!(ids(&alerts), ["c"], "together they cross, and the moved one was told before");
}

#[test]
fn a_moved_access_is_in_one_place_only() {
    let two = Rule { threshold: 2, ..rule("r") };
    let mut ledger = ledger(vec![two]);
    let a = access("a", START, "s", "p");
    let moved = Access { time: EventTime(START + 1), ..update("u", &a) };
    assert!(take(&mut ledger, vec![a], now()).is_empty());
    assert!(take(&mut ledger, vec![moved], now()).is_empty(), "one access is not two");
    assert_eq!(ids(&take(&mut ledger, vec![access("b", START + 2, "s", "p")], now())), ["u", "b"]);
}

#[test]
fn those_that_crossed_with_a_moved_access_are_not_told_again() {
    let two = Rule { threshold: 2, group_by: vec![GroupKey::Principal], ..rule("r") };
    let mut ledger = ledger(vec![two]);
    let (a, b) = (access("a", START, "s", "p"), access("b", START, "s", "p"));
    assert_eq!(ids(&take(&mut ledger, vec![a.clone(), b], now())), ["a", "b"]);
    let moved = Access { principal: access("x", START, "s", "other").principal, ..update("u", &a) };
    take(&mut ledger, vec![moved], now());
    take(&mut ledger, vec![access("c", START + 1, "s", "p")], later(1));
    ledger.tick(later(2), true).unwrap();
    assert_eq!(ids(&drain(&mut ledger, later(2))), ["c"]);
}

#[test]
fn an_incident_that_has_nothing_to_tell_stays_silent() {
    let mut ledger = Ledger::in_memory(
        with_accounts(vec![Rule { group_by: vec![GroupKey::Account], ..rule("r") }], &["222222222222", "333333333333"]),
        now(),
    )
    .unwrap();
    assert_eq!(ids(&take(&mut ledger, vec![copy("e3", "333333333333", "s", "p")], now())), ["e3"]);
    assert!(take(&mut ledger, vec![copy("e2", "222222222222", "s", "p")], now()).is_empty());
    for id in with_accounts(Vec::new(), &["222222222222", "333333333333"]).sources {
        let mut coverage = ledger.sources()[&id].coverage[EVENT_SOURCE].clone();
        coverage.read(Span { from: coverage.since(), to: later(86_400).second() }, later(86_400));
        ledger.cover(&id, EVENT_SOURCE, coverage).unwrap();
    }
    ledger.tick(later(86_400), true).unwrap();
    assert_eq!(drain(&mut ledger, later(86_400)).len(), 1, "the one that was opened is over; the silent one just ends");
}

#[test]
fn records_that_name_each_other_in_a_chain_are_one_access() {
    let shared = copy("e", CALLER, "S", "p");
    let late_update = Access { shared_event_id: None, ..update("u", &shared) };
    let (e, u1) = (access("e", START, "s", "p"), access("u1", START, "s", "p"));
    let u1 = Access { updates: Some("e".to_owned()), ..u1 };
    let u2 = update("u2", &u1);
    for records in [vec![shared, late_update], vec![e, u1, u2]] {
        for order in permutations(&records) {
            let mut ledger = ledger(vec![rule("r")]);
            let mut told = Vec::new();
            for record in &order {
                told.extend(take(&mut ledger, vec![record.clone()], now()));
            }
            let names: Vec<&String> = order.iter().map(|record| &record.event_id).collect();
            assert_eq!(ids(&told).len(), 1, "{names:?}");
            assert_eq!(ledger.take(order.clone(), now()).unwrap().duplicates, order.len() as u64, "{names:?}");
        }
    }
}

fn permutations(records: &[Access]) -> Vec<Vec<Access>> {
    if records.len() <= 1 {
        return vec![records.to_vec()];
    }
    (0..records.len())
        .flat_map(|first| {
            let mut rest = records.to_vec();
            let first = rest.remove(first);
            permutations(&rest).into_iter().map(move |mut tail| {
                tail.insert(0, first.clone());
                tail
            })
        })
        .collect()
}

#[test]
fn what_is_not_told_yet_is_not_let_go_of() {
    let short = LedgerSettings {
        retention: Duration::from_secs(3600),
        ..settings(vec![Rule { update_every: 40_000, ..rule("r") }])
    };
    let mut ledger = Ledger::in_memory(short, now()).unwrap();
    assert_eq!(ids(&take(&mut ledger, vec![access("a", START + 1799, "s", "p")], now())), ["a"]);
    take(&mut ledger, vec![access("b", START + 1800, "s", "p")], now());
    prune(&mut ledger, later(20_000));
    ledger.tick(later(40_000), false).unwrap();
    assert_eq!(ids(&drain(&mut ledger, later(40_000))), ["b"]);
}

#[test]
fn a_clock_that_is_ahead_deletes_nothing() {
    let mut ledger = ledger(vec![rule("r")]);
    take(&mut ledger, vec![access("a", START, "s", "p")], now());
    ledger.read_through(&source(), now(), now()).unwrap();
    let (gone, _) = ledger.prune(&Sweep::begin(), later(400 * 86_400)).unwrap();
    assert_eq!(gone, 0);
    assert!(ledger.access("a").unwrap().is_some());
}

#[test]
fn watching_that_would_begin_in_the_future_begins_anew() {
    let mut ledger = ledger(vec![rule("r")]);
    let before = now().minus(Duration::from_secs(86_400));
    let (coverage, anew) = ledger.coverage(&source(), EVENT_SOURCE, before);
    assert!(anew);
    assert!(coverage.since() <= before.second());
    read_all(&mut ledger, now());
    assert!(!ledger.coverage(&source(), EVENT_SOURCE, now()).1);
}

#[test]
fn a_storm_that_waits_is_told_whole() {
    let mut ledger = ledger(vec![Rule { group_by: Vec::new(), ..rule("r") }]);
    assert_eq!(ids(&take(&mut ledger, vec![access("first", START, "s", "p")], now())), ["first"]);
    for page in 0..60 {
        let page = (0..50).map(|i| access(&format!("e{page}-{i}"), START + page, "s", "p")).collect();
        assert!(take(&mut ledger, page, now()).is_empty());
    }
    ledger.tick(later(900), false).unwrap();
    let alerts = drain(&mut ledger, later(900));
    let told: BTreeSet<&str> = ids(&alerts).into_iter().collect();
    assert_eq!((told.len(), ids(&alerts).len()), (3000, 3000));
    let mut left = 3000;
    for alert in &alerts {
        left -= alert.accesses.len() as u64;
        assert_eq!((alert.kind, alert.accesses_omitted), (AlertKind::Updated, left));
    }
}

#[test]
fn the_same_id_with_another_content_is_named_and_the_first_stands() {
    let mut ledger = ledger(vec![rule("r")]);
    let first = access("e", START, "s", "p");
    assert_eq!(ids(&take(&mut ledger, vec![first.clone()], now())), ["e"]);
    let again = Access { source_ip: Some("203.0.113.9".to_owned()), ..first.clone() };
    let taken = ledger.take(vec![again, first.clone()], now()).unwrap();
    assert_eq!((taken.duplicates, taken.conflicts), (2, vec!["e".to_owned()]));
    assert_eq!(ledger.access("e").unwrap(), Some(first));
}

#[test]
fn own_inventory_calls_are_kept_and_not_counted() {
    let every = Rule { condition: Condition::default(), ..rule("r") };
    let mut ledger = ledger(vec![every]);
    let own = Access { own: true, event: "ListSecrets".to_owned(), ..access("e", START, "s", "p") };
    assert!(take(&mut ledger, vec![own], now()).is_empty());
    assert!(ledger.access("e").unwrap().is_some());
}

#[test]
fn long_lists_are_split_and_say_what_follows() {
    let mut wide = access("", START, "s", "p");
    wide.user_agent = Some("x".repeat(1000));
    for (template, least) in [(access("", START, "s", "p"), 3), (wide, 6)] {
        let all = Rule { group_by: Vec::new(), threshold: 1100, ..rule("r") };
        let mut ledger = ledger(vec![all]);
        let page: Vec<Access> =
            (0..1100).map(|i| Access { event_id: format!("e{i:04}"), ..template.clone() }).collect();
        let alerts = take(&mut ledger, page, now());
        assert!(alerts.len() >= least, "{} alerts", alerts.len());
        assert_eq!(alerts[0].kind, AlertKind::Opened);
        let mut left = 1100;
        for alert in &alerts {
            left -= alert.accesses.len() as u64;
            assert_eq!(alert.accesses_omitted, left);
            assert_eq!(alert.accesses_total, 1100);
            assert!(alert.accesses.len() <= MAX_ACCESSES);
            assert!(serde_json::to_string(alert).unwrap().len() <= MAX_BYTES);
        }
        assert_eq!(left, 0);
        assert_eq!(ids(&alerts).into_iter().collect::<BTreeSet<_>>().len(), 1100);
    }
}

#[test]
fn equal_accesses_give_equal_ids_after_a_loss_of_state() {
    let page = || (0..20).map(|i| access(&format!("e{i}"), START + i, "s", "p")).collect::<Vec<_>>();
    let told = |at| take(&mut ledger(vec![rule("r")]), page(), at).into_iter().map(|a| (a.id, a.incident));
    assert!(told(now()).eq(told(later(7))));
}

#[test]
fn updates_wait_and_a_flush_does_not() {
    let mut ledger = ledger(vec![rule("r")]);
    assert_eq!(ids(&take(&mut ledger, vec![access("a", START, "s", "p")], now())), ["a"]);
    assert!(take(&mut ledger, vec![access("b", START + 1, "s", "p")], later(1)).is_empty());
    ledger.tick(later(899), false).unwrap();
    assert!(drain(&mut ledger, later(899)).is_empty());
    ledger.tick(later(900), false).unwrap();
    assert_eq!(ids(&drain(&mut ledger, later(900))), ["b"]);
    assert!(take(&mut ledger, vec![access("c", START + 2, "s", "p")], later(901)).is_empty());
    ledger.tick(later(902), true).unwrap();
    assert_eq!(ids(&drain(&mut ledger, later(902))), ["c"]);
}

#[test]
fn over_means_that_hold_has_passed_and_all_is_settled_and_a_late_access_reopens_it() {
    let mut ledger = ledger(vec![rule("r")]);
    take(&mut ledger, vec![access("a", START + 1800, "s", "p")], now());
    ledger.tick(later(5000), false).unwrap();
    assert!(drain(&mut ledger, later(5000)).is_empty(), "nothing of it has settled");

    // Window, hold and lateness have passed, all but a second of it read.
    let nearly = later(60 + 900 + 900 - 1);
    read_all(&mut ledger, nearly);
    ledger.tick(later(5000), false).unwrap();
    assert!(drain(&mut ledger, later(5000)).is_empty(), "one second is missing");

    read_all(&mut ledger, later(5000));
    ledger.tick(later(5000), false).unwrap();
    let over = drain(&mut ledger, later(5000));
    assert_eq!(over.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Resolved]);
    assert!(over[0].accesses.is_empty());

    let again = take(&mut ledger, vec![access("b", START + 1830, "s", "p")], later(5001));
    assert_eq!(again.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Updated]);
    assert_eq!(again[0].incident, over[0].incident);
    ledger.tick(later(5002), false).unwrap();
    assert_eq!(drain(&mut ledger, later(5002))[0].kind, AlertKind::Resolved);
}

fn by(principal: &str) -> Hushed {
    Hushed { principals: vec![format!("*user/{principal}")], ..Hushed::default() }
}

fn all_alerts(ledger: &Ledger) -> Vec<(AlertKind, bool)> {
    let page = ledger.alerts(&AlertQuery { limit: 99, ..AlertQuery::default() }).unwrap();
    page.alerts.iter().rev().map(|alert| (alert.kind, alert.silenced.is_some())).collect()
}

/// Lets all that is open be over.
fn over(ledger: &mut Ledger) -> Vec<AlertKind> {
    read_all(ledger, later(9000));
    ledger.tick(later(9000), true).unwrap();
    drain(ledger, later(9000)).iter().map(|alert| alert.kind).collect()
}

#[test]
fn an_incident_of_which_nothing_was_told_ends_in_silence() {
    let mut ledger = ledger(vec![rule("r")]);
    let silence = ledger.silence(&by("a"), "a move", now(), later(60)).unwrap();
    assert_eq!(take(&mut ledger, vec![access("1", START + 1700, "s", "a")], later(1)), []);
    assert_eq!(take(&mut ledger, vec![access("2", START + 1700, "t", "b")], later(1)).len(), 1, "not meant");
    assert_eq!(take(&mut ledger, vec![access("3", START + 1700, "u", "a")], later(61)).len(), 1, "it is over");
    assert_eq!(over(&mut ledger), [AlertKind::Resolved; 2]);
    let expected = [(AlertKind::Opened, true), (AlertKind::Opened, false), (AlertKind::Opened, false)];
    let alerts = all_alerts(&ledger);
    assert_eq!(alerts[..3], expected);
    assert_eq!(alerts[3..].iter().filter(|(_, silenced)| *silenced).count(), 1);
    let kept = ledger.silences().next().unwrap();
    assert_eq!((&kept.id, kept.alerts, kept.holds(later(60))), (&silence.id, 2, false));
}

#[test]
fn one_access_that_is_not_meant_sends_out_all_and_the_end_too() {
    let mut ledger = ledger(vec![Rule { update_every: 0, ..rule("r") }]);
    ledger.silence(&by("a"), "a move", now(), later(10_000)).unwrap();
    let both = vec![access("1", START + 1700, "s", "a"), access("2", START + 1701, "s", "b")];
    assert_eq!(ids(&take(&mut ledger, both, later(1))), ["1", "2"]);
    assert_eq!(take(&mut ledger, vec![access("3", START + 1702, "s", "a")], later(2)), [], "silenced");
    assert_eq!(over(&mut ledger), [AlertKind::Resolved]);
}

#[test]
fn the_end_of_what_a_told_incident_went_on_in_is_told() {
    let short = Rule { window: 10, hold: 20, update_every: 0, ..rule("r") };
    let mut ledger = ledger(vec![short]);
    ledger.silence(&by("a"), "a move", now(), later(10_000)).unwrap();
    assert_eq!(take(&mut ledger, vec![access("1", START + 1000, "s", "a")], later(1)), []);
    let told = take(&mut ledger, vec![access("2", START + 1050, "s", "b")], later(2));
    assert_eq!(told.len(), 1);
    let merged = take(&mut ledger, vec![access("3", START + 1025, "s", "a")], later(3));
    assert_eq!(merged.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Resolved], "{merged:#?}");
    assert_eq!(merged[0].incident, told[0].incident);
    let end = over(&mut ledger);
    assert_eq!(end, [AlertKind::Resolved], "else it would be open for ever");
}

#[test]
fn a_silence_survives_a_restart_and_goes_with_the_retention() {
    let disk = SimulatedDisk::new();
    let open = |at| Ledger::simulated(&disk, settings(vec![rule("r")]), at).unwrap();
    let silence = open(now()).silence(&by("a"), "a move", now(), later(60)).unwrap();
    let mut ledger = Ledger::simulated(&disk, settings(vec![rule("r")]), later(1)).unwrap();
    assert_eq!(ledger.silences().collect::<Vec<_>>(), [&silence]);
    assert_eq!(ledger.end_silence("other", later(2)).unwrap(), None);
    let ended = ledger.end_silence(&silence.id, later(2)).unwrap().unwrap();
    assert_eq!((ended.end(), ended.holds(later(2)), ended.holds(later(1))), (later(2), false, true));
    prune(&mut ledger, later(29 * 86_400));
    assert_eq!(ledger.silences().count(), 1);
    prune(&mut ledger, later(31 * 86_400));
    assert_eq!(ledger.silences().count(), 0);
    drop(ledger);
    assert_eq!(open(later(31 * 86_400)).silences().count(), 0);
}

#[test]
fn what_was_queued_anew_while_it_was_tried_is_settled_by_acceptance_alone() {
    let mut ledger = ledger(vec![rule("r")]);
    ledger.take(vec![access("1", START + 1700, "s", "p")], now()).unwrap();
    let Next::Send(tried) = ledger.next("all", now(), None).unwrap() else { panic!("an alert") };
    let id = tried.alert.id.clone();
    let resent = ledger.resend(&[id.clone(), "other".to_owned()], later(5)).unwrap();
    let queued = Resent { notifier: "all".to_owned(), outcome: Resend::Queued };
    assert_eq!(resent, [(id, Some(vec![queued])), ("other".to_owned(), None)]);
    let error = || "no".to_owned();
    for failed in [
        Settlement::Dead { at: later(6), error: error() },
        Settlement::Retry { at: later(999), attempts: 7, parked: true, error: error() },
    ] {
        ledger.settle(&tried, &failed).unwrap();
        let Next::Send(again) = ledger.next("all", later(6), None).unwrap() else { panic!("it is due at once") };
        assert_eq!((again.attempts, again.queued), (0, later(5)));
    }
    ledger.settle(&tried, &Settlement::Accepted { at: later(7) }).unwrap();
    assert_eq!(ledger.next("all", later(8), None).unwrap(), Next::Idle);
}

#[test]
fn when_two_incidents_join_the_first_goes_on() {
    let short = Rule { window: 10, hold: 20, threshold: 2, ..rule("r") };
    let mut ledger = ledger(vec![short]);
    let pair = |id: &str, at| vec![access(&format!("{id}1"), at, "s", "p"), access(&format!("{id}2"), at, "s", "p")];
    let late = take(&mut ledger, pair("late", START + 50), now());
    let early = take(&mut ledger, pair("early", START), later(1));
    assert_ne!(late[0].incident, early[0].incident);
    take(&mut ledger, vec![access("waiting", START, "s", "p")], later(2));

    let joined = take(&mut ledger, pair("between", START + 25), later(3));
    let lost = joined.iter().find(|alert| alert.kind == AlertKind::Resolved).unwrap();
    assert_eq!((&lost.incident, lost.merged_into.as_ref()), (&early[0].incident, Some(&late[0].incident)));
    assert!(lost.accesses.is_empty());

    ledger.tick(later(4), true).unwrap();
    let rest = drain(&mut ledger, later(4));
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].incident, late[0].incident);
    assert_eq!(ids(&rest), ["waiting", "between1", "between2"]);
    assert_eq!(rest[0].accesses_total, 7);
}

#[test]
fn a_changed_rule_ends_its_incidents_and_counts_what_is_within_backfill() {
    let dir = tempfile::tempdir().unwrap();
    let open = |rule: Rule, at| Ledger::open(dir.path(), settings(vec![rule]), at).unwrap();
    let old = |hours: i64| access("old", now().second().0 - hours * 3600, "s", "p");
    {
        let mut ledger = open(rule("r"), now().minus(Duration::from_secs(7200)));
        assert_eq!(ids(&take(&mut ledger, vec![old(2), access("a", START + 1700, "s", "p")], now())), ["old", "a"]);
    }
    {
        let mut reworded = rule("r");
        reworded.description = Some("other words".to_owned());
        reworded.hold = 60;
        let mut ledger = open(reworded, now());
        assert!(drain(&mut ledger, now()).is_empty(), "words change nothing");
    }
    let mut changed = rule("r");
    changed.window = 61;
    {
        let mut ledger = open(changed.clone(), now());
        let alerts = drain(&mut ledger, now());
        let (ended, anew): (Vec<_>, Vec<_>) = alerts.iter().partition(|alert| alert.kind == AlertKind::Resolved);
        assert!(ended.iter().all(|alert| alert.reason.as_deref() == Some("rule changed")));
        assert_eq!(ended.len(), 2);
        assert_eq!(anew.iter().flat_map(|alert| &alert.accesses).map(|a| &a.event_id).collect::<Vec<_>>(), ["a"]);
    }
    {
        let mut ledger = open(changed, now());
        assert!(drain(&mut ledger, now()).is_empty());
    }
    let mut ledger = Ledger::open(dir.path(), settings(Vec::new()), now()).unwrap();
    let removed = drain(&mut ledger, now());
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].reason.as_deref(), Some("rule removed"));
}

#[test]
fn in_a_single_run_nobody_is_blind_before_its_end() {
    let (one, other) = (source_of(OWNER), source_of(CALLER));
    let settings = with_accounts(vec![rule("r")], &[OWNER, CALLER]);
    let settings = LedgerSettings { stale_after: Duration::from_secs(900), ..settings };
    let mut ledger = Ledger::in_memory(settings, now()).unwrap();
    [&one, &other].iter().for_each(|source| ledger.read_through(source, now(), now()).unwrap());
    // An hour later, by the next line of a crontab.
    ledger.read_through(&one, later(3600), later(3600)).unwrap();
    ledger.tick_after_pass(later(3600)).unwrap();
    assert_eq!(drain(&mut ledger, later(3600)), [], "the other's pass is under way");
    ledger.tick(later(3601), true).unwrap();
    let blind = drain(&mut ledger, later(3601));
    assert_eq!(blind.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Blind]);
    assert_eq!(blind[0].group["account"].as_deref(), Some(CALLER));
}

#[test]
fn a_source_that_is_not_read_through_is_blind_and_then_sighted_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let open = |at| {
        let stale = LedgerSettings { stale_after: Duration::from_secs(900), ..settings(vec![rule("r")]) };
        Ledger::open(dir.path(), stale, at).unwrap()
    };
    let mut ledger = open(now());
    ledger.not_read_through(&source(), Trouble::OutOfTime);
    ledger.obstructed(&source(), Trouble::Throttled { in_a_row: 3 });
    ledger.tick(later(900), false).unwrap();
    assert!(drain(&mut ledger, later(900)).is_empty());
    ledger.tick(later(901), false).unwrap();
    let blind = drain(&mut ledger, later(901));
    assert_eq!(blind.len(), 1);
    let trouble = Trouble::Throttled { in_a_row: 3 };
    assert_eq!((blind[0].kind, blind[0].reason.clone()), (AlertKind::Blind, Some(trouble.to_string())));
    assert_eq!((blind[0].trouble.as_deref(), &blind[0].advice), (Some("throttled"), &trouble.advice()));
    drop(ledger);

    let mut ledger = open(later(950));
    ledger.tick(later(1000), false).unwrap();
    assert!(drain(&mut ledger, later(1000)).is_empty(), "said once, over restarts too");
    ledger.read_through(&source(), later(1001), later(1002)).unwrap();
    let sighted = drain(&mut ledger, later(1002));
    assert_eq!((sighted[0].kind, &sighted[0].incident), (AlertKind::Sighted, &blind[0].incident));
    assert_ne!(sighted[0].id, blind[0].id);
    ledger.read_through(&source(), later(1003), later(1004)).unwrap();
    assert!(drain(&mut ledger, later(1004)).is_empty());
}

#[test]
fn what_is_older_than_the_retention_goes_and_what_is_waiting_stays() {
    let mut ledger = ledger(vec![rule("r")]);
    let page: Vec<Access> = (0..300).map(|i| access(&format!("e{i}"), START + i, &format!("s{i}"), "p")).collect();
    ledger.take(page, now()).unwrap();
    let Next::Send(first) = ledger.next("all", now(), None).unwrap() else { panic!("nothing queued") };
    ledger.settle(&first, &Settlement::Accepted { at: now() }).unwrap();

    let long_after = later(31 * 86_400);
    read_all(&mut ledger, long_after);
    ledger.tick(long_after, false).unwrap();
    prune(&mut ledger, long_after);
    assert_eq!(ledger.access("e5").unwrap(), None);
    let waiting = drain(&mut ledger, long_after);
    assert_eq!(waiting.iter().filter(|alert| alert.kind == AlertKind::Opened).count(), 299);
    assert_eq!(waiting.iter().filter(|alert| alert.kind == AlertKind::Resolved).count(), 300);

    prune(&mut ledger, later(70 * 86_400));
    assert!(ledger.bytes().unwrap() < 2_000, "{} bytes left", ledger.bytes().unwrap());
    let old = ledger.take(vec![access("too old", START, "s", "p")], long_after).unwrap();
    assert_eq!((old.too_old, old.accesses()), (1, 0));
}

#[test]
fn an_incident_that_never_ends_does_not_keep_all_that_it_ever_covered() {
    let mut ledger = ledger(vec![rule("r")]);
    let mut at = START;
    for day in 0..40 {
        for i in 0..100 {
            at += 864;
            let page = vec![access(&format!("e{day}-{i}"), at, "s", "p")];
            ledger.take(page, EventTime(at).wall()).unwrap();
            ledger.tick(EventTime(at).wall(), false).unwrap();
        }
        drain(&mut ledger, EventTime(at).wall());
    }
    let end = EventTime(at).wall();
    read_all(&mut ledger, end);
    // One access waits to be told, as nearly always.
    ledger.take(vec![access("last", at + 1, "s", "p")], end).unwrap();
    assert_eq!(ledger.open_incidents()["r"], 1);
    prune(&mut ledger, end);
    assert_eq!(ledger.access("e5-0").unwrap(), None);
    assert!(ledger.access("e30-0").unwrap().is_some());
    ledger.tick(end.plus(Duration::from_secs(901)), false).unwrap();
    assert!(drain(&mut ledger, end).iter().any(|alert| alert.accesses.iter().any(|access| access.event_id == "last")));
}

#[test]
fn what_an_old_version_of_a_rule_has_counted_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut changed = rule("r");
    changed.window = 61;
    for rule in [rule("r"), changed] {
        let mut ledger = Ledger::open(dir.path(), settings(vec![rule]), now()).unwrap();
        let page = (0..50).map(|i| access(&format!("e{i}"), START + 1700, &format!("s{i}"), "p")).collect();
        ledger.take(page, now()).unwrap();
        drain(&mut ledger, now());
    }
    let mut ledger = Ledger::open(dir.path(), settings(Vec::new()), now()).unwrap();
    drain(&mut ledger, now());
    prune(&mut ledger, later(70 * 86_400));
    drop(ledger);
    let db = sled_in(dir.path());
    let left: Vec<_> = db.iter().map(|row| row.unwrap().0[0] as char).collect();
    assert_eq!(left, ['c', 'v', 'w'], "a source, the schema version and the number of writes");
}

#[test]
fn a_dead_letter_keeps_its_text_and_its_chain_goes_on() {
    let mut ledger = ledger(vec![Rule { update_every: 0, ..rule("r") }]);
    ledger.take(vec![access("a", START, "s", "p")], now()).unwrap();
    ledger.take(vec![access("b", START + 1, "s", "p")], now()).unwrap();
    ledger.tick(now(), false).unwrap();
    let Next::Send(opened) = ledger.next("all", now(), None).unwrap() else { panic!("nothing queued") };
    let refused = Settlement::Retry { at: later(60), attempts: 1, parked: true, error: "403".to_owned() };
    ledger.settle(&opened, &refused).unwrap();
    assert_eq!(ledger.next("all", now(), None).unwrap(), Next::Wait(later(60)), "the chain waits for its head");
    ledger.settle(&opened, &Settlement::Dead { at: later(60), error: "403".to_owned() }).unwrap();
    let Next::Send(next) = ledger.next("all", later(60), None).unwrap() else { panic!("the chain is stuck") };
    assert_eq!(next.alert.kind, AlertKind::Updated);
}

#[test]
fn what_a_fallback_has_taken_is_over_and_the_chain_goes_on() {
    let mut ledger = ledger(vec![Rule { update_every: 0, ..rule("r") }]);
    ledger.take(vec![access("a", START, "s", "p")], now()).unwrap();
    ledger.take(vec![access("b", START + 1, "s", "p")], now()).unwrap();
    ledger.tick(now(), false).unwrap();
    let Next::Send(opened) = ledger.next("all", now(), None).unwrap() else { panic!("nothing queued") };
    ledger.settle(&opened, &Settlement::Diverted { at: now(), by: "other".to_owned() }).unwrap();
    let Next::Send(next) = ledger.next("all", now(), None).unwrap() else { panic!("the chain is stuck") };
    assert_eq!((next.alert.kind, ledger.undelivered().unwrap()), (AlertKind::Updated, 1));
}

#[test]
fn only_heads_that_are_due_and_alike_and_were_not_refused_may_share_a_message() {
    let mut ledger =
        ledger(vec![Rule { update_every: 0, ..rule("r") }, Rule { severity: Severity::High, ..rule("q") }]);
    let page: Vec<Access> = (0..6).map(|i| access(&format!("e{i}"), START + i, &format!("s{i}"), "p")).collect();
    ledger.take(page, now()).unwrap();
    ledger.take(vec![access("more", START + 7, "s1", "p")], now()).unwrap();
    ledger.tick(now(), false).unwrap();
    let Next::Send(first) = ledger.next("all", now(), None).unwrap() else { panic!("nothing queued") };
    let beside = |ledger: &Ledger, at, but: Option<&std::collections::HashSet<String>>, most| {
        ledger.beside(&first, at, but, most).unwrap()
    };
    // Of each incident the first alone, and none of the other rule.
    let others = beside(&ledger, now(), None, 10);
    assert_eq!(others.len(), 5, "{others:#?}");
    assert!(others.iter().all(|it| it.alert.kind == AlertKind::Opened && it.alert.rule.name == first.alert.rule.name));
    assert_eq!(beside(&ledger, now(), None, 2).len(), 2);

    let later_on = Settlement::Retry { at: later(60), attempts: 1, parked: false, error: "down".to_owned() };
    ledger.settle(&others[0], &later_on).unwrap();
    let refused = Settlement::Retry { at: now(), attempts: 1, parked: true, error: "403".to_owned() };
    ledger.settle(&others[1], &refused).unwrap();
    assert_eq!(beside(&ledger, now(), None, 10).len(), 3);
    assert_eq!(beside(&ledger, later(60), None, 10).len(), 4);
    let held = [others[2].alert.incident.clone()].into();
    assert_eq!(beside(&ledger, now(), Some(&held), 10).len(), 3, "stored times do not matter, what is held does");
}

#[test]
fn another_account_behind_the_same_source_is_watched_from_the_beginning() {
    let mut ledger = ledger(vec![rule("r")]);
    read_all(&mut ledger, now());
    assert!(!ledger.identify(&source(), "111122223333", now()).unwrap());
    assert!(!ledger.identify(&source(), "111122223333", now()).unwrap());
    let read = |ledger: &Ledger| {
        let coverage = &ledger.sources()[&source()].coverage[EVENT_SOURCE];
        coverage.unread(Span { from: coverage.since(), to: now().second() }).is_empty()
    };
    assert!(read(&ledger));
    assert!(ledger.identify(&source(), "999999999999", now()).unwrap());
    assert!(!read(&ledger));
}

#[test]
fn a_store_from_the_future_and_one_that_is_in_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Ledger::open(dir.path(), settings(vec![rule("r")]), now());
    let held = open().unwrap();
    assert!(matches!(open(), Err(StoreError::Locked(path)) if path == dir.path()));
    drop(held);
    let db = sled_in(dir.path());
    db.insert(b"v", &4u32.to_be_bytes()).unwrap();
    db.flush().unwrap();
    drop(db);
    let Err(error) = open() else { panic!("opened") };
    assert!(matches!(error, StoreError::Newer { found: 4, known: 3, .. }), "{error}");
}

/// The store itself, once the ledger has let go of it: sled does that in the background.
fn sled_in(state_dir: &std::path::Path) -> sled::Db {
    loop {
        if let Ok(db) = sled::open(state_dir.join("db")) {
            return db;
        }
        std::thread::yield_now();
    }
}

/// Records of a few accesses as they may come: alone, with updates, or as two accounts' copies.
fn records() -> impl Strategy<Value = Vec<Access>> {
    prop::collection::vec((0i64..200, 0..3u8, 0..4u8), 1..25).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .flat_map(|(i, (at, secret, how))| {
                let mut plain = access(&format!("e{i}"), START + at, &format!("s{secret}"), "p");
                match how {
                    0 => vec![plain],
                    1 => vec![update(&format!("u{i}"), &plain), plain],
                    _ => {
                        plain.shared_event_id = Some(format!("shared{i}"));
                        let twin = Access {
                            event_id: format!("t{i}"),
                            account: if how == 2 { OWNER.to_owned() } else { "000000000001".to_owned() },
                            ..plain.clone()
                        };
                        vec![plain, twin]
                    }
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(crate::cases(64))]

    #[test]
    fn records_of_one_access_are_one_access_in_every_order(
        (records, order, cut) in records().prop_flat_map(|records| {
            let order = Just((0..records.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(records), order, 1usize..6)
        })
    ) {
        let rule = Rule { threshold: 3, window: 60, group_by: vec![GroupKey::Secret], ..rule("r") };
        let mut ledger = Ledger::in_memory(with_accounts(vec![rule.clone()], &[OWNER, CALLER]), now()).unwrap();
        let mut told: BTreeSet<String> = BTreeSet::new();
        for page in order.chunks(cut) {
            ledger.take(page.iter().map(|&i| records[i].clone()).collect(), now()).unwrap();
            ledger.tick(now(), true).unwrap();
            for access in drain(&mut ledger, now()).iter().flat_map(|alert| &alert.accesses) {
                prop_assert!(told.insert(access.identity().to_owned()), "{} twice", access.identity());
            }
        }
        let mut once: BTreeMap<&str, i64> = BTreeMap::new();
        let mut secret: BTreeMap<&str, &str> = BTreeMap::new();
        for record in &records {
            once.insert(record.identity(), record.time.0);
            secret.insert(record.identity(), &record.secret.as_ref().unwrap().name);
        }
        let mut expected = BTreeSet::new();
        for (end, at) in &once {
            let window: Vec<_> = once
                .iter()
                .filter(|(id, time)| secret[*id] == secret[end] && at - 60 < **time && *time <= at)
                .map(|(id, _)| (*id).to_owned())
                .collect();
            if window.len() >= 3 {
                expected.extend(window);
            }
        }
        prop_assert_eq!(told, expected);
    }
}

proptest! {
    #![proptest_config(crate::cases(96))]

    #[test]
    fn updates_that_say_something_else_tell_of_nothing_twice(
        accesses in prop::collection::vec((0i64..120, 0..2u8), 2..12),
        updates in prop::collection::vec((0usize..12, 0i64..120, 0..2u8), 1..8),
        (threshold, window, seed) in (1u64..4, 1i64..60, any::<u64>()),
    ) {
        let rule = Rule { threshold, window, hold: 30, group_by: vec![GroupKey::Secret], ..rule("r") };
        let mut ledger = ledger(vec![rule]);
        let base: Vec<Access> = accesses
            .iter()
            .enumerate()
            .map(|(i, (at, secret))| access(&format!("e{i}"), START + at, &format!("s{secret}"), "p"))
            .collect();
        let mut records = base.clone();
        for (i, (of, at, secret)) in updates.iter().enumerate() {
            let moved = access("", START + at, &format!("s{secret}"), "p");
            records.push(update(&format!("u{i}"), &Access { event_id: format!("e{}", of % base.len()), ..moved }));
        }
        // Any order at all, from one number.
        records.sort_by_key(|record| {
            let id = record.event_id.bytes().fold(seed, |hash, byte| hash.rotate_left(7).wrapping_mul(31) ^ u64::from(byte));
            id.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let mut told = BTreeSet::new();
        for page in records.chunks(3) {
            ledger.take(page.to_vec(), now()).unwrap();
            ledger.tick(now(), true).unwrap();
            for alert in drain(&mut ledger, now()) {
                prop_assert!(alert.kind == AlertKind::Resolved || !alert.accesses.is_empty());
                for access in &alert.accesses {
                    prop_assert!(told.insert(access.identity().to_owned()), "{} twice", access.identity());
                }
            }
        }
        if threshold == 1 {
            prop_assert_eq!(told.len(), base.len());
        }
    }
}

#[test]
fn sources_that_are_not_configured_are_nobodys_business() {
    let mut ledger = ledger(vec![rule("r")]);
    let stranger = SourceId { account: "x".to_owned(), region: "y".to_owned() };
    ledger.read_through(&stranger, now(), now()).unwrap();
    assert!(!ledger.sources().contains_key(&stranger));
}

#[test]
fn health_tells_of_the_source_and_the_notifier_that_are_worst() {
    let accounts = ["111111111111", "222222222222", "333333333333"];
    let recipient = |name: &str| Recipient { name: name.to_owned(), min_severity: Severity::Info, send_resolved: true };
    let settings = LedgerSettings {
        recipients: vec![recipient("a"), recipient("b")],
        stale_after: Duration::from_secs(900),
        ..with_accounts(vec![Rule { notify: vec!["a".to_owned(), "b".to_owned()], ..rule("r") }], &accounts)
    };
    let mut ledger = Ledger::in_memory(settings, now()).unwrap();
    let id = |account: &str| SourceId { account: account.to_owned(), region: source().region };
    let stalest = |ledger: &Ledger| {
        let stalest = ledger.health(now()).unwrap().stalest.unwrap();
        (stalest.source.account, stalest.read_through, stalest.blind)
    };

    // One that was never read comes before all that were, and a blind one before that.
    ledger.read_through(&id(accounts[0]), later(10), later(10)).unwrap();
    ledger.read_through(&id(accounts[2]), later(5), later(5)).unwrap();
    assert_eq!(stalest(&ledger), (accounts[1].to_owned(), None, false));
    ledger.read_through(&id(accounts[1]), later(20), later(20)).unwrap();
    assert_eq!(stalest(&ledger), (accounts[2].to_owned(), Some(later(5)), false));
    ledger.tick(later(5 + 901), false).unwrap();
    ledger.read_through(&id(accounts[2]), later(5), later(2000)).unwrap();
    assert_eq!(stalest(&ledger), (accounts[2].to_owned(), Some(later(2000)), true), "too slow to see");

    let slowest = |ledger: &Ledger| ledger.health(now()).unwrap().slowest.map(|row| (row.notifier, row.queued));
    let deliver = |ledger: &mut Ledger, notifier: &str, settlement: &Settlement| {
        let Next::Send(delivery) = ledger.next(notifier, later(9000), None).unwrap() else { panic!("nothing to send") };
        ledger.settle(&delivery, settlement).unwrap();
    };
    assert_eq!(slowest(&ledger), Some(("a".to_owned(), later(906))), "the alert that it is blind");
    let accepted = Settlement::Accepted { at: later(9000) };
    deliver(&mut ledger, "a", &accepted);
    assert_eq!(slowest(&ledger), Some(("b".to_owned(), later(906))));
    deliver(&mut ledger, "b", &Settlement::Dead { at: later(9000), error: "gone".to_owned() });
    assert_eq!(slowest(&ledger), None, "a dead letter waits for nothing");
    ledger.take(vec![access("e", START, "s", "p")], later(3000)).unwrap();
    deliver(
        &mut ledger,
        "a",
        &Settlement::Retry { at: later(9999), attempts: 1, parked: true, error: "no".to_owned() },
    );
    deliver(&mut ledger, "b", &accepted);
    assert_eq!(slowest(&ledger), Some(("a".to_owned(), later(3000))), "one that is refused waits on");
}

#[test]
fn how_late_events_were_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let open = || Ledger::open(folder.path(), settings(vec![rule("r")]), now()).unwrap();
    let mut ledger = open();
    ledger.saw(&source(), &[minutes(3), minutes(4)]);
    ledger.saw(&SourceId { account: "nobody".to_owned(), region: "nowhere".to_owned() }, &[minutes(9)]);
    read_all(&mut ledger, now());
    ledger.sync().unwrap();
    drop(ledger);

    let mut ledger = open();
    let lately = ledger.sources()[&source()].visibility.lately();
    assert_eq!((lately.count(), lately.sum()), (2, minutes(7)));
    assert_eq!(ledger.sources()[&source()].visibility.quantile(0.5), Some(minutes(3)));

    // Another account's events say nothing about this one's.
    ledger.identify(&source(), "111111111111", now()).unwrap();
    ledger.identify(&source(), "222222222222", now()).unwrap();
    assert_eq!(ledger.sources()[&source()].visibility.lately().count(), 0);
}

#[test]
fn an_answer_ends_what_stood_in_the_way_and_not_how_the_last_pass_ended() {
    let why = |ledger: &Ledger| ledger.health(now()).unwrap().stalest.and_then(|stalest| stalest.why);
    let (denied, throttled) = (Trouble::Denied("no".to_owned()), Trouble::Throttled { in_a_row: 2 });
    let mut ledger = ledger(vec![rule("r")]);
    ledger.not_read_through(&source(), denied.clone());
    ledger.obstructed(&source(), throttled.clone());
    assert_eq!(why(&ledger), Some(throttled));
    read_all(&mut ledger, now());
    assert_eq!(why(&ledger), Some(denied));
    ledger.read_through(&source(), now(), now()).unwrap();
    assert_eq!(why(&ledger), None);
}

#[test]
fn a_clock_that_was_ahead_does_not_keep_a_source_from_being_blind() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = later(7_200);
    let stale_after = Duration::from_secs(900);
    let stale = LedgerSettings { awake_since: Some(ahead), stale_after, ..settings(vec![rule("r")]) };
    let mut ledger = Ledger::open(dir.path(), stale, ahead).unwrap();
    ledger.read_through(&source(), ahead, ahead).unwrap();
    ledger.tick(now(), false).unwrap();
    ledger.tick(later(901), false).unwrap();
    assert_eq!(drain(&mut ledger, later(901)).iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::Blind]);
}
