//! Which accesses are meant: the keys that `[[rule]]`, a step of a sequence and `[[allow]]` have in common.

use std::collections::BTreeMap;

use super::events::in_other_capitals;
use super::problem::shown;
use super::table::{Item, Table};
use crate::detect::{Condition, Globs, Pattern};
use crate::model::Outcome;

/// The condition that `table` says.
pub(super) fn condition(table: &Table<'_>) -> Condition {
    let globs = |key| table.read(key, |item| globs(item, Globs::new)).unwrap_or_default();
    Condition {
        events: table.read("events", |item| item.set("event names", event)).unwrap_or_default(),
        outcome: table.read("outcome", outcome).unwrap_or_default(),
        secrets: table.read("secrets", |item| self::globs(item, Globs::of_secrets)).unwrap_or_default(),
        secret_tags: table.read("secret_tags", secret_tags).unwrap_or_default(),
        principals: globs("principals"),
        exclude_principals: globs("exclude_principals"),
        pattern: table.read("pattern", pattern),
    }
}

fn event(item: &Item<'_>) -> Option<String> {
    const EXPECTED: &str = "an event's name such as \"GetSecretValue\", without a service and without wildcards";
    let text = item.text_like(EXPECTED, |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()))?;
    match in_other_capitals(&text) {
        Some(event) => {
            item.wrong(format!("no event is called {text:?}, did you mean {event:?}?"));
            None
        }
        None => Some(text),
    }
}

fn outcome(item: &Item<'_>) -> Option<Option<Outcome>> {
    let named = [Outcome::Success, Outcome::Denied, Outcome::Failed].map(|outcome| (outcome.word(), Some(outcome)));
    let [success, denied, failed] = named;
    item.choice(&[success, denied, failed, ("any", None)])
}

/// Each tag with one glob over its value, or several.
fn secret_tags(item: &Item<'_>) -> Option<BTreeMap<String, Globs>> {
    let mut tags = BTreeMap::new();
    for (tag, item) in item.entries()? {
        let values = if item.is_list() {
            globs(&item, Globs::new)
        } else {
            glob(&item).and_then(|text| compiled(&item, &[text], Globs::new))
        };
        if item.is_empty_list() {
            item.wrong("must not be empty: no value would be right; \"*\" is any");
        }
        tags.extend(values.map(|values| (tag, values)));
    }
    Some(tags)
}

fn pattern(item: &Item<'_>) -> Option<Pattern> {
    let pattern =
        Pattern::parse(&item.text()?).map_err(|error| item.wrong_inside(error.column, &error.message)).ok()?;
    if let Some(why) = pattern.never_matches() {
        item.wrong(format!("can never match: {why}"));
    }
    pattern.warnings().into_iter().for_each(|doubt| item.warn(doubt));
    Some(pattern)
}

/// How globs are compiled.
type Compile = fn(&[String]) -> Result<Globs, globset::Error>;

fn globs(item: &Item<'_>, compile: Compile) -> Option<Globs> {
    compiled(item, &item.set("globs", glob)?, compile)
}

fn compiled(item: &Item<'_>, texts: &[String], compile: Compile) -> Option<Globs> {
    match compile(texts) {
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
