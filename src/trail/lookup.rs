//! Asks CloudTrail's Event history for one page.
//!
//! [`Lookup`] is a thin shell over the SDK: it knows how a question is put, and sorts every way in which the answer can
//! be bad into what the caller may do about it ([`LookupClass`]). It decides nothing else: which span to ask for is the
//! plan's business, what a page covers is [`Reading`](super::Reading)'s.
//!
//! **No retries here.** The SDK would repeat a throttled request by itself, each time spending quota of which our
//! [`Pace`](super::Pace) knows nothing, and two requests a second is all there is. So one call is one request, and the
//! pace says when the next may follow.
//!
//! With every reply, good or bad, comes the server's `Date`: a reading counts as of the earlier of that and our own
//! clock, so that a clock running ahead never makes us believe that something has settled.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::config::{self, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudtrail::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudtrail::operation::lookup_events::LookupEventsError;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::{DateTime, Format};
use http_body_util::Limited;

use crate::model::{EventTime, Span, WallTime};

/// Events that one page may hold: the most that LookupEvents gives.
pub const PAGE_EVENTS: i32 = 50;

/// Largest reply that is read, in bytes. Fifty records of CloudTrail's 256 KB, each a JSON string within JSON, fit.
const MAX_REPLY: usize = 32 * 1024 * 1024;

/// Longest error message that is kept, in characters.
const MAX_REASON: usize = 500;

/// Asks one source's Event history.
#[derive(Clone, Debug)]
pub struct Lookup {
    client: Client,
}

/// What is asked. The pages of one reading need the same query each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which events.
    pub filter: Filter,
    /// First and last second of event time.
    pub span: Span,
}

/// Which events are asked for: AWS takes one attribute and no more, and compares it whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// Those of one service, such as `secretsmanager.amazonaws.com`.
    EventSource(String),
    /// Those of one name, such as `GetSecretValue`; of whichever service, since a name belongs to none.
    EventName(String),
}

impl Filter {
    fn attribute(&self) -> (LookupAttributeKey, &str) {
        match self {
            Self::EventSource(source) => (LookupAttributeKey::EventSource, source),
            Self::EventName(name) => (LookupAttributeKey::EventName, name),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.attribute();
        write!(f, "{}={value}", key.as_str())
    }
}

/// One page, newest event first as far as AWS keeps to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupPage {
    /// The events. A page without any need not be the last.
    pub items: Vec<Item>,
    /// What the next page is asked for with; none: this was the last.
    pub token: Option<String>,
    /// The server's clock.
    pub date: Option<WallTime>,
}

/// One event as LookupEvents wraps it. AWS promises none of the members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// `EventId`.
    pub event_id: Option<String>,
    /// `EventTime`.
    pub time: Option<EventTime>,
    /// `EventName`.
    pub name: Option<String>,
    /// `CloudTrailEvent`: the record as JSON text.
    pub record: Option<String>,
}

/// What the caller may do about a page that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookupClass {
    /// Too fast: wait longer each time, then ask the same again.
    Throttled,
    /// Nobody's fault that lasts: ask the same again after a while.
    Transient,
    /// Signed at the wrong time: ask the same again, since the SDK learns our clock's error from such a reply and signs
    /// the next request with the server's time.
    Skewed,
    /// Only the token was bad: start the rest of the reading again without one.
    TokenRefused,
    /// There is no identity, or none that AWS knows: give the source up for this pass and show it.
    Stranger,
    /// This account does not let us: give the source up for this pass and show it.
    Denied,
    /// AWS takes the question itself for wrong: give the source up for this pass and show it.
    Refused,
}

impl LookupClass {
    /// The word for it, as in metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Skewed => "skewed",
            Self::TokenRefused => "token_refused",
            Self::Stranger => "stranger",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
}

