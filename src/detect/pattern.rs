//! Filter patterns as CloudWatch Logs has them, so that people can paste the one that they have today.
//!
//! A [`Pattern`] is parsed once (`parse`; a [`PatternError`] points at a column) and then asked about records. The JSON
//! form is a [`Logic`] of comparisons (`compare`), each a selector and a test, evaluated on the text of the record
//! without building anything from it (`scan`). The term form (`terms`) looks at that text as it is written. Either may
//! hold regular expressions (`regex`). [`Pattern::explain`] says why a record matches or does not,
//! [`Pattern::never_matches`] and [`Pattern::warnings`] what is wrong with a pattern before a record has come.
//!
//! AWS's third form, `[a, b]`, is for lines of words and is absent: records are JSON.
//!
//! # What AWS says, and what is decided here
//!
//! AWS documents this in "Filter pattern syntax for metric filters". Where that is silent, users have found out some of
//! it, and the rest is decided so that nothing is missed. AWS says:
//!
//! - `?A` beside terms without `?` is ignored. `" "` matches everything. Terms are case-sensitive.
//! - `&&` binds tighter than `||`, brackets tightest. `IS NULL`, `IS TRUE` and `IS FALSE` are about those JSON values.
//!   There is neither `IS NOT` nor `EXISTS`.
//! - A selector that leads to an object or array matches nothing: neither `=` nor `!=` holds. One wildcard in a
//!   selector (`[*]`, `.*`), three selectors with one; names with dots in brackets and quotes, `$.['a.b']`.
//! - `*` stands for any text in strings, and in numbers as they are written: `4*`.
//! - Two regular expressions, of a language without groups; see `regex`.
//!
//! Users have found, and AWS once said:
//!
//! - `!=` does not hold of a field that is absent. People miss alarms for it, so `warnings` speaks of it.
//! - A term is found within words: `ERROR` in `ERRORCODE`.
//!
//! Decided here:
//!
//! - A number that is asked for (`= 5`, `> 5`) is compared, as a double, with a number and with a text written like
//!   one: CloudTrail writes account ids as texts. A text that is asked for (`= "5"`, `= true`) is compared with a text
//!   and with a number or truth value as it is written.
//! - Null is a value that equals nothing, not even `*`, and differs from everything.
//! - A selector with a wildcard holds if one of its values does, for `!=` too; `NOT EXISTS` if there are none. `[*]`
//!   and `.*` are the same. Of members with the same name the last counts, but a wildcard sees them all.
//! - `*` is a wildcard anywhere in a text, not at its ends alone.
//! - Terms look at the record as AWS wrote it, escapes and all. A text in double quotes has `\"` and `\\` as escapes.
//! - Values and terms need no quotes if they are made of letters, digits and `_-.:/@+#`; AWS's own examples go beyond
//!   what AWS says. Operators in words may be written in small letters.

mod compare;
mod explain;
mod hints;
mod mistakes;
mod never;
mod parse;
mod regex;
mod scan;
mod terms;

use compare::{Comparison, Fields, Record};
pub use explain::Clause;
use terms::Terms;

/// A pattern that has been understood.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    form: Form,
}

/// What is wrong with the text of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct PatternError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What was found there, and what would be right.
    pub message: String,
}

#[derive(Clone, Debug)]
enum Form {
    Terms(Terms),
    Json(Fields, Logic),
}

/// Comparisons, in the order in which they were written.
#[derive(Clone, Debug)]
enum Logic {
    One(Comparison),
    All(Vec<Logic>),
    Any(Vec<Logic>),
}

impl Pattern {
    /// What `text` means.
    ///
    /// # Errors
    /// [`PatternError`] at the first place where it means nothing.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        parse::parse(text).map(|form| Self { text: text.to_owned(), form })
    }

    /// Whether the JSON `record` is one that the pattern describes. Nothing is allocated, but for the text of a string
    /// with escapes that is compared with a regular expression.
    #[must_use]
    pub fn matches(&self, record: &str) -> bool {
        match &self.form {
            Form::Terms(terms) => terms.matches(record),
            Form::Json(fields, logic) => fields.of(record).is_some_and(|record| logic.holds(&record)),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Logic {
    fn holds(&self, record: &Record<'_>) -> bool {
        match self {
            Self::One(comparison) => comparison.holds(record),
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
        }
    }
}
