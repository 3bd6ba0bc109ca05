//! The running account, and the handle by which tests and the demonstration drive it.
//!
//! [`Account::start`] listens on loopback and serves until [`Account::stop`], or until the last clone is dropped. An
//! [`Account`] is that handle: it puts records into the Event history, makes secrets and topics, injects faults, tells
//! which calls came in and how they were answered, and waits for what shall come without sleeping.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::callers::Caller;
use super::clock::Clock;
use super::door;
use super::faults::{Injection, InjectionId};
use super::lateness::Lateness;
use super::records::Record;
use super::server;
use super::state::State;
use super::sts::SECRET_ACCESS_KEY;
use super::topics::Message;
use crate::model::WallTime;

/// Quota of LookupEvents at AWS: requests a second, for each account and Region.
pub const AWS_QUOTA: f64 = 2.0;

/// How the account behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose account it is: that of every caller who was not registered.
    pub account: String,
    /// The Region of records that name none.
    pub region: String,
    /// What time it is there.
    pub clock: Clock,
    /// How late events become visible.
    pub lateness: Lateness,
    /// LookupEvents requests a second for each account and Region; none: as many as you like.
    pub quota: Option<f64>,
    /// The share of events that are listed twice, from 0 to 1.
    pub repeats: f64,
    /// Events are listed up to this much out of order, on a page and across pages; zero: strictly newest first.
    pub disorder: Duration,
    /// Of everything drawn by lot: equal seeds and equal calls make equal ids.
    pub seed: u64,
    /// The port on loopback; 0: any free one.
    pub port: u16,
}

impl Default for Settings {
    /// Real time, AWS's quota, and otherwise well-behaved: nothing late, nothing twice, everything in order.
    fn default() -> Self {
        Self {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            clock: Clock::real(),
            lateness: Lateness::none(),
            quota: Some(AWS_QUOTA),
            repeats: 0.0,
            disorder: Duration::ZERO,
            seed: 1,
            port: 0,
        }
    }
}

/// One request that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When, by the account's clock.
    pub at: WallTime,
    /// The caller's account.
    pub account: String,
    /// The Region of its credential scope.
    pub region: String,
    /// Such as `LookupEvents`.
    pub operation: String,
    /// What it asked for; a form's parameters are texts.
    pub parameters: Value,
    /// How it was answered; none while it hangs.
    pub answer: Option<Answered>,
}

/// How a call was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Well.
    Well,
    /// It was done, but the answer was spoiled on its way.
    Spoiled,
    /// With an error of this code.
    Refused(String),
}

/// Credentials for an SDK; no signature is ever checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// What the caller is recognised by.
    pub id: String,
    /// Made up.
    pub secret: String,
}

/// A running simulated account; clones are the same one.
#[derive(Clone, Debug)]
pub struct Account {
    shared: Arc<Shared>,
    url: String,
    /// Held for its drop: the last clone's end is the server's.
    _end: Arc<DropGuard>,
    stopped: watch::Receiver<bool>,
}

