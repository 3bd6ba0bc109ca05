//! What goes wrong on the way from AWS, and what AWS itself says wrongly: each with the right alerts all the same, with
//! something in the log, and without a panic.

use std::collections::BTreeSet;
use std::time::Duration;

use secretwatch::demo::{Account, Answered, Call, Fault, Injection, Record, Settings, Spoiled};
use secretwatch::model::WallTime;
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{Ended, Rig};

/// Whether `call` asks for the first page of a reading.
fn first(call: &Call) -> bool {
    call.operation == "LookupEvents" && call.parameters.get("NextToken").is_none()
}

/// Whether it asks for a later one.
fn later(call: &Call) -> bool {
    call.operation == "LookupEvents" && call.parameters.get("NextToken").is_some()
}

fn any(call: &Call) -> bool {
    call.operation == "LookupEvents"
}

/// A fault that a pass gets over: how often it strikes which calls, and what is said about it.
type Case = (&'static str, fn(&Call) -> bool, Fault, usize, &'static str);

fn gets_over() -> Vec<Case> {
    vec![
        ("throttled at once", first, Fault::throttled(), 2, "throttled=2"),
        ("throttled half way", later, Fault::throttled(), 2, "throttled=2"),
        ("throttled otherwise", later, Fault::error(400, "Throttling", "Rate exceeded"), 1, "throttled=1"),
        ("a 500", later, Fault::internal(), 2, "InternalFailure"),
        ("a 503", first, Fault::unavailable(), 2, "ServiceUnavailable"),
        ("a cut body", later, Fault::CutBody, 2, "lookup failed"),
        ("garbled JSON", first, Fault::Garbled, 1, "lookup failed"),
        ("an empty 200", later, Fault::Empty, 1, "the reply is empty"),
        ("an empty 200 at once", first, Fault::Empty, 1, "the reply is empty"),
        ("a refused token", later, Fault::RefuseToken, 1, "page token refused"),
        ("two refused tokens", later, Fault::RefuseToken, 2, "page token refused"),
        ("a page in the wrong order", first, Fault::Page(Spoiled::Reversed), 1, "out of order"),
        ("pages in the wrong order", any, Fault::Page(Spoiled::Reversed), 9, "out of order"),
        ("short pages", any, Fault::Page(Spoiled::Short), 2, "pass"),
        ("no identity", |call| call.operation == "GetCallerIdentity", Fault::denied(), 9, "identity unknown"),
    ]
}

/// A fault that ends the pass: the next run makes it good.
fn gives_up() -> Vec<Case> {
    vec![
        ("a 500 that stays", later, Fault::internal(), 4, "InternalFailure"),
        ("garbled for good", first, Fault::Garbled, 4, "pass incomplete"),
        ("denied half way", later, Fault::denied(), 1, "AccessDeniedException"),
        ("expired credentials", first, Fault::error(400, "ExpiredTokenException", "expired"), 1, "ExpiredToken"),
        ("a request that is wrong", first, Fault::error(400, "InvalidTimeRangeException", "no"), 1, "InvalidTimeRange"),
    ]
}

/// 120 reads of three secrets; three pages.
async fn busy() -> (Rig, BTreeSet<String>) {
    let rig = Rig::new().await;
    let expected = (0..120).map(|event| rig.read(["a", "b", "c"][event % 3], 600 + event as i64)).collect();
    (rig, expected)
}

/// A single run that tells everything, retried lookups too.
async fn once_in_detail(rig: &Rig) -> Ended {
    rig.start(&["--once", "-v"]).ended().await
}

async fn play((what, strikes, fault, times, words): Case, status: i32) {
    let (rig, expected) = busy().await;
    rig.account.inject(Injection::when(strikes, fault).times(times));
    let ended = once_in_detail(&rig).await;
    assert_eq!(ended.status, Some(status), "{what}: {ended}");
    assert!(ended.stderr.contains(words), "{what}: no {words:?} in {ended}");
    let covered = rig.told().covered("read");
    if status == 0 {
        assert_eq!(covered, expected, "{what}: {ended}");
        return;
    }
    assert!(covered.is_subset(&expected), "{what}");
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected, "{what}: {ended}");
}

