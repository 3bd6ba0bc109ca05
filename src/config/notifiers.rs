//! `[notify.NAME]`: where alerts go.
//!
//! What may be a secret (a webhook's URL, its headers, the signing secret, a routing key) is never shown in a problem.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::check::{ENDLESS, is_account, is_partition, is_region};
use super::keys::{NOTIFIER, SNS_ONLY, WEBHOOK_ONLY, did_you_mean};
use super::load::Environment;
use super::problem::shown;
use super::rules::severity;
use super::secrets::{URL_KEYS, one_of, secret, url};
use super::table::{Item, NAME, Table, is_name};
use super::template::is_content_type;
use super::{Fallback, Notifier, RoutingKey, SnsFormat, Target, Template, Webhook, WebhookFormat};
use crate::model::Severity;

/// The notifier that is there when none is written.
const STDOUT: &str = "stdout";

/// How a Standard Webhooks secret begins whose rest is base64.
const ENCODED_SECRET: &str = "whsec_";

/// What the notifiers' tables say.
pub(super) struct Notifiers {
    /// Every name, also of those that are wrong otherwise: a rule that names one of these is right.
    pub(super) names: Vec<String>,
    /// Those that are right.
    pub(super) made: BTreeMap<String, Notifier>,
}

/// All notifiers, or standard output if there is none.
pub(super) fn notifiers(root: &Table<'_>, env: &Environment) -> Notifiers {
    let written = root.read("notify", Item::entries).unwrap_or_default();
    let names: Vec<String> = written.iter().map(|(name, _)| name.clone()).collect();
    let made = written.iter().filter_map(|(name, item)| Some((name.clone(), notifier(name, item, &names, env)?)));
    let mut made: BTreeMap<String, Notifier> = made.collect();
    refuse_loops(&written, &made);
    if !names.is_empty() {
        return Notifiers { names, made };
    }
    made.insert(STDOUT.to_owned(), standard_output());
    Notifiers { names: vec![STDOUT.to_owned()], made }
}

fn standard_output() -> Notifier {
    Notifier {
        name: STDOUT.to_owned(),
        target: Target::Stdout,
        min_severity: Severity::Info,
        send_resolved: true,
        retry_for: RETRY_FOR,
        fallback: None,
    }
}

const RETRY_FOR: Duration = Duration::from_secs(72 * 60 * 60);

const TIMEOUT: Duration = Duration::from_secs(10);

const FALLBACK_AFTER: Duration = Duration::from_secs(5 * 60);

/// Where PagerDuty takes events, unless its customer is in the European Union.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// The values of `type`.
#[derive(Clone, Copy)]
enum Kind {
    Sns,
    Webhook,
    Stdout,
}

fn notifier(name: &str, item: &Item<'_>, names: &[String], env: &Environment) -> Option<Notifier> {
    let table = item.table(&NOTIFIER)?;
    table.refuse_the_rest();
    if !is_name(name) {
        item.wrong(format!("a notifier's name must be {NAME}"));
    }
    let min_severity = table.read("min_severity", severity);
    let retry_for = table.read("retry_for", |item| item.duration(Duration::ZERO, ENDLESS));
    let send_resolved = table.read("send_resolved", Item::boolean);
    let fallback = fallback(&table, names, retry_for.unwrap_or(RETRY_FOR));
    let kinds = [("sns", Kind::Sns), ("webhook", Kind::Webhook), ("stdout", Kind::Stdout)];
    let kind = table.required("type", "one of \"sns\", \"webhook\" or \"stdout\"")?.choice(&kinds)?;
    let target = target(kind, &table, env)?;
    // An e-mail that something is over is one more to read; whoever parses JSON keeps a state to clear.
    let for_people = matches!(target, Target::Sns { format: SnsFormat::Text, .. });
    Some(Notifier {
        name: name.to_owned(),
        target,
        min_severity: min_severity.unwrap_or(Severity::Info),
        send_resolved: send_resolved.unwrap_or(!for_people),
        retry_for: retry_for.unwrap_or(RETRY_FOR),
        fallback,
    })
}

