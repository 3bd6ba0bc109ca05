//! What goes wrong on demand, seen from the client's side.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::demo::{Answered, Fault, Injection, Record, Spoiled};

const LOOKUP: &str = "LookupEvents";

fn answers(account: &Account) -> Vec<Option<Answered>> {
    account.calls().into_iter().map(|call| call.answer).collect()
}

#[tokio::test]
async fn errors_strike_as_often_as_asked_and_in_order() {
    let account = account().await;
    account.inject(Injection::on(LOOKUP, Fault::throttled()).times(2));
    account.inject(Injection::on(LOOKUP, Fault::unavailable()));
    let trail = Clients::of(&account).trail;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(code(trail.lookup_events().send().await));
    }
    assert_eq!(seen, ["ThrottlingException", "ThrottlingException", "ServiceUnavailable", "ok"]);
    let refused = |code: &str| Some(Answered::Refused(code.to_owned()));
    assert_eq!(
        answers(&account)[1..],
        [refused("ThrottlingException"), refused("ServiceUnavailable"), Some(Answered::Well)]
    );
}

#[tokio::test]
async fn a_lack_of_permission_lasts_until_it_is_lifted() {
    let account = account().await;
    let denied = account.inject(
        Injection::when(|call| call.operation == LOOKUP && call.region == "us-east-1", Fault::denied()).until_lifted(),
    );
    let key = account.register(Caller::user("111122223333", "tester"));
    let (here, there) = (Clients::with(&account, &key, "us-east-1"), Clients::with(&account, &key, "eu-west-1"));
    for _ in 0..3 {
        assert_eq!(code(here.trail.lookup_events().send().await), "AccessDeniedException");
        assert_eq!(code(there.trail.lookup_events().send().await), "ok");
    }
    account.lift(denied);
    assert_eq!(code(here.trail.lookup_events().send().await), "ok");
}

#[tokio::test]
async fn a_spoiled_answer_comes_after_the_deed() {
    let account = account().await;
    let topic = account.add_topic("alarms");
    let sns = Clients::of(&account).sns;
    for fault in [Fault::CutBody, Fault::Garbled] {
        account.inject(Injection::on("Publish", fault));
        let sent = sns.publish().topic_arn(&topic).message("x").send().await;
        assert!(sent.is_err_and(|error| error.code().is_none()));
    }
    assert_eq!(account.messages().len(), 2, "published, though the publisher does not know");
    assert_eq!(answers(&account), [Some(Answered::Spoiled), Some(Answered::Spoiled)]);
}

#[tokio::test]
async fn an_empty_answer_is_a_page_without_anything() {
    let account = account().await;
    account.put(&Record::read("prod/db").at(NOON));
    account.inject(Injection::on(LOOKUP, Fault::Empty));
    let trail = Clients::of(&account).trail;
    let empty = trail.lookup_events().send().await;
    assert!(empty.is_ok_and(|page| page.events.is_none()));
    assert_eq!(trail.lookup_events().send().await.unwrap().events().len(), 1);
}

#[tokio::test]
async fn a_hanging_call_waits_for_its_release() {
    let account = account().await;
    let release = CancellationToken::new();
    account.inject(Injection::on(LOOKUP, Fault::Hang(release.clone())));
    let trail = Clients::of(&account).trail;
    let call = tokio::spawn(async move { code(trail.lookup_events().send().await) });
    account.until(|account| !account.calls_of(LOOKUP).is_empty()).await;
    assert_eq!(answers(&account), [None]);
    release.cancel();
    assert_eq!(call.await.unwrap(), "ok");
}

#[tokio::test]
async fn a_stop_lets_go_of_what_hangs_and_closes_the_door() {
    let account = account().await;
    account.inject(Injection::on(LOOKUP, Fault::Hang(CancellationToken::new())));
    let trail = Clients::of(&account).trail;
    let hanging = trail.clone();
    let call = tokio::spawn(async move { code(hanging.lookup_events().send().await) });
    account.until(|account| !account.calls().is_empty()).await;
    account.stop().await;
    assert_eq!(call.await.unwrap(), "ServiceUnavailable");
    assert!(trail.lookup_events().send().await.is_err());
}

#[tokio::test]
async fn a_token_is_refused_once_and_the_first_page_never() {
    let account = account().await;
    for _ in 0..3 {
        account.put(&Record::read("prod/db").at(NOON));
    }
    account.inject(Injection::on(LOOKUP, Fault::RefuseToken));
    let trail = Clients::of(&account).trail;
    let ask = || trail.lookup_events().max_results(1);
    let token = ask().send().await.unwrap().next_token().unwrap().to_owned();
    assert_eq!(code(ask().next_token(&token).send().await), "InvalidNextTokenException");
    assert_eq!(code(ask().next_token(&token).send().await), "ok");
}

#[tokio::test]
async fn spoiled_pages_hold_what_a_reader_must_survive() {
    let account = account().await;
    let trail = Clients::of(&account).trail;
    for spoiled in [Spoiled::NoRecord, Spoiled::BadRecord, Spoiled::Reversed, Spoiled::Short] {
        account.inject(Injection::on(LOOKUP, Fault::Page(spoiled)));
    }
    assert!(trail.lookup_events().send().await.unwrap().events().is_empty(), "an empty page uses up nothing");
    for n in 0..3 {
        account.put(&Record::read("prod/db").at(NOON.minus(n)).id(&n.to_string()));
    }
    let page = async || trail.lookup_events().send().await.unwrap();
    let ids = |page: &aws_sdk_cloudtrail::operation::lookup_events::LookupEventsOutput| {
        page.events().iter().filter_map(|event| event.event_id()).collect::<String>()
    };
    assert_eq!(page().await.events()[0].cloud_trail_event(), None);
    assert!(serde_json::from_str::<serde_json::Value>(page().await.events()[0].cloud_trail_event().unwrap()).is_err());
    assert_eq!(ids(&page().await), "210");
    let short = page().await;
    assert_eq!(ids(&short), "0");
    let rest = trail.lookup_events().set_next_token(short.next_token().map(str::to_owned)).send().await.unwrap();
    assert_eq!((ids(&rest), rest.next_token()), ("12".to_owned(), None));
}
