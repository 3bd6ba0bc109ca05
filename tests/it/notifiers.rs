//! What receivers of each kind get, field by field.

use std::collections::{BTreeMap, BTreeSet};

use secretwatch::demo::{Fault, Injection, Record};
use serde_json::{Value, json};

use crate::rig::{EVERY_READ, Receiver, Rig, Told};

const STDOUT: &str = "[notify.console]\ntype = \"stdout\"\n";

/// Section 4 of the interface: the keys of an alert, of its rule, of an access, and of what is in an access.
const ALERT: &str = "schema id incident kind rule group statistic value threshold window_seconds first_access \
                     last_access accesses accesses_total accesses_omitted merged_into runbook decided summary";
const RULE: &str = "name description severity";
const ACCESS: &str = "event_id event time seen account region secret principal source_ip user_agent access_key_id mfa \
                      vpc_endpoint invoked_by request_id outcome error console";
const SECRET: &str = "name arn requested";
const PRINCIPAL: &str = "type arn name session account";

#[track_caller]
fn has_keys(value: &Value, keys: &str) {
    for key in keys.split(' ') {
        assert!(value.get(key).is_some(), "no {key} in {value:#}");
    }
}

#[track_caller]
fn is_alert(alert: &Value) {
    has_keys(alert, ALERT);
    has_keys(&alert["rule"], RULE);
    assert_eq!(alert["schema"], "secretwatch.alert.v1");
    for access in alert["accesses"].as_array().expect("a list") {
        has_keys(access, ACCESS);
        has_keys(&access["secret"], SECRET);
        has_keys(&access["principal"], PRINCIPAL);
    }
}

/// The alerts on standard output, a line each.
fn printed(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test]
async fn standard_output_gets_the_alert_of_the_interface() {
    let mut rig = Rig::new().await;
    rig.tables(format!("{STDOUT}{EVERY_READ}runbook = \"https://wiki.example.com/secret-read\"\n"));
    let arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:TopSecretInfo-96fRBn";
    let by = secretwatch::demo::Caller::role("111122223333", "apps/checkout", "i-0abc");
    let read = Record::read(arn).by(by).at(rig.ago(600)).from("203.0.113.9").user_agent("curl/8").in_console();
    let id = rig.account.put(&read);
    let alerts = printed(&rig.once().await.exits(0).stdout);
    let [alert] = &alerts[..] else { panic!("{alerts:#?}") };
    is_alert(alert);
    let time = rig.ago(600).to_string();
    for (pointer, expected) in [
        ("/kind", json!("opened")),
        ("/rule/name", json!("read")),
        ("/rule/severity", json!("medium")),
        ("/group", json!({ "secret": "TopSecretInfo" })),
        ("/statistic", json!("sum")),
        ("/value", json!(1)),
        ("/threshold", json!(1)),
        ("/window_seconds", json!(60)),
        ("/first_access", json!(time)),
        ("/last_access", json!(time)),
        ("/accesses_total", json!(1)),
        ("/accesses_omitted", json!(0)),
        ("/merged_into", Value::Null),
        ("/runbook", json!("https://wiki.example.com/secret-read")),
        ("/accesses/0/event_id", json!(id)),
        ("/accesses/0/event", json!("GetSecretValue")),
        ("/accesses/0/time", json!(time)),
        ("/accesses/0/account", json!("111122223333")),
        ("/accesses/0/region", json!("us-east-1")),
        ("/accesses/0/secret/name", json!("TopSecretInfo")),
        ("/accesses/0/secret/arn", json!(arn)),
        ("/accesses/0/secret/requested", json!(arn)),
        ("/accesses/0/principal/type", json!("AssumedRole")),
        ("/accesses/0/principal/arn", json!("arn:aws:iam::111122223333:role/apps/checkout")),
        ("/accesses/0/principal/name", json!("checkout")),
        ("/accesses/0/principal/session", json!("i-0abc")),
        ("/accesses/0/principal/account", json!("111122223333")),
        ("/accesses/0/source_ip", json!("203.0.113.9")),
        ("/accesses/0/user_agent", json!("curl/8")),
        ("/accesses/0/mfa", json!(true)),
        ("/accesses/0/vpc_endpoint", Value::Null),
        ("/accesses/0/invoked_by", Value::Null),
        ("/accesses/0/outcome", json!("success")),
        ("/accesses/0/error", Value::Null),
        ("/accesses/0/console", json!(true)),
    ] {
        assert_eq!(alert.pointer(pointer), Some(&expected), "{pointer}");
    }
    // The webhook got the very same.
    assert_eq!(&rig.receiver.requests()[0].body, alert);
}

