//! Who has started this process and waits for its word: systemd, or nobody.
//!
//! A [`Supervisor`] is told that the daemon is ready, that it reads its configuration again, that it stops, in a
//! sentence how it goes, and again and again that it is alive. That last word is the daemon's own loop's, after the
//! store has answered it: a loop that hangs, or a store that does, falls silent, and is restarted. A timer beside the
//! loop would go on telling that all is well.
//!
//! Absent on purpose: whether sources are read. One that is not is an alert, and no restart would mend it.

use std::ffi::OsString;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::model::{WallTime, count, printable};
use crate::store::{Health, Staleness};

/// Words that are sent within the time in which at least one is expected.
const WORDS_IN_TIME: u32 = 3;

/// The longest sentence, in characters: it is one line of `systemctl status`.
const SENTENCE_MAX: usize = 200;

/// Said where a new configuration does not come into force.
const REFUSED: &str = "the new configuration is wrong, the log says why, and the old one goes on";

/// An alert that has waited for less is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// Who waits for our word.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    /// Whether there is anybody.
    listens: bool,
    /// Within this time it wants to hear that we are alive.
    watchdog: Option<Duration>,
    /// The last sentence; what is no news is not said again.
    said: String,
    /// The configuration that was found last is not in force.
    refused: bool,
}

