//! SNS: topics, who listens to them, and what was published.
//!
//! Published messages are kept for tests and the demonstration to look at; nothing is delivered anywhere. Messages,
//! subjects and FIFO parameters are held to the limits that the real service enforces.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::records::uuid;
use super::state::{Request, State};
use super::wire::{Answer, Refusal, element};
use crate::model::WallTime;

/// A message as its topic accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic_arn: String,
    /// The id that the publisher was given.
    pub message_id: String,
    /// When it was accepted, by the account's clock.
    pub at: WallTime,
    /// `Subject`.
    pub subject: Option<String>,
    /// `Message`.
    pub body: String,
    /// `MessageAttributes`, those that are texts.
    pub attributes: BTreeMap<String, String>,
    /// `MessageGroupId`.
    pub group_id: Option<String>,
    /// The deduplication id, given or made of the content.
    pub deduplication_id: Option<String>,
    /// How often it was published again within five minutes and swallowed.
    pub duplicates: u64,
}

/// All topics, and all that was published.
#[derive(Debug, Default)]
pub(super) struct Topics {
    by_arn: BTreeMap<String, Topic>,
    pub(super) messages: Vec<Message>,
}

#[derive(Debug, Default)]
struct Topic {
    fifo: bool,
    dedup_by_content: bool,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    protocol: String,
    endpoint: String,
    confirmed: bool,
}

impl Topics {
    /// Makes a topic if it is not there; a name that ends in `.fifo` makes a FIFO topic.
    pub(super) fn create(&mut self, account: &str, region: &str, name: &str, dedup_by_content: bool) -> String {
        let arn = format!("arn:aws:sns:{region}:{account}:{name}");
        let fifo = name.ends_with(FIFO_SUFFIX);
        self.by_arn.entry(arn.clone()).or_insert(Topic { fifo, dedup_by_content, subscriptions: Vec::new() });
        arn
    }

    /// Adds a listener; false if there is no such topic.
    pub(super) fn subscribe(&mut self, arn: &str, protocol: &str, endpoint: &str, confirmed: bool) -> bool {
        let Some(topic) = self.by_arn.get_mut(arn) else { return false };
        let (protocol, endpoint) = (protocol.to_owned(), endpoint.to_owned());
        topic.subscriptions.push(Subscription { protocol, endpoint, confirmed });
        true
    }

    fn topic(&self, arn: &str) -> Result<&Topic, Refusal> {
        self.by_arn.get(arn).ok_or_else(|| Refusal::with_status(404, "NotFound", "Topic does not exist"))
    }
}

pub(super) fn perform(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let answer = match request.call.operation.as_str() {
        "Publish" => publish(state, request)?,
        "CreateTopic" => create(&mut state.topics, request)?,
        "GetTopicAttributes" => attributes(&state.topics, arn_in_region(request, "TopicArn")?)?,
        "ListSubscriptionsByTopic" => subscriptions(&state.topics, arn_in_region(request, "TopicArn")?)?,
        "ListTopics" => list(&state.topics, request),
        _ => return Err(Refusal::unknown_operation(request.service)),
    };
    Ok(Answer::Xml(answer))
}

const FIFO_SUFFIX: &str = ".fifo";

/// Of a message together with its attributes.
const MAX_MESSAGE_BYTES: usize = 262_144;

/// A subject must be shorter than this.
const SUBJECT_CHARS: usize = 100;

/// Of a deduplication or group id.
const MAX_ID_CHARS: usize = 128;

/// For so long a deduplication id is remembered.
const DEDUPLICATION: Duration = Duration::from_secs(300);

fn invalid(what: &str) -> Refusal {
    Refusal::new("InvalidParameter", &format!("Invalid parameter: {what}"))
}

/// The topic's ARN, which must be of the Region that was asked.
fn arn_in_region<'a>(request: &'a Request, name: &str) -> Result<&'a str, Refusal> {
    let arn = request.text(name).ok_or_else(|| invalid(name))?;
    let here = arn.starts_with("arn:aws:sns:") && arn.split(':').nth(3) == Some(&request.call.region);
    if here { Ok(arn) } else { Err(invalid(name)) }
}

