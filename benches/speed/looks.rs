//! Two hundred looks a second at metrics and page, beside a daemon that polls and has much to show.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use secretwatch::demo::{Caller, Record, Settings};
use secretwatch::model::{WallTime, read_record};
use secretwatch::store::Ledger;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::process::Stage;
use super::rows::{Figure, Measured, PATIENCE, Scale, at, in_real_time, mib};
use super::traffic;

/// Looks a second, half of them at the page.
const RATE: u32 = 200;

/// The accesses that there are to show lie within the chart.
const SHOWN_SECS: i64 = 80_000;

/// How long answers took from when they were to be asked for, in milliseconds, and how many were none.
#[derive(Default)]
struct Looks {
    metrics: Vec<f64>,
    page: Vec<f64>,
    failed: usize,
}

pub(crate) fn looks(scale: &Scale) -> Measured {
    in_real_time(async {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let poll = "interval = \"1s\"\nrequests_per_second = 2.0\ninventory = false\nbackfill = \"15m\"";
        let poll = format!("{poll}\n[status]\nlisten = \"127.0.0.1:{port}\"");
        let stage = Stage::set(Settings { quota: None, ..Settings::default() }, &poll, 1).await?;
        fill(&stage.state_dir(), scale.shown)?;
        let program = stage.start()?;
        tokio::time::timeout(PATIENCE, stage.account.until(|_| stage.lookups() >= 3)).await?;
        let (client, url) = (Client::new(), format!("http://127.0.0.1:{port}"));
        let page = client.get(&url).send().await?.error_for_status()?.text().await?.len();

        let quiet = spacing(&stage, tokio::time::sleep(scale.idle)).await;
        // Nobody has looked for a minute, so what takes a walk is made anew while this one waits.
        let began = Instant::now();
        client.get(&url).send().await?.error_for_status()?.bytes().await?;
        let first = began.elapsed();
        let before = program.usage()?;
        let mut load = Looks::default();
        let busy = spacing(&stage, async { load = look(&client, &url, scale.idle).await }).await;
        let after = program.usage()?;
        let (mut report, began) = (stage.command(&["report", "--format", "json"]), Instant::now());
        let reported = tokio::task::spawn_blocking(move || report.status()).await??.success();
        let report = began.elapsed();
        let cores = after.cpu.saturating_sub(before.cpu).as_secs_f64() / scale.idle.as_secs_f64();

        let what = |what: &str| format!("{RATE} looks a second, {} accesses in the chart: {what}", scale.shown);
        let three = |figures: &mut Vec<f64>| {
            format!("{:.1} / {:.1} / {:.1} ms", at(figures, 50), at(figures, 99), at(figures, 100))
        };
        let polls = |(rate, longest): (f64, f64)| format!("{rate:.3}, {longest:.2} s");
        Ok(vec![
            Figure::told(
                format!("the first look at the page in a minute, {} accesses in the chart", scale.shown),
                format!("{:.2} s", first.as_secs_f64()),
            ),
            Figure::new(what("not answered"), "0", load.failed.to_string(), load.failed == 0),
            Figure::told(what("metrics, p50 / p99 / longest"), three(&mut load.metrics)),
            Figure::told(what("page, p50 / p99 / longest"), three(&mut load.page)),
            Figure::told("polls a second without anybody looking, and the longest time between two", polls(quiet)),
            Figure::new("the same beside the looks", "as many", polls(busy), (quiet.0 - busy.0).abs() < 0.02),
            Figure::new(
                format!("`report` over {} accesses beside the daemon", scale.shown),
                "a report",
                format!("{:.2} s", report.as_secs_f64()),
                reported,
            ),
            Figure::told(
                "cores / resident / bytes of the page",
                format!("{cores:.2} / {} / {page}", mib(after.resident)),
            ),
        ])
    })
}

/// A store with so many accesses of the last day.
fn fill(state_dir: &Path, accesses: usize) -> Result<(), Box<dyn Error>> {
    let now = WallTime::now();
    let mut ledger = Ledger::open(state_dir, traffic::settings(Vec::new()), now)?;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut page = Vec::new();
    for number in 0..accesses {
        let role = Caller::role("111122223333", &format!("service-{}", rng.u8(..40)), "i-0123456789abcdef0");
        let ago = 3_600 + rng.i64(0..SHOWN_SECS);
        let record = Record::read(&format!("prod/service-{}/db", rng.u8(..200))).by(role).at(now.second().minus(ago));
        let written = traffic::written(&record, now, &mut rng);
        page.push(read_record(&written, now).map_err(|error| error.reason)?);
        if page.len() >= traffic::PAGE || number + 1 == accesses {
            ledger.take(std::mem::take(&mut page), now)?;
        }
    }
    Ok(ledger.flush()?)
}

/// How many polls a second begin during `work`, and the longest time between two of them, in seconds.
async fn spacing(stage: &Stage, work: impl Future<Output = ()>) -> (f64, f64) {
    let before = stage.lookups();
    work.await;
    let calls = stage.account.calls_of("LookupEvents");
    let times: Vec<WallTime> = calls.iter().skip(before).map(|call| call.at).collect();
    let longest = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).fold(0.0, f64::max);
    let span = times.first().zip(times.last()).map_or(0.0, |(first, last)| last.since(*first).as_secs_f64());
    (times.len().saturating_sub(1) as f64 / span, longest)
}

/// Looks at an even rate, whether answers come or not.
async fn look(client: &Client, url: &str, length: Duration) -> Looks {
    let (begun, mut asked) = (Instant::now(), JoinSet::new());
    for number in 0..RATE * u32::try_from(length.as_secs()).unwrap_or(0) {
        let due = begun + Duration::from_secs(1) * number / RATE;
        tokio::time::sleep_until(due).await;
        let is_page = number % 2 == 0;
        let request = client.get(format!("{url}{}", if is_page { "/" } else { "/metrics" }));
        asked.spawn(async move {
            let answer = async { request.send().await?.error_for_status()?.bytes().await }.await;
            (is_page, answer.is_ok(), due.elapsed().as_secs_f64() * 1000.0)
        });
    }
    let mut looks = Looks::default();
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok((true, true, took)) => looks.page.push(took),
            Ok((false, true, took)) => looks.metrics.push(took),
            _ => looks.failed += 1,
        }
    }
    looks
}
