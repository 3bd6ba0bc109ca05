//! `[[rule]]`: which accesses count, and when they are worth an alert.

use std::time::Duration;

use super::check::ENDLESS;
use super::keys::{RULE, STATISTIC, did_you_mean};
use super::problem::shown;
use super::table::{Item, Table};
use crate::detect::{Condition, Globs, GroupKey, Rule, Statistic};
use crate::model::{Outcome, Severity};

/// Seconds for which an incident stays open, and between two reports of it, where a rule does not say.
const QUARTER_HOUR: i64 = 15 * 60;

/// Names of CloudTrail events for which a rule is likely to be written. Not a list of what is allowed, since that
/// grows, but of what a name was meant to be that differs from one of these in its capitals only.
const EVENTS: [&str; 8] = [
    "GetSecretValue",
    "BatchGetSecretValue",
    "DescribeSecret",
    "ListSecrets",
    "PutSecretValue",
    "UpdateSecret",
    "DeleteSecret",
    "PutResourcePolicy",
];

/// A rule, and where to complain if it reaches too far back.
pub(super) struct RuleRead<'a> {
    pub(super) rule: Rule,
    window: Option<Item<'a>>,
    hold: Option<Item<'a>>,
}

impl<'a> RuleRead<'a> {
    /// The value that says most about how far the rule reaches, if one does.
    pub(super) fn reach_item(&self) -> Option<Item<'a>> {
        let (first, second) =
            if self.rule.window >= self.rule.hold { (&self.window, &self.hold) } else { (&self.hold, &self.window) };
        first.clone().or_else(|| second.clone())
    }
}

/// All rules, or the default one if there is none. `notifiers` are the names that `notify` may say.
pub(super) fn rules<'a>(root: &Table<'a>, notifiers: &[String]) -> Vec<RuleRead<'a>> {
    let mut rules: Vec<RuleRead<'a>> = Vec::new();
    for table in root.tables("rule", &RULE) {
        let read = rule(&table, notifiers);
        if let Some(item) = table.item("name")
            && !read.rule.name.is_empty()
            && rules.iter().any(|other| other.rule.name == read.rule.name)
        {
            item.wrong(format!("another rule is called {} already; give each its own name", shown(&read.rule.name)));
        }
        rules.push(read);
    }
    if rules.is_empty() {
        rules.push(RuleRead { rule: default_rule(notifiers), window: None, hold: None });
    }
    rules
}

/// What is watched for when no rule is written.
fn default_rule(notifiers: &[String]) -> Rule {
    Rule {
        name: "secret-is-accessed".to_owned(),
        description: Some("A secret's value was read".to_owned()),
        condition: Condition { events: vec!["GetSecretValue".to_owned()], ..Condition::default() },
        ..bare_rule(notifiers)
    }
}

/// A rule with the default of every key that has one.
fn bare_rule(notifiers: &[String]) -> Rule {
    Rule {
        name: String::new(),
        description: None,
        severity: Severity::Medium,
        runbook: None,
        notify: notifiers.to_vec(),
        condition: Condition::default(),
        steps: Vec::new(),
        first_seen: None,
        statistic: Statistic::Sum,
        threshold: 1,
        window: 60,
        hold: QUARTER_HOUR,
        update_every: QUARTER_HOUR,
        group_by: vec![GroupKey::Secret],
    }
}

fn rule<'a>(table: &Table<'a>, notifiers: &[String]) -> RuleRead<'a> {
    table.refuse_the_rest();
    let bare = bare_rule(notifiers);
    let rule = Rule {
        name: table.required("name", "give the rule a name").and_then(|item| item.name()).unwrap_or(bare.name),
        description: table.read("description", Item::filled),
        severity: table.read("severity", severity).unwrap_or(bare.severity),
        runbook: table.read("runbook", |item| item.text_like("an http or https URL", is_http_url)),
        notify: table.read("notify", |item| notify(item, notifiers)).unwrap_or(bare.notify),
        condition: condition(table),
        steps: Vec::new(),
        first_seen: None,
        statistic: table.read("statistic", statistic).unwrap_or(bare.statistic),
        threshold: table.read("threshold", Item::count).unwrap_or(bare.threshold),
        window: table.read("window", |item| seconds(item, 1)).unwrap_or(bare.window),
        hold: table.read("hold", |item| seconds(item, 0)).unwrap_or(bare.hold),
        update_every: table.read("update_every", |item| seconds(item, 0)).unwrap_or(bare.update_every),
        group_by: table.read("group_by", |item| item.set("keys", group_key)).unwrap_or(bare.group_by),
    };
    can_cross(&rule, table);
    RuleRead { rule, window: table.item("window"), hold: table.item("hold") }
}

