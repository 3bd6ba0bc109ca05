//! An SNS topic: a mail that a person reads, or whatever else is configured.
//!
//! What SNS demands of subjects, attributes, sizes and FIFO topics is met here, so that no alert is refused for its
//! form; what comes back is sorted into what heals by itself and what does not. Codes and limits are those of the
//! service's model and of AWS's published guide.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::Value;

use super::format::{Letter, Message, message};
use super::sender::{Outcome, with_causes};
use crate::config::SnsFormat;
use crate::model::{Alert, printable};

/// What a message may hold together with its attributes, in bytes.
const MESSAGE_MAX: usize = 262_144;

/// Longest group or deduplication id of a FIFO topic, in characters.
const FIFO_ID_MAX: usize = 128;

/// Longest attribute that is sent, in characters. SNS sets no limit of its own here.
const ATTRIBUTE_MAX: usize = 256;

/// One attempt ends after this, whatever the client's own timeouts are.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Publishes to one topic.
pub struct Sns {
    topic_arn: String,
    region: String,
    format: SnsFormat,
    client: Client,
}

impl std::fmt::Debug for Sns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sns").field("topic_arn", &self.topic_arn).field("format", &self.format).finish_non_exhaustive()
    }
}

impl Sns {
    pub(super) fn new(topic_arn: &str, region: &str, format: SnsFormat, client: Client) -> Self {
        Self { topic_arn: topic_arn.to_owned(), region: region.to_owned(), format, client }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Outcome {
        let alert = letter.alert;
        let attributes = attributes(letter);
        let Message { subject, text } = match self.message(letter, MESSAGE_MAX - size(&attributes)) {
            Ok(message) => message,
            Err(outcome) => return outcome,
        };
        let mut publish = self.client.publish().topic_arn(&self.topic_arn).message(text).subject(subject);
        for (name, value) in attributes {
            match MessageAttributeValue::builder().data_type("String").string_value(value).build() {
                Ok(value) => publish = publish.message_attributes(name, value),
                Err(error) => return Outcome::permanent(with_causes(&error)),
            }
        }
        if self.is_fifo() {
            publish = publish.message_group_id(fifo_id(&alert.incident)).message_deduplication_id(fifo_id(&alert.id));
        }
        match tokio::time::timeout(TIMEOUT, publish.send()).await {
            Ok(Ok(_)) => Outcome::Accepted,
            Ok(Err(error)) => judge(&error),
            Err(_) => Outcome::transient(format!("no answer from SNS within {} seconds", TIMEOUT.as_secs())),
        }
    }

    pub(super) fn shares(&self) -> bool {
        self.format == SnsFormat::Text && !self.is_fifo()
    }

    fn is_fifo(&self) -> bool {
        self.topic_arn.ends_with(".fifo")
    }

    /// The message in at most `room` bytes.
    fn message(&self, letter: &Letter<'_>, room: usize) -> Result<Message, Outcome> {
        let Message { subject, text } = message(self.format, letter, &self.topic_arn, &self.region)?;
        let text = match self.format {
            SnsFormat::Text => cut(text, room),
            SnsFormat::Json => fitting_json(letter.alert, text, room)?,
            // Made of a few bounded texts.
            SnsFormat::CloudWatchAlarm | SnsFormat::AmazonQ => sendable(text),
        };
        Ok(Message { subject, text })
    }
}

/// What subscriptions can filter by, and the id by which a receiver knows a repetition. SNS refuses empty values.
fn attributes(letter: &Letter<'_>) -> Vec<(&'static str, String)> {
    let (alert, id) = (letter.alert, letter.id());
    let all = [
        ("id", id.as_ref()),
        ("kind", alert.kind.word()),
        ("severity", alert.rule.severity.word()),
        ("rule", alert.rule.name.as_str()),
        ("incident", alert.incident.as_str()),
        ("fallback_for", letter.fallback_for.unwrap_or_default()),
    ];
    let valid = all.into_iter().map(|(name, value)| (name, printable(value, ATTRIBUTE_MAX)));
    valid.filter(|(_, value)| !value.is_empty()).collect()
}

/// What attributes take of the message's size: name, type and value.
fn size(attributes: &[(&'static str, String)]) -> usize {
    attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum()
}

fn cut(mut text: String, room: usize) -> String {
    const NOTE: &str = "\n(cut here: SNS takes no more)\n";
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room - NOTE.len()));
        text += NOTE;
    }
    text
}

