//! How much of all files together is held in memory at a time.
//!
//! As many files are read at once as there are threads, and each is held whole. What they need together is bounded by
//! [`Room`]: whoever begins a file says how much it will take, and waits until there is room for it. A file that needs
//! more than there ever is gets all of it, and is read alone. Who came first is served first, or small files would keep
//! a large one waiting to the end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes, compressed and not, of all files that are being read. One that is larger alone may exceed it, up to
/// [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES) of text and what its compressed bytes take.
pub const MAX_BYTES_IN_FLIGHT: u64 = 256 << 20;

/// Memory for files.
pub(super) struct Room {
    most: u64,
    taken: Mutex<u64>,
    freed: Condvar,
    /// Held by the one who waits for room; the others wait for the door.
    door: Mutex<()>,
}

/// Room that was taken. Dropped, it is free again.
pub(super) struct Place<'r> {
    room: &'r Room,
    bytes: u64,
    /// Whether it had to be waited for.
    pub(super) waited: bool,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { most, taken: Mutex::new(0), freed: Condvar::new(), door: Mutex::new(()) }
    }

    /// Waits until there is room for so many bytes, and takes it.
    pub(super) fn take(&self, bytes: u64) -> Place<'_> {
        let _door = lock(&self.door);
        let mut taken = lock(&self.taken);
        let bytes = bytes.min(self.most);
        let mut waited = false;
        while *taken > self.most - bytes {
            waited = true;
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Place { room: self, bytes, waited }
    }
}

impl Place<'_> {
    /// Gives the place up for another, for a file that turned out larger than it said.
    pub(super) fn exchanged(self, bytes: u64) -> Self {
        let (room, waited) = (self.room, self.waited);
        drop(self);
        let mut place = room.take(bytes);
        place.waited |= waited;
        place
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(&self.room.taken) -= self.bytes;
        self.room.freed.notify_one();
    }
}

/// A thread that panicked ends the program; until then numbers are numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn room_that_is_there_is_taken_without_waiting() {
        let room = Room::new(100);
        let places = [40, 60, 0].map(|bytes| room.take(bytes));
        assert!(places.iter().all(|place| !place.waited));
        drop(places);
        assert!(!room.take(u64::MAX).waited);
        assert!(!room.take(70).exchanged(u64::MAX).waited, "its own place is in nobody's way");
    }

    #[test]
    fn no_more_is_taken_than_there_is_and_everybody_has_a_turn() {
        let (room, taken, served) = (Room::new(100), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for seed in 0..8 {
                let (room, taken, served) = (&room, &taken, &served);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..200 {
                        let place = room.take(rng.u64(0..150));
                        let place = if rng.u8(0..10) == 0 { place.exchanged(rng.u64(0..150)) } else { place };
                        let now = taken.fetch_add(place.bytes, Ordering::SeqCst) + place.bytes;
                        assert!(now <= 100, "{now}");
                        thread::yield_now();
                        taken.fetch_sub(place.bytes, Ordering::SeqCst);
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(served.into_inner(), 8 * 200);
        assert!(!room.take(100).waited);
    }
}
