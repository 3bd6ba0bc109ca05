//! What was understood of files, whatever they hold and whoever reads them.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::split::Split;
use super::*;

/// What a reading found.
struct Reading {
    /// `file:line:record` each; `-` is standard input.
    records: Vec<String>,
    damage: Vec<String>,
    summary: Summary,
}

const LIMITS: Limits = Limits { file: MAX_FILE_BYTES, in_flight: MAX_BYTES_IN_FLIGHT };

/// Reads what is wanted, by so many threads.
fn read(paths: &[PathBuf], mut stdin: &[u8], limits: Limits, wanted: &Wanted, jobs: usize) -> Reading {
    let settings = ReadSettings { wanted: wanted.clone(), jobs: NonZeroUsize::new(jobs).unwrap(), progress: None };
    let each = |records: &mut Vec<String>, json: &str, origin: &Origin<'_>| {
        let name = origin.path.file_name().unwrap().to_string_lossy();
        records.push(format!("{name}:{}:{json}", origin.line));
    };
    let mut records = Vec::new();
    let merge = &mut |of_file: Vec<String>| records.extend(of_file);
    let summary = read_paths_within(paths, &mut stdin, limits, &settings, &each, merge);
    assert_eq!(summary.records, summary.skipped + records.len() as u64);
    let damage = summary.damage.iter().map(ToString::to_string).collect();
    Reading { records, damage, summary }
}

