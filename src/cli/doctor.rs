//! `secretwatch doctor`: the findings, for people or as JSON.

use std::io::Write;

use super::ask::Office;
use super::exit::Exit;
use super::run::runtime;
use super::{Args, Format, load, log, print};
use crate::aws::Aws;
use crate::config::Config;
use crate::daemon::{Answer, Ask};
use crate::doctor::{Finding, Verdict, examine};
use crate::model::{WallClock, WallTime};
use crate::store::{AlertQuery, AlertSight, Standing};

/// Alerts that are looked at: whether more are stuck makes no difference.
const LOOKED_AT: usize = 1_000;

/// Makes all checks.
pub(super) fn doctor(args: &Args, format: Format) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    log::start(args.log_format, args.verbose, true);
    let mut findings = runtime()?.block_on(async { examine(&config, &Aws::load().await, &WallClock::machine()).await });
    findings.extend(outboxes(&config));
    print(|out| match format {
        Format::Text => describe(out, &findings),
        Format::Json => findings.iter().try_for_each(|finding| writeln!(out, "{}", serde_json::to_string(finding)?)),
    })?;
    let has_failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if has_failed { Exit::Incomplete } else { Exit::Done })
}

/// What is stuck in the outboxes, and what is kept out of them; nothing where there is no store yet.
fn outboxes(config: &Config) -> Vec<Finding> {
    if !config.state_dir.join("db").is_dir() {
        return Vec::new();
    }
    let mut office = Office::of(config);
    let query = AlertQuery { undelivered: true, limit: LOOKED_AT, ..AlertQuery::default() };
    // Why nobody answers has been said, and the daemon's own check tells of it.
    let (Ok(Answer::Alerts(page)), Ok(Answer::Silences(silences))) =
        (office.ask(&Ask::Alerts(query)), office.ask(&Ask::Silences))
    else {
        return Vec::new();
    };
    let mut findings: Vec<Finding> = config.notifiers.keys().map(|name| outbox(name, &page.alerts)).collect();
    let now = WallTime::now();
    for silence in silences.iter().filter(|silence| silence.holds(now)) {
        let says = format!("silence {} holds until {}: {}", silence.id, silence.until.second(), silence.reason);
        let advice = format!("If it is not wanted any more: `secretwatch silence end {}`.", silence.id);
        findings.push(Finding::warn("silences", "silence", says, advice));
    }
    findings
}

fn outbox(name: &str, alerts: &[AlertSight]) -> Finding {
    let about = format!("notifier {name}");
    let (mut waiting, mut refused, mut dead) = (0, 0, 0);
    for stand in alerts.iter().flat_map(|alert| &alert.notifiers).filter(|stand| stand.notifier == name) {
        match stand.stand {
            Standing::Waiting { parked: true, .. } => refused += 1,
            Standing::Waiting { .. } => waiting += 1,
            Standing::Dead { .. } => dead += 1,
            _ => {}
        }
    }
    let kinds = [(waiting, "waiting"), (refused, "refused"), (dead, "given up")];
    let counts: Vec<String> =
        kinds.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    if refused + dead == 0 {
        let says = if waiting == 0 { "nothing is stuck".to_owned() } else { format!("alerts: {waiting} waiting") };
        return Finding::pass(&about, "outbox", says);
    }
    let advice = "`secretwatch alerts --undelivered` says why; once it is mended, `secretwatch alerts retry --all`.";
    Finding::warn(&about, "outbox", format!("alerts: {}", counts.join(", ")), advice)
}

/// A line a check, under what was looked at; what to do on a line of its own.
fn describe(out: &mut dyn Write, findings: &[Finding]) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut about = "";
    for finding in findings {
        if finding.about != about {
            about = &finding.about;
            writeln!(out, "{about}")?;
        }
        writeln!(out, "  {}  {:width$}  {}", finding.verdict.word(), finding.check, finding.says)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "        {:width$}  {advice}", "")?;
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (fails, warns) = (count(Verdict::Fail), count(Verdict::Warn));
    writeln!(out, "{} checks: {fails} failed, {warns} to look at", findings.len())
}
