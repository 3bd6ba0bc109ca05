//! Events that become visible late, shuffled, or more than once.

use std::collections::BTreeSet;
use std::time::Duration;

use secretwatch::demo::{Clock, Record, Settings};
use secretwatch::model::{EventTime, WallTime};

use crate::rig::{Rig, crossing};

/// An account whose clock stands still, so many seconds ago.
fn stopped(secs_ago: u64, settings: Settings) -> Settings {
    let clock = Clock::stopped(WallTime::now().minus(Duration::from_secs(secs_ago)));
    Settings { clock, quota: None, ..settings }
}

async fn covers_what_the_definition_says(seed: u64) {
    const RULE: &str = "[[rule]]\nname = \"read\"\nthreshold = 3\nwindow = \"20s\"\nhold = \"30s\"\n";
    let disorder = Duration::from_secs(15);
    let mut rig = Rig::with(stopped(2400, Settings { seed, repeats: 0.3, disorder, ..Settings::default() })).await;
    rig.tables(RULE);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reads: Vec<Vec<(String, EventTime)>> = vec![Vec::new(); 2];
    for _ in 0..90 {
        let (secret, at) = (rng.usize(0..2), rig.ago(rng.i64(2460..3000)));
        // Within the fifteen minutes that `lateness` allows for.
        let late = Duration::from_secs(rng.u64(0..880));
        let id = rig.account.put(&Record::read(&format!("s{secret}")).at(at).late_by(late));
        reads[secret].push((id, at));
    }
    for _ in 0..7 {
        rig.once_well().await;
        rig.account.clock().advance(Duration::from_secs(150));
    }
    let expected: BTreeSet<String> = reads.iter().flat_map(|reads| crossing(reads, 3, 20)).collect();
    let all: usize = reads.iter().map(Vec::len).sum();
    assert!((10..all).contains(&expected.len()), "{} of {all} is no test", expected.len());
    assert_eq!(rig.told().covered("read"), expected, "seed {seed}");
}

#[tokio::test]
async fn lateness_shuffling_and_repetition_do_not_change_what_is_covered() {
    tokio::join!(covers_what_the_definition_says(1), covers_what_the_definition_says(2));
}

#[tokio::test]
async fn an_older_event_that_appears_after_a_newer_one_was_read() {
    let rig = Rig::new().await;
    let newer = rig.read("prod/db", 10);
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &BTreeSet::from([newer.clone()])).await;
    let older = rig.read("prod/db", 300);
    let other = rig.read("prod/other", 600);
    rig.until_covered(&daemon, "read", &BTreeSet::from([newer.clone(), other.clone()])).await;
    rig.until_lookups(&daemon, 2).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    // What joined an open incident waits for `update_every`, or for a run that sends everything.
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), BTreeSet::from([newer, older, other]));
    assert_eq!(rig.told().kinds(), ["opened", "opened", "updated"]);
}

#[tokio::test]
async fn a_straggler_is_found_by_the_recheck() {
    let mut rig = Rig::with(stopped(2990, Settings::default())).await;
    rig.poll("lateness", "\"1s\"").poll("recheck", "\"1m\"");
    let late = rig.account.put(&Record::read("prod/db").at(rig.ago(3000)).late_by(Duration::from_secs(200)));
    rig.once_well().await;
    rig.once_well().await;
    assert!(rig.receiver.requests().is_empty());
    rig.account.clock().advance(Duration::from_secs(300));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), BTreeSet::from([late]));
}

#[tokio::test]
async fn a_thousand_events_within_the_quota() {
    let mut rig = Rig::with(Settings::default()).await;
    rig.tables("");
    let expected: BTreeSet<String> =
        (0..1000).map(|event| rig.read(&format!("secret-{}", event % 7), 600 + event / 3)).collect();
    let ended = rig.once().await.exits(0);
    assert_eq!(rig.told().covered("secret-is-accessed"), expected, "{ended}");
    assert_eq!(rig.account.strained(2), []);
    let calls = rig.account.calls_of("LookupEvents");
    assert!(calls.len() >= 20);
    assert!(calls.iter().all(|call| call.answer == Some(secretwatch::demo::Answered::Well)));
    for alert in rig.told().alerts() {
        assert!(alert["accesses"].as_array().unwrap().len() <= 500);
    }
}

#[tokio::test]
async fn polls_may_go_by_the_calendar() {
    let mut rig = Rig::new().await;
    rig.poll("schedule", "\"* * * * * *\"").without_poll("interval");
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 1).await;
    let read = rig.read("prod/db", 10);
    rig.until_covered(&daemon, "read", &BTreeSet::from([read])).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}
