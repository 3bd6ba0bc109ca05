//! Whoever listens for alerts: an HTTP server that keeps every request and answers as the test wishes.
//!
//! It lives in a runtime of its own, because that is what can die at once: with it go its socket and all connections,
//! the idle ones too, as with a process that was killed. While it is down its port stays bound to a socket that does
//! not listen, so that connections are refused and nobody else gets the port.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// What a request gets.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A 200.
    Accept,
    /// This status instead.
    Status(u16),
    /// Nothing until the token is cancelled, then a 200.
    Hold(CancellationToken),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The method, and the path with its query.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    /// The alert.
    pub(crate) body: Value,
    /// Whether it was answered with a 200.
    pub(crate) accepted: bool,
}

/// The server.
pub(crate) struct Receiver {
    address: SocketAddr,
    desk: Arc<Desk>,
    life: Option<Runtime>,
    /// Bound and not listening, while the server is down.
    place: Option<TcpSocket>,
}

/// How a test answers.
type Decide = Box<dyn FnMut(&Request) -> Answer + Send>;

/// What outlives each life of the server.
struct Desk {
    requests: Mutex<Vec<Request>>,
    decide: Mutex<Decide>,
    news: watch::Sender<u64>,
}

impl Receiver {
    /// One that listens and accepts.
    pub(crate) fn up() -> Self {
        let mut receiver = Self::new();
        receiver.come_up();
        receiver
    }

    fn new() -> Self {
        let place = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            address: place.local_addr().expect("a bound socket has an address"),
            desk: Arc::new(Desk {
                requests: Mutex::default(),
                decide: Mutex::new(Box::new(|_| Answer::Accept)),
                news: watch::Sender::new(0),
            }),
            life: None,
            place: Some(place),
        }
    }

    /// Where alerts are to be sent.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// Listens from now on.
    pub(crate) fn come_up(&mut self) {
        let Some(place) = self.place.take() else { return };
        let life = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let listener = {
            let _inside = life.enter();
            place.listen(128).expect("a bound socket can listen")
        };
        let router = Router::new().fallback(take).with_state(Arc::clone(&self.desk));
        life.spawn(async move { axum::serve(listener, router).await });
        self.life = Some(life);
    }

    /// Dies, with everything that it was about to answer.
    pub(crate) fn go_down(&mut self) {
        if let Some(life) = self.life.take() {
            // Waits for the one worker, since the listener must be gone before its port can be bound again.
            std::thread::spawn(move || drop(life)).join().expect("a runtime can be dropped");
            self.place = Some(bound(self.address));
        }
    }

    /// Answers like this from now on.
    pub(crate) fn answers(&self, answer: Answer) {
        self.decides(move |_| answer.clone());
    }

    /// Answers each request as `decide` says.
    pub(crate) fn decides(&self, decide: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.desk.decide.lock().unwrap() = Box::new(decide);
    }

    /// Every request so far, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.desk.requests.lock().unwrap().clone()
    }

    /// Waits until `holds` says so of all requests.
    pub(crate) async fn until(&self, holds: impl Fn(&[Request]) -> bool) {
        let mut news = self.desk.news.subscribe();
        loop {
            news.borrow_and_update();
            if holds(&self.requests()) {
                return;
            }
            // The sender lives in `self`.
            let _ = news.changed().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            // A test's runtime allows no waiting here.
            life.shutdown_background();
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_reuseaddr(true).expect("a socket can share its address");
    let begun = Instant::now();
    loop {
        match socket.bind(address) {
            Ok(()) => return socket,
            // A program that another test is starting has a copy of our listener, from its fork to its exec.
            Err(error) if error.kind() == ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => {
                std::thread::yield_now()
            }
            Err(error) => panic!("{address} cannot be bound: {error}"),
        }
    }
}

async fn take(State(desk): State<Arc<Desk>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let request = Request { line: format!("{method} {uri}"), headers, body, accepted: false };
    let answer = (desk.decide.lock().unwrap())(&request);
    let number = {
        let mut requests = desk.requests.lock().unwrap();
        requests.push(request);
        requests.len() - 1
    };
    desk.news.send_modify(|news| *news += 1);
    let status = match answer {
        Answer::Accept => StatusCode::OK,
        Answer::Status(status) => StatusCode::from_u16(status).expect("tests answer with a status that is one"),
        Answer::Hold(release) => {
            release.cancelled().await;
            StatusCode::OK
        }
    };
    desk.requests.lock().unwrap()[number].accepted = status == StatusCode::OK;
    desk.news.send_modify(|news| *news += 1);
    status
}
