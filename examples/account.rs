//! The simulated AWS account as a process of its own, for clients that are not written in Rust.
//!
//! The first line of output is JSON: where it listens and what it holds. It runs until standard input closes, and then
//! prints one more line: what was published to it, and whether its LookupEvents quota was strained.
//!
//! `cargo run --example account -- --events 1000 --port 0`

use std::time::Duration;

use clap::Parser;
use secretwatch::demo::{AWS_QUOTA, Account, Caller, Lateness, Record, Settings};
use serde_json::{Value, json};

/// A simulated AWS account on loopback, until standard input closes.
#[derive(Parser)]
struct Options {
    /// How many events its history holds, spread over the past fifty minutes
    #[arg(long, default_value_t = 1_000)]
    events: i64,
    /// Where it listens; 0: any free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// LookupEvents requests a second for each account and Region; 0: as many as you like
    #[arg(long, default_value_t = AWS_QUOTA)]
    quota: f64,
    /// New events become visible as late as at AWS, divided by this; 0: at once
    #[arg(long, default_value_t = 0.0)]
    hurry: f64,
    /// The share of events that are listed twice
    #[arg(long, default_value_t = 0.0)]
    repeats: f64,
    /// Seconds by which the listing is out of order
    #[arg(long, default_value_t = 0)]
    disorder: u64,
}

/// The secrets that events are about, and that are in the vault.
const SECRETS: [&str; 12] = [
    "interop/checkout/postgres",
    "interop/checkout/redis",
    "interop/payments/stripe-key",
    "interop/payments/bank-cert",
    "interop/reports/warehouse",
    "interop/mailer/smtp",
    "interop/search/opensearch",
    "interop/ledger/hsm-pin",
    "interop/identity/jwt-key",
    "interop/partners/sftp",
    "interop/backup/passphrase",
    "interop/vpn/preshared-key",
];

/// How long before the start the newest event happened, and over how long they are spread.
const NEWEST_SECS: i64 = 5;
const SPREAD_SECS: i64 = 3_000;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let settings = settings(&options);
    let (number, region) = (settings.account.clone(), settings.region.clone());
    let account = Account::start(settings).await?;
    let secrets: Vec<_> = SECRETS.iter().map(|name| json!({ "name": name, "arn": account.add_secret(name) })).collect();
    let events: Vec<_> = (0..options.events).map(|index| put(&account, &number, index, options.events)).collect();
    let topic = account.add_topic("security-alerts");
    account.subscribe(&topic, "email", "confirmed@example.com", true);
    account.subscribe(&topic, "email", "pending@example.com", false);
    let role = "arn:aws:iam::444455556666:role/secretwatch";
    account.guard_role(role, "interop");
    println!(
        "{}",
        json!({
            "url": account.url(), "account": number, "region": region, "topic_arn": topic,
            "fifo_topic_arn": account.add_topic("security-alerts.fifo"),
            "role_arn": role, "external_id": "interop", "secrets": secrets, "events": events,
        })
    );
    until_input_closes().await;
    println!("{}", summary(&account));
    account.stop().await;
    Ok(())
}

fn settings(options: &Options) -> Settings {
    let lateness =
        if options.hurry > 0.0 { Lateness::observed().scaled(1.0 / options.hurry) } else { Lateness::none() };
    Settings {
        port: options.port,
        quota: (options.quota > 0.0).then_some(options.quota),
        lateness,
        repeats: options.repeats,
        disorder: Duration::from_secs(options.disorder),
        ..Settings::default()
    }
}

/// Puts one event of `count`: mostly reads by roles, every seventh denied, every eleventh a description.
fn put(account: &Account, number: &str, index: i64, count: i64) -> Value {
    let at = account.clock().now().second().minus(NEWEST_SECS + index * SPREAD_SECS / count);
    let secret = SECRETS[usize::try_from(index).unwrap_or(0) % SECRETS.len()];
    let name = if index % 11 == 10 { "DescribeSecret" } else { "GetSecretValue" };
    let caller = match index % 3 {
        0 => Caller::user(number, "ada"),
        _ => Caller::role(number, "apps/checkout", "i-0c0ffee"),
    };
    let record = Record::new(name).secret(secret).by(caller).at(at).late_by(Duration::ZERO);
    let denied = index % 7 == 6;
    let id = account.put(&if denied { record.denied() } else { record });
    json!({ "id": id, "name": name, "secret": secret, "time": at.0, "denied": denied })
}

/// Reads to the end of standard input on a thread of its own: that read cannot be cancelled, and nobody needs it to be.
async fn until_input_closes() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whether input ended well or with an error, it has ended.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let _ = wait.await;
}

fn summary(account: &Account) -> Value {
    let messages: Vec<_> = account
        .messages()
        .into_iter()
        .map(|message| {
            json!({
                "topic_arn": message.topic_arn, "message_id": message.message_id, "subject": message.subject,
                "body": message.body, "attributes": message.attributes, "duplicates": message.duplicates,
            })
        })
        .collect();
    json!({ "messages": messages, "calls": account.calls().len(), "strained": account.strained(2) })
}
