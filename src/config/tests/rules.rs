//! Patterns, tags, sequences, what is first seen, and the built-in rules.

use super::*;
use crate::config::builtin::{builtin, builtins};
use crate::detect::{GroupKey, Rule};

/// The only rule that `text` gives.
#[track_caller]
fn only(text: &str) -> Rule {
    let mut rules = right(text).rules;
    assert_eq!(rules.len(), 1, "{text}");
    rules.remove(0)
}

#[test]
fn a_pattern_that_is_wrong_is_pointed_at() {
    wrong(&rule("pattern = '{ $.eventName == \"x\" }'"), "3:26: rule[0].pattern: `==` is no operator; equality is `=`");
    wrong(&rule("pattern = \"{ $.a == 1 }\""), "3:18: rule[0].pattern: `==` is no operator");
    wrong(&rule("pattern = \"{ $.é == 1 }\""), "3:18: rule[0].pattern: `==` is no operator");
    wrong(&rule("pattern = \"{ $.a = 1\""), "3:21: rule[0].pattern: the pattern ends without its closing `}`");
    wrong(&rule("pattern = ''"), "3:12: rule[0].pattern: the pattern is empty");
    // Where the text is written otherwise than it is meant, a column of it can only be named.
    wrong(
        &rule("pattern = \"{ $.a == \\\"x\\\" }\""),
        "3:11: rule[0].pattern: column 7 of the text: `==` is no operator",
    );
    wrong(&rule("pattern = '''\n{ $.a == 1 }'''"), "3:11: rule[0].pattern: column 7 of the text: `==` is no operator");
    wrong(&rule("pattern = 5"), "3:11: rule[0].pattern: expected a string, found an integer");
    let text = only(&rule("pattern = '{ $.eventName = * }'")).condition.pattern.unwrap();
    assert_eq!(text.text(), "{ $.eventName = * }");
}

#[test]
fn tags() {
    wrong(&rule("secret_tags = \"prod\""), "3:15: rule[0].secret_tags: expected a table, found a string");
    wrong(&rule("secret_tags = { env = [] }"), "3:23: rule[0].secret_tags.env: must not be empty");
    wrong(&rule("secret_tags = { env = 5 }"), "3:23: rule[0].secret_tags.env: expected a string, found an integer");
    wrong(&rule("secret_tags = { env = [\"a[\"] }"), "3:24: rule[0].secret_tags.env[0]: \"a[\" is no glob");
    let tags = only(&rule("secret_tags = { env = \"prod\", \"a b\" = [\"x\", \"y*\"] }")).condition.secret_tags;
    assert_eq!(
        (tags["env"].texts(), tags["a b"].texts()),
        (&["prod".to_owned()][..], &["x".to_owned(), "y*".into()][..])
    );
}

/// A sequence that is right but for `line`, which is the fifth.
fn sequence(line: &str) -> String {
    let steps = "steps = [{ outcome = \"denied\", threshold = 3 }, { outcome = \"success\" }]";
    format!("[[rule]]\nname = \"a\"\nwithin = \"30m\"\n{steps}\n{line}")
}

/// A rule with these steps, from the fourth column of the fourth line on.
fn steps(steps: &str) -> String {
    format!("[[rule]]\nname = \"a\"\nwithin = \"30m\"\nsteps = [{steps}]")
}

