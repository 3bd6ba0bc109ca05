//! Log lines: to standard error, for people or as JSON; or to the journal, where that is what people read.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::Journal;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people; under systemd as entries of the journal, with fields
    Text,
    /// One JSON object a line
    Json,
}

/// Starts logging. `RUST_LOG` decides if it is set; otherwise ours at `info` and the libraries' warnings, and more with
/// each `-v`. Quiet is for commands whose output is what people look at.
pub(super) fn start(format: Format, verbose: u8, quiet: bool) {
    let default = match (verbose, quiet) {
        (0, true) => "error",
        // What the SDK warns of, our own lines say shorter.
        (0, false) => "error,secretwatch=info",
        (1, _) => "warn,secretwatch=debug",
        (_, _) => "info,secretwatch=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    if format == Format::Text
        && let Some(journal) = Journal::behind_stderr()
    {
        tracing_subscriber::registry().with(filter).with(journal).init();
        return;
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}
