//! Rules that tell what is new: what they learn, what they remember, and that the order of arrival changes nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use secretwatch::detect::{FirstSeen, GroupKey, Rule};
use secretwatch::model::{Access, EventTime, Span, WallTime};
use secretwatch::store::{Ledger, LedgerSettings, SimulatedDisk, Stroke, Struck};
use secretwatch::trail::Coverage;

use secretwatch::demo::{Caller, Lateness, Record, Settings};

use crate::promise::{EVENT_SOURCE, START, access, drain, rule, settings, source};
use crate::rig::paused::Paused;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A principal and a secret that were never seen together, in thirty days, are news for an hour.
fn new_reader(learn: i64, seed: i64) -> Rule {
    let of = vec![GroupKey::Principal, GroupKey::Secret];
    Rule {
        group_by: of.clone(),
        first_seen: Some(FirstSeen { of, memory: 30 * DAY, learn, seed }),
        window: HOUR,
        update_every: 0,
        ..rule("new-reader")
    }
}

fn at(secs: i64) -> WallTime {
    EventTime(START + secs).wall()
}

/// Takes `page` in, each `(seconds, who, which secret)` as an access of that id, and returns the ids that are told.
fn told(ledger: &mut Ledger, now: WallTime, page: &[(i64, &str, &str)]) -> Vec<String> {
    let page = page.iter().map(|(secs, who, secret)| access(&format!("{secs}"), START + secs, secret, who)).collect();
    ledger.take(page, now).unwrap();
    ledger.tick(now, true).unwrap();
    let alerts = drain(ledger, now);
    alerts.iter().flat_map(|alert| &alert.accesses).map(|access| access.event_id.clone()).collect()
}

fn ledger(rule: Rule) -> Ledger {
    Ledger::in_memory(settings(vec![rule]), at(0)).unwrap()
}

#[test]
fn a_pair_is_news_once_and_again_after_the_memory() {
    let mut ledger = ledger(new_reader(0, 0));
    assert_eq!(told(&mut ledger, at(10), &[(0, "ann", "db")]), ["0"]);
    assert_eq!(told(&mut ledger, at(40), &[(30, "ann", "db")]), ["30"], "it is still news");
    assert_eq!(told(&mut ledger, at(2 * HOUR), &[(HOUR + 60, "ann", "db")]), [""; 0]);
    assert_eq!(told(&mut ledger, at(2 * HOUR), &[(HOUR + 61, "bob", "db"), (HOUR + 62, "ann", "key")]).len(), 2);
    let later = HOUR + 60 + 30 * DAY + 1;
    assert_eq!(told(&mut ledger, at(later), &[(later, "ann", "db")]), [later.to_string()]);
}

#[test]
fn nothing_is_news_while_it_learns_and_what_it_learnt_is_none_afterwards() {
    let mut ledger = ledger(new_reader(7 * DAY, 0));
    // Watching began an hour before.
    let learnt = 7 * DAY - HOUR;
    assert_eq!(told(&mut ledger, at(learnt), &[(0, "ann", "db"), (learnt - 1, "bob", "db")]), [""; 0]);
    assert_eq!(told(&mut ledger, at(learnt + DAY), &[(learnt + 60, "ann", "db")]), [""; 0]);
    assert_eq!(told(&mut ledger, at(learnt + DAY), &[(learnt + 61, "cat", "db")]), [(learnt + 61).to_string()]);
}

/// Reads the whole past of the only source, in which `page` happened.
fn read_the_past(ledger: &mut Ledger, now: WallTime, page: &[(i64, &str, &str)]) -> Vec<String> {
    let told = told(ledger, now, page);
    let [past] = &ledger.past(&source())[..] else { panic!("one event source is read") };
    let mut coverage = past.coverage.clone();
    let half = Span { from: past.span.from, to: EventTime(past.span.from.0.midpoint(past.span.to.0)) };
    coverage.read(half, now);
    assert!(!ledger.cover_past(&source(), EVENT_SOURCE, coverage.clone(), now).unwrap(), "half of it is left");
    coverage.read(past.span, now);
    assert!(ledger.cover_past(&source(), EVENT_SOURCE, coverage, now).unwrap());
    assert!(ledger.past(&source()).is_empty());
    told
}

