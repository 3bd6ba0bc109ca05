//! An explanation for a terminal: the answer first, then what was read, then one block for each rule.
//!
//! Pure. Eighty columns hold it, but for ids and ARNs, which stay whole so that they can be copied. What speaks for an
//! access is marked with `yes`, what speaks against it with `NO`, so that no colour is needed. Times are UTC, as they
//! are in alerts and in CloudTrail.

use std::collections::BTreeMap;

use crate::model::{Access, EventTime, Outcome, Span, WallTime, count, duration_in_words, group_key_words};
use crate::notify::{INDENT, Page};
use crate::store::{
    AlertSight, Basis, Copied, Demand, Explanation, FeedSight, Finding, IncidentSight, IncidentState, Kept, Known,
    Listed, News, Ruling, SourceSight, Stand, Standing, StepRuling, Unread, Version, Watched, Window,
};

/// The whole of it.
pub(super) fn text(explanation: &Explanation) -> String {
    let mut page = Page::default();
    page.paragraph(&explanation.headline);
    page.gap();
    match &explanation.finding {
        Finding::Access(known) => access(&mut page, known, explanation.basis),
        Finding::Copy(copied) => copy(&mut page, copied, explanation),
        Finding::Ignored { access, event_sources } => {
            record(&mut page, access);
            page.field("Read are", &event_sources.join(", "));
        }
        Finding::Unreadable(unread) => unreadable(&mut page, explanation, unread),
        Finding::Nothing(watched) if explanation.basis == Basis::State => {
            nothing(&mut page, watched, explanation.asked)
        }
        Finding::Nothing(_) => {}
    }
    for it in &explanation.rules {
        page.gap();
        ruling(&mut page, it, explanation.basis);
    }
    for limit in &explanation.limits {
        page.gap();
        page.paragraph(&format!("Not everything was looked at: {limit}."));
    }
    page.into_text()
}

fn access(page: &mut Page, known: &Known, basis: Basis) {
    record(page, &known.access);
    if known.counts_as != known.access.event_id {
        page.field("Counts as", &known.counts_as);
    }
    for other in &known.others {
        page.field("Copy", &format!("{} in account {}", other.event_id, other.account));
    }
    if basis == Basis::State {
        page.field("First seen", &seen(known));
    }
    match known.record {
        Kept::Yes => {}
        Kept::Oversize => page.field("Record", "too large to be kept; a pattern takes it for one that matches"),
        Kept::No => page.field("Record", "not kept, so no pattern matches it"),
    }
}

fn seen(known: &Known) -> String {
    let late = i64::try_from(known.late_seconds).unwrap_or(i64::MAX);
    let warning = if known.later_than_lateness { ", which is later than poll.lateness allows for" } else { "" };
    format!("{}, {} after it happened{warning}", wall(known.access.seen), duration_in_words(late))
}

/// What a record says.
fn record(page: &mut Page, access: &Access) {
    page.field("Event", &access.event_id);
    page.field("Call", &format!("{}, {}", access.event, ended(access)));
    if let Some(secret) = &access.secret {
        page.field("Secret", &secret.name);
        page.field("", secret.arn.as_deref().unwrap_or_default());
    }
    page.field("Who", &access.principal.key());
    page.field("", &access.principal.session.as_ref().map(|name| format!("session {name}")).unwrap_or_default());
    page.field("From", access.source_ip.as_deref().unwrap_or_default());
    page.field("Where", &format!("account {}, {}", access.account, access.region));
    page.field("Happened", &moment(access.time));
}

fn ended(access: &Access) -> String {
    match &access.error {
        Some(error) => format!("{} ({error})", access.outcome.word()),
        None => access.outcome.word().to_owned(),
    }
}

fn copy(page: &mut Page, copied: &Copied, explanation: &Explanation) {
    if let Some(copy) = &copied.copy {
        page.paragraph("The record that was asked about:");
        record(page, copy);
        page.gap();
    }
    if let Some(known) = &copied.counted {
        page.paragraph("The access, as it counts:");
        access(page, known, explanation.basis);
    }
}

