//! `replay`: the rules over files and over Event history, and beside other rules.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use secretwatch::demo::{Call, Fault, Injection, Record, Surroundings};
use secretwatch::model::{EventTime, WallTime};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Ended, Folder, Program, Rig, Told, crossing, program};

/// When the records of the files begin.
const START: EventTime = EventTime(1_779_907_554);

const REPLAYED: &str = "[[rule]]\nname = \"read\"\nevents = [\"GetSecretValue\"]\nthreshold = 3\nwindow = \"20s\"\n";

/// Records by the hundred, and the reads among them that cross [`REPLAYED`].
fn records() -> (Vec<String>, BTreeSet<String>) {
    let mut rng = fastrand::Rng::with_seed(11);
    let around = Surroundings { account: "111122223333", region: "us-east-1", now: WallTime(0), late: Duration::ZERO };
    let mut reads = vec![Vec::new(); 3];
    let mut records = Vec::new();
    for number in 0..120 {
        let (secret, at, id) = (rng.usize(0..3), START.plus(rng.i64(0..600)), format!("event-{number}"));
        let record = Record::read(&format!("s{secret}")).at(at).id(&id);
        reads[secret].push((id, at));
        records.push(record.json(around, &mut rng));
    }
    for (record, at) in [
        (Record::new("DescribeSecret").secret("s0"), START),
        (Record::read("s0").source("kms.amazonaws.com"), START),
        // Of long ago, of the far future, and of a Region that nobody knows; none of them crosses alone.
        (Record::read("s0"), START.minus(86_400 * 4000)),
        (Record::read("s0"), START.plus(86_400 * 4000)),
        (Record::read("s0").in_source("111122223333", "cn-centraleast-1r"), START),
    ] {
        records.push(record.at(at).json(around, &mut rng));
    }
    let covered: BTreeSet<String> = reads.iter().flat_map(|reads| crossing(reads, 3, 20)).collect();
    assert!((10..110).contains(&covered.len()), "{} is no test", covered.len());
    (records, covered)
}

fn log_file(records: &[String]) -> String {
    format!("{{\"Records\":[{}]}}", records.join(","))
}

fn lookup_output(records: &[String]) -> String {
    let event = |text: &String| {
        let record: Value = serde_json::from_str(text).unwrap();
        json!({ "EventId": record["eventID"], "EventName": record["eventName"], "CloudTrailEvent": text })
    };
    json!({ "Events": records.iter().map(event).collect::<Vec<_>>() }).to_string()
}

fn zipped(text: &str) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap()
}

fn told(ended: &Ended) -> Told {
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Told::from_alerts(&lines)
}

#[tokio::test]
async fn replay_says_the_same_of_every_form_and_order() {
    let (records, covered) = records();
    let folder = Folder::new();
    folder.write("config.toml", REPLAYED);
    let (first, second) = records.split_at(40);
    let mut shuffled = records.clone();
    fastrand::Rng::with_seed(5).shuffle(&mut shuffled);
    folder.write("log.json", log_file(&records));
    folder.write("log.json.gz", zipped(&log_file(&shuffled)));
    folder.write("lookup.json", lookup_output(&shuffled));
    folder.write("lines.jsonl", shuffled.join("\n"));
    folder.write("folder/2026/01/a.json.gz", zipped(&log_file(second)));
    folder.write("folder/2026/02/b.jsonl", first.join("\n"));
    // What the first says again is nothing new.
    folder.write("folder/c.json", lookup_output(&shuffled[..30]));

    let replay = ["replay", "--format", "json", "-c", "config.toml"];
    let mut outputs = Vec::new();
    for paths in [
        &["log.json"][..],
        &["log.json.gz"],
        &["lookup.json"],
        &["lines.jsonl"],
        &["folder"],
        &["folder/2026/01/a.json.gz", "folder/2026/02/b.jsonl"],
        &["folder/2026/02", "folder/2026/01"],
    ] {
        let ended = folder.run(&[&replay[..], paths].concat()).await.exits(0);
        assert_eq!(told(&ended).covered("read"), covered, "{paths:?}: {ended}");
        outputs.push(ended.stdout);
    }
    let mut piped = program(folder.path());
    piped.args(replay).arg("-").stdin(File::open(folder.path().join("lines.jsonl")).unwrap());
    outputs.push(Program::fed(&mut piped).ended().await.exits(0).stdout);
    for output in &outputs {
        assert_eq!(*output, outputs[0], "the order shows");
    }
    assert!(!folder.path().join("state").exists());
}

#[tokio::test]
async fn replay_names_what_is_damaged_and_reads_the_rest() {
    let (records, covered) = records();
    let folder = Folder::new();
    folder.write("config.toml", REPLAYED);
    folder.write("logs/good.json", log_file(&records));
    let zip = zipped(&log_file(&records));
    folder.write("logs/cut.json.gz", &zip[..zip.len() / 2]);
    folder.write("logs/page.json", "<html>");
    let ended = folder.run(&["replay", "--format", "json", "-c", "config.toml", "logs", "nowhere.json"]).await.exits(1);
    let ended = ended.says("cut.json.gz").says("page.json").says("nowhere.json");
    assert_eq!(told(&ended).covered("read"), covered);
}

