//! How fast the program is, beside what was promised: one table, a row for each figure with its limit, and whether it
//! is met.
//!
//! `cargo bench --bench speed` measures all rows, `cargo bench --bench speed -- idle once` only those. Two rows live in
//! paused time and measure no machine; the others run the program that is shipped, over HTTP, against an account in
//! this process, so that only the program's own work counts. What takes time there is taken from `/proc`: processor
//! time, which a busy machine changes little, wherever the promise is not about the wall clock itself.
//!
//! Without `--bench`, as `cargo test --benches` calls it, everything is small and only shows that it works.

mod looks;
#[path = "../../tests/it/rig/paused.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod paused;
mod process;
mod rows;
#[path = "../traffic/mod.rs"]
#[expect(dead_code, reason = "other benches use more of it")]
mod traffic;

use std::process::ExitCode;

use rows::{Figure, Scale};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let scale = if args.iter().any(|arg| arg == "--bench") { Scale::FULL } else { Scale::SMALL };
    let chosen: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(unknown) = chosen.iter().find(|name| !rows::ROWS.iter().any(|(row, _)| row == *name)) {
        eprintln!("no row {unknown:?}; there are {:?}", rows::ROWS.map(|(row, _)| row));
        return ExitCode::FAILURE;
    }
    println!("| row | what | limit | measured | |\n|---|---|---|---|---|");
    for (name, measure) in rows::ROWS {
        if chosen.is_empty() || chosen.contains(&name) {
            match measure(&scale) {
                Ok(figures) => figures.iter().for_each(|figure| print(name, figure)),
                Err(error) => {
                    eprintln!("{name}: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn print(row: &str, Figure { what, limit, measured, passes }: &Figure) {
    let verdict = match passes {
        None => "",
        Some(true) => "pass",
        Some(false) => "**miss**",
    };
    println!("| {row} | {what} | {limit} | {measured} | {verdict} |");
}
