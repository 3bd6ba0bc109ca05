//! Reads one file after the other, on one thread.
//!
//! A [`Reader`] tries the fast way first, decompressing in one go and splitting without parsing, and falls back at each
//! step: what is no single undamaged gzip member is decompressed as far as it goes, and what `split` does not take for a
//! log file is read by `content`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::content::Content;
use super::inflate::{Inflater, Loaded, is_gzip, load, most_of, promised};
use super::room::{Place, Room};
use super::split::Split;
use super::wanted::Wanted;
use super::{Damage, Fault, Origin};
use crate::model::Object;

/// Reads files, with memory that is used again.
pub(super) struct Reader<'s> {
    wanted: &'s Wanted,
    /// The most that is read of a file's text.
    limit: u64,
    room: &'s Room,
    inflater: Inflater,
    stored: Vec<u8>,
}

/// What one file held, besides the records that were handed over.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether it could be opened.
    pub(super) opened: bool,
    /// Bytes of text.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Records that were not wanted.
    pub(super) skipped: u64,
    /// Whether it had to wait for memory.
    pub(super) waited: bool,
    pub(super) damage: Vec<Damage>,
}

/// Who is handed a record.
pub(super) type Each<'e> = &'e mut dyn FnMut(&str, &Origin<'_>);

/// What a file looks like from outside.
enum Shape {
    /// Gzipped, in so many bytes, and said to hold so many; none: it says nothing that could be true.
    Gzip { stored: u64, promised: Option<u64> },
    /// So many bytes, as they are.
    Plain(u64),
    /// Something else: a pipe, a device, or larger than anything that is read.
    Unknown,
}

impl<'s> Reader<'s> {
    pub(super) fn new(wanted: &'s Wanted, limit: u64, room: &'s Room) -> Self {
        Self { wanted, limit, room, inflater: Inflater::new(), stored: Vec::new() }
    }

    /// The file at `path`.
    pub(super) fn file(&mut self, path: &Path, each: Each<'_>) -> Held {
        let read = File::open(path).map(|file| self.opened(path, file, each));
        self.inflater.rest();
        read.unwrap_or_else(|error| {
            let damage = Damage { path: path.to_owned(), line: None, fault: Fault::Io(error) };
            Held { damage: vec![damage], ..Held::default() }
        })
    }

    /// A stream of which nothing is known.
    pub(super) fn stream(&self, path: &Path, stream: impl Read, each: Each<'_>) -> Held {
        let place = self.room.take(u64::MAX);
        self.whatever(path, stream, &place, each)
    }

    fn opened(&mut self, path: &Path, mut file: File, each: Each<'_>) -> Held {
        // Where even this much cannot be read, the reading itself will say why.
        match Shape::of(&mut file, self.limit).unwrap_or(Shape::Unknown) {
            Shape::Gzip { stored, promised } => self.gzip(path, file, (stored, promised), each),
            Shape::Plain(bytes) => {
                let place = self.room.take(bytes);
                self.whatever(path, file, &place, each)
            }
            Shape::Unknown => self.stream(path, file, each),
        }
    }

    fn gzip(&mut self, path: &Path, mut file: File, (stored, promised): (u64, Option<u64>), each: Each<'_>) -> Held {
        // What a file may need that does not keep its promise.
        let most = stored + most_of(stored).min(self.limit);
        let Some(promised) = promised else {
            let place = self.room.take(most);
            return self.whatever(path, file, &place, each);
        };
        let place = self.room.take(stored + promised);
        self.stored.clear();
        if file.read_to_end(&mut self.stored).and_then(|_| file.rewind()).is_err() {
            return self.whatever(path, file, &place.exchanged(most), each);
        }
        let Some(text) = self.inflater.inflate(&self.stored, self.limit) else {
            return self.whatever(path, &*self.stored, &place.exchanged(most), each);
        };
        let held = records(path, text, self.wanted, each);
        Held { waited: place.waited, ..held }
    }

    /// Reads as far as it goes.
    fn whatever(&self, path: &Path, stream: impl Read, place: &Place<'_>, each: Each<'_>) -> Held {
        let Loaded { bytes, fault, gzipped } = load(stream, self.limit);
        let held = match fault {
            None if gzipped => records(path, &bytes, self.wanted, each),
            fault => search(path, &bytes, fault, self.wanted, each),
        };
        Held { waited: place.waited, ..held }
    }
}

impl Shape {
    fn of(file: &mut File, limit: u64) -> io::Result<Self> {
        let kind = file.metadata()?;
        if !kind.is_file() {
            return Ok(Self::Unknown);
        }
        let stored = kind.len();
        let (mut head, mut tail) = ([0; 2], [0; 4]);
        if stored < 4 || stored > limit {
            return Ok(if stored > limit { Self::Unknown } else { Self::Plain(stored) });
        }
        file.read_exact(&mut head)?;
        if !is_gzip(&head) {
            file.rewind()?;
            return Ok(Self::Plain(stored));
        }
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut tail)?;
        file.rewind()?;
        let promised = promised(tail, stored).filter(|length| *length <= limit);
        Ok(Self::Gzip { stored, promised })
    }
}

/// The records in a text that an undamaged gzip file held.
fn records(path: &Path, text: &[u8], wanted: &Wanted, each: Each<'_>) -> Held {
    let quickly = if wanted.is_everything() { None } else { split(path, text, wanted, each) };
    quickly.unwrap_or_else(|| search(path, text, None, wanted, each))
}

/// The quick way through the text of a log file; none, and nothing handed over, if it is not certain to be one.
fn split(path: &Path, text: &[u8], wanted: &Wanted, each: Each<'_>) -> Option<Held> {
    let Split { records, candidates } = Split::of(text, wanted)?;
    let mut found = Vec::new();
    for (number, place) in candidates {
        let json = std::str::from_utf8(&text[place]).ok()?;
        if wanted.wants(&Object::read(json).ok()?) {
            found.push((number, json));
        }
    }
    let skipped = records - found.len() as u64;
    for (number, json) in found {
        each(json, &Origin { path, line: 1, number });
    }
    Some(Held { opened: true, bytes: text.len() as u64, records, skipped, ..Held::default() })
}

/// The thorough way: through any text, of which is already known what is wrong with it.
fn search(path: &Path, bytes: &[u8], fault: Option<Fault>, wanted: &Wanted, each: Each<'_>) -> Held {
    // Bytes that are no UTF-8 spoil a character, not the record that they stand in.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut content = Content::new(path, text, wanted, each);
    let cut = fault.is_some();
    if let Some(fault) = fault {
        content.damaged(None, fault);
    }
    content.read(cut);
    let (records, skipped, damage) = content.end();
    Held { opened: true, bytes: bytes.len() as u64, records, skipped, waited: false, damage }
}
