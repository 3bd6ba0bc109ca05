//! How the daemon ends when it is asked to, and what a receiver that is down does to it meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use secretwatch::demo::{Call, Fault, Injection};
use secretwatch::model::EventTime;
use tokio_util::sync::CancellationToken;

use crate::rig::{Answer, Rig};

/// Whether one of `calls` asks for the second `at`.
fn asks_for(calls: &[Call], at: EventTime) -> bool {
    let bound = |call: &Call, name: &str| call.parameters[name].as_f64().expect("each lookup has its bounds") as i64;
    calls.iter().any(|call| (bound(call, "StartTime")..=bound(call, "EndTime")).contains(&at.0))
}

/// A rig with 250 reads, a second each, whose second page hangs until the token is cancelled.
async fn hanging() -> (Rig, BTreeSet<String>, CancellationToken) {
    let mut rig = Rig::new().await;
    // So that what was read is settled at once.
    rig.poll("lateness", "\"1s\"");
    let expected = (0..250).map(|event| rig.read("prod/db", 600 + event)).collect();
    let release = CancellationToken::new();
    let later = |call: &Call| call.operation == "LookupEvents" && call.parameters.get("NextToken").is_some();
    rig.account.inject(Injection::when(later, Fault::Hang(release.clone())));
    (rig, expected, release)
}

async fn a_signal_ends_a_pass_after_the_page_in_hand(arguments: &[&str], signal: &str) {
    let (rig, expected, release) = hanging().await;
    let program = rig.start(arguments);
    rig.until_hanging(&program).await;
    program.signal(signal);
    program.until_logged("stopping").await;
    release.cancel();
    program.ended().await.exits(0);
    let before = rig.account.calls_of("LookupEvents").len();
    assert_eq!(before, 2, "no page is begun after the signal");

    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    let again = &rig.account.calls_of("LookupEvents")[before..];
    assert!(!asks_for(again, rig.ago(620)), "the first page was committed");
    assert!(!asks_for(again, rig.ago(670)), "the page in hand was committed");
    assert!(asks_for(again, rig.ago(720)));
}

#[tokio::test]
async fn sigterm_in_a_pass_of_the_daemon() {
    a_signal_ends_a_pass_after_the_page_in_hand(&[], "TERM").await;
}

#[tokio::test]
async fn sigint_in_a_single_pass() {
    a_signal_ends_a_pass_after_the_page_in_hand(&["--once"], "INT").await;
}

#[tokio::test]
async fn a_page_that_never_comes_holds_the_end_up_for_a_while_only() {
    let (rig, ..) = hanging().await;
    let daemon = rig.daemon();
    rig.until_hanging(&daemon).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    let (rig, expected, release) = hanging().await;
    let daemon = rig.daemon();
    rig.until_hanging(&daemon).await;
    daemon.signal("TERM");
    daemon.until_logged("stopping").await;
    let asked = Instant::now();
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert!(asked.elapsed() < Duration::from_secs(5));

    release.cancel();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn a_delivery_in_hand_is_finished_and_not_made_again() {
    let rig = Rig::new().await;
    let release = CancellationToken::new();
    rig.receiver.answers(Answer::Hold(release.clone()));
    rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.within("a request", rig.receiver.until(|requests| !requests.is_empty())).await;
    daemon.signal("TERM");
    daemon.until_logged("stopping").await;
    release.cancel();
    daemon.ended().await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);
}

#[tokio::test]
async fn alerts_wait_for_a_receiver_that_is_down_and_then_come_in_order() {
    let mut rig = Rig::new().await;
    rig.tables("[[rule]]\nname = \"read\"\nupdate_every = \"0s\"\n");
    rig.receiver.go_down();
    let mut expected = BTreeSet::from([rig.read("a", 600)]);
    let daemon = rig.daemon();
    daemon.until_logged("notifier not reached").await;
    for (step, (secret, ago)) in [("a", 590), ("b", 600), ("a", 580), ("b", 610)].into_iter().enumerate() {
        // Each in a pass of its own, so that each is an alert of its own.
        daemon.until_logged_times(" new=1 ", step + 1).await;
        expected.insert(rig.read(secret, ago));
    }
    daemon.until_logged_times(" new=1 ", 5).await;
    rig.receiver.come_up();
    rig.until_covered(&daemon, "read", &expected).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);

    let told = rig.told();
    assert_eq!(told.covered("read"), expected);
    for (secret, kinds) in [("a", &["opened", "updated", "updated"][..]), ("b", &["opened", "updated"])] {
        let of_secret: Vec<_> = told.alerts().iter().filter(|alert| alert["group"]["secret"] == secret).collect();
        assert_eq!(of_secret.iter().map(|alert| alert["kind"].as_str().unwrap()).collect::<Vec<_>>(), kinds);
        assert!(of_secret.is_sorted_by_key(|alert| alert["decided"].as_str()), "{of_secret:#?}");
    }
}
