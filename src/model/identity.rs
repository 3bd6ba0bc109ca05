//! Who made a call, from the `userIdentity` of its record.
//!
//! CloudTrail describes a dozen kinds of caller, each with other fields. [`principal`] makes one [`Principal`] of them:
//! an ARN that stays the same from one session to the next, a name for people, and the session beside it. An assumed
//! role is the role, because sessions come and go with every pod and every build.

use super::Principal;
use super::json::Object;
use super::text::{NAME, SHORT, clean};

/// The principal that `identity` describes; one of kind `Unknown` if it describes none.
pub(super) fn principal(identity: &Object<'_>) -> Principal {
    let kind = kind(identity);
    let own_arn = identity.text("arn", NAME);
    let account = identity.text("accountId", SHORT).or_else(|| own_arn.as_deref().and_then(account_of));
    if kind == "AssumedRole" {
        return role(identity, own_arn, account);
    }
    let name = match kind.as_str() {
        "Root" => Some("root".to_owned()),
        "AWSService" => identity.text("invokedBy", NAME),
        _ => None,
    };
    let name = name.or_else(|| some_name(identity, own_arn.as_deref()));
    let session = if kind == "AWSAccount" { foreign_session(identity) } else { None };
    Principal { name, arn: own_arn, session, account, kind }
}

/// Service events have no type, only the service that acted.
fn kind(identity: &Object<'_>) -> String {
    identity.text("type", SHORT).unwrap_or_else(|| {
        let service = identity.value("arn").is_none() && identity.whole_text("invokedBy").is_some();
        if service { "AWSService" } else { "Unknown" }.to_owned()
    })
}

/// An assumed role: the role itself where the record names it, else the role that the session's ARN tells of, which
/// then lacks the role's path.
fn role(identity: &Object<'_>, own_arn: Option<String>, account: Option<String>) -> Principal {
    let issuer = identity.object("sessionContext").object("sessionIssuer");
    let assumed = own_arn.as_deref().and_then(AssumedRole::parse);
    let arn =
        issuer.text("arn", NAME).or_else(|| assumed.as_ref().map(AssumedRole::role_arn)).or_else(|| own_arn.clone());
    let name = issuer
        .text("userName", NAME)
        .or_else(|| assumed.as_ref().map(|assumed| assumed.role.to_owned()))
        .or_else(|| some_name(identity, arn.as_deref()));
    let session = assumed
        .and_then(|assumed| assumed.session)
        .map(|session| clean(session, SHORT))
        .or_else(|| identity.text("principalId", SHORT)?.split_once(':').map(|(_, session)| session.to_owned()))
        .filter(|session| !session.is_empty());
    Principal { kind: "AssumedRole".to_owned(), arn, name, session, account }
}

/// Of a caller from another account there is nothing but a unique id, a role's with the session's name.
fn foreign_session(identity: &Object<'_>) -> Option<String> {
    let id = identity.text("principalId", SHORT)?;
    let (_, session) = id.split_once(':').filter(|(id, _)| is_role_id(id))?;
    (!session.is_empty()).then(|| session.to_owned())
}

/// The best name that there is, the most readable first.
fn some_name(identity: &Object<'_>, arn: Option<&str>) -> Option<String> {
    identity
        .text("userName", NAME)
        .or_else(|| arn.map(last_part).filter(|name| !name.is_empty()).map(str::to_owned))
        .or_else(|| identity.object("onBehalfOf").text("userId", SHORT))
        .or_else(|| unique_id(identity))
        .or_else(|| identity.text("invokedBy", NAME))
        .or_else(|| identity.text("accountId", SHORT))
}

/// `principalId`, a role's without the session.
fn unique_id(identity: &Object<'_>) -> Option<String> {
    let id = identity.text("principalId", SHORT)?;
    match id.split_once(':') {
        Some((role, _)) if is_role_id(role) => Some(role.to_owned()),
        _ => Some(id),
    }
}

/// IAM's unique ids begin with what they identify; `AROA` is a role.
fn is_role_id(id: &str) -> bool {
    id.starts_with("AROA")
}

/// What follows the last `/` or `:` of an ARN.
fn last_part(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}

fn account_of(arn: &str) -> Option<String> {
    let account = arn.strip_prefix("arn:")?.split(':').nth(3)?;
    (!account.is_empty()).then(|| clean(account, SHORT))
}

/// The parts of `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
struct AssumedRole<'a> {
    partition: &'a str,
    account: &'a str,
    role: &'a str,
    session: Option<&'a str>,
}

impl<'a> AssumedRole<'a> {
    fn parse(arn: &'a str) -> Option<Self> {
        let (partition, rest) = arn.strip_prefix("arn:")?.split_once(":sts:")?;
        let (_region, rest) = rest.split_once(':')?;
        let (account, rest) = rest.split_once(':')?;
        let rest = rest.strip_prefix("assumed-role/")?;
        let (role, session) = match rest.rsplit_once('/') {
            Some((role, session)) => (role, Some(session)),
            None => (rest, None),
        };
        (!role.is_empty()).then_some(Self { partition, account, role, session })
    }

