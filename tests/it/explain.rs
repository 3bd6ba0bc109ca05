//! `secretwatch explain` through the real program: the same answer from a running daemon and from what it left behind,
//! and what comes through the socket otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use secretwatch::demo::{Record, Surroundings};
use secretwatch::model::{EventTime, WallTime};
use secretwatch::store::{Basis, Explanation, Finding, Ledger, Ruling, Standing, Version};
use serde_json::{Value, json};

use crate::promise::settings;
use crate::rig::{Answer, Ended, PATIENCE, Program, Rig, program};

/// What `explain` says of an event that is known.
async fn explained(rig: &Rig, id: &str) -> Explanation {
    let ended = rig.start(&["explain", id, "--format", "json"]).ended().await.exits(0);
    assert_eq!((ended.stderr.as_str(), ended.stdout.lines().count()), ("", 1), "{ended}");
    serde_json::from_str(&ended.stdout).unwrap()
}

async fn text(rig: &Rig, id: &str) -> Ended {
    rig.start(&["explain", id]).ended().await
}

/// The summaries, by rule.
fn summaries(explanation: &Explanation) -> BTreeMap<&str, &str> {
    explanation.rules.iter().map(|ruling| (ruling.rule.as_str(), ruling.summary.as_str())).collect()
}

/// Sends `request` to the daemon of `rig` and reads the reply.
fn exchange(rig: &Rig, request: &[u8]) -> Value {
    let mut stream = UnixStream::connect(rig.state_dir().join("control")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match stream.write_all(request) {
        // It has heard enough, and says so.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

const MANY: &str = "[[rule]]\nname = \"many\"\nstatistic = { distinct = \"secret\" }\nthreshold = 3\nwindow = \"10m\"\n\
                    group_by = [\"principal\"]\n";

#[tokio::test]
async fn the_daemon_and_what_it_left_behind_say_the_same() {
    let mut rig = Rig::new().await;
    rig.tables(format!("{}{MANY}", crate::rig::EVERY_READ));
    let read = rig.read("prod/db", 600);
    let other = rig.account.put(&Record::new("PutSecretValue").secret("prod/other").at(rig.ago(590)));
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &[read.clone()].into()).await;
    daemon.until_logged_times(" new=", 1).await;

    let alert = rig.told().one("opened")["id"].as_str().unwrap().to_owned();
    // It is noted a moment after the receiver has it.
    let begun = std::time::Instant::now();
    let mut asked = loop {
        let asked = explained(&rig, &read).await;
        if summaries(&asked)["read"].contains("accepted by hook") {
            break asked;
        }
        assert!(begun.elapsed() < PATIENCE, "it is never said to be accepted");
    };
    let said = summaries(&asked);
    assert!(said["read"].starts_with(&format!("alerted: alert {alert}, accepted by hook at ")), "{said:?}");
    assert_eq!(said["many"], "counted: 2 of 3 different secrets in 10 minutes, which is not enough");
    assert!(asked.headline.starts_with(&format!("Rule read tells of it: alert {alert}, accepted by hook")));
    let window = asked.rules[1].window.as_ref().unwrap();
    let listed: Vec<_> = window.listed.iter().map(|it| (it.event_id.as_str(), it.this)).collect();
    assert_eq!(listed, [(read.as_str(), true), (other.as_str(), false)]);

    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert!(!rig.state_dir().join("control").exists());
    let left = fs::read_dir(rig.state_dir()).unwrap().count();
    let stored = explained(&rig, &read).await;
    assert!(stored.asked > asked.asked);
    asked.asked = stored.asked;
    assert_eq!(stored, asked);
    assert_eq!(fs::read_dir(rig.state_dir()).unwrap().count(), left, "nothing was left in the state directory");

    text(&rig, &read).await.exits(0).prints(&format!("Rule read tells of it: alert {alert},")).prints("=> ");
    text(&rig, &other).await.exits(0).prints("NO        events: PutSecretValue; wanted GetSecretValue");
}

#[tokio::test]
async fn an_alert_that_is_refused_is_explained_with_what_the_receiver_said() {
    let mut rig = Rig::new().await;
    rig.tables(format!("{}[notify.mild]\ntype = \"stdout\"\nmin_severity = \"critical\"\n", crate::rig::EVERY_READ));
    rig.receiver.answers(Answer::Status(400));
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.within("a request", rig.receiver.until(|requests| !requests.is_empty())).await;
    let refused = |explanation: &Explanation| {
        let alert = explanation.rules[0].alert.as_ref().unwrap();
        let stand = |name: &str| &alert.notifiers.iter().find(|it| it.notifier == name).unwrap().stand;
        assert!(matches!(stand("mild"), Standing::TooMild { .. }), "{alert:#?}");
        matches!(stand("hook"), Standing::Waiting { parked: true, error: Some(_), attempts: 1.., .. })
    };
    // It is noted a moment after it was heard.
    let begun = std::time::Instant::now();
    while !refused(&explained(&rig, &read).await) {
        assert!(begun.elapsed() < PATIENCE, "it is never said to be refused");
    }
    let ended = text(&rig, &read).await.exits(0).prints("Notifier  hook: refused in 1 attempt, the next at");
    ended.prints("400").prints("mild: not for it: its `min_severity` is critical");
}

#[tokio::test]
async fn each_key_of_a_rule_is_held_against_the_event() {
    let mut rig = Rig::new().await;
    let rule = |name: &str, keys: &str| format!("[[rule]]\nname = \"{name}\"\n{keys}\n");
    rig.tables(
        [
            rule("matches", "secrets = [\"prod/*\"]\noutcome = \"success\"\nprincipals = [\"*user/*\"]"),
            rule("event", "events = [\"PutSecretValue\", \"DeleteSecret\"]"),
            rule("outcome", "outcome = \"denied\""),
            rule("secret", "secrets = [\"test/*\"]"),
            rule("principal", "principals = [\"*:role/*\"]"),
            rule("excluded", "exclude_principals = [\"*:user/*\"]"),
            rule("below", "threshold = 3\nwindow = \"1h\""),
            rule("mute", "notify = []\nseverity = \"info\""),
        ]
        .concat(),
    );
    rig.hook("min_severity = \"low\"");
    let id = rig.read("prod/db", 600);
    let caller = rig.account.put(&Record::read("prod/db").at(rig.ago(500)).denied());
    rig.once_well().await;
    let explanation = explained(&rig, &id).await;
    let said = summaries(&explanation);
    let Finding::Access(known) = &explanation.finding else { panic!("{explanation:#?}") };
    let arn = known.access.principal.arn.as_deref().unwrap();
    for (rule, expected) in [
        ("event", "not counted: events is GetSecretValue, wanted PutSecretValue or DeleteSecret".to_owned()),
        ("outcome", "not counted: outcome is success, wanted denied".to_owned()),
        ("secret", "not counted: secrets is prod/db, wanted test/*".to_owned()),
        ("principal", format!("not counted: principals is {arn}, wanted *:role/*")),
        ("excluded", format!("not counted: exclude_principals is {arn}, wanted not *:user/*")),
        ("below", "counted: 2 of 3 accesses in 1 hour, which is not enough".to_owned()),
    ] {
        assert_eq!(said[rule], expected);
    }
    assert!(said["matches"].contains(", accepted by hook at "), "{said:#?}");
    assert!(said["mute"].ends_with(", for which there was no notifier"), "{said:#?}");
    assert!(summaries(&explained(&rig, &caller).await)["outcome"].contains(", accepted by hook at "));
}

#[tokio::test]
async fn a_rule_that_nothing_was_started_with_is_not_active_yet() {
    let mut rig = Rig::new().await;
    let read = rig.read("prod/db", 600);
    rig.once_well().await;
    rig.tables("[[rule]]\nname = \"read\"\noutcome = \"denied\"\n");
    let explanation = explained(&rig, &read).await;
    let said: Vec<_> = explanation.rules.iter().map(|it| (it.rule.as_str(), &it.version)).collect();
    assert_eq!(said, [("read", &Version::Waiting), ("read", &Version::Former)]);
    assert_eq!(
        explanation.rules[0].summary,
        "not active yet, since nothing was started with this configuration; it would not count it: outcome is success, \
         wanted denied"
    );
    assert!(explanation.rules[1].summary.starts_with("an earlier version of this rule counted it; alerted: alert "));

    rig.once_well().await;
    let explanation = explained(&rig, &read).await;
    assert_eq!(explanation.rules[0].summary, "not counted: outcome is success, wanted denied");
    assert!(explanation.headline.starts_with("Rule read tells of it: alert "), "{}", explanation.headline);
}

#[tokio::test]
async fn an_event_that_is_not_known_is_status_1_and_says_what_was_read() {
    let rig = Rig::new().await;
    rig.read("prod/db", 600);
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 2).await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    for _ in 0..2 {
        let ended = text(&rig, unknown).await.exits(1);
        let ended = ended.prints(&format!("Event {unknown} is not known here: no record with"));
        let ended = ended.prints("secretsmanager.amazonaws.com").prints("us-east-1").prints("Read        from ");
        assert_eq!(ended.stderr, "");
        daemon.signal("TERM");
    }
    daemon.ended().await.exits(0);
    let ended = rig.start(&["explain", unknown, "--format", "json"]).ended().await.exits(1);
    let explanation: Explanation = serde_json::from_str(&ended.stdout).unwrap();
    let Finding::Nothing(watched) = explanation.finding else { panic!("{explanation:#?}") };
    assert!(watched.sources[0].feeds[0].read_to.is_some(), "{watched:#?}");
}

#[tokio::test]
async fn no_id_does_any_harm() {
    let rig = Rig::new().await;
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 1).await;
    let longest = "i".repeat(256);
    let odd = ["", "--help-me", "\u{1}12345678", "\u{1b}[31m", "a\nb", "'; rm -rf /", "🔑\u{202e}", "{}", &longest];
    for id in odd {
        let ended = rig.start(&["explain", "--", id]).ended().await.exits(1).prints("is not known here");
        assert!(!ended.stdout.contains(['\u{1}', '\u{1b}', '\u{202e}']), "{id:?}: {ended}");
    }
    rig.start(&["explain", "--", &"i".repeat(257)]).ended().await.exits(64).says("at most 256 bytes");
    rig.start(&["explain"]).ended().await.exits(64);
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}

