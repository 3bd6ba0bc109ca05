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

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use aws_sdk_secretsmanager::config::retry::RetryPartition;
use aws_sdk_secretsmanager::operation::RequestId;
use aws_sdk_secretsmanager::types::SecretListEntry;

use crate::config::Account;
use crate::model::{Access, WallTime};
use crate::trail::{Lookup, SourceId};

/// How we call ourselves: the app name in user agents, and the session name of assumed roles.
const NAME: &str = "secretwatch";

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// For one request, from its first byte to the reply's last.
const ATTEMPT: Duration = Duration::from_secs(20);

/// For one call with all its retries.
const OPERATION: Duration = Duration::from_secs(60);

/// For the question who we are, whose answer is nice to have: test rigs often have no STS at all.
const IDENTITY: Duration = Duration::from_secs(5);

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

/// Who makes our calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's twelve digits.
    pub account: String,
    /// The ARN; for an assumed role that of the session.
    pub arn: String,
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

impl Identity {
    /// Whether `access` is one of our own inventory calls, which are not counted.
    ///
    /// Only the account and the role or user are compared: a restart changes the session, and the ARN of a session lacks
    /// the role's path. A read of a secret's value is never our own, whoever's name it bears: it may have been stolen.
    #[must_use]
    pub fn is_own(&self, access: &Access) -> bool {
        matches!(access.event.as_str(), "ListSecrets" | "DescribeSecret") && self.is_caller_of(access)
    }

    /// Whether the account and the role or user that made `access` are ours.
    #[must_use]
    pub fn is_caller_of(&self, access: &Access) -> bool {
        access.principal.arn.as_deref().is_some_and(|arn| caller(arn) == caller(&self.arn))
    }
}

/// What of a caller's ARN outlives its session.
#[derive(Debug, PartialEq, Eq)]
enum Caller<'a> {
    Role { account: &'a str, name: &'a str },
    Other(&'a str),
}

fn caller(arn: &str) -> Caller<'_> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, _, _, account, resource] = fields[..] else { return Caller::Other(arn) };
    let name = match resource.split_once('/') {
        Some(("role", path)) => path.rsplit('/').next(),
        Some(("assumed-role", rest)) => rest.split('/').next(),
        _ => None,
    };
    name.map_or(Caller::Other(arn), |name| Caller::Role { account, name })
}

/// The account's twelve digits, which its role's ARN tells, else its configured name.
fn account_id(account: &Account) -> &str {
    let digits = account.role_arn.as_deref().and_then(|arn| arn.split(':').nth(4));
    digits.filter(|digits| !digits.is_empty()).unwrap_or(&account.name)
}

async fn identity(account: &str, sdk: &SdkConfig) -> Result<Identity, AwsError> {
    let failed = |cause| AwsError::Identity { account: account.to_owned(), cause };
    let config = aws_sdk_sts::config::Builder::from(sdk)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(IDENTITY, IDENTITY));
    let answer = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
    let answer = answer.map_err(|error| failed(inner(error)))?;
    match (answer.account, answer.arn) {
        (Some(account), Some(arn)) => Ok(Identity { account, arn }),
        _ => Err(failed("the answer names no account or no arn".into())),
    }
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

/// One connector for every client, whatever its own connect timeout: the SDK would build one for each set of timeouts,
/// with a trust store and a pool of its own.
fn http_client(road: Road) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(road);
    http_client_fn(move |_settings, _components| connector.clone())
}

/// The ways to AWS. Reading the machine's trust store, some hundreds of files, is most of what a start has to do; so it
/// is read when it is needed, and never for an endpoint without TLS. Clones share their connections.
#[derive(Clone, Debug)]
struct Road {
    proxy: ProxyConfig,
    plain: Arc<OnceLock<Connector>>,
    secured: Arc<OnceLock<Connector>>,
}

impl Road {
    /// Proxies are taken from the environment, as curl does.
    fn of_environment() -> Self {
        Self { proxy: ProxyConfig::from_env(), plain: Arc::default(), secured: Arc::default() }
    }

