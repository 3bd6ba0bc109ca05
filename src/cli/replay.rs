//! `secretwatch replay`: the configured rules over CloudTrail files, without AWS and without touching the state.
//!
//! It is as if everything in the files had become visible at one poll, and time had passed since: the same ledger as
//! the daemon's, in memory, takes all accesses in at once. So the output depends on what the files hold and not on the
//! order in which they are read, and it never depends on the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::exit::{self, Exit};
use super::{Args, Format, load};
use crate::config::{self, Config, DEFAULT_PATH, Environment, LoadError};
use crate::model::{Access, Alert, AlertKind, EventTime, Severity, Span, WallTime, read_record};
use crate::notify;
use crate::store::{Ledger, LedgerSettings, Next, Recipient, Settlement, StoreError};
use crate::trail::{Coverage, SourceId, Summary, read_paths};

/// Longer than any file reaches back.
const FOREVER: Duration = Duration::from_secs(20_000 * 365 * 86_400);

/// Unreadable records that are told one by one.
const TOLD: u64 = 20;

/// The one recipient of a replay.
const PRINTER: &str = "replay";

/// What the files held.
#[derive(Default)]
struct Found {
    accesses: Vec<Access>,
    /// Whose trails the files are.
    sources: BTreeSet<SourceId>,
    unreadable: u64,
    ignored: u64,
}

/// Prints the alerts that the rules would have sent.
pub(super) fn replay(args: &Args, paths: &[PathBuf], format: Format) -> Result<Exit, Exit> {
    let config = rules(args)?;
    let mut found = Found::default();
    let summary = read_paths(paths, &mut |json, origin| {
        let place = || format!("{}:{}", origin.path.display(), origin.line);
        found.take(&config, json, &place);
    });
    for damage in &summary.damage {
        exit::tell(damage);
    }
    let counted = found.accesses.len();
    let (unreadable, ignored) = (found.unreadable, found.ignored);
    let mut alerts = alerts(&config, found).map_err(|error| {
        exit::tell(&error);
        Exit::Store
    })?;
    if format == Format::Text {
        // Mails do not say that it is over, unless asked to.
        alerts.retain(|alert| alert.kind != AlertKind::Resolved);
    }
    print_alerts(&alerts, format)?;
    summarise(&summary, counted, ignored, unreadable, &alerts);
    Ok(if summary.damaged > 0 || unreadable > 0 { Exit::Incomplete } else { Exit::Done })
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
        _ => load(args),
    }
}

impl Found {
    fn take(&mut self, config: &Config, json: &str, place: &dyn Fn() -> String) {
        match read_record(json, WallTime::default()) {
            Ok(mut access) => {
                access.seen = access.time.wall();
                self.sources.insert(SourceId { account: access.account.clone(), region: access.region.clone() });
                if may_count(config, &access) {
                    self.accesses.push(access);
                } else {
                    self.ignored += 1;
                }
            }
            Err(error) => {
                self.unreadable += 1;
                if self.unreadable <= TOLD {
                    eprintln!("secretwatch: {}: record makes no sense: {error}", place());
                }
            }
        }
    }
}

/// Whether a rule of `config` counts `access`, or may count another record of it.
pub(super) fn may_count(config: &Config, access: &Access) -> bool {
    let source = &access.event_source;
    if !source.is_empty() && !config.poll.event_sources.contains(source) {
        return false;
    }
    // The copy that counts may be another one than that which a rule matches.
    let told_elsewhere = access.identity() != access.event_id;
    told_elsewhere || config.rules.iter().any(|rule| rule.matches(access))
}

/// What the ledger says of it all.
fn alerts(config: &Config, found: Found) -> Result<Vec<Alert>, StoreError> {
    let Found { mut accesses, sources, .. } = found;
    accesses.sort_by(|a, b| (a.time, &a.event_id).cmp(&(b.time, &b.event_id)));
    // Folders often hold an event in more than one file, and a page in which it comes twice would be counted in pieces.
    accesses.dedup();
    let Some(last) = accesses.last().map(|access| access.time) else { return Ok(Vec::new()) };
    let mut ledger = Ledger::in_memory(settings(config, &sources), last.wall())?;
    let taken = ledger.take(accesses, last.wall())?;
    if taken.too_old > 0 {
        eprintln!("secretwatch: {} record(s) are dated before anything that can be counted", taken.too_old);
    }

    // Long after, with everything read: whatever was open is over.
    let after = last.wall().plus(FOREVER);
    let mut coverage = Coverage::new(EventTime(i64::MIN / 2), Duration::ZERO, Duration::ZERO);
    coverage.read(Span { from: coverage.since(), to: after.second() }, after);
    for source in &sources {
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

fn summarise(summary: &Summary, counted: usize, ignored: u64, unreadable: u64, alerts: &[Alert]) {
    let mut rules: BTreeMap<&str, (BTreeSet<&str>, u64, u64)> = BTreeMap::new();
    for alert in alerts {
        let (incidents, sent, accesses) = rules.entry(&alert.rule.name).or_default();
        incidents.insert(&alert.incident);
        *sent += 1;
        *accesses += alert.accesses.len() as u64;
    }
    eprintln!(
        "{} file(s), {} damaged; {} record(s): {counted} matched a rule, {ignored} did not, {unreadable} made no sense",
        summary.files, summary.damaged, summary.records
    );
    for (rule, (incidents, sent, accesses)) in &rules {
        eprintln!("{rule}: {} incident(s), {sent} alert(s), {accesses} access(es)", incidents.len());
    }
    if rules.is_empty() {
        eprintln!("no alerts");
    }
}
