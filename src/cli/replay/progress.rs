//! How far a replay has come, for whoever is waiting in front of a terminal. Elsewhere nobody is told.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::trail::Progress;

/// What takes no longer than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// How far the reading of files has come.
pub(super) struct FilesBar(Option<Bar>);

/// How far the reading of Event history has come.
pub(super) struct HistoryBar {
    bar: Option<Bar>,
    pages: AtomicU64,
    events: AtomicU64,
}

/// A bar on standard error, for what takes long enough.
struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl FilesBar {
    pub(super) fn new() -> Self {
        Self(Bar::on_a_terminal())
    }

    /// Shows it.
    pub(super) fn tell(&self, progress: &Progress) {
        if let Some(bar) = &self.0 {
            bar.tell(progress.stored, progress.all_stored, &|elapsed| rates(progress, elapsed));
        }
    }
}

impl HistoryBar {
    /// Of so many seconds of event time that are to be read.
    pub(super) fn new(seconds: u64) -> Self {
        let bar = Bar::on_a_terminal();
        bar.iter().for_each(|bar| bar.bar.set_length(seconds));
        Self { bar, pages: AtomicU64::new(0), events: AtomicU64::new(0) }
    }

    /// A page came, with so many events, by which so many more seconds have been read through; fewer than none if that has
    /// turned out wrong.
    pub(super) fn page(&self, events: usize, seconds: i64) {
        let pages = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        let events = self.events.fetch_add(events as u64, Ordering::Relaxed) + events as u64;
        if let Some(bar) = &self.bar {
            let read = bar.bar.position().saturating_add_signed(seconds);
            bar.tell(read, bar.bar.length().unwrap_or(read), &|_| format!("{events} events in {pages} requests"));
        }
    }
}

impl Bar {
    fn on_a_terminal() -> Option<Self> {
        stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            let style = ProgressStyle::with_template("{wide_bar} {percent}%  {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Self { bar, began: Instant::now() }
        })
    }

    fn tell(&self, done: u64, all: u64, message: &dyn Fn(Duration) -> String) {
        let elapsed = self.began.elapsed();
        self.bar.set_length(all);
        self.bar.set_position(done);
        if elapsed >= PATIENCE {
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.bar.set_message(message(elapsed));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Files, and how fast their text and their records go by.
fn rates(progress: &Progress, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let megabytes = progress.bytes as f64 / 1e6 / seconds;
    let records = progress.records as f64 / seconds;
    let (files, all) = (progress.files, progress.all_files);
    format!("{files} of {all} files, {megabytes:.0} MB/s, {records:.0} records/s")
}