/// Every record, and the damage; `-` is `stdin`.
fn found(paths: &[PathBuf], stdin: &[u8], limit: u64) -> (Vec<String>, Vec<String>, Summary) {
    let limits = Limits { file: limit, ..LIMITS };
    let Reading { records, damage, summary } = read(paths, stdin, limits, &Wanted::everything(), 2);
    (records, damage, summary)
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

const SECRETS_MANAGER: &str = "secretsmanager.amazonaws.com";

fn wanted() -> Wanted {
    Wanted::of(&[SECRETS_MANAGER.to_owned()])
}

/// `text` as a file that is read as it is, and as one that is gzipped, which is read in another way.
fn both(text: &str) -> [Reading; 2] {
    let root = TempDir::new().unwrap();
    [text.as_bytes().to_vec(), gzip(text.as_bytes())].map(|bytes| {
        let path = root.path().join("log");
        fs::write(&path, bytes).unwrap();
        read(&[path], b"", LIMITS, &wanted(), 1)
    })
}

/// Of the records of `{"Records":[…]}` these are handed over, however the file is read; whether or not it is understood
/// without parsing.
fn hands_over(records: &[&str], expected: &[usize]) {
    let text = format!(r#"{{"Records":[{}]}}"#, records.join(","));
    let expected: Vec<String> = expected.iter().map(|place| format!("log:1:{}", records[*place])).collect();
    for Reading { records: found, damage, summary } in both(&text) {
        assert_eq!(found, expected, "{text}");
        assert_eq!((damage.len(), summary.records), (0, records.len() as u64), "{text}");
    }
}

#[test]
fn records_of_other_services_are_passed_over_and_no_others() {
    let wanted = r#"{"eventSource":"secretsmanager.amazonaws.com","eventID":"w"}"#;
    let other = r#"{"eventSource":"kms.amazonaws.com","eventID":"o"}"#;
    hands_over(&[], &[]);
    hands_over(&[wanted], &[0]);
    hands_over(&[other], &[]);
    hands_over(&[other, wanted, other, other, wanted], &[1, 4]);
    // What is in doubt is looked at.
    for doubtful in [
        r#"{"eventID":"none"}"#,
        "{}",
        r#"{"eventSource":"secretsmanager\u002eamazonaws.com"}"#,
        r#"{"event\u0053ource":"secretsmanager.amazonaws.com","eventSource":"kms.amazonaws.com"}"#,
        r#"{"eventSource":"kms.amazonaws.com","\u0065ventSource":"secretsmanager.amazonaws.com"}"#,
        r#"{"eventSource":"kms.amazonaws.com","eventSource":"secretsmanager.amazonaws.com"}"#,
        r#"{"eventSource":"kms.amazonaws.com","eventSource" : "secretsmanager.amazonaws.com"}"#,
        r#"{"eventSource":null}"#,
        r#"{"eventSource":""}"#,
        r#"{"eventSource":["kms.amazonaws.com"]}"#,
        r#"{"a":{"eventSource":"kms.amazonaws.com"}}"#,
        r#"{"a":"\",\"eventSource\":\"kms.amazonaws.com"}"#,
        r#"{"x\"eventSource":"kms.amazonaws.com"}"#,
        r#"{"a":["eventSource"]}"#,
        r#"{"a":"eventSource","b":"kms.amazonaws.com"}"#,
    ] {
        let expected: &[usize] = if doubtful.contains("\\u0053ource") { &[] } else { &[1] };
        hands_over(&[other, doubtful, other], expected);
    }
    // And of what is none of Secrets Manager's, nothing that it says makes it so.
    for hostile in [
        r#"{"eventSource":"kms.amazonaws.com","userAgent":"\"eventSource\":\"secretsmanager.amazonaws.com\""}"#,
        r#"{"eventSource":"kms.amazonaws.com","requestParameters":{"eventSource":"secretsmanager.amazonaws.com"}}"#,
        r#"{"eventSource":"kms.amazonaws.com","a":[{"x":1},{"eventSource":"secretsmanager.amazonaws.com"},{}]}"#,
        r#"{"eventSource":"kms.amazonaws.com","a":"},{\"eventSource\":\"secretsmanager.amazonaws.com\"},{"}"#,
        r#"{"eventSource":"kms.amazonaws.com","Records":[{"eventSource":"secretsmanager.amazonaws.com"}]}"#,
        r#"{"eventSource":"kms.amazonaws.com","a":"\\","b":"}\\\"}{"}"#,
        r#"{"eventSource":"secretsmanager.amazonaws.com.example"}"#,
        r#"{"eventSource":"secretsmanager.amazonaws.com","eventSource":"kms.amazonaws.com"}"#,
        r#"{"eventSource":7}"#,
        "{\"eventSource\":\"kms.amazonaws.com\",\"a\":\"\u{e9}\u{1f511}\"}",
    ] {
        hands_over(&[wanted, hostile, wanted], &[0, 2]);
    }
    let long = format!(r#"{{"eventSource":"{}"}}"#, "x".repeat(300));
    hands_over(&[&long, wanted], &[1]);
}

#[test]
fn log_files_as_cloudtrail_writes_them_are_not_parsed() {
    let record =
        |source: &str| format!(r#"{{"eventVersion":"1.11","eventSource":"{source}","a":{{"b":[{{}},{{}}]}}}}"#);
    let (wanted_one, other) = (record(SECRETS_MANAGER), record("kms.amazonaws.com"));
    let text = format!(r#"{{"Records":[{}{wanted_one}]}}"#, format!("{other},").repeat(99));
    let split = Split::of(text.as_bytes(), &wanted()).unwrap();
    assert_eq!((split.records, split.candidates.len()), (100, 1));
    let (number, place) = &split.candidates[0];
    assert_eq!((*number, &text[place.clone()]), (100, wanted_one.as_str()));
    assert_eq!(Split::of(br#"{"Records":[]}"#, &wanted()), Some(Split::default()));
    assert!(Split::of(b"{\"Records\":[]}\r\n", &wanted()).is_some());
}

#[test]
fn whatever_is_no_plain_log_file_is_parsed() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"Records":["#,
        r#"{"Records":[{}"#,
        r#"{"Records":[{}]"#,
        r#"{"Records":[{"a":"]}"#,
        r#"{"Records":[{},]}"#,
        r#"{"Records":[,{}]}"#,
        r#"{"Records":[{}{}]}"#,
        r#"{"Records":[{},1,{}]}"#,
        r#"{"Records":[{},null]}"#,
        r#"{"Records":[{}, {}]}"#,
        r#"{"Records": [{}]}"#,
        r#"{"Records":[{}],"NextToken":"x"}"#,
        r#"{"Records":[{}]}{"Records":[{}]}"#,
        r#"{"Records":[{}]} x"#,
        r#"{"Records":[{}]]}"#,
        r#"{"Records":[{}}]}"#,
        r#"{"Events":[{}]}"#,
        "\u{feff}{\"Records\":[{}]}",
        "{\"Records\":[\n{}\n]}",
    ] {
        assert_eq!(Split::of(text.as_bytes(), &wanted()), None, "{text}");
    }
}

#[test]
fn a_record_that_is_broken_is_left_to_the_thorough_way() {
    let bad = r#"{"eventSource":"secretsmanager.amazonaws.com","a":nonsense}"#;
    for Reading { records, damage, .. } in both(&format!(r#"{{"Records":[{A},{bad}]}}"#)) {
        assert_eq!((records, damage.len()), (vec![format!("log:1:{A}")], 1));
    }
}

/// Literals of JSON that are like what matters, or are there to confuse.
fn literal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "null",
        "true",
        "-1.5e3",
        r#""""#,
        r#""plain""#,
        r#""eventSource""#,
        r#""kms.amazonaws.com""#,
        r#""secretsmanager.amazonaws.com""#,
        r#""secretsmanager\u002eamazonaws.com""#,
        r#""\"eventSource\":\"secretsmanager.amazonaws.com\"""#,
        r#""{\"Records\":[{\"eventSource\":\"kms.amazonaws.com\"}]}""#,
        r#""},{""#,
        r#""{""#,
        r#""]}""#,
        r#""\\""#,
        r#""\\\"}{""#,
        r#""S \ud83d\udd11 é🔑""#,
    ])
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""eventSource""#,
        r#""event\u0053ource""#,
        r#""x\"eventSource""#,
        r#""Records""#,
        r#""eventID""#,
        r#""a""#,
        r#""S}{""#,
    ])
}

/// What may stand between two tokens; mostly nothing.
fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![60 => Just(""), 1 => Just(" "), 1 => Just("\n")]
}

/// JSON of any kind.
fn value() -> impl Strategy<Value = String> {
    literal().prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(",")));
        prop_oneof![list, object(prop::collection::vec((key(), blank(), inner), 0..3))]
    })
}

