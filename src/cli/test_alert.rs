//! `secretwatch test-alert`: a marked alert, the whole way that alerts go, and whether it was accepted.

use std::time::{Duration, Instant};

use super::ask::{Office, is_ours};
use super::exit::{self, Exit};
use super::run::{runtime, stop_on_signals};
use super::{Args, alerts, load, say};
use crate::aws::Aws;
use crate::config::{Config, did_you_mean};
use crate::daemon::{self, Answer, Order, Outside};
use crate::store::{AlertSight, Stand, Standing};

/// How often the daemon is asked what became of it.
const LOOK: Duration = Duration::from_millis(200);

/// Who is to get it, and how long that may take.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// To these; none: to every notifier
    #[arg(value_name = "NOTIFIER")]
    notifiers: Vec<String>,
    /// How long to wait for its acceptance
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30s")]
    timeout: Duration,
}

/// Sends a test alert.
pub(super) fn test_alert(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let Options { notifiers, timeout } = options;
    are_known(&config, notifiers)?;
    let mut office = Office::of(&config);
    let order = Order::Test { notifiers: notifiers.clone() };
    let began = Instant::now();
    let Some(answer) = office.order_daemon(&order)? else {
        return told(&without_daemon(&config, notifiers, *timeout)?);
    };
    let Answer::Test { id, .. } = answer else { return Err(Exit::Software) };
    loop {
        let Some(alert) = alerts::one(&mut office, &id)? else {
            eprintln!("secretwatch: test alert {id} is not stored any more");
            return Err(Exit::Software);
        };
        let is_late = began.elapsed() >= *timeout || !office.is_daemon();
        if is_late || !alert.is_under_way() {
            return told(&alert);
        }
        std::thread::sleep(LOOK);
    }
}

fn are_known(config: &Config, names: &[String]) -> Result<(), Exit> {
    let mut known = Ok(());
    for name in names.iter().filter(|name| !config.notifiers.contains_key(*name)) {
        let near = did_you_mean(name, config.notifiers.keys().map(String::as_str));
        eprintln!("secretwatch: there is no notifier {name:?}{near}");
        known = Err(Exit::Usage);
    }
    known
}

/// No daemon runs: its part is played here, for as long as it takes.
fn without_daemon(config: &Config, notifiers: &[String], timeout: Duration) -> Result<AlertSight, Exit> {
    is_ours(&config.state_dir)?;
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let sent = runtime.block_on(async {
        let outside = Outside::machine(Aws::load().await);
        daemon::send_test(config, &outside, notifiers, timeout, stop).await
    });
    sent.map_err(|error| exit::fatal(&error))
}

/// Says where it stands.
fn told(alert: &AlertSight) -> Result<Exit, Exit> {
    say(&format!("test alert {}", alert.id))?;
    let mut exit = Exit::Done;
    for Stand { notifier, stand } in &alert.notifiers {
        let because = |error: &Option<String>| error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        let words = match stand {
            Standing::Accepted { at, by, .. } => {
                let by = by.as_ref().map_or(String::new(), |by| format!(" by its fallback {by}"));
                format!("accepted{by} after {}", elapsed(at.since(alert.decided)))
            }
            Standing::Waiting { parked: true, error, .. } => format!("refused{}", because(error)),
            Standing::Waiting { attempts: 0, .. } => {
                "not tried yet: the notifier is busy, or left alone for a while after failures".to_owned()
            }
            Standing::Waiting { error, .. } => format!("not accepted yet; it is tried again{}", because(error)),
            Standing::Dead { error, .. } => format!("given up{}", because(error)),
            // It was queued for those that it names, and for nobody else.
            _ => continue,
        };
        if !matches!(stand, Standing::Accepted { .. }) {
            exit = Exit::Undelivered;
        }
        say(&format!("  {notifier}: {words}"))?;
    }
    Ok(exit)
}

/// `31 ms`, `2.5 s`.
fn elapsed(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
