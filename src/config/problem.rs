//! What is wrong with a configuration, in the style of a compiler: `file:line:column: key: what and what to do`.
//!
//! While a configuration is read, problems are [`Complaints`] at an [`Origin`], which for the file is a byte offset.
//! [`Problems`] is what the caller gets: all of them, in the order of the file, each on a line of its own. What is
//! right but hardly meant is a warning, and comes with the configuration; beside problems there are none, since half of
//! what they would judge by is missing.

use std::cell::RefCell;
use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// At this byte of the text.
    Text(usize),
    /// In the environment variable of this name.
    Variable(String),
}

/// Where a problem lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the text.
    Text {
        /// What the text is called: the file's path, or the variable that holds the whole of it.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In the environment variable of this name.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong. Shown on one line, and never with the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The path of the key, such as `rule[0].window`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong and what to do about it.
    pub text: String,
    /// Whether the configuration is right all the same.
    pub warning: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if self.warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration; at least one problem, a line each, by position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them, by position.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// A text that is not even UTF-8: `text` is what comes before the first byte that is none.
    pub(super) fn no_text(file: &str, text: &str) -> Self {
        let place = Lines::of(text).place(file, text.len());
        let text = "not UTF-8; TOML files are".to_owned();
        Self(vec![Problem { place, key: String::new(), text, warning: false }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

/// Collects problems while the readers walk the tree. Shared by all of them, hence the cells.
#[derive(Default)]
pub(super) struct Complaints {
    wrong: RefCell<Vec<Complaint>>,
    doubtful: RefCell<Vec<Complaint>>,
}

/// Where, about which key, and what.
type Complaint = (Origin, String, String);

impl Complaints {
    /// Notes that the value of `key` at `origin` is wrong.
    pub(super) fn add(&self, origin: &Origin, key: &str, text: impl Into<String>) {
        self.wrong.borrow_mut().push((origin.clone(), key.to_owned(), text.into()));
    }

    /// Notes that the value of `key` at `origin` is hardly what was meant.
    pub(super) fn warn(&self, origin: &Origin, key: &str, text: impl Into<String>) {
        self.doubtful.borrow_mut().push((origin.clone(), key.to_owned(), text.into()));
    }

    /// The warnings if everything is right, else the problems; sorted, and with lines and columns.
    pub(super) fn verdict(self, file: &str, text: &str) -> Result<Vec<Problem>, Problems> {
        let lines = Lines::of(text);
        let placed = |found: RefCell<Vec<Complaint>>, warning| {
            let mut found = found.into_inner();
            found.sort();
            found.dedup();
            let problem = |(origin, key, text)| Problem { place: lines.place_of(file, origin), key, text, warning };
            found.into_iter().map(problem).collect::<Vec<Problem>>()
        };
        let wrong = placed(self.wrong, false);
        if wrong.is_empty() { Ok(placed(self.doubtful, true)) } else { Err(Problems(wrong)) }
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn place_of(&self, file: &str, origin: Origin) -> Place {
        match origin {
            Origin::Text(offset) => self.place(file, offset),
            Origin::Variable(name) => Place::Variable(name),
        }
    }

    /// The place of the byte at `offset`; an offset beyond the text is its end.
    fn place(&self, file: &str, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place::Text { file: file.to_owned(), line, column: before.chars().count() + 1 }
    }
}

/// `text` as it can stand in a problem: quoted, on one line, and not endless.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
