//! The commands that look into the state and change small things about it, beside the daemon and where none runs:
//! `accesses`, `alerts`, `alerts retry`, `silence`, `test-alert`, `drill`.

use std::collections::BTreeSet;

use secretwatch::demo::{Caller, Record};
use serde_json::Value;

use crate::rig::{Answer, EVERY_READ, Ended, PATIENCE, Rig};

/// The lines of what a command prints as JSON.
async fn objects(rig: &Rig, arguments: &[&str]) -> Vec<Value> {
    let ended = rig.start(&[arguments, &["--format", "json"]].concat()).ended().await.exits(0);
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    rig.start(arguments).ended().await
}

fn ids(accesses: &[Value]) -> Vec<&str> {
    accesses.iter().map(|access| access["event_id"].as_str().unwrap()).collect()
}

/// Four accesses: each differs from the others in one way at least.
fn four(rig: &Rig) -> [String; 4] {
    let role = Caller::role("111122223333", "apps/checkout", "i-0abc");
    [
        rig.account.put(&Record::read("prod/db").at(rig.ago(900))),
        rig.account.put(&Record::read("prod/db").by(role).at(rig.ago(800)).from("203.0.113.9")),
        rig.account.put(&Record::read("test/key").denied().at(rig.ago(700))),
        rig.account.put(&Record::new("ListSecrets").at(rig.ago(600))),
    ]
}

#[tokio::test]
async fn accesses_are_listed_the_newest_first_and_by_what_one_asks_for() {
    let rig = Rig::new().await;
    let [first, by_role, denied, listing] = four(&rig);
    rig.once_well().await;
    for (arguments, expected) in [
        (&[][..], vec![&listing, &denied, &by_role, &first]),
        (&["--limit", "2"], vec![&listing, &denied]),
        (&["--limit", "0"], vec![]),
        (&["--since", "13m"], vec![&listing, &denied]),
        (&["--secret", "prod/*"], vec![&by_role, &first]),
        (&["--secret", "*:secret:test/*"], vec![&denied]),
        (&["--secret", "test/*", "--secret", "prod/*", "--outcome", "success"], vec![&by_role, &first]),
        (&["--principal", "*role/apps/checkout"], vec![&by_role]),
        (&["--outcome", "denied"], vec![&denied]),
        (&["--outcome", "failed"], vec![]),
        (&["--rule", "read"], vec![&denied, &by_role, &first]),
        (&["--rule", "read", "--outcome", "denied"], vec![&denied]),
    ] {
        let found = objects(&rig, &[&["accesses"], arguments].concat()).await;
        assert_eq!(ids(&found), expected, "{arguments:?}");
    }

    let table = run(&rig, &["accesses"]).await.exits(0).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TIME ") && lines.len() == 5, "{table}");
    let checkout = lines.iter().find(|line| line.contains("203.0.113.9")).unwrap();
    for word in [&rig.ago(800).to_string(), "prod/db", "checkout/i-0abc", "GetSecretValue", "success", &by_role] {
        assert!(checkout.contains(word), "no {word} in {checkout}");
    }
    let csv = run(&rig, &["accesses", "--format", "csv"]).await.exits(0).stdout;
    assert!(csv.starts_with("time,seen,event,outcome,") && csv.lines().count() == 5, "{csv}");
    run(&rig, &["accesses", "--secret", "none"]).await.exits(0).prints("no accesses");
    run(&rig, &["accesses", "--secret", "a[b"]).await.exits(64).says("--secret");
    run(&rig, &["accesses", "--rule", "raed"]).await.exits(64).says("no rule \"raed\", did you mean \"read\"?");
}

