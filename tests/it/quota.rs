//! Within AWS's quota, in paused time: how fast a backlog goes, that it delays nothing new, how a source is read that is
//! too busy to be read whole, and what is said of one that cannot be read at all.
//!
//! Nothing takes time here but waiting, so times are judged exactly. Interval and lateness are smaller than an operator's
//! where that makes a world cheap; only their ratio matters.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use secretwatch::demo::{Call, Fault, Injection, Record, Settings};
use secretwatch::model::WallTime;
use secretwatch::trail::PAGE_EVENTS;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::rig::paused::Paused;
use crate::rig::{EVERY_READ, text};

/// An event of which no rule tells.
fn unheard() -> Record {
    Record::new("DescribeSecret").secret("prod/app/db")
}

/// What a request takes that goes out while another is waited for: none takes any time here, but a poll and a request
/// may be due at the same instant.
const AT_ONCE: u64 = 1;

/// When an event happened and how many seconds later it shows.
type Shown = (i64, u64);

/// Puts `events` of which no rule tells; returns when each happened and when it shows, by its id.
fn put_all(world: &Paused, events: impl IntoIterator<Item = Shown>) -> BTreeMap<String, Shown> {
    events.into_iter().map(|(at, late)| (world.put(unheard(), at, late), (at, late))).collect()
}

/// So many events a second, from one second to another, that show as late as `late` draws.
fn evenly(per_second: f64, from: i64, to: i64, mut late: impl FnMut() -> u64) -> Vec<Shown> {
    #[expect(clippy::cast_possible_truncation, reason = "some thousand seconds")]
    let at = |number: u32| from + (f64::from(number) / per_second) as i64;
    (0..).map(at).take_while(|at| *at < to).map(|at| (at, late())).collect()
}

