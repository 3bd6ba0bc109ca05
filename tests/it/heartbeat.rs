//! The heartbeat, as whoever waits for it sees it: it comes while all is well, and stays away when something is not.

use secretwatch::demo::{Fault, Injection};

use crate::rig::{Answer, EVERY_READ, Program, Receiver, Rig};

/// What nobody but the monitor may see of the URL.
const TOKEN: &str = "8c0a9d5e";

/// An account and a receiver, and a monitor that waits for a ping a second.
struct Watched {
    rig: Rig,
    monitor: Receiver,
}

impl Watched {
    async fn new() -> Self {
        let mut rig = Rig::new().await;
        let monitor = Receiver::up();
        let url = format!("{}/{TOKEN}?key={TOKEN}", monitor.url());
        rig.tables(format!("{EVERY_READ}[heartbeat]\nurl = \"{url}\"\nevery = \"1s\"\n"));
        Self { rig, monitor }
    }

    fn pings(&self) -> usize {
        self.monitor.requests().len()
    }

    async fn until_pings(&self, program: &Program, more: usize) {
        let goal = self.pings() + more;
        program.within("more pings", self.monitor.until(|pings| pings.len() >= goal)).await;
    }

    /// For as long as it takes to make so many more lookups there is no ping.
    async fn is_silent(&self, program: &Program) {
        let before = self.pings();
        self.rig.until_lookups(program, 4).await;
        assert_eq!(self.pings(), before);
    }

    /// Ends it, and looks into its log.
    async fn ends_without_telling(&self, program: Program) {
        program.signal("TERM");
        let ended = program.ended().await.exits(0);
        assert!(!ended.stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN), "{ended}");
    }
}

#[tokio::test]
async fn it_comes_while_all_is_well() {
    let watched = Watched::new().await;
    let daemon = watched.rig.start(&["-vv"]);
    watched.until_pings(&daemon, 3).await;
    for ping in watched.monitor.requests() {
        assert_eq!(ping.line, format!("GET /alerts/{TOKEN}?key={TOKEN}"));
        assert_eq!(ping.headers["user-agent"], concat!("secretwatch/", env!("CARGO_PKG_VERSION")));
    }
    assert!(!watched.rig.account.calls_of("LookupEvents").is_empty(), "pings before anything was read");
    watched.ends_without_telling(daemon).await;
}

#[tokio::test]
async fn it_stays_away_while_a_source_is_not_read() {
    let mut watched = Watched::new().await;
    watched.rig.poll("stale_after", "\"4s\"");
    let daemon = watched.rig.daemon();
    watched.until_pings(&daemon, 1).await;

    let denial = watched.rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    daemon.until_logged("no heartbeat: a source has not been read through").await;
    watched.is_silent(&daemon).await;

    watched.rig.account.lift(denial);
    watched.until_pings(&daemon, 2).await;
    watched.ends_without_telling(daemon).await;
}

#[tokio::test]
async fn a_daemon_that_never_reads_anything_never_pings() {
    let watched = Watched::new().await;
    watched.rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    for _ in 0..2 {
        let daemon = watched.rig.daemon();
        watched.is_silent(&daemon).await;
        daemon.kill().await;
    }
    assert_eq!(watched.pings(), 0);
}

#[tokio::test]
async fn it_stays_away_while_alerts_are_stuck() {
    let mut watched = Watched::new().await;
    watched.rig.poll("stale_after", "\"4s\"");
    let daemon = watched.rig.daemon();
    watched.until_pings(&daemon, 1).await;

    watched.rig.receiver.go_down();
    watched.rig.read("a", 10);
    daemon.until_logged("no heartbeat: an alert is not delivered").await;
    watched.is_silent(&daemon).await;

    watched.rig.receiver.come_up();
    watched.until_pings(&daemon, 2).await;
    watched.ends_without_telling(daemon).await;
}

#[tokio::test]
async fn a_monitor_that_fails_stops_nothing() {
    let mut watched = Watched::new().await;
    watched.monitor.answers(Answer::Status(500));
    let daemon = watched.rig.start(&["-vv"]);
    watched.until_pings(&daemon, 3).await;
    watched.monitor.go_down();
    let read = watched.rig.read("a", 10);
    watched.rig.until_covered(&daemon, "read", &[read].into()).await;

    watched.monitor.come_up();
    watched.monitor.answers(Answer::Accept);
    daemon.until_logged("the heartbeat is accepted again").await;
    watched.ends_without_telling(daemon).await;
}

#[tokio::test]
async fn a_single_run_pings_once_when_it_has_done_everything() {
    let mut watched = Watched::new().await;
    watched.rig.read("a", 600);
    watched.rig.once_well().await;
    assert_eq!(watched.pings(), 1);
    watched.rig.start(&["--once", "--max-time", "20s"]).ended().await.exits(0);
    assert_eq!(watched.pings(), 2);

    let denial = watched.rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    watched.rig.once().await.exits(1);
    watched.rig.account.lift(denial);
    watched.rig.receiver.go_down();
    watched.rig.read("a", 500);
    watched.rig.once().await.exits(2);
    assert_eq!(watched.pings(), 2);

    // A monitor that does not answer is no fault of the run.
    watched.rig.receiver.come_up();
    watched.monitor.go_down();
    let ended = watched.rig.once().await.exits(0).says("the heartbeat failed");
    assert!(!ended.stderr.contains(TOKEN), "{ended}");
}
