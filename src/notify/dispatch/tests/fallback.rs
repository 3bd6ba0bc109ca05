//! Notifiers that stand in for others.

use std::sync::Mutex;

use super::super::*;
use super::stage::{Fake, START, Stage, down, stats};

/// Down, unless it is the fallback that is asked.
fn only_the_fallback(ids: &str, attempt: usize) -> Outcome {
    if ids.ends_with('!') { Outcome::Accepted } else { down(ids, attempt) }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_used_once_the_notifier_has_failed_for_long_and_ends_the_delivery() {
    let stage = Stage::with_fallback("a1 b1 a2", 60, only_the_fallback);
    stage.run(59).await.unwrap();
    assert!(!stage.sent().contains('!'), "{}", stage.sent());

    let stage = Stage::with_fallback("a1 b1 a2", 60, only_the_fallback);
    stage.run(61).await.unwrap();
    assert_eq!(stage.open(), 0, "{}", stage.sent());
    assert_eq!(stage.sent().split(' ').filter(|id| id.ends_with('!')).count(), 3);
    assert!(matches!(stage.end("a1"), Settlement::Diverted { by, .. } if by == "b"));
    // In the order of their incident.
    assert!(stage.sent().find("a1!") < stage.sent().find("a2!"));
    assert_eq!((stage.stats().accepted, stage.stats().dead), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_what_is_new_goes_by_way_of_the_fallback_at_once() {
    let stage = Stage::with_fallback("a1", 60, only_the_fallback);
    let queue = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        stage.outbox.queue("b1", START.plus(Duration::from_secs(100)));
        stage.wake.send_replace(());
    };
    let (ran, ()) = tokio::join!(stage.run(101), queue);
    ran.unwrap();
    let sent = stage.sent.lock().unwrap().clone();
    assert_eq!(sent.last().unwrap(), &(stage.start + Duration::from_secs(100), "b1!".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_comes_back_is_used_again() {
    let back = Arc::new(Mutex::new(false));
    let is_back = Arc::clone(&back);
    let stage = Stage::with_fallback("a1", 10, move |ids, attempt| {
        if *is_back.lock().unwrap() { Outcome::Accepted } else { only_the_fallback(ids, attempt) }
    });
    let queue = async {
        tokio::time::sleep(Duration::from_secs(400)).await;
        *back.lock().unwrap() = true;
        stage.outbox.queue("b1 c1", START.plus(Duration::from_secs(400)));
        stage.wake.send_replace(());
    };
    let (ran, ()) = tokio::join!(stage.run(401), queue);
    ran.unwrap();
    assert!(stage.sent().ends_with("a1! b1 c1"), "{}", stage.sent());
    assert!(matches!(stage.end("b1"), Settlement::Accepted { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_is_refused_for_long_goes_by_way_of_the_fallback_and_others_do_not() {
    let stage = Stage::with_fallback("a1 b1", 90, |ids, _| match ids {
        "a1" => Outcome::permanent("no"),
        _ => Outcome::Accepted,
    });
    stage.run(91).await.unwrap();
    assert_eq!(stage.sent(), "a1 b1 a1 a1 a1!");
    assert!(matches!(stage.end("a1"), Settlement::Diverted { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_a_dead_letter_and_tells_both_errors() {
    let stage = Stage::with_fallback("a1", 60, |ids, _| match ids.ends_with('!') {
        true => Outcome::permanent("not here either"),
        false => Outcome::permanent("no"),
    });
    stage.run(601).await.unwrap();
    let Settlement::Dead { error, .. } = stage.end("a1") else { panic!("{:?}", stage.end("a1")) };
    assert_eq!(error, "no; by way of b: not here either");
    // The fallback's refusal is no reason to park it.
    let stage = Stage::with_fallback("a1", 0, |ids, _| match ids.ends_with('!') {
        true => Outcome::permanent("not here"),
        false => Outcome::transient("down"),
    });
    stage.run(1).await.unwrap();
    assert!(matches!(stage.end("a1"), Settlement::Retry { parked: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_not_be_made_repeats_the_id_by_whatever_way() {
    let broken = Fake { broken: true, ..Fake::default() };
    let stage = Stage::built("a1", Duration::ZERO, broken, (Some(Duration::ZERO), false), only_the_fallback);
    assert!(matches!(stage.run(1).await, Err(StoreError::Stopped)));
    assert_eq!((stage.sent().as_str(), stage.open()), ("a1 a1!", 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_uses_the_fallback_and_asks_a_notifier_that_is_down_a_few_times_only() {
    let ids: Vec<String> = (0..100).map(|n| format!("{}{n}", char::from(b'a' + (n % 26) as u8))).collect();
    let stage = Stage::with_fallback(&ids.join(" "), 0, only_the_fallback);
    assert_eq!(stage.drain(Some(30)).await, Drained { stats: stats(100, 0, 0), end: End::Done });
    assert_eq!(stage.sent().split(' ').filter(|id| !id.ends_with('!')).count(), 1, "{}", stage.sent());

    let stage = Stage::with_fallback("a1 b1", 60, only_the_fallback);
    assert_eq!(stage.drain(Some(30)).await.end, End::Unreachable);
    assert_eq!(stage.open(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_was_not_reached_is_asked_again_soon_though_the_notifier_refuses() {
    let stage = Stage::with_fallback("a1", 60, |ids, attempt| match (ids.ends_with('!'), attempt) {
        (false, _) => Outcome::permanent("no"),
        (true, 1) => Outcome::transient("busy"),
        (true, _) => Outcome::Accepted,
    });
    stage.run(70).await.unwrap();
    assert!(matches!(stage.end("a1"), Settlement::Diverted { .. }), "{}", stage.sent());
}

#[tokio::test(start_paused = true)]
async fn before_it_is_given_up_every_way_is_tried() {
    // The notifier wants to be left alone for an hour, which is longer than it is tried.
    let stage = Stage::with_fallback("a1", 10, |ids, _| match ids.ends_with('!') {
        true => Outcome::permanent("not here"),
        false => Outcome::transient("down").after(Some(Duration::from_secs(3600))),
    });
    stage.run(700).await.unwrap();
    let Settlement::Dead { error, .. } = stage.end("a1") else { panic!("{:?}", stage.end("a1")) };
    assert_eq!(error, "down; by way of b: not here");
    assert!(stage.sent().ends_with("a1 a1!"), "{}", stage.sent());
}