#[test]
fn what_the_past_teaches_is_no_news_and_what_happened_meanwhile_is_told_then() {
    let mut ledger = ledger(new_reader(7 * DAY, 20 * DAY));
    let [past] = &ledger.past(&source())[..] else { panic!("the past is to be read") };
    assert_eq!((past.span.from.0, past.span.to.0), (START - 20 * DAY, START - HOUR - 1));
    assert_eq!(told(&mut ledger, at(60), &[(50, "ann", "db"), (51, "eve", "db")]), [""; 0], "it does not know yet");
    assert_eq!(read_the_past(&mut ledger, at(120), &[(-15 * DAY, "ann", "db")]), [""; 0]);
    ledger.tick(at(121), true).unwrap();
    let told_then: Vec<_> = drain(&mut ledger, at(121)).into_iter().flat_map(|alert| alert.accesses).collect();
    assert_eq!(told_then.iter().map(|access| access.event_id.as_str()).collect::<Vec<_>>(), ["51"]);
    assert_eq!(told(&mut ledger, at(200), &[(150, "ann", "db"), (151, "zoe", "db")]), ["151"]);
}

#[test]
fn the_past_is_read_once_and_a_restart_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let open = |now| Ledger::open(dir.path(), settings(vec![new_reader(7 * DAY, 20 * DAY)]), now).unwrap();
    let mut ledger = open(at(0));
    let [past] = &ledger.past(&source())[..] else { panic!("the past is to be read") };
    let mut coverage = past.coverage.clone();
    coverage.read(Span { from: EventTime(START - 2 * DAY), to: past.span.to }, at(1));
    ledger.cover_past(&source(), EVENT_SOURCE, coverage, at(1)).unwrap();
    ledger.flush().unwrap();
    drop(ledger);

    let mut ledger = open(at(600));
    let [past] = &ledger.past(&source())[..] else { panic!("the rest of the past is to be read") };
    let left = past.coverage.unread(past.span);
    assert_eq!(left, [Span { from: EventTime(START - 20 * DAY), to: EventTime(START - 2 * DAY - 1) }]);
    read_the_past(&mut ledger, at(700), &[(-15 * DAY, "ann", "db")]);
    ledger.flush().unwrap();
    drop(ledger);

    let mut ledger = open(at(800));
    assert!(ledger.past(&source()).is_empty(), "it is known");
    assert_eq!(told(&mut ledger, at(800), &[(750, "ann", "db"), (751, "eve", "db")]), ["751"]);
}

#[test]
fn a_rule_that_comes_later_remembers_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let open = |rules, now| Ledger::open(dir.path(), settings(rules), now).unwrap();
    let mut ledger = open(vec![rule("r")], at(0));
    told(&mut ledger, at(10), &[(0, "ann", "db")]);
    drop(ledger);
    let ten_days = 10 * DAY;
    let mut ledger = open(vec![new_reader(7 * DAY, 0)], at(ten_days));
    let page = [(ten_days + 10, "ann", "db"), (ten_days + 11, "bob", "db")];
    assert_eq!(told(&mut ledger, at(ten_days + 20), &page), [(ten_days + 11).to_string()]);
    // What it counts by is another matter than what it remembers.
    drop(ledger);
    let changed = Rule { threshold: 2, ..new_reader(7 * DAY, 0) };
    let mut ledger = open(vec![changed], at(ten_days + 2 * HOUR));
    let page = [(ten_days + 2 * HOUR, "ann", "db"), (ten_days + 2 * HOUR + 1, "bob", "db")];
    assert_eq!(told(&mut ledger, at(ten_days + 2 * HOUR + 5), &page), [""; 0]);
}

