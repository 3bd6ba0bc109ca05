//! The configuration as a tree of values, each of which knows where it was written.
//!
//! [`parse`] makes it from TOML, and [`overlay`] lays the variables `SECRETWATCH__SECTION__KEY` over it, so that the
//! readers need not know which of the two a value came from. What a variable's text means depends on what is wanted of
//! it, so it stays [`Value::Untyped`] until somebody asks.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{DIGEST, HEARTBEAT, NOTIFIER, POLL, ROOT, STATUS, Section, did_you_mean};
use super::load::Environment;
use super::problem::{Complaints, Origin};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
    /// Whether it is a string that stands in the text character by character, behind one quotation mark.
    pub(super) plain: bool,
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Whatever its size: at the end of the type where it does not fit.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A date, a time or both, as TOML writes them.
    Datetime(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// The text of a variable: TOML of the type that is wanted if it can be read as that, else simply a text.
    Untyped(String),
}

impl Value {
    /// What it is called in a problem. The value itself is not shown, since it may be a secret at the wrong place.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Untyped(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// A value that no text holds as it is.
    pub(super) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value, plain: false }
    }

    /// The same, standing where `origin` says, and so all that is in it.
    pub(super) fn moved_to(&self, origin: &Origin) -> Self {
        let value = match &self.value {
            Value::List(nodes) => Value::List(nodes.iter().map(|node| node.moved_to(origin)).collect()),
            Value::Table(entries) => Value::Table(entries.iter().map(|entry| entry.moved_to(origin)).collect()),
            value => value.clone(),
        };
        Self::new(origin.clone(), value)
    }

    /// The value where a text is wanted.
    pub(super) fn text(&self) -> Cow<'_, Value> {
        match &self.value {
            Value::Untyped(raw) => match from_variable(raw, &self.origin) {
                Some(value @ Value::Text(_)) => Cow::Owned(value),
                _ => Cow::Owned(Value::Text(raw.clone())),
            },
            value => Cow::Borrowed(value),
        }
    }

    /// The value where anything but a text is wanted.
    pub(super) fn typed(&self) -> Cow<'_, Value> {
        match &self.value {
            Value::Untyped(raw) => {
                Cow::Owned(from_variable(raw, &self.origin).unwrap_or_else(|| Value::Text(raw.clone())))
            }
            value => Cow::Borrowed(value),
        }
    }
}

impl Entry {
    /// The same, standing where `origin` says.
    pub(super) fn moved_to(&self, origin: &Origin) -> Self {
        Self { key: self.key.clone(), origin: origin.clone(), node: self.node.moved_to(origin) }
    }
}

/// Lays `over` over `base`, tables in them alike; what only `base` has then stands where `origin` says.
pub(super) fn laid_over(base: &[Entry], over: Vec<Entry>, origin: &Origin) -> Vec<Entry> {
    let mut laid: Vec<Entry> = base.iter().map(|entry| entry.moved_to(origin)).collect();
    for mut entry in over {
        let Some(there) = laid.iter_mut().find(|there| there.key == entry.key) else {
            laid.push(entry);
            continue;
        };
        if let (Value::Table(base), Value::Table(over)) = (&there.node.value, &mut entry.node.value) {
            *over = laid_over(base, std::mem::take(over), &entry.node.origin);
        }
        *there = entry;
    }
    laid
}

/// Reads `text` as TOML. Where it is none, there is no tree: what a parser guesses behind a mistake would only give
/// complaints about things that nobody wrote. A key that is there twice is harmless in that respect.
pub(super) fn parse(text: &str, complaints: &Complaints) -> Option<Vec<Entry>> {
    const HARMLESS: &str = "duplicate key";
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        complaints.add(&Origin::Text(at), "", error.message());
    }
    let sound = errors.iter().all(|error| error.message() == HARMLESS);
    sound.then(|| entries(table.get_ref(), &Origin::Text))
}

/// Turns a place in the parsed text into a place in what the operator wrote.
type Locate<'a> = dyn Fn(usize) -> Origin + 'a;

fn from_variable(raw: &str, origin: &Origin) -> Option<Value> {
    let parsed = DeValue::parse(raw).ok()?;
    Some(value(parsed.get_ref(), &|_| origin.clone()))
}

fn entries(table: &DeTable<'_>, locate: &Locate<'_>) -> Vec<Entry> {
    let entry = |(key, spanned): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().clone().into_owned(),
        origin: locate(key.span().start),
        node: node(spanned, locate),
    };
    table.iter().map(entry).collect()
}

fn node(spanned: &Spanned<DeValue<'_>>, locate: &Locate<'_>) -> Node {
    /// A quotation mark before and one behind.
    const MARKS: usize = 2;
    let value = value(spanned.get_ref(), locate);
    // Escapes and longer marks would make the value longer in the text.
    let plain = matches!(&value, Value::Text(text) if spanned.span().len() == text.len() + MARKS);
    Node { origin: locate(spanned.span().start), value, plain }
}

