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
use crate::status::line;
use crate::store::Health;

/// Words that are sent within the time in which at least one is expected.
const WORDS_IN_TIME: u32 = 3;

/// The longest sentence, in characters: it is one line of `systemctl status`.
const SENTENCE_MAX: usize = 200;

/// Said where a new configuration does not come into force.
const REFUSED: &str = "the new configuration is wrong, the log says why, and the old one goes on";

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
    pub(super) fn report(&mut self, health: &Health, now: WallTime) {
        let sentence = printable(&line(health, now), SENTENCE_MAX);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_nothing() {
        let mut nobody = Supervisor::default();
        nobody.ready(1);
        nobody.alive();
        assert!(!nobody.listens() && nobody.patience() == Duration::MAX);
    }
}
