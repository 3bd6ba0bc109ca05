//! `secretwatch --once`: what it counts, what it sends, and the status that it ends with.

use std::collections::BTreeSet;
use std::fs;

use secretwatch::demo::{Call, Fault, Injection, Record};

use crate::rig::{PATIENCE, Program, Receiver, Rig, program};

/// A rule that takes three reads of one secret within a minute.
const THREE: &str = "[[rule]]\nname = \"read\"\nevents = [\"GetSecretValue\"]\nthreshold = 3\nwindow = \"1m\"\n";

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).clone()).collect()
}

#[tokio::test]
async fn one_less_than_the_threshold_is_silence() {
    let mut rig = Rig::new().await;
    rig.tables(THREE);
    let (first, second) = (rig.read("prod/db", 600), rig.read("prod/db", 590));
    rig.read("prod/other", 595);
    rig.once_well().await;
    assert!(rig.receiver.requests().is_empty());

    let third = rig.read("prod/db", 570);
    rig.once_well().await;
    let told = rig.told();
    assert_eq!(told.covered("read"), set(&[&first, &second, &third]));
    let opened = told.one("opened");
    assert_eq!((opened["value"].as_u64(), opened["threshold"].as_u64()), (Some(3), Some(3)));
    assert_eq!(opened["group"], serde_json::json!({ "secret": "prod/db" }));
}

/// Three reads so many seconds ago, and whether a minute holds them all.
#[tokio::test]
async fn a_window_holds_its_end_and_not_its_beginning() {
    for (seconds_ago, fires) in
        [([700, 670, 641], true), ([700, 670, 640], false), ([700, 700, 700], true), ([700, 640, 580], false)]
    {
        let mut rig = Rig::new().await;
        rig.tables(THREE);
        let ids = seconds_ago.map(|ago| rig.read("prod/db", ago));
        rig.once_well().await;
        let expected = if fires { set(&ids.each_ref()) } else { BTreeSet::new() };
        assert_eq!(rig.told().covered("read"), expected, "{seconds_ago:?}");
    }
}

#[tokio::test]
async fn a_window_does_not_end_where_a_page_does() {
    let mut rig = Rig::new().await;
    rig.tables(THREE);
    let mut expected = BTreeSet::new();
    for ago in (600..660).rev() {
        if ago % 20 == 0 {
            expected.insert(rig.read("prod/db", ago));
        }
        // What nobody counts takes up the room.
        for _ in 0..3 {
            rig.account.put(&Record::new("DescribeSecret").secret("prod/db").at(rig.ago(ago)));
        }
    }
    rig.once_well().await;
    assert!(rig.account.calls_of("LookupEvents").len() >= 4);
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn the_second_run_sends_what_is_new_and_nothing_else() {
    let rig = Rig::new().await;
    let mut expected = BTreeSet::from([rig.read("prod/db", 600)]);
    rig.once_well().await;
    rig.once_well().await;
    assert_eq!(rig.told().kinds(), ["opened"]);
    assert_eq!(rig.receiver.requests().len(), 1);

    expected.insert(rig.read("prod/db", 500));
    expected.insert(rig.read("prod/db", 700));
    rig.once_well().await;
    rig.once_well().await;
    assert_eq!(rig.told().kinds(), ["opened", "updated"]);
    assert_eq!(rig.told().covered("read"), expected);
    assert_eq!(rig.receiver.requests().len(), 2);
}

#[tokio::test]
async fn what_is_over_is_told_as_over() {
    let mut rig = Rig::new().await;
    rig.poll("lateness", "\"1s\"");
    rig.tables("[[rule]]\nname = \"read\"\nhold = \"1m\"\n");
    let read = rig.read("prod/db", 600);
    rig.once_well().await;
    rig.once_well().await;
    let told = rig.told();
    assert_eq!(told.kinds(), ["opened", "resolved"]);
    assert_eq!(told.covered("read"), set(&[&read]));
    assert_eq!(told.one("resolved")["incident"], told.one("opened")["incident"]);
}

#[tokio::test]
async fn a_denied_source_is_status_1_and_disturbs_no_other() {
    let mut rig = Rig::new().await;
    rig.tables("[[account]]\nname = \"prod\"\nregions = [\"us-east-1\", \"us-east-2\"]\n");
    let hidden = rig.account.put(&Record::read("a").at(rig.ago(600)));
    let seen = rig.account.put(&Record::read("b").at(rig.ago(600)).in_source("111122223333", "us-east-2"));
    let denied = |call: &Call| call.operation == "LookupEvents" && call.region == "us-east-1";
    let denial = rig.account.inject(Injection::when(denied, Fault::denied()).until_lifted());

    rig.once().await.exits(1).says("us-east-1").says("AccessDeniedException");
    assert_eq!(rig.told().covered("secret-is-accessed"), set(&[&seen]));

    rig.account.lift(denial);
    rig.once_well().await;
    assert_eq!(rig.told().covered("secret-is-accessed"), set(&[&seen, &hidden]));
}

#[tokio::test]
async fn an_undelivered_alert_is_status_2_until_it_is_delivered() {
    let mut rig = Rig::new().await;
    rig.receiver.go_down();
    let read = rig.read("prod/db", 600);
    rig.once().await.exits(2);
    rig.receiver.come_up();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), set(&[&read]));
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_pass_that_is_cut_short_is_status_1_and_goes_on_where_it_ended() {
    let mut rig = Rig::new().await;
    // So that what was read is settled and need not be read again.
    rig.poll("lateness", "\"1s\"");
    let expected: BTreeSet<String> = (0..250).map(|event| rig.read("prod/db", 600 + event)).collect();
    // A request every five seconds: time for the first page on a slow machine, and for no more than two on any.
    rig.poll("requests_per_second", "0.2");
    rig.start(&["--once", "--max-time", "4s"]).ended().await.exits(1);
    let first = rig.account.calls_of("LookupEvents").len();
    assert_eq!(first, 1, "pages in four seconds");

    rig.poll("requests_per_second", "2.0");
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    let all = rig.account.calls_of("LookupEvents").len();
    // One more, since the page that was cut through is begun again, and one for the seconds that have passed since.
    assert!(all <= 5 + 2, "{first} pages, then {}", all - first);
}

