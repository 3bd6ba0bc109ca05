//! What goes wrong outside, and when: phases in which some calls are struck, and jumps of the daemon's clock.

use std::sync::Mutex;
use std::time::Duration;

use secretwatch::demo::{Account, Call, Fault, Injection, Spoiled};
use secretwatch::model::WallTime;
use tokio_util::sync::CancellationToken;

use super::story::{EXTRA, RELIEF, Story, topic_arn};

/// From one time to another.
#[derive(Clone, Copy, Debug)]
struct Phase {
    from: WallTime,
    to: WallTime,
}

impl Phase {
    /// Within the time of trouble; never longer than a third of it.
    fn draw(story: &Story, rng: &mut fastrand::Rng) -> Self {
        let trouble = story.times.trouble;
        let from = rng.i64(0..trouble);
        let length = rng.i64(1..=trouble / 3).min(trouble - from);
        Self { from: story.start.plus(from).wall(), to: story.start.plus(from + length).wall() }
    }

    fn holds(self, at: WallTime) -> bool {
        self.from <= at && at < self.to
    }
}

/// Injects everything that will go wrong in the account.
pub(crate) fn brew(story: &mut Story, account: &Account, rng: &mut fastrand::Rng) {
    for _ in 0..rng.usize(0..7) {
        let (fault, chance) = reading_fault(rng);
        let place = rng.choice(&story.sources).cloned().filter(|_| rng.bool());
        let strikes = move |call: &Call| {
            let here =
                place.as_ref().is_none_or(|(account, region)| call.account == *account && call.region == *region);
            call.operation == "LookupEvents" && here
        };
        inject(account, Phase::draw(story, rng), strikes, fault, chance, rng);
    }
    let topics: Vec<&str> = story.topics.iter().copied().chain([EXTRA, RELIEF]).collect();
    for _ in 0..rng.usize(0..5) {
        let (fault, chance) = sending_fault(rng);
        story.refusals |= matches!(&fault, Fault::Error { status: 400..500, .. });
        let arn = topic_arn(topics[rng.usize(..topics.len())]);
        let strikes =
            move |call: &Call| call.operation == "Publish" && call.parameters["TopicArn"].as_str() == Some(&arn);
        inject(account, Phase::draw(story, rng), strikes, fault, chance, rng);
    }
    if rng.u8(0..3) == 0 {
        let strikes = |call: &Call| matches!(&*call.operation, "AssumeRole" | "GetCallerIdentity" | "ListSecrets");
        // Nothing that the SDK would retry: its budget for that belongs to the process, and so to other worlds, too.
        inject(account, Phase::draw(story, rng), strikes, Fault::denied(), 0.5, rng);
    }
}

fn inject(
    account: &Account,
    phase: Phase,
    strikes: impl Fn(&Call) -> bool + Send + 'static,
    fault: Fault,
    chance: f64,
    rng: &mut fastrand::Rng,
) {
    let dice = Mutex::new(fastrand::Rng::with_seed(rng.u64(..)));
    let strikes = move |call: &Call| {
        phase.holds(call.at) && strikes(call) && dice.lock().expect("dice do not panic").f64() < chance
    };
    account.inject(Injection::when(strikes, fault).until_lifted());
}

/// What may happen to a lookup, and how often while it does.
fn reading_fault(rng: &mut fastrand::Rng) -> (Fault, f64) {
    match rng.u8(0..12) {
        0 => (Fault::throttled(), 0.6),
        1 => (Fault::internal(), 0.5),
        2 => (Fault::unavailable(), 1.0),
        3 => (Fault::CutBody, 0.4),
        4 => (Fault::Garbled, 0.4),
        5 => (Fault::Empty, 0.4),
        6 => (Fault::RefuseToken, 0.5),
        7 => (Fault::denied(), 1.0),
        8 => (Fault::Hang(CancellationToken::new()), 0.2),
        9 => (Fault::Page(Spoiled::Reversed), 0.3),
        _ => (Fault::Page(Spoiled::Short), 0.7),
    }
}

/// What may happen to a message. Spoiled answers come after the deed: it was accepted, and nobody knows.
fn sending_fault(rng: &mut fastrand::Rng) -> (Fault, f64) {
    match rng.u8(0..8) {
        0 => (Fault::unavailable(), 1.0),
        1 => (Fault::throttled(), 0.7),
        2 => (Fault::error(403, "AuthorizationError", "no"), 1.0),
        3 => (Fault::error(400, "InvalidParameter", "no"), 0.5),
        4 => (Fault::CutBody, 0.6),
        5 => (Fault::Garbled, 0.6),
        6 => (Fault::Hang(CancellationToken::new()), 0.3),
        _ => (Fault::Empty, 0.6),
    }
}

/// How far the daemon's clock is off from when on, in milliseconds. In the beginning and in the end it is right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jumps(Vec<(WallTime, i64)>);

impl Jumps {
    /// It is off by `by` from `from` seconds on, for so many seconds.
    pub(crate) fn once(story: &Story, (from, length): (i64, i64), by: Duration) -> Self {
        let at = |secs| story.start.plus(secs).wall();
        let by = i64::try_from(by.as_millis()).expect("a jump of some days");
        Self(vec![(at(from), by), (at(from + length), 0)])
    }

    pub(crate) fn draw(story: &Story, rng: &mut fastrand::Rng) -> Self {
        let mut jumps = Vec::new();
        if rng.u8(0..2) == 0 {
            for _ in 0..rng.usize(1..4) {
                let at = story.start.plus(rng.i64(story.times.trouble / 8..story.times.trouble)).wall();
                let most = 1_000 * [30, 600, 3 * story.times.lateness][rng.usize(..3)];
                jumps.push((at, rng.i64(-most..=most)));
            }
            jumps.push((story.calm(), 0));
            jumps.sort_unstable();
        }
        Self(jumps)
    }

    /// What the daemon's clock shows at `now`.
    pub(crate) fn shown(&self, now: WallTime) -> WallTime {
        let last = self.0.iter().rev().find(|(at, _)| *at <= now);
        WallTime(now.0 + last.map_or(0, |(_, off)| *off))
    }
}
