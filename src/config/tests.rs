//! Every kind of mistake, a line each; then sources, variables, defaults, rendering, and nonsense.

mod allow;
mod doubts;
mod rules;

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
fn formats() {
    for word in ["json", "slack", "teams", "ocsf", "alertmanager"] {
        let config = right(&webhook(&format!("format = {word:?}")));
        let Target::Webhook(hook) = &config.notifiers["a"].target else { panic!("a webhook") };
        assert_eq!(hook.format.word(), word);
    }
    for (word, format) in SnsFormat::ALL {
        let config = right(&format!("{TOPIC}format = {word:?}"));
        let Target::Sns { format: found, .. } = config.notifiers["a"].target else { panic!("a topic") };
        assert_eq!(found, format);
    }
    wrong(&webhook("format = \"slak\""), "4:10: notify.a.format: expected \"json\", \"slack\",");
    wrong(&webhook("format = \"text\""), "4:10: notify.a.format: expected \"json\", \"slack\",");
    wrong(&format!("{TOPIC}format = \"slack\""), "4:10: notify.a.format: expected \"text\", \"json\",");
    wrong(&webhook("content_type = \"text/html\""), "4:16: notify.a.content_type: only for a template");
    wrong(&webhook("format = \"slack\"\ntemplate = \"x\""), "5:12: notify.a.template: only for a template; remove it,");
    wrong(&webhook("routing_key_env = \"KEY\""), "4:19: notify.a.routing_key_env: only for format = \"pagerduty\"");
    wrong(&format!("{TOPIC}template = \"x\""), "4:1: notify.a.template: not a key of an SNS notifier");
}

#[test]
fn a_page_needs_a_key_and_no_url() {
    let pager = "[notify.a]\ntype = \"webhook\"\nformat = \"pagerduty\"\n";
    let text = format!("{pager}routing_key_env = \"KEY\"");
    let config = right_with(&text, &[("KEY", " R0UTINGKEY\n")]);
    let Target::Webhook(hook) = &config.notifiers["a"].target else { panic!("a webhook") };
    assert_eq!(hook.url.as_str(), "https://events.pagerduty.com/v2/enqueue");
    let WebhookFormat::PagerDuty(key) = &hook.format else { panic!("a page") };
    assert_eq!(key.expose(), "R0UTINGKEY");
    assert!(!format!("{config:?}{}", render(&config)).contains("R0UTINGKEY"));
    assert!(render(&config).contains("routing_key_env = \"KEY\""));

    wrong(pager, "1:1: notify.a.routing_key_file: missing; set routing_key_file");
    wrong(&text, "4:19: notify.a.routing_key_env: the variable \"KEY\" is not set");
    wrong_with(&text, &[("KEY", "two words")], "4:19: notify.a.routing_key_env: what it names holds no routing key");
    wrong(&webhook("format = \"pagerduty\""), "1:1: notify.a.routing_key_file: missing");
}

#[test]
fn templates() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        format!("template = {path:?}")
    };
    for line in [
        file("a.j2", "{\"text\": {{ summary }}}"),
        file("b.j2", "<p>{{ summary }}</p>") + "\ncontent_type = \"text/html; charset=utf-8\"",
        file("c.j2", "{{ accesses }}") + "\nformat = \"template\"",
    ] {
        let config = right(&webhook(&line));
        comes_round(&config);
        let Target::Webhook(hook) = &config.notifiers["a"].target else { panic!("a webhook") };
        assert_eq!(hook.format.word(), "template");
    }
    let misspelt = file("d.j2", "{\n\"text\": {{ sumary }}}");
    let path = folder.path().join("d.j2");
    wrong(&webhook(&misspelt), &format!("4:12: notify.a.template: {}:2: undefined value", path.display()));
    wrong(&webhook("template = \"/nowhere/x\""), "4:12: notify.a.template: \"/nowhere/x\" cannot be read");
    wrong(&webhook("format = \"template\""), "1:1: notify.a.template: missing; the path of the template's file");
    let json = file("e.j2", "{{ summary }}");
    wrong(
        &webhook(&format!("{json}\ncontent_type = \"json\"")),
        "5:16: notify.a.content_type: expected a content type",
    );
}

