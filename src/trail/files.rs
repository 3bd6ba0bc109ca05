//! Reads CloudTrail records from files, whatever wrote them.
//!
//! [`read_paths`] takes what people have at hand: log files as CloudTrail delivers them, the output of `aws cloudtrail
//! lookup-events`, JSON lines, lists of records, folders full of those, standard input; each plain or gzipped. No name
//! and no option says which it is: the content does.
//!
//! `walk` finds the files in folders, `crew` has several threads read them, in the `room` that there is. `reader` reads
//! one: `inflate` decompresses it, and `content` finds the records in its text. Nearly all that there is to read are
//! undamaged log files, though, full of records that are not [`Wanted`]. Those are not parsed at all: `split` finds
//! where each record begins and ends, and which may be wanted, from the `blocks` of the text. Whatever it is not certain
//! of is left to `content`, and both say the same of the same file.
//!
//! [`Damage`] never stops a reading. It is collected as values that name file and line, and what can still be
//! understood is: the whole records before the place where a log file was cut, the good lines around a bad one.
//!
//! Absent on purpose: what a record means. Whoever calls gets each record's JSON.

mod blocks;
mod content;
mod crew;
mod inflate;
mod reader;
mod room;
mod split;
#[cfg(test)]
mod tests;
mod walk;
mod wanted;

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use self::crew::{Crew, Plan};
use self::room::Room;

pub use self::room::MAX_BYTES_IN_FLIGHT;
pub use self::wanted::Wanted;

/// How much of a file is read, in bytes after decompression: it is held in memory as a whole. CloudTrail's own log
/// files have tens of megabytes at most.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// How much damage is told in detail for each file; the rest is counted.
const MAX_DAMAGE_PER_FILE: usize = 20;

/// The path that stands for standard input.
const STDIN: &str = "-";

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The file; `-` is standard input.
    pub path: &'a Path,
    /// The line, from 1, on which the JSON value begins that holds the record: in JSON lines the record's own.
    pub line: usize,
    /// Which record of the file it is, from 1.
    pub number: u64,
}

/// How files are read.
#[derive(Clone)]
pub struct ReadSettings<'a> {
    /// Which records are handed over.
    pub wanted: Wanted,
    /// How many files are read at once, if memory allows ([`MAX_BYTES_IN_FLIGHT`]).
    pub jobs: NonZeroUsize,
    /// Told after each file how far the reading has come.
    pub progress: Option<&'a dyn Fn(&Progress)>,
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub struct Summary {
    /// Files that were opened, those without any record included.
    pub files: u64,
    /// Their text in bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Those that were not wanted; all others were handed over.
    pub skipped: u64,
    /// Files that had to wait for memory: together with others, or because they are large, they reach
    /// [`MAX_BYTES_IN_FLIGHT`].
    pub waited: u64,
    /// Files and folders with any damage.
    pub damaged: u64,
    /// The damage, in the order of the paths.
    pub damage: Vec<Damage>,
}

/// How far a reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that have been read.
    pub files: u64,
    /// How many there are.
    pub all_files: u64,
    /// Bytes that have been read, as stored.
    pub stored: u64,
    /// How many there are, as far as their sizes are known.
    pub all_stored: u64,
    /// Bytes of text in what has been read.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
}

/// Something that could not be read.
#[derive(Debug)]
pub struct Damage {
    /// The file or folder.
    pub path: PathBuf,
    /// The line, from 1, where the damage is inside of a file's text.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file or folder.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not there, or may not be read, or the reading failed half-way.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// Its compression is damaged; what came before the damage was read.
    #[error("damaged gzip; read as far as it goes")]
    Gzip(#[source] io::Error),
    /// It is larger than the limit; what lies within was read.
    #[error("larger than {0} bytes; the rest was not read")]
    TooLarge(u64),
    /// It ends within a JSON value; the whole records before were read.
    #[error("ends in the middle of a JSON value")]
    Cut,
    /// Something that is not JSON; what is good before and after was read.
    #[error("not JSON")]
    NotJson,
    /// An item of LookupEvents that lacks its record.
    #[error("event without CloudTrailEvent, so without its record")]
    NoRecord,
    /// So many more places of the same file are damaged.
    #[error("damaged in {0} more places")]
    More(u64),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.to_str() {
            Some(STDIN) => f.write_str("standard input")?,
            _ => self.path.display().fmt(f)?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl Error for Damage {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// Hands the wanted records in `paths` to `each`, file by file, and what that made of a file to `merge`.
///
/// A folder stands for the files in it and below it whose names end in `.json`, `.jsonl`, `.ndjson` or `.gz`; a file
/// that is named itself is read whatever its name; `-` is standard input. Repeated records are handed over repeatedly.
///
/// Files are read by several threads. One thread reads one file, and hands over its records in their order; files are
/// merged, and damage is told, in the order of the paths and of names within folders.
pub fn read_paths<T: Default + Send>(
    paths: &[PathBuf],
    settings: &ReadSettings<'_>,
    each: &(dyn Fn(&mut T, &str, &Origin<'_>) + Sync),
    merge: &mut dyn FnMut(T),
) -> Summary {
    let limits = Limits { file: MAX_FILE_BYTES, in_flight: MAX_BYTES_IN_FLIGHT };
    read_paths_within(paths, &mut io::stdin(), limits, settings, each, merge)
}

/// How much is read and held, in bytes.
#[derive(Clone, Copy)]
struct Limits {
    file: u64,
    in_flight: u64,
}

/// [`read_paths`] with a standard input and limits of the caller's choice.
fn read_paths_within<T: Default + Send>(
    paths: &[PathBuf],
    stdin: &mut (dyn Read + Send),
    limits: Limits,
    settings: &ReadSettings<'_>,
    each: &(dyn Fn(&mut T, &str, &Origin<'_>) + Sync),
    merge: &mut dyn FnMut(T),
) -> Summary {
    let plan = Plan::of(paths);
    let room = Room::new(limits.in_flight);
    Crew { plan, settings, room: &room, limit: limits.file }.read(stdin, each, merge)
}
