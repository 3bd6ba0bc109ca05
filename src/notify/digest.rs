//! What people are told of an alert, before it takes the shape of a mail, a chat message or a page.
//!
//! Pure. Lists are counts and a few lines, so that a message's length does not grow with the incident; whoever wants
//! everything has the alert's id. Everything that comes from a record goes through [`printable`] here, so that no format
//! can forget it, and a command is offered for copying only if every word of it is harmless to a shell: a caller
//! chooses the names that stand in it. How much is shown is a [`Room`]; escaping is each format's own business.
//!
//! Deliberately absent: anything that a program would parse. Formats for programs are made from the alert itself.

use std::collections::{BTreeMap, BTreeSet};

use super::format::Letter;
use crate::model::{
    Access, Alert, AlertKind, DeniedLine, EventTime, IncidentLine, Outcome, Ranked, Report, SEQUENCE,
    duration_in_words, group_key_words, printable, statistic_words,
};

/// How much of an alert is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Longest value, in characters; an ARN may have 2,048, an error message anything.
    pub(super) value: usize,
    /// Secrets named at most: each of them may have to be rotated.
    pub(super) secrets: usize,
    /// How many different values of anything else are shown with their counts.
    pub(super) top: usize,
    /// Up to how many accesses are all shown.
    pub(super) listed: usize,
    /// How many are shown at each end of a longer list.
    pub(super) ends: usize,
}

impl Room {
    /// A mail has as much as anybody will read.
    pub(super) const MAIL: Self = Self { value: 400, secrets: 30, top: 5, listed: 10, ends: 5 };
    /// A message among others.
    pub(super) const CHAT: Self = Self { value: 200, secrets: 10, top: 5, listed: 10, ends: 5 };
    /// Where the names are so long that they would not fit otherwise.
    pub(super) const NARROW: Self = Self { value: 60, secrets: 3, top: 2, listed: 4, ends: 2 };
}

/// What is told, in the order in which somebody who was asleep wants to know it.
pub(super) struct Digest {
    /// One sentence, without a full stop.
    pub(super) summary: String,
    /// Paragraphs that say what it means.
    pub(super) notes: Vec<String>,
    /// Who did what to which secret, from where and when.
    pub(super) facts: Vec<Fact>,
    /// The accesses, or the alerts where several share a message.
    pub(super) listed: Option<Listed>,
    /// How long the incident is and how often it happened.
    pub(super) extent: Vec<Fact>,
    /// Why this made an alert, a sentence each.
    pub(super) why: Vec<String>,
    /// What to do about it.
    pub(super) steps: Vec<Step>,
    /// What to look it up by.
    pub(super) ids: Vec<Fact>,
}

/// A label, and what is said under it.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) values: Vec<String>,
}

/// Lines under a title.
pub(super) struct Listed {
    pub(super) title: &'static str,
    pub(super) lines: Vec<String>,
}

/// One thing to do.
pub(super) struct Step {
    /// A sentence.
    pub(super) words: String,
    /// Where it says more.
    pub(super) link: Option<String>,
    /// The command for it, in parts that stay on one line each; only if it can be copied without a second look.
    pub(super) command: Option<Vec<String>>,
}

/// The severity and the summary, for subjects and headings.
pub(super) fn title(letter: &Letter<'_>) -> String {
    let label = match letter.alert.kind {
        AlertKind::Test => "test",
        _ => letter.alert.rule.severity.word(),
    };
    format!("[{label}] {}", summary(letter, Room::MAIL.value))
}

impl Digest {
    /// What `letter` tells, in `room`.
    pub(super) fn of(letter: &Letter<'_>, room: &Room) -> Self {
        let alert = letter.alert;
        let accesses: Vec<&Access> = letter.alerts().flat_map(|alert| &alert.accesses).collect();
        let mut digest = Self {
            summary: summary(letter, room.value),
            notes: notes(letter),
            facts: facts(alert, &accesses, room),
            listed: accesses_listed(&accesses, room),
            extent: extent(alert),
            why: why(alert),
            steps: steps(alert, &accesses),
            ids: ids(alert),
        };
        if !letter.others.is_empty() {
            digest.listed = Some(alerts_listed(letter, room));
            digest.extent = Vec::new();
            digest.ids = Vec::new();
        }
        digest.print(room.value);
        digest
    }

