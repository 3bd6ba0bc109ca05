//! The allow-list.

use super::*;
use crate::detect::{Allowance, AtMost};
use crate::model::EventTime;

/// An entry that is right but for `line`, which is the sixth.
fn entry(line: &str) -> String {
    let said = "owner = \"ann\"\nreason = \"by design\"\nuntil = 2027-01-31\nevents = [\"GetSecretValue\"]";
    format!("[[allow]]\n{said}\n{line}")
}

/// The same without a key of its own for which accesses; `line` is the fifth.
fn bare(line: &str) -> String {
    entry("").replace("\nevents = [\"GetSecretValue\"]\n", &format!("\n{line}"))
}

#[track_caller]
fn only(text: &str) -> Allowance {
    let mut allowances = right(text).allowances;
    assert_eq!(allowances.len(), 1, "{text}");
    allowances.remove(0)
}

#[test]
fn entries() {
    let found = only(&entry("rules = [\"secret-is-accessed\"]\nat_most = \"20 per 1h 30m\""));
    assert_eq!((found.name.as_str(), found.owner.as_str(), found.reason.as_str()), ("allow-1", "ann", "by design"));
    assert_eq!((found.rules.len(), found.at_most), (1, Some(AtMost { accesses: 20, window: 5400 })));
    assert_eq!(found.condition.events, ["GetSecretValue"]);
    let second = &right(&format!("{}\n{}", entry(""), entry(""))).allowances[1];
    assert_eq!((second.name.as_str(), second.rules.len(), second.at_most), ("allow-2", 0, None));
    comes_round(&right(&entry("name = \"x\"\nat_most = \"1 per 1s\"\nsecret_tags.env = \"prod\"\npattern = 'a'")));

    wrong("[[allow]]\nreason = \"x\"\nevents = [\"X\"]", "1:1: allow[0].owner: missing; somebody has to answer for it");
    wrong(
        "[[allow]]\nowner = \"x\"\nevents = [\"X\"]",
        "1:1: allow[0].reason: missing; say why these accesses are right",
    );
    wrong(&entry("").replace("\"ann\"", "\"\""), "2:9: allow[0].owner: expected a text of one line");
    wrong(&entry("rule = []"), "6:1: allow[0].rule: unknown key, did you mean \"rules\"?");
    wrong(&entry("hold = \"1m\""), "6:1: allow[0].hold: unknown key here; it belongs to [[rule]]");
    wrong(&entry("name = \"a b\""), "6:8: allow[0].name: expected a name of letters, digits");
    wrong(&entry("pattern = '{'"), "6:13: allow[0].pattern: the end of the pattern stands where");
    let rules = "allow[0].rules[0]: there is no rule";
    wrong(&entry("rules = [\"x\"]"), &format!("6:10: {rules} \"x\""));
    wrong(
        &entry("rules = [\"secret-is-acessed\"]"),
        &format!("6:10: {rules} \"secret-is-acessed\", did you mean \"secret-is-"),
    );
    wrong(&entry("rules = [\"bulk-read\"]"), "6:10: allow[0].rules[0]: the built-in rule \"bulk-read\" is not in use");
    right(&format!("use = [\"bulk-read\"]\n{}", entry("rules = [\"bulk-read\"]")));
    let twice = format!("{}\n{}", entry("name = \"allow-2\""), entry(""));
    wrong(&twice, "7:1: allow[1].name: another entry is called \"allow-2\" already");
    wrong_with(
        "",
        &[("SECRETWATCH__ALLOW__NAME", "x")],
        "SECRETWATCH__ALLOW__NAME: no variable sets a key of [[allow]]",
    );
}

#[test]
fn an_entry_without_a_condition_would_allow_everything() {
    let everything = "1:1: allow[0]: would allow everything; say which accesses, by events, outcome, secrets";
    for line in
        ["", "events = []", "outcome = \"any\"", "secret_tags = {}", "exclude_principals = [\"*/ann\"]", "secrets = []"]
    {
        wrong(&bare(line), everything);
    }
    for line in ["outcome = \"denied\"", "secret_tags = { a = \"b\" }", "principals = [\"*/ann\"]", "pattern = 'x'"] {
        right(&bare(line));
    }
}

#[test]
fn ends() {
    let until = |text: &str| only(&entry("").replace("2027-01-31", text)).until.unwrap();
    let time = |text: &str| text.parse::<EventTime>().unwrap();
    for last_day in ["2027-01-31", "\"2027-01-31\""] {
        assert_eq!(until(last_day), time("2027-02-01T00:00:00Z"));
    }
    assert_eq!(until("2027-01-31T10:00:00+01:00"), time("2027-01-31T09:00:00Z"));
    assert_eq!(until("\"2027-01-31T10:00:00Z\""), time("2027-01-31T10:00:00Z"));
    assert_eq!(until("2027-01-31T10:00:00"), time("2027-01-31T10:00:00Z"));
    for text in ["\"soon\"", "\"\"", "\"2027-02-30\"", "10:00:00", "\"+012345-01-01\"", "9999-12-31"] {
        wrong(
            &entry("").replace("2027-01-31", text),
            "4:9: allow[0].until: expected a date such as \"2027-01-31\", which is",
        );
    }
    wrong(
        &entry("").replace("2027-01-31", "5"),
        "4:9: allow[0].until: expected a date such as \"2027-01-31\", which is the",
    );
}

#[test]
fn measures() {
    for text in ["20", "20/1h", "20 per hour", "0 per 1h", "20 per 0s", "20 per 1500ms", "-1 per 1h", "1.5 per 1h", ""]
    {
        wrong(
            &entry(&format!("at_most = \"{text}\"")),
            "6:11: allow[0].at_most: expected a number of accesses and a time such as \"20 per 1h\", found",
        );
    }
    wrong(&entry("at_most = 20"), "6:11: allow[0].at_most: expected a string, found an integer");
    wrong(
        &entry("at_most = \"20 per 40d\""),
        "6:11: allow[0].at_most: poll.retention is 30d, less than 41d 15m, which poll.recheck with window and hold of \
         the allowance \"allow-1\" come to; set poll.retention",
    );
}