fn fallback(table: &Table<'_>, names: &[String], retry_for: Duration) -> Option<Fallback> {
    let after = table.read("fallback_after", |item| item.duration(Duration::ZERO, ENDLESS));
    let Some(item) = table.item("fallback") else {
        if let Some(after) = table.item("fallback_after") {
            after.wrong("has no effect without fallback; set that, or remove this");
        }
        return None;
    };
    let to = item.text()?;
    if !names.contains(&to) {
        let near = did_you_mean(&to, names.iter().map(String::as_str));
        item.wrong(format!("there is no notifier {}{near}", shown(&to)));
        return None;
    }
    let after = after.unwrap_or(FALLBACK_AFTER);
    if after >= retry_for {
        let place = table.item("fallback_after").or_else(|| table.item("retry_for"));
        place.unwrap_or(item).wrong("an alert is given up after retry_for, before fallback_after; make it shorter");
    }
    Some(Fallback { to, after })
}

/// Complains of fallbacks that lead back to where they began, once for each loop.
fn refuse_loops(written: &[(String, Item<'_>)], made: &BTreeMap<String, Notifier>) {
    for (name, item) in written {
        let mut way = vec![name.as_str()];
        while let Some(next) =
            way.last().and_then(|last| made.get(*last)?.fallback.as_ref()).map(|next| next.to.as_str())
        {
            let is_back = next == name;
            if is_back
                && way.iter().all(|other| *other >= name.as_str())
                && let Some(item) = item.table(&NOTIFIER).and_then(|table| table.item("fallback"))
            {
                way.push(next);
                item.wrong(format!("leads back to where it began: {}; remove one of them", way.join(" → ")));
            }
            if is_back || way.contains(&next) {
                break;
            }
            way.push(next);
        }
    }
}

fn target(kind: Kind, table: &Table<'_>, env: &Environment) -> Option<Target> {
    match kind {
        Kind::Sns => {
            table.none_of(WEBHOOK_ONLY, "an SNS notifier");
            sns(table)
        }
        Kind::Webhook => {
            table.none_of(SNS_ONLY, "a webhook");
            webhook(table, env).map(Target::Webhook)
        }
        Kind::Stdout => {
            table.none_of(WEBHOOK_ONLY, "a stdout notifier");
            table.none_of(SNS_ONLY, "a stdout notifier");
            table.read("format", |item| item.choice(&[("json", ())]));
            Some(Target::Stdout)
        }
    }
}

fn sns(table: &Table<'_>) -> Option<Target> {
    const TOPIC: &str = "a topic's ARN such as \"arn:aws:sns:us-east-2:111122223333:SecurityAlarms\"";
    let format = table.read("format", |item| item.choice(&SnsFormat::ALL)).unwrap_or(SnsFormat::Text);
    let topic_arn = table
        .required("topic_arn", "the ARN of the topic to publish to")?
        .text_like(TOPIC, |text| topic_region(text).is_some())?;
    let region = topic_region(&topic_arn)?.to_owned();
    Some(Target::Sns { topic_arn, region, format })
}

/// The Region in the ARN of a topic; none: it is no such ARN.
fn topic_region(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    // A subscription's ARN has one part more, and cannot be published to.
    let ["arn", partition, "sns", region, account, name] = parts.as_slice() else { return None };
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let right = is_partition(partition)
        && is_region(region)
        && is_account(account)
        && !stem.is_empty()
        && name.len() <= 256
        && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    right.then_some(region)
}

fn webhook(table: &Table<'_>, env: &Environment) -> Option<Webhook> {
    let format = webhook_format(table, env);
    let timeout = table.read("timeout", |item| item.duration(Duration::from_millis(1), ENDLESS));
    let headers = table.read("headers", headers).unwrap_or_default();
    let signing_secret = one_of(table, &["signing_secret_file", "signing_secret_env"])
        .and_then(|(key, item)| signing_secret(&item, &secret(key, &item, env)?));
    let url = match one_of(table, &URL_KEYS) {
        Some((key, item)) => url(&item, secret(key, &item, env)?.trim(), "https://hooks.example.com/…")?,
        None if matches!(format, Some(WebhookFormat::PagerDuty(_))) => Url::parse(PAGERDUTY).ok()?,
        // What is to be sent there is not known, and said to be wrong.
        None if format.is_none() => return None,
        None => {
            let ways = "missing; set url, url_env (a variable that holds it) or url_file (a file that holds it)";
            table.wrong("url", ways);
            return None;
        }
    };
    Some(Webhook { url, format: format?, headers, timeout: timeout.unwrap_or(TIMEOUT), signing_secret })
}

/// The values of a webhook's `format`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Json,
    Slack,
    PagerDuty,
    Teams,
    Ocsf,
    Alertmanager,
    Template,
}

/// What a webhook's body looks like; a `template` says it without `format`, too.
fn webhook_format(table: &Table<'_>, env: &Environment) -> Option<WebhookFormat> {
    let words = [
        ("json", Body::Json),
        ("slack", Body::Slack),
        ("pagerduty", Body::PagerDuty),
        ("teams", Body::Teams),
        ("ocsf", Body::Ocsf),
        ("alertmanager", Body::Alertmanager),
        ("template", Body::Template),
    ];
    let template = table.item("template");
    let body = match table.item("format") {
        Some(item) => item.choice(&words)?,
        None if template.is_some() => Body::Template,
        None => Body::Json,
    };
    if body != Body::Template {
        refuse(table, &["template", "content_type"], "only for a template; remove it, or format");
    }
    if body != Body::PagerDuty {
        refuse(table, &ROUTING_KEYS, "only for format = \"pagerduty\"; remove it");
    }
    Some(match body {
        Body::Json => WebhookFormat::Json,
        Body::Slack => WebhookFormat::Slack,
        Body::PagerDuty => WebhookFormat::PagerDuty(routing_key(table, env)?),
        Body::Teams => WebhookFormat::Teams,
        Body::Ocsf => WebhookFormat::Ocsf,
        Body::Alertmanager => WebhookFormat::Alertmanager,
        Body::Template => WebhookFormat::Template(Arc::new(read_template(table)?)),
    })
}

fn refuse(table: &Table<'_>, keys: &[&str], why: &str) {
    keys.iter().filter_map(|key| table.item(key)).for_each(|item| item.wrong(why));
}

const ROUTING_KEYS: [&str; 2] = ["routing_key_file", "routing_key_env"];

fn routing_key(table: &Table<'_>, env: &Environment) -> Option<RoutingKey> {
    let Some((name, item)) = one_of(table, &ROUTING_KEYS) else {
        let ways = "missing; set routing_key_file (a file that holds it) or routing_key_env (a variable that does)";
        table.wrong("routing_key_file", ways);
        return None;
    };
    let key = secret(name, &item, env)?.trim().to_owned();
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        item.wrong("what it names holds no routing key: that is one word of letters and digits");
        return None;
    }
    Some(RoutingKey::new(key, (name, item.text()?)))
}

