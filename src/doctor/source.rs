//! One account and Region: who we are there, what we may do, whether the clocks agree, and who else is asking.

use std::time::Duration;

use super::{Finding, SAID_MAX};
use crate::aws::{Identity, Source};
use crate::config::Config;
use crate::daemon::trouble;
use crate::model::{Span, WallClock, WallTime, duration_in_words, printable, read_record};
use crate::notify::with_causes;
use crate::trail::{Filter, Item, LookupPage, Query};

/// How far back a look at the Event history goes.
const LOOK: Duration = Duration::from_secs(3600);

/// How far back the requests of others are counted.
const OTHERS: Duration = Duration::from_secs(1800);

/// AWS's quota of lookups a second, for all callers together.
const QUOTA: f64 = 2.0;

/// Clocks may differ by this much without a word, in seconds.
const SKEW_FINE: i64 = 5;

/// From here on AWS refuses what is signed, in seconds.
const SKEW_FATAL: i64 = 300;

/// What there is to say about `source`.
pub(super) async fn examine(source: &Source, config: &Config, clock: &WallClock) -> Vec<Finding> {
    let about = source.id.to_string();
    let identity = source.identity().await;
    let mut findings = vec![match &identity {
        Ok(identity) => Finding::pass(&about, "identity", identity.arn.clone()),
        Err(error) => Finding::fail(
            &about,
            "identity",
            printable(&with_causes(error), SAID_MAX),
            "Give secretwatch valid credentials: an instance profile, a task role or AWS_PROFILE. Where the account has a \
             role_arn, that role must trust the identity of secretwatch.",
        ),
    }];
    for event_source in &config.poll.event_sources {
        findings.extend(lookup(&about, source, event_source, clock).await);
    }
    if findings.iter().any(|finding| finding.check == "lookup" && finding.verdict == super::Verdict::Fail) {
        return findings;
    }
    findings.extend(others(&about, source, identity.ok().as_ref(), config, clock.now()).await);
    if config.poll.inventory {
        findings.push(inventory(&about, source).await);
    }
    findings.push(trails(&about, source).await);
    findings
}

/// Whether the Event history may be read, and with the answer whether the clocks agree.
async fn lookup(about: &str, source: &Source, event_source: &str, clock: &WallClock) -> Vec<Finding> {
    let sent = clock.now();
    let span = Span { from: sent.minus(LOOK).second(), to: sent.second() };
    let query = Query { filter: Filter::EventSource(event_source.to_owned()), span };
    match source.lookup.page(&query, None).await {
        Ok(page) => {
            let more = if page.token.is_some() { "at least " } else { "" };
            let seen = page.items.len();
            let says = format!("{event_source}: allowed; {more}{seen} events in the last hour");
            let agree = page.date.map(|date| skew(about, sent, clock.now(), date));
            [Some(Finding::pass(about, "lookup", says)), agree].into_iter().flatten().collect()
        }
        Err(error) => {
            let why = trouble(&error, 1, clock.now());
            let advice = why.advice().unwrap_or_else(|| "Look at what AWS says.".to_owned());
            vec![Finding::fail(about, "lookup", printable(&format!("{event_source}: {why}"), SAID_MAX), advice)]
        }
    }
}

fn skew(about: &str, sent: WallTime, came: WallTime, date: WallTime) -> Finding {
    const ADVICE: &str = "Let the clock of this host be set by chrony or systemd-timesyncd; timedatectl shows whether it \
                          is. AWS refuses requests that are signed more than five minutes off.";
    let date = date.second().0;
    // The answer was dated at some time in between, of which the part of a second is cut off.
    let off = (sent.second().0 - date - 1).max(date - came.second().0).max(0);
    let says = format!("this clock and that of AWS differ by {}", duration_in_words(off));
    match off {
        ..=SKEW_FINE => {
            Finding::pass(about, "clock", format!("this clock agrees with that of AWS to {SKEW_FINE} seconds"))
        }
        SKEW_FATAL.. => Finding::fail(about, "clock", says, ADVICE),
        _ => Finding::warn(about, "clock", says, ADVICE),
    }
}

