//! Ordered rows of bytes, on disk or in memory, written in atomic batches and made durable on demand.
//!
//! On disk it is sled 0.34, one tree. Three things there are not obvious:
//! - **`flush()` is not durable.** On Linux it ends in `sync_file_range`, which leaves the disk's cache alone; a power
//!   cut loses acknowledged batches or the whole store. So [`Kv::sync`] calls `sync_all` on our own handle to sled's
//!   file afterwards. Nothing may be told to the world before it returns. And what sled believes of its log because of
//!   that is put right before it opens it again (`segments`).
//! - **Large nodes leave the log.** Some twenty rows that lie side by side are one node, and one of more than 128 KiB
//!   becomes a file of its own, which sled never makes durable: [`Kv::sync`] does. It is better not to have them, so
//!   what can be cut is cut into rows of [`PART`].
//! - **Large values and batches hurt.** Overwriting values above some 64 KiB leaks files, and memory
//!   grows with the rows of a batch where their keys are scattered: half a gigabyte for a thousand. [`MAX_VALUE`] and
//!   [`MAX_BATCH`] are the bounds that callers keep to; the figures stand in `benches/README.md`.
//!
//! And where a byte was changed behind its back, sled takes what it cannot read as the end of its log, or panics. So
//! each batch carries its number in a row, and after each sync the number goes into a file of our own: a store that holds
//! fewer than that many has lost something, and is refused. Panics become errors.
//!
//! In memory it is a `BTreeMap`: for `replay`, which must not touch the state, and for tests; a [`SimulatedDisk`] can
//! stand behind it, which says what of it survives.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::begun::{BEGUN, Begun};
use super::simulated::SimulatedDisk;
use super::{StoreError, keys, segments};

/// Bytes in one value at most.
pub(super) const MAX_VALUE: usize = 48 * 1024;

/// Bytes in each row of a longer text: twenty of them stay well below 128 KiB.
pub(super) const PART: usize = 6 * 1024;

/// Rows in one batch, as a goal: a page that opens incidents in many groups at once takes more, a full page of the
/// default rule some five hundred.
pub(super) const MAX_BATCH: usize = 400;

/// sled's page cache. Not a hard bound; 16 MiB keeps a month of ordinary traffic within reach.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A copy of the store that is read in its place, in `state_dir`.
pub(super) const COPY: &str = "db.copy";

/// The folder in sled's where large nodes lie.
const BLOBS: &str = "blobs";

/// The folder of the store, in `state_dir`.
pub(super) const FOLDER: &str = "db";

/// The file whose lock says that the state is in use, in `state_dir`.
const LOCK: &str = "lock";

/// A store that is to take the other's place. It is whole if it has the file [`BEGUN`].
pub(super) const SUCCESSOR: &str = "db.new";

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// Rows to write, applied all or not at all.
#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Writes {
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        debug_assert!(value.len() <= MAX_VALUE + MAX_VALUE / 3, "{} bytes under {key:?}", value.len());
        self.0.insert(key, Some(value));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn rows(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.0
    }
}

/// The rows.
#[derive(Debug)]
pub(super) enum Kv {
    Disk(Disk),
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Memory, and what stands behind it.
    Simulated(BTreeMap<Vec<u8>, Vec<u8>>, SimulatedDisk),
}

/// sled's folder, and what we hold of it.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    /// Our own handle to sled's file, for [`Kv::sync`].
    file: File,
    path: PathBuf,
    /// Batches written so far, in the life of the store.
    batches: u64,
    /// The last segment of the log when all of it was durable for the last time.
    segment: i64,
    /// The newest large node that is durable.
    blob: Option<i64>,
    /// Where the number of durable batches and that segment are kept; none before the first sync.
    begun: Option<File>,
    /// Locked for as long as it is open.
    _lock: Option<File>,
}

