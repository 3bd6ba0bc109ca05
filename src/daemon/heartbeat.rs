//! Who notices when this daemon is silent: a URL that is asked every so often while all is well.
//!
//! A monitor elsewhere raises the alarm when the pings stay away, so everything depends on when they do. [`judge`] says
//! so: it is pure, goes by the [`Health`] that the ledger gives, and its [`Answer`] explains itself. A ping says that
//! every source was read through not long ago and that alerts reach their notifiers; that the process lives is not
//! enough. A daemon that is restarted over and over and never reads anything is silent, too, because what counts is
//! when sources were read, not when it began.
//!
//! [`Heartbeat`] performs it. A ping that fails is logged and made again, and never stops anything. The URL is a
//! secret, for whoever has it can feign health: nothing here shows more of it than the host, and no redirect carries it
//! elsewhere.
//!
//! Absent on purpose: a ping that says "not well". Silence says it as well, and also when nobody is left to say it.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::model::{WallClock, WallTime};
use crate::notify::with_causes;
use crate::store::{Health, Keeper, Staleness, StoreError, Waiting};

/// How often it is looked at whether all is well, at most: the first ping of a daemon that is asked to ping once a day
/// should not come after a day.
const LOOK: Duration = Duration::from_secs(10);

/// The next try after a ping that failed, at the latest: a single one that is lost should alarm nobody.
const AGAIN: Duration = Duration::from_secs(60);

/// Redirects that are followed, all within the same scheme, host and port.
const REDIRECTS: usize = 5;

/// Whether all is well.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// It is.
    Well,
    /// Since the start there was no time to read it through.
    Starting(Staleness),
    /// It was not read through in time.
    Unread(Staleness),
    /// It has waited for too long.
    Stuck(Waiting),
}

/// Whether all is well at `now` with a daemon that began at `began`. An alert may wait for `patience`; that is less
/// than a source has where polls are far apart.
fn judge(health: Health, began: WallTime, patience: Duration, now: WallTime) -> Answer {
    let Health { stalest, slowest, stale_after, .. } = health;
    let is_fresh = |row: &Staleness| !row.blind && row.read_through.is_some_and(|at| now.since(at) <= stale_after);
    match (stalest.filter(|row| !is_fresh(row)), slowest.filter(|row| now.since(row.queued) > patience)) {
        (Some(row), _) if row.blind || now.since(began) > stale_after => Answer::Unread(row),
        (_, Some(row)) => Answer::Stuck(row),
        (Some(row), None) => Answer::Starting(row),
        (None, None) => Answer::Well,
    }
}

impl Answer {
    /// Says it to whoever reads the log, after `before`, with what they need to mend it.
    fn log(&self, before: Option<&Self>, host: &str, now: WallTime) {
        match self {
            Self::Well if matches!(before, Some(Self::Unread(_) | Self::Stuck(_))) => {
                tracing::info!(host, "all is well again; the heartbeat goes on");
            }
            Self::Well => tracing::info!(host, "all is well; the heartbeat begins"),
            Self::Starting(Staleness { source, .. }) => {
                tracing::info!(%source, "no heartbeat before the first pass has read every source through");
            }
            Self::Unread(Staleness { source, read_through, why, .. }) => {
                let (since, seconds) = match read_through {
                    Some(at) => (at.to_string(), Some(now.since(*at).as_secs())),
                    None => ("ever".to_owned(), None),
                };
                let why = why.as_ref().map(tracing::field::display);
                tracing::warn!(%source, since, seconds, why, "no heartbeat: a source has not been read through");
            }
            Self::Stuck(Waiting { notifier, queued }) => {
                let seconds = now.since(*queued).as_secs();
                tracing::warn!(notifier, since = %queued, seconds, "no heartbeat: an alert is not delivered");
            }
        }
    }
}

/// The heartbeat cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("no client for the heartbeat could be made")]
pub struct BadHeartbeat(#[source] reqwest::Error);

/// Pings one URL.
pub(super) struct Heartbeat {
    client: Client,
    url: Url,
    every: Duration,
    patience: Duration,
    /// Failures in a row.
    failures: u64,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("host", &self.host()).field("every", &self.every).finish_non_exhaustive()
    }
}

