//! Records: whatever a text says, it is read or refused, and what is read can be stored and shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secretwatch::model::{WallTime, read_record};

/// Bytes of an access as JSON, at most: the store takes no more than 64 KiB with what stands beside it.
const MAX_BYTES: usize = 48 << 10;

fuzz_target!(|text: &str| {
    let Ok(access) = read_record(text, WallTime(1_780_000_000_000)) else { return };
    let json = serde_json::to_string(&access).expect("an access is JSON");
    assert!(json.len() < MAX_BYTES, "{} bytes", json.len());
    let shown = serde_json::from_str::<serde_json::Value>(&json).expect("JSON").to_string();
    assert!(!shown.chars().any(char::is_control), "a control character gets through");
    assert!(!json.contains("\\u00"), "a control character gets through");
});
