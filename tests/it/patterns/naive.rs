//! Patterns and records made from dice, and what the ones mean for the others, worked out the slow way.
//!
//! A [`Json`] is a tree, written as text with whatever white space and escapes the dice choose; an [`Expr`] is written
//! as a pattern. [`Expr::holds`] looks at the tree and never at a text, so it shares nothing with the program but the
//! meaning. [`Dice`] are bytes, and an end of them means the smallest choice: property tests and fuzzers throw the same
//! ones.

use std::fmt::Write as _;

/// Bytes that choose.
pub(crate) struct Dice<'a>(pub(crate) &'a [u8]);

impl Dice<'_> {
    /// A number below `sides`, which is at most 256.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % sides
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// Names that members may have; few, and some more often than others, so that selectors find them.
const NAMES: [&str; 12] = ["a", "a", "a", "a", "b", "b", "c", "é", "", "a.b", "k\\\"q", "😀"];

/// What texts are made of.
const PIECES: [&str; 16] = ["a", "b", "ab", "c", "1", "5", ".", "-", " ", "\"", "\\", "\n", "é", "😀", "true", "null"];

const NUMBERS: [&str; 12] = ["0", "5", "5.0", "50e-1", "-5", "1", "1.5", "1e3", "1000", "-0", "12", "1e999"];

pub(crate) enum Json {
    Null,
    Truth(bool),
    Number(&'static str),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(crate) fn object(dice: &mut Dice<'_>) -> Self {
        Self::Object(Self::members(dice, 3))
    }

    fn members(dice: &mut Dice<'_>, depth: usize) -> Vec<(&'static str, Self)> {
        (0..=dice.roll(5)).map(|_| (dice.choose(&NAMES), Self::any(dice, depth))).collect()
    }

    fn any(dice: &mut Dice<'_>, depth: usize) -> Self {
        match dice.roll(if depth == 0 { 6 } else { 9 }) {
            0 => Self::Null,
            1 => Self::Truth(dice.roll(2) == 1),
            2 => Self::Number(dice.choose(&NUMBERS)),
            3 => Self::Text(dice.choose(&NUMBERS).to_owned()),
            4 | 5 => Self::Text(text(dice)),
            6 => Self::List((0..dice.roll(4)).map(|_| Self::any(dice, depth - 1)).collect()),
            _ => Self::Object(Self::members(dice, depth - 1)),
        }
    }

