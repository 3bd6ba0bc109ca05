//! `[[allow]]`: accesses that somebody answers for.

use jiff::civil::Date;

use super::condition::condition;
use super::duration;
use super::keys::{ALLOW, did_you_mean};
use super::problem::shown;
use super::rules::RuleRead;
use super::table::{Item, Table};
use crate::detect::{Allowance, AtMost};
use crate::model::EventTime;

/// An allowance, and where to complain of it.
pub(super) struct AllowRead<'a> {
    pub(super) allowance: Allowance,
    pub(super) table: Table<'a>,
}

/// The whole allow-list; `rules` are those that it may name.
pub(super) fn allowances<'a>(root: &Table<'a>, rules: &[RuleRead<'_>]) -> Vec<AllowRead<'a>> {
    let mut allowances: Vec<AllowRead<'a>> = Vec::new();
    for (place, table) in root.tables("allow", &ALLOW).into_iter().enumerate() {
        let allowance = allowance(&table, place, rules);
        if allowances.iter().any(|other| other.allowance.name == allowance.name) {
            let text = format!("another entry is called {} already; give each its own name", shown(&allowance.name));
            match table.item("name") {
                Some(item) => item.wrong(text),
                None => table.wrong("name", text),
            }
        }
        allowances.push(AllowRead { allowance, table });
    }
    allowances
}

fn allowance(table: &Table<'_>, place: usize, rules: &[RuleRead<'_>]) -> Allowance {
    const SOMEBODY: &str = "somebody has to answer for it, such as \"team-payments\"";
    const WHY: &str = "say why these accesses are right";
    table.refuse_the_rest();
    let line = |key, why| table.required(key, why).and_then(|item| item.line()).unwrap_or_default();
    if !is_about_something(table) {
        table.wrong_itself(
            "would allow everything; say which accesses, by events, outcome, secrets, secret_tags, principals or \
             pattern",
        );
    }
    Allowance {
        name: table.read("name", Item::name).unwrap_or_else(|| format!("allow-{}", place + 1)),
        owner: line("owner", SOMEBODY),
        reason: line("reason", WHY),
        until: table.read("until", until),
        condition: condition(table),
        rules: table.read("rules", |item| item.set("names of rules", |item| known(item, rules))).unwrap_or_default(),
        at_most: table.read("at_most", at_most),
    }
}

/// Whether a key says which accesses. That some principals are left out does not.
fn is_about_something(table: &Table<'_>) -> bool {
    let lists = ["events", "secrets", "principals"];
    let says_more = |key: &&str| table.item(key).is_some_and(|item| !item.is_empty_list());
    lists.iter().any(says_more)
        || table.item("secret_tags").is_some_and(|item| !item.is_empty_table())
        || table.item("outcome").is_some() && !table.says("outcome", "any")
        || table.item("pattern").is_some()
}

fn known(item: &Item<'_>, rules: &[RuleRead<'_>]) -> Option<String> {
    let name = item.text()?;
    let names = || rules.iter().map(|read| read.rule.name.as_str());
    if names().any(|rule| rule == name) {
        return Some(name);
    }
    let near = did_you_mean(&name, names());
    let why = match super::builtin(&name) {
        Some(_) => format!("the built-in rule {name:?} is not in use"),
        None => format!("there is no rule {}{near}", shown(&name)),
    };
    item.wrong(why);
    None
}

/// The first second that is no longer allowed: a date is meant to its end.
fn until(item: &Item<'_>) -> Option<EventTime> {
    const EXPECTED: &str =
        "a date such as \"2027-01-31\", which is the last day, or a time such as \"2027-01-31T18:00:00Z\"";
    let text = item.date(EXPECTED)?;
    let end = match text.parse::<Date>() {
        Ok(day) if text.len() == "2027-01-31".len() => {
            day.tomorrow().ok().and_then(|next| format!("{next}T00:00:00Z").parse().ok())
        }
        _ => text.parse().ok(),
    };
    if end.is_none() {
        item.wrong(format!("expected {EXPECTED}, found {}", shown(&text)));
    }
    end
}

/// `20 per 1h`.
fn at_most(item: &Item<'_>) -> Option<AtMost> {
    let read = |text: &str| {
        let (accesses, window) = text.split_once(" per ")?;
        let window = duration::parse(window.trim()).filter(|window| window.subsec_nanos() == 0)?;
        let (accesses, window) = (accesses.trim().parse().ok()?, i64::try_from(window.as_secs()).ok()?);
        (accesses > 0 && window > 0).then_some(AtMost { accesses, window })
    };
    let text = item.text()?;
    let at_most = read(&text);
    if at_most.is_none() {
        item.wrong(format!("expected a number of accesses and a time such as \"20 per 1h\", found {}", shown(&text)));
    }
    at_most
}