#[test]
fn a_source_that_comes_later_learns_for_itself() {
    let later = crate::ledger::source_of("444455556666");
    let dir = tempfile::tempdir().unwrap();
    let both = LedgerSettings { sources: vec![source(), later], ..settings(vec![new_reader(7 * DAY, 0)]) };
    drop(Ledger::open(dir.path(), settings(vec![new_reader(7 * DAY, 0)]), at(0)).unwrap());
    let mut ledger = Ledger::open(dir.path(), both, at(8 * DAY)).unwrap();
    let own = access("own", START + 8 * DAY + 5, "db", "ann");
    let other = Access { account: "444455556666".to_owned(), ..access("other", START + 8 * DAY + 6, "db", "bob") };
    ledger.take(vec![own, other], at(8 * DAY + 10)).unwrap();
    let alerts = drain(&mut ledger, at(8 * DAY + 10));
    let ids: Vec<_> = alerts.iter().flat_map(|alert| &alert.accesses).map(|access| &access.event_id).collect();
    assert_eq!(ids, ["own"]);
}

#[test]
fn accesses_without_a_value_are_no_news() {
    let mut ledger = ledger(new_reader(0, 0));
    let nameless = Access { secret: None, ..access("x", START, "s", "ann") };
    ledger.take(vec![nameless], at(5)).unwrap();
    assert!(drain(&mut ledger, at(5)).is_empty());
}

/// The ids that are news, from the definition alone.
fn naive(rule: &Rule, accesses: &[Access]) -> BTreeSet<String> {
    let first_seen = rule.first_seen.as_ref().unwrap();
    let same = |a: &Access, b: &Access| a.principal == b.principal && a.secret == b.secret;
    let was_seen = |it: &Access| {
        let (from, to) = (it.time.minus(first_seen.memory), it.time.minus(rule.window));
        accesses.iter().any(|other| same(it, other) && from <= other.time && other.time <= to)
    };
    accesses.iter().filter(|it| !was_seen(it)).map(|it| it.event_id.clone()).collect()
}

proptest! {
    #![proptest_config(crate::cases(48))]

    /// As long as no access is later than the window is long.
    #[test]
    fn every_order_finds_the_same_news(
        seen in prop::collection::vec((0i64..3000, 0i64..100, 0..2u8, 0..2u8), 1..60),
        size in 1usize..12,
        memory in 101i64..1500,
    ) {
        let mut rule = new_reader(0, 0);
        rule.window = 100;
        rule.first_seen.as_mut().unwrap().memory = memory;
        let mut arriving: Vec<(i64, Access)> = seen.iter().enumerate().map(|(i, (secs, late, who, which))| {
            (secs + late, access(&format!("e{i}"), START + secs, &format!("s{which}"), &format!("p{who}")))
        }).collect();
        let accesses: Vec<Access> = arriving.iter().map(|(_, access)| access.clone()).collect();
        arriving.sort_by_key(|(arrival, _)| *arrival);
        let mut ledger = ledger(rule.clone());
        let mut told = BTreeSet::new();
        // Newest first within a page, as CloudTrail serves them.
        for page in arriving.chunks(size) {
            let now = at(5000);
            ledger.take(page.iter().rev().map(|(_, access)| access.clone()).collect(), now).unwrap();
            ledger.tick(now, true).unwrap();
            told.extend(drain(&mut ledger, now).into_iter().flat_map(|it| it.accesses).map(|it| it.event_id));
        }
        prop_assert_eq!(told, naive(&rule, &accesses));
    }
}

/// The past counts for nobody but those who want to know it.
#[test]
fn the_past_is_counted_by_no_other_rule() {
    let mut ledger = Ledger::in_memory(settings(vec![new_reader(0, 20 * DAY), rule("r")]), at(0)).unwrap();
    assert_eq!(read_the_past(&mut ledger, at(5), &[(-10 * DAY, "ann", "db")]), [""; 0]);
    assert!(ledger.access(&(-10 * DAY).to_string()).unwrap().is_some(), "it is kept all the same");
    let known: &Coverage = &ledger.sources()[&source()].coverage[EVENT_SOURCE];
    assert_eq!(known.since(), EventTime(START).minus(HOUR), "and nothing of it is a backlog");
}

