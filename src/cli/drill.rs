//! `secretwatch drill`: reads a canary secret for real, and waits for that very access to come round as an alert.
//!
//! What it proves is the whole chain: CloudTrail records the read, the daemon sees it, a rule alerts, and the notifiers
//! take it. Where no daemon runs, one is run here until then.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ask::{Office, is_ours};
use super::exit::{self, Exit};
use super::run::{runtime, stop_on_signals};
use super::{Args, load};
use crate::aws::{Aws, Canary};
use crate::config::Config;
use crate::daemon::{self, Answer, Ask, Fatal, Outside};
use crate::model::{Access, WallTime, duration_in_words, printable};
use crate::store::{AccessQuery, AlertSight, Explanation, Standing};

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Clocks may differ by so much.
const SLACK: Duration = Duration::from_secs(120);

/// Once an access was seen, rules have counted it; an alert is queued with it or by the next tick.
const DECIDED_BY_THEN: Duration = Duration::from_secs(20);

/// Which secret is read, and how long that may take to come round.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The canary: its name or ARN. Its value is thrown away unread
    #[arg(long, value_name = "ID")]
    secret: String,
    /// Its Region [default: the ARN's, else the configured one]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// How long to wait for the alert to be accepted
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30m")]
    timeout: Duration,
}

/// A drill under way.
struct Drill<'a> {
    office: Office<'a>,
    canary: Canary,
    until: Instant,
    stop: CancellationToken,
}

/// Reads the canary and waits.
pub(super) fn drill(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let aws = runtime.block_on(Aws::load());
    let office = Office::of(&config);
    let own = match office.ask_daemon(&Ask::Health)? {
        Some(_) => None,
        None => {
            is_ours(&config.state_dir)?;
            println!("no daemon runs here; this command watches until the drill is over");
            let (config, stop, over) = (config.clone(), stop.clone(), stop.clone());
            let outside = Outside::machine(aws.clone());
            Some(runtime.spawn(async move {
                let ended = daemon::run(&config, &outside, stop).await;
                // Without it there is nothing to wait for.
                over.cancel();
                ended
            }))
        }
    };
    if own.is_some() && !answers(&office, &stop)? {
        return ended(&runtime, own);
    }
    let outcome = match runtime.block_on(aws.read_canary(&options.secret, options.region.as_deref())) {
        Ok(canary) => {
            let until = Instant::now() + options.timeout;
            Drill { office, canary, until, stop: stop.clone() }.wait(&config)
        }
        Err(error) => {
            exit::tell(&error);
            Err(Exit::Incomplete)
        }
    };
    stop.cancel();
    ended(&runtime, own)?;
    outcome
}

/// Waits until the daemon that has just begun answers; false: it has ended.
fn answers(office: &Office<'_>, stop: &CancellationToken) -> Result<bool, Exit> {
    while !stop.is_cancelled() {
        if office.ask_daemon(&Ask::Health)?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(LOOK);
    }
    Ok(false)
}

/// What the daemon that was run here has ended with.
fn ended(runtime: &Runtime, own: Option<JoinHandle<Result<(), Fatal>>>) -> Result<Exit, Exit> {
    let Some(own) = own else { return Ok(Exit::Done) };
    match runtime.block_on(own) {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(exit::fatal(&error)),
        Err(error) => {
            exit::tell(&error);
            Err(Exit::Software)
        }
    }
}

