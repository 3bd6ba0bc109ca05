//! The built-in rules over records that fire them and records that must not, through the real program.
//!
//! `tests/data/rules/` has a file of records for each rule. What an `eventID` begins with says what is to become of the
//! record: `fires` is in an alert of the rule, anything else is in none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use secretwatch::config::builtins;
use serde_json::Value;

use crate::rig::{Program, Told, program};

/// What a rule's records are a test of, besides the rule's own keys.
fn needs(rule: &str) -> &'static str {
    match rule {
        "canary" => "[[rule]]\nname = \"canary\"\nsecrets = [\"canary/*\"]\n",
        "trail-tampering" => {
            "[poll]\nevent_sources = [\"secretsmanager.amazonaws.com\", \"cloudtrail.amazonaws.com\"]\n"
        }
        // Files have no past that could be learnt from: with nothing to learn, the first of each is new.
        "new-reader" => "[[rule]]\nname = \"new-reader\"\nfirst_seen.learn = \"0s\"\n",
        _ => "",
    }
}

fn records_of(rule: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/rules/{rule}.jsonl")).display().to_string()
}

/// Those of the rule's records that are to fire it.
fn expected(rule: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(records_of(rule)).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let ids = text.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{rule}: {error}: {line}"));
        record["eventID"].as_str().expect("an id").to_owned()
    });
    let (fires, others): (BTreeSet<_>, BTreeSet<_>) = ids.partition(|id| id.starts_with("fires"));
    assert!(!fires.is_empty() && others.len() >= 3, "{rule}: too few records to tell anything");
    fires
}

#[tokio::test]
async fn each_fires_on_what_it_is_about_and_on_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let replay = ["replay", "--format", "json", "-c", "config.toml"];
    for rule in builtins().iter().map(|builtin| builtin.name()) {
        let config = format!("use = [{rule:?}]\n{}", needs(rule));
        fs::write(folder.path().join("config.toml"), config).expect("a file");
        let ended = Program::start(program(folder.path()).args(replay).arg(records_of(rule))).ended().await.exits(0);
        let alerts: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(Told::from_alerts(&alerts).covered(rule), expected(rule), "{rule}: {ended}");
    }
}

#[test]
fn every_file_of_records_is_that_of_a_rule() {
    let rules: BTreeSet<String> = builtins().iter().map(|builtin| builtin.name().to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules");
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let named: BTreeSet<String> = files.map(|path| path.file_stem().expect("a name").display().to_string()).collect();
    assert_eq!(named, rules);
}
