//! The typed reader: tables and values that complain where they are wrong, and go on.
//!
//! A [`Table`] gives an [`Item`] for a key, and an item gives itself as a text, a duration, a count, a list. What
//! cannot be had that way is `None`, with the complaint already made, so that a caller simply goes on with the default
//! and all mistakes come out in one run. [`Table::refuse_the_rest`] complains of the keys that nobody can ask for.

use std::time::Duration;

use super::duration::{LONGEST, brief, parse};
use super::keys::{Section, did_you_mean, home_of};
use super::problem::{Complaints, Origin, alternatives, shown};
use super::tree::{Entry, Node, Value, laid_over};

/// The keys of one table of the configuration.
pub(super) struct Table<'a> {
    section: &'static Section,
    path: String,
    origin: Origin,
    entries: Vec<Entry>,
    complaints: &'a Complaints,
}

/// One value, with its path for problems. It owns the value, because what a variable holds is no part of the tree
/// before somebody says what is wanted of it.
#[derive(Clone)]
pub(super) struct Item<'a> {
    path: String,
    node: Node,
    complaints: &'a Complaints,
}

impl<'a> Table<'a> {
    /// A table of these entries, of which what is missing is missed at the beginning of the text.
    pub(super) fn new(section: &'static Section, path: &str, entries: Vec<Entry>, complaints: &'a Complaints) -> Self {
        Self { section, path: path.to_owned(), origin: Origin::Text(0), entries, complaints }
    }

    /// The table with what it does not say itself from `base`, as if that stood where the table does.
    pub(super) fn over(mut self, base: &[Entry]) -> Self {
        self.entries = laid_over(base, self.entries, &self.origin);
        self
    }

    /// The table with other complaints.
    pub(super) fn heard_by<'b>(&self, complaints: &'b Complaints) -> Table<'b> {
        let Self { section, path, origin, entries, .. } = self;
        Table { section, path: path.clone(), origin: origin.clone(), entries: entries.clone(), complaints }
    }

    /// Where it stands, such as `rule[0]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The value of `key`, if it is set.
    pub(super) fn item(&self, key: &str) -> Option<Item<'a>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is not in the table of known keys");
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item { path: join(&self.path, key), node: entry.node.clone(), complaints: self.complaints })
    }

    /// Whether the value of `key` is this text.
    pub(super) fn says(&self, key: &str, text: &str) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.key == key);
        entries.any(|entry| matches!(&entry.node.value, Value::Text(value) if value == text))
    }

    /// The value of `key` as `read` has it; none if it is not set or wrong.
    pub(super) fn read<T>(&self, key: &str, read: impl FnOnce(&Item<'a>) -> Option<T>) -> Option<T> {
        self.item(key).as_ref().and_then(read)
    }

    /// The value of a key that must be set.
    pub(super) fn required(&self, key: &str, why: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.wrong(key, format!("missing; {why}"));
        }
        item
    }

    /// The table `key`; one without keys if it is not set.
    pub(super) fn section(&self, key: &str, section: &'static Section) -> Table<'a> {
        self.read(key, |item| item.table(section)).unwrap_or_else(|| Table {
            section,
            path: join(&self.path, key),
            origin: self.origin.clone(),
            entries: Vec::new(),
            complaints: self.complaints,
        })
    }

    /// The elements of the array of tables `key`.
    pub(super) fn tables(&self, key: &str, section: &'static Section) -> Vec<Table<'a>> {
        let elements = self.read(key, |item| item.list(&format!("[[{key}]] tables"))).unwrap_or_default();
        elements.iter().filter_map(|element| element.table(section)).collect()
    }

    /// Complains that `key`, which is not there, is wrong.
    pub(super) fn wrong(&self, key: &str, text: impl Into<String>) {
        self.complaints.add(&self.origin, &join(&self.path, key), text);
    }

    /// Complains of the table as a whole.
    pub(super) fn wrong_itself(&self, text: impl Into<String>) {
        self.complaints.add(&self.origin, &self.path, text);
    }

    /// Warns of `key`, or where it is not there, of the table.
    pub(super) fn warn(&self, key: &str, text: impl Into<String>) {
        match self.item(key) {
            Some(item) => item.warn(text),
            None => self.complaints.warn(&self.origin, &join(&self.path, key), text),
        }
    }

    /// Complains of every key that is unknown here.
    pub(super) fn refuse_the_rest(&self) {
        for entry in &self.entries {
            let key = entry.key.as_str();
            if !self.section.keys.contains(&key) {
                self.complaints.add(&entry.origin, &join(&self.path, key), self.unknown(key));
            }
        }
    }

    /// Complains of every key of `keys` that is set, as one that `what` does not have.
    pub(super) fn none_of(&self, keys: &[&str], what: &str) {
        for entry in self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str())) {
            self.complaints.add(
                &entry.origin,
                &join(&self.path, &entry.key),
                format!("not a key of {what}; remove it"),
            );
        }
    }

    fn unknown(&self, key: &str) -> String {
        let near = did_you_mean(key, self.section.keys.iter().copied());
        if !near.is_empty() {
            return format!("unknown key{near}");
        }
        match home_of(key) {
            Some(home) => format!("unknown key here; it belongs to {home}"),
            None => format!("unknown key; known here: {}", self.section.keys.join(", ")),
        }
    }
}

