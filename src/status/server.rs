//! The only part that listens: the page, the metrics, and JSON for programs.
//!
//! Only GET is answered, nothing is changed. On loopback a request has to name this machine as its host, so that a page
//! from elsewhere cannot look by way of somebody's browser; anywhere else it has to bear the token, as `Authorization:
//! Bearer`, or as the password of Basic authentication, which browsers ask for. Connections, their lives, and the time
//! for one answer are bounded, so that whoever looks cannot keep the daemon from its work.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::page::{self, Filter, Lists};
use super::{Status, metrics};
use crate::config;
use crate::model::{EventTime, Outcome, WallClock, WallTime};
use crate::store::{AccessPage, AccessQuery, AlertPage, AlertQuery, Keeper, StoreError};

/// Connections at a time; more wait.
const CONNECTIONS: usize = 64;

/// A connection's life: whoever says nothing, or very slowly, makes room for others.
const LIFE: Duration = Duration::from_secs(120);

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A status is made anew after this long.
const RENEWED: Duration = Duration::from_secs(1);

/// A loop that has not turned for so long hangs.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Rows of a list in one answer, and unless asked otherwise.
const MOST: usize = 1_000;
const USUAL: usize = 100;

/// Rows of the page's lists.
const SHOWN: usize = 50;

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

/// A status, and when it was made.
type Made = (Instant, Arc<Status>);