impl Supervisor {
    /// Whoever the environment of this process names.
    #[must_use]
    pub fn of_process() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket: OsString| !socket.is_empty());
        let watchdog = sd_notify::watchdog_enabled().filter(|patience| listens && !patience.is_zero());
        Self { listens, watchdog, ..Self::default() }
    }

    /// Whether anybody listens.
    pub(super) fn listens(&self) -> bool {
        self.listens
    }

    /// How far apart words of being alive may be, if there is anybody who wants them.
    pub(super) fn patience(&self) -> Duration {
        self.watchdog.map_or(Duration::MAX, |watchdog| watchdog / WORDS_IN_TIME)
    }

    /// Everything runs.
    pub(super) fn ready(&mut self, sources: usize) {
        self.say(&[NotifyState::Ready]);
        self.refused = false;
        self.sentence(format!("watching {}", count(sources as u64, "source")));
    }

    /// The configuration is read again. Ends with [`ready`](Self::ready) or [`goes_on`](Self::goes_on).
    pub(super) fn reloading(&mut self) {
        // systemd dates it: an answer to an earlier wish is none to this one.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(_) => self.say(&[NotifyState::Reloading]),
        }
        self.sentence("reading the configuration again".to_owned());
    }

    /// The new configuration was refused, and everything runs as before. That is part of every sentence until there is a
    /// better one: whoever asked for it has heard of no failure.
    pub(super) fn goes_on(&mut self) {
        self.say(&[NotifyState::Ready]);
        self.refused = true;
        self.sentence(REFUSED.to_owned());
    }

    /// What is in hand is finished, and then it ends.
    pub(super) fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping]);
        self.sentence("finishing the work in hand".to_owned());
    }

    /// The loop turns and the store answers.
    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.say(&[NotifyState::Watchdog]);
        }
    }

    /// How it goes.
    pub(super) fn report(&mut self, health: &Health, sources: usize, now: WallTime) {
        let sentence = sentence(health, sources, now);
        self.sentence(if self.refused { format!("{REFUSED}; {sentence}") } else { sentence });
    }

    /// Says that the daemon is alive until `work` is done: a large store may take its time, and whoever waits for it is no
    /// loop that hangs.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.alive();
            match tokio::time::timeout(self.patience(), &mut work).await {
                Ok(done) => return done,
                Err(_) => continue,
            }
        }
    }

    fn sentence(&mut self, sentence: String) {
        if self.said != sentence {
            self.say(&[NotifyState::Status(&sentence)]);
            self.said = sentence;
        }
    }

    fn say(&self, words: &[NotifyState<'_>]) {
        if !self.listens {
            return;
        }
        // Nothing depends on it here: whoever misses our word draws conclusions of its own.
        if let Err(error) = sd_notify::notify(words) {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

/// How it goes with so many sources, the worst first. One line, whatever AWS has said.
pub(super) fn sentence(health: &Health, sources: usize, now: WallTime) -> String {
    let reading = match &health.stalest {
        None => format!("watching {}", count(sources as u64, "source")),
        Some(Staleness { source, blind: true, read_through, why }) => {
            let since = read_through.map_or("the start".to_owned(), |at| at.second().to_string());
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("blind: {source} has not been read through since {since}{why}")
        }
        Some(Staleness { source, why: Some(why), .. }) => format!("{source} was not read through: {why}"),
        Some(Staleness { source, read_through: None, .. }) => format!("{source} is being read for the first time"),
        Some(Staleness { read_through: Some(at), .. }) if sources == 1 => format!("read through at {}", at.second()),
        Some(Staleness { read_through: Some(at), .. }) => {
            format!("{} read through, the first of them at {}", count(sources as u64, "source"), at.second())
        }
    };
    let waiting = health.slowest.as_ref().filter(|waiting| now.since(waiting.queued) > ON_ITS_WAY);
    let waiting = waiting
        .map(|waiting| format!("an alert has waited for {:?} since {}; ", waiting.notifier, waiting.queued.second()));
    printable(&(waiting.unwrap_or_default() + &reading), SENTENCE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Trouble;
    use crate::store::Waiting;
    use crate::trail::SourceId;

    /// 2026-05-27T18:45:54Z.
    const NOW: WallTime = WallTime(1_779_907_554_000);

    #[track_caller]
    fn check(sources: usize, read: Option<u64>, blind: bool, why: Option<Trouble>, queued: Option<u64>, said: &str) {
        let ago = |secs| NOW.minus(Duration::from_secs(secs));
        let source = SourceId { account: "self".to_owned(), region: "us-east-1".to_owned() };
        let stalest = Some(Staleness { source, read_through: read.map(ago), blind, why });
        let slowest = queued.map(|secs| Waiting { notifier: "chat".to_owned(), queued: ago(secs) });
        let health = Health { stalest, slowest, stale_after: Duration::from_secs(900) };
        assert_eq!(sentence(&health, sources, NOW), said);
    }

    #[test]
    fn a_sentence_says_the_worst_first() {
        let denied = || Some(Trouble::Denied("AccessDenied: no\nREADY=1".to_owned()));
        check(1, None, false, None, None, "self/us-east-1 is being read for the first time");
        check(1, Some(4), false, None, None, "read through at 2026-05-27T18:45:50Z");
        check(3, Some(4), false, None, Some(5), "3 sources read through, the first of them at 2026-05-27T18:45:50Z");
        let refused = "self/us-east-1 was not read through: AWS does not allow the lookup: AccessDenied: no?READY=1";
        check(3, Some(64), false, denied(), None, refused);
        let blind = "blind: self/us-east-1 has not been read through since 2026-05-27T17:45:54Z: AWS does not allow the \
                     lookup: AccessDenied: no?READY=1";
        check(3, Some(3600), true, denied(), None, blind);
        check(3, None, true, None, None, "blind: self/us-east-1 has not been read through since the start");
        let waiting =
            "an alert has waited for \"chat\" since 2026-05-27T18:35:54Z; read through at 2026-05-27T18:45:50Z";
        check(1, Some(4), false, None, Some(600), waiting);
    }

    #[test]
    fn a_sentence_is_one_line_of_bounded_length() {
        let endless = Trouble::Other("x\n".repeat(10_000));
        let source = SourceId { account: "self".to_owned(), region: "us-east-1".to_owned() };
        let stalest = Some(Staleness { source, read_through: None, blind: false, why: Some(endless) });
        let said = sentence(&Health { stalest, slowest: None, stale_after: Duration::ZERO }, 1, NOW);
        assert!(said.chars().count() <= SENTENCE_MAX + 1 && !said.contains('\n'), "{said}");
    }

    #[test]
    fn nobody_is_told_nothing() {
        let mut nobody = Supervisor::default();
        nobody.ready(1);
        nobody.alive();
        assert!(!nobody.listens() && nobody.patience() == Duration::MAX);
    }
}
