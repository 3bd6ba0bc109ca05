//! The daemon as a service: what it says to systemd, and a configuration that is read again while it runs.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;

use secretwatch::demo::{Call, Fault, Injection};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::rig::{Answer, EVERY_READ, Program, Receiver, Rig, Told};

/// A second rule, whose alerts hold what the first one's hold.
const ANOTHER: &str = "[[rule]]\nname = \"another\"\nevents = [\"GetSecretValue\"]\nupdate_every = \"0s\"\n";

/// systemd's end of the notification socket.
struct Systemd {
    heard: watch::Receiver<Vec<String>>,
}

impl Systemd {
    /// Listens in the rig's folder, for ever.
    fn listens(rig: &Rig) -> Self {
        let socket = UnixDatagram::bind(rig.path("notify")).unwrap();
        let (words, heard) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                let lines = String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect::<Vec<_>>();
                words.send_modify(|heard| heard.extend(lines));
            }
        });
        Self { heard }
    }

    /// The daemon under it; it wants to hear every so often that the daemon is alive.
    fn starts(rig: &Rig) -> Program {
        let config = rig.write_config();
        let mut command = rig.command(&["--config"]);
        command.arg(config).env("NOTIFY_SOCKET", rig.path("notify")).env("WATCHDOG_USEC", "300000");
        Program::start(&mut command)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.borrow().clone()
    }

    fn times(&self, word: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(word)).count()
    }

    async fn until(&self, program: &Program, word: &str, times: usize) {
        let mut heard = self.heard.clone();
        let said = heard.wait_for(|heard| heard.iter().filter(|line| line.starts_with(word)).count() >= times);
        program.within(&format!("{word} for systemd, {times} times"), said).await.unwrap();
    }
}

#[tokio::test]
async fn systemd_is_told_how_it_goes() {
    let rig = Rig::new().await;
    let systemd = Systemd::listens(&rig);
    let daemon = Systemd::starts(&rig);
    systemd.until(&daemon, "READY=1", 1).await;
    systemd.until(&daemon, "STATUS=Watching 1 source, which is fresh; no incident open; read through at 2", 1).await;
    systemd.until(&daemon, "WATCHDOG=1", 5).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert_eq!(systemd.heard()[0], "READY=1");
    systemd.heard().iter().rposition(|line| line == "STOPPING=1").expect("its end is told");
}

#[tokio::test]
async fn health_is_asked_for_beside_the_daemon() {
    let rig = Rig::new().await;
    let health = || Program::start(rig.command(&["health", "--config"]).arg(rig.path("config.toml")));
    rig.write_config();
    health().ended().await.exits(1).says("no daemon answers");
    let daemon = rig.daemon();
    daemon.until_logged(" pass ").await;
    let well = health().ended().await.exits(0);
    assert!(well.stdout.starts_with("Watching 1 source, which is fresh; "), "{well}");
    // A source that cannot be read is no reason for a restart.
    rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    daemon.until_logged("pass incomplete").await;
    let well = health().ended().await.exits(0);
    assert!(well.stdout.contains("AWS does not allow the lookup"), "{well}");
    daemon.signal("HUP");
    daemon.until_logged_times(" watching ", 2).await;
    health().ended().await.exits(0);
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    health().ended().await.exits(1);
}

#[tokio::test]
async fn a_source_that_refuses_shows_in_the_status() {
    let rig = Rig::new().await;
    rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    let systemd = Systemd::listens(&rig);
    let daemon = Systemd::starts(&rig);
    systemd.until(&daemon, "STATUS=self/us-east-1 was not read through: AWS does not allow", 1).await;
    assert!(systemd.times("WATCHDOG=1") > 0, "that is no reason for a restart");
}

#[tokio::test]
async fn an_environment_without_systemd_is_told_nothing() {
    let rig = Rig::new().await;
    rig.read("prod/db", 600);
    let daemon = Program::start(rig.command(&["--config"]).arg(rig.write_config()).env("NOTIFY_SOCKET", ""));
    daemon.within("an alert", rig.receiver.until(|requests| !requests.is_empty())).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}

