//! `secretwatch` and `secretwatch --once`: the daemon, and one pass of it.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::exit::{self, Exit};
use super::{Args, load, log};
use crate::aws::Aws;
use crate::config::{self, Config, Environment, Problem};
use crate::daemon::{self, Outside, Reloads, Supervisor};

/// Threads for the runtime: the work is waiting, and the store has a thread of its own.
const WORKERS: usize = 2;

/// Watches until a signal.
pub(super) fn daemon(args: &Args) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    log::start(args.log_format, args.verbose, false);
    tell_warnings(&config);
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let reloads = reloads_on_hangup(&runtime, args)?;
    let ended = runtime.block_on(async {
        let outside = Outside::machine(Aws::load().await).as_a_service(Supervisor::of_process(), reloads);
        daemon::run(&config, &outside, stop).await
    });
    ended.map_err(|error| exit::fatal(&error))?;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// One pass.
pub(super) fn once(args: &Args) -> Result<Exit, Exit> {
    let config = load(args.config.as_deref())?;
    log::start(args.log_format, args.verbose, false);
    tell_warnings(&config);
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let ended = runtime
        .block_on(async { daemon::run_once(&config, &Outside::machine(Aws::load().await), args.max_time, stop).await });
    let once = ended.map_err(|error| exit::fatal(&error))?;
    if once.undelivered > 0 {
        tracing::warn!(deliveries = once.undelivered, "not everything was accepted; the next run goes on");
    }
    Ok(once.into())
}

/// What `check` would have said, for whoever did not ask.
fn tell_warnings(config: &Config) {
    for Problem { place, key, text, .. } in &config.warnings {
        tracing::warn!(%place, key, "configuration: {text}");
    }
}

pub(super) fn runtime() -> Result<Runtime, Exit> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().map_err(|error| {
        exit::tell(&error);
        Exit::Software
    })
}

/// A token that the first SIGTERM or SIGINT cancels. The second ends the process at once: everything that matters is
/// durable at every moment.
pub(super) fn stop_on_signals(runtime: &Runtime) -> Result<CancellationToken, Exit> {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    let mut term = listen(runtime, SignalKind::terminate())?;
    let mut int = listen(runtime, SignalKind::interrupt())?;
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if cancelled.is_cancelled() {
                std::process::exit(0);
            }
            tracing::info!("stopping; once more to stop at once");
            cancelled.cancel();
        }
    });
    Ok(stop)
}

/// Each SIGHUP is a wish that the configuration be read again, from where it was read first.
fn reloads_on_hangup(runtime: &Runtime, args: &Args) -> Result<Reloads, Exit> {
    let mut hangups = listen(runtime, SignalKind::hangup())?;
    let (wish, wishes) = watch::channel(());
    runtime.spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("hung up: reading the configuration again");
            wish.send_modify(|()| {});
        }
    });
    let path = args.config.clone();
    Ok(Reloads::new(wishes, move || config::load(path.as_deref(), &Environment::of_process()).inspect(tell_warnings)))
}

fn listen(runtime: &Runtime, kind: SignalKind) -> Result<Signal, Exit> {
    let _guard = runtime.enter();
    signal(kind).map_err(|error| {
        exit::tell(&error);
        Exit::Software
    })
}
