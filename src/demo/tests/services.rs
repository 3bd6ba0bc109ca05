//! Secrets Manager, SNS and STS.

use std::time::Duration;

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use aws_sdk_sns::operation::publish::builders::PublishFluentBuilder;
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::{Value, json};

use super::*;

/// The records of one account's history, newest first.
async fn records(account: &Account, of: &str) -> Vec<Value> {
    let key = account.register(Caller::user(of, "auditor"));
    let page = Clients::with(account, &key, "us-east-1").trail.lookup_events().send().await.unwrap();
    let record = |event: &aws_sdk_cloudtrail::types::Event| event.cloud_trail_event().map(serde_json::from_str);
    page.events().iter().filter_map(record).map(Result::unwrap).collect()
}

fn names(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["eventName"].as_str()).collect()
}

#[tokio::test]
async fn secrets_are_listed_in_pages_of_the_asked_size() {
    let account = account().await;
    let arns: Vec<_> = (0..25).map(|n| account.add_secret(&format!("prod/{n:02}"))).collect();
    let secrets = Clients::of(&account).secrets;
    let mut pages = secrets.list_secrets().max_results(10).into_paginator().send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        listed.extend(page.unwrap().secret_list().iter().map(|secret| secret.arn().unwrap().to_owned()));
    }
    assert_eq!(listed, arns);

    let filter = Filter::builder().key(FilterNameStringType::Name).values("prod/1").build();
    let page = secrets.list_secrets().filters(filter).send().await.unwrap();
    assert_eq!((page.secret_list().len(), page.next_token()), (10, None));
    assert_eq!(code(secrets.list_secrets().max_results(101).send().await), "InvalidParameterException");
    assert_eq!(code(secrets.list_secrets().next_token("x").send().await), "InvalidNextTokenException");
}

#[tokio::test]
async fn every_read_leaves_a_record_of_who_typed_what() {
    let account = account().await;
    let arn = account.add_secret("prod/db");
    let secrets = Clients::of(&account).secrets;
    for typed in ["prod/db", &arn, &arn[..arn.len() - 7]] {
        let value = secrets.get_secret_value().secret_id(typed).send().await.unwrap();
        assert_eq!(value.secret_string(), Some("not-a-real-secret:prod/db"));
        let record = &records(&account, "111122223333").await[0];
        assert_eq!(record["eventName"], "GetSecretValue");
        assert_eq!(record["requestParameters"], json!({ "secretId": typed }));
        assert_eq!(record["userIdentity"]["arn"], "arn:aws:iam::111122223333:user/tester");
        assert_eq!(record["readOnly"], true);
    }
    assert_eq!(code(secrets.get_secret_value().secret_id("prod/x").send().await), "ResourceNotFoundException");
    let record = &records(&account, "111122223333").await[0];
    assert_eq!(record["errorCode"], "ResourceNotFoundException");
    assert_eq!(record["requestParameters"]["secretId"], "prod/x");
}

#[tokio::test]
async fn a_denied_principal_leaves_a_record_without_parameters() {
    let account = account().await;
    account.add_secret("prod/db");
    let thief = Caller::role("111122223333", "apps/reports", "i-0bad");
    let secrets = Clients::with(&account, &account.register(thief.clone()), "us-east-1").secrets;
    account.deny(&Caller::role("111122223333", "apps/reports", "another session"));
    assert_eq!(code(secrets.get_secret_value().secret_id("prod/db").send().await), "AccessDeniedException");
    let record = &records(&account, "111122223333").await[0];
    assert_eq!((&record["errorCode"], &record["requestParameters"]), (&json!("AccessDenied"), &Value::Null));
    assert!(record["errorMessage"].as_str().unwrap().contains("GetSecretValue on resource: prod/db because"));
    account.allow(&thief);
    assert_eq!(code(secrets.get_secret_value().secret_id("prod/db").send().await), "ok");
}

#[tokio::test]
async fn a_batch_leaves_its_own_record_and_one_for_each_secret() {
    let account = account().await;
    account.add_secret("prod/a");
    account.add_secret("prod/b");
    let secrets = Clients::of(&account).secrets;
    let batch =
        ["prod/a", "prod/b", "prod/c"].iter().fold(secrets.batch_get_secret_value(), |b, id| b.secret_id_list(*id));
    let answer = batch.send().await.unwrap();
    assert_eq!((answer.secret_values().len(), answer.errors().len()), (2, 1));
    let left = records(&account, "111122223333").await;
    assert_eq!(names(&left), ["GetSecretValue", "GetSecretValue", "GetSecretValue", "BatchGetSecretValue"]);

    let filter = Filter::builder().key(FilterNameStringType::Name).values("prod/").build();
    let answer = secrets.batch_get_secret_value().filters(filter).send().await.unwrap();
    assert_eq!(answer.secret_values().len(), 2);
}

