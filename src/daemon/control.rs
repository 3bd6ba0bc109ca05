//! The local socket by which other processes of this machine ask the daemon what it knows.
//!
//! It lies in the state directory, beside the store that it speaks for, and is open to the daemon's own user and to
//! root. A client writes a request, one line of JSON, and reads a [`Reply`], another line; then the next, if it likes.
//! What the lines say is `protocol`'s business.
//!
//! Nothing that comes through here may end the daemon: what makes no sense is refused, sizes, times and numbers are
//! bounded, and what fails while an answer is looked for is told to whoever asked. The other way round [`Control`] ends
//! with the daemon and takes the socket away. One that a killed daemon left behind is replaced: whoever opens the store
//! holds its lock, so nobody can be listening there.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::protocol::{RefusalCode, Reply, Request, refusal};
use crate::model::{WallClock, WallTime};
use crate::store::{Keeper, StoreError};

/// The socket, in the state directory.
const SOCKET: &str = "control";

/// Where it is made, out of everybody's reach: short, since the way there has to fit a socket's address, too.
const WORKSHOP: &str = ".new";

/// Bytes in the address of a socket, by Linux.
const MAX_ADDRESS: usize = 107;

/// Bytes in one request.
const MAX_REQUEST: u64 = 16 * 1024;

/// Bytes in one reply.
pub const MAX_REPLY: u64 = 16 * 1024 * 1024;

/// Clients that are listened to at a time. More wait until one of them has gone.
const MAX_CLIENTS: usize = 16;

/// How long a client may take for its next request, and for taking in a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait when the system lets nobody connect.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the socket of the daemon lies that keeps `state_dir`.
#[must_use]
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join(SOCKET)
}

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    #[error(
        "the path of its socket, {}, has more than {MAX_ADDRESS} bytes, which is what an address can hold; a shorter \
         state_dir would do",
        .0.display()
    )]
    TooLong(PathBuf),
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// The socket. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in `state_dir`, whose lock the caller holds.
    pub(super) fn open(state_dir: &Path) -> Result<Self, ControlError> {
        let path = socket(state_dir);
        if path.as_os_str().len() > MAX_ADDRESS {
            return Err(ControlError::TooLong(path));
        }
        // Whoever made `state_dir` may have left it open to all, and a socket is open to all between its making and its
        // being closed to them.
        let workshop = state_dir.join(WORKSHOP);
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| ControlError::Io { doing, path, source }
        };
        remove_folder(&workshop).map_err(io("remove", &workshop))?;
        DirBuilder::new().mode(0o700).create(&workshop).map_err(io("create", &workshop))?;
        let made = workshop.join("s");
        let listener = UnixListener::bind(&made).map_err(io("listen on", &made))?;
        std::fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(io("close to others", &made))?;
        std::fs::rename(&made, &path).map_err(io("rename a socket to", &path))?;
        let control = Self { listener, path };
        std::fs::remove_dir(&workshop).map_err(io("remove", &workshop))?;
        Ok(control)
    }

    /// Answers until told to stop.
    pub(super) async fn serve(
        self,
        keeper: Keeper,
        clock: WallClock,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(gone) = clients.join_next() => {
                    if let Err(error) = gone {
                        tracing::error!(%error, "answering a question failed");
                    }
                }
                arrived = self.listener.accept(), if clients.len() < MAX_CLIENTS => match arrived {
                    Ok((stream, _)) => {
                        clients.spawn(Client::of(stream, keeper.clone(), clock.clone()).listen(stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a client could not be let in; the next try is in a second");
                        stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                    }
                },
            }
        }
        drop(self);
        while clients.join_next().await.is_some() {}
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // An error means that it is gone already, and the next daemon replaces it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One that asks.
struct Client {
    stream: UnixStream,
    keeper: Keeper,
    clock: WallClock,
}

/// What a client sent.
enum Sent {
    Request(Vec<u8>),
    TooMuch,
    /// Nothing more, or nothing in time.
    Nothing,
}

impl Client {
    fn of(stream: UnixStream, keeper: Keeper, clock: WallClock) -> Self {
        Self { stream, keeper, clock }
    }

    /// Answers one request after the other, until there are no more or it is told to stop.
    async fn listen(self, stop: CancellationToken) {
        let Self { stream, keeper, clock } = self;
        let (reading, mut writing) = stream.into_split();
        let mut reading = BufReader::new(reading);
        loop {
            let sent = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                sent = tokio::time::timeout(PATIENCE, next(&mut reading)) => sent.unwrap_or(Sent::Nothing),
            };
            let (reply, is_last) = match sent {
                Sent::Nothing => return,
                Sent::TooMuch => (Reply::refused(too_long()), true),
                Sent::Request(request) => (reply(&request, &keeper, clock.now()).await, false),
            };
            let written = tokio::time::timeout(PATIENCE, writing.write_all(&reply.line())).await;
            if is_last || !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }
}

async fn next(reading: &mut BufReader<OwnedReadHalf>) -> Sent {
    let mut line = Vec::new();
    match reading.take(MAX_REQUEST + 1).read_until(b'\n', &mut line).await {
        Ok(0) | Err(_) => Sent::Nothing,
        Ok(_) if line.len() as u64 > MAX_REQUEST => Sent::TooMuch,
        Ok(_) => Sent::Request(line),
    }
}

fn too_long() -> super::protocol::Refusal {
    refusal(RefusalCode::TooLong, format!("a request has at most {MAX_REQUEST} bytes"))
}

async fn reply(request: &[u8], keeper: &Keeper, now: WallTime) -> Reply {
    let says = match Request::read(request) {
        Err(refusal) => return Reply::refused(refusal),
        // A job that fails ends the ledger's thread, as it must where something was to be written.
        Ok(Request::Ask(ask)) => keeper.run(move |ledger| Ok(ask.answer(ledger, now))).await.and_then(|says| says),
        Ok(Request::Order(order)) => {
            tracing::info!(order = order.request(), "asked for by another command");
            let done = keeper.run(move |ledger| ledger.attempt(|ledger| order.perform(ledger, now))).await;
            done.and_then(|says| says)
        }
    };
    let reply = match says {
        Ok(says) => Reply::of(says),
        Err(error) => Reply::refused(refusal(RefusalCode::Store, error.to_string())),
    };
    match reply.line().len() as u64 {
        0..=MAX_REPLY => reply,
        _ => Reply::refused(refusal(RefusalCode::TooLong, format!("the answer has more than {MAX_REPLY} bytes"))),
    }
}

#[cfg(test)]
mod tests;