#[tokio::test]
async fn what_comes_through_the_socket_never_ends_the_daemon() {
    let rig = Rig::new().await;
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 1).await;
    let socket = fs::symlink_metadata(rig.state_dir().join("control")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    for (request, code) in [
        (&b"GET / HTTP/1.1\r\n"[..], "bad_request"),
        (b"\xff\x00\n", "bad_request"),
        (b"{\"v\":2,\"ask\":\"explain\"}\n", "other_version"),
        (b"{\"v\":1,\"ask\":\"stop\"}\n", "unknown_ask"),
        (&[b'['; 100_000], "too_long"),
    ] {
        let reply = exchange(&rig, request);
        assert_eq!(reply["says"]["refusal"]["code"], code, "{reply}");
        assert_eq!((&reply["v"], &reply["secretwatch"]), (&Value::from(1), &env!("CARGO_PKG_VERSION").into()));
    }
    // One that goes away in the middle of its request, and one that says nothing.
    let mut half = UnixStream::connect(rig.state_dir().join("control")).unwrap();
    half.write_all(b"{\"v\":1,").unwrap();
    drop(half);
    let silent = UnixStream::connect(rig.state_dir().join("control")).unwrap();

    let read = rig.read("prod/db", 600);
    rig.until_covered(&daemon, "read", &[read.clone()].into()).await;
    let asked = tokio::join!(explained(&rig, &read), explained(&rig, &read));
    assert_eq!(asked.0.rules, asked.1.rules);
    daemon.signal("TERM");
    let ended = daemon.ended().await.exits(0);
    drop(silent);
    assert!(!ended.stderr.contains("ERROR"), "{ended}");
}

