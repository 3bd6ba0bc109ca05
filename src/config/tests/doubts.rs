//! What can hardly be meant.

use super::*;

/// The warnings about `text`, which is right, a line each without the file's name.
#[track_caller]
fn warnings_at(text: &str, now: i64) -> Vec<String> {
    let env = Environment::default().at(WallTime(now * 1000));
    let config = check(text, "F", &env).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    let line = |problem: &Problem| problem.to_string().trim_start_matches("F:").to_owned();
    config.warnings.iter().map(line).collect()
}

/// There is exactly one warning about `text`, and it begins with `expected`.
#[track_caller]
fn doubtful(text: &str, expected: &str) {
    match warnings_at(text, 0).as_slice() {
        [only] => assert!(only.starts_with(expected), "{text}\n  expected {expected}\n  found    {only}"),
        all => panic!("{text}\n  expected {expected}\n  found    {all:#?}"),
    }
}

/// There is none.
#[track_caller]
fn clear(text: &str) {
    assert_eq!(warnings_at(text, 0), Vec::<String>::new(), "{text}");
}

#[test]
fn what_is_shipped_is_clear() {
    clear("");
    clear(EXAMPLE);
    clear("use = [\"recommended\"]");
}

#[test]
fn events_that_are_not_known() {
    doubtful(
        &rule("events = [\"GetSecretValue\", \"GetSecretValues\"]"),
        "3:29: rule[0].events[1]: warning: no event called \"GetSecretValues\" is known, did you mean \
         \"GetSecretValue\"?",
    );
    doubtful(
        &rule("events = [\"Nonsense\"]"),
        "3:11: rule[0].events[0]: warning: no event called \"Nonsense\" is known; if",
    );
    doubtful(
        &rule("events = [\"StopLogging\"]"),
        "3:11: rule[0].events[0]: warning: poll.event_sources does not hold \"cloudtrail.amazonaws.com\", whose event",
    );
    let sources = |names: &str| format!("[poll]\nevent_sources = [{names}]\n");
    let both = sources("\"secretsmanager.amazonaws.com\", \"cloudtrail.amazonaws.com\"");
    clear(&format!("{both}{}", rule("events = [\"StopLogging\", \"GetSecretValue\"]")));
    let unknown = sources("\"secretsmanager.amazonaws.com\", \"kms.amazonaws.com\"");
    clear(&format!("{unknown}{}", rule("events = [\"Decrypt\"]")));
    doubtful(
        "[[rule]]\nname = \"a\"\nwithin = \"1m\"\nsteps = [{ events = [\"ListSecret\"] }, { outcome = \"denied\" }]",
        "4:22: rule[0].steps[0].events[0]: warning: no event called \"ListSecret\" is known, did you mean \
         \"ListSecrets\"?",
    );

    let source = "2:50: poll.event_sources[1]: warning: ";
    let second = |name: &str| sources(&format!("\"secretsmanager.amazonaws.com\", \"{name}\""));
    doubtful(
        &second("cloudtrial.amazonaws.com"),
        &format!(
            "{source}no event source called \"cloudtrial.amazonaws.com\" is known, did you mean \"cloudtrail.amazonaws"
        ),
    );
    doubtful(&second("a.b"), &format!("{source}event sources end in \".amazonaws.com\""));
    for right in ["sqs.amazonaws.com", "sns.amazonaws.com", "ses.amazonaws.com", "guardduty.amazonaws.com"] {
        clear(&second(right));
    }
}

#[test]
fn globs_that_never_match() {
    doubtful(
        &rule("principals = [\"arn:aws:sts::111122223333:assumed-role/admin/ann\"]"),
        "3:15: rule[0].principals[0]: warning: no principal has the ARN of a session; write that of its role, \
         \"arn:aws:iam::111122223333:role/admin\"",
    );
    doubtful(
        &rule("exclude_principals = [\"arn:aws:sts::*:assumed-role/*\"]"),
        "3:23: rule[0].exclude_principals[0]: warning: no principal has the ARN of a session",
    );
    doubtful(
        &rule("principals = [\"arn:aws:s3:::bucket\"]"),
        "3:15: rule[0].principals[0]: warning: the ARN of no principal",
    );
    doubtful(
        &rule("principals = [\"admin\"]"),
        "3:15: rule[0].principals[0]: warning: principals are compared by their whole ARN, did you mean \"*/admin\"?",
    );
    doubtful(&rule("secrets = [\"arn:aws:s3:::bucket\"]"), "3:12: rule[0].secrets[0]: warning: the ARN of no secret");
    for right in [
        "principals = [\"arn:aws:sts::111122223333:federated-user/ann\", \"*admin\", \"arn:*\", \"Unknown\", \"AWSService/*\"]",
        "secrets = [\"arn:aws:secretsmanager:*\", \"arn:*:prod/*\", \"arn-like\", \"prod/*\"]",
    ] {
        clear(&rule(right));
    }
}