    fn plain(&self) -> &Connector {
        self.plain.get_or_init(|| self.builder().build_http())
    }

    fn secured(&self) -> &Connector {
        self.secured.get_or_init(|| self.builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build())
    }

    fn builder(&self) -> ConnectorBuilder {
        Connector::builder()
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build())
            .proxy_config(self.proxy.clone())
    }
}

impl HttpConnector for Road {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // A proxy may itself want TLS, whatever lies behind it.
        let is_plain = request.uri().starts_with("http://") && self.proxy.is_disabled();
        if is_plain { self.plain().call(request) } else { self.secured().call(request) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{Answer, Loopback};
    use crate::model::{EventTime, Principal, Span, fixture};
    use crate::trail::{Filter, Query};

    const ROLE: &str = "arn:aws:iam::111122223333:role/watch/secretwatch";

    fn account(role_arn: Option<&str>, regions: &[&str]) -> Account {
        Account {
            name: "prod".to_owned(),
            role_arn: role_arn.map(str::to_owned),
            external_id: role_arn.map(|_| "outside".to_owned()),
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        }
    }

    async fn aws(server: &Loopback) -> Aws {
        let sdk = server.sdk();
        let loader = aws_config::defaults(behavior()).endpoint_url(server.url()).region(sdk.region().cloned());
        let credentials = sdk.credentials_provider().expect("the stand-in has credentials");
        Aws::from_loader(loader.credentials_provider(credentials)).await
    }

    fn access(event: &str, arn: &str) -> Access {
        let principal = Principal { arn: Some(arn.to_owned()), ..Principal::default() };
        Access { event: event.to_owned(), principal, ..fixture::access(0) }
    }

    #[test]
    fn own_inventory_calls_are_told_by_account_and_role() {
        let role = "arn:aws:sts::111122223333:assumed-role/secretwatch/i-0123456789";
        let user = "arn:aws:iam::111122223333:user/ops/secretwatch";
        for (me, event, arn, own) in [
            (role, "ListSecrets", ROLE, true),
            (role, "DescribeSecret", "arn:aws:iam::111122223333:role/secretwatch", true),
            (role, "ListSecrets", "arn:aws:sts::111122223333:assumed-role/secretwatch/another", true),
            (role, "GetSecretValue", ROLE, false),
            (role, "PutSecretValue", ROLE, false),
            (role, "ListSecrets", "arn:aws:iam::111122223333:role/other", false),
            (role, "ListSecrets", "arn:aws:iam::111122223333:role/secretwatch/other", false),
            (role, "ListSecrets", "arn:aws:iam::444455556666:role/secretwatch", false),
            (role, "ListSecrets", "arn:aws:iam::111122223333:user/secretwatch", false),
            (role, "ListSecrets", "", false),
            (user, "ListSecrets", user, true),
            (user, "ListSecrets", "arn:aws:iam::111122223333:user/secretwatch", false),
            ("nonsense", "ListSecrets", ROLE, false),
        ] {
            let identity = Identity { account: "111122223333".to_owned(), arn: me.to_owned() };
            assert_eq!(identity.is_own(&access(event, arn)), own, "{event} by {arn} seen by {me}");
        }
        let identity = Identity { account: String::new(), arn: role.to_owned() };
        let mut nobody = access("ListSecrets", "");
        nobody.principal.arn = None;
        assert!(!identity.is_own(&nobody));
    }

    #[tokio::test]
    async fn sources_are_named_by_account_and_region() {
        let server = Loopback::serving([Answer::new(200, "{}")]).await;
        let accounts = [account(None, &[]), account(Some(ROLE), &["us-east-1", "eu-west-1"])];
        let sources = aws(&server).await.sources(&accounts).await.unwrap();
        let names: Vec<String> = sources.iter().map(|source| source.id.to_string()).collect();
        assert_eq!(names, ["prod/us-east-2", "111122223333/us-east-1", "111122223333/eu-west-1"]);
        assert!(server.asked().is_empty(), "making clients asks nobody");
    }

    #[tokio::test]
    async fn no_region_anywhere_is_said_plainly() {
        let aws = Aws { base: SdkConfig::builder().behavior_version(behavior()).build() };
        let error = aws.sources(&[account(None, &[])]).await.unwrap_err().to_string();
        assert_eq!(error, "no region for account \"prod\": set `regions` of the account, or AWS_REGION");
    }

    #[tokio::test]
    async fn a_role_is_assumed_once_for_all_its_regions() {
        let assumed = r"<AssumeRoleResponse><AssumeRoleResult><Credentials>
            <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>no key</SecretAccessKey>
            <SessionToken>t</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>
            </Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let server = Loopback::serving([Answer::new(200, assumed), Answer::new(200, "{}")]).await;
        let sources = aws(&server).await.sources(&[account(Some(ROLE), &["us-east-1", "eu-west-1"])]).await.unwrap();
        let span = Span { from: EventTime(0), to: EventTime(1) };
        let query = Query { filter: Filter::EventSource("secretsmanager.amazonaws.com".to_owned()), span };
        for source in &sources {
            source.lookup.page(&query, None).await.unwrap();
        }
        let asked = server.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].body.contains("ExternalId=outside") && asked[0].body.contains("RoleSessionName=secretwatch"));
        for (request, region) in asked[1..].iter().zip(["us-east-1", "eu-west-1"]) {
            let signature = request.headers["authorization"].to_str().unwrap();
            assert!(signature.contains("ASIAIOSFODNN7EXAMPLE") && signature.contains(region), "{signature}");
        }
    }

    #[tokio::test]
    async fn identity_is_read_or_missing_without_retries() {
        let known = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn><Account>111122223333</Account>\
            </GetCallerIdentityResult></GetCallerIdentityResponse>";
        let server = Loopback::serving([Answer::new(200, known), Answer::new(404, "<html>")]).await;
        let aws = aws(&server).await;
        let identity = Identity { account: "111122223333".to_owned(), arn: "a".to_owned() };
        assert_eq!(aws.identity().await.unwrap(), identity);
        assert!(aws.identity().await.is_err());
        assert_eq!(server.asked().len(), 2);
    }

    #[tokio::test]
    async fn the_inventory_goes_through_all_pages() {
        let first = r#"{"SecretList":[{"Name":"a","ARN":"arn:a"},{"Name":"no arn"}],"NextToken":"n"}"#;
        let second = r#"{"SecretList":[{"Name":"b","ARN":"arn:b","Tags":[{"Key":"env","Value":"prod"},{"Key":"x"}]}]}"#;
        let server = Loopback::serving([Answer::new(200, first), Answer::new(200, second)]).await;
        let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
        let listed = |name: &str, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            ListedSecret { name: name.to_owned(), arn: format!("arn:{name}"), tags }
        };
        let b = listed("b", &[("env", "prod"), ("x", "")]);
        assert_eq!(source.inventory().await.unwrap(), [listed("a", &[]), b]);
        assert_eq!(server.asked()[1].json()["NextToken"], "n");
    }

    #[tokio::test]
    async fn trails_are_asked_whether_they_log() {
        let list =
            r#"{"trailList":[{"Name":"a","TrailARN":"arn:a"},{"Name":"b","TrailARN":"arn:b"},{"Name":"no arn"}]}"#;
        let answers = [list, r#"{"IsLogging":true}"#, r#"{"IsLogging":false}"#].map(|body| Answer::new(200, body));
        let server = Loopback::serving(answers).await;
        let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
        let trail = |name: &str, logs| Trail { name: name.to_owned(), logs };
        assert_eq!(source.trails().await.unwrap(), [trail("a", true), trail("b", false)]);
        assert_eq!(server.asked()[1].json()["Name"], "arn:a");
    }

    #[tokio::test]
    async fn a_denied_inventory_names_the_source_and_the_cause() {
        let server = Loopback::serving([Answer::new(400, r#"{"__type":"AccessDeniedException"}"#)]).await;
        let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
        let error = source.inventory().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot list the secrets of prod/us-east-2");
        assert!(error.source().is_some());
    }
}
