//! The page: server-rendered, without anything from elsewhere. A script refreshes it, and it works without.
//!
//! Texts of records go through the template, which escapes them, and nowhere else.

mod plot;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use self::plot::{Mark, Plot, spark};
use super::Status;
use super::api::{AccessesAsked, word_of};
use super::chart::{Chart, OUTCOMES};
use crate::model::{
    Access, AlertKind, Severity, WallTime, count, duration_in_words, group_key_words, printable, statistic_words,
};
use crate::store::{
    AccessPage, AccessPlace, AlertSight, OpenIncident, OutboxStanding, Overview, Pass, RuleStanding, SourceStanding,
};

pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
const TEMPLATE: &str = include_str!("page.html");

/// Sources and incidents that are shown at once; the rest can be unfolded.
const SOURCES: usize = 40;
const INCIDENTS: usize = 20;

/// Objections that are told below the sentence.
const OBJECTIONS: usize = 5;

/// Characters of a text in a table, at most.
const CELL_MAX: usize = 300;

/// What the page shows.
pub(super) struct Page<'a> {
    pub(super) status: &'a Status,
    pub(super) now: WallTime,
    pub(super) rules: &'a [RuleStanding],
    pub(super) chart: &'a Chart,
    /// Alerts of the time of the chart.
    pub(super) fired: Vec<AlertSight>,
    /// Recent ones, by the filter.
    pub(super) accesses: AccessPage,
    /// Recent ones.
    pub(super) alerts: Vec<AlertSight>,
    /// The filter, as it was typed.
    pub(super) asked: AccessesAsked,
    /// Why it makes no sense.
    pub(super) trouble: Option<String>,
}

#[derive(Serialize)]
struct SourceRow {
    account: String,
    region: String,
    class: &'static str,
    word: &'static str,
    trouble: Option<String>,
    read_through: String,
    behind: String,
    behind_line: Option<String>,
    quota: Option<String>,
    quota_line: Option<String>,
    visible: Option<String>,
}

#[derive(Serialize)]
struct IncidentRow {
    id: String,
    rule: String,
    severity: &'static str,
    group: String,
    told: String,
    opened: String,
    last: String,
    accesses: String,
    measure: String,
}

#[derive(Serialize)]
struct NotifierRow {
    name: String,
    class: &'static str,
    word: &'static str,
    waiting: u64,
    refused: u64,
    dead: u64,
    oldest: Option<String>,
}

#[derive(Serialize)]
struct AlertRow {
    decided: String,
    kind: &'static str,
    severity: &'static str,
    rule: String,
    summary: String,
    id: String,
    stands: Vec<StandCell>,
}

#[derive(Serialize)]
struct StandCell {
    notifier: String,
    word: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct AccessRow {
    time: String,
    secret: String,
    who: String,
    call: String,
    outcome: &'static str,
    class: &'static str,
    from: String,
    event_id: String,
}

#[derive(Serialize)]
struct RuleRow {
    name: String,
    severity: &'static str,
    about: Option<String>,
    fires: String,
    full: u64,
    threshold: u64,
    /// How much of a meter of a hundred is filled.
    filled: u64,
    when: String,
    cut_short: bool,
    open: u64,
}

impl Page<'_> {
    /// The page as HTML. The template is compiled in, and tests render it.
    pub(super) fn render(&self) -> Result<String, minijinja::Error> {
        let Self { status, now, rules, chart, asked, trouble, .. } = self;
        let Overview { sources, incidents, outboxes, at, .. } = &status.overview;
        let mut environment = Environment::new();
        environment.add_template("page.html", TEMPLATE)?;
        let chosen = rules.iter().find(|rule| Some(&rule.rule) == asked.rule.as_ref());
        let plot = Plot::of(chart, &self.marks(), chosen.map(|rule| rule.threshold));
        let mut sources: Vec<&SourceStanding> = sources.iter().collect();
        // What is wrong comes first; the rest stays in its order.
        sources.sort_by_key(|source| (source.blind_since.is_none(), source.fresh, source.trouble.is_none()));
        let incidents = self.worst_first(incidents);
        let fresh = sources.iter().filter(|source| source.fresh).count();
        let objections = status.objections();
        let further = objections.len().saturating_sub(OBJECTIONS);
        let totals = OUTCOMES.iter().zip(chart.totals()).map(|(outcome, number)| (outcome.word(), number));
        let class = match (objections.is_empty(), incidents.is_empty()) {
            (false, _) => "bad",
            (true, false) => "doubtful",
            (true, true) => "good",
        };
        environment.get_template("page.html")?.render(context! {
            sentence => status.sentence(), class, at => at.second().to_string(), version => env!("CARGO_PKG_VERSION"),
            began => ago(status.began, *now),
            objections => objections.iter().take(OBJECTIONS).map(|it| printable(it, CELL_MAX)).collect::<Vec<_>>(),
            further,
            total => chart.totals().iter().sum::<u64>(),
            totals => totals.collect::<Vec<_>>(),
            plot => shown(&plot),
            whole_from => chart.whole_from.map(|from| from.to_string()),
            measure => chosen.map(fires),
            is_filtered => is_filtered(asked),
            // The chart is about a day, whatever time the list is about.
            is_chart_filtered => is_filtered(&AccessesAsked { since: None, ..asked.clone() }),
            incidents => list(incidents.iter().take(INCIDENTS), |it| self.incident(it)),
            other_incidents => list(incidents.iter().skip(INCIDENTS), |it| self.incident(it)),
            sources => list(sources.iter().take(SOURCES), |it| self.source(it)),
            other_sources => list(sources.iter().skip(SOURCES), |it| self.source(it)),
            fresh, source_count => sources.len(),
            notifiers => list(outboxes, |it| self.notifier(it)),
            alerts => list(&self.alerts, alert_row),
            accesses => list(&self.accesses.accesses, access_row),
            older => self.accesses.next.clone().map(|next| address(asked, Some(next))),
            newest => asked.before.as_ref().map(|_| address(asked, None)),
            rules => list(*rules, |it| self.rule(it)),
            filter => shown(asked), trouble,
        })
    }

