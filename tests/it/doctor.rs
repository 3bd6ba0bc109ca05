//! `secretwatch doctor`: every check, when all is well and when something is not.

use secretwatch::demo::{Caller, Fault, Injection, Record};
use serde_json::Value;

use crate::rig::{Answer, Ended, Rig};

/// Asks, and returns the findings as `about | check | verdict | says`, and what is to be done.
async fn findings(rig: &Rig) -> (Ended, Vec<(String, String)>) {
    let ended = rig.start(&["doctor", "--format", "json"]).ended().await;
    let line = |line: &str| {
        let finding: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let what = ["about", "check", "verdict", "says"].map(text).join(" | ");
        (what, text("advice"))
    };
    let findings = ended.stdout.lines().map(line).collect();
    (ended, findings)
}

/// The only finding that begins like this, and its advice.
#[track_caller]
fn one<'a>(findings: &'a [(String, String)], begins: &str) -> &'a (String, String) {
    let mut found = findings.iter().filter(|(what, _)| what.starts_with(begins));
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("not one {begins:?} in {findings:#?}"),
    }
}

#[tokio::test]
async fn where_all_is_well_nothing_fails() {
    let mut rig = Rig::new().await;
    let topic = rig.account.add_topic("security");
    rig.account.subscribe(&topic, "email", "oncall@example.com", true);
    rig.account.add_secret("prod/db");
    rig.poll("inventory", "true");
    rig.tables(format!("[notify.mail]\ntype = \"sns\"\ntopic_arn = \"{topic}\"\n"));
    std::fs::create_dir(rig.state_dir()).unwrap();
    let (ended, findings) = findings(&rig).await;
    let ended = ended.exits(0);
    for begins in [
        "state | directory | pass | ",
        "state | daemon | warn | no daemon",
        "self/us-east-1 | identity | pass | arn:aws:",
        "self/us-east-1 | lookup | pass | secretsmanager.amazonaws.com: allowed",
        "self/us-east-1 | clock | pass | ",
        "self/us-east-1 | quota | pass | ",
        "self/us-east-1 | inventory | pass | 1 secrets",
        "notifier hook | reachability | pass | 127.0.0.1:",
        "notifier mail | topic | pass | ",
        "notifier mail | publish | pass | publishing is allowed",
        "notifier mail | subscriptions | pass | 1 confirmed, none pending",
    ] {
        one(&findings, begins);
    }
    let is_told = rig.receiver.requests().iter().any(|request| !request.body.is_null());
    assert!(rig.account.messages().is_empty() && !is_told, "nobody is told anything\n{ended}");
    assert!(rig.account.calls_of("Publish").len() == 1, "the probe is made");
}

#[tokio::test]
async fn people_get_a_line_a_check_and_what_to_do() {
    let rig = Rig::new().await;
    let text = rig.start(&["doctor"]).ended().await.exits(0).stdout;
    assert!(text.contains("self/us-east-1\n  pass  identity"), "{text}");
    assert!(text.contains("notifier hook\n  pass  reachability"), "{text}");
    assert!(text.lines().last().unwrap().contains(" checks: 0 failed, "), "{text}");
}

#[tokio::test]
async fn a_topic_that_nobody_listens_to_is_a_failure() {
    let mut rig = Rig::new().await;
    let (empty, pending) = (rig.account.add_topic("empty"), rig.account.add_topic("pending"));
    rig.account.subscribe(&pending, "email", "oncall@example.com", false);
    let gone = empty.replace("empty", "gone");
    let table = |name: &str, arn: &str| format!("[notify.{name}]\ntype = \"sns\"\ntopic_arn = \"{arn}\"\n");
    rig.tables(table("empty", &empty) + &table("pending", &pending) + &table("gone", &gone));
    let (ended, findings) = findings(&rig).await;
    ended.exits(1);
    one(&findings, "notifier empty | subscriptions | fail | nobody is subscribed");
    let (_, advice) = one(
        &findings,
        "notifier pending | subscriptions | fail | nobody has confirmed, 1 pending (oncall@example.com)",
    );
    assert!(advice.contains("Open the link"), "{advice}");
    let (_, advice) = one(&findings, "notifier gone | topic | fail | there is no topic");
    assert!(advice.contains("correct topic_arn"), "{advice}");
}

#[tokio::test]
async fn what_aws_does_not_allow_is_a_failure_with_the_way_out() {
    let rig = Rig::new().await;
    rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    let (ended, findings) = findings(&rig).await;
    ended.exits(1);
    let (_, advice) =
        one(&findings, "self/us-east-1 | lookup | fail | secretsmanager.amazonaws.com: AWS does not allow");
    assert!(advice.contains("cloudtrail:LookupEvents"), "{advice}");
}

#[tokio::test]
async fn others_that_use_up_the_quota_are_named() {
    let rig = Rig::new().await;
    let siem = Caller::role("111122223333", "siem", "poller");
    let lookup = Record::new("LookupEvents").source("cloudtrail.amazonaws.com").by(siem);
    for secs in 0..60 {
        rig.account.put(&lookup.clone().at(rig.ago(secs / 2)));
    }
    let (ended, findings) = findings(&rig).await;
    ended.exits(0);
    let (what, advice) = one(&findings, "self/us-east-1 | quota | warn | others make");
    assert!(what.contains(" lookups a second here, of the 2"), "{what}");
    assert!(advice.contains("arn:aws:iam::111122223333:role/siem"), "{advice}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_and_a_state_that_cannot_be_made_are_failures() {
    let mut rig = Rig::new().await;
    rig.tables("[notify.gone]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/x?token=hunter2\"\n");
    std::fs::write(rig.state_dir(), "a file").unwrap();
    let (ended, findings) = findings(&rig).await;
    let ended = ended.exits(1);
    one(&findings, "notifier gone | reachability | fail | 127.0.0.1:9 cannot be reached");
    one(&findings, "state | directory | fail | ");
    assert!(!ended.stdout.contains("hunter2") && !ended.stderr.contains("hunter2"), "{ended}");
}

#[tokio::test]
async fn what_is_stuck_or_silenced_is_told() {
    let rig = Rig::new().await;
    rig.receiver.answers(Answer::Status(400));
    rig.read("prod/db", 600);
    rig.once().await.exits(2);
    let silence = ["silence", "--rule", "read", "--for", "1h", "--reason", "a move"];
    rig.start(&silence).ended().await.exits(0);
    let (_, findings) = findings(&rig).await;
    let (_, advice) = one(&findings, "notifier hook | outbox | warn | alerts: 1 refused");
    assert!(advice.contains("alerts retry --all"), "{advice}");
    let (what, advice) = one(&findings, "silences | silence | warn | silence ");
    assert!(what.contains("a move") && advice.contains("silence end"), "{what} {advice}");
}
