//! `secretwatch doctor`: does everything that is needed work, and if not, what is to be done?
//!
//! Each check asks the real thing: AWS with the credentials that the daemon would use, topics, receivers of webhooks, the
//! state directory. It makes a [`Finding`], which passes, warns or fails, and says what to do in the latter two. Nothing
//! is changed by asking, and nothing is sent that anybody would read.
//!
//! Checks of one account and Region go in order, since the later ones make no sense without the earlier; everything else
//! is asked at the same time. The findings come in the order of the configuration, so that two runs can be compared.

mod receiver;
mod source;
mod state;
mod topic;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::config::{Config, Notifier, Target};
use crate::model::{WallClock, printable};
use crate::notify::with_causes;

/// Longest text of somebody else's that a finding shows, in characters.
const SAID_MAX: usize = 300;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `prod/us-east-1`, `notifier security`.
    pub about: String,
    /// Which check it is.
    pub check: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub says: String,
    /// What to do; none where nothing is to be done.
    pub advice: Option<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Pass,
    /// It works, and something about it is not as it should be; or nobody can tell.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Finding {
    /// All is well with `check` of `about`.
    pub fn pass(about: &str, check: &'static str, says: impl Into<String>) -> Self {
        Self { about: about.to_owned(), check, verdict: Verdict::Pass, says: says.into(), advice: None }
    }

    /// Something about it is not as it should be; and what to do.
    pub fn warn(about: &str, check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, ..Self::fail(about, check, says, advice) }
    }

    fn fail(about: &str, check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        let (says, advice) = (says.into(), Some(advice.into()));
        Self { about: about.to_owned(), check, verdict: Verdict::Fail, says, advice }
    }
}

/// Makes every check that `config` calls for.
pub async fn examine(config: &Config, aws: &Aws, clock: &WallClock) -> Vec<Finding> {
    let mut asked: JoinSet<(usize, Vec<Finding>)> = JoinSet::new();
    let mut place = 0;
    let mut next = || {
        place += 1;
        place
    };
    let mut findings = vec![(next(), state::examine(&config.state_dir))];
    match aws.sources(&config.accounts).await {
        Ok(sources) => {
            for source in sources {
                let (place, config, clock) = (next(), config.clone(), clock.clone());
                asked.spawn(async move { (place, source::examine(&source, &config, &clock).await) });
            }
        }
        Err(error) => findings.push((next(), vec![no_region(&with_causes(&error))])),
    }
    for notifier in config.notifiers.values() {
        let (place, notifier, aws) = (next(), notifier.clone(), aws.clone());
        asked.spawn(async move { (place, examine_notifier(&notifier, &aws).await) });
    }
    if let Some(heartbeat) = config.heartbeat.clone() {
        let place = next();
        asked.spawn(
            async move { (place, vec![receiver::examine("heartbeat", &heartbeat.url, heartbeat.timeout).await]) },
        );
    }
    // A check that panics would be a fault of the program, and leaves the others theirs.
    while let Some(answered) = asked.join_next().await {
        findings.extend(answered);
    }
    findings.sort_by_key(|(place, _)| *place);
    findings.into_iter().flat_map(|(_, findings)| findings).collect()
}

async fn examine_notifier(notifier: &Notifier, aws: &Aws) -> Vec<Finding> {
    let about = format!("notifier {}", notifier.name);
    match &notifier.target {
        Target::Sns { topic_arn, region, .. } => topic::examine(&about, topic_arn, &aws.sns(region)).await,
        Target::Webhook(webhook) => vec![receiver::examine(&about, &webhook.url, webhook.timeout).await],
        Target::Stdout => vec![Finding::pass(&about, "output", "alerts are lines on standard output")],
    }
}

fn no_region(error: &str) -> Finding {
    Finding::fail("aws", "region", printable(error, SAID_MAX), "Set `regions` of the account, or AWS_REGION.")
}
