//! What other processes of this machine say to the daemon, and what it says to them.
//!
//! A [`Request`] is one line of JSON: an [`Ask`], such as `{"v":1,"ask":"explain","event_id":"…"}`, or an [`Order`], such
//! as `{"v":1,"order":"resend","ids":["…"]}`. A [`Reply`] is another. Both carry the version of the protocol, so that a
//! client and a daemon of different ages tell each other what is wrong instead of guessing.
//!
//! An ask is answered from a ledger and changes nothing about it, so it can also be one that the asking process looks at
//! itself because no daemon runs. An order changes something small, and its answer is given once that is durable.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{WallTime, printable};
use crate::status::line;
use crate::store::{
    AccessPage, AccessQuery, AlertPage, AlertQuery, Explanation, Hushed, IncidentPage, IncidentQuery, Ledger,
    ResentAlert, Silence, StoreError, SumsPage,
};

/// The version of the protocol.
pub const PROTOCOL: u64 = 1;

/// The loop lets time pass every few seconds. When it has not for this long, it hangs.
const STANDSTILL: Duration = Duration::from_secs(60);

/// A silence lasts this long at most: whoever wants it longer wants another rule.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(30 * 86_400);

/// Characters of a reason.
const REASON_MAX: usize = 500;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Why an event was told, or why not.
    Explain {
        /// Its id.
        event_id: String,
    },
    /// Whether the daemon is at work.
    Health,
    /// Which accesses there were.
    Accesses(AccessQuery),
    /// Which alerts there were, and where they stand.
    Alerts(AlertQuery),
    /// Which silences there are.
    Silences,
    /// How many accesses there were, by who accessed what.
    Sums(AccessQuery),
    /// Which incidents there were.
    Incidents(IncidentQuery),
}

/// The words for [`Ask`]'s variants.
const ASKS: [&str; 7] = ["explain", "health", "accesses", "alerts", "silences", "sums", "incidents"];

/// What can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Send alerts again to those that have not accepted them.
    Resend {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Send nothing of what is meant for a while.
    Silence {
        /// What is meant.
        meant: Hushed,
        /// For how long.
        seconds: u64,
        /// Why.
        reason: String,
    },
    /// Send it again from now on.
    EndSilence {
        /// The silence's id.
        id: String,
    },
    /// Send a test alert.
    Test {
        /// To these notifiers; none: to all.
        notifiers: Vec<String>,
    },
}

/// The words for [`Order`]'s variants.
const ORDERS: [&str; 4] = ["resend", "silence", "end_silence", "test"];

