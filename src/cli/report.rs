//! `secretwatch report`: what happened in a stretch of time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ask::Office;
use super::exit::{self, Exit};
use super::{Args, load, print};
use crate::daemon::Inquiry;
use crate::model::WallTime;
use crate::report::{html, text};

/// Lines of each list for programs, and for people.
const MOST: usize = 1_000;
const MOST_IN_HTML: usize = 200;
const MOST_IN_TEXT: usize = 20;

/// Which time it is about, and how it is written.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// About the last so long, by event time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "7d")]
    since: Duration,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it into a file, in place of one that is there
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, in lines
    Text,
    /// For people, one file that a browser shows and that needs nothing else
    Html,
    /// For programs, one object
    Json,
}

/// Writes a report.
pub(super) fn report(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let now = WallTime::now();
    let most = match options.format {
        Format::Text => MOST_IN_TEXT,
        Format::Html => MOST_IN_HTML,
        Format::Json => MOST,
    };
    let mut inquiry = Inquiry::new(now.minus(options.since).second(), now, most);
    let mut office = Office::of(&config);
    while let Some(ask) = inquiry.next() {
        if !inquiry.hear(office.ask(&ask)?) {
            return Err(Exit::Software);
        }
    }
    if options.since > config.poll.retention {
        let kept = humantime::format_duration(config.poll.retention);
        eprintln!(
            "secretwatch: nothing older than poll.retention, {kept}, is kept, so the report is about no more than that"
        );
    }
    let report = inquiry.report();
    let written = match options.format {
        Format::Text => text(&report),
        Format::Html => html(&report).map_err(|error| failed(&error))?,
        Format::Json => serde_json::to_string(&report).map_err(|error| failed(&error))? + "\n",
    };
    match &options.output {
        Some(path) => write(path, &written),
        None => print(|out| out.write_all(written.as_bytes())),
    }
}

fn failed(error: &dyn std::error::Error) -> Exit {
    exit::tell(error);
    Exit::Software
}

fn write(path: &Path, written: &str) -> Result<Exit, Exit> {
    std::fs::write(path, written).map(|()| Exit::Done).map_err(|error| {
        eprintln!("secretwatch: {} cannot be written: {error}", path.display());
        Exit::Store
    })
}
