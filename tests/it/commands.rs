//! The commands besides watching: `check`, `replay`, `demo`, and what every program can.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use secretwatch::demo::{Record, Surroundings};
use secretwatch::model::{EventTime, WallTime};
use serde_json::{Value, json};

use crate::rig::{Ended, Program, Told, crossing, program};

/// A folder in which commands are run.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        Program::start(program(self.path()).args(arguments)).ended().await
    }
}

#[tokio::test]
async fn a_right_configuration_is_right_and_what_it_prints_is_too() {
    const CONFIG: &str = r#"
state_dir = "state"
[poll]
schedule = "0 */2 * * * *"
[[account]]
role_arn = "arn:aws:iam::111122223333:role/secretwatch"
regions = ["us-east-1", "us-east-2"]
[[rule]]
name = "many"
statistic = { distinct = "secret" }
threshold = 10
group_by = ["principal"]
secrets = ["prod/*"]
[notify.chat]
type = "webhook"
url = "https://hooks.example.com/T0/hunter2"
[notify.mail]
type = "sns"
topic_arn = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms"
"#;
    let folder = Folder::new();
    folder.write("config.toml", CONFIG);
    folder.run(&["check", "-c", "config.toml"]).await.exits(0);
    let printed = folder.run(&["check", "--print", "-c", "config.toml"]).await.exits(0).stdout;
    assert!(!printed.contains("hunter2"), "{printed}");
    folder.write("printed.toml", &printed);
    let again = folder.run(&["--config", "printed.toml", "check", "--print"]).await.exits(0).stdout;
    assert_eq!(again, printed);
    assert!(!folder.path().join("state").exists(), "checking leaves nothing behind");
}

#[tokio::test]
async fn an_empty_file_is_a_configuration() {
    let folder = Folder::new();
    folder.write("empty.toml", "");
    let printed = folder.run(&["check", "--print", "-c", "empty.toml"]).await.exits(0).stdout;
    for words in ["secret-is-accessed", "GetSecretValue", "stdout", "15m"] {
        assert!(printed.contains(words), "no {words} in {printed}");
    }
}

#[tokio::test]
async fn the_configuration_may_be_a_variable() {
    let folder = Folder::new();
    let mut command = program(folder.path());
    command.env("SECRETWATCH_CONFIG_TOML", "state_dir = \"a\"").env("SECRETWATCH__POLL__LATENESS", "7m");
    let printed = Program::start(command.args(["check", "--print"])).ended().await.exits(0).stdout;
    assert!(printed.contains("state_dir = \"a\"") && printed.contains("lateness = \"7m\""), "{printed}");
}

#[tokio::test]
async fn what_is_doubtful_is_told_and_refused_only_by_the_strict() {
    let folder = Folder::new();
    folder.write("doubtful.toml", "[[rule]]\nname = \"a\"\nnotify = []\n");
    let warning = "doubtful.toml:3:10: rule[0].notify: warning: an empty list is no list";
    let told = folder.run(&["check", "-c", "doubtful.toml"]).await.exits(0).says(warning);
    assert!(told.stdout.contains("1 warning(s)"), "{told}");
    let printed = folder.run(&["check", "--print", "-c", "doubtful.toml"]).await.exits(0).says(warning).stdout;
    assert!(printed.contains("[[rule]]") && !printed.contains("warning"), "{printed}");
    let refused = folder.run(&["check", "--strict", "-c", "doubtful.toml"]).await.exits(78).says(warning);
    assert_eq!(refused.stdout, "", "{refused}");
    folder.write("clear.toml", "use = [\"recommended\"]\n");
    assert_eq!(folder.run(&["check", "--strict", "-c", "clear.toml"]).await.exits(0).stderr, "");
}

#[tokio::test]
async fn the_built_in_rules_are_listed_and_can_be_copied() {
    let folder = Folder::new();
    let list = folder.run(&["rules"]).await.exits(0).stdout;
    let shown: Value = serde_json::from_str(&folder.run(&["rules", "--format", "json"]).await.exits(0).stdout).unwrap();
    let rules = shown.as_array().unwrap();
    assert!(rules.len() >= 17 && list.lines().all(|line| line.chars().count() <= 100), "{list}");
    for rule in rules {
        let [name, severity, technique] = ["name", "severity", "technique"].map(|key| rule[key].as_str().unwrap());
        let recommended = if rule["recommended"] == true { ", recommended" } else { "" };
        assert!(list.contains(&format!("{name} ({severity}, {technique}{recommended})\n")), "{name} in {list}");
        assert!(rule["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{rule}");
    }
    for words in [
        "15 different secrets by GetSecretValue (success), within 10m for one principal",
        "then one GetSecretValue (success), within 30m for one principal",
        "each GetSecretValue (success) with principal and secret not seen together for 30d, for one principal",
        "Needs \"cloudtrail.amazonaws.com\" among poll.event_sources.",
    ] {
        let flowing = list.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(words), "no {words:?} in {list}");
    }

    let copied = folder.run(&["rules", "bulk-read", "new-reader"]).await.exits(0).stdout;
    folder.write("copied.toml", &copied);
    folder.run(&["check", "--strict", "-c", "copied.toml"]).await.exits(0);
    let one = folder.run(&["rules", "--format", "json", "bulk-read"]).await.exits(0).stdout;
    assert!(copied.contains(serde_json::from_str::<Value>(&one).unwrap()[0]["toml"].as_str().unwrap()), "{copied}");
    folder
        .run(&["rules", "bulk-reads"])
        .await
        .exits(64)
        .says("no built-in rule \"bulk-reads\", did you mean \"bulk-read\"?");
}

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
    ended.says("1 record(s)").says("secret-is-accessed: 1 incident(s)");
}

#[tokio::test]
async fn the_demo_shows_an_alert_and_ends_when_asked() {
    let folder = Folder::new();
    let demo = Program::start(program(folder.path()).args(["demo", "--format", "json"]));
    let whole_line = |said: &str| said.contains('\n');
    demo.until_printed("an alert", whole_line).await;
    demo.signal("INT");
    let ended = demo.ended().await.exits(0);
    let alerts: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts[0]["schema"], "secretwatch.alert.v1");
    Told::from_alerts(&alerts);
}

#[tokio::test]
async fn help_version_completions_and_manual() {
    let folder = Folder::new();
    for (arguments, words) in [
        (&["--help"][..], &["--once", "--config", "replay", "Exit status"][..]),
        (&["replay", "--help"], &["PATH", "--format"]),
        (&["check", "--help"], &["--print", "--strict"]),
        (&["rules", "--help"], &["NAME", "--format"]),
        (&["--version"], &["secretwatch ", env!("CARGO_PKG_VERSION")]),
        (&["completions", "bash"], &["complete -F", "secretwatch"]),
        (&["completions", "zsh"], &["#compdef secretwatch"]),
        (&["completions", "fish"], &["complete -c secretwatch"]),
        (&["man"], &[".TH secretwatch", "\\-\\-once"]),
    ] {
        let ended = folder.run(arguments).await.exits(0);
        for words in words {
            assert!(ended.stdout.contains(words), "no {words:?} in {ended}");
        }
        assert_eq!(ended.stderr, "", "{arguments:?}");
    }
}
