//! The page: server-rendered, without anything from elsewhere. A script refreshes it, and it works without.

use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use super::Status;
use crate::model::{Access, EventTime, Outcome, WallTime, duration_in_words};
use crate::store::{AlertSight, Overview};

pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
const TEMPLATE: &str = include_str!("page.html");

/// Seconds of one bar of the chart, and how many there are.
const BAR: i64 = 1800;
const BARS: i64 = 48;

/// How far the chart goes back.
pub(super) const SPAN: Duration = Duration::from_secs((BAR * BARS).unsigned_abs());

/// Height of the chart, in its own units.
const HEIGHT: u64 = 100;

/// What stands in the page besides the status.
pub(super) struct Lists {
    /// For the chart: those of the last day, or the newest of them.
    pub(super) charted: Vec<Access>,
    /// Whether these are all.
    pub(super) all_charted: bool,
    /// Recent ones, by the filter.
    pub(super) accesses: Vec<Access>,
    /// Recent alerts.
    pub(super) alerts: Vec<AlertSight>,
    /// What was filtered by, as it was typed.
    pub(super) filter: Filter,
}

/// The filter in the page's address.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Filter {
    pub(super) secret: String,
    pub(super) principal: String,
    pub(super) outcome: String,
}

/// One bar: how many accesses of each outcome, and how high that is.
#[derive(Debug, Serialize)]
struct Bar {
    x: i64,
    label: String,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    class: &'static str,
    y: u64,
    height: u64,
}

#[derive(Serialize)]
struct Row {
    time: String,
    secret: String,
    who: String,
    call: String,
    outcome: &'static str,
    from: String,
    event_id: String,
}

#[derive(Serialize)]
struct AlertLine {
    decided: String,
    kind: &'static str,
    severity: &'static str,
    rule: String,
    summary: String,
    id: String,
    stands: Vec<(String, &'static str)>,
}

/// The page at `now`. Text in a template that is compiled in is right, and a test renders it.
pub(super) fn render(status: &Status, lists: &Lists, now: WallTime) -> Result<String, minijinja::Error> {
    let Overview { sources, incidents, outboxes, rules, .. } = &status.overview;
    let mut environment = Environment::new();
    environment.add_template("page.html", TEMPLATE)?;
    let ago = |at: Option<WallTime>| at.map_or("never".to_owned(), |at| ago(at, now));
    let sources: Vec<_> = sources
        .iter()
        .map(|it| {
            let class = match (it.blind_since, it.fresh) {
                (Some(_), _) => "bad",
                (None, false) => "doubtful",
                (None, true) => "good",
            };
            let word = match class {
                "bad" => "blind",
                "doubtful" => "not read through lately",
                _ => "fresh",
            };
            context! {
                account => it.account.clone(), region => it.region.clone(), class, word, read_through => ago(it.read_through),
                behind => words(it.behind_seconds), trouble => it.trouble.clone(),
                visible => it.visible_within_seconds.map(words),
            }
        })
        .collect();
    let open: Vec<_> = incidents
        .iter()
        .map(|it| {
            let group: Vec<String> =
                it.group.iter().map(|(key, value)| format!("{key} {}", value.as_deref().unwrap_or("none"))).collect();
            context! {
                id => it.incident.clone(), rule => it.rule.clone(), group => group.join(", "), opened => ago(Some(it.opened)),
                last => ago(Some(it.last_access.wall())), accesses => it.accesses,
            }
        })
        .collect();
    let notifiers: Vec<_> = outboxes
        .iter()
        .map(|it| {
            let class = if Status::is_stuck(it) {
                "bad"
            } else if it.waiting > 0 {
                "doubtful"
            } else {
                "good"
            };
            context! {
                name => it.notifier.clone(), class, waiting => it.waiting, refused => it.refused, dead => it.dead,
                oldest => it.oldest.map(|at| ago(Some(at))),
            }
        })
        .collect();
    let (bars, most) = chart(&lists.charted, now);
    environment.get_template("page.html")?.render(context! {
        sentence => status.sentence(), at => status.overview.at.second().to_string(),
        version => env!("CARGO_PKG_VERSION"), began => ago(Some(status.began)),
        healthy => status.objections().is_empty(), sources, open, notifiers, rules,
        bars => Value::from(Serde(&bars)), most, height => HEIGHT, width => BARS * 10,
        all_charted => lists.all_charted,
        accesses => Value::from(Serde(lists.accesses.iter().map(row).collect::<Vec<_>>())),
        alerts => Value::from(Serde(lists.alerts.iter().map(alert_line).collect::<Vec<_>>())),
        filter => Value::from(Serde(&lists.filter)),
    })
}

fn words(seconds: u64) -> String {
    duration_in_words(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn ago(at: WallTime, now: WallTime) -> String {
    format!("{} ago", words(now.since(at).as_secs()))
}

fn row(access: &Access) -> Row {
    Row {
        time: access.time.to_string(),
        secret: access.secret.as_ref().map_or("–".to_owned(), |secret| secret.name.clone()),
        who: access.principal.short(),
        call: access.event.clone(),
        outcome: access.outcome.word(),
        from: access.source_ip.clone().unwrap_or_else(|| "–".to_owned()),
        event_id: access.event_id.clone(),
    }
}

fn alert_line(alert: &AlertSight) -> AlertLine {
    let stands = alert.notifiers.iter().filter_map(|it| Some((it.notifier.clone(), it.stand.word()?)));
    AlertLine {
        decided: alert.decided.second().to_string(),
        kind: alert.kind.word(),
        severity: alert.severity.word(),
        rule: alert.rule.clone(),
        summary: alert.summary.clone(),
        id: alert.id.clone(),
        stands: stands.collect(),
    }
}

/// The bars of the last day, the oldest first, and how many accesses the highest has.
fn chart(accesses: &[Access], now: WallTime) -> (Vec<Bar>, u64) {
    const CLASSES: [(Outcome, &str); 3] =
        [(Outcome::Success, "success"), (Outcome::Denied, "denied"), (Outcome::Failed, "failed")];
    let end = now.second().0.div_euclid(BAR) + 1;
    let number = |at: EventTime| at.0.div_euclid(BAR) - (end - BARS);
    let mut counts = vec![[0_u64; 3]; usize::try_from(BARS).unwrap_or(0)];
    for access in accesses {
        let place = CLASSES.iter().position(|(outcome, _)| *outcome == access.outcome).unwrap_or(0);
        if let Some(count) = usize::try_from(number(access.time)).ok().and_then(|bar| counts.get_mut(bar)) {
            count[place] += 1;
        }
    }
    let most = counts.iter().map(|count| count.iter().sum()).max().unwrap_or(0).max(1_u64);
    let bars = (0..).zip(&counts).map(|(bar, count)| {
        let mut y = HEIGHT;
        let mut parts = Vec::new();
        for ((_, class), number) in CLASSES.iter().zip(count) {
            let height = (number * HEIGHT).div_ceil(most);
            if height > 0 {
                y = y.saturating_sub(height);
                parts.push(Part { class, y, height });
            }
        }
        let from = EventTime((end - BARS + bar) * BAR);
        let [success, denied, failed] = count;
        let label = format!("{from}, half an hour: {success} success, {denied} denied, {failed} failed");
        Bar { x: bar * 10, label, parts }
    });
    (bars.collect(), most)
}
