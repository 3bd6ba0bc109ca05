//! A webhook: one POST in whatever format is configured, signed as Standard Webhooks has it.
//!
//! One attempt lasts at most the configured time, from the name lookup to the end of the answer, however slowly or
//! endlessly the receiver answers: the status decides, and of the body only a little is read, for the error text.
//! Redirects are not followed, since they would carry the alert, its headers and its signature to an address that
//! nobody configured.

use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::Sha256;

use super::format::{Letter, body};
use super::sender::{BadNotifier, Outcome, with_causes};
use crate::config::{self, WebhookFormat};
use crate::model::WallTime;

/// How much of an answer is read, in bytes.
const ANSWER_MAX: usize = 4096;

/// How long the body of an answer is waited for once its status is known.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Names the notifier that has not taken the alert, where this one stands in for it.
const FALLBACK_FOR: &str = "secretwatch-fallback-for";

/// Posts alerts to one URL.
pub struct Webhook {
    client: Client,
    url: Url,
    format: WebhookFormat,
    headers: HeaderMap,
    /// The keyed hash, before any text.
    key: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for Webhook {
    /// The host only: path, query, headers and key may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str().unwrap_or_default()).finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn new(notifier: &str, webhook: &config::Webhook) -> Result<Self, BadNotifier> {
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(webhook.timeout)
            .user_agent(concat!("secretwatch/", env!("CARGO_PKG_VERSION")));
        if config::is_loopback(&webhook.url) {
            // A proxy would look for the receiver on its own host.
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|e| BadNotifier::new(notifier, "no HTTPS client could be made", Some(e.without_url().into())))?;
        let key = webhook.signing_secret.as_deref().map(Hmac::new_from_slice).transpose();
        let key = key.map_err(|e| BadNotifier::new(notifier, "the signing secret is no key", Some(e.into())))?;
        let (url, format) = (webhook.url.clone(), webhook.format.clone());
        Ok(Self { client, url, format, headers: headers(notifier, &webhook.headers)?, key })
    }

    pub(super) async fn send(&self, letter: &Letter<'_>, now: WallTime) -> Outcome {
        let body = match body(&self.format, letter) {
            Ok(body) => body,
            Err(error) => return error.into(),
        };
        let headers = self.signed(&letter.id(), now, &body.text).and_then(|mut headers| {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&body.content_type).ok()?);
            if let Some(notifier) = letter.fallback_for {
                headers.insert(FALLBACK_FOR, HeaderValue::from_str(notifier).ok()?);
            }
            Some(headers)
        });
        let Some(headers) = headers else { return Outcome::permanent("alert id cannot be a header") };
        match self.client.post(self.url.clone()).headers(headers).body(body.text).send().await {
            Ok(response) => judge(response, now).await,
            Err(error) => Outcome::transient(with_causes(&error.without_url())),
        }
    }

    pub(super) fn shares(&self) -> bool {
        matches!(self.format, WebhookFormat::Slack | WebhookFormat::Teams)
    }

    /// The configured headers and those of Standard Webhooks: `webhook-id`, which stays the same however often the
    /// alert is sent, `webhook-timestamp`, by which a receiver refuses old recordings, and a signature over both and
    /// the body.
    fn signed(&self, id: &str, now: WallTime, body: &str) -> Option<HeaderMap> {
        let timestamp = now.second().0;
        let mut headers = self.headers.clone();
        headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        if let Some(key) = &self.key {
            let mut mac = key.clone();
            mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
            let signature = aws_smithy_types::base64::encode(mac.finalize().into_bytes());
            headers.insert("webhook-signature", HeaderValue::from_str(&format!("v1,{signature}")).ok()?);
        }
        Some(headers)
    }
}

