//! Every kind of mistake, a line each; then sources, variables, defaults, rendering, and nonsense.

mod allow;
mod doubts;
mod notifiers;
mod rules;
mod variables;

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::detect::Statistic;
use crate::model::{Outcome, Severity, WallTime};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Another surrounding than none.
fn with(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// What is wrong with `text`, a line each, without the file's name.
fn complaints_in(text: &str, env: &Environment) -> Vec<String> {
    match check(text, "F", env) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            problems.to_string().lines().map(|line| line.strip_prefix("F:").unwrap_or(line).to_owned()).collect()
        }
    }
}

/// The settings that `text` gives.
#[track_caller]
fn right(text: &str) -> Config {
    right_with(text, &[])
}

#[track_caller]
fn right_with(text: &str, variables: &[(&str, &str)]) -> Config {
    check(text, "F", &with(variables)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Exactly one thing is wrong with `text`, and the complaint begins with `expected`.
#[track_caller]
fn wrong(text: &str, expected: &str) {
    wrong_with(text, &[], expected);
}

#[track_caller]
fn wrong_with(text: &str, variables: &[(&str, &str)], expected: &str) {
    match complaints_in(text, &with(variables)).as_slice() {
        [only] => assert!(only.starts_with(expected), "{text}\n  expected {expected}\n  found    {only}"),
        all => panic!("{text}\n  expected {expected}\n  found    {all:#?}"),
    }
}

#[test]
fn what_is_no_toml() {
    wrong("[poll", "1:6: unclosed table, expected `]`");
    wrong("[poll]\ninterval = 1m", "2:12: string values must be quoted");
    wrong("state_dir = \"/x\"\nstate_dir = \"/y\"", "2:1: duplicate key");
    wrong("x = 'abc", "1:9: invalid literal string");
}

#[test]
fn unknown_keys_and_keys_at_the_wrong_place() {
    wrong("state_dri = \"/x\"", "1:1: state_dri: unknown key, did you mean \"state_dir\"?");
    wrong("[pol]\ninterval = \"1m\"", "1:2: pol: unknown key, did you mean \"poll\"?");
    wrong("[poll]\nintervall = \"1m\"", "2:1: poll.intervall: unknown key, did you mean \"interval\"?");
    wrong("[[rule]]\nname = \"a\"\nwindw = \"1m\"", "3:1: rule[0].windw: unknown key, did you mean \"window\"?");
    wrong("[[rule]]\nname = \"a\"\ngroup-by = []", "3:1: rule[0].group-by: unknown key, did you mean \"group_by\"?");
    wrong("[[account]]\nregion = []", "2:1: account[0].region: unknown key, did you mean \"regions\"?");
    wrong("[status]\nlissen = \"\"", "2:1: status.lissen: unknown key, did you mean \"listen\"?");
    wrong("zzz = 1", "1:1: zzz: unknown key; known here: state_dir, use, poll, account");
    wrong("interval = \"1m\"", "1:1: interval: unknown key here; it belongs to [poll]");
    wrong("[poll]\nstate_dir = \"/x\"", "2:1: poll.state_dir: unknown key here; it belongs to the top of the file");
    wrong("\"a b\\n\" = 1", "1:1: \"a b\\n\": unknown key;");
}

#[test]
fn the_status_page() {
    let listens = |text: &str| right(text).status.map(|status| (status.listen.to_string(), status.token));
    assert_eq!(listens(""), Some(("127.0.0.1:9474".to_owned(), None)));
    assert_eq!(listens("[status]\nlisten = \"\""), None);
    assert_eq!(listens("[status]\nlisten = \"[::1]:80\""), Some(("[::1]:80".to_owned(), None)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "hunter2-hunter2\n").unwrap();
    let open = format!("[status]\nlisten = \"0.0.0.0:9474\"\ntoken_file = {path:?}");
    assert_eq!(listens(&open), Some(("0.0.0.0:9474".to_owned(), Some("hunter2-hunter2".to_owned()))));
    let config = right(&open);
    assert!(!render(&config).contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    wrong(
        "[status]\nlisten = \"0.0.0.0:9474\"",
        "2:10: status.listen: an address that is not loopback needs token_file",
    );
    wrong("[status]\nlisten = \"9474\"", "2:10: status.listen: not an address with a port");
    wrong("[status]\ntoken_file = \"/nowhere/x\"", "2:14: status.token_file: \"/nowhere/x\" cannot be read");
}

#[test]
fn values_of_the_wrong_type() {
    wrong("state_dir = 5", "1:13: state_dir: expected a string, found an integer");
    wrong("state_dir = \" \"", "1:13: state_dir: must not be empty");
    wrong("poll = 5", "1:8: poll: expected a table, found an integer");
    wrong("notify = true", "1:10: notify: expected a table, found a boolean");
    wrong("notify = { a = 1.5 }", "1:16: notify.a: expected a table, found a float");
    wrong("[rule]\nname = \"a\"", "1:1: rule: expected an array of [[rule]] tables, found a table");
    wrong("account = [5]", "1:12: account[0]: expected a table, found an integer");
    wrong("[poll]\ninventory = \"yes\"", "2:13: poll.inventory: expected true or false, found a string");
    wrong("[poll]\ninventory = 2026-01-01", "2:13: poll.inventory: expected true or false, found a date");
    wrong(
        "[poll]\nevent_sources = \"a.b\"",
        "2:17: poll.event_sources: expected an array of event sources, found a string",
    );
    wrong("[poll]\nevent_sources = [5]", "2:18: poll.event_sources[0]: expected an event source such as");
}

#[test]
fn durations() {
    wrong("[poll]\ninterval = 60", "2:12: poll.interval: expected a duration such as \"90s\"");
    wrong("[poll]\ninterval = \"60\"", "2:12: poll.interval: expected a duration such as \"90s\"");
    wrong("[poll]\ninterval = \"soon\"", "2:12: poll.interval: expected a duration such as \"90s\"");
    wrong("[poll]\ninterval = [1]", "2:12: poll.interval: expected a duration such as \"90s\"");
    wrong("[poll]\ninterval = \"0s\"", "2:12: poll.interval: must be at least 1s");
    wrong("[poll]\ninterval = \"500ms\"", "2:12: poll.interval: must be at least 1s");
    wrong("[poll]\ninterval = \"200y\"", "2:12: poll.interval: must be at most 36500d");
    wrong("[poll]\nstale_after = \"0s\"", "2:15: poll.stale_after: must be at least 1s");
    wrong("[poll]\nlateness = \"1500ms\"", "2:12: poll.lateness: must be whole seconds");
    wrong("[poll]\nbackfill = \"91d\"", "2:12: poll.backfill: must be at most 90d");
    wrong("[poll]\nrecheck = \"91d\"", "2:11: poll.recheck: must be at most 90d");
    wrong(&rule("window = \"0s\""), "3:10: rule[0].window: must be at least 1s");
    wrong(&rule("window = \"1500ms\""), "3:10: rule[0].window: must be whole seconds");
    wrong(&webhook("timeout = \"0s\""), "4:11: notify.a.timeout: must be at least 1ms");
}

#[test]
fn polls() {
    wrong(
        "[poll]\ninterval = \"1m\"\nschedule = \"0 * * * * *\"",
        "3:12: poll.schedule: not together with poll.interval",
    );
    wrong("[poll]\nschedule = \"* * * * *\"", "2:12: poll.schedule: expected a cron expression with seconds");
    wrong("[poll]\nschedule = \"0 0 0 30 2 *\"", "2:12: poll.schedule: never happens");
    wrong("[poll]\nrequests_per_second = 0", "2:23: poll.requests_per_second: must be at least 0.001 and at most 2");
    wrong("[poll]\nrequests_per_second = 2.1", "2:23: poll.requests_per_second: must be at least 0.001 and at most 2");
    wrong("[poll]\nrequests_per_second = nan", "2:23: poll.requests_per_second: must be at least 0.001 and at most 2");
    wrong("[poll]\nrequests_per_second = \"1\"", "2:23: poll.requests_per_second: expected a number, found a string");
    wrong("[poll]\nevent_sources = []", "2:17: poll.event_sources: must not be empty");
    wrong("[poll]\nevent_sources = [\"s3\"]", "2:18: poll.event_sources[0]: expected an event source such as");
    wrong("[poll]\nevent_sources = [\"a.b\", \"a.b\"]", "2:25: poll.event_sources[1]: is in this list already");
}

#[test]
fn retention_reaches_back_as_far_as_what_is_counted() {
    wrong(
        "[poll]\nbackfill = \"40d\"",
        "2:12: poll.backfill: poll.retention is 30d, less than poll.backfill, 40d; set",
    );
    wrong(
        "[poll]\nbackfill = \"3d\"\nretention = \"2d\"",
        "3:13: poll.retention: poll.retention is 2d, less than poll.backfill, 3d; raise it",
    );
    wrong("[poll]\nretention = \"24h\"", "2:13: poll.retention: poll.retention is 1d, less than 1d 16m");
    wrong("[poll]\nrecheck = \"30d\"", "2:11: poll.recheck: poll.retention is 30d, less than 30d 16m");
    wrong(&rule("window = \"31d\""), "3:10: rule[0].window: poll.retention is 30d, less than 32d 15m");
    wrong(&rule("hold = \"31d\""), "3:8: rule[0].hold: poll.retention is 30d, less than 32d 1m");
    wrong("[poll]\nbackfill = \"40d\"\nretention = \"long\"", "3:13: poll.retention: expected a duration");
    right("[poll]\nretention = \"1d 16m\"");
    right("[poll]\nretention = \"16m\"\nrecheck = \"0s\"\nbackfill = \"0s\"");
}

#[test]
fn accounts() {
    let role = "role_arn = \"arn:aws:iam::111122223333:role/a\"\n";
    wrong("[[account]]\nname = \"\"", "2:8: account[0].name: expected a text of one line");
    wrong(
        "[[account]]\nrole_arn = \"arn:aws:iam::111122223333:user/a\"",
        "2:12: account[0].role_arn: expected a role's ARN",
    );
    wrong("[[account]]\nrole_arn = \"arn:aws:iam::1111:role/a\"", "2:12: account[0].role_arn: expected a role's ARN");
    wrong("[[account]]\nexternal_id = \"x\"", "2:15: account[0].external_id: has no effect without role_arn");
    wrong("[[account]]\nregions = []", "2:11: account[0].regions: must not be empty");
    wrong("[[account]]\nregions = [\"us-east-1\", \"ohio\"]", "2:25: account[0].regions[1]: expected a Region");
    wrong(
        "[[account]]\nregions = [\"us-east-1\", \"us-east-1\"]",
        "2:25: account[0].regions[1]: is in this list already",
    );
    let twice = format!("[[account]]\n{role}[[account]]\nname = \"b\"\n{role}");
    wrong(&twice, "3:1: account[1].regions: missing; another [[account]] reads this account in the default Region");
    let twice = format!(
        "[[account]]\n{role}regions = [\"us-east-1\"]\n[[account]]\nname = \"b\"\n{role}regions = [\"us-east-1\"]"
    );
    wrong(&twice, "7:12: account[1].regions[0]: another [[account]] reads us-east-1 of this account already");
    let unnamed = format!("[[account]]\n{role}regions = [\"us-east-1\"]\n[[account]]\n{role}regions = [\"us-east-2\"]");
    wrong(&unnamed, "4:1: account[1].name: another account is called \"111122223333\" already");
}

#[test]
fn two_wrong_roles_are_two_mistakes_and_no_more() {
    let found = complaints_in("[[account]]\nrole_arn = \"x\"\n[[account]]\nrole_arn = \"x\"", &Environment::default());
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn rules_that_are_wrong() {
    wrong("[[rule]]", "1:1: rule[0].name: missing; give the rule a name");
    wrong("[[rule]]\nname = \"a b\"", "2:8: rule[0].name: expected a name of letters, digits");
    wrong("[[rule]]\nname = \"a\"\n[[rule]]\nname = \"a\"", "4:8: rule[1].name: another rule is called \"a\" already");
    wrong(
        &rule("severity = \"hihg\""),
        "3:12: rule[0].severity: expected \"info\", \"low\", \"medium\", \"high\" or \"critical\", \
         found \"hihg\", did you mean \"high\"?",
    );
    wrong(&rule("severity = 3"), "3:12: rule[0].severity: expected \"info\", \"low\", \"medium\"");
    wrong(&rule("runbook = \"wiki\""), "3:11: rule[0].runbook: expected an http or https URL, found \"wiki\"");
    wrong(&rule("runbook = \"file:///x\""), "3:11: rule[0].runbook: expected an http or https URL");
    wrong(&rule("events = [\"secretsmanager:GetSecretValue\"]"), "3:11: rule[0].events[0]: expected an event's name");
    wrong(
        &rule("events = [\"getSecretValue\"]"),
        "3:11: rule[0].events[0]: no event is called \"getSecretValue\", did you mean \"GetSecretValue\"?",
    );
    wrong(
        &rule("outcome = \"deny\""),
        "3:11: rule[0].outcome: expected \"success\", \"denied\", \"failed\" or \"any\", found \"deny\"",
    );
    wrong(&rule("secrets = [\"ok\", \"a[\"]"), "3:18: rule[0].secrets[1]: \"a[\" is no glob: unclosed character class");
    wrong(&rule("principals = [\"{a\"]"), "3:15: rule[0].principals[0]: \"{a\" is no glob: unclosed alternate group");
    wrong(&rule("exclude_principals = [\"\"]"), "3:23: rule[0].exclude_principals[0]: must not be empty");
    wrong(
        &rule("statistic = \"avg\""),
        "3:13: rule[0].statistic: expected \"sum\" or { distinct = \"secret\" }, found \"avg\"",
    );
    wrong(&rule("statistic = { distinct = \"secrets\" }"), "3:26: rule[0].statistic.distinct: expected \"account\"");
    wrong(&rule("statistic = {}"), "3:13: rule[0].statistic.distinct: missing");
    wrong(
        &rule("statistic = { distinct = \"event\", x = 1 }"),
        "3:35: rule[0].statistic.x: unknown key; known here: distinct",
    );
    wrong(
        &rule("statistic = { distinct = \"secret\" }\nthreshold = 2"),
        "3:13: rule[0].statistic: never more than 1: each group has one secret",
    );
    wrong(&rule("threshold = 0"), "3:13: rule[0].threshold: must be at least 1");
    wrong(&rule("threshold = -1"), "3:13: rule[0].threshold: must be at least 1");
    wrong(&rule("threshold = 1.5"), "3:13: rule[0].threshold: expected a whole number, found a float");
    wrong(&rule("group_by = [\"user\"]"), "3:13: rule[0].group_by[0]: expected \"account\"");
    wrong(&rule("group_by = [\"secret\", \"secret\"]"), "3:23: rule[0].group_by[1]: is in this list already");
    wrong(
        &rule("notify = [\"stdot\"]"),
        "3:11: rule[0].notify[0]: there is no notifier \"stdot\", did you mean \"stdout\"?",
    );
}

#[test]
fn digests() {
    let topic = "[notify.mail]\ntype = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:111122223333:a\"\n";
    let alarm = "[notify.alarm]\ntype = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:111122223333:b\"\nformat = \"cloudwatch-alarm\"\n";
    let with = |digest: &str| format!("{topic}{alarm}[digest]\n{digest}");
    wrong(&with("since = \"1d\""), "8:1: digest.schedule: missing; say when");
    wrong(&with("schedule = \"* * * * *\""), "9:12: digest.schedule: expected a cron expression with seconds");
    wrong(&with("schedule = \"0 0 8 30 2 *\""), "9:12: digest.schedule: never happens");
    wrong(
        &with("schedule = \"0 0 8 * * MON\"\nnotify = [\"mial\"]"),
        "10:11: digest.notify[0]: there is no notifier \"mial\", did you mean \"mail\"?",
    );
    let alarming =
        "10:10: digest.notify: \"alarm\" has the format \"cloudwatch-alarm\", which would make an alarm of a digest";
    wrong(&with("schedule = \"0 0 8 * * MON\"\nnotify = [\"alarm\"]"), alarming);
    wrong(&with("schedule = \"0 0 8 * * MON\"\nsince = \"1s\""), "10:9: digest.since: must be at least 1m");
    let digest = right(&with("schedule = \"0 0 8 * * MON\"")).digest.expect("a digest");
    assert_eq!((digest.since.as_secs(), digest.notify), (7 * 86_400, vec!["mail".to_owned()]));
    let long = right(&with("schedule = \"0 0 8 * * MON\"\nsince = \"90d\""));
    assert!(
        long.warnings[0].to_string().contains("digest.since: warning: accesses are kept for 30d"),
        "{}",
        long.warnings[0]
    );
    assert!(right(topic).digest.is_none());
}

#[test]
fn heartbeats() {
    let beat = |line: &str| format!("[heartbeat]\nurl = \"https://ping.example.com/x\"\n{line}");
    let missing = "heartbeat.url: missing; set url, url_env";
    wrong("[heartbeat]", &format!("1:1: {missing}"));
    wrong("[heartbeat]\nevery = \"1m\"", &format!("1:1: {missing}"));
    wrong("heartbeat = \"https://ping.example.com/x\"", "1:13: heartbeat: expected a table, found a string");
    wrong("[heartbeat]\nurl = \"\"", "2:7: heartbeat.url: must not be empty");
    wrong("[heartbeat]\nurl = \"http://ping.example.com/\"", "2:7: heartbeat.url: http is for loopback addresses only");
    wrong("[heartbeat]\nurl = \"ping\"", "2:7: heartbeat.url: not a URL: ");
    wrong("[heartbeat]\nurl_env = \"NONE\"", "2:11: heartbeat.url_env: the variable \"NONE\" is not set");
    wrong("[heartbeat]\nurl_file = \"/nowhere/x\"", "2:12: heartbeat.url_file: \"/nowhere/x\" cannot be read");
    wrong(&beat("url_env = \"X\""), "3:11: heartbeat.url_env: not together with url");
    wrong(&beat("evry = \"1m\""), "3:1: heartbeat.evry: unknown key, did you mean \"every\"?");
    wrong(&beat("interval = \"1m\""), "3:1: heartbeat.interval: unknown key here; it belongs to [poll]");
    wrong(&beat("every = \"500ms\""), "3:9: heartbeat.every: must be at least 1s");
    wrong(&beat("every = \"25h\""), "3:9: heartbeat.every: must be at most 1d");
    wrong(&beat("timeout = \"0s\""), "3:11: heartbeat.timeout: must be at least 1ms");
    wrong(&beat("timeout = \"2m\""), "3:11: heartbeat.timeout: must be at most 1m");
    wrong(
        "[heartbaet]\nurl = \"https://ping.example.com/x\"",
        "1:2: heartbaet: unknown key, did you mean \"heartbeat\"?",
    );
    wrong("every = \"1m\"", "1:1: every: unknown key here; it belongs to [heartbeat]");

    let beating = right(&beat("")).heartbeat.expect("a heartbeat");
    assert_eq!((beating.every, beating.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    right("[heartbeat]\nurl = \"http://127.0.0.1:8000/ping\"");
    assert!(right("").heartbeat.is_none());
}

#[test]
fn secrets_are_never_shown() {
    let secret = "Xy7-hidden";
    let texts = [
        format!("[notify.a]\ntype = \"webhook\"\nurl = \"http://h.example/{secret}\""),
        format!("[notify.a]\ntype = \"webhook\"\nurl = \"{secret}\""),
        format!("[notify.a]\ntype = \"webhook\"\nurl = [\"{secret}\"]"),
        webhook(&format!("headers = {{ x = \"{secret}\\n\" }}")),
        webhook(&format!("headers = \"{secret}\"")),
        webhook(&format!("signing_secret = \"{secret}\"")),
        webhook("signing_secret_env = \"BAD\""),
        "[notify.a]\ntype = \"webhook\"\nformat = \"pagerduty\"\nrouting_key_env = \"BAD KEY\"".to_owned(),
        "[notify.a]\ntype = \"webhook\"\nformat = \"pagerduty\"\nrouting_key_env = \"TWO\"".to_owned(),
        format!("[heartbeat]\nurl = \"http://h.example/{secret}\""),
        format!("[heartbeat]\nurl = 5\ntoken = \"{secret}\""),
    ];
    for text in texts {
        let variables = [("BAD", "whsec_Xy7-hidden!"), ("TWO", "Xy7-hidden Xy7-hidden")];
        let found = complaints_in(&text, &with(&variables)).join("\n");
        assert!(!found.is_empty() && !found.contains(secret), "{text}\n{found}");
    }
    let shown = right_with(
        "[heartbeat]\nurl_env = \"U\"\n[notify.a]\ntype = \"webhook\"\nurl_env = \"U\"\nheaders = { x = \"Xy7-hidden\" }\nsigning_secret_env = \"S\"",
        &[("U", "https://u:Xy7-hidden@h.example:8443/Xy7-hidden?Xy7-hidden"), ("S", "Xy7-hidden")],
    );
    assert!(!render(&shown).contains(secret) && !format!("{shown:?}").contains(secret));
    assert_eq!(render(&shown).matches("url = \"https://h.example:8443/[set]\"").count(), 2);
}

#[test]
fn several_mistakes_are_all_reported_in_order() {
    let text = "[poll]\ninterval = 5\nlatenes = \"1m\"\n\n[[rule]]\nwindow = \"x\"\n\n[notify.a]\ntype = \"?\"\n";
    let env = with(&[("SECRETWATCH__POLL__BACKFILL", "never"), ("SECRETWATCH__STATE_DIRR", "/x")]);
    let found = complaints_in(text, &env);
    let starts =
        ["2:12: ", "3:1: ", "5:1: ", "6:10: ", "9:8: ", "SECRETWATCH__POLL__BACKFILL: ", "SECRETWATCH__STATE_DIRR: "];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn columns_count_characters() {
    wrong(&webhook("headers = { a = \"é\", b = 5 }"), "4:26: notify.a.headers.b: expected a string");
}

#[test]
fn defaults() {
    let config = right("");
    assert_eq!(config.state_dir, Path::new("/var/lib/secretwatch"));
    assert_eq!(config.poll.cadence, Cadence::Every(Duration::from_secs(60)));
    assert_eq!(config.poll.retention, Duration::from_secs(30 * 86_400));
    assert!(config.poll.inventory && !config.poll.narrow_when_behind && config.status.is_some());
    let own = Account { name: "self".to_owned(), role_arn: None, external_id: None, regions: Vec::new() };
    assert_eq!(config.accounts, [own]);
    let [rule] = config.rules.as_slice() else { panic!("one rule") };
    assert_eq!(
        (rule.name.as_str(), rule.condition.events.as_slice()),
        ("secret-is-accessed", &["GetSecretValue".to_owned()][..])
    );
    assert_eq!((rule.threshold, rule.window, rule.hold, rule.statistic), (1, 60, 900, Statistic::Sum));
    assert_eq!(rule.notify, ["stdout"]);
    assert!(matches!(config.notifiers["stdout"].target, Target::Stdout));
}

#[test]
fn a_rule_of_ones_own_counts_every_event_and_tells_every_notifier() {
    let config = right(
        r#"
        rule = [{ name = "r", outcome = "denied", notify = [] }]
        notify = { b = { type = "stdout" }, a = { type = "stdout" } }
        "#,
    );
    let [rule] = config.rules.as_slice() else { panic!("one rule") };
    assert!(rule.condition.events.is_empty() && rule.condition.secrets.is_empty());
    assert_eq!(
        (rule.severity, rule.condition.outcome, rule.update_every),
        (Severity::Medium, Some(Outcome::Denied), 900)
    );
    assert_eq!(rule.notify, ["a", "b"]);
}

#[test]
fn a_role_names_its_account() {
    let config = right(
        r#"
        [[account]]
        role_arn = "arn:aws-us-gov:iam::111122223333:role/path/secretwatch"
        regions = ["us-gov-west-1"]
        [[account]]
        "#,
    );
    let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["111122223333", "self"]);
}

/// All that can be told of an allowance but its condition, which its id stands for.
fn told_of(allowance: &crate::detect::Allowance) -> impl PartialEq + std::fmt::Debug {
    let said = [&allowance.name, &allowance.owner, &allowance.reason].map(String::clone);
    (allowance.id(), said, allowance.until, allowance.at_most)
}

/// What is shown gives the same again, as far as it is shown at all.
#[track_caller]
fn comes_round(config: &Config) {
    let shown = render(config);
    let again =
        check(&shown, "shown", &Environment::default()).unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
    assert_eq!(render(&again), shown);
    assert_eq!(format!("{:?}", again.poll), format!("{:?}", config.poll));
    assert_eq!(format!("{:?}", again.heartbeat), format!("{:?}", config.heartbeat));
    assert_eq!((&again.state_dir, &again.accounts), (&config.state_dir, &config.accounts));
    assert!(again.notifiers.keys().eq(config.notifiers.keys()));
    assert!(again.allowances.iter().map(told_of).eq(config.allowances.iter().map(told_of)));
    assert_eq!(again.rules.len(), config.rules.len());
    for (again, rule) in again.rules.iter().zip(&config.rules) {
        assert_eq!((again.id(), again.hold, again.update_every), (rule.id(), rule.hold, rule.update_every));
        assert_eq!(again.first_seen, rule.first_seen);
        assert_eq!(
            (&again.notify, &again.description, again.severity),
            (&rule.notify, &rule.description, rule.severity)
        );
    }
}

#[test]
fn what_is_shown_passes_and_means_the_same() {
    comes_round(&right(""));
    comes_round(&right("[poll]\nschedule = \"0 0 * * * *\"\nrequests_per_second = 2\nrecheck = \"0s\""));
    comes_round(&right(
        r##"
        state_dir = 'a "b" \c'
        [[account]]
        name = "A (1)"
        role_arn = "arn:aws:iam::111122223333:role/r"
        external_id = "e"
        regions = ["eu-west-1"]
        [[rule]]
        name = "x.y"
        description = "two\nlines # \"quoted\" \U0001F600"
        runbook = "https://wiki.example.com/"
        secrets = ['a\*b', "c"]
        statistic = { distinct = "source_ip" }
        threshold = 9223372036854775807
        group_by = []
        [notify."a.b"]
        type = "sns"
        topic_arn = "arn:aws:sns:us-east-2:111122223333:t.fifo"
        [notify.hook]
        type = "webhook"
        url = "http://[::1]:8080/x"
        headers = { x = "y", Z = "é", a = "b" }
        timeout = "1500ms"
        [heartbeat]
        url = "https://ping.example.com:8443/x?y"
        every = "90s"
        "##,
    ));
}

#[test]
fn known_keys_are_known_once() {
    let mut keys = known_keys();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert!(keys.len() == all && all > 40);
}

proptest! {
    #[test]
    fn nonsense_never_panics(text in any::<String>()) {
        let _ = complaints_in(&text, &Environment::default());
    }

    #[test]
    fn nonsense_in_the_manner_of_toml_never_panics(
        text in r#"([\[\]{}=.,"'\n#_a-c019:T-]|poll|rule|notify|\[\[rule\]\]\n){0,40}"#,
    ) {
        for line in complaints_in(&text, &Environment::default()) {
            prop_assert!(line.contains(": "), "{}", line);
        }
    }

    #[test]
    fn nonsense_in_variables_never_panics(
        name in "(STATE_DIR|POLL|NOTIFY|STATUS|RULE|_|__|[A-Z]){0,6}", value in any::<String>(),
    ) {
        let name = format!("SECRETWATCH__{name}");
        let env: Environment = [(name.as_str(), value)].into_iter().collect();
        for line in complaints_in("[notify.a]\ntype = \"stdout\"", &env) {
            prop_assert!(line.contains(&name), "{}", line);
        }
    }

    /// Cuts a piece out of the example, puts another in, and takes some of its offers. What still passes comes round.
    #[test]
    fn a_mangled_example_never_panics(
        offers in any::<bool>(), at in 0..EXAMPLE.len(), cut in 0..30_usize, put in "[ -~\n]{0,3}|\"\"|0s|\\[\\]|-1",
    ) {
        let text = if offers { EXAMPLE.replace("\n# ", "\n") } else { EXAMPLE.to_owned() };
        let (before, after) = (text.get(..at), text.get((at + cut).min(text.len())..));
        let mangled = [before.unwrap_or_default(), &put, after.unwrap_or_default()].concat();
        if let Ok(config) = check(&mangled, "F", &Environment::default()) {
            comes_round(&config);
        }
    }

    #[test]
    fn durations_that_pass_come_round(text in "[0-9]{1,5}(ms|s|m|h|d)( [0-9]{1,3}(s|m))?") {
        if let Ok(config) = check(&format!("[poll]\nstale_after = \"{text}\""), "F", &Environment::default()) {
            comes_round(&config);
        }
    }
}

const TOPIC: &str = "[notify.a]\ntype = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-2:111122223333:t\"\n";

/// A rule that is right but for `line`, which is the third.
fn rule(line: &str) -> String {
    format!("[[rule]]\nname = \"a\"\n{line}")
}

/// A webhook that is right but for `line`, which is the fourth.
fn webhook(line: &str) -> String {
    format!("[notify.a]\ntype = \"webhook\"\nurl = \"https://hooks.example.com/x\"\n{line}")
}