#[tokio::test]
async fn what_is_doubtful_about_the_configuration_is_logged() {
    let mut rig = Rig::new().await;
    rig.tables("[[rule]]\nname = \"read\"\nnotify = []\n");
    rig.once().await.exits(0).says("an empty list is no list").says("rule[0].notify").says("WARN");
}

#[tokio::test]
async fn wrong_usage_is_status_64() {
    for arguments in
        [&["--frobnicate"][..], &["fly"], &["--max-time", "5s"], &["--once", "--max-time", "soon"], &["replay"]]
    {
        let folder = tempfile::tempdir().unwrap();
        let ended = Program::start(program(folder.path()).args(arguments)).ended().await.exits(64);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_status_74() {
    let rig = Rig::new().await;
    // A file where the folder should be.
    fs::write(rig.state_dir(), "not a folder").unwrap();
    rig.once().await.exits(74).says("state");
}

/// What may happen to a file: what it is called, and what it makes of the content.
type Damage = (&'static str, fn(&[u8]) -> Vec<u8>);

const DAMAGE: [Damage; 5] = [
    ("overwritten", |bytes| (0..bytes.len()).map(|at| (at * 7919 % 251) as u8).collect()),
    ("overwritten by a page", |_| b"<html>It works!</html>".to_vec()),
    ("zeroed", |bytes| vec![0; bytes.len()]),
    ("emptied", |_| Vec::new()),
    ("overwritten at its beginning", |bytes| [&[0x5a; 4096][..], bytes.get(4096..).unwrap_or_default()].concat()),
];

#[tokio::test]
async fn a_damaged_store_is_status_74() {
    for (what, damage) in DAMAGE {
        let rig = Rig::new().await;
        rig.read("prod/db", 600);
        rig.once_well().await;
        let path = rig.state_dir().join("db/db");
        let damaged = damage(&fs::read(&path).unwrap());
        fs::write(&path, &damaged).unwrap();
        let ended = rig.once().await;
        assert_eq!(ended.status, Some(74), "{what}: {ended}");
        assert!(ended.stderr.contains("the store in"), "{what}: {ended}");
        assert_eq!(rig.receiver.requests().len(), 1, "{what}");
    }
}

/// sled writes a snapshot at each start, under such a name until it is whole, and a process may be killed meanwhile.
#[tokio::test]
async fn a_snapshot_that_was_not_finished_is_no_damage() {
    let rig = Rig::new().await;
    let mut expected = BTreeSet::from([rig.read("prod/db", 600)]);
    rig.once_well().await;
    for torn in [&b""[..], b"half a snap", &[0x5a; 500]] {
        fs::write(rig.state_dir().join("db/snap.00000000FFFFFFFF.generating"), torn).unwrap();
        expected.insert(rig.read("prod/db", 590));
        rig.once_well().await;
    }
    assert_eq!(rig.told().covered("read"), expected);
    assert_eq!(rig.told().kinds(), ["opened", "updated", "updated", "updated"]);
}

#[tokio::test]
async fn a_second_instance_is_status_75() {
    let rig = Rig::new().await;
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 1).await;
    rig.once().await.exits(75).says("another secretwatch is using");
    rig.start(&[]).ended().await.exits(75);

    // The first is not disturbed, and its end frees the place.
    let read = rig.read("prod/db", 600);
    rig.until_covered(&daemon, "read", &set(&[&read])).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);
}

/// What is written, and the place, key and words of the complaint.
const WRONG: [(&str, &str); 14] = [
    ("[poll", "config.toml:1:6: unclosed table"),
    ("state_dri = \"/x\"", "config.toml:1:1: state_dri: unknown key, did you mean \"state_dir\"?"),
    ("[poll]\nintervall = \"1m\"", "config.toml:2:1: poll.intervall: unknown key, did you mean \"interval\"?"),
    ("[poll]\ninterval = 60", "config.toml:2:12: poll.interval: expected a duration"),
    ("[poll]\ninterval = \"1m\"\nschedule = \"0 * * * * *\"", "config.toml:3:12: poll.schedule: not together with"),
    ("[poll]\nrequests_per_second = 2.5", "config.toml:2:23: poll.requests_per_second: must be"),
    ("[poll]\nbackfill = \"91d\"", "config.toml:2:12: poll.backfill: must be at most 90d"),
    ("[poll]\nretention = \"1h\"", "config.toml:2:13: poll.retention: "),
    ("[[account]]\nrole_arn = \"prod\"", "config.toml:2:12: account[0].role_arn: expected a role's ARN"),
    ("[[rule]]\nevents = []", "config.toml:1:1: rule[0].name: missing"),
    ("[[rule]]\nname = \"r\"\nthreshold = 0", "config.toml:3:13: rule[0].threshold: must be at least 1"),
    ("[[rule]]\nname = \"r\"\nnotify = [\"nobody\"]", "config.toml:3:11: rule[0].notify[0]: there is no notifier"),
    (
        "[notify.n]\ntype = \"webhook\"\nurl = \"http://hooks.example.com/\"",
        "config.toml:3:7: notify.n.url: http is for",
    ),
    (
        "[notify.n]\ntype = \"sns\"\ntopic_arn = \"alarms\"",
        "config.toml:3:13: notify.n.topic_arn: expected a topic's ARN",
    ),
];

#[tokio::test]
async fn wrong_configuration_is_status_78_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    for (text, complaint) in WRONG {
        fs::write(&path, text).unwrap();
        for arguments in [&["--once"][..], &["check"], &[]] {
            let mut command = program(folder.path());
            let ended = Program::start(command.arg("-c").arg(&path).args(arguments)).ended().await;
            ended.exits(78).says(complaint);
        }
    }
    assert!(!folder.path().join("state").exists());
}