impl<'a> Item<'a> {
    /// Complains of this value.
    pub(super) fn wrong(&self, text: impl Into<String>) {
        self.complaints.add(&self.node.origin, &self.path, text);
    }

    /// Complains of the character of this string that is the `column`th, from 1: at its place, if that can be told.
    pub(super) fn wrong_inside(&self, column: usize, text: &str) {
        let within =
            |string: &str| string.char_indices().nth(column.saturating_sub(1)).map_or(string.len(), |(at, _)| at);
        match (&self.node.origin, &self.node.value) {
            (Origin::Text(begin), Value::Text(string)) if self.node.plain => {
                self.complaints.add(&Origin::Text(begin + 1 + within(string)), &self.path, text);
            }
            _ => self.wrong(format!("column {column} of the text: {text}")),
        }
    }

    /// Warns of this value.
    pub(super) fn warn(&self, text: impl Into<String>) {
        self.complaints.warn(&self.node.origin, &self.path, text);
    }

    /// Complains that it is of another type than `expected`.
    fn mistyped<T>(&self, expected: &str, found: &Value) -> Option<T> {
        self.wrong(format!("expected {expected}, found {}", found.kind()));
        None
    }

    /// A string, perhaps empty.
    pub(super) fn text(&self) -> Option<String> {
        self.string("a string")
    }

    /// A string where something special is expected.
    fn string(&self, expected: &str) -> Option<String> {
        let value = self.node.text();
        match value.as_ref() {
            Value::Text(text) => Some(text.clone()),
            other => self.mistyped(expected, other),
        }
    }

