//! The state directory: can what must survive a restart be kept there?

use std::path::Path;

use super::Finding;
use crate::model::printable;
use crate::store::is_in_use;

/// Less free space than this is worth a word, in bytes.
const LITTLE: u64 = 1 << 30;

/// What there is to say about `state_dir`.
pub(super) fn examine(state_dir: &Path) -> Vec<Finding> {
    let about = "state";
    if !state_dir.exists() {
        return vec![missing(about, state_dir)];
    }
    let shown = state_dir.display();
    let writable = match tempfile::NamedTempFile::new_in(state_dir) {
        Ok(_) => Finding::pass(about, "directory", format!("{shown} can be written")),
        Err(error) => Finding::fail(
            about,
            "directory",
            printable(&format!("{shown} cannot be written: {error}"), super::SAID_MAX),
            "Run this as the user that the daemon runs as, such as with sudo -u secretwatch; if that is so, give the \
             directory to that user.",
        ),
    };
    let mut findings = vec![writable];
    findings.extend(space(about, state_dir));
    findings.push(match is_in_use(state_dir) {
        true => Finding::pass(about, "daemon", "a daemon is using it"),
        false => Finding::warn(
            about,
            "daemon",
            "no daemon is using it at the moment",
            "Right before a first start and with --once from cron. Otherwise: systemctl status secretwatch.",
        ),
    });
    findings
}

fn missing(about: &str, state_dir: &Path) -> Finding {
    let shown = state_dir.display();
    let parent = state_dir.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("/"));
    match tempfile::NamedTempFile::new_in(parent) {
        Ok(_) => Finding::pass(about, "directory", format!("{shown} will be made at the first start")),
        Err(_) => Finding::fail(
            about,
            "directory",
            format!("{shown} does not exist, and this user may not make it in {}", parent.display()),
            "Make it and give it to the user that the daemon runs as; under systemd, StateDirectory= does that.",
        ),
    }
}

fn space(about: &str, state_dir: &Path) -> Option<Finding> {
    let free = rustix::fs::statvfs(state_dir).ok().map(|at| at.f_bavail.saturating_mul(at.f_frsize))?;
    let says = format!("{} MiB are free there", free >> 20);
    Some(if free >= LITTLE {
        Finding::pass(about, "space", says)
    } else {
        Finding::warn(
            about,
            "space",
            says,
            "A busy account takes gigabytes in a month. A full disk loses nothing, but it ends the watching.",
        )
    })
}
