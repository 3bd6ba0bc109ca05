//! The disk: full, read-only, damaged; and what the operator can do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretwatch::demo::Record;
use secretwatch::model::WallTime;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cases;
use crate::rig::{Answer, Ended, Program, Rig};

/// Every file below `folder`, with what it holds.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

async fn store(rig: &Rig, arguments: &[&str]) -> Ended {
    rig.start(&[&["store"], arguments].concat()).ended().await
}

/// What `store check` says as JSON.
async fn survey(rig: &Rig, status: i32) -> Value {
    serde_json::from_str(&store(rig, &["check", "--format", "json"]).await.exits(status).stdout).unwrap()
}

/// A rig with 45 reads of three secrets, read and told.
async fn told() -> (Rig, BTreeSet<String>) {
    let rig = Rig::new().await;
    let expected: BTreeSet<String> =
        (0..45).map(|event| rig.read(["a", "b", "c"][event % 3], 600 + event as i64)).collect();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    (rig, expected)
}

#[tokio::test]
async fn a_store_that_is_well() {
    let (rig, _) = told().await;
    let before = files(&rig.state_dir());
    store(&rig, &["check"]).await.exits(0).prints("nothing is wrong with it");
    let survey = survey(&rig, 0).await;
    let rows = |name: &str| {
        let tables = survey["tables"].as_array().unwrap();
        tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("{survey:#}"))["rows"].clone()
    };
    assert_eq!((rows("accesses"), rows("event ids"), rows("incidents")), (45.into(), 45.into(), 3.into()));
    assert_eq!((&survey["damaged"], rows("deliveries done")), (&0.into(), rows("alerts")));
    store(&rig, &["renew"]).await.exits(64).says("--force");
    store(&rig, &["renew", "--force", "--since", "2y"]).await.exits(64).says("nothing older is read");
    assert_eq!(files(&rig.state_dir()), before, "nothing was changed");
}

#[tokio::test]
async fn a_store_that_is_missing_or_in_use() {
    let rig = Rig::new().await;
    for command in ["check", "renew"] {
        store(&rig, &[command]).await.exits(74).says("there is no store in");
        assert!(!rig.state_dir().exists(), "{command}");
    }
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 1).await;
    for command in ["check", "renew"] {
        store(&rig, &[command]).await.exits(75).says("another secretwatch is using");
    }
}

#[tokio::test]
async fn a_store_renewed_by_force_tells_nothing_again() {
    let (rig, mut expected) = told().await;
    // Queued for a receiver that takes nothing.
    rig.receiver.answers(Answer::Status(503));
    expected.insert(rig.read("d", 500));
    expected.insert(rig.read("a", 500));
    rig.once().await.exits(2);
    let ended = store(&rig, &["renew", "--force"]).await.exits(0).prints("db.damaged-");
    assert!(ended.stdout.contains("Event history is read again from"), "{ended}");
    survey(&rig, 0).await;
    rig.receiver.answers(Answer::Accept);
    rig.once_well().await;
    expected.insert(rig.read("b", 400));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    let openings = rig.told().kinds().iter().filter(|kind| **kind == "opened").count();
    assert_eq!(openings, 4, "incidents go on as what they were");
    survey(&rig, 0).await;
}

