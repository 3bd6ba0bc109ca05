//! The simulated account as real SDK clients see it.
//!
//! Every client here retries nothing, so that one call is one request.

mod door;
mod faults;
mod services;
mod trail;

use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::config::timeout::TimeoutConfig;
use aws_sdk_cloudtrail::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudtrail::error::ProvideErrorMetadata;

use super::{AccessKey, Account, Caller, Clock, Settings};
use crate::model::{EventTime, WallTime};

/// Noon of some day: what a stopped clock shows first.
const NOON: EventTime = EventTime(1_780_000_000);

/// An account without quota, whose clock stands at [`NOON`].
async fn account() -> Account {
    account_with(|_| ()).await
}

async fn account_with(change: impl FnOnce(&mut Settings)) -> Account {
    let mut settings = Settings { clock: Clock::stopped(NOON.wall()), quota: None, ..Settings::default() };
    change(&mut settings);
    Account::start(settings).await.unwrap()
}

/// Some caller's clients, in some Region.
struct Clients {
    trail: aws_sdk_cloudtrail::Client,
    secrets: aws_sdk_secretsmanager::Client,
    sns: aws_sdk_sns::Client,
    sts: aws_sdk_sts::Client,
}

impl Clients {
    fn of(account: &Account) -> Self {
        Self::with(account, &account.register(Caller::user("111122223333", "tester")), "us-east-1")
    }

    fn with(account: &Account, key: &AccessKey, region: &str) -> Self {
        let credentials = Credentials::new(&key.id, &key.secret, None, None, "test");
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version(BehaviorVersion::latest())
                        .region(Region::new(region.to_owned()))
                        .endpoint_url(account.url())
                        .credentials_provider(credentials.clone())
                        .retry_config(RetryConfig::disabled())
                        .timeout_config(TimeoutConfig::disabled())
                        .build(),
                )
            };
        }
        Self {
            trail: client!(aws_sdk_cloudtrail),
            secrets: client!(aws_sdk_secretsmanager),
            sns: client!(aws_sdk_sns),
            sts: client!(aws_sdk_sts),
        }
    }
}

/// The code of an error that must be one.
fn code<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}