/// Which accesses are meant.
fn condition(table: &Table<'_>) -> Condition {
    let globs = |key| table.read(key, globs).unwrap_or_default();
    Condition {
        events: table.read("events", |item| item.set("event names", event)).unwrap_or_default(),
        outcome: table.read("outcome", outcome).unwrap_or_default(),
        secrets: table.read("secrets", secret_globs).unwrap_or_default(),
        principals: globs("principals"),
        exclude_principals: globs("exclude_principals"),
        ..Condition::default()
    }
}

/// Within a group that is made by a key there is one value of that key, and no threshold above that is ever met.
fn can_cross(rule: &Rule, table: &Table<'_>) {
    let Statistic::Distinct(key) = rule.statistic else { return };
    if rule.threshold > 1
        && rule.group_by.contains(&key)
        && let Some(item) = table.item("statistic")
    {
        let key = key.word();
        item.wrong(format!("never more than 1: each group has one {key}; leave {key:?} out of group_by"));
    }
}

/// The severities, by their words.
pub(super) fn severity(item: &Item<'_>) -> Option<Severity> {
    item.choice(&Severity::ALL.map(|severity| (severity.word(), severity)), &[])
}

fn outcome(item: &Item<'_>) -> Option<Option<Outcome>> {
    let named = [Outcome::Success, Outcome::Denied, Outcome::Failed].map(|outcome| (outcome.word(), Some(outcome)));
    let [success, denied, failed] = named;
    item.choice(&[success, denied, failed, ("any", None)], &[])
}

fn event(item: &Item<'_>) -> Option<String> {
    const EXPECTED: &str = "an event's name such as \"GetSecretValue\", without a service and without wildcards";
    let text = item.text_like(EXPECTED, |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()))?;
    match EVENTS.iter().find(|event| event.eq_ignore_ascii_case(&text) && **event != text) {
        Some(event) => {
            item.wrong(format!("no event is called {text:?}, did you mean {event:?}?"));
            None
        }
        None => Some(text),
    }
}

fn globs(item: &Item<'_>) -> Option<Globs> {
    compiled(item, Globs::new)
}

fn secret_globs(item: &Item<'_>) -> Option<Globs> {
    compiled(item, Globs::of_secrets)
}

fn compiled(item: &Item<'_>, compile: impl Fn(&[String]) -> Result<Globs, globset::Error>) -> Option<Globs> {
    let texts = item.set("globs", glob)?;
    match compile(&texts) {
        Ok(globs) => Some(globs),
        Err(error) => {
            item.wrong(format!("these globs are too much together: {}", error.kind()));
            None
        }
    }
}

fn glob(item: &Item<'_>) -> Option<String> {
    let text = item.filled()?;
    match Globs::new(std::slice::from_ref(&text)) {
        Ok(_) => Some(text),
        Err(error) => {
            item.wrong(format!("{} is no glob: {}", shown(&text), error.kind()));
            None
        }
    }
}

fn statistic(item: &Item<'_>) -> Option<Statistic> {
    if item.is_table() {
        let table = item.table(&STATISTIC)?;
        table.refuse_the_rest();
        let key = table.required("distinct", "name the key whose values are counted")?;
        return group_key(&key).map(Statistic::Distinct);
    }
    item.text_like("\"sum\" or { distinct = \"secret\" }", |text| text == "sum").map(|_| Statistic::Sum)
}

fn group_key(item: &Item<'_>) -> Option<GroupKey> {
    item.choice(&GroupKey::ALL.map(|key| (key.word(), key)), &[])
}

/// A list of notifiers; an empty one means all of them, as everywhere.
fn notify(item: &Item<'_>, notifiers: &[String]) -> Option<Vec<String>> {
    let known = |item: &Item<'_>| {
        let name = item.text()?;
        if notifiers.contains(&name) {
            return Some(name);
        }
        let near = did_you_mean(&name, notifiers.iter().map(String::as_str));
        item.wrong(format!("there is no notifier {}{near}", shown(&name)));
        None
    };
    let names = item.set("notifiers", known)?;
    (!item.is_empty_list()).then_some(names)
}

fn seconds(item: &Item<'_>, least: u64) -> Option<i64> {
    let duration = item.whole_seconds(Duration::from_secs(least), ENDLESS)?;
    i64::try_from(duration.as_secs()).ok()
}

fn is_http_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
