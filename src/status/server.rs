//! The only part that listens: the page, the metrics, and JSON for programs.
//!
//! Only GET is answered, nothing is changed. On loopback a request has to name this machine as its host, so that a page
//! from elsewhere cannot look by way of somebody's browser; anywhere else it has to bear the token, as `Authorization:
//! Bearer`, or as the password of Basic authentication, which browsers ask for. Connections, their lives, and the time
//! for one answer are bounded, so that whoever looks cannot keep the daemon from its work.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api::{self, AccessesAsked, Asked, access_query, asked};
use super::chart::Chart;
use super::desk::Desk;
use super::door::Door;
use super::metrics;
use super::page::{self, Page};
use crate::config;
use crate::model::WallClock;
use crate::store::{AccessQuery, AlertQuery, Keeper, StoreError};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rows of the page's lists.
const SHOWN: usize = 25;

/// Alerts among which the page looks for incidents to mark in its chart.
const MARKED: usize = 500;

/// Nothing but what comes from here, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Why nobody can look.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}, so there is no status page and no metrics: {source}")]
pub struct BadServer {
    listen: SocketAddr,
    source: io::Error,
}

/// The server, listening and not yet answering.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    token: Option<String>,
}

/// A hash of the token that requests have to bear; none on loopback.
type Token = Option<Arc<[u8; 32]>>;

impl Server {
    /// Listens where `status` says.
    pub async fn open(status: &config::Status) -> Result<Self, BadServer> {
        let listen = status.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| BadServer { listen, source })?;
        Ok(Self { listener, token: status.token.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until told to stop.
    pub async fn serve(self, keeper: Keeper, clock: WallClock, stop: CancellationToken) {
        let token: Token = self.token.map(|token| Arc::new(Sha256::digest(token).into()));
        let router = Router::new()
            .route("/", get(front))
            .route("/page.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)))
            .route("/page.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], page::SCRIPT)))
            .route("/metrics", get(metrics_of))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/api/v1/status", get(api::status_of))
            .route("/api/v1/accesses", get(api::accesses))
            .route("/api/v1/alerts", get(api::alerts))
            .route("/api/v1/incidents", get(api::incidents))
            .route("/api/v1/rules", get(api::rules))
            .route("/api/v1/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], api::DOCUMENT)))
            .fallback(async || Failed(StatusCode::NOT_FOUND, "there is nothing here".to_owned()))
            .method_not_allowed_fallback(async || {
                Failed(StatusCode::METHOD_NOT_ALLOWED, "everything here is asked for by GET".to_owned())
            })
            .layer(middleware::from_fn_with_state(token, guarded))
            .with_state(Desk::of(keeper, clock));
        let door = Door::of(self.listener);
        let stopped = stop.clone();
        let serving = axum::serve(door, router).with_graceful_shutdown(async move { stopped.cancelled().await });
        let ended = async {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            served = serving => if let Err(error) = served {
                tracing::warn!(%error, "the status page has ended");
            },
            () = ended => {}
        }
    }
}

/// An answer that says what is wrong.
pub(super) struct Failed(pub(super) StatusCode, pub(super) String);

impl Failed {
    /// What was asked makes no sense.
    pub(super) fn bad(why: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, why.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// What stands before every answer and around it.
async fn guarded(State(token): State<Token>, request: Request, next: Next) -> Response {
    let response = match refused(token.as_deref(), &request) {
        Some(refused) => refused,
        None => match tokio::time::timeout(PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Failed(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {seconds} seconds")).into_response()
            }
        },
    };
    let mut response = response;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refused(token: Option<&[u8; 32]>, request: &Request) -> Option<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let why = "everything here is asked for by GET".to_owned();
        return Some(Failed(StatusCode::METHOD_NOT_ALLOWED, why).into_response());
    }
    let headers = request.headers();
    match token {
        // Whoever asks whether the process lives has no secrets.
        Some(_) if request.uri().path() == "/healthz" => None,
        Some(token) if is_let_in(headers, token) => None,
        Some(_) => {
            let mut response =
                Failed(StatusCode::UNAUTHORIZED, "the token is missing or wrong".to_owned()).into_response();
            let challenge = HeaderValue::from_static("Basic realm=\"secretwatch\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            Some(response)
        }
        None if is_this_machine(headers) => None,
        None => {
            let why = "ask by the address of this machine, such as 127.0.0.1".to_owned();
            Some(Failed(StatusCode::MISDIRECTED_REQUEST, why).into_response())
        }
    }
}

/// Whether the request bears the token. Hashes are compared, so that the time it takes tells nothing of it.
fn is_let_in(headers: &HeaderMap, token: &[u8; 32]) -> bool {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = said.split_once(' ').unwrap_or((said, ""));
    let given = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_owned(),
        "basic" => {
            let decoded = BASE64_STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let password = decoded.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
            password.unwrap_or_default().to_owned()
        }
        _ => return false,
    };
    let hash: [u8; 32] = Sha256::digest(given).into();
    hash.iter().zip(token).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn metrics_of(State(desk): State<Desk>) -> Result<impl IntoResponse, Failed> {
    let text = metrics::render(&*desk.status().await?, desk.clock.now());
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// Whether the process and its loop live.
async fn healthz(State(desk): State<Desk>) -> Result<&'static str, Failed> {
    match desk.hangs(&*desk.status().await?) {
        true => Err(Failed(StatusCode::SERVICE_UNAVAILABLE, "the loop hangs".to_owned())),
        false => Ok("ok\n"),
    }
}

/// Whether every source is fresh, and the store can be written.
async fn readyz(State(desk): State<Desk>) -> Result<&'static str, Failed> {
    let status = desk.status().await?;
    let mut objections = status.objections();
    if desk.hangs(&status) {
        objections.push("the loop hangs".to_owned());
    }
    desk.is_writable().await?;
    if objections.is_empty() {
        Ok("ready\n")
    } else {
        Err(Failed(StatusCode::SERVICE_UNAVAILABLE, objections.join("; ")))
    }
}

async fn front(State(desk): State<Desk>, query: Asked<AccessesAsked>) -> Result<(StatusCode, Html<String>), Failed> {
    let asked = asked(query)?;
    // A filter that makes no sense is told where it was typed.
    let (query, code, trouble) = match access_query(&desk, asked.clone()).await {
        Ok(query) => (query, StatusCode::OK, None),
        Err(Failed(code, why)) if code.is_client_error() => (AccessQuery::default(), code, Some(why)),
        Err(failed) => return Err(failed),
    };
    let query = AccessQuery { limit: SHOWN, ..query };
    let (now, status) = (desk.clock.now(), desk.status().await?);
    let since = Some(now.minus(Chart::span()));
    let page = Page {
        status: &status,
        now,
        rules: &desk.rules().await?,
        chart: &*desk.chart(query.clone()).await?,
        fired: desk.alerts(AlertQuery { since, limit: MARKED, ..AlertQuery::default() }).await?.alerts,
        accesses: desk.accesses(query).await?,
        alerts: desk.alerts(AlertQuery { limit: SHOWN, ..AlertQuery::default() }).await?.alerts,
        asked,
        trouble,
    };
    let html = page.render().map_err(|error| Failed(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((code, Html(html)))
}
