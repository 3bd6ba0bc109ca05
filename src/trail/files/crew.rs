//! Several threads that read files, and one that puts together what they found.
//!
//! The threads take the files of a [`Plan`] one by one, so that nobody waits for anybody. What they bring back is merged
//! on the caller's thread in the order of the plan, whoever is ready first: two readings of the same files say the same
//! in the same order, however many threads there are.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::reader::{Held, Reader};
use super::room::Room;
use super::walk::Walk;
use super::{Damage, Origin, Progress, ReadSettings, STDIN, Summary};

/// What is to be read.
#[derive(Default)]
pub(super) struct Plan {
    /// In the order of the paths, and by name within a folder.
    files: Vec<Planned>,
    /// What cannot be read, each before the file of this number.
    lost: Vec<(usize, Damage)>,
}

struct Planned {
    path: PathBuf,
    /// Bytes, as far as one can tell.
    stored: u64,
}

impl Plan {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut plan = Self::default();
        for path in paths {
            if path.as_os_str() != STDIN && path.is_dir() {
                plan.folder(Walk::below(path));
            } else {
                let stored = path.metadata().map_or(0, |kind| kind.len());
                plan.files.push(Planned { path: path.clone(), stored });
            }
        }
        plan
    }

    fn folder(&mut self, (files, damage): (Vec<(PathBuf, u64)>, Vec<Damage>)) {
        let mut damage = damage.into_iter().peekable();
        for (path, stored) in files {
            while let Some(lost) = damage.next_if(|lost| lost.path < path) {
                self.lost.push((self.files.len(), lost));
            }
            self.files.push(Planned { path, stored });
        }
        let end = self.files.len();
        self.lost.extend(damage.map(|lost| (end, lost)));
    }
}

/// Those who read.
pub(super) struct Crew<'s> {
    pub(super) plan: Plan,
    pub(super) settings: &'s ReadSettings<'s>,
    pub(super) room: &'s Room,
    /// The most that is read of a file's text.
    pub(super) limit: u64,
}

/// What is handed over: by whom it was planned, what it held, and what was made of its records.
type Done<T> = (usize, Held, T);

impl Crew<'_> {
    /// Reads everything.
    pub(super) fn read<T: Default + Send>(
        self,
        stdin: &mut (dyn Read + Send),
        each: &(dyn Fn(&mut T, &str, &Origin<'_>) + Sync),
        merge: &mut dyn FnMut(T),
    ) -> Summary {
        let Self { plan: Plan { files, lost }, settings, room, limit } = self;
        let ReadSettings { wanted, jobs, progress } = settings;
        let (next, stdin) = (AtomicUsize::new(0), Mutex::new(stdin));
        let work = |done: Sender<Done<T>>| {
            let mut reader = Reader::new(wanted, limit, room);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(Planned { path, .. }) = files.get(number) else { return };
                let mut made = T::default();
                let each = &mut |json: &str, origin: &Origin<'_>| each(&mut made, json, origin);
                let held = if path.as_os_str() == STDIN {
                    let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
                    reader.stream(path, &mut **stdin, each)
                } else {
                    reader.file(path, each)
                };
                if done.send((number, held, made)).is_err() {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let jobs = jobs.get().min(files.len());
            let start = |_| {
                let (work, sender) = (&work, sender.clone());
                thread::Builder::new().spawn_scoped(scope, move || work(sender)).is_ok()
            };
            // A machine that has no more threads to give has one all the same.
            if (0..jobs).filter(|number| start(*number)).count() == 0 {
                work(sender.clone());
            }
            drop(sender);
            put_together(&files, lost, &receiver, *progress, merge)
        })
    }
}

/// Merges what comes in the order of the files.
fn put_together<T>(
    files: &[Planned],
    lost: Vec<(usize, Damage)>,
    done: &Receiver<Done<T>>,
    told: Option<&dyn Fn(&Progress)>,
    merge: &mut dyn FnMut(T),
) -> Summary {
    let all_stored = files.iter().map(|file| file.stored).sum();
    let mut progress = Progress { all_files: files.len() as u64, all_stored, ..Progress::default() };
    let (mut summary, mut lost) = (Summary::default(), lost.into_iter().peekable());
    // What came before its turn.
    let mut early = BTreeMap::new();
    let mut turn = 0;
    for (number, held, made) in done {
        progress.add(&files[number], &held);
        told.iter().for_each(|told| told(&progress));
        early.insert(number, (held, made));
        while let Some((held, made)) = early.remove(&turn) {
            while let Some((_, damage)) = lost.next_if(|(before, _)| *before <= turn) {
                summary.damaged(vec![damage]);
            }
            summary.add(held);
            merge(made);
            turn += 1;
        }
    }
    lost.for_each(|(_, damage)| summary.damaged(vec![damage]));
    summary
}

impl Progress {
    fn add(&mut self, file: &Planned, held: &Held) {
        self.files += 1;
        self.stored += file.stored;
        self.bytes += held.bytes;
        self.records += held.records;
    }
}

impl Summary {
    fn add(&mut self, held: Held) {
        self.files += u64::from(held.opened);
        self.bytes += held.bytes;
        self.records += held.records;
        self.skipped += held.skipped;
        self.waited += u64::from(held.waited);
        self.damaged(held.damage);
    }

    fn damaged(&mut self, damage: Vec<Damage>) {
        self.damaged += u64::from(!damage.is_empty());
        self.damage.extend(damage);
    }
}