/// Seconds from one to the other.
fn secs(from: WallTime, to: WallTime) -> u64 {
    to.since(from).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_backlog_goes_at_the_whole_rate() {
    let world = Paused::new(Settings::default(), "requests_per_second = 2.0\nbackfill = \"6h\"", "");
    let backlog = put_all(&world, evenly(1.0, -6 * 3600 + 60, -6 * 3600 + 10_060, || 0));
    world.watch(180).await;
    let served = world.served();
    let pages: Vec<_> = served.iter().filter(|page| !page.ids.is_empty()).collect();
    let (first, last) = (served[0].at, pages[pages.len() - 1].at);
    let fastest = backlog.len() as f64 / (2.0 * f64::from(PAGE_EVENTS));
    let ratio = last.since(first).as_secs_f64() / fastest;
    assert!(ratio <= 1.03, "{ratio} times as long as the quota makes necessary");
    assert_eq!((world.refused(), world.account.strained(2)), (0, Vec::new()));
    world.knows_all(backlog.keys());
}

#[tokio::test(start_paused = true)]
async fn catching_up_delays_nothing_new() {
    const DAY: i64 = 86_400;
    let world = Paused::new(Settings::default(), "requests_per_second = 0.1\nbackfill = \"4d\"", EVERY_READ);
    let backlog = put_all(&world, evenly(0.01, -4 * DAY + 10, -2 * 3600, || 0));
    let fresh: BTreeMap<String, WallTime> = (0..20)
        .map(|number| {
            let (at, late) = (i64::from(number) * 97 + 5, [0, 20, 130, 610][number as usize % 4]);
            let id = world.put(Record::read(&format!("fresh-{number}")), at, late);
            (id, Paused::at(at).wall().plus(Duration::from_secs(late)))
        })
        .collect();
    world.watch(3_600).await;
    let told = world.told();
    for (id, visible) in &fresh {
        let waited = secs(*visible, told[id]);
        assert!(waited <= 60 + AT_ONCE, "{id} was told of {waited} s after it showed");
    }
    world.knows_all(backlog.keys());
    assert_eq!(world.refused(), 0);
    // Oldest first, a day at a time.
    let readings = world.readings();
    let by_day = (-4..-1).map(|day| {
        let of_day = backlog.iter().filter(|(_, (at, _))| at.div_euclid(DAY) == day);
        let first = of_day.map(|(id, _)| readings[id][0]);
        (first.clone().min(), first.max())
    });
    let days: Vec<_> = by_day.collect();
    assert!(days.is_sorted_by(|(_, last), (next, _)| last < next), "{days:?}");
}

/// A source with more events than one poll can read of a whole horizon, for so many seconds; events show as late as
/// the horizon allows.
struct Busy {
    world: Paused,
    events: BTreeMap<String, Shown>,
    interval: u64,
    lateness: u64,
    requests_per_second: f64,
}

impl Busy {
    async fn watched(per_second: f64, requests_per_second: f64, lateness: u64, length: u64) -> Self {
        let poll = format!(
            "requests_per_second = {requests_per_second}\nlateness = \"{lateness}s\"\nrecheck = \"0s\"\nbackfill = \"{lateness}s\""
        );
        let world = Paused::new(Settings::default(), &poll, "");
        let mut rng = fastrand::Rng::with_seed(3);
        // Half of them at once, the others as late as it may be.
        let late = || if rng.bool() { 0 } else { rng.u64(0..lateness) };
        // It has been as busy before, since nobody can tell beforehand that it is about to be.
        let seconds = |length: u64| i64::try_from(length).expect("an hour or so");
        let events = put_all(&world, evenly(per_second, -seconds(lateness), seconds(length), late));
        world.watch(length + lateness + 240).await;
        Self { world, events, interval: 60, lateness, requests_per_second }
    }

    /// What happened after the daemon had begun and learnt how busy the source is.
    fn lately(&self) -> impl Iterator<Item = (&String, &Shown)> {
        self.events.iter().filter(|(_, (at, _))| at.unsigned_abs() > self.lateness && *at > 0)
    }

    /// Nothing is missing, nobody is blind, and the requests were within the share and none too many.
    #[track_caller]
    fn is_read_within_its_share(&self) {
        self.world.knows_all(self.events.keys());
        assert_eq!((self.world.refused(), self.world.alerts().len()), (0, 0));
        let served = self.world.served();
        let (from, to) = (served[0].at, served[served.len() - 1].at);
        let rate = (served.len() - 1) as f64 / to.since(from).as_secs_f64();
        assert!(rate <= self.requests_per_second, "{rate} requests/s");
    }

    /// Each second was read when it was new, as events show that are never late, and again when nothing could come any
    /// more.
    #[track_caller]
    fn is_read_twice_at_least(&self) {
        let readings = self.world.readings();
        for (id, (at, late)) in self.lately() {
            let happened = Paused::at(*at).wall();
            let ages: Vec<u64> = readings[id].iter().map(|reading| secs(happened, *reading)).collect();
            let settled = ages.iter().any(|age| (self.lateness..=self.lateness + 2 * self.interval).contains(age));
            assert!(settled, "{at} shown after {late} s was read at {ages:?}");
            let is_early = ages.len() >= 2 && ages[0] <= 2 * self.interval;
            assert!(*late > 0 || is_early, "{at} was read at {ages:?}");
        }
    }

    /// What became visible at age `d` was found by the age that `ratio` promises.
    #[track_caller]
    fn is_found_in_time(&self, ratio: u64) {
        let readings = self.world.readings();
        // A pass takes a while: its last page comes up to an interval after its first.
        let slack = self.interval;
        for (id, (at, late)) in self.lately() {
            let promised = (ratio * late + (ratio - 1) * self.interval).min(self.lateness + self.interval);
            let found = secs(Paused::at(*at).wall(), readings[id][0]);
            assert!(found <= promised + slack, "{at} shown after {late} s was found after {found} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_too_busy_for_whole_horizons_is_read_twice() {
    // Three requests bring what happens between two polls, and a poll has seven.
    let busy = Busy::watched(2.0, 0.1167, 300, 900).await;
    busy.is_read_within_its_share();
    busy.is_read_twice_at_least();
    busy.is_found_in_time(6);
}

#[tokio::test(start_paused = true)]
async fn late_events_of_a_busy_source_are_found_by_the_age_that_is_promised() {
    // One request brings what happens between two polls: four readings of each are affordable, so the ratio is 3.
    let busy = Busy::watched(0.8, 0.08, 900, 2_100).await;
    busy.is_read_within_its_share();
    busy.is_read_twice_at_least();
    busy.is_found_in_time(3);
}

/// A source on which far more happens than can be read, for thirteen minutes, with a read of a secret every two; and what
/// became of it.
struct Flood {
    world: Paused,
    events: BTreeMap<String, Shown>,
    /// When each happened, in seconds from the beginning.
    reads: BTreeMap<String, i64>,
}

impl Flood {
    /// Six requests between two polls bring half of what happens.
    async fn watched(poll: &str) -> Self {
        const LENGTH: i64 = 780;
        let poll = format!(
            "requests_per_second = 0.1\nlateness = \"2m\"\nstale_after = \"5m\"\nbackfill = \"1m\"\n\
             recheck = \"0s\"\n{poll}"
        );
        let world = Paused::new(Settings::default(), &poll, EVERY_READ);
        let events = put_all(&world, evenly(10.0, 0, LENGTH, || 0));
        let read = |at: i64| (world.put(Record::read(&format!("secret-{at}")), at, 0), at);
        // The poll after it begins 53 seconds after one half of them, and three after the other.
        let reads = (0..LENGTH / 60).map(|number| read(number * 60 + [7, 57][number as usize % 2])).collect();
        world.watch(3_600).await;
        Self { world, events, reads }
    }

    /// It was said to be behind, with figures; then all was read, and that was said too. The alert that said so first.
    #[track_caller]
    fn is_behind_and_caught_up(&self) -> Value {
        self.world.knows_all(self.events.keys().chain(self.reads.keys()));
        assert_eq!(self.world.refused(), 0);
        let (blind, sighted) = (self.world.alerts_of("blind"), self.world.alerts_of("sighted"));
        let [blind, sighted] = [&blind[..], &sighted[..]].map(|alerts| match alerts {
            [one] => one.clone(),
            _ => panic!("{alerts:#?}"),
        });
        assert_eq!(blind.alert["trouble"], "behind", "{:#}", blind.alert);
        let reason = text(&blind.alert, "reason");
        assert!(reason.contains("10 events happen each second, and it can read 5"), "{reason}");
        assert!(secs(Paused::at(0).wall(), blind.at) <= 420, "{}", blind.at);
        assert!(sighted.at > Paused::at(780).wall(), "{}", sighted.at);
        blind.alert
    }

    /// How long after it happened the latest of the reads was told of that happened `from` then on.
    fn slowest(&self, from: i64) -> u64 {
        let told = self.world.told();
        let reads = self.reads.iter().filter(|(_, at)| **at >= from);
        reads.map(|(id, at)| secs(Paused::at(*at).wall(), told[id])).max().expect("some reads")
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_read_is_said_with_figures_and_read_in_the_end() {
    let flood = Flood::watched("").await;
    let blind = flood.is_behind_and_caught_up();
    assert!(text(&blind, "advice").contains("narrow_when_behind"), "{blind:#}");
    // Each poll reads the newest first, twenty seconds of each minute.
    let told = flood.world.told();
    for (id, at) in flood.reads.iter().filter(|(_, at)| **at % 60 == 57) {
        assert!(secs(Paused::at(*at).wall(), told[id]) <= 60 + AT_ONCE, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_narrowed_source_tells_of_reads_in_time() {
    let flood = Flood::watched("narrow_when_behind = true").await;
    flood.is_behind_and_caught_up();
    let narrowed: Vec<_> = flood.world.served().into_iter().filter(|page| page.wanted == "GetSecretValue").collect();
    let (first, last) = (narrowed[0].at, narrowed[narrowed.len() - 1].at);
    assert!(secs(Paused::at(0).wall(), first) <= 480, "{first}");
    assert!(flood.slowest(480) <= 60 + AT_ONCE, "{}", flood.slowest(480));
    let sighted = flood.world.alerts_of("sighted")[0].at;
    assert!(last <= sighted, "narrowed until {last}, sighted at {sighted}");
    let whole = flood.world.served().into_iter().rfind(|page| page.wanted != "GetSecretValue");
    assert!(whole.is_some_and(|page| page.at > last));
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_others_use_is_shared() {
    let world = Paused::new(Settings::default(), "requests_per_second = 2.0\nbackfill = \"6h\"", "");
    let backlog = put_all(&world, evenly(1.0, -6 * 3600 + 60, -6 * 3600 + 7_560, || 0));
    let dice = Mutex::new(fastrand::Rng::with_seed(5));
    let until = Paused::at(60).wall();
    let strikes = move |call: &Call| {
        call.operation == "LookupEvents" && call.at < until && dice.lock().expect("dice do not panic").f64() < 0.3
    };
    world.account.inject(Injection::when(strikes, Fault::throttled()).until_lifted());
    world.watch(420).await;
    world.knows_all(backlog.keys());
    let times: Vec<WallTime> = world.served().iter().map(|page| page.at).collect();
    assert!(world.refused() * 5 <= times.len(), "{} refused, {} served", world.refused(), times.len());
    // Two minutes after the last refusal the whole rate is back.
    let after = times.iter().filter(|at| **at >= Paused::at(180).wall()).collect::<Vec<_>>();
    let spaced = after.windows(2).filter(|pair| pair[1].since(*pair[0]) == Duration::from_millis(500)).count();
    assert!(spaced >= 10 || after.len() < 10, "{spaced} of {}", after.len());
}

#[tokio::test(start_paused = true)]
async fn a_straggler_is_told_of_and_visibility_outlives_a_restart() {
    let poll = "lateness = \"2m\"\nrecheck = \"30m\"\nbackfill = \"10m\"";
    let world = Paused::new(Settings::default(), poll, EVERY_READ);
    let straggler = world.put(Record::read("prod/late"), 30, 1_200);
    let in_time: Vec<String> =
        (0..40).map(|number| world.put(Record::read("prod/app"), number * 20, [3, 100][number as usize % 2])).collect();
    world.watch(900).await;
    let seen = |world: &Paused| {
        world.ledger().sources()[&Paused::source()].visibility.lately().cumulative().collect::<Vec<_>>()
    };
    assert!(!world.told().contains_key(&straggler));
    world.watch(2_400).await;
    let told = world.told();
    assert!(in_time.iter().all(|id| told.contains_key(id)));
    let waited = secs(Paused::at(30).wall(), told[&straggler]);
    // A recheck is put off by a 24th of its age at least, so that one request serves many seconds.
    assert!((1_800..=1_800 + 75 + 120).contains(&waited), "{waited}");
    let counted = seen(&world);
    let up_to = |bound: u64| counted.iter().find(|(at, _)| *at == bound).map(|(_, count)| *count);
    assert_eq!(up_to(172_800), Some(41), "{counted:?}");
    assert_eq!(up_to(900), Some(40), "{counted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_far_behind_is_a_trouble() {
    let mut world = Paused::new(Settings::default(), "stale_after = \"5m\"", EVERY_READ);
    world.set_clock_behind(Duration::from_secs(900));
    world.watch(900).await;
    let blind = world.alerts_of("blind");
    assert_eq!(blind.len(), 1);
    assert_eq!(blind[0].alert["trouble"], "clock");
    assert!(text(&blind[0].alert, "reason").contains("the local clock is 15 minutes behind"), "{:#}", blind[0].alert);
}

#[tokio::test(start_paused = true)]
async fn one_slow_source_delays_no_other() {
    let accounts = "[[account]]\nname = \"self\"\nregions = [\"us-east-1\", \"eu-west-1\", \"ap-south-1\"]\n";
    let world = Paused::new(Settings::default(), "stale_after = \"10m\"", &format!("{EVERY_READ}{accounts}"));
    world.slow_down("eu-west-1", Duration::from_secs(30));
    let hangs = |call: &Call| call.operation == "LookupEvents" && call.region == "ap-south-1";
    world.account.inject(Injection::when(hangs, Fault::Hang(CancellationToken::new())).until_lifted());
    let reads: BTreeMap<String, WallTime> = (0..20)
        .map(|number| (world.put(Record::read(&format!("s{number}")), number * 61, 0), Paused::at(number * 61).wall()))
        .collect();
    world.watch(1_300).await;
    let told = world.told();
    for (id, at) in &reads {
        assert!(secs(*at, told[id]) <= 60 + AT_ONCE, "{id}");
    }
    let mut blind: Vec<String> = world
        .alerts_of("blind")
        .iter()
        .map(|it| it.alert["group"]["region"].as_str().unwrap_or("?").to_owned())
        .collect();
    blind.sort_unstable();
    assert_eq!(blind, ["ap-south-1", "eu-west-1"], "they are said to be unreadable");
}

#[tokio::test(start_paused = true)]
async fn a_second_with_more_pages_than_a_poll_has_requests_is_finished() {
    let world = Paused::new(Settings::default(), "interval = \"10s\"\nbackfill = \"1m\"", EVERY_READ);
    let crowd = put_all(&world, std::iter::repeat_n((20, 0), 1_200));
    let before = world.put(Record::read("before"), 15, 0);
    let after: Vec<(String, i64)> =
        (25..75).step_by(10).map(|at| (world.put(Record::read(&format!("after-{at}")), at, 0), at)).collect();
    world.watch(180).await;
    world.knows_all(crowd.keys());
    let told = world.told();
    assert!(told.contains_key(&before));
    for (id, at) in after {
        // The crowded second takes 24 requests, and is not broken off.
        assert!(secs(Paused::at(at).wall(), told[&id]) <= 10 + 24 + AT_ONCE, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_source_that_is_too_busy_does_not_keep_anothers_backlog_waiting() {
    let poll = "event_sources = [\"kms.amazonaws.com\", \"secretsmanager.amazonaws.com\"]\n\
                requests_per_second = 0.2\nbackfill = \"3h\"\nlateness = \"2m\"\nrecheck = \"0s\"\nstale_after = \"1h\"";
    let world = Paused::new(Settings::default(), poll, EVERY_READ);
    let backlog: Vec<String> =
        (0..100).map(|number| world.put(Record::read("prod/db"), number * 100 - 10_790, 0)).collect();
    for (at, _) in evenly(20.0, 0, 900, || 0) {
        world.put(Record::new("Decrypt").source("kms.amazonaws.com"), at, 0);
    }
    world.watch(900).await;
    world.knows_all(&backlog);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_month_ahead_gives_nothing_up() {
    let mut world = Paused::new(Settings::default(), "backfill = \"1h\"", EVERY_READ);
    world.watch(120).await;
    let missed: Vec<String> = (0..36).map(|number| world.put(Record::read("prod/db"), 600 + number * 600, 0)).collect();
    world.account.clock().advance(Duration::from_secs(6 * 3600));
    world.set_clock_ahead(Duration::from_secs(40 * 86_400));
    world.watch(600).await;
    let told = world.told();
    assert!(missed.iter().all(|id| told.contains_key(id)), "{} of {}", told.len(), missed.len());
}

#[tokio::test(start_paused = true)]
async fn narrowing_ends_with_its_key() {
    let poll = |narrow: bool| {
        format!(
            "requests_per_second = 0.1\nlateness = \"2m\"\nstale_after = \"3m\"\nbackfill = \"1m\"\n\
             recheck = \"0s\"\nnarrow_when_behind = {narrow}"
        )
    };
    let mut world = Paused::new(Settings::default(), &poll(true), EVERY_READ);
    put_all(&world, evenly(10.0, 0, 900, || 0));
    let narrowed = |world: &Paused| world.served().iter().filter(|page| page.wanted == "GetSecretValue").count();
    world.watch(600).await;
    let before = narrowed(&world);
    assert!(before > 0);
    world.reconfigure(&poll(false), EVERY_READ);
    world.watch(300).await;
    assert_eq!(narrowed(&world), before);
}