#[tokio::test]
async fn a_new_configuration_comes_into_force_and_nothing_is_told_twice() {
    let mut rig = Rig::new().await;
    let systemd = Systemd::listens(&rig);
    let mut expected = BTreeSet::from([rig.read("a", 600), rig.read("b", 590)]);
    let daemon = Systemd::starts(&rig);
    rig.until_covered(&daemon, "read", &expected).await;

    let second = Receiver::up();
    rig.tables(format!(
        "{EVERY_READ}update_every = \"0s\"\n{ANOTHER}[notify.second]\ntype = \"webhook\"\nurl = \"{}\"\n",
        second.url()
    ));
    rig.write_config();
    daemon.signal("HUP");
    systemd.until(&daemon, "READY=1", 2).await;
    // What is stored counts for the new rule, and the old one goes on.
    rig.until_covered(&daemon, "another", &expected).await;
    expected.insert(rig.read("a", 580));
    rig.until_covered(&daemon, "read", &expected).await;
    rig.until_covered(&daemon, "another", &expected).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);

    for rule in ["read", "another"] {
        assert_eq!(rig.told().covered(rule), expected);
    }
    assert_eq!(rig.receiver.requests().len(), 6, "each alert once");
    let second_told: Vec<_> = second.requests().iter().map(|it| it.body["rule"]["name"].to_string()).collect();
    assert_eq!(second_told.iter().filter(|rule| *rule == "\"another\"").count(), 3, "{second_told:?}");
    let reloading = systemd.heard().iter().position(|line| line == "RELOADING=1").expect("it is told");
    assert!(systemd.heard()[reloading + 1].starts_with("MONOTONIC_USEC="));
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_the_old_one_goes_on() {
    let mut rig = Rig::new().await;
    let systemd = Systemd::listens(&rig);
    let daemon = Systemd::starts(&rig);
    rig.until_lookups(&daemon, 1).await;
    let good = std::fs::read_to_string(rig.write_config()).unwrap();
    let elsewhere = good.replace("/state\"", "/elsewhere\"");
    for (times, (text, complaint)) in (2..).zip([
        ("[poll]\nintervall = \"5s\"\n", "config.toml:2:1: poll.intervall"),
        (elsewhere.as_str(), "state_dir cannot change"),
        ("\u{0}", "config.toml:1:1"),
    ]) {
        std::fs::write(rig.path("config.toml"), text).unwrap();
        daemon.signal("HUP");
        daemon.until_logged(complaint).await;
        daemon.until_logged_times("the old one goes on", times - 1).await;
        systemd.until(&daemon, "READY=1", times).await;
    }
    systemd
        .until(&daemon, "STATUS=the new configuration is wrong, the log says why, and the old one goes on; Watching", 1)
        .await;
    std::fs::remove_file(rig.path("config.toml")).unwrap();
    daemon.signal("HUP");
    daemon.until_logged("cannot be read").await;
    assert!(!rig.path("elsewhere").exists());

    let read = rig.read("prod/db", 600);
    rig.until_covered(&daemon, "read", &BTreeSet::from([read])).await;
    rig.hook("min_severity = \"low\"");
    rig.write_config();
    daemon.signal("HUP");
    daemon.until_logged_times(" watching ", 2).await;
    let status = systemd.heard().iter().rfind(|line| line.starts_with("STATUS=")).cloned();
    assert!(status.is_some_and(|status| !status.contains("wrong")), "what was wrong is mended");
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
}

/// A daemon that was asked to read its configuration again, while a page that it has asked for hangs.
struct Reloading {
    rig: Rig,
    /// The reads, on two pages, the second of which hangs until `release`.
    expected: BTreeSet<String>,
    release: CancellationToken,
    systemd: Systemd,
    daemon: Program,
}

