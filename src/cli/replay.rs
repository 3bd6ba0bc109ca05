//! `secretwatch replay`: the configured rules over what has happened already, without touching the state.
//!
//! It is as if everything that is read had become visible at one poll, and time had passed since: the same ledger as the
//! daemon's, in memory, takes all accesses in at once. So the output depends on what was read and not on the order in
//! which it was, nor by how many threads, and it never depends on the clock.
//!
//! Records come from files, without AWS, or from Event history (`history`). `found` keeps those that may count;
//! `progress` shows how far the reading has come. What the rules say of them is printed, counted (`tally`), or set beside
//! what another set of rules says (`compare`).

mod compare;
mod found;
mod history;
mod progress;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::compare::{Comparison, Side};
use self::found::Found;
pub(super) use self::found::may_count;
use self::history::read_history;
use self::progress::FilesBar;
use self::tally::Tally;
use super::exit::{self, Exit};
use super::{Args, Format, load};
use crate::config::{self, Config, DEFAULT_PATH, Environment, LoadError};
use crate::daemon::EVENT_HISTORY;
use crate::model::{Access, Alert, AlertKind, EventTime, Severity, Span, count, duration_in_words};
use crate::notify;
use crate::store::{Ledger, LedgerSettings, Next, Recipient, Settlement, StoreError};
use crate::trail::{
    Coverage, MAX_BYTES_IN_FLIGHT, Origin, Progress, ReadSettings, SourceId, Summary, Wanted, read_paths,
};

/// Threads at most. More than any machine has cores, and fewer than it has memory for.
const MAX_JOBS: usize = 256;

/// Longer than any file reaches back.
const FOREVER: Duration = Duration::from_secs(20_000 * 365 * 86_400);

/// The one recipient of a replay.
const PRINTER: &str = "replay";

/// What is replayed, and how it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Log files, lookup-events output, JSON lines, folders of those; - for standard input
    #[arg(required_unless_present = "from_aws", conflicts_with = "from_aws", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read AWS's Event history instead of files, as far back as this: 90d at most
    #[arg(long, value_name = "DURATION", value_parser = back)]
    from_aws: Option<Duration>,
    /// Show what the rules change, compared with those of this configuration
    #[arg(long, value_name = "OLD")]
    compare: Option<PathBuf>,
    /// How alerts are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Files that are read at once [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = jobs, conflicts_with = "from_aws")]
    jobs: Option<NonZeroUsize>,
}

/// What was read, from wherever.
struct Read {
    found: Found,
    /// How much it was.
    what: String,
    /// What else there is to say about the reading.
    notes: Vec<String>,
    /// Whether it was everything, undamaged.
    complete: bool,
}

/// How far back, as it was typed.
fn back(text: &str) -> Result<Duration, String> {
    let back = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match back {
        back if back > EVENT_HISTORY => Err("Event history goes back 90d".to_owned()),
        back if back < Duration::from_secs(1) => Err("at least 1s".to_owned()),
        back => Ok(back),
    }
}

/// How many threads, as it was typed.
fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse::<NonZeroUsize>().map_err(|error| error.to_string())?;
    if jobs.get() > MAX_JOBS { Err(format!("at most {MAX_JOBS}")) } else { Ok(jobs) }
}

/// Prints the alerts that the rules would have sent, or in what they differ from those of other rules.
pub(super) fn replay(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let mut configs = vec![rules(args)?];
    if let Some(old) = &options.compare {
        configs.push(load(Some(old))?);
    }
    let configs: Arc<[Config]> = configs.into();
    let Read { mut found, what, notes, complete } = read(options, &configs)?;
    found.settle();
    found.told.iter().for_each(|what| eprintln!("secretwatch: {what}"));

    let alerts: Vec<Vec<Alert>> = configs.iter().map(|config| alerts(config, &found)).collect::<Result<_, _>>()?;
    let sides: Vec<Side<'_>> = configs.iter().zip(&alerts).map(|(config, alerts)| Side { config, alerts }).collect();
    match sides[..] {
        [now, old] => print_comparison(&Comparison::of(old, now, found.span), options.format)?,
        _ => print_alerts(&alerts[0], options.format)?,
    }
    summarise(&what, &notes, &found);
    summarise_learning(&configs[0], found.span);
    if options.compare.is_none() {
        summarise_rules(&configs[0], &alerts[0], found.span);
    }
    Ok(if complete && found.unreadable == 0 { Exit::Done } else { Exit::Incomplete })
}

fn read(options: &Options, configs: &Arc<[Config]>) -> Result<Read, Exit> {
    let event_sources = configs.iter().flat_map(|config| config.poll.event_sources.iter().cloned());
    let event_sources = Vec::from_iter(event_sources.collect::<BTreeSet<String>>());
    match options.from_aws {
        Some(back) => read_history(configs, event_sources, back),
        None => Ok(read_files(options, configs, &event_sources)),
    }
}

/// What of the files some rule may count, and what else there was.
fn read_files(options: &Options, configs: &[Config], event_sources: &[String]) -> Read {
    let bar = FilesBar::new();
    let tell = |progress: &Progress| bar.tell(progress);
    let settings = ReadSettings {
        wanted: Wanted::of(event_sources),
        jobs: options.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        progress: Some(&tell),
    };
    let each = |found: &mut Found, json: &str, origin: &Origin<'_>| {
        let place = || format!("{}:{}", origin.path.display(), origin.line);
        found.take(configs, json, &|_| false, &place);
    };
    let mut found = Found::default();
    let summary = read_paths(&options.paths, &settings, &each, &mut |of_file| found.merge(of_file));
    drop(bar);
    for damage in &summary.damage {
        exit::tell(damage);
    }
    let Summary { files, damaged, records, skipped, waited, .. } = summary;
    let (files, records) = (count(files, "file"), count(records, "record"));
    let what = format!("{files}, {damaged} damaged; {records}: {skipped} of other services");
    let mut notes = Vec::new();
    if waited > 0 {
        let (files, limit) = (count(waited, "file"), MAX_BYTES_IN_FLIGHT >> 20);
        notes.push(format!("{files} had to wait for memory: what is read at once is kept below {limit} MiB"));
    }
    Read { found, what, notes, complete: damaged == 0 }
}

