//! LookupEvents: paging, bounds, visibility, tokens and the quota.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudtrail::operation::lookup_events::LookupEventsOutput;
use aws_sdk_cloudtrail::operation::lookup_events::builders::LookupEventsFluentBuilder;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use proptest::prelude::*;

use super::*;
use crate::demo::{Lateness, Record};

fn ids(page: &LookupEventsOutput) -> Vec<String> {
    page.events().iter().filter_map(|event| event.event_id().map(str::to_owned)).collect()
}

/// All pages.
async fn read_through(request: LookupEventsFluentBuilder) -> Vec<Vec<String>> {
    let mut pages = request.into_paginator().send();
    let mut read = Vec::new();
    while let Some(page) = pages.next().await {
        read.push(ids(&page.unwrap()));
    }
    read
}

fn by(key: LookupAttributeKey, value: &str) -> LookupAttribute {
    LookupAttribute::builder().attribute_key(key).attribute_value(value).build().unwrap()
}

fn second(at: EventTime) -> DateTime {
    DateTime::from_secs(at.0)
}

#[tokio::test]
async fn paging_through_a_thousand_events_gives_just_those() {
    let account = account().await;
    let put: Vec<_> = (0..1_000).map(|n| account.put(&Record::read("prod/db").at(NOON.minus(n / 3)))).collect();
    let pages = read_through(Clients::of(&account).trail.lookup_events()).await;
    assert_eq!(pages.len(), 20);
    let read: Vec<_> = pages.concat();
    assert_eq!(read.len(), 1_000);
    assert_eq!(read.iter().collect::<BTreeSet<_>>(), put.iter().collect());
}

#[tokio::test]
async fn an_item_says_what_the_record_says() {
    let account = account().await;
    let caller = Caller::role("111122223333", "apps/checkout", "i-0abc");
    let id = account.put(&Record::read("prod/db").by(caller.clone()).at(NOON).resource("AWS::X::Y", "y"));
    let page = Clients::of(&account).trail.lookup_events().send().await.unwrap();
    let event = &page.events()[0];
    assert_eq!(event.event_id(), Some(&*id));
    assert_eq!(event.event_name(), Some("GetSecretValue"));
    assert_eq!(event.event_time(), Some(&second(NOON)));
    assert_eq!(event.event_source(), Some("secretsmanager.amazonaws.com"));
    assert_eq!(event.read_only(), Some("true"));
    assert_eq!(event.username(), Some("i-0abc"));
    assert_eq!(event.access_key_id().map(str::to_owned), caller.access_key());
    assert_eq!(event.resources()[0].resource_name(), Some("y"));
    let record: serde_json::Value = serde_json::from_str(event.cloud_trail_event().unwrap()).unwrap();
    assert_eq!(record["eventID"], *id);
    assert_eq!(record["requestParameters"]["secretId"], "prod/db");
}

#[tokio::test]
async fn bounds_are_inclusive_whole_seconds_and_newest_comes_first() {
    let account = account().await;
    for secs in 0..10 {
        account.put(&Record::read("prod/db").at(NOON.minus(secs)).id(&secs.to_string()));
    }
    let trail = Clients::of(&account).trail;
    for (from, to, expected) in [(5, 3, "3 4 5"), (9, 9, "9"), (12, 8, "8 9"), (1, -9, "0 1"), (40, 30, "")] {
        let request = trail.lookup_events().start_time(second(NOON.minus(from))).end_time(second(NOON.minus(to)));
        assert_eq!(ids(&request.send().await.unwrap()).join(" "), expected, "{from} {to}");
    }
    let fraction = DateTime::from_secs_f64(f64::from(1_780_000_000 - 2) + 0.75);
    let request = trail.lookup_events().start_time(fraction).end_time(fraction);
    assert_eq!(ids(&request.send().await.unwrap()), ["2"]);
}

