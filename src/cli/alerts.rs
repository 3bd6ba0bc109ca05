//! `secretwatch alerts`: what was decided, and where each alert stands with each notifier; and `alerts retry`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ask::Office;
use super::exit::Exit;
use super::table::{Format, Place, csv};
use super::{Args, load, print, say};
use crate::daemon::{Answer, Ask, Order};
use crate::model::{WallTime, count, printable};
use crate::store::{AlertQuery, AlertSight, Resend, Resent, Stand, Standing};

/// Characters of an error in a table.
const ERROR_MAX: usize = 120;

/// Alerts that are asked for at once.
const PAGE: usize = 1_000;

/// From this width on there is room for all columns.
const WIDE: u16 = 160;

/// So many notifiers that have accepted an alert are named.
const NAMED: usize = 2;

/// Ids in one order.
const RESENT_AT_ONCE: usize = 200;

/// Which alerts are listed, and how.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only those that a notifier has not accepted: waiting, refused, or given up as dead letters
    #[arg(long)]
    undelivered: bool,
    /// Only those that were decided in the last so long, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// How many at most, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send alerts again to those that have not accepted them: dead letters, too
    Retry {
        /// The alerts' ids
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All that are undelivered
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// Lists alerts, or sends some again.
pub(super) fn alerts(args: &Args, options: &Options) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let mut office = Office::of(&config);
    match &options.command {
        Some(Command::Retry { ids, .. }) => retry(&mut office, ids),
        None => list(&mut office, options),
    }
}

fn list(office: &mut Office<'_>, options: &Options) -> Result<Exit, Exit> {
    let Options { undelivered, since, limit, format, .. } = options;
    let since = since.map(|since| WallTime::now().minus(since));
    let found = found(office, AlertQuery { since, undelivered: *undelivered, ..AlertQuery::default() }, *limit)?;
    print(|out| match format {
        Format::Json => found.iter().try_for_each(|alert| writeln!(out, "{}", serde_json::to_string(alert)?)),
        Format::Csv => csv(out, &TITLES, found.iter().flat_map(records)),
        Format::Table if found.is_empty() && *undelivered => writeln!(out, "no undelivered alerts"),
        Format::Table if found.is_empty() => writeln!(out, "no alerts"),
        Format::Table => {
            let place = Place::standard();
            let is_wide = place.holds(WIDE);
            let rows = found.iter().map(|alert| row(alert, &place, is_wide));
            let titles = ["DECIDED", "KIND", "RULE", "WHERE IT STANDS", "ALERT", "SEVERITY", "WHAT"];
            let titles = if is_wide { &titles[..] } else { &titles[..5] };
            out.write_all(place.table(titles, rows).as_bytes())
        }
    })
}