/// A page that did not come.
#[derive(Debug)]
pub struct LookupError {
    /// What may be done about it.
    pub class: LookupClass,
    /// The server's clock, if there was a reply.
    pub date: Option<WallTime>,
    /// What the server said, code and message, cut to a sane length; or that it was not asked for lack of credentials.
    pub reason: Option<String>,
    /// What went wrong on the way, if the server said nothing that could be read.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.class {
            LookupClass::Throttled => "cloudtrail throttled the lookup",
            LookupClass::Transient => "cloudtrail lookup failed",
            LookupClass::Skewed => "cloudtrail refused the lookup for its time",
            LookupClass::TokenRefused => "cloudtrail refused the page token",
            LookupClass::Stranger => "cloudtrail does not know who is asking",
            LookupClass::Denied => "cloudtrail lookup is not allowed",
            LookupClass::Refused => "cloudtrail refused the lookup",
        })?;
        self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}

impl Error for LookupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

impl Lookup {
    /// A client with this configuration, except that the SDK's own retries are turned off.
    #[must_use]
    pub fn new(config: config::Builder) -> Self {
        Self { client: Client::from_conf(config.retry_config(RetryConfig::disabled()).build()) }
    }

    /// One request for one page: the first if `token` is none, else the one that the token stands for.
    pub async fn page(&self, query: &Query, token: Option<&str>) -> Result<LookupPage, LookupError> {
        let reply = Reply::default();
        let (key, value) = query.filter.attribute();
        let wanted = LookupAttribute::builder()
            .attribute_key(key)
            .attribute_value(value)
            .build()
            .map_err(|error| LookupError::on_the_way(LookupClass::Refused, None, error))?;
        let answer = self
            .client
            .lookup_events()
            .lookup_attributes(wanted)
            .start_time(DateTime::from_secs(query.span.from.0))
            .end_time(DateTime::from_secs(query.span.to.0))
            .max_results(PAGE_EVENTS)
            .set_next_token(token.map(str::to_owned))
            .customize()
            .interceptor(reply.clone())
            .send()
            .await;
        match answer {
            Ok(page) => Ok(LookupPage {
                items: page.events.unwrap_or_default().into_iter().map(Item::from).collect(),
                // Nobody can ask for a page with an empty token: it is as good as none.
                token: page.next_token.filter(|token| !token.is_empty()),
                date: reply.date(),
            }),
            Err(error) => Err(LookupError::new(error, reply.date())),
        }
    }
}

impl From<Event> for Item {
    fn from(event: Event) -> Self {
        Self {
            event_id: event.event_id,
            time: event.event_time.map(|at| EventTime(at.secs())),
            name: event.event_name,
            record: event.cloud_trail_event,
        }
    }
}

impl LookupError {
    fn new(error: SdkError<LookupEventsError, HttpResponse>, date: Option<WallTime>) -> Self {
        // A good status with a body that makes no sense is a service error to the SDK too, but no refusal.
        if let SdkError::ServiceError(refusal) = &error
            && !refusal.raw().status().is_success()
        {
            let (code, message) = (refusal.err().code(), refusal.err().message());
            let class = class_of(code, message, refusal.raw().status());
            let reason = Some(reason(code, message, refusal.raw().status()));
            return Self { class, date, reason, cause: None };
        }
        let credentials = credentials_class(&error);
        let class = credentials.unwrap_or(match &error {
            SdkError::ConstructionFailure(_) => LookupClass::Refused,
            // Timeouts, connections, and replies that cannot be read: mostly cut off, or somebody else's error page.
            _ => LookupClass::Transient,
        });
        let reason = credentials.map(|_| "no credentials could be loaded".to_owned());
        // The SDK's outermost error only says "dispatch failure" and the like, which our own text replaces.
        let cause = error.into_source().unwrap_or_else(|error| Box::new(error));
        Self { reason, ..Self::on_the_way(class, date, cause) }
    }

    fn on_the_way(class: LookupClass, date: Option<WallTime>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, date, reason: None, cause: Some(cause.into()) }
    }
}

