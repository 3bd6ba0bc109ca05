//! Finds the records in the text of one file.
//!
//! A file is a sequence of JSON values: one log file, many lines of JSON lines, what `jq` prints. [`Content`] goes from
//! value to value and, behind damage, to the next place where one may begin. [`Value`] is one of them with the objects
//! in it that may be records; a value that holds none, such as a digest file, is passed over in silence.
//!
//! Nothing is parsed into a tree: the candidates are slices of the text, and those in front of an error are kept, which
//! is how a log file that was cut yields its whole records.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::wanted::Wanted;
use super::{Damage, Fault, MAX_DAMAGE_PER_FILE, Origin};
use crate::model::{Object, Text};

/// One file's text, on its way to records.
pub(super) struct Content<'t, 'e> {
    path: &'t Path,
    text: &'t str,
    wanted: &'e Wanted,
    each: &'e mut dyn FnMut(&str, &Origin<'_>),
    records: u64,
    skipped: u64,
    damage: Vec<Damage>,
    damage_untold: u64,
    /// A place in the text and its line, from which later lines are counted.
    counted: (usize, usize),
}

/// Where a sequence of JSON values stops being one.
struct Stop {
    /// Where the damage is.
    at: usize,
    /// From where on something good may follow.
    resume: usize,
    fault: Fault,
}

impl<'t, 'e> Content<'t, 'e> {
    pub(super) fn new(
        path: &'t Path,
        text: &'t str,
        wanted: &'e Wanted,
        each: &'e mut dyn FnMut(&str, &Origin<'_>),
    ) -> Self {
        let (records, skipped) = (0, 0);
        Self { path, text, wanted, each, records, skipped, damage: Vec::new(), damage_untold: 0, counted: (0, 1) }
    }

    /// Reads values as long as there are any. Behind damage, values are looked for at each line that begins with `{`:
    /// so begin the records in JSON lines, and in what `jq` prints, and nothing within a value that is indented.
    ///
    /// `cut` says that the text's end is already known not to be the file's.
    pub(super) fn read(&mut self, cut: bool) {
        let Err(stop) = self.values(0, self.text.len()) else { return };
        let mut next = self.next_object_line(stop.resume);
        self.stopped(stop, next.is_none(), cut);
        while let Some(from) = next {
            next = self.next_object_line(from);
            if let Err(stop) = self.values(from, next.unwrap_or(self.text.len())) {
                self.stopped(stop, next.is_none(), cut);
            }
        }
    }

    /// Notes the damage, unless it is that the text ends and that is known. A value that is open where the next one
    /// begins is not a file that was cut.
    fn stopped(&mut self, stop: Stop, at_end: bool, cut: bool) {
        let fault = match stop.fault {
            Fault::Cut if at_end && cut => return,
            Fault::Cut if !at_end => Fault::NotJson,
            fault => fault,
        };
        let line = self.line(stop.at);
        self.damaged(Some(line), fault);
    }

    /// Where the next line begins that begins with `{`, at or after `from` but for a line that begins there.
    fn next_object_line(&self, from: usize) -> Option<usize> {
        let from = self.text.floor_char_boundary(from);
        self.text[from..].find("\n{").map(|at| from + at + 1)
    }

    /// Hands over the records of every value between `from` and `to`.
    fn values(&mut self, from: usize, to: usize) -> Result<(), Stop> {
        let mut at = from;
        loop {
            let rest = self.text[at..to].trim_start_matches([' ', '\t', '\r', '\n']);
            at = to - rest.len();
            if rest.is_empty() {
                return Ok(());
            }
            let (value, length, outcome) = Value::parse(rest);
            let line = self.line(at);
            for &(json, place) in &value.candidates {
                self.candidate(json, place, line);
            }
            let Err(error) = outcome else {
                at += length;
                continue;
            };
            let fault = if error.is_eof() { Fault::Cut } else { Fault::NotJson };
            // Where nothing was found in it, this value is the damage, and may have swallowed the start of a good line;
            // else the damage lies behind what was found. One byte back, since that start may just have been reached.
            return Err(if value.candidates.is_empty() {
                Stop { at, resume: at, fault }
            } else {
                let seen = &self.text[at..self.text.floor_char_boundary(at + length)];
                Stop { at: at + seen.trim_end().len(), resume: at + length.saturating_sub(1), fault }
            });
        }
    }

    fn candidate(&mut self, json: &str, place: Place, line: usize) {
        if place == Place::Records {
            return self.record(json, line);
        }
        let Ok(object) = Object::read(json) else { return };
        match object.value("CloudTrailEvent") {
            // Some tools have the text already parsed.
            Some(record) if record.starts_with('{') => self.record(record, line),
            Some(_) if let Some(record) = object.whole_text("CloudTrailEvent") => self.record(&record, line),
            _ if object.value("EventId").is_some() => self.damaged(Some(line), Fault::NoRecord),
            _ if object.value("eventID").or(object.value("eventName")).is_some() => self.record(json, line),
            _ => {}
        }
    }

    fn record(&mut self, json: &str, line: usize) {
        self.records += 1;
        // One that cannot be read may be anybody's.
        let is_wanted =
            self.wanted.is_everything() || Object::read(json).map_or(true, |record| self.wanted.wants(&record));
        if is_wanted {
            (self.each)(json, &Origin { path: self.path, line, number: self.records });
        } else {
            self.skipped += 1;
        }
    }

    /// Notes what is wrong, up to a number.
    pub(super) fn damaged(&mut self, line: Option<usize>, fault: Fault) {
        if self.damage.len() < MAX_DAMAGE_PER_FILE {
            self.damage.push(Damage { path: self.path.to_owned(), line, fault });
        } else {
            self.damage_untold += 1;
        }
    }

    /// The line of the byte at `at`, counted on from the last one that was asked for.
    fn line(&mut self, at: usize) -> usize {
        let (place, line) = if at < self.counted.0 { (0, 1) } else { self.counted };
        let line = line + self.text.as_bytes()[place..at].iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (at, line);
        line
    }

    /// How many records there were, how many of them were not wanted, and what was wrong.
    pub(super) fn end(mut self) -> (u64, u64, Vec<Damage>) {
        if self.damage_untold > 0 {
            let fault = Fault::More(self.damage_untold);
            self.damage.push(Damage { path: self.path.to_owned(), line: None, fault });
        }
        (self.records, self.skipped, self.damage)
    }
}

