//! One run of the program: what it says, how it ends, and the ways to end it.
//!
//! Both pipes are read by threads from the first byte to the last, so that a program that talks a lot never waits for
//! us. That both have ended is also how its end is noticed.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::PATIENCE;

/// A running program. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
}

/// A program that has ended.
pub(crate) struct Ended {
    /// The exit status; none: killed by a signal.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What came out of one pipe so far.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Changes with every piece, and says in the end that there will be none.
    open: watch::Receiver<bool>,
}

impl Program {
    /// Starts it, with nothing to read on its standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::fed(command.stdin(Stdio::null()))
    }

    /// Starts it, with the standard input that `command` has.
    pub(crate) fn fed(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        Self { child, stdout: Pipe::new(stdout), stderr: Pipe::new(stderr) }
    }

    /// Waits for `future`, and fails with all that was said if that takes too long.
    pub(crate) async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("waited in vain for {what}\n{}", self.said()),
        }
    }

    /// Waits until `text` stands in its log.
    pub(crate) async fn until_logged(&self, text: &str) {
        self.within(&format!("{text:?} in the log"), self.stderr.until(|said| said.contains(text))).await;
    }

    /// Waits until `text` stands in its log so many times.
    pub(crate) async fn until_logged_times(&self, text: &str, times: usize) {
        let often = |said: &str| said.matches(text).count() >= times;
        self.within(&format!("{text:?} in the log, {times} times"), self.stderr.until(often)).await;
    }

    /// Waits until its standard output satisfies `holds`.
    pub(crate) async fn until_printed(&self, what: &str, holds: impl Fn(&str) -> bool) {
        self.within(what, self.stdout.until(holds)).await;
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill can be run");
        assert!(sent.success(), "no signal {name} for {id}\n{}", self.said());
    }

    /// Kills it like the machine's end: no signal that it could see.
    pub(crate) async fn kill(mut self) -> Ended {
        self.child.kill().expect("a child can be killed");
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        self.within("the end of the program", async {
            self.stdout.ended().await;
            self.stderr.ended().await;
        })
        .await;
        let status = self.child.wait().expect("a child has a status").code();
        let ended = Ended { status, stdout: self.stdout.text(), stderr: self.stderr.text() };
        assert!(!ended.stderr.contains("panicked"), "{ended}");
        ended
    }

    fn said(&self) -> String {
        format!("── stdout ──\n{}\n── stderr ──\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Asserts the exit status.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        self
    }

    /// Asserts that `text` stands in its log.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        self
    }

    /// Asserts that `text` stands in what it printed.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} printed\n{self}");
        self
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {:?}\n── stdout ──\n{}\n── stderr ──\n{}", self.status, self.stdout, self.stderr)
    }
}

impl Pipe {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (news, open) = watch::channel(true);
        let into = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..length]);
                news.send_replace(true);
            }
            news.send_replace(false);
        });
        Self { bytes, open }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    async fn until(&self, holds: impl Fn(&str) -> bool) {
        let mut news = self.open.clone();
        loop {
            let open = *news.borrow_and_update();
            if holds(&self.text()) {
                return;
            }
            // What has ended says no more: whoever waits shall see by the deadline what it was.
            if !open || news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn ended(&self) {
        // An error means that the reading thread is gone, and with it the pipe.
        let _ = self.open.clone().wait_for(|open| !open).await;
    }
}
