//! Shows a [`Config`] as the TOML that would give it: what is in force, with every default and variable worked in.
//!
//! What may be a secret is shown as `[set]`: of a URL that is asked all but the host, the values of headers, and the
//! signing secret, for which a comment stands, since the text must itself pass `check`. Files and variables are named
//! where `check` would miss them: a template, a routing key.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use toml::Value;

use super::duration::brief;
use super::{
    Account, Cadence, Config, Digest, Heartbeat, Notifier, Poll, SnsFormat, Status, Target, Webhook, WebhookFormat,
};
use crate::detect::{Allowance, Condition, FirstSeen, Globs, GroupKey, Rule, Statistic, Step};
use crate::model::Outcome;

/// What stands for a secret.
const HIDDEN: &str = "[set]";

/// The configuration as TOML.
#[must_use]
pub fn render(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_config(&mut text, config);
    text
}

/// Whether both mean the same accesses, as far as their texts tell.
pub(super) fn same_condition(one: &Condition, other: &Condition) -> bool {
    let text = |it: &Condition| condition_pairs(it).map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>();
    text(one) == text(other)
}

fn write_config(out: &mut String, config: &Config) -> fmt::Result {
    pair(out, "state_dir", path(&config.state_dir))?;
    poll(out, &config.poll)?;
    for each in &config.accounts {
        account(out, each)?;
    }
    for each in &config.rules {
        rule(out, each)?;
    }
    for each in &config.allowances {
        allowance(out, each)?;
    }
    for each in config.notifiers.values() {
        notifier(out, each)?;
    }
    if let Some(each) = &config.digest {
        digest(out, each)?;
    }
    if let Some(each) = &config.heartbeat {
        heartbeat(out, each)?;
    }
    status(out, config.status.as_ref())
}

fn poll(out: &mut String, poll: &Poll) -> fmt::Result {
    writeln!(out, "\n[poll]")?;
    match &poll.cadence {
        Cadence::Every(interval) => pair(out, "interval", duration(*interval))?,
        Cadence::Cron(schedule) => pair(out, "schedule", schedule.as_str())?,
    }
    pair(out, "lateness", duration(poll.lateness))?;
    pair(out, "backfill", duration(poll.backfill))?;
    pair(out, "requests_per_second", poll.requests_per_second)?;
    pair(out, "recheck", duration(poll.recheck))?;
    pair(out, "stale_after", duration(poll.stale_after))?;
    pair(out, "event_sources", poll.event_sources.clone())?;
    pair(out, "retention", duration(poll.retention))?;
    pair(out, "inventory", poll.inventory)?;
    pair(out, "narrow_when_behind", poll.narrow_when_behind)
}

fn account(out: &mut String, account: &Account) -> fmt::Result {
    writeln!(out, "\n[[account]]")?;
    pair(out, "name", account.name.as_str())?;
    optional(out, "role_arn", account.role_arn.as_deref())?;
    optional(out, "external_id", account.external_id.as_deref())?;
    if account.regions.is_empty() {
        return writeln!(out, "# regions: that of AWS_REGION or the profile");
    }
    pair(out, "regions", account.regions.clone())
}

fn rule(out: &mut String, rule: &Rule) -> fmt::Result {
    writeln!(out, "\n[[rule]]")?;
    pair(out, "name", rule.name.as_str())?;
    optional(out, "description", rule.description.as_deref())?;
    pair(out, "severity", rule.severity.word())?;
    optional(out, "runbook", rule.runbook.as_deref())?;
    condition(out, &rule.condition)?;
    if rule.steps.is_empty() {
        measure(out, rule)?;
    } else {
        steps(out, rule)?;
    }
    pair(out, "group_by", words(&rule.group_by))?;
    pair(out, "hold", seconds(rule.hold))?;
    pair(out, "update_every", seconds(rule.update_every))?;
    pair(out, "notify", rule.notify.clone())
}

fn measure(out: &mut String, rule: &Rule) -> fmt::Result {
    writeln!(out, "statistic = {}", statistic(rule.statistic))?;
    writeln!(out, "threshold = {}", rule.threshold)?;
    pair(out, "window", seconds(rule.window))?;
    let Some(FirstSeen { of, memory, learn, seed }) = &rule.first_seen else { return Ok(()) };
    let of = Value::from(words(of));
    let [memory, learn, seed] = [*memory, *learn, *seed].map(|secs| Value::from(seconds(secs)));
    writeln!(out, "first_seen = {{ of = {of}, memory = {memory}, learn = {learn}, seed = {seed} }}")
}

fn steps(out: &mut String, rule: &Rule) -> fmt::Result {
    writeln!(out, "steps = [")?;
    for Step { condition, statistic: counted, threshold } in &rule.steps {
        let pairs: Vec<String> = condition_pairs(condition).map(|(key, value)| format!("{key} = {value}, ")).collect();
        writeln!(out, "    {{ {}statistic = {}, threshold = {threshold} }},", pairs.concat(), statistic(*counted))?;
    }
    writeln!(out, "]")?;
    pair(out, "within", seconds(rule.window))
}

fn statistic(statistic: Statistic) -> String {
    match statistic {
        Statistic::Sum => "\"sum\"".to_owned(),
        Statistic::Distinct(key) => format!("{{ distinct = {:?} }}", key.word()),
    }
}

fn condition(out: &mut String, condition: &Condition) -> fmt::Result {
    condition_pairs(condition).try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))
}