/// The alert as JSON. Lists are split long before they come near this limit; should one not fit all the same, for its
/// endless names say, it is sent with as many accesses as do, and `accesses_cut` says how many are left out here.
fn fitting_json(alert: &Alert, whole: String, room: usize) -> Result<String, Outcome> {
    let mut message = sendable(whole);
    let mut kept = alert.accesses.len();
    while message.len() > room {
        if kept == 0 {
            return Err(Outcome::permanent(format!("alert is larger than the {MESSAGE_MAX} bytes that SNS takes")));
        }
        kept /= 2;
        message = sendable(shortened(alert, kept));
    }
    Ok(message)
}

fn shortened(alert: &Alert, kept: usize) -> String {
    let short = Alert { accesses: alert.accesses.iter().take(kept).cloned().collect(), ..alert.clone() };
    let mut value = serde_json::to_value(short).unwrap_or_default();
    if let Value::Object(object) = &mut value {
        object.insert("accesses_cut".to_owned(), Value::from(alert.accesses.len() - kept));
    }
    value.to_string()
}

/// SNS takes no characters that XML does not have. JSON escapes all of those by itself except these two, which can only
/// stand inside its strings.
fn sendable(json: String) -> String {
    json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// An id as FIFO topics take it: letters, digits and punctuation. Both kinds of id are hexadecimal in practice.
fn fifo_id(id: &str) -> String {
    let id: String = id.chars().take(FIFO_ID_MAX).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if id.is_empty() { "secretwatch".to_owned() } else { id }
}

fn judge(error: &SdkError<PublishError, HttpResponse>) -> Outcome {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => with_causes(error),
    };
    if heals(error.code(), status) { Outcome::transient(text) } else { Outcome::permanent(text) }
}