/// What answers are made of.
#[derive(Clone)]
struct Desk {
    keeper: Keeper,
    clock: WallClock,
    began: WallTime,
    /// The last status, and when it was made.
    last: Arc<Mutex<Option<Made>>>,
    /// A hash of the token that requests have to bear; none on loopback.
    token: Option<Arc<[u8; 32]>>,
}

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
        let token = self.token.map(|token| Arc::new(Sha256::digest(token).into()));
        let desk = Desk { keeper, began: clock.now(), clock, last: Arc::default(), token };
        let router = Router::new()
            .route("/", get(front))
            .route("/page.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)))
            .route("/page.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], page::SCRIPT)))
            .route("/metrics", get(metrics_of))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/api/v1/status", get(status_of))
            .route("/api/v1/accesses", get(accesses))
            .route("/api/v1/alerts", get(alerts))
            .route("/api/v1/incidents", get(incidents))
            .fallback(async || Failed(StatusCode::NOT_FOUND, "there is nothing here".to_owned()))
            .method_not_allowed_fallback(async || {
                Failed(StatusCode::METHOD_NOT_ALLOWED, "everything here is asked for by GET".to_owned())
            })
            .layer(middleware::from_fn_with_state(desk.clone(), guarded))
            .with_state(desk);
        let door = Door { listener: self.listener, places: Arc::new(Semaphore::new(CONNECTIONS)) };
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
struct Failed(StatusCode, String);

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
async fn guarded(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let response = match refused(&desk, &request) {
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

fn refused(desk: &Desk, request: &Request) -> Option<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let why = "everything here is asked for by GET".to_owned();
        return Some(Failed(StatusCode::METHOD_NOT_ALLOWED, why).into_response());
    }
    let headers = request.headers();
    match &desk.token {
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

impl Desk {
    /// The status, a second old at most. Of those who ask at once one has it made, and the others wait for that.
    async fn status(&self) -> Result<Arc<Status>, Failed> {
        let mut last = self.last.lock().await;
        if let Some((made, status)) = &*last
            && made.elapsed() < RENEWED
        {
            return Ok(status.clone());
        }
        let now = self.clock.now();
        let overview = self.keeper.run(move |ledger| Ok(ledger.overview(now))).await??;
        let status = Arc::new(Status { began: self.began, overview });
        *last = Some((Instant::now(), status.clone()));
        Ok(status)
    }

    fn hangs(&self, status: &Status) -> bool {
        self.clock.now().since(status.overview.ticked) > STANDSTILL
    }

    async fn accesses(&self, query: AccessQuery) -> Result<AccessPage, Failed> {
        let condition = query.condition().map_err(|error| Failed(StatusCode::BAD_REQUEST, error.to_string()))?;
        // A failing look is told to whoever looks, and ends nothing.
        Ok(self.keeper.run(move |ledger| Ok(ledger.accesses(&query, &condition))).await??)
    }

    async fn alerts(&self, query: AlertQuery) -> Result<AlertPage, Failed> {
        Ok(self.keeper.run(move |ledger| Ok(ledger.alerts(&query))).await??)
    }
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
    // The ledger's thread ends with the first write that fails.
    desk.keeper.run(|_| Ok(())).await?;
    if objections.is_empty() {
        Ok("ready\n")
    } else {
        Err(Failed(StatusCode::SERVICE_UNAVAILABLE, objections.join("; ")))
    }
}

async fn status_of(State(desk): State<Desk>) -> Result<Json<Value>, Failed> {
    let status = desk.status().await?;
    let overview = &status.overview;
    let mut open = serde_json::Map::new();
    for rule in &overview.rules {
        let count = overview.incidents.iter().filter(|incident| incident.rule == *rule).count();
        open.insert(rule.clone(), count.into());
    }
    Ok(Json(json!({
        "schema": "secretwatch.status.v1",
        "version": env!("CARGO_PKG_VERSION"),
        "at": overview.at,
        "began": status.began,
        "says": status.sentence(),
        "ready": status.objections().is_empty(),
        "sources": overview.sources,
        "notifiers": overview.outboxes,
        "incidents_open": open,
        "store_bytes": overview.store_bytes,
    })))
}

/// What `/api/v1/accesses` can be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccessesAsked {
    since: Option<String>,
    secret: Option<String>,
    principal: Option<String>,
    outcome: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

/// The parameters in the address, or why they make no sense.
type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

fn asked<T>(asked: Asked<T>) -> Result<T, Failed> {
    asked.map(|Query(asked)| asked).map_err(|rejection| Failed(StatusCode::BAD_REQUEST, rejection.body_text()))
}

fn bad(key: &str, expected: &str) -> Failed {
    Failed(StatusCode::BAD_REQUEST, format!("{key}: expected {expected}"))
}

async fn accesses(State(desk): State<Desk>, query: Asked<AccessesAsked>) -> Result<Json<Value>, Failed> {
    let query = access_query(asked(query)?, &desk.clock)?;
    let AccessPage { accesses, next } = desk.accesses(query).await?;
    let next = next.map(|(at, id)| format!("{at}/{id}"));
    Ok(Json(json!({ "accesses": accesses, "next": next })))
}

fn access_query(asked: AccessesAsked, clock: &WallClock) -> Result<AccessQuery, Failed> {
    let AccessesAsked { since, secret, principal, outcome, limit, before } = asked;
    let globs = |glob: Option<String>| glob.filter(|glob| !glob.is_empty()).into_iter().collect();
    Ok(AccessQuery {
        since: since.map(|since| back(&since, clock)).transpose()?,
        secrets: globs(secret),
        principals: globs(principal),
        outcome: match outcome.as_deref() {
            None | Some("" | "any") => None,
            Some("success") => Some(Outcome::Success),
            Some("denied") => Some(Outcome::Denied),
            Some("failed") => Some(Outcome::Failed),
            Some(_) => return Err(bad("outcome", "success, denied, failed or any")),
        },
        before: before.map(|before| place(&before)).transpose()?,
        limit: limit.unwrap_or(USUAL).min(MOST),
    })
}

/// So long before now, as in `1h`.
fn back(since: &str, clock: &WallClock) -> Result<EventTime, Failed> {
    let length = humantime::parse_duration(since).map_err(|_| bad("since", "a duration such as 1h"))?;
    Ok(clock.now().minus(length).second())
}

fn place(before: &str) -> Result<(EventTime, String), Failed> {
    let wrong = || bad("before", "the next of an earlier answer");
    let (at, id) = before.split_once('/').ok_or_else(wrong)?;
    Ok((at.parse().map_err(|_| wrong())?, id.to_owned()))
}

/// What `/api/v1/alerts` can be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AlertsAsked {
    id: Option<String>,
    since: Option<String>,
    undelivered: bool,
    limit: Option<usize>,
    before: Option<u64>,
}

async fn alerts(State(desk): State<Desk>, query: Asked<AlertsAsked>) -> Result<Json<Value>, Failed> {
    let AlertsAsked { id, since, undelivered, limit, before } = asked(query)?;
    let since = since.map(|since| back(&since, &desk.clock)).transpose()?.map(EventTime::wall);
    let limit = limit.unwrap_or(USUAL).min(MOST);
    let AlertPage { alerts, next } = desk.alerts(AlertQuery { id, since, undelivered, before, limit }).await?;
    Ok(Json(json!({ "alerts": alerts, "next": next })))
}

/// There are never so many open incidents that they would want pages, and none is stored apart from the status.
async fn incidents(State(desk): State<Desk>) -> Result<Json<Value>, Failed> {
    Ok(Json(json!({ "incidents": desk.status().await?.overview.incidents })))
}

/// What the page can be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageAsked {
    secret: String,
    principal: String,
    outcome: String,
}

async fn front(State(desk): State<Desk>, query: Asked<PageAsked>) -> Result<Html<String>, Failed> {
    let PageAsked { secret, principal, outcome } = asked(query)?;
    let status = desk.status().await?;
    let now = desk.clock.now();
    let charted = AccessQuery { since: Some(now.minus(page::SPAN).second()), limit: MOST, ..AccessQuery::default() };
    let charted = desk.accesses(charted).await?;
    let filter = Filter { secret: secret.clone(), principal: principal.clone(), outcome: outcome.clone() };
    let asked = AccessesAsked {
        secret: Some(secret),
        principal: Some(principal),
        outcome: Some(outcome),
        limit: Some(SHOWN),
        ..AccessesAsked::default()
    };
    let lists = Lists {
        all_charted: charted.next.is_none(),
        charted: charted.accesses,
        accesses: desk.accesses(access_query(asked, &desk.clock)?).await?.accesses,
        alerts: desk.alerts(AlertQuery { limit: SHOWN, ..AlertQuery::default() }).await?.alerts,
        filter,
    };
    let page = page::render(&status, &lists, now);
    page.map(Html).map_err(|error| Failed(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Lets so many in at a time.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection with its place, for as long as it may live.
struct Visit {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl axum::serve::Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // A semaphore that nobody closes always has a place in the end.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let end = Box::pin(tokio::time::sleep(LIFE));
                    return (Visit { stream, end, _place: place }, address);
                }
                // Out of descriptors, or the caller is gone again.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
