//! How far a replay has come, for whoever is waiting in front of a terminal. Elsewhere nobody is told.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::trail::Progress;

/// What takes no longer than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar that shows how far the reading of files has come.
pub(super) struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    /// A bar on standard error, if that is a terminal.
    pub(super) fn new() -> Option<Self> {
        stderr().is_terminal().then(|| Self { bar: ProgressBar::hidden(), began: Instant::now() })
    }

    /// Shows it.
    pub(super) fn tell(&self, progress: &Progress) {
        let elapsed = self.began.elapsed();
        if elapsed < PATIENCE {
            return;
        }
        if self.bar.is_hidden() && self.bar.length().is_none() {
            self.appear(progress.all_stored);
        }
        self.bar.set_position(progress.stored);
        self.bar.set_message(rates(progress, elapsed));
    }

    fn appear(&self, bytes: u64) {
        self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        self.bar.set_length(bytes);
        let style = ProgressStyle::with_template("{wide_bar} {percent}%  {msg}, {eta} left");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
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