fn publish(state: &mut State, request: &Request) -> Result<String, Refusal> {
    let name = if request.text("TargetArn").is_some() { "TargetArn" } else { "TopicArn" };
    let arn = arn_in_region(request, name)?;
    let topic = state.topics.topic(arn)?;
    let body = request.text("Message").ok_or_else(|| invalid("Empty message"))?;
    let attributes = message_attributes(request)?;
    let bytes = attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len();
    if bytes > MAX_MESSAGE_BYTES {
        return Err(invalid("Message too long"));
    }
    let subject = request.call.parameters.get("Subject").and_then(Value::as_str);
    if subject.is_some_and(|subject| !is_subject(subject)) {
        return Err(invalid("Subject"));
    }
    if request.text("MessageStructure").is_some_and(|structure| structure != "json" || !has_default(body)) {
        return Err(invalid("Message Structure - JSON message body failed to parse or has no default entry"));
    }
    let (group_id, deduplication_id) = fifo_ids(topic, request, body)?;
    if let Some(id) = swallowed(&mut state.topics.messages, arn, deduplication_id.as_deref(), request.now) {
        return Ok(element("MessageId", &id));
    }
    let message_id = uuid(&mut state.rng);
    state.topics.messages.push(Message {
        topic_arn: arn.to_owned(),
        message_id: message_id.clone(),
        at: request.now,
        subject: subject.map(str::to_owned),
        body: body.to_owned(),
        attributes,
        group_id,
        deduplication_id,
        duplicates: 0,
    });
    Ok(element("MessageId", &message_id))
}

/// Printable ASCII in one line, and no blank in front.
fn is_subject(text: &str) -> bool {
    let printable = text.chars().all(|character| character == ' ' || character.is_ascii_graphic());
    printable && !text.is_empty() && !text.starts_with(' ') && text.len() < SUBJECT_CHARS
}

fn has_default(body: &str) -> bool {
    serde_json::from_str::<Value>(body).is_ok_and(|body| body["default"].is_string())
}

fn message_attributes(request: &Request) -> Result<BTreeMap<String, String>, Refusal> {
    let mut attributes = BTreeMap::new();
    for number in 1.. {
        let prefix = format!("MessageAttributes.entry.{number}");
        let Some(name) = request.text(&format!("{prefix}.Name")) else { break };
        let value = request
            .text(&format!("{prefix}.Value.StringValue"))
            .or_else(|| request.text(&format!("{prefix}.Value.BinaryValue")));
        let typed = request.text(&format!("{prefix}.Value.DataType")).is_some();
        let Some(value) = value.filter(|_| typed) else {
            return Err(Refusal::new(
                "ParameterValueInvalid",
                &format!("The message attribute '{name}' must contain non-empty message attribute value."),
            ));
        };
        attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

type FifoIds = (Option<String>, Option<String>);

fn fifo_ids(topic: &Topic, request: &Request, body: &str) -> Result<FifoIds, Refusal> {
    let group = request.text("MessageGroupId").map(str::to_owned);
    let dedup = request.text("MessageDeduplicationId").map(str::to_owned);
    if [&group, &dedup].into_iter().flatten().any(|id| id.chars().count() > MAX_ID_CHARS) {
        return Err(invalid("MessageGroupId or MessageDeduplicationId is longer than 128 characters"));
    }
    if !topic.fifo {
        return match dedup {
            Some(_) => Err(invalid("MessageDeduplicationId is for FIFO topics")),
            None => Ok((group, None)),
        };
    }
    let group = group.ok_or_else(|| invalid("The MessageGroupId parameter is required for FIFO topics"))?;
    let by_content = || topic.dedup_by_content.then(|| hex::encode(Sha256::digest(body)));
    let dedup = dedup.or_else(by_content).ok_or_else(|| {
        invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided")
    })?;
    Ok((Some(group), Some(dedup)))
}

/// The id of the message that this one repeats within five minutes.
fn swallowed(messages: &mut [Message], arn: &str, dedup: Option<&str>, now: WallTime) -> Option<String> {
    let dedup = dedup?;
    let first = messages.iter_mut().rev().find(|message| {
        message.topic_arn == arn
            && message.deduplication_id.as_deref() == Some(dedup)
            && now.since(message.at) < DEDUPLICATION
    })?;
    first.duplicates += 1;
    Some(first.message_id.clone())
}

fn create(topics: &mut Topics, request: &Request) -> Result<String, Refusal> {
    let name = request.text("Name").ok_or_else(|| invalid("Topic Name"))?;
    let stem = name.strip_suffix(FIFO_SUFFIX).unwrap_or(name);
    if stem.is_empty() || !stem.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character)) {
        return Err(invalid("Topic Name"));
    }
    let attribute = |wanted: &str| {
        (1..)
            .map_while(|number| request.text(&format!("Attributes.entry.{number}.key")).map(|key| (number, key)))
            .find(|(_, key)| *key == wanted)
            .and_then(|(number, _)| request.text(&format!("Attributes.entry.{number}.value")))
    };
    if (attribute("FifoTopic") == Some("true")) != name.ends_with(FIFO_SUFFIX) {
        return Err(invalid("Fifo Topic names must end with .fifo and need the attribute FifoTopic"));
    }
    let by_content = attribute("ContentBasedDeduplication") == Some("true");
    let arn = topics.create(&request.call.account, &request.call.region, name, by_content);
    Ok(element("TopicArn", &arn))
}

