//! The world around the daemon, and the lives that it leads in it.
//!
//! A [`World`] has an account without sockets, a clock that goes on from life to life, and a disk. Each life is the
//! daemon in a runtime of its own, of one thread and with paused time. Whatever reaches out of the daemon is a numbered
//! *step*: a request that begins, an answer that comes back, a batch, a sync. A life may end at any of them; from then
//! on nothing gets out any more, the runtime is dropped, and what was not synced survives as luck will have it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use secretwatch::aws::Aws;
use secretwatch::config::Config;
use secretwatch::daemon::{self, Fatal, Outside, Reloads, Supervisor};
use secretwatch::demo::{Account, Call, Clock, Settings};
use secretwatch::model::{WallClock, WallTime};
use secretwatch::store::{SimulatedDisk, Stroke, Struck};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::mutations::Mutation;
use super::story::{EXTRA, RELIEF, Story};
use super::weather::Jumps;

/// Milliseconds from one reading of the configuration to the next, at most.
const HANGUPS_APART: u64 = 12 * 3_600_000;

/// Everything that outlives a life; clones are the same one.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) disk: SimulatedDisk,
    clock: Clock,
    jumps: Arc<Jumps>,
    mutation: Option<Mutation>,
    fate: Arc<Mutex<Fate>>,
}

/// What becomes of the life that is being led.
#[derive(Default)]
struct Fate {
    /// The time, while nobody lives: tokio's is not there then.
    between: Option<WallTime>,
    /// Steps in this life.
    steps: u64,
    crash_at: Option<u64>,
    full_at: Option<u64>,
    /// The life is over: nothing gets out.
    frozen: bool,
    dead: CancellationToken,
    /// Of every step of every life.
    trace: Vec<String>,
}

/// How the daemon is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Run,
    /// One pass, perhaps with so many seconds for it.
    Once(Option<u64>),
}

/// How a life ends, if nothing else ends it before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is killed at this step.
    CrashAtStep(u64),
    /// It is killed after so long.
    CrashAfter(Duration),
    /// The disk is full from this step on.
    DiskFullAtStep(u64),
    /// It is asked to stop when the clock shows this.
    StopAt(WallTime),
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Killed,
    /// By itself, or as it was told.
    Well,
    Fatally(Fatal),
}

impl World {
    pub(crate) fn new(story: &Story, seed: u64, jumps: Jumps, mutation: Option<Mutation>) -> Self {
        let clock = Clock::running(story.start.wall(), 1.0);
        let account = Account::in_process(Settings {
            clock: clock.clone(),
            quota: story.quota.then_some(2.0),
            repeats: story.repeats,
            disorder: Duration::from_secs(story.disorder),
            seed,
            ..Settings::default()
        });
        for topic in story.topics.iter().copied().chain([EXTRA, RELIEF]) {
            account.add_topic(topic);
        }
        let fate = Arc::new(Mutex::new(Fate { between: Some(story.start.wall()), ..Fate::default() }));
        Self { account, disk: SimulatedDisk::new(), clock, jumps: Arc::new(jumps), mutation, fate }
    }

    pub(crate) fn now(&self) -> WallTime {
        let between = self.fate().between;
        between.unwrap_or_else(|| self.clock.now())
    }

    /// Nobody lives meanwhile.
    pub(crate) fn pass(&self, time: Duration) {
        let mut fate = self.fate();
        fate.between = fate.between.map(|now| now.plus(time));
    }

    /// Leads one life, at the longest until `latest`, when it is killed. The disk is then as a process finds it that
    /// starts after a power cut. `luck` decides what is left, and about everything that the daemon draws by lot.
    pub(crate) fn live(&self, config: &Config, way: Way, end: End, latest: WallTime, luck: u64) -> Ended {
        let mut luck = fastrand::Rng::with_seed(luck);
        fastrand::seed(luck.u64(..));
        {
            let mut fate = self.fate();
            (fate.steps, fate.frozen, fate.dead) = (0, false, CancellationToken::new());
            fate.crash_at = if let End::CrashAtStep(step) = end { Some(step) } else { None };
            fate.full_at = if let End::DiskFullAtStep(step) = end { Some(step) } else { None };
        }
        let watching = self.clone();
        self.disk.watch(move |stroke| watching.stroke(stroke));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without a driver for sockets can be made");
        let born = self.now();
        let ended = runtime.block_on(async {
            self.clock.set(born);
            self.fate().between = None;
            let ended = self.lead(config, way, end, latest, luck.fork()).await;
            let died = self.now();
            self.fate().between = Some(died);
            ended
        });
        drop(runtime);
        // Else the disk would hold the world that holds it.
        self.disk.watch(|_| Struck::Done);
        self.disk.crash(luck.usize(0..=self.disk.loose()));
        // Whoever is killed meets with errors in its last moment, and may be quicker to say so.
        if self.fate().frozen { Ended::Killed } else { ended }
    }

