//! The one place where the AWS SDK is configured.
//!
//! [`Aws`] holds what all clients share: region, endpoints and credentials from the SDK's standard chain and variables,
//! one connector, one cache of credentials. From it come the [`Source`]s, one for each account and Region that the
//! configuration names, and the SNS clients. A source carries its [`Lookup`] and can tell who it is ([`Identity`]) and
//! which secrets exist ([`ListedSecret`]).
//!
//! Who retries is decided here too. Lookups are retried by their pace and SNS alerts by the outbox, both of which would
//! be fooled by retries of the SDK's own; only the inventory and the calls for credentials leave it to the SDK.
//!
//! Absent on purpose: settings of our own for endpoints, profiles or regions of the caller. What `aws` on the command
//! line understands is understood here, and nothing else needs to be learnt.

mod identity;
mod road;

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::config::retry::RetryPartition;
use aws_sdk_secretsmanager::operation::RequestId;
use aws_sdk_secretsmanager::types::SecretListEntry;
use aws_smithy_runtime_api::client::http::HttpClient;

use self::identity::identity;
use self::road::{Road, http_client};
use crate::config::Account;
use crate::model::WallTime;
use crate::trail::{Lookup, SourceId};

pub use self::identity::Identity;

/// How we call ourselves: the app name in user agents, and the session name of assumed roles.
const NAME: &str = "secretwatch";

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// For one request, from its first byte to the reply's last.
const ATTEMPT: Duration = Duration::from_secs(20);

/// For one call with all its retries.
const OPERATION: Duration = Duration::from_secs(60);

/// Attempts of a call whose retries are left to the SDK.
const ATTEMPTS: u32 = 3;

/// Credentials that are cached at a time. At the SDK's own 64 an organisation's accounts would evict each other.
const CACHED_IDENTITIES: usize = 1024;

/// Credentials are renewed this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_secs(120);

/// Secrets that one inventory lists at most; AWS allows half a million, and annotations are not worth that much memory.
const MAX_SECRETS: usize = 50_000;

/// Something about AWS that could not be had. The cause says what AWS or the network had to say.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// Neither the account nor the environment names a Region.
    #[error("no region for account {account:?}: set `regions` of the account, or AWS_REGION")]
    NoRegion {
        /// The account's name.
        account: String,
    },
    /// GetCallerIdentity failed, or its answer makes no sense.
    #[error("cannot learn the identity of account {account:?}")]
    Identity {
        /// The account's name.
        account: String,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// DescribeTrails or GetTrailStatus failed.
    #[error("cannot look at the trails of {id}")]
    Trails {
        /// The source.
        id: SourceId,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// GetSecretValue failed.
    #[error("cannot read the secret {secret:?}")]
    Canary {
        /// Its name or ARN.
        secret: String,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// ListSecrets failed.
    #[error("cannot list the secrets of {id}")]
    Inventory {
        /// The source.
        id: SourceId,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// What all clients share.
#[derive(Clone, Debug)]
pub struct Aws {
    base: SdkConfig,
}

/// One account and Region, with all that is needed to read it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which one.
    pub id: SourceId,
    /// The account's name in the configuration.
    pub account: String,
    /// Reads its Event history.
    pub lookup: Lookup,
    sdk: SdkConfig,
    /// The budget for retries. Clients of one service and Region would share one, whatever their account, for as long as
    /// the process lives: a throttled account would spend its neighbours'. Lookups need none, they are not retried.
    retries: RetryPartition,
}

/// A secret that was read in order to see what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// When, by our clock.
    pub at: WallTime,
    /// The id of the request, which its record has, too.
    pub request_id: String,
    /// Where.
    pub region: String,
}

/// A secret as the inventory lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    /// Its name.
    pub name: String,
    /// Its full ARN.
    pub arn: String,
    /// Its tags, key and value.
    pub tags: Vec<(String, String)>,
}

/// A trail that delivers the events of this account and Region somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Its name.
    pub name: String,
    /// Whether it does so at the moment.
    pub logs: bool,
}