impl Heartbeat {
    /// The one that `config` asks for, if any.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, BadHeartbeat> {
        let Some(heartbeat) = &config.heartbeat else { return Ok(None) };
        Self::to(heartbeat, config.poll.stale_after).map(Some)
    }

    fn to(heartbeat: &config::Heartbeat, patience: Duration) -> Result<Self, BadHeartbeat> {
        let mut builder = Client::builder()
            .redirect(at_home(&heartbeat.url))
            .referer(false)
            .timeout(heartbeat.timeout)
            // Until the next ping every connection would have been closed from the other side.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("secretwatch/", env!("CARGO_PKG_VERSION")));
        if config::is_loopback(&heartbeat.url) {
            // A proxy would look for the monitor on its own host.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| BadHeartbeat(error.without_url()))?;
        Ok(Self { client, url: heartbeat.url.clone(), every: heartbeat.every, patience, failures: 0 })
    }

    /// Pings while all is well, until told to stop.
    pub(super) async fn run(
        mut self,
        keeper: Keeper,
        clock: WallClock,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut began = clock.now();
        let mut due = Instant::now();
        let mut before: Option<Answer> = None;
        while !stop.is_cancelled() {
            let asked = clock.now();
            let health = keeper.run(move |ledger| ledger.health(asked)).await?;
            let now = clock.now();
            // One that was ahead when this began must not make it begin for ever.
            began = began.min(now);
            let answer = judge(health, began, self.patience, now);
            if before.as_ref().is_none_or(|before| std::mem::discriminant(before) != std::mem::discriminant(&answer)) {
                answer.log(before.as_ref(), self.host(), now);
            }
            if answer == Answer::Well && Instant::now() >= due {
                let accepted = tokio::select! {
                    accepted = self.ping() => accepted,
                    () = stop.cancelled() => break,
                };
                let pause = if accepted { self.every } else { self.every.min(AGAIN) };
                // A ping that took its time does not put off the next; one that was withheld does.
                due = Some(due + pause).filter(|next| *next > Instant::now()).unwrap_or(Instant::now() + pause);
            }
            before = Some(answer);
            let look = Instant::now() + LOOK.min(self.every);
            let wake = if due > Instant::now() { look.min(due) } else { look };
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// One ping at the end of a single pass, unless that takes until `deadline`.
    pub(super) async fn once(mut self, deadline: Instant, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ = self.ping() => {}
            () = tokio::time::sleep_until(deadline) => {
                tracing::warn!(host = self.host(), "no time was left for the heartbeat");
            }
        }
    }

    /// Whether a ping was accepted. Failures are logged, the longer they go on the more rarely.
    async fn ping(&mut self) -> bool {
        match self.ask().await {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(host = self.host(), failures = self.failures, "the heartbeat is accepted again");
                }
                self.failures = 0;
                true
            }
            Err(why) => {
                self.failures += 1;
                if self.failures.is_power_of_two() {
                    tracing::warn!(host = self.host(), failures = self.failures, why, "the heartbeat failed");
                }
                false
            }
        }
    }

    /// One request. What the monitor says besides the status is not read: it could be anything, and endless.
    async fn ask(&self) -> Result<(), String> {
        match self.client.get(self.url.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) if answer.status().is_redirection() => {
                Err(format!("the monitor answered {}, a redirect that is not followed", answer.status()))
            }
            Ok(answer) => Err(format!("the monitor answered {}", answer.status())),
            Err(error) => Err(with_causes(&error.without_url())),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// Follows redirects as long as they stay where the operator has sent the URL anyway.
fn at_home(url: &Url) -> redirect::Policy {
    let home = url.origin();
    redirect::Policy::custom(move |attempt| {
        if attempt.url().origin() == home && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{Answer as Canned, Loopback};
    use crate::trail::SourceId;

    const STALE_AFTER: Duration = Duration::from_secs(900);
    const PATIENCE: Duration = Duration::from_secs(600);

    /// The word for what `judge` says an hour and some seconds after the start: of a source read through so many
    /// seconds ago, and an alert queued so many seconds ago.
    fn word(up_for: u64, read: Option<u64>, blind: bool, queued: Option<u64>) -> &'static str {
        let now = WallTime(1_800_000_000_000);
        let ago = |secs: u64| now.minus(Duration::from_secs(secs));
        let source = SourceId { account: "111122223333".to_owned(), region: "us-east-1".to_owned() };
        let stalest = Some(Staleness { source, read_through: read.map(ago), blind, why: None });
        let slowest = queued.map(|secs| Waiting { notifier: "hook".to_owned(), queued: ago(secs) });
        let health = Health { stalest, slowest, stale_after: STALE_AFTER, ..Health::default() };
        match judge(health, ago(up_for), PATIENCE, now) {
            Answer::Well => "well",
            Answer::Starting(_) => "starting",
            Answer::Unread(_) => "unread",
            Answer::Stuck(_) => "stuck",
        }
    }

    #[test]
    fn all_is_well_only_while_everything_is() {
        for (up_for, read, blind, queued, expected) in [
            (3600, Some(30), false, None, "well"),
            (3600, Some(900), false, Some(600), "well"),
            (3600, Some(901), false, None, "unread"),
            (3600, Some(30), false, Some(601), "stuck"),
            (3600, Some(901), false, Some(601), "unread"),
            // One that reads so slowly that it stays blind.
            (3600, Some(30), true, None, "unread"),
            // Just started: what was read before counts as long as it is fresh, and no longer.
            (5, Some(600), false, None, "well"),
            (5, None, false, None, "starting"),
            (5, Some(7200), false, None, "starting"),
            (5, Some(7200), false, Some(601), "stuck"),
            (5, Some(7200), true, None, "unread"),
            (901, None, false, None, "unread"),
            (901, Some(7200), false, None, "unread"),
        ] {
            let case = (up_for, read, blind, queued);
            assert_eq!(word(up_for, read, blind, queued), expected, "{case:?}");
        }
    }

    fn heartbeat(url: &str) -> Heartbeat {
        let url = Url::parse(url).unwrap();
        let settings = config::Heartbeat { url, every: Duration::from_secs(60), timeout: Duration::from_secs(10) };
        Heartbeat::to(&settings, PATIENCE).unwrap()
    }

    async fn asked(answers: impl IntoIterator<Item = Canned>) -> (Result<(), String>, usize) {
        let server = Loopback::serving(answers).await;
        let outcome = heartbeat(&format!("{}/hunter2?token=hunter2", server.url())).ask().await;
        if let Err(why) = &outcome {
            assert!(!why.contains("hunter2"), "{why}");
        }
        (outcome, server.asked().len())
    }

    #[tokio::test]
    async fn a_ping_says_who_it_is_and_any_2xx_is_good() {
        for status in [200, 201, 202, 204, 299] {
            let server = Loopback::serving([Canned::new(status, "")]).await;
            assert_eq!(heartbeat(server.url()).ask().await, Ok(()), "{status}");
            assert_eq!(server.asked()[0].headers["user-agent"], concat!("secretwatch/", env!("CARGO_PKG_VERSION")));
        }
        for status in [300, 400, 404, 410, 429, 500, 503] {
            assert!(asked([Canned::new(status, "hunter2")]).await.0.is_err(), "{status}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_followed_at_home_only() {
        let redirect = |to: &str| Canned::new(302, "").header("location", to);
        assert_eq!(asked([redirect("/elsewhere"), Canned::new(200, "")]).await, (Ok(()), 2));
        let endless = asked([redirect("/again")]).await;
        assert!(endless.0.is_err() && endless.1 == REDIRECTS + 1, "{endless:?}");

        let other = Loopback::serving([Canned::new(200, "")]).await;
        for to in [other.url(), "https://127.0.0.1/", "http://localhost:1/", "file:///etc/passwd"] {
            let (outcome, requests) = asked([redirect(to), Canned::new(200, "")]).await;
            assert!(outcome.is_err() && requests == 1, "{to}: {outcome:?}, {requests} requests");
        }
        assert!(other.asked().is_empty());
    }

    #[tokio::test]
    async fn what_fails_does_not_tell_the_url() {
        let mut nobody = heartbeat("http://127.0.0.1:1/hunter2?token=hunter2");
        let why = nobody.ask().await.unwrap_err();
        assert!(!why.is_empty() && !why.contains("hunter2"), "{why}");
        assert!(!format!("{nobody:?}").contains("hunter2"));
        assert!(!nobody.ping().await && !nobody.ping().await);
        assert_eq!(nobody.failures, 2);
    }
}
