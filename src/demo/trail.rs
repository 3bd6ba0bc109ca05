//! CloudTrail's Event history and `LookupEvents`.
//!
//! Each account and Region has a [`History`] of its own, with its own quota. It lists newest first; a page ends where
//! `MaxResults` says, and its token names the last event shown, bound by a digest to every parameter, to the account
//! and to the Region. So an event that becomes visible while somebody pages is on a later page if it is older than the
//! page shown, and on none if it is newer: that is the worst that a reader must be ready for.
//!
//! Nothing but `LookupEvents` is here: no trails, no event data stores.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::faults::Spoiled;
use super::quota::Quota;
use super::wire::Refusal;
use crate::model::{EventTime, Span, WallTime};

/// What the Event history knows of one event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) source: String,
    pub(super) at: EventTime,
    pub(super) visible_at: WallTime,
    pub(super) read_only: bool,
    pub(super) access_key: Option<String>,
    pub(super) username: String,
    /// Types and names.
    pub(super) resources: Vec<(String, String)>,
    /// The record's JSON.
    pub(super) record: String,
}

/// Where an event stands in the listing: by the second it is listed under, newest first, then the later inserted.
type Place = (Reverse<i64>, Reverse<u64>);

/// The events of one account and Region.
#[derive(Debug)]
pub(super) struct History {
    events: BTreeMap<Place, Event>,
    inserted: u64,
    /// The most seconds by which any of them is listed too new.
    shifted: i64,
    quota: Option<Quota>,
}

impl History {
    pub(super) fn new(quota: Option<Quota>) -> Self {
        Self { events: BTreeMap::new(), inserted: 0, shifted: 0, quota }
    }

    /// Adds an event, listed as if it had happened `shift` seconds later than it did.
    pub(super) fn insert(&mut self, event: Event, shift: i64) {
        self.inserted += 1;
        self.shifted = self.shifted.max(shift);
        self.events.insert((Reverse(event.at.plus(shift).0), Reverse(self.inserted)), event);
    }

    /// How many events it holds, visible or not.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether the quota has room for one more request.
    pub(super) fn admits(&mut self, now: WallTime) -> bool {
        self.quota.as_mut().is_none_or(|quota| quota.admits(now))
    }

    /// One page. `whose` is the account and Region, which the token is bound to; `spoil` is told how many events the
    /// page holds and says what shall be wrong with it.
    pub(super) fn look_up(
        &self,
        parameters: &Value,
        whose: &str,
        now: WallTime,
        spoil: impl FnOnce(usize) -> Option<Spoiled>,
    ) -> Result<Value, Refusal> {
        let query = Query::read(parameters, now)?;
        // Hours of a busy trail are held here: only what may lie in the span is looked at.
        let newest = Reverse(query.span.to.plus(self.shifted).0);
        let oldest = Bound::Included((Reverse(query.span.from.0), Reverse(0)));
        let from = match parameters.get("NextToken") {
            None | Some(Value::Null) => Bound::Included((newest, Reverse(u64::MAX))),
            Some(token) => Bound::Excluded(place_in_token(token, parameters, whose)?),
        };
        let mut matches = self.events.range((from, oldest)).filter(|(_, event)| query.wants(event, now));
        let mut page: Vec<_> = matches.by_ref().take(query.max_results).collect();
        let mut more = matches.next().is_some();

        let spoiled = spoil(page.len());
        if spoiled == Some(Spoiled::Short) {
            more |= page.len() > 1;
            page.truncate(1);
        }
        let token = page.last().filter(|_| more).map(|(place, _)| token_of(**place, parameters, whose));
        let mut items: Vec<_> = page.iter().map(|(_, event)| event.item()).collect();
        spoil_items(&mut items, spoiled);

        let mut answer = json!({ "Events": items });
        if let Some(token) = token {
            answer["NextToken"] = json!(token);
        }
        Ok(answer)
    }
}

impl Event {
    fn item(&self) -> Value {
        let resources: Vec<_> =
            self.resources.iter().map(|(kind, name)| json!({ "ResourceType": kind, "ResourceName": name })).collect();
        let mut item = json!({
            "EventId": self.id,
            "EventName": self.name,
            "EventTime": self.at.0,
            "EventSource": self.source,
            "ReadOnly": self.read_only.to_string(),
            "Username": self.username,
            "Resources": resources,
            "CloudTrailEvent": self.record,
        });
        if let Some(key) = &self.access_key {
            item["AccessKeyId"] = json!(key);
        }
        item
    }
}

/// What is asked for.
struct Query {
    span: Span,
    attribute: Option<(String, String)>,
    max_results: usize,
}

/// The longest page, and the length of a page if nothing is said.
const PAGE: i64 = 50;

/// The longest `AttributeValue`.
const MAX_ATTRIBUTE_CHARS: usize = 2_000;

/// How far back the Event history goes.
const KEPT_SECS: i64 = 90 * 86_400;

const ATTRIBUTES: [&str; 8] =
    ["EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"];

