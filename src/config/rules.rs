//! `[[rule]]` and `use`: which accesses count, and when they are worth an alert.
//!
//! A rule of the operator's own and a built-in one are read by the same reader. Where both have the same name, and the
//! built-in one is in use, the operator's keys are laid over its own before they are read; what is said of a key then
//! points at the operator's line, and what is said of the rest at the table or at the word in `use`.

use std::time::Duration;

use super::Poll;
use super::builtin::{Builtin, NOT_WITH_STEPS, builtin, builtins, default_rule};
use super::check::ENDLESS;
use super::condition::condition;
use super::first_seen::first_seen;
use super::keys::{RULE, STATISTIC, did_you_mean};
use super::problem::{Complaints, shown};
use super::steps::sequence;
use super::table::{Item, Table};
use crate::detect::{Condition, GroupKey, Rule, Statistic};
use crate::model::Severity;

/// The word in `use` for all built-in rules that are right for nearly everybody.
pub const RECOMMENDED: &str = "recommended";

/// Seconds for which an incident stays open, and between two reports of it, where a rule does not say.
pub(super) const QUARTER_HOUR: i64 = 15 * 60;

/// What rules are read against.
#[derive(Clone, Copy)]
pub(super) struct Around<'b> {
    /// The names that `notify` may say.
    pub(super) notifiers: &'b [String],
    pub(super) poll: &'b Poll,
}

/// A rule, and where to complain of it.
pub(super) struct RuleRead<'a> {
    pub(super) rule: Rule,
    /// None: nobody wrote it.
    pub(super) table: Option<Table<'a>>,
    /// The tables of its steps.
    pub(super) steps: Vec<Table<'a>>,
}

impl<'a> RuleRead<'a> {
    /// The value that says most about how far the rule reaches, if one does.
    pub(super) fn reach_item(&self) -> Option<Item<'a>> {
        let table = self.table.as_ref()?;
        let window = || table.item("within").or_else(|| table.item("window"));
        let hold = || table.item("hold");
        if self.rule.window >= self.rule.hold { window().or_else(hold) } else { hold().or_else(window) }
    }
}

/// All rules, or the default one if there is none.
pub(super) fn rules<'a>(root: &Table<'a>, around: Around<'_>) -> Vec<RuleRead<'a>> {
    let used = used(root);
    let written = root.tables("rule", &RULE);
    let mut rules: Vec<RuleRead<'a>> = Vec::new();
    for (item, builtin) in &used {
        if !written.iter().any(|table| table.says("name", builtin.name())) {
            rules.push(built_upon(builtin, item.stands_for(&RULE, builtin.entries()), around));
        }
    }
    for table in written {
        let builtin = used.iter().map(|(_, builtin)| *builtin).find(|builtin| table.says("name", builtin.name()));
        let read = match builtin {
            Some(builtin) => {
                let base = beneath(&table, builtin);
                built_upon(builtin, table.over(&base), around)
            }
            None => own(table, around),
        };
        only_one_of_its_name(&read, &rules);
        rules.push(read);
    }
    if rules.is_empty() {
        let rule = Rule { notify: around.notifiers.to_vec(), ..default_rule() };
        rules.push(RuleRead { rule, table: None, steps: Vec::new() });
    }
    rules
}

/// The built-in rules in use, each with the word that says so.
fn used<'a>(root: &Table<'a>) -> Vec<(Item<'a>, &'static Builtin)> {
    let mut used: Vec<(Item<'a>, &'static Builtin)> = Vec::new();
    root.read("use", |item| {
        item.set("names of built-in rules", |item| {
            let name = item.text()?;
            let chosen = chosen(&name);
            if chosen.is_empty() {
                item.wrong(unknown(&name));
                return None;
            }
            for builtin in chosen {
                if used.iter().all(|(_, other)| other.name() != builtin.name()) {
                    used.push((item.clone(), builtin));
                }
            }
            Some(name)
        })
    });
    used
}

/// What `name` in `use` stands for.
fn chosen(name: &str) -> Vec<&'static Builtin> {
    let is_chosen = |builtin: &&Builtin| match name {
        RECOMMENDED => builtin.recommended,
        name => builtin.name() == name || builtin.with.as_deref() == Some(name),
    };
    builtins().iter().filter(is_chosen).collect()
}

fn unknown(name: &str) -> String {
    let near = did_you_mean(name, builtins().iter().map(Builtin::name).chain([RECOMMENDED]));
    let near = if near.is_empty() { "; `secretwatch rules` lists them".to_owned() } else { near };
    format!("there is no built-in rule {}{near}", shown(name))
}

/// What of `builtin` can stand beneath `table`: a rule that becomes a sequence counts in other words.
fn beneath(table: &Table<'_>, builtin: &Builtin) -> Vec<super::tree::Entry> {
    let gives_way = |key: &str| table.item("steps").is_some() && NOT_WITH_STEPS.contains(&key);
    builtin.entries().iter().filter(|entry| !gives_way(&entry.key)).cloned().collect()
}