#[test]
fn sequences() {
    let found = only(&sequence(""));
    assert_eq!((found.steps.len(), found.window, found.group_by.as_slice()), (2, 1800, &[GroupKey::Principal][..]));
    assert_eq!((found.steps[0].threshold, found.steps[1].threshold, found.goal()), (3, 1, 2));
    let apart = "[[rule]]\nname = \"a\"\nwithin = \"1m\"\n[[rule.steps]]\nevents = [\"ListSecrets\"]\n[[rule.steps]]\n\
                 statistic = { distinct = \"secret\" }\nthreshold = 5\n";
    assert_eq!(only(apart).steps[1].statistic, Statistic::Distinct(GroupKey::Secret));

    wrong(&sequence("threshold = 2"), "5:13: rule[0].threshold: not together with steps; each step has its own");
    wrong(&sequence("statistic = \"sum\""), "5:13: rule[0].statistic: not together with steps; each step has its own");
    wrong(
        &sequence("window = \"1m\""),
        "5:10: rule[0].window: not together with steps; the time for all of them is within",
    );
    wrong(
        &sequence("first_seen = { of = [\"secret\"] }"),
        "5:14: rule[0].first_seen: not together with steps; a rule is one or the other",
    );
    wrong(
        &rule("within = \"1m\""),
        "3:10: rule[0].within: only together with steps; the window of this rule is window",
    );
    wrong(&rule("steps = [{ outcome = \"denied\" }, {}]"), "1:1: rule[0].within: missing; the time in which all steps");
    wrong(&steps("{}"), "4:9: rule[0].steps: at least two steps follow one another");
    wrong(&steps(""), "4:9: rule[0].steps: at least two steps");
    let nine: Vec<String> = (0..9).map(|n| format!("{{ principals = [\"*{n}\"] }}")).collect();
    wrong(&steps(&nine.join(", ")), "4:9: rule[0].steps: at most 8 steps, found 9");
    wrong(
        &steps("{}, { window = \"1m\", outcome = \"denied\" }"),
        "4:16: rule[0].steps[1].window: unknown key here; it belongs to [[rule]]",
    );
    wrong(&steps("5, {}"), "4:10: rule[0].steps[0]: expected a table, found an integer");
    wrong(
        &steps("{ threshold = 0 }, { outcome = \"any\", events = [\"X\"] }"),
        "4:24: rule[0].steps[0].threshold: must be",
    );
    wrong(
        &steps(
            "{ events = [\"GetSecretValue\"] }, { outcome = \"any\", events = [\"GetSecretValue\"], threshold = 2 }",
        ),
        "4:43: rule[0].steps[1]: means the same accesses as the step before it; make them one, with a threshold",
    );
    wrong(
        &steps(
            "{ outcome = \"denied\", statistic = { distinct = \"secret\" } }, { statistic = { distinct = \"region\" } }",
        ),
        "4:85: rule[0].steps[1].statistic: another step counts distinct values of \"secret\"",
    );
}

#[test]
fn sequences_that_never_come_to_their_end() {
    let listed = steps("{ events = [\"ListSecrets\"] }, { events = [\"GetSecretValue\"] }");
    let within = |line: &str| listed.replacen("within", &format!("{line}\nwithin"), 1);
    wrong(
        &within("outcome = \"success\"").replace("{ events = [\"Get", "{ outcome = \"denied\", events = [\"Get"),
        "5:52: rule[0].steps[1].outcome: the rule itself counts only what has the outcome \"success\"",
    );
    wrong(
        &within("events = [\"GetSecretValue\"]"),
        "5:21: rule[0].steps[0].events: the rule's own events hold none of these",
    );
    wrong(
        &within("secrets = [\"prod/*\"]"),
        "5:10: rule[0].steps[0]: ListSecrets names no secret, and the rule counts only some; say which secrets in the",
    );
    let group = "group_by: no group holds all steps, since";
    wrong(&within("group_by = [\"secret\"]"), &format!("3:12: rule[0].{group} the events of one name no secret"));
    wrong(&within("group_by = [\"event\"]"), &format!("3:12: rule[0].{group} their events differ"));
    wrong(&sequence("group_by = [\"outcome\"]"), &format!("5:12: rule[0].{group} their outcomes differ"));
    wrong(
        &steps("{ statistic = { distinct = \"principal\" }, threshold = 2 }, { outcome = \"denied\" }"),
        "4:24: rule[0].steps[0].statistic: never more than 1: each group has one principal",
    );
}

#[test]
fn what_is_first_seen() {
    let news = |table: &str| rule(&format!("first_seen = {{ {table} }}"));
    let first = only(&news("of = [\"principal\", \"secret\"]"));
    assert_eq!(first.group_by, [GroupKey::Principal, GroupKey::Secret]);
    let day = 86_400;
    let found = first.first_seen.unwrap();
    assert_eq!((found.memory, found.learn, found.seed, first.window), (30 * day, 7 * day, 30 * day, 3600));
    let long = only(&format!("{}\n[poll]\nlateness = \"2h\"\nretention = \"10d\"", news("of = [\"secret\"]")));
    assert_eq!((long.window, long.first_seen.unwrap().seed), (7200, 10 * day));
    let endless = only(&format!("{}\n[poll]\nretention = \"200d\"", news("of = [\"secret\"], memory = \"200d\"")));
    assert_eq!(endless.first_seen.unwrap().seed, 90 * day);
    let apart = only(&format!("{}\ngroup_by = []", news("of = [\"secret\"], learn = \"0s\", seed = \"0s\"")));
    assert!(apart.group_by.is_empty());

    wrong(&news(""), "3:14: rule[0].first_seen.of: missing; name the keys whose values together are new");
    wrong(&news("of = []"), "3:21: rule[0].first_seen.of: must not be empty");
    wrong(&news("of = [\"user\"]"), "3:22: rule[0].first_seen.of[0]: expected \"account\"");
    wrong(
        &news("of = [\"secret\"], lern = \"1d\""),
        "3:33: rule[0].first_seen.lern: unknown key, did you mean \"learn\"?",
    );
    wrong(&rule("first_seen = true"), "3:14: rule[0].first_seen: expected a table, found a boolean");
    wrong(
        &news("of = [\"secret\"], memory = \"1h\""),
        "3:42: rule[0].first_seen.memory: first_seen.memory must be at least twice as long as the window, 1h",
    );
    let seed = |seed: &str| news(&format!("of = [\"secret\"], seed = \"{seed}\""));
    wrong(&seed("91d"), "3:40: rule[0].first_seen.seed: must be at most 90d");
    wrong(&seed("31d"), "3:40: rule[0].first_seen.seed: more than poll.retention, 30d: nothing older is read");
    let brief = right(&format!("{}\nwindow = \"14m\"", news("of = [\"secret\"]"))).warnings;
    assert!(brief[0].to_string().contains("4:10: rule[0].window: warning: less than poll.lateness, 15m"), "{brief:?}");
}

