//! What is written about the program, held to the program: its documents, units and policy say nothing that is not so.
//!
//! Everything is read as text. Each check fails when it finds nothing to read, so that none of them ends up checking
//! nothing after a file was renamed or a heading reworded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::sources::{self, Source};

/// Longest ARCHITECTURE.md, in lines: whoever is new reads it in one sitting.
const ARCHITECTURE_LINES: usize = 150;

/// What our calls are called in a policy. Those that are not made stand here too, so that making them without allowing
/// them is noticed. GetCallerIdentity needs no permission.
const CALLS: [(&str, &str); 13] = [
    (".lookup_events()", "cloudtrail:LookupEvents"),
    (".describe_trails()", "cloudtrail:DescribeTrails"),
    (".get_trail_status()", "cloudtrail:GetTrailStatus"),
    (".list_secrets()", "secretsmanager:ListSecrets"),
    (".describe_secret()", "secretsmanager:DescribeSecret"),
    // `drill` alone, on one secret and by whoever types it: docs/iam.md.
    (".get_secret_value()", ""),
    (".publish()", "sns:Publish"),
    (".publish_batch()", "sns:Publish"),
    (".get_topic_attributes()", "sns:GetTopicAttributes"),
    (".list_subscriptions_by_topic()", "sns:ListSubscriptionsByTopic"),
    (".get_caller_identity()", ""),
    (".assume_role()", "sts:AssumeRole"),
    ("AssumeRoleProvider::builder(", "sts:AssumeRole"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document, by its path from the root.
fn documents() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["", "docs", "deploy/ecs"] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of documents") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                let text = read(&name);
                found.insert(name, text);
            }
        }
    }
    for expected in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/iam.md"] {
        assert!(found.contains_key(expected), "no {expected}");
    }
    found
}

/// The fenced blocks of `text`, each with the language that it names.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push((language, body.join("\n")));
        }
    }
    blocks
}

/// What stands between backticks, outside of blocks.
fn spans(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut spans = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced && !line.starts_with("```") {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// The program, away from whatever configuration surrounds the tests.
fn secretwatch(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secretwatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SECRETWATCH") {
            command.env_remove(name);
        }
    }
    command.args(args).output().expect("the program starts")
}

/// The arguments of a call of the program in `line`, if it is one.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let line = line.split([';', '|', '>', '#', '&']).next().unwrap_or_default();
    let words = words(line.trim().trim_start_matches("$ "));
    let called = |word: &&str| word.strip_prefix("ExecStart=").unwrap_or(word) == "/usr/bin/secretwatch";
    let place = match words.first() {
        Some(&"secretwatch") => Some(0),
        Some(&"cargo") if words.get(1) == Some(&"run") => words.iter().position(|word| *word == "--"),
        _ => words.iter().position(called),
    };
    place.map(|place| words[place + 1..].to_vec())
}

/// The words of a command, of which those in quotes are one.
fn words(mut line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    loop {
        line = line.trim_start();
        let (word, rest) = match line.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => line.split_at(line.find(char::is_whitespace).unwrap_or(line.len())),
        };
        if word.is_empty() && rest.is_empty() {
            return words;
        }
        words.push(word);
        line = rest;
    }
}

#[test]
fn modules_use_only_what_lies_before_them() {
    let may_use: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("model", &[][..]),
        ("trail", &["model"]),
        ("detect", &["model"]),
        ("demo", &["model"]),
        ("store", &["model", "detect", "trail"]),
        ("config", &["model", "detect"]),
        ("notify", &["model", "store", "config"]),
        ("report", &["model"]),
        ("aws", &["model", "trail", "config"]),
        ("status", &["model", "trail", "store", "config"]),
        ("daemon", &["model", "trail", "detect", "store", "notify", "config", "aws", "status"]),
        ("doctor", &["model", "trail", "store", "notify", "config", "aws", "daemon"]),
        (
            "cli",
            &["model", "trail", "detect", "store", "notify", "config", "aws", "report", "daemon", "doctor", "demo"],
        ),
    ]);
    let (mut seen, mut uses) = (BTreeSet::new(), 0);
    for source in sources::shipped() {
        let Some(module) = source.module() else { continue };
        let allowed = may_use.get(module).unwrap_or_else(|| panic!("{module} has no place among the others"));
        seen.insert(module.to_owned());
        for used in source.uses() {
            uses += 1;
            let right = used == module || allowed.contains(&used.as_str());
            assert!(right, "{} uses {used}, but {module} may use only {allowed:?}", source.path.display());
        }
    }
    let known: BTreeSet<String> = may_use.keys().map(|module| (*module).to_owned()).collect();
    assert_eq!(seen, known, "modules that were read, and those that were expected");
    assert!(uses > 50, "only {uses} uses were found");
}

#[test]
fn the_architecture_is_short() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!((40..=ARCHITECTURE_LINES).contains(&lines), "{lines} lines");
}