    fn ago(&self, at: Option<WallTime>) -> String {
        at.map_or("never".to_owned(), |at| ago(at, self.now))
    }

    /// Where incidents began: those that are open by their first access, the others by their first alert.
    fn marks(&self) -> Vec<Mark> {
        let open = &self.status.overview.incidents;
        let opened = self.fired.iter().filter(|alert| alert.kind == AlertKind::Opened);
        let over = opened.filter(|alert| !open.iter().any(|incident| incident.incident == alert.incident));
        let over = over.map(|alert| Mark { at: alert.decided.second(), label: format!("{}, over", alert.rule) });
        let open = open.iter().map(|it| Mark { at: it.first_access, label: format!("{}, open", it.rule) });
        over.chain(open).collect()
    }

    fn severity(&self, rule: &str) -> Option<Severity> {
        self.rules.iter().find(|it| it.rule == rule).map(|it| it.severity)
    }

    /// The gravest first; among equals in their order, the latest first.
    fn worst_first<'i>(&self, incidents: &'i [OpenIncident]) -> Vec<&'i OpenIncident> {
        let mut incidents: Vec<_> = incidents.iter().collect();
        incidents.sort_by_key(|it| Reverse(self.severity(&it.rule)));
        incidents
    }

    fn source(&self, it: &SourceStanding) -> SourceRow {
        let (class, word) = match (it.blind_since, it.fresh, it.read_through) {
            (Some(_), ..) => ("bad", "blind"),
            (None, true, _) => ("good", "fresh"),
            (None, false, None) => ("doubtful", "not read yet"),
            (None, false, Some(_)) => ("doubtful", "not read through lately"),
        };
        let requests = |pass: &Pass| f64::from(pass.requests);
        SourceRow {
            account: it.account.clone(),
            region: it.region.clone(),
            class,
            word,
            trouble: it.trouble.as_ref().map(|why| printable(why, CELL_MAX)),
            read_through: self.ago(it.read_through),
            behind: words(it.behind_seconds),
            behind_line: spark(&it.passes, |pass| f64::from(pass.behind_seconds)),
            quota: it.quota_used.map(|used| format!("{:.0} %", (used * 100.0).ceil())),
            quota_line: spark(&it.passes, requests),
            visible: it.visible_within_seconds.map(words),
        }
    }

    fn incident(&self, it: &OpenIncident) -> IncidentRow {
        // The first alert says how it began; where that is long ago, the last one says how it goes on.
        let mut told = self.fired.iter().chain(&self.alerts).filter(|alert| alert.incident == it.incident).peekable();
        let last = told.peek().copied();
        let told = told.find(|alert| alert.kind == AlertKind::Opened).or(last);
        let rule = self.rules.iter().find(|rule| rule.rule == it.rule);
        IncidentRow {
            id: it.incident.clone(),
            rule: it.rule.clone(),
            severity: self.severity(&it.rule).map_or("", Severity::word),
            group: group(&it.group),
            told: told.map(|alert| printable(&alert.summary, CELL_MAX)).unwrap_or_default(),
            opened: ago(it.opened, self.now),
            last: ago(it.last_access.wall(), self.now),
            accesses: count(it.accesses, "access"),
            measure: rule.map_or(it.value.to_string(), |rule| format!("{} of {}", it.value, rule.threshold)),
        }
    }

    fn notifier(&self, it: &OutboxStanding) -> NotifierRow {
        let (class, word) = match (Status::is_stuck(it), it.waiting) {
            (true, _) => ("bad", "stuck"),
            (false, 1..) => ("doubtful", "waiting"),
            (false, 0) => ("good", "all accepted"),
        };
        NotifierRow {
            name: it.notifier.clone(),
            class,
            word,
            waiting: it.waiting,
            refused: it.refused,
            dead: it.dead,
            oldest: it.oldest.map(|at| ago(at, self.now)),
        }
    }

    fn rule(&self, it: &RuleStanding) -> RuleRow {
        let full = it.fullest.as_ref().map_or(0, |fullest| fullest.value);
        let when = it.fullest.as_ref().map(|fullest| {
            let of = if fullest.group.is_empty() { String::new() } else { format!(", {}", group(&fullest.group)) };
            format!("{}{of}", ago(fullest.end.wall(), self.now))
        });
        RuleRow {
            name: it.rule.clone(),
            severity: it.severity.word(),
            about: it.description.clone(),
            fires: fires(it),
            full,
            threshold: it.threshold,
            filled: (full.saturating_mul(100) / it.threshold.max(1)).min(100),
            when: when.unwrap_or_default(),
            cut_short: it.cut_short,
            open: it.open,
        }
    }
}