/// The daemon itself: the past is read below everything else, and what is new is told when it knows.
#[tokio::test(start_paused = true)]
async fn the_daemon_reads_the_past_when_it_has_time_for_it() {
    let rule = "[[rule]]\nname = \"new\"\nevents = [\"GetSecretValue\"]\nupdate_every = \"1s\"\n\
                first_seen = { of = [\"principal\", \"secret\"], memory = \"20d\", learn = \"7d\", seed = \"20d\" }\n";
    let settings = Settings { quota: None, lateness: Lateness::none(), ..Settings::default() };
    let world = Paused::new(settings, "interval = \"1m\"\nbackfill = \"1h\"\n", rule);
    let read = |who: &str| Record::read("prod/db").by(Caller::user("111122223333", who));
    world.put(read("ann"), -15 * DAY, 0);
    // More than one request for each day, so that a pass has to give way.
    let past: Vec<String> = (0..400).map(|number| world.put(read("bob"), -10 * DAY - number, 0)).collect();
    let (known, new) = (world.put(read("ann"), 30, 0), world.put(read("eve"), 40, 0));
    world.watch(1_200).await;
    let told = world.told();
    assert!(told.contains_key(&new) && !told.contains_key(&known), "{told:?}");
    let late = world.put(read("bob"), 1_230, 0);
    let newer = world.put(read("zoe"), 1_231, 0);
    world.watch(300).await;
    let told = world.told();
    assert!(told.contains_key(&newer) && !told.contains_key(&late), "{told:?}");
    assert!(world.alerts_of("blind").is_empty(), "what is read besides makes nobody blind");
    // Not again by the second daemon; where a reading gave way amid a second, that second is read again.
    let readings = world.readings();
    let times: usize = past.iter().map(|id| readings[id].len()).sum();
    assert!((past.len()..past.len() + 50).contains(&times), "{times} readings of {} events", past.len());
}

#[test]
fn the_past_of_a_source_that_comes_later_is_counted_by_no_older_rule() {
    let later = crate::ledger::source_of("444455556666");
    let dir = tempfile::tempdir().unwrap();
    let rules = || vec![new_reader(7 * DAY, 20 * DAY), rule("r")];
    drop(Ledger::open(dir.path(), settings(rules()), at(0)).unwrap());
    let both = LedgerSettings { sources: vec![source(), later], ..settings(rules()) };
    let mut ledger = Ledger::open(dir.path(), both, at(25 * DAY)).unwrap();
    let of_theirs = |secs: i64| Access {
        account: "444455556666".to_owned(),
        ..access(&format!("theirs{secs}"), START + secs, "db", "ann")
    };
    ledger.take(vec![of_theirs(15 * DAY), of_theirs(25 * DAY - 60)], at(25 * DAY)).unwrap();
    let alerts = drain(&mut ledger, at(25 * DAY));
    let told: Vec<_> = alerts.iter().flat_map(|alert| &alert.accesses).map(|access| &access.event_id).collect();
    assert_eq!(told, [&format!("theirs{}", 25 * DAY - 60)]);
}

/// A kill between knowing and counting: the rule is not ready in the rows, and the next start counts.
#[test]
fn knowing_and_having_to_count_again_are_one_write() {
    let disk = SimulatedDisk::new();
    let open = |now| Ledger::simulated(&disk, settings(vec![new_reader(7 * DAY, 20 * DAY)]), now);
    let mut ledger = open(at(0)).unwrap();
    told(&mut ledger, at(60), &[(51, "eve", "db")]);
    ledger.flush().unwrap();
    let [past] = &ledger.past(&source())[..] else { panic!("the past is to be read") };
    let mut coverage = past.coverage.clone();
    coverage.read(past.span, at(100));
    // The second write, which is what counting comes to, and all after it fail.
    let mut writes = 0;
    disk.watch(move |stroke| {
        writes += u32::from(stroke == Stroke::Apply);
        if writes > 2 { Struck::Failed(std::io::ErrorKind::Other) } else { Struck::Done }
    });
    assert!(ledger.cover_past(&source(), EVENT_SOURCE, coverage, at(100)).is_err());
    drop(ledger);
    disk.watch(|_| Struck::Done);
    let mut ledger = open(at(200)).unwrap();
    let alerts = drain(&mut ledger, at(200));
    let ids: Vec<_> = alerts.iter().flat_map(|alert| &alert.accesses).map(|access| &access.event_id).collect();
    assert_eq!(ids, ["51"]);
}
