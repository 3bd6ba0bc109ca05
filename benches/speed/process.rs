//! The shipped program as a process of its own, and what Linux tells of it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secretwatch::demo::{Account, Settings};

/// In which `/proc` counts processor time, whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// The state's folder.
const STATE: &str = "state";

/// Regions that an account is read in, where there are many sources.
const REGIONS: [&str; 10] = [
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-central-1",
    "eu-north-1",
    "ap-south-1",
    "ap-southeast-2",
    "sa-east-1",
];

/// An account on loopback, and a folder from which the program is run against it.
pub(crate) struct Stage {
    pub(crate) account: Account,
    folder: tempfile::TempDir,
}

/// A running program. Dropped, it is killed.
pub(crate) struct Program(Child);

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Stage {
    /// A stage whose program polls with these keys of `[poll]`, as many sources as there shall be.
    pub(crate) async fn set(settings: Settings, poll: &str, sources: usize) -> io::Result<Self> {
        let account = Account::start(settings).await?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let topic = account.add_topic("security");
        let mut text = format!("state_dir = {:?}\n[poll]\n{poll}\n", folder.path().join(STATE));
        text += &accounts(sources);
        text += &format!("[notify.mail]\ntype = \"sns\"\ntopic_arn = \"{topic}\"\nformat = \"json\"\n");
        let stage = Self { account, folder };
        std::fs::write(stage.config(), text)?;
        Ok(stage)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join(STATE)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// The program, aimed at the account and at nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secretwatch"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not a real key")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.account.url())
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn start(&self) -> io::Result<Program> {
        self.command(&[]).spawn().map(Program)
    }

    /// LookupEvents calls so far.
    pub(crate) fn lookups(&self) -> usize {
        self.account.calls_of("LookupEvents").len()
    }
}

/// None for one source; else a role in each account, and ten Regions of each.
fn accounts(sources: usize) -> String {
    let mut text = String::new();
    let (mut left, mut number) = (if sources > 1 { sources } else { 0 }, 100_000_000_000_u64);
    while left > 0 {
        let regions = &REGIONS[..left.min(REGIONS.len())];
        let role = format!("arn:aws:iam::{number}:role/watch/secretwatch");
        let _ = write!(text, "[[account]]\nname = \"a{number}\"\nrole_arn = \"{role}\"\nregions = {regions:?}\n");
        (left, number) = (left - regions.len(), number + 1);
    }
    text
}

impl Program {
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let process = PathBuf::from(format!("/proc/{}", self.0.id()));
        let cpu = on_cpu(&process.join("task"))?;
        let status = std::fs::read_to_string(process.join("status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Usage { cpu, resident: kib("VmRSS:") * 1024, peak: kib("VmHWM:") * 1024 })
    }

    /// Connections that it holds open, and other files.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time of a process's threads. `stat` knows it by hundredths of a second alone.
fn on_cpu(tasks: &Path) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir(tasks)? {
        // A thread may end while we look.
        let times = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += times.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Processor time of the children of a process that have ended.
pub(crate) fn children(stat: &Path) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(stat)?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<u32> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let ticks = |at: usize| fields.get(at).copied().unwrap_or(0);
    Ok(TICK * (ticks(13) + ticks(14)))
}
