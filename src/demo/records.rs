//! Builds CloudTrail records as AWS writes them, for tests and for the demonstration.
//!
//! A [`Record`] says only what matters to its author; [`Record::written`] fills in the rest (ids, user agent, TLS
//! details) the way real records of Secrets Manager have it. Where AWS is odd, so is this: a denied call has
//! `requestParameters: null` and tells the secret in its message alone, booleans of a session are strings, and a
//! service's event has neither type nor ARN.
//!
//! What no author asks for is absent: no insight events, no `resources[]`, which Secrets Manager does not write.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::callers::Caller;
use super::trail::Event;
use crate::model::{EventTime, WallTime};

/// `eventSource` of Secrets Manager.
pub const SECRETS_MANAGER: &str = "secretsmanager.amazonaws.com";

/// What a record shall say; every setter replaces one default.
#[derive(Clone, Debug)]
pub struct Record {
    name: String,
    source: String,
    caller: Option<Caller>,
    /// What the caller typed.
    secret: Option<String>,
    parameters: Map<String, Value>,
    response: Value,
    ending: Ending,
    at: Option<EventTime>,
    visible: Visible,
    id: Option<String>,
    request: Option<String>,
    account: Option<String>,
    region: Option<String>,
    source_ip: String,
    user_agent: String,
    console: bool,
    mfa: bool,
    vpc_endpoint: Option<String>,
    shared_event_id: Option<String>,
    updates: Option<String>,
    resources: Vec<(String, String)>,
    copies: Option<usize>,
}

/// How the call ended.
#[derive(Clone, Debug)]
enum Ending {
    Success,
    Denied,
    Failed { code: String, message: String },
}

/// When the Event history shows the record.
#[derive(Clone, Copy, Debug)]
enum Visible {
    /// After a delay drawn from the account's lateness.
    Drawn,
    After(Duration),
    At(WallTime),
}

/// What the account adds to a record that says nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Whose trail it is.
    pub account: &'a str,
    /// The Region.
    pub region: &'a str,
    /// When it happened.
    pub now: WallTime,
    /// How much later it is shown.
    pub late: Duration,
}

