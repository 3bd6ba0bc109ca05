//! Log lines as systemd's journal keeps them: with a priority, and each field a field of its own, so that
//! `journalctl SECRETWATCH_ALERT=…` finds what was said about one alert, and `-p warning` what somebody should read.
//!
//! A [`Journal`] is there if standard error leads to the journal. An entry is one datagram of `NAME=value` lines to its
//! socket; `MESSAGE` is what the terminal would show, without the time, which the journal knows. What the socket does
//! not take goes to standard error with its priority in front, and so reaches the journal all the same, without fields.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the journal takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Under which name entries stand.
const IDENTIFIER: &str = "secretwatch";

/// What our fields begin with, since all programs share the names.
const PREFIX: &str = "SECRETWATCH_";

/// The journal takes no longer names.
const NAME_MAX: usize = 64;

/// The journal behind standard error.
pub(super) struct Journal {
    socket: UnixDatagram,
}

/// What is said of one event.
#[derive(Default)]
struct Entry {
    message: String,
    /// The fields, as they stand behind the message.
    words: String,
    /// The same as the journal takes them.
    fields: Vec<u8>,
}

impl Journal {
    /// The journal, if standard error leads there.
    pub(super) fn behind_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        // Without it every entry goes to standard error, which still is the journal.
        let _ = socket.connect(SOCKET);
        Some(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let priority = priority(*event.metadata().level());
        if self.socket.send(&entry.datagram(priority)).is_err() {
            // If this fails, too, nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "<{priority}>{}", entry.line().replace('\n', " "));
        }
    }
}

impl Entry {
    fn line(&self) -> String {
        format!("{}{}", self.message, self.words)
    }

    fn datagram(&self, priority: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_field(&mut bytes, "PRIORITY", &priority.to_string());
        write_field(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
        write_field(&mut bytes, "MESSAGE", &self.line());
        bytes.extend_from_slice(&self.fields);
        bytes
    }

    /// Takes in a field whose value is `value`, and is shown as `shown`.
    fn add(&mut self, field: &Field, value: &str, shown: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        // Writing to a string cannot fail.
        let _ = write!(self.words, " {}={shown}", field.name());
        write_field(&mut self.fields, &name(field.name()), value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value, &format!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        self.add(field, &value, &value);
    }
}

/// As syslog counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The name of a field of ours.
fn name(field: &str) -> String {
    let upper = field.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    PREFIX.chars().chain(upper).take(NAME_MAX).collect()
}

/// One field: on a line, or with its length in front where its value has lines of its own.
fn write_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What a journal at the other end of the socket gets of what `say` says.
    fn heard(say: impl FnOnce()) -> Vec<String> {
        let (socket, journal) = UnixDatagram::pair().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal { socket }), say);
        let mut bytes = [0; 4096];
        let length = journal.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_is_an_entry_with_its_fields() {
        let why = Some("denied: \"x\"");
        let lines = heard(|| tracing::warn!(source = %"self/us-east-1", why, requests = 3, "pass incomplete"));
        let expected = [
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=secretwatch",
            r#"MESSAGE=pass incomplete source=self/us-east-1 why="denied: \"x\"" requests=3"#,
            "SECRETWATCH_SOURCE=self/us-east-1",
            r#"SECRETWATCH_WHY=denied: "x""#,
            "SECRETWATCH_REQUESTS=3",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_value_of_several_lines_cannot_pass_for_another_field() {
        let lines = heard(|| tracing::info!(error = "a\nPRIORITY=0", "x"));
        let at = lines.iter().position(|line| line == "SECRETWATCH_ERROR").unwrap();
        assert_eq!(lines[at + 1], "\u{c}\0\0\0\0\0\0\0a");
        assert_eq!(lines[2], r#"MESSAGE=x error="a\nPRIORITY=0""#);
    }

    #[test]
    fn names_are_such_as_the_journal_takes() {
        for (field, expected) in
            [("alert", "SECRETWATCH_ALERT"), ("log.file", "SECRETWATCH_LOG_FILE"), ("é", "SECRETWATCH__")]
        {
            assert_eq!(name(field), expected);
        }
        assert_eq!(name(&"x".repeat(100)).len(), NAME_MAX);
    }
}