/// Whether this may go well later though nobody changes the topic, its policy or its key. Without a status there was no
/// answer: a network, a timeout, or credentials that could not be loaded. One that is neither an error nor what SNS
/// says comes from something on the way.
fn heals(code: Option<&str>, status: Option<u16>) -> bool {
    match code.map(|code| code.strip_suffix("Exception").unwrap_or(code)) {
        Some("NotFound" | "AuthorizationError" | "InvalidParameter" | "InvalidParameterValue" | "InvalidSecurity") => {
            false
        }
        Some("KMSNotFound" | "KMSDisabled" | "KMSInvalidState" | "KMSAccessDenied" | "KMSOptInRequired") => false,
        // The SDK's own list of what to retry lacks the last one.
        Some("InternalError" | "InternalFailure" | "ServiceUnavailable") => true,
        Some("Throttling" | "Throttled" | "RequestThrottled" | "KMSThrottling") => true,
        // These are about the caller and so about every alert alike; they heal when credentials are renewed, or when
        // the clock is set right.
        Some("ExpiredToken" | "RequestExpired" | "InvalidClientTokenId" | "UnrecognizedClient") => true,
        Some("MissingAuthenticationToken" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed") => true,
        _ => status.is_none_or(|status| !(400..500).contains(&status) || status == 429),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use axum::Router;
    use axum::extract::{Form, State};
    use axum::http::StatusCode;
    use axum::routing::post;

    use super::*;
    use crate::model::AlertKind;
    use crate::model::fixture::{access, alert};

    type Published = Arc<Mutex<Vec<HashMap<String, String>>>>;

    const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms";

    /// A service on loopback that answers every request so, and the forms that it was sent.
    async fn service(status: u16, answer: &str) -> (Client, Published) {
        let published = Published::default();
        let answer = (StatusCode::from_u16(status).unwrap(), answer.to_owned());
        let publish = move |State(published): State<Published>, Form(form): Form<HashMap<String, String>>| {
            let answer = answer.clone();
            async move {
                published.lock().unwrap().push(form);
                answer
            }
        };
        let app = Router::new().route("/", post(publish)).with_state(Arc::clone(&published));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        (client(&format!("http://{address}")), published)
    }

    fn client(endpoint: &str) -> Client {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-2"))
            .credentials_provider(Credentials::new("AKIAEXAMPLE", "example", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(endpoint);
        Client::from_conf(config.build())
    }

    const ACCEPTED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
        <MessageId>0</MessageId></PublishResult></PublishResponse>";

    /// What is published for `alert`.
    async fn published(topic: &str, format: SnsFormat, alert: &Alert) -> HashMap<String, String> {
        let (client, published) = service(200, ACCEPTED).await;
        assert_eq!(Sns::new(topic, "us-east-2", format, client).send(&Letter::of(alert)).await, Outcome::Accepted);
        let mut published = published.lock().unwrap();
        assert_eq!(published.len(), 1);
        published.remove(0)
    }

    fn json(alert: &Alert) -> String {
        serde_json::to_string(alert).unwrap()
    }

    fn opened() -> Alert {
        alert(AlertKind::Opened, vec![access(0)])
    }

    #[tokio::test]
    async fn a_mail_has_a_subject_and_attributes_to_filter_by() {
        let form = published(TOPIC, SnsFormat::Text, &opened()).await;
        assert_eq!(form["Action"], "Publish");
        assert_eq!(form["TopicArn"], TOPIC);
        assert_eq!(form["Subject"], crate::notify::subject(&opened()));
        assert_eq!(form["Message"], crate::notify::text(&opened()));
        let attributes: HashMap<_, _> = (1..=5)
            .map(|n| {
                let key = format!("MessageAttributes.entry.{n}");
                assert_eq!(form[&format!("{key}.Value.DataType")], "String");
                (form[&format!("{key}.Name")].as_str(), form[&format!("{key}.Value.StringValue")].as_str())
            })
            .collect();
        let expected = [
            ("id", opened().id),
            ("incident", opened().incident),
            ("kind", "opened".to_owned()),
            ("severity", "medium".to_owned()),
            ("rule", "secret-is-accessed".to_owned()),
        ];
        assert_eq!(attributes, expected.iter().map(|(name, value)| (*name, value.as_str())).collect());
        assert!(!form.contains_key("MessageGroupId"));
    }

    #[tokio::test]
    async fn json_is_the_alert() {
        let form = published(TOPIC, SnsFormat::Json, &opened()).await;
        assert_eq!(serde_json::from_str::<Alert>(&form["Message"]).unwrap(), opened());
    }

    #[tokio::test]
    async fn a_fifo_topic_gets_the_incident_as_group_and_the_id_against_repetition() {
        let form = published(&format!("{TOPIC}.fifo"), SnsFormat::Json, &opened()).await;
        assert_eq!((&form["MessageGroupId"], &form["MessageDeduplicationId"]), (&opened().incident, &opened().id));
    }

    #[test]
    fn fifo_ids_are_made_legal() {
        for (id, expected) in [("a1-B:2", "a1-B:2"), ("a b\n", "a_b_"), ("ä", "_"), ("", "secretwatch")] {
            assert_eq!(fifo_id(id), expected);
        }
        assert_eq!(fifo_id(&"x".repeat(1_000)).len(), FIFO_ID_MAX);
    }

    #[test]
    fn empty_attributes_are_left_out_and_odd_ones_made_printable() {
        let mut alert = opened();
        alert.rule.name = String::new();
        alert.incident = "a\nb".to_owned();
        let attributes = attributes(&Letter::of(&alert));
        assert!(attributes.iter().all(|(name, _)| *name != "rule"));
        assert!(attributes.contains(&("incident", "a?b".to_owned())));
    }

    #[test]
    fn a_message_that_is_too_large_is_cut_with_a_note() {
        assert_eq!(cut("short".to_owned(), 100), "short");
        let cut = cut("ä".repeat(100), 101);
        assert!(cut.len() <= 101 && cut.ends_with("ä\n(cut here: SNS takes no more)\n"), "{cut}");
    }

    #[test]
    fn a_list_that_is_too_long_is_sent_in_part_and_says_so() {
        let big = alert(AlertKind::Opened, (0..500).map(access).collect());
        let message = fitting_json(&big, json(&big), 100_000).unwrap();
        assert!(message.len() <= 100_000);
        let value: Value = serde_json::from_str(&message).unwrap();
        let kept = value["accesses"].as_array().unwrap().len();
        assert!(kept > 0);
        assert_eq!(value["accesses_cut"], 500 - kept);
        assert_eq!((&value["id"], &value["accesses_total"]), (&Value::from(big.id.as_str()), &Value::from(500)));
        assert!(matches!(fitting_json(&big, json(&big), 100), Err(Outcome::Permanent { .. })));
    }

    #[test]
    fn characters_that_xml_does_not_have_are_escaped() {
        let mut alert = opened();
        alert.incident = "\u{0}\u{1b}\u{fffe}\u{ffff}".to_owned();
        let message = fitting_json(&alert, json(&alert), MESSAGE_MAX).unwrap();
        assert!(!message.contains(|c: char| c < ' ' || c == '\u{fffe}' || c == '\u{ffff}'));
        assert_eq!(serde_json::from_str::<Alert>(&message).unwrap(), alert);
    }

    async fn refused(status: u16, code: &str) -> Outcome {
        let error = format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>because</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        );
        let (client, published) = service(status, &error).await;
        let outcome = Sns::new(TOPIC, "us-east-2", SnsFormat::Text, client).send(&Letter::of(&opened())).await;
        assert_eq!(published.lock().unwrap().len(), 1, "the outbox retries, not the SDK");
        outcome
    }

    #[tokio::test]
    async fn what_heals_by_itself_is_told_from_what_does_not() {
        for (status, code) in [
            (500, "InternalError"),
            (500, "InternalFailure"),
            (503, "ServiceUnavailable"),
            (503, "Whatever"),
            (400, "ThrottlingException"),
            (400, "Throttling"),
            (429, "Throttled"),
            (400, "KMSThrottling"),
            (400, "KMSThrottlingException"),
            (403, "ExpiredToken"),
            (403, "ExpiredTokenException"),
            (403, "InvalidClientTokenId"),
            (403, "SignatureDoesNotMatch"),
        ] {
            assert_eq!(refused(status, code).await, Outcome::transient(format!("{code}: because")));
        }
        for (status, code) in [
            (404, "NotFound"),
            (404, "NotFoundException"),
            (403, "AuthorizationError"),
            (400, "InvalidParameter"),
            (400, "InvalidParameterValue"),
            (403, "InvalidSecurity"),
            (400, "KMSNotFound"),
            (400, "KMSDisabled"),
            (400, "KMSInvalidState"),
            (400, "KMSAccessDenied"),
            (403, "KMSOptInRequired"),
            (403, "AccessDenied"),
            (400, "Whatever"),
        ] {
            assert_eq!(refused(status, code).await, Outcome::permanent(format!("{code}: because")));
        }
    }

    #[tokio::test]
    async fn answers_that_are_none_are_judged_by_their_status() {
        for (status, transient) in [(502, true), (500, true), (400, false), (200, true)] {
            let (client, _) = service(status, "<html>").await;
            let outcome = Sns::new(TOPIC, "us-east-2", SnsFormat::Text, client).send(&Letter::of(&opened())).await;
            assert_eq!(matches!(outcome, Outcome::Transient { .. }), transient, "{status} {outcome:?}");
        }
    }

    #[tokio::test]
    async fn no_network_and_no_credentials_are_failures_that_may_heal() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let outcome =
            Sns::new(TOPIC, "us-east-2", SnsFormat::Text, client(&endpoint)).send(&Letter::of(&opened())).await;
        assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");

        #[derive(Debug)]
        struct None;
        impl aws_credential_types::provider::ProvideCredentials for None {
            fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                let error = aws_credential_types::provider::error::CredentialsError::not_loaded("no role here");
                aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
            }
        }
        let (with_credentials, _) = service(200, ACCEPTED).await;
        let config = with_credentials.config().to_builder().credentials_provider(None).build();
        let outcome =
            Sns::new(TOPIC, "us-east-2", SnsFormat::Text, Client::from_conf(config)).send(&Letter::of(&opened())).await;
        assert!(matches!(&outcome, Outcome::Transient { error, .. } if error.contains("no role here")), "{outcome:?}");
    }
}
