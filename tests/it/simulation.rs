//! The daemon in worlds that are drawn by lot: the real planner, engine, store and dispatchers, in paused time, between
//! an account and receivers that fail in every way that we could think of, killed at any step, and judged by an oracle
//! that knows the promise and nothing else.
//!
//! A seed is one world. One that fails is printed with the command that runs it alone; equal seeds make equal worlds.
//! CONTRIBUTING.md says how to run more of them.

mod mutations;
pub(crate) mod oracle;
pub(crate) mod story;
mod weather;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secretwatch::daemon::Fatal;
use secretwatch::demo::{Call, Fault, Injection};
use secretwatch::model::WallTime;
use secretwatch::store::StoreError;

use self::mutations::{Cursors, Mutation};
use self::oracle::Counted;
use self::story::{Story, Tweak};
use self::weather::Jumps;
use self::world::{End, Ended, Way, World};

/// Seeds of an ordinary `cargo test`.
const SEEDS: u64 = 16;

/// Nobody lives that long.
const FOR_EVER: WallTime = WallTime(i64::MAX);

/// A long run says how far it is after so many seeds.
const PROGRESS: u64 = 20;

/// What became of one seed.
struct Outcome {
    seed: u64,
    lives: Vec<String>,
    wrong: Vec<String>,
    trace: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, lives, wrong, .. } = self;
        writeln!(f, "── seed {seed} ──\n{}\n{}", lives.join("\n"), wrong.join("\n"))?;
        write!(f, "alone: SIMULATION_SEED={seed} cargo test --locked --test it simulation::seeds")
    }
}

/// Plays one seed, with an engine that is right or has a mistake.
fn play(seed: u64, mutation: Option<Mutation>) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut story = Story::draw(&mut rng);
    let jumps = Jumps::draw(&story, &mut rng);
    let world = World::new(&story, seed, jumps, mutation);
    story.play(&world.account);
    weather::brew(&mut story, &world.account, &mut rng);

    let mut tweak = Tweak::default();
    let changes = rng.u8(0..4) == 0;
    let mut lives = vec![format!("{:?}, {} sources, {} events", story.times, story.sources.len(), story.events.len())];
    let mut wrong = Vec::new();
    while world.now() < story.calm() {
        let (way, end) = (way(&mut rng), end(&story, &world, &mut rng));
        let ended = world.live(&story.config(tweak), way, end, story.calm(), rng.u64(..));
        let is_bad = matches!(&ended, Ended::Fatally(fatal) if !is_expected(fatal, end));
        let life = format!("{way:?} until {} by {end:?}: {ended:?} after {} steps", world.now(), world.steps());
        if is_bad {
            wrong.push(format!("a life ended that should not: {life}"));
        }
        lives.push(life);
        let most = [10, 300, story.times.trouble / 6][rng.usize(..3)];
        let left = story.calm().since(world.now());
        world.pass(Duration::from_secs(rng.i64(1..=most.max(1)).unsigned_abs()).min(left));
        tweak.extra = rng.bool();
        tweak.wording = rng.u8(0..2);
        tweak.changed |= changes && rng.u8(0..4) == 0;
    }
    let ended = world.live(&story.config(tweak), Way::Run, End::StopAt(story.end()), FOR_EVER, rng.u64(..));
    if !matches!(ended, Ended::Well) {
        wrong.push(format!("the last life ended: {ended:?}"));
    }
    wrong.extend(oracle::complaints(&story, &counted(&story, tweak), &world.account.messages()));
    Outcome { seed, lives, wrong, trace: world.trace() }
}

/// The versions of all rules that there were.
pub(crate) fn counted(story: &Story, last: Tweak) -> Vec<Counted> {
    let rules = story.rules(last).into_iter().map(|rule| Counted { rule, to_the_end: true });
    let replaced = story.rules[0].clone();
    rules.chain(last.changed.then_some(Counted { rule: replaced, to_the_end: false })).collect()
}

