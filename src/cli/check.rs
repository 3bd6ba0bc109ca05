//! `secretwatch check`: is the configuration right?

use super::{Args, Exit, load, print};
use crate::config::render;
use crate::model::count;

/// Tells every problem or warning, or that there is none.
pub(super) fn check(args: &Args, print_it: bool, strict: bool) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let rules = count(config.rules.len() as u64, "rule");
    let notifiers = count(config.notifiers.len() as u64, "notifier");
    let warnings = config.warnings.len() as u64;
    for warning in &config.warnings {
        eprintln!("{warning}");
    }
    if strict && warnings > 0 {
        eprintln!("secretwatch: {}", count(warnings, "warning"));
        return Err(Exit::Configuration);
    }
    print(|out| match (print_it, warnings) {
        (true, _) => out.write_all(render(&config).as_bytes()),
        (false, 0) => writeln!(out, "configuration is right: {rules}, {notifiers}"),
        (false, _) => {
            let warnings = count(warnings, "warning");
            writeln!(out, "configuration is right: {rules}, {notifiers}, {warnings}")
        }
    })
}