    /// The facts before and after the list, together.
    pub(super) fn all_facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.iter().chain(&self.extent)
    }

    /// Makes everything fit to be shown.
    fn print(&mut self, longest: usize) {
        let facts = self.facts.iter_mut().chain(&mut self.extent).flat_map(|fact| &mut fact.values);
        facts.for_each(|value| *value = printable(value, longest));
        let lines = self.listed.iter_mut().flat_map(|listed| &mut listed.lines);
        let ids = self.ids.iter_mut().flat_map(|fact| &mut fact.values);
        let words = self.steps.iter_mut().map(|step| &mut step.words);
        // Of these, what a record says is short already; an id is never cut.
        for text in lines.chain(ids).chain(words).chain(&mut self.notes).chain(&mut self.why) {
            *text = printable(text, Room::MAIL.value);
        }
        self.facts.retain(|fact| !fact.values.is_empty());
        self.steps.retain(|step| !step.words.is_empty());
    }
}

impl Fact {
    fn new(label: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        Self { label, values: values.into_iter().filter(|value| !value.is_empty()).collect() }
    }

    fn one(label: &'static str, value: impl Into<String>) -> Self {
        Self::new(label, [value.into()])
    }
}

impl Step {
    /// A sentence that is whole.
    fn plain(words: impl Into<String>) -> Self {
        Self { words: words.into(), link: None, command: None }
    }

    /// A sentence without its end, and the command for it, if there is one.
    fn with(words: &str, command: Option<Vec<String>>) -> Self {
        let end = if command.is_some() { ':' } else { '.' };
        Self { words: format!("{words}{end}"), link: None, command }
    }

    fn follow(runbook: &str) -> Self {
        Self { words: "Follow".to_owned(), link: Some(printable(runbook, Room::MAIL.value)), command: None }
    }
}

/// The composed summary; an alert that comes without gets one here.
fn summary(letter: &Letter<'_>, longest: usize) -> String {
    let alert = letter.alert;
    match letter.others.len() {
        0 if alert.summary.is_empty() => printable(&alert.summarise(), longest.max(Room::CHAT.value)),
        0 => printable(&alert.summary, longest.max(Room::CHAT.value)),
        others => {
            let rule = printable(&alert.rule.name, 100);
            format!("{} alerts of rule {rule} ({}) in one message", others + 1, alert.kind.word())
        }
    }
}

fn notes(letter: &Letter<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(notifier) = letter.fallback_for {
        notes.push(format!("This comes by way of a fallback: the notifier {notifier} has not taken it."));
    }
    if !letter.others.is_empty() {
        notes.push("Many alerts were waiting, so they share a message. Each has an id of its own.".to_owned());
    }
    let about = match letter.alert.kind {
        AlertKind::Opened | AlertKind::Updated | AlertKind::Notice | AlertKind::Digest => return notes,
        AlertKind::Resolved => resolved(letter.alert),
        AlertKind::Test => "Alerts reach you this way. There is nothing to do.",
        AlertKind::Blind => {
            "Until this ends, reads of secrets there make no alert. Nothing is lost yet: CloudTrail keeps events for 90 \
             days, and what was missed is read afterwards, back to what `retention` allows."
        }
        AlertKind::Sighted => "What happened there in the meantime is read now; alerts about it may follow, late.",
    };
    notes.push(about.to_owned());
    notes
}

fn resolved(alert: &Alert) -> &'static str {
    match (&alert.merged_into, &alert.reason) {
        (Some(_), _) => {
            "An access that became visible late showed that this incident and an older one are the same. It goes on \
             under the older one's id:"
        }
        (None, Some(_)) => "Accesses from now on are counted anew.",
        (None, None) => "There were no more accesses for a while. This does not mean that they were harmless.",
    }
}

fn facts(alert: &Alert, accesses: &[&Access], room: &Room) -> Vec<Fact> {
    if let Some(report) = &alert.report {
        return reported(report, room);
    }
    match accesses {
        [] => alert.merged_into.iter().map(|incident| Fact::one("Goes on as", incident)).collect(),
        [access] => one(access),
        many => several(many, room),
    }
}

