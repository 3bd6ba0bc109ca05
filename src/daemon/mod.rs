//! The loop that turns the wheel.

mod clock;
mod inventory;
mod pass;

pub use inventory::Inventory;
pub use pass::{Limits, PassSettings, Report, Watch};