    /// A string that is not empty.
    pub(super) fn filled(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.wrong("must not be empty");
            return None;
        }
        Some(text)
    }

    /// A string that `right` accepts. It is shown in the complaint, so this is not for secrets.
    pub(super) fn text_like(&self, expected: &str, right: impl FnOnce(&str) -> bool) -> Option<String> {
        let text = self.string(expected)?;
        if !right(&text) {
            self.wrong(format!("expected {expected}, found {}", shown(&text)));
            return None;
        }
        Some(text)
    }

    /// A string that is not empty and stays on one line.
    pub(super) fn line(&self) -> Option<String> {
        self.text_like("a text of one line that is not empty", |text| {
            !text.trim().is_empty() && !text.chars().any(char::is_control)
        })
    }

    /// A name of letters, digits, `.`, `_` and `-`.
    pub(super) fn name(&self) -> Option<String> {
        self.text_like(NAME, is_name)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = self.string(&alternatives(&known))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let expected = alternatives(&known);
        self.wrong(format!("expected {expected}, found {}{}", shown(&text), did_you_mean(&text, known)));
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.typed().as_ref() {
            Value::Boolean(boolean) => Some(*boolean),
            other => self.mistyped("true or false", other),
        }
    }

    /// A whole number, at least 1.
    pub(super) fn count(&self) -> Option<u64> {
        match self.node.typed().as_ref() {
            // Held to what TOML itself promises to carry.
            Value::Integer(integer) if (1..=i128::from(i64::MAX)).contains(integer) => u64::try_from(*integer).ok(),
            Value::Integer(integer) => {
                self.wrong(if *integer < 1 { "must be at least 1" } else { "too large" });
                None
            }
            other => self.mistyped("a whole number", other),
        }
    }

    /// A number from `least` to `most`.
    pub(super) fn number(&self, least: f64, most: f64) -> Option<f64> {
        let number = match self.node.typed().as_ref() {
            // An integer that loses digits here is far out of any bounds.
            Value::Integer(integer) => *integer as f64,
            Value::Float(float) => *float,
            other => return self.mistyped("a number", other),
        };
        if !(least..=most).contains(&number) {
            self.wrong(format!("must be at least {least} and at most {most}, found {number}"));
            return None;
        }
        Some(number)
    }

    /// A date or a time, as TOML's own or as a string.
    pub(super) fn date(&self, expected: &str) -> Option<String> {
        match self.node.text().as_ref() {
            Value::Text(text) | Value::Datetime(text) => Some(text.clone()),
            other => self.mistyped(expected, other),
        }
    }

    /// A duration from `least` to `most`.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let text = match self.node.text().as_ref() {
            Value::Text(text) => text.clone(),
            Value::Integer(integer) => {
                self.wrong(format!("expected {DURATION}, found a number without a unit, did you mean \"{integer}s\"?"));
                return None;
            }
            other => return self.mistyped(DURATION, other),
        };
        let Some(duration) = parse(&text) else {
            self.wrong(format!("expected {DURATION}, found {}", shown(&text)));
            return None;
        };
        if duration < least {
            self.wrong(format!("must be at least {}", brief(least)));
        } else if duration > most.min(LONGEST) {
            self.wrong(format!("must be at most {}", brief(most.min(LONGEST))));
        } else {
            return Some(duration);
        }
        None
    }

    /// A duration of whole seconds, as event time has them.
    pub(super) fn whole_seconds(&self, least: Duration, most: Duration) -> Option<Duration> {
        let duration = self.duration(least, most)?;
        if duration.subsec_nanos() != 0 {
            self.wrong("must be whole seconds: CloudTrail's times have no finer ones");
            return None;
        }
        Some(duration)
    }

    /// The elements of an array.
    pub(super) fn list(&self, of: &str) -> Option<Vec<Item<'a>>> {
        match self.node.typed().into_owned() {
            Value::List(nodes) => {
                let element = |(index, node)| self.inner(format!("{}[{index}]", self.path), node);
                Some(nodes.into_iter().enumerate().map(element).collect())
            }
            other => self.mistyped(&format!("an array of {of}"), &other),
        }
    }

    /// The strings in an array, without a complaint of anything else.
    pub(super) fn strings(&self) -> Vec<(Item<'a>, String)> {
        let Value::List(nodes) = self.node.typed().into_owned() else { return Vec::new() };
        let string = |(index, node): (usize, Node)| match node.text().into_owned() {
            Value::Text(text) => Some((self.inner(format!("{}[{index}]", self.path), node), text)),
            _ => None,
        };
        nodes.into_iter().enumerate().filter_map(string).collect()
    }

    /// The elements of an array as `read` has them, no two of them alike. Elements that are wrong are left out.
    pub(super) fn set<T: PartialEq>(&self, of: &str, mut read: impl FnMut(&Item<'a>) -> Option<T>) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for item in self.list(of)? {
            match read(&item) {
                Some(value) if values.contains(&value) => item.wrong("is in this list already; remove it"),
                Some(value) => values.push(value),
                None => {}
            }
        }
        Some(values)
    }

    /// Whether it is an array without elements.
    pub(super) fn is_empty_list(&self) -> bool {
        matches!(self.node.typed().as_ref(), Value::List(nodes) if nodes.is_empty())
    }

    /// Whether it is a table without entries.
    pub(super) fn is_empty_table(&self) -> bool {
        matches!(&self.node.value, Value::Table(entries) if entries.is_empty())
    }

    /// Whether it is an array.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.typed().as_ref(), Value::List(_))
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// The table that it is.
    pub(super) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
        let (path, origin) = (self.path.clone(), self.node.origin.clone());
        match self.node.typed().into_owned() {
            Value::Table(entries) => Some(Table { section, path, origin, entries, complaints: self.complaints }),
            other => self.mistyped("a table", &other),
        }
    }

    /// What `base` says, as if it stood here.
    pub(super) fn stands_for(&self, section: &'static Section, base: &[Entry]) -> Table<'a> {
        let (path, origin) = (self.path.clone(), self.node.origin.clone());
        Table { section, path, origin, entries: Vec::new(), complaints: self.complaints }.over(base)
    }

    /// The entries of a table whose keys are names of the operator's own.
    pub(super) fn entries(&self) -> Option<Vec<(String, Item<'a>)>> {
        match self.node.typed().into_owned() {
            Value::Table(entries) => {
                let item = |entry: Entry| (entry.key.clone(), self.inner(join(&self.path, &entry.key), entry.node));
                Some(entries.into_iter().map(item).collect())
            }
            other => self.mistyped("a table", &other),
        }
    }

    fn inner(&self, path: String, node: Node) -> Item<'a> {
        Item { path, node, complaints: self.complaints }
    }
}

/// What a name must be.
pub(super) const NAME: &str = "a name of letters, digits, '.', '_' and '-'";

/// Whether `text` is a name that can stand in a label, a path and a command line as it is.
pub(super) fn is_name(text: &str) -> bool {
    const LONGEST: usize = 100;
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

const DURATION: &str = "a duration such as \"90s\", \"15m\", \"1h 30m\" or \"7d\" (units: ms, s, m, h, d, w)";

/// `key` below `path`, as TOML writes dotted keys.
fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let key = if bare { key.to_owned() } else { shown(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
