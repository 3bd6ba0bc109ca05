//! One comparison of the JSON form: a [`Selector`] chooses values of the record, a [`Test`] says which of them will do.
//!
//! A comparison holds if a chosen value passes the test; only a selector with a wildcard chooses more than one. So a
//! comparison of something absent never holds, `!=` included.
//!
//! Most of a record is skipped over on the way to a value, and patterns compare one field with ten names. So the
//! [`Fields`] that a pattern begins with are found in one pass, which makes a [`Record`], and selectors go on from there.

use std::fmt;

use super::regex::Regex;
use super::scan::{Kind, Text, Value, is_number};

/// `SELECTOR OP VALUE`.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// As written.
    pub(super) text: String,
    pub(super) selector: Selector,
    pub(super) test: Test,
}

/// Which values of a record are meant.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    /// Which of the pattern's [`Fields`] the path begins with.
    pub(super) field: Option<usize>,
    /// From the record to the value, or to what has the wildcard's children.
    pub(super) path: Vec<Step>,
    /// From each child to a value, if there is a wildcard.
    pub(super) each: Option<Vec<Step>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equals(Wanted),
    Differs(Wanted),
    Order(Order, f64),
    IsNull,
    Is(bool),
    NotExists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Fields that are found in one pass; a selector that begins with another one goes its way alone.
const MAX_FIELDS: usize = 16;

/// The members of the record that a pattern's selectors begin with.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<String>);

/// One record, and where it has the fields of a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    whole: Value<'a>,
    fields: [Option<Value<'a>>; MAX_FIELDS],
}

/// The value on the right side.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Text(Glob),
    Number(f64),
    Regex(Regex),
}

impl Fields {
    /// The place of `name` among the fields; none if there are too many.
    pub(super) fn place(&mut self, name: &str) -> Option<usize> {
        let known = self.0.iter().position(|known| known == name);
        known.or_else(|| {
            (self.0.len() < MAX_FIELDS).then(|| {
                self.0.push(name.to_owned());
                self.0.len() - 1
            })
        })
    }

    /// Where `record` has them; none if it is empty.
    pub(super) fn of<'a>(&self, record: &'a str) -> Option<Record<'a>> {
        let whole = Value::whole(record)?;
        let mut fields = [None; MAX_FIELDS];
        for (key, value) in whole.children() {
            let Some(key) = key else { break };
            if let Some(place) = self.0.iter().position(|name| key.is(name)) {
                fields[place] = Some(value);
            }
        }
        Some(Record { whole, fields })
    }
}

impl Comparison {
    pub(super) fn holds(&self, record: &Record<'_>) -> bool {
        match self.test {
            Test::NotExists => !self.selector.any(record, |_| true),
            _ => self.selector.any(record, |value| self.passes(value)),
        }
    }

    /// What the record has there: a value that passes, or else the first.
    pub(super) fn found<'a>(&self, record: &Record<'a>) -> Option<Value<'a>> {
        let mut first = None;
        let mut passing = None;
        self.selector.any(record, |value| {
            first = first.or(Some(value));
            passing = self.passes(value).then_some(value);
            passing.is_some()
        });
        passing.or(first)
    }

    fn passes(&self, value: Value<'_>) -> bool {
        value.kind().is_some_and(|kind| self.test.passes(kind))
    }
}

impl Selector {
    /// Whether one of the chosen values is `wanted`.
    fn any<'a>(&self, record: &Record<'a>, mut wanted: impl FnMut(Value<'a>) -> bool) -> bool {
        let mut will_do = |value: Value<'a>| value.kind().is_some() && wanted(value);
        let end = match self.field {
            Some(field) => record.fields[field].and_then(|value| walk(value, &self.path[1..])),
            None => walk(record.whole, &self.path),
        };
        match (end, &self.each) {
            (None, _) => false,
            (Some(value), None) => will_do(value),
            (Some(parent), Some(rest)) => {
                parent.children().any(|(_, child)| walk(child, rest).is_some_and(&mut will_do))
            }
        }
    }
}

fn walk<'a>(from: Value<'a>, path: &[Step]) -> Option<Value<'a>> {
    path.iter().try_fold(from, |value, step| match step {
        Step::Member(name) => value.member(name),
        Step::Element(index) => value.element(*index),
    })
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.path.iter().try_for_each(|step| write!(f, "{step}"))?;
        match &self.each {
            None => Ok(()),
            Some(rest) => {
                f.write_str("[*]")?;
                rest.iter().try_for_each(|step| write!(f, "{step}"))
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(index) => write!(f, "[{index}]"),
            Self::Member(name) if name.chars().all(is_of_a_name) => write!(f, ".{name}"),
            Self::Member(name) => write!(f, ".['{name}']"),
        }
    }
}

/// What a name is made of that needs no brackets.
pub(super) fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

impl Test {
    pub(super) fn passes(&self, kind: Kind<'_>) -> bool {
        match self {
            Self::Equals(wanted) => wanted.is(kind),
            Self::Differs(wanted) => !matches!(kind, Kind::Container) && !wanted.is(kind),
            Self::Order(order, limit) => number_of(kind).is_some_and(|number| order.holds(number, *limit)),
            Self::IsNull => matches!(kind, Kind::Null),
            Self::Is(truth) => matches!(kind, Kind::Truth(found) if found == *truth),
            Self::NotExists => false,
        }
    }
}

