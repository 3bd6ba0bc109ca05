//! `secretwatch rules`: the built-in rules, what they fire on and why, and how each is written.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Exit, Format, print};
use crate::config::{Builtin, RECOMMENDED, brief, builtin, builtins, did_you_mean};
use crate::detect::{Condition, GroupKey, Rule, Statistic};
use crate::model::group_key_words;

/// Columns of a line, at most.
const WIDTH: usize = 100;

/// Columns before the text of a rule.
const INDENT: usize = 4;

/// Lists all built-in rules, or shows those called `names`.
pub(super) fn rules(names: &[String], format: Format) -> Result<Exit, Exit> {
    let chosen = chosen(names)?;
    print(|out| match format {
        Format::Json => writeln!(out, "{:#}", Value::from(chosen.iter().map(|it| as_json(it)).collect::<Vec<_>>())),
        Format::Text if names.is_empty() => list(out, &chosen),
        Format::Text => chosen.iter().enumerate().try_for_each(|(place, builtin)| {
            if place > 0 {
                writeln!(out)?;
            }
            written(out, builtin)
        }),
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Builtin>, Exit> {
    let is_known = |name: &String| name == RECOMMENDED || builtin(name).is_some();
    for name in names.iter().filter(|name| !is_known(name)) {
        let near = did_you_mean(name, builtins().iter().map(Builtin::name).chain([RECOMMENDED]));
        eprintln!("secretwatch: there is no built-in rule {name:?}{near}");
    }
    if !names.iter().all(is_known) {
        return Err(Exit::Usage);
    }
    let is_chosen = |it: &&Builtin| {
        names.is_empty() || names.iter().any(|name| name == it.name() || it.recommended && name == RECOMMENDED)
    };
    Ok(builtins().iter().filter(is_chosen).collect())
}

fn list(out: &mut dyn Write, builtins: &[&Builtin]) -> std::io::Result<()> {
    for builtin in builtins {
        let recommended = if builtin.recommended { ", recommended" } else { "" };
        writeln!(out, "{} ({}, {}{recommended})", builtin.name(), builtin.rule.severity.word(), builtin.technique)?;
        paragraph(out, &format!("{}.", description(&builtin.rule)))?;
        paragraph(out, &format!("Fires on {}.", fires_on(builtin)))?;
        paragraph(out, &builtin.reason)?;
        for needed in needs(builtin) {
            paragraph(out, &needed)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "To use some: `use = [\"recommended\"]`, or their names, at the top of the configuration.")?;
    writeln!(out, "To see how one is written: `secretwatch rules NAME`.")
}

fn written(out: &mut dyn Write, builtin: &Builtin) -> std::io::Result<()> {
    for line in wrapped(&format!("{} ({})", builtin.reason, builtin.technique), WIDTH - 2) {
        writeln!(out, "# {line}")?;
    }
    out.write_all(builtin.toml().as_bytes())
}

fn as_json(builtin: &Builtin) -> Value {
    json!({
        "name": builtin.name(),
        "description": description(&builtin.rule),
        "severity": builtin.rule.severity.word(),
        "fires_on": fires_on(builtin),
        "technique": builtin.technique,
        "recommended": builtin.recommended,
        "reason": builtin.reason,
        "comes_with": builtin.with,
        "needs_key": builtin.needs_key,
        "needs_event_source": builtin.needs_source,
        "toml": builtin.toml(),
    })
}

fn description(rule: &Rule) -> &str {
    rule.description.as_deref().unwrap_or_default()
}

/// What has to be there besides the name.
fn needs(builtin: &Builtin) -> Vec<String> {
    let key = builtin.needs_key.as_ref().map(|key| format!("Needs {key}, in a [[rule]] of this name."));
    let source = builtin.needs_source.as_ref().map(|source| format!("Needs {source:?} among poll.event_sources."));
    let with = builtin.with.as_ref().map(|with| format!("Comes with {with}."));
    [key, source, with].into_iter().flatten().collect()
}

/// What a rule fires on, in words: how much of what, in what time, and by whom.
fn fires_on(builtin: &Builtin) -> String {
    let rule = &builtin.rule;
    let which = builtin.which.as_ref().map(|which| format!(" {which}")).unwrap_or_default();
    let group = match rule.group_by.as_slice() {
        [] => "of all together".to_owned(),
        keys => format!("for one {}", listed(keys, " and ")),
    };
    let window = seconds(rule.window);
    if let Some(news) = &rule.first_seen {
        let (of, memory) = (listed(&news.of, " and "), seconds(news.memory));
        return format!("each {}{which} with {of} not seen together for {memory}, {group}", meant(&rule.condition));
    }
    let what = if rule.steps.is_empty() {
        amount("each", rule.statistic, rule.threshold, &rule.condition) + &which
    } else {
        let steps = rule.steps.iter().map(|step| amount("one", step.statistic, step.threshold, &step.condition));
        steps.collect::<Vec<_>>().join(", then ")
    };
    match rule.goal() {
        1 => format!("{what}, {group}"),
        _ => format!("{what}, within {window} {group}"),
    }
}

/// How much of what; `single` is the word where one is enough.
fn amount(single: &str, statistic: Statistic, threshold: u64, condition: &Condition) -> String {
    let meant = meant(condition);
    match (statistic, threshold) {
        (Statistic::Sum, 1) => format!("{single} {meant}"),
        (Statistic::Sum, _) => format!("{threshold} times {meant}"),
        (Statistic::Distinct(key), _) => format!("{threshold} different {}s by {meant}", spoken(&key)),
    }
}

fn meant(condition: &Condition) -> String {
    let events = if condition.events.is_empty() { "event".to_owned() } else { condition.events.join(" or ") };
    let outcome = condition.outcome.map(|outcome| format!(" ({})", outcome.word())).unwrap_or_default();
    format!("{events}{outcome}")
}

fn listed(keys: &[GroupKey], between: &str) -> String {
    keys.iter().map(spoken).collect::<Vec<_>>().join(between)
}

fn spoken(key: &GroupKey) -> &'static str {
    group_key_words(key.word())
}

fn seconds(secs: i64) -> String {
    brief(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}

fn paragraph(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    wrapped(text, WIDTH - INDENT).iter().try_for_each(|line| writeln!(out, "{:INDENT$}{line}", ""))
}

/// `text` in lines of at most `width` columns, where its words allow that.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
