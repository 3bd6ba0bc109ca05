//! Filter patterns as CloudWatch Logs has them, so that people can paste the one that they have today.
//!
//! A [`Pattern`] is parsed once, with a [`PatternError`] that points at a column, and then asked about records. There are
//! two forms: terms (`GetSecretValue -AccessDenied`), which look at the record's text as it is written, and JSON
//! (`{ $.eventName = "GetSecretValue" && $.errorCode NOT EXISTS }`). AWS's third form, `[a, b]`, is for lines of words and
//! is refused.

mod compare;
mod explain;
mod parse;
mod regex;
mod scan;
mod terms;

use compare::Comparison;
pub use explain::Clause;
use scan::Value;
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
    Json(Logic),
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
            Form::Json(logic) => Value::whole(record).is_some_and(|record| logic.holds(record)),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Logic {
    fn holds(&self, record: Value<'_>) -> bool {
        match self {
            Self::One(comparison) => comparison.holds(record),
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
        }
    }
}