/// A rule that is a built-in one, or is made of one.
fn built_upon<'a>(builtin: &Builtin, table: Table<'a>, around: Around<'_>) -> RuleRead<'a> {
    let name = builtin.name();
    if let Some(key) = &builtin.needs_key
        && table.item(key).is_none_or(|item| item.is_empty_list())
    {
        table.wrong(key, format!("missing; the rule {name:?} needs it: say it in a [[rule]] of this name"));
    }
    if let Some(source) = &builtin.needs_source
        && !around.poll.event_sources.contains(source)
    {
        let sources: Vec<&String> = around.poll.event_sources.iter().chain([source]).collect();
        table.wrong_itself(format!(
            "the rule {name:?} needs events that are not looked up; write event_sources = {sources:?} in [poll]"
        ));
    }
    rule(table, around)
}

/// A rule of the operator's own. Under the name of a built-in one, it may have been meant to be that.
fn own<'a>(table: Table<'a>, around: Around<'_>) -> RuleRead<'a> {
    let read = rule(table, around);
    if let (Some(table), Some(builtin)) = (&read.table, builtin(&read.rule.name)) {
        let silence = Complaints::default();
        let meant = rule(table.heard_by(&silence).over(&beneath(table, builtin)), around);
        if meant.rule.fingerprint() != read.rule.fingerprint() {
            let name = builtin.name();
            table.warn(
                "name",
                format!(
                    "a built-in rule is called {name:?} too, and plays no part here; name it in `use` if its keys are \
                     meant to hold where this table says nothing, or give this rule another name"
                ),
            );
        }
    }
    read
}

fn only_one_of_its_name(read: &RuleRead<'_>, others: &[RuleRead<'_>]) {
    let name = &read.rule.name;
    if let Some(item) = read.table.as_ref().and_then(|table| table.item("name"))
        && !name.is_empty()
        && others.iter().any(|other| other.rule.name == *name)
    {
        item.wrong(format!("another rule is called {} already; give each its own name", shown(name)));
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

/// What `table` says.
pub(super) fn rule<'a>(table: Table<'a>, around: Around<'_>) -> RuleRead<'a> {
    table.refuse_the_rest();
    let bare = bare_rule(around.notifiers);
    let mut rule = Rule {
        name: table.required("name", "give the rule a name").and_then(|item| item.name()).unwrap_or_default(),
        description: table.read("description", Item::filled),
        severity: table.read("severity", severity).unwrap_or(bare.severity),
        runbook: table.read("runbook", |item| item.text_like("an http or https URL", is_http_url)),
        notify: table.read("notify", |item| notify(item, around.notifiers)).unwrap_or(bare.notify),
        condition: condition(&table),
        hold: table.read("hold", |item| seconds(item, 0)).unwrap_or(bare.hold),
        update_every: table.read("update_every", |item| seconds(item, 0)).unwrap_or(bare.update_every),
        ..bare
    };
    let mut steps = Vec::new();
    match table.item("steps") {
        Some(item) => steps = sequence(&mut rule, &table, &item),
        None => {
            (rule.statistic, rule.threshold) = measure(&table);
            rule.window = table.read("window", |item| seconds(item, 1)).unwrap_or(rule.window);
            if let Some(item) = table.item("within") {
                item.wrong("only together with steps; the window of this rule is window");
            }
            table.read("first_seen", |item| first_seen(&mut rule, &table, item, around.poll));
        }
    }
    if let Some(group_by) = table.read("group_by", |item| item.set("keys", group_key)) {
        rule.group_by = group_by;
    }
    RuleRead { rule, table: Some(table), steps }
}

/// What is counted, and how much of it is enough.
pub(super) fn measure(table: &Table<'_>) -> (Statistic, u64) {
    let statistic = table.read("statistic", statistic).unwrap_or(Statistic::Sum);
    (statistic, table.read("threshold", Item::count).unwrap_or(1))
}

/// The severities, by their words.
pub(super) fn severity(item: &Item<'_>) -> Option<Severity> {
    item.choice(&Severity::ALL.map(|severity| (severity.word(), severity)))
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

pub(super) fn group_key(item: &Item<'_>) -> Option<GroupKey> {
    item.choice(&GroupKey::ALL.map(|key| (key.word(), key)))
}

/// A list of notifiers; an empty one means all of them, as everywhere.
pub(super) fn notify(item: &Item<'_>, notifiers: &[String]) -> Option<Vec<String>> {
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

pub(super) fn seconds(item: &Item<'_>, least: u64) -> Option<i64> {
    let duration = item.whole_seconds(Duration::from_secs(least), ENDLESS)?;
    i64::try_from(duration.as_secs()).ok()
}

fn is_http_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
