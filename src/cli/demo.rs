//! `secretwatch demo`: the ordinary daemon, against an account of straw in the same process.

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

const OPENING: &str = "\
A simulated AWS account is running in this process, and secretwatch is watching it.
Its events become visible as late as in life, only sixty times sooner, and the
quota is AWS's own. Applications are reading their secrets; that is an ordinary
day. In a few seconds somebody will list the secrets and read twenty of them.
What a topic's subscribers are sent is printed here. Ctrl-C ends it.
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
    let page = config.status.as_ref().map_or(String::new(), |it| format!("The page: http://{}/\n", it.listen));
    if format == Format::Text && writeln!(std::io::stdout(), "{OPENING}{page}").is_err() {
        // Nobody reads, and that is all that it is for.
        return Ok(Exit::Done);
    }
    let story = tokio::spawn({
        let (demo, stop) = (demo.clone(), stop.clone());
        async move { demo.play(stop).await }
    });
    let mails = tokio::spawn(print_mails(demo.clone(), format));
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

/// Prints what the topic's subscribers are sent, as it is published.
async fn print_mails(demo: Demo, format: Format) {
    for seen in 0.. {
        let message = demo.account.message_after(seen).await;
        if print_mail(&message, format).is_err() {
            // Nobody reads any more.
            return;
        }
    }
}

fn print_mail(message: &Message, format: Format) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match (format, &message.subject) {
        (Format::Text, Some(subject)) => {
            writeln!(out, "── mail, {} ──\nSubject: {subject}\n\n{}\n", message.at, message.body)?
        }
        (Format::Text, None) => writeln!(out, "── mail, {} ──\n\n{}\n", message.at, message.body)?,
        (Format::Json, _) => writeln!(out, "{}", message.body)?,
    }
    out.flush()
}
