//! `secretwatch report` beside the daemon and where none runs, and digests by the calendar.

use secretwatch::demo::{Caller, Record};
use serde_json::Value;

use crate::rig::{EVERY_READ, Program, Request, Rig};

/// A state with accesses of two days, and an incident.
async fn filled() -> Rig {
    let mut rig = Rig::new().await;
    rig.poll("backfill", "\"3d\"").poll("retention", "\"3d\"");
    let thief = Caller::role("111122223333", "apps/<b>thief</b>", "i-0abc");
    rig.account.put(&Record::read("prod/db").at(rig.ago(100_000)));
    rig.account.put(&Record::read("prod/db").at(rig.ago(900)));
    rig.account.put(&Record::read("prod/db").by(thief.clone()).at(rig.ago(800)));
    rig.account.put(&Record::read("test/key").by(thief).denied().at(rig.ago(700)).from("203.0.113.9"));
    rig
}

async fn run(rig: &Rig, arguments: &[&str]) -> String {
    rig.start(&[&["report"], arguments].concat()).ended().await.exits(0).stdout
}

#[tokio::test]
async fn a_report_is_the_same_beside_the_daemon_and_without_one() {
    let rig = filled().await;
    rig.once_well().await;
    let as_json =
        async || -> Value { serde_json::from_str(&run(&rig, &["--since", "1d", "--format", "json"]).await).unwrap() };
    let alone = as_json().await;
    assert_eq!(alone["schema"], "secretwatch.report.v1");
    assert_eq!(alone["accesses"], serde_json::json!({ "all": 3, "success": 2, "denied": 1, "failed": 0 }));
    assert_eq!((&alone["secrets"], &alone["principals"]), (&2.into(), &2.into()));
    let new = alone["new_pairs"]["shown"].as_array().unwrap();
    assert!(new.len() == 2 && new.iter().all(|pair| pair["principal"].as_str().unwrap().contains("thief")), "{new:?}");
    assert_eq!(alone["denied"]["shown"][0]["source_ip"], "203.0.113.9");
    assert_eq!(alone["incidents"]["shown"].as_array().unwrap().len(), 2);
    assert_eq!(alone["alerts"]["opened"], 3);

    let text = run(&rig, &["--since", "1d"]).await;
    assert!(text.contains("3 accesses to 2 secrets by 2 principals in 1 day; 2 incidents, 1 denied."), "{text}");
    assert!(run(&rig, &["--since", "3d"]).await.contains("nobody can say what was new"));

    let file = rig.path("report.html");
    run(&rig, &["--format", "html", "--output", file.to_str().unwrap()]).await;
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(
        html.contains("apps&#x2f;&lt;b&gt;thief") && !html.contains("<b>thief") && !html.contains("<script"),
        "{html}"
    );

    let daemon = rig.daemon();
    daemon.until_logged(" pass ").await;
    let beside = as_json().await;
    for key in ["accesses", "by_secret", "by_principal", "new_pairs", "denied", "incidents", "alerts"] {
        assert_eq!(beside[key], alone[key], "{key}");
    }
}

#[tokio::test]
async fn what_cannot_be_reported_is_told() {
    let rig = Rig::new().await;
    rig.write_config();
    rig.start(&["report"]).ended().await.exits(74);
    rig.once_well().await;
    let empty = run(&rig, &[]).await;
    assert!(empty.contains("0 accesses to 0 secrets") && empty.contains("No alert was decided."), "{empty}");
    rig.start(&["report", "--since", "99d"]).ended().await.exits(0).says("nothing older than poll.retention");
    let ever = run(&rig, &["--since", "100000000y", "--format", "json"]).await;
    let ever: Value = serde_json::from_str(&ever).unwrap();
    assert!(ever["over_time"].as_array().unwrap().len() < 100, "{ever}");
    rig.start(&["report", "--since", "yesterday"]).ended().await.exits(64).says("--since");
    rig.start(&["report", "--output", "/nowhere/x"]).ended().await.exits(74).says("/nowhere/x cannot be written");
}

/// The digests among these requests.
fn digests(requests: &[Request]) -> Vec<Value> {
    let bodies = requests.iter().map(|request| request.body.clone());
    bodies.filter(|alert: &Value| alert["kind"] == "digest").collect()
}

#[tokio::test]
async fn digests_come_by_the_calendar_once_each_and_are_kept() {
    let mut rig = filled().await;
    rig.hook("min_severity = \"critical\"");
    rig.tables(format!("{EVERY_READ}\n[digest]\nschedule = \"*/2 * * * * *\"\nsince = \"1d\"\nnotify = [\"hook\"]\n"));
    let daemon: Program = rig.daemon();
    let is_whole = |digest: &&Value| digest["report"]["accesses"]["all"] == 3;
    let two = rig.receiver.until(|requests| digests(requests).iter().filter(is_whole).count() >= 2);
    daemon.within("two digests with all that was read", two).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    let told = digests(&rig.receiver.requests());
    let mut ids: Vec<&str> = told.iter().map(|it| it["id"].as_str().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "each once");
    let digest = told.iter().find(is_whole).unwrap();
    assert_eq!((&digest["rule"]["name"], &digest["rule"]["severity"]), (&"digest".into(), &"info".into()));
    assert!(
        digest["summary"].as_str().unwrap().starts_with("3 accesses to 2 secrets by 2 principals in 1 day; "),
        "{digest}"
    );
    // Times lie at least two seconds apart, as the calendar says.
    let times: Vec<&str> = told.iter().map(|it| it["decided"].as_str().unwrap().split('.').next().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] != pair[1]), "{times:?}");
    let listed = rig.start(&["alerts", "--format", "json"]).ended().await.exits(0).stdout;
    assert!(
        listed.lines().any(|line| line.contains("\"kind\":\"digest\"") && line.contains("\"is\":\"accepted\"")),
        "{listed}"
    );
}