/// What a report says, the first lines of each list.
fn reported(report: &Report, room: &Room) -> Vec<Fact> {
    fn lines<T>(list: &Ranked<T>, top: usize, line: impl Fn(&T) -> String) -> Vec<String> {
        let shown = list.shown.iter().take(top).map(line);
        let more = list.len().saturating_sub(top.min(list.shown.len()) as u64);
        shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
    }
    let incident = |line: &IncidentLine| {
        let state = if line.open { "open" } else { "over" };
        format!("{} ({}, {state})", line.summary.as_deref().unwrap_or(&line.rule), moment(line.first_access))
    };
    let denied = |line: &DeniedLine| {
        let secret = line.secret.as_ref().map(|secret| format!(" {secret}")).unwrap_or_default();
        format!("{} × {}{secret} to {}", line.count, line.event, line.principal)
    };
    let new = report.new_pairs.as_ref().map_or_else(
        || vec!["not known: nothing is kept from before".to_owned()],
        |pairs| lines(pairs, room.top, |line| format!("{} by {}", line.secret, line.principal)),
    );
    let blind = report.blind.iter().take(room.top).map(|line| {
        let until = line.until.map_or("still".to_owned(), |until| moment(until.second()));
        format!("{}, from {} until {until}", line.summary, moment(line.told.second()))
    });
    let alerts = report.alerts.iter().map(|(kind, number)| format!("{number} {kind}"));
    vec![
        Fact::one("From", moment(report.from)),
        Fact::one("Until", moment(report.to)),
        Fact::new("Incidents", lines(&report.incidents, room.top, incident)),
        Fact::new("Blind", blind),
        Fact::new("Denied", lines(&report.denied, room.top, denied)),
        Fact::new("New", new),
        Fact::new(
            "Secrets",
            lines(&report.by_secret, room.top, |line| format!("{} × {}", line.accesses.all, line.secret)),
        ),
        Fact::new(
            "Who",
            lines(&report.by_principal, room.top, |line| format!("{} × {}", line.accesses.all, line.principal)),
        ),
        Fact::one("Alerts", alerts.collect::<Vec<_>>().join(", ")),
    ]
}

fn one(access: &Access) -> Vec<Fact> {
    let secret = access.secret.iter().flat_map(|secret| {
        let other = secret.arn.as_ref().or(secret.requested.as_ref()).filter(|text| **text != secret.name);
        std::iter::once(secret.name.clone()).chain(other.cloned())
    });
    let detail = [("session", &access.principal.session), ("access key", &access.access_key_id)];
    let detail = detail.iter().filter_map(|(what, value)| value.as_ref().map(|value| format!("{what} {value}")));
    let detail = detail.chain(access.console.then(|| "signed in to the console".to_owned()));
    let detail = detail.chain(match access.mfa {
        Some(true) => Some("with a second factor".to_owned()),
        Some(false) => Some("without a second factor".to_owned()),
        None => None,
    });
    let endpoint = access.vpc_endpoint.as_ref().map(|id| format!("VPC endpoint {id}"));
    let seen = format!("{}, seen {} later", moment(access.time), duration_in_words(lateness(access)));
    vec![
        Fact::new("Secret", secret),
        Fact::new("Who", [access.principal.key(), detail.collect::<Vec<_>>().join(", ")]),
        Fact::new("For", access.invoked_by.clone()),
        Fact::new("From", access.source_ip.clone().into_iter().chain(endpoint)),
        Fact::new("Using", access.user_agent.clone()),
        Fact::one("When", seen),
        Fact::one("Where", format!("account {}, {}", access.account, access.region)),
        Fact::new(
            "Call",
            [format!("{}, {}", access.event, ended(access))].into_iter().chain(access.error_message.clone()),
        ),
    ]
}

/// Seconds between an access and our seeing it.
fn lateness(access: &Access) -> i64 {
    i64::try_from(access.seen.since(access.time.wall()).as_secs()).unwrap_or(i64::MAX)
}

/// How the call ended, plainly.
fn ended(access: &Access) -> String {
    let code = access.error.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match access.outcome {
        Outcome::Success => "which succeeded".to_owned(),
        Outcome::Denied => format!("which was refused{code}"),
        Outcome::Failed => format!("which failed{code}"),
    }
}

fn several(accesses: &[&Access], room: &Room) -> Vec<Fact> {
    let top = room.top;
    vec![
        counts("Secrets", room.secrets, accesses, |access| access.secret.as_ref().map(|secret| secret.name.clone())),
        counts("Who", top, accesses, |access| Some(access.principal.key())),
        counts("Keys", top, accesses, |access| access.access_key_id.clone()),
        counts("From", top, accesses, |access| access.source_ip.clone()),
        counts("Using", top, accesses, |access| access.user_agent.clone()),
        counts("Calls", top, accesses, |access| Some(format!("{}, {}", access.event, ended(access)))),
        counts("Where", top, accesses, |access| Some(format!("account {}, {}", access.account, access.region))),
    ]
}