#[test]
fn the_built_in_rules_are_right() {
    assert!(builtins().len() >= 17);
    for builtin in builtins() {
        let name = builtin.name();
        assert_eq!(crate::config::builtin::builtin(name).map(|found| found.name()), Some(name));
        let text = builtin.toml().replace("\n# secrets", "\nsecrets");
        let sources = "[poll]\nevent_sources = [\"secretsmanager.amazonaws.com\", \"cloudtrail.amazonaws.com\"]\n";
        let regions = "[[account]]\nregions = [\"us-east-1\", \"us-east-2\", \"eu-west-1\"]\n";
        let config = right(&format!("{sources}{regions}{text}"));
        assert_eq!(config.warnings, [], "{name}");
        if builtin.needs_key.is_none() {
            assert_eq!(config.rules[0].fingerprint(), builtin.rule.fingerprint(), "{name}");
        }
        let rule = &builtin.rule;
        assert!(rule.description.as_ref().is_some_and(|text| !text.ends_with('.')), "{name}");
        assert!(builtin.technique.starts_with('T') && builtin.reason.len() > 80, "{name}");
        assert!(rule.condition.pattern.is_none() || builtin.which.is_some(), "{name}");
        assert!(!builtin.recommended || builtin.needs_key.is_none() && builtin.needs_source.is_none(), "{name}");
        assert!(builtin.with.as_deref().is_none_or(|with| crate::config::builtin(with).is_some()), "{name}");
    }
}

#[test]
fn built_in_rules_are_used_by_name() {
    let names = |text: &str| right(text).rules.into_iter().map(|rule| rule.name).collect::<Vec<_>>();
    assert_eq!(names("use = []"), ["secret-is-accessed"]);
    assert_eq!(names("use = [\"denied-reads\", \"bulk-read\"]"), ["denied-reads", "bulk-read"]);
    assert_eq!(names("use = [\"secret-destroyed\"]"), ["secret-destroyed", "secret-destroyed-for-good"]);
    assert_eq!(names("use = [\"bulk-read\"]\n[[rule]]\nname = \"own\""), ["bulk-read", "own"]);
    let recommended = names("use = [\"bulk-read\", \"recommended\"]");
    let expected = builtins().iter().filter(|it| it.recommended).count();
    assert!(recommended.len() == expected && expected >= 10 && expected < builtins().len(), "{recommended:?}");
    let by_variable = right_with("use = [\"bulk-read\"]", &[("SECRETWATCH__USE", "['denied-reads']")]);
    assert_eq!(by_variable.rules[0].name, "denied-reads");
    assert_eq!(by_variable.rules[0].notify, ["stdout"]);

    wrong(
        "use = [\"bulk-reads\"]",
        "1:8: use[0]: there is no built-in rule \"bulk-reads\", did you mean \"bulk-read\"?",
    );
    wrong(
        "use = [\"everything\"]",
        "1:8: use[0]: there is no built-in rule \"everything\"; `secretwatch rules` lists them",
    );
    wrong("use = [\"bulk-read\", \"bulk-read\"]", "1:21: use[1]: is in this list already");
    wrong("use = \"recommended\"", "1:7: use: expected an array of names of built-in rules, found a string");
    wrong_with(
        "",
        &[("SECRETWATCH__USE", "bulk-read")],
        "SECRETWATCH__USE: use: expected an array of names of built-in",
    );
}

