//! Tests through the public surface: the library's, the program's, and what is shipped beside it.

mod accounts;
mod allowances;
mod blind;
mod builtin;
mod changes;
mod commands;
mod commands_on_state;
mod disk;
mod doctor;
mod documents;
mod example_config;
mod explain;
mod explanations;
mod faults;
mod formats;
mod heartbeat;
mod kills;
mod late;
mod ledger;
mod news;
mod notifiers;
mod once;
mod patterns;
mod promise;
mod quota;
mod replay;
mod report;
mod rig;
mod service;
mod simulation;
mod sources;
mod status;
mod stops;

/// `few` cases of a property, or as many as `PROPTEST_CASES` says.
fn cases(few: u32) -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(few);
    proptest::test_runner::Config { cases, failure_persistence: None, ..proptest::test_runner::Config::default() }
}
