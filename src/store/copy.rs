//! Reading a store that may be damaged, without touching it.
//!
//! sled mends its log while it opens it, and what it mends by cutting is gone. So whoever only wants to look, or to save
//! what can be saved, works on an exact copy ([`copy`]), and reads it by [`walk`], which goes on behind rows that cannot
//! be read.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::StoreError;
use super::kv::{self, FOLDER, Kv, Row, SUCCESSOR};
use super::ledger::check_version;

/// A store that is read in a copy of it.
pub(super) struct Opened {
    /// The copy's rows.
    pub(super) kv: Kv,
    /// The store itself.
    pub(super) path: PathBuf,
    /// Where the copy lies. It goes with this.
    pub(super) scratch: TempDir,
}

/// Copies the store in `state_dir` to the system's folder for temporary files and opens the copy as the daemon would
/// open the store: nothing is changed, not even by sled. Nobody else may use the store while it is copied.
pub(super) fn open_copy(state_dir: &Path) -> Result<Opened, StoreError> {
    let lock = kv::lock_if_any(state_dir)?;
    let path = store_in(state_dir)?;
    let scratch = std::env::temp_dir();
    let scratch = tempfile::tempdir_in(&scratch).map_err(|source| kv::io("make a folder in", &scratch, source))?;
    let place = scratch.path().join(FOLDER);
    copy(&path, &place)?;
    drop(lock);
    let named = |error| name_original(error, &path);
    let kv = Kv::open_alone(&place).map_err(named)?;
    kv.verify().map_err(named)?;
    check_version(&kv, &path)?;
    Ok(Opened { kv, path, scratch })
}

/// The folder of the store in `state_dir`, if there is one.
pub(super) fn store_in(state_dir: &Path) -> Result<PathBuf, StoreError> {
    let paths = [FOLDER, SUCCESSOR].map(|name| state_dir.join(name));
    let found = paths.iter().find(|path| path.is_dir()).cloned();
    found.ok_or_else(|| StoreError::Missing(state_dir.join(FOLDER)))
}

/// An error that happened to the copy, told of the store itself.
fn name_original(error: StoreError, original: &Path) -> StoreError {
    match error {
        StoreError::Unopened { why, .. } => StoreError::Unopened { path: original.to_owned(), why },
        StoreError::Engine { source, .. } => StoreError::Engine { path: original.to_owned(), source },
        other => other,
    }
}

/// Copies the store's folder `from` to `to`, file by file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(|source| kv::io("create", to, source))?;
    for entry in fs::read_dir(from).map_err(|source| kv::io("read", from, source))? {
        let path = entry.map_err(|source| kv::io("read", from, source))?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &place)?;
        } else {
            fs::copy(&path, &place).map_err(|source| kv::io("copy a file of the store to", &place, source))?;
        }
    }
    Ok(())
}

/// Removes what sled can do without: the snapshots, which only spare it the reading of its log, and its own settings,
/// which are always the same here.
pub(super) fn remove_shortcuts(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(|source| kv::io("read", folder, source))? {
        let path = entry.map_err(|source| kv::io("read", folder, source))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") || name == "conf" {
            fs::remove_file(&path).map_err(|source| kv::io("remove", &path, source))?;
        }
    }
    Ok(())
}

/// Shows `each` every row of a table that can be read. Returns the gaps between them.
pub(super) fn walk(
    kv: &Kv,
    table: u8,
    each: &mut dyn FnMut(Row) -> Result<(), StoreError>,
) -> Result<Vec<Gap>, StoreError> {
    let mut from = vec![table];
    let mut gaps = Vec::new();
    loop {
        let mut last = from.clone();
        let mut trouble = None;
        for row in kv.range(&from, &end_of(table)) {
            match row {
                Ok(row) if row.0.first() != Some(&table) => break,
                Ok(row) => {
                    last.clone_from(&row.0);
                    each(row)?;
                }
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        let Some(error) = trouble else { return Ok(gaps) };
        gaps.push(Gap { after: last.clone(), error });
        let Some(next) = behind(kv, &last, table) else { return Ok(gaps) };
        // What lies between the gap and the place that was found by large steps.
        let mut before = Vec::new();
        last.push(0);
        for row in kv.range(&last, &next).rev().map_while(Result::ok) {
            if row.0 < next {
                before.push(row);
            }
        }
        before.into_iter().rev().try_for_each(&mut *each)?;
        from = next;
    }
}

/// Rows that cannot be read.
pub(super) struct Gap {
    /// The last key before them.
    pub(super) after: Vec<u8>,
    /// Why not.
    pub(super) error: StoreError,
}

/// The first key of the next table: the end of this one.
fn end_of(table: u8) -> [u8; 1] {
    [table.saturating_add(1)]
}

/// A key after `last` from which on rows of the table can be read, found by ever larger steps.
fn behind(kv: &Kv, last: &[u8], table: u8) -> Option<Vec<u8>> {
    (2..=last.len())
        .rev()
        .filter_map(|length| kv::past(&last[..length]))
        .find(|key| key.first() == Some(&table) && kv.range(key, &end_of(table)).next().is_none_or(|row| row.is_ok()))
}