impl Record {
    /// A successful call of Secrets Manager's `name` by an IAM user.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: SECRETS_MANAGER.to_owned(),
            caller: None,
            secret: None,
            parameters: Map::new(),
            response: Value::Null,
            ending: Ending::Success,
            at: None,
            visible: Visible::Drawn,
            id: None,
            request: None,
            account: None,
            region: None,
            source_ip: "198.51.100.7".to_owned(),
            user_agent: "aws-sdk-rust/1.3.9 os/linux lang/rust/1.95.0".to_owned(),
            console: false,
            mfa: false,
            vpc_endpoint: None,
            shared_event_id: None,
            updates: None,
            resources: Vec::new(),
            copies: None,
        }
    }

    /// The id of the request that it records; otherwise one is drawn.
    #[must_use]
    pub fn request(mut self, id: &str) -> Self {
        self.request = Some(id.to_owned());
        self
    }

    /// A `GetSecretValue` of `secret`, spelled as the caller typed it.
    #[must_use]
    pub fn read(secret: &str) -> Self {
        Self::new("GetSecretValue").secret(secret)
    }

    /// An event that Secrets Manager makes by itself, such as `RotationSucceeded`, about the secret with this ARN.
    #[must_use]
    pub fn service_event(name: &str, secret_arn: &str) -> Self {
        let mut record = Self::new(name).secret(secret_arn);
        SECRETS_MANAGER.clone_into(&mut record.source_ip);
        SECRETS_MANAGER.clone_into(&mut record.user_agent);
        record.caller = Some(Caller::service("", SECRETS_MANAGER));
        record
    }

    /// The service called; Secrets Manager if not said.
    #[must_use]
    pub fn source(mut self, host: &str) -> Self {
        host.clone_into(&mut self.source);
        self
    }

    /// Who called.
    #[must_use]
    pub fn by(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// The secret, spelled as the caller typed it: a name, an ARN, a partial ARN.
    #[must_use]
    pub fn secret(mut self, typed: &str) -> Self {
        self.secret = Some(typed.to_owned());
        self
    }

    /// Another member of `requestParameters`.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: Value) -> Self {
        self.parameters.insert(name.to_owned(), value);
        self
    }

    /// `responseElements`; null if not said, as in every read.
    #[must_use]
    pub fn response(mut self, elements: Value) -> Self {
        self.response = elements;
        self
    }

    /// The call was refused for lack of permission.
    #[must_use]
    pub fn denied(mut self) -> Self {
        self.ending = Ending::Denied;
        self
    }

    /// The call failed for another reason.
    #[must_use]
    pub fn failed(mut self, code: &str, message: &str) -> Self {
        self.ending = Ending::Failed { code: code.to_owned(), message: message.to_owned() };
        self
    }

    /// When it happened; the account's now if not said.
    #[must_use]
    pub fn at(mut self, at: EventTime) -> Self {
        self.at = Some(at);
        self
    }

    /// The Event history shows it from this instant on.
    #[must_use]
    pub fn visible_at(mut self, at: WallTime) -> Self {
        self.visible = Visible::At(at);
        self
    }

    /// The Event history shows it so long after it happened.
    #[must_use]
    pub fn late_by(mut self, late: Duration) -> Self {
        self.visible = Visible::After(late);
        self
    }

    /// `eventID`; a fresh one if not said.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// In whose trail, and in which Region's, it stands; the simulated account's own if not said.
    #[must_use]
    pub fn in_source(mut self, account: &str, region: &str) -> Self {
        self.account = Some(account.to_owned());
        self.region = Some(region.to_owned());
        self
    }

    /// `sourceIPAddress`.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        address.clone_into(&mut self.source_ip);
        self
    }

    /// `userAgent`.
    #[must_use]
    pub fn user_agent(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.user_agent);
        self
    }

    /// It was done in the console, in a session with a second factor.
    #[must_use]
    pub fn in_console(mut self) -> Self {
        self.console = true;
        self.mfa = true;
        self
    }

    /// `vpcEndpointId`.
    #[must_use]
    pub fn through(mut self, endpoint: &str) -> Self {
        self.vpc_endpoint = Some(endpoint.to_owned());
        self
    }

    /// `sharedEventID`: this is one of two accounts' copies.
    #[must_use]
    pub fn shared(mut self, shared_event_id: &str) -> Self {
        self.shared_event_id = Some(shared_event_id.to_owned());
        self
    }

    /// It repeats the event of this id, with an `UPDATED_DATA` addendum.
    #[must_use]
    pub fn updates(mut self, original_event_id: &str) -> Self {
        self.updates = Some(original_event_id.to_owned());
        self
    }

    /// An entry in `Resources[]` of the LookupEvents item; the record itself has none.
    #[must_use]
    pub fn resource(mut self, kind: &str, name: &str) -> Self {
        self.resources.push((kind.to_owned(), name.to_owned()));
        self
    }

    /// The Event history lists it so many times, with the same id. If not said, the account's setting decides.
    #[must_use]
    pub fn listed(mut self, times: usize) -> Self {
        self.copies = Some(times);
        self
    }

    /// How often the Event history lists it, where its author said so.
    pub(super) fn copies(&self) -> Option<usize> {
        self.copies
    }

    /// Account and Region, where its author said so.
    pub(super) fn place(&self) -> (Option<&str>, Option<&str>) {
        (self.account.as_deref(), self.region.as_deref())
    }

    /// The record as CloudTrail would write it into a log file.
    #[must_use]
    pub fn json(&self, around: Surroundings<'_>, rng: &mut fastrand::Rng) -> String {
        self.written(around, rng).record
    }

    /// The record, and what the Event history says beside it.
    pub(super) fn written(&self, around: Surroundings<'_>, rng: &mut fastrand::Rng) -> Event {
        let account = self.account.as_deref().unwrap_or(around.account);
        let region = self.region.as_deref().unwrap_or(around.region);
        let at = self.at.unwrap_or(around.now.second());
        let id = self.id.clone().unwrap_or_else(|| uuid(rng));
        let caller = match &self.caller {
            None => Caller::user(account, "operator"),
            Some(Caller::Service { host, .. }) => Caller::service(account, host),
            Some(caller) => caller.clone(),
        };
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": caller.identity(at, self.mfa),
            "eventTime": at.to_string(),
            "eventSource": self.source,
            "eventName": self.name,
            "awsRegion": region,
            "sourceIPAddress": self.source_ip,
            "userAgent": self.user_agent,
            "requestParameters": null,
            "responseElements": self.response,
            "requestID": self.request.clone().unwrap_or_else(|| uuid(rng)),
            "eventID": id,
            "readOnly": self.reads(),
            "managementEvent": true,
            "recipientAccountId": account,
            "eventCategory": "Management",
        });
        self.add_call(&mut record, &caller, region);
        self.add_ending(&mut record, &caller);
        self.add_rarities(&mut record);
        Event {
            id,
            name: self.name.clone(),
            source: self.source.clone(),
            at,
            visible_at: match self.visible {
                Visible::Drawn => at.wall().plus(around.late),
                Visible::After(late) => at.wall().plus(late),
                Visible::At(visible_at) => visible_at,
            },
            read_only: self.reads(),
            access_key: caller.access_key(),
            username: caller.username().to_owned(),
            resources: self.resources.clone(),
            record: record.to_string(),
        }
    }

    fn reads(&self) -> bool {
        ["Get", "BatchGet", "List", "Describe", "Lookup", "Validate"].iter().any(|verb| self.name.starts_with(verb))
    }

    /// What a call has and a service's own event has not, and the other way round.
    fn add_call(&self, record: &mut Value, caller: &Caller, region: &str) {
        if matches!(caller, Caller::Service { .. }) {
            record["eventType"] = json!("AwsServiceEvent");
            record["requestID"] = json!(format!("{}_{}", self.name, record["eventID"].as_str().unwrap_or_default()));
            record["additionalEventData"] = json!({ "SecretId": self.secret });
            return;
        }
        record["eventType"] = json!("AwsApiCall");
        let service = self.source.split('.').next().unwrap_or_default();
        record["tlsDetails"] = json!({
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": format!("{service}.{region}.amazonaws.com"),
        });
        let mut parameters = self.parameters.clone();
        if let Some(secret) = &self.secret {
            parameters.insert("secretId".to_owned(), json!(secret));
        }
        if !parameters.is_empty() {
            record["requestParameters"] = Value::Object(parameters);
        }
    }

    fn add_ending(&self, record: &mut Value, caller: &Caller) {
        match &self.ending {
            Ending::Success => {}
            Ending::Denied => {
                record["errorCode"] = json!("AccessDenied");
                record["errorMessage"] = json!(denial(caller, &self.source, &self.name, self.secret.as_deref()));
                record["requestParameters"] = Value::Null;
                record["responseElements"] = Value::Null;
            }
            Ending::Failed { code, message } => {
                record["errorCode"] = json!(code);
                record["errorMessage"] = json!(message);
                record["responseElements"] = Value::Null;
            }
        }
    }

    fn add_rarities(&self, record: &mut Value) {
        if self.console {
            record["sessionCredentialFromConsole"] = json!("true");
        }
        if let Some(endpoint) = &self.vpc_endpoint {
            record["vpcEndpointId"] = json!(endpoint);
        }
        if let Some(shared) = &self.shared_event_id {
            record["sharedEventID"] = json!(shared);
        }
        if let Some(original) = &self.updates {
            record["addendum"] = json!({
                "reason": "UPDATED_DATA",
                "updatedFields": "userIdentity",
                "originalEventID": original,
            });
        }
    }
}

