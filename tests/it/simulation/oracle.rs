//! The judge: works out from the definitions alone what must have been told, and compares.
//!
//! It shares nothing with the engine. What happened it takes from the [`Story`], what was told from the bodies that the
//! topics accepted, read as plain JSON. Windows are quadratic, groups are lists of texts.

use std::collections::{BTreeMap, BTreeSet};

use secretwatch::demo::Message;
use serde_json::Value;

use super::story::{EXTRA, Event, Rule, Story, topic_arn};

/// A rule in one of its versions.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) rule: Rule,
    /// Whether it counts until the end; what a version has told that was replaced is only held against what it may.
    pub(crate) to_the_end: bool,
}

/// Everything that is wrong with what was told, in words, and with how it ended.
pub(crate) fn complaints(story: &Story, rules: &[Counted], messages: &[Message]) -> Vec<String> {
    let mut wrong = complaints_so_far(story, rules, messages);
    let bodies = bodies(messages);
    for topic in story.topics.iter().copied() {
        incidents_end(topic, &first_told(&bodies, &topic_arn(topic)), &mut wrong);
    }
    wrong
}

/// The same where there was no time for every incident to end.
pub(crate) fn complaints_so_far(story: &Story, rules: &[Counted], messages: &[Message]) -> Vec<String> {
    let mut wrong = Vec::new();
    let bodies = bodies(messages);
    equal_ids_have_equal_content(&bodies, &mut wrong);
    for topic in story.topics.iter().copied() {
        let arn = topic_arn(topic);
        let told = first_told(&bodies, &arn);
        covers(story, rules, topic, &told, &mut wrong);
        incidents_begin(topic, &told, &mut wrong);
    }
    everybody_hears_the_same(story, &bodies, &mut wrong);
    wrong
}

/// Topics and what they accepted, or another in their place.
fn bodies(messages: &[Message]) -> Vec<(String, Value)> {
    let body = |message: &Message| serde_json::from_str(&message.body).expect("alerts are sent as JSON");
    let topic = |message: &Message| match message.attributes.get("fallback_for") {
        Some(name) => topic_arn(name),
        None => message.topic_arn.clone(),
    };
    messages.iter().map(|message| (topic(message), body(message))).collect()
}

/// Each alert that a topic accepted, once, in the order in which it came first.
fn first_told<'a>(bodies: &'a [(String, Value)], arn: &str) -> Vec<&'a Value> {
    let mut seen = BTreeSet::new();
    let of_topic = bodies.iter().filter(|(topic, _)| topic == arn).map(|(_, body)| body);
    of_topic.filter(|body| seen.insert(text(body, "id"))).collect()
}

fn equal_ids_have_equal_content(bodies: &[(String, Value)], wrong: &mut Vec<String>) {
    let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
    for (_, body) in bodies {
        let id = text(body, "id");
        if *by_id.entry(id).or_insert(body) != body {
            wrong.push(format!("the alert id {id} has two contents"));
        }
    }
}

/// Missed, repeated and invented accesses, rule by rule.
fn covers(story: &Story, rules: &[Counted], topic: &str, told: &[&Value], wrong: &mut Vec<String>) {
    let identities = identities(story);
    for counted in rules {
        let rule = &counted.rule;
        let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
        for alert in told.iter().filter(|alert| is_of(alert, rule)) {
            for access in alert["accesses"].as_array().into_iter().flatten() {
                let event = text(access, "event_id");
                let Some(identity) = identities.get(event) else {
                    wrong.push(format!("{topic}: {} tells of {event}, which never happened", rule.name));
                    continue;
                };
                if let Some(other) = holders.insert(identity, text(alert, "id")) {
                    let id = text(alert, "id");
                    wrong.push(format!("{topic}: {} tells of {identity} in {other} and in {id}: repeated", rule.name));
                }
            }
        }
        let told: BTreeSet<&str> = holders.into_keys().collect();
        let expected = expected(story, rule);
        if counted.to_the_end {
            wrong.extend(expected.difference(&told).map(|id| format!("{topic}: {} missed {id}", rule.name)));
        }
        wrong.extend(told.difference(&expected).map(|id| format!("{topic}: {} invented {id}", rule.name)));
    }
}

/// By event id, what an access counts under however many records tell of it.
fn identities(story: &Story) -> BTreeMap<&str, &str> {
    story.events.iter().map(|event| (event.id.as_str(), identity(event))).collect()
}

