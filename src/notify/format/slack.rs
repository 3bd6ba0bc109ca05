//! Slack: an incoming webhook's message in Block Kit.
//!
//! The characters that Slack parses (`&`, `<`, `>`) are escaped everywhere; without them nobody can be mentioned and no
//! link has a false name. Values stand in code spans or in plain text, where nothing else is markup either, and a code
//! span's own mark is replaced. The limits of blocks, fields and characters are Slack's, from its reference.

use serde_json::{Value, json};

use super::super::digest::{Digest, Fact, Room, Step, title};
use super::{Letter, escaped};

/// Characters of a header.
const HEADER_MAX: usize = 150;

/// Characters of any other text of a block.
const TEXT_MAX: usize = 3_000;

/// Characters of a field.
const FIELD_MAX: usize = 2_000;

/// Fields of a section.
const FIELDS: usize = 10;

/// Elements of a context.
const ELEMENTS: usize = 10;

/// The message.
pub(super) fn message(letter: &Letter<'_>) -> Value {
    let title = title(letter);
    let digest = Digest::of(letter, &Room::CHAT);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title, HEADER_MAX) })];
    if title.chars().count() > HEADER_MAX / 2 {
        // Escaping may have made it longer than a header; here it is whole.
        blocks.push(json!({ "type": "section", "text": plain(&digest.summary, TEXT_MAX) }));
    }
    blocks.extend(digest.notes.iter().map(|note| json!({ "type": "section", "text": plain(note, TEXT_MAX) })));
    let facts: Vec<&Fact> = digest.all_facts().collect();
    for facts in facts.chunks(FIELDS) {
        let fields: Vec<Value> = facts.iter().map(|fact| field(fact)).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(listed) = &digest.listed {
        blocks.extend(list(listed.title, &listed.lines));
    }
    if !digest.why.is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&digest.why.join("\n"), TEXT_MAX) }));
    }
    blocks.extend(digest.steps.iter().map(step));
    let ids: Vec<Value> = digest
        .ids
        .iter()
        .take(ELEMENTS)
        .map(|id| plain(&format!("{} {}", id.label, id.values.join(" ")), FIELD_MAX))
        .collect();
    if !ids.is_empty() {
        blocks.push(json!({ "type": "context", "elements": ids }));
    }
    // Shown where blocks are not, and markup too.
    json!({ "text": escaped(&title, TEXT_MAX, in_code), "blocks": blocks })
}

fn field(fact: &Fact) -> Value {
    let values: Vec<String> = fact.values.iter().map(|value| code(value)).collect();
    // Cut between values, so that no code span is left open: each is far shorter than a field.
    let mut text = format!("*{}*", fact.label);
    for value in values {
        if text.chars().count() + 1 + value.chars().count() > FIELD_MAX {
            break;
        }
        text = format!("{text}\n{value}");
    }
    markup(&text)
}

/// Lines under a title, in as many sections as they need.
fn list(title: &str, lines: &[String]) -> Vec<Value> {
    const FENCES: usize = "```\n\n```".len();
    let mut texts: Vec<String> = vec![String::new()];
    for line in lines {
        let line = escaped(line, TEXT_MAX - FENCES, in_code);
        match texts.last_mut() {
            Some(text) if text.is_empty() => *text = line,
            Some(text) if text.chars().count() + 1 + line.chars().count() + FENCES <= TEXT_MAX => {
                *text = format!("{text}\n{line}");
            }
            _ => texts.push(line),
        }
    }
    let title = json!({ "type": "section", "text": markup(&format!("*{title}*")) });
    let section = |text: String| json!({ "type": "section", "text": markup(&format!("```\n{text}\n```")) });
    std::iter::once(title).chain(texts.into_iter().map(section)).collect()
}

fn step(step: &Step) -> Value {
    let mut text = escaped(&step.words, TEXT_MAX / 3, in_code);
    if let Some(link) = &step.link {
        // What stands behind a bar would be the link's name.
        text = format!("{text} <{}>", escaped(&link.replace('|', "%7C"), TEXT_MAX / 3, in_code));
    }
    if let Some(parts) = &step.command {
        text = format!("{text}\n```{}```", escaped(&parts.join(" "), TEXT_MAX / 3, in_code));
    }
    json!({ "type": "section", "text": markup(&text) })
}

fn plain(text: &str, most: usize) -> Value {
    json!({ "type": "plain_text", "text": escaped(text, most, entity), "emoji": false })
}

/// Markup of our own. `verbatim`, so that nothing in it becomes a link that is not written as one.
fn markup(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn code(text: &str) -> String {
    format!("`{}`", escaped(text, FIELD_MAX / 4, in_code))
}

fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn in_code(c: char) -> Option<&'static str> {
    if c == '`' { Some("'") } else { entity(c) }
}
