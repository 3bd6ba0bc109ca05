//! The configuration: any text is one, or all its problems have places; and what `check --print` shows is one again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secretwatch::config::{Environment, check, render};
use secretwatch::model::WallTime;

/// What `render` shows in place of a secret.
const HIDDEN: &str = "[set]";

fuzz_target!(|text: &str| {
    // Files that the text names are read: none outside the folder that this runs in.
    if text.contains("_file") && text.contains(['/', '\\']) {
        return;
    }
    let env = Environment::default().at(WallTime(1_780_000_000_000));
    match check(text, "config.toml", &env) {
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a word"),
        Ok(config) => {
            let shown = render(&config);
            if let Err(problems) = check(&shown, "shown.toml", &env)
                && !shown.contains(HIDDEN)
            {
                panic!("what is shown is refused:\n{problems}\n{shown}");
            }
        }
    }
});