    pub(crate) fn write(&self, dice: &mut Dice<'_>, to: &mut String) {
        space(dice, to);
        match self {
            Self::Null => to.push_str("null"),
            Self::Truth(truth) => to.push_str(if *truth { "true" } else { "false" }),
            Self::Number(number) => to.push_str(number),
            Self::Text(text) => quote(text, dice, to),
            Self::List(elements) => {
                to.push('[');
                for (at, element) in elements.iter().enumerate() {
                    to.push_str(if at > 0 { "," } else { "" });
                    element.write(dice, to);
                }
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    to.push_str(if at > 0 { "," } else { "" });
                    space(dice, to);
                    quote(name, dice, to);
                    space(dice, to);
                    to.push(':');
                    value.write(dice, to);
                }
                to.push('}');
            }
        }
        space(dice, to);
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::List(elements) => elements.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    fn step(&self, step: &Step) -> Vec<&Self> {
        match (self, step) {
            (_, Step::Every) => self.children(),
            (Self::List(elements), Step::Element(index)) => elements.get(*index).into_iter().collect(),
            (Self::Object(members), Step::Member(wanted)) => {
                members.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

fn text(dice: &mut Dice<'_>) -> String {
    (0..dice.roll(4)).map(|_| dice.choose(&PIECES)).collect()
}

fn space(dice: &mut Dice<'_>, to: &mut String) {
    to.push_str(dice.choose(&["", "", "", " ", "\n\t", "\r"]));
}

fn quote(text: &str, dice: &mut Dice<'_>, to: &mut String) {
    to.push('"');
    for c in text.chars() {
        match (c, dice.roll(4)) {
            ('"' | '\\', 0..=2) => {
                to.push('\\');
                to.push(c);
            }
            ('\n', 0..=2) => to.push_str("\\n"),
            (_, 3) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(to, "\\u{unit:04x}").expect("a string takes text");
                }
            }
            _ => to.push(c),
        }
    }
    to.push('"');
}

pub(crate) enum Expr {
    One(Clause),
    All(Vec<Expr>),
    Any(Vec<Expr>),
}

pub(crate) struct Clause {
    selector: Vec<Step>,
    test: Test,
}

enum Step {
    Member(&'static str),
    Element(usize),
    Every,
}

enum Test {
    Equals(Value),
    Differs(Value),
    /// The operator and the limit.
    Order(&'static str, &'static str),
    IsNull,
    Is(bool),
    NotExists,
}

enum Value {
    Text(String),
    Number(&'static str),
    /// As CloudWatch has it, and as the `regex` crate has it.
    Regex(&'static str, &'static str),
}

const REGEXES: [(&str, &str); 8] = [
    ("a", "a"),
    ("^a.?b$", r"(?s)\Aa.?b\z"),
    (r"\d+", "[0-9]+"),
    ("[^ab]", "[^ab]"),
    ("a|5$", r"a|5\z"),
    (r"\x22|\\", r#""|\\"#),
    ("^.{2}$", r"(?s)\A.{2}\z"),
    (r"[\s\d-]{,2}c", r"[-\t\n\r 0-9]{0,2}c"),
];

/// What a pattern may still have of what is limited.
struct Budget {
    regexes: usize,
    wildcards: usize,
}

impl Expr {
    pub(crate) fn any(dice: &mut Dice<'_>) -> Self {
        Self::nested(dice, 2, &mut Budget { regexes: 2, wildcards: 3 })
    }

    fn nested(dice: &mut Dice<'_>, depth: usize, budget: &mut Budget) -> Self {
        let parts = |dice: &mut Dice<'_>, budget: &mut Budget| {
            (0..2 + dice.roll(2)).map(|_| Self::nested(dice, depth - 1, budget)).collect()
        };
        match dice.roll(if depth == 0 { 1 } else { 4 }) {
            0 | 1 => Self::One(Clause::any(dice, budget)),
            2 => Self::All(parts(dice, budget)),
            _ => Self::Any(parts(dice, budget)),
        }
    }

    pub(crate) fn write(&self, dice: &mut Dice<'_>) -> String {
        let space = dice.choose(&["", " ", "  "]);
        format!("{space}{{{space}{}{space}}}{space}", self.inside(dice, 0))
    }

    /// `level` is how tightly the surroundings bind: nothing, `||`, `&&`.
    fn inside(&self, dice: &mut Dice<'_>, level: usize) -> String {
        let (own, sign, parts) = match self {
            Self::One(clause) => (3, "", vec![clause.write(dice)]),
            Self::Any(parts) => (1, "||", parts.iter().map(|part| part.inside(dice, 2)).collect()),
            Self::All(parts) => (2, "&&", parts.iter().map(|part| part.inside(dice, 3)).collect()),
        };
        let space = dice.choose(&[" ", "", "  "]);
        // Before a sign, space keeps a value that has no quotes from going on.
        let written = parts.join(&format!(" {sign}{space}"));
        if own < level || dice.roll(4) == 3 { format!("({space}{written}{space})") } else { written }
    }

    pub(crate) fn holds(&self, record: &Json) -> bool {
        match self {
            Self::One(clause) => clause.holds(record),
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
        }
    }

    /// Whether it holds if its clauses, in the order in which they are written, hold as said.
    pub(crate) fn follows(&self, holds: &mut impl Iterator<Item = bool>) -> bool {
        // Every part takes its share, also when the result is known.
        let mut count = |parts: &[Self]| parts.iter().filter(|part| part.follows(holds)).count();
        match self {
            Self::All(parts) => count(parts) == parts.len(),
            Self::Any(parts) => count(parts) > 0,
            Self::One(_) => holds.next().expect("one for each clause"),
        }
    }

    pub(crate) fn clauses(&self) -> Vec<&Clause> {
        match self {
            Self::One(clause) => vec![clause],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::clauses).collect(),
        }
    }
}

impl Clause {
    fn any(dice: &mut Dice<'_>, budget: &mut Budget) -> Self {
        let mut selector = Vec::new();
        let mut wildcard = false;
        for _ in 0..dice.choose(&[1, 1, 1, 2, 2, 3]) {
            selector.push(match dice.roll(8) {
                7 if !wildcard && budget.wildcards > 0 => {
                    wildcard = true;
                    budget.wildcards -= 1;
                    Step::Every
                }
                6 => Step::Element(dice.roll(3)),
                _ => Step::Member(dice.choose(&NAMES)),
            });
        }
        Self { selector, test: Test::any(dice, budget) }
    }

    fn write(&self, dice: &mut Dice<'_>) -> String {
        let mut written = "$".to_owned();
        for step in &self.selector {
            written.push_str(&match step {
                Step::Member(name @ ("a" | "b" | "c" | "é")) if dice.roll(3) < 2 => format!(".{name}"),
                Step::Member(name) if name.contains('"') => format!(".['{name}']"),
                Step::Member(name) => format!("{}[\"{name}\"]", dice.choose(&[".", ""])),
                Step::Element(index) => format!("[{index}]"),
                Step::Every => dice.choose(&[".*", "[*]"]).to_owned(),
            });
        }
        let space = dice.choose(&[" ", "", "  "]);
        match &self.test {
            Test::Equals(value) => format!("{written}{space}={space}{}", value.write(dice)),
            Test::Differs(value) => format!("{written}{space}!={space}{}", value.write(dice)),
            Test::Order(operator, limit) => format!("{written}{space}{operator}{space}{limit}"),
            Test::IsNull => format!("{written} IS  NULL"),
            Test::Is(true) => format!("{written} IS TRUE"),
            Test::Is(false) => format!("{written} is false"),
            Test::NotExists => format!("{written} NOT EXISTS"),
        }
    }

    pub(crate) fn holds(&self, record: &Json) -> bool {
        let chosen = self.chosen(record);
        match self.test {
            Test::NotExists => chosen.is_empty(),
            _ => chosen.into_iter().any(|value| self.test.passes(value)),
        }
    }

    /// The values that the selector means.
    pub(crate) fn chosen<'a>(&self, record: &'a Json) -> Vec<&'a Json> {
        let mut chosen = vec![record];
        for step in &self.selector {
            chosen = chosen.into_iter().flat_map(|value| value.step(step)).collect();
        }
        chosen
    }
}

impl Test {
    fn any(dice: &mut Dice<'_>, budget: &mut Budget) -> Self {
        match dice.roll(12) {
            0..4 => Self::Equals(Value::any(dice, budget)),
            4..6 => Self::Differs(Value::any(dice, budget)),
            6..8 => Self::Order(dice.choose(&["<", "<=", ">", ">="]), dice.choose(&NUMBERS)),
            8 => Self::IsNull,
            9 => Self::Is(dice.roll(2) == 1),
            _ => Self::NotExists,
        }
    }

