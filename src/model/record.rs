//! Reads one CloudTrail record: the JSON inside `CloudTrailEvent` of LookupEvents, or one of `Records[]` in a log file.
//!
//! [`read_record`] needs an id, a time and an event name and takes everything else as it comes: a field that is absent,
//! of another type or longer than anything AWS documents costs that field and never the record, because a record that
//! is [`Unreadable`] is an access that no rule sees. Every text is cleaned and bounded on the way in (`text`), so that
//! nothing behind this module has to wonder what a caller put into a user agent.
//!
//! Which secret is meant stands in one of four places, depending on who made the call and how it ended; see
//! [`secret_of`]. Which records are wanted is no question here: that is the business of rules.

use std::sync::Arc;

use super::identity::principal;
use super::json::{Broken, Object};
use super::secret::{Secret, SecretArn};
use super::text::{FREE, NAME, SHORT, clean};
use super::{Access, EventTime, MAX_RECORD, Outcome, WallTime};

/// A record that makes no sense: kept and counted, never a reason to stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// Its event id, where that much could be read.
    pub event_id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// What `json` says, first seen at `seen`.
///
/// # Errors
/// [`Unreadable`] if `json` is not one whole JSON object, or lacks an `eventID` of at most 256 bytes, an `eventTime` or
/// an `eventName`.
pub fn read_record(json: &str, seen: WallTime) -> Result<Access, Unreadable> {
    let record = Object::read(json).map_err(|Broken { whole, error }| Unreadable {
        event_id: whole.text("eventID", SHORT),
        reason: format!("not one whole JSON object: {error}"),
    })?;
    let event_id = event_id(&record)?;
    essentials(&record)
        .map(|(time, event)| {
            let access = access(&record, event_id.clone(), time, event, seen);
            let oversize = json.len() > MAX_RECORD;
            Access { record: (!oversize).then(|| Arc::from(json)), oversize, ..access }
        })
        .map_err(|reason| Unreadable { event_id: Some(event_id), reason })
}

/// The id is never cut: it is what tells this event from every other.
fn event_id(record: &Object<'_>) -> Result<String, Unreadable> {
    match identifier(record, "eventID") {
        Some(id) => Ok(id),
        None => {
            let event_id = record.text("eventID", SHORT);
            let reason = match event_id {
                Some(_) => format!("eventID is longer than {SHORT} bytes"),
                None => "eventID is missing or no text".to_owned(),
            };
            Err(Unreadable { event_id, reason })
        }
    }
}

fn identifier(object: &Object<'_>, key: &str) -> Option<String> {
    object.text(key, usize::MAX).filter(|id| id.len() <= SHORT)
}

fn essentials(record: &Object<'_>) -> Result<(EventTime, String), String> {
    let time = record.text("eventTime", SHORT).ok_or("eventTime is missing or no text")?;
    let time = time.parse::<EventTime>().map_err(|error| format!("eventTime: {error}"))?;
    let event = record.text("eventName", SHORT).ok_or("eventName is missing or no text")?;
    Ok((time, event))
}

fn access(record: &Object<'_>, event_id: String, time: EventTime, event: String, seen: WallTime) -> Access {
    let identity = record.object("userIdentity");
    let account = record.text("recipientAccountId", SHORT).or_else(|| identity.text("accountId", SHORT));
    let account = account.unwrap_or_default();
    let region = record.text("awsRegion", SHORT).unwrap_or_default();
    let error = record.text("errorCode", SHORT);
    let error_message = record.text("errorMessage", FREE);
    Access {
        secret: secret_of(record, &event, &account, &region),
        principal: principal(&identity),
        source_ip: record.text("sourceIPAddress", SHORT),
        user_agent: record.text("userAgent", FREE),
        access_key_id: identity.text("accessKeyId", SHORT),
        mfa: identity.object("sessionContext").object("attributes").flag("mfaAuthenticated"),
        vpc_endpoint: record.text("vpcEndpointId", SHORT),
        invoked_by: identity.text("invokedBy", SHORT),
        request_id: record.text("requestID", SHORT),
        outcome: outcome(error.as_deref(), error_message.as_deref()),
        console: record.flag("sessionCredentialFromConsole").unwrap_or(false),
        event_source: event_source(record).unwrap_or_default(),
        shared_event_id: identifier(record, "sharedEventID"),
        own: false,
        counts_as: None,
        updates: updates(record),
        record: None,
        oversize: false,
        error,
        error_message,
        event_id,
        event,
        time,
        seen,
        account,
        region,
    }
}

