//! The rows of the table: what is measured, how, and what it has to reach.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secretwatch::demo::{Answered, Lateness, Record, Settings};
use secretwatch::model::{EventTime, WallTime};
use secretwatch::trail::PAGE_EVENTS;

use super::looks::looks;
use super::paused::Paused;
use super::process::{Stage, Usage, children};

pub(crate) type Measured = Result<Vec<Figure>, Box<dyn Error>>;

/// A name, and what measures it.
type Row = (&'static str, fn(&Scale) -> Measured);

/// Every row.
pub(crate) const ROWS: [Row; 7] = [
    ("backlog", backlog),
    ("busy", busy),
    ("visible", visible),
    ("idle", idle),
    ("once", once),
    ("sources", sources),
    ("looks", looks),
];

/// One figure beside its limit.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    /// None: there is no limit.
    pub(crate) passes: Option<bool>,
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<String>,
        limit: impl Into<String>,
        measured: impl Into<String>,
        passes: bool,
    ) -> Self {
        Self { what: what.into(), limit: limit.into(), measured: measured.into(), passes: Some(passes) }
    }

    pub(crate) fn told(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), limit: String::new(), measured: measured.into(), passes: None }
    }
}

/// How much is done.
pub(crate) struct Scale {
    backlog: i64,
    /// Of paused time, in seconds.
    hours: i64,
    pub(crate) idle: Duration,
    runs: usize,
    sources: &'static [usize],
    /// Accesses that are in the store when somebody looks.
    pub(crate) shown: usize,
    /// Until many sources have come to rest, and how long they are watched then.
    rest: Duration,
    watch: Duration,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        backlog: 10_000,
        hours: 2 * 3600,
        idle: Duration::from_secs(60),
        runs: 60,
        sources: &[1, 10, 100, 1_000, 10_000],
        shown: 100_000,
        rest: Duration::from_secs(150),
        watch: Duration::from_secs(180),
    };
    pub(crate) const SMALL: Self = Self {
        backlog: 100,
        hours: 600,
        idle: Duration::from_secs(2),
        runs: 2,
        sources: &[1, 10],
        shown: 200,
        rest: Duration::from_secs(2),
        watch: Duration::from_secs(2),
    };
}

/// How long the program may take for what is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// The program, HTTP and AWS's quota, in real time.
fn backlog(scale: &Scale) -> Measured {
    const POLL: &str = "requests_per_second = 2.0\nbackfill = \"8h\"\ninventory = false";
    let (first, last, refused) = in_real_time(async {
        let stage = Stage::set(Settings::default(), POLL, 1).await?;
        let now = stage.account.clock().now().second();
        // Older than what the newest readings of each poll reach; the oldest is one that is told of.
        let ago = |secs: i64| now.minus(3 * 3600 + secs);
        for number in 0..scale.backlog {
            stage.account.put(&Record::new("DescribeSecret").secret("prod/app/db").at(ago(number)));
        }
        stage.account.put(&Record::read("prod/app/db").at(ago(scale.backlog)));
        let program = stage.start()?;
        let message = tokio::time::timeout(PATIENCE, stage.account.message_after(0)).await?;
        drop(program);
        let calls = stage.account.calls_of("LookupEvents");
        let before = calls.iter().filter(|call| call.at <= message.at).map(|call| call.at);
        let refused = calls.iter().filter(|call| matches!(call.answer, Some(Answered::Refused(_)))).count();
        Ok((before.clone().min(), before.max(), refused))
    })?;
    let (Some(first), Some(last)) = (first, last) else { return Err("nothing was looked up".into()) };
    let ratio = last.since(first).as_secs_f64() * 2.0 * f64::from(PAGE_EVENTS) / scale.backlog as f64;
    let what = format!("backlog of {} events at 2 requests/s, real time and HTTP", scale.backlog);
    Ok(vec![
        Figure::new(what, "≤ 1.03 of events / 100 per s", format!("{ratio:.4}"), ratio <= 1.03),
        Figure::new("requests refused meanwhile", "none", refused.to_string(), refused == 0),
    ])
}