#[test]
fn a_rule_of_the_same_name_is_laid_over_a_built_in_one() {
    let over = |lines: &str| format!("use = [\"bulk-read\"]\n[[rule]]\nname = \"bulk-read\"\n{lines}");
    let plain = &builtin("bulk-read").unwrap().rule;
    let one = only(&over("threshold = 20\nnotify = [\"a\"]\n[notify.a]\ntype = \"stdout\""));
    assert_eq!((one.threshold, one.window, one.severity), (20, plain.window, plain.severity));
    assert_eq!((one.statistic, one.notify.as_slice()), (plain.statistic, &["a".to_owned()][..]));
    let counted_otherwise = only(&over("statistic = \"sum\"\nwindow = \"1m\""));
    assert_eq!((counted_otherwise.statistic, counted_otherwise.threshold), (Statistic::Sum, 15));
    let sequence = only(&over("steps = [{ outcome = \"denied\" }, {}]\nwithin = \"1m\"\noutcome = \"any\""));
    assert_eq!((sequence.steps.len(), sequence.window), (2, 60));
    let news = only("use = [\"new-reader\"]\n[[rule]]\nname = \"new-reader\"\nfirst_seen.memory = \"20d\"\n");
    let found = news.first_seen.unwrap();
    assert_eq!((found.memory, found.of.len(), found.seed), (20 * 86_400, 2, 30 * 86_400));

    // What the operator wrote is complained of where it stands, and the rest at the table.
    wrong(&over("threshold = 0"), "4:13: rule[0].threshold: must be at least 1");
    wrong(&over("windw = \"1m\""), "4:1: rule[0].windw: unknown key, did you mean \"window\"?");
    wrong(&over("within = \"1m\""), "4:10: rule[0].within: only together with steps");
    wrong(&over("group_by = [\"secret\"]"), "2:1: rule[0].statistic: never more than 1: each group has one secret");
    wrong(
        "use = [\"enumerate-then-read\"]\n[[rule]]\nname = \"enumerate-then-read\"\nwindow = \"1h\"",
        "4:10: rule[0].window: not together with steps; the time for all of them is within",
    );
    wrong(
        "use = [\"enumerate-then-read\"]\n[[rule]]\nname = \"enumerate-then-read\"\nsecrets = [\"prod/*\"]",
        "2:1: rule[0].steps[0]: ListSecrets names no secret, and the rule counts only some",
    );
    let late = right("use = [\"new-reader\"]\n[poll]\nlateness = \"2h\"").warnings;
    assert!(late[0].to_string().contains("1:8: use[0].window: warning: less than poll.lateness, 2h"), "{late:?}");
    wrong(
        "use = [\"bulk-read\", \"recommended\"]\n[poll]\nretention = \"20d\"",
        "1:21: use[1].first_seen.seed: more than poll.retention, 20d",
    );
    let twice = over("\n[[rule]]\nname = \"bulk-read\"");
    wrong(&twice, "6:8: rule[1].name: another rule is called \"bulk-read\" already");
}

#[test]
fn what_a_built_in_rule_needs_is_asked_for() {
    wrong("use = [\"canary\"]", "1:8: use[0].secrets: missing; the rule \"canary\" needs it: say it in a [[rule]] of");
    wrong("use = [\"canary\"]\n[[rule]]\nname = \"canary\"\nsecrets = []", "2:1: rule[0].secrets: missing");
    let canary = only("use = [\"canary\"]\n[[rule]]\nname = \"canary\"\nsecrets = [\"canary/*\"]");
    assert_eq!((canary.severity, canary.condition.events.len()), (Severity::Critical, 0));
    wrong(
        "use = [\"trail-tampering\"]",
        "1:8: use[0]: the rule \"trail-tampering\" needs events that are not looked up; write event_sources = \
         [\"secretsmanager.amazonaws.com\", \"cloudtrail.amazonaws.com\"] in [poll]",
    );
    right(
        "use = [\"trail-tampering\"]\n[poll]\nevent_sources = [\"secretsmanager.amazonaws.com\", \
         \"cloudtrail.amazonaws.com\"]",
    );
}

#[test]
fn what_is_written_of_every_kind_of_rule_comes_round() {
    let (sources, regions) = (
        "event_sources = [\"secretsmanager.amazonaws.com\", \"cloudtrail.amazonaws.com\"]",
        "regions = [\"us-east-1\", \"us-east-2\", \"eu-west-1\"]",
    );
    let names: Vec<&str> = builtins().iter().map(|builtin| builtin.name()).collect();
    let canary =
        "[[rule]]\nname = \"canary\"\nsecrets = [\"canary/*\"]\nsecret_tags = { env = \"prod\", \"a b\" = [\"x\"] }";
    let config = right(&format!("use = {names:?}\n[poll]\n{sources}\n[[account]]\n{regions}\n{canary}"));
    assert_eq!((config.rules.len(), config.warnings.as_slice()), (builtins().len(), &[][..]));
    comes_round(&config);
    comes_round(&right(&sequence("")));
    comes_round(&right(&rule("pattern = \"\"\"\n\\\"it's\\\" \\u00e9\"\"\"\nfirst_seen = { of = [\"source_ip\"] }")));
}
