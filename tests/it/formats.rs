//! `docs/formats.md` shows what is sent, so it is held to it: each block is the body of a sample alert, byte for byte as
//! this test writes it. Where a format has changed on purpose, `WRITE_DOCUMENTS=1` writes the blocks anew.

use std::fs;
use std::path::Path;

use secretwatch::config::{RoutingKey, SnsFormat, WebhookFormat};
use secretwatch::model::{Alert, sample_alerts};
use secretwatch::notify::format::{Letter, body, message};
use serde_json::Value;

const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms";

/// What stands before a block: its format, and the place of its alert among the samples.
const MARK: &str = "<!-- sample: ";

/// The first sample with one access is enough to see a format by; the second shows many.
fn sample(name: &str) -> Alert {
    let kinds = ["opened", "updated", "resolved", "merged", "test", "blind", "sighted", "notice"];
    let place = kinds.iter().position(|kind| *kind == name).unwrap_or_else(|| panic!("no sample {name}"));
    sample_alerts().swap_remove(place)
}

/// What is shown for a mark such as `slack opened`.
fn shown(mark: &str) -> String {
    let (format, name) = mark.split_once(' ').expect("a format and a sample");
    let alert = sample(name);
    let letter = Letter::of(&alert);
    let key = RoutingKey::new("0123456789abcdef0123456789abcdef".to_owned(), ("routing_key_env", "KEY".to_owned()));
    let webhook = match format {
        "slack" => WebhookFormat::Slack,
        "teams" => WebhookFormat::Teams,
        "pagerduty" => WebhookFormat::PagerDuty(key),
        "ocsf" => WebhookFormat::Ocsf,
        "alertmanager" => WebhookFormat::Alertmanager,
        "json" => WebhookFormat::Json,
        _ => {
            let (_, sns) = SnsFormat::ALL.into_iter().find(|(word, _)| *word == format).expect("a format");
            let message = message(sns, &letter, TOPIC, "us-east-2").expect("a sample can be written");
            return if sns == SnsFormat::Text {
                format!("Subject: {}\n\n{}", message.subject, message.text.trim_end())
            } else {
                pretty(&message.text)
            };
        }
    };
    pretty(&body(&webhook, &letter).expect("a sample can be written").text)
}

fn pretty(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("JSON");
    serde_json::to_string_pretty(&value).expect("JSON")
}

/// The document as it should be: every block that is marked, written anew.
fn written(text: &str, marks: &mut Vec<String>) -> String {
    let mut lines = text.lines();
    let mut out = String::new();
    while let Some(line) = lines.next() {
        out += line;
        out.push('\n');
        let Some(mark) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        let fence = lines.next().expect("a block after a mark");
        assert!(fence.starts_with("```"), "no block after {line}");
        lines.by_ref().find(|line| *line == "```").expect("a block ends");
        out += &format!("{fence}\n{}\n```\n", shown(mark));
        marks.push(mark.to_owned());
    }
    out
}

#[test]
fn the_document_shows_what_is_sent() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let text = fs::read_to_string(&path).expect("docs/formats.md");
    let mut marks = Vec::new();
    let expected = written(&text, &mut marks);
    let formats =
        ["text", "json", "cloudwatch-alarm", "amazon-q", "slack", "teams", "pagerduty", "ocsf", "alertmanager"];
    for format in formats {
        assert!(marks.iter().any(|mark| mark.starts_with(&format!("{format} "))), "{format} is not shown");
    }
    if std::env::var_os("WRITE_DOCUMENTS").is_some() {
        fs::write(&path, expected).expect("docs/formats.md can be written");
    } else {
        assert_eq!(text, expected, "docs/formats.md is not what is sent; WRITE_DOCUMENTS=1 writes it");
    }
}