#[tokio::test]
async fn a_long_list_is_split_and_says_what_follows() {
    let mut rig = Rig::new().await;
    rig.tables("[[rule]]\nname = \"read\"\ngroup_by = []\nthreshold = 620\nwindow = \"1h\"\n");
    let expected: BTreeSet<String> = (0..620).map(|event| rig.read("a", 600 + event / 100)).collect();
    rig.once_well().await;
    let told = rig.told();
    assert_eq!(told.covered("read"), expected);
    let mut still = 620;
    for alert in told.alerts() {
        is_alert(alert);
        let held = alert["accesses"].as_array().unwrap().len() as u64;
        assert!(held <= 500 && alert.to_string().len() <= 200_000);
        still -= held;
        assert_eq!((alert["accesses_total"].as_u64(), alert["accesses_omitted"].as_u64()), (Some(620), Some(still)));
    }
    assert_eq!((told.kinds()[0], told.kinds().len() > 1), ("opened", true));
    assert!(told.kinds()[1..].iter().all(|kind| *kind == "updated"));
}

#[tokio::test]
async fn a_webhook_gets_id_headers_and_signature() {
    let mut rig = Rig::new().await;
    std::fs::write(rig.path("key"), "whsec_c2VjcmV0d2F0Y2g=\n").unwrap();
    let key = rig.path("key");
    rig.hook(&format!("signing_secret_file = {key:?}")).hook("headers = { \"x-team\" = \"sec\" }");
    rig.read("a", 600);
    rig.once_well().await;
    let request = &rig.receiver.requests()[0];
    assert_eq!(request.headers["webhook-id"], request.body["id"].as_str().unwrap());
    assert!(request.headers["webhook-timestamp"].to_str().unwrap().parse::<i64>().is_ok());
    assert!(request.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert_eq!(request.headers["x-team"], "sec");
    assert_eq!(request.headers["content-type"], "application/json");
}

fn topic(arn: &str, format: &str) -> String {
    format!("[notify.sns]\ntype = \"sns\"\ntopic_arn = {arn:?}\nformat = {format:?}\n{EVERY_READ}notify = [\"sns\"]\n")
}

#[tokio::test]
async fn a_topic_gets_a_mail_that_a_person_reads() {
    let mut rig = Rig::new().await;
    let arn = rig.account.add_topic("alarms");
    rig.tables(topic(&arn, "text"));
    rig.poll("lateness", "\"1s\"");
    rig.account.put(&Record::read("prod/db").at(rig.ago(1200)).from("203.0.113.9"));
    rig.once_well().await;
    rig.once_well().await;
    let messages = rig.account.messages();
    // That it is over is no mail, unless it is asked for.
    let [message] = &messages[..] else { panic!("{messages:#?}") };
    let subject = message.subject.as_deref().unwrap();
    assert!(subject.contains("prod/db") && subject.len() < 100, "{subject}");
    for words in ["prod/db", "arn:aws:iam::111122223333:user/operator", "203.0.113.9", "read"] {
        assert!(message.body.contains(words), "no {words} in\n{}", message.body);
    }
    assert_eq!(message.attributes["rule"], "read");
    assert_eq!(message.attributes["kind"], "opened");
    assert_eq!(message.attributes["severity"], "medium");
    assert_eq!((&message.group_id, &message.deduplication_id), (&None, &None));
    assert!(rig.receiver.requests().is_empty());
}

#[tokio::test]
async fn a_fifo_topic_gets_json_grouped_by_incident_and_once() {
    let mut rig = Rig::new().await;
    let arn = rig.account.add_topic("alarms.fifo");
    rig.tables(topic(&arn, "json"));
    let mut expected = BTreeSet::from([rig.read("a", 600), rig.read("b", 600)]);
    // It is published, and nobody tells the publisher: so it comes again, and is swallowed by its id.
    rig.account.inject(Injection::on("Publish", Fault::CutBody).times(1));
    rig.once_well().await;
    expected.insert(rig.read("a", 590));
    rig.once_well().await;

    let messages = rig.account.messages();
    let alerts: Vec<Value> = messages.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect();
    let told = Told::from_alerts(&alerts);
    assert_eq!(told.kinds(), ["opened", "opened", "updated"]);
    assert_eq!(told.covered("read"), expected);
    for (message, alert) in messages.iter().zip(&alerts) {
        is_alert(alert);
        assert_eq!(message.group_id.as_deref(), alert["incident"].as_str());
        assert_eq!(message.deduplication_id.as_deref(), alert["id"].as_str());
        assert!(message.attributes.values().any(|value| alert["id"] == value.as_str()), "{message:#?}");
    }
    assert_eq!(messages.iter().map(|message| message.duplicates).sum::<u64>(), 1);
}

#[tokio::test]
async fn sns_may_be_busy_or_refuse() {
    for (fault, times, status) in [
        (Fault::throttled(), 1, 0),
        (Fault::internal(), 2, 0),
        (Fault::error(400, "KMSThrottling", "slow down"), 1, 0),
        (Fault::error(403, "AuthorizationError", "not authorized to perform: SNS:Publish"), 9, 2),
    ] {
        let mut rig = Rig::new().await;
        let arn = rig.account.add_topic("alarms");
        rig.tables(topic(&arn, "json"));
        rig.read("a", 600);
        let injection = rig.account.inject(Injection::on("Publish", fault).times(times));
        rig.once().await.exits(status);
        rig.account.lift(injection);
        rig.once_well().await;
        assert_eq!(rig.account.messages().len(), 1);
    }
}

#[tokio::test]
async fn one_notifier_that_is_down_holds_up_no_other() {
    let mut rig = Rig::new().await;
    rig.tables(format!("{STDOUT}{EVERY_READ}"));
    rig.receiver.go_down();
    let read = rig.read("a", 600);
    let ended = rig.once().await.exits(2);
    assert_eq!(Told::from_alerts(&printed(&ended.stdout)).covered("read"), BTreeSet::from([read.clone()]));
    rig.receiver.come_up();
    let ended = rig.once().await.exits(0);
    assert_eq!(ended.stdout, "");
    assert_eq!(rig.told().covered("read"), BTreeSet::from([read]));
}

#[tokio::test]
async fn an_alert_that_is_refused_holds_up_its_own_incident_only() {
    let rig = Rig::new().await;
    let ids: BTreeMap<&str, String> =
        ["a", "b", "c"].into_iter().map(|secret| (secret, rig.read(secret, 600))).collect();
    rig.receiver.decides(|request| match request.body["group"]["secret"].as_str() {
        Some("a") => crate::rig::Answer::Status(400),
        _ => crate::rig::Answer::Accept,
    });
    rig.once().await.exits(2).says("alert refused");
    assert_eq!(rig.told().covered("read"), BTreeSet::from([ids["b"].clone(), ids["c"].clone()]));
    rig.receiver.answers(crate::rig::Answer::Accept);
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), ids.into_values().collect());
}

