//! Which secret is meant, out of the many ways to write one.
//!
//! People write a name, a full ARN, or a partial ARN that lacks the `-` and six characters which Secrets Manager adds.
//! A [`Secret`]'s identity is its owning account, Region and name, and is taken from what was written alone: no list of
//! existing secrets is ever asked, so that the same record means the same secret today and after a restart. The price
//! is that a partial ARN of a secret whose own name ends like such a suffix is read as a full one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which secret was meant.
///
/// `account`, `region` and `name` are its identity: a pure function of the record, never of what an inventory knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// A typed name as typed; from an ARN, its last part without a final `-` and six alphanumerics.
    pub name: String,
    /// The secret's ARN, where the record gives one, or an inventory has added it.
    pub arn: Option<String>,
    /// What the caller typed: a name, an ARN, a partial ARN.
    pub requested: Option<String>,
    /// The account that owns it: from the ARN, else that of the record.
    #[serde(default)]
    pub account: String,
    /// Its Region: from the ARN, else that of the record.
    #[serde(default)]
    pub region: String,
    /// Those of its tags that rules ask for, as an inventory knew them when the access was first read; a tag that the
    /// secret does not have is null. None: no inventory knew the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

impl Secret {
    /// The secret that is written as `text` in a record of `account` and `region`: as a name, an ARN or a partial ARN.
    /// What only resembles an ARN of a secret counts as a name, whole. `requested` stays empty.
    #[must_use]
    pub fn written(text: &str, account: &str, region: &str) -> Self {
        match SecretArn::parse(text) {
            Some(arn) => Self {
                name: arn.name().to_owned(),
                arn: arn.is_full().then(|| text.to_owned()),
                requested: None,
                account: arn.account.to_owned(),
                region: arn.region.to_owned(),
                tags: None,
            },
            None => Self {
                name: text.to_owned(),
                arn: None,
                requested: None,
                account: account.to_owned(),
                region: region.to_owned(),
                tags: None,
            },
        }
    }

    /// The ARN without the suffix that Secrets Manager adds, which is known for every secret: what a glob that is
    /// written as an ARN is held against. The partition follows from the Region.
    #[must_use]
    pub fn partial_arn(&self) -> String {
        let partition = match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        format!("arn:{partition}:secretsmanager:{}:{}:secret:{}", self.region, self.account, self.name)
    }
}

/// The parts of `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SecretArn<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    last: &'a str,
}

impl<'a> SecretArn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (scheme, _partition, service) = (next()?, next()?, next()?);
        let (region, account, kind, last) = (next()?, next()?, next()?, next()?);
        // A name holds no colon, so an eighth part (as in ECS references to a JSON key) makes it no ARN of a secret.
        let whole = parts.next().is_none();
        (scheme == "arn" && service == "secretsmanager" && kind == "secret" && whole).then_some(Self {
            region,
            account,
            last,
        })
    }

    /// Whether it ends in a suffix, or in something that looks like one.
    pub(super) fn is_full(&self) -> bool {
        self.name().len() < self.last.len()
    }

    pub(super) fn name(&self) -> &'a str {
        match self.last.rsplit_once('-') {
            Some((name, suffix)) if !name.is_empty() && is_suffix(suffix) => name,
            _ => self.last,
        }
    }
}

fn is_suffix(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:";

    /// What `text` means in a record of account 444455556666 and Region us-east-2.
    fn written(text: &str) -> (String, String, bool) {
        let secret = Secret::written(text, "444455556666", "us-east-2");
        (format!("{} {}", secret.account, secret.region), secret.name, secret.arn.is_some())
    }

    #[test]
    fn an_arn_gives_account_region_and_name() {
        let check = |last: &str, name: &str, full: bool| {
            let expected = ("111122223333 eu-west-1".to_owned(), name.to_owned(), full);
            assert_eq!(written(&format!("{ARN}{last}")), expected, "{last}");
        };
        check("prod/db-a1B2c3", "prod/db", true);
        check("prod/db", "prod/db", false);
        check("prod/db-a1B2c", "prod/db-a1B2c", false);
        check("prod/db-a1B2c3d", "prod/db-a1B2c3d", false);
        check("prod/db-a1B_c3", "prod/db-a1B_c3", false);
        check("a-b-c-a1B2c3", "a-b-c", true);
        check("db-backup-a1B2c3", "db-backup", true);
        // Looks like a suffix and cannot be told from one.
        check("db-backup", "db", true);
        check("-a1B2c3", "-a1B2c3", false);
    }

    #[test]
    fn everything_else_is_a_name_and_is_never_cut() {
        for text in [
            "prod/db",
            "prod/db-a1B2c3",
            "arn:aws:s3:::bucket/secret-a1B2c3",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:",
            "arn:aws:secretsmanager:eu-west-1:111122223333:prod-a1B2c3",
            "arn:aws:secretsmanager:eu-west-1::secret:prod-a1B2c3",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod-a1B2c3:password::",
            "arn:",
            ":::::::",
        ] {
            assert_eq!(written(text), ("444455556666 us-east-2".to_owned(), text.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn the_partial_arn_is_in_the_partition_of_its_region() {
        let partial = |region: &str| Secret::written("prod/db", "111122223333", region).partial_arn();
        assert_eq!(partial("us-east-2"), "arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db");
        assert_eq!(partial("cn-north-1"), "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:prod/db");
        assert_eq!(partial("us-gov-west-1"), "arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:secret:prod/db");
    }
}