impl Aws {
    /// Takes everything from the SDK's standard chain. Never fails: what is missing shows when it is needed.
    pub async fn load() -> Self {
        Self::from_loader(aws_config::defaults(behavior())).await
    }

    /// The same, where the loader already says some of it: how the demo aims at its account of straw.
    pub async fn from_loader(loader: ConfigLoader) -> Self {
        let road = Road::of_environment();
        let aws = Self::over(http_client(road.clone()), loader).await;
        if aws.base.endpoint_url().is_none_or(|url| !url.starts_with("http://")) {
            // Meanwhile the store is opened.
            tokio::task::spawn_blocking(move || {
                road.secured();
            });
        }
        aws
    }

    /// The same over a way to AWS of one's own: how a simulation answers without a network.
    pub async fn over(http_client: impl HttpClient + 'static, loader: ConfigLoader) -> Self {
        let loader = loader
            .http_client(http_client)
            .identity_cache(
                aws_config::identity::IdentityCache::lazy()
                    .max_partitions(CACHED_IDENTITIES)
                    .buffer_time(RENEW_BEFORE)
                    .build(),
            )
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts(ATTEMPT, OPERATION));
        // The name is a constant and valid; if the SDK ever disagreed, a user agent without it would do.
        let loader = match AppName::new(NAME) {
            Ok(name) => loader.app_name(name),
            Err(_) => loader,
        };
        Self { base: loader.load().await }
    }

    /// The sources of these accounts, in order: one for each Region of each. An account's Regions share one provider of
    /// credentials, so that a role is assumed once for all of them.
    pub async fn sources(&self, accounts: &[Account]) -> Result<Vec<Source>, AwsError> {
        let mut sources = Vec::new();
        for account in accounts {
            let regions = self.regions(account)?;
            let sdk = self.account(account, &regions).await;
            sources.extend(regions.into_iter().map(|region| Source::new(account, region, &sdk)));
        }
        Ok(sources)
    }

    /// A client for topics in `region`, with the caller's own credentials and without retries: the outbox makes them.
    #[must_use]
    pub fn sns(&self, region: &str) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::config::Builder::from(&self.base)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// Reads the value of `secret`, with the caller's own credentials, and throws it away: what is wanted is the trace
    /// that this leaves.
    pub async fn read_canary(&self, secret: &str, region: Option<&str>) -> Result<Canary, AwsError> {
        let of_arn = secret.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)).filter(|part| !part.is_empty());
        let own = self.base.region().map(AsRef::as_ref);
        let region = region.or(of_arn).or(own);
        let region = region.ok_or_else(|| AwsError::NoRegion { account: "the caller".to_owned() })?.to_owned();
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.base)
            .region(Region::new(region.clone()))
            // One read is one access.
            .retry_config(RetryConfig::disabled());
        let client = aws_sdk_secretsmanager::Client::from_conf(config.build());
        let at = WallTime::now();
        let failed = |cause| AwsError::Canary { secret: secret.to_owned(), cause };
        let answer = client.get_secret_value().secret_id(secret).send().await.map_err(|error| failed(inner(error)))?;
        let id = answer.request_id().map(str::to_owned);
        let request_id = id.ok_or_else(|| failed("the answer has no request id to find it by".into()))?;
        Ok(Canary { at, request_id, region })
    }

    /// Who the caller's own credentials belong to.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        identity("the caller", &self.base).await
    }

    fn regions(&self, account: &Account) -> Result<Vec<Region>, AwsError> {
        if !account.regions.is_empty() {
            return Ok(account.regions.iter().cloned().map(Region::new).collect());
        }
        let own = self.base.region().cloned();
        own.map(|region| vec![region]).ok_or_else(|| AwsError::NoRegion { account: account.name.clone() })
    }

    /// The configuration for calls in this account: the caller's, or that of its role.
    async fn account(&self, account: &Account, regions: &[Region]) -> SdkConfig {
        let Some(role) = &account.role_arn else { return self.base.clone() };
        let mut provider = AssumeRoleProvider::builder(role).configure(&self.base).session_name(NAME);
        if let Some(id) = &account.external_id {
            provider = provider.external_id(id);
        }
        // STS is asked in the caller's Region; without one, the account's first is as good as any.
        if let (None, Some(region)) = (self.base.region(), regions.first()) {
            provider = provider.region(region.clone());
        }
        let provider = SharedCredentialsProvider::new(provider.build().await);
        self.base.to_builder().credentials_provider(provider).build()
    }
}