/// The service that a record tells of, such as `secretsmanager.amazonaws.com`; none where it does not say.
pub(crate) fn event_source(record: &Object<'_>) -> Option<String> {
    record.text("eventSource", SHORT)
}

/// The event that this record tells again, in a later version.
fn updates(record: &Object<'_>) -> Option<String> {
    let addendum = record.object("addendum");
    // The other reasons, late delivery and outages, concern events that were never delivered before.
    (addendum.whole_text("reason")? == "UPDATED_DATA").then(|| identifier(&addendum, "originalEventID"))?
}

fn outcome(code: Option<&str>, message: Option<&str>) -> Outcome {
    /// Parts of the codes by which AWS services refuse for lack of permission: `AccessDeniedException`,
    /// `Client.UnauthorizedOperation`, `NotAuthorizedException` and their like.
    const REFUSALS: [&str; 5] = ["AccessDenied", "Unauthorized", "NotAuthorized", "AuthorizationError", "Forbidden"];
    match (code, message) {
        (None, None) => Outcome::Success,
        (Some(code), _) if REFUSALS.iter().any(|part| code.contains(part)) => Outcome::Denied,
        (None, Some(message)) if message.contains("is not authorized to perform") => Outcome::Denied,
        _ => Outcome::Failed,
    }
}

/// The secret that a record of `account` and `region` is about, if it is about exactly one.
///
/// What the caller typed decides, and stands in the request or, of a denied call, whose request AWS leaves out, in the
/// error message. Where nobody typed anything, as in rotation, the answer or the details of the event name the secret.
/// Either way a full ARN that these give is kept.
fn secret_of(record: &Object<'_>, event: &str, account: &str, region: &str) -> Option<Secret> {
    let source = record.whole_text("eventSource");
    // Trails have names and Regions have ARNs too: the fields mean secrets in Secrets Manager's records only.
    if source.is_some_and(|source| source != "secretsmanager.amazonaws.com") {
        return None;
    }
    let request = record.object("requestParameters");
    if event == "BatchGetSecretValue" {
        return request.only_text("secretIdList", NAME).map(|typed| requested(typed, account, region));
    }
    let typed = request
        .text_in_any_case("secretId", NAME)
        .or_else(|| (event == "CreateSecret").then(|| request.text("name", NAME))?)
        .or_else(|| denied_resource(record));
    let told = Told::read(record);
    match typed {
        None => told.secret(account, region),
        Some(typed) => Some(told.complete(requested(typed, account, region))),
    }
}

fn requested(typed: String, account: &str, region: &str) -> Secret {
    let secret = Secret::written(&typed, account, region);
    Secret { requested: Some(typed), ..secret }
}

/// What AWS tells about the secret of its own accord.
struct Told {
    /// Texts that should be ARNs, the most reliable first.
    arns: Vec<String>,
    /// Texts that should be names.
    names: Vec<String>,
}

impl Told {
    fn read(record: &Object<'_>) -> Self {
        let (answer, details) = (record.object("responseElements"), record.object("additionalEventData"));
        let read = |object: &Object<'_>, key| object.text_in_any_case(key, NAME);
        let secret_id = read(&details, "secretId");
        Self {
            arns: [read(&answer, "arn"), read(&details, "arn"), secret_id.clone()].into_iter().flatten().collect(),
            names: [read(&answer, "name"), read(&details, "name"), secret_id].into_iter().flatten().collect(),
        }
    }

    fn secret(&self, account: &str, region: &str) -> Option<Secret> {
        let arn = self.arns.iter().find(|text| SecretArn::parse(text).is_some());
        let text = arn.or_else(|| self.names.first()).or_else(|| self.arns.first())?;
        Some(Secret::written(text, account, region))
    }

    /// `secret`, which somebody typed, with the ARN that was told. Its name stays as typed, since the same typing in a
    /// record that tells no ARN, as a successful read is, has to mean the same secret.
    fn complete(&self, mut secret: Secret) -> Secret {
        let full = |text: &&String| SecretArn::parse(text).is_some_and(|arn| arn.is_full());
        if let (None, Some(arn)) = (&secret.arn, self.arns.iter().find(full)) {
            secret.arn = Some(arn.clone());
        }
        secret
    }
}