impl Kv {
    /// Opens the store in `state_dir/db`, making both folders if need be.
    pub(super) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(|source| io("create", state_dir, source))?;
        let lock = lock(state_dir)?;
        succeed(state_dir)?;
        let path = state_dir.join(FOLDER);
        // Whoever made `state_dir` may have left it open to all; this holds who read which secret.
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| io("create", &path, source))?;
        let is_new = !path.join("db").exists();
        let disk = Disk { _lock: Some(lock), ..Disk::open(&path, true)? };
        disk.verify()?;
        if is_new {
            // Whoever expected one sees that it was lost.
            tracing::info!(state_dir = %state_dir.display(), "there is no store yet; a new one begins, and looks back by `backfill`");
            disk.persist()?;
            sync_folder(state_dir)?;
        }
        Ok(Self::Disk(disk))
    }

    /// Opens the store in the folder `path`, which nobody else may know of, and whatever it has lost.
    pub(super) fn open_alone(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::Disk(Disk::open(path, false)?))
    }

    /// Whether everything is there that was durable once.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.verify(),
            Self::Memory(_) | Self::Simulated(..) => Ok(()),
        }
    }

    /// Notes that rows have been made durable, so that an empty store is known for a loss from now on.
    pub(super) fn begun(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.mark_begun(),
            Self::Memory(_) | Self::Simulated(..) => Ok(()),
        }
    }

    /// Makes the names of the store's files survive a power cut, too.
    pub(super) fn persist(&self) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.persist(),
            Self::Memory(_) | Self::Simulated(..) => Ok(()),
        }
    }

    pub(super) fn memory() -> Self {
        Self::Memory(BTreeMap::new())
    }

    pub(super) fn simulated(disk: &SimulatedDisk) -> Self {
        Self::Simulated(disk.rows(), disk.clone())
    }

    /// Whether its calls may wait for a device, so that no task of the runtime may make them.
    pub(super) fn blocks(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// Rows that one batch should hold at most.
    pub(super) fn max_batch(&self) -> usize {
        match self {
            Self::Disk(_) | Self::Simulated(..) => MAX_BATCH,
            Self::Memory(_) => usize::MAX,
        }
    }

    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Disk(disk) => Ok(disk.guarded(|| disk.db.get(key))?.map(|value| value.to_vec())),
            Self::Memory(rows) | Self::Simulated(rows, _) => Ok(rows.get(key).cloned()),
        }
    }

    /// The rows with `from <= key <= to`, in order; from the other end if walked in reverse.
    pub(super) fn range<'a>(
        &'a self,
        from: &[u8],
        to: &[u8],
    ) -> Box<dyn DoubleEndedIterator<Item = Result<Row, StoreError>> + 'a> {
        match self {
            Self::Disk(_) if from > to => Box::new(std::iter::empty()),
            Self::Disk(disk) => Box::new(Guarded { disk, rows: disk.db.range(from.to_vec()..=to.to_vec()) }),
            Self::Memory(rows) | Self::Simulated(rows, _) => {
                let bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>) =
                    (Bound::Included(from.to_vec()), Bound::Included(to.to_vec()));
                if from > to {
                    return Box::new(std::iter::empty());
                }
                Box::new(rows.range(bounds).map(|(key, value)| Ok((key.clone(), value.clone()))))
            }
        }
    }

    /// The rows whose keys begin with `prefix`.
    pub(super) fn prefix<'a>(
        &'a self,
        prefix: &[u8],
    ) -> Box<dyn DoubleEndedIterator<Item = Result<Row, StoreError>> + 'a> {
        match self {
            Self::Disk(disk) => Box::new(Guarded { disk, rows: disk.db.scan_prefix(prefix) }),
            Self::Memory(rows) | Self::Simulated(rows, _) => {
                let prefix = prefix.to_vec();
                let end = past(&prefix);
                let bounds = (Bound::Included(prefix), end.map_or(Bound::Unbounded, Bound::Excluded));
                Box::new(rows.range(bounds).map(|(key, value)| Ok((key.clone(), value.clone()))))
            }
        }
    }

    /// Writes all of `writes` or nothing. Durable only after [`sync`](Self::sync).
    pub(super) fn apply(&mut self, writes: Writes) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => {
                let mut batch = sled::Batch::default();
                for (key, value) in writes.0 {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                disk.batches += 1;
                batch.insert(keys::BATCHES, &disk.batches.to_be_bytes());
                disk.guarded(|| disk.db.apply_batch(batch))
            }
            Self::Memory(rows) => {
                lay(writes.0, rows);
                Ok(())
            }
            Self::Simulated(rows, disk) => {
                disk.apply(&writes)?;
                lay(writes.0, rows);
                Ok(())
            }
        }
    }

    /// Makes everything applied so far survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Disk(disk) => disk.sync(),
            Self::Memory(_) => Ok(()),
            Self::Simulated(_, disk) => disk.sync(),
        }
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        match self {
            Self::Disk(disk) => disk.guarded(|| disk.db.size_on_disk()),
            Self::Memory(rows) | Self::Simulated(rows, _) => {
                Ok(rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
            }
        }
    }
}