#[test]
fn what_the_architecture_names_exists() {
    let text = read("ARCHITECTURE.md");
    let code: String = sources::all().into_iter().map(|source| source.text).collect();
    let keys = read("config.example.toml");
    let (mut types, mut functions, mut places) = (0, 0, 0);
    for name in spans(&text) {
        let name = name.trim_end_matches("()");
        if name.contains('/') || name.contains(".rs") {
            assert!(root().join(name).exists(), "no place {name}");
            places += 1;
        } else if name.contains(' ') {
            // An expression or a command.
        } else if let Some((owner, function)) = name.split_once("::") {
            assert!(defines_type(&code, owner), "no type {owner}");
            assert!(defines_function(&code, function), "no function {function}");
            types += 1;
        } else if name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('.') {
            assert!(defines_type(&code, name) || name == "Date", "no type {name}");
            types += 1;
        } else if name.contains('_') {
            let known = defines_function(&code, name) || keys.contains(&format!("{name} = "));
            assert!(known, "no test, function or key {name}");
            functions += 1;
        }
    }
    assert!(types > 20 && functions > 20 && places > 8, "{types} types, {functions} functions, {places} places");
}

fn defines_function(code: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|end| code.contains(&format!("fn {name}{end}")))
}

fn defines_type(code: &str, name: &str) -> bool {
    ["struct", "enum", "trait", "type"].iter().any(|kind| {
        let start = format!("{kind} {name}");
        let mut ends = code.match_indices(&start).map(|(at, _)| code[at + start.len()..].chars().next());
        ends.any(|next| next.is_some_and(|c| !c.is_alphanumeric() && c != '_'))
    })
}

