//! What every format holds for every alert, and what each promises of its own. Whole messages stand in
//! `docs/formats.md`, and others' programs read them in `tests/interop`.

use proptest::prelude::*;

use super::*;
use crate::config::RoutingKey;
use crate::model::fixture::{access, alert};
use crate::model::{AlertKind, Severity, sample_alerts};

const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms";

fn webhooks() -> Vec<WebhookFormat> {
    let key = RoutingKey::new("R0UTINGKEY".to_owned(), ("routing_key_env", "KEY".to_owned()));
    vec![
        WebhookFormat::Json,
        WebhookFormat::Slack,
        WebhookFormat::PagerDuty(key),
        WebhookFormat::Teams,
        WebhookFormat::Ocsf,
        WebhookFormat::Alertmanager,
    ]
}

fn json(format: &WebhookFormat, letter: &Letter<'_>) -> Value {
    let body = body(format, letter).unwrap();
    assert_eq!(body.content_type, "application/json");
    serde_json::from_str(&body.text).unwrap()
}

fn slack(letter: &Letter<'_>) -> Value {
    json(&WebhookFormat::Slack, letter)
}

fn topic(format: SnsFormat, letter: &Letter<'_>) -> (String, Value) {
    let message = message(format, letter, TOPIC, "us-east-2").unwrap();
    (message.subject, serde_json::from_str(&message.text).unwrap())
}

/// Every text in `value` that Slack reads as markup.
fn markup<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| markup(item, found)),
        Value::Object(entries) if value["type"] == "mrkdwn" => found.extend(entries["text"].as_str()),
        Value::Object(entries) => entries.values().for_each(|value| markup(value, found)),
        _ => {}
    }
}

fn opened() -> Alert {
    sample_alerts().swap_remove(0)
}

/// What every format says of every alert: which it is, and which incident it belongs to. What PagerDuty is told of an
/// end is the incident alone.
#[test]
fn every_alert_is_told_by_its_ids() {
    for alert in sample_alerts() {
        let letter = Letter::of(&alert);
        for format in webhooks() {
            let text = body(&format, &letter).unwrap().text;
            let is_end = text.contains("\"resolve\"");
            assert!(text.contains(&alert.id) || is_end, "{} {:?}", format.word(), alert.kind);
            assert!(text.contains(&alert.incident), "{} {:?}", format.word(), alert.kind);
        }
        for (word, format) in SnsFormat::ALL {
            let text = message(format, &letter, TOPIC, "us-east-2").unwrap().text;
            assert!(text.contains(&alert.id), "{word} {:?}", alert.kind);
        }
    }
}

#[test]
fn a_fallback_is_marked_for_people_and_where_there_is_a_place_for_it() {
    let alert = opened();
    let letter = Letter { fallback_for: Some("chat"), ..Letter::of(&alert) };
    for format in webhooks() {
        let (marked, plain) = (json(&format, &letter), json(&format, &Letter::of(&alert)));
        // Equal ids have equal content: the alert itself, as JSON and as a finding, is the same either way.
        let same = matches!(format, WebhookFormat::Json | WebhookFormat::Ocsf);
        assert_eq!(marked == plain, same, "{}", format.word());
        assert_eq!(marked.to_string().contains("chat"), !same, "{}", format.word());
    }
    let mail = message(SnsFormat::Text, &letter, TOPIC, "us-east-2").unwrap().text;
    assert!(mail.contains("This comes by way of a fallback: the notifier chat has not taken it."), "{mail}");
    assert!(topic(SnsFormat::AmazonQ, &letter).1.to_string().contains("the notifier chat has not taken it"));
}

#[test]
fn pages_are_opened_joined_and_resolved_by_incident() {
    for (alert, action) in sample_alerts()
        .iter()
        .zip(["trigger", "trigger", "resolve", "resolve", "trigger", "trigger", "resolve", "trigger"])
    {
        let event = json(&webhooks()[2], &Letter::of(alert));
        assert_eq!(
            (&event["event_action"], &event["dedup_key"]),
            (&Value::from(action), &Value::from(&*alert.incident))
        );
        assert_eq!(event["routing_key"], "R0UTINGKEY");
        assert_eq!(event["payload"].is_object(), action == "trigger");
    }
    let event = json(&webhooks()[2], &Letter::of(&opened()));
    assert_eq!(event["links"][0]["href"], "https://wiki.example.com/secret-was-read");
    for (severity, expected) in Severity::ALL.into_iter().zip(["info", "info", "warning", "error", "critical"]) {
        let mut alert = opened();
        alert.rule.severity = severity;
        assert_eq!(json(&webhooks()[2], &Letter::of(&alert))["payload"]["severity"], expected);
    }
}

