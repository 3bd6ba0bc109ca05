//! How an alert reaches somebody.
//!
//! A [`Dispatcher`] stands between one notifier's [`Outbox`], which is durable, and its [`Sender`], which is the world:
//! it takes the alert whose turn it is, hands it over, and records what became of that. [`retry`] decides when to try
//! again and when to stop; [`mod@format`] says what an alert looks like to each kind of receiver, and for people that is a
//! digest of it.
//!
//! The invariant of this module: *commit → deliver → mark delivered*, in that order. What is handed over was made
//! durable before, with its id; what was handed over is marked after. A crash between the last two repeats the same id
//! and never makes another, which is why receivers are told to drop an id that they have seen. By which [`Way`] it goes,
//! the notifier's own or a fallback's, changes nothing of that: the alert stays in one outbox until somebody has it.
//!
//! Deliberately absent: any decision about what is worth an alert, any memory of its own that matters after a restart,
//! and a general queue: an outbox has one attempt under way at a time.

mod digest;
mod dispatch;
pub mod format;
mod outbox;
mod page;
pub mod retry;
mod sender;
mod sns;
mod stdout;
mod text;
mod way;
mod webhook;

pub use dispatch::{Dispatcher, Drained, End, NotifierStats};
pub use outbox::{Outbox, Which};
pub(crate) use page::{INDENT, Page};
pub(crate) use sender::with_causes;
pub use sender::{BadNotifier, Outcome, Sender};
pub use text::{subject, text};
pub use way::Way;
