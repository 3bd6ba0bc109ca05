//! What survives a crash.
//!
//! The `Ledger` knows the rows (`keys` lists them byte by byte) and is the only thing that reads or writes them. A
//! [`Keeper`] runs it on a thread of its own and answers only when what was written is durable. Underneath, `kv` is
//! sled, or a map in memory, with a [`SimulatedDisk`] behind it where a test plays the power cut. Another process looks
//! at the store through a [`View`]; an [`Explanation`] says why somebody was told of an event, or why not.
//!
//! Absent on purpose: what counts and what an incident is (`detect`), which span to read next (`trail`), and how an
//! alert is sent (`notify`).

mod activation;
mod allowances;
mod begun;
mod copy;
mod error;
mod explain;
mod explanation;
mod health;
mod intake;
mod keeper;
mod keys;
mod kv;
mod ledger;
mod life;
mod lists;
mod news;
mod outbox;
mod overview;
mod pack;
mod prune;
mod renew;
mod rows;
mod segments;
mod silences;
mod simulated;
mod sources;
mod sums;
mod survey;
mod tally;
mod view;
mod windows;

pub use error::StoreError;
pub use explain::MAX_EVENT_ID;
pub use explanation::{
    AlertSight, AllowanceRuling, Basis, Copied, Demand, EXPLANATION, Explanation, FeedSight, Finding, IncidentSight,
    IncidentState, Kept, Known, Listed, Measure, News, Objection, Ruling, SourceSight, Stand, Standing, StepRuling,
    Unread, Version, Watched, Window,
};
pub use health::{Health, Staleness, Waiting};
pub use intake::Taken;
pub use keeper::{Home, Keeper};
pub use kv::is_in_use;
pub use ledger::{Ledger, LedgerSettings, Recipient};
pub use lists::{AccessPage, AccessPlace, AccessQuery, AlertPage, AlertQuery, Resend, Resent, ResentAlert};
pub use news::Past;
pub use outbox::{Delivery, Next, Settlement};
pub use overview::{OpenIncident, OutboxStanding, Overview, SourceStanding};
pub use prune::Sweep;
pub use renew::{Renewal, Renewed, renew};
pub use rows::{AlertRow, AllowanceRow, Blindness, DeliveryRow, FateRow, RuleRow, Seeding, SourceRow, UnreadableRow};
pub use silences::{Hushed, Silence};
pub use simulated::{SimulatedDisk, Stroke, Struck};
pub use sums::{Combination, HOUR, IncidentPage, IncidentQuery, Sum, SumsPage};
pub use survey::{Damage, Survey, TableSize, survey};
pub use tally::{Asked, Pass, Tally};
pub use view::View;
pub use windows::{Fullest, Look, Looked, RuleStanding};
