//! What the operator types: arguments, commands, and the exit status that tells how it went.
//!
//! Each command is a file; this one reads the arguments and sends them there. [`Exit`] is the only place where an error
//! becomes a number.

mod accesses;
mod alerts;
mod ask;
mod check;
mod demo;
mod doctor;
mod drill;
mod exit;
mod explain;
mod health;
mod journal;
mod log;
mod replay;
mod report;
mod rules;
mod run;
mod silence;
mod store;
mod table;
mod test_alert;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

pub use exit::Exit;

use crate::config::{self, Config, Environment, LoadError};
use crate::detect::Globs;
use crate::model::count;

/// Tells you that a secret in AWS Secrets Manager was read.
///
/// Without a command it watches: it polls CloudTrail's Event history, counts accesses, and sends alerts until it is
/// told to stop. AWS credentials, Region and endpoints come from the usual places (AWS_PROFILE, AWS_REGION, …).
#[derive(Debug, Parser)]
#[command(name = "secretwatch", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Args {
    /// Configuration file [default: $SECRETWATCH_CONFIG, else /etc/secretwatch/config.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Make one full pass over every source, deliver what is queued, and exit
    #[arg(long)]
    once: bool,

    /// With --once: end the pass cleanly after this long, such as 50s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "once")]
    max_time: Option<Duration>,

    /// How log lines look, on standard error
    #[arg(long, global = true, value_enum, default_value_t = log::Format::Text, value_name = "FORMAT")]
    log_format: log::Format,

    /// Say more; twice for still more. RUST_LOG decides if it is set
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Exit status:
   0  done, or stopped by a signal
   1  a pass was incomplete, a file was damaged, a source was not read through, a check of doctor failed, what is
      named is not known, a drill came to nothing, or no daemon is at work
   2  --once, test-alert, drill: an alert is still undelivered
  64  wrong usage
  70  a fault of the program
  74  the store cannot be used
  75  another instance uses it
  78  wrong configuration";

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and validate the configuration, offline; every problem with file, line and key
    ///
    /// What is right but hardly meant is a warning, and leaves the exit status 0.
    Check {
        /// Print the resolved configuration; secrets are shown as [set]
        #[arg(long)]
        print: bool,
        /// Warnings are problems too
        #[arg(long)]
        strict: bool,
    },
    /// Ask AWS, the notifiers and this machine whether everything works, and say what to do where it does not
    ///
    /// A line a check: pass, warn or fail. Nothing is changed, and nobody gets a message.
    Doctor {
        /// How the findings are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// List the built-in rules: what each fires on, and why; with names, print them as TOML to copy
    Rules {
        /// Only these, as one would write them; "recommended" stands for all that are
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Run the rules over CloudTrail files, or over AWS's Event history, and print the alerts that they would have sent
    Replay(replay::Options),
    /// List recent accesses: who read which secret, when, from where, with which outcome
    ///
    /// Asks the daemon, or looks at the store where none runs.
    Accesses(accesses::Options),
    /// Say what happened in a stretch of time: totals, who read what, what is new, what was denied, incidents, blind times
    ///
    /// Every access that is kept is looked at, since what is new can only be told so. It works while the daemon runs and
    /// when it does not.
    Report(report::Options),
    /// List alerts, and where each stands with each notifier
    ///
    /// Asks the daemon, or looks at the store where none runs.
    Alerts(alerts::Options),
    /// Say why somebody was told of an event, or why not: for each rule, and each of its keys
    ///
    /// Asks the daemon, or looks at the store where none runs.
    Explain(explain::Options),
    /// Say whether the daemon is at work; status 1 if not. For those who restart what is not
    Health,
    /// Send a marked test alert through the real path, and wait for its acceptance; status 2 if it is not accepted
    TestAlert(test_alert::Options),
    /// Read a canary secret, wait for that very access to come round as an alert, and say how long each hop took
    Drill(drill::Options),
    /// Record alerts but do not send them for a while; without options, list such silences
    Silence(silence::Options),
    /// Look after the store: is it whole, and how to begin anew if not
    #[command(subcommand)]
    Store(store::Command),
    /// Watch a simulated AWS account; needs no account, no network, no configuration
    Demo {
        /// How alerts are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, one object a line
    Json,
}

/// Runs the program and returns its exit status.
#[must_use]
pub fn main() -> Exit {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are asked for; anything else is wrong usage.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nothing is left to be said if not even this can be printed.
            let _ = error.print();
            return exit;
        }
    };
    if args.once && args.command.is_some() {
        eprintln!("secretwatch: --once is for watching and goes with no command");
        return Exit::Usage;
    }
    let outcome = match &args.command {
        None if args.once => run::once(&args),
        None => run::daemon(&args),
        Some(Command::Check { print, strict }) => check::check(&args, *print, *strict),
        Some(Command::Rules { names, format }) => rules::rules(names, *format),
        Some(Command::Replay(options)) => replay::replay(&args, options),
        Some(Command::Accesses(options)) => accesses::accesses(&args, options),
        Some(Command::Report(options)) => report::report(&args, options),
        Some(Command::Alerts(options)) => alerts::alerts(&args, options),
        Some(Command::TestAlert(options)) => test_alert::test_alert(&args, options),
        Some(Command::Drill(options)) => drill::drill(&args, options),
        Some(Command::Silence(options)) => silence::silence(&args, options),
        Some(Command::Explain(options)) => explain::explain(&args, options),
        Some(Command::Health) => health::health(&args),
        Some(Command::Doctor { format }) => doctor::doctor(&args, *format),
        Some(Command::Store(store::Command::Check { format })) => store::check(&args, *format),
        Some(Command::Store(store::Command::Renew { since, from_now, force })) => {
            store::renewed(&args, *since, *from_now, *force)
        }
        Some(Command::Demo { format }) => demo::demo(&args, *format),
        Some(Command::Completions { shell }) => print(|out| {
            clap_complete::generate(*shell, &mut Args::command(), "secretwatch", out);
            Ok(())
        }),
        Some(Command::Man) => print(|out| clap_mangen::Man::new(Args::command()).render(out)),
    };
    outcome.unwrap_or_else(|exit| exit)
}

/// The configuration, or the problems with it, told.
fn load(path: Option<&Path>) -> Result<Config, Exit> {
    config::load(path, &Environment::of_process()).map_err(|error| {
        match &error {
            // A line a problem, as compilers have it, so that editors can jump to each.
            LoadError::Wrong(problems) => {
                eprintln!("{problems}\nsecretwatch: {}", count(problems.count() as u64, "problem"));
            }
            _ => exit::tell(&error),
        }
        Exit::Configuration
    })
}

/// A glob that is one.
fn glob(text: &str) -> Result<String, String> {
    Globs::new(&[text.to_owned()]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Prints a line, like [`print`].
fn say(line: &str) -> Result<(), Exit> {
    print(|out| writeln!(out, "{line}")).map(drop)
}

/// Prints what `write` writes. A reader that has gone away, as `head` does, is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<Exit, Exit> {
    let mut text = Vec::new();
    write(&mut text).and_then(|()| std::io::stdout().lock().write_all(&text)).or_else(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => {
            exit::tell(&error);
            Err(Exit::Store)
        }
    })?;
    Ok(Exit::Done)
}