#[tokio::test]
async fn the_daemon_and_the_store_list_the_same() {
    let rig = Rig::new().await;
    let [first, by_role, ..] = four(&rig);
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &[first, by_role].into()).await;
    daemon.until_logged_times(" new=", 1).await;
    let asked = objects(&rig, &["accesses"]).await;
    let alerts = async || -> Vec<Value> { objects(&rig, &["alerts"]).await };
    let begun = std::time::Instant::now();
    // An acceptance is noted a moment after the receiver knows of it.
    let alerted = loop {
        let alerted = alerts().await;
        let is_settled = |alert: &Value| alert["notifiers"][0]["stand"]["is"] == "accepted";
        if alerted.len() == 2 && alerted.iter().all(is_settled) {
            break alerted;
        }
        assert!(begun.elapsed() < PATIENCE, "{alerted:#?}");
    };
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert_eq!(objects(&rig, &["accesses"]).await, asked);
    assert_eq!(alerts().await, alerted);
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn more_than_a_page_of_accesses_is_listed_whole() {
    let rig = Rig::new().await;
    let mut expected: Vec<String> = (0..2_300).map(|secs| rig.read("prod/db", 3_000 - secs)).collect();
    expected.reverse();
    rig.once_well().await;
    let found = objects(&rig, &["accesses", "--limit", "5000"]).await;
    assert!(ids(&found) == expected, "{} of {}", found.len(), expected.len());
}

#[tokio::test]
async fn where_there_is_no_store_yet_that_is_said() {
    let rig = Rig::new().await;
    for arguments in [
        &["accesses"][..],
        &["alerts"],
        &["alerts", "retry", "x"],
        &["silence", "list"],
        &["silence", "--rule", "*", "--for", "1h", "--reason", "x"],
    ] {
        run(&rig, arguments).await.exits(74).says("there is no store");
    }
    assert!(!rig.state_dir().exists());
}

#[tokio::test]
async fn what_was_refused_is_undelivered_until_it_is_sent_again() {
    for with_daemon in [false, true] {
        let rig = Rig::new().await;
        rig.receiver.answers(Answer::Status(400));
        rig.read("prod/db", 600);
        rig.once().await.exits(2);
        let undelivered = objects(&rig, &["alerts", "--undelivered"]).await;
        let [alert] = &undelivered[..] else { panic!("{undelivered:#?}") };
        let id = alert["id"].as_str().unwrap();
        run(&rig, &["alerts"]).await.exits(0).prints("hook").prints(id);
        run(&rig, &["alerts", "--format", "csv"]).await.exits(0).prints(",hook,");

        rig.receiver.answers(Answer::Status(200));
        run(&rig, &["alerts", "retry", "0123"]).await.exits(1).says("no alert \"0123\" is stored");
        if with_daemon {
            let daemon = rig.daemon();
            daemon.until_logged(" pass ").await;
            run(&rig, &["alerts", "retry", id]).await.exits(0);
            let begun = std::time::Instant::now();
            while !objects(&rig, &["alerts", "--undelivered"]).await.is_empty() {
                assert!(begun.elapsed() < PATIENCE, "it is never accepted");
            }
            daemon.signal("TERM");
            daemon.ended().await.exits(0);
        } else {
            run(&rig, &["alerts", "retry", "--all"]).await.exits(0).prints("hook queued again").prints("next --once");
            rig.once_well().await;
        }
        assert!(rig.told().alerts().iter().all(|alert| alert["id"] == id));
        assert_eq!(objects(&rig, &["alerts", "--undelivered"]).await, [] as [Value; 0]);
        run(&rig, &["alerts", "--undelivered"]).await.exits(0).prints("no undelivered alerts");
        run(&rig, &["alerts", "retry", id]).await.exits(0).prints("hook has accepted it");
    }
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_on_demand() {
    let mut rig = Rig::new().await;
    rig.hook("retry_for = \"0s\"");
    rig.receiver.answers(Answer::Status(400));
    rig.read("prod/db", 600);
    rig.once().await;
    let dead = objects(&rig, &["alerts", "--undelivered"]).await;
    assert_eq!(dead[0]["notifiers"][0]["stand"]["is"], "dead", "{dead:#?}");
    rig.receiver.answers(Answer::Status(200));
    run(&rig, &["alerts", "retry", dead[0]["id"].as_str().unwrap()]).await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.told().one("opened")["id"], dead[0]["id"]);
}