#[test]
fn conditions_that_contradict_themselves() {
    wrong(
        &rule("principals = [\"*/a\", \"*/b\"]\nexclude_principals = [\"*/b\", \"*/a\", \"*/c\"]"),
        "4:22: rule[0].exclude_principals: leaves nobody of principals over",
    );
    wrong(
        &rule("principals = [\"*/a\"]\nexclude_principals = [\"*\"]"),
        "4:22: rule[0].exclude_principals: leaves nobody of principals over",
    );
    clear(&rule("principals = [\"*/a\", \"*/b\"]\nexclude_principals = [\"*/b\"]"));
    wrong(
        &rule("events = [\"ListSecrets\"]\nsecrets = [\"prod/*\"]"),
        "4:11: rule[0].secrets: ListSecrets names no secret, so that nothing would count",
    );
    wrong(
        &rule("events = [\"ListSecrets\"]\nsecret_tags = { env = \"prod\" }"),
        "4:15: rule[0].secret_tags: ListSecrets names no secret",
    );
    wrong(
        &rule("events = [\"ListSecrets\"]\nstatistic = { distinct = \"secret\" }\ngroup_by = []"),
        "4:13: rule[0].statistic: ListSecrets names no secret, so that there is nothing to count",
    );
    clear(&rule("events = [\"ListSecrets\", \"GetSecretValue\"]\nsecrets = [\"prod/*\"]"));
}

#[test]
fn what_counts_more_or_less_than_somebody_thinks() {
    doubtful(&rule("notify = []"), "3:10: rule[0].notify: warning: an empty list is no list: it means every notifier");
    doubtful(
        &format!("{}\n[poll]\ninventory = false", rule("secret_tags = { env = \"prod\" }")),
        "3:15: rule[0].secret_tags: warning: poll.inventory is false, so no tag is known, and every secret counts",
    );
    let regions = "statistic = { distinct = \"region\" }\nthreshold = 3";
    doubtful(
        &format!("{}\n[[account]]\nregions = [\"us-east-1\", \"us-east-2\"]", rule(regions)),
        "4:13: rule[0].threshold: warning: the [[account]] tables come to 2 regions, fewer than 3",
    );
    doubtful("use = [\"multi-region\"]", "1:8: use[0].threshold: warning: the [[account]] tables come to 1 region");
    clear(&format!("{}\n[[account]]\nregions = [\"us-east-1\", \"us-east-2\", \"us-west-1\"]", rule(regions)));
    let accounts = rule("statistic = { distinct = \"account\" }\nthreshold = 2");
    doubtful(&accounts, "4:13: rule[0].threshold: warning: the [[account]] tables come to 1 account, fewer than 2");
    doubtful(
        "[[rule]]\nname = \"a\"\n[[rule]]\nname = \"b\"\nseverity = \"low\"",
        "4:8: rule[1].name: warning: counts the same as the rule \"a\", so that every access is told twice",
    );
    clear("[[rule]]\nname = \"a\"\n[[rule]]\nname = \"b\"\nthreshold = 2");
}

#[test]
fn a_rule_that_was_perhaps_meant_to_be_a_built_in_one() {
    let own = "[[rule]]\nname = \"bulk-read\"\nthreshold = 20";
    doubtful(own, "2:8: rule[0].name: warning: a built-in rule is called \"bulk-read\" too, and plays no part here");
    clear(&format!("use = [\"bulk-read\"]\n{own}"));
    // Whoever copies a built-in rule knows what it is.
    let copied = builtin("bulk-read").unwrap().toml();
    clear(&copied.replace("threshold = 15", "threshold = 20"));
    clear("[[rule]]\nname = \"secret-is-accessed\"\nevents = [\"GetSecretValue\"]\nsecrets = [\"prod/*\"]");
}

#[test]
fn entries_of_the_allow_list() {
    let allow = |lines: &str| format!("[[allow]]\nowner = \"ann\"\nreason = \"by design\"\n{lines}");
    let reads = "events = [\"GetSecretValue\"]";
    doubtful(&allow(reads), "1:1: allow[0].until: warning: missing; an entry without an end is forgotten");
    let ending = allow(&format!("until = 2027-01-31\n{reads}"));
    clear(&ending);
    let end = 1_801_440_000;
    assert_eq!(warnings_at(&ending, end - 1), Vec::<String>::new());
    assert_eq!(warnings_at(&ending, end), ["4:9: allow[0].until: warning: is over: it allows nothing any more"]);
    let nothing = "1:1: allow[0].rules: warning: no rule concerned counts what it allows";
    doubtful(&allow("until = 2027-01-31\nevents = [\"DeleteSecret\"]"), nothing);
    let denied = "use = [\"bulk-read\"]\n";
    doubtful(
        &format!("{denied}{}", allow("until = 2027-01-31\noutcome = \"denied\"")),
        "2:1: allow[0].rules: warning: no rule concerned",
    );
    let used = "use = [\"enumerate-then-read\", \"denied-reads\"]\n";
    clear(&format!("{used}{}", allow("until = 2027-01-31\nevents = [\"ListSecrets\"]")));
    doubtful(
        &format!("{used}{}", allow("until = 2027-01-31\nevents = [\"ListSecrets\"]\nrules = [\"denied-reads\"]")),
        "7:9: allow[0].rules: warning: no rule concerned",
    );
    doubtful(
        &allow("until = 2027-01-31\nprincipals = [\"arn:aws:sts::111122223333:assumed-role/admin/ann\"]"),
        "5:15: allow[0].principals[0]: warning: no principal has the ARN of a session",
    );
}

#[test]
fn what_is_wrong_is_told_without_what_is_doubtful() {
    wrong(
        "[[rule]]\nname = \"a\"\nnotify = []\nevents = [\"Nonsense\"]\nthreshold = 0",
        "5:13: rule[0].threshold: must be",
    );
}
