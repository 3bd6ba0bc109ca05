//! Prints what is sent in every format for a sample of every kind of alert, as JSON lines: `format`, `kind`, `subject`
//! where there is one, `content_type` where there is one, and the body as `text`.
//!
//!     cargo run --example formats
//!
//! After the samples come alerts whose names were chosen by somebody who knows that they will be shown, and one that is
//! as long as alerts get. `docs/formats.md` shows some of this, and `tests/interop` has others' programs read it.

use std::io::{self, Write};

use secretwatch::config::{RoutingKey, SnsFormat, WebhookFormat};
use secretwatch::model::{Alert, sample_alerts};
use secretwatch::notify::format::{Letter, body, message};
use serde_json::{Value, json};

/// The topic that messages are for.
const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:SecurityAlarms";

/// Names that would be a mention, a link, markup, or the end of something.
const HOSTILE: &str = "<!channel> & *b* _i_ `c` ```d``` [e](https://f.example) \"g\" \\ {{h}} </script> ]]> \u{1f511}";

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let samples = sample_alerts();
    let hostile: Vec<Alert> = samples.iter().map(|alert| spoiled(alert, HOSTILE)).collect();
    for alert in samples.iter().chain(&hostile).chain([&longest(&samples)]) {
        print(&mut out, &Letter::of(alert))?;
    }
    let many: Vec<Alert> =
        (0..20).map(|n| Alert { id: format!("{n:032x}"), ..spoiled(&samples[0], HOSTILE) }).collect();
    print(&mut out, &Letter { alert: &many[0], others: &many[1..], fallback_for: Some("chat") })
}

/// `letter` in every format; one that tells of several alerts, in those for people.
fn print(out: &mut impl Write, letter: &Letter<'_>) -> io::Result<()> {
    let key = RoutingKey::new("0123456789abcdef0123456789abcdef".to_owned(), ("routing_key_env", "KEY".to_owned()));
    let webhooks = [
        WebhookFormat::Json,
        WebhookFormat::Slack,
        WebhookFormat::Teams,
        WebhookFormat::PagerDuty(key),
        WebhookFormat::Ocsf,
        WebhookFormat::Alertmanager,
    ];
    let is_for = |people: bool| people || letter.others.is_empty();
    for format in webhooks {
        if is_for(matches!(format, WebhookFormat::Slack | WebhookFormat::Teams)) {
            let body = body(&format, letter).map_err(io::Error::other)?;
            let rest = json!({ "content_type": body.content_type, "text": body.text });
            line(out, letter, format.word(), rest)?;
        }
    }
    for (word, format) in SnsFormat::ALL {
        if is_for(format == SnsFormat::Text) && word != "json" {
            let message = message(format, letter, TOPIC, "us-east-2").map_err(io::Error::other)?;
            line(out, letter, word, json!({ "subject": message.subject, "text": message.text }))?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, letter: &Letter<'_>, format: &str, mut rest: Value) -> io::Result<()> {
    rest["format"] = format.into();
    rest["kind"] = letter.alert.kind.word().into();
    rest["id"] = letter.alert.id.as_str().into();
    writeln!(out, "{rest}")
}

/// `alert` with `text` wherever a record or an operator may put one.
fn spoiled(alert: &Alert, text: &str) -> Alert {
    let mut alert = alert.clone();
    for access in &mut alert.accesses {
        access.event = text.to_owned();
        access.principal.name = Some(text.to_owned());
        access.principal.session = Some(text.to_owned());
        access.principal.arn = Some(format!("arn:{text}"));
        access.access_key_id = Some(text.to_owned());
        access.user_agent = Some(text.to_owned());
        access.error = Some(text.to_owned());
        access.error_message = Some(text.to_owned());
        access.source_ip = Some(text.to_owned());
        if let Some(secret) = &mut access.secret {
            secret.name = text.to_owned();
        }
    }
    alert.group.insert("source_ip".to_owned(), Some(text.to_owned()));
    alert.rule.description = Some(text.to_owned());
    alert.reason = alert.reason.map(|_| text.to_owned());
    alert.summary = alert.summarise();
    alert
}

/// As many accesses as an alert holds.
fn longest(samples: &[Alert]) -> Alert {
    let mut alert = samples[1].clone();
    let accesses: Vec<_> = alert.accesses.iter().cycle().take(200).cloned().collect();
    (alert.accesses_total, alert.accesses) = (accesses.len() as u64, accesses);
    alert.summary = alert.summarise();
    alert
}