    fn passes(&self, value: &Json) -> bool {
        match self {
            Self::Equals(wanted) => wanted.is(value),
            Self::Differs(wanted) => !matches!(value, Json::List(_) | Json::Object(_)) && !wanted.is(value),
            Self::Order(operator, limit) => number(value).is_some_and(|number| {
                let limit: f64 = limit.parse().expect("a number");
                match *operator {
                    "<" => number < limit,
                    "<=" => number <= limit,
                    ">" => number > limit,
                    _ => number >= limit,
                }
            }),
            Self::IsNull => matches!(value, Json::Null),
            Self::Is(truth) => matches!(value, Json::Truth(found) if found == truth),
            Self::NotExists => false,
        }
    }
}

impl Value {
    fn any(dice: &mut Dice<'_>, budget: &mut Budget) -> Self {
        match dice.roll(8) {
            0 => Self::Number(dice.choose(&NUMBERS)),
            1 if budget.regexes > 0 => {
                budget.regexes -= 1;
                let (ours, theirs) = dice.choose(&REGEXES);
                Self::Regex(ours, theirs)
            }
            2 => Self::Text(dice.choose(&NUMBERS).to_owned()),
            3 => Self::Text(format!("{}*{}", text(dice), text(dice))),
            4 => Self::Text(format!("*{}*", text(dice))),
            _ => Self::Text(text(dice)),
        }
    }

    fn write(&self, dice: &mut Dice<'_>) -> String {
        match self {
            Self::Number(number) => (*number).to_owned(),
            Self::Regex(ours, _) => format!("%{ours}%"),
            Self::Text(text) => {
                let is_number = NUMBERS.contains(&text.as_str());
                let is_plain = text.chars().all(|c| c.is_alphanumeric() || "*.-".contains(c));
                let reads_as_text = !text.is_empty() && is_plain && !is_number && text.parse::<f64>().is_err();
                if reads_as_text && dice.roll(2) == 1 {
                    return text.clone();
                }
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }

    fn is(&self, value: &Json) -> bool {
        let text = match value {
            Json::Number(written) => (*written).to_owned(),
            Json::Truth(truth) => truth.to_string(),
            Json::Text(text) => text.clone(),
            Json::Null | Json::List(_) | Json::Object(_) => return false,
        };
        match self {
            Self::Number(wanted) => number(value) == Some(wanted.parse().expect("a number")),
            Self::Text(glob) => glob_matches(&glob.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>()),
            Self::Regex(_, theirs) => regex::Regex::new(theirs).expect("a regular expression").is_match(&text),
        }
    }
}

fn glob_matches(glob: &[char], text: &[char]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skipped| glob_matches(rest, &text[skipped..])),
        Some((c, rest)) => text.first() == Some(c) && glob_matches(rest, &text[1..]),
    }
}

fn number(value: &Json) -> Option<f64> {
    let written = match value {
        Json::Number(written) => (*written).to_owned(),
        Json::Text(text) => text.clone(),
        _ => return None,
    };
    // JSON's own idea of a number, but for numbers too large for it, which the dice have one of.
    if written == "1e999" {
        return Some(f64::INFINITY);
    }
    let value: serde_json::Value = serde_json::from_str(&written).ok()?;
    value.is_number().then(|| written.trim().parse().ok())?.filter(|_| written.trim() == written)
}