#[tokio::test]
async fn a_test_alert_goes_the_whole_way() {
    let mut rig = Rig::new().await;
    rig.hook("min_severity = \"critical\"");
    let out = run(&rig, &["test-alert"]).await.exits(0).prints("hook: accepted after ");
    let id = out.stdout.split_whitespace().nth(2).unwrap().to_owned();
    assert_eq!(rig.told().one("test")["id"], *id);

    let daemon = rig.daemon();
    daemon.until_logged(" pass ").await;
    run(&rig, &["test-alert", "hook"]).await.exits(0).prints("hook: accepted after ");
    rig.receiver.answers(Answer::Status(410));
    run(&rig, &["test-alert"]).await.exits(2).prints("hook: refused: ").prints("410");
    run(&rig, &["test-alert", "hok"]).await.exits(64).says("no notifier \"hok\", did you mean \"hook\"?");
    let told = rig.told();
    let tests = told.alerts().iter().filter(|alert| alert["kind"] == "test");
    let sent: BTreeSet<String> = tests.map(|it| it["id"].to_string()).collect();
    assert_eq!(sent.len(), 2, "each is one of its own: {sent:?}");
}

#[tokio::test]
async fn what_is_silenced_is_recorded_and_not_sent() {
    let rig = Rig::new().await;
    rig.once_well().await;
    run(&rig, &["silence"]).await.exits(0).prints("no silences");
    let said = run(&rig, &["silence", "--secret", "prod/*", "--for", "1h", "--reason", "all is moved"]).await.exits(0);
    let silence = said.stdout.split_whitespace().nth(1).unwrap().to_owned();

    let daemon = rig.daemon();
    daemon.until_logged(" pass ").await;
    let hushed = rig.read("prod/db", 600);
    let loud = rig.read("test/key", 500);
    rig.until_covered(&daemon, "read", &[loud].into()).await;
    daemon.until_logged_times(" new=", 1).await;
    assert!(!rig.told().covered("read").contains(&hushed));
    let alerts = objects(&rig, &["alerts"]).await;
    let quiet: Vec<_> = alerts.iter().filter(|alert| alert["silenced"] == *silence).collect();
    assert_eq!(quiet.len(), 1, "{alerts:#?}");
    run(&rig, &["explain", &hushed]).await.exits(0).prints(&format!("silence {silence}"));
    run(&rig, &["silence", "list"]).await.exits(0).prints("secret prod/*").prints("all is moved").prints(&silence);
    run(&rig, &["silence", "end", "12345678"]).await.exits(1).says("there is no silence \"12345678\"");
    run(&rig, &["silence", "end", &silence]).await.exits(0).prints("it has kept back 1 alert");

    let later = rig.read("prod/other", 400);
    rig.until_covered(&daemon, "read", &[later].into()).await;
    assert!(!rig.told().covered("read").contains(&hushed), "what was silenced stays so");
}

#[tokio::test]
async fn a_silence_wants_to_be_said_whole() {
    let rig = Rig::new().await;
    rig.once_well().await;
    for (arguments, words) in [
        (&["--for", "1h", "--reason", "x"][..], "say what to silence"),
        (&["--rule", "*"], "--for"),
        (&["--rule", "*", "--for", "1h"], "--reason"),
        (&["--rule", "*", "--for", "0s", "--reason", "x"], "a second at least"),
        (&["--rule", "*", "--for", "31d", "--reason", "x"], "30 days at most"),
        (&["--rule", "*", "--for", "1h", "--reason", " "], "--reason is empty"),
        (&["--rule", "a[", "--for", "1h", "--reason", "x"], "--rule"),
    ] {
        run(&rig, &[&["silence"], arguments].concat()).await.exits(64).says(words);
    }
    run(&rig, &["silence"]).await.exits(0).prints("no silences");
}

#[tokio::test]
async fn a_drill_follows_a_read_all_the_way() {
    let mut rig = Rig::new().await;
    rig.account.add_secret("canary");
    rig.poll("lateness", "\"1m\"");
    let told = run(&rig, &["drill", "--secret", "canary", "--timeout", "60s"]).await.exits(0);
    let told = told.prints("no daemon runs here").prints("accepted").prints("hook");
    for hop in ["read ", "seen ", "decided ", "accepted "] {
        assert!(told.stdout.lines().any(|line| line.starts_with(hop)), "no {hop}in {told}");
    }
    assert!(!told.stdout.contains("SecretString"));

    rig.tables(EVERY_READ.replace("GetSecretValue", "PutSecretValue"));
    let daemon = rig.daemon();
    daemon.until_logged(" pass ").await;
    run(&rig, &["drill", "--secret", "canary"]).await.exits(1).prints("seen ").says("says more");
    run(&rig, &["drill", "--secret", "nowhere"]).await.exits(1).says("cannot read the secret \"nowhere\"");
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}
