//! Sets the stage for `secretwatch demo`: an account in a hurry, a configuration that reads it, and the story.
//!
//! Events come as late as in life but sixty times sooner (half within 3.4 seconds, all within 10), so that a first
//! alert takes seconds instead of minutes. The quota is AWS's own: what the daemon does here it may do there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::account::{AccessKey, Account, Settings};
use super::callers::Caller;
use super::lateness::Lateness;
use super::traffic::{self, CANARY};
use crate::model::WallTime;

/// The stage, with the curtain still down: nothing happens before [`Demo::play`].
#[derive(Clone, Debug)]
pub struct Demo {
    /// The account, for whoever wants to look at its calls and messages.
    pub account: Account,
    /// What `AWS_ENDPOINT_URL` has to be.
    pub url: String,
    /// What `AWS_REGION` has to be.
    pub region: String,
    /// The daemon's credentials, those of a role of its own.
    pub access_key: AccessKey,
    /// Where alerts are published.
    pub topic_arn: String,
    /// Where the worst of them are published once more, as JSON for programs.
    pub program_topic_arn: String,
    /// The daemon's configuration, without `state_dir`: put that line in front of it.
    pub config_toml: String,
    seed: u64,
    /// When the attack begins.
    attack: WallTime,
}

/// How far back the story goes when the demonstration begins.
const PAST: Duration = Duration::from_secs(180);

/// How long the day before it was, and how far the configuration reads back.
const DAY: Duration = Duration::from_secs(86_400);

/// How long after [`start`] the attack begins.
const QUIET: Duration = Duration::from_secs(12);

/// How much sooner than in life events become visible.
const HURRY: f64 = 60.0;

/// Opens an account with secrets, a topic and someone who listens to it.
///
/// # Errors
/// If no port on loopback can be had.
pub async fn start() -> std::io::Result<Demo> {
    let settings = Settings { lateness: Lateness::observed().scaled(1.0 / HURRY), ..Settings::default() };
    let (region, number, seed) = (settings.region.clone(), settings.account.clone(), settings.seed);
    let account = Account::start(settings).await?;
    for secret in traffic::secrets() {
        account.add_secret(secret);
    }
    let topic_arn = account.add_topic("security-alerts");
    account.subscribe(&topic_arn, "email", "security@example.com", true);
    let program_topic_arn = account.add_topic("security-events");
    account.subscribe(&program_topic_arn, "sqs", "arn:aws:sqs:us-east-1:111122223333:security-events", true);
    Ok(Demo {
        url: account.url().to_owned(),
        access_key: account.register(Caller::role(&number, "secretwatch", "demo")),
        config_toml: configuration(&topic_arn, &program_topic_arn),
        attack: account.clock().now().plus(QUIET),
        account,
        region,
        topic_arn,
        program_topic_arn,
        seed,
    })
}

impl Demo {
    /// Lets an ordinary day have passed, then the attack begin and life go on, until `stop`.
    pub async fn play(&self, stop: CancellationToken) {
        let number = self.topic_arn.split(':').nth(4).unwrap_or_default();
        let morning = self.attack.minus(DAY);
        for (offset, record) in traffic::day(number, self.seed, DAY.saturating_sub(PAST)) {
            self.account.put(&record.at(morning.plus(offset).second()));
        }
        let story = traffic::story(number, self.seed, PAST);
        traffic::play(&self.account, story, self.attack.minus(PAST), stop).await;
    }
}

fn configuration(topic_arn: &str, program_topic_arn: &str) -> String {
    format!(
        r#"[poll]
interval = "2s"
lateness = "12s"
backfill = "1d"
requests_per_second = 1.8
recheck = "2m"
stale_after = "1m"
retention = "2d"

[[rule]]
name = "many-secrets-are-read"
description = "One principal read ten secrets or more within a minute"
severity = "high"
events = ["GetSecretValue"]
statistic = {{ distinct = "secret" }}
threshold = 10
window = "1m"
group_by = ["principal"]
hold = "1m"
update_every = "10s"
notify = ["security"]

[[rule]]
name = "canary-is-read"
description = "Nobody has any business with this secret"
severity = "critical"
events = ["GetSecretValue"]
secrets = ["{CANARY}"]
threshold = 1
window = "1m"
group_by = ["secret"]
hold = "1m"

[notify.security]
type = "sns"
topic_arn = "{topic_arn}"
format = "text"

[notify.program]
type = "sns"
topic_arn = "{program_topic_arn}"
format = "json"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_attack_is_in_the_history_within_half_a_minute() {
        let demo = start().await.unwrap();
        let slowest = QUIET + Duration::from_secs(5) + Lateness::observed().scaled(1.0 / HURRY).max();
        assert!(slowest < Duration::from_secs(30), "{slowest:?}");
        assert!(demo.config_toml.contains(&demo.topic_arn));
        assert!(demo.config_toml.parse::<toml::Table>().is_ok());
    }

    #[tokio::test]
    async fn the_past_is_played_at_once_and_a_stop_ends_it() {
        let demo = start().await.unwrap();
        let stop = CancellationToken::new();
        let play = {
            let (demo, stop) = (demo.clone(), stop.clone());
            tokio::spawn(async move { demo.play(stop).await })
        };
        demo.account.until(|account| account.records() > 50).await;
        stop.cancel();
        play.await.unwrap();
    }
}
