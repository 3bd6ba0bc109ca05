//! Whatever moment the process is killed in: each access ends up in exactly one alert id, and nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use secretwatch::demo::{Call, Fault, Injection};
use secretwatch::model::WallTime;
use tokio_util::sync::CancellationToken;

use crate::rig::{Answer, Program, Rig};
use crate::simulation::story::{KILLING_SECS, Story, Tweak, topic_arn};
use crate::simulation::{counted, oracle};

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
async fn killed_while_the_store_was_being_made() {
    let rig = Rig::new().await;
    rig.read("prod/db", 600);
    rig.once_well().await;
    let told = rig.receiver.requests().len();
    let folder = rig.state_dir().join("db");
    let settings = std::fs::read(folder.join("conf")).unwrap();
    std::fs::remove_dir_all(rig.state_dir()).unwrap();
    // The engine writes them in two pieces, before anything else.
    for (round, length) in (2..).zip([1, settings.len() - 4, settings.len()]) {
        std::fs::create_dir_all(folder.join("blobs")).unwrap();
        std::fs::write(folder.join("conf"), &settings[..length]).unwrap();
        rig.once_well().await;
        assert_eq!(rig.receiver.requests().len(), round * told, "{length} bytes");
        std::fs::remove_dir_all(rig.state_dir()).unwrap();
    }
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

/// The real program over a real store, killed at moments drawn by lot, judged by the simulation's oracle.
#[tokio::test]
async fn killed_a_hundred_times_at_any_moment() {
    const KILLS: usize = 100;
    let seed = std::env::var("KILLS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(100);
    println!("again: KILLS_SEED={seed} cargo test --locked --test it killed_a_hundred_times");
    let mut rng = fastrand::Rng::with_seed(seed);
    let rig = Rig::new().await;
    let began = WallTime::now();
    let story = Story::for_kills(began.second(), &mut rng);
    for topic in &story.topics {
        rig.account.add_topic(topic);
    }
    story.play(&rig.account);
    let doubtful =
        |call: &Call| call.operation == "Publish" && call.parameters["TopicArn"].as_str() == Some(&topic_arn("beta"));
    rig.account.inject(Injection::when(doubtful, Fault::CutBody).times(3));
    let config = rig.path("kills.toml");
    std::fs::write(&config, story.toml(Tweak::default(), &rig.state_dir())).expect("the configuration can be written");
    let start = || Program::start(rig.command(&["--config"]).arg(&config));

    for _ in 0..KILLS {
        let daemon = start();
        if rng.bool() {
            rig.until_lookups(&daemon, 1).await;
        }
        // The moment is the point of the test, and nothing is expected of it.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..60))).await;
        daemon.kill().await;
    }
    let shown = began.plus(Duration::from_secs(KILLING_SECS.unsigned_abs() + 1));
    rig.account.clock().reach(shown).await;
    Program::start(rig.command(&["--once", "--config"]).arg(&config)).ended().await.exits(0);

    let messages = rig.account.messages();
    let wrong = oracle::complaints_so_far(&story, &counted(&story, Tweak::default()), &messages);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(messages.len() > 20, "only {} messages", messages.len());
}