fn unreadable(page: &mut Page, explanation: &Explanation, unread: &Unread) {
    page.field("Event", &explanation.event_id);
    page.field("Read", &moment(unread.seen));
    page.field("Trouble", &unread.reason);
    page.field("Record", &unread.raw);
}

/// What it can mean that an event is not known, the likeliest first.
fn nothing(page: &mut Page, watched: &Watched, now: WallTime) {
    page.paragraph("What that can mean:");
    for meaning in meanings(watched) {
        page.wrapped("  - ", 4, &meaning);
    }
    for source in &watched.sources {
        page.gap();
        source_sight(page, source, now);
    }
}

fn meanings(watched: &Watched) -> Vec<String> {
    let mut meanings = Vec::new();
    let blind = watched.sources.iter().filter(|source| source.blind_since.is_some()).count();
    if blind > 0 {
        meanings.push(format!("It happened where nothing can be read: of the sources below, {blind} cannot be read."));
    }
    if watched.sources.iter().flat_map(|source| &source.feeds).any(|feed| !feed.gaps.is_empty()) {
        meanings.push("It happened in a time that has not been read yet; below is which.".to_owned());
    }
    let lateness = duration_in_words(i64::try_from(watched.lateness_seconds).unwrap_or(i64::MAX));
    meanings.push(format!(
        "It is not visible yet. CloudTrail shows events minutes after they happened; each poll looks for those of the \
         last {lateness} again."
    ));
    meanings.push(format!(
        "It happened elsewhere, or to another service: read are events of {} in the accounts and Regions below.",
        watched.event_sources.join(" and ")
    ));
    let kept = duration_in_words(i64::try_from(watched.retention_seconds).unwrap_or(i64::MAX));
    meanings.push(format!("It happened before watching began, or longer ago than {kept}, which is what is kept."));
    if watched.nameless > 0 {
        let many = count(watched.nameless, "record");
        meanings.push(format!("It is among {many} that made no sense and whose id could not be read."));
    }
    meanings
        .push("It has another id: the one that is meant is called eventID in the record, not requestID.".to_owned());
    meanings
}

fn source_sight(page: &mut Page, source: &SourceSight, now: WallTime) {
    let id = source.account_id.as_ref().filter(|id| **id != source.account);
    let id = id.map_or(String::new(), |id| format!(" ({id})"));
    page.field("Source", &format!("account {}{id}, {}", source.account, source.region));
    page.field("Last pass", &source.read_through.map_or("none has read it through yet".to_owned(), wall));
    if let Some(since) = source.blind_since {
        page.field("Blind", &format!("since {}", wall(since)));
    }
    page.field("Trouble", source.trouble.as_deref().unwrap_or_default());
    if let Some((half, nearly_all)) = source.visible_within {
        let words = |secs| duration_in_words(i64::try_from(secs).unwrap_or(i64::MAX));
        page.field(
            "Lateness",
            &format!("half of its events were seen within {}, 99 of 100 within {}", words(half), words(nearly_all)),
        );
    }
    source.feeds.iter().for_each(|feed| feed_sight(page, feed, now));
}

fn feed_sight(page: &mut Page, feed: &FeedSight, now: WallTime) {
    page.field("Events of", &feed.event_source);
    let read = feed.read_to.map_or("nothing yet".to_owned(), |to| {
        let age = now.second().0.saturating_sub(to.0);
        format!("from {} to {}, {} ago", moment(feed.since), moment(to), duration_in_words(age))
    });
    page.field("Read", &read);
    if let Some(to) = feed.settled_to {
        page.field("Settled", &format!("up to {}: what happened before is expected to have been seen", moment(to)));
    }
    for gap in &feed.gaps {
        page.field("Not read", &span(*gap));
    }
}

