//! What changes while incidents are open: rules, notifiers, and what can be seen.

use std::collections::BTreeSet;

use secretwatch::demo::{Fault, Injection};

use crate::rig::{Rig, Told};

#[tokio::test]
async fn a_changed_rule_counts_anew_and_ends_the_old_ones_incidents() {
    let mut rig = Rig::new().await;
    let mut expected = BTreeSet::from([rig.read("a", 600), rig.read("a", 590)]);
    rig.once_well().await;
    let before = rig.receiver.requests();
    assert_eq!(rig.told().kinds(), ["opened"]);

    rig.tables("[[rule]]\nname = \"read\"\nevents = [\"GetSecretValue\"]\nthreshold = 2\n");
    rig.once_well().await;
    let after = rig.receiver.requests().split_off(before.len());
    let (resolved, anew): (Vec<_>, Vec<_>) = after.into_iter().partition(|it| it.body["kind"] == "resolved");
    assert_eq!(resolved.len(), 1);
    assert_eq!(resolved[0].body["incident"], before[0].body["incident"]);
    assert_eq!(resolved[0].body["reason"], "rule changed");
    assert_eq!(resolved[0].body["accesses"].as_array().map(Vec::len), Some(0));
    let told = Told::by(&anew);
    assert_eq!(told.covered("read"), expected);
    assert_ne!(told.one("opened")["incident"], before[0].body["incident"]);

    // From here on it goes on as ever.
    expected.insert(rig.read("a", 595));
    rig.once_well().await;
    let anew = [anew, rig.receiver.requests().split_off(before.len() + 2)].concat();
    assert_eq!(Told::by(&anew).covered("read"), expected);
    assert_eq!(Told::by(&anew).kinds(), ["opened", "updated"]);
}

#[tokio::test]
async fn a_rules_texts_can_change_without_counting_anew() {
    const TEXTS: &str =
        "description = \"now with words\"\nseverity = \"high\"\nrunbook = \"https://wiki.example.com/x\"\n";
    let mut rig = Rig::new().await;
    let first = rig.read("a", 600);
    rig.once_well().await;
    rig.tables(format!("{}{TEXTS}", crate::rig::EVERY_READ));
    rig.once_well().await;
    assert_eq!(rig.receiver.requests().len(), 1);

    let second = rig.read("a", 590);
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), BTreeSet::from([first, second]));
    let told = rig.told();
    assert_eq!(told.one("updated")["rule"]["severity"], "high");
    assert_eq!(told.one("updated")["runbook"], "https://wiki.example.com/x");
}

#[tokio::test]
async fn a_removed_rule_ends_its_incidents() {
    let mut rig = Rig::new().await;
    rig.read("a", 600);
    rig.once_well().await;
    rig.tables("[[rule]]\nname = \"other\"\nevents = [\"DeleteSecret\"]\n");
    rig.once_well().await;
    assert_eq!(rig.told().kinds(), ["opened", "resolved"]);
}

#[tokio::test]
async fn a_new_rule_counts_what_lies_within_backfill() {
    let mut rig = Rig::new().await;
    rig.poll("backfill", "\"10m\"");
    rig.tables("[[rule]]\nname = \"none\"\nevents = [\"DeleteSecret\"]\n");
    let young = rig.read("a", 300);
    rig.read("a", 1000);
    rig.once_well().await;
    rig.tables(crate::rig::EVERY_READ);
    rig.once_well().await;
    assert_eq!(rig.told().covered("read"), BTreeSet::from([young]));
}

#[tokio::test]
async fn a_denied_source_becomes_blind_and_sighted_again() {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    let denial = rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    let daemon = rig.daemon();
    daemon.within("blind", rig.receiver.until(|requests| Told::by(requests).has("blind"))).await;
    let read = rig.read("a", 10);
    rig.account.lift(denial);
    rig.until_covered(&daemon, "read", &BTreeSet::from([read.clone()])).await;
    daemon.within("sighted", rig.receiver.until(|requests| Told::by(requests).has("sighted"))).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0).says("AccessDeniedException");

    let told = rig.told();
    assert_eq!(told.covered("read"), BTreeSet::from([read]));
    let (blind, sighted) = (told.one("blind"), told.one("sighted"));
    assert_eq!(blind["incident"], sighted["incident"]);
    assert_ne!(blind["id"], sighted["id"]);
    assert_eq!(blind["group"]["region"], "us-east-1");
    assert!(blind["reason"].as_str().is_some_and(|reason| reason.contains("AccessDenied")), "{blind:#}");
    assert!(blind["accesses"].as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn a_source_that_is_read_is_never_blind() {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    let daemon = rig.daemon();
    rig.until_lookups(&daemon, 7).await;
    daemon.signal("TERM");
    daemon.ended().await.exits(0);
    assert!(rig.receiver.requests().is_empty());
}
