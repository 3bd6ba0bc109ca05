//! `secretwatch store check` and `secretwatch store renew`: is the store what it should be, and what if not?

use std::io::Write;
use std::time::Duration;

use clap::Subcommand;

use super::ask::is_ours;
use super::exit::{self, Exit};
use super::{Args, Format, load, print};
use crate::daemon::EVENT_HISTORY;
use crate::model::{EventTime, WallTime, count};
use crate::store::{Renewal, Renewed, StoreError, Survey, renew, survey};

/// What can be done with the store while nobody else uses it.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read every row of the store and say what is damaged; changes nothing
    ///
    /// Reads a copy, which it makes in the folder for temporary files ($TMPDIR, else /tmp).
    Check {
        /// How the findings are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Set a damaged store aside and begin a new one with what can be saved of it
    ///
    /// What was alerted stays known, as far as it can be read, and is not alerted again. Event history is read again,
    /// from `backfill` before the last time that it had been read through. The old store is kept as it was, in
    /// `state_dir/db.damaged-TIME`.
    Renew {
        /// Read Event history again from here: a time such as 2026-05-27T18:00:00Z, or how long ago, such as 2d
        #[arg(long, value_name = "TIME|DURATION", value_parser = since)]
        since: Option<Since>,
        /// Begin watching now: what happened before is not read again
        #[arg(long, conflicts_with = "since")]
        from_now: bool,
        /// Renew a store that nothing is wrong with, too
        #[arg(long)]
        force: bool,
    },
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Since {
    At(EventTime),
    Ago(Duration),
}

fn since(text: &str) -> Result<Since, String> {
    let ago = |_| humantime::parse_duration(text).map(Since::Ago);
    text.parse().map(Since::At).or_else(ago).map_err(|_| "neither a time nor a duration".to_owned())
}

/// Looks at the store.
pub(super) fn check(args: &Args, format: Format) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let survey = survey(&config.state_dir).map_err(|error| told(&error))?;
    print(|out| match format {
        Format::Text => describe(out, &survey),
        Format::Json => writeln!(out, "{}", serde_json::to_string(&survey)?),
    })?;
    Ok(if survey.damaged == 0 { Exit::Done } else { Exit::Store })
}

/// Renews the store.
pub(super) fn renewed(args: &Args, since: Option<Since>, from_now: bool, force: bool) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let now = WallTime::now();
    let since = match since {
        Some(Since::At(at)) => Some(at),
        Some(Since::Ago(ago)) => Some(now.minus(ago).second()),
        None => from_now.then_some(now.second()),
    };
    if since.is_some_and(|since| since > now.second()) {
        eprintln!("secretwatch: --since lies in the future");
        return Err(Exit::Usage);
    }
    let oldest = now.minus(config.poll.retention.min(EVENT_HISTORY)).second();
    if since.is_some_and(|since| since < oldest) {
        eprintln!("secretwatch: --since lies before {oldest}: nothing older is read, by poll.retention or by AWS");
        return Err(Exit::Usage);
    }
    is_ours(&config.state_dir)?;
    let renewal = Renewal { since, backfill: config.poll.backfill, force };
    let renewed = renew(&config.state_dir, &renewal, now).map_err(|error| told(&error))?;
    print(|out| report(out, &renewed, from_now))
}

fn told(error: &StoreError) -> Exit {
    exit::tell(error);
    match error {
        StoreError::Locked(_) => Exit::Locked,
        StoreError::Well(_) => Exit::Usage,
        _ => Exit::Store,
    }
}

fn describe(out: &mut dyn Write, survey: &Survey) -> std::io::Result<()> {
    writeln!(out, "{:<28} {:>12} {:>15}", "table", "rows", "bytes")?;
    for table in &survey.tables {
        writeln!(out, "{:<28} {:>12} {:>15}", table.table, table.rows, table.bytes)?;
    }
    let (rows, bytes) = survey.tables.iter().fold((0, 0), |(r, b), table| (r + table.rows, b + table.bytes));
    writeln!(out, "{:<28} {rows:>12} {bytes:>15}", "together")?;
    writeln!(out, "\n{} takes {} bytes on disk", survey.path.display(), survey.bytes_on_disk)?;
    if survey.damaged == 0 {
        return writeln!(out, "nothing is wrong with it");
    }
    writeln!(out, "\n{}:", count(survey.damaged, "damaged row or place"))?;
    for damage in &survey.damage {
        writeln!(out, "  {}, {}: {}", damage.table, damage.key, damage.why)?;
    }
    let more = survey.damaged.saturating_sub(survey.damage.len() as u64);
    if more > 0 {
        writeln!(out, "  and {more} more")?;
    }
    writeln!(out, "`secretwatch store renew` begins anew with what can be saved")
}

fn report(out: &mut dyn Write, renewed: &Renewed, from_now: bool) -> std::io::Result<()> {
    writeln!(out, "the old store is kept in {}", renewed.aside.display())?;
    if !renewed.opened {
        writeln!(out, "nothing of it could be read, so nothing is known of what was alerted")?;
        if !from_now {
            writeln!(out, "alerts about accesses since {} will be sent again", renewed.begins)?;
        }
        return writeln!(out, "watching begins at {}", renewed.begins);
    }
    writeln!(out, "\n{:<28} {:>12} {:>30}", "table", "carried over", "left out or counted again")?;
    for (table, kept, left) in &renewed.tables {
        writeln!(out, "{table:<28} {kept:>12} {left:>30}")?;
    }
    if renewed.gaps > 0 {
        writeln!(out, "{}: rows that could not be read, nobody knows how many", count(renewed.gaps, "gap"))?;
    }
    writeln!(out, "\nEvent history is read again from {}", renewed.begins)
}