fn ruling(page: &mut Page, ruling: &Ruling, basis: Basis) {
    let severity = ruling.severity.map_or(String::new(), |severity| format!(", severity {}", severity.word()));
    page.paragraph(&format!("Rule {}{severity}", ruling.rule));
    page.wrapped("  ", 2, &capital(&ruling.summary));
    // Over files a rule counts from the beginning of time.
    if let (Version::Active { from, .. }, Basis::State) = (&ruling.version, basis) {
        page.entry("Counts", &format!("what happened from {} on", moment(*from)));
    }
    demands(page, &ruling.demands);
    for (number, it) in (1..).zip(&ruling.steps) {
        step(page, number, it);
    }
    for allowance in &ruling.allowances {
        let until = allowance.until.map_or(String::new(), |until| format!(" until {}", moment(until)));
        let over = if allowance.valid { "" } else { ", which was over by then" };
        let kept = count(allowance.used, "access");
        let words = format!(
            "{}{until}{over}: {}, {}; it has kept {kept} from rules so far",
            allowance.name, allowance.owner, allowance.reason
        );
        page.entry("Allowed", &words);
    }
    if let Some(it) = &ruling.first_seen {
        news(page, it, basis);
    }
    if let Some(group) = &ruling.group {
        page.entry("Group", &labels(group));
    }
    if let Some(it) = &ruling.window {
        window(page, it, ruling);
    }
    if let Some(it) = &ruling.incident {
        incident(page, it, basis);
    }
    if let Some(it) = &ruling.alert {
        alert(page, it, basis);
    }
}

fn demands(page: &mut Page, demands: &[Demand]) {
    for Demand { key, wanted, found, holds } in demands {
        let mark = if *holds { "yes" } else { "NO" };
        page.entry(mark, &format!("{key}: {found}; wanted {wanted}"));
    }
}

fn step(page: &mut Page, number: usize, step: &StepRuling) {
    let part = if step.part { "this access is a part of it" } else { "this access is no part of it" };
    let value = step.value.map_or(String::new(), |value| {
        let taken = if step.taken == Some(true) { "taken" } else { "not taken" };
        format!(", {value} of {} in the window, {taken}", step.threshold)
    });
    page.entry(&format!("Step {number}"), &format!("{part}{value}"));
    demands(page, &step.demands);
}

fn news(page: &mut Page, news: &News, basis: Basis) {
    page.entry("New is", &labels(&news.combination));
    let known =
        news.known_since.map_or("nothing yet".to_owned(), |since| format!("everything since {}", moment(since)));
    let from = news.learnt_from.map_or(String::new(), |from| format!("; what is new is told from {} on", moment(from)));
    if basis == Basis::State {
        page.entry("Known is", &format!("{known}{from}"));
    }
    if news.seen.is_empty() {
        page.entry("Seen", "never before");
    }
    for seen in &news.seen {
        page.entry("Seen", &span(*seen));
    }
}

fn window(page: &mut Page, window: &Window, ruling: &Ruling) {
    let value = ruling.measure.as_ref().map_or(String::new(), |measure| measure.words(window.value));
    let crosses = if window.crosses { "which crosses" } else { "which does not cross" };
    page.entry("Window", &format!("{}: {value}, {crosses}", span(window.span)));
    window.listed.iter().for_each(|it| page.listed(it));
    let omitted = window.accesses.saturating_sub(window.listed.len() as u64);
    if omitted > 0 {
        let (first, last) = (moment(window.first), moment(window.last));
        page.entry("", &format!("and {omitted} more, in all from {first} to {last}"));
    }
}

fn incident(page: &mut Page, incident: &IncidentSight, basis: Basis) {
    let state = match (incident.state, &incident.merged_into) {
        (IncidentState::Open, _) => "open".to_owned(),
        (IncidentState::Resolved, _) => "resolved".to_owned(),
        (IncidentState::Merged, into) => format!("gone on in {}", into.as_deref().unwrap_or("another")),
    };
    page.entry("Incident", &incident.id);
    let IncidentSight { opened, accesses, value, .. } = incident;
    let size = format!("{accesses} access(es), at most {value} at once");
    match basis {
        Basis::State => page.entry("", &format!("{state}, opened {}, {size}", wall(*opened))),
        Basis::Files => page.entry("", &size),
    }
}