impl Reloading {
    async fn begin() -> Self {
        let mut rig = Rig::new().await;
        rig.tables(format!("{EVERY_READ}update_every = \"0s\"\n"));
        let expected = (0..90).map(|event| rig.read("prod/db", 600 + event)).collect();
        let release = CancellationToken::new();
        let later = |call: &Call| call.operation == "LookupEvents" && call.parameters.get("NextToken").is_some();
        rig.account.inject(Injection::when(later, Fault::Hang(release.clone())));
        let systemd = Systemd::listens(&rig);
        let daemon = Systemd::starts(&rig);
        rig.until_hanging(&daemon).await;
        daemon.signal("HUP");
        systemd.until(&daemon, "RELOADING=1", 1).await;
        Self { rig, expected, release, systemd, daemon }
    }
}

#[tokio::test]
async fn the_state_stays_locked_while_one_configuration_follows_another() {
    let Reloading { rig, expected, release, systemd, daemon } = Reloading::begin().await;
    let second = || Program::start(rig.command(&["--once", "--config"]).arg(rig.path("config.toml")));
    second().ended().await.exits(75);
    release.cancel();
    systemd.until(&daemon, "READY=1", 2).await;
    second().ended().await.exits(75);
    rig.until_covered(&daemon, "read", &expected).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_next_configuration() {
    let Reloading { rig, expected, release, daemon, .. } = Reloading::begin().await;
    daemon.signal("TERM");
    // The page in hand would hold a reload up for longer than any test waits.
    daemon.ended().await.exits(0);
    release.cancel();
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
}

#[tokio::test]
async fn a_delivery_in_hand_is_not_made_again_by_the_next_configuration() {
    let rig = Rig::new().await;
    let release = CancellationToken::new();
    rig.receiver.answers(Answer::Hold(release.clone()));
    rig.read("prod/db", 600);
    let systemd = Systemd::listens(&rig);
    let daemon = Systemd::starts(&rig);
    daemon.within("a request", rig.receiver.until(|requests| !requests.is_empty())).await;
    daemon.signal("HUP");
    systemd.until(&daemon, "RELOADING=1", 1).await;
    release.cancel();
    systemd.until(&daemon, "READY=1", 2).await;
    rig.until_lookups(&daemon, 2).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);
}

#[tokio::test]
async fn hung_up_over_and_over_it_tells_each_access_once() {
    let rig = Rig::new().await;
    let mut expected = BTreeSet::new();
    let daemon = rig.daemon();
    for round in 0..12 {
        expected.insert(rig.read("prod/db", 600 + round));
        rig.until_lookups(&daemon, 1).await;
        daemon.signal("HUP");
    }
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), expected);
    let ids: Vec<String> = rig.receiver.requests().iter().map(|request| request.body["id"].to_string()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "no alert was sent twice");
}

/// Fargate's disk is gone with its task: the next one begins anew, and sends equal alerts with equal ids.
#[tokio::test]
async fn a_start_without_its_state_repeats_what_it_told_under_the_same_ids() {
    let mut rig = Rig::new().await;
    rig.poll("backfill", "\"1h\"");
    // Half of them lie further back than the first run looks, and none where a slow machine could move the border.
    let ago = |event: i64| if event < 40 { 2_000 + 10 * event } else { 6_000 + 10 * event };
    let secret = |event: i64| ["a", "b", "c", "d"][event.rem_euclid(4) as usize];
    let reads: Vec<String> = (0..80).map(|event| rig.read(secret(event), ago(event))).collect();
    let recent: BTreeSet<String> = reads.iter().take(40).cloned().collect();
    let told_by_a_daemon = |rig: &Rig, from: usize| {
        let told = rig.receiver.requests().split_off(from);
        let ids: BTreeSet<String> = told.iter().map(|request| request.body["id"].to_string()).collect();
        assert_eq!(ids.len(), told.len(), "each alert once");
        (ids, Told::by(&told).covered("read"))
    };
    rig.once_well().await;
    let (first, covered) = told_by_a_daemon(&rig, 0);
    assert_eq!(covered, recent);
    std::fs::remove_dir_all(rig.state_dir()).unwrap();
    let before = rig.receiver.requests().len();
    rig.once_well().await;
    let (second, again) = told_by_a_daemon(&rig, before);
    assert_eq!(again, covered);
    assert_eq!(second, first, "equal accesses, equal ids");
}