/// Twenty events a second, an ordinary share, ordinary settings.
fn busy(scale: &Scale) -> Measured {
    const PER_SECOND: i64 = 20;
    let heard = Heard::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("error,secretwatch=info")
        .with_ansi(false)
        .with_writer(heard.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    in_paused_time(async {
        let settings = Settings { lateness: Lateness::observed(), ..Settings::default() };
        let world =
            Paused::new(settings, "requests_per_second = 1.0\nbackfill = \"15m\"\nrecheck = \"0s\"", EVERY_READ);
        let ids: BTreeMap<String, i64> = (-1_200 * PER_SECOND..scale.hours * PER_SECOND)
            .map(|number| {
                let at = number.div_euclid(PER_SECOND);
                let record = Record::new("DescribeSecret").secret("prod/app/db").at(Paused::at(at));
                (world.account.put(&record), at)
            })
            .collect();
        // One more event in twenty seconds is a read, each of another secret.
        let reads = reads(&world, scale.hours, 20);
        world.watch(u64::try_from(scale.hours)? + 1_200).await;
        let ids: BTreeMap<String, i64> = ids.into_iter().filter(|(_, at)| *at >= 0).collect();
        let readings = world.readings();
        let times: Vec<usize> = ids.keys().map(|id| readings.get(id).map_or(0, Vec::len)).collect();
        let missing = times.iter().filter(|times| **times == 0).count();
        let settled = ids.iter().filter(|(id, at)| {
            let ages = readings.get(*id).into_iter().flatten().map(|read| read.since(Paused::at(**at).wall()));
            ages.max().is_some_and(|age| age >= Duration::from_mins(15))
        });
        let once = ids.len() - settled.count();
        let served = world.served();
        let (first, last) = (served[0].at, served[served.len() - 1].at);
        let rate = (served.len() - 1) as f64 / last.since(first).as_secs_f64();
        let mean = times.iter().sum::<usize>() as f64 / times.len() as f64;
        let mut waits = waits(&world, &reads);
        let what = |what: &str| format!("one source at {PER_SECOND} events/s, interval 1m, lateness 15m: {what}");
        Ok(vec![
            Figure::new(what("events missing"), "0", missing.to_string(), missing == 0),
            Figure::new(
                "events not read again when settled, and so in seconds that were read once",
                "0",
                once.to_string(),
                once == 0,
            ),
            Figure::new("requests each second", "≤ 1", format!("{rate:.3}"), rate <= 1.0),
            Figure::new("requests refused", "0", world.refused().to_string(), world.refused() == 0),
            Figure::new(
                "said to be blind",
                "never",
                world.alerts_of("blind").len().to_string(),
                world.alerts_of("blind").is_empty(),
            ),
            Figure::told("readings that served an event, in the mean", format!("{mean:.2}")),
            Figure::told("ratios of passes, with how many", heard.ratios()),
            Figure::told(
                "visible → alert, p50 / p99",
                format!("{:.0} / {:.0} s", at(&mut waits, 50), at(&mut waits, 99)),
            ),
        ])
    })
}

/// So many reads, each of another secret, one every so many seconds.
fn reads(world: &Paused, length: i64, every: i64) -> Vec<(String, EventTime, Duration)> {
    let mut rng = fastrand::Rng::with_seed(11);
    (0..length / every)
        .map(|number| {
            let (at, late) = (Paused::at(number * every + rng.i64(0..every)), Lateness::observed().draw(&mut rng));
            let record = Record::read(&format!("prod/app-{number}/db")).at(at).late_by(late);
            (world.account.put(&record), at, late)
        })
        .collect()
}

/// From being visible to being accepted by the topic, in seconds.
fn waits(world: &Paused, reads: &[(String, EventTime, Duration)]) -> Vec<f64> {
    let told = world.told();
    let wait = |(id, at, late): &(String, EventTime, Duration)| {
        let visible: WallTime = at.wall().plus(*late);
        told.get(id).map_or(f64::INFINITY, |told| told.since(visible).as_secs_f64())
    };
    reads.iter().map(wait).collect()
}

/// Realistic lateness, and few enough events that each poll reads the whole horizon.
fn visible(scale: &Scale) -> Measured {
    in_paused_time(async {
        let settings = Settings { lateness: Lateness::observed(), ..Settings::default() };
        let world = Paused::new(settings, "backfill = \"15m\"", EVERY_READ);
        let reads = reads(&world, scale.hours, 3);
        world.watch(u64::try_from(scale.hours)? + 1_200).await;
        let mut waits = waits(&world, &reads);
        let [p50, p99, max] = [50, 99, 100].map(|percent| at(&mut waits, percent));
        let what = format!("visible → alert accepted, {} reads, interval 1m", reads.len());
        Ok(vec![
            Figure::new(what, "p99 ≤ 66 s", format!("{p99:.1} s"), p99 <= 66.0),
            Figure::told("the same, p50 / longest", format!("{p50:.1} / {max:.1} s")),
        ])
    })
}

const EVERY_READ: &str = "[[rule]]\nname = \"read\"\nevents = [\"GetSecretValue\"]\n";

fn idle(scale: &Scale) -> Measured {
    let (usage, polls) = in_real_time(async {
        let settings = Settings { quota: None, ..Settings::default() };
        let poll = "interval = \"1s\"\nrequests_per_second = 2.0\ninventory = false";
        let stage = Stage::set(settings, poll, 1).await?;
        let program = stage.start()?;
        tokio::time::timeout(PATIENCE, stage.account.until(|_| stage.lookups() >= 3)).await?;
        let (before, polls) = (program.usage()?, stage.lookups());
        tokio::time::sleep(scale.idle).await;
        let after = program.usage()?;
        Ok((Usage { cpu: after.cpu.saturating_sub(before.cpu), ..after }, stage.lookups() - polls))
    })?;
    let each = usage.cpu.as_secs_f64() * 1000.0 / polls.max(1) as f64;
    Ok(vec![
        Figure::new(
            format!("idle, one source, {polls} polls: CPU for each"),
            "≤ 1 ms",
            format!("{each:.2} ms"),
            each <= 1.0,
        ),
        Figure::new("the same: resident", "≤ 20 MiB", mib(usage.resident), usage.resident <= 20 << 20),
        Figure::told("the same: its peak", mib(usage.peak)),
    ])
}

fn once(scale: &Scale) -> Measured {
    let (mut walls, cpu) = in_real_time(async {
        let settings = Settings { quota: None, ..Settings::default() };
        let stage = Stage::set(settings, "inventory = false", 1).await?;
        let run = || {
            let mut command = stage.command(&["--once"]);
            async move {
                let begun = Instant::now();
                let mut child = command.spawn()?;
                let status = tokio::task::spawn_blocking(move || child.wait()).await??;
                if status.success() { Ok(begun.elapsed()) } else { Err(Box::<dyn Error>::from("--once failed")) }
            }
        };
        let stat = Path::new("/proc/self/stat");
        // The first one makes the store.
        run().await?;
        let before = children(stat)?;
        let mut walls = Vec::new();
        for _ in 0..scale.runs {
            walls.push(run().await?.as_secs_f64() * 1000.0);
        }
        Ok((walls, children(stat)?.saturating_sub(before)))
    })?;
    let (p50, p95) = (at(&mut walls, 50), at(&mut walls, 95));
    let each = cpu.as_secs_f64() * 1000.0 / walls.len() as f64;
    let what = format!("--once, one source, nothing new, {} runs: wall, median", walls.len());
    Ok(vec![
        Figure::new(what, "≤ 60 ms", format!("{p50:.1} ms"), p50 <= 60.0),
        Figure::told("the same: p95 / CPU in the mean", format!("{p95:.1} / {each:.1} ms")),
    ])
}

/// All at once: processor time is each process's own.
fn sources(scale: &Scale) -> Measured {
    let used = in_real_time(async {
        let mut running = Vec::new();
        for sources in scale.sources {
            let poll = "interval = \"1m\"\ninventory = false";
            let stage = Stage::set(Settings::default(), poll, *sources).await?;
            let program = stage.start()?;
            running.push((*sources, stage, program));
        }
        tokio::time::sleep(scale.rest).await;
        let mut before = Vec::new();
        for (_, stage, program) in &running {
            before.push((program.usage()?, stage.lookups()));
        }
        let begun = Instant::now();
        tokio::time::sleep(scale.watch).await;
        let mut used = Vec::new();
        for ((sources, stage, program), (before, lookups)) in running.iter().zip(before) {
            let after = program.usage()?;
            let cores = (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / begun.elapsed().as_secs_f64();
            used.push((*sources, cores, after, stage.lookups() - lookups, program.files()));
        }
        Ok(used)
    })?;
    let mut figures = Vec::new();
    let least = used.first().map_or(0, |(_, _, usage, ..)| usage.resident);
    for (sources, cores, usage, lookups, files) in used {
        let each = if lookups > 0 { cores * scale.watch.as_secs_f64() * 1000.0 / lookups as f64 } else { 0.0 };
        let more = usage.resident.saturating_sub(least) / 1024 / sources as u64;
        let what = |what: &str| format!("{sources} sources at 1m: {what}");
        let (cpu, memory) = (format!("{cores:.4}"), mib(usage.resident));
        figures.extend(if sources == 1_000 {
            [
                Figure::new(what("cores"), "≤ 0.2", cpu, cores <= 0.2),
                Figure::new(what("resident"), "≤ 150 MiB", memory, usage.resident <= 150 << 20),
            ]
        } else {
            [Figure::told(what("cores"), cpu), Figure::told(what("resident"), memory)]
        });
        let rest = format!("{} / {more} KiB / {each:.2} ms / {lookups} / {files}", mib(usage.peak));
        figures.push(Figure::told(what("peak / memory for a source / CPU for a lookup / lookups / open files"), rest));
    }
    Ok(figures)
}

/// The figure at this percentile.
pub(crate) fn at(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    figures.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

pub(crate) fn in_real_time<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}

fn in_paused_time(work: impl Future<Output = Measured>) -> Measured {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(work)
}

/// What the daemon logs.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// How many passes had which ratio.
    fn ratios(&self) -> String {
        let text = self.0.lock().map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let mut passes: BTreeMap<u32, usize> = BTreeMap::new();
        for word in text.split_whitespace().filter_map(|word| word.strip_prefix("ratio=")) {
            if let Ok(ratio) = word.parse() {
                *passes.entry(ratio).or_default() += 1;
            }
        }
        passes.iter().map(|(ratio, passes)| format!("{ratio} ({passes})")).collect::<Vec<_>>().join(", ")
    }
}

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut text) = self.0.lock() {
            text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Heard {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
