//! Asks the daemon what it knows; where none runs, the store.
//!
//! Commands that look into the state say what they want to know as an [`Ask`]. If a daemon listens on the socket in the
//! state directory, it answers. If nobody does, the store is looked at here, from a copy, and gives the same answer;
//! and if somebody uses it who does not listen, that is told. Nothing is changed either way.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::{self, Exit};
use crate::config::Config;
use crate::daemon::{self, Answer, Ask, MAX_REPLY, Refusal, RefusalCode, Reply, Says};
use crate::model::WallTime;
use crate::store::{Ledger, StoreError};

/// How often both places are looked at: what holds the store may have begun to listen by the second time, or ended.
const LOOKS: usize = 2;

/// How long the daemon may take to answer: its ledger does one thing at a time, and a page may be in hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the daemon of `config`, or else its store, says to `ask`.
pub(super) fn ask(config: &Config, ask: &Ask) -> Result<Answer, Exit> {
    let state_dir = &config.state_dir;
    for _ in 0..LOOKS {
        if let Some(says) = from_daemon(state_dir, ask)? {
            return match says {
                Says::Answer(answer) => Ok(answer),
                Says::Refusal(refusal) => Err(refused(&refusal)),
            };
        }
        match Ledger::view(state_dir, daemon::settings_of_view(config), WallTime::now()) {
            Err(StoreError::Locked(_)) => {}
            viewed => {
                let answer = viewed.and_then(|view| ask.answer(view.ledger(), WallTime::now()));
                return answer.map_err(|error| untold(&error, state_dir));
            }
        }
    }
    eprintln!(
        "secretwatch: {} is in use, and whoever uses it does not answer: a run of --once, which ends soon, or a daemon \
         that could not make its socket there, as its log says; ask again later, or stop it and ask then",
        state_dir.display()
    );
    Err(Exit::Locked)
}

/// What a daemon says, if one listens.
fn from_daemon(state_dir: &Path, ask: &Ask) -> Result<Option<Says>, Exit> {
    let path = daemon::socket(state_dir);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            eprintln!("secretwatch: {} may not be asked by this user{}", path.display(), way_in(state_dir));
            return Err(Exit::Store);
        }
        // Nobody has made it, or whoever did was killed; or its path is too long for anybody to listen there.
        Err(_) => return Ok(None),
    };
    let line = exchange(stream, &ask.request()).map_err(|error| {
        eprintln!("secretwatch: the daemon that listens on {} does not answer: {error}", path.display());
        Exit::Locked
    })?;
    let reply: Reply = serde_json::from_slice(&line).map_err(|error| {
        eprintln!("secretwatch: what listens on {} makes no sense to this version: {error}", path.display());
        Exit::Locked
    })?;
    Ok(Some(reply.says))
}

/// Sends a request and reads the reply's line.
fn exchange(mut stream: UnixStream, request: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_REPLY)).read_until(b'\n', &mut line)?;
    if line.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}

fn refused(refusal: &Refusal) -> Exit {
    eprintln!("secretwatch: {}", refusal.message);
    match refusal.code {
        RefusalCode::OtherVersion | RefusalCode::UnknownAsk => Exit::Locked,
        RefusalCode::Store => Exit::Store,
        RefusalCode::BadRequest | RefusalCode::TooLong => Exit::Software,
    }
}

fn untold(error: &StoreError, state_dir: &Path) -> Exit {
    match error {
        StoreError::Io { path, source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            eprintln!("secretwatch: {} may not be read by this user{}", path.display(), way_in(state_dir));
        }
        _ => exit::tell(error),
    }
    Exit::Store
}

/// What somebody can do who may not look into `state_dir`.
fn way_in(state_dir: &Path) -> String {
    let owner = std::fs::metadata(state_dir).map(|metadata| metadata.uid()).ok().filter(|uid| *uid != 0);
    let as_owner =
        owner.map_or(String::new(), |uid| format!(", or as the user that it runs as, by `sudo -u '#{uid}'`"));
    format!("; ask as root, by `sudo secretwatch …`{as_owner}")
}