/// A line of a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Something it wants to know.
    Ask(Ask),
    /// Something it wants to be done.
    Order(Order),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Ask::Explain`].
    Explanation(Box<Explanation>),
    /// To [`Ask::Health`].
    Health(Condition),
    /// To [`Ask::Accesses`].
    Accesses(AccessPage),
    /// To [`Ask::Alerts`].
    Alerts(AlertPage),
    /// To [`Ask::Silences`].
    Silences(Vec<Silence>),
    /// To [`Ask::Sums`].
    Sums(SumsPage),
    /// To [`Ask::Incidents`].
    Incidents(IncidentPage),
    /// To [`Order::Resend`]: what came of each; nothing of one that is not stored.
    Resent(Vec<ResentAlert>),
    /// To [`Order::Silence`] and [`Order::EndSilence`].
    Silence(Silence),
    /// To [`Order::Test`].
    Test {
        /// The alert's id.
        id: String,
        /// Whom it is for.
        notifiers: Vec<String>,
    },
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its loop turns, and the store has answered it not long ago. Whether sources can be read is no part of that: a
    /// restart would not mend it.
    pub at_work: bool,
    /// How it goes, in a sentence.
    pub says: String,
}

/// A line of the daemon's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`PROTOCOL`], as the daemon has it.
    pub v: u64,
    /// The daemon's own version.
    pub secretwatch: String,
    /// What it says.
    pub says: Says,
}

/// What the daemon says to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The answer.
    Answer(Answer),
    /// Why there is none.
    Refusal(Refusal),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, for programs.
    pub code: RefusalCode,
    /// What is wrong and what can be done about it.
    pub message: String,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request makes no sense.
    BadRequest,
    /// It is longer than a request may be.
    TooLong,
    /// It speaks another version of the protocol.
    OtherVersion,
    /// It asks for something that this daemon does not know.
    UnknownAsk,
    /// What it is about is not there.
    NotThere,
    /// The store cannot answer it.
    Store,
}

impl Ask {
    /// The request, as a line without its end.
    #[must_use]
    pub fn request(&self) -> String {
        line_of(self)
    }

    /// The answer, from `ledger`.
    pub fn answer(&self, ledger: &Ledger, now: WallTime) -> Result<Says, StoreError> {
        let answer = match self {
            Self::Explain { event_id } => Answer::Explanation(Box::new(ledger.explain(event_id, now)?)),
            Self::Health => {
                let says = line(&ledger.health(now)?, now);
                Answer::Health(Condition { at_work: now.since(ledger.ticked()) <= STANDSTILL, says })
            }
            Self::Accesses(query) => match query.condition() {
                Ok(condition) => Answer::Accesses(ledger.accesses(query, &condition)?),
                Err(error) => return Ok(Says::bad(error.to_string())),
            },
            Self::Alerts(query) => Answer::Alerts(ledger.alerts(query)?),
            Self::Silences => Answer::Silences(ledger.silences().cloned().collect()),
            Self::Sums(query) => match query.condition() {
                Ok(condition) => Answer::Sums(ledger.sums(query, &condition)?),
                Err(error) => return Ok(Says::bad(error.to_string())),
            },
            Self::Incidents(query) => Answer::Incidents(ledger.incident_lines(query)?),
        };
        Ok(Says::Answer(answer))
    }
}

impl Order {
    /// The request, as a line without its end.
    #[must_use]
    pub fn request(&self) -> String {
        line_of(self)
    }

    /// Does it. An error is the store's, which is of no use any more.
    pub fn perform(&self, ledger: &mut Ledger, now: WallTime) -> Result<Says, StoreError> {
        let answer = match self {
            Self::Resend { ids } => Answer::Resent(ledger.resend(ids, now)?),
            Self::Silence { meant, seconds, reason } => match unfit(meant, *seconds, reason) {
                None => {
                    let until = now.plus(Duration::from_secs(*seconds));
                    Answer::Silence(ledger.silence(meant, &printable(reason, REASON_MAX), now, until)?)
                }
                Some(why) => return Ok(Says::bad(why)),
            },
            Self::EndSilence { id } => match ledger.end_silence(id, now)? {
                Some(silence) => Answer::Silence(silence),
                None => return Ok(Says::not_there(format!("there is no silence {:?}", printable(id, 100)))),
            },
            Self::Test { notifiers } => {
                let known = ledger.notifiers();
                if let Some(odd) = notifiers.iter().find(|name| !known.contains(name)) {
                    let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
                    let odd = printable(odd, 100);
                    return Ok(Says::not_there(format!("there is no notifier {odd:?}, only: {known}")));
                }
                let notifiers = if notifiers.is_empty() { known } else { notifiers.clone() };
                if notifiers.is_empty() {
                    return Ok(Says::not_there("there is no notifier to send a test to".to_owned()));
                }
                Answer::Test { id: ledger.queue_test(&notifiers, now)?, notifiers }
            }
        };
        Ok(Says::Answer(answer))
    }
}

/// Why a silence cannot be as it is wished.
fn unfit(meant: &Hushed, seconds: u64, reason: &str) -> Option<String> {
    if meant.is_everything() {
        return Some("a silence says what it means; to mean every rule, name the rule *".to_owned());
    }
    if seconds == 0 || seconds > LONGEST_SILENCE.as_secs() {
        let days = LONGEST_SILENCE.as_secs() / 86_400;
        return Some(format!("a silence lasts from a second to {days} days; for longer, change the rule"));
    }
    if reason.trim().is_empty() {
        return Some("a silence has a reason, for whoever finds it".to_owned());
    }
    meant.compiled().err().map(|error| error.to_string())
}

impl Request {
    /// What the line `request` asks or orders.
    pub(super) fn read(request: &[u8]) -> Result<Self, Refusal> {
        let bad = |error: serde_json::Error| refusal(RefusalCode::BadRequest, format!("not a request: {error}"));
        let mut fields: Map<String, Value> = serde_json::from_slice(request).map_err(bad)?;
        match fields.remove("v").as_ref().map(Value::as_u64) {
            Some(Some(PROTOCOL)) => {}
            Some(Some(other)) => return Err(other_version(other)),
            _ => return Err(refusal(RefusalCode::BadRequest, "a request says its version, as \"v\": 1".to_owned())),
        }
        if fields.contains_key("order") {
            return known(fields, "order", &ORDERS).map(Self::Order);
        }
        known(fields, "ask", &ASKS).map(Self::Ask)
    }
}

/// What `fields` say, if their `tag` is one of `words`.
fn known<T: DeserializeOwned>(fields: Map<String, Value>, tag: &str, words: &[&str]) -> Result<T, Refusal> {
    let word = fields.get(tag).and_then(Value::as_str).unwrap_or_default();
    if !words.contains(&word) {
        let message = format!("{} knows no {tag} {:?}, only {}", this(), printable(word, 40), words.join(", "));
        return Err(refusal(RefusalCode::UnknownAsk, message));
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| refusal(RefusalCode::BadRequest, format!("not a request: {error}")))
}

fn line_of<T: Serialize>(request: &T) -> String {
    let mut request = serde_json::to_value(request).unwrap_or_default();
    if let Some(fields) = request.as_object_mut() {
        fields.insert("v".to_owned(), PROTOCOL.into());
    }
    request.to_string()
}

impl Says {
    fn bad(message: String) -> Self {
        Self::Refusal(refusal(RefusalCode::BadRequest, message))
    }

    fn not_there(message: String) -> Self {
        Self::Refusal(refusal(RefusalCode::NotThere, message))
    }
}

impl Reply {
    pub(super) fn of(says: Says) -> Self {
        Self { v: PROTOCOL, secretwatch: env!("CARGO_PKG_VERSION").to_owned(), says }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::of(Says::Refusal(refusal))
    }

    /// The reply, as a line with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

pub(super) fn refusal(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, message }
}

fn other_version(asked: u64) -> Refusal {
    let (daemon, way_out) = match asked {
        0..PROTOCOL => ("newer", "use the command of the daemon's own version"),
        _ => ("older", "restart it with the version that asks"),
    };
    let message =
        format!("{} is {daemon} than what asks: it speaks version {PROTOCOL}, not {asked}; {way_out}", this());
    refusal(RefusalCode::OtherVersion, message)
}

fn this() -> &'static str {
    concat!("the daemon, secretwatch ", env!("CARGO_PKG_VERSION"), ",")
}

#[cfg(test)]
mod tests;
