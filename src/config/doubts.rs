//! What is right by itself and can hardly be meant: said when all is read, since it takes several keys to see it.
//!
//! What can never fire is refused: whoever wrote it believes to be watched. What counts more or less than somebody may
//! think is a warning, and so is a name that is not known, since the lists of known ones are never complete.

use std::collections::BTreeSet;

use super::allow::AllowRead;
use super::events::{doubt, doubt_of_source, name_no_secret};
use super::problem::shown;
use super::rules::RuleRead;
use super::table::{Item, Table};
use super::{Account, Poll};
use crate::detect::{Condition, GroupKey, Rule, Statistic, Step};
use crate::model::{EventTime, count};

/// Everything that bears on everything else.
pub(super) struct Whole<'w, 'a> {
    pub(super) poll: &'w Poll,
    pub(super) poll_table: &'w Table<'a>,
    pub(super) accounts: &'w [Account],
    pub(super) rules: &'w [RuleRead<'a>],
    pub(super) allowances: &'w [AllowRead<'a>],
    pub(super) now: EventTime,
}

/// Complains of what never fires, and warns of the rest.
pub(super) fn doubts(whole: &Whole<'_, '_>) {
    each(whole.poll_table, "event_sources", doubt_of_source);
    for (place, read) in whole.rules.iter().enumerate() {
        let Some(table) = &read.table else { continue };
        of_condition(table, &read.rule.condition, whole);
        for (step, table) in read.rule.steps.iter().zip(&read.steps) {
            of_condition(table, &step.condition, whole);
        }
        of_rule(read, table, whole);
        let earlier = &whole.rules[..place];
        if let Some(same) = earlier.iter().find(|other| other.rule.fingerprint() == read.rule.fingerprint()) {
            let name = shown(&same.rule.name);
            table.warn("name", format!("counts the same as the rule {name}, so that every access is told twice"));
        }
    }
    for read in whole.allowances {
        of_condition(&read.table, &read.allowance.condition, whole);
        of_allowance(read, whole);
    }
}

/// Warns of the elements of the list `key` that there is a doubt about.
fn each(table: &Table<'_>, key: &str, doubt: impl Fn(&str) -> Option<String>) {
    let strings = table.item(key).map(|item| item.strings()).unwrap_or_default();
    for (item, text) in strings {
        if let Some(doubt) = doubt(&text) {
            item.warn(doubt);
        }
    }
}

fn of_condition(table: &Table<'_>, condition: &Condition, whole: &Whole<'_, '_>) {
    each(table, "events", |event| doubt(event, &whole.poll.event_sources));
    each(table, "principals", doubt_of_principal);
    each(table, "exclude_principals", doubt_of_principal);
    each(table, "secrets", doubt_of_secret);
    let excluded = condition.exclude_principals.texts();
    let is_excluded = |glob: &String| excluded.contains(glob) || excluded.iter().any(|excluded| excluded == "*");
    let none_left = !condition.principals.is_empty() && condition.principals.texts().iter().all(is_excluded);
    if none_left && let Some(item) = table.item("exclude_principals") {
        item.wrong("leaves nobody of principals over, so that nothing would count");
    }
    if !condition.secret_tags.is_empty() && !whole.poll.inventory {
        table.warn("secret_tags", "poll.inventory is false, so no tag is known, and every secret counts");
    }
    if name_no_secret(&condition.events)
        && let Some(item) = table.item("secrets").or_else(|| table.item("secret_tags"))
        && (!condition.secrets.is_empty() || !condition.secret_tags.is_empty())
    {
        item.wrong(format!("{} names no secret, so that nothing would count", condition.events.join(" or ")));
    }
}

/// What a principal is called of whom a record says nothing.
const NOBODY: &str = "Unknown";

/// A session is no principal, since it is another one every hour: its role is.
fn doubt_of_principal(glob: &str) -> Option<String> {
    let parts: Vec<&str> = glob.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "sts", _, account, rest] if rest.starts_with("assumed-role/") => {
            let role = rest.split('/').nth(1).unwrap_or("*");
            Some(format!(
                "no principal has the ARN of a session; write that of its role, \
                 \"arn:{partition}:iam::{account}:role/{role}\" with the role's path if it has one"
            ))
        }
        ["arn", _, service, ..] if is_literal(service) && !["iam", "sts"].contains(service) => {
            Some("the ARN of no principal: those are of iam, or of sts for federated users".to_owned())
        }
        [word] if is_literal(word) && !word.contains('/') && *word != NOBODY => {
            Some(format!("principals are compared by their whole ARN, did you mean \"*/{word}\"?"))
        }
        _ => None,
    }
}

fn doubt_of_secret(glob: &str) -> Option<String> {
    let service = glob.strip_prefix("arn:")?.split(':').nth(1)?;
    (is_literal(service) && service != "secretsmanager").then(|| "the ARN of no secret".to_owned())
}

fn is_literal(glob: &str) -> bool {
    !glob.contains(['*', '?', '[', '{', '\\'])
}

fn of_rule(read: &RuleRead<'_>, table: &Table<'_>, whole: &Whole<'_, '_>) {
    let rule = &read.rule;
    if let Some(item) = table.item("notify").filter(Item::is_empty_list) {
        item.warn("an empty list is no list: it means every notifier");
    }
    if rule.steps.is_empty() {
        counts(rule, rule.statistic, rule.threshold, &rule.condition.events, table, whole);
        return;
    }
    for (step, table) in rule.steps.iter().zip(&read.steps) {
        can_be_taken(rule, step, table);
        counts(rule, step.statistic, step.threshold, &events_of(rule, step), table, whole);
    }
    of_one_group(rule, table);
}

