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
use super::{Args, load, say};
use crate::aws::{Aws, Canary};
use crate::daemon::{self, Answer, Ask, Fatal, Outside};
use crate::model::{Access, WallTime, duration_in_words, printable};
use crate::store::{AccessQuery, AlertSight, Explanation, Standing};

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Clocks may differ by so much.
const SLACK: Duration = Duration::from_secs(120);

/// Once an access was seen, rules have counted it; an alert is queued with it or by the next tick.
const DECIDED_BY_THEN: Duration = Duration::from_secs(20);

/// A daemon that begins here may have a large store to open.
const ANSWERS_BY_THEN: Duration = Duration::from_secs(120);

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
    /// As it was typed.
    secret: String,
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
            say("no daemon runs here; this command watches until the drill is over")?;
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
        let is_mute = !stop.is_cancelled();
        stop.cancel();
        ended(&runtime, own)?;
        if is_mute {
            eprintln!("secretwatch: the daemon that was run here does not answer; is the path of state_dir too long?");
            return Err(Exit::Incomplete);
        }
        return Ok(Exit::Done);
    }
    let outcome = match runtime.block_on(aws.read_canary(&options.secret, options.region.as_deref())) {
        Ok(canary) => {
            let until = Instant::now() + options.timeout;
            Drill { office, secret: options.secret.clone(), canary, until, stop: stop.clone() }.wait()
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

/// Waits until the daemon that has just begun answers; false: it has ended, or never will.
fn answers(office: &Office<'_>, stop: &CancellationToken) -> Result<bool, Exit> {
    let by = Instant::now() + ANSWERS_BY_THEN;
    while !stop.is_cancelled() && Instant::now() < by {
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
    fn wait(&mut self) -> Result<Exit, Exit> {
        let Canary { at, request_id, region } = &self.canary;
        say(&format!("{:<11} {at}  in {region}, request {request_id}", "read"))?;
        let Some(access) = self.until_some(Self::access)? else {
            if self.stop.is_cancelled() {
                return Ok(Exit::Done);
            }
            eprintln!(
                "secretwatch: the daemon has not seen it; CloudTrail shows a read after some minutes as a rule, and the \
                 source may be behind or not among those that are read; ask `secretwatch doctor`"
            );
            return Ok(Exit::Incomplete);
        };
        self.hop("seen", access.seen, &format!("event {}", access.event_id))?;
        let decided_by = Instant::now() + DECIDED_BY_THEN;
        let mut due = None;
        let found = self.until_some(|drill| {
            let explanation = drill.explanation(&access)?;
            let alert = alert_of(&explanation);
            let is_new = due.is_none();
            due = due.or(explanation.rules.iter().filter_map(|ruling| ruling.update_due).min());
            if let Some(due) = due.filter(|_| is_new && alert.is_none()) {
                say(&format!("{:<11} an open incident, of which more is told at {due}", "joined"))?;
            }
            let is_hopeless = alert.is_none() && due.is_none() && Instant::now() >= decided_by;
            Ok((alert.is_some() || is_hopeless).then_some((explanation.headline, alert)))
        })?;
        match found {
            Some((_, Some(alert))) => {
                self.hop("decided", alert.decided, &format!("alert {} of rule {}", alert.id, alert.rule))?;
                self.accepted(&access, &alert)
            }
            other => {
                let why = match (other, due) {
                    (Some((headline, _)), _) => headline.trim_end_matches('.').to_owned(),
                    (None, Some(due)) => format!("the incident that it has joined is told of again at {due}"),
                    (None, None) => "no alert in time".to_owned(),
                };
                eprintln!("secretwatch: {why}; `secretwatch explain {}` says more", access.event_id);
                Ok(Exit::Incomplete)
            }
        }
    }

    /// Waits for every notifier to accept it, and tells of each that has.
    fn accepted(&mut self, access: &Access, alert: &AlertSight) -> Result<Exit, Exit> {
        let mut told: Vec<String> = Vec::new();
        let all = self.until_some(|drill| {
            let explanation = drill.explanation(access)?;
            let Some(now) = alert_of(&explanation).filter(|now| now.id == alert.id) else { return Ok(Some(false)) };
            for stand in &now.notifiers {
                if let Standing::Accepted { at, by, .. } = &stand.stand
                    && !told.contains(&stand.notifier)
                {
                    let whom = by
                        .as_ref()
                        .map_or(stand.notifier.clone(), |by| format!("{by}, in place of {}", stand.notifier));
                    drill.hop("accepted", *at, &whom)?;
                    told.push(stand.notifier.clone());
                }
            }
            Ok((!now.is_undelivered()).then_some(true))
        })?;
        if told.is_empty() && all == Some(true) {
            let why = match &alert.silenced {
                Some(silence) => format!("it was kept back by silence {silence}"),
                None => "no notifier is meant to get it".to_owned(),
            };
            eprintln!("secretwatch: {why}; `secretwatch explain {}` says more", access.event_id);
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
        let secrets = vec![self.secret.clone()];
        let mut query = AccessQuery { since, secrets, limit: usize::MAX, ..AccessQuery::default() };
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

    fn hop(&self, what: &str, at: WallTime, detail: &str) -> Result<(), Exit> {
        let since = i64::try_from(at.since(self.canary.at).as_secs()).unwrap_or(i64::MAX);
        say(&format!("{what:<11} {} later  {}", duration_in_words(since), printable(detail, 200)))
    }
}

/// The alert that tells of it, of the rule that did so first.
fn alert_of(explanation: &Explanation) -> Option<AlertSight> {
    explanation.rules.iter().filter_map(|ruling| ruling.alert.clone()).min_by_key(|alert| alert.decided)
}