fn object(members: impl Strategy<Value = Vec<(&'static str, &'static str, String)>>) -> impl Strategy<Value = String> {
    members.prop_map(|members| {
        let members = members.into_iter().map(|(key, blank, value)| format!("{key}{blank}:{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    })
}

/// A record: mostly with a service, at any place among its members.
fn record() -> impl Strategy<Value = String> {
    let service = prop::sample::select(vec![r#""kms.amazonaws.com""#, r#""secretsmanager.amazonaws.com""#]);
    let service = prop::option::weighted(0.8, service);
    let members = prop::collection::vec((key(), blank(), value()), 0..4);
    object((members, service, any::<prop::sample::Index>()).prop_map(|(mut members, service, at)| {
        if let Some(service) = service {
            members.insert(at.index(members.len() + 1), (r#""eventSource""#, "", service.to_owned()));
        }
        members
    }))
}

/// The text of a file: mostly a log file.
fn text() -> impl Strategy<Value = String> {
    let element = prop_oneof![30 => record(), 1 => literal().prop_map(str::to_owned)];
    let records = prop::collection::vec((element, blank()), 0..7);
    let records = records.prop_map(|records| {
        let records = records.into_iter().map(|(record, blank)| record + blank);
        records.collect::<Vec<_>>().join(",")
    });
    (records, 0..30).prop_map(|(records, shape)| match shape {
        0 => format!("[{records}]"),
        1 => format!("\u{feff}{{\"Records\":[{records}]}}"),
        2 => format!("{{\"Records\":[{records}],\"more\":[{{}}]}}"),
        3 => format!("{{\"Records\":[{records}]}}{{\"Records\":[{records}]}}"),
        4 => format!("{{\"Records\":[{records}]}}\n"),
        5 => format!("{{\"Records\":[{records}],\"Records\":[{records}]}}"),
        6 => records.replace("},{", "}\n{"),
        _ => format!("{{\"Records\":[{records}]}}"),
    })
}

proptest! {
    #[test]
    fn gzipped_or_not_a_file_says_the_same(text in text()) {
        let [plain, gzipped] = both(&text);
        prop_assert_eq!(plain.records, gzipped.records);
        prop_assert_eq!(plain.damage, gzipped.damage);
        let counts = |summary: Summary| (summary.files, summary.bytes, summary.records, summary.skipped, summary.damaged);
        prop_assert_eq!(counts(plain.summary), counts(gzipped.summary));
    }

    #[test]
    fn cut_anywhere_a_file_says_the_same(text in text(), at in any::<prop::sample::Index>(), tail in "(\\PC{0,3}|\\]\\}|\\})") {
        let cut = text.floor_char_boundary(at.index(text.len() + 1));
        let [plain, gzipped] = both(&(text[..cut].to_owned() + &tail));
        prop_assert_eq!(plain.records, gzipped.records);
        prop_assert_eq!(plain.damage, gzipped.damage);
    }

    /// Where something within is spoilt, more may be found without parsing than with it, and never anything that is no
    /// record.
    #[test]
    fn what_is_spoilt_is_told_or_harmless(text in text(), at in any::<prop::sample::Index>(), gone in 0_usize..4, new in "\\PC{0,3}") {
        let start = text.floor_char_boundary(at.index(text.len() + 1));
        let end = text.ceil_char_boundary((start + gone).min(text.len()));
        let [plain, gzipped] = both(&[&text[..start], &new, &text[end..]].concat());
        if plain.damage.is_empty() || !gzipped.damage.is_empty() {
            prop_assert_eq!(&plain.records, &gzipped.records);
        }
        for record in &gzipped.records {
            let json = record.splitn(3, ':').last().unwrap();
            prop_assert!(json.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok(), "{}", json);
        }
    }
}

/// A folder of many files of all kinds, some of them damaged.
fn many_files() -> TempDir {
    let root = TempDir::new().unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    for number in 0..60 {
        let sources = ["kms.amazonaws.com", SECRETS_MANAGER, "sts.amazonaws.com"];
        let record = |at: usize| format!(r#"{{"eventSource":"{}","eventID":"{number}-{at}"}}"#, sources[at % 3]);
        let text = format!("{{\"Records\":[{}]}}", (0..rng.usize(0..50)).map(record).collect::<Vec<_>>().join(","));
        let mut bytes = if number % 4 == 0 { text.into_bytes() } else { gzip(text.as_bytes()) };
        match number % 7 {
            3 => bytes.truncate(bytes.len() - 5),
            4 => bytes.extend(gzip(A.as_bytes())),
            5 => bytes.extend(b"<html>"),
            _ => {}
        }
        let path = root.path().join(format!("{}/{number}.json", number % 5));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

#[test]
fn however_many_read_and_however_little_room_there_is_the_same_is_said() {
    let root = many_files();
    let paths = [root.path().to_owned(), root.path().join("gone.json"), PathBuf::from(STDIN), root.path().join("1")];
    let all = |jobs, in_flight| read(&paths, A.as_bytes(), Limits { in_flight, ..LIMITS }, &wanted(), jobs);
    let alone = all(1, MAX_BYTES_IN_FLIGHT);
    assert!(alone.records.len() > 100 && alone.summary.skipped > 100 && alone.damage.len() > 10);
    assert_eq!(alone.summary.waited, 0);
    for (jobs, in_flight) in [(1, 0), (2, MAX_BYTES_IN_FLIGHT), (3, 0), (7, 500), (64, 5000)] {
        let other = all(jobs, in_flight);
        assert_eq!((&other.records, &other.damage), (&alone.records, &alone.damage), "{jobs}, {in_flight}");
        let counts = |summary: &Summary| (summary.files, summary.bytes, summary.records, summary.damaged);
        assert_eq!(counts(&other.summary), counts(&alone.summary), "{jobs}, {in_flight}");
    }
}

#[test]
fn progress_ends_with_everything() {
    let root = many_files();
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |progress: &Progress| told.borrow_mut().push(*progress);
    let settings = ReadSettings { wanted: wanted(), jobs: NonZeroUsize::MIN, progress: Some(&tell) };
    let summary = read_paths(&[root.path().to_owned()], &settings, &|(): &mut (), _, _| {}, &mut |()| {});
    let told = told.into_inner();
    assert_eq!(told.len(), 60);
    assert!(told.is_sorted_by_key(|progress| (progress.files, progress.stored, progress.bytes, progress.records)));
    let last = told[59];
    assert_eq!((last.files, last.stored), (last.all_files, last.all_stored));
    assert_eq!((last.files, last.bytes, last.records), (summary.files, summary.bytes, summary.records));
}