#[tokio::test]
async fn secrets_are_made_once_and_described() {
    let account = account().await;
    let secrets = Clients::of(&account).secrets;
    let made = secrets.create_secret().name("prod/new").secret_string("hush").send().await.unwrap();
    let described = secrets.describe_secret().secret_id("prod/new").send().await.unwrap();
    assert_eq!(described.arn(), made.arn());
    assert_eq!(described.created_date().map(|at| at.secs()), Some(NOON.0));
    assert_eq!(code(secrets.create_secret().name("prod/new").send().await), "ResourceExistsException");
    let left = records(&account, "111122223333").await;
    assert_eq!(names(&left), ["CreateSecret", "DescribeSecret", "CreateSecret"]);
    assert_eq!(left[2]["responseElements"]["name"], "prod/new");
    assert_eq!(left[2]["readOnly"], false);
    assert!(!left[2].to_string().contains("hush"));
}

#[tokio::test]
async fn a_read_across_accounts_leaves_two_records_with_one_shared_id() {
    let account = account().await;
    let arn = account.add_secret_in("444455556666", "us-east-1", "prod/db");
    let value = Clients::of(&account).secrets.get_secret_value().secret_id(&arn).send().await.unwrap();
    assert_eq!(value.arn(), Some(&*arn));
    let (ours, theirs) = (records(&account, "111122223333").await, records(&account, "444455556666").await);
    assert!(ours[0]["sharedEventID"].is_string());
    assert_eq!(ours[0]["sharedEventID"], theirs[0]["sharedEventID"]);
    assert_ne!(ours[0]["eventID"], theirs[0]["eventID"]);
    assert_eq!(theirs[0]["recipientAccountId"], "444455556666");
    assert_eq!(theirs[0]["userIdentity"]["accountId"], "111122223333");
}

#[tokio::test]
async fn a_role_is_assumed_into_its_own_account() {
    let account = account().await;
    let role = "arn:aws:iam::444455556666:role/audit/secretwatch";
    account.guard_role(role, "sesame");
    let sts = Clients::of(&account).sts;
    let who = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(who.arn(), Some("arn:aws:iam::111122223333:user/tester"));

    let assume = || sts.assume_role().role_arn(role).role_session_name("watch");
    assert_eq!(code(assume().send().await), "AccessDenied");
    assert_eq!(code(assume().external_id("sesame").duration_seconds(1).send().await), "ValidationError");
    let answer = assume().external_id("sesame").send().await.unwrap();
    let credentials = answer.credentials().unwrap();
    assert!(credentials.expiration().secs() > NOON.0);
    let key =
        AccessKey { id: credentials.access_key_id().to_owned(), secret: credentials.secret_access_key().to_owned() };
    let there = Clients::with(&account, &key, "us-east-1");
    let who = there.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(who.account(), Some("444455556666"));
    assert_eq!(who.arn(), Some("arn:aws:sts::444455556666:assumed-role/secretwatch/watch"));

    account.put(&crate::demo::Record::read("prod/db").in_source("444455556666", "us-east-1"));
    assert_eq!(there.trail.lookup_events().send().await.unwrap().events().len(), 1);
    let own = Clients::of(&account).trail.lookup_events().send().await.unwrap();
    assert_eq!(own.events().len(), 0);
}

#[tokio::test]
async fn what_is_published_is_kept_as_it_was_sent() {
    let account = account().await;
    let topic = account.add_topic("alarms");
    let sns = Clients::of(&account).sns;
    let severity = MessageAttributeValue::builder().data_type("String").string_value("high").build().unwrap();
    let text = "line <1> & \"two\"\nnaïve 100 % +";
    let sent = sns.publish().topic_arn(&topic).subject("ALARM").message(text).message_attributes("severity", severity);
    let answer = sent.send().await.unwrap();
    let message = account.message_after(0).await;
    assert_eq!(answer.message_id(), Some(&*message.message_id));
    assert_eq!((message.subject.as_deref(), &*message.body, message.at), (Some("ALARM"), text, NOON.wall()));
    assert_eq!(message.attributes["severity"], "high");
}

