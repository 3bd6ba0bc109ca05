//! STS: who am I, and become somebody else.
//!
//! Any role can be assumed, in any account, unless it was registered with an external id that the caller does not
//! know. The credentials' access key id is what later requests are recognised by.

use super::callers::Caller;
use super::state::{Request, State};
use super::wire::{Answer, Refusal, element};
use crate::model::WallTime;

pub(super) fn perform(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    match request.call.operation.as_str() {
        "GetCallerIdentity" => Ok(identity(&request.caller)),
        "AssumeRole" => assume_role(state, request),
        _ => Err(Refusal::unknown_operation(request.service)),
    }
}

fn identity(caller: &Caller) -> Answer {
    Answer::Xml(
        element("UserId", &caller.principal_id().unwrap_or_default())
            + &element("Account", caller.account())
            + &element("Arn", &caller.arn().unwrap_or_default()),
    )
}

fn assume_role(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let role_arn = request.text("RoleArn").unwrap_or_default();
    let session = request.text("RoleSessionName").ok_or_else(|| invalid("roleSessionName is missing"))?;
    let assumed = Caller::session_of(role_arn, session).ok_or_else(|| invalid(&format!("{role_arn} is invalid")))?;
    if state.external_ids.get(role_arn).is_some_and(|id| request.text("ExternalId") != Some(id)) {
        let who = request.caller.arn().unwrap_or_default();
        let message = format!("User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}");
        return Err(Refusal::with_status(403, "AccessDenied", &message));
    }
    let expires = expiration(request)?;
    let key = assumed.access_key().unwrap_or_default();
    let answer = format!(
        "<Credentials>{}{}{}{}</Credentials><AssumedRoleUser>{}{}</AssumedRoleUser>",
        element("AccessKeyId", &key),
        element("SecretAccessKey", SECRET_ACCESS_KEY),
        element("SessionToken", &format!("FwoGZXIvYXdzEXAMPLE{}", hex::encode(state.rng.u64(..).to_be_bytes()))),
        element("Expiration", &expires.to_string()),
        element("AssumedRoleId", &assumed.principal_id().unwrap_or_default()),
        element("Arn", &assumed.arn().unwrap_or_default()),
    );
    state.callers.insert(key, assumed);
    Ok(Answer::Xml(answer))
}

/// The same for everybody, since no signature is checked.
pub(super) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What credentials live for if the caller says nothing, and the longest and shortest that it may ask for.
const DEFAULT_SECS: i64 = 3_600;
const SECS: std::ops::RangeInclusive<i64> = 900..=43_200;

/// The SDKs hold this against the machine's clock, so a simulated clock in the past must not make credentials that
/// are stale at birth.
fn expiration(request: &Request) -> Result<WallTime, Refusal> {
    let secs = match request.text("DurationSeconds") {
        None => DEFAULT_SECS,
        Some(text) => text.parse().unwrap_or(0),
    };
    if !SECS.contains(&secs) {
        return Err(invalid("durationSeconds is not between 900 and 43200"));
    }
    Ok(request.now.max(WallTime::now()).second().plus(secs).wall())
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("ValidationError", message)
}