/// The sentence with which AWS refuses `action`; the only place where a denied read names its secret.
pub(super) fn denial(caller: &Caller, source: &str, action: &str, secret: Option<&str>) -> String {
    let service = source.split('.').next().unwrap_or_default();
    let who = caller.arn().unwrap_or_else(|| caller.username().to_owned());
    let resource = secret.map(|secret| format!(" on resource: {secret}")).unwrap_or_default();
    format!(
        "User: {who} is not authorized to perform: {service}:{action}{resource} because no identity-based policy \
         allows the {service}:{action} action"
    )
}

/// A random UUID of version 4.
pub(super) fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &Record) -> Value {
        let around = Surroundings {
            account: "111122223333",
            region: "us-east-1",
            now: WallTime(1_780_000_000_000),
            late: Duration::ZERO,
        };
        serde_json::from_str(&record.json(around, &mut fastrand::Rng::with_seed(1))).unwrap()
    }

    #[test]
    fn a_denied_read_names_its_secret_in_the_message_only() {
        let record = written(&Record::read("prod/db").denied());
        assert_eq!(record["requestParameters"], Value::Null);
        assert_eq!(record["errorCode"], "AccessDenied");
        assert_eq!(
            record["errorMessage"],
            "User: arn:aws:iam::111122223333:user/operator is not authorized to perform: \
             secretsmanager:GetSecretValue on resource: prod/db because no identity-based policy allows the \
             secretsmanager:GetSecretValue action"
        );
    }

    #[test]
    fn a_service_event_has_neither_type_nor_arn() {
        let record = written(&Record::service_event("RotationSucceeded", "arn:aws:x"));
        assert_eq!(
            record["userIdentity"],
            json!({ "accountId": "111122223333", "invokedBy": "secretsmanager.amazonaws.com" })
        );
        assert_eq!(record["additionalEventData"]["SecretId"], "arn:aws:x");
        assert!(record.get("tlsDetails").is_none());
    }

    #[test]
    fn a_sessions_booleans_are_strings() {
        let caller = Caller::role("111122223333", "apps/checkout", "i-0abc");
        let record = written(&Record::read("prod/db").by(caller).in_console());
        let context = &record["userIdentity"]["sessionContext"];
        assert_eq!(context["attributes"]["mfaAuthenticated"], "true");
        assert_eq!(context["sessionIssuer"]["arn"], "arn:aws:iam::111122223333:role/apps/checkout");
        assert_eq!(record["sessionCredentialFromConsole"], "true");
        assert_eq!(record["requestParameters"], json!({ "secretId": "prod/db" }));
    }

    #[test]
    fn ids_are_uuids() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let id = uuid(&mut rng);
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