#[test]
fn an_alarm_changes_its_state_as_cloudwatch_would_say_it() {
    let (subject, alarm) = topic(SnsFormat::CloudWatchAlarm, &Letter::of(&opened()));
    assert_eq!(subject, "ALARM: \"secret-is-accessed\" in US East (Ohio)");
    for (pointer, expected) in [
        ("/AlarmName", "secret-is-accessed"),
        ("/AlarmDescription", "A secret's value was read"),
        ("/AWSAccountId", "111122223333"),
        ("/NewStateValue", "ALARM"),
        ("/OldStateValue", "OK"),
        ("/StateChangeTime", "2026-05-27T18:49:55.000+0000"),
        ("/Region", "US East (Ohio)"),
        ("/AlarmArn", "arn:aws:cloudwatch:us-east-2:111122223333:alarm:secret-is-accessed"),
        ("/Trigger/Statistic", "SUM"),
        ("/Trigger/MetricName", "SecretAccesses"),
        ("/Trigger/ComparisonOperator", "GreaterThanOrEqualToThreshold"),
        ("/Trigger/Dimensions/0/name", "secret"),
        ("/Trigger/Dimensions/0/value", "prod/db-password"),
    ] {
        assert_eq!(alarm.pointer(pointer), Some(&Value::from(expected)), "{pointer}");
    }
    assert_eq!((&alarm["Trigger"]["Threshold"], &alarm["Trigger"]["Period"]), (&Value::from(1.0), &Value::from(60)));
    let reason = alarm["NewStateReason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "Threshold Crossed: 1 datapoint [1.0 (27/05/26 18:45:54)] was greater than or equal to the \
             threshold (1.0). Secret prod/db-password was read by role deploy"
        ),
        "{reason}"
    );
    let states: Vec<(String, String)> = sample_alerts()
        .iter()
        .map(|alert| topic(SnsFormat::CloudWatchAlarm, &Letter::of(alert)))
        .map(|(subject, alarm)| (subject, format!("{} {}", alarm["OldStateValue"], alarm["NewStateValue"])))
        .collect();
    assert_eq!(states[1].1, "\"ALARM\" \"ALARM\"");
    assert_eq!(states[2], ("OK: \"secret-is-accessed\" in US East (Ohio)".to_owned(), "\"ALARM\" \"OK\"".to_owned()));
    assert_eq!(states[5].1, "\"OK\" \"ALARM\"");
}

#[test]
fn alertmanager_knows_an_incident_by_labels_that_stay_and_hears_of_its_end() {
    let all = sample_alerts();
    let told: Vec<Value> =
        all.iter().map(|alert| json(&WebhookFormat::Alertmanager, &Letter::of(alert))[0].clone()).collect();
    assert_eq!(told[0]["labels"], told[1]["labels"]);
    assert_eq!(told[0]["labels"], told[2]["labels"]);
    assert_eq!(told[5]["labels"], told[6]["labels"]);
    for (alert, told) in all.iter().zip(&told) {
        let ends_now = matches!(alert.kind, AlertKind::Resolved | AlertKind::Sighted | AlertKind::Digest);
        assert_eq!(told["endsAt"] == alert.decided.to_string(), ends_now, "{:?}", alert.kind);
        assert!(told["startsAt"].as_str().unwrap() <= told["endsAt"].as_str().unwrap());
    }
}

#[test]
fn threads_of_amazon_q_are_incidents() {
    for alert in sample_alerts() {
        let (_, notification) = topic(SnsFormat::AmazonQ, &Letter::of(&alert));
        assert_eq!(notification["metadata"]["threadId"], alert.incident.as_str());
        assert_eq!((&notification["version"], &notification["source"]), (&"1.0".into(), &"custom".into()));
        assert_eq!(notification["content"]["textType"], "client-markdown");
    }
}

#[test]
fn a_letter_of_several_lists_the_id_of_each_and_has_one_of_its_own() {
    let alerts: Vec<Alert> = (0..20)
        .map(|n| Alert {
            id: format!("{n:032x}"),
            incident: format!("{n:031x}i"),
            ..alert(AlertKind::Opened, vec![access(n)])
        })
        .collect();
    let letter = Letter { alert: &alerts[0], others: &alerts[1..], fallback_for: None };
    let mail = message(SnsFormat::Text, &letter, TOPIC, "us-east-2").unwrap();
    assert_eq!(mail.subject, "[medium] 20 alerts of rule secret-is-accessed (opened) in one message");
    let teams = json(&WebhookFormat::Teams, &letter);
    let told = [mail.text, slack(&letter).to_string(), teams.to_string()];
    for alert in &alerts {
        assert!(told.iter().all(|told| told.contains(&alert.id)), "{}\n{told:?}", alert.id);
        assert_ne!(letter.id(), alert.id);
    }
    let fewer = Letter { others: &alerts[1..19], ..letter };
    assert_ne!(letter.id(), fewer.id());
    assert_eq!(Letter::of(&alerts[0]).id(), alerts[0].id);
}

#[test]
fn nothing_that_replaces_a_character_is_cut_in_two() {
    let replace = |c| (c == '&').then_some("&amp;");
    for (text, most, expected) in [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a&", 6, "a&amp;"),
        ("a&", 5, "a…"),
        ("a&b", 6, "a…"),
        ("&&", 9, "&amp;…"),
        ("", 3, ""),
    ] {
        assert_eq!(escaped(text, most, replace), expected, "{text} {most}");
        assert!(escaped(text, most, replace).chars().count() <= most);
    }
}