fn value(parsed: &DeValue<'_>, locate: &Locate<'_>) -> Value {
    match parsed {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => {
            let end = if integer.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
            Value::Integer(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(end))
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(array) => Value::List(array.iter().map(|element| node(element, locate)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, locate)),
    }
}

/// What the names of all variables begin with that set a key.
const PREFIX: &str = "SECRETWATCH__";

/// Lays the variables over the tree. A variable stands for the key as if the file had said it; one that sets no key is
/// a complaint.
pub(super) fn overlay(root: &mut Vec<Entry>, env: &Environment, complaints: &Complaints) {
    for (name, raw) in env.beginning_with(PREFIX) {
        let origin = Origin::Variable(name.to_owned());
        let Some(raw) = raw.to_str() else {
            complaints.add(&origin, "", "not UTF-8");
            continue;
        };
        let path = name[PREFIX.len()..].to_lowercase();
        let node = Node::new(origin.clone(), Value::Untyped(raw.to_owned()));
        if let Err(why) = (Setting { root, path: &path, node }).apply() {
            complaints.add(&origin, "", why);
        }
    }
}

/// One variable on its way into the tree.
struct Setting<'a> {
    root: &'a mut Vec<Entry>,
    /// The variable's name, without what they all begin with, in small letters.
    path: &'a str,
    node: Node,
}

impl Setting<'_> {
    fn apply(self) -> Result<(), String> {
        let (section, rest) = match self.path.split_once("__") {
            Some((section, rest)) => (section, Some(rest)),
            None => (self.path, None),
        };
        match (section, rest) {
            ("account" | "rule" | "allow", _) => Err(format!(
                "no variable sets a key of [[{section}]]; SECRETWATCH_CONFIG_TOML can hold a whole file as text"
            )),
            ("poll" | "digest" | "heartbeat" | "status" | "notify", None) => Err(format!(
                "{section} is a table; set its keys one by one, as in {PREFIX}{}__KEY",
                section.to_uppercase()
            )),
            ("poll", Some(key)) => self.in_table("poll", &POLL, key),
            ("digest", Some(key)) => self.in_table("digest", &DIGEST, key),
            ("heartbeat", Some(key)) => self.in_table("heartbeat", &HEARTBEAT, key),
            ("status", Some(key)) => self.in_table("status", &STATUS, key),
            ("notify", Some(rest)) => match rest.rsplit_once("__") {
                Some((name, key)) => self.in_notifier(name, key),
                None => Err(format!("names no notifier; write {PREFIX}NOTIFY__NAME__{}", rest.to_uppercase())),
            },
            (key, None) => {
                known(&ROOT, "", key)?;
                put(self.root, key, self.node)
            }
            (section, Some(_)) => Err(format!("unknown section {section:?}{}", did_you_mean(section, SECTIONS))),
        }
    }

    fn in_table(self, name: &str, section: &Section, key: &str) -> Result<(), String> {
        known(section, &format!("{name}."), key)?;
        match table(self.root, name, &self.node.origin) {
            Some(entries) => put(entries, key, self.node),
            None => Ok(()),
        }
    }

    fn in_notifier(self, name: &str, key: &str) -> Result<(), String> {
        known(&NOTIFIER, "notify.NAME.", key)?;
        let Some(notifiers) = table(self.root, "notify", &self.node.origin) else { return Ok(()) };
        let meant: Vec<String> =
            notifiers.iter().map(|entry| &entry.key).filter(|key| as_in_variable(key) == name).cloned().collect();
        let name = match meant.as_slice() {
            [] if name.contains("__") => return Err(format!("unknown notifier {name:?}")),
            [] => name.to_owned(),
            [one] => one.clone(),
            [one, other, ..] => return Err(format!("may mean the notifier {one:?} as well as {other:?}; rename one")),
        };
        match table(notifiers, &name, &self.node.origin) {
            Some(entries) => put(entries, key, self.node),
            None => Ok(()),
        }
    }
}

/// The sections whose keys variables can set.
const SECTIONS: [&str; 5] = ["poll", "notify", "digest", "heartbeat", "status"];

/// A notifier's name as it stands in a variable, in small letters.
fn as_in_variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn known(section: &Section, prefix: &str, key: &str) -> Result<(), String> {
    if section.keys.contains(&key) {
        return Ok(());
    }
    Err(format!("unknown key {:?}{}", format!("{prefix}{key}"), did_you_mean(key, section.keys.iter().copied())))
}

/// The table `key` among `entries`, begun if it is not there; none if something else is there, of which the reader will
/// complain.
fn table<'a>(entries: &'a mut Vec<Entry>, key: &str, origin: &Origin) -> Option<&'a mut Vec<Entry>> {
    let index = entries.iter().position(|entry| entry.key == key).unwrap_or(entries.len());
    if index == entries.len() {
        let node = Node::new(origin.clone(), Value::Table(Vec::new()));
        entries.push(Entry { key: key.to_owned(), origin: origin.clone(), node });
    }
    match entries.get_mut(index).map(|entry| &mut entry.node.value) {
        Some(Value::Table(inner)) => Some(inner),
        _ => None,
    }
}

/// Sets `key` to `node`, unless another variable, spelled otherwise, has done so.
fn put(entries: &mut Vec<Entry>, key: &str, node: Node) -> Result<(), String> {
    let entry = Entry { key: key.to_owned(), origin: node.origin.clone(), node };
    match entries.iter_mut().find(|entry| entry.key == key) {
        Some(Entry { origin: Origin::Variable(other), .. }) => Err(format!("{other} sets the same key")),
        Some(there) => {
            *there = entry;
            Ok(())
        }
        None => {
            entries.push(entry);
            Ok(())
        }
    }
}
