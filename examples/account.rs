//! The simulated AWS account as a process of its own, for clients that are not written in Rust.
//!
//! The first line of output is JSON: where it listens and what it holds. It runs until standard input closes, and then
//! prints one more line: what was published to it, and whether its LookupEvents quota was strained. Meanwhile a line of
//! input is an event that happens: `{"secret": "prod/db", "role": "apps/checkout", "ago": 60}`, where `session`, `agent`,
//! `from` and `denied` can be said too; its id is printed. After `{"deny_lookups": true}` nobody may look.
//!
//! `cargo run --example account -- --events 1000 --port 0`

use std::io::BufRead;
use std::time::Duration;

use clap::Parser;
use secretwatch::demo::{AWS_QUOTA, Account, Caller, Fault, Injection, Lateness, Record, Settings};
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
    until_input_closes(&account, &number).await;
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
async fn until_input_closes(account: &Account, number: &str) {
    let (closed, wait) = tokio::sync::oneshot::channel();
    let (account, number) = (account.clone(), number.to_owned());
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str::<Value>(&line) {
                Ok(said) => println!("{}", happen(&account, &number, &said)),
                Err(error) => println!("{}", json!({ "error": error.to_string() })),
            }
        }
        let _ = closed.send(());
    });
    let _ = wait.await;
}

/// Lets happen what a line of input says.
fn happen(account: &Account, number: &str, said: &Value) -> Value {
    let text = |key: &str, otherwise: &str| said[key].as_str().unwrap_or(otherwise).to_owned();
    if said["deny_lookups"] == true {
        account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
        return json!({});
    }
    let at = account.clock().now().second().minus(said["ago"].as_i64().unwrap_or(0));
    let caller = Caller::role(number, &text("role", "apps/checkout"), &text("session", "i-0c0ffee"));
    let record = Record::read(&text("secret", "prod/db"))
        .by(caller)
        .from(&text("from", "192.0.2.7"))
        .user_agent(&text("agent", "aws-cli/2.17.32"))
        .at(at)
        .late_by(Duration::ZERO);
    json!({ "id": account.put(&if said["denied"] == true { record.denied() } else { record }) })
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