#[tokio::test]
async fn replay_needs_no_configuration_and_speaks_to_people() {
    let (records, _) = records();
    let folder = Folder::new();
    folder.write("empty.toml", "");
    folder.write("log.json", log_file(&records[..1]));
    let ended = folder.run(&["replay", "log.json", "-c", "empty.toml"]).await.exits(0);
    assert!(ended.stdout.contains("Subject: "), "{ended}");
    ended.says("1 file, 0 damaged; 1 record: ").says("secret-is-accessed: 1 incident, 1 alert, 1 access\n");
}

#[tokio::test]
async fn replay_says_the_same_with_however_many_threads() {
    let (records, covered) = records();
    let folder = Folder::new();
    folder.write("config.toml", REPLAYED);
    for (number, part) in records.chunks(7).enumerate() {
        folder.write(&format!("logs/{}/{number}.json.gz", number % 3), zipped(&log_file(part)));
    }
    folder.write("logs/1/5.json.gz", "no gzip");
    folder.write("logs/2/cut.json.gz", &zipped(&log_file(&records))[..300]);
    let mut said = Vec::new();
    for jobs in ["1", "2", "9"] {
        let replay = ["replay", "--format", "json", "-c", "config.toml", "--jobs", jobs, "logs"];
        let ended = folder.run(&replay).await.exits(1);
        assert_eq!(told(&ended).covered("read"), covered);
        said.push((ended.stdout, ended.stderr));
    }
    assert!(said.iter().all(|other| *other == said[0]), "the number of threads shows: {said:#?}");
}

/// Each burst of reads is an incident of its own.
const BURSTS: &str = r#"
[[rule]]
name = "read"
events = ["GetSecretValue"]
threshold = 3
window = "20s"
hold = "0s"
"#;

/// Rules that find less in some places than [`BURSTS`] does, and more in others.
const CHANGED: &str = r#"
[[rule]]
name = "read"
events = ["GetSecretValue"]
threshold = 4
window = "20s"
hold = "0s"
[[rule]]
name = "described"
events = ["DescribeSecret"]
"#;

#[tokio::test]
async fn comparing_shows_what_other_rules_would_have_sent() {
    let (records, _) = records();
    let folder = Folder::new();
    folder.write("old.toml", BURSTS);
    folder.write("new.toml", CHANGED);
    folder.write("log.json", log_file(&records));
    let replay = ["replay", "-c", "new.toml", "--compare", "old.toml", "log.json"];
    let ended = folder.run(&[&replay[..], &["--format", "json"]].concat()).await.exits(0);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |change: &str| lines.iter().filter(|line| line["change"] == change).cloned().collect::<Vec<_>>();

    let rules = of("rule");
    assert_eq!(rules.iter().map(|line| line["rule"].as_str().unwrap()).collect::<Vec<_>>(), ["described", "read"]);
    assert_eq!((&rules[0]["before"], &rules[0]["after"]["incidents"]), (&Value::Null, &json!(1)));
    assert!(rules[1]["before"]["accesses"].as_u64() > rules[1]["after"]["accesses"].as_u64(), "{ended}");

    // What was added and removed are alerts as each set of rules alone would have sent them.
    let alone = |config: &'static str| {
        let arguments = ["replay", "--format", "json", "-c", config, "log.json"];
        let folder = &folder;
        async move { folder.run(&arguments).await.exits(0).stdout }
    };
    let (old, new) = (alone("old.toml").await, alone("new.toml").await);
    let stands_in = |output: &str, line: &Value| {
        output.lines().any(|alert| serde_json::from_str::<Value>(alert).unwrap() == line["alert"])
    };
    let (added, removed, changed) = (of("added"), of("removed"), of("changed"));
    assert!(!added.is_empty() && !removed.is_empty(), "{ended}");
    assert!(added.iter().chain(&changed).all(|line| stands_in(&new, line)), "{ended}");
    assert!(removed.iter().all(|line| stands_in(&old, line)), "{ended}");
    assert!(added.iter().all(|line| line["alert"]["rule"]["name"] == "described"), "fewer reads cross now: {ended}");
    assert_eq!(lines.len(), rules.len() + added.len() + removed.len() + changed.len());

    let ended = folder.run(&replay).await.exits(0);
    let ended = ended.prints("Added: 1 incident\n").prints("described  secret s0  ").prints("alerts a week");
    ended.prints("before:").says("matched a rule");
}

#[tokio::test]
async fn comparing_rules_with_themselves_shows_nothing() {
    let (records, _) = records();
    let folder = Folder::new();
    folder.write("config.toml", REPLAYED);
    folder.write("log.json", log_file(&records));
    let replay = ["replay", "-c", "config.toml", "--compare", "config.toml", "log.json"];
    let ended = folder.run(&replay).await.exits(0);
    ended.prints("Added: 0 incidents\n").prints("Removed: 0 incidents\n").prints("Changed: 0 incidents\n");
    folder.run(&["replay", "-c", "config.toml", "--compare", "nowhere.toml", "log.json"]).await.exits(78);
}

