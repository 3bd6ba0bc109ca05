//! As one HTML file, without a script and without anything from elsewhere.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use super::{counted, group, name, of_alerts, of_the_past, seconds, span};
use crate::model::{Ranked, Report, count};

const TEMPLATE: &str = include_str!("report.html");

/// Height of the chart, and width of one of its bars with its gap, in its own units.
const HEIGHT: u64 = 200;
const STEP: usize = 20;

#[derive(Serialize)]
struct Bar {
    x: usize,
    label: String,
    parts: Vec<(&'static str, u64, u64)>,
}

/// Rows of a table, and how many are left out.
#[derive(Serialize)]
struct Table {
    rows: Vec<Vec<String>>,
    omitted: u64,
}

impl Table {
    fn of<T>(list: &Ranked<T>, row: impl Fn(&T) -> Vec<String>) -> Self {
        Self { rows: list.shown.iter().map(row).collect(), omitted: list.omitted }
    }
}

/// The report as HTML. The template is compiled in, and tests render it.
pub fn html(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("report.html", TEMPLATE)?;
    let highest = report.over_time.iter().map(|it| it.accesses.all).max().unwrap_or(0).max(1);
    let incidents = Table::of(&report.incidents, |line| {
        let severity = line.severity.map(|severity| severity.word().to_owned()).unwrap_or_default();
        let told = line.summary.as_ref().map_or_else(|| group(&line.group), |it| name(it));
        let state = if line.open { "open" } else { "over" };
        vec![
            severity,
            told,
            name(&line.rule),
            line.first_access.to_string(),
            line.last_access.to_string(),
            line.accesses.to_string(),
            state.to_owned(),
            line.incident.clone(),
        ]
    });
    let blind: Vec<Vec<String>> = report
        .blind
        .iter()
        .map(|line| {
            let until = line.until.map_or("still".to_owned(), |until| until.second().to_string());
            vec![name(&line.summary), line.told.second().to_string(), until, seconds(line.seconds)]
        })
        .collect();
    let denied = Table::of(&report.denied, |line| {
        let shown = |text: &Option<String>| text.as_ref().map_or("–".to_owned(), |text| name(text));
        vec![
            line.count.to_string(),
            name(&line.event),
            shown(&line.secret),
            name(&line.principal),
            line.last.to_string(),
            shown(&line.source_ip),
        ]
    });
    let new = report.new_pairs.as_ref().map(|pairs| {
        Table::of(pairs, |line| {
            vec![line.first.to_string(), name(&line.secret), name(&line.principal), counted(&line.accesses)]
        })
    });
    let by_secret = Table::of(&report.by_secret, |line| {
        vec![
            name(&line.secret),
            format!("{}, {}", name(&line.account), name(&line.region)),
            line.accesses.all.to_string(),
            line.accesses.denied.to_string(),
            line.accesses.failed.to_string(),
            line.principals.to_string(),
            line.last.to_string(),
        ]
    });
    let by_principal = Table::of(&report.by_principal, |line| {
        vec![
            name(&line.principal),
            line.accesses.all.to_string(),
            line.accesses.denied.to_string(),
            line.accesses.failed.to_string(),
            line.secrets.to_string(),
            line.last.to_string(),
        ]
    });
    environment.get_template("report.html")?.render(context! {
        span => span(report), sentence => report.sentence(), alerts => of_alerts(report), past => of_the_past(report),
        cut_short => report.cut_short, highest, height => HEIGHT, width => report.over_time.len().max(1) * STEP,
        first => report.over_time.first().map(|it| it.from.to_string()), last => report.over_time.last().map(|it| it.from.to_string()),
        bars => Value::from(Serde(bars(report, highest))),
        incidents => Value::from(Serde(incidents)), blind => blind, blind_for => seconds(report.blind_seconds()),
        denied => Value::from(Serde(denied)), new => Value::from(Serde(new)),
        by_secret => Value::from(Serde(by_secret)), by_principal => Value::from(Serde(by_principal)),
        version => env!("CARGO_PKG_VERSION"),
    })
}

fn bars(report: &Report, highest: u64) -> Vec<Bar> {
    let height =
        |number: u64| u64::try_from(u128::from(number) * u128::from(HEIGHT) / u128::from(highest)).unwrap_or(HEIGHT);
    let bar = |(place, it): (usize, &crate::model::Stretch)| {
        let outcomes =
            [("success", it.accesses.success), ("denied", it.accesses.denied), ("failed", it.accesses.failed)];
        let (mut below, mut parts) = (0, Vec::new());
        for (class, number) in outcomes.into_iter().filter(|(_, number)| *number > 0) {
            let bottom = height(below);
            below += number;
            // However few there are, they are seen.
            let tall = (height(below) - bottom).max(3);
            parts.push((class, HEIGHT.saturating_sub(bottom + tall), tall));
        }
        let label = format!(
            "from {}: {}",
            it.from,
            if it.accesses.all == 0 { count(0, "access") } else { counted(&it.accesses) }
        );
        Bar { x: place * STEP, label, parts }
    };
    report.over_time.iter().enumerate().map(bar).collect()
}
