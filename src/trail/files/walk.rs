//! Which files a folder stands for.
//!
//! A [`Walk`] goes through a folder and all below it, and tells by their names which files may hold records: a folder
//! that is synchronised from a bucket holds other things too. Opening them is not its business.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Damage, Fault};

/// One walk through a folder.
#[derive(Default)]
pub(super) struct Walk {
    files: Vec<(PathBuf, u64)>,
    damage: Vec<Damage>,
    /// Folders to enter.
    open: Vec<PathBuf>,
    /// Real paths of folders: links are followed, and each folder is entered once, so that a link upwards ends.
    entered: HashSet<PathBuf>,
}

impl Walk {
    /// The files in `folder` and below that look like CloudTrail, with their sizes, and what could not be entered; both
    /// sorted.
    pub(super) fn below(folder: &Path) -> (Vec<(PathBuf, u64)>, Vec<Damage>) {
        let mut walk = Self { open: vec![folder.to_owned()], ..Self::default() };
        while let Some(folder) = walk.open.pop() {
            if let Err(error) = walk.enter(&folder) {
                walk.failed(folder, error);
            }
        }
        walk.files.sort_unstable();
        walk.damage.sort_by(|a, b| a.path.cmp(&b.path));
        (walk.files, walk.damage)
    }

    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        if !self.entered.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() => self.open.push(path),
                Ok(kind) if kind.is_file() && has_wanted_name(&path) => self.files.push((path, kind.len())),
                // Other names, and what is no file: a pipe would keep us waiting.
                Ok(_) => {}
                Err(error) => self.failed(path, error),
            }
        }
        Ok(())
    }

    fn failed(&mut self, path: PathBuf, error: io::Error) {
        self.damage.push(Damage { path, line: None, fault: Fault::Io(error) });
    }
}

fn has_wanted_name(path: &Path) -> bool {
    path.extension()
        .and_then(|end| end.to_str())
        .is_some_and(|end| ["json", "jsonl", "ndjson", "gz"].iter().any(|wanted| end.eq_ignore_ascii_case(wanted)))
}
