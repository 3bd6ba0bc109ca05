//! From the operator's file to settings that are right.
//!
//! The way of a configuration: `load` finds the text and the variables; `tree` parses the text into nodes that know
//! where they stand, and lays the variables over them; `table` is the typed reader that complains instead of failing;
//! `check` with `rules`, `allow`, `notifiers`, `secrets` and `template` walks the tree and makes the [`Config`]; `doubts` looks at
//! what came of it and says what can hardly be meant. Every complaint is collected, so that one run of `check` shows
//! all there is to mend. [`render`] goes the other way. The [`builtins`] are rules in a file of our own, read the same
//! way.
//!
//! There is no serde mirror of the file: its messages know neither the line of a missing key nor the nearest right one,
//! and it stops at the first mistake. Whoever holds a [`Config`] need not ask whether it makes sense.

mod settings;

mod load;

mod check;
mod rules;

mod condition;
mod first_seen;
mod steps;

mod builtin;

mod allow;

mod digest;
mod doubts;
mod events;

mod notifiers;
mod secrets;
mod template;

mod duration;
mod keys;
mod problem;
mod render;
mod schedule;
mod table;
mod tree;

#[cfg(test)]
mod tests;

pub use builtin::{Builtin, builtin, builtins};
pub use check::check;
pub(crate) use duration::brief;
pub(crate) use keys::did_you_mean;
pub use keys::known_keys;
pub use load::{DEFAULT_PATH, Environment, LoadError, MAX_FILE_BYTES, MAX_SECRET_BYTES, load};
pub use problem::{Place, Problem, Problems};
pub use render::render;
pub use rules::RECOMMENDED;
pub(crate) use secrets::is_loopback;
pub use settings::{
    Account, Cadence, Config, Digest, Fallback, Heartbeat, Notifier, Poll, RoutingKey, SnsFormat, Status, Target,
    Webhook, WebhookFormat,
};
pub use template::{BadTemplate, MAX_TEMPLATE_BYTES, Template};