/// How much of the quota others use: LookupEvents leaves records of its own.
async fn others(
    about: &str,
    source: &Source,
    identity: Option<&Identity>,
    config: &Config,
    now: WallTime,
) -> Option<Finding> {
    let span = Span { from: now.minus(OTHERS).second(), to: now.second() };
    let query = Query { filter: Filter::EventName("LookupEvents".to_owned()), span };
    let LookupPage { items, token, .. } = source.lookup.page(&query, None).await.ok()?;
    let oldest = items.iter().filter_map(|item| item.time).min();
    let seconds = match (token, oldest) {
        (Some(_), Some(oldest)) => (now.second().0 - oldest.0).max(1),
        _ => span.seconds().max(1),
    };
    let callers: Vec<String> = items.iter().filter_map(|item| caller(item, identity)).collect();
    // Fifty requests at most, over half an hour at most.
    let rate = callers.len() as f64 / seconds as f64;
    let ours = config.poll.requests_per_second;
    let says = format!("others make {rate:.2} lookups a second here, of the {QUOTA} that AWS allows to all together");
    if rate + ours <= QUOTA {
        return Some(Finding::pass(about, "quota", says));
    }
    let most = most_frequent(&callers).unwrap_or_default();
    let advice = format!("Most come from {most}. Let it ask less, or lower poll.requests_per_second from {ours}.");
    Some(Finding::warn(about, "quota", says, advice))
}

/// Who made a lookup; none if it was us.
fn caller(item: &Item, identity: Option<&Identity>) -> Option<String> {
    let access = read_record(item.record.as_deref()?, WallTime::default()).ok()?;
    let is_ours = identity.is_some_and(|identity| identity.is_caller_of(&access));
    (!is_ours).then(|| access.principal.key())
}

fn most_frequent(names: &[String]) -> Option<String> {
    let count = |name: &String| names.iter().filter(|other| *other == name).count();
    names.iter().max_by_key(|name| count(name)).map(|name| printable(name, 120))
}

async fn inventory(about: &str, source: &Source) -> Finding {
    match source.inventory().await {
        Ok(listed) => Finding::pass(about, "inventory", format!("{} secrets", listed.len())),
        Err(error) => Finding::warn(
            about,
            "inventory",
            printable(&with_causes(&error), SAID_MAX),
            "Allow secretsmanager:ListSecrets, so that alerts show full ARNs and rules can select secrets by tag; or set \
             poll.inventory = false.",
        ),
    }
}

/// Event history needs no trail. But it forgets after ninety days, and an attacker who stops the trail shows.
async fn trails(about: &str, source: &Source) -> Finding {
    const ADVICE: &str = "secretwatch does not need one: Event history is always on. But it holds ninety days only; a trail \
                          keeps what investigators ask for afterwards.";
    match source.trails().await {
        Ok(trails) if trails.iter().any(|trail| trail.logs) => {
            let names: Vec<_> =
                trails.iter().filter(|trail| trail.logs).map(|trail| printable(&trail.name, 80)).collect();
            Finding::pass(about, "trail", format!("{} logs", names.join(", ")))
        }
        Ok(trails) if trails.is_empty() => Finding::warn(about, "trail", "there is no trail", ADVICE),
        Ok(trails) => {
            let names: Vec<_> = trails.iter().map(|trail| printable(&trail.name, 80)).collect();
            Finding::warn(about, "trail", format!("{} does not log", names.join(", ")), "Find out who stopped it.")
        }
        Err(error) => Finding::warn(
            about,
            "trail",
            printable(&format!("nobody can tell whether there is a trail: {}", with_causes(&error)), SAID_MAX),
            "Allow cloudtrail:DescribeTrails and cloudtrail:GetTrailStatus if you want to know; the daemon needs neither.",
        ),
    }
}
