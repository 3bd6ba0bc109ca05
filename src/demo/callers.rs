//! Who calls the simulated account, as AWS names them.
//!
//! A [`Caller`] knows its ARN, its `userIdentity` in a record and its access key. Keys are a pure function of the
//! caller, so that a record written by hand and one that an API call leaves agree, and every one ends in `EXAMPLE`, so
//! that nobody takes it for a real one.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::EventTime;

/// A principal, with the session if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The root user of an account.
    Root {
        /// The account.
        account: String,
    },
    /// An IAM user.
    User {
        /// The account.
        account: String,
        /// Its name.
        name: String,
    },
    /// A session of an IAM role.
    Role {
        /// The account.
        account: String,
        /// The role's name, after its path if it has one: `apps/checkout`.
        role: String,
        /// The session's name.
        session: String,
    },
    /// An AWS service acting by itself, as in rotation: no type, no ARN, no key.
    Service {
        /// The account that it acts in.
        account: String,
        /// Its name, such as `secretsmanager.amazonaws.com`.
        host: String,
    },
}

impl Caller {
    /// The root user.
    #[must_use]
    pub fn root(account: &str) -> Self {
        Self::Root { account: account.to_owned() }
    }

    /// An IAM user.
    #[must_use]
    pub fn user(account: &str, name: &str) -> Self {
        Self::User { account: account.to_owned(), name: name.to_owned() }
    }

    /// A session of a role.
    #[must_use]
    pub fn role(account: &str, role: &str, session: &str) -> Self {
        Self::Role { account: account.to_owned(), role: role.to_owned(), session: session.to_owned() }
    }

    /// A service of AWS.
    #[must_use]
    pub fn service(account: &str, host: &str) -> Self {
        Self::Service { account: account.to_owned(), host: host.to_owned() }
    }

    /// The session that AssumeRole makes of `role_arn`; none if that is no role's ARN.
    #[must_use]
    pub fn session_of(role_arn: &str, session: &str) -> Option<Self> {
        let mut parts = role_arn.splitn(6, ':');
        let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, role) = (parts.next()?, parts.next()?, parts.next()?.strip_prefix("role/")?);
        let valid = arn == "arn" && service == "iam" && region.is_empty() && !account.is_empty() && !role.is_empty();
        valid.then(|| Self::role(account, role, session))
    }

    /// The account it belongs to.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::Role { account, .. }
            | Self::Service { account, .. } => account,
        }
    }

    /// Its ARN as `GetCallerIdentity` gives it: an assumed role's names the session. None for a service.
    #[must_use]
    pub fn arn(&self) -> Option<String> {
        match self {
            Self::Root { account } => Some(format!("arn:aws:iam::{account}:root")),
            Self::User { account, name } => Some(format!("arn:aws:iam::{account}:user/{name}")),
            Self::Role { account, role, session } => {
                Some(format!("arn:aws:sts::{account}:assumed-role/{}/{session}", last_part(role)))
            }
            Self::Service { .. } => None,
        }
    }

    /// What policies are attached to: the role itself for all of its sessions, else [`arn`](Self::arn).
    #[must_use]
    pub fn principal_arn(&self) -> Option<String> {
        match self {
            Self::Role { account, role, .. } => Some(format!("arn:aws:iam::{account}:role/{role}")),
            _ => self.arn(),
        }
    }

    /// `Username` of a LookupEvents item: the user's name, the session's, `root`, the service.
    #[must_use]
    pub fn username(&self) -> &str {
        match self {
            Self::Root { .. } => "root",
            Self::User { name, .. } => name,
            Self::Role { session, .. } => session,
            Self::Service { host, .. } => host,
        }
    }

    /// The access key id it signs with; none for a service.
    #[must_use]
    pub fn access_key(&self) -> Option<String> {
        let prefix = if matches!(self, Self::Role { .. }) { "ASIA" } else { "AKIA" };
        self.arn().map(|arn| format!("{prefix}{}EXAMPLE", fingerprint(&arn, 9)))
    }

    /// `principalId`, with the session's name behind a role's id; none for a service.
    #[must_use]
    pub fn principal_id(&self) -> Option<String> {
        match self {
            Self::Root { account } => Some(account.clone()),
            Self::User { .. } => self.arn().map(|arn| format!("AIDA{}EXAMPLE", fingerprint(&arn, 10))),
            Self::Role { session, .. } => Some(format!("{}:{session}", self.role_id()?)),
            Self::Service { .. } => None,
        }
    }

    fn role_id(&self) -> Option<String> {
        self.principal_arn().map(|arn| format!("AROA{}EXAMPLE", fingerprint(&arn, 10)))
    }

    /// `userIdentity` of a record of something done at `at`.
    pub(super) fn identity(&self, at: EventTime, mfa: bool) -> Value {
        let mut identity = json!({ "accountId": self.account() });
        match self {
            Self::Service { host, .. } => {
                identity["invokedBy"] = json!(host);
                return identity;
            }
            Self::Root { .. } => identity["type"] = json!("Root"),
            Self::User { name, .. } => {
                identity["type"] = json!("IAMUser");
                identity["userName"] = json!(name);
            }
            Self::Role { account, role, .. } => {
                identity["type"] = json!("AssumedRole");
                identity["sessionContext"] = json!({
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": self.role_id(),
                        "arn": self.principal_arn(),
                        "accountId": account,
                        "userName": last_part(role),
                    },
                    "attributes": {
                        "creationDate": at.minus(SESSION_AGE_SECS).to_string(),
                        "mfaAuthenticated": mfa.to_string(),
                    },
                });
            }
        }
        identity["principalId"] = json!(self.principal_id());
        identity["arn"] = json!(self.arn());
        identity["accessKeyId"] = json!(self.access_key());
        identity
    }
}

/// How old a role's session is when it acts.
const SESSION_AGE_SECS: i64 = 600;

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `length` characters in the alphabet of AWS ids, the same for the same text.
fn fingerprint(text: &str, length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    Sha256::digest(text).iter().take(length).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_named_as_aws_names_them() {
        let role = Caller::session_of("arn:aws:iam::111122223333:role/apps/checkout", "i-0abc").unwrap();
        for (caller, arn, principal) in [
            (Caller::root("111122223333"), "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root"),
            (
                Caller::user("111122223333", "ada"),
                "arn:aws:iam::111122223333:user/ada",
                "arn:aws:iam::111122223333:user/ada",
            ),
            (
                role,
                "arn:aws:sts::111122223333:assumed-role/checkout/i-0abc",
                "arn:aws:iam::111122223333:role/apps/checkout",
            ),
        ] {
            assert_eq!(caller.arn().as_deref(), Some(arn));
            assert_eq!(caller.principal_arn().as_deref(), Some(principal));
            assert!(caller.access_key().is_some_and(|key| key.len() == 20 && key.ends_with("EXAMPLE")));
        }
        assert_eq!(Caller::service("111122223333", "secretsmanager.amazonaws.com").access_key(), None);
    }

    #[test]
    fn what_is_no_role_cannot_be_assumed() {
        for arn in ["", "role/x", "arn:aws:iam::111122223333:user/ada", "arn:aws:sts::1:role/x", "arn:aws:iam:::role/x"]
        {
            assert_eq!(Caller::session_of(arn, "s"), None, "{arn}");
        }
    }
}