#[tokio::test]
async fn what_cannot_be_delivered_for_too_long_is_given_up() {
    let mut rig = Rig::new().await;
    rig.hook("retry_for = \"0s\"");
    rig.receiver.go_down();
    rig.read("a", 600);
    rig.once().await.exits(0).says("dead letter");
    rig.receiver.come_up();
    rig.once_well().await;
    assert!(rig.receiver.requests().is_empty());
}

#[tokio::test]
async fn severities_below_a_notifiers_own_are_not_for_it() {
    let mut rig = Rig::new().await;
    rig.hook("min_severity = \"high\"");
    rig.tables(format!("{STDOUT}{EVERY_READ}"));
    rig.read("a", 600);
    let ended = rig.once().await.exits(0);
    assert_eq!(printed(&ended.stdout).len(), 1);
    assert!(rig.receiver.requests().is_empty());
}

/// A second receiver that stands in for the rig's own.
fn relief(rig: &mut Rig, format: &str, after: &str) -> Receiver {
    let receiver = Receiver::up();
    rig.hook(&format!("fallback = \"relief\"\nfallback_after = {after:?}"));
    rig.tables(format!(
        "[notify.relief]\ntype = \"webhook\"\nurl = \"{}\"\nformat = {format:?}\n{EVERY_READ}notify = [\"hook\"]\n",
        receiver.url()
    ));
    receiver
}

