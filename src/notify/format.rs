//! Message formats: what an alert looks like to whoever gets it.
//!
//! Pure functions from a [`Letter`] to a [`Body`]; which one, the notifier's configuration says, and [`body`] and
//! [`message`] are the two places where it is looked up. Formats for people (`slack`, `teams`, `amazon_q` and the mail in
//! [`text`](super::text())) are renderings of one digest, and say no more of an incident than fits a screen. Formats
//! for programs (`pagerduty`, `ocsf`, `alertmanager`, `alarm`, a template and the alert's own JSON) are made from the
//! alert itself.
//!
//! Texts that come from a record were chosen by whoever made the call. Each format says in its own file how it keeps
//! them from being links, mentions or markup.
//!
//! Deliberately absent: HTTP, SNS, and what is the same for every format (ids in headers and attributes): that is the
//! sender's.

mod alarm;
mod alertmanager;
mod amazon_q;
mod ocsf;
mod pagerduty;
mod slack;
mod teams;

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::text::{subject_of, text_of};
use crate::config::{SnsFormat, WebhookFormat};
use crate::model::{Alert, printable};

/// What one message tells.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// Others that share the message, of the same rule, kind and severity. Only formats that people read show them.
    pub others: &'a [Alert],
    /// The notifier that has not taken it, where this one stands in for it.
    pub fallback_for: Option<&'a str>,
}

impl<'a> Letter<'a> {
    /// One alert, to its own notifier.
    #[must_use]
    pub fn of(alert: &'a Alert) -> Self {
        Self { alert, others: &[], fallback_for: None }
    }

    /// What a receiver knows a repetition by. A letter of several alerts has one of its own, since with the next of them
    /// it is another: had it the first one's, the others could be taken for known.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        if self.others.is_empty() {
            return Cow::Borrowed(&self.alert.id);
        }
        let mut hash = Sha256::new();
        for alert in self.alerts() {
            hash.update(alert.id.as_bytes());
            hash.update([0]);
        }
        Cow::Owned(hex::encode(&hash.finalize()[..16]))
    }

    /// Every alert that it tells of.
    pub fn alerts(&self) -> impl Iterator<Item = &'a Alert> {
        std::iter::once(self.alert).chain(self.others)
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What it is, for the header `content-type`.
    pub content_type: String,
    /// The body itself.
    pub text: String,
}

/// A message for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject of mails; printable ASCII, shorter than 100 characters.
    pub subject: String,
    /// The message itself.
    pub text: String,
}

/// An alert that cannot be put into its format.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// An error of this program.
    #[error("alert cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A template that was right for every sample is wrong for this alert.
    #[error("template cannot be filled in with this alert")]
    Template(#[from] crate::config::BadTemplate),
}

/// The body that a webhook posts.
pub fn body(format: &WebhookFormat, letter: &Letter<'_>) -> Result<Body, Unwritable> {
    let value = match format {
        WebhookFormat::Json => return Ok(Body::json(serde_json::to_string(letter.alert)?)),
        WebhookFormat::Template(template) => {
            let text = template.fill_in(letter.alert, letter.fallback_for)?;
            return Ok(Body { content_type: template.content_type().to_owned(), text });
        }
        WebhookFormat::Slack => slack::message(letter),
        WebhookFormat::Teams => teams::message(letter),
        WebhookFormat::PagerDuty(key) => pagerduty::event(letter, key.expose()),
        WebhookFormat::Ocsf => ocsf::finding(letter.alert),
        WebhookFormat::Alertmanager => alertmanager::alerts(letter),
    };
    Ok(Body::json(value.to_string()))
}

/// The message that is published to the topic `arn` in `region`. It may be longer than SNS takes, if its format is
/// [`SnsFormat::Text`] or [`SnsFormat::Json`]; both can be shortened.
pub fn message(format: SnsFormat, letter: &Letter<'_>, arn: &str, region: &str) -> Result<Message, Unwritable> {
    let alert = letter.alert;
    Ok(match format {
        SnsFormat::Text => Message { subject: subject_of(letter), text: text_of(letter) },
        SnsFormat::Json => Message { subject: subject_of(letter), text: serde_json::to_string(alert)? },
        SnsFormat::CloudWatchAlarm => alarm::message(alert, arn, region),
        SnsFormat::AmazonQ => Message { subject: subject_of(letter), text: amazon_q::notification(letter).to_string() },
    })
}

impl Body {
    fn json(text: String) -> Self {
        Self { content_type: "application/json".to_owned(), text }
    }
}

/// `value` in the first of several ways to write it that takes at most `most` bytes; else the last, which is made to fit
/// whatever is in the alert.
fn fitting<R: Copy>(rooms: &[R], most: usize, write: impl Fn(R) -> Value) -> Value {
    let mut written = Value::Null;
    for room in rooms {
        written = write(*room);
        if written.to_string().len() <= most {
            break;
        }
    }
    written
}

/// `text` with what `replace` makes of its characters, at most `most` characters of it, the last of them `…` if it was
/// longer. What replaces a character is never cut in two.
fn escaped(text: &str, most: usize, replace: impl Fn(char) -> Option<&'static str>) -> String {
    let mut kept = String::with_capacity(text.len().min(4 * most));
    let (mut length, mut fits) = (0, 0);
    for c in text.chars() {
        if length < most {
            fits = kept.len();
        }
        match replace(c) {
            Some(with) => {
                kept.push_str(with);
                length += with.chars().count();
            }
            None => {
                kept.push(c);
                length += 1;
            }
        }
        if length > most {
            kept.truncate(fits);
            kept.push('…');
            return kept;
        }
    }
    kept
}

/// A map without the entries that say nothing.
fn told(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    let entries = entries.into_iter().filter(|(_, value)| says(value));
    Value::Object(entries.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Where it happened: the account and the Region of the first access, else those of the source that it is about.
fn place(alert: &Alert) -> (Option<&str>, Option<&str>) {
    let label = |key: &str| alert.group.get(key).and_then(Option::as_deref);
    match alert.accesses.first() {
        Some(access) => (Some(&access.account), Some(&access.region)),
        None => (label("account"), label("region")),
    }
}

/// The summary on one line, in at most `most` characters.
fn summary(alert: &Alert, most: usize) -> String {
    if alert.summary.is_empty() { printable(&alert.summarise(), most) } else { printable(&alert.summary, most) }
}

#[cfg(test)]
mod tests;