fn headers(notifier: &str, configured: &[(String, String)]) -> Result<HeaderMap, BadNotifier> {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        let bad = |e: Box<dyn std::error::Error + Send + Sync>| {
            BadNotifier::new(notifier, "one of its headers is not valid in HTTP", Some(e))
        };
        let name = HeaderName::try_from(name.as_str()).map_err(|e| bad(e.into()))?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|e| bad(e.into()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What an answer means.
async fn judge(response: Response, now: WallTime) -> Outcome {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| pause(value, now));
    // Read in every case: a short answer that was read to its end leaves the connection fit for the next alert.
    let answer = excerpt(response).await;
    if status.is_success() {
        return Outcome::Accepted;
    }
    let mut error = format!("receiver answered {status}");
    if status.is_redirection() {
        error += ", a redirect, which is not followed";
    }
    if !answer.is_empty() {
        error = format!("{error}: {answer}");
    }
    if heals(status) { Outcome::transient(error).after(retry_after) } else { Outcome::permanent(error) }
}

/// Whether the same request may be accepted later though nobody changes anything.
fn heals(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// How long a `Retry-After` of `value` asks to wait: it holds seconds or a date.
fn pause(value: &str, now: WallTime) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    Some(WallTime(date.as_millisecond()).since(now))
}

/// The beginning of the answer's body, as far as it comes soon.
async fn excerpt(mut response: Response) -> String {
    let mut body = Vec::new();
    let read = async {
        while body.len() < ANSWER_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_MAX - body.len())]);
        }
    };
    // Too late is as good as read: what came is in `body`.
    let _ = tokio::time::timeout(ANSWER_TIME, read).await;
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::HeaderMap as Headers;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::model::fixture::{START, access, alert};
    use crate::model::{Alert, AlertKind};

    const NOW: WallTime = WallTime(1_779_907_800_900);

    type Requests = Arc<Mutex<Vec<(Headers, Bytes)>>>;

    /// A receiver on loopback that answers every POST to `/hook` with what `answer` makes, and what it was sent.
    async fn receiver<R: IntoResponse>(answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> (Url, Requests) {
        let requests = Requests::default();
        let hook = move |State(requests): State<Requests>, headers: Headers, body: Bytes| {
            let answer = answer.clone();
            async move {
                requests.lock().unwrap().push((headers, body));
                answer()
            }
        };
        (serve(Router::new().route("/hook", post(hook)).with_state(Arc::clone(&requests))).await, requests)
    }

    async fn serve(app: Router) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Url::parse(&format!("http://{address}/hook?token=hunter2")).unwrap()
    }

    /// A receiver whose answers begin with `status` and go on as long as somebody reads.
    async fn endless(status: &'static str) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // An answer to a request that has not begun would be an error of its own.
            stream.read_exact(&mut [0; 4]).await.unwrap();
            let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(b"9\r\nand more \r\n").await.is_ok() {}
        });
        Url::parse(&format!("http://{address}/hook")).unwrap()
    }

    fn settings(url: Url) -> config::Webhook {
        config::Webhook {
            url,
            format: WebhookFormat::Json,
            headers: vec![],
            timeout: Duration::from_secs(10),
            signing_secret: None,
        }
    }

    fn opened() -> Alert {
        alert(AlertKind::Opened, vec![access(0)])
    }

    async fn outcome(url: Url) -> Outcome {
        Webhook::new("chat", &settings(url)).unwrap().send(&Letter::of(&opened()), NOW).await
    }

    async fn answered<R: IntoResponse>(answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> Outcome {
        outcome(receiver(answer).await.0).await
    }

    #[tokio::test]
    async fn the_status_decides() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(answered(move || StatusCode::from_u16(status).unwrap()).await, Outcome::Accepted, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            let outcome = answered(move || StatusCode::from_u16(status).unwrap()).await;
            assert!(matches!(outcome, Outcome::Transient { .. }), "{status} {outcome:?}");
        }
        for status in [300, 304, 400, 401, 403, 404, 405, 410, 413, 422, 499] {
            let outcome = answered(move || StatusCode::from_u16(status).unwrap()).await;
            assert!(matches!(outcome, Outcome::Permanent { .. }), "{status} {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (elsewhere, requests) = receiver(|| "").await;
        let outcome = answered(move || axum::response::Redirect::temporary(elsewhere.as_str())).await;
        let error = "receiver answered 307 Temporary Redirect, a redirect, which is not followed".to_owned();
        assert_eq!(outcome, Outcome::Permanent { error });
        assert!(requests.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_answer_is_shown_on_one_short_line() {
        let outcome = answered(|| (StatusCode::BAD_REQUEST, "no such\r\nchannel\u{202e}")).await;
        assert_eq!(outcome, Outcome::permanent("receiver answered 400 Bad Request: no such??channel?"));
        let Outcome::Permanent { error } = answered(|| (StatusCode::BAD_REQUEST, "x".repeat(100_000))).await else {
            panic!("not refused")
        };
        assert_eq!(error.chars().count(), 300);
    }

    #[tokio::test]
    async fn retry_after_is_read_in_both_its_forms() {
        let asked = |value: &'static str| async move {
            match answered(move || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", value)])).await {
                Outcome::Transient { retry_after, .. } => retry_after.map(|pause| pause.as_secs_f64()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked("120").await, Some(120.0));
        // NOW is Wed, 27 May 2026 18:50:00.9.
        assert_eq!(asked("Wed, 27 May 2026 18:51:00 GMT").await, Some(59.1));
        assert_eq!(asked("Wed, 27 May 2020 18:51:00 GMT").await, Some(0.0));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(asked(nonsense).await, None, "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_answer_is_left_in_time() {
        let url = serve(Router::new().route("/hook", post(std::future::pending::<()>))).await;
        let settings = config::Webhook { timeout: Duration::from_millis(50), ..settings(url) };
        let outcome = Webhook::new("chat", &settings).unwrap().send(&Letter::of(&opened()), NOW).await;
        assert!(matches!(&outcome, Outcome::Transient { error, .. } if error.contains("timed out")), "{outcome:?}");
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        assert_eq!(outcome(endless("200 OK").await).await, Outcome::Accepted);
        let outcome = outcome(endless("404 Not Found").await).await;
        let Outcome::Permanent { error } = outcome else { panic!("not refused") };
        assert!(error.starts_with("receiver answered 404 Not Found: and more and more "), "{error}");
    }

    #[tokio::test]
    async fn nobody_listening_is_a_failure_that_does_not_tell_the_url() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/hook?token=hunter2", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let webhook = Webhook::new("chat", &settings(url)).unwrap();
        let outcome = webhook.send(&Letter::of(&opened()), NOW).await;
        assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
        for shown in [format!("{outcome:?}"), format!("{webhook:?}")] {
            assert!(!shown.contains("hunter2") && !shown.contains("/hook"), "{shown}");
        }
    }

    #[tokio::test]
    async fn the_request_is_the_alert_with_its_id_and_a_signature() {
        let (url, requests) = receiver(|| "").await;
        let headers = vec![("x-team".to_owned(), "sec".to_owned()), ("webhook-id".to_owned(), "forged".to_owned())];
        let settings = config::Webhook { headers, signing_secret: Some(b"key".to_vec()), ..settings(url) };
        let webhook = Webhook::new("chat", &settings).unwrap();
        assert_eq!(webhook.send(&Letter::of(&opened()), NOW).await, Outcome::Accepted);

        let (headers, body) = requests.lock().unwrap().pop().unwrap();
        let id = opened().id;
        for (name, value) in [
            ("content-type", "application/json"),
            ("user-agent", concat!("secretwatch/", env!("CARGO_PKG_VERSION"))),
            ("x-team", "sec"),
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", "1779907800"),
        ] {
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        assert_eq!(serde_json::from_slice::<Alert>(&body).unwrap(), opened());
        let signed = [id.as_bytes(), b".1779907800.", &body].concat();
        assert_eq!(headers["webhook-signature"], format!("v1,{}", naive_signature(b"key", &signed)));
    }

    /// HMAC-SHA256 as RFC 2104 writes it, for keys up to 64 bytes, in base64.
    fn naive_signature(key: &[u8], text: &[u8]) -> String {
        use sha2::Digest;
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
        let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
        aws_smithy_types::base64::encode(outer)
    }

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let key = hex::decode("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0").unwrap();
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let webhook = Webhook::new("chat", &config::Webhook { signing_secret: Some(key), ..settings(url) }).unwrap();
        let at = WallTime(1_614_265_330_000);
        let headers = webhook.signed("msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(webhook.signed("line\nbreak", START.wall(), "").is_none());
    }

    #[test]
    fn a_header_that_http_does_not_allow_is_named_at_the_start() {
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let headers = vec![("x team".to_owned(), "sec".to_owned())];
        let error = Webhook::new("chat", &config::Webhook { headers, ..settings(url) }).unwrap_err();
        assert_eq!(error.to_string(), "cannot set up notifier \"chat\": one of its headers is not valid in HTTP");
    }
}
