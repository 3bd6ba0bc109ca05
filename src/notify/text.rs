//! An alert as a mail for somebody who was asleep: what happened, who it was, which secret, from where and when, why
//! this made an alert, what to do, and the ids last.
//!
//! Pure. What is said is the [`Digest`]'s business; here it gets labels, lines and a subject.

use super::digest::{Digest, Fact, Room, Step, title};
use super::format::Letter;
use super::page::Page;
use crate::model::{Alert, AlertKind};

/// SNS takes fewer than 100 characters.
const SUBJECT_MAX: usize = 99;

/// The subject of a mail: severity and summary, in printable ASCII, on one line, shorter than 100 characters.
#[must_use]
pub fn subject(alert: &Alert) -> String {
    subject_of(&Letter::of(alert))
}

/// The body of a mail.
#[must_use]
pub fn text(alert: &Alert) -> String {
    text_of(&Letter::of(alert))
}

pub(super) fn subject_of(letter: &Letter<'_>) -> String {
    one_line(&title(letter))
}

/// `whole` as SNS takes it for a subject.
pub(super) fn one_line(whole: &str) -> String {
    let whole = whole.replace('…', "...");
    let ascii: String = whole.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    match ascii.get(..SUBJECT_MAX) {
        Some(fits) if ascii.len() > SUBJECT_MAX => format!("{}...", &fits[..SUBJECT_MAX - 3]),
        _ => ascii,
    }
}

pub(super) fn text_of(letter: &Letter<'_>) -> String {
    let digest = Digest::of(letter, &Room::MAIL);
    let is_over = letter.alert.kind == AlertKind::Resolved;
    let mut page = Page::default();
    page.paragraph(&format!("{}.", digest.summary));
    page.gap();
    digest.notes.iter().for_each(|note| page.paragraph(note));
    if letter.alert.merged_into.is_none() {
        page.gap();
    }
    digest.facts.iter().for_each(|fact| page.fact(fact));
    if let Some(listed) = &digest.listed {
        page.gap();
        page.paragraph(listed.title);
        listed.lines.iter().for_each(|line| page.indented(line));
        page.gap();
    }
    if is_over {
        page.gap();
    }
    digest.extent.iter().for_each(|fact| page.fact(fact));
    page.gap();
    if !is_over && !digest.why.is_empty() {
        page.paragraph("Why this is an alert:");
    }
    digest.why.iter().for_each(|sentence| page.indented(sentence));
    page.gap();
    page.steps(&digest.steps);
    page.gap();
    digest.ids.iter().for_each(|fact| page.fact(fact));
    page.into_text()
}

/// What mails are made of, besides.
impl Page {
    fn indented(&mut self, words: &str) {
        self.wrapped("  ", 2, words);
    }

    /// A label with its values, one below the other.
    fn fact(&mut self, fact: &Fact) {
        for (place, value) in fact.values.iter().enumerate() {
            self.field(if place == 0 { fact.label } else { "" }, value);
        }
    }

    /// What to do, numbered if it is more than one thing.
    fn steps(&mut self, steps: &[Step]) {
        if steps.is_empty() {
            return;
        }
        self.paragraph("What to do:");
        for (number, step) in (1..).zip(steps) {
            let link = step.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
            let words = format!("{}{link}", step.words);
            match steps.len() {
                1 => self.indented(&words),
                _ => self.wrapped("  ", 5, &format!("{number}. {words}")),
            }
            if let Some(parts) = &step.command {
                self.command(parts.iter().map(String::as_str));
            }
        }
    }

    /// A command, in parts that stay on one line each.
    fn command<'a>(&mut self, parts: impl Iterator<Item = &'a str>) {
        self.wrapped_with("     ", 7, " \\", parts);
    }
}

#[cfg(test)]
mod tests;
