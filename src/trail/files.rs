//! Reads CloudTrail records from files, whatever wrote them.
//!
//! [`read_paths`] takes what people have at hand: log files as CloudTrail delivers them, the output of `aws cloudtrail
//! lookup-events`, JSON lines, lists of records, folders full of those, standard input; each plain or gzipped. No name
//! and no option says which it is: the content does. `walk` finds the files in folders, [`load`] decompresses one, and
//! `content` finds the records in its text.
//!
//! [`Damage`] never stops a reading. It is collected as values that name file and line, and what can still be
//! understood is: the whole records before the place where a log file was cut, the good lines around a bad one.
//!
//! Absent on purpose: what a record means, and which records are wanted. Whoever calls gets each record's JSON.

mod content;
mod walk;

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use self::content::Content;
use self::walk::Walk;

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

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub struct Summary {
    /// Files that were opened, those without any record included.
    pub files: u64,
    /// Records that were handed over.
    pub records: u64,
    /// Files and folders with any damage.
    pub damaged: u64,
    /// The damage, in order of reading.
    pub damage: Vec<Damage>,
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

/// Hands every record in `paths` to `each`, in the order of the paths, of names within folders and of the file.
///
/// A folder stands for the files in it and below it whose names end in `.json`, `.jsonl`, `.ndjson` or `.gz`; a file
/// that is named itself is read whatever its name; `-` is standard input. Repeated records are handed over repeatedly.
pub fn read_paths(paths: &[PathBuf], each: &mut dyn FnMut(&str, &Origin<'_>)) -> Summary {
    read_paths_within(paths, &mut io::stdin(), MAX_FILE_BYTES, each)
}

/// [`read_paths`] with a standard input and a limit of the caller's choice.
fn read_paths_within(
    paths: &[PathBuf],
    stdin: &mut dyn Read,
    limit: u64,
    each: &mut dyn FnMut(&str, &Origin<'_>),
) -> Summary {
    let mut reading = Reading { limit, each, summary: Summary::default() };
    for path in paths {
        if path.as_os_str() == STDIN {
            reading.stream(path, &mut *stdin);
        } else if path.is_dir() {
            let (files, damage) = Walk::below(path);
            damage.into_iter().for_each(|damage| reading.damaged(vec![damage]));
            files.iter().for_each(|file| reading.file(file));
        } else {
            reading.file(path);
        }
    }
    reading.summary
}

struct Reading<'e> {
    limit: u64,
    each: &'e mut dyn FnMut(&str, &Origin<'_>),
    summary: Summary,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) {
        match File::open(path) {
            Ok(file) => self.stream(path, file),
            Err(error) => self.damaged(vec![Damage { path: path.to_owned(), line: None, fault: Fault::Io(error) }]),
        }
    }

    fn stream(&mut self, path: &Path, stream: impl Read) {
        self.summary.files += 1;
        let (bytes, fault) = load(stream, self.limit);
        // Bytes that are no UTF-8 spoil a character, not the record that they stand in.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut content = Content::new(path, text, &mut *self.each);
        let cut = fault.is_some();
        if let Some(fault) = fault {
            content.damaged(None, fault);
        }
        content.read(cut);
        let (records, damage) = content.end();
        self.summary.records += records;
        self.damaged(damage);
    }

    fn damaged(&mut self, damage: Vec<Damage>) {
        self.summary.damaged += u64::from(!damage.is_empty());
        self.summary.damage.extend(damage);
    }
}