/// The most frequent values with their counts, or the only one without. Nothing if no access has one.
fn counts(label: &'static str, most: usize, accesses: &[&Access], value: impl Fn(&Access) -> Option<String>) -> Fact {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in accesses.iter().filter_map(|access| value(access)) {
        *counts.entry(value).or_default() += 1;
    }
    if let (1, Some((value, _))) = (counts.len(), counts.first_key_value()) {
        return Fact::one(label, value);
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    // Stable, so equal counts stay in the order of their names.
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = ranked.iter().take(most).map(|(value, count)| format!("{count} × {value}"));
    let rest = (ranked.len() > most).then(|| format!("and {} more", ranked.len() - most));
    Fact::new(label, shown.chain(rest))
}

/// The accesses where there are several, a line each, or those at both ends.
fn accesses_listed(accesses: &[&Access], room: &Room) -> Option<Listed> {
    let line = |access: &&Access| line(access, room.value);
    if accesses.len() < 2 {
        None
    } else if accesses.len() <= room.listed {
        Some(Listed { title: "The accesses (UTC):", lines: accesses.iter().map(line).collect() })
    } else {
        let left_out = format!("… {} between them …", accesses.len() - 2 * room.ends);
        let (first, last) = (&accesses[..room.ends], &accesses[accesses.len() - room.ends..]);
        let lines = first.iter().map(line).chain([left_out]).chain(last.iter().map(line)).collect();
        Some(Listed { title: "The oldest and the newest (UTC):", lines })
    }
}

/// One access: when, what, which, who.
fn line(access: &Access, longest: usize) -> String {
    let what = access.secret.as_ref().map_or(access.event.as_str(), |secret| secret.name.as_str());
    let who = access.principal.called();
    let how = match access.outcome {
        Outcome::Success => "",
        Outcome::Denied => ", refused",
        Outcome::Failed => ", failed",
    };
    let from = access.source_ip.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let line = format!("{}  {what} by {who}{from}{how}", moment(access.time).trim_end_matches(" UTC"));
    printable(&line, longest)
}

/// Every alert of a letter that tells of several. Its id comes first: it is never cut.
fn alerts_listed(letter: &Letter<'_>, room: &Room) -> Listed {
    let line = |alert: &Alert| format!("{}  {}", alert.id, printable(&alert.summary, room.value));
    Listed { title: "The alerts:", lines: letter.alerts().map(line).collect() }
}

/// How long the incident is and how many accesses it has, where that is more than what was shown.
fn extent(alert: &Alert) -> Vec<Fact> {
    let mut facts = Vec::new();
    if alert.kind == AlertKind::Resolved {
        facts.push(Fact::one("Group", alert.group_in_words()));
    } else if !matches!(alert.kind, AlertKind::Opened | AlertKind::Updated) {
        return facts;
    }
    let listed = u64::try_from(alert.accesses.len()).unwrap_or(u64::MAX);
    if listed == 1 && alert.accesses_total <= 1 {
        return facts;
    }
    if let (Some(first), Some(last)) = (alert.first_access, alert.last_access) {
        facts.push(Fact::one("First", moment(first)));
        let later = duration_in_words(last.0.saturating_sub(first.0));
        facts.push(Fact::one("Last", format!("{}, {later} later", moment(last))));
    }
    let follow = match alert.accesses_omitted {
        0 => String::new(),
        n => format!("; {n} follow at once in further messages"),
    };
    let here = if listed == 0 { String::new() } else { format!("{listed} in this message, ") };
    facts.push(Fact::one("How often", format!("{here}{} in all{follow}", alert.accesses_total)));
    facts
}

fn why(alert: &Alert) -> Vec<String> {
    match alert.kind {
        AlertKind::Opened | AlertKind::Updated => vec![rule(alert), fires(alert)],
        AlertKind::Resolved => vec![rule(alert)],
        AlertKind::Test | AlertKind::Blind | AlertKind::Sighted | AlertKind::Notice | AlertKind::Digest => Vec::new(),
    }
}

fn rule(alert: &Alert) -> String {
    let says = match &alert.rule.description {
        Some(description) => format!(": {}", description.trim_end_matches('.')),
        None => String::new(),
    };
    format!("Rule {}, severity {}{says}.", alert.rule.name, alert.rule.severity.word())
}

fn fires(alert: &Alert) -> String {
    let (one, many) = statistic_words(&alert.statistic);
    let window = duration_in_words(alert.window_seconds);
    let unit = if alert.threshold == 1 { one } else { many };
    let keys: Vec<&str> = alert.group.keys().map(|key| group_key_words(key)).collect();
    let each = if keys.is_empty() { String::new() } else { format!(" for one {}", keys.join(" and ")) };
    if alert.statistic == SEQUENCE {
        return format!("It fires when its {} {unit} follow one another within {window}{each}.", alert.threshold);
    }
    format!("It fires at {} {unit} in {window}{each}; the most so far was {}.", alert.threshold, alert.value)
}