#[tokio::test]
async fn what_sns_refuses_is_refused() {
    let account = account().await;
    let (topic, fifo) = (account.add_topic("alarms"), account.add_topic("alarms.fifo"));
    let elsewhere = topic.replace("us-east-1", "eu-west-1");
    let sns = Clients::of(&account).sns;
    let to = |arn: &str| sns.publish().topic_arn(arn).message("x");
    let nameless = MessageAttributeValue::builder().data_type("String").build().unwrap();
    let cases: Vec<(&str, PublishFluentBuilder, &str)> = vec![
        ("plain", to(&topic), "ok"),
        ("no topic", to(&format!("{topic}x")), "NotFound"),
        ("another Region", to(&elsewhere), "InvalidParameter"),
        ("longest subject", to(&topic).subject("x".repeat(99)), "ok"),
        ("long subject", to(&topic).subject("x".repeat(100)), "InvalidParameter"),
        ("two lines of subject", to(&topic).subject("a\nb"), "InvalidParameter"),
        ("empty", to(&topic).message(""), "InvalidParameter"),
        ("longest", to(&topic).message("x".repeat(262_144)), "ok"),
        ("too long", to(&topic).message("x".repeat(262_145)), "InvalidParameter"),
        ("empty attribute", to(&topic).message_attributes("a", nameless), "ParameterValueInvalid"),
        ("structure", to(&topic).message_structure("json"), "InvalidParameter"),
        ("no group", to(&fifo).message_deduplication_id("1"), "InvalidParameter"),
        ("no deduplication", to(&fifo).message_group_id("g"), "InvalidParameter"),
        ("long id", to(&fifo).message_group_id("g").message_deduplication_id("x".repeat(129)), "InvalidParameter"),
    ];
    for (name, publish, expected) in cases {
        assert_eq!(code(publish.send().await), expected, "{name}");
    }
    assert_eq!(account.messages().len(), 3);
}

#[tokio::test]
async fn a_fifo_topic_swallows_a_repetition_for_five_minutes() {
    let account = account().await;
    let topic = account.add_topic("alarms.fifo");
    let sns = Clients::of(&account).sns;
    let publish = async || {
        let sent = sns.publish().topic_arn(&topic).message("x").message_group_id("g").message_deduplication_id("1");
        sent.send().await.unwrap().message_id().unwrap().to_owned()
    };
    let first = publish().await;
    account.clock().advance(Duration::from_secs(299));
    assert_eq!(publish().await, first);
    account.clock().advance(Duration::from_secs(1));
    assert_ne!(publish().await, first);
    let duplicates: Vec<_> = account.messages().iter().map(|message| message.duplicates).collect();
    assert_eq!(duplicates, [1, 0]);
}

#[tokio::test]
async fn topics_tell_who_listens() {
    let account = account().await;
    let sns = Clients::of(&account).sns;
    let topic = sns.create_topic().name("alarms").send().await.unwrap().topic_arn().unwrap().to_owned();
    assert_eq!(account.add_topic("alarms"), topic);
    assert!(account.subscribe(&topic, "email", "a@example.com", true));
    assert!(account.subscribe(&topic, "email", "b@example.com", false));
    assert!(!account.subscribe("arn:aws:sns:us-east-1:1:none", "email", "b@example.com", false));

    let attributes = sns.get_topic_attributes().topic_arn(&topic).send().await.unwrap();
    let attribute = |name: &str| attributes.attributes().unwrap()[name].clone();
    assert_eq!([attribute("SubscriptionsConfirmed"), attribute("SubscriptionsPending")], ["1", "1"]);
    let listed = sns.list_subscriptions_by_topic().topic_arn(&topic).send().await.unwrap();
    let arns: Vec<_> = listed.subscriptions().iter().filter_map(|s| s.subscription_arn()).collect();
    assert!(arns[0].starts_with(&topic) && arns[1] == "PendingConfirmation");
    assert_eq!(code(sns.get_topic_attributes().topic_arn(format!("{topic}x")).send().await), "NotFound");
    assert_eq!(sns.list_topics().send().await.unwrap().topics().len(), 1);
    assert_eq!(code(sns.create_topic().name("no blanks").send().await), "InvalidParameter");
    assert_eq!(code(sns.create_topic().name("no.fifo").send().await), "InvalidParameter");
}
