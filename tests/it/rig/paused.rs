//! The daemon in paused time, before an account without sockets: hours of polling in a second, the same each time.
//!
//! A [`Paused`] world has an account, a disk that outlives the daemon, and one way in between that notes what was
//! [`Served`]; the daemon runs in it [for so long](Paused::watch). Times are exact, because nothing takes time but
//! waiting. It must be made within a runtime whose time is paused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use secretwatch::aws::Aws;
use secretwatch::config::{Config, Environment, check};
use secretwatch::daemon::{self, Outside};
use secretwatch::demo::{Account, Clock, Record, Settings};
use secretwatch::model::{EventTime, WallClock, WallTime};
use secretwatch::store::{Ledger, LedgerSettings, SimulatedDisk};
use secretwatch::trail::SourceId;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// When every world begins: a day in 2030, so that the machine's clock lies before it.
const START: EventTime = EventTime(1_900_000_000);

/// Where the daemon is, and the account.
const REGION: &str = "us-east-1";

/// See the module.
pub(crate) struct Paused {
    pub(crate) account: Account,
    disk: SimulatedDisk,
    config: Config,
    road: Arc<Road>,
    topic: String,
    /// How far the daemon's clock is behind the account's, and how far ahead of it.
    clock_behind: Duration,
    clock_ahead: Duration,
}

/// One lookup that was answered with a page.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// When it was asked for.
    pub(crate) at: WallTime,
    /// The attribute's value.
    pub(crate) wanted: String,
    pub(crate) ids: Vec<String>,
}

/// An alert as the topic accepted it.
#[derive(Clone, Debug)]
pub(crate) struct Alerted {
    pub(crate) at: WallTime,
    pub(crate) alert: Value,
}

/// What lies between the daemon and the account.
#[derive(Default)]
struct Road {
    served: Mutex<Vec<Served>>,
    /// Regions that are slow to answer.
    slow: Mutex<BTreeMap<String, Duration>>,
}

impl Paused {
    /// A world with these keys of `[poll]` and tables, in which the account's time begins now.
    pub(crate) fn new(settings: Settings, poll: &str, tables: &str) -> Self {
        fastrand::seed(1);
        let account = Account::in_process(Settings { clock: Clock::running(START.wall(), 1.0), ..settings });
        let topic = account.add_topic("security");
        let config = config(&topic, poll, tables);
        let (disk, road) = (SimulatedDisk::new(), Arc::default());
        Self { account, disk, config, road, topic, clock_behind: Duration::ZERO, clock_ahead: Duration::ZERO }
    }

    /// Other keys and tables for whoever watches next.
    pub(crate) fn reconfigure(&mut self, poll: &str, tables: &str) {
        self.config = config(&self.topic, poll, tables);
    }

    /// Lets the daemon's clock be so far ahead.
    pub(crate) fn set_clock_ahead(&mut self, by: Duration) {
        self.clock_ahead = by;
    }

    /// Lets the daemon's clock be so far behind.
    pub(crate) fn set_clock_behind(&mut self, by: Duration) {
        self.clock_behind = by;
    }

    /// Lets every lookup in `region` take so long.
    pub(crate) fn slow_down(&self, region: &str, by: Duration) {
        lock(&self.road.slow).insert(region.to_owned(), by);
    }

    /// So many seconds after the beginning.
    pub(crate) fn at(secs: i64) -> EventTime {
        START.plus(secs)
    }

    /// Puts `record`, which happened so many seconds after the beginning and shows so many later; returns its id.
    pub(crate) fn put(&self, record: Record, secs: i64, late: u64) -> String {
        self.account.put(&record.at(Self::at(secs)).late_by(Duration::from_secs(late)))
    }

    /// Runs the daemon for so many seconds, and stops it.
    pub(crate) async fn watch(&self, secs: u64) {
        let (stop, clock) = (CancellationToken::new(), self.account.clock().clone());
        let (behind, ahead) = (self.clock_behind, self.clock_ahead);
        let shown = WallClock::new(move || clock.now().minus(behind).plus(ahead));
        let outside = Outside::simulated(self.aws().await, shown, self.disk.clone());
        let ending = stop.clone();
        let end = async move {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            ending.cancel();
        };
        let (ended, ()) = tokio::join!(daemon::run(&self.config, &outside, stop), end);
        ended.expect("nothing here ends a daemon but a stop");
    }

    /// Every page that was served, in order.
    pub(crate) fn served(&self) -> Vec<Served> {
        lock(&self.road.served).clone()
    }

    /// When each event was served, by its id.
    pub(crate) fn readings(&self) -> BTreeMap<String, Vec<WallTime>> {
        let mut readings: BTreeMap<String, Vec<WallTime>> = BTreeMap::new();
        for Served { at, ids, .. } in self.served() {
            for id in ids {
                readings.entry(id).or_default().push(at);
            }
        }
        readings
    }