/// What `query` wants, page by page, at most so many.
fn found(office: &mut Office<'_>, mut query: AlertQuery, limit: usize) -> Result<Vec<AlertSight>, Exit> {
    let mut found: Vec<AlertSight> = Vec::new();
    while found.len() < limit {
        query.limit = (limit - found.len()).min(PAGE);
        let Answer::Alerts(page) = office.ask(&Ask::Alerts(query.clone()))? else { return Err(Exit::Software) };
        found.extend(page.alerts);
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    Ok(found)
}

/// Alert `id`, if it is stored.
pub(super) fn one(office: &mut Office<'_>, id: &str) -> Result<Option<AlertSight>, Exit> {
    let query = AlertQuery { id: Some(id.to_owned()), ..AlertQuery::default() };
    Ok(found(office, query, 1)?.pop())
}

fn retry(office: &mut Office<'_>, ids: &[String]) -> Result<Exit, Exit> {
    let ids: Vec<String> = match ids {
        [] => {
            let query = AlertQuery { undelivered: true, ..AlertQuery::default() };
            found(office, query, usize::MAX)?.into_iter().rev().map(|alert| alert.id).collect()
        }
        // Named twice, it is still one alert.
        ids => ids.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect(),
    };
    let mut exit = Exit::Done;
    let mut queued = 0;
    for ids in ids.chunks(RESENT_AT_ONCE) {
        let order = Order::Resend { ids: ids.to_vec() };
        let Answer::Resent(all) = office.order(&order)? else { return Err(Exit::Software) };
        for (id, resent) in all {
            let Some(resent) = resent else {
                eprintln!("secretwatch: no alert {:?} is stored", printable(&id, 100));
                exit = Exit::Unknown;
                continue;
            };
            queued += resent.iter().filter(|it| it.outcome == Resend::Queued).count();
            if resent.iter().any(|it| matches!(it.outcome, Resend::NoNotifier | Resend::NoText)) {
                exit = Exit::Incomplete;
            }
            say(&format!("{id}  {}", outcomes(&resent)))?;
        }
    }
    if ids.is_empty() {
        say("no undelivered alerts")?;
    } else if queued > 0 && !office.is_daemon() {
        say(&format!("{} will be sent by the daemon or the next --once", count(queued as u64, "message")))?;
    }
    Ok(exit)
}

fn outcomes(resent: &[Resent]) -> String {
    let outcome = |it: &Resent| match it.outcome {
        Resend::Queued => format!("{} queued again", it.notifier),
        Resend::Accepted => format!("{} has accepted it", it.notifier),
        Resend::NoNotifier => format!("{} is no longer in the configuration", it.notifier),
        Resend::NoText => format!("{}: what was to be sent is lost", it.notifier),
    };
    match resent {
        [] => "was queued for nobody".to_owned(),
        some => some.iter().map(outcome).collect::<Vec<_>>().join("; "),
    }
}

fn row(alert: &AlertSight, place: &Place, is_wide: bool) -> Vec<String> {
    let mut row = vec![
        place.wall(alert.decided),
        alert.kind.word().to_owned(),
        alert.rule.clone(),
        stands(alert),
        alert.id.clone(),
    ];
    if is_wide {
        row.extend([alert.severity.word().to_owned(), alert.summary.clone()]);
    }
    row
}

/// Where it stands, in a few words: those that have it are named only if there are not many.
fn stands(alert: &AlertSight) -> String {
    if let Some(silence) = &alert.silenced {
        return format!("silenced by {silence}");
    }
    let has_it = |it: &&Stand| matches!(it.stand, Standing::Accepted { by: None, .. });
    let accepted = alert.notifiers.iter().filter(has_it).count();
    let others = alert.notifiers.iter().filter(|it| !has_it(it)).filter_map(stand);
    let those = match accepted {
        0 => Vec::new(),
        1..=NAMED => alert.notifiers.iter().filter(has_it).filter_map(stand).collect(),
        many => vec![format!("{many} accepted")],
    };
    let stands: Vec<String> = those.into_iter().chain(others).collect();
    if stands.is_empty() { "for nobody".to_owned() } else { stands.join("; ") }
}

fn stand(Stand { notifier, stand }: &Stand) -> Option<String> {
    let because = |error: &Option<String>| {
        error.as_ref().map_or(String::new(), |error| format!(": {}", printable(error, ERROR_MAX)))
    };
    let tried = |attempts: &u32| count(u64::from(*attempts), "attempt");
    Some(match stand {
        Standing::Accepted { by: None, .. } => format!("{notifier} accepted"),
        Standing::Accepted { by: Some(by), .. } => format!("{notifier} by way of {by}"),
        Standing::Waiting { behind: Some(_), .. } => format!("{notifier} waits for an earlier one"),
        Standing::Waiting { attempts: 0, .. } => format!("{notifier} waits"),
        Standing::Waiting { parked: true, error, .. } => format!("{notifier} refused{}", because(error)),
        Standing::Waiting { attempts, error, .. } => format!("{notifier} not in {}{}", tried(attempts), because(error)),
        Standing::Dead { attempts, error, .. } => {
            format!("{notifier} given up after {}{}", tried(attempts), because(error))
        }
        Standing::Lost => format!("{notifier} unknown"),
        Standing::Silenced { .. } | Standing::Meant => return None,
        Standing::NotNamed | Standing::TooMild { .. } | Standing::NotQueued => return None,
    })
}

/// The columns of [`records`].
const TITLES: [&str; 15] = [
    "decided",
    "kind",
    "severity",
    "rule",
    "accesses",
    "summary",
    "alert",
    "incident",
    "silenced",
    "notifier",
    "stands",
    "since",
    "attempts",
    "error",
    "accepted_by",
];

/// A row for each notifier that it was queued for; one without, if for none.
fn records(alert: &AlertSight) -> Vec<Vec<String>> {
    let head = [
        alert.decided.to_string(),
        alert.kind.word().to_owned(),
        alert.severity.word().to_owned(),
        alert.rule.clone(),
        alert.accesses.to_string(),
        alert.summary.clone(),
        alert.id.clone(),
        alert.incident.clone(),
        alert.silenced.clone().unwrap_or_default(),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for Stand { notifier, stand } in &alert.notifiers {
        let (since, attempts, error, by) = match stand {
            Standing::Accepted { at, attempts, by } => (at, attempts, &None, by.as_ref().or(Some(notifier))),
            Standing::Waiting { since, attempts, error, .. } => (since, attempts, error, None),
            Standing::Dead { at, attempts, error } => (at, attempts, error, None),
            _ => continue,
        };
        let word = stand.word().unwrap_or_default().to_owned();
        let (error, by) = (error.clone().unwrap_or_default(), by.cloned().unwrap_or_default());
        let stand = [notifier.clone(), word, since.to_string(), attempts.to_string(), error, by];
        rows.push(head.iter().cloned().chain(stand).collect());
    }
    if rows.is_empty() {
        rows.push(head.into_iter().chain(std::iter::repeat_n(String::new(), 6)).collect());
    }
    rows
}