fn identity(event: &Event) -> &str {
    event.shared.as_deref().or(event.updates.as_deref()).unwrap_or(&event.id)
}

/// The accesses in crossing windows.
fn expected<'a>(story: &'a Story, rule: &Rule) -> BTreeSet<&'a str> {
    let mut counted: BTreeMap<&str, &Event> = BTreeMap::new();
    for event in story.events.iter().filter(|event| counts(story, event)) {
        counted.entry(identity(event)).or_insert(event);
    }
    let mut covered = BTreeSet::new();
    for end in counted.values() {
        let inside = |event: &Event| end.at.minus(rule.window) < event.at && event.at <= end.at;
        let window: Vec<(&str, &Event)> = counted
            .iter()
            .filter(|(_, event)| inside(event) && group(rule, event) == group(rule, end))
            .map(|(identity, event)| (*identity, *event))
            .collect();
        let statistic = match rule.distinct {
            None => window.len(),
            Some(key) => window.iter().map(|(_, event)| value(key, event)).collect::<BTreeSet<_>>().len(),
        };
        if statistic >= rule.threshold {
            covered.extend(window.into_iter().map(|(identity, _)| identity));
        }
    }
    covered
}

/// Whether the record is the one that counts for its access, and is known.
fn counts(story: &Story, event: &Event) -> bool {
    let (owner, region, _) = &event.secret;
    let owner_is_read = story.sources.iter().any(|(account, read)| account == owner && read == region);
    let is_owners = event.place.0 == *owner;
    let eligible = event.shared.is_none() || is_owners || !owner_is_read;
    story.is_known(event) && event.name == "GetSecretValue" && eligible
}

fn group(rule: &Rule, event: &Event) -> Vec<String> {
    rule.group_by.iter().map(|key| value(key, event)).collect()
}

fn value(key: &str, event: &Event) -> String {
    match key {
        "secret" => format!("{:?}", event.secret),
        "principal" => event.caller.principal_arn().unwrap_or_default(),
        "source_ip" => event.ip.clone(),
        "region" => event.place.1.clone(),
        other => panic!("no rule here has {other}"),
    }
}

/// Whether `alert` is of this version of the rule.
fn is_of(alert: &Value, rule: &Rule) -> bool {
    alert["rule"]["name"] == rule.name.as_str()
        && alert["threshold"] == rule.threshold
        && alert["window_seconds"] == rule.window
}

/// The kinds of alerts that each incident has had.
fn incidents<'a>(told: &[&'a Value]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut incidents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for alert in told {
        incidents.entry(text(alert, "incident")).or_default().push(text(alert, "kind"));
    }
    incidents
}

/// An incident is opened first, and once.
fn incidents_begin(topic: &str, told: &[&Value], wrong: &mut Vec<String>) {
    for (incident, kinds) in incidents(told) {
        let opened = kinds.iter().skip(1).all(|kind| !matches!(*kind, "opened" | "blind"));
        if !opened || !matches!(kinds[0], "opened" | "blind") {
            wrong.push(format!("{topic}: incident {incident} began {kinds:?}"));
        }
    }
}

/// Each incident ends with `resolved`, and whoever was blind is sighted.
fn incidents_end(topic: &str, told: &[&Value], wrong: &mut Vec<String>) {
    for (incident, kinds) in incidents(told) {
        let ends = match kinds[..] {
            ["blind", ref rest @ ..] => rest == ["sighted"],
            [.., last] => last == "resolved",
            [] => false,
        };
        if !ends {
            wrong.push(format!("{topic}: incident {incident} went {kinds:?}"));
        }
    }
}

/// What one constant notifier was told, every other was told; the one that comes and goes, nothing else.
fn everybody_hears_the_same(story: &Story, bodies: &[(String, Value)], wrong: &mut Vec<String>) {
    let heard = |topic: &str| -> BTreeSet<&str> {
        first_told(bodies, &topic_arn(topic)).into_iter().map(|alert| text(alert, "id")).collect()
    };
    let first = heard(story.topics[0]);
    for topic in &story.topics[1..] {
        let other = heard(topic);
        for id in first.symmetric_difference(&other) {
            wrong.push(format!("only one of {} and {topic} accepted the alert {id}", story.topics[0]));
        }
    }
    for id in heard(EXTRA).difference(&first) {
        wrong.push(format!("only {EXTRA} accepted the alert {id}"));
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value:#}"))
}