    async fn lead(&self, config: &Config, way: Way, end: End, latest: WallTime, mut luck: fastrand::Rng) -> Ended {
        let dead = self.fate().dead.clone();
        let (wish, wishes) = watch::channel(());
        let same = config.clone();
        let reloads = Reloads::new(wishes, move || Ok(same.clone()));
        let outside = Outside::simulated(self.aws().await, self.wall_clock(), self.disk.clone());
        let outside = outside.as_a_service(Supervisor::default(), reloads);
        // Every so often somebody has the configuration read again, which changes nothing.
        let hangups = async {
            loop {
                tokio::time::sleep(Duration::from_millis(luck.u64(1..HANGUPS_APART))).await;
                wish.send_modify(|()| {});
            }
        };
        let stop = CancellationToken::new();
        let life = async {
            match way {
                Way::Run => daemon::run(config, &outside, stop.clone()).await,
                Way::Once(secs) => {
                    daemon::run_once(config, &outside, secs.map(Duration::from_secs), stop.clone()).await.map(drop)
                }
            }
        };
        let end = async {
            match end {
                End::CrashAfter(time) => {
                    tokio::time::sleep(time).await;
                    self.freeze();
                }
                End::StopAt(at) => {
                    self.clock.reach(at).await;
                    stop.cancel();
                }
                End::CrashAtStep(_) | End::DiskFullAtStep(_) => {}
            }
            self.clock.reach(latest).await;
            self.freeze();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = dead.cancelled() => Ended::Killed,
            ended = life => match ended {
                Ok(()) => Ended::Well,
                Err(fatal) => Ended::Fatally(fatal),
            },
            () = end => Ended::Killed,
            () = hangups => Ended::Killed,
        }
    }

    fn wall_clock(&self) -> WallClock {
        let (clock, jumps) = (self.clock.clone(), Arc::clone(&self.jumps));
        WallClock::new(move || jumps.shown(clock.now()))
    }

    async fn aws(&self) -> Aws {
        let inner = self.account.http_client();
        let world = self.clone();
        let gate = http_client_fn(move |settings, components| {
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(Gate { inner, world: world.clone() })
        });
        self.aws_over(gate).await
    }

    async fn aws_over(&self, gate: SharedHttpClient) -> Aws {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(self.account.url())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIAOPERATOREXAMPLE1", "not a real key", None, None, "simulation"));
        Aws::over(gate, loader).await
    }

    /// Counts a step. False: the life is over before it, and it must not be made.
    pub(crate) fn step(&self, what: &str) -> bool {
        let now = self.now();
        let mut fate = self.fate();
        if fate.frozen {
            return false;
        }
        fate.steps += 1;
        fate.trace.push(format!("{now} {what}"));
        if fate.crash_at == Some(fate.steps) {
            fate.frozen = true;
            fate.dead.cancel();
            return false;
        }
        true
    }

    /// Steps of the last life.
    pub(crate) fn steps(&self) -> u64 {
        self.fate().steps
    }

    /// Everything that was done and heard: equal for equal seeds.
    pub(crate) fn trace(&self) -> Vec<String> {
        let calls = self.account.calls();
        let messages = self.account.messages();
        let messages = messages.iter().map(|it| format!("{} {} {} {:?}", it.at, it.topic_arn, it.body, it.attributes));
        self.fate().trace.iter().cloned().chain(calls.iter().map(told)).chain(messages).collect()
    }

    fn freeze(&self) {
        let mut fate = self.fate();
        fate.frozen = true;
        fate.dead.cancel();
    }

    fn stroke(&self, stroke: Stroke) -> Struck {
        if !self.step(&format!("{stroke:?}")) {
            return Struck::Failed(io::ErrorKind::Other);
        }
        let fate = self.fate();
        if fate.full_at.is_some_and(|full_at| full_at <= fate.steps) {
            return Struck::Failed(io::ErrorKind::StorageFull);
        }
        match self.mutation {
            Some(Mutation::NoFlush) if stroke == Stroke::Sync => Struck::Pretended,
            _ => Struck::Done,
        }
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().expect("nobody panics with the fate in hand")
    }
}

/// A call in words; the SDK sends attributes in any order.
fn told(call: &Call) -> String {
    let parameters = call.parameters.as_object().into_iter().flatten();
    let parameters: Vec<_> = parameters.filter(|(name, _)| !name.starts_with("MessageAttributes")).collect();
    format!("{} {} {} {} {parameters:?} {:?}", call.at, call.account, call.region, call.operation, call.answer)
}

/// What stands between the SDK and the account: the steps, and what a mutation does on the way.
struct Gate {
    inner: SharedHttpConnector,
    world: World,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl HttpConnector for Gate {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, world) = (self.inner.clone(), self.world.clone());
        HttpConnectorFuture::new(async move {
            if !world.step("request") {
                std::future::pending::<()>().await;
            }
            let answer = match &world.mutation {
                Some(mutation) => mutation.call(inner, request, &world.clock).await,
                None => inner.call(request).await,
            };
            if !world.step("answer") {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}