/// What to do: the operator's own words, else what one looks at first.
fn steps(alert: &Alert, accesses: &[&Access]) -> Vec<Step> {
    match (alert.kind, &alert.runbook) {
        (AlertKind::Test | AlertKind::Sighted | AlertKind::Digest, _) => Vec::new(),
        (_, Some(runbook)) => vec![Step::follow(runbook)],
        (AlertKind::Resolved, None) => Vec::new(),
        (AlertKind::Opened | AlertKind::Updated, None) => investigate(accesses),
        (AlertKind::Blind, None) => {
            let says = if alert.advice.is_some() { "Its log says more" } else { "Its log says what is missing" };
            let command = Some(vec!["journalctl -u secretwatch".to_owned()]);
            let log = Step::with(&format!("{says}. Where it runs as a service"), command);
            alert.advice.iter().map(Step::plain).chain([log]).collect()
        }
        (AlertKind::Notice, None) => {
            vec![Step::plain(alert.advice.as_deref().unwrap_or("Look at the configuration."))]
        }
    }
}

fn investigate(accesses: &[&Access]) -> Vec<Step> {
    let Some(access) = most_telling(accesses) else {
        return vec![Step::plain("Look at the earlier messages of this incident.")];
    };
    let expected = Step::with("Is this expected? Ask whoever is responsible for the principal above", None);
    let look_up = Step::with("See what else it did, in CloudTrail", look_up(access));
    let secrets: BTreeSet<_> = accesses.iter().filter_map(|it| it.secret.as_ref().map(|it| &it.name)).collect();
    let last = if !accesses.iter().any(|access| access.outcome == Outcome::Success) {
        Step::with("If it is not: take its credentials away; no secret was given out here", None)
    } else if secrets.len() < 2 {
        Step::with("If it is not: take its credentials away and rotate the secret", rotate(access))
    } else {
        Step::with("If it is not: take its credentials away and rotate all of these secrets, as in", rotate(access))
    };
    vec![expected, look_up, last]
}

/// The newest access with the key that was used most: where a thief's reads are mixed with the ordinary ones of the role
/// that was stolen, that is the thief's.
fn most_telling<'a>(accesses: &[&'a Access]) -> Option<&'a Access> {
    let mut uses: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for access in accesses {
        *uses.entry(access.access_key_id.as_deref()).or_default() += 1;
    }
    accesses.iter().max_by_key(|access| (uses.get(&access.access_key_id.as_deref()), access.time)).copied()
}

/// The access's key shows one session; the session's name, under which events are filed, is the next best.
fn look_up(access: &Access) -> Option<Vec<String>> {
    let (key, value) = match (&access.access_key_id, &access.principal.session, &access.principal.name) {
        (Some(id), ..) => ("AccessKeyId", id),
        (None, Some(name), _) | (None, None, Some(name)) => ("Username", name),
        (None, None, None) => ("EventId", &access.event_id),
    };
    let attribute = format!("--lookup-attributes AttributeKey={key},AttributeValue={value}");
    let command = vec!["aws cloudtrail lookup-events".to_owned(), format!("--region {}", access.region), attribute];
    (is_harmless(value) && is_harmless(&access.region)).then_some(command)
}

fn rotate(access: &Access) -> Option<Vec<String>> {
    let secret = access.secret.as_ref()?;
    let region = if secret.region.is_empty() { &access.region } else { &secret.region };
    let id = secret.arn.as_ref().unwrap_or(&secret.name);
    let command =
        vec!["aws secretsmanager rotate-secret".to_owned(), format!("--region {region}"), format!("--secret-id {id}")];
    (is_harmless(id) && is_harmless(region)).then_some(command)
}

/// Whether `value` is one word to any shell and neither an option nor a file name to the AWS CLI, which reads what
/// follows `file://`.
fn is_harmless(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+=.@:-".contains(c);
    (1..=Room::MAIL.value).contains(&value.len())
        && value.chars().all(plain)
        && !value.starts_with(['-', '='])
        && !value.contains("://")
}

fn ids(alert: &Alert) -> Vec<Fact> {
    let mut ids = vec![Fact::one("Alert", &alert.id), Fact::one("Incident", &alert.incident)];
    if let [access] = &alert.accesses[..] {
        ids.push(Fact::one("Event", &access.event_id));
    }
    ids.push(Fact::one("Decided", moment(alert.decided.second())));
    ids
}

/// `2026-05-27 18:45:54 UTC`.
fn moment(at: EventTime) -> String {
    at.to_string().replace('T', " ").replace('Z', " UTC")
}
