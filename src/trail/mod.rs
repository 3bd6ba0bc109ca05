//! trail

mod files;

pub use files::{Damage, Fault, MAX_FILE_BYTES, Origin, Summary, read_paths};