#[tokio::test]
async fn an_event_is_shown_from_the_instant_it_is_visible() {
    let account = account_with(|settings| settings.lateness = Lateness::fixed(Duration::from_secs(90))).await;
    let late = account.put(&Record::read("prod/db").at(NOON));
    let later = account.put(&Record::read("prod/db").at(NOON).late_by(Duration::from_secs(100)));
    let trail = Clients::of(&account).trail;
    for (after, expected) in [(89, vec![]), (1, vec![&late]), (9, vec![&late]), (1, vec![&later, &late])] {
        account.clock().advance(Duration::from_secs(after));
        let shown = ids(&trail.lookup_events().send().await.unwrap());
        assert_eq!(shown.iter().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_token_is_bound_to_parameters_account_and_region() {
    let account = account().await;
    for region in ["us-east-1", "eu-west-1"] {
        for n in 0..5 {
            account.put(&Record::read("prod/db").at(NOON.minus(n)).in_source("111122223333", region));
        }
    }
    let clients = Clients::of(&account);
    let ask = |size| clients.trail.lookup_events().max_results(size).end_time(second(NOON));
    let first = ask(2).send().await.unwrap();
    let token = first.next_token().unwrap();
    assert_eq!(code(ask(2).next_token(token).send().await), "ok");
    assert_eq!(code(ask(2).next_token(token).send().await), "ok", "a token can be used again");

    let refused = "InvalidNextTokenException";
    assert_eq!(code(ask(3).next_token(token).send().await), refused);
    assert_eq!(code(ask(2).start_time(second(NOON)).next_token(token).send().await), refused);
    let attribute = by(LookupAttributeKey::EventName, "GetSecretValue");
    assert_eq!(code(ask(2).lookup_attributes(attribute).next_token(token).send().await), refused);
    for garbage in ["", "x", "deadbeef", &token[2..], &format!("{token}00"), &token.replace('3', "4")] {
        assert_eq!(code(ask(2).next_token(garbage).send().await), refused, "{garbage}");
    }
    let elsewhere = Clients::with(&account, &account.register(Caller::user("111122223333", "x")), "eu-west-1").trail;
    let request = elsewhere.lookup_events().max_results(2).end_time(second(NOON)).next_token(token);
    assert_eq!(code(request.send().await), refused);
}

#[tokio::test]
async fn while_somebody_pages_newer_events_stay_out_and_older_ones_come() {
    let account = account().await;
    for n in 0..4 {
        account.put(&Record::read("prod/db").at(NOON.minus(10 * n)).id(&n.to_string()));
    }
    let trail = Clients::of(&account).trail;
    let ask = || trail.lookup_events().max_results(2);
    let first = ask().send().await.unwrap();
    assert_eq!(ids(&first), ["0", "1"]);
    account.put(&Record::read("prod/db").at(NOON.minus(5)).id("newer"));
    account.put(&Record::read("prod/db").at(NOON.minus(15)).id("older"));
    let second = ask().set_next_token(first.next_token().map(str::to_owned)).send().await.unwrap();
    assert_eq!(ids(&second), ["older", "2"]);
    let third = ask().set_next_token(second.next_token().map(str::to_owned)).send().await.unwrap();
    assert_eq!((ids(&third), third.next_token()), (vec!["3".to_owned()], None));
}

#[tokio::test]
async fn attributes_select() {
    let account = account().await;
    let ada = Caller::user("111122223333", "ada");
    account.put(&Record::read("prod/db").by(ada.clone()).id("read").resource("AWS::X", "y"));
    account.put(&Record::new("CreateSecret").id("create"));
    account.put(&Record::new("AssumeRole").source("sts.amazonaws.com").id("assume"));
    account.put(&Record::new("CreateSecret").source("vault.example.com").id("foreign"));
    let trail = Clients::of(&account).trail;
    use LookupAttributeKey as Key;
    for (key, value, expected) in [
        (Key::EventId, "read", "read"),
        (Key::EventName, "GetSecretValue", "read"),
        (Key::EventName, "CreateSecret", "foreign create"),
        (Key::EventName, "createsecret", ""),
        (Key::EventName, "CreateSecre", ""),
        (Key::EventName, "CreateSecret*", ""),
        (Key::EventName, " CreateSecret", ""),
        (Key::ReadOnly, "true", "read"),
        (Key::ReadOnly, "false", "foreign assume create"),
        (Key::Username, "ada", "read"),
        (Key::ResourceType, "AWS::X", "read"),
        (Key::ResourceName, "y", "read"),
        (Key::EventSource, "secretsmanager.amazonaws.com", "create read"),
        (Key::EventSource, "s3.amazonaws.com", ""),
        (Key::AccessKeyId, &ada.access_key().unwrap(), "read"),
    ] {
        let page = trail.lookup_events().lookup_attributes(by(key.clone(), value)).send().await.unwrap();
        assert_eq!(ids(&page).join(" "), expected, "{key} {value}");
    }
}

#[tokio::test]
async fn wrong_questions_are_refused_with_awss_words() {
    let account = account().await;
    let trail = Clients::of(&account).trail;
    let ask = || trail.lookup_events();
    let backwards = ask().start_time(second(NOON)).end_time(second(NOON.minus(1)));
    assert_eq!(code(backwards.send().await), "InvalidTimeRangeException");
    for size in [0, -1, 51] {
        assert_eq!(code(ask().max_results(size).send().await), "InvalidMaxResultsException");
    }
    let invalid = "InvalidLookupAttributesException";
    let name = by(LookupAttributeKey::EventName, "x");
    assert_eq!(code(ask().lookup_attributes(name.clone()).lookup_attributes(name).send().await), invalid);
    assert_eq!(code(ask().lookup_attributes(by("Colour".into(), "x")).send().await), invalid);
    assert_eq!(code(ask().lookup_attributes(by(LookupAttributeKey::EventName, "")).send().await), invalid);
}

#[tokio::test]
async fn the_quota_refuses_the_third_request_within_a_second_in_each_source() {
    let account = account_with(|settings| settings.quota = Some(2.0)).await;
    let key = account.register(Caller::user("111122223333", "tester"));
    let here = Clients::with(&account, &key, "us-east-1").trail;
    let there = Clients::with(&account, &key, "eu-west-1").trail;
    let ask = async |trail: &aws_sdk_cloudtrail::Client| code(trail.lookup_events().send().await);
    assert_eq!([ask(&here).await, ask(&here).await, ask(&here).await], ["ok", "ok", "ThrottlingException"]);
    assert_eq!(ask(&there).await, "ok", "a quota is its Region's own");
    account.clock().advance(Duration::from_millis(500));
    assert_eq!([ask(&here).await, ask(&here).await], ["ok", "ThrottlingException"]);
    assert_eq!(account.strained(2), [("111122223333".to_owned(), "us-east-1".to_owned())]);
}

#[tokio::test]
async fn dates_come_from_the_accounts_clock() {
    let account = account().await;
    let date = |response: reqwest::Response| response.headers()["date"].to_str().unwrap().to_owned();
    let first = date(reqwest::get(account.url()).await.unwrap());
    account.clock().set(WallTime(784_111_777_000));
    let second = date(reqwest::get(account.url()).await.unwrap());
    assert_eq!((&*first, &*second), ("Thu, 28 May 2026 20:26:40 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[tokio::test]
async fn both_spellings_of_the_target_are_understood_and_strangers_are_refused() {
    let account = account().await;
    let ask = async |target: &str, authorization: &str| {
        let request = reqwest::Client::new()
            .post(account.url())
            .header("x-amz-target", target)
            .header("authorization", authorization)
            .body("{}");
        request.send().await.unwrap().status().as_u16()
    };
    let signed = "AWS4-HMAC-SHA256 Credential=AKIA1/20261122/us-east-1/cloudtrail/aws4_request";
    assert_eq!(ask("CloudTrail_20131101.LookupEvents", signed).await, 200);
    assert_eq!(ask("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", signed).await, 200);
    assert_eq!(ask("CloudTrail_20131101.CreateTrail", signed).await, 400);
    assert_eq!(ask("DynamoDB_20120810.GetItem", signed).await, 400);
    assert_eq!(ask("", signed).await, 400);
    assert_eq!(ask("CloudTrail_20131101.LookupEvents", "").await, 403);
}

#[tokio::test]
async fn an_event_listed_twice_can_stand_on_two_pages() {
    let account = account().await;
    account.put(&Record::read("prod/db").at(NOON).id("twice").listed(2));
    let pages = read_through(Clients::of(&account).trail.lookup_events().max_results(1)).await;
    assert_eq!(pages, [["twice"], ["twice"]]);

    let repeating = account_with(|settings| settings.repeats = 1.0).await;
    repeating.put(&Record::read("prod/db"));
    assert_eq!(repeating.records(), 2);
}

#[tokio::test]
async fn a_disordered_listing_is_complete_and_out_of_order() {
    let account = account_with(|settings| settings.disorder = Duration::from_secs(60)).await;
    let put: BTreeSet<_> =
        (0..200).map(|n| account.put(&Record::read("prod/db").at(NOON.minus(n)).id(&format!("{n:03}")))).collect();
    let read = read_through(Clients::of(&account).trail.lookup_events()).await.concat();
    assert!(!read.is_sorted());
    assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), put);
}

/// Seconds before noon, and how late.
fn events() -> impl Strategy<Value = Vec<(i64, u64)>> {
    proptest::collection::vec((0..40i64, 0..40u64), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The naive model: everything in the span that is visible, newest first, the later put first.
    #[test]
    fn any_page_size_reads_what_a_naive_model_lists(events in events(), from in 0..45i64, size in 1..8i32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (read, expected) = runtime.block_on(async {
            let account = account().await;
            let mut expected: Vec<(i64, usize)> = Vec::new();
            for (number, (age, late)) in events.iter().enumerate() {
                let late_by = Duration::from_secs(*late);
                let record = Record::read("prod/db").at(NOON.minus(*age)).late_by(late_by).id(&number.to_string());
                account.put(&record);
                if *age <= from && i64::try_from(*late).unwrap() <= *age {
                    expected.push((*age, number));
                }
            }
            expected.sort_by_key(|(age, number)| (*age, std::cmp::Reverse(*number)));
            let request =
                Clients::of(&account).trail.lookup_events().start_time(second(NOON.minus(from))).max_results(size);
            (read_through(request).await.concat(), expected)
        });
        let expected: Vec<_> = expected.into_iter().map(|(_, number)| number.to_string()).collect();
        prop_assert_eq!(read, expected);
    }
}