impl Disk {
    /// Opens the store in the folder `path`; `lasts`: it is no copy that goes when it has been read.
    fn open(path: &Path, lasts: bool) -> Result<Self, StoreError> {
        sweep(path)?;
        settle(path, lasts)?;
        let db = open_sled(path)?;
        let name = path.join("db");
        let file = OpenOptions::new().read(true).write(true).open(&name).map_err(|source| io("open", &name, source))?;
        let segment = segments::last(&file).map_err(|source| io("read", &name, source))?;
        let mut disk =
            Self { db, file, path: path.to_owned(), batches: 0, segment, blob: None, begun: None, _lock: None };
        disk.batches =
            disk.guarded(|| disk.db.get(keys::BATCHES))?.and_then(|row| keys::number_at(&row, 0)).unwrap_or(0);
        Ok(disk)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.guarded(|| self.db.flush())?;
        self.sync_blobs()?;
        self.file.sync_all().map_err(|source| io("sync", &self.path, source))?;
        let segment = segments::last(&self.file).map_err(|source| io("read", &self.path.join("db"), source))?;
        let is_another = segment != std::mem::replace(&mut self.segment, segment);
        let Some(begun) = &self.begun else { return Ok(()) };
        self.note(begun)
            // Too few batches mean no harm after a power cut; a segment that is not the last one any more does.
            .and_then(|()| if is_another { begun.sync_data() } else { Ok(()) })
            .map_err(|source| io("write", &self.path.join(BEGUN), source))
    }

    /// Makes those large nodes durable that have come since the last time.
    fn sync_blobs(&mut self) -> Result<(), StoreError> {
        let folder = self.path.join(BLOBS);
        let named = |source| io("sync", &folder, source);
        let mut newest = self.blob;
        for file in folder.read_dir().map_err(named)? {
            let file = file.map_err(named)?;
            // They are called by their place in the log.
            let place = file.file_name().to_str().and_then(|name| name.parse().ok());
            if place > self.blob {
                match File::open(file.path()).and_then(|file| file.sync_all()) {
                    // Of no use any more.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    synced => synced.map_err(named)?,
                }
                newest = newest.max(place);
            }
        }
        if newest != self.blob {
            sync_folder(&folder)?;
            self.blob = newest;
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), StoreError> {
        let Some(Begun { batches: durable, .. }) = Begun::read(&self.path)? else { return Ok(()) };
        let why = match self.batches {
            _ if self.guarded(|| Ok(self.db.is_empty()))? => {
                "it holds nothing, though it was written before".to_owned()
            }
            held if held < durable => {
                format!("of {durable} writes that were durable it has lost the last {}", durable - held)
            }
            _ => return Ok(()),
        };
        Err(StoreError::Unopened { path: self.path.clone(), why })
    }

    /// What sled says, as an error of ours; a panic is one, too.
    fn guarded<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        guarded(&self.path, call)
    }

    fn mark_begun(&mut self) -> Result<(), StoreError> {
        let path = self.path.join(BEGUN);
        let is_new = !path.exists();
        let marked = OpenOptions::new().create(true).truncate(false).write(true).open(&path).and_then(|file| {
            self.note(&file)?;
            file.sync_all()?;
            if is_new {
                File::open(&self.path)?.sync_all()?;
            }
            Ok(file)
        });
        self.begun = Some(marked.map_err(|source| io("write", &path, source))?);
        Ok(())
    }

    fn note(&self, begun: &File) -> std::io::Result<()> {
        begun.write_all_at(&Begun::now(self.batches, self.segment).encode(), 0)
    }

    /// After the very first open: the files' names must survive a power cut, too.
    fn persist(&self) -> Result<(), StoreError> {
        self.guarded(|| self.db.flush())?;
        [self.path.join("conf"), self.path.join("db"), self.path.clone()].iter().try_for_each(|path| sync_folder(path))
    }
}

/// Rows as sled finds them.
struct Guarded<'a> {
    disk: &'a Disk,
    rows: sled::Iter,
}

impl Guarded<'_> {
    fn step(
        &mut self,
        step: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<(sled::IVec, sled::IVec)>>,
    ) -> Option<Result<Row, StoreError>> {
        let Self { disk, rows } = self;
        let row = disk.guarded(|| step(rows).transpose()).transpose()?;
        Some(row.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

impl Iterator for Guarded<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Guarded<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

fn guarded<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(StoreError::Engine { path: path.to_owned(), source }),
        Err(panic) => Err(StoreError::Unopened { path: path.to_owned(), why: panic_text(panic.as_ref()) }),
    }
}

/// Finishes a change of stores that was cut short between two names, and removes what another left behind.
pub(super) fn succeed(state_dir: &Path) -> Result<(), StoreError> {
    let (old, new) = (state_dir.join(FOLDER), state_dir.join(SUCCESSOR));
    remove_folder(&state_dir.join(COPY))?;
    if !old.exists() && new.join(BEGUN).exists() {
        std::fs::rename(&new, &old).map_err(|source| io("rename", &new, source))?;
        return sync_folder(state_dir);
    }
    remove_folder(&new)
}

/// Removes a folder with all that is in it, if there is one.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Makes a file, or the names in a folder, survive a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| io("sync", path, source))
}

