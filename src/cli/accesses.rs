//! `secretwatch accesses`: who read what, as far as it is kept.

use std::time::Duration;

use super::ask::Office;
use super::exit::Exit;
use super::table::{Format, Place, csv};
use super::{Args, glob, load, print};
use crate::config::{Config, did_you_mean};
use crate::daemon::{Answer, Ask};
use crate::model::{Access, Outcome, WallTime};
use crate::store::AccessQuery;

/// From this width on the ids that `explain` wants have a column.
const WIDE: u16 = 150;

/// Which accesses are listed, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only those of the last so long, such as 1h, by event time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only of secrets whose name or ARN matches. Can be given more than once
    #[arg(long = "secret", value_name = "GLOB", value_parser = glob)]
    secrets: Vec<String>,
    /// Only by principals whose ARN matches. Can be given more than once
    #[arg(long = "principal", value_name = "GLOB", value_parser = glob)]
    principals: Vec<String>,
    /// Only those that ended so
    #[arg(long, value_enum, value_name = "OUTCOME")]
    outcome: Option<Ended>,
    /// Only those that this rule is about
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// How many at most, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How an access ended, as one types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ended {
    /// It was allowed and done
    Success,
    /// It was not allowed
    Denied,
    /// Something else was wrong
    Failed,
    /// However it ended
    Any,
}

impl Ended {
    fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Success => Some(Outcome::Success),
            Self::Denied => Some(Outcome::Denied),
            Self::Failed => Some(Outcome::Failed),
            Self::Any => None,
        }
    }
}

/// Lists accesses.
pub(super) fn accesses(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    if let Some(rule) = &options.rule {
        is_known(rule, &config)?;
    }
    let found = found(&mut Office::of(&config), options)?;
    print(|out| match options.format {
        Format::Json => found.iter().try_for_each(|access| writeln!(out, "{}", serde_json::to_string(access)?)),
        Format::Csv => csv(out, &TITLES, found.iter().map(record)),
        Format::Table if found.is_empty() => writeln!(out, "no accesses"),
        Format::Table => {
            let place = Place::standard();
            let with_id = place.holds(WIDE);
            let titles = ["TIME", "SECRET", "WHO", "CALL", "OUTCOME", "FROM", "EVENT ID"];
            let titles = if with_id { &titles[..] } else { &titles[..6] };
            let rows = found.iter().map(|access| row(access, &place, titles.len()));
            out.write_all(place.table(titles, rows).as_bytes())
        }
    })
}

/// Whether there is a rule of that name; if not, that is told.
fn is_known(rule: &str, config: &Config) -> Result<(), Exit> {
    let names = || config.rules.iter().map(|rule| rule.name.as_str());
    if names().any(|name| name == rule) {
        return Ok(());
    }
    eprintln!("secretwatch: there is no rule {rule:?}{}", did_you_mean(rule, names()));
    Err(Exit::Usage)
}

fn found(office: &mut Office<'_>, options: &Options) -> Result<Vec<Access>, Exit> {
    let Options { since, secrets, principals, outcome, rule, limit, .. } = options;
    let mut query = AccessQuery {
        since: since.map(|since| WallTime::now().minus(since).second()),
        secrets: secrets.clone(),
        principals: principals.clone(),
        outcome: outcome.and_then(Ended::outcome),
        rule: rule.clone(),
        before: None,
        limit: *limit,
    };
    let mut found = Vec::new();
    while query.limit > 0 {
        let Answer::Accesses(page) = office.ask(&Ask::Accesses(query.clone()))? else { return Err(Exit::Software) };
        found.extend(page.accesses);
        query.limit = limit.saturating_sub(found.len());
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    Ok(found)
}

fn row(access: &Access, place: &Place, columns: usize) -> Vec<String> {
    let mut row = vec![
        place.event(access.time),
        access.secret.as_ref().map_or("-".to_owned(), |secret| secret.name.clone()),
        access.principal.short(),
        access.event.clone(),
        access.outcome.word().to_owned(),
        access.source_ip.clone().unwrap_or_else(|| "-".to_owned()),
        access.event_id.clone(),
    ];
    row.truncate(columns);
    row
}

/// The columns of [`record`].
const TITLES: [&str; 17] = [
    "time",
    "seen",
    "event",
    "outcome",
    "error",
    "secret",
    "secret_arn",
    "principal_type",
    "principal",
    "principal_arn",
    "session",
    "account",
    "region",
    "source_ip",
    "user_agent",
    "access_key_id",
    "event_id",
];

fn record(access: &Access) -> Vec<String> {
    let secret = access.secret.as_ref();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    vec![
        access.time.to_string(),
        access.seen.to_string(),
        access.event.clone(),
        access.outcome.word().to_owned(),
        text(access.error.as_ref()),
        text(secret.map(|secret| &secret.name)),
        text(secret.and_then(|secret| secret.arn.as_ref())),
        access.principal.kind.clone(),
        text(access.principal.name.as_ref()),
        text(access.principal.arn.as_ref()),
        text(access.principal.session.as_ref()),
        access.account.clone(),
        access.region.clone(),
        text(access.source_ip.as_ref()),
        text(access.user_agent.as_ref()),
        text(access.access_key_id.as_ref()),
        access.event_id.clone(),
    ]
}