/// An alert that is full of `text`.
fn hostile(text: &str, copies: i64, kind: AlertKind) -> Alert {
    let accesses = (0..copies).map(|n| {
        let mut access = access(n);
        let own = format!("{n}{text}");
        access.event.clone_from(&own);
        access.principal.arn = Some(own.clone());
        access.principal.session = Some(own.clone());
        access.user_agent = Some(own.clone());
        access.error_message = Some(own.clone());
        access.access_key_id = Some(own.clone());
        if let Some(secret) = &mut access.secret {
            secret.name.clone_from(&own);
            secret.arn = Some(own.clone());
        }
        access.source_ip = Some(own);
        access
    });
    let mut alert = alert(kind, accesses.collect());
    alert.group.insert("source_ip".to_owned(), Some(text.to_owned()));
    alert.rule.description = Some(text.to_owned());
    alert.reason = Some(text.to_owned());
    alert.advice = Some(text.to_owned());
    alert.summary = alert.summarise();
    alert
}

fn kinds() -> impl Strategy<Value = AlertKind> {
    let all = sample_alerts().into_iter().map(|alert| alert.kind).collect::<Vec<_>>();
    proptest::sample::select(all)
}

/// Texts such as an attacker would choose.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[<>&`*_\\[\\]()!@|~# a\u{10ffff}-]{0,60}",
        proptest::sample::select(vec!["<!channel>", "[a](http://b)", "&&&&", "``` x", "\u{1f511}"])
            .prop_flat_map(|text| (1..200usize).prop_map(move |times| text.repeat(times))),
    ]
}

/// Whether Slack takes it, by its own limits.
fn is_sound_for_slack(message: &Value) -> Result<(), TestCaseError> {
    let blocks = message["blocks"].as_array().unwrap();
    prop_assert!((1..=50).contains(&blocks.len()), "{} blocks", blocks.len());
    let length = |text: &Value| text["text"].as_str().map_or(0, |text| text.chars().count());
    for block in blocks {
        let most = if block["type"] == "header" { 150 } else { 3_000 };
        let fields = block["fields"].as_array().or(block["elements"].as_array());
        prop_assert!(block["text"].is_null() || (1..=most).contains(&length(&block["text"])), "{block}");
        prop_assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())), "{block}");
        for field in fields.into_iter().flatten() {
            prop_assert!((1..=2_000).contains(&length(field)), "{field}");
        }
    }
    let mut marked = vec![message["text"].as_str().unwrap()];
    markup(message, &mut marked);
    prop_assert!(!message.to_string().contains("<!"));
    for text in marked {
        // A link of our own is the only thing that may stand in angle brackets, and no code span is left open.
        let opened = text.match_indices('<').all(|(at, _)| text[at..].starts_with("<http"));
        prop_assert!(opened && text.matches('`').count() % 2 == 0, "{}", text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_stands_in_a_record_every_limit_is_kept(
        text in nasty(), copies in 0..15i64, kind in kinds(), others in 0..3usize, fallback: bool,
    ) {
        let alert = hostile(&text, copies, kind);
        let others = vec![alert.clone(); others * 8];
        let letter = Letter { alert: &alert, others: &others, fallback_for: fallback.then_some("chat") };
        is_sound_for_slack(&slack(&letter))?;
        prop_assert!(body(&WebhookFormat::Teams, &letter).unwrap().text.len() <= 28 * 1024);
        let alone = Letter { others: &[], ..letter };
        // Lists were split by the alert's own size, and a finding is not much more.
        let size = |format: &WebhookFormat| body(format, &alone).unwrap().text.len();
        prop_assert!(size(&WebhookFormat::Ocsf) <= 3 * size(&WebhookFormat::Json) + 8_000);
        prop_assert!(size(&WebhookFormat::Alertmanager) < 100_000);
        let (subject, alarm) = topic(SnsFormat::CloudWatchAlarm, &alone);
        prop_assert!(subject.len() < 100 && subject.is_ascii());
        prop_assert!(alarm["NewStateReason"].as_str().unwrap().chars().count() <= 1_023);
        let (_, notification) = topic(SnsFormat::AmazonQ, &alone);
        for (key, most) in [("title", 250), ("description", 4_000)] {
            let text = notification["content"][key].as_str().unwrap();
            prop_assert!((1..=most).contains(&text.chars().count()));
            prop_assert!(!text.contains(['<', '>', '[', ']']) && text.matches('`').count() % 2 == 0, "{}", text);
        }
    }

    #[test]
    fn a_page_is_small_however_many_accesses_it_tells_of(text in nasty()) {
        let event = body(&webhooks()[2], &Letter::of(&hostile(&text, 60, AlertKind::Opened))).unwrap();
        prop_assert!(event.text.len() < 100_000);
    }
}