/// The keys of a condition with their values as TOML, which stays on one line where it can stand in a table.
fn condition_pairs(condition: &Condition) -> impl Iterator<Item = (&'static str, String)> {
    let list = |globs: &Globs| Some(Value::from(globs.texts().to_vec()).to_string());
    let tags: Vec<String> = condition
        .secret_tags
        .iter()
        .map(|(tag, globs)| format!("{} = {}", Value::from(tag.as_str()), Value::from(globs.texts().to_vec())))
        .collect();
    let outcome = condition.outcome.map_or("any", Outcome::word);
    let pairs = [
        ("events", Some(Value::from(condition.events.clone()).to_string())),
        ("outcome", Some(Value::from(outcome).to_string())),
        ("secrets", list(&condition.secrets)),
        ("secret_tags", (!tags.is_empty()).then(|| format!("{{ {} }}", tags.join(", ")))),
        ("principals", list(&condition.principals)),
        ("exclude_principals", list(&condition.exclude_principals)),
        ("pattern", condition.pattern.as_ref().map(|pattern| Value::from(pattern.text()).to_string())),
    ];
    pairs.into_iter().filter_map(|(key, value)| Some((key, value?)))
}

fn allowance(out: &mut String, allowance: &Allowance) -> fmt::Result {
    writeln!(out, "\n[[allow]]")?;
    pair(out, "name", allowance.name.as_str())?;
    pair(out, "owner", allowance.owner.as_str())?;
    pair(out, "reason", allowance.reason.as_str())?;
    optional(out, "until", allowance.until.map(|until| until.to_string()).as_deref())?;
    pair(out, "rules", allowance.rules.clone())?;
    condition(out, &allowance.condition)?;
    let at_most = allowance.at_most.map(|at_most| format!("{} per {}", at_most.accesses, seconds(at_most.window)));
    optional(out, "at_most", at_most.as_deref())
}

fn notifier(out: &mut String, notifier: &Notifier) -> fmt::Result {
    // Quoted, since a name may hold a dot.
    writeln!(out, "\n[notify.{}]", Value::from(notifier.name.as_str()))?;
    match &notifier.target {
        Target::Sns { topic_arn, format, .. } => {
            pair(out, "type", "sns")?;
            pair(out, "topic_arn", topic_arn.as_str())?;
            let word = SnsFormat::ALL.into_iter().find(|(_, known)| known == format).map(|(word, _)| word);
            optional(out, "format", word)?;
        }
        Target::Webhook(hook) => webhook(out, hook)?,
        Target::Stdout => pair(out, "type", "stdout")?,
    }
    pair(out, "min_severity", notifier.min_severity.word())?;
    pair(out, "retry_for", duration(notifier.retry_for))?;
    pair(out, "send_resolved", notifier.send_resolved)?;
    if let Some(fallback) = &notifier.fallback {
        pair(out, "fallback", fallback.to.as_str())?;
        pair(out, "fallback_after", duration(fallback.after))?;
    }
    Ok(())
}

fn webhook(out: &mut String, hook: &Webhook) -> fmt::Result {
    pair(out, "type", "webhook")?;
    writeln!(out, "# what may be secret is shown as {HIDDEN}")?;
    pair(out, "url", url(&hook.url))?;
    match &hook.format {
        WebhookFormat::Template(template) => {
            pair(out, "template", path(template.path()))?;
            pair(out, "content_type", template.content_type())?;
        }
        format => pair(out, "format", format.word())?,
    }
    if let WebhookFormat::PagerDuty(key) = &hook.format {
        let (key, value) = key.set_by();
        pair(out, key, value)?;
    }
    if hook.signing_secret.is_some() {
        writeln!(out, "# signing secret: {HIDDEN}")?;
    }
    if !hook.headers.is_empty() {
        let hidden = |(name, _): &(String, String)| format!("{} = {HIDDEN:?}", Value::from(name.as_str()));
        let headers: Vec<String> = hook.headers.iter().map(hidden).collect();
        writeln!(out, "headers = {{ {} }}", headers.join(", "))?;
    }
    pair(out, "timeout", duration(hook.timeout))
}

/// Who is asked, without what may be a token in the path.
fn url(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = if url.path().len() > 1 || url.query().is_some() { HIDDEN } else { "" };
    format!("{}://{}{port}/{path}", url.scheme(), url.host_str().unwrap_or_default())
}

fn digest(out: &mut String, digest: &Digest) -> fmt::Result {
    let Digest { schedule, since, notify } = digest;
    writeln!(out, "\n[digest]")?;
    pair(out, "schedule", schedule.as_str())?;
    pair(out, "since", duration(*since))?;
    pair(out, "notify", notify.clone())
}

fn heartbeat(out: &mut String, heartbeat: &Heartbeat) -> fmt::Result {
    writeln!(out, "\n[heartbeat]\n# what may be secret is shown as {HIDDEN}")?;
    pair(out, "url", url(&heartbeat.url))?;
    pair(out, "every", duration(heartbeat.every))?;
    pair(out, "timeout", duration(heartbeat.timeout))
}

fn status(out: &mut String, status: Option<&Status>) -> fmt::Result {
    writeln!(out, "\n[status]")?;
    if status.is_some_and(|status| status.token.is_some()) {
        writeln!(out, "# token_file: {HIDDEN}")?;
    }
    pair(out, "listen", status.map(|status| status.listen.to_string()).unwrap_or_default())
}

fn pair(out: &mut String, key: &str, value: impl Into<Value>) -> fmt::Result {
    writeln!(out, "{key} = {}", value.into())
}

fn optional(out: &mut String, key: &str, value: Option<&str>) -> fmt::Result {
    value.map_or(Ok(()), |value| pair(out, key, value))
}

fn words(keys: &[GroupKey]) -> Vec<&'static str> {
    keys.iter().map(|key| key.word()).collect()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn duration(duration: Duration) -> String {
    brief(duration)
}

fn seconds(secs: i64) -> String {
    brief(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}
