//! An AWS account made of straw: CloudTrail, Secrets Manager, SNS and STS over real HTTP, in this process.
//!
//! Reading order: [`account`](Account) is the handle; [`clock`](Clock) says what time it is there; [`records`](Record)
//! and [`callers`](Caller) say what happened and who did it; `trail`, `secrets`, `topics` and `sts` are the services;
//! `wire` is their protocols, `server` the front door and `door` the one for whoever is in the same process; [`faults`](Fault) are what goes wrong; [`traffic`] is the
//! story that `secretwatch demo` tells, and [`start`] sets the stage for it. Real SDKs read the account as if it were AWS; what AWS does beyond what this
//! program needs is absent and refused in words rather than half done.
//!
//! No signature is checked and nothing is kept on disk. It listens on loopback only.

mod account;
mod callers;
mod clock;
mod door;
mod faults;
mod lateness;
mod quota;
mod records;
mod secrets;
mod server;
mod show;
mod state;
mod sts;
mod topics;
pub mod traffic;
mod trail;
mod wire;

pub use account::{AWS_QUOTA, AccessKey, Account, Answered, Call, Settings};
pub use callers::Caller;
pub use clock::Clock;
pub use faults::{Fault, Injection, InjectionId, Spoiled};
pub use lateness::Lateness;
pub use records::{Record, SECRETS_MANAGER, Surroundings};
pub use show::{Demo, start};
pub use topics::Message;

#[cfg(test)]
mod tests;