fn alert(page: &mut Page, alert: &AlertSight, basis: Basis) {
    page.entry("Alert", &alert.id);
    let (kind, accesses) = (alert.kind.word(), alert.accesses);
    match basis {
        Basis::State => page.entry("", &format!("{kind}, decided {}, {accesses} access(es)", wall(alert.decided))),
        Basis::Files => page.entry("", &format!("{kind}, {accesses} access(es)")),
    }
    page.entry("", &alert.summary);
    for Stand { notifier, stand } in &alert.notifiers {
        page.entry("Notifier", &format!("{notifier}: {}", standing(stand)));
    }
}

fn standing(stand: &Standing) -> String {
    let because = |error: &Option<String>| error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    match stand {
        Standing::Accepted { at, attempts, by: None } => format!("accepted {}, at attempt {attempts}", wall(*at)),
        Standing::Accepted { at, attempts, by: Some(by) } => {
            format!("accepted {} by its fallback {by}, at attempt {attempts}", wall(*at))
        }
        Standing::Waiting { since, behind: Some(alert), .. } => {
            format!("waits since {}, until alert {alert} of the same incident is accepted", wall(*since))
        }
        Standing::Waiting { since, attempts: 0, .. } => format!("waits since {}, not tried yet", wall(*since)),
        Standing::Waiting { attempts, next_at, parked, error, .. } => {
            let how = if *parked { "refused" } else { "not accepted" };
            let attempts = count(u64::from(*attempts), "attempt");
            format!("{how} in {attempts}, the next at {}{}", wall(*next_at), because(error))
        }
        Standing::Dead { at, attempts, error } => {
            let (at, attempts) = (wall(*at), count(u64::from(*attempts), "attempt"));
            format!("given up {at} after {attempts}; it is kept as a dead letter{}", because(error))
        }
        Standing::Meant => "would be sent".to_owned(),
        Standing::NotNamed => "not for it: the rule's `notify` does not name it".to_owned(),
        Standing::Silenced { silence } => format!("not sent: silence {silence} wished so"),
        Standing::TooMild { min_severity } => format!("not for it: its `min_severity` is {}", min_severity.word()),
        Standing::NotQueued => "not queued for it: it was configured later, or in another way".to_owned(),
        Standing::Lost => "queued for it; what became of that is not stored any more".to_owned(),
    }
}

fn labels(labels: &BTreeMap<String, Option<String>>) -> String {
    if labels.is_empty() {
        return "everything together".to_owned();
    }
    let label = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{} {value}", group_key_words(key)),
        None => format!("no {}", group_key_words(key)),
    };
    labels.iter().map(label).collect::<Vec<_>>().join(", ")
}

/// `2026-05-27 18:45:54 UTC`.
fn moment(at: EventTime) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}

fn wall(at: WallTime) -> String {
    moment(at.second())
}

fn span(Span { from, to }: Span) -> String {
    const DATE: usize = "2026-05-27 ".len();
    let (begin, end) = (moment(from), moment(to));
    match (begin.get(..DATE), end.strip_prefix(begin.get(..DATE).unwrap_or_default())) {
        _ if from == to => begin,
        (Some(_), Some(end)) => format!("{} to {end}", begin.trim_end_matches(" UTC")),
        _ => format!("{begin} to {end}"),
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What explanations are made of.
impl Page {
    /// A label and its value within a rule's block.
    fn entry(&mut self, label: &str, value: &str) {
        self.field(&format!("  {label}"), value);
    }

    /// One access of a window.
    fn listed(&mut self, access: &Listed) {
        let what = access.secret.as_ref().map_or(access.event.clone(), |secret| format!("{} {secret}", access.event));
        // The end of an ARN tells principals apart, and leaves room for the rest of the line.
        let who = access.principal.rsplit('/').next().unwrap_or_default();
        let how = match access.outcome {
            Outcome::Success => String::new(),
            outcome => format!(", {}", outcome.word()),
        };
        let mark = if access.this { "=> " } else { "   " };
        let at = moment(access.time);
        self.wrapped(
            &format!("{:INDENT$}{mark}", ""),
            INDENT + 5,
            &format!("{} {what} by {who}{how}", at.trim_end_matches(" UTC")),
        );
    }
}

#[cfg(test)]
mod tests;