/// Whether the threshold can be reached.
fn counts(
    rule: &Rule,
    statistic: Statistic,
    threshold: u64,
    events: &[String],
    table: &Table<'_>,
    whole: &Whole<'_, '_>,
) {
    let Statistic::Distinct(key) = statistic else { return };
    let word = key.word();
    // Within a group that is made by a key there is one value of that key, and no threshold above that is ever met.
    if threshold > 1
        && rule.group_by.contains(&key)
        && let Some(item) = table.item("statistic")
    {
        item.wrong(format!("never more than 1: each group has one {word}; leave {word:?} out of group_by"));
    }
    if key == GroupKey::Secret
        && name_no_secret(events)
        && let Some(item) = table.item("statistic")
    {
        item.wrong(format!("{} names no secret, so that there is nothing to count", events.join(" or ")));
    }
    let read = match key {
        GroupKey::Account => whole.accounts.len(),
        GroupKey::Region => regions(whole.accounts),
        _ => return,
    };
    if u64::try_from(read).is_ok_and(|read| read < threshold) {
        let read = count(read as u64, word);
        table.warn("threshold", format!("the [[account]] tables come to {read}, fewer than {threshold}"));
    }
}

/// How many Regions are read; the one that AWS_REGION says is taken for another one.
fn regions(accounts: &[Account]) -> usize {
    let named: BTreeSet<&String> = accounts.iter().flat_map(|account| &account.regions).collect();
    named.len() + usize::from(accounts.iter().any(|account| account.regions.is_empty()))
}

/// What a step demands, the rule demands as well.
fn can_be_taken(rule: &Rule, step: &Step, table: &Table<'_>) {
    if let (Some(all), Some(own)) = (rule.condition.outcome, step.condition.outcome)
        && all != own
        && let Some(item) = table.item("outcome")
    {
        item.wrong(format!("the rule itself counts only what has the outcome {:?}", all.word()));
    }
    let demand = (!rule.condition.events.is_empty(), !step.condition.events.is_empty());
    let events = events_of(rule, step);
    if demand == (true, true)
        && events.is_empty()
        && let Some(item) = table.item("events")
    {
        item.wrong("the rule's own events hold none of these");
    }
    let about_secrets = !rule.condition.secrets.is_empty() || !rule.condition.secret_tags.is_empty();
    if about_secrets && name_no_secret(&events) {
        table.wrong_itself(format!(
            "{} names no secret, and the rule counts only some; say which secrets in the other steps",
            events.join(" or ")
        ));
    }
}

/// Which events are part of a step; none: all.
fn events_of(rule: &Rule, step: &Step) -> Vec<String> {
    match (rule.condition.events.as_slice(), step.condition.events.as_slice()) {
        ([], own) => own.to_vec(),
        (all, []) => all.to_vec(),
        (all, own) => own.iter().filter(|event| all.contains(event)).cloned().collect(),
    }
}

/// Whether one group can hold accesses of every step.
fn of_one_group(rule: &Rule, table: &Table<'_>) {
    let complain = |why: &str| match table.item("group_by") {
        Some(item) => item.wrong(why),
        None => table.wrong("group_by", why),
    };
    let events: Vec<Vec<String>> = rule.steps.iter().map(|step| events_of(rule, step)).collect();
    let without_secret = events.iter().filter(|events| name_no_secret(events)).count();
    if rule.group_by.contains(&GroupKey::Secret) && (1..events.len()).contains(&without_secret) {
        complain("no group holds all steps, since the events of one name no secret; group by another key");
    }
    let apart =
        |a: &Vec<String>, b: &Vec<String>| !a.is_empty() && !b.is_empty() && !a.iter().any(|event| b.contains(event));
    if rule.group_by.contains(&GroupKey::Event) && events.iter().any(|a| events.iter().any(|b| apart(a, b))) {
        complain("no group holds all steps, since their events differ; group by another key");
    }
    let outcomes: BTreeSet<_> = rule.steps.iter().filter_map(|step| step.condition.outcome).collect();
    if rule.group_by.contains(&GroupKey::Outcome) && outcomes.len() > 1 {
        complain("no group holds all steps, since their outcomes differ; group by another key");
    }
}

fn of_allowance(read: &AllowRead<'_>, whole: &Whole<'_, '_>) {
    let AllowRead { allowance, table } = read;
    match allowance.until {
        None if table.item("until").is_none() => {
            table.warn(
                "until",
                "missing; an entry without an end is forgotten, write until = \"2027-01-31\" or the like",
            );
        }
        Some(until) if until <= whole.now => table.warn("until", "is over: it allows nothing any more"),
        _ => {}
    }
    let mut concerned = whole.rules.iter().map(|read| &read.rule).filter(|rule| allowance.concerns(&rule.name));
    if !concerned.any(|rule| can_count(rule, &allowance.condition)) {
        table.warn("rules", "no rule concerned counts what it allows, by its events or outcomes");
    }
}

/// Whether `rule` can count something that `condition` means, as far as events and outcomes tell.
fn can_count(rule: &Rule, condition: &Condition) -> bool {
    let meets = |other: &Condition| {
        let events = other.events.is_empty()
            || condition.events.is_empty()
            || other.events.iter().any(|event| condition.events.contains(event));
        let outcome = other.outcome.is_none() || condition.outcome.is_none() || other.outcome == condition.outcome;
        events && outcome
    };
    meets(&rule.condition) && (rule.steps.is_empty() || rule.steps.iter().any(|step| meets(&step.condition)))
}
