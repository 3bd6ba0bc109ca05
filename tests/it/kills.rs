//! Whatever moment the process is killed in: each access ends up in exactly one alert id, and nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use secretwatch::demo::{Call, Fault, Injection, Record};
use secretwatch::model::EventTime;
use tokio_util::sync::CancellationToken;

use crate::rig::{Answer, Rig, crossing};

/// Whether `call` asks for a page that is not the first of its reading.
fn later_page(call: &Call) -> bool {
    call.operation == "LookupEvents" && call.parameters.get("NextToken").is_some()
}

#[tokio::test]
async fn killed_between_two_pages() {
    let rig = Rig::new().await;
    let release = CancellationToken::new();
    rig.account.inject(Injection::when(later_page, Fault::Hang(release.clone())));
    let expected: BTreeSet<String> = (0..150).map(|event| rig.read(["a", "b", "c"][event % 3], 600)).collect();

    let daemon = rig.daemon();
    rig.until_hanging(&daemon).await;
    daemon.kill().await;
    release.cancel();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn killed_between_commit_and_delivery() {
    let mut rig = Rig::new().await;
    rig.receiver.go_down();
    let expected: BTreeSet<String> = (0..30).map(|event| rig.read(["a", "b", "c"][event % 3], 600)).collect();
    let daemon = rig.daemon();
    daemon.until_logged("notifier not reached").await;
    daemon.kill().await;

    rig.receiver.come_up();
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &expected).await;
    daemon.kill().await;
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn killed_during_delivery() {
    let rig = Rig::new().await;
    rig.receiver.answers(Answer::Hold(CancellationToken::new()));
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.within("a request", rig.receiver.until(|requests| !requests.is_empty())).await;
    daemon.kill().await;

    rig.receiver.answers(Answer::Accept);
    // What arrives meanwhile must not change what the id stands for.
    let later = rig.read("prod/db", 590);
    rig.once_well().await;
    let requests = rig.receiver.requests();
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(rig.told().kinds(), ["opened", "updated"]);
    assert_eq!(rig.told().covered("read"), BTreeSet::from([read, later]));
}

#[tokio::test]
async fn the_receiver_dies_with_the_alert_in_its_hands() {
    let mut rig = Rig::new().await;
    rig.receiver.answers(Answer::Hold(CancellationToken::new()));
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.within("a request", rig.receiver.until(|requests| !requests.is_empty())).await;
    rig.receiver.go_down();
    daemon.until_logged("notifier not reached").await;
    rig.receiver.answers(Answer::Accept);
    rig.receiver.come_up();
    rig.until_covered(&daemon, "read", &BTreeSet::from([read])).await;
    assert!(rig.receiver.requests().len() > 1);
    assert_eq!(rig.told().kinds(), ["opened"], "one id, however often it was sent");
}

#[tokio::test]
async fn killed_twenty_times_at_any_moment() {
    const RULE: &str =
        "[[rule]]\nname = \"read\"\nthreshold = 3\nwindow = \"10s\"\nhold = \"5s\"\nupdate_every = \"0s\"\n";
    let mut rig = Rig::new().await;
    rig.poll("lateness", "\"3m\"").tables(RULE);
    let mut rng = fastrand::Rng::with_seed(20);
    let mut reads: Vec<Vec<(String, EventTime)>> = vec![Vec::new(); 3];
    let mut count = 0;
    rig.receiver.decides(move |_| {
        count += 1;
        if count % 4 == 0 { Answer::Status(503) } else { Answer::Accept }
    });
    for _ in 0..20 {
        for _ in 0..rng.usize(3..15) {
            // Older than what other rounds have read already, and still within `lateness`.
            let (secret, at) = (rng.usize(0..3), rig.ago(rng.i64(5..50)));
            let id = rig.account.put(&Record::read(&format!("s{secret}")).at(at));
            reads[secret].push((id, at));
        }
        let daemon = rig.daemon();
        if rng.bool() {
            rig.until_lookups(&daemon, 1).await;
        }
        // The moment is the point of the test, and nothing is expected of it.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
        daemon.kill().await;
    }
    rig.receiver.answers(Answer::Accept);
    rig.once_well().await;
    let expected: BTreeSet<String> = reads.iter().flat_map(|reads| crossing(reads, 3, 10)).collect();
    assert!(expected.len() > 20);
    assert_eq!(rig.told().covered("read"), expected);
}
