//! Reports of a ledger in memory, against counting by hand.

use std::time::Duration;

use proptest::prelude::*;

use super::super::fixture::ledger;
use super::super::protocol::Says;
use super::*;
use crate::model::fixture::{START, access};
use crate::model::{Access, Secret};
use crate::store::Ledger;

/// When everything is asked.
const NOW: EventTime = EventTime(START.0);

/// How far back a report goes; the ledger keeps a day.
const PERIOD: i64 = 6 * HOUR;

fn made(number: usize, ago: i64, secret: Option<u8>, principal: u8, outcome: Outcome, own: bool) -> Access {
    let mut made = access(0);
    made.event_id = format!("e{number}");
    made.time = NOW.minus(ago);
    made.secret = secret.map(|it| Secret { name: format!("s{it}"), ..made.secret.clone().unwrap() });
    made.principal.arn = Some(format!("arn:aws:iam::111122223333:role/p{principal}"));
    made.source_ip = Some(format!("192.0.2.{principal}"));
    (made.outcome, made.own) = (outcome, own);
    made
}

fn filled(accesses: &[Access]) -> Ledger {
    let mut ledger = ledger();
    for page in accesses.chunks(50) {
        ledger.take(page.to_vec(), NOW.wall()).unwrap();
    }
    ledger
}

fn asked(ledger: &Ledger) -> Report {
    let mut inquiry = Inquiry::new(NOW.minus(PERIOD), NOW.wall(), 1_000);
    while let Some(ask) = inquiry.next() {
        match ask.answer(ledger, NOW.wall()).unwrap() {
            Says::Answer(answer) => assert!(inquiry.hear(answer)),
            Says::Refusal(refusal) => panic!("{}", refusal.message),
        }
    }
    inquiry.report()
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Success), Just(Outcome::Denied), Just(Outcome::Failed)]
}

fn counted<'a>(accesses: impl Iterator<Item = &'a Access>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    accesses.for_each(|access| outcomes.add(access.outcome, 1));
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_report_counts_what_there_is(
        drawn in prop::collection::vec(
            (0..86_000_i64, prop::option::weighted(0.8, 0..4_u8), 0..4_u8, outcomes(), prop::bool::weighted(0.1)),
            0..120,
        )
    ) {
        let accesses: Vec<Access> = drawn
            .into_iter()
            .enumerate()
            .map(|(number, (ago, secret, principal, outcome, own))| made(number, ago, secret, principal, outcome, own))
            .collect();
        let report = asked(&filled(&accesses));
        let during = || accesses.iter().filter(|it| !it.own && it.time >= NOW.minus(PERIOD));
        let before = || accesses.iter().filter(|it| !it.own && it.time < NOW.minus(PERIOD));
        prop_assert_eq!(report.accesses, counted(during()));
        let mut over_time = Outcomes::default();
        report.over_time.iter().for_each(|it| over_time.absorb(it.accesses));
        prop_assert_eq!(over_time, report.accesses);
        let name = |access: &Access| access.secret.as_ref().map(|secret| secret.name.clone());
        for line in &report.by_secret.shown {
            let its = || during().filter(|it| name(it).as_ref() == Some(&line.secret));
            let principals: BTreeSet<String> = its().map(|it| it.principal.key()).collect();
            prop_assert_eq!((line.accesses, line.principals), (counted(its()), principals.len() as u64));
            prop_assert_eq!(Some(line.last), its().map(|it| it.time).max());
        }
        let secrets: BTreeSet<String> = during().filter_map(name).collect();
        prop_assert_eq!(report.secrets, secrets.len() as u64);
        for line in &report.by_principal.shown {
            let its = || during().filter(|it| it.principal.key() == line.principal);
            let secrets: BTreeSet<String> = its().filter_map(name).collect();
            prop_assert_eq!((line.accesses, line.secrets), (counted(its()), secrets.len() as u64));
        }
        let pairs = |of: &mut dyn Iterator<Item = &Access>| -> BTreeSet<(String, String)> {
            of.filter_map(|it| Some((it.principal.key(), name(it)?))).collect()
        };
        let (known, came) = (pairs(&mut before()), pairs(&mut during()));
        let new: Option<BTreeSet<(String, String)>> = report
            .new_pairs
            .map(|new| new.shown.into_iter().map(|line| (line.principal, line.secret)).collect());
        let is_past_known = accesses.iter().any(|it| it.time < NOW.minus(PERIOD));
        prop_assert_eq!(new, is_past_known.then(|| came.difference(&known).cloned().collect()));
        let denied: u64 = report.denied.shown.iter().map(|line| line.count).sum();
        prop_assert_eq!(denied, report.accesses.denied);
        prop_assert_eq!(report.known_from, accesses.iter().map(|it| it.time).min());
    }
}

#[test]
fn more_than_a_slice_is_counted_whole_and_once() {
    let accesses: Vec<Access> =
        (0..12_000_i64).map(|n| made(usize::try_from(n).unwrap(), n, Some(1), 1, Outcome::Success, false)).collect();
    let report = asked(&filled(&accesses));
    assert_eq!((report.accesses.all, report.by_secret.shown[0].accesses.all), (12_000, 12_000));
}

#[test]
fn blind_times_are_paired_and_cut_to_the_period() {
    let alert = |kind, incident: &str, ago: i64| AlertSight {
        id: String::new(),
        incident: incident.to_owned(),
        kind,
        rule: "secretwatch".to_owned(),
        severity: Severity::High,
        decided: NOW.minus(ago).wall(),
        accesses: 0,
        summary: incident.to_owned(),
        silenced: None,
        notifiers: Vec::new(),
    };
    let mut inquiry = Inquiry::new(NOW.minus(PERIOD), NOW.wall(), 10);
    for alert in [
        alert(AlertKind::Blind, "still", 60),
        alert(AlertKind::Sighted, "short", 500),
        alert(AlertKind::Blind, "short", 600),
        alert(AlertKind::Sighted, "reaches in", PERIOD - 30),
        alert(AlertKind::Blind, "reaches in", PERIOD + 3_600),
        alert(AlertKind::Sighted, "long ago", PERIOD + 7_000),
        alert(AlertKind::Blind, "long ago", PERIOD + 8_000),
    ] {
        inquiry.add_alert(alert);
    }
    let report = inquiry.report();
    let told: Vec<(&str, u64, bool)> =
        report.blind.iter().map(|line| (line.summary.as_str(), line.seconds, line.until.is_none())).collect();
    assert_eq!(told, [("still", 60, true), ("short", 100, false), ("reaches in", 30, false)]);
    assert_eq!(report.alerts, BTreeMap::from([("blind".to_owned(), 2), ("sighted".to_owned(), 2)]));
    assert_eq!(Duration::from_secs(report.blind_seconds()), Duration::from_secs(190));
}