/// One JSON value of a file, and what may be records in it: the objects in its list `Records` or `Events`, the elements
/// of a list, or the value itself.
#[derive(Default)]
struct Value<'t> {
    candidates: Vec<(&'t str, Place)>,
    has_list: bool,
}

/// Where a candidate was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In `Records`, where everything is a record.
    Records,
    /// In another list, or on its own: its members have to tell.
    Elsewhere,
}

impl<'t> Value<'t> {
    /// The value that `text` begins with, and the bytes that were looked at; of a damaged value what came before.
    fn parse(text: &'t str) -> (Self, usize, Result<(), serde_json::Error>) {
        let mut value = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let outcome = Look { value: &mut value, within: None }.deserialize(&mut deserializer);
        let length = deserializer.into_iter::<IgnoredAny>().byte_offset();
        if outcome.is_ok() && !value.has_list && text.starts_with('{') {
            value.candidates.push((&text[..length], Place::Elsewhere));
        }
        (value, length, outcome)
    }

    fn collect<A: SeqAccess<'t>>(&mut self, mut list: A, place: Place) -> Result<(), A::Error> {
        self.has_list = true;
        while let Some(element) = list.next_element::<&'t RawValue>()? {
            if element.get().starts_with('{') {
                self.candidates.push((element.get(), place));
            }
        }
        Ok(())
    }
}

/// Looks for candidates in any JSON value.
struct Look<'v, 't> {
    value: &'v mut Value<'t>,
    /// Where it stands; none: at the top of a file.
    within: Option<Place>,
}

impl<'t> DeserializeSeed<'t> for Look<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Look<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, list: A) -> Result<(), A::Error> {
        self.value.collect(list, self.within.unwrap_or(Place::Elsewhere))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            let place = match name.as_ref() {
                "Records" => Place::Records,
                "Events" => Place::Elsewhere,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if self.within.is_none() {
                map.next_value_seed(Look { value: &mut *self.value, within: Some(place) })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
