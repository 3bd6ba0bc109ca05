//! Where alerts go, in which form, and what stands in for what.

use super::*;

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