#[tokio::test]
async fn a_store_of_which_nothing_can_be_read() {
    for (arguments, again) in
        [(&["renew"][..], true), (&["renew", "--from-now"], false), (&["renew", "--since", "9m"], false)]
    {
        let (rig, mut expected) = told().await;
        let path = rig.state_dir().join("db/db");
        let damaged = vec![0x5a; fs::read(&path).unwrap().len()];
        fs::write(&path, &damaged).unwrap();
        rig.once().await.exits(74).says("secretwatch store renew");
        store(&rig, &["check"]).await.exits(74).says("secretwatch store renew");
        let damaged = fs::read(&path).unwrap();
        let ended = store(&rig, arguments).await.exits(0).prints("nothing of it could be read");
        assert_eq!(ended.stdout.contains("will be sent again"), again || arguments.len() == 3, "{ended}");
        let aside: Vec<_> = files(&rig.state_dir())
            .into_iter()
            .filter(|(path, _)| path.to_string_lossy().contains("db.damaged-"))
            .collect();
        assert!(aside.iter().any(|(_, bytes)| *bytes == damaged), "the old store is kept as it was");
        let before = rig.receiver.requests().len();
        rig.once_well().await;
        assert_eq!(rig.receiver.requests().len() > before, again, "{arguments:?}");
        expected.insert(rig.account.put(&Record::read("a").at(WallTime::now().second())));
        rig.once_well().await;
        assert_eq!(heard(&rig), expected, "{arguments:?}");
    }
}

/// The accesses that the receiver heard of, however often: once a store was lost, the same id may come with other times
/// of reading.
fn heard(rig: &Rig) -> BTreeSet<String> {
    let ids = |access: &Value| access["event_id"].as_str().unwrap().to_owned();
    let requests = rig.receiver.requests();
    requests.iter().flat_map(|request| request.body["accesses"].as_array().unwrap().iter().map(ids)).collect()
}

#[tokio::test]
async fn a_renewal_that_was_cut_short_is_finished_or_undone() {
    let (rig, mut expected) = told().await;
    let state = rig.state_dir();
    store(&rig, &["renew", "--force"]).await.exits(0);
    // As if the process had died between the two names.
    fs::rename(state.join("db"), state.join("db.new")).unwrap();
    survey(&rig, 0).await;
    expected.insert(rig.read("a", 500));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    // As if it had died before the new one was whole.
    fs::create_dir(state.join("db.new")).unwrap();
    fs::create_dir(state.join("db.copy")).unwrap();
    expected.insert(rig.read("a", 400));
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    assert!(!state.join("db.new").exists() && !state.join("db.copy").exists());
}

/// The program where no file may become larger than so many KiB: what a full disk does, without being root.
fn cramped(rig: &Rig, kib: u64, arguments: &[&str]) -> Command {
    let whole = rig.command(&[]);
    let script = format!("ulimit -f {}; trap '' XFSZ; exec \"$0\" \"$@\"", kib * 2);
    let mut command = Command::new("sh");
    command.env_clear().current_dir(whole.get_current_dir().unwrap());
    for (name, value) in whole.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.arg("-c").arg(script).arg(whole.get_program()).arg("--config").arg(rig.write_config()).args(arguments);
    command
}

async fn full_while_reading(kib: u64) {
    let rig = Rig::new().await;
    let expected: BTreeSet<String> =
        (0..500).map(|event| rig.read(["a", "b", "c"][event % 3], 600 + event as i64)).collect();
    let ended = Program::start(&mut cramped(&rig, kib, &["--once"])).ended().await.exits(74);
    assert!(ended.stderr.contains("make room") && ended.stderr.contains("state"), "{kib} KiB: {ended}");
    let sent = rig.told().covered("read");
    assert!(sent.len() < expected.len(), "{kib} KiB: {ended}");
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected, "{kib} KiB");
    survey(&rig, 0).await;
}