/// All at once: most of the time of each is waiting.
async fn play_all(cases: Vec<Case>, status: i32) {
    let mut all = JoinSet::new();
    for case in cases {
        all.spawn(play(case, status));
    }
    while let Some(played) = all.join_next().await {
        if let Err(failed) = played {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

#[tokio::test]
async fn faults_that_a_pass_gets_over() {
    play_all(gets_over(), 0).await;
}

#[tokio::test]
async fn faults_that_end_a_pass() {
    play_all(gives_up(), 1).await;
}

async fn is_told_and_found_later(spoiled: Spoiled, words: &str) {
    let (rig, expected) = busy().await;
    rig.account.inject(Injection::when(any, Fault::Page(spoiled)).times(2));
    let ended = rig.once().await.exits(0).says(words);
    assert_eq!(rig.told().covered("read").len(), expected.len() - 2, "{ended}");
    // Whole the next time, as when a page was damaged on its way.
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn an_event_without_its_record_is_told_and_found_later() {
    tokio::join!(
        is_told_and_found_later(Spoiled::NoRecord, "without its record"),
        is_told_and_found_later(Spoiled::BadRecord, "record makes no sense"),
    );
}

#[tokio::test]
async fn records_of_a_megabyte() {
    let rig = Rig::new().await;
    let huge = "x".repeat(1 << 20);
    let reads = [
        Record::read("a").user_agent(&huge),
        Record::read("b").parameter("padding", json!(huge)),
        Record::read("c").response(json!({ "huge": huge })),
        Record::read("d").failed("InternalServiceError", &huge),
        Record::read(&huge),
    ];
    let mut expected: BTreeSet<String> =
        reads.iter().map(|record| rig.account.put(&record.clone().at(rig.ago(600)))).collect();
    expected.insert(rig.read("prod/db", 600));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    for alert in rig.told().alerts() {
        assert!(alert.to_string().len() <= 200_000);
    }
}

#[tokio::test]
async fn events_of_the_future_and_of_long_ago() {
    let rig = Rig::new().await;
    let now = rig.account.clock().now();
    let soon = Record::read("soon").at(now.second().plus(3)).visible_at(now);
    let expected = BTreeSet::from([rig.read("prod/db", 600), rig.account.put(&soon)]);
    for odd in [-86_400, 91 * 86_400, 40 * 86_400] {
        rig.account.put(&Record::read("odd").at(rig.ago(odd)).visible_at(now));
    }
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &expected).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn a_clock_that_goes_ahead_of_aws_or_behind_it() {
    for minutes in [-20, 20_i64] {
        let offset = Duration::from_secs(minutes.unsigned_abs() * 60);
        let now = WallTime::now();
        let there = if minutes < 0 { now.minus(offset) } else { now.plus(offset) };
        let clock = secretwatch::demo::Clock::running(there, 1.0);
        let rig = Rig::with(Settings { clock, quota: None, ..Settings::default() }).await;
        // Happened before both clocks' now, and becomes visible after the first reading.
        let at = there.min(now).second().minus(30);
        let late = rig.account.put(&Record::read("a").at(at).visible_at(there.plus(Duration::from_secs(2))));
        let daemon = rig.daemon();
        rig.until_covered(&daemon, "read", &BTreeSet::from([late])).await;
        daemon.signal("TERM");
        let ended = daemon.ended().await.exits(0);
        assert_eq!(ended.stderr.contains("local clock is ahead of AWS"), minutes < 0, "{ended}");
    }
}

#[tokio::test]
async fn one_id_with_two_contents_counts_once() {
    let rig = Rig::new().await;
    rig.account.put(&Record::read("a").at(rig.ago(600)).id("twice"));
    rig.once_well().await;
    rig.account.put(&Record::read("b").at(rig.ago(590)).id("twice"));
    rig.once().await.exits(0).says("event id came again with another content");
    assert_eq!(rig.told().covered("read"), BTreeSet::from(["twice".to_owned()]));
    assert_eq!(rig.told().one("opened")["group"]["secret"], "a", "the first stands");

    // And both in one page.
    let rig = Rig::new().await;
    rig.account.put(&Record::read("a").at(rig.ago(600)).id("twice"));
    rig.account.put(&Record::read("b").at(rig.ago(600)).id("twice"));
    rig.once().await.exits(0).says("event id came again with another content");
    assert_eq!(rig.told().covered("read"), BTreeSet::from(["twice".to_owned()]));
}

#[tokio::test]
async fn events_listed_again_and_again() {
    let rig = Rig::with(Settings { quota: None, repeats: 1.0, ..Settings::default() }).await;
    let mut expected: BTreeSet<String> = (0..70).map(|event| rig.read("a", 600 + event / 40)).collect();
    expected.insert(rig.account.put(&Record::read("b").at(rig.ago(600)).listed(60)));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    assert_eq!(
        rig.receiver.requests().iter().map(|it| it.body["accesses"].as_array().unwrap().len()).sum::<usize>(),
        71
    );
}

#[tokio::test]
async fn a_region_that_nobody_has_heard_of() {
    const REGION: &str = "cn-centraleast-1r";
    let rig = Rig::new().await;
    let read = rig.account.put(&Record::read("a").at(rig.ago(600)).in_source("111122223333", REGION));
    let config = rig.write_config();
    let mut command = rig.command(&["--once", "-c"]);
    command.arg(config).env("AWS_REGION", REGION);
    crate::rig::Program::start(&mut command).ended().await.exits(0);
    assert_eq!(rig.told().covered("read"), BTreeSet::from([read]));
    assert_eq!(rig.told().one("opened")["accesses"][0]["region"], REGION);
}

#[tokio::test]
async fn nobody_answers_at_all() {
    let rig = Rig::new().await;
    let read = rig.read("a", 600);
    let config = rig.write_config();
    let mut command = rig.command(&["--once", "-c"]);
    command.arg(config).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    crate::rig::Program::start(&mut command).ended().await.exits(1).says("pass incomplete");
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), BTreeSet::from([read]));
}

#[tokio::test]
async fn the_quota_shared_with_somebody_else() {
    // Half of AWS's rate is left, and the daemon asks for all of it.
    let rig = Rig::with(Settings { quota: Some(1.0), ..Settings::default() }).await;
    let expected: BTreeSet<String> = (0..120).map(|event| rig.read("a", 600 + event)).collect();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    let throttled = |account: &Account| {
        let refused = Some(Answered::Refused("ThrottlingException".to_owned()));
        account.calls_of("LookupEvents").iter().filter(|call| call.answer == refused).count()
    };
    assert!(throttled(&rig.account) > 0);
}
