//! Who makes our calls, and which accesses in a trail are therefore our own.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;

use super::{AwsError, inner, timeouts};
use crate::model::Access;

/// For the question who we are, whose answer is nice to have: test rigs often have no STS at all.
const IDENTITY: Duration = Duration::from_secs(5);

/// Who makes our calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's twelve digits.
    pub account: String,
    /// The ARN; for an assumed role that of the session.
    pub arn: String,
}

/// Who the credentials in `sdk` belong to.
pub(super) async fn identity(account: &str, sdk: &SdkConfig) -> Result<Identity, AwsError> {
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
