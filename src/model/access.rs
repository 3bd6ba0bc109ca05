//! What one record says, normalised, in the shape in which it is counted, stored and shown.
//!
//! The serialised form is the object in `accesses` of an alert (interface of version `secretwatch.alert.v1`) and also
//! what the store keeps, so it may gain fields but never lose or re-mean one; every field added later needs
//! `#[serde(default)]`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EventTime, Secret, WallTime};

/// The largest record that is kept beside its access, in bytes. Those of Secrets Manager have one or two thousand; with
/// the longest resource policy that AWS takes they stay below this.
pub const MAX_RECORD: usize = 32 * 1024;

/// Who did what to which secret, when, from where, with which outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `eventID` of the record.
    pub event_id: String,
    /// `eventName`, such as `GetSecretValue`; the list of names is open.
    pub event: String,
    /// `eventTime`.
    pub time: EventTime,
    /// When it was first read here.
    pub seen: WallTime,
    /// The account in whose trail the record stands.
    pub account: String,
    /// `awsRegion`, whatever it says.
    pub region: String,
    /// The secret, if the record names exactly one.
    pub secret: Option<Secret>,
    /// Who it was.
    pub principal: Principal,
    /// `sourceIPAddress`: an address, or an AWS service's name.
    pub source_ip: Option<String>,
    /// `userAgent`, cut to a sane length.
    pub user_agent: Option<String>,
    /// `userIdentity.accessKeyId`.
    pub access_key_id: Option<String>,
    /// Whether the session was made with a second factor; `None` where the record does not say.
    pub mfa: Option<bool>,
    /// `vpcEndpointId`.
    pub vpc_endpoint: Option<String>,
    /// `userIdentity.invokedBy`: the AWS service that made the call for somebody.
    pub invoked_by: Option<String>,
    /// `requestID`.
    pub request_id: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// `errorCode`, for an outcome other than success.
    pub error: Option<String>,
    /// `errorMessage`, cut to a sane length.
    #[serde(default)]
    pub error_message: Option<String>,
    /// Whether console credentials were used (`sessionCredentialFromConsole`).
    pub console: bool,
    /// `eventSource`, such as `secretsmanager.amazonaws.com`.
    #[serde(default)]
    pub event_source: String,
    /// `sharedEventID`: the same on the copies that two accounts get of one cross-account access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_event_id: Option<String>,
    /// Whether it is the daemon's own inventory call, which no rule counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// The id that it is counted under, where that is none that the record names first: see [`Access::identity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_as: Option<String>,
    /// `addendum.originalEventID` of an `UPDATED_DATA` record: the event that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<String>,
    /// The JSON that it was read from, for filter patterns; none where it is not at hand. Kept beside the access, and
    /// never a part of what it is serialised to.
    #[serde(skip)]
    pub record: Option<Arc<str>>,
    /// Whether that is larger than [`MAX_RECORD`], and so is never at hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oversize: bool,
}

/// How an access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// No error.
    Success,
    /// Refused for lack of permission.
    Denied,
    /// Any other error.
    Failed,
}

impl Outcome {
    /// The word for it, as in alerts and in `outcome = "…"`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Who made the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// `userIdentity.type`, such as `AssumedRole`; `AWSService` for service events, `Unknown` where there is none.
    #[serde(rename = "type")]
    pub kind: String,
    /// The ARN; an assumed role's is the role's own.
    pub arn: Option<String>,
    /// A short name for people: the user's, the role's, the service's.
    pub name: Option<String>,
    /// The session name of an assumed role.
    pub session: Option<String>,
    /// The account it belongs to.
    pub account: Option<String>,
}

impl Principal {
    /// Who it is, in a word or two, and in which session: for lists.
    #[must_use]
    pub fn short(&self) -> String {
        let session = self.session.as_ref().map(|session| format!("/{session}")).unwrap_or_default();
        format!("{}{session}", self.called())
    }

    /// The name, or what kind of principal it is where it has none.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.kind)
    }

    /// What tells this principal from all others: the ARN, else type, name and account in one text.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.arn {
            Some(arn) => arn.clone(),
            None => [Some(self.kind.as_str()), self.name.as_deref(), self.account.as_deref()]
                .into_iter()
                .flatten()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/"),
        }
    }
}

impl Access {
    /// Under which id this access is counted once, however many records tell of it: the `sharedEventID` of a
    /// cross-account access, the original's id for an update, else its own. Where records that were read before link it
    /// to another id than the record itself says, that one stands in `counts_as`.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.names().next().unwrap_or(&self.event_id)
    }

    /// The ids by which other records may speak of this access, the one that it is counted under first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let told = [&self.counts_as, &self.shared_event_id, &self.updates].into_iter().flatten().map(String::as_str);
        told.chain([self.event_id.as_str()])
    }
}