/// A rig whose Event history holds 120 reads of three secrets, three pages, and which of them cross [`REPLAYED`].
async fn history() -> (Rig, BTreeSet<String>) {
    let mut rig = Rig::new().await;
    rig.tables(REPLAYED);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut reads = vec![Vec::new(); 3];
    for number in 0..120 {
        let ago = rng.i64(600..1200);
        let secret = ["s0", "s1", "s2"][number % 3];
        reads[number % 3].push((rig.read(secret, ago), rig.ago(ago)));
    }
    let covered: BTreeSet<String> = reads.iter().flat_map(|reads| crossing(reads, 3, 20)).collect();
    assert!((10..110).contains(&covered.len()), "{} is no test", covered.len());
    (rig, covered)
}

const FROM_AWS: [&str; 5] = ["replay", "--from-aws", "2h", "--format", "json"];

fn never(_: &Call) -> bool {
    false
}

fn any(call: &Call) -> bool {
    call.operation == "LookupEvents"
}

fn later(call: &Call) -> bool {
    call.operation == "LookupEvents" && call.parameters.get("NextToken").is_some()
}

#[tokio::test]
async fn event_history_is_replayed_through_whatever_passes() {
    for (what, is_struck, fault) in [
        ("nothing", never as fn(&Call) -> bool, Fault::internal()),
        ("throttled", any, Fault::throttled()),
        ("a 500", later, Fault::internal()),
        ("a cut body", any, Fault::CutBody),
        ("a refused token", later, Fault::RefuseToken),
    ] {
        let (rig, covered) = history().await;
        // Older than was asked for.
        rig.read("s0", 7300);
        rig.account.inject(Injection::when(is_struck, fault));
        let ended = rig.start(&FROM_AWS).ended().await.exits(0);
        assert_eq!(told(&ended).covered("read"), covered, "{what}: {ended}");
        // Behind a refused token the second that was being read is read again.
        let events = if what == "a refused token" { 121 } else { 120 };
        ended.says("1 source, ").says(&format!("; {events} events, {events} matched a rule, 0 did not, "));
        assert!(!rig.state_dir().exists());
        assert!(rig.receiver.requests().is_empty(), "nobody is told");
    }
}

#[tokio::test]
async fn event_history_that_is_denied_is_told_and_the_rest_is_read() {
    let (mut rig, covered) = history().await;
    let regions = "[[account]]\nregions = [\"us-east-1\", \"eu-west-1\"]\n";
    rig.tables(format!("{REPLAYED}{regions}"));
    let elsewhere = |call: &Call| call.operation == "LookupEvents" && call.region == "eu-west-1";
    rig.account.inject(Injection::when(elsewhere, Fault::denied()).until_lifted());
    let ended = rig.start(&FROM_AWS).ended().await.exits(1);
    let ended = ended.says("eu-west-1: secretsmanager.amazonaws.com: nothing was read: AWS does not allow the lookup");
    let ended = ended.says("Allow cloudtrail:LookupEvents").says("2 sources, ");
    assert_eq!(told(&ended).covered("read"), covered);
}

#[tokio::test]
async fn a_signal_ends_the_reading_and_what_was_read_is_replayed() {
    let (rig, _) = history().await;
    let release = CancellationToken::new();
    rig.account.inject(Injection::when(later, Fault::Hang(release.clone())));
    let program = rig.start(&FROM_AWS);
    rig.until_hanging(&program).await;
    program.signal("INT");
    release.cancel();
    let ended = program.ended().await.exits(1).says("read back to ").says("stopped").says("; 100 events, ");
    assert!(!told(&ended).covered("read").is_empty(), "{ended}");
}

#[tokio::test]
async fn event_history_can_be_compared_and_speaks_to_people() {
    let (rig, _) = history().await;
    std::fs::write(rig.path("old.toml"), CHANGED).unwrap();
    let ended = rig.start(&["replay", "--from-aws", "90d", "--compare", "old.toml"]).ended().await.exits(0);
    ended.prints("Removed: 0 incidents\n").prints("Added: ").prints("alerts a week");
}

#[tokio::test]
async fn what_contradicts_itself_is_wrong_usage() {
    let folder = Folder::new();
    for arguments in [
        &["replay", "--from-aws", "1d", "log.json"][..],
        &["replay", "--from-aws", "91d"],
        &["replay", "--from-aws", "0s"],
        &["replay", "--from-aws", "soon"],
        &["replay", "--from-aws", "1d", "--jobs", "2"],
        &["replay", "--jobs", "0", "log.json"],
        &["replay", "--jobs", "257", "log.json"],
        &["replay", "--compare", "old.toml"],
    ] {
        folder.run(arguments).await.exits(64);
    }
}
