//! The outbox in plain types: which alert is to be handed over next, and what became of handing it over.
//!
//! Each notifier has an outbox of its own. In it the alerts of one incident form a *chain*, in the order in which they
//! were decided: only the oldest of a chain is ever on offer, so nobody hears that an incident is over before hearing
//! that there is one. Chains do not wait for each other.

use crate::model::{Alert, WallTime};

/// What an outbox has to offer.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Hand this over now.
    Send(Box<Delivery>),
    /// There is something, but not before this time.
    Wait(WallTime),
    /// There is nothing.
    Idle,
}

/// One alert on its way to one notifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The notifier's name.
    pub notifier: String,
    /// Its place in that notifier's outbox.
    pub seq: u64,
    /// What is to be handed over.
    pub alert: Alert,
    /// How often that was tried before, in vain.
    pub attempts: u32,
    /// When it was queued; `retry_for` counts from here.
    pub queued: WallTime,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The notifier has it; the next alert of its chain may go.
    Accepted {
        /// When.
        at: WallTime,
    },
    /// It stays at the head of its chain.
    Retry {
        /// Not again before this time.
        at: WallTime,
        /// How often it was tried by now.
        attempts: u32,
        /// Whether it was refused rather than not reached: something for a person to look at.
        parked: bool,
        /// Why it was not accepted.
        error: String,
    },
    /// It was given up and is kept as a dead letter; the next alert of its chain may go.
    Dead {
        /// When.
        at: WallTime,
        /// Why it was not accepted.
        error: String,
    },
}