/// What the caller of a denied call had typed: `… is not authorized to perform: secretsmanager:GetSecretValue on
/// resource: prod/db because …`.
fn denied_resource(record: &Object<'_>) -> Option<String> {
    const MARK: &str = " on resource: ";
    /// What may follow a name or an ARN in a sentence and can be no part of it.
    const PUNCTUATION: [char; 8] = [',', ';', ':', '"', '\'', ')', '!', '?'];
    let message = record.whole_text("errorMessage")?;
    let at = message.find(MARK)?;
    let (action, rest) = (message[..at].rsplit(' ').next()?, &message[at + MARK.len()..]);
    // A read can also fail on the key that the secret is encrypted with, which is no secret.
    if action.contains(':') && !action.starts_with("secretsmanager:") {
        return None;
    }
    let word = rest.split_whitespace().next()?;
    let sentence_goes_on = rest.trim_start()[word.len()..].trim_start().starts_with(char::is_lowercase);
    let resource = word.trim_end_matches(PUNCTUATION);
    // A name may end in a dot, so a dot is the sentence's only where the sentence ends.
    let resource = if sentence_goes_on { resource } else { resource.trim_end_matches('.') };
    let resource = resource.trim_end_matches(PUNCTUATION);
    (!resource.is_empty() && resource != "*").then(|| clean(resource, NAME))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SEEN: WallTime = WallTime(1_780_000_000_000);
    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:444455556666:secret:prod/db";

    /// A record in full, of a successful read with console credentials, with `changes` made to its top level.
    fn record(changes: &Value) -> String {
        let mut record = json!({
            "eventVersion": "1.11", "eventType": "AwsApiCall", "eventCategory": "Management", "managementEvent": true,
            "readOnly": true, "eventSource": "secretsmanager.amazonaws.com", "eventName": "GetSecretValue",
            "eventID": "5f0c0f0e-0000-4000-8000-000000000001", "eventTime": "2026-05-27T18:45:54Z",
            "awsRegion": "us-east-2", "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli/2.17 md/command#x",
            "requestID": "9a0c0f0e-0000-4000-8000-000000000002", "recipientAccountId": "111122223333",
            "requestParameters": {"secretId": "TopSecretInfo", "versionStage": "AWSCURRENT"}, "responseElements": null,
            "sessionCredentialFromConsole": "true", "vpcEndpointId": "vpce-0a1b",
            "tlsDetails": {"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": "secretsmanager.us-east-2.amazonaws.com"},
            "userIdentity": {
                "type": "AssumedRole", "principalId": "AROAEXAMPLE:ann", "accountId": "111122223333",
                "arn": "arn:aws:sts::111122223333:assumed-role/admin/ann", "accessKeyId": "ASIAEXAMPLE",
                "sessionContext": {
                    "sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/admin", "userName": "admin"},
                    "attributes": {"creationDate": "2026-05-27T18:00:00Z", "mfaAuthenticated": "true"},
                },
            },
        });
        for (key, value) in changes.as_object().unwrap() {
            record[key] = value.clone();
        }
        record.to_string()
    }

    fn read(changes: Value) -> Access {
        read_record(&record(&changes), SEEN).unwrap()
    }

    #[test]
    fn a_whole_record_is_read_whole() {
        let read = serde_json::to_value(read(json!({}))).unwrap();
        let expected = json!({
            "event_id": "5f0c0f0e-0000-4000-8000-000000000001", "event": "GetSecretValue",
            "time": "2026-05-27T18:45:54Z", "seen": SEEN.to_string(), "account": "111122223333", "region": "us-east-2",
            "secret": {
                "name": "TopSecretInfo", "arn": null, "requested": "TopSecretInfo",
                "account": "111122223333", "region": "us-east-2",
            },
            "principal": {
                "type": "AssumedRole", "arn": "arn:aws:iam::111122223333:role/admin", "name": "admin",
                "session": "ann", "account": "111122223333",
            },
            "source_ip": "192.0.2.7", "user_agent": "aws-cli/2.17 md/command#x", "access_key_id": "ASIAEXAMPLE",
            "mfa": true, "vpc_endpoint": "vpce-0a1b", "invoked_by": null,
            "request_id": "9a0c0f0e-0000-4000-8000-000000000002", "outcome": "success", "error": null,
            "error_message": null, "console": true, "event_source": "secretsmanager.amazonaws.com",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn the_least_record_is_read() {
        let read =
            read_record(r#"{"eventID":"e","eventTime":"2024-01-01 00:00:00.000","eventName":"X"}"#, SEEN).unwrap();
        assert_eq!((read.event_id.as_str(), read.event.as_str(), read.account.as_str()), ("e", "X", ""));
        assert_eq!((read.time.to_string().as_str(), read.secret, read.mfa), ("2024-01-01T00:00:00Z", None, None));
        assert_eq!((read.principal.kind.as_str(), read.outcome, read.console), ("Unknown", Outcome::Success, false));
    }

    /// `changes` to the record make the secret `account/region name | arn | requested`.
    fn names(changes: Value, expected: &str) {
        let text = changes.to_string();
        let line = read(changes).secret.map_or_else(
            || "none".to_owned(),
            |secret| {
                let place = format!("{}/{} {}", secret.account, secret.region, secret.name);
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                [place, or_dash(secret.arn), or_dash(secret.requested)].join(" | ")
            },
        );
        assert_eq!(line, expected, "{text}");
    }

    #[test]
    fn the_request_names_the_secret_as_name_or_arn() {
        let id = |id: &str| json!({"requestParameters": {"secretId": id}});
        names(id("prod/db"), "111122223333/us-east-2 prod/db | - | prod/db");
        names(id("prod/db-a1B2c3"), "111122223333/us-east-2 prod/db-a1B2c3 | - | prod/db-a1B2c3");
        names(id(ARN), &format!("444455556666/eu-west-1 prod/db | - | {ARN}"));
        names(id(&format!("{ARN}-a1B2c3")), &format!("444455556666/eu-west-1 prod/db | {ARN}-a1B2c3 | {ARN}-a1B2c3"));
        names(id("arn:aws:s3:::x-a1B2c3"), "111122223333/us-east-2 arn:aws:s3:::x-a1B2c3 | - | arn:aws:s3:::x-a1B2c3");
        names(json!({"requestParameters": {"secretId": 17}}), "111122223333/us-east-2 17 | - | 17");
        names(json!({"requestParameters": null}), "none");
        names(json!({"requestParameters": "secretId"}), "none");
        names(json!({"requestParameters": {"secretId": ["a"]}}), "none");
    }

    #[test]
    fn the_answer_completes_what_was_typed_and_never_overrules_it() {
        let call = |event: &str, request: Value, answer: Value| json!({"eventName": event, "requestParameters": request, "responseElements": answer});
        let full = format!("{ARN}-a1B2c3");
        names(
            call("PutSecretValue", json!({"secretId": "prod/db"}), json!({"arn": full, "name": "prod/db"})),
            &format!("111122223333/us-east-2 prod/db | {full} | prod/db"),
        );
        names(
            call("ReplicateSecretToRegions", json!({"secretId": ARN}), json!({"aRN": full})),
            &format!("444455556666/eu-west-1 prod/db | {full} | {ARN}"),
        );
        names(
            call("CreateSecret", json!({"name": "prod/db"}), json!({"ARN": full})),
            &format!("111122223333/us-east-2 prod/db | {full} | prod/db"),
        );
        names(
            call("PutSecretValue", json!({"secretId": "prod/db"}), json!({"arn": ARN})),
            "111122223333/us-east-2 prod/db | - | prod/db",
        );
        names(
            call("DeleteSecret", json!(null), json!({"ARN": full})),
            &format!("444455556666/eu-west-1 prod/db | {full} | -"),
        );
        names(call("DeleteSecret", json!(null), json!({"name": "prod/db"})), "111122223333/us-east-2 prod/db | - | -");
        names(call("ListSecrets", json!({"name": "x", "maxResults": 100}), json!(null)), "none");
    }

    #[test]
    fn a_denied_call_names_the_secret_in_its_message() {
        let denied = |rest: &str| {
            let message = format!("User: arn:aws:iam::111122223333:user/ann is not authorized to perform: {rest}");
            json!({"requestParameters": null, "errorCode": "AccessDeniedException", "errorMessage": message})
        };
        let why = "because no identity-based policy allows the action";
        let read = "secretsmanager:GetSecretValue on resource:";
        let typed = "111122223333/us-east-2 prod/db | - | prod/db";
        names(denied(&format!("{read} prod/db {why}")), typed);
        names(denied(&format!("{read} prod/db")), typed);
        names(denied(&format!("{read} prod/db.")), typed);
        names(denied(&format!("{read} prod/db, {why}")), typed);
        names(denied(&format!("{read} v1. {why}")), "111122223333/us-east-2 v1. | - | v1.");
        names(denied(&format!("{read} {ARN} {why}")), &format!("444455556666/eu-west-1 prod/db | - | {ARN}"));
        names(
            denied(&format!("{read} {ARN}-a1B2c3 with an explicit deny")),
            &format!("444455556666/eu-west-1 prod/db | {ARN}-a1B2c3 | {ARN}-a1B2c3"),
        );
        names(denied("secretsmanager:ListSecrets because no policy allows it"), "none");
        names(denied("secretsmanager:ListSecrets on resource: * because no policy allows it"), "none");
        names(denied("kms:Decrypt on resource: arn:aws:kms:us-east-2:111122223333:key/1 because"), "none");
        names(denied(read), "none");
        names(denied(&format!("{read}  ")), "none");
        names(
            json!({"errorCode": "AccessDenied", "errorMessage": "perform: x on resource: other because"}),
            "111122223333/us-east-2 TopSecretInfo | - | TopSecretInfo",
        );
    }

    #[test]
    fn a_service_event_names_the_secret_in_its_details() {
        let event = |details: Value| {
            let identity = json!({"accountId": "111122223333", "invokedBy": "secretsmanager.amazonaws.com"});
            json!({"eventName": "RotationSucceeded", "eventType": "AwsServiceEvent", "userIdentity": identity,
                "requestParameters": null, "additionalEventData": details})
        };
        let full = format!("{ARN}-a1B2c3");
        let known = format!("444455556666/eu-west-1 prod/db | {full} | -");
        names(event(json!({"SecretId": full})), &known);
        names(event(json!({"secretId": full})), &known);
        names(event(json!({"ARN": full, "Name": "prod/db"})), &known);
        names(event(json!({"SecretId": "prod/db"})), "111122223333/us-east-2 prod/db | - | -");
        names(event(json!({"Name": "prod/db"})), "111122223333/us-east-2 prod/db | - | -");
        names(event(json!({"ARN": "nonsense", "Name": "prod/db"})), "111122223333/us-east-2 prod/db | - | -");
        names(event(json!({"requests": 3})), "none");
        names(event(json!(null)), "none");
    }

    #[test]
    fn a_batch_names_a_secret_only_if_it_is_one() {
        let batch = |request: Value| json!({"eventName": "BatchGetSecretValue", "requestParameters": request});
        names(batch(json!({"secretIdList": ["a"]})), "111122223333/us-east-2 a | - | a");
        names(batch(json!({"secretIdList": ["a", "b"]})), "none");
        names(batch(json!({"secretIdList": []})), "none");
        names(batch(json!({"filters": [{"key": "tag-key", "values": ["x"]}], "secretId": "x"})), "none");
    }

    #[test]
    fn other_services_records_name_no_secret() {
        let trail = |request: Value| {
            json!({"eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging",
            "requestParameters": request, "responseElements": {"arn": ARN, "name": "trail"}})
        };
        names(trail(json!({"name": "trail"})), "none");
        names(trail(json!({"secretId": "x"})), "none");
    }

    #[test]
    fn outcomes() {
        let check = |code: Value, message: Value, expected: Outcome| {
            let changes = json!({"errorCode": code, "errorMessage": message});
            assert_eq!(read(changes.clone()).outcome, expected, "{changes}");
        };
        check(json!(null), json!(null), Outcome::Success);
        check(json!(""), json!(""), Outcome::Success);
        for code in ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation", "UnauthorizedAccess"] {
            check(json!(code), json!(null), Outcome::Denied);
        }
        check(json!(null), json!("User: x is not authorized to perform: y"), Outcome::Denied);
        check(json!(null), json!("no such thing"), Outcome::Failed);
        check(json!("ResourceNotFoundException"), json!("Secrets Manager can't find it."), Outcome::Failed);
        check(json!("ThrottlingException"), json!(null), Outcome::Failed);
    }

    #[test]
    fn flags_are_texts_or_truth_values() {
        let mfa = |value: Value| {
            read(json!({"userIdentity": {"sessionContext": {"attributes": {"mfaAuthenticated": value}}}})).mfa
        };
        assert_eq!([mfa(json!("true")), mfa(json!("false")), mfa(json!(true))], [Some(true), Some(false), Some(true)]);
        assert_eq!([mfa(json!("x")), mfa(json!(null)), mfa(json!([]))], [None; 3]);
        let console = |value: Value| read(json!({"sessionCredentialFromConsole": value})).console;
        assert_eq!([json!("true"), json!(true)].map(console), [true; 2]);
        assert_eq!([json!("false"), json!(null), json!({})].map(console), [false; 3]);
    }

    #[test]
    fn accounts_come_from_the_trail_before_the_caller() {
        let account = |changes: Value| read(changes).account;
        let caller = json!({"accountId": "444455556666"});
        assert_eq!(account(json!({"userIdentity": caller})), "111122223333");
        assert_eq!(account(json!({"userIdentity": caller, "recipientAccountId": null})), "444455556666");
        assert_eq!(account(json!({"userIdentity": null, "recipientAccountId": 777788889999_u64})), "777788889999");
    }

    #[test]
    fn copies_and_updates_are_counted_under_one_identity() {
        let identity = |changes: Value| read(changes).identity().to_owned();
        let own = "5f0c0f0e-0000-4000-8000-000000000001";
        assert_eq!(identity(json!({"sharedEventID": "shared"})), "shared");
        assert_eq!(identity(json!({"sharedEventID": "s".repeat(257)})), own);
        let addendum = |reason: &str| json!({"addendum": {"reason": reason, "originalEventID": "first"}});
        assert_eq!(identity(addendum("UPDATED_DATA")), "first");
        assert_eq!(identity(addendum("DELIVERY_DELAY")), own);
        assert_eq!(identity(json!({"addendum": "UPDATED_DATA"})), own);
    }

    #[test]
    fn no_field_but_the_essential_ones_makes_a_record_unreadable() {
        let plain: Value = serde_json::from_str(&record(&json!({"addendum": {}, "additionalEventData": {}}))).unwrap();
        let odd = [json!(null), json!(true), json!(-7.5e300), json!(""), json!("x"), json!([{}]), json!({"type": {}})];
        for key in
            plain.as_object().unwrap().keys().filter(|key| !["eventID", "eventTime", "eventName"].contains(&&***key))
        {
            for value in &odd {
                read(json!({key: value}));
            }
        }
        for key in plain["userIdentity"].as_object().unwrap().keys() {
            for value in &odd {
                let mut identity = plain["userIdentity"].clone();
                identity[key] = value.clone();
                read(json!({"userIdentity": identity}));
            }
        }
    }

    #[test]
    fn a_repeated_key_counts_as_it_was_written_last() {
        let twice = record(&json!({})).replacen('{', r#"{"eventName":"Overruled","userIdentity":{},"#, 1);
        let read = read_record(&twice, SEEN).unwrap();
        assert_eq!((read.event.as_str(), read.principal.kind.as_str()), ("GetSecretValue", "AssumedRole"));
    }

    /// `json` is refused with this id, and for a reason that says `reason`.
    fn refused(json: &str, event_id: Option<&str>, reason: &str) {
        let error = read_record(json, SEEN).unwrap_err();
        assert_eq!(error.event_id.as_deref(), event_id, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for text in ["", " ", "null", "[]", "7", "\"x\"", "no json", "{]", "\u{feff}{}"] {
            refused(text, None, "not one whole JSON object");
        }
        refused(r#"{"eventID":"e","eventTime":"2026-05-2"#, Some("e"), "EOF");
        refused(r#"{"eventID":"e"} {"#, Some("e"), "trailing");
        refused(&format!("{}{}", "[".repeat(300_000), "]".repeat(300_000)), None, "not one whole JSON object");
        for value in [json!(null), json!(""), json!([]), json!({})] {
            refused(&record(&json!({"eventID": value})), None, "eventID is missing");
        }
        let long = "i".repeat(257);
        refused(&record(&json!({"eventID": long})), Some(&format!("{}…", "i".repeat(253))), "eventID is longer");
        let id = Some("5f0c0f0e-0000-4000-8000-000000000001");
        refused(&record(&json!({"eventTime": null})), id, "eventTime is missing");
        refused(&record(&json!({"eventTime": "yesterday"})), id, "\"yesterday\" is no time");
        refused(&record(&json!({"eventTime": "x".repeat(1 << 20)})), id, "is no time");
        refused(&record(&json!({"eventName": {}})), id, "eventName is missing");
    }

    #[test]
    fn a_megabyte_of_anything_costs_no_more_than_itself() {
        let deep: String = ["[".repeat(400_000), "]".repeat(400_000)].concat();
        let text = record(&json!({"userAgent": "é".repeat(500_000), "additionalEventData": "DEEP"}));
        let read = read_record(&text.replace("\"DEEP\"", &deep), SEEN).unwrap();
        let agent = read.user_agent.unwrap();
        assert!(agent.len() <= FREE && agent.ends_with("é…"), "{agent}");
    }

    /// The store keeps values of at most 64 KiB, and other things beside the access.
    #[test]
    fn a_hostile_record_stays_below_48_kib() {
        for filler in ["\"", "\\", "\u{1}", "\u{1f511}", "/"] {
            let long = filler.repeat(5000);
            let id = "x".repeat(SHORT);
            let full = format!("{ARN}{}-a1B2c3", filler.repeat((NAME - ARN.len() - 7) / 4));
            let read = read(json!({
                "eventID": id, "eventName": long, "awsRegion": long, "sourceIPAddress": long, "userAgent": long,
                "requestID": long, "recipientAccountId": long, "vpcEndpointId": long, "errorCode": long,
                "errorMessage": long, "sharedEventID": id,
                "addendum": {"reason": "UPDATED_DATA", "originalEventID": id},
                "requestParameters": {"secretId": long}, "responseElements": {"arn": full},
                "userIdentity": {
                    "type": "AssumedRole", "principalId": long, "accountId": long,
                    "arn": format!("arn:aws:sts::{long}:assumed-role/x/{long}"),
                    "accessKeyId": long, "invokedBy": long,
                    "sessionContext": {"sessionIssuer": {"arn": long, "userName": long}},
                },
            }));
            let secret = read.secret.as_ref().unwrap();
            assert!(secret.name.ends_with('…') && secret.arn.is_some() && read.updates.is_some());
            let bytes = serde_json::to_vec(&read).unwrap().len();
            assert!((12 << 10..48 << 10).contains(&bytes), "{bytes} bytes of {filler:?}");
        }
    }

    #[test]
    fn control_characters_reach_nobody() {
        let read = read(json!({
            "eventName": "Get\u{7}", "userAgent": "a\u{1b}]0;x\u{7}", "awsRegion": "us\r\n", "sourceIPAddress": "\u{0}",
            "requestParameters": {"secretId": "a\nb"}, "errorMessage": "\u{85}", "errorCode": "\t",
        }));
        let text = format!("{:?}", Access { record: None, ..read.clone() });
        assert!(!text.contains(char::is_control) && !text.contains("\\u{1") && !text.contains("\\n"), "{text}");
        assert_eq!(read.secret.unwrap().name, "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = read_record(&text, SEEN);
        }

        #[test]
        fn a_damaged_record_is_read_or_refused(at in any::<prop::sample::Index>(), gone in 0_usize..40, new in ".{0,8}") {
            let record = record(&json!({"errorMessage": "not authorized to perform: a on resource: b. c"}));
            let start = at.index(record.len());
            let end = (start + gone).min(record.len());
            let damaged = [&record[..start], &new, &record[end..]].concat();
            let _ = read_record(&damaged, SEEN);
        }

        #[test]
        fn a_cut_record_is_refused(at in any::<prop::sample::Index>()) {
            let record = record(&json!({}));
            prop_assert!(read_record(&record[..at.index(record.len())], SEEN).is_err());
        }

        #[test]
        fn any_denial_message_is_understood_or_not(message in "(.{0,20} on resource: )?.{0,20}") {
            let _ = read(json!({"requestParameters": null, "errorMessage": message}));
        }
    }
}