#[tokio::test]
async fn a_fallback_gets_the_same_alert_marked_and_ends_the_delivery() {
    let mut rig = Rig::new().await;
    let second = relief(&mut rig, "json", "0s");
    rig.receiver.go_down();
    let read = rig.read("a", 600);
    rig.once_well().await;
    let requests = second.requests();
    let [request] = &requests[..] else { panic!("{requests:#?}") };
    is_alert(&request.body);
    assert_eq!(request.headers["secretwatch-fallback-for"], "hook");
    assert_eq!(request.headers["webhook-id"], request.body["id"].as_str().unwrap());
    assert_eq!(Told::by(&requests).covered("read"), BTreeSet::from([read]));
    // It has come; nobody is told again, and the notifier is used again once it can be.
    rig.receiver.come_up();
    let later = rig.read("b", 600);
    rig.once_well().await;
    assert_eq!((second.requests().len(), rig.told().covered("read")), (1, BTreeSet::from([later])));
}

#[tokio::test]
async fn a_fallback_waits_for_its_time() {
    let mut rig = Rig::new().await;
    let second = relief(&mut rig, "json", "1h");
    rig.receiver.go_down();
    rig.read("a", 600);
    rig.once().await.exits(2);
    assert!(second.requests().is_empty());
}

#[tokio::test]
async fn an_alert_that_is_refused_goes_by_way_of_the_fallback_too() {
    let mut rig = Rig::new().await;
    let second = relief(&mut rig, "slack", "0s");
    rig.receiver.answers(crate::rig::Answer::Status(404));
    rig.read("a", 600);
    rig.once_well().await;
    let requests = second.requests();
    assert_eq!(requests.len(), 1);
    let message = requests[0].body.to_string();
    assert!(message.contains("the notifier hook has not taken it"), "{message}");
}

#[tokio::test]
async fn a_storm_is_a_few_messages_for_people_and_an_alert_each_for_programs() {
    let mut rig = Rig::new().await;
    let programs = Receiver::up();
    rig.hook("format = \"slack\"");
    rig.tables(format!("[notify.programs]\ntype = \"webhook\"\nurl = \"{}\"\n{EVERY_READ}", programs.url()));
    // What came while nobody could be reached waits.
    rig.receiver.go_down();
    let reads: BTreeSet<String> = (0..40).map(|n| rig.read(&format!("secret-{n}"), 600)).collect();
    rig.once().await.exits(2);
    rig.receiver.come_up();
    rig.once_well().await;

    let alerts = Told::by(&programs.requests());
    assert_eq!((alerts.covered("read"), programs.requests().len()), (reads, 40));
    let messages: Vec<String> = rig.receiver.requests().iter().map(|request| request.body.to_string()).collect();
    assert!(messages.len() < 10, "{} messages", messages.len());
    for alert in alerts.alerts() {
        let id = alert["id"].as_str().unwrap();
        assert_eq!(messages.iter().filter(|message| message.contains(id)).count(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_template_is_filled_in_and_labelled_as_it_says() {
    let mut rig = Rig::new().await;
    let path = rig.path("ticket.j2");
    std::fs::write(
        &path,
        "{\"title\": {{ summary }}, \"who\": {{ accesses | map(attribute='principal.arn') | list }}}",
    )
    .unwrap();
    rig.hook(&format!("template = {path:?}\ncontent_type = \"application/problem+json\""));
    rig.read("a", 600);
    rig.once_well().await;
    let request = &rig.receiver.requests()[0];
    assert_eq!(request.headers["content-type"], "application/problem+json");
    assert!(request.body["title"].as_str().unwrap().starts_with("Secret a was read"), "{:?}", request.body);
    assert_eq!(request.body["who"], json!(["arn:aws:iam::111122223333:user/operator"]));

    std::fs::write(&path, "{\n\"title\": {{ titel }} }").unwrap();
    rig.once().await.exits(78).says("ticket.j2:2: undefined value");
}