fn way(rng: &mut fastrand::Rng) -> Way {
    match rng.u8(0..6) {
        0 => Way::Once(None),
        1 => Way::Once(Some(rng.u64(1..60))),
        _ => Way::Run,
    }
}

fn end(story: &Story, world: &World, rng: &mut fastrand::Rng) -> End {
    let most = 3.0 + rng.f64() * 7.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some steps, at most a thousand")]
    let steps = most.exp2() as u64;
    let seconds = rng.i64(1..=(story.times.trouble / 2).max(1));
    match rng.u8(0..8) {
        0 => End::CrashAfter(Duration::from_secs(seconds.unsigned_abs())),
        1 => End::StopAt(world.now().plus(Duration::from_secs(seconds.unsigned_abs()))),
        2 => End::DiskFullAtStep(rng.u64(1..=steps)),
        _ => End::CrashAtStep(rng.u64(1..=steps)),
    }
}

/// A full disk ends the daemon; nothing else may.
fn is_expected(fatal: &Fatal, end: End) -> bool {
    matches!(fatal, Fatal::Store(StoreError::Io { .. } | StoreError::Stopped)) && matches!(end, End::DiskFullAtStep(_))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

#[test]
fn seeds_keep_the_promise() {
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..=seed,
        None => {
            let first = number("SIMULATION_START").unwrap_or(1);
            first..=first + number("SIMULATION_SEEDS").unwrap_or(SEEDS) - 1
        }
    };
    let (mut played, mut failed) = (0, Vec::new());
    for seed in seeds {
        let outcome = play(seed, None);
        if number("SIMULATION_SEED").is_some() {
            println!("{outcome}");
        }
        if !outcome.wrong.is_empty() {
            eprintln!("{outcome}");
            failed.push(seed);
        }
        played += 1;
        if played % PROGRESS == 0 {
            eprintln!("{played} seeds played, the last of them {seed}; failed: {failed:?}");
        }
    }
    assert!(failed.is_empty(), "seeds that broke the promise: {failed:?}");
}

#[test]
fn equal_seeds_make_equal_worlds() {
    for seed in [4, 5] {
        let [one, other] = [play(seed, None), play(seed, None)].map(|outcome| outcome.trace);
        let parting = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(at) = parting.or((one.len() != other.len()).then_some(one.len().min(other.len()))) {
            let before = at.saturating_sub(5);
            let [one, other] = [&one, &other].map(|trace| trace[before.min(trace.len())..].iter().take(10));
            panic!("seed {seed} parts at {at}: {:#?} {:#?}", one.collect::<Vec<_>>(), other.collect::<Vec<_>>());
        }
    }
}

/// The mistake is seen in one of a few seeds.
#[track_caller]
fn is_caught(mistake: impl Fn() -> Mutation, wrong: &str) {
    const SEEDS: u64 = 12;
    let caught = (1..=SEEDS).map(|seed| play(seed, Some(mistake())));
    let caught = caught.into_iter().find(|outcome| outcome.wrong.iter().any(|complaint| complaint.contains(wrong)));
    let caught = caught.unwrap_or_else(|| panic!("none of {SEEDS} seeds has caught it"));
    println!("caught: {caught}");
}

#[test]
fn a_cursor_at_the_newest_event_is_caught() {
    is_caught(|| Mutation::Cursor(Arc::new(Mutex::new(Cursors::default()))), " missed ");
}

#[test]
fn counting_by_arrival_is_caught() {
    is_caught(|| Mutation::Arrival, " invented ");
}

#[test]
fn marking_before_sending_is_caught() {
    is_caught(|| Mutation::MarkedFirst, " missed ");
}

#[test]
fn a_dropped_flush_is_caught() {
    is_caught(|| Mutation::NoFlush, "");
}

