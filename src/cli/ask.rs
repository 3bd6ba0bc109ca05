//! Asks the daemon what it knows, and for small things to be done; where none runs, goes to the store itself.
//!
//! Commands that look into the state say what they want to know as an [`Ask`]. If a daemon listens on the socket in the
//! state directory, it answers. If nobody does, the store is looked at here, from a copy, and gives the same answer; and
//! if somebody uses it who does not listen, that is told. An [`Order`] goes the same way, but where no daemon runs the
//! store itself is opened for it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::{self, Exit};
use crate::config::Config;
use crate::daemon::{self, Answer, Ask, MAX_REPLY, Order, Refusal, RefusalCode, Reply, Says};
use crate::model::WallTime;
use crate::store::{Ledger, StoreError, View};

/// How often both places are looked at: what holds the store may have begun to listen by the second time, or ended.
const LOOKS: usize = 2;

/// How long the daemon may take to answer: its ledger does one thing at a time, and a page may be in hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take where somebody waits for whether it answers at all: Docker's patience is ten seconds.
const SHORT_PATIENCE: Duration = Duration::from_secs(6);

/// Where one asks about the state of a configuration.
pub(super) struct Office<'a> {
    config: &'a Config,
    /// The store, if no daemon ran when it was first asked.
    view: Option<View>,
}

impl<'a> Office<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        Self { config, view: None }
    }

    /// What the daemon, or else the store, says to `ask`.
    pub(super) fn ask(&mut self, ask: &Ask) -> Result<Answer, Exit> {
        let state_dir = &self.config.state_dir;
        for _ in 0..LOOKS {
            if self.view.is_none() {
                if let Some(says) = from_daemon(state_dir, &ask.request(), PATIENCE)? {
                    return heard(says);
                }
                match Ledger::view(state_dir, daemon::settings_of_view(self.config), WallTime::now()) {
                    Ok(view) => self.view = Some(view),
                    Err(StoreError::Locked(_)) => {}
                    Err(error) => return Err(untold(&error, state_dir)),
                }
            }
            if let Some(view) = &self.view {
                let says = ask.answer(view.ledger(), WallTime::now());
                return heard(says.map_err(|error| untold(&error, state_dir))?);
            }
        }
        Err(engaged(state_dir))
    }

    /// What the daemon says to `ask`, if there is one; within a few seconds, since nothing can be asked instead.
    pub(super) fn ask_daemon(&self, ask: &Ask) -> Result<Option<Answer>, Exit> {
        from_daemon(&self.config.state_dir, &ask.request(), SHORT_PATIENCE)?.map(heard).transpose()
    }

    /// What the daemon says to `order`, if there is one.
    pub(super) fn order_daemon(&self, order: &Order) -> Result<Option<Answer>, Exit> {
        from_daemon(&self.config.state_dir, &order.request(), PATIENCE)?.map(heard).transpose()
    }

    /// Has `order` done by the daemon, or else does it in the store.
    pub(super) fn order(&mut self, order: &Order) -> Result<Answer, Exit> {
        let state_dir = &self.config.state_dir;
        // What was seen of the store is about to be old.
        self.view = None;
        for _ in 0..LOOKS {
            if let Some(says) = from_daemon(state_dir, &order.request(), PATIENCE)? {
                return heard(says);
            }
            is_ours(state_dir)?;
            let now = WallTime::now();
            let visited =
                Ledger::visit(state_dir, daemon::settings_of_view(self.config), now).and_then(|mut ledger| {
                    let says = order.perform(&mut ledger, now)?;
                    ledger.flush()?;
                    Ok(says)
                });
            match visited {
                Err(StoreError::Locked(_)) => {}
                visited => return heard(visited.map_err(|error| untold(&error, state_dir))?),
            }
        }
        Err(engaged(state_dir))
    }

    /// Whether a daemon listens.
    pub(super) fn is_daemon(&self) -> bool {
        UnixStream::connect(daemon::socket(&self.config.state_dir)).is_ok()
    }
}

fn heard(says: Says) -> Result<Answer, Exit> {
    match says {
        Says::Answer(answer) => Ok(answer),
        Says::Refusal(refusal) => Err(refused(&refusal)),
    }
}

/// Says that somebody uses the state who does not answer.
fn engaged(state_dir: &Path) -> Exit {
    eprintln!(
        "secretwatch: {} is in use, and whoever uses it does not answer: a run of --once, which ends soon, or a daemon \
         that could not make its socket there, as its log says; ask again later, or stop it and ask then",
        state_dir.display()
    );
    Exit::Locked
}

/// What a daemon says, if one listens.
fn from_daemon(state_dir: &Path, request: &str, patience: Duration) -> Result<Option<Says>, Exit> {
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
    let line = exchange(stream, request, patience).map_err(|error| {
        let is_slow = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        let why = if is_slow { format!("nothing in {} seconds", patience.as_secs()) } else { error.to_string() };
        let later = if request.contains("\"order\"") { "; what was ordered may still be done" } else { "" };
        eprintln!("secretwatch: the daemon that listens on {} does not answer: {why}{later}", path.display());
        Exit::Locked
    })?;
    let reply: Reply = serde_json::from_slice(&line).map_err(|error| {
        eprintln!("secretwatch: what listens on {} makes no sense to this version: {error}", path.display());
        Exit::Locked
    })?;
    Ok(Some(reply.says))
}

/// Sends a request and reads the reply's line.
fn exchange(mut stream: UnixStream, request: &str, patience: Duration) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
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
        RefusalCode::NotThere => Exit::Unknown,
        RefusalCode::BadRequest | RefusalCode::TooLong => Exit::Usage,
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

/// Whether the owner of `state_dir` could open what this user would write there; if not, it is told.
pub(super) fn is_ours(state_dir: &Path) -> Result<(), Exit> {
    let uid = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.uid());
    match (uid(state_dir), uid(Path::new("/proc/self"))) {
        (Some(owner), Some(own)) if own != owner => {
            eprintln!(
                "secretwatch: {} belongs to another user (uid {owner}), who could not open what is written here; do it \
                 as that user, for instance by `setpriv --reuid={owner} --clear-groups`, or while the daemon runs",
                state_dir.display()
            );
            Err(Exit::Store)
        }
        _ => Ok(()),
    }
}

/// What somebody can do who may not look into `state_dir`.
fn way_in(state_dir: &Path) -> String {
    let owner = std::fs::metadata(state_dir).map(|metadata| metadata.uid()).ok().filter(|uid| *uid != 0);
    let as_owner =
        owner.map_or(String::new(), |uid| format!(", or as the user that it runs as, by `sudo -u '#{uid}'`"));
    format!("; ask as root, by `sudo secretwatch …`{as_owner}")
}