fn read_template(table: &Table<'_>) -> Option<Template> {
    const EXPECTED: &str = "a content type such as \"application/json\"";
    let content_type = table.item("content_type");
    let content_type = match &content_type {
        Some(item) => Some(item.text_like(EXPECTED, is_content_type)?),
        None => None,
    };
    let item = table.required("template", "the path of the template's file")?;
    let template = Template::read(Path::new(&item.filled()?), content_type.as_deref());
    template.map_err(|error| item.wrong(error.to_string())).ok()
}

/// The bytes that sign: decoded where the secret says that it is encoded, else as they are.
fn signing_secret(item: &Item<'_>, text: &str) -> Option<Vec<u8>> {
    let Some(encoded) = text.strip_prefix(ENCODED_SECRET) else { return Some(text.as_bytes().to_vec()) };
    match BASE64_STANDARD.decode(encoded.trim_end()) {
        Ok(key) if !key.is_empty() => Some(key),
        _ => {
            item.wrong(format!("the secret begins with {ENCODED_SECRET:?}, but what follows is not base64"));
            None
        }
    }
}

/// The headers by name, in small letters, since that is how they are compared.
fn headers(item: &Item<'_>) -> Option<Vec<(String, String)>> {
    let mut headers = BTreeMap::new();
    for (name, item) in item.entries()? {
        if let Some((name, value)) = header(&name, &item)
            && headers.insert(name, value).is_some()
        {
            item.wrong("the same header as another; remove one of them");
        }
    }
    Some(headers.into_iter().collect())
}

fn header(name: &str, item: &Item<'_>) -> Option<(String, String)> {
    let Ok(valid) = HeaderName::from_bytes(name.as_bytes()) else {
        item.wrong("not a header's name");
        return None;
    };
    let ours = ["content-type", "content-length", "host", "transfer-encoding", "connection"];
    if ours.contains(&valid.as_str()) || valid.as_str().starts_with("webhook-") {
        item.wrong("secretwatch sets this header itself; remove it");
        return None;
    }
    let value = item.text()?;
    if HeaderValue::from_str(&value).is_err() {
        item.wrong("not a header's value: it must be printable and on one line");
        return None;
    }
    Some((valid.as_str().to_owned(), value))
}
