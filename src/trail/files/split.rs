//! Splits the text of a log file into its records without parsing them.
//!
//! CloudTrail writes `{"Records":[{…},{…}]}`, without a blank between the records, and nearly all of them are of no
//! interest. [`Split::of`] follows quotes and braces, which is enough to know where each record begins and ends and
//! whether an `eventSource` is the record's own; what only looks like one, in a user agent or in somebody's request,
//! stands in a string or deeper. A record is passed over if it names its service once, in plain text, and that one is
//! not wanted. All others are told, wanted or doubtful: whoever parses them will know.
//!
//! Any other shape of text is none of its business, and is left to `content`: blanks between records, members besides
//! `Records`, a list with something else in it, a text that ends early. What is *not* seen is nonsense within a record
//! that is passed over, as long as its quotes and braces match. That is why only text that comes out of an undamaged
//! gzip is split: its checksum says that it is what its writer wrote.

use std::ops::Range;

use memchr::{memchr2, memmem};

use super::blocks::{BLOCK, Marks, Visitor, between, each_block};
use super::wanted::Wanted;

/// How every log file begins.
const HEAD: &[u8] = br#"{"Records":["#;

/// The member that names the service, and where its `S` stands.
const KEY: &[u8] = br#""eventSource""#;
const S: usize = 6;

/// The longest name of a service that is looked at; longer ones are doubtful.
const LONGEST_NAME: usize = 256;

/// The records of one log file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// How many there are.
    pub(super) records: u64,
    /// Those that may be wanted: which one of the file, from 1, and where it stands.
    pub(super) candidates: Vec<(u64, Range<usize>)>,
}

impl Split {
    /// The records of `text`, if it is a log file as CloudTrail writes them.
    pub(super) fn of(text: &[u8], wanted: &Wanted) -> Option<Self> {
        let end = HEAD.len();
        let mut scan = Scan {
            text,
            wanted,
            split: Self::default(),
            is_whole: false,
            depth: 0,
            in_string: 0,
            quotes: 0,
            is_escaped: false,
            has_backslash: false,
            record: Record { start: end, service: Service::Unknown, has_backslash: false },
            end,
        };
        if text.starts_with(HEAD) {
            each_block(text, &mut scan);
        }
        scan.is_whole.then_some(scan.split)
    }
}

/// What is known half-way.
struct Scan<'t> {
    text: &'t [u8],
    wanted: &'t Wanted,
    split: Split,
    /// Whether the text was a log file to its end.
    is_whole: bool,
    /// Braces that are open: two within a record, one between records.
    depth: usize,
    /// All ones while a block begins within a string.
    in_string: u64,
    /// The quotes of the block before.
    quotes: u64,
    /// Whether a block begins with the second character of an escape.
    is_escaped: bool,
    /// Whether this block has a backslash.
    has_backslash: bool,
    record: Record,
    /// Where the last record ended, or the first may begin.
    end: usize,
}

/// The record that is being looked at.
struct Record {
    start: usize,
    service: Service,
    has_backslash: bool,
}

/// What a record has said so far of its service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Nothing.
    Unknown,
    /// That it is one which is not wanted.
    Other,
    /// More than one thing, or something that is not plain, or that it is wanted.
    Perhaps,
}

impl Visitor for Scan<'_> {
    #[inline(always)]
    fn block(&mut self, at: usize, block: &[u8; BLOCK], marks: Marks) -> bool {
        let mut quotes = marks.quotes;
        self.has_backslash = marks.has_backslash;
        if marks.has_backslash || self.is_escaped {
            quotes &= !self.escaped(block);
        }
        let inside = between(quotes) ^ self.in_string;
        self.in_string = if inside >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
        // An S in a string, with a quote where that of the key would be: in the block before, if need be.
        let keys = marks.esses & inside & (quotes << S | self.quotes >> (BLOCK - S));
        self.quotes = quotes;

        let (opens, closes) = (marks.opens & !inside, marks.closes & !inside);
        let closed = closes.count_ones() as usize;
        // Most blocks neither end a record nor hold a key, and how deep they end is a matter of counting.
        if keys == 0 && self.depth >= closed + 2 {
            self.depth = self.depth + opens.count_ones() as usize - closed;
            self.record.has_backslash |= self.has_backslash;
            return true;
        }
        self.marks(at, opens | closes | keys)
    }
}

impl Scan<'_> {
    /// The characters of `block` that follow a backslash and so mean something else.
    fn escaped(&mut self, block: &[u8; BLOCK]) -> u64 {
        let mut escaped = 0;
        for (at, byte) in block.iter().enumerate() {
            if std::mem::take(&mut self.is_escaped) {
                escaped |= 1 << at;
            } else {
                self.is_escaped = *byte == b'\\';
            }
        }
        escaped
    }

    /// Goes from mark to mark of the block at `at`; false: the text has ended, well or not.
    #[inline(never)]
    fn marks(&mut self, at: usize, mut marks: u64) -> bool {
        self.record.has_backslash |= self.has_backslash;
        while marks != 0 {
            let mark = at + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            let goes_on = match self.text[mark] {
                b'{' => self.opened(mark),
                b'}' => self.closed(mark),
                _ => {
                    self.key(mark);
                    true
                }
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn opened(&mut self, at: usize) -> bool {
        self.depth += 1;
        if self.depth != 2 {
            return true;
        }
        // The block's backslashes may be this record's.
        self.record = Record { start: at, service: Service::Unknown, has_backslash: self.has_backslash };
        match self.split.records {
            0 => at == self.end,
            _ => &self.text[self.end..at] == b",",
        }
    }

    fn closed(&mut self, at: usize) -> bool {
        self.depth -= 1;
        match self.depth {
            0 => {
                let tail = &self.text[at + 1..];
                let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                self.is_whole = &self.text[self.end..at] == b"]" && tail.iter().all(is_blank);
                false
            }
            1 => {
                self.end = at + 1;
                self.split.records += 1;
                if !self.is_ruled_out() {
                    self.split.candidates.push((self.split.records, self.record.start..self.end));
                }
                true
            }
            _ => true,
        }
    }

    /// Whether the record that has just ended is certainly not wanted. A name can be written in escapes, and then be
    /// `eventSource` without looking like it.
    fn is_ruled_out(&self) -> bool {
        let record = &self.text[self.record.start..self.end];
        self.record.service == Service::Other && !(self.record.has_backslash && memmem::find(record, br"\u").is_some())
    }

    /// Takes note of the record's own `eventSource`, if that is what the `S` at `at` belongs to.
    fn key(&mut self, at: usize) {
        let Some(behind) = self.text[at - S..].strip_prefix(KEY) else { return };
        if self.depth != 2 {
            return;
        }
        let names_another = behind.strip_prefix(b":\"").is_some_and(|value| self.is_other(value));
        self.record.service = match self.record.service {
            Service::Unknown if names_another => Service::Other,
            _ => Service::Perhaps,
        };
    }

    /// Whether the text that begins at `value` is the name of a service that is not wanted.
    fn is_other(&self, value: &[u8]) -> bool {
        let within = &value[..value.len().min(LONGEST_NAME)];
        let end = memchr2(b'"', b'\\', within).filter(|end| within[*end] == b'"');
        end.is_some_and(|end| self.wanted.rules_out(&within[..end]))
    }
}
