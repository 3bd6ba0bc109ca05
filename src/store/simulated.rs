//! A disk that a test holds in its hands: what has been made durable, and what a power cut may still take.
//!
//! The store over a [`SimulatedDisk`] keeps its rows in memory and writes every batch here, too. A batch that was
//! applied is *loose* until a sync has fixed it. [`SimulatedDisk::crash`] is the power cut: of the loose batches only
//! the first so many survive, in the order in which they were applied, which is how a log loses its end. Whoever
//! watches the [`Stroke`]s decides how each of them ends, and learns at which points the world may stop.
//!
//! Absent on purpose: torn and damaged rows. sled has checksums against those, and what it does about them is tested
//! on real files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::kv::{Writes, lay};

/// One thing that the store asks of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// To write a batch.
    Apply,
    /// To make everything that was written survive.
    Sync,
}

/// How a [`Stroke`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// Well.
    Done,
    /// With this error, and nothing has happened.
    Failed(io::ErrorKind),
    /// As if well, but nothing has happened: how a disk lies about a sync.
    Pretended,
}

/// A disk in memory; clones are the same one. It outlives the stores that are opened on it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<Platter>>);

/// What a row's key stands for after a batch; none: it was removed.
type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type Watcher = Box<dyn FnMut(Stroke) -> Struck + Send>;

#[derive(Default)]
struct Platter {
    fixed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Applied since the last sync, oldest first.
    loose: Vec<Batch>,
    watcher: Option<Watcher>,
}

impl SimulatedDisk {
    /// An empty one, on which everything ends well.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `watcher` decide how each stroke ends, before anything has happened. It must not use this disk.
    pub fn watch(&self, watcher: impl FnMut(Stroke) -> Struck + Send + 'static) {
        self.platter().watcher = Some(Box::new(watcher));
    }

    /// How many batches a crash would put at risk.
    #[must_use]
    pub fn loose(&self) -> usize {
        self.platter().loose.len()
    }

    /// The power goes: of the batches that no sync has fixed the first `surviving` are kept, the others lost. Stores
    /// that are still open must not be used any more.
    pub fn crash(&self, surviving: usize) {
        let mut platter = self.platter();
        let surviving = surviving.min(platter.loose.len());
        platter.fix(surviving);
        platter.loose.clear();
    }

    /// The rows as a process finds them that opens the store.
    pub(super) fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let platter = self.platter();
        let mut rows = platter.fixed.clone();
        platter.loose.iter().for_each(|batch| lay(batch.clone(), &mut rows));
        rows
    }

    pub(super) fn apply(&self, writes: &Writes) -> Result<(), StoreError> {
        let mut platter = self.platter();
        if platter.strike(Stroke::Apply)? {
            platter.loose.push(writes.rows().clone());
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut platter = self.platter();
        if platter.strike(Stroke::Sync)? {
            let all = platter.loose.len();
            platter.fix(all);
        }
        Ok(())
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    /// Whether the stroke is to be carried out.
    fn strike(&mut self, stroke: Stroke) -> Result<bool, StoreError> {
        match self.watcher.as_mut().map_or(Struck::Done, |watcher| watcher(stroke)) {
            Struck::Done => Ok(true),
            Struck::Pretended => Ok(false),
            Struck::Failed(kind) => Err(StoreError::Io {
                doing: "write to",
                path: PathBuf::from("the simulated disk"),
                source: Arc::new(kind.into()),
            }),
        }
    }

    fn fix(&mut self, batches: usize) {
        self.loose.drain(..batches).for_each(|batch| lay(batch, &mut self.fixed));
    }
}

impl fmt::Debug for Platter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platter")
            .field("fixed", &self.fixed.len())
            .field("loose", &self.loose.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: u8) -> Writes {
        let mut writes = Writes::default();
        writes.put(vec![key], vec![key]);
        writes
    }

    fn keys(disk: &SimulatedDisk) -> Vec<u8> {
        disk.rows().into_keys().flatten().collect()
    }

    #[test]
    fn a_crash_takes_the_end_of_what_was_not_synced() {
        let disk = SimulatedDisk::new();
        for key in [1, 2] {
            disk.apply(&put(key)).unwrap();
        }
        disk.sync().unwrap();
        let mut writes = put(3);
        writes.remove(vec![1]);
        disk.apply(&writes).unwrap();
        disk.apply(&put(4)).unwrap();
        assert_eq!((keys(&disk), disk.loose()), (vec![2, 3, 4], 2));
        disk.crash(1);
        assert_eq!((keys(&disk), disk.loose()), (vec![2, 3], 0));
        disk.apply(&put(5)).unwrap();
        disk.crash(0);
        assert_eq!(keys(&disk), [2, 3]);
    }

    #[test]
    fn a_stroke_ends_as_its_watcher_says() {
        let disk = SimulatedDisk::new();
        let mut ends = [Struck::Failed(io::ErrorKind::StorageFull), Struck::Done, Struck::Pretended].into_iter();
        disk.watch(move |_| ends.next().unwrap_or(Struck::Done));
        let error = disk.apply(&put(1)).unwrap_err();
        assert!(error.to_string().starts_with("cannot write to the simulated disk; make room there"), "{error}");
        disk.apply(&put(2)).unwrap();
        disk.sync().unwrap();
        assert_eq!((keys(&disk), disk.loose()), (vec![2], 1), "the sync was pretended");
        disk.sync().unwrap();
        disk.crash(0);
        assert_eq!(keys(&disk), [2]);
    }
}
