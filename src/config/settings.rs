//! What the operator wants, checked and complete: no key is missing, none is wrong, and no `Option` survives that has a
//! default. Only [`check`](super::check) makes these.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Problem, Template};
use crate::detect::{Allowance, Condition, Rule};
use crate::model::Severity;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// When and what to read.
    pub poll: Poll,
    /// Where to read; at least one.
    pub accounts: Vec<Account>,
    /// What to look for; at least one.
    pub rules: Vec<Rule>,
    /// What they need not count.
    pub allowances: Vec<Allowance>,
    /// Where alerts go, by name.
    pub notifiers: BTreeMap<String, Notifier>,
    /// A report that is sent by the calendar; none: none is.
    pub digest: Option<Digest>,
    /// What is told, every so often, that all is well; none: nobody.
    pub heartbeat: Option<Heartbeat>,
    /// The status page; none: off.
    pub status: Option<Status>,
    /// What is right and hardly meant, by position.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Whether a rule or an allowance looks at records themselves.
    #[must_use]
    pub fn reads_records(&self) -> bool {
        let allowed = self.allowances.iter().any(|allowance| allowance.condition.reads_records());
        allowed || self.rules.iter().any(Rule::reads_records)
    }

    /// The tags of secrets that rules or allowances ask for.
    #[must_use]
    pub fn secret_tags(&self) -> BTreeSet<String> {
        let steps = self.rules.iter().flat_map(|rule| &rule.steps).map(|step| &step.condition);
        let own = self.rules.iter().map(|rule| &rule.condition);
        let allowed = self.allowances.iter().map(|allowance| &allowance.condition);
        own.chain(steps).chain(allowed).flat_map(Condition::tags).cloned().collect()
    }
}

/// `[poll]`.
#[derive(Clone, Debug)]
pub struct Poll {
    /// When a poll begins.
    pub cadence: Cadence,
    /// An event may appear this long after it happened and still be found by ordinary polls.
    pub lateness: Duration,
    /// How far back the first run looks.
    pub backfill: Duration,
    /// This daemon's share of each source's quota.
    pub requests_per_second: f64,
    /// Every second of event time is read once more at this age; zero: never.
    pub recheck: Duration,
    /// A source not read through for this long is blind.
    pub stale_after: Duration,
    /// `EventSource` values that are looked up.
    pub event_sources: Vec<String>,
    /// How long things are kept, by event time.
    pub retention: Duration,
    /// Whether ListSecrets is asked for the secrets' ARNs.
    pub inventory: bool,
    /// Whether a source that has fallen behind may be asked by event name, for less than `event_sources` say.
    pub narrow_when_behind: bool,
}

/// When polls begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// One poll every so often.
    Every(Duration),
    /// A cron expression with seconds, in UTC; checked.
    Cron(String),
}

/// `[[account]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// How it is called in logs.
    pub name: String,
    /// The role to assume; none: the caller's own credentials.
    pub role_arn: Option<String>,
    /// For the role's trust policy.
    pub external_id: Option<String>,
    /// Regions to read; none: the one of the SDK's standard chain.
    pub regions: Vec<String>,
}

/// `[notify.NAME]`.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// Its name.
    pub name: String,
    /// What it is.
    pub target: Target,
    /// Alerts below this are not for it.
    pub min_severity: Severity,
    /// Whether it hears that an incident is over.
    pub send_resolved: bool,
    /// After this long without acceptance an alert becomes a dead letter.
    pub retry_for: Duration,
    /// Who gets what this one does not take; none: nobody.
    pub fallback: Option<Fallback>,
}

/// `fallback` and `fallback_after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The notifier that stands in. Following fallbacks never leads back.
    pub to: String,
    /// Once the first has failed for so long.
    pub after: Duration,
}

/// Where a notifier's alerts go, and in what form.
#[derive(Clone, Debug)]
pub enum Target {
    /// An SNS topic.
    Sns {
        /// The topic; its Region is the one to publish in.
        topic_arn: String,
        /// The Region, taken from the ARN.
        region: String,
        /// What the message looks like.
        format: SnsFormat,
    },
    /// An HTTP endpoint that takes POSTs.
    Webhook(Webhook),
    /// Standard output, one JSON alert a line.
    Stdout,
}

/// What an SNS message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnsFormat {
    /// An e-mail that a person reads.
    Text,
    /// The alert as JSON.
    Json,
    /// What a CloudWatch alarm would publish.
    CloudWatchAlarm,
    /// A custom notification of Amazon Q Developer in chat applications.
    AmazonQ,
}

impl SnsFormat {
    /// All of them, with their words.
    pub const ALL: [(&str, Self); 4] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("cloudwatch-alarm", Self::CloudWatchAlarm),
        ("amazon-q", Self::AmazonQ),
    ];
}

/// What a webhook's body looks like.
#[derive(Clone, Debug)]
pub enum WebhookFormat {
    /// The alert as JSON.
    Json,
    /// A Slack message in Block Kit.
    Slack,
    /// An event for PagerDuty's Events API v2.
    PagerDuty(RoutingKey),
    /// An adaptive card for a Workflows webhook of Microsoft Teams.
    Teams,
    /// A Detection Finding of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// An alert for Prometheus Alertmanager.
    Alertmanager,
    /// What a template of the operator's makes of it.
    Template(Arc<Template>),
}

impl WebhookFormat {
    /// The word for it, as in `format = "…"`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Teams => "teams",
            Self::Ocsf => "ocsf",
            Self::Alertmanager => "alertmanager",
            Self::Template(_) => "template",
        }
    }
}

/// Whose event it is, as PagerDuty has it: a secret.
#[derive(Clone)]
pub struct RoutingKey {
    key: String,
    set_by: (&'static str, String),
}

impl RoutingKey {
    /// `key`, which was found by way of a key of the configuration and its value.
    #[must_use]
    pub fn new(key: String, set_by: (&'static str, String)) -> Self {
        Self { key, set_by }
    }

    /// The key itself, for the body of an event and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.key
    }

    /// Which key of the configuration says where it is, and what it says.
    #[must_use]
    pub fn set_by(&self) -> (&str, &str) {
        (self.set_by.0, &self.set_by.1)
    }
}

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RoutingKey").field(&self.set_by).finish()
    }
}

/// A webhook.
#[derive(Clone)]
pub struct Webhook {
    /// `https`, or `http` to a loopback address. May hold a secret: never log it whole.
    pub url: reqwest::Url,
    /// What the body looks like.
    pub format: WebhookFormat,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// For one attempt, from connect to the end of the answer.
    pub timeout: Duration,
    /// The key for Standard Webhooks signatures.
    pub signing_secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let mut shown = f.debug_struct("Webhook");
        shown.field("host", &host).field("format", &self.format).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// `[digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// When: a cron expression with seconds, in UTC; checked.
    pub schedule: String,
    /// How long the time is that it is about.
    pub since: Duration,
    /// Names of the notifiers that get it, however mild it is.
    pub notify: Vec<String>,
}

/// `[heartbeat]`: who notices when this daemon is silent.
#[derive(Clone)]
pub struct Heartbeat {
    /// `https`, or `http` to a loopback address. Holds a secret token: never log more of it than the host.
    pub url: reqwest::Url,
    /// From one ping to the next.
    pub every: Duration,
    /// For one ping, from connect to the end of the answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let mut shown = f.debug_struct("Heartbeat");
        shown.field("host", &host).field("every", &self.every).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// `[status]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token that requests must carry.
    pub token: Option<String>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status").field("listen", &self.listen).finish_non_exhaustive()
    }
}
