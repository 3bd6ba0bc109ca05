//! `secretwatch silence`: alerts that are recorded and not sent for a while; which there are, and how to end one.

use std::time::Duration;

use super::ask::Office;
use super::exit::Exit;
use super::table::{Format, Place, csv};
use super::{Args, glob, load, print};
use crate::config::Config;
use crate::daemon::{Answer, Ask, LONGEST_SILENCE, Order};
use crate::detect::Globs;
use crate::model::{WallTime, count, duration_in_words};
use crate::store::{Hushed, Silence};

/// What is silenced, or which silences are shown.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Alerts of rules whose name matches. Can be given more than once
    #[arg(long = "rule", value_name = "GLOB", value_parser = glob)]
    rules: Vec<String>,
    /// Alerts all of whose accesses are of secrets whose name or ARN matches. Can be given more than once
    #[arg(long = "secret", value_name = "GLOB", value_parser = glob)]
    secrets: Vec<String>,
    /// Alerts all of whose accesses are by principals whose ARN matches. Can be given more than once
    #[arg(long = "principal", value_name = "GLOB", value_parser = glob)]
    principals: Vec<String>,
    /// For how long, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = length, requires = "reason")]
    length: Option<Duration>,
    /// Why, for whoever finds it
    #[arg(long, value_name = "TEXT", requires = "length")]
    reason: Option<String>,
    /// How silences are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the silences that hold, and those that have ended not long ago
    List {
        /// How they are printed
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// End a silence
    End {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// How long a silence is to last.
fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match length.as_secs() {
        0 => Err("a silence lasts for a second at least".to_owned()),
        _ if length > LONGEST_SILENCE => Err(format!(
            "a silence lasts for {} days at most; for longer, change the rule",
            LONGEST_SILENCE.as_secs() / 86_400
        )),
        _ => Ok(length),
    }
}

/// Begins, lists or ends silences.
pub(super) fn silence(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let mut office = Office::of(&config);
    let Options { command, rules, secrets, principals, length, reason, format } = options;
    let meant = Hushed { rules: rules.clone(), secrets: secrets.clone(), principals: principals.clone() };
    match (command, length, reason) {
        (Some(Command::List { format }), ..) => list(&mut office, *format),
        (Some(Command::End { id }), ..) => end(&mut office, id),
        (None, Some(length), Some(reason)) => {
            warn_of_strangers(&config, rules);
            begin(&mut office, meant, *length, reason)
        }
        (None, ..) if meant.is_everything() => list(&mut office, *format),
        (None, ..) => {
            eprintln!("secretwatch: a silence wants --for, such as 2h, and --reason");
            Err(Exit::Usage)
        }
    }
}

/// Says which globs match no rule that is configured.
fn warn_of_strangers(config: &Config, globs: &[String]) {
    for glob in globs {
        let matches = Globs::new(std::slice::from_ref(glob))
            .is_ok_and(|globs| config.rules.iter().any(|rule| globs.matches(&rule.name)));
        if !matches {
            eprintln!("secretwatch: no rule in the configuration matches {glob:?}");
        }
    }
}

fn begin(office: &mut Office<'_>, meant: Hushed, length: Duration, reason: &str) -> Result<Exit, Exit> {
    if meant.is_everything() {
        eprintln!("secretwatch: say what to silence: --rule, --secret or --principal; every rule is --rule '*'");
        return Err(Exit::Usage);
    }
    if reason.trim().is_empty() {
        eprintln!("secretwatch: --reason is empty; say why, for whoever finds the silence");
        return Err(Exit::Usage);
    }
    let order = Order::Silence { meant, seconds: length.as_secs(), reason: reason.to_owned() };
    let Answer::Silence(silence) = office.order(&order)? else { return Err(Exit::Software) };
    print(|out| {
        let until = Place::standard().wall(silence.until);
        writeln!(out, "silence {} holds until {until}; `secretwatch silence end {0}` ends it", silence.id)
    })
}

fn end(office: &mut Office<'_>, id: &str) -> Result<Exit, Exit> {
    let Answer::Silence(silence) = office.order(&Order::EndSilence { id: id.to_owned() })? else {
        return Err(Exit::Software);
    };
    print(|out| {
        let (at, kept) = (Place::standard().wall(silence.end()), count(silence.alerts, "alert"));
        writeln!(out, "silence {id} has ended at {at}; it has kept back {kept}")
    })
}

fn list(office: &mut Office<'_>, format: Format) -> Result<Exit, Exit> {
    let Answer::Silences(silences) = office.ask(&Ask::Silences)? else { return Err(Exit::Software) };
    let now = WallTime::now();
    print(|out| match format {
        Format::Json => silences.iter().try_for_each(|silence| writeln!(out, "{}", serde_json::to_string(silence)?)),
        Format::Csv => {
            let titles = ["silence", "rules", "secrets", "principals", "reason", "began", "until", "ended", "alerts"];
            csv(out, &titles, silences.iter().map(record))
        }
        Format::Table if silences.is_empty() => writeln!(out, "no silences"),
        Format::Table => {
            let place = Place::standard();
            let rows = silences.iter().rev().map(|silence| row(silence, &place, now));
            out.write_all(place.table(&["SILENCE", "STATE", "WHAT", "REASON", "BEGAN", "ALERTS"], rows).as_bytes())
        }
    })
}

fn row(silence: &Silence, place: &Place, now: WallTime) -> Vec<String> {
    let left = i64::try_from(silence.end().since(now).as_secs()).unwrap_or(i64::MAX);
    let state = match silence.holds(now) {
        true => format!("for {} more", duration_in_words(left.max(1))),
        false => format!("ended {}", place.wall(silence.end())),
    };
    vec![
        silence.id.clone(),
        state,
        meant(&silence.meant),
        silence.reason.clone(),
        place.wall(silence.began),
        silence.alerts.to_string(),
    ]
}

fn meant(Hushed { rules, secrets, principals }: &Hushed) -> String {
    let keys = [("rule", rules), ("secret", secrets), ("principal", principals)];
    let set = keys.into_iter().filter(|(_, globs)| !globs.is_empty());
    set.map(|(key, globs)| format!("{key} {}", globs.join(" or "))).collect::<Vec<_>>().join(", ")
}

fn record(silence: &Silence) -> Vec<String> {
    let Silence { id, meant, reason, began, until, ended, alerts } = silence;
    vec![
        id.clone(),
        meant.rules.join(" "),
        meant.secrets.join(" "),
        meant.principals.join(" "),
        reason.clone(),
        began.to_string(),
        until.to_string(),
        ended.map(|ended| ended.to_string()).unwrap_or_default(),
        alerts.to_string(),
    ]
}