/// What a refusal with this code, message and status leaves to do.
fn class_of(code: Option<&str>, message: Option<&str>, status: StatusCode) -> LookupClass {
    let code = code.unwrap_or_default();
    let code = code.strip_suffix("Exception").unwrap_or(code);
    let says = |texts: [&str; 2]| message.is_some_and(|said| texts.iter().any(|text| said.contains(text)));
    let begins = |codes: &[&str]| codes.iter().any(|begin| code.starts_with(begin));
    let rate = says(["Rate exceeded", "rate exceeded"]);
    match (code, status.as_u16()) {
        (_, 429) => LookupClass::Throttled,
        (code, _) if rate || code.starts_with("Throttl") => LookupClass::Throttled,
        ("TooManyRequests" | "RequestLimitExceeded" | "SlowDown", _) => LookupClass::Throttled,
        (code, _) if code.ends_with("NextToken") => LookupClass::TokenRefused,
        ("RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture", _) => LookupClass::Skewed,
        // Under a code that also stands for a wrong key.
        _ if says(["Signature expired", "Signature not yet current"]) => LookupClass::Skewed,
        _ if begins(&STRANGERS) => LookupClass::Stranger,
        _ if begins(&DENIALS) => LookupClass::Denied,
        ("InternalFailure" | "InternalError" | "ServiceUnavailable" | "RequestTimeout", _) => LookupClass::Transient,
        (_, 401 | 403) => LookupClass::Denied,
        (_, 408) => LookupClass::Transient,
        (_, 400..=499) => LookupClass::Refused,
        _ => LookupClass::Transient,
    }
}

/// How the codes begin by which AWS says that it does not know who is asking.
const STRANGERS: [&str; 8] = [
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "ExpiredToken",
];

/// How the codes begin by which AWS says that this caller may not do this here.
const DENIALS: [&str; 6] = [
    "AccessDenied",
    "UnauthorizedOperation",
    "NotAuthorized",
    "OptInRequired",
    "UnsupportedOperation",
    "OperationNotPermitted",
];

/// The class of an error that has its root in credentials, which no server ever saw.
fn credentials_class(error: &(dyn Error + 'static)) -> Option<LookupClass> {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    chain.find_map(|error| error.downcast_ref::<CredentialsError>()).map(|error| match error {
        CredentialsError::ProviderTimedOut(_) => LookupClass::Transient,
        _ => LookupClass::Stranger,
    })
}

/// Code and message in one line, or the bare status of a refusal that has neither.
fn reason(code: Option<&str>, message: Option<&str>, status: StatusCode) -> String {
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("http status {}", status.as_u16()),
    };
    text.chars().take(MAX_REASON).collect()
}

/// Watches one request's reply: keeps its `Date`, which the SDK's output does not show, bounds its body, and refuses an
/// empty one. The SDK reads no bytes at all as a page without events and without a token, and believing that would
/// settle a whole span on the word of a broken proxy.
#[derive(Clone, Debug, Default)]
struct Reply {
    date: Arc<OnceLock<WallTime>>,
}

impl Reply {
    fn date(&self) -> Option<WallTime> {
        self.date.get().copied()
    }
}