/// Everything that is shown of a list.
fn list<T, R: Serialize>(all: impl IntoIterator<Item = T>, row: impl Fn(T) -> R) -> Value {
    Value::from(Serde(all.into_iter().map(row).collect::<Vec<_>>()))
}

fn shown(what: impl Serialize) -> Value {
    Value::from(Serde(what))
}

fn words(seconds: u64) -> String {
    duration_in_words(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn ago(at: WallTime, now: WallTime) -> String {
    format!("{} ago", words(now.since(at).as_secs()))
}

fn group(labels: &BTreeMap<String, Option<String>>) -> String {
    let value = |value: &Option<String>| printable(value.as_deref().unwrap_or("none"), CELL_MAX);
    let labels = labels.iter().map(|(key, label)| format!("{} {}", group_key_words(key), value(label)));
    labels.collect::<Vec<_>>().join(", ")
}

/// When a rule fires, in words.
fn fires(rule: &RuleStanding) -> String {
    let (one, many) = statistic_words(&rule.statistic);
    let what = if rule.threshold == 1 { one } else { many };
    let window = duration_in_words(rule.window_seconds);
    let keys: Vec<&str> = rule.group_by.iter().map(|key| group_key_words(key)).collect();
    let each = if keys.is_empty() { String::new() } else { format!(", for each {}", keys.join(" and ")) };
    format!("{} {what} within {window}{each}", rule.threshold)
}

fn access_row(access: &Access) -> AccessRow {
    let none = || "–".to_owned();
    AccessRow {
        time: access.time.to_string(),
        secret: access.secret.as_ref().map_or_else(none, |secret| printable(&secret.name, CELL_MAX)),
        who: printable(&access.principal.short(), CELL_MAX),
        call: printable(&access.event, CELL_MAX),
        outcome: access.outcome.word(),
        class: if access.outcome == OUTCOMES[0] { "good" } else { "bad" },
        from: access.source_ip.as_ref().map_or_else(none, |from| printable(from, CELL_MAX)),
        event_id: access.event_id.clone(),
    }
}

fn alert_row(alert: &AlertSight) -> AlertRow {
    let stands = alert.notifiers.iter().filter_map(|it| {
        let word = it.stand.word()?;
        let class = match word {
            "accepted" => "good",
            "waiting" | "silenced" => "doubtful",
            _ => "bad",
        };
        Some(StandCell { notifier: it.notifier.clone(), word, class })
    });
    AlertRow {
        decided: alert.decided.second().to_string(),
        kind: alert.kind.word(),
        severity: alert.severity.word(),
        rule: alert.rule.clone(),
        summary: printable(&alert.summary, CELL_MAX),
        id: alert.id.clone(),
        stands: stands.collect(),
    }
}

fn is_filtered(asked: &AccessesAsked) -> bool {
    let AccessesAsked { since, secret, principal, outcome, rule, limit: _, before: _ } = asked;
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    [since, secret, principal, outcome, rule].into_iter().any(given)
}

/// The page's address with the same filter, from `place` on, or from the newest.
fn address(asked: &AccessesAsked, place: Option<AccessPlace>) -> String {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let AccessesAsked { since, secret, principal, outcome, rule, limit, before: _ } = asked;
    let address = AccessesAsked {
        since: given(since),
        secret: given(secret),
        principal: given(principal),
        outcome: given(outcome),
        rule: given(rule),
        limit: *limit,
        before: place.map(word_of),
    };
    // Texts and numbers always make an address.
    format!("/?{}#accesses", serde_urlencoded::to_string(address).unwrap_or_default())
}
