//! The two protocols that the services speak: JSON 1.1 and the query protocol with XML answers.
//!
//! [`read`] makes an [`Asked`] of a request of either; an [`Answer`] or a [`Refusal`] becomes a response of the same
//! protocol. Signatures are not checked: the credential scope is read for the Region and the access key and believed.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio_util::io::ReaderStream;

use crate::model::WallTime;

/// A service of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    CloudTrail,
    SecretsManager,
    Sns,
    Sts,
}

/// A request, before anyone has looked up who its access key belongs to.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) service: Service,
    pub(super) operation: String,
    /// An object; that of a form holds texts only.
    pub(super) parameters: Value,
    pub(super) access_key: String,
    pub(super) region: String,
    pub(super) user_agent: String,
}

/// A service's answer: a JSON object, or the inside of an XML result element.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Json(Value),
    Xml(String),
}

/// An error, as either protocol can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    /// A 400, as most errors are.
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self::with_status(400, code, message)
    }

    pub(super) fn with_status(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn invalid_token() -> Self {
        Self::new("InvalidNextTokenException", "Invalid token.")
    }

    pub(super) fn unknown_operation(service: Service) -> Self {
        match service.speaks_json() {
            true => Self::new("UnknownOperationException", "The simulated account has no such operation"),
            false => Self::new("InvalidAction", "The simulated account has no such action"),
        }
    }
}

impl Service {
    fn speaks_json(self) -> bool {
        matches!(self, Self::CloudTrail | Self::SecretsManager)
    }

    /// The namespace of its XML.
    fn namespace(self) -> &'static str {
        match self {
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            _ => "http://sns.amazonaws.com/doc/2010-03-31/",
        }
    }
}

/// The longest body taken: an SNS message may have 256 KiB, three times as many when escaped in a form.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// What `request` asks for. What is no request to any service here is refused in words.
pub(super) async fn read(request: Request) -> Result<Asked, Refusal> {
    let headers = request.headers().clone();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (access_key, region) = scope(text("authorization")).ok_or_else(|| {
        Refusal::with_status(403, "MissingAuthenticationToken", "The request has no credential scope")
    })?;
    let (service, operation, parameters) = match headers.get("x-amz-target") {
        Some(_) => read_json(text("x-amz-target"), request).await?,
        None => read_form(request).await?,
    };
    Ok(Asked { service, operation, parameters, access_key, region, user_agent: text("user-agent").to_owned() })
}

/// Access key and Region of `… Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`.
fn scope(authorization: &str) -> Option<(String, String)> {
    let credential = authorization.split_once("Credential=")?.1.split([',', ' ']).next()?;
    let mut parts = credential.split('/');
    let (key, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
    (!key.is_empty() && !region.is_empty()).then(|| (key.to_owned(), region.to_owned()))
}

/// The target's last two parts are service and operation; what stands before them differs between SDKs.
async fn read_json(target: &str, request: Request) -> Result<(Service, String, Value), Refusal> {
    let unknown = || Refusal::new("UnknownOperationException", "The simulated account has no such service");
    let (path, operation) = target.rsplit_once('.').ok_or_else(unknown)?;
    let service = match path.rsplit('.').next() {
        Some("CloudTrail_20131101") => Service::CloudTrail,
        Some("secretsmanager") => Service::SecretsManager,
        _ => return Err(unknown()),
    };
    let malformed = |_| Refusal::new("SerializationException", "The body is no JSON object");
    let body = Bytes::from_request(request, &()).await.map_err(|_| too_large())?;
    let parameters: Map<String, Value> = serde_json::from_slice(&body).map_err(malformed)?;
    Ok((service, operation.to_owned(), Value::Object(parameters)))
}

async fn read_form(request: Request) -> Result<(Service, String, Value), Refusal> {
    let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, &()).await.map_err(|_| too_large())?;
    let mut parameters: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let mut take = |name: &str| match parameters.remove(name) {
        Some(Value::String(value)) => value,
        _ => String::new(),
    };
    let (action, version) = (take("Action"), take("Version"));
    let service = match version.as_str() {
        "2010-03-31" => Service::Sns,
        "2011-06-15" => Service::Sts,
        _ => return Err(Refusal::new("InvalidAction", "The simulated account has no such service")),
    };
    Ok((service, action, Value::Object(parameters)))
}

