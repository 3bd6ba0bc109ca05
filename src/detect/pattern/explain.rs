//! Why a pattern matches a record or does not: each of its parts, with what the record has there.

use crate::model::printable;

use super::compare::{Comparison, Record};
use super::terms::{Role, Term, Terms};
use super::{Form, Logic, Pattern};

/// Characters of the record that a clause shows.
const MAX_EXCERPT: usize = 120;

/// Bytes that are shown on either side of what a term found.
const AROUND: usize = 24;

/// One comparison or term of a pattern, asked about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// As written.
    pub text: String,
    /// What the record has there: for a comparison the value as JSON, for a term the place where it stands. None if
    /// there is nothing. At most 120 characters.
    pub found: Option<String>,
    /// Whether this part of the pattern holds, whatever the others do.
    pub holds: bool,
    /// Whether it plays no part: AWS ignores `?` terms beside others.
    pub ignored: bool,
}

impl Pattern {
    /// Every comparison or term, in the order in which they were written.
    #[must_use]
    pub fn explain(&self, record: &str) -> Vec<Clause> {
        match &self.form {
            Form::Terms(terms) => terms.iter().map(|term| term_clause(term, terms, record)).collect(),
            Form::Json(fields, logic) => {
                let mut clauses = Vec::new();
                let record = fields.of(record);
                logic.for_each(&mut |comparison| clauses.push(comparison_clause(comparison, record.as_ref())));
                clauses
            }
        }
    }
}

impl Logic {
    pub(super) fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a Comparison)) {
        match self {
            Self::One(comparison) => visit(comparison),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.for_each(visit)),
        }
    }
}

fn comparison_clause(comparison: &Comparison, record: Option<&Record<'_>>) -> Clause {
    let found = record.and_then(|record| comparison.found(record));
    Clause {
        text: comparison.text.clone(),
        found: found.map(|value| printable(value.as_written(), MAX_EXCERPT)),
        holds: record.is_some_and(|record| comparison.holds(record)),
        ignored: false,
    }
}

fn term_clause(term: &Term, terms: &Terms, record: &str) -> Clause {
    Clause {
        text: term.text.clone(),
        found: term.find(record).map(|place| {
            let from = record.floor_char_boundary(place.start.saturating_sub(AROUND));
            let to = record.ceil_char_boundary(place.end.saturating_add(AROUND).min(record.len()));
            printable(&record[from..to], MAX_EXCERPT)
        }),
        holds: term.holds(record),
        ignored: term.role == Role::Optional && terms.ignores_optional(),
    }
}
