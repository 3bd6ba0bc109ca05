//! What the black-box tests stand on: an account of straw, a receiver, a folder, and the real program between them.
//!
//! A [`Rig`] holds the three and writes the configuration; [`Rig::once`] and [`Rig::daemon`] start the program that
//! cargo has built, with an environment that holds nothing but what is said here. What it is doing shows from outside
//! only: in the account's calls, in the receiver's requests, in its output. So tests wait for those, never for time to
//! pass, and every wait ends after [`PATIENCE`] with all that the program has said. [`Told`] judges what the receiver
//! was told.

pub(crate) mod paused;
mod program;
mod receiver;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secretwatch::demo::{Account, Call, Record, Settings};
use secretwatch::model::{EventTime, WallTime};

pub(crate) use program::{Ended, Program};
pub(crate) use receiver::{Answer, Receiver, Request};
pub(crate) use told::{Told, text};

/// How long anything may take. Generous, since a slow machine is no fault of the program.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The rule of most tests: every read counts, one incident for each secret.
pub(crate) const EVERY_READ: &str = "[[rule]]\nname = \"read\"\nevents = [\"GetSecretValue\"]\n";

/// One account, one receiver, one state directory.
pub(crate) struct Rig {
    pub(crate) account: Account,
    pub(crate) receiver: Receiver,
    folder: tempfile::TempDir,
    /// When the rig was made; the tests count back from here.
    base: EventTime,
    poll: BTreeMap<String, String>,
    /// Rules, accounts and notifiers besides the receiver.
    tables: String,
    /// Keys of the receiver's own table.
    hook: String,
}

impl Rig {
    /// An account without quota, in which nothing is late, and the rule [`EVERY_READ`].
    pub(crate) async fn new() -> Self {
        Self::with(Settings { quota: None, ..Settings::default() }).await
    }

    /// The same with an account of one's own.
    pub(crate) async fn with(settings: Settings) -> Self {
        let poll = [
            ("interval", "\"1s\""),
            ("requests_per_second", "2.0"),
            ("recheck", "\"0s\""),
            ("inventory", "false"),
            ("stale_after", "\"1h\""),
        ];
        Self {
            account: Account::start(settings).await.expect("loopback has a free port"),
            receiver: Receiver::up(),
            folder: tempfile::tempdir().expect("a folder can be made"),
            base: WallTime::now().second(),
            poll: poll.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            tables: EVERY_READ.to_owned(),
            hook: String::new(),
        }
    }

    /// Sets a key of `[poll]`; `value` is TOML.
    pub(crate) fn poll(&mut self, key: &str, value: &str) -> &mut Self {
        self.poll.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Leaves a key of `[poll]` out.
    pub(crate) fn without_poll(&mut self, key: &str) -> &mut Self {
        self.poll.remove(key);
        self
    }

    /// Replaces everything but `[poll]` and the receiver.
    pub(crate) fn tables(&mut self, toml: impl Into<String>) -> &mut Self {
        self.tables = toml.into();
        self
    }

    /// Adds a key to the receiver's table.
    pub(crate) fn hook(&mut self, line: &str) -> &mut Self {
        self.hook += line;
        self.hook.push('\n');
        self
    }

    /// So many seconds before the rig was made.
    pub(crate) fn ago(&self, secs: i64) -> EventTime {
        self.base.minus(secs)
    }

    /// Puts a read of `secret` so many seconds ago into the Event history.
    pub(crate) fn read(&self, secret: &str, secs_ago: i64) -> String {
        self.account.put(&Record::read(secret).at(self.ago(secs_ago)))
    }

    /// A path in the rig's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the program keeps its state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes the configuration as it stands now.
    pub(crate) fn write_config(&self) -> PathBuf {
        let poll: String = self.poll.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let (state, url) = (self.state_dir(), self.receiver.url());
        let hook = format!("[notify.hook]\ntype = \"webhook\"\nurl = \"{url}\"\n{}", self.hook);
        // Many run at a time.
        let status = if self.tables.contains("[status]") { "" } else { "[status]\nlisten = \"\"\n" };
        let text = format!("state_dir = {state:?}\n[poll]\n{poll}\n{hook}\n{status}{}", self.tables);
        let path = self.path("config.toml");
        std::fs::write(&path, text).expect("the configuration can be written");
        path
    }

    /// The program with these arguments, aimed at the account and at nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command.env("AWS_ENDPOINT_URL", self.account.url()).args(arguments);
        command
    }

    /// The daemon, started.
    pub(crate) fn daemon(&self) -> Program {
        self.start(&[])
    }

    /// One pass, to its end.
    pub(crate) async fn once(&self) -> Ended {
        self.start(&["--once"]).ended().await
    }

    /// One pass that has nothing to complain about.
    pub(crate) async fn once_well(&self) {
        self.once().await.exits(0);
    }

    /// The program with the configuration as it stands now and further arguments.
    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        let config = self.write_config();
        Program::start(self.command(&["--config"]).arg(config).args(arguments))
    }

    /// What the receiver was told so far.
    pub(crate) fn told(&self) -> Told {
        Told::by(&self.receiver.requests())
    }

    /// Waits until the receiver has accepted an alert for each of these accesses.
    pub(crate) async fn until_covered(&self, program: &Program, rule: &str, expected: &BTreeSet<String>) {
        let covered = self.receiver.until(|requests| Told::by(requests).covered(rule).is_superset(expected));
        program.within("alerts for every expected access", covered).await;
    }

    /// Waits until the account was asked for a further page and has not answered.
    pub(crate) async fn until_hanging(&self, program: &Program) {
        let hangs = |call: &Call| call.answer.is_none() && call.parameters.get("NextToken").is_some();
        let hanging = self.account.until(|account| account.calls_of("LookupEvents").iter().any(hangs));
        program.within("a request that hangs", hanging).await;
    }

    /// Waits until so many more lookups were answered.
    pub(crate) async fn until_lookups(&self, program: &Program, more: usize) {
        let answered =
            |account: &Account| account.calls_of("LookupEvents").iter().filter(|call| call.answer.is_some()).count();
        let goal = answered(&self.account) + more;
        program.within("more lookups", self.account.until(|account| answered(account) >= goal)).await;
    }
}

/// A folder in which commands are run, without an account.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        Program::start(program(self.path()).args(arguments)).ended().await
    }
}

/// The program, in `folder` and with an environment that knows of no AWS account, real or not.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secretwatch"));
    command
        .env_clear()
        .env("HOME", folder)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not a real key")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(folder);
    command
}

/// The ids among `accesses` that lie in a window of `window` seconds with at least `threshold` of them: the definition,
/// and nothing but the definition.
pub(crate) fn crossing(accesses: &[(String, EventTime)], threshold: usize, window: i64) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for (_, end) in accesses {
        let inside = |at: EventTime| end.minus(window) < at && at <= *end;
        let ids: Vec<_> = accesses.iter().filter(|(_, at)| inside(*at)).map(|(id, _)| id.clone()).collect();
        if ids.len() >= threshold {
            covered.extend(ids);
        }
    }
    covered
}
