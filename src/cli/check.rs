//! `secretwatch check`: is the configuration right?

use super::{Args, Exit, load, print};
use crate::config::render;

/// Tells every problem, or that there is none.
pub(super) fn check(args: &Args, print_it: bool) -> Result<Exit, Exit> {
    let config = load(args)?;
    let (rules, notifiers) = (config.rules.len(), config.notifiers.len());
    eprintln!("configuration is right: {rules} rule(s), {notifiers} notifier(s)");
    if print_it { print(|out| out.write_all(render(&config).as_bytes())) } else { Ok(Exit::Done) }
}