#[tokio::test]
async fn a_socket_that_a_killed_daemon_left_behind_is_no_daemon() {
    let rig = Rig::new().await;
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    rig.until_covered(&daemon, "read", &[read.clone()].into()).await;
    daemon.kill().await;
    assert!(rig.state_dir().join("control").exists());
    assert!(explained(&rig, &read).await.rules[0].alert.is_some());
    let next = rig.daemon();
    rig.until_lookups(&next, 1).await;
    assert!(exchange(&rig, b"{\"v\":1,\"ask\":\"explain\",\"event_id\":\"e\"}\n")["says"]["answer"].is_object());
}

#[tokio::test]
async fn a_store_that_somebody_uses_who_does_not_answer_is_status_75() {
    let rig = Rig::new().await;
    let held = Ledger::open(&rig.state_dir(), settings(Vec::new()), WallTime::now()).unwrap();
    let ended = text(&rig, "e").await.exits(75).says("whoever uses it does not answer: a run of --once");
    assert_eq!(ended.stdout, "");
    drop(held);
    text(&rig, "e").await.exits(1);
}

#[tokio::test]
async fn a_state_that_was_never_begun_is_status_74() {
    let rig = Rig::new().await;
    text(&rig, "e").await.exits(74).says("there is no store in").says("is the state_dir right?");
    assert!(!rig.state_dir().exists());
}