    /// Every alert, in order.
    pub(crate) fn alerts(&self) -> Vec<Alerted> {
        let messages = self.account.messages();
        let read = |body: &str| serde_json::from_str(body).expect("alerts are sent as JSON");
        messages.iter().map(|message| Alerted { at: message.at, alert: read(&message.body) }).collect()
    }

    /// When each access was first told of, by its event id.
    pub(crate) fn told(&self) -> BTreeMap<String, WallTime> {
        let mut told = BTreeMap::new();
        for Alerted { at, alert } in self.alerts() {
            for access in alert["accesses"].as_array().into_iter().flatten() {
                told.entry(access["event_id"].as_str().unwrap_or_default().to_owned()).or_insert(at);
            }
        }
        told
    }

    /// The alerts of this kind.
    pub(crate) fn alerts_of(&self, kind: &str) -> Vec<Alerted> {
        self.alerts().into_iter().filter(|alerted| alerted.alert["kind"] == kind).collect()
    }

    /// Requests that were refused for their rate.
    pub(crate) fn refused(&self) -> usize {
        let throttled = |answer: &secretwatch::demo::Answered| matches!(answer, secretwatch::demo::Answered::Refused(code) if code.starts_with("Throttl"));
        self.account.calls().iter().filter(|call| call.answer.as_ref().is_some_and(throttled)).count()
    }

    /// What the daemon has left on its disk. For the end, since it is opened anew.
    pub(crate) fn ledger(&self) -> Ledger {
        let poll = &self.config.poll;
        let settings = LedgerSettings {
            allowances: Vec::new(),
            rules: self.config.rules.clone(),
            recipients: Vec::new(),
            sources: vec![Self::source()],
            event_sources: poll.event_sources.clone(),
            lateness: poll.lateness,
            recheck: poll.recheck,
            backfill: poll.backfill,
            retention: poll.retention,
            stale_after: poll.stale_after,
            awake_since: None,
        };
        Ledger::simulated(&self.disk, settings, self.account.clock().now()).expect("a disk that was left well opens")
    }

    /// The only source, where the configuration names none.
    pub(crate) fn source() -> SourceId {
        SourceId { account: "self".to_owned(), region: REGION.to_owned() }
    }

    /// Fails unless the daemon knows each of `ids`.
    #[track_caller]
    pub(crate) fn knows_all<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        let ledger = self.ledger();
        let unknown = |id: &&String| ledger.access(id).expect("memory can be read").is_none();
        let missing: BTreeSet<&String> = ids.into_iter().filter(unknown).collect();
        assert!(missing.is_empty(), "{} events are unknown, such as {:?}", missing.len(), missing.first());
    }

    async fn aws(&self) -> Aws {
        let (inner, road, clock) = (self.account.http_client(), Arc::clone(&self.road), self.account.clock().clone());
        let way = http_client_fn(move |settings, components| {
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(Way { inner, road: Arc::clone(&road), clock: clock.clone() })
        });
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(self.account.url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("AKIAOPERATOREXAMPLE1", "not a real key", None, None, "paused"));
        Aws::over(way, loader).await
    }
}

fn config(topic: &str, poll: &str, tables: &str) -> Config {
    let text = format!(
        "state_dir = \"/nonexistent\"\n[poll]\ninventory = false\n{poll}\n{tables}\n\
         [notify.mail]\ntype = \"sns\"\ntopic_arn = \"{topic}\"\nformat = \"json\"\n"
    );
    check(&text, "the world's configuration", &Environment::default())
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The road, as an SDK's client takes it.
struct Way {
    inner: SharedHttpConnector,
    road: Arc<Road>,
    clock: Clock,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way")
    }
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, road, at) = (self.inner.clone(), Arc::clone(&self.road), self.clock.now());
        let is_lookup = request.headers().get("x-amz-target").is_some_and(|target| target.ends_with("LookupEvents"));
        if !is_lookup {
            return inner.call(request);
        }
        let signed = request.headers().get("authorization").unwrap_or_default();
        let region = signed.split('/').nth(2).unwrap_or_default();
        let wait = lock(&road.slow).get(region).copied();
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        HttpConnectorFuture::new(async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            let answer = inner.call(request).await?;
            if answer.status().is_success() {
                let page = serde_json::from_slice(answer.body().bytes().unwrap_or_default()).unwrap_or_default();
                lock(&road.served).extend(served(at, &asked, &page));
            }
            Ok(answer)
        })
    }
}

fn served(at: WallTime, asked: &Value, page: &Value) -> Option<Served> {
    let id = |event: &Value| event["EventId"].as_str().map(str::to_owned);
    Some(Served {
        at,
        wanted: asked["LookupAttributes"][0]["AttributeValue"].as_str()?.to_owned(),
        ids: page["Events"].as_array()?.iter().filter_map(id).collect(),
    })
}

/// A panic elsewhere has said more than a poisoned lock can.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