impl Query {
    fn read(parameters: &Value, now: WallTime) -> Result<Self, Refusal> {
        let oldest = now.second().minus(KEPT_SECS);
        let start = instant(parameters, "StartTime")?.unwrap_or(oldest);
        let end = instant(parameters, "EndTime")?.unwrap_or(now.second());
        let Some(span) = Span::new(start, end) else {
            return Err(Refusal::new("InvalidTimeRangeException", "The end time is before the start time."));
        };
        let max_results = match parameters.get("MaxResults") {
            None | Some(Value::Null) => PAGE,
            Some(number) => number.as_i64().unwrap_or(0),
        };
        if !(1..=PAGE).contains(&max_results) {
            return Err(Refusal::new("InvalidMaxResultsException", "MaxResults must be between 1 and 50."));
        }
        let max_results = usize::try_from(max_results).unwrap_or(1);
        Ok(Self { span, attribute: attribute(parameters)?, max_results })
    }

    fn wants(&self, event: &Event, now: WallTime) -> bool {
        event.visible_at <= now
            && event.at >= now.second().minus(KEPT_SECS)
            && self.span.contains(event.at)
            && self.attribute.as_ref().is_none_or(|(key, value)| event.has(key, value))
    }
}

impl Event {
    fn has(&self, key: &str, value: &str) -> bool {
        match key {
            "EventId" => self.id == value,
            "EventName" => self.name == value,
            "ReadOnly" => self.read_only.to_string() == value,
            "Username" => self.username == value,
            "ResourceType" => self.resources.iter().any(|(kind, _)| kind == value),
            "ResourceName" => self.resources.iter().any(|(_, name)| name == value),
            "EventSource" => self.source == value,
            "AccessKeyId" => self.access_key.as_deref() == Some(value),
            _ => false,
        }
    }
}

/// Epoch seconds, whole or with a fraction that is cut: bounds are whole seconds.
fn instant(parameters: &Value, name: &str) -> Result<Option<EventTime>, Refusal> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let secs = number.as_f64().map_or(0.0, f64::floor);
            #[expect(clippy::cast_possible_truncation, reason = "a float beyond i64 becomes its nearest end")]
            Ok(Some(EventTime(secs as i64)))
        }
        Some(_) => Err(Refusal::new("SerializationException", &format!("{name} is no number"))),
    }
}

fn attribute(parameters: &Value) -> Result<Option<(String, String)>, Refusal> {
    let invalid = |message: &str| Refusal::new("InvalidLookupAttributesException", message);
    let Some(list) = parameters.get("LookupAttributes").and_then(Value::as_array) else { return Ok(None) };
    let item = match list.as_slice() {
        [] => return Ok(None),
        [item] => item,
        _ => return Err(invalid("You can specify only one attribute to look up.")),
    };
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (key, value) = (text("AttributeKey"), text("AttributeValue"));
    if !ATTRIBUTES.contains(&key.as_str()) {
        return Err(invalid("The attribute key is not valid."));
    }
    if value.is_empty() || value.chars().count() > MAX_ATTRIBUTE_CHARS {
        return Err(invalid("The attribute value is not valid."));
    }
    Ok(Some((key, value)))
}

/// `second.number.digest`, in hexadecimal so that nobody is tempted to read it.
fn token_of((Reverse(second), Reverse(number)): Place, parameters: &Value, whose: &str) -> String {
    let place = format!("{second}.{number}");
    let digest = binding(&place, parameters, whose);
    hex::encode(format!("{place}.{digest}"))
}

fn place_in_token(token: &Value, parameters: &Value, whose: &str) -> Result<Place, Refusal> {
    let read = || {
        let text = String::from_utf8(hex::decode(token.as_str()?).ok()?).ok()?;
        let (place, digest) = text.rsplit_once('.')?;
        let (second, number) = place.split_once('.')?;
        let bound = binding(place, parameters, whose) == digest;
        bound.then_some((Reverse(second.parse().ok()?), Reverse(number.parse().ok()?)))
    };
    read().ok_or_else(Refusal::invalid_token)
}

/// What ties a token to where it was given out: all parameters but the token, and the account and Region.
fn binding(place: &str, parameters: &Value, whose: &str) -> String {
    let mut bound = parameters.clone();
    if let Some(members) = bound.as_object_mut() {
        members.retain(|name, value| name != "NextToken" && !value.is_null());
    }
    hex::encode(&Sha256::digest(format!("{place} {whose} {bound}"))[..8])
}

fn spoil_items(items: &mut [Value], spoiled: Option<Spoiled>) {
    match (spoiled, items) {
        (Some(Spoiled::Reversed), items) => items.reverse(),
        (Some(Spoiled::NoRecord), [first, ..]) => {
            first.as_object_mut().map(|members| members.remove("CloudTrailEvent"));
        }
        (Some(Spoiled::BadRecord), [first, ..]) => first["CloudTrailEvent"] = json!("{\"eventVersion\": "),
        _ => {}
    }
}