/// All at once: most of the time of each is waiting.
async fn all(cases: impl Iterator<Item: Future<Output = ()> + Send + 'static>) {
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(case);
    }
    while let Some(ended) = running.join_next().await {
        if let Err(failed) = ended {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_full_while_reading() {
    all([0, 8, 256, 520, 700].into_iter().map(full_while_reading)).await;
}

#[tokio::test]
async fn a_disk_that_is_full_while_delivering() {
    let rig = Rig::new().await;
    rig.receiver.answers(Answer::Status(503));
    let expected: BTreeSet<String> = (0..600).map(|event| rig.read(&format!("s{event}"), 600)).collect();
    rig.once().await.exits(2);
    rig.receiver.answers(Answer::Accept);
    let size = fs::metadata(rig.state_dir().join("db/db")).unwrap().len();
    let ended = Program::start(&mut cramped(&rig, size / 1024 + 1, &["--once"])).ended().await.exits(74);
    assert!(ended.stderr.contains("make room"), "{ended}");
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    survey(&rig, 0).await;
}

#[tokio::test]
async fn a_disk_that_is_read_only() {
    // A folder in which nobody, not even root, can make a file.
    let rig = Rig::new().await;
    std::os::unix::fs::symlink("/proc/self", rig.state_dir()).unwrap();
    rig.read("a", 600);
    let ended = rig.once().await.exits(74);
    assert!(ended.stderr.contains("state") && ended.stderr.contains("because"), "{ended}");
    assert!(rig.receiver.requests().is_empty());
}

/// Damage at places and of kinds drawn from `rng`, to files of the store. Says what was done.
fn damage(folder: &Path, rng: &mut fastrand::Rng) -> String {
    let all: Vec<PathBuf> = files(folder).into_keys().collect();
    let path = if rng.u8(..4) > 0 { folder.join("db") } else { rng.choice(&all).unwrap().clone() };
    let mut bytes = fs::read(&path).unwrap();
    // The file is longer than what is in use of it.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default() + 1;
    let at = rng.usize(..used);
    let what = match rng.u8(..4) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            bytes[at] ^= 1 << rng.u8(..8);
            "one bit flipped"
        }
        2 => {
            let end = used.min(at + rng.usize(1..4096));
            bytes[at..end].fill(0);
            "zeroed"
        }
        _ => {
            let end = used.min(at + rng.usize(1..64));
            bytes[at..end].iter_mut().for_each(|byte| *byte = rng.u8(..));
            "overwritten"
        }
    };
    fs::write(&path, bytes).unwrap();
    format!("{what} at {at} of {used}: {}", path.display())
}

/// Whether the damage of this seed was refused by a start.
async fn damaged(seed: u64) -> bool {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (rig, mut expected) = told().await;
    expected.extend((0..30).map(|event| rig.read(["a", "b"][event % 2], 300 + event as i64)));
    rig.once_well().await;
    let what = format!("seed {seed}: {}", damage(&rig.state_dir().join("db"), &mut rng));
    expected.insert(rig.read("c", 200));
    let ended = rig.once().await;
    assert!(matches!(ended.status, Some(0 | 74)), "{what}: {ended}");
    let refused = ended.status == Some(74);
    if refused {
        assert!(ended.stderr.contains("secretwatch store"), "{what}: {ended}");
    }
    // What lay in rows that nobody asked for, a start does not come across.
    if refused || store(&rig, &["check"]).await.status != Some(0) {
        store(&rig, &["renew"]).await.exits(0).prints("db.damaged-");
        rig.once_well().await;
    }
    survey(&rig, 0).await;
    assert_eq!(heard(&rig), expected, "{what}: {ended}");
    refused
}

#[tokio::test]
async fn damage_anywhere_is_either_harmless_or_told_and_can_be_renewed() {
    let seeds: Vec<u64> = (0..cases(24).cases.into()).collect();
    let mut refused = 0;
    for few in seeds.chunks(6) {
        let mut running: JoinSet<bool> = few.iter().copied().map(damaged).collect();
        while let Some(ended) = running.join_next().await {
            refused += usize::from(ended.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())));
        }
    }
    assert!(refused > 0, "nothing was refused");
}

/// The last writes lie where a byte was changed: sled takes that for the end of its log.
#[tokio::test]
async fn writes_that_were_durable_and_are_lost_are_missed() {
    let (rig, _) = told().await;
    let path = rig.state_dir().join("db/db");
    let before = fs::read(&path).unwrap();
    rig.read("z", 300);
    rig.once_well().await;
    fs::write(&path, before).unwrap();
    rig.once().await.exits(74).says("it has lost the last");
    store(&rig, &["renew"]).await.exits(0);
    rig.once_well().await;
}
