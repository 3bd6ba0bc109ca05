//! `secretwatch replay`: the configured rules over CloudTrail files, without AWS and without touching the state.
//!
//! It is as if everything in the files had become visible at one poll, and time had passed since: the same ledger as
//! the daemon's, in memory, takes all accesses in at once. So the output depends on what the files hold and not on the
//! order in which they are read or by how many threads, and it never depends on the clock.
//!
//! `found` keeps what was read and may count; `progress` shows how far the reading has come.

mod found;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use self::found::{Found, may_count};
use self::progress::Bar;
use super::exit::{self, Exit};
use super::{Args, Format, count, load};
use crate::config::{self, Config, DEFAULT_PATH, Environment, LoadError};
use crate::model::{Access, Alert, AlertKind, EventTime, Severity, Span};
use crate::notify;
use crate::store::{Ledger, LedgerSettings, Next, Recipient, Settlement, StoreError};
use crate::trail::{
    Coverage, MAX_BYTES_IN_FLIGHT, Origin, Progress, ReadSettings, SourceId, Summary, Wanted, read_paths,
};

/// Threads at most. More than any machine has cores, and fewer than it has memory for.
const MAX_JOBS: usize = 256;

/// What is replayed, and how it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Log files, lookup-events output, JSON lines, folders of those; - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How alerts are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Files that are read at once [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZeroUsize>,
}

/// How many threads, as it was typed.
fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse::<NonZeroUsize>().map_err(|error| error.to_string())?;
    if jobs.get() > MAX_JOBS { Err(format!("at most {MAX_JOBS}")) } else { Ok(jobs) }
}

/// Longer than any file reaches back.
const FOREVER: Duration = Duration::from_secs(20_000 * 365 * 86_400);

/// The one recipient of a replay.
const PRINTER: &str = "replay";

/// Prints the alerts that the rules would have sent.
pub(super) fn replay(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = rules(args)?;
    let (found, summary) = read_files(options, std::slice::from_ref(&config));
    for damage in &summary.damage {
        exit::tell(damage);
    }
    found.nonsense.iter().for_each(|what| eprintln!("secretwatch: {what}"));
    let mut alerts = alerts(&config, &found).map_err(|error| {
        exit::tell(&error);
        Exit::Store
    })?;
    if options.format == Format::Text {
        // Mails do not say that it is over, unless asked to.
        alerts.retain(|alert| alert.kind != AlertKind::Resolved);
    }
    print_alerts(&alerts, options.format)?;
    summarise(&summary, &found, &alerts);
    Ok(if summary.damaged > 0 || found.unreadable > 0 { Exit::Incomplete } else { Exit::Done })
}

/// What of the files some rule may count, and what else there was.
fn read_files(options: &Options, configs: &[Config]) -> (Found, Summary) {
    let event_sources: BTreeSet<String> =
        configs.iter().flat_map(|config| config.poll.event_sources.iter().cloned()).collect();
    let bar = Bar::new();
    let tell = |progress: &Progress| bar.iter().for_each(|bar| bar.tell(progress));
    let settings = ReadSettings {
        wanted: Wanted::of(&Vec::from_iter(event_sources)),
        jobs: options.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        progress: Some(&tell),
    };
    let each = |found: &mut Found, json: &str, origin: &Origin<'_>| {
        found.take(configs, json, &|| format!("{}:{}", origin.path.display(), origin.line));
    };
    let mut found = Found::default();
    let summary = read_paths(&options.paths, &settings, &each, &mut |of_file| found.merge(of_file));
    found.settle();
    (found, summary)
}

/// The configuration; where none was named and none is installed, the default rule is worth a look all the same.
fn rules(args: &Args) -> Result<Config, Exit> {
    let env = Environment::of_process();
    match config::load(args.config.as_deref(), &env) {
        Err(LoadError::Missing) if args.config.is_none() => {
            eprintln!("no {DEFAULT_PATH}; replaying the default rule");
            config::check("", DEFAULT_PATH, &env).map_err(|problems| {
                eprintln!("{problems}");
                Exit::Configuration
            })
        }
        _ => load(args),
    }
}

