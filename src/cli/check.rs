//! `secretwatch check`: is the configuration right?

use super::{Args, Exit, load, print};
use crate::config::render;

/// Tells every problem, or that there is none.
pub(super) fn check(args: &Args, print_it: bool) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    let (rules, notifiers) = (config.rules.len(), config.notifiers.len());
    print(|out| match print_it {
        true => out.write_all(render(&config).as_bytes()),
        false => writeln!(out, "configuration is right: {rules} rule(s), {notifiers} notifier(s)"),
    })
}
