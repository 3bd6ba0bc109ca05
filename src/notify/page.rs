//! Text for people as it grows: paragraphs and labelled values, in lines that a mail or a terminal shows whole.
//!
//! A [`Page`] breaks lines between words and nowhere else, since what is longer than a line is an ARN or an id that
//! somebody will want to copy. Everything goes through [`printable`] on the way in: no text that a record brought along
//! steers a terminal or begins a line of its own.

use crate::model::printable;

/// Columns of a line, where words allow it.
pub(super) const WIDTH: usize = 76;

/// Column at which values begin.
pub(crate) const INDENT: usize = 12;

/// Longest value that is shown, in characters; an ARN may have 2,048, an error message anything.
pub(super) const VALUE_MAX: usize = 400;

/// The text so far.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// An empty line, but never two.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Words from the first column on.
    pub(crate) fn paragraph(&mut self, words: &str) {
        self.wrapped("", 0, words);
    }

    /// A label and its value; without a label, more of the value above. An empty value is left out.
    pub(crate) fn field(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.wrapped(&format!("{label:INDENT$}"), INDENT, value);
        }
    }

    /// `start` and `words`, with lines broken before words that reach beyond the width; `hang` columns begin the next.
    pub(crate) fn wrapped(&mut self, start: &str, hang: usize, words: &str) {
        let shown = printable(words, VALUE_MAX);
        self.wrapped_with(start, hang, "", shown.split(' '));
    }

    /// The same of words that are fit to be shown; `mark` ends a broken line.
    pub(crate) fn wrapped_with<'a>(
        &mut self,
        start: &str,
        hang: usize,
        mark: &str,
        words: impl Iterator<Item = &'a str>,
    ) {
        let mut line = start.to_owned();
        let mut column = start.chars().count();
        let mut fresh = true;
        for word in words {
            let length = word.chars().count();
            if !fresh && column + 1 + length + mark.len() > WIDTH {
                self.line(&(line + mark));
                line = " ".repeat(hang);
                column = hang;
                fresh = true;
            }
            if !fresh {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += length;
            fresh = false;
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}
