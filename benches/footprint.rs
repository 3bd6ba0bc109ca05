//! What the store takes, and how long it keeps its callers waiting. Figures that were measured stand in `README.md`
//! beside this file.
//!
//! Each scenario runs in a process of its own, since a peak of memory can be read only once. `quiet` and `loud` commit
//! 500 pages, of which each opens no incident or fifty; `month` lives through three times forty days of event time and
//! prunes after each. Without `--bench`, as `cargo test --benches` calls it, everything is small and only shows that it works.
//!
//! Absent: any judgement. Whether a figure is good is for the reader of the README to say.

mod measured;
mod traffic;

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use measured::{mib, peak_memory};
use secretwatch::detect::Rule;
use secretwatch::model::WallTime;
use secretwatch::store::{Ledger, Next, Settlement, StoreError, Sweep};
use traffic::{START, Traffic, every_read};

const SCENARIOS: [&str; 3] = ["quiet", "loud", "month"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let scale = if args.iter().any(|arg| arg == "--bench") { Scale::FULL } else { Scale::SMALL };
    let done = match args.iter().find(|arg| !arg.starts_with('-')) {
        Some(scenario) => run(scenario, &scale),
        None => SCENARIOS.iter().try_for_each(|scenario| run_apart(scenario, &args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How much is done.
struct Scale {
    /// Pages of `quiet` and `loud`.
    pages: usize,
    /// Pages in forty days of `month`.
    month: u32,
}

impl Scale {
    const FULL: Self = Self { pages: 500, month: 2_000 };
    const SMALL: Self = Self { pages: 3, month: 20 };
}

fn run_apart(scenario: &str, args: &[String]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(std::env::current_exe()?).arg(scenario).args(args).status()?;
    if status.success() { Ok(()) } else { Err(format!("{scenario} failed").into()) }
}

fn run(scenario: &str, scale: &Scale) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    match scenario {
        "quiet" => commit_pages(scenario, dir.path(), Rule { threshold: 1_000, ..every_read() }, scale.pages)?,
        "loud" => commit_pages(scenario, dir.path(), every_read(), scale.pages)?,
        "month" => live_and_prune(dir.path(), scale.month)?,
        other => return Err(format!("no scenario {other:?}; there are {SCENARIOS:?}").into()),
    }
    Ok(())
}

/// Pages of which every access reads another secret, committed one after the other.
fn commit_pages(scenario: &str, dir: &Path, rule: Rule, pages: usize) -> Result<(), StoreError> {
    let mut ledger = Ledger::open(dir, traffic::settings(vec![rule]), START.wall())?;
    let mut traffic = Traffic::new(Duration::from_secs(1), None);
    let before = peak_memory();
    let mut waits = Vec::with_capacity(pages);
    for _ in 0..pages {
        let page = traffic.page();
        let begun = Instant::now();
        traffic::commit(&mut ledger, page)?;
        waits.push(begun.elapsed());
    }
    let (p50, p99, max) = spread(&mut waits);
    println!("{scenario}: {pages} pages, p50 {p50:.1?}, p99 {p99:.1?}, longest {max:.1?}");
    println!("{scenario}: memory {before} before, {} at its peak; disk {}", peak_memory(), mib(ledger.bytes()?));
    Ok(())
}

/// Forty days of event time at a time, with alerts handed over and incidents ended as they would be, then pruned to
/// thirty days.
fn live_and_prune(dir: &Path, pages: u32) -> Result<(), StoreError> {
    let mut ledger = Ledger::open(dir, traffic::settings(vec![every_read()]), START.wall())?;
    let span = Duration::from_hours(40 * 24);
    let per_page = u32::try_from(traffic::PAGE).unwrap_or(u32::MAX);
    let mut traffic = Traffic::new(span / pages / per_page, Some(100));
    for round in 1..=3 {
        let begun = Instant::now();
        let mut now = START.wall();
        for _ in 0..pages {
            let page = traffic.page();
            now = traffic::read_at(&page);
            traffic::commit(&mut ledger, page)?;
            ledger.read_through(&traffic::source(), now, now)?;
            ledger.tick(now, false)?;
            hand_over(&mut ledger, now)?;
            ledger.sync()?;
        }
        let filled = (begun.elapsed(), ledger.bytes()?);
        println!("month {round}: {pages} pages taken in {:.1?}; disk {}", filled.0, mib(filled.1));
        prune(&mut ledger, round, now)?;
    }
    Ok(())
}

fn prune(ledger: &mut Ledger, round: u32, now: WallTime) -> Result<(), StoreError> {
    let (mut rows, mut waits, mut sweep) = (0, Vec::new(), Some(Sweep::begin()));
    while let Some(from) = sweep {
        let begun = Instant::now();
        let (slice, next) = ledger.prune(&from, now)?;
        ledger.sync()?;
        waits.push(begun.elapsed());
        rows += slice;
        sweep = next;
    }
    let (slices, all) = (waits.len(), waits.iter().sum::<Duration>());
    let (p50, p99, max) = spread(&mut waits);
    println!(
        "month {round}: {rows} rows pruned in {all:.1?}, {slices} slices, p50 {p50:.1?}, p99 {p99:.1?}, longest \
         {max:.1?}; disk {}, memory {} at its peak",
        mib(ledger.bytes()?),
        peak_memory()
    );
    Ok(())
}

fn hand_over(ledger: &mut Ledger, now: WallTime) -> Result<(), StoreError> {
    while let Next::Send(delivery) = ledger.next("security", now, None)? {
        ledger.settle(&delivery, &Settlement::Accepted { at: now })?;
    }
    Ok(())
}

/// Median, 99th percentile, longest.
fn spread(waits: &mut [Duration]) -> (Duration, Duration, Duration) {
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    (at(50), at(99), at(100))
}
