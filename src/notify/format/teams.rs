//! Microsoft Teams: an adaptive card, in the envelope that a Workflows webhook takes.
//!
//! Everything is a text run. Text blocks and fact sets would be the nearer way, but both read Markdown, and a name may
//! hold what looks like a link; text runs read nothing. Teams refuses messages above 28 KB, so where names are very long
//! less is shown.

use serde_json::{Value, json};

use super::super::digest::{Digest, Room, title};
use super::{Letter, fitting};
use crate::model::{AlertKind, Severity};

/// What Teams takes, in bytes, less some for what it adds on the way.
const MESSAGE_MAX: usize = 27_000;

/// The message.
pub(super) fn message(letter: &Letter<'_>) -> Value {
    let rooms = [Room::CHAT, Room::NARROW];
    fitting(&rooms, MESSAGE_MAX, |room| {
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": card(letter, &room),
            }],
        })
    })
}

fn card(letter: &Letter<'_>, room: &Room) -> Value {
    let digest = Digest::of(letter, room);
    let title = run(&title(letter), json!({ "weight": "Bolder", "size": "Large" }));
    let mut body = vec![json!({
        "type": "Container", "style": style(letter), "bleed": true, "items": [paragraph(vec![title])],
    })];
    body.extend(digest.notes.iter().map(|note| paragraph(vec![run(note, json!({}))])));
    for fact in digest.all_facts() {
        let label = run(&format!("{}  ", fact.label), json!({ "weight": "Bolder" }));
        body.push(paragraph(vec![label, run(&fact.values.join(" · "), json!({}))]));
    }
    if let Some(listed) = &digest.listed {
        body.push(paragraph(vec![run(listed.title, json!({ "weight": "Bolder" }))]));
        body.extend(listed.lines.iter().map(|line| paragraph(vec![run(line, json!({ "fontType": "Monospace" }))])));
    }
    body.extend(digest.why.iter().map(|sentence| paragraph(vec![run(sentence, json!({}))])));
    for step in &digest.steps {
        let link = step.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
        let words = run(&format!("{}{link}", step.words), json!({}));
        let command = step.command.as_ref().map(|parts| run(&parts.join(" "), json!({ "fontType": "Monospace" })));
        body.push(paragraph(std::iter::once(words).chain(command).collect()));
    }
    let ids = digest.ids.iter().map(|id| format!("{} {}", id.label, id.values.join(" "))).collect::<Vec<_>>();
    if !ids.is_empty() {
        body.push(paragraph(vec![run(&ids.join(" · "), json!({ "isSubtle": true, "size": "Small" }))]));
    }
    let links = digest.steps.iter().filter_map(|step| step.link.as_ref());
    let actions: Vec<Value> =
        links.map(|link| json!({ "type": "Action.OpenUrl", "title": "Runbook", "url": link })).collect();
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
    })
}

/// The colour of the heading.
fn style(letter: &Letter<'_>) -> &'static str {
    match (letter.alert.kind, letter.alert.rule.severity) {
        (AlertKind::Resolved | AlertKind::Sighted, _) => "good",
        (AlertKind::Test, _) => "accent",
        (_, Severity::Critical | Severity::High) => "attention",
        (_, Severity::Medium) => "warning",
        (_, Severity::Low | Severity::Info) => "default",
    }
}

fn paragraph(runs: Vec<Value>) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn run(text: &str, look: Value) -> Value {
    let mut run = json!({ "type": "TextRun", "text": text });
    if let (Value::Object(run), Value::Object(look)) = (&mut run, look) {
        run.extend(look);
    }
    run
}