#[tokio::test]
async fn whoever_else_listens_there_is_told_apart() {
    let rig = Rig::new().await;
    fs::create_dir(rig.state_dir()).unwrap();
    let listener = UnixListener::bind(rig.state_dir().join("control")).unwrap();
    let newer = |says: Value| json!({"v": 2, "secretwatch": "9.0.0", "says": says}).to_string() + "\n";
    for (reply, words) in [
        ("220 ready\n".to_owned(), "makes no sense to this version"),
        (String::new(), "does not answer"),
        (newer(json!({"refusal": {"code": "other_version", "message": "too old"}})), "secretwatch: too old"),
        (newer(json!({"answer": {"poem": 1}})), "makes no sense to this version"),
    ] {
        let asking = rig.start(&["explain", "e"]);
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
        assert_eq!(request, "{\"ask\":\"explain\",\"event_id\":\"e\",\"v\":1}\n");
        stream.write_all(reply.as_bytes()).unwrap();
        drop(stream);
        asking.ended().await.exits(75).says(words);
    }
}

#[tokio::test]
async fn where_no_socket_can_be_made_it_watches_all_the_same() {
    let rig = Rig::new().await;
    fs::create_dir_all(rig.state_dir().join("control/in-the-way")).unwrap();
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.until_logged("no other command can ask this daemon what it knows").await;
    rig.until_covered(&daemon, "read", &[read.clone()].into()).await;
    text(&rig, &read).await.exits(75).says("could not make its socket");
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert!(explained(&rig, &read).await.rules[0].alert.is_some());
}

/// When the records of the files happened.
const START: EventTime = EventTime(1_779_907_554);

/// A folder with a configuration and these records, one a line, in `records.jsonl`.
fn folder(config: &str, records: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), config).unwrap();
    fs::write(folder.path().join("records.jsonl"), records.join("\n")).unwrap();
    folder
}

fn written(record: &Record, id: &str, secs: i64) -> String {
    let around = Surroundings { account: "111122223333", region: "us-east-1", now: WallTime(0), late: Duration::ZERO };
    record.clone().id(id).at(START.plus(secs)).json(around, &mut fastrand::Rng::with_seed(1))
}

async fn over_files(folder: &tempfile::TempDir, arguments: &[&str]) -> Ended {
    let mut command = program(folder.path());
    Program::start(command.args(["-c", "config.toml", "explain"]).args(arguments)).ended().await
}

#[tokio::test]
async fn a_record_in_a_file_is_explained_without_aws_and_state() {
    let config = format!("state_dir = \"state\"\n{MANY}[notify.hook]\ntype = \"stdout\"\n");
    let records = [
        written(&Record::read("a"), "first", 0),
        written(&Record::read("b"), "second", 60),
        written(&Record::read("c"), "third", 599),
        written(&Record::read("c"), "late", 2000),
        written(&Record::read("d").denied().source("kms.amazonaws.com"), "foreign", 0),
        "{\"eventID\":\"odd\",\"eventName\":\"GetSecretValue\"}".to_owned(),
    ];
    let folder = folder(&config, &records);
    let file = ["--file", "records.jsonl"];
    for (id, status, words) in [
        ("first", 0, "Rule many would tell of it: alert "),
        ("third", 0, "Rule many would tell of it: alert "),
        ("late", 0, "Rule many counted it: 1 of 3 different secrets in 10 minutes; nobody would be\ntold."),
        ("foreign", 0, "is of kms.amazonaws.com, which is not among the event sources"),
        ("odd", 0, "made no sense (eventTime is missing or no text)"),
        ("none", 1, "No record in these files has the id none."),
    ] {
        let ended = over_files(&folder, &[&[id], &file[..]].concat()).await.exits(status);
        assert!(ended.stdout.replace('\n', " ").contains(&words.replace('\n', " ")), "{words}: {ended}");
        assert_eq!(ended.stderr, "");
    }
    over_files(&folder, &["first", "--file", "records.jsonl"]).await.prints("Notifier  hook: would be sent");

    let ended = over_files(&folder, &["first", "--format", "json", "--file", "records.jsonl"]).await.exits(0);
    let explanation: Explanation = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(explanation.basis, Basis::Files);
    let stands = &explanation.rules[0].alert.as_ref().unwrap().notifiers;
    assert_eq!(stands.iter().map(|it| &it.stand).collect::<Vec<_>>(), [&Standing::Meant]);
    assert!(!folder.path().join("state").exists());
}

