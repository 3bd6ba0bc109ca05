//! From the operator's file to settings that are right.

mod settings;

pub use settings::{Account, Cadence, Config, Notifier, Poll, SnsFormat, Status, Target, Webhook};
