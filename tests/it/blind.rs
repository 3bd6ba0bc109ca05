//! What a blind source's alert says: why, and the way out.

use std::process::Command;

use secretwatch::demo::{Fault, Injection};
use serde_json::Value;

use crate::rig::{Program, Rig, Told};

/// What the receiver is told when `program` cannot read.
async fn blind(rig: &Rig, program: &Program) -> Value {
    program.within("blind", rig.receiver.until(|requests| Told::by(requests).has("blind"))).await;
    rig.told().one("blind").clone()
}

/// What it is told when every lookup meets with `fault`.
async fn blinded_by(fault: Fault) -> Value {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    rig.account.inject(Injection::on("LookupEvents", fault).until_lifted());
    let daemon = rig.daemon();
    blind(&rig, &daemon).await
}

/// The alert names its trouble, and `reason` and `advice` say these.
#[track_caller]
fn says(alert: &Value, trouble: &str, reason: &str, advice: &str) {
    let text = |key: &str| alert[key].as_str().unwrap_or_default();
    assert_eq!(text("trouble"), trouble, "{alert:#}");
    assert!(text("reason").contains(reason), "{alert:#}");
    assert!(text("advice").contains(advice), "{alert:#}");
    assert!(text("summary").contains(reason), "{alert:#}");
    assert_eq!((text("schema"), &alert["rule"]["severity"]), ("secretwatch.alert.v1", &Value::from("high")));
}

#[tokio::test]
async fn a_denied_source_names_the_permission() {
    let alert = blinded_by(Fault::denied()).await;
    says(&alert, "denied", "AWS does not allow the lookup: AccessDeniedException", "Allow cloudtrail:LookupEvents");
}

#[tokio::test]
async fn credentials_that_have_expired_are_no_lack_of_permission() {
    let alert = blinded_by(Fault::error(400, "ExpiredTokenException", "the security token has expired")).await;
    says(&alert, "no_credentials", "ExpiredTokenException", "sts:AssumeRole");
}

#[tokio::test]
async fn a_throttled_source_says_so_while_it_still_waits() {
    let alert = blinded_by(Fault::throttled()).await;
    says(&alert, "throttled", "AWS throttles the lookups", "the event LookupEvents");
}

#[tokio::test]
async fn an_account_that_does_not_answer_is_unreachable() {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    let config = rig.write_config();
    let mut command: Command = rig.command(&["--config"]);
    rig.account.stop().await;
    let daemon = Program::start(command.arg(config));
    says(&blind(&rig, &daemon).await, "unreachable", "onnection refused", "firewall");
    says(&blinded_by(Fault::unavailable()).await, "unreachable", "ServiceUnavailable", "health.aws.amazon.com");
}

#[tokio::test]
async fn a_mail_says_why_and_what_to_do() {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    let topic = rig.account.add_topic("security");
    rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    rig.tables(format!("{}[notify.mail]\ntype = \"sns\"\ntopic_arn = \"{topic}\"\n", crate::rig::EVERY_READ));
    let daemon = rig.daemon();
    let mail = daemon.within("a mail", rig.account.message_after(0)).await;
    let words = mail.body.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in
        ["AWS does not allow the lookup", "What to do: 1. Allow cloudtrail:LookupEvents", "journalctl -u secretwatch"]
    {
        assert!(words.contains(text), "{}", mail.body);
    }
}
