//! An SNS topic: does it exist, may we publish, and is anybody listening?
//!
//! A publish succeeds with nobody confirmed, and subscriptions that nobody confirms vanish after three days: that is how
//! most alarms fall silent. Whether we may publish is asked with an empty message, which SNS refuses to everybody: whoever
//! is not allowed to publish is told so instead.

use std::fmt;

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};

use super::{Finding, SAID_MAX};
use crate::model::printable;
use crate::notify::with_causes;

/// What SNS shows in place of the ARN of a subscription that nobody has confirmed.
const PENDING: &str = "PendingConfirmation";

/// Endpoints that are named.
const NAMED: usize = 5;

/// What there is to say about the topic.
pub(super) async fn examine(about: &str, topic_arn: &str, client: &Client) -> Vec<Finding> {
    let attributes = match client.get_topic_attributes().topic_arn(topic_arn).send().await {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(error) => return vec![no_topic(about, topic_arn, &error), publishing(about, topic_arn, client).await],
    };
    let number = |key: &str| attributes.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let mut findings = vec![
        Finding::pass(about, "topic", format!("{topic_arn} exists")),
        publishing(about, topic_arn, client).await,
        listeners(about, topic_arn, client, number("SubscriptionsConfirmed"), number("SubscriptionsPending")).await,
    ];
    if let Some(key) = attributes.get("KmsMasterKeyId").filter(|key| !key.is_empty()) {
        findings.push(encryption(about, key));
    }
    findings
}

fn no_topic<E: ProvideErrorMetadata + std::error::Error + 'static, R: fmt::Debug>(
    about: &str,
    topic_arn: &str,
    error: &SdkError<E, R>,
) -> Finding {
    let said = printable(&with_causes(error), SAID_MAX);
    match error.code() {
        Some("NotFound" | "NotFoundException") => Finding::fail(
            about,
            "topic",
            format!("there is no topic {topic_arn}"),
            "Make it, or correct topic_arn: name, account and Region must all be right.",
        ),
        Some("AuthorizationError" | "AuthorizationErrorException" | "AccessDenied" | "AccessDeniedException") => {
            Finding::warn(
                about,
                "topic",
                format!("nobody can tell who listens to {topic_arn}: {said}"),
                "Allow sns:GetTopicAttributes and sns:ListSubscriptionsByTopic on the topic; deploy/iam-policy.json is the \
                 whole policy.",
            )
        }
        _ => Finding::fail(
            about,
            "topic",
            format!("{topic_arn} cannot be looked at: {said}"),
            "Look at the credentials of this host and at its way to SNS in the topic's Region.",
        ),
    }
}

async fn publishing(about: &str, topic_arn: &str, client: &Client) -> Finding {
    let mut probe = client.publish().topic_arn(topic_arn).message("");
    if topic_arn.ends_with(".fifo") {
        probe = probe.message_group_id("probe").message_deduplication_id("probe");
    }
    match probe.send().await {
        Ok(_) => Finding::pass(about, "publish", "it took an empty message"),
        Err(error) => match error.code() {
            Some("InvalidParameter" | "InvalidParameterException" | "InvalidParameterValue" | "ValidationError") => {
                Finding::pass(
                    about,
                    "publish",
                    "publishing is allowed: it refused an empty message only for being empty",
                )
            }
            Some(code) if code.starts_with("Authorization") || code.starts_with("AccessDenied") => Finding::fail(
                about,
                "publish",
                printable(&format!("publishing is not allowed: {}", with_causes(&error)), SAID_MAX),
                "Allow sns:Publish on the topic to the identity of secretwatch, in its policy and, for a topic of another \
                 account, in the topic's own.",
            ),
            _ => Finding::fail(
                about,
                "publish",
                printable(&format!("nobody can tell whether publishing is allowed: {}", with_causes(&error)), SAID_MAX),
                "Mend what is wrong above; then secretwatch test-alert shows whether a message arrives.",
            ),
        },
    }
}

async fn listeners(about: &str, topic_arn: &str, client: &Client, confirmed: u64, pending: u64) -> Finding {
    let endpoints = if pending > 0 { waiting(topic_arn, client).await } else { String::new() };
    match (confirmed, pending) {
        (0, 0) => Finding::fail(
            about,
            "subscriptions",
            "nobody is subscribed: SNS accepts alerts and throws them away",
            format!(
                "aws sns subscribe --topic-arn {topic_arn} --protocol email --notification-endpoint YOU@EXAMPLE.COM"
            ),
        ),
        (0, _) => Finding::fail(
            about,
            "subscriptions",
            format!("nobody has confirmed, {pending} pending{endpoints}: SNS accepts alerts and throws them away"),
            "Open the link in the mail with the subject \"AWS Notification - Subscription Confirmation\". What is not \
             confirmed within three days has to be subscribed again.",
        ),
        (_, 0) => Finding::pass(about, "subscriptions", format!("{confirmed} confirmed, none pending")),
        _ => Finding::warn(
            about,
            "subscriptions",
            format!("{confirmed} confirmed, {pending} pending{endpoints}"),
            "Those that are pending hear nothing until they open the link in their mail, within three days.",
        ),
    }
}

/// The endpoints that have not confirmed, for people to know whom to ask; nothing where that cannot be had.
async fn waiting(topic_arn: &str, client: &Client) -> String {
    let mut pages = client.list_subscriptions_by_topic().topic_arn(topic_arn).into_paginator().send();
    let mut names = Vec::new();
    while let Some(Ok(page)) = pages.next().await {
        let pending = page.subscriptions.unwrap_or_default().into_iter();
        let pending = pending.filter(|one| one.subscription_arn.as_deref() == Some(PENDING));
        names.extend(pending.filter_map(|one| one.endpoint).map(|name| printable(&name, 80)));
        if names.len() >= NAMED {
            break;
        }
    }
    names.truncate(NAMED);
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// What encryption asks for shows with the first message only.
fn encryption(about: &str, key: &str) -> Finding {
    let says = format!("the topic is encrypted with {}", printable(key, 120));
    Finding::warn(
        about,
        "encryption",
        says,
        "The identity of secretwatch needs kms:GenerateDataKey and kms:Decrypt on that key, and the key of AWS's own \
         (alias/aws/sns) cannot be used from other accounts. Only a message shows it: secretwatch test-alert.",
    )
}
