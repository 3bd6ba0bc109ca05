//! `secretwatch explain`: why somebody was told of an event, or why not.
//!
//! It is asked of the daemon or its store; with `--file`, of the configured rules over records in `files`. How the
//! answer looks on a terminal is `text`'s business.

mod files;
mod text;

use std::path::PathBuf;

use super::ask::Office;
use super::exit::Exit;
use super::{Args, Format, load, print};
use crate::daemon::{Answer, Ask};
use crate::store::{Explanation, MAX_EVENT_ID};

/// What is explained, and how it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The event's id, as in eventID of its record
    #[arg(value_name = "EVENT_ID", required_unless_present = "files")]
    event_id: Option<String>,
    /// Explain a record in CloudTrail files by the configured rules, without AWS and without the state; without an id,
    /// the only one there is. Can be given more than once
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Explains an event.
pub(super) fn explain(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let Options { event_id, files, format } = options;
    if let Some(id) = event_id.as_ref().filter(|id| id.len() > MAX_EVENT_ID) {
        eprintln!("secretwatch: an event id has at most {MAX_EVENT_ID} bytes, and this has {}", id.len());
        return Err(Exit::Usage);
    }
    match event_id {
        Some(id) if files.is_empty() => {
            let answer = Office::of(&load(args.config.as_deref())?).ask(&Ask::Explain { event_id: id.clone() })?;
            let Answer::Explanation(explanation) = answer else {
                eprintln!("secretwatch: the daemon answers something else than it was asked");
                return Err(Exit::Software);
            };
            show(&explanation, *format)
        }
        id => {
            let (explanation, read_through) = files::explain(args, id.as_deref(), files)?;
            let exit = show(&explanation, *format)?;
            Ok(if read_through { exit } else { Exit::Incomplete })
        }
    }
}

fn show(explanation: &Explanation, format: Format) -> Result<Exit, Exit> {
    print(|out| match format {
        Format::Text => out.write_all(text::text(explanation).as_bytes()),
        Format::Json => writeln!(out, "{}", serde_json::to_string(explanation)?),
    })?;
    Ok(if explanation.is_known() { Exit::Done } else { Exit::Unknown })
}
