//! Amazon Q Developer in chat applications, which was AWS Chatbot: a custom notification, from a topic to Slack or Teams.
//!
//! What is not exactly of this form is dropped there, silently. `textType` says that the chat's own Markdown is parsed,
//! which differs from one chat to the other, so values stand in code spans, and the characters by which either of them
//! begins a link or a mention are replaced by others that look like them: escapes would be right for one only.

use serde_json::{Value, json};

use super::super::digest::{Digest, Fact, Room, title};
use super::{Letter, escaped};

/// Characters of the title.
const TITLE_MAX: usize = 250;

/// Characters of the description.
const DESCRIPTION_MAX: usize = 4_000;

/// Characters of a step.
const STEP_MAX: usize = 350;

/// The notification. Alerts of one incident are one thread.
pub(super) fn notification(letter: &Letter<'_>) -> Value {
    let digest = Digest::of(letter, &Room::CHAT);
    let steps: Vec<String> = digest
        .steps
        .iter()
        .map(|step| {
            let link = step.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
            let command = step.command.as_ref().map(|parts| format!(" `{}`", parts.join(" "))).unwrap_or_default();
            let whole = format!("{}{link}{command}", step.words);
            // A command that is cut is none.
            if whole.chars().count() <= STEP_MAX { whole } else { escaped(&step.words, STEP_MAX, harmless) }
        })
        .collect();
    let mut content = json!({
        "textType": "client-markdown",
        "title": escaped(&title(letter), TITLE_MAX, harmless),
        "description": description(&digest),
    });
    if !steps.is_empty() {
        content["nextSteps"] = json!(steps);
    }
    json!({
        "version": "1.0",
        "source": "custom",
        "id": letter.alert.id,
        "content": content,
        "metadata": { "threadId": letter.alert.incident },
    })
}

/// Paragraphs and facts, as many as there is room for.
fn description(digest: &Digest) -> String {
    let line = |text: &String| escaped(text, DESCRIPTION_MAX, harmless);
    let fact = |fact: &Fact| {
        format!("*{}*: {}", fact.label, fact.values.iter().map(|value| code(value)).collect::<Vec<_>>().join(", "))
    };
    let listed = digest.listed.iter().flat_map(|listed| &listed.lines).map(|line| code(line));
    let lines = [escaped(&digest.summary, DESCRIPTION_MAX, harmless)].into_iter();
    let lines = lines.chain(digest.notes.iter().map(line)).chain(digest.all_facts().map(fact)).chain(listed);
    let lines = lines.chain(digest.why.iter().map(line)).chain(digest.ids.iter().map(fact));
    let mut text = String::new();
    let mut length = 0;
    for line in lines {
        length += line.chars().count() + 1;
        if length > DESCRIPTION_MAX {
            break;
        }
        text = if text.is_empty() { line } else { format!("{text}\n{line}") };
    }
    text
}

fn code(text: &str) -> String {
    format!("`{}`", escaped(text, DESCRIPTION_MAX, harmless))
}

fn harmless(c: char) -> Option<&'static str> {
    match c {
        '<' => Some("‹"),
        '>' => Some("›"),
        '`' => Some("'"),
        '[' => Some("("),
        ']' => Some(")"),
        _ => None,
    }
}
