//! The dispatcher between an outbox in memory and a sender that follows a script, in paused time.

mod fallback;
mod stage;

use std::sync::Mutex;

use proptest::prelude::*;

use self::stage::{Answer, Fake, START, Stage, down, ok, stats};
use super::*;

pub(crate) use self::stage::Script;

#[tokio::test(start_paused = true)]
async fn what_is_queued_goes_out_in_order() {
    let stage = Stage::new("a1 b1 a2 c1", ok);
    stage.run(1).await.unwrap();
    assert_eq!(stage.sent(), "a1 b1 a2 c1");
    assert_eq!(stage.stats(), stats(4, 0, 0));
    assert_eq!(stage.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_alert_holds_up_its_own_incident_only() {
    let stage = Stage::new("a1 b1 a2 b2", |id, attempt| match (id, attempt) {
        ("a1", 1) => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    stage.run(100).await.unwrap();
    assert_eq!(stage.sent(), "a1 b1 b2 a1 a2");
    assert!((30.0..=60.1).contains(&stage.pauses()[2]), "{:?}", stage.pauses());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_is_left_alone_for_longer_and_longer() {
    let stage = Stage::new("a1 b1", |_, attempt| match attempt {
        1 | 2 => Outcome::transient("down"),
        _ => Outcome::Accepted,
    });
    stage.run(20).await.unwrap();
    assert_eq!(stage.sent(), "a1 b1 a1 b1 a1 b1");
    for (pause, most) in stage.pauses().into_iter().zip([1.0, 2.0, 4.0, 8.0, 0.0]) {
        assert!((most / 2.0..=most + 0.01).contains(&pause), "{pause} {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_that_the_receiver_chokes_on_do_not_starve_the_others() {
    let stage = Stage::new("a1 b1 c1 d1", |id, _| match id {
        "a1" | "b1" => Outcome::transient("500"),
        _ => Outcome::Accepted,
    });
    stage.run(300).await.unwrap();
    assert!(stage.sent().starts_with("a1 b1 c1 d1 a1 b1"), "{}", stage.sent());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_receiver_asks_for_is_made() {
    let stage = Stage::new("a1 b1", |_, attempt| match attempt {
        1 => Outcome::transient("busy").after(Some(Duration::from_secs(90))),
        _ => Outcome::Accepted,
    });
    stage.run(89).await.unwrap();
    assert_eq!(stage.sent(), "a1");
}

#[tokio::test(start_paused = true)]
async fn something_new_wakes_a_dispatcher_with_nothing_to_do_but_not_one_that_waits_for_its_receiver() {
    let stage = Stage::new("", ok);
    let queue = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        stage.outbox.queue("a1", START);
        stage.wake.send_replace(());
    };
    let (ran, ()) = tokio::join!(stage.run(101), queue);
    ran.unwrap();
    assert_eq!(stage.sent(), "a1");
    assert_eq!(stage.sent.lock().unwrap()[0].0 - stage.start, Duration::from_secs(100));

    let stage = Stage::new("a1", |_, _| Outcome::transient("busy").after(Some(Duration::from_secs(50))));
    let queue = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stage.outbox.queue("b1", START);
        stage.wake.send_replace(());
    };
    let (ran, ()) = tokio::join!(stage.run(49), queue);
    ran.unwrap();
    assert_eq!(stage.sent(), "a1");
}

#[tokio::test(start_paused = true)]
async fn an_alert_becomes_a_dead_letter_after_retry_for_and_the_next_goes() {
    let stage = Stage::new("a1 a2", |id, _| match id {
        "a1" => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    stage.run(599).await.unwrap();
    assert!(!stage.sent().contains("a2") && stage.stats().dead == 0);

    let stage = Stage::new("a1 a2", |id, _| match id {
        "a1" => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    stage.run(601).await.unwrap();
    assert!(stage.sent().ends_with("a1 a2"), "{}", stage.sent());
    assert_eq!((stage.stats().dead, stage.stats().accepted), (1, 1));
    assert_eq!(stage.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_an_attempt_end_and_records_it_and_begins_no_other() {
    let stage = Stage::with("a1 b1", Duration::from_secs(5), Fake::default(), ok);
    stage.run(1).await.unwrap();
    assert_eq!(stage.start.elapsed(), Duration::from_secs(5));
    assert_eq!(stage.sent(), "a1");
    assert_eq!((stage.open(), stage.stats()), (1, stats(1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_wait_at_once() {
    let waits: [(&str, Answer); 3] = [
        ("", Box::new(ok)),
        ("a1", Box::new(|_, _| Outcome::permanent("no"))),
        ("a1", Box::new(|id, attempt| down(id, attempt).after(Some(Duration::MAX)))),
    ];
    for (ids, answer) in waits {
        let stage = Stage::new(ids, answer);
        stage.run(1).await.unwrap();
        assert_eq!(stage.start.elapsed(), Duration::from_secs(1));
    }
    let stage = Stage::new("a1", ok);
    stage.shutdown.cancel();
    stage.run(0).await.unwrap();
    assert_eq!(stage.sent(), "");
}

#[tokio::test(start_paused = true)]
async fn nobody_left_to_wake_it_is_no_reason_to_spin() {
    let Stage { dispatcher, wake, shutdown, start, .. } = Stage::new("", ok);
    let receiver = wake.subscribe();
    drop(wake);
    // Spawned, as the daemon does it.
    let until = shutdown.clone();
    let running = tokio::spawn(async move { dispatcher.run(receiver, until).await });
    tokio::time::sleep(Duration::from_secs(100)).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_a_record_that_could_not_be_made() {
    let broken = Fake { broken: true, ..Fake::default() };
    let stage = Stage::with("a1 b1", Duration::ZERO, broken, ok);
    assert!(matches!(stage.run(1).await, Err(StoreError::Stopped)));
    assert_eq!(stage.sent(), "a1");
    assert_eq!(stage.stats(), stats(0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tries_everything_and_each_failing_chain_three_times() {
    let stage = Stage::new("a1 b1 a2 b2 c1", |id, attempt| match (id, attempt) {
        ("a1", _) | ("c1", 1) => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    let drained = stage.drain(None).await;
    assert_eq!(drained, Drained { stats: stats(3, 4, 0), end: End::Done });
    // Which of the two comes first in the second round, jitter decides.
    let sent = stage.sent();
    assert!(sent.starts_with("a1 b1 b2 c1 ") && sent.ends_with(" a1"), "{sent}");
    assert_eq!((sent.matches("a1").count(), sent.matches("c1").count()), (3, 2));
    assert_eq!(stage.start.elapsed(), Duration::from_millis(1_500));

    // Stored times, an hour ahead by now, hold up no later drain.
    assert_eq!(stage.drain(None).await.stats, stats(0, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_asks_a_receiver_that_is_down_three_times_however_much_is_queued() {
    let ids: Vec<String> = (0..1_000).map(|n| format!("{}{n}", char::from(b'a' + (n % 26) as u8))).collect();
    let stage = Stage::new(&ids.join(" "), down);
    assert_eq!(stage.drain(None).await, Drained { stats: stats(0, 3, 0), end: End::Unreachable });
    assert_eq!((stage.open(), stage.sent.lock().unwrap().len()), (1_000, 3));
    assert_eq!(stage.pauses(), [0.5, 1.0]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_has_patience_with_a_short_pause_only() {
    for (asked, end) in [(5, End::Done), (11, End::Unreachable)] {
        let stage = Stage::new("a1", move |id, attempt| match attempt {
            1 => down(id, attempt).after(Some(Duration::from_secs(asked))),
            _ => Outcome::Accepted,
        });
        assert_eq!(stage.drain(None).await.end, end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_and_records_what_was_under_way_as_failed() {
    let stage = Stage::with("a1 b1 c1", Duration::from_secs(4), Fake::default(), ok);
    assert_eq!(stage.drain(Some(6)).await, Drained { stats: stats(1, 1, 0), end: End::OutOfTime });
    assert_eq!((stage.sent().as_str(), stage.start.elapsed()), ("a1 b1", Duration::from_secs(6)));

    let stage = Stage::new("a1", ok);
    assert_eq!(stage.drain(Some(0)).await.end, End::OutOfTime);
    stage.shutdown.cancel();
    assert_eq!(stage.drain(None).await.end, End::OutOfTime);
    assert_eq!(stage.sent(), "");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_notifier_that_asked_for_a_long_pause() {
    let stage =
        Stage::with_fallback("a1 b1", 60, |ids, attempt| down(ids, attempt).after(Some(Duration::from_secs(600))));
    assert_eq!(stage.drain(None).await.end, End::Unreachable);
    assert_eq!(stage.start.elapsed(), Duration::ZERO);
}

/// So many incidents with one alert each.
fn storm(alerts: u32) -> String {
    let ids: Vec<String> = (0..alerts).filter_map(|n| char::from_u32(0x4e00 + n)).map(|c| format!("{c}1")).collect();
    ids.join(" ")
}

#[tokio::test(start_paused = true)]
async fn in_a_storm_alerts_share_messages_and_each_is_settled() {
    for (alerts, messages) in [(1, 1), (9, 9), (10, 1), (20, 1), (29, 10), (30, 2), (100, 5)] {
        let stage = Stage::sharing(&storm(alerts), ok);
        stage.run(1).await.unwrap();
        assert_eq!(stage.sent().split(' ').count(), messages, "{alerts}: {}", stage.sent());
        assert_eq!((stage.open(), stage.stats()), (0, stats(u64::from(alerts), 0, 0)));
        let stage = Stage::new(&storm(alerts), ok);
        stage.run(1).await.unwrap();
        assert_eq!(stage.sent().split(' ').count(), alerts as usize, "nobody shares who may not");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_first_of_an_incident_shares_a_message() {
    let stage = Stage::sharing(&format!("{} a1 a2 a3", storm(9)), ok);
    stage.run(1).await.unwrap();
    let sent = stage.sent();
    assert!(sent.ends_with("+a1 a2 a3"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_shared_message_that_is_refused_means_nothing_for_those_that_shared_it() {
    let stage = Stage::sharing(&storm(12), |ids, _| match (ids.contains('+'), ids.starts_with('\u{4e04}')) {
        // One of them is refused, and everything that it shares.
        (_, true) => Outcome::permanent("no"),
        (true, _) if ids.contains('\u{4e04}') => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    stage.run(30).await.unwrap();
    assert_eq!((stage.open(), stage.stats().accepted), (1, 11), "{}", stage.sent());
    assert!(matches!(stage.end("\u{4e04}1"), Settlement::Retry { parked: true, attempts: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_one_goes_ahead_and_the_rest_share() {
    let stage = Stage::sharing(&storm(15), |_, _| Outcome::transient("down"));
    stage.run(1).await.unwrap();
    assert_eq!(stage.open(), 15);
    let first = stage.sent.lock().unwrap()[0].1.clone();
    assert_eq!(first.split('+').count(), 15);
    // What shared it is untouched; what comes next goes alone.
    assert!(stage.sent.lock().unwrap().iter().skip(1).all(|(_, ids)| !ids.contains('+')));
    let untried = stage.outbox.entries.lock().unwrap().iter().filter(|entry| entry.settled.is_empty()).count();
    assert!(untried >= 13, "{untried}");
}

#[tokio::test(start_paused = true)]
async fn one_that_the_receiver_chokes_on_does_not_starve_those_that_would_share_with_it() {
    let stage = Stage::sharing(&storm(30), |ids, _| match ids.contains('\u{4e04}') {
        true => Outcome::transient("500"),
        false => Outcome::Accepted,
    });
    stage.run(120).await.unwrap();
    assert_eq!((stage.open(), stage.stats().accepted), (1, 29), "{}", stage.sent());
}

proptest! {
    #[test]
    fn whatever_fails_each_alert_is_accepted_once_and_in_its_order(
        shares: bool,
        fallback in proptest::option::of(0..200u64),
        chains in proptest::collection::vec(0..4u8, 1..12),
        // For each alert, how its first attempts end: badly in one of two ways.
        ends in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..3), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ids: Vec<String> =
            chains.iter().enumerate().map(|(n, chain)| format!("{}{n}", char::from(b'a' + chain))).collect();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&accepted);
        runtime.block_on(async {
            let answer = move |told: &str, attempt: usize| {
                let told: Vec<&str> = told.trim_end_matches('!').split('+').collect();
                let end = |id: &&str| ends[id[1..].parse::<usize>().unwrap()].get(attempt - 1).copied();
                match told.iter().find_map(end) {
                    Some(true) => Outcome::transient("down"),
                    Some(false) => Outcome::permanent("no"),
                    None => {
                        log.lock().unwrap().extend(told.iter().map(|id| (*id).to_owned()));
                        Outcome::Accepted
                    }
                }
            };
            let fallback = fallback.map(Duration::from_secs);
            let stage = Stage::built(&ids.join(" "), Duration::ZERO, Fake::default(), (fallback, shares), answer);
            stage.run(599).await.unwrap();
        });
        let accepted = accepted.lock().unwrap();
        prop_assert_eq!(accepted.len(), accepted.iter().collect::<HashSet<_>>().len(), "accepted twice");
        // Two refusals take three minutes at most, so a chain of twelve may not be through yet: what is accepted
        // is the beginning of each chain.
        for chain in b'a'..b'e' {
            let of_chain = |ids: &[String]| -> Vec<String> {
                ids.iter().filter(|id| id.as_bytes()[0] == chain).cloned().collect()
            };
            prop_assert!(of_chain(&ids).starts_with(&of_chain(&accepted)), "{ids:?} {accepted:?}");
            prop_assert!(of_chain(&ids).is_empty() || !of_chain(&accepted).is_empty(), "{ids:?} {accepted:?}");
        }
    }
}