/// Plays `story` in `world`, killed at step `crash_at` of its first life unless that is 0. Returns the steps of that life,
/// and what is wrong with what was told.
fn killed(story: &Story, world: &World, crash_at: u64) -> (u64, Vec<String>) {
    let config = story.config(Tweak::default());
    let end = if crash_at == 0 { End::StopAt(story.end()) } else { End::CrashAtStep(crash_at) };
    world.live(&config, Way::Run, end, FOR_EVER, crash_at);
    let steps = world.steps();
    if crash_at > 0 {
        world.live(&config, Way::Run, End::StopAt(story.end()), FOR_EVER, 0);
    }
    (steps, oracle::complaints(story, &counted(story, Tweak::default()), &world.account.messages()))
}

/// The small story, killed at step `crash_at`.
fn small(crash_at: u64) -> (u64, Vec<String>) {
    let story = Story::small();
    let world = World::new(&story, 1, Jumps::default(), None);
    story.play(&world.account);
    killed(&story, &world, crash_at)
}

#[test]
fn killed_at_every_step() {
    let (steps, wrong) = small(0);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(steps > 60, "only {steps} steps");
    for step in 1..=steps {
        let (reached, wrong) = small(step);
        assert_eq!(reached, step, "equal worlds make equal steps");
        assert!(wrong.is_empty(), "killed at step {step} of {steps}: {wrong:#?}");
    }
}

/// The small story with a topic that is down for good, and another that stands in for it at once.
fn relieved(crash_at: u64) -> (u64, Vec<String>) {
    let mut story = Story::small();
    story.relief_after = Some(0);
    let world = World::new(&story, 1, Jumps::default(), None);
    story.play(&world.account);
    let down = story::topic_arn(story.topics[0]);
    let strikes = move |call: &Call| call.operation == "Publish" && call.parameters["TopicArn"].as_str() == Some(&down);
    world.account.inject(Injection::when(strikes, Fault::unavailable()).until_lifted());
    let (steps, mut wrong) = killed(&story, &world, crash_at);
    let messages = world.account.messages();
    if !messages.iter().any(|message| message.attributes.get("fallback_for").is_some_and(|name| name == "alpha")) {
        wrong.push("nothing went by way of the fallback".to_owned());
    }
    (steps, wrong)
}

#[test]
fn killed_at_every_step_with_a_fallback() {
    let (steps, wrong) = relieved(0);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(steps > 60, "only {steps} steps");
    for step in 1..=steps {
        let (_, wrong) = relieved(step);
        assert!(wrong.is_empty(), "killed at step {step} of {steps}: {wrong:#?}");
    }
}

/// The small story with a clock that is far ahead for a while, and a clean restart afterwards or none.
fn ahead(days: u64, while_ahead: (i64, i64), stop_at: Option<i64>) -> Vec<String> {
    let story = Story::small();
    let jumps = Jumps::once(&story, while_ahead, Duration::from_secs(days * 86_400));
    let world = World::new(&story, 1, jumps, None);
    story.play(&world.account);
    let config = story.config(Tweak::default());
    if let Some(secs) = stop_at {
        world.live(&config, Way::Run, End::StopAt(story.start.plus(secs).wall()), FOR_EVER, 1);
    }
    world.live(&config, Way::Run, End::StopAt(story.end()), FOR_EVER, 1);
    oracle::complaints(&story, &counted(&story, Tweak::default()), &world.account.messages())
}

#[test]
fn a_first_start_with_a_clock_that_is_ahead_counts_from_when_it_is_set_right() {
    for days in [1, 40] {
        assert_eq!(ahead(days, (0, 100), None), Vec::<String>::new(), "{days} days");
        assert_eq!(ahead(days, (0, 100), Some(30)), Vec::<String>::new(), "{days} days, and a restart");
    }
}

#[test]
fn a_clock_that_is_ahead_by_more_than_the_retention_drops_nothing() {
    for stop_at in [None, Some(65), Some(125), Some(140)] {
        assert_eq!(ahead(40, (30, 100), stop_at), Vec::<String>::new(), "restarted at {stop_at:?}");
    }
}