#[test]
fn every_command_that_is_shown_is_understood() {
    let mut lines: Vec<String> = Vec::new();
    for text in documents().values() {
        lines.extend(spans(text).into_iter().map(str::to_owned));
        lines
            .extend(blocks(text).into_iter().flat_map(|(_, body)| body.lines().map(str::to_owned).collect::<Vec<_>>()));
    }
    let units = ["systemd/secretwatch.service", "systemd/secretwatch-once.service"];
    lines.extend(units.iter().flat_map(|unit| read(unit).lines().map(str::to_owned).collect::<Vec<_>>()));
    let calls: BTreeSet<Vec<&str>> = lines.iter().filter_map(|line| arguments(line)).collect();
    for command in [&["demo"][..], &["check"], &["doctor"], &["replay", "./AWSLogs"], &["--once", "--max-time", "50s"]]
    {
        assert!(calls.iter().any(|call| call.starts_with(command)), "{command:?} is shown nowhere, or was not read");
    }
    for call in calls {
        // Everything before it is parsed before the help is given.
        let mut args = call.clone();
        args.push("--help");
        let output = secretwatch(&args);
        assert!(output.status.success(), "{call:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_configuration_that_is_shown_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    let mut checked = BTreeMap::new();
    for (name, text) in documents() {
        for (_, body) in blocks(&text).into_iter().filter(|(language, _)| *language == "toml") {
            fs::write(&path, &body).expect("a file");
            let output = secretwatch(&["check", "--strict", "--config", path.to_str().expect("a path in UTF-8")]);
            assert!(output.status.success(), "{name}:\n{body}\n{}", String::from_utf8_lossy(&output.stderr));
            *checked.entry(name.clone()).or_insert(0) += 1;
        }
    }
    for (name, least) in [("README.md", 2), ("docs/rules.md", 5)] {
        assert!(checked.get(name).is_some_and(|blocks| *blocks >= least), "{name} in {checked:?}");
    }
}

#[test]
fn every_json_that_is_shown_is_json() {
    let mut alerts = 0;
    for (name, text) in documents() {
        for (_, body) in blocks(&text).into_iter().filter(|(language, _)| *language == "json") {
            let value: serde_json::Value =
                serde_json::from_str(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
            alerts += usize::from(value["schema"] == secretwatch::model::SCHEMA);
        }
    }
    assert!(alerts > 0, "no alert is shown");
}

#[test]
fn every_built_in_rule_is_told() {
    let output = secretwatch(&["rules", "--format", "json"]);
    let rules: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let rows = rules.iter().map(|rule| {
        let text = |key: &str| rule[key].as_str().unwrap_or_else(|| panic!("no {key} in {rule}"));
        let recommended = if rule["recommended"] == true { "yes" } else { "no" };
        let (name, fires_on, severity, technique) =
            (text("name"), text("fires_on"), text("severity"), text("technique"));
        format!("| `{name}` | {fires_on} | {severity} | {technique} | {recommended} |\n")
    });
    let rows: String = rows.collect();
    assert!(rules.len() >= 17);
    assert!(read("docs/rules.md").contains(&format!("|---|---|---|---|---|\n{rows}\n")), "docs/rules.md lacks\n{rows}");
}

#[test]
fn every_exit_status_is_told() {
    let code = read("src/cli/exit.rs");
    let readme = read("README.md");
    let numbers: Vec<&str> = code
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => ")?.1.strip_suffix(','))
        .filter(|number| number.parse::<u8>().is_ok())
        .collect();
    assert!(numbers.len() > 5, "only {numbers:?} were read");
    for number in numbers {
        assert!(readme.contains(&format!("\n| {number} | ")), "exit status {number} is not in the README");
    }
}

#[test]
fn every_trouble_is_told() {
    let code = read("src/detect/trouble.rs");
    let delivery = read("docs/delivery.md");
    let arms =
        code.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \"")?.1.strip_suffix("\","));
    let words: Vec<&str> = arms.collect();
    assert!(words.len() > 7, "only {words:?} were read");
    for word in words {
        assert!(delivery.contains(&format!("\n| `{word}` | ")), "the trouble {word} is not in docs/delivery.md");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("a manifest");
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|table| manifest.get(*table)?.as_table());
    let used: BTreeSet<&str> = tables.flat_map(|table| table.keys().map(String::as_str)).collect();
    assert!(used.len() > 20, "only {used:?} were read");

    let text = read("CONTRIBUTING.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let explained: BTreeSet<&str> = rows.filter(|(_, reason)| reason.len() > 5).map(|(name, _)| name).collect();
    assert_eq!(explained, used, "dependencies in CONTRIBUTING.md, and those in Cargo.toml");
}

#[test]
fn the_policy_allows_exactly_what_is_called() {
    let shipped: Vec<Source> = sources::shipped().into_iter().filter(|s| s.module() != Some("demo")).collect();
    // A chain of calls may be broken over lines anywhere.
    let code: String = shipped.iter().flat_map(|source| source.text.split_whitespace()).collect();
    let called = CALLS.iter().filter(|(call, _)| code.contains(call)).map(|(_, action)| *action);
    let called: BTreeSet<&str> = called.filter(|action| !action.is_empty()).collect();

    let policy: serde_json::Value = serde_json::from_str(&read("deploy/iam-policy.json")).expect("a policy");
    let statements = policy["Statement"].as_array().expect("statements");
    let explained = read("docs/iam.md");
    let mut allowed = BTreeSet::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        let action = statement["Action"].as_str().expect("one action a statement");
        allowed.insert(action);
        let sid = statement["Sid"].as_str().expect("a name");
        assert!(explained.contains(&format!("| {sid} | `{action}`")), "{sid} is not explained in docs/iam.md");
        // What can be narrowed is.
        const WIDE: [&str; 3] = ["cloudtrail:LookupEvents", "cloudtrail:DescribeTrails", "secretsmanager:ListSecrets"];
        let narrow = !WIDE.contains(&action);
        assert_eq!(narrow, statement["Resource"] != "*", "{sid}");
    }
    assert_eq!(allowed, called, "what the policy allows, and what is called");
    assert!(allowed.len() >= 4, "only {allowed:?} was read");
}

#[test]
fn the_task_roles_allow_what_the_policy_allows() {
    let policy: serde_json::Value = serde_json::from_str(&read("deploy/iam-policy.json")).expect("a policy");
    let statements = policy["Statement"].as_array().expect("statements");
    let expected: BTreeSet<String> = statements.iter().map(|it| it["Action"].to_string().replace('"', "")).collect();
    assert!(expected.len() >= 4, "only {expected:?} was read");
    let part = |path: &str, from: &str, to: &str| {
        let text = read(path);
        let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {path}")).1;
        rest.split_once(to).unwrap_or_else(|| panic!("no end of {from} in {path}")).0.to_owned()
    };
    let template = part("deploy/ecs/cloudformation.yaml", "PolicyName: watch", "\n  MountPolicy:");
    let module = part("deploy/ecs/terraform/main.tf", "\"aws_iam_policy_document\" \"task\" {", "\n}");
    for text in [template, module] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
        let is_action = |word: &&str| {
            let parts = word.split_once(':');
            parts.is_some_and(|(service, call)| {
                service.starts_with(|c: char| c.is_ascii_lowercase())
                    && call.starts_with(|c: char| c.is_ascii_uppercase())
            })
        };
        let allowed: BTreeSet<String> = words.filter(is_action).map(str::to_owned).collect();
        assert_eq!(allowed, expected, "{text}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for (name, text) in documents() {
        let folder = Path::new(&name).parent().map(PathBuf::from).unwrap_or_default();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") {
                assert!(root().join(&folder).join(target).exists(), "{name} links to {target}");
                links += 1;
            }
        }
    }
    assert!(links > 8, "only {links} links were read");
}

#[test]
fn the_version_has_its_changes_and_the_image_its_compiler() {
    assert!(
        read("CHANGELOG.md").contains(concat!("\n## ", env!("CARGO_PKG_VERSION"))),
        "CHANGELOG.md lacks this version"
    );
    let image = concat!("\nARG BUILD_IMAGE=rust:", env!("CARGO_PKG_RUST_VERSION"));
    assert!(read("Dockerfile").contains(image), "the Dockerfile has another compiler than Cargo.toml");
}
