//! `secretwatch check`: is the configuration right?

use super::{Args, Exit, load, print};
use crate::config::render;

/// Tells every problem or warning, or that there is none.
pub(super) fn check(args: &Args, print_it: bool, strict: bool) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let (rules, notifiers) = (config.rules.len(), config.notifiers.len());
    for warning in &config.warnings {
        eprintln!("{warning}");
    }
    let warnings = config.warnings.len();
    if strict && warnings > 0 {
        eprintln!("secretwatch: {warnings} warning(s)");
        return Err(Exit::Configuration);
    }
    print(|out| match (print_it, warnings) {
        (true, _) => out.write_all(render(&config).as_bytes()),
        (false, 0) => writeln!(out, "configuration is right: {rules} rule(s), {notifiers} notifier(s)"),
        (false, _) => {
            writeln!(out, "configuration is right: {rules} rule(s), {notifiers} notifier(s), {warnings} warning(s)")
        }
    })
}