/// What the ledger says of it all.
fn alerts(config: &Config, found: &Found) -> Result<Vec<Alert>, StoreError> {
    let Found { accesses, sources, .. } = found;
    let accesses: Vec<Access> = accesses.iter().filter(|access| may_count(config, access)).cloned().collect();
    let Some(last) = accesses.last().map(|access| access.time) else { return Ok(Vec::new()) };
    let mut ledger = Ledger::in_memory(settings(config, sources), last.wall())?;
    let taken = ledger.take(accesses, last.wall())?;
    if taken.too_old > 0 {
        eprintln!("secretwatch: dated before anything that can be counted: {}", count(taken.too_old, "record"));
    }

    // Long after, with everything read: whatever was open is over.
    let after = last.wall().plus(FOREVER);
    let mut coverage = Coverage::new(EventTime(i64::MIN / 2), Duration::ZERO, Duration::ZERO);
    coverage.read(Span { from: coverage.since(), to: after.second() }, after);
    for source in sources {
        for event_source in &config.poll.event_sources {
            ledger.cover(source, event_source, coverage.clone())?;
        }
        ledger.read_through(source, after, after)?;
    }
    ledger.tick(after, true)?;

    let mut alerts = Vec::new();
    while let Next::Send(delivery) = ledger.next(PRINTER, after, None)? {
        ledger.settle(&delivery, &Settlement::Accepted { at: after })?;
        alerts.push(dated(delivery.alert));
    }
    Ok(alerts)
}

/// The alert, decided when its last access happened: the time of the replay would tell nobody anything.
fn dated(mut alert: Alert) -> Alert {
    if let Some(last) = alert.last_access {
        alert.decided = last.wall();
    }
    alert
}

fn settings(config: &Config, sources: &BTreeSet<SourceId>) -> LedgerSettings {
    let rules = config.rules.iter().cloned().map(|mut rule| {
        rule.notify = vec![PRINTER.to_owned()];
        rule
    });
    LedgerSettings {
        rules: rules.collect(),
        recipients: vec![Recipient { name: PRINTER.to_owned(), min_severity: Severity::Info, send_resolved: true }],
        sources: sources.iter().cloned().collect(),
        event_sources: config.poll.event_sources.clone(),
        lateness: config.poll.lateness,
        recheck: Duration::ZERO,
        backfill: FOREVER,
        retention: FOREVER,
        stale_after: FOREVER,
        awake_since: None,
    }
}

fn print_alerts(alerts: &[Alert], format: Format) -> Result<(), Exit> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let printed = alerts.iter().try_for_each(|alert| print_alert(&mut out, alert, format)).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            exit::tell(&error);
            Err(Exit::Store)
        }
        _ => Ok(()),
    }
}

pub(super) fn print_alert(out: &mut dyn Write, alert: &Alert, format: Format) -> std::io::Result<()> {
    match format {
        Format::Text => writeln!(out, "Subject: {}\n\n{}\n", notify::subject(alert), notify::text(alert)),
        Format::Json => writeln!(out, "{}", serde_json::to_string(alert)?),
    }
}

fn summarise(summary: &Summary, found: &Found, alerts: &[Alert]) {
    let mut rules: BTreeMap<&str, (BTreeSet<&str>, u64, u64)> = BTreeMap::new();
    for alert in alerts {
        let (incidents, sent, accesses) = rules.entry(&alert.rule.name).or_default();
        incidents.insert(&alert.incident);
        *sent += 1;
        *accesses += alert.accesses.len() as u64;
    }
    let Summary { files, damaged, records, skipped, waited, .. } = summary;
    let Found { unmatched, unreadable, .. } = found;
    let matched = found.accesses.len() as u64;
    eprintln!(
        "{}, {damaged} damaged; {}: {skipped} of other services, {matched} matched a rule, {unmatched} did not, \
         {unreadable} made no sense",
        count(*files, "file"),
        count(*records, "record"),
    );
    if *waited > 0 {
        let (files, limit) = (count(*waited, "file"), MAX_BYTES_IN_FLIGHT >> 20);
        eprintln!("{files} had to wait for memory: what is read at once is kept below {limit} MiB");
    }
    for (rule, (incidents, sent, accesses)) in &rules {
        let (incidents, sent) = (count(incidents.len() as u64, "incident"), count(*sent, "alert"));
        eprintln!("{rule}: {incidents}, {sent}, {}", count(*accesses, "access"));
    }
    if rules.is_empty() {
        eprintln!("no alerts");
    }
}