impl Order {
    pub(super) fn holds(self, number: f64, limit: f64) -> bool {
        match self {
            Self::Less => number < limit,
            Self::AtMost => number <= limit,
            Self::Greater => number > limit,
            Self::AtLeast => number >= limit,
        }
    }
}

impl Wanted {
    fn is(&self, kind: Kind<'_>) -> bool {
        match self {
            Self::Number(wanted) => number_of(kind).is_some_and(|number| number == *wanted),
            Self::Text(glob) => match kind {
                Kind::Text(text) => glob.matches(text),
                _ => literal(kind).is_some_and(|written| glob.matches_plain(written)),
            },
            Self::Regex(regex) => match kind {
                Kind::Text(text) => regex.matches(text),
                _ => literal(kind).is_some_and(|written| regex.matches_plain(written)),
            },
        }
    }
}

/// How a number or a truth value is written.
fn literal(kind: Kind<'_>) -> Option<&str> {
    match kind {
        Kind::Number(written) => Some(written),
        Kind::Truth(true) => Some("true"),
        Kind::Truth(false) => Some("false"),
        Kind::Null | Kind::Text(_) | Kind::Container => None,
    }
}

/// A number, or a text that is written like one.
fn number_of(kind: Kind<'_>) -> Option<f64> {
    match kind {
        Kind::Number(written) => written.parse().ok(),
        Kind::Text(text) => match text.plain() {
            Some(plain) => number(plain),
            None => escaped_number(text),
        },
        Kind::Null | Kind::Truth(_) | Kind::Container => None,
    }
}

/// Whoever escapes digits does it on purpose, but a number it is.
fn escaped_number(text: Text<'_>) -> Option<f64> {
    /// More than any number needs.
    const MAX_BYTES: usize = 64;
    let mut digits = [0; MAX_BYTES];
    let mut length = 0;
    for c in text.chars() {
        *digits.get_mut(length)? = u8::try_from(c).ok()?;
        length += 1;
    }
    number(std::str::from_utf8(&digits[..length]).ok()?)
}

/// `text` as a number, if it is written as JSON would, but for a plus sign that may stand before it.
pub(super) fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text);
    is_number(unsigned).then(|| unsigned.parse().ok())?
}

/// A text in which each `*` stands for any text, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    first: String,
    /// What stands after each `*`.
    rest: Vec<String>,
}

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = text.split('*').map(str::to_owned);
        Self { first: pieces.next().unwrap_or_default(), rest: pieces.collect() }
    }

    /// The one text that it matches, if it has no wildcard.
    pub(super) fn literal(&self) -> Option<&str> {
        self.rest.is_empty().then_some(&self.first)
    }

    /// Whether it matches any text.
    pub(super) fn is_everything(&self) -> bool {
        !self.rest.is_empty() && self.first.is_empty() && self.rest.iter().all(String::is_empty)
    }

    /// Whether it certainly matches whatever `narrower` matches: it has to match its wildcards by wildcards of its own,
    /// which is so if it matches it with a character there that it does not have.
    pub(super) fn covers(&self, narrower: &Self) -> bool {
        const NOWHERE: &str = "\0";
        let pieces = || std::iter::once(&self.first).chain(&self.rest);
        let text = std::iter::once(&narrower.first).chain(&narrower.rest).map(String::as_str).collect::<Vec<_>>();
        pieces().all(|piece| !piece.contains(NOWHERE)) && self.matches_plain(&text.join(NOWHERE))
    }

    /// Whether a text could begin and end as both ask.
    pub(super) fn might_agree(&self, other: &Self) -> bool {
        let last = |glob: &Self| glob.rest.last().unwrap_or(&glob.first).clone();
        let (mine, others) = (last(self), last(other));
        let beginnings = self.first.starts_with(&other.first) || other.first.starts_with(&self.first);
        beginnings && (mine.ends_with(&others) || others.ends_with(&mine))
    }

    fn matches(&self, text: Text<'_>) -> bool {
        match text.plain() {
            Some(plain) => self.matches_plain(plain),
            None => self.matches_escaped(text),
        }
    }

    pub(super) fn matches_plain(&self, text: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else { return text == self.first };
        let Some(mut rest) = text.strip_prefix(self.first.as_str()) else { return false };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }

    /// The same, over characters that exist one at a time.
    fn matches_escaped(&self, text: Text<'_>) -> bool {
        let mut rest = text.chars();
        let Some((last, middle)) = self.rest.split_last() else { return rest.eq(self.first.chars()) };
        if !eat(&mut rest, &self.first) {
            return false;
        }
        for piece in middle {
            while !eat(&mut rest, piece) {
                if rest.next().is_none() {
                    return false;
                }
            }
        }
        last.is_empty() || std::iter::successors(Some(rest), next_suffix).any(|suffix| suffix.eq(last.chars()))
    }
}

/// Goes past `piece`, or stays.
fn eat(text: &mut super::scan::Unescaped<'_>, piece: &str) -> bool {
    let mut ahead = text.clone();
    let ate = piece.chars().all(|c| ahead.next() == Some(c));
    if ate {
        *text = ahead;
    }
    ate
}

fn next_suffix<'a>(text: &super::scan::Unescaped<'a>) -> Option<super::scan::Unescaped<'a>> {
    let mut shorter = text.clone();
    shorter.next().map(|_| shorter)
}
