//! Filter patterns. An input is looked at in two ways: as a text that may be a pattern, a zero byte and a text that may
//! be a record; and as the dice from which the property tests make a pattern and a record that are right, to be
//! compared with the slow way.

#![no_main]

#[path = "../../tests/it/patterns/naive.rs"]
mod naive;

use libfuzzer_sys::fuzz_target;
use naive::{Dice, Expr, Json};
use secretwatch::detect::Pattern;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        if first % 4 == 0 { compare(rest) } else { look_at(rest) }
    }
});

fn look_at(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, record) = text.split_once('\0').unwrap_or((text, text));
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
            return;
        }
    };
    let matches = pattern.matches(record);
    assert!(!matches || pattern.never_matches().is_none(), "matches and never does");
    assert!(pattern.explain(record).iter().all(|clause| text.contains(&clause.text)), "a clause that was not written");
    assert!(pattern.warnings().iter().all(|warning| !warning.is_empty()), "a warning without words");
}

fn compare(bytes: &[u8]) {
    let mut dice = Dice(bytes);
    let record = Json::object(&mut dice);
    let expr = Expr::any(&mut dice);
    let text = expr.write(&mut dice);
    let mut json = String::new();
    record.write(&mut dice, &mut json);
    let pattern = Pattern::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(pattern.matches(&json), expr.holds(&record), "{text} on {json}");
    let holds: Vec<bool> = pattern.explain(&json).iter().map(|clause| clause.holds).collect();
    let expected: Vec<bool> = expr.clauses().iter().map(|clause| clause.holds(&record)).collect();
    assert_eq!(holds, expected, "{text} on {json}");
    assert!(pattern.never_matches().is_none() || !expr.holds(&record), "{text} matches {json} and never does");
}
