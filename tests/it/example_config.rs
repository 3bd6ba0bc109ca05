//! `config.example.toml` is what operators copy from, so it is held to the program: it loads, it says the defaults, it
//! names every key and no other, and each line that it offers can be taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use secretwatch::config::{Environment, check, known_keys, render};

/// Where the example keeps what a file holds. The tests have no such folder, and put another in its place.
const SECRETS: &str = "/run/secrets";

/// Begins a line that can be taken as it stands.
const OFFER: &str = "# ";

/// Begins a line that can be taken instead of the one above it.
const ALTERNATIVE: &str = "#or ";

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    fs::read_to_string(path).expect("the example lies beside Cargo.toml")
}

/// The example's lines as one would have them who takes every offer, words left out.
fn taken() -> Vec<String> {
    let example = example();
    let lines = example.lines().filter(|line| !line.is_empty() && !line.starts_with("##"));
    lines.map(|line| line.strip_prefix(OFFER).unwrap_or(line).to_owned()).collect()
}

/// Checks `lines` with the files and variables there that the example speaks of.
#[track_caller]
fn passes(lines: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("chat-url"), "https://hooks.example.com/from-a-file\n").expect("a file");
    fs::write(folder.path().join("heartbeat-url"), "https://ping.example.com/from-a-file\n").expect("a file");
    fs::write(folder.path().join("chat-signing"), "whsec_c2VjcmV0d2F0Y2g=\n").expect("a file");
    fs::write(folder.path().join("pager-key"), "R0UTINGKEY\n").expect("a file");
    fs::write(folder.path().join("status-token"), "a long token\n").expect("a file");
    fs::write(folder.path().join("ticket.j2"), "{ \"title\": {{ summary }} }\n").expect("a file");
    let variables = [
        ("SECRETWATCH_CHAT_URL", "https://hooks.example.com/from-a-variable"),
        ("SECRETWATCH_CHAT_SIGNING", "plain"),
        ("SECRETWATCH_PAGER_KEY", "R0UTINGKEY"),
        ("SECRETWATCH_HEARTBEAT_URL", "https://ping.example.com/from-a-variable"),
    ];
    let env: Environment = variables.into_iter().collect();
    let text = lines.join("\n").replace(SECRETS, &folder.path().display().to_string());
    if let Err(problems) = check(&text, "config.example.toml", &env) {
        panic!("{problems}\nin\n{text}");
    }
}

#[test]
fn as_shipped_it_says_what_an_empty_file_means() {
    let env = Environment::default();
    let shipped = check(&example(), "config.example.toml", &env).unwrap_or_else(|problems| panic!("{problems}"));
    let empty = check("", "empty.toml", &env).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(render(&shipped), render(&empty));
    assert_eq!(shipped.rules[0].fingerprint(), empty.rules[0].fingerprint());
}

#[test]
fn every_offer_can_be_taken() {
    let lines: Vec<String> = taken().into_iter().filter(|line| !line.starts_with(ALTERNATIVE)).collect();
    assert!(lines.len() > known_keys().len(), "too few lines were read");
    passes(&lines);
}

#[test]
fn every_alternative_can_be_taken() {
    let lines = taken();
    let alternatives: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with(ALTERNATIVE)).collect();
    assert!(!alternatives.is_empty(), "no alternative was read");
    for at in alternatives {
        let replaced = (0..at).rev().find(|above| !lines[*above].starts_with(ALTERNATIVE)).expect("a line above");
        let with = |(index, line): (usize, &String)| match line.strip_prefix(ALTERNATIVE) {
            Some(key) => (index == at).then(|| key.to_owned()),
            None => (index != replaced).then(|| line.clone()),
        };
        passes(&lines.iter().enumerate().filter_map(with).collect::<Vec<_>>());
    }
}

#[test]
fn it_names_every_key_and_no_other() {
    let mut prefix = String::new();
    let mut named = BTreeSet::new();
    for line in taken() {
        let line = line.strip_prefix(ALTERNATIVE).unwrap_or(&line);
        if let Some(array) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            prefix = format!("{array}[].");
        } else if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let section = table.split('.').next().unwrap_or(table);
            prefix = if section == "notify" { "notify.*.".to_owned() } else { format!("{section}.") };
        } else if let Some((key, _)) = line.split_once(" = ") {
            named.insert(format!("{prefix}{key}"));
        } else {
            panic!("neither a key nor a table: {line}");
        }
    }
    let known: BTreeSet<String> = known_keys().into_iter().collect();
    assert_eq!(named, known);
}