    fn role_arn(&self) -> String {
        format!("arn:{}:iam::{}:role/{}", self.partition, self.account, self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kind | arn | name | session | account`, absent ones as `-`.
    fn check(identity: &str, expected: &str) {
        let found = principal(&Object::read(identity).unwrap());
        let parts = [Some(found.kind), found.arn, found.name, found.session, found.account];
        let line = parts.map(|part| part.unwrap_or_else(|| "-".to_owned())).join(" | ");
        assert_eq!(line, expected, "{identity}");
    }

    #[test]
    fn an_assumed_role_is_the_role() {
        check(
            r#"{"type":"AssumedRole","principalId":"AROAX:ann","arn":"arn:aws:sts::111122223333:assumed-role/admin/ann",
                "accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"Role","userName":"admin",
                "arn":"arn:aws:iam::111122223333:role/teams/admin"}}}"#,
            "AssumedRole | arn:aws:iam::111122223333:role/teams/admin | admin | ann | 111122223333",
        );
        check(
            r#"{"type":"AssumedRole","arn":"arn:aws-cn:sts::111122223333:assumed-role/admin/ann"}"#,
            "AssumedRole | arn:aws-cn:iam::111122223333:role/admin | admin | ann | 111122223333",
        );
        check(
            r#"{"type":"AssumedRole","principalId":"AROAX:ann@example.com","accountId":"111122223333"}"#,
            "AssumedRole | - | AROAX | ann@example.com | 111122223333",
        );
        check(
            r#"{"type":"AssumedRole","principalId":"AROAX:i-0a1b","sessionContext":{"sessionIssuer":
                {"arn":"arn:aws:iam::111122223333:role/web"}}}"#,
            "AssumedRole | arn:aws:iam::111122223333:role/web | web | i-0a1b | -",
        );
        check(r#"{"type":"AssumedRole","userName":"admin"}"#, "AssumedRole | - | admin | - | -");
        check(r#"{"type":"AssumedRole","sessionContext":null,"arn":7}"#, "AssumedRole | 7 | 7 | - | -");
    }

    #[test]
    fn every_kind_has_a_name() {
        check(
            r#"{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","userName":"our-alias"}"#,
            "Root | arn:aws:iam::111122223333:root | root | - | 111122223333",
        );
        check(
            r#"{"type":"IAMUser","principalId":"AIDAX","arn":"arn:aws:iam::111122223333:user/ops/ann","accountId":"111122223333","userName":"ann"}"#,
            "IAMUser | arn:aws:iam::111122223333:user/ops/ann | ann | - | 111122223333",
        );
        check(
            r#"{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ops/ann"}"#,
            "IAMUser | arn:aws:iam::111122223333:user/ops/ann | ann | - | 111122223333",
        );
        check(
            r#"{"type":"FederatedUser","principalId":"111122223333:bob","arn":"arn:aws:sts::111122223333:federated-user/bob",
                "accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"IAMUser","userName":"broker"}}}"#,
            "FederatedUser | arn:aws:sts::111122223333:federated-user/bob | bob | - | 111122223333",
        );
        check(
            r#"{"type":"AWSAccount","principalId":"AROAX:ann","accountId":"444455556666"}"#,
            "AWSAccount | - | AROAX | ann | 444455556666",
        );
        check(
            r#"{"type":"AWSAccount","accountId":"444455556666"}"#,
            "AWSAccount | - | 444455556666 | - | 444455556666",
        );
        check(r#"{"type":"AWSService","invokedBy":"ecs.amazonaws.com"}"#, "AWSService | - | ecs.amazonaws.com | - | -");
        check(
            r#"{"type":"SAMLUser","principalId":"NQ=:ann","userName":"ann","identityProvider":"NQ="}"#,
            "SAMLUser | - | ann | - | -",
        );
        check(
            r#"{"type":"WebIdentityUser","principalId":"accounts.example.com:app:42"}"#,
            "WebIdentityUser | - | accounts.example.com:app:42 | - | -",
        );
        check(
            r#"{"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::1:x"}}"#,
            "IdentityCenterUser | - | u-1 | - | 111122223333",
        );
        check(
            r#"{"type":"Role","arn":"arn:aws:iam::111122223333:role/web","accountId":"111122223333"}"#,
            "Role | arn:aws:iam::111122223333:role/web | web | - | 111122223333",
        );
        check(r#"{"type":"Unknown"}"#, "Unknown | - | - | - | -");
    }

    #[test]
    fn only_roles_have_sessions() {
        check(r#"{"type":"IAMUser","principalId":"AROAX:User","userName":"ann"}"#, "IAMUser | - | ann | - | -");
    }

    #[test]
    fn a_service_event_names_the_service_that_acted() {
        check(
            r#"{"accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com"}"#,
            "AWSService | - | secretsmanager.amazonaws.com | - | 111122223333",
        );
        check("{}", "Unknown | - | - | - | -");
    }
}