/// What requests and handles share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) clock: Clock,
    /// Counts changes, so that whoever waits can look again.
    changes: watch::Sender<u64>,
    /// Cancelled when the account shall stop.
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// The state. A panic elsewhere leaves at worst a call without its answer, so a poisoned lock is no reason to stop.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits in [`Account::until`].
    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Account {
    /// Opens the account's doors on loopback.
    ///
    /// # Errors
    /// If the port cannot be listened on.
    pub async fn start(settings: Settings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (account, end) = Self::closed(settings, url);
        let serving = server::serve(listener, account.shared.clone());
        tokio::spawn(async move {
            serving.await;
            end.send_replace(true);
        });
        Ok(account)
    }

    /// An account that listens nowhere: only [`Account::http_client`] leads to it. It needs no runtime and outlives
    /// those that it is asked from.
    #[must_use]
    pub fn in_process(settings: Settings) -> Self {
        Self::closed(settings, "http://account.invalid".to_owned()).0
    }

    fn closed(settings: Settings, url: String) -> (Self, watch::Sender<bool>) {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            clock: settings.clock.clone(),
            state: Mutex::new(State::new(settings)),
            changes: watch::Sender::new(0),
            stop: stop.clone(),
        });
        let (end, stopped) = watch::channel(false);
        (Self { shared, url, _end: Arc::new(stop.drop_guard()), stopped }, end)
    }

    /// Answers an SDK in this process, without a socket, whatever endpoint it believes to talk to.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        door::client(Arc::clone(&self.shared))
    }

    /// Answers what is under way, lets go of what hangs, and closes.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        // An error means that the serving task is gone, which is as good.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Where it listens: what `AWS_ENDPOINT_URL` has to be. Of one that listens nowhere, an address that leads nowhere.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Puts a record into an Event history and returns its event id.
    pub fn put(&self, record: &Record) -> String {
        let now = self.clock().now();
        let id = self.shared.state().put(record, now);
        self.shared.changed();
        id
    }

    /// How many records all Event histories hold, repetitions included, visible or not.
    #[must_use]
    pub fn records(&self) -> usize {
        self.shared.state().records()
    }

    /// Makes a secret in the account's own Region, and returns its ARN. Leaves no record.
    pub fn add_secret(&self, name: &str) -> String {
        let now = self.clock().now();
        let mut state = self.shared.state();
        let place = (state.settings.account.clone(), state.settings.region.clone());
        state.add_secret(place, name, now)
    }

    /// Makes a secret in any account and Region.
    pub fn add_secret_in(&self, account: &str, region: &str, name: &str) -> String {
        let now = self.clock().now();
        self.shared.state().add_secret((account.to_owned(), region.to_owned()), name, now)
    }

    /// Gives the secret `arn` a tag.
    pub fn tag_secret(&self, arn: &str, key: &str, value: &str) {
        self.shared.state().tag_secret(arn, key, value);
    }

    /// Lets `caller` be recognised. A service gets the operator's key, since services sign nothing.
    pub fn register(&self, caller: Caller) -> AccessKey {
        let id = self.shared.state().register(caller).unwrap_or_else(|| "AKIAOPERATOREXAMPLE1".to_owned());
        AccessKey { id, secret: SECRET_ACCESS_KEY.to_owned() }
    }

    /// Forbids a principal (a role with all of its sessions) everything about secrets.
    pub fn deny(&self, caller: &Caller) {
        self.shared.state().denied.extend(caller.principal_arn());
    }

    /// Takes that back.
    pub fn allow(&self, caller: &Caller) {
        if let Some(arn) = caller.principal_arn() {
            self.shared.state().denied.remove(&arn);
        }
    }

    /// Lets only callers who know `external_id` assume the role.
    pub fn guard_role(&self, role_arn: &str, external_id: &str) {
        self.shared.state().external_ids.insert(role_arn.to_owned(), external_id.to_owned());
    }

    /// Makes an SNS topic in the account's own Region; a name ending in `.fifo` makes a FIFO topic that needs
    /// deduplication ids. Returns its ARN.
    pub fn add_topic(&self, name: &str) -> String {
        let mut state = self.shared.state();
        let (account, region) = (state.settings.account.clone(), state.settings.region.clone());
        state.topics.create(&account, &region, name, false)
    }

    /// Adds a listener to a topic; false if there is no such topic.
    pub fn subscribe(&self, topic_arn: &str, protocol: &str, endpoint: &str, confirmed: bool) -> bool {
        self.shared.state().topics.subscribe(topic_arn, protocol, endpoint, confirmed)
    }

    /// What was published, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.shared.state().topics.messages.clone()
    }

    /// Waits until more than `seen` messages have been published, and returns the one after those.
    pub async fn message_after(&self, seen: usize) -> Message {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let message = self.shared.state().topics.messages.get(seen).cloned();
            if let Some(message) = message {
                return message;
            }
            // The sender lives in `self`, so this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Waits until `holds` says so; asked again whenever a call comes in or is answered, or a record is put.
    pub async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if holds(self) {
                return;
            }
            let _ = changes.changed().await;
        }
    }

    /// Lets something go wrong.
    pub fn inject(&self, injection: Injection) -> InjectionId {
        self.shared.state().faults.add(injection)
    }

    /// Ends an injection, if it has not used itself up.
    pub fn lift(&self, injection: InjectionId) {
        self.shared.state().faults.lift(injection);
    }

    /// Every call so far, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Every call of one operation so far.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        self.shared.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    /// The sources, account and Region, in which more than `quota` plus one LookupEvents calls came within one second
    /// by the account's clock, throttled ones included. Empty means that nobody strained the quota.
    #[must_use]
    pub fn strained(&self, quota: usize) -> Vec<(String, String)> {
        let mut times = std::collections::BTreeMap::<_, Vec<WallTime>>::new();
        for call in self.calls_of("LookupEvents") {
            times.entry((call.account, call.region)).or_default().push(call.at);
        }
        let strained = |times: &[WallTime]| {
            times.windows(quota + 2).any(|calls| calls[quota + 1].since(calls[0]) < Duration::from_secs(1))
        };
        times.into_iter().filter(|(_, times)| strained(times)).map(|(source, _)| source).collect()
    }
}