impl Intercept for Reply {
    fn name(&self) -> &'static str {
        "Reply"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = context.response_mut();
        let date = response.headers().get("date").and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        if let Some(date) = date {
            // One request has one reply, so nothing can be there yet.
            let _ = self.date.set(EventTime(date.secs()).wall());
        }
        let body = response.take_body();
        *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_REPLY));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = context.response();
        let empty = response.body().bytes().is_none_or(|body| body.trim_ascii().is_empty());
        if empty && response.status().is_success() { Err("the reply is empty".into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{Answer, Loopback, sdk};

    const DATE: &str = "Wed, 27 May 2026 18:45:54 GMT";

    fn query() -> Query {
        let span = Span { from: EventTime(1_800_000_000), to: EventTime(1_800_000_060) };
        Query { filter: Filter::EventSource("secretsmanager.amazonaws.com".to_owned()), span }
    }

    fn lookup(server: &Loopback) -> Lookup {
        Lookup::new((&server.sdk()).into())
    }

    async fn ask(answer: Answer) -> Result<LookupPage, LookupError> {
        let server = Loopback::serving([answer.header("date", DATE)]).await;
        let result = lookup(&server).page(&query(), Some("t")).await;
        assert_eq!(server.asked().len(), 1, "one call is one request");
        result
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        Answer::new(status, serde_json::json!({ "__type": code, "message": message }).to_string())
    }

    #[tokio::test]
    async fn a_page_is_read_as_it_was_sent() {
        let reply = r#"{"Events":[{"EventId":"e1","EventName":"GetSecretValue","EventTime":1800000007.9,
            "CloudTrailEvent":"{}","ReadOnly":"true"},{}],"NextToken":"next"}"#;
        let page = ask(Answer::new(200, reply)).await.unwrap();
        let item = Item {
            event_id: Some("e1".to_owned()),
            time: Some(EventTime(1_800_000_007)),
            name: Some("GetSecretValue".to_owned()),
            record: Some("{}".to_owned()),
        };
        assert_eq!(page.items, [item, Item::default()]);
        assert_eq!(page.token.as_deref(), Some("next"));
        assert_eq!(page.date.map(|date| date.to_string()), Some("2026-05-27T18:45:54.000Z".to_owned()));
    }

    #[tokio::test]
    async fn the_last_page_has_no_token() {
        for reply in ["{}", r#"{"Events":[]}"#, r#"{"Events":null,"NextToken":""}"#] {
            let page = ask(Answer::new(200, reply)).await.unwrap();
            assert_eq!((page.items.len(), page.token), (0, None), "{reply}");
        }
    }

    #[tokio::test]
    async fn the_question_names_filter_span_and_token() {
        let server = Loopback::serving([Answer::new(200, "{}")]).await;
        let lookup = lookup(&server);
        lookup.page(&query(), None).await.unwrap();
        lookup.page(&query(), Some("token")).await.unwrap();
        let mut expected = serde_json::json!({
            "LookupAttributes": [{ "AttributeKey": "EventSource", "AttributeValue": "secretsmanager.amazonaws.com" }],
            "StartTime": 1_800_000_000, "EndTime": 1_800_000_060, "MaxResults": 50,
        });
        let asked = server.asked();
        assert_eq!(asked[0].json(), expected);
        assert!(asked[0].headers["x-amz-target"].to_str().unwrap().ends_with(".LookupEvents"));
        expected["NextToken"] = "token".into();
        assert_eq!(asked[1].json(), expected);

        let by_name = Query { filter: Filter::EventName("GetSecretValue".to_owned()), ..query() };
        lookup.page(&by_name, Some("token")).await.unwrap();
        expected["LookupAttributes"] =
            serde_json::json!([{ "AttributeKey": "EventName", "AttributeValue": "GetSecretValue" }]);
        assert_eq!(server.asked()[2].json(), expected);
        assert_eq!(by_name.filter.to_string(), "EventName=GetSecretValue");
    }

    #[tokio::test]
    async fn every_refusal_has_its_class() {
        use LookupClass::*;
        for (status, code, message, class) in [
            (400, "ThrottlingException", "Rate exceeded", Throttled),
            (400, "Throttling", "slow down", Throttled),
            (400, "com.amazonaws.cloudtrail#ThrottlingException", "", Throttled),
            (400, "SomethingNewException", "Rate exceeded for this account", Throttled),
            (503, "SlowDown", "", Throttled),
            (429, "", "", Throttled),
            (400, "InvalidNextTokenException", "expired", TokenRefused),
            (400, "ExpiredNextTokenException", "", TokenRefused),
            (400, "AccessDeniedException", "not authorized to perform: cloudtrail:LookupEvents", Denied),
            (403, "AccessDenied", "", Denied),
            (400, "UnrecognizedClientException", "", Stranger),
            (403, "InvalidClientTokenId", "", Stranger),
            (403, "SignatureDoesNotMatch", "", Stranger),
            (400, "OptInRequired", "", Denied),
            (400, "UnsupportedOperationException", "", Denied),
            (400, "OperationNotPermittedException", "", Denied),
            (400, "ExpiredTokenException", "the security token has expired", Stranger),
            (400, "InvalidTimeRangeException", "", Refused),
            (400, "InvalidLookupAttributesException", "", Refused),
            (400, "SomethingNewException", "", Refused),
            (400, "RequestTimeTooSkewed", "", Skewed),
            (400, "InvalidSignatureException", "Signature expired: 20260527T184554Z is now earlier than", Skewed),
            (403, "InvalidSignatureException", "Signature not yet current: 20260527T184554Z", Skewed),
            (403, "InvalidSignatureException", "the signature does not match", Stranger),
            (500, "InternalFailure", "", Transient),
            (503, "ServiceUnavailable", "", Transient),
        ] {
            let error = ask(refusal(status, code, message)).await.unwrap_err();
            assert_eq!(error.class, class, "{status} {code}: {error}");
            assert!(error.date.is_some(), "{status} {code}");
        }
    }

    #[tokio::test]
    async fn garbled_replies_are_transient() {
        for body in [
            "",
            " \n",
            "{",
            "<html>",
            "[]",
            r#"{"Events":3}"#,
            r#"{"Events":[{"EventTime":"soon"}]}"#,
            "\u{0}",
            "{}x",
            "null",
            "7",
            "\"\"",
        ] {
            let Err(error) = ask(Answer::new(200, body)).await else { panic!("{body:?} was read as a page") };
            assert_eq!(error.class, LookupClass::Transient, "{body}");
            assert!(error.date.is_some() && error.source().is_some(), "{body}");
        }
        for (status, class) in [(502, LookupClass::Transient), (403, LookupClass::Denied), (400, LookupClass::Refused)]
        {
            assert_eq!(ask(Answer::new(status, "<html>")).await.unwrap_err().class, class, "{status}");
        }
    }

    #[tokio::test]
    async fn a_reply_beyond_the_limit_is_not_read() {
        let error = ask(Answer::new(200, " ".repeat(MAX_REPLY + 1))).await.unwrap_err();
        assert_eq!(error.class, LookupClass::Transient);
    }

    #[tokio::test]
    async fn a_date_that_is_none_is_left_out() {
        let server = Loopback::serving([Answer::new(200, "{}").header("date", "yesterday")]).await;
        assert_eq!(lookup(&server).page(&query(), None).await.unwrap().date, None);
    }

    #[tokio::test]
    async fn nobody_listening_is_transient() {
        let error = Lookup::new((&sdk("http://127.0.0.1:1")).into()).page(&query(), None).await.unwrap_err();
        assert_eq!((error.class, error.date), (LookupClass::Transient, None));
    }

    #[tokio::test]
    async fn without_credentials_nobody_is_asked() {
        let server = Loopback::serving([Answer::new(200, "{}")]).await;
        let empty = server.sdk().into_builder().credentials_provider(NoCredentials::provider()).build();
        let error = Lookup::new((&empty).into()).page(&query(), None).await.unwrap_err();
        assert_eq!(error.class, LookupClass::Stranger, "{error:?}");
        assert_eq!(error.to_string(), "cloudtrail does not know who is asking: no credentials could be loaded");
        assert!(server.asked().is_empty());
    }

    #[derive(Debug)]
    struct NoCredentials;

    impl NoCredentials {
        fn provider() -> aws_credential_types::provider::SharedCredentialsProvider {
            aws_credential_types::provider::SharedCredentialsProvider::new(Self)
        }
    }

    impl aws_credential_types::provider::ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let nothing = CredentialsError::not_loaded("there are none");
            aws_credential_types::provider::future::ProvideCredentials::ready(Err(nothing))
        }
    }

    #[test]
    fn long_messages_are_cut() {
        let status = StatusCode::try_from(400).unwrap();
        assert_eq!(reason(None, Some(&"é".repeat(10_000)), status).chars().count(), MAX_REASON);
        assert_eq!(reason(None, None, status), "http status 400");
    }
}
