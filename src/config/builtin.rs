//! The built-in rules: `builtin.toml`, which is part of the program, and what can be said of each.
//!
//! They are ordinary rules, read by the ordinary reader, so that what they do can be copied, and any key of theirs laid
//! over. What is fixed here is only which keys give way to which.

use std::sync::LazyLock;

use super::check::poll;
use super::keys::{CATALOGUE, POLL, RULE};
use super::load::Environment;
use super::problem::{Complaints, Problems};
use super::rules::{Around, rule};
use super::table::{Item, Table};
use super::tree::{Entry, Node, Value, parse};
use crate::detect::Rule;

/// The file of the built-in rules.
const TEXT: &str = include_str!("builtin.toml");

/// The rule that is in force where nothing is written.
const DEFAULT: &str = "secret-is-accessed";

/// Keys of a rule that cannot stand beside `steps`.
pub(super) const NOT_WITH_STEPS: [&str; 4] = ["statistic", "threshold", "window", "first_seen"];

/// The table of a rule that says what the rule itself does not, and how it begins.
const CATALOGUE_KEY: &str = "catalogue";
const CATALOGUE_HEADER: &str = "\n[rule.catalogue]\n";

/// How a rule begins.
const RULE_HEADER: &str = "\n[[rule]]\n";

static BUILTINS: LazyLock<Vec<Builtin>> =
    LazyLock::new(|| read(TEXT).expect("the built-in rules are right, as a test has found"));

/// A rule that can be used by its name.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// The rule, without notifiers; what it needs may be missing.
    pub rule: Rule,
    /// Why anybody wants to know.
    pub reason: String,
    /// Which of the events count, in words, where their names do not say it.
    pub which: Option<String>,
    /// Its technique in MITRE ATT&CK.
    pub technique: String,
    /// Whether it is one of `use = ["recommended"]`.
    pub recommended: bool,
    /// The rule that brings it along.
    pub with: Option<String>,
    /// The key that must be set for it.
    pub needs_key: Option<String>,
    /// The event source that must be looked up for it.
    pub needs_source: Option<String>,
    entries: Vec<Entry>,
    toml: String,
}

impl Builtin {
    /// The rule's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.rule.name
    }

    /// The rule as one would write it.
    #[must_use]
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// The keys of the rule.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// All built-in rules, in the order of the documentation.
#[must_use]
pub fn builtins() -> &'static [Builtin] {
    &BUILTINS
}

/// The built-in rule of this name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    builtins().iter().find(|builtin| builtin.name() == name)
}

/// What is watched for when no rule is written.
pub(super) fn default_rule() -> Rule {
    builtin(DEFAULT)
        .map(|builtin| builtin.rule.clone())
        .expect("the default rule is a built-in one, as a test has found")
}

/// The rules of `text`, or what is wrong with it.
fn read(text: &str) -> Result<Vec<Builtin>, Problems> {
    let complaints = Complaints::default();
    let poll = poll(&Table::new(&POLL, "poll", Vec::new(), &complaints), &Environment::default());
    let around = Around { notifiers: &[], poll: &poll };
    let rules = rules_of(parse(text, &complaints).unwrap_or_default());
    let texts = text.split(RULE_HEADER).skip(1).map(|rule| rule.split(CATALOGUE_HEADER).next().unwrap_or_default());
    let builtins = rules.into_iter().zip(texts).map(|(mut entries, text)| {
        let catalogue = entries.extract_if(.., |entry| entry.key == CATALOGUE_KEY).map(|entry| entry.node).next();
        let about = Table::new(&CATALOGUE, CATALOGUE_KEY, catalogue.map(entries_of).unwrap_or_default(), &complaints);
        let rule = rule(Table::new(&RULE, "rule", entries.clone(), &complaints), around).rule;
        one(rule, &about, entries, text)
    });
    let builtins = builtins.collect();
    complaints.verdict("builtin.toml", text).map(|_| builtins)
}

/// The tables of the rules.
fn rules_of(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let rules = entries.into_iter().filter(|entry| entry.key == "rule").map(|entry| entry.node.value);
    let nodes = rules.flat_map(|rules| if let Value::List(nodes) = rules { nodes } else { Vec::new() });
    nodes.map(entries_of).collect()
}

fn entries_of(node: Node) -> Vec<Entry> {
    if let Value::Table(entries) = node.value { entries } else { Vec::new() }
}

fn one(rule: Rule, about: &Table<'_>, entries: Vec<Entry>, text: &str) -> Builtin {
    about.refuse_the_rest();
    let text_of =
        |key| about.required(key, "the catalogue shows it").and_then(|item| item.filled()).unwrap_or_default();
    let text_if_any = |key| about.read(key, Item::filled);
    Builtin {
        reason: text_of("reason").trim().to_owned(),
        which: text_if_any("which"),
        technique: text_of("technique"),
        recommended: about.read("recommended", Item::boolean).unwrap_or(false),
        with: text_if_any("with"),
        needs_key: text_if_any("needs_key"),
        needs_source: text_if_any("needs_source"),
        toml: format!("[[rule]]\n{}\n", text.trim()),
        entries,
        rule,
    }
}
