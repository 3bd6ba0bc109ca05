//! How large the store gets: months of one access a second, pruned each hour as the daemon does. Figures that were
//! measured stand in `README.md` beside this file.
//!
//! No HTTP: accesses go straight into the ledger, with event time that runs as fast as it can. A scenario is a kind of
//! traffic. `quiet`: nothing alerts. `busy`: twenty secrets under the default rule, each one long incident with an update
//! every fifteen minutes. `loud`: every access reads another secret and is an alert of its own. Retention is three
//! days instead of thirty, which is a tenth of the rows at the same density; `--full` lives through the thirty.
//!
//! Absent: any judgement, as in `footprint`.

mod measured;
mod traffic;

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use measured::{mib, peak_memory};
use secretwatch::detect::Rule;
use secretwatch::model::WallTime;
use secretwatch::store::{Ledger, LedgerSettings, Next, Settlement, StoreError, Sweep, survey};
use traffic::{START, Traffic, every_read};

const SCENARIOS: [&str; 3] = ["quiet", "busy", "loud"];
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    // As `cargo test --benches` calls it: an hour, which only shows that it works.
    let retention = match (has("--bench"), has("--full")) {
        (false, _) => HOUR,
        (true, false) => DAY * 3,
        (true, true) => DAY * 30,
    };
    let done = match args.iter().find(|arg| !arg.starts_with('-')) {
        Some(scenario) => live(scenario, retention),
        None => SCENARIOS.iter().try_for_each(|scenario| apart(scenario, &args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// In a process of its own: a peak of memory can be read only once.
fn apart(scenario: &str, args: &[String]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(std::env::current_exe()?).arg(scenario).args(args).status()?;
    if status.success() { Ok(()) } else { Err(format!("{scenario} failed").into()) }
}

/// Three times the retention, told at each.
fn live(scenario: &str, retention: Duration) -> Result<(), Box<dyn Error>> {
    let (threshold, secrets) = match scenario {
        "quiet" => (1_000_000, Some(200)),
        "busy" => (1, Some(20)),
        "loud" => (1, None),
        other => return Err(format!("no scenario {other:?}; there are {SCENARIOS:?}").into()),
    };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let rule = Rule { threshold, ..every_read() };
    let settings = LedgerSettings { retention, ..traffic::settings(vec![rule]) };
    let mut ledger = Ledger::open(dir.path(), settings.clone(), START.wall())?;
    let mut traffic = Traffic::new(Duration::from_secs(1), secrets);
    let begun = Instant::now();
    let (mut now, mut swept) = (START.wall(), START.wall());
    for round in 1..=3 {
        while now < START.wall().plus(retention * round) {
            let page = traffic.page();
            now = traffic::read_at(&page);
            traffic::commit(&mut ledger, page)?;
            ledger.read_through(&traffic::source(), now, now)?;
            ledger.tick(now, false)?;
            hand_over(&mut ledger, now)?;
            ledger.sync()?;
            if now.since(swept) >= HOUR {
                swept = now;
                prune(&mut ledger, now)?;
            }
        }
        let (disk, took) = (mib(ledger.bytes()?), begun.elapsed());
        println!("{scenario}: {round} times {} hours, disk {disk}, {took:.0?}", retention.as_secs() / 3600);
    }
    drop(ledger);
    let begun = Instant::now();
    drop(Ledger::open(dir.path(), settings, now)?);
    println!("{scenario}: opened in {:.1?}, memory {} at its peak", begun.elapsed(), peak_memory());
    tell_tables(scenario, dir.path())
}

fn hand_over(ledger: &mut Ledger, now: WallTime) -> Result<(), StoreError> {
    while let Next::Send(delivery) = ledger.next("security", now, None)? {
        ledger.settle(&delivery, &Settlement::Accepted { at: now })?;
    }
    Ok(())
}

fn prune(ledger: &mut Ledger, now: WallTime) -> Result<(), StoreError> {
    let mut sweep = Some(Sweep::begin());
    while let Some(from) = sweep {
        sweep = ledger.prune(&from, now)?.1;
        ledger.sync()?;
    }
    Ok(())
}

fn tell_tables(scenario: &str, dir: &Path) -> Result<(), Box<dyn Error>> {
    let survey = survey(dir)?;
    for table in &survey.tables {
        println!("{scenario}: {:>9} {}, {} bytes each", table.rows, table.table, table.bytes / table.rows);
    }
    let rows: u64 = survey.tables.iter().map(|table| table.bytes).sum();
    println!("{scenario}: rows {}, disk {}, damaged {}", mib(rows), mib(survey.bytes_on_disk), survey.damaged);
    Ok(())
}