fn attributes(topics: &Topics, arn: &str) -> Result<String, Refusal> {
    let topic = topics.topic(arn)?;
    let confirmed = topic.subscriptions.iter().filter(|subscription| subscription.confirmed).count();
    let pending = topic.subscriptions.len() - confirmed;
    let mut entries = vec![
        ("TopicArn", arn.to_owned()),
        ("Owner", owner(arn).to_owned()),
        ("DisplayName", String::new()),
        ("SubscriptionsConfirmed", confirmed.to_string()),
        ("SubscriptionsPending", pending.to_string()),
        ("SubscriptionsDeleted", "0".to_owned()),
    ];
    if topic.fifo {
        entries.push(("FifoTopic", "true".to_owned()));
        entries.push(("ContentBasedDeduplication", topic.dedup_by_content.to_string()));
    }
    let entries: String = entries
        .iter()
        .map(|(key, value)| format!("<entry>{}{}</entry>", element("key", key), element("value", value)))
        .collect();
    Ok(format!("<Attributes>{entries}</Attributes>"))
}

fn subscriptions(topics: &Topics, arn: &str) -> Result<String, Refusal> {
    let topic = topics.topic(arn)?;
    let members: String = topic
        .subscriptions
        .iter()
        .enumerate()
        .map(|(number, subscription)| {
            let own_arn = match subscription.confirmed {
                true => format!("{arn}:00000000-0000-4000-8000-{number:012}"),
                false => "PendingConfirmation".to_owned(),
            };
            let inside = element("TopicArn", arn)
                + &element("Protocol", &subscription.protocol)
                + &element("SubscriptionArn", &own_arn)
                + &element("Owner", owner(arn))
                + &element("Endpoint", &subscription.endpoint);
            format!("<member>{inside}</member>")
        })
        .collect();
    Ok(format!("<Subscriptions>{members}</Subscriptions>"))
}

fn list(topics: &Topics, request: &Request) -> String {
    let prefix = format!("arn:aws:sns:{}:{}:", request.call.region, request.call.account);
    let members: String = topics
        .by_arn
        .keys()
        .filter(|arn| arn.starts_with(&prefix))
        .map(|arn| format!("<member>{}</member>", element("TopicArn", arn)))
        .collect();
    format!("<Topics>{members}</Topics>")
}

fn owner(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for (subject, good) in [
            ("ALARM: read", true),
            (&*"x".repeat(99), true),
            (&*"x".repeat(100), false),
            ("", false),
            (" x", false),
            ("a\nb", false),
            ("naïve", false),
        ] {
            assert_eq!(is_subject(subject), good, "{subject:?}");
        }
    }
}