impl Drill<'_> {
    fn wait(&mut self, config: &Config) -> Result<Exit, Exit> {
        let Canary { at, request_id, region } = &self.canary;
        println!("{:<11} {at}  in {region}, request {request_id}", "read");
        let Some(access) = self.until_some(Self::access)? else {
            eprintln!(
                "secretwatch: the daemon has not seen it; CloudTrail shows a read after some minutes as a rule, and the \
                 source may be behind or not among those that are read; ask `secretwatch doctor`"
            );
            return Ok(Exit::Incomplete);
        };
        self.hop("seen", access.seen, &format!("event {}", access.event_id));
        let decided_by = Instant::now() + DECIDED_BY_THEN;
        let found = self.until_some(|drill| {
            let explanation = drill.explanation(&access)?;
            let alert = alert_of(&explanation);
            let is_hopeless = alert.is_none() && !is_pending(&explanation) && Instant::now() >= decided_by;
            Ok((alert.is_some() || is_hopeless).then_some((explanation, alert)))
        })?;
        let Some((explanation, Some(alert))) = found else {
            let why = found.map_or_else(|| "no alert in time".to_owned(), |(explanation, _)| explanation.headline);
            eprintln!("secretwatch: {why}; `secretwatch explain {}` says more", access.event_id);
            return Ok(Exit::Incomplete);
        };
        drop(explanation);
        self.hop("decided", alert.decided, &format!("alert {} of rule {}", alert.id, alert.rule));
        self.accepted(&access, &alert, config)
    }

    /// Waits for every notifier to accept it, and tells of each that has.
    fn accepted(&mut self, access: &Access, alert: &AlertSight, config: &Config) -> Result<Exit, Exit> {
        let mut told: Vec<String> = Vec::new();
        let all = self.until_some(|drill| {
            let explanation = drill.explanation(access)?;
            let Some(now) = alert_of(&explanation).filter(|now| now.id == alert.id) else { return Ok(Some(false)) };
            for stand in &now.notifiers {
                if let Standing::Accepted { at, .. } = stand.stand
                    && !told.contains(&stand.notifier)
                {
                    drill.hop("accepted", at, &stand.notifier);
                    told.push(stand.notifier.clone());
                }
            }
            Ok((!now.is_undelivered()).then_some(true))
        })?;
        if told.is_empty() && all == Some(true) {
            let whom =
                if config.notifiers.is_empty() { "there is no notifier" } else { "no notifier is meant to get it" };
            eprintln!("secretwatch: {whom}; `secretwatch explain {}` says why", access.event_id);
            return Ok(Exit::Incomplete);
        }
        match all {
            Some(true) => Ok(Exit::Done),
            _ => {
                eprintln!("secretwatch: not every notifier has accepted it; `secretwatch alerts` says where it stands");
                Ok(Exit::Undelivered)
            }
        }
    }

    /// Asks again and again, until there is something or the time is up.
    fn until_some<T>(&mut self, mut look: impl FnMut(&mut Self) -> Result<Option<T>, Exit>) -> Result<Option<T>, Exit> {
        loop {
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            if Instant::now() >= self.until || self.stop.is_cancelled() {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The access, if it was seen.
    fn access(&mut self) -> Result<Option<Access>, Exit> {
        let since = Some(self.canary.at.minus(SLACK).second());
        let mut query = AccessQuery { since, limit: usize::MAX, ..AccessQuery::default() };
        loop {
            // A daemon that begins here needs a moment before it answers.
            let Some(Answer::Accesses(page)) = self.office.ask_daemon(&Ask::Accesses(query.clone()))? else {
                return Ok(None);
            };
            let is_it = |access: &Access| access.request_id.as_deref() == Some(&self.canary.request_id);
            if let Some(access) = page.accesses.into_iter().find(is_it) {
                return Ok(Some(access));
            }
            match page.next {
                Some(next) => query.before = Some(next),
                None => return Ok(None),
            }
        }
    }

    fn explanation(&mut self, access: &Access) -> Result<Explanation, Exit> {
        match self.office.ask(&Ask::Explain { event_id: access.event_id.clone() })? {
            Answer::Explanation(explanation) => Ok(*explanation),
            _ => Err(Exit::Software),
        }
    }

    fn hop(&self, what: &str, at: WallTime, detail: &str) {
        let since = i64::try_from(at.since(self.canary.at).as_secs()).unwrap_or(i64::MAX);
        println!("{what:<11} {} later  {}", duration_in_words(since), printable(detail, 200));
    }
}

/// The alert that tells of it, of the rule that did so first.
fn alert_of(explanation: &Explanation) -> Option<AlertSight> {
    explanation.rules.iter().filter_map(|ruling| ruling.alert.clone()).min_by_key(|alert| alert.decided)
}

/// Whether it belongs to an open incident, which is reported every so often.
fn is_pending(explanation: &Explanation) -> bool {
    explanation.rules.iter().any(|ruling| ruling.update_due.is_some())
}
