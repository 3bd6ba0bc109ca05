//! `secretwatch health`: whether the daemon is at work, for those who restart what is not, such as Docker and ECS.
//!
//! It is if it answers, and its loop turned not long ago. A source that cannot be read does not count: that is an alert,
//! and no restart would mend it. The heartbeat is for those who want to hear that all is well.

use super::ask::Office;
use super::exit::Exit;
use super::{Args, load};
use crate::daemon::{Answer, Ask, Condition};

/// Asks the daemon that keeps the state, and says what it says.
pub(super) fn health(args: &Args) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    match Office::of(&config).ask_daemon(&Ask::Health)? {
        Some(Answer::Health(Condition { at_work: true, says })) => {
            println!("{says}");
            Ok(Exit::Done)
        }
        Some(Answer::Health(Condition { says, .. })) => {
            eprintln!("secretwatch: the daemon answers, but its loop hangs; when it last turned: {says}");
            Ok(Exit::Incomplete)
        }
        Some(_) | None => {
            eprintln!("secretwatch: no daemon answers in {}", config.state_dir.display());
            Ok(Exit::Incomplete)
        }
    }
}