/// The configuration; where none was named and none is installed, the default rule is worth a look all the same.
pub(super) fn rules(args: &Args) -> Result<Config, Exit> {
    let env = Environment::of_process();
    match config::load(args.config.as_deref(), &env) {
        Err(LoadError::Missing) if args.config.is_none() => {
            eprintln!("no {DEFAULT_PATH}; the default rule is taken");
            config::check("", DEFAULT_PATH, &env).map_err(|problems| {
                eprintln!("{problems}");
                Exit::Configuration
            })
        }
        _ => load(args.config.as_deref()),
    }
}

/// What the ledger says of it all.
fn alerts(config: &Config, found: &Found) -> Result<Vec<Alert>, Exit> {
    let accesses = found.accesses.iter().filter(|access| may_count(config, access)).cloned().collect();
    judged(config, accesses, found).map_err(|error| {
        exit::tell(&error);
        Exit::Store
    })
}

fn judged(config: &Config, accesses: Vec<Access>, found: &Found) -> Result<Vec<Alert>, StoreError> {
    let Some(last) = accesses.last().map(|access| access.time) else { return Ok(Vec::new()) };
    let sources = &found.sources;
    let mut ledger = Ledger::in_memory(settings(config, sources), last.wall())?;
    for source in sources {
        // What is new can be told only where enough of the past was read.
        ledger.know(source, found.span.filter(|_| !found.unlearnt).map_or(last.plus(1), |span| span.from))?;
    }
    let taken = ledger.take(accesses, last.wall())?;
    if !taken.conflicts.is_empty() {
        let records = count(taken.conflicts.len() as u64, "record");
        eprintln!("secretwatch: {records} with the event id of another, and another content; the first counts");
    }
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
        // What is wrong with an entry of the allow-list, so long after, is nothing that the records tell.
        if delivery.alert.kind != AlertKind::Notice {
            alerts.push(dated(delivery.alert));
        }
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

/// For a ledger that keeps whatever it is given, whenever that happened.
pub(super) fn settings(config: &Config, sources: &BTreeSet<SourceId>) -> LedgerSettings {
    let rules = config.rules.iter().cloned().map(|mut rule| {
        rule.notify = vec![PRINTER.to_owned()];
        rule
    });
    LedgerSettings {
        rules: rules.collect(),
        allowances: config.allowances.clone(),
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
    // Mails do not say that it is over, unless asked to.
    let is_shown = |alert: &&Alert| format == Format::Json || alert.kind != AlertKind::Resolved;
    print(|out| alerts.iter().filter(is_shown).try_for_each(|alert| print_alert(out, alert, format)))
}

fn print_comparison(comparison: &Comparison<'_>, format: Format) -> Result<(), Exit> {
    print(|out| match format {
        Format::Text => comparison.write_text(out),
        Format::Json => comparison.write_json(out),
    })
}

/// Prints what may be much. A reader that has gone away, as `head` does, is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Exit> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            exit::tell(&error);
            Err(Exit::Store)
        }
        _ => Ok(()),
    }
}

fn print_alert(out: &mut dyn Write, alert: &Alert, format: Format) -> std::io::Result<()> {
    match format {
        Format::Text => writeln!(out, "Subject: {}\n\n{}\n", notify::subject(alert), notify::text(alert)),
        Format::Json => writeln!(out, "{}", serde_json::to_string(alert)?),
    }
}

fn summarise(what: &str, notes: &[String], found: &Found) {
    let Found { matched, unmatched, unreadable, .. } = found;
    eprintln!("{what}, {matched} matched a rule, {unmatched} did not, {unreadable} made no sense");
    notes.iter().for_each(|note| eprintln!("{note}"));
}

/// A line for each rule that tells what is new and has nothing to go by.
fn summarise_learning(config: &Config, span: Option<Span>) {
    let Some(span) = span else { return };
    for rule in &config.rules {
        if let Some(first_seen) = rule.first_seen.as_ref().filter(|it| it.learn >= span.seconds()) {
            let [learn, read] = [first_seen.learn, span.seconds()].map(duration_in_words);
            eprintln!("{}: silent, since it learns for {learn} first, and what was read spans {read}", rule.name);
        }
    }
}

/// A line for each rule that had something to say.
fn summarise_rules(config: &Config, alerts: &[Alert], span: Option<Span>) {
    let mut tallies: BTreeMap<&str, Tally> = Tally::of(config, alerts, span);
    tallies.retain(|_, tally| tally.alerts > 0);
    for (rule, Tally { incidents, alerts, alerts_per_week, accesses }) in &tallies {
        let counts = [(*incidents, "incident"), (*alerts, "alert"), (*accesses, "access")];
        let counts = counts.map(|(number, noun)| count(number, noun)).join(", ");
        let weekly = alerts_per_week.map(|share| format!("; {share:.1} alerts a week")).unwrap_or_default();
        eprintln!("{rule}: {counts}{weekly}");
    }
    if tallies.is_empty() {
        eprintln!("no alerts");
    }
}