#[tokio::test]
async fn without_an_id_the_only_record_is_explained() {
    let only = written(&Record::read("a"), "only", 0);
    let folder = folder("", &[only.clone(), only.clone()]);
    for name in ["one.json", "two.json"] {
        fs::write(folder.path().join(name), &only).unwrap();
    }
    let ended =
        over_files(&folder, &["--file", "one.json", "--file", "two.json", "--file", "records.jsonl"]).await.exits(0);
    ended.prints("Rule secret-is-accessed would tell of it").prints("Event       only");

    let many: Vec<String> = (0..9).map(|number| written(&Record::read("a"), &format!("e{number}"), number)).collect();
    fs::write(folder.path().join("many.jsonl"), many.join("\n")).unwrap();
    let ended = over_files(&folder, &["--file", "many.jsonl"]).await.exits(64);
    let ended = ended.says("there are 9 records; say which is meant").says("GetSecretValue by ").says("\n  …\n");
    let offered: Vec<_> = ended.stderr.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(offered[1..], ["e0", "e1", "e2", "e3", "e4", "…"], "{ended}");
    assert!(ended.stdout.is_empty(), "{ended}");

    fs::write(folder.path().join("nameless.json"), "{\"eventName\":7}").unwrap();
    over_files(&folder, &["--file", "nameless.json"]).await.exits(1).says("eventID is missing or no text");
    fs::write(folder.path().join("empty.json"), "{\"Records\":[]}").unwrap();
    over_files(&folder, &["--file", "empty.json"]).await.exits(1).says("there is no record to explain");
    let damaged = over_files(&folder, &["only", "--file", "one.json", "--file", "nowhere.json"]).await.exits(1);
    damaged.says("nowhere.json: cannot be read").prints("Rule secret-is-accessed would tell of it");
    over_files(&folder, &["e", "--file", "nowhere.json"]).await.exits(1).says("nowhere.json: cannot be read");
    over_files(&folder, &["--file"]).await.exits(64);
}

#[tokio::test]
async fn what_a_file_says_of_an_event_is_what_the_daemon_says() {
    let mut rig = Rig::new().await;
    rig.tables(format!("{}{MANY}", crate::rig::EVERY_READ));
    let mut records = Vec::new();
    for (secret, secs) in [("a", 600), ("b", 500), ("b", 400), ("c", 300)] {
        let record = Record::read(secret).at(rig.ago(secs)).id(&format!("{secret}-{secs}"));
        let around =
            Surroundings { account: "111122223333", region: "us-east-1", now: WallTime(0), late: Duration::ZERO };
        records.push(record.json(around, &mut fastrand::Rng::with_seed(1)));
        rig.account.put(&record);
    }
    rig.once_well().await;
    fs::write(rig.path("records.jsonl"), records.join("\n")).unwrap();
    let read = explained(&rig, "b-500").await;
    let path = rig.path("records.jsonl");
    let ended = rig.start(&["explain", "b-500", "--format", "json", "--file", path.to_str().unwrap()]).ended().await;
    let replayed: Explanation = serde_json::from_str(&ended.exits(0).stdout).unwrap();
    for (read, replayed) in read.rules.iter().zip(&replayed.rules) {
        let ids = |ruling: &Ruling| ruling.alert.as_ref().map(|alert| alert.id.clone());
        assert!(ids(read).is_some() && ids(read) == ids(replayed), "{read:#?}\n{replayed:#?}");
        assert_eq!((&read.window, &read.group, &read.demands), (&replayed.window, &replayed.group, &replayed.demands));
    }
}
