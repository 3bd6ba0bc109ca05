//! The ways out: a closed list, because what a notifier may be is part of the configuration's contract.
//!
//! A sender makes one attempt at a time and says how it ended, as an [`Outcome`]. It neither retries nor remembers;
//! each attempt ends by itself within a stated time.

use std::error::Error;
use std::time::Duration;

use super::format::{Letter, Unwritable};
use super::sns::Sns;
use super::stdout::Stdout;
use super::webhook::Webhook;
use crate::config::{self, Target};
use crate::model::WallTime;

/// Longest error text that is kept, in characters.
const ERROR_MAX: usize = 300;

/// How one attempt ended: what the dispatcher may do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has the alert.
    Accepted,
    /// It may work later without anybody doing anything; so it is for every alert, since it is about the receiver.
    Transient {
        /// What went wrong, in one line, without secrets.
        error: String,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// This alert was refused, and will be until somebody changes something.
    Permanent {
        /// What went wrong, in one line, without secrets.
        error: String,
    },
}

impl Outcome {
    pub(super) fn transient(error: impl AsRef<str>) -> Self {
        Self::Transient { error: one_line(error.as_ref()), retry_after: None }
    }

    /// With the receiver's wish to be left alone for a while.
    pub(super) fn after(self, pause: Option<Duration>) -> Self {
        match self {
            Self::Transient { error, .. } => Self::Transient { error, retry_after: pause },
            other => other,
        }
    }

    /// The same, and what came of it by way of `notifier` besides.
    pub(super) fn and_by(self, notifier: &str, other: &Self) -> Self {
        let besides = match other {
            Self::Accepted => return self,
            Self::Transient { error, .. } | Self::Permanent { error } => error,
        };
        let both = |error: String| one_line(&format!("{error}; by way of {notifier}: {besides}"));
        match self {
            Self::Accepted => self,
            Self::Transient { error, retry_after } => Self::Transient { error: both(error), retry_after },
            Self::Permanent { error } => Self::Permanent { error: both(error) },
        }
    }

    pub(super) fn permanent(error: impl AsRef<str>) -> Self {
        Self::Permanent { error: one_line(error.as_ref()) }
    }
}

/// A notifier's way out.
#[derive(Debug)]
pub enum Sender {
    /// Publishes to an SNS topic.
    Sns(Sns),
    /// Posts to an HTTP endpoint.
    Webhook(Box<Webhook>),
    /// Prints a line.
    Stdout(Stdout),
    /// Answers by a script.
    #[cfg(test)]
    Scripted(super::dispatch::tests::Script),
}

/// A notifier that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up notifier {notifier:?}: {problem}")]
pub struct BadNotifier {
    notifier: String,
    problem: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BadNotifier {
    pub(super) fn new(notifier: &str, problem: &'static str, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self { notifier: notifier.to_owned(), problem, source }
    }
}

impl Sender {
    /// The sender for `notifier`. `sns` makes a client for the Region it is given; it is asked for SNS topics only, and
    /// its clients must not retry by themselves, since the outbox does.
    pub fn new(
        notifier: &config::Notifier,
        sns: impl FnOnce(&str) -> aws_sdk_sns::Client,
    ) -> Result<Self, BadNotifier> {
        Ok(match &notifier.target {
            Target::Sns { topic_arn, region, format } => Self::Sns(Sns::new(topic_arn, region, *format, sns(region))),
            Target::Webhook(webhook) => Self::Webhook(Box::new(Webhook::new(&notifier.name, webhook)?)),
            Target::Stdout => Self::Stdout(Stdout::new(&notifier.name)?),
        })
    }

    /// Makes one attempt, at `now`, to hand `letter` over.
    pub async fn send(&self, letter: &Letter<'_>, now: WallTime) -> Outcome {
        match self {
            Self::Sns(sns) => sns.send(letter).await,
            Self::Webhook(webhook) => webhook.send(letter, now).await,
            Self::Stdout(stdout) => stdout.send(letter).await,
            #[cfg(test)]
            Self::Scripted(script) => script.send(letter).await,
        }
    }
}

impl Sender {
    /// Whether several alerts may share one message: where people read it. Programs get each alert by itself, and so do
    /// FIFO topics, whose order is by incident.
    #[must_use]
    pub(super) fn shares(&self) -> bool {
        match self {
            Self::Sns(sns) => sns.shares(),
            Self::Webhook(webhook) => webhook.shares(),
            Self::Stdout(_) => false,
            #[cfg(test)]
            Self::Scripted(script) => script.shares,
        }
    }
}

impl From<Unwritable> for Outcome {
    /// It will be until somebody mends a template.
    fn from(error: Unwritable) -> Self {
        Self::permanent(with_causes(&error))
    }
}

/// An error and its causes in one line, each cause once: many libraries repeat theirs.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

fn one_line(text: &str) -> String {
    crate::model::printable(text.trim(), ERROR_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SnsFormat;
    use crate::model::Severity;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    fn failure(texts: &[&'static str]) -> Option<Box<Failure>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Failure { text, source: failure(rest) }))
    }

    #[test]
    fn causes_are_told_in_one_line_and_not_twice() {
        for (texts, expected) in [
            (&["a"][..], "a"),
            (&["a", "b", "c"], "a: b: c"),
            (&["cannot connect: refused", "refused"], "cannot connect: refused"),
        ] {
            assert_eq!(with_causes(&*failure(texts).unwrap()), expected);
        }
    }

    #[test]
    fn each_target_has_its_sender_and_only_topics_need_a_client() {
        let notifier = |target| config::Notifier {
            name: "n".to_owned(),
            target,
            min_severity: Severity::Info,
            send_resolved: true,
            retry_for: Duration::from_secs(1),
            fallback: None,
        };
        let stdout = Sender::new(&notifier(Target::Stdout), |_| panic!("no topic")).unwrap();
        assert!(matches!(stdout, Sender::Stdout(_)));

        let topic = Target::Sns {
            topic_arn: "arn:aws:sns:us-east-2:111122223333:SecurityAlarms".to_owned(),
            region: "us-east-2".to_owned(),
            format: SnsFormat::Text,
        };
        let sns = Sender::new(&notifier(topic), |region| {
            assert_eq!(region, "us-east-2");
            let version = aws_sdk_sns::config::BehaviorVersion::latest();
            aws_sdk_sns::Client::from_conf(aws_sdk_sns::Config::builder().behavior_version(version).build())
        });
        assert!(matches!(sns.unwrap(), Sender::Sns(_)));
    }
}