fn too_large() -> Refusal {
    Refusal::with_status(413, "RequestEntityTooLarge", "The body is neither a form nor JSON, or too large")
}

/// The response to a request to `service`; errors of what was no request at all are told as JSON.
pub(super) fn response(
    result: Result<Answer, Refusal>,
    asked: Option<(Service, &str)>,
    request_id: &str,
) -> (StatusCode, &'static str, String) {
    match result {
        Ok(Answer::Json(value)) => (StatusCode::OK, JSON, value.to_string()),
        Ok(Answer::Xml(inside)) => {
            let (namespace, operation) =
                asked.map_or(("", ""), |(service, operation)| (service.namespace(), operation));
            let body = format!(
                "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{inside}</{operation}Result>\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
            );
            (StatusCode::OK, XML, body)
        }
        Err(refusal) => refused(&refusal, asked.map(|(service, _)| service), request_id),
    }
}

const JSON: &str = "application/x-amz-json-1.1";
const XML: &str = "text/xml";

fn refused(refusal: &Refusal, service: Option<Service>, request_id: &str) -> (StatusCode, &'static str, String) {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match service.filter(|service| !service.speaks_json()) {
        None => (status, JSON, json!({ "__type": refusal.code, "message": refusal.message }).to_string()),
        Some(service) => {
            let side = if status.is_server_error() { "Receiver" } else { "Sender" };
            let body = format!(
                "<ErrorResponse xmlns=\"{}\"><Error><Type>{side}</Type>{}{}</Error>\
                 <RequestId>{request_id}</RequestId></ErrorResponse>",
                service.namespace(),
                element("Code", &refusal.code),
                element("Message", &refusal.message),
            );
            (status, XML, body)
        }
    }
}

/// `<name>text</name>`, escaped.
pub(super) fn element(name: &str, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    format!("<{name}>{escaped}</{name}>")
}

/// Headers and body in one, dated by the account's clock.
pub(super) fn sent(
    (status, content_type, body): (StatusCode, &'static str, String),
    request_id: &str,
    now: WallTime,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), content_type.to_owned()),
        (header::DATE.as_str(), http_date(now)),
        ("x-amzn-requestid", request_id.to_owned()),
    ];
    (status, headers, body).into_response()
}

/// A response whose body ends half-way through what its length promises, so that the client sees it break off.
pub(super) fn cut(headers: HeaderMap, body: &str) -> Response {
    let half = body.as_bytes()[..body.len() / 2].to_vec();
    let mut response = Response::new(Body::from_stream(ReaderStream::new(std::io::Cursor::new(half))));
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    response
}

fn http_date(now: WallTime) -> String {
    let instant = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_scope_tells_key_and_region() {
        for (header, found) in [
            (
                "AWS4-HMAC-SHA256 Credential=AKIA1/20261122/eu-west-1/sns/aws4_request, SignedHeaders=host",
                Some(("AKIA1", "eu-west-1")),
            ),
            ("AWS4-HMAC-SHA256 Credential=AKIA1/20261122", None),
            ("AWS4-HMAC-SHA256 Credential=//eu-west-1", None),
            ("Bearer x", None),
            ("", None),
        ] {
            let found = found.map(|(key, region)| (key.to_owned(), region.to_owned()));
            assert_eq!(scope(header), found, "{header}");
        }
    }

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(WallTime(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn xml_is_escaped() {
        assert_eq!(element("A", "<\"&\">"), "<A>&lt;&quot;&amp;&quot;&gt;</A>");
    }
}