/// All of `stream`, decompressed, as far as it can be read and `limit` goes, and why no farther.
fn load(mut stream: impl Read, limit: u64) -> (Vec<u8>, Option<Fault>) {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut head = Vec::new();
    if let Err(error) = stream.by_ref().take(GZIP.len() as u64).read_to_end(&mut head) {
        return (head, Some(Fault::Io(error)));
    }
    let gzipped = head == GZIP;
    let whole = io::Cursor::new(head).chain(stream);
    let mut bytes = Vec::new();
    // One byte more than allowed tells whether there is more than that.
    let outcome = if gzipped {
        MultiGzDecoder::new(whole).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Fault::Gzip)
    } else {
        whole.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Fault::Io)
    };
    let fault = outcome.err();
    match usize::try_from(limit) {
        Ok(most) if bytes.len() > most => {
            bytes.truncate(most);
            (bytes, Some(Fault::TooLarge(limit)))
        }
        _ => (bytes, fault),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// What a reading found: `file:line:record` each, then the damage; `-` is `stdin`.
    fn found(paths: &[PathBuf], stdin: &[u8], limit: u64) -> (Vec<String>, Vec<String>, Summary) {
        let mut records = Vec::new();
        let mut stdin = stdin;
        let summary = read_paths_within(paths, &mut stdin, limit, &mut |json, origin| {
            let name = origin.path.file_name().unwrap().to_string_lossy();
            records.push(format!("{name}:{}:{json}", origin.line));
        });
        assert_eq!(summary.records, records.len() as u64);
        (records, summary.damage.iter().map(ToString::to_string).collect(), summary)
    }

    /// The records of `content`, by line, and the damage without the name of its file.
    fn content(content: impl AsRef<[u8]>) -> (Vec<String>, Vec<String>) {
        let (records, damage, _) = found(&[PathBuf::from(STDIN)], content.as_ref(), MAX_FILE_BYTES);
        let short = |texts: Vec<String>, prefix| texts.iter().map(|text| text.replacen(prefix, "", 1)).collect();
        (short(records, "-:"), short(damage, "standard input:"))
    }

    /// `text` holds these records and no damage.
    fn holds(text: impl AsRef<[u8]>, records: &[&str]) {
        let (found, damage) = content(text);
        assert_eq!(found, records);
        assert_eq!(damage, [""; 0]);
    }

    /// `text` holds these records and this damage.
    fn damaged(text: impl AsRef<[u8]>, records: &[&str], damage: &[&str]) {
        let text = text.as_ref();
        assert_eq!(content(text), (strings(records), strings(damage)), "{}", text.escape_ascii());
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const A: &str = r#"{"eventID":"a"}"#;
    const B: &str = r#"{"eventID":"b"}"#;

    #[test]
    fn every_shape_of_file_is_understood() {
        holds(format!(r#"{{"Records":[{A},{B}]}}"#), &["1:{\"eventID\":\"a\"}", "1:{\"eventID\":\"b\"}"]);
        let both = [&*format!("1:{A}"), &*format!("1:{B}")];
        holds(format!("[{A},\n{B}]"), &both);
        holds(format!("{A}{B}"), &both);
        holds(format!("{A}\n{B}\n"), &[both[0], &format!("2:{B}")]);
        holds(format!("\u{feff}\r\n{A}\r\n\r\n{B}"), &[&format!("2:{A}"), &format!("4:{B}")]);
        holds(A, &both[..1]);
        holds(r#"{"eventName":"x"}"#, &[r#"1:{"eventName":"x"}"#]);
        let item = |record: &str| serde_json::json!({"EventId": "a", "CloudTrailEvent": record}).to_string();
        holds(format!(r#"{{"Events":[{},{}],"NextToken":"x"}}"#, item(A), item(B)), &both);
        holds(format!("{}\n{}", item(A), item(B)), &[both[0], &format!("2:{B}")]);
        holds(format!("[{}]", item(A)), &both[..1]);
        holds(format!(r#"{{"CloudTrailEvent":{A}}}"#), &both[..1]);
        holds(format!(r#"{{"Records":[{A}]}}{{"Records":[{B}]}}"#), &both);
        holds(r#"{"Records":[{"x":1}]}"#, &[r#"1:{"x":1}"#]);
    }

    #[test]
    fn json_without_records_is_passed_over() {
        for text in [
            "",
            "\n \n",
            "{}",
            "[]",
            "null",
            "true",
            "7",
            "-1",
            "0.5",
            "\"x\"",
            "[1,[],null]",
            r#"{"Records":null}"#,
            r#"{"Records":{"Records":[{}]}}"#,
            r#"{"Records":[null,1,[{}]]}"#,
            r#"{"Events":[{"a":1}]}"#,
            r#"{"awsAccountId":"111122223333","digestStartTime":"2026-05-27T18:00:00Z","logFiles":[{"s3Object":"x"}]}"#,
        ] {
            holds(text, &[]);
        }
    }

    #[test]
    fn a_cut_log_file_yields_the_whole_records_before_the_cut() {
        let first = format!("1:{A}");
        damaged(format!(r#"{{"Records":[{A},{{"eventID":"#), &[&first], &["1: ends in the middle of a JSON value"]);
        damaged(format!("{{\"Records\":[\n{A},\n"), &[&first], &["2: ends in the middle of a JSON value"]);
        damaged(r#"{"Records":["#, &[], &["1: ends in the middle of a JSON value"]);
        damaged(format!("{A}\n{{\"eventID\""), &[&first], &["2: ends in the middle of a JSON value"]);
    }

    #[test]
    fn a_bad_line_does_not_spoil_its_neighbours() {
        let good = [&*format!("1:{A}"), &*format!("3:{B}")];
        damaged(format!("{A}\nno json\n{B}\n"), &good, &["2: not JSON"]);
        damaged(format!("{A}\n{{\"eventID\":\n{B}\n"), &good, &["2: not JSON"]);
        damaged(format!("{A}\n{{\"eventID\":\"x\n{B}\n"), &good, &["2: not JSON"]);
        let within = [&*format!("1:{A}"), &*format!("2:{B}")];
        damaged(format!("{A}\n{{\"Records\":[\n{B}\n"), &within, &["3: ends in the middle of a JSON value"]);
        damaged(format!("no\njson\n{B}"), &good[1..], &["1: not JSON"]);
        damaged(format!("[{A}\n{{}}\n{B}"), &good, &["1: not JSON"]);
        damaged(format!("tr\u{e9}\n\n{B}"), &good[1..], &["1: not JSON"]);
        damaged("nothing at all", &[], &["1: not JSON"]);
    }

    #[test]
    fn damage_is_told_up_to_a_limit_and_counted_beyond() {
        let (records, damage) = content("{\n".repeat(30) + A);
        assert_eq!(records, [format!("31:{A}")]);
        assert_eq!(damage.len(), MAX_DAMAGE_PER_FILE + 1);
        assert_eq!(damage[MAX_DAMAGE_PER_FILE], " damaged in 10 more places");
    }

    #[test]
    fn openings_without_end_take_no_longer_than_their_length() {
        let (records, _) = content(r#"{"a":"#.to_owned() + &"\n{\"a\":".repeat(100_000) + "\n" + A);
        assert_eq!(records, [format!("100002:{A}")]);
    }

    #[test]
    fn an_item_without_its_record_is_damage() {
        let no_record = "1: event without CloudTrailEvent, so without its record";
        damaged(r#"{"Events":[{"EventId":"a","CloudTrailEvent":null}]}"#, &[], &[no_record]);
        damaged(r#"{"EventId":"a","EventName":"x"}"#, &[], &[no_record]);
    }

    #[test]
    fn gzip_is_known_by_its_content() {
        let log = format!(r#"{{"Records":[{A}]}}"#);
        let first = format!("1:{A}");
        holds(gzip(log.as_bytes()), &[&first]);
        holds([gzip(A.as_bytes()), gzip(B.as_bytes())].concat(), &[&first, &format!("1:{B}")]);
    }

    #[test]
    fn damaged_gzip_yields_what_comes_before_the_damage() {
        let log = format!(r#"{{"Records":[{}{A}]}}"#, format!("{A},").repeat(1000));
        let zipped = gzip(log.as_bytes());
        let (records, damage) = content(&zipped[..zipped.len() - 9]);
        assert!(records.len() > 100, "{}", records.len());
        assert_eq!(damage, [" damaged gzip; read as far as it goes"]);
        damaged([0x1f, 0x8b], &[], &[" damaged gzip; read as far as it goes"]);
        let (_, damage) = content([gzip(A.as_bytes()), b"tail".to_vec()].concat());
        assert_eq!(damage, [" damaged gzip; read as far as it goes"]);
    }

    #[test]
    fn what_exceeds_the_limit_is_not_read_and_that_is_told() {
        let text = format!("{A}\n{B}\n");
        for bytes in [text.clone().into_bytes(), gzip(text.as_bytes())] {
            let read = |limit| {
                let (records, damage, _) = found(&[PathBuf::from(STDIN)], &bytes, limit);
                (records.len(), damage)
            };
            let limit = text.len() as u64;
            assert_eq!(read(limit), (2, vec![]));
            let fault = |limit: u64| vec![format!("standard input: larger than {limit} bytes; the rest was not read")];
            assert_eq!(read(limit - 1), (2, fault(limit - 1)));
            assert_eq!(read(limit - 5), (1, fault(limit - 5)));
            assert_eq!(read(0), (0, fault(0)));
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_spoil_one_character() {
        holds(b"{\"eventID\":\"a\xff\"}", &["1:{\"eventID\":\"a\u{fffd}\"}"]);
    }

    /// A folder with files of every kind.
    fn folder() -> TempDir {
        let root = TempDir::new().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("b/2.json", A.as_bytes());
        write("b/10.JSON.gz", &gzip(A.as_bytes()));
        write("a.jsonl", A.as_bytes());
        write("c.ndjson", A.as_bytes());
        write("notes.txt", A.as_bytes());
        write("json", A.as_bytes());
        root
    }

    #[test]
    fn a_folder_stands_for_its_files_by_name() {
        let root = folder();
        let (records, damage, summary) = found(&[root.path().to_owned()], b"", MAX_FILE_BYTES);
        let names: Vec<_> = records.iter().map(|record| record.split(':').next().unwrap()).collect();
        assert_eq!(names, ["a.jsonl", "10.JSON.gz", "2.json", "c.ndjson"]);
        assert_eq!((summary.files, summary.damaged, damage.len()), (4, 0, 0));
    }

    #[test]
    fn a_file_that_is_named_is_read_whatever_its_name() {
        let root = folder();
        let paths = [root.path().join("notes.txt"), PathBuf::from(STDIN), root.path().join("b/10.JSON.gz")];
        let (records, _, summary) = found(&paths, B.as_bytes(), MAX_FILE_BYTES);
        assert_eq!(records, [format!("notes.txt:1:{A}"), format!("-:1:{B}"), format!("10.JSON.gz:1:{A}")]);
        assert_eq!(summary.files, 3);
    }

    #[test]
    fn what_is_not_there_is_told_and_the_rest_is_read() {
        let root = folder();
        let missing = root.path().join("missing.json");
        let (records, damage, summary) = found(&[missing.clone(), root.path().join("a.jsonl")], b"", MAX_FILE_BYTES);
        assert_eq!((records.len(), summary.files, summary.damaged), (1, 1, 1));
        assert_eq!(damage, [format!("{}: cannot be read", missing.display())]);
        assert!(summary.damage[0].source().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_broken_ones_told() {
        use std::os::unix::fs::symlink;
        let root = folder();
        symlink(root.path(), root.path().join("b/up")).unwrap();
        symlink("gone", root.path().join("b/broken.json")).unwrap();
        symlink("../notes.txt", root.path().join("b/link.json")).unwrap();
        let (records, damage, summary) = found(&[root.path().to_owned()], b"", MAX_FILE_BYTES);
        assert_eq!((records.len(), summary.damaged), (5, 1));
        assert_eq!(damage, [format!("{}: cannot be read", root.path().join("b/broken.json").display())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_damaged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            content(bytes);
        }

        #[test]
        fn a_bad_line_costs_itself_and_nothing_else(lines in proptest::collection::vec(".{0,12}", 0..8)) {
            // A line that begins as a record does and is none, or any other nonsense, between two good ones each.
            let bad = |line: &String| format!("{A}\n{{\"eventID\":\"x\",{line}\n");
            let text = lines.iter().map(bad).collect::<String>() + A;
            let (records, _) = content(&text);
            prop_assert!(records.len() > lines.len(), "{text}");
        }

        #[test]
        fn a_cut_anywhere_yields_the_records_before_it(records in 1_usize..6, at in any::<prop::sample::Index>()) {
            let log = format!(r#"{{"Records":[{}]}}"#, vec![A; records].join(","));
            let cut = at.index(log.len());
            let whole = log[..cut].matches(A).count();
            prop_assert_eq!(content(&log[..cut]).0.len(), whole);
        }
    }
}
