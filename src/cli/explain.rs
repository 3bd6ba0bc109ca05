//! `secretwatch explain`: why somebody was told of an event, or why not.

mod text;

use super::ask::ask;
use super::exit::Exit;
use super::{Args, Format, load, print};
use crate::daemon::{Answer, Ask};
use crate::store::{Explanation, MAX_EVENT_ID};

/// Explains the event `id`, as the daemon or its store knows it.
pub(super) fn explain(args: &Args, id: &str, format: Format) -> Result<Exit, Exit> {
    if id.len() > MAX_EVENT_ID {
        eprintln!("secretwatch: an event id has at most {MAX_EVENT_ID} bytes, and this has {}", id.len());
        return Err(Exit::Usage);
    }
    let config = load(args.config.as_deref())?;
    let Answer::Explanation(explanation) = ask(&config, &Ask::Explain { event_id: id.to_owned() })?;
    show(&explanation, format)
}

fn show(explanation: &Explanation, format: Format) -> Result<Exit, Exit> {
    print(|out| match format {
        Format::Text => out.write_all(text::text(explanation).as_bytes()),
        Format::Json => writeln!(out, "{}", serde_json::to_string(explanation)?),
    })?;
    Ok(if explanation.is_known() { Exit::Done } else { Exit::Unknown })
}
