//! `secretwatch demo`: the ordinary daemon, against an account of straw in the same process.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use tokio_util::sync::CancellationToken;

use super::exit::{self, Exit};
use super::run::{runtime, stop_on_signals};
use super::{Args, Format, log};
use crate::aws::Aws;
use crate::config::{self, Config, Environment};
use crate::daemon::{self, Outside};
use crate::demo::{self, Demo, Message};
use crate::model::Alert;

const OPENING: &str = "\
A simulated AWS account is running in this process, and secretwatch is watching it.
Its events become visible as late as in life, only sixty times sooner, and the
quota is AWS's own. Behind it lies an ordinary day: applications have read their
secrets. In a few seconds somebody will list the secrets and read twenty of them.
Look at the page, and watch it happen there; what is mailed is printed here, too.
";

const CLOSING: &str = "\
That was the attack. Life goes on, and the incidents stay open for a while; each
time there is news of them, there is one more mail.
";

/// Where the page is, if that is free; otherwise wherever something is.
const USUAL: (&str, u16) = ("127.0.0.1", 9474);

/// Plays until a signal.
pub(super) fn demo(args: &Args, format: Format) -> Result<Exit, Exit> {
    log::start(args.log_format, args.verbose, true);
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    runtime.block_on(play(format, stop))
}

async fn play(format: Format, stop: CancellationToken) -> Result<Exit, Exit> {
    let told = |error: std::io::Error| {
        exit::tell(&error);
        Exit::Software
    };
    let folder = tempfile::tempdir().map_err(told)?;
    let demo = demo::start().await.map_err(told)?;
    let config = configuration(&demo, folder.path(), format)?;
    let page = config.status.as_ref().map_or("there is none".to_owned(), |it| format!("http://{}/", it.listen));
    if format == Format::Text && writeln!(std::io::stdout(), "The page: {page}\n\n{OPENING}").is_err() {
        // Nobody reads, and that is all that it is for.
        return Ok(Exit::Done);
    }
    let story = tokio::spawn({
        let (demo, stop) = (demo.clone(), stop.clone());
        async move { demo.play(stop).await }
    });
    let mails = tokio::spawn(print_messages(demo.clone(), format, page));
    let ended = daemon::run(&config, &Outside::machine(aws(&demo).await), stop).await;
    mails.abort();
    story.abort();
    demo.account.stop().await;
    ended.map_err(|error| exit::fatal(&error))?;
    Ok(Exit::Done)
}

/// The demo's own configuration, with a throw-away state directory.
fn configuration(demo: &Demo, folder: &Path, format: Format) -> Result<Config, Exit> {
    let listen = free_address().map(|at| at.to_string()).unwrap_or_default();
    let state_dir = folder.display().to_string();
    let mut text = format!("state_dir = {state_dir:?}\n{}\n[status]\nlisten = {listen:?}\n", demo.config_toml);
    if format == Format::Json {
        text = text.replace("format = \"text\"", "format = \"json\"");
    }
    config::check(&text, "the demo's configuration", &Environment::default()).map_err(|problems| {
        exit::tell(&problems);
        Exit::Configuration
    })
}

/// An address of which somebody may listen; none, if there is none.
fn free_address() -> Option<SocketAddr> {
    let usual = TcpListener::bind(USUAL).or_else(|_| TcpListener::bind((USUAL.0, 0)));
    usual.and_then(|it| it.local_addr()).ok()
}

/// The SDK, aimed at the account of straw whatever the environment says.
async fn aws(demo: &Demo) -> Aws {
    let key = &demo.access_key;
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(&demo.url)
        .region(Region::new(demo.region.clone()))
        .credentials_provider(Credentials::new(&key.id, &key.secret, None, None, "demo"));
    Aws::from_loader(loader).await
}

/// Prints what the topics' subscribers are sent, as it is published. What a program gets comes after the mail about the
/// same alert, and the first time with where to look now that all has been seen.
async fn print_messages(demo: Demo, format: Format, page: String) {
    let (mut for_programs, mut mailed) = (Vec::<Message>::new(), BTreeSet::new());
    let mut closing = Some(format!("{CLOSING}The page: {page}\nCtrl-C ends the demonstration.\n"));
    for seen in 0.. {
        let message = demo.account.message_after(seen).await;
        let is_for_programs = message.topic_arn == demo.program_topic_arn;
        let printed = match (format, is_for_programs) {
            (Format::Json, true) => Ok(()),
            (Format::Json, false) => print_line(&message.body),
            (Format::Text, true) => {
                for_programs.push(message);
                Ok(())
            }
            (Format::Text, false) => {
                mailed.insert(alert_id(&message));
                print_mail(&message)
            }
        };
        let (ready, waiting) = for_programs.into_iter().partition(|message| mailed.contains(&alert_id(message)));
        for_programs = waiting;
        let ready: Vec<Message> = ready;
        let printed = printed.and_then(|()| ready.iter().try_for_each(|message| print_json(message, closing.take())));
        if printed.is_err() {
            // Nobody reads any more.
            return;
        }
    }
}

fn alert_id(message: &Message) -> Option<String> {
    message.attributes.get("id").cloned()
}

fn print_line(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn print_mail(message: &Message) -> std::io::Result<()> {
    let subject = message.subject.as_ref().map(|subject| format!("Subject: {subject}\n")).unwrap_or_default();
    print_line(&format!("── mail, {} ──\n{subject}\n{}\n", message.at, message.body))
}

/// An alert as programs get it.
fn print_json(message: &Message, closing: Option<String>) -> std::io::Result<()> {
    let alert: Alert = serde_json::from_str(&message.body)?;
    let alert = serde_json::to_string_pretty(&alert)?;
    print_line(&format!("── the same for a program, {} ──\n{alert}\n\n{}", message.at, closing.unwrap_or_default()))
}