/// Makes `rows` what they are after `writes`.
pub(super) fn lay(writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>, rows: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(rows.insert(key, value)),
            None => drop(rows.remove(&key)),
        }
    }
}

/// The first key after all those that begin with `prefix`.
pub(super) fn past(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Our own lock, since sled's failure to get its own is told apart only by the wording of its message.
pub(super) fn lock(state_dir: &Path) -> Result<File, StoreError> {
    let path = state_dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| io("open", &path, source))?;
    hold(file, state_dir)
}

/// The same without making the file: where there is none, nobody holds the store.
pub(super) fn lock_if_any(state_dir: &Path) -> Result<Option<File>, StoreError> {
    let path = state_dir.join(LOCK);
    match File::open(&path) {
        Ok(file) => hold(file, state_dir).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io("open", &path, source)),
    }
}

/// Whether somebody holds the store in `state_dir` at this moment.
#[must_use]
pub fn is_in_use(state_dir: &Path) -> bool {
    File::open(state_dir.join(LOCK)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn hold(file: File, state_dir: &Path) -> Result<File, StoreError> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(CLOSING_STEP),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(state_dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io("lock", &state_dir.join(LOCK), source)),
        }
    }
}

/// How long our own lock is tried for: a process that is being started by the one that had it holds it, too, from its
/// fork to its exec.
const LETTING_GO: Duration = Duration::from_millis(500);

/// How long to wait between two looks at a lock.
const CLOSING_STEP: Duration = Duration::from_millis(5);

/// How the name ends of a snapshot that sled has not finished.
const UNFINISHED: &str = ".generating";

/// Removes what a process left behind that was killed while sled wrote a snapshot, which it does at every start. sled
/// itself takes the torn file for the newest snapshot and refuses the whole store; what the snapshot would have said
/// still stands in the log.
fn sweep(path: &Path) -> Result<(), StoreError> {
    let files = match path.read_dir() {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        files => files.map_err(|source| io("read", path, source))?,
    };
    for file in files {
        let file = file.map_err(|source| io("read", path, source))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(UNFINISHED) {
            remove_file(&file)?;
        }
    }
    Ok(())
}

/// Puts right what a power cut, or an end in the middle of a start, has left for sled to stumble over. What it is going to
/// build upon is made durable where it `lasts`, since its snapshot says that all this was read, and is durable itself.
fn settle(path: &Path, lasts: bool) -> Result<(), StoreError> {
    let Some(begun) = Begun::read(path)? else {
        // Nothing in it has been durable yet. sled's own settings may be torn, and are always the same here.
        return remove_file(&path.join("conf"));
    };
    let name = path.join("db");
    let file = match OpenOptions::new().read(true).write(true).open(&name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|source| io("open", &name, source))?,
    };
    if let Some(segment) = begun.segment
        && begun.is_of_another_boot()
    {
        let claims = segments::bound(&file, segment).map_err(|source| io("write", &name, source))?;
        tracing::debug!(claims, segment, "the machine was started anew: what the log claims is bounded");
    }
    if lasts { file.sync_all().map_err(|source| io("sync", &name, source)) } else { Ok(()) }
}

/// How long a closing handle may keep sled's own lock.
const CLOSING: Duration = Duration::from_secs(5);

/// Waits until sled has let go of the store in `path`, which was dropped: it closes in the background. If that takes too
/// long, the next to open it waits again.
pub(super) fn closed(path: &Path) {
    let deadline = Instant::now() + CLOSING;
    let Ok(file) = File::open(path.join("db")) else { return };
    while file.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(CLOSING_STEP);
    }
}

/// A torn folder makes sled fail or panic; neither may end in silence or in an empty store.
fn open_sled(path: &Path) -> Result<sled::Db, StoreError> {
    // Our own writer thread decides when to flush; sled's would only wake an idle process.
    let config =
        sled::Config::new().path(path).segment_size(segments::SEGMENT).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let unopened = |why: String| StoreError::Unopened { path: path.to_owned(), why };
    let deadline = Instant::now() + CLOSING;
    loop {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            // We hold the state directory's lock, so this can only be a handle of our own process that sled's threads
            // have not let go of yet: it closes in the background.
            Ok(Err(sled::Error::Io(error))) if is_lock(&error) && Instant::now() < deadline => {
                std::thread::sleep(CLOSING_STEP);
            }
            Ok(Err(source @ sled::Error::Io(_))) => return Err(StoreError::Engine { path: path.to_owned(), source }),
            Ok(Err(error)) => return Err(unopened(error.to_string())),
            Err(panic) => return Err(unopened(panic_text(panic.as_ref()))),
        }
    }
}

fn is_lock(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the store engine gave up").to_owned()
}

pub(super) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
}
