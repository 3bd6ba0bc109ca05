//! What survives a crash.

mod error;
mod outbox;

pub use error::StoreError;
pub use outbox::{Delivery, Next, Settlement};
