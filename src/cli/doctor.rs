//! `secretwatch doctor`: the findings, for people or as JSON.

use std::io::Write;

use super::exit::Exit;
use super::run::runtime;
use super::{Args, Format, load, log, print};
use crate::aws::Aws;
use crate::doctor::{Finding, Verdict, examine};
use crate::model::WallClock;

/// Makes all checks.
pub(super) fn doctor(args: &Args, format: Format) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    log::start(args.log_format, args.verbose, true);
    let findings = runtime()?.block_on(async { examine(&config, &Aws::load().await, &WallClock::machine()).await });
    print(|out| match format {
        Format::Text => describe(out, &findings),
        Format::Json => findings.iter().try_for_each(|finding| writeln!(out, "{}", serde_json::to_string(finding)?)),
    })?;
    let has_failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if has_failed { Exit::Incomplete } else { Exit::Done })
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
