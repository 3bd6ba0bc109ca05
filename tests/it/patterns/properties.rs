//! Random patterns and records against the slow way, and any text at all.

use proptest::prelude::*;
use secretwatch::detect::Pattern;

use super::naive::{Dice, Expr, Json};

/// A pattern and a record, as trees and as texts.
struct Throw {
    expr: Expr,
    pattern: String,
    record: Json,
    json: String,
}

fn throw(bytes: &[u8]) -> Throw {
    let mut dice = Dice(bytes);
    let record = Json::object(&mut dice);
    let expr = Expr::any(&mut dice);
    let pattern = expr.write(&mut dice);
    let mut json = String::new();
    record.write(&mut dice, &mut json);
    Throw { expr, pattern, record, json }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
}

proptest! {
    #![proptest_config(crate::cases(500))]

    #[test]
    fn a_pattern_means_what_it_means_the_slow_way(bytes in bytes()) {
        let Throw { expr, pattern: text, record, json } = throw(&bytes);
        // Whatever serde_json refuses here is a mistake of the dice, but for numbers beyond a double.
        if !json.contains("1e999") {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        }
        let pattern = Pattern::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(pattern.matches(&json), expr.holds(&record), "{} on {}", text, json);
        prop_assert_eq!(pattern.text(), text.as_str());

        let clauses = pattern.explain(&json);
        let holds: Vec<bool> = clauses.iter().map(|clause| clause.holds).collect();
        let expected: Vec<bool> = expr.clauses().iter().map(|clause| clause.holds(&record)).collect();
        prop_assert_eq!(holds, expected, "{} on {}", text, json);
        prop_assert!(clauses.iter().all(|clause| text.contains(&clause.text)), "{}", text);
        let found: Vec<bool> = clauses.iter().map(|clause| clause.found.is_some()).collect();
        let expected: Vec<bool> = expr.clauses().iter().map(|clause| !clause.chosen(&record).is_empty()).collect();
        prop_assert_eq!(found, expected, "{} on {}", text, json);

        let never = pattern.never_matches();
        prop_assert!(never.is_none() || !expr.holds(&record), "{} on {}: {:?}", text, json, never);
        prop_assert!(pattern.warnings().iter().all(|warning| warning.len() < 4_000));
    }

    #[test]
    fn a_damaged_record_does_no_harm(bytes in bytes(), at in any::<prop::sample::Index>(), with in ".?") {
        let Throw { expr, pattern: text, mut json, .. } = throw(&bytes);
        let at = json.floor_char_boundary(at.index(json.len() + 1));
        let to = json.ceil_char_boundary((at + 1).min(json.len()));
        json.replace_range(at..to, &with);
        let pattern = Pattern::parse(&text).expect("a pattern");
        let clauses = pattern.explain(&json);
        let follows = expr.follows(&mut clauses.iter().map(|clause| clause.holds));
        prop_assert_eq!(pattern.matches(&json), follows, "{} on {}", text, json);
    }

    #[test]
    fn any_text_is_a_pattern_or_is_not(text in any::<String>(), record in any::<String>()) {
        look_at(&text, &record)?;
    }

    #[test]
    fn so_is_any_sequence_of_what_patterns_are_made_of(
        pieces in proptest::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
        record in bytes(),
    ) {
        look_at(&pieces.concat(), &throw(&record).json)?;
    }
}

const PIECES: [&str; 34] = [
    "{", "}", "(", ")", "$", ".", "$.a", "a", "[", "]", "0", "*", "'", "\"", "%", "=", "!=", "<", ">=", "&&", "||",
    " ", "IS", "NULL", "NOT", "EXISTS", "-", "?", "\\", "x{", ",", "1e3", "é", "TRUE",
];

/// Either way nothing panics, and what is wrong has a place in the text.
fn look_at(text: &str, record: &str) -> Result<(), TestCaseError> {
    match Pattern::parse(text) {
        Ok(pattern) => {
            let matches = pattern.matches(record);
            prop_assert!(!(matches && pattern.never_matches().is_some()), "{}", text);
            prop_assert!(pattern.explain(record).iter().all(|clause| text.contains(&clause.text)));
            prop_assert!(pattern.warnings().iter().all(|warning| !warning.is_empty()));
        }
        Err(error) => {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}: {}", text, error);
            prop_assert!(!error.message.is_empty() && error.message.len() < 200, "{}: {}", text, error);
        }
    }
    Ok(())
}
/// Else the properties would say little.
#[test]
fn the_dice_fall_either_way() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut matching, mut impossible, mut found) = (0, 0, 0);
    for _ in 0..1_000 {
        let bytes: Vec<u8> = (0..400).map(|_| rng.u8(..)).collect();
        let Throw { expr, pattern: text, record, json } = throw(&bytes);
        let pattern = Pattern::parse(&text).expect("a pattern");
        matching += usize::from(pattern.matches(&json));
        impossible += usize::from(pattern.never_matches().is_some());
        found += usize::from(expr.clauses().iter().any(|clause| !clause.chosen(&record).is_empty()));
    }
    assert!((150..850).contains(&matching), "{matching} of 1,000 patterns match");
    assert!(impossible > 20, "{impossible} of 1,000 patterns can never match");
    assert!(found > 300, "{found} of 1,000 patterns find something");
}