#[test]
fn fallbacks() {
    let two = |a: &str, b: &str| format!("[notify.a]\ntype = \"stdout\"\n{a}\n[notify.b]\ntype = \"stdout\"\n{b}");
    let config = right(&two("fallback = \"b\"", ""));
    let expected = Fallback { to: "b".to_owned(), after: Duration::from_secs(300) };
    assert_eq!(config.notifiers["a"].fallback, Some(expected));
    assert_eq!(config.notifiers["b"].fallback, None);
    comes_round(&config);
    comes_round(&right(&two("fallback = \"b\"\nfallback_after = \"90s\"", "")));

    wrong(&two("fallback = \"c\"", ""), "3:12: notify.a.fallback: there is no notifier \"c\"");
    wrong(&two("fallback_after = \"5m\"", ""), "3:18: notify.a.fallback_after: has no effect without fallback");
    wrong(&two("fallback = \"a\"", ""), "3:12: notify.a.fallback: leads back to where it began: a → a; remove");
    wrong(
        &two("fallback = \"b\"", "fallback = \"a\""),
        "3:12: notify.a.fallback: leads back to where it began: a → b → a; remove one of them",
    );
    let lasso = two("fallback = \"b\"", "fallback = \"c\"") + "\n[notify.c]\ntype = \"stdout\"\nfallback = \"b\"";
    wrong(&lasso, "6:12: notify.b.fallback: leads back to where it began: b → c → b");
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
fn notifiers_that_are_wrong() {
    wrong("[notify.a]", "1:1: notify.a.type: missing; one of \"sns\", \"webhook\" or \"stdout\"");
    wrong(
        "[notify.a]\ntype = \"sms\"",
        "2:8: notify.a.type: expected \"sns\", \"webhook\" or \"stdout\", found \"sms\", did you mean \"sns\"?",
    );
    wrong("[notify.\"a b\"]\ntype = \"stdout\"", "1:1: notify.\"a b\": a notifier's name must be a name of letters");
    wrong("[notify.a]\ntype = \"stdout\"\nurl = \"x\"", "3:1: notify.a.url: not a key of a stdout notifier");
    wrong(
        "[notify.a]\ntype = \"stdout\"\nformat = \"text\"",
        "3:10: notify.a.format: expected \"json\", found \"text\"",
    );
    wrong("[notify.a]\ntype = \"stdout\"\nmin_severity = \"hi\"", "3:16: notify.a.min_severity: expected \"info\"");
    wrong("[notify.a]\ntype = \"sns\"", "1:1: notify.a.topic_arn: missing");
    wrong(&format!("{TOPIC}timeout = \"1s\""), "4:1: notify.a.timeout: not a key of an SNS notifier");
    for arn in [
        "x",
        "arn:aws:sns:us-east-2:111122223333:t:0a1b",
        "arn:aws:sqs:us-east-2:111122223333:t",
        "arn:aws:sns:ohio:111122223333:t",
    ] {
        let text = format!("[notify.a]\ntype = \"sns\"\ntopic_arn = \"{arn}\"");
        wrong(&text, "3:13: notify.a.topic_arn: expected a topic's ARN such as");
    }
    wrong("[notify.a]\ntype = \"webhook\"", "1:1: notify.a.url: missing; set url, url_env");
    wrong(&webhook("url_env = \"X\""), "4:11: notify.a.url_env: not together with url");
    wrong(&webhook("topic_arn = \"x\""), "4:1: notify.a.topic_arn: not a key of a webhook");
    wrong(
        &webhook("signing_secret_env = \"NONE\""),
        "4:22: notify.a.signing_secret_env: the variable \"NONE\" is not set",
    );
    wrong(
        &webhook("signing_secret_file = \"/nowhere/x\""),
        "4:23: notify.a.signing_secret_file: \"/nowhere/x\" cannot be read",
    );
    wrong(&webhook("headers = { \"x y\" = \"a\" }"), "4:21: notify.a.headers.\"x y\": not a header's name");
    wrong(&webhook("headers = { x = \"a\\nb\" }"), "4:17: notify.a.headers.x: not a header's value");
    wrong(&webhook("headers = { x = 5 }"), "4:17: notify.a.headers.x: expected a string, found an integer");
    wrong(
        &webhook("headers = { Content-Type = \"a\" }"),
        "4:28: notify.a.headers.Content-Type: secretwatch sets this header itself",
    );
    wrong(
        &webhook("headers = { X = \"a\", x = \"b\" }"),
        "4:26: notify.a.headers.x: the same header as another; remove one",
    );
    wrong(
        &webhook("headers = { webhook-id = \"a\" }"),
        "4:26: notify.a.headers.webhook-id: secretwatch sets this header itself",
    );
}

#[test]
fn urls_of_webhooks() {
    let hook = |url: &str| format!("[notify.a]\ntype = \"webhook\"\nurl = \"{url}\"");
    wrong(&hook("hooks.example.com"), "3:7: notify.a.url: not a URL: ");
    wrong(&hook("ftp://hooks.example.com/"), "3:7: notify.a.url: neither https nor http");
    wrong(&hook("http://hooks.example.com/"), "3:7: notify.a.url: http is for loopback addresses only");
    wrong(&hook("http://127.0.0.1.example.com/"), "3:7: notify.a.url: http is for loopback addresses only");
    wrong(&hook(""), "3:7: notify.a.url: must not be empty");
    for url in [
        "https://h.example/x?y",
        "http://127.0.0.1:8080/",
        "http://127.8.9.1/",
        "http://[::1]:80/",
        "http://localhost/",
    ] {
        right(&hook(url));
    }
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

#[test]
fn only_mail_is_spared_the_end_of_an_incident() {
    assert!(!right(TOPIC).notifiers["a"].send_resolved);
    assert!(right(&format!("{TOPIC}format = \"json\"")).notifiers["a"].send_resolved);
    assert!(right(&webhook("")).notifiers["a"].send_resolved);
    let Target::Sns { region, .. } = &right(TOPIC).notifiers["a"].target else { panic!("a topic") };
    assert_eq!(region, "us-east-2");
}

#[test]
fn signing_secrets_are_decoded_where_they_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for (content, key) in [("plain\n", &b"plain"[..]), ("plain\r\n", b"plain"), ("whsec_AQID\n", &[1, 2, 3])] {
        fs::write(&path, content).unwrap();
        let config = right(&webhook(&format!("signing_secret_file = {path:?}")));
        let Target::Webhook(hook) = &config.notifiers["a"].target else { panic!("a webhook") };
        assert_eq!(hook.signing_secret.as_deref(), Some(key), "{content:?}");
    }
    for (content, why) in [("", "is empty"), ("\n", "is empty"), ("whsec_", "not base64"), ("whsec_?", "not base64")] {
        fs::write(&path, content).unwrap();
        let found = complaints_in(&webhook(&format!("signing_secret_file = {path:?}")), &Environment::default());
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
    }
}

#[test]
fn variables_are_laid_over_the_text() {
    let text = "[poll]\ninterval = \"1m\"\n[notify.My-chat]\ntype = \"webhook\"\nurl = \"https://a.example/\"";
    let config = right_with(
        text,
        &[
            ("SECRETWATCH__STATE_DIR", "/s"),
            ("SECRETWATCH__POLL__INTERVAL", "30s"),
            ("SECRETWATCH__poll__lateness", "\"2m\""),
            ("SECRETWATCH__POLL__REQUESTS_PER_SECOND", "0.5"),
            ("SECRETWATCH__POLL__INVENTORY", "false"),
            ("SECRETWATCH__POLL__EVENT_SOURCES", "['a.b', 'c.d']"),
            ("SECRETWATCH__NOTIFY__MY_CHAT__URL", "https://b.example/"),
            ("SECRETWATCH__NOTIFY__MY_CHAT__HEADERS", "{ x-team = 'sec' }"),
            ("SECRETWATCH__NOTIFY__EXTRA__TYPE", "stdout"),
            ("SECRETWATCH__STATUS__LISTEN", ""),
            ("SECRETWATCH__POLL__NARROW_WHEN_BEHIND", "true"),
            ("SECRETWATCH__HEARTBEAT__URL_ENV", "PING"),
            ("SECRETWATCH__HEARTBEAT__EVERY", "5m"),
            ("PING", "https://ping.example.com/x"),
            ("SECRETWATCHMAN", "somebody else's"),
        ],
    );
    assert_eq!(config.state_dir, Path::new("/s"));
    assert_eq!(config.poll.cadence, Cadence::Every(Duration::from_secs(30)));
    assert_eq!((config.poll.lateness, config.poll.requests_per_second), (Duration::from_secs(120), 0.5));
    assert_eq!((config.poll.inventory, config.poll.event_sources.len()), (false, 2));
    assert!(config.poll.narrow_when_behind);
    let heartbeat = config.heartbeat.as_ref().expect("a heartbeat");
    assert_eq!((heartbeat.url.as_str(), heartbeat.every.as_secs()), ("https://ping.example.com/x", 300));
    assert_eq!(config.rules[0].notify, ["My-chat", "extra"]);
    let Target::Webhook(hook) = &config.notifiers["My-chat"].target else { panic!("a webhook") };
    assert_eq!((hook.url.as_str(), hook.headers.len()), ("https://b.example/", 1));
}

/// Whatever can be said outside of lists of tables can be said by the environment, and means the same there.
#[test]
fn every_key_has_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let (url, key) = (file("url", "https://h.example/"), file("key", secret));
    let token = file("token", "a-long-token");
    let (routing, template) = (file("routing", "R0UTINGKEY"), file("t.j2", "{{ summary }}"));
    let hook = "type = \"webhook\"\nurl = \"https://h.example/\"";
    let bare = "type = \"webhook\"";
    let topic = "type = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:111122223333:a\"";
    let paged = "type = \"webhook\"\nformat = \"pagerduty\"";
    let templated = format!("{hook}\ntemplate = {template:?}");
    let beat = "url = \"https://ping.example/x\"";
    // The key, what its table needs besides, and a value as a variable has it.
    let samples: [(&str, &str, &str); 39] = [
        ("state_dir", "", "/s"),
        ("use", "", "[\"bulk-read\"]"),
        ("poll.interval", "", "30s"),
        ("poll.schedule", "", "0 * * * * *"),
        ("poll.lateness", "", "2m"),
        ("poll.backfill", "", "2h"),
        ("poll.requests_per_second", "", "0.5"),
        ("poll.recheck", "", "12h"),
        ("poll.stale_after", "", "20m"),
        ("poll.event_sources", "", "[\"a.b\"]"),
        ("poll.retention", "", "40d"),
        ("poll.inventory", "", "false"),
        ("poll.narrow_when_behind", "", "true"),
        ("notify.*.type", "", "stdout"),
        ("notify.*.topic_arn", "type = \"sns\"", "arn:aws:sns:us-east-1:111122223333:a"),
        ("notify.*.format", topic, "json"),
        ("notify.*.url", bare, "https://h.example/"),
        ("notify.*.url_env", bare, "URL"),
        ("notify.*.url_file", bare, &url),
        ("notify.*.signing_secret_file", hook, &key),
        ("notify.*.signing_secret_env", hook, "SIGNING"),
        ("notify.*.headers", hook, "{ x-team = \"sec\" }"),
        ("notify.*.timeout", hook, "7s"),
        ("notify.*.template", hook, &template),
        ("notify.*.content_type", &templated, "text/plain"),
        ("notify.*.routing_key_file", paged, &routing),
        ("notify.*.routing_key_env", paged, "ROUTING"),
        ("notify.*.min_severity", hook, "high"),
        ("notify.*.retry_for", hook, "1h"),
        ("notify.*.send_resolved", hook, "false"),
        ("notify.*.fallback", hook, "0"),
        ("notify.*.fallback_after", &format!("{hook}\nfallback = \"0\""), "9m"),
        ("heartbeat.url", "", "https://ping.example/x"),
        ("heartbeat.url_env", "", "URL"),
        ("heartbeat.url_file", "", &url),
        ("heartbeat.every", beat, "5m"),
        ("heartbeat.timeout", beat, "3s"),
        ("status.listen", "", "127.0.0.1:9999"),
        ("status.token_file", "", &token),
    ];
    let given = [("URL", "https://h.example/"), ("SIGNING", secret), ("ROUTING", "R0UTINGKEY")];
    let tested: Vec<&str> = samples.iter().map(|(key, ..)| *key).collect();
    let known = known_keys();
    let meant: Vec<&String> = known.iter().filter(|key| !key.contains("[]")).collect();
    assert_eq!(meant, tested, "a sample for each key");
    for (key, base, value) in samples {
        let path = key.replace('*', "a");
        let (table, name) = path.rsplit_once('.').map_or(("", path.as_str()), |(table, name)| (table, name));
        let is_text = !(value.starts_with(['{', '[']) || ["true", "false", "0.5"].contains(&value));
        let quoted = if is_text { format!("{value:?}") } else { value.to_owned() };
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let other = "\n[notify.0]\ntype = \"stdout\"\n";
        let whole = |table: &str| if header.is_empty() { format!("{table}{other}") } else { format!("{other}{table}") };
        let written = right_with(&whole(&format!("{header}{base}\n{name} = {quoted}")), &given);
        let variable = format!("SECRETWATCH__{}", path.to_uppercase().replace('.', "__"));
        let variables = [&given[..], &[(variable.as_str(), value)]].concat();
        // A table that nothing else is said of is made by the variable.
        let text = if base.is_empty() { other.to_owned() } else { whole(&format!("{header}{base}")) };
        assert_eq!(render(&right_with(&text, &variables)), render(&written), "{variable}");
        let unset = check(&text, "F", &with(&given)).map(|config| render(&config));
        assert_ne!(unset.ok(), Some(render(&written)), "{variable} changes nothing");
    }
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text_where_one_is_wanted() {
    assert_eq!(right_with("", &[("SECRETWATCH__STATE_DIR", "5")]).state_dir, Path::new("5"));
}

#[test]
fn variables_that_are_wrong() {
    let unknown = |name: &str, expected: &str| wrong_with("", &[(name, "1")], &format!("{name}: {expected}"));
    unknown("SECRETWATCH__STATE_DIRR", "unknown key \"state_dirr\", did you mean \"state_dir\"?");
    unknown("SECRETWATCH__POLL__INTERVALL", "unknown key \"poll.intervall\", did you mean \"interval\"?");
    unknown("SECRETWATCH__POL__INTERVAL", "unknown section \"pol\", did you mean \"poll\"?");
    unknown("SECRETWATCH__POLL", "poll is a table; set its keys one by one");
    unknown("SECRETWATCH__HEARTBEAT", "heartbeat is a table; set its keys one by one");
    unknown("SECRETWATCH__HEARTBEAT__EVRY", "unknown key \"heartbeat.evry\", did you mean \"every\"?");
    unknown("SECRETWATCH__HEARTBEAT__URL", "heartbeat.url: not a URL");
    unknown("SECRETWATCH__NOTIFY__URL", "names no notifier; write SECRETWATCH__NOTIFY__NAME__URL");
    unknown("SECRETWATCH__NOTIFY__A__B__URL", "unknown notifier \"a__b\"");
    unknown("SECRETWATCH__RULE__NAME", "no variable sets a key of [[rule]]");
    unknown("SECRETWATCH__", "unknown key \"\"");
    unknown("SECRETWATCH__POLL__INTERVAL", "poll.interval: expected a duration");
    unknown("SECRETWATCH__POLL__EVENT_SOURCES", "poll.event_sources: expected an array of event sources");
    unknown("SECRETWATCH__STATUS__TOKEN_FILE", "status.token_file: \"1\" cannot be read");
    wrong_with(
        "",
        &[("SECRETWATCH__NOTIFY__A__URL", "https://a.example/")],
        "SECRETWATCH__NOTIFY__A__URL: notify.a.type: missing",
    );
    let twice = [("SECRETWATCH__POLL__LATENESS", "1m"), ("SECRETWATCH__poll__lateness", "2m")];
    wrong_with("", &twice, "SECRETWATCH__poll__lateness: SECRETWATCH__POLL__LATENESS sets the same key");
    let alike = "[notify.a-b]\ntype = \"stdout\"\n[notify.a_b]\ntype = \"stdout\"";
    wrong_with(
        alike,
        &[("SECRETWATCH__NOTIFY__A_B__RETRY_FOR", "1h")],
        "SECRETWATCH__NOTIFY__A_B__RETRY_FOR: may mean",
    );
    wrong_with("poll = 5", &[("SECRETWATCH__POLL__INTERVAL", "1m")], "1:8: poll: expected a table");
}

#[test]
fn variables_that_are_no_text() {
    let latin1 = std::ffi::OsString::from_vec(b"/\xe9".to_vec());
    for name in ["SECRETWATCH__STATE_DIR", "STATE_DIRECTORY"] {
        let env: Environment = [(name, latin1.clone())].into_iter().collect();
        let found = complaints_in("", &env);
        assert!(found.len() == 1 && found[0].ends_with("not UTF-8"), "{found:?}");
    }
}

#[test]
fn systemd_says_where_the_state_lies() {
    assert_eq!(right_with("", &[("STATE_DIRECTORY", "/a:/b")]).state_dir, Path::new("/a"));
    assert_eq!(right_with("state_dir = \"/c\"", &[("STATE_DIRECTORY", "/a")]).state_dir, Path::new("/c"));
}

#[test]
fn the_first_source_that_is_there_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("state_dir = \"/{name}\"")).unwrap();
        path
    };
    let (named, variable) = (file("named"), file("variable"));
    let path_only = with(&[("SECRETWATCH_CONFIG", variable.to_str().unwrap()), ("SECRETWATCH_CONFIG_TOML", "")]);
    let both = with(&[
        ("SECRETWATCH_CONFIG", variable.to_str().unwrap()),
        ("SECRETWATCH_CONFIG_TOML", "state_dir = \"/text\""),
    ]);
    let state_dir = |path: Option<&PathBuf>, env| load(path.map(PathBuf::as_path), env).unwrap().state_dir;
    assert_eq!(state_dir(Some(&named), &both), Path::new("/named"));
    assert_eq!(state_dir(None, &both), Path::new("/text"));
    assert_eq!(state_dir(None, &path_only), Path::new("/variable"));
}

#[test]
fn what_cannot_be_loaded_says_which_source() {
    let none = Environment::default();
    let nowhere = load(Some(Path::new("/nowhere/x.toml")), &none).unwrap_err();
    assert_eq!(nowhere.to_string(), "configuration file /nowhere/x.toml cannot be read");
    assert!(std::error::Error::source(&nowhere).is_some());
    let inline = load(None, &with(&[("SECRETWATCH_CONFIG_TOML", "x = 1")])).unwrap_err();
    assert!(inline.to_string().starts_with("SECRETWATCH_CONFIG_TOML:1:1: x: unknown key"), "{inline}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"# ok\nstate_dir = \"\xe9\"").unwrap();
    let latin1 = load(Some(&path), &none).unwrap_err().to_string();
    assert!(latin1.ends_with("latin1.toml:2:14: not UTF-8; TOML files are"), "{latin1}");
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