#[tokio::test]
async fn every_problem_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, "[poll]\nintervall = \"1m\"\nbackfill = \"1 year\"\n[[rule]]\nname = \"r\"\nthreshold = 0\n")
        .unwrap();
    let ended = Program::start(program(folder.path()).args(["check", "-c"]).arg(&path)).ended().await.exits(78);
    let ended = ended.says("config.toml:2:1: ").says("config.toml:3:12: ").says("config.toml:6:13: ");
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn other_ways_to_have_no_configuration_are_status_78_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("binary"), b"state_dir = \"\xff\"").unwrap();
    for (variables, arguments, words) in [
        (&[][..], &["-c", "missing.toml"][..], "missing.toml"),
        (&[], &["-c", "."], "cannot be read"),
        (&[], &["-c", "binary"], "binary:1:14: not UTF-8"),
        (&[("SECRETWATCH_CONFIG", "nowhere.toml")], &[], "nowhere.toml"),
        (&[("SECRETWATCH_CONFIG_TOML", "x = 1")], &[], "SECRETWATCH_CONFIG_TOML:1:1: x: unknown key"),
        (
            &[("SECRETWATCH_CONFIG_TOML", "state_dir = \"s\""), ("SECRETWATCH__POLL__INTERVAL", "often")],
            &[],
            "SECRETWATCH__POLL__INTERVAL: poll.interval: expected a duration",
        ),
    ] {
        let mut command = program(folder.path());
        command.envs(variables.iter().copied()).arg("--once").args(arguments);
        Program::start(&mut command).ended().await.exits(78).says(words);
    }
}

#[tokio::test]
async fn without_a_region_nothing_can_be_read() {
    let rig = Rig::new().await;
    let config = rig.write_config();
    let mut command = rig.command(&["--once", "-c"]);
    command.arg(config).env_remove("AWS_REGION");
    Program::start(&mut command).ended().await.exits(78).says("no region");
}

#[tokio::test]
async fn a_receiver_that_never_answers_does_not_hold_up_a_run_for_ever() {
    let mut rig = Rig::new().await;
    rig.hook("timeout = \"1s\"");
    let release = tokio_util::sync::CancellationToken::new();
    rig.receiver.answers(crate::rig::Answer::Hold(release));
    rig.read("prod/db", 600);
    let begun = std::time::Instant::now();
    rig.once().await.exits(2);
    assert!(begun.elapsed() < PATIENCE);
    rig.receiver = Receiver::up();
    rig.once_well().await;
    assert_eq!(rig.told().kinds(), ["opened"]);
}
