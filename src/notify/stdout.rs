//! Standard output as a notifier: one JSON alert a line.
//!
//! The lines go to the file behind standard output and not through [`std::io::Stdout`], whose buffer would keep the
//! rest of a line that could not be written and put it in front of the next one. Writing happens on a thread of its
//! own, because a pipe whose reader has stopped reading blocks for ever; such a thread is left behind and, while it
//! hangs, no other is started.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::format::Letter;
use super::sender::{BadNotifier, Outcome};

/// How long one line may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes alerts as lines.
pub struct Stdout {
    out: Arc<Mutex<Lines>>,
}

impl std::fmt::Debug for Stdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

struct Lines {
    to: Box<dyn Write + Send>,
    /// Whether the last line may have been written in part only.
    torn: bool,
}

impl Stdout {
    /// Writes to standard output.
    pub(super) fn new(notifier: &str) -> Result<Self, BadNotifier> {
        let fd = io::stdout().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|e| BadNotifier::new(notifier, "standard output cannot be used", Some(e.into())))?;
        Ok(Self::to(File::from(fd)))
    }

    fn to(writer: impl Write + Send + 'static) -> Self {
        Self { out: Arc::new(Mutex::new(Lines { to: Box::new(writer), torn: false })) }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Outcome {
        let line = match line(letter) {
            Ok(line) => line,
            Err(error) => return Outcome::permanent(format!("alert cannot be written as JSON: {error}")),
        };
        let (done, written) = oneshot::channel();
        let out = Arc::clone(&self.out);
        // Not a blocking task of the runtime: the runtime would wait for it when the program ends.
        let thread = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = done.send(write(&out, &line));
        });
        if let Err(error) = thread {
            return Outcome::transient(format!("cannot start a thread: {error}"));
        }
        match tokio::time::timeout(TIMEOUT, written).await {
            Ok(Ok(Ok(()))) => Outcome::Accepted,
            Ok(Ok(Err(error))) => Outcome::transient(format!("cannot write to standard output: {error}")),
            Ok(Err(_)) => Outcome::transient("the thread that writes to standard output ended early"),
            Err(_) => Outcome::transient("standard output takes no more"),
        }
    }
}

/// The alert as JSON. A line has no headers, so what stands in for another notifier says so in a key of its own.
fn line(letter: &Letter<'_>) -> Result<String, serde_json::Error> {
    let json = match letter.fallback_for {
        None => serde_json::to_string(letter.alert)?,
        Some(notifier) => {
            let mut value = serde_json::to_value(letter.alert)?;
            if let Some(keys) = value.as_object_mut() {
                keys.insert("fallback_for".to_owned(), notifier.into());
            }
            value.to_string()
        }
    };
    Ok(json + "\n")
}

fn write(out: &Mutex<Lines>, line: &str) -> io::Result<()> {
    let mut out = match out.try_lock() {
        Ok(out) => out,
        Err(TryLockError::WouldBlock) => return Err(io::Error::other("an earlier line is still being written")),
        Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
    };
    if out.torn {
        out.to.write_all(b"\n")?;
    }
    out.torn = true;
    out.to.write_all(line.as_bytes())?;
    out.to.flush()?;
    out.torn = false;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;
    use crate::model::fixture::{access, alert};
    use crate::model::{Alert, AlertKind};

    fn opened() -> Alert {
        alert(AlertKind::Opened, vec![access(0)])
    }

    #[tokio::test]
    async fn an_alert_is_one_line_of_json() {
        let (mut reader, writer) = io::pipe().unwrap();
        let stdout = Stdout::to(writer);
        for _ in 0..2 {
            assert_eq!(stdout.send(&Letter::of(&opened())).await, Outcome::Accepted);
        }
        drop(stdout);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let alerts: Vec<Alert> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(alerts, [opened(), opened()]);
        assert!(text.ends_with('\n'));
    }

    #[tokio::test]
    async fn alerts_sent_at_once_do_not_mix() {
        let (reader, writer) = io::pipe().unwrap();
        let lines = std::thread::spawn(|| BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
        let stdout = Arc::new(Stdout::to(writer));
        let big = alert(AlertKind::Opened, (0..400).map(access).collect());
        let sends: Vec<_> = (0..8)
            .map(|_| {
                let (stdout, big) = (Arc::clone(&stdout), big.clone());
                tokio::spawn(async move { stdout.send(&Letter::of(&big)).await })
            })
            .collect();
        let mut accepted = 0;
        for send in sends {
            accepted += usize::from(send.await.unwrap() == Outcome::Accepted);
        }
        drop(stdout);
        let lines = lines.join().unwrap();
        assert!(accepted >= 1 && lines.len() == accepted);
        assert!(lines.iter().all(|line| serde_json::from_str::<Alert>(line).unwrap() == big));
    }

    #[tokio::test]
    async fn a_broken_pipe_is_a_failure_that_may_heal() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let Outcome::Transient { error, .. } = Stdout::to(writer).send(&Letter::of(&opened())).await else {
            panic!("accepted")
        };
        assert!(error.starts_with("cannot write to standard output: "), "{error}");
    }

    /// Takes a few bytes, then fails, then takes everything.
    struct Full {
        taken: Arc<Mutex<Vec<u8>>>,
        answers: Vec<usize>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.answers.pop().unwrap_or(usize::MAX).min(bytes.len());
            self.taken.lock().unwrap().extend_from_slice(&bytes[..room]);
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_after_a_torn_one_stands_by_itself() {
        let taken = Arc::default();
        let stdout = Stdout::to(Full { taken: Arc::clone(&taken), answers: vec![0, 10] });
        assert!(matches!(stdout.send(&Letter::of(&opened())).await, Outcome::Transient { .. }));
        assert_eq!(stdout.send(&Letter::of(&opened())).await, Outcome::Accepted);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        assert_eq!(text, format!("{{\"schema\":\n{}\n", serde_json::to_string(&opened()).unwrap()));
    }

    /// Blocks until it is told to go on.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Its sender is dropped when the test ends.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_reading_holds_up_nobody() {
        let (go_on, stuck) = std::sync::mpsc::channel();
        let stdout = Stdout::to(Stuck(stuck));
        assert_eq!(stdout.send(&Letter::of(&opened())).await, Outcome::transient("standard output takes no more"));
        let again = stdout.send(&Letter::of(&opened())).await;
        let Outcome::Transient { error, .. } = again else { panic!("accepted") };
        assert!(error.contains("still being written") || error.contains("takes no more"), "{error}");
        drop(go_on);
    }
}