impl Source {
    fn new(account: &Account, region: Region, sdk: &SdkConfig) -> Self {
        let id = SourceId { account: account_id(account).to_owned(), region: region.to_string() };
        let sdk = sdk.to_builder().region(region).build();
        let lookup = Lookup::new(aws_sdk_cloudtrail::config::Builder::from(&sdk));
        let retries = RetryPartition::custom(id.to_string()).build();
        Self { id, account: account.name.clone(), lookup, sdk, retries }
    }

    /// Who reads this source.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        identity(&self.account, &self.sdk).await
    }

    /// The trails that there are for this account and Region.
    pub async fn trails(&self) -> Result<Vec<Trail>, AwsError> {
        let failed = |cause| AwsError::Trails { id: self.id.clone(), cause };
        let client = aws_sdk_cloudtrail::Client::new(&self.sdk);
        let described = client.describe_trails().send().await.map_err(|error| failed(inner(error)))?;
        let mut trails = Vec::new();
        for trail in described.trail_list.unwrap_or_default() {
            let Some(arn) = trail.trail_arn else { continue };
            let status = client.get_trail_status().name(&arn).send().await.map_err(|error| failed(inner(error)))?;
            trails.push(Trail { name: trail.name.unwrap_or(arn), logs: status.is_logging.unwrap_or(false) });
        }
        Ok(trails)
    }

    /// The secrets that exist in this account and Region, 50,000 of them at most.
    pub async fn inventory(&self) -> Result<Vec<ListedSecret>, AwsError> {
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.sdk).retry_partition(self.retries.clone());
        let client = aws_sdk_secretsmanager::Client::from_conf(config.build());
        let mut listed = Vec::new();
        let mut pages = client.list_secrets().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::Inventory { id: self.id.clone(), cause: inner(error) })?;
            let secrets = page.secret_list.unwrap_or_default().into_iter();
            listed.extend(secrets.filter_map(listed_secret));
            if listed.len() >= MAX_SECRETS {
                tracing::warn!(source = %self.id, limit = MAX_SECRETS, "more secrets than the inventory holds");
                listed.truncate(MAX_SECRETS);
                break;
            }
        }
        Ok(listed)
    }
}

fn listed_secret(secret: SecretListEntry) -> Option<ListedSecret> {
    let tags = secret.tags.unwrap_or_default().into_iter();
    let tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
    Some(ListedSecret { name: secret.name?, arn: secret.arn?, tags: tags.collect() })
}

/// The account's twelve digits, which its role's ARN tells, else its configured name.
fn account_id(account: &Account) -> &str {
    let digits = account.role_arn.as_deref().and_then(|arn| arn.split(':').nth(4));
    digits.filter(|digits| !digits.is_empty()).unwrap_or(&account.name)
}

/// The SDK's outermost error only says which kind it is; what happened stands in its source.
fn inner<E, R>(error: aws_sdk_sts::error::SdkError<E, R>) -> Box<dyn Error + Send + Sync>
where
    E: Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    error.into_source().unwrap_or_else(|error| Box::new(error))
}

/// Pinned, so that an update of the SDK changes no behaviour behind our back.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

#[cfg(test)]
mod tests;
