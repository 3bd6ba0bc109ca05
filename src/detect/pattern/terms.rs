//! The term form: texts that the record, as it is written, has to contain or must not contain.

use std::ops::Range;

use memchr::memmem::Finder;

use super::regex::Regex;

/// All terms of a pattern, in the order in which they were written.
#[derive(Clone, Debug)]
pub(super) struct Terms(Vec<Term>);

#[derive(Clone, Debug)]
pub(super) struct Term {
    /// As written.
    pub(super) text: String,
    pub(super) role: Role,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `A`: the record has to contain it.
    Required,
    /// `-A`: the record must not contain it.
    Excluded,
    /// `?A`: the record has to contain one of these.
    Optional,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Made for searching; its tables are large.
    Phrase(Box<Finder<'static>>),
    Regex(Regex),
}

impl Terms {
    pub(super) fn new(terms: Vec<Term>) -> Self {
        Self(terms)
    }

    pub(super) fn matches(&self, record: &str) -> bool {
        if self.ignores_optional() {
            self.0.iter().filter(|term| term.role != Role::Optional).all(|term| term.holds(record))
        } else {
            self.0.iter().any(|term| term.holds(record))
        }
    }

    /// AWS ignores optional terms beside any other term.
    pub(super) fn ignores_optional(&self) -> bool {
        self.0.iter().any(|term| term.role != Role::Optional)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Term> {
        self.0.iter()
    }
}

impl What {
    /// `" "` is AWS's way to say everything, so white space alone asks for nothing.
    pub(super) fn asks_for_nothing(&self) -> bool {
        matches!(self, Self::Phrase(phrase) if phrase.needle().trim_ascii().is_empty())
    }

    pub(super) fn phrase(text: &str) -> Self {
        Self::Phrase(Box::new(Finder::new(text).into_owned()))
    }
}

impl Term {
    pub(super) fn holds(&self, record: &str) -> bool {
        let contained = match &self.what {
            What::Phrase(phrase) => self.what.asks_for_nothing() || phrase.find(record.as_bytes()).is_some(),
            What::Regex(regex) => regex.matches_plain(record),
        };
        contained != (self.role == Role::Excluded)
    }

    /// Where in the record it stands.
    pub(super) fn find(&self, record: &str) -> Option<Range<usize>> {
        match &self.what {
            What::Phrase(phrase) => phrase.find(record.as_bytes()).map(|at| at..at + phrase.needle().len()),
            What::Regex(regex) => regex.find(record),
        }
    }
}
