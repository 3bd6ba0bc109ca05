//! Requests as lines, and what makes no sense of them.

use super::super::fixture::ledger;
use super::*;

fn health(condition: Condition) -> Says {
    Says::Answer(Answer::Health(condition))
}

fn orders() -> Vec<Order> {
    let meant = Hushed { rules: vec!["*".to_owned()], ..Hushed::default() };
    vec![
        Order::Resend { ids: vec!["a".to_owned()] },
        Order::Silence { meant, seconds: 60, reason: "because".to_owned() },
        Order::EndSilence { id: "s".to_owned() },
        Order::Test { notifiers: vec!["chat".to_owned()] },
    ]
}

#[test]
fn a_loop_that_hangs_is_not_at_work() {
    for (secs, expected) in [(0, true), (60, true), (61, false)] {
        let mut ledger = ledger();
        ledger.tick(WallTime(1_000), false).unwrap();
        let says = Ask::Health.answer(&ledger, WallTime(1_000).plus(Duration::from_secs(secs))).unwrap();
        assert_eq!(
            says,
            health(Condition { at_work: expected, says: "Watching 0 sources, all fresh; no incident open".to_owned() })
        );
    }
}

#[test]
fn what_is_asked_is_what_is_read() {
    for id in ["e", "", "\"\n\u{0}", "🔑"] {
        let ask = Ask::Explain { event_id: id.to_owned() };
        assert_eq!(Request::read(ask.request().as_bytes()), Ok(Request::Ask(ask)));
    }
    let asks = [
        Ask::Health,
        Ask::Silences,
        Ask::Accesses(AccessQuery { secrets: vec!["*".to_owned()], limit: 7, ..AccessQuery::default() }),
        Ask::Alerts(AlertQuery { undelivered: true, before: Some(3), ..AlertQuery::default() }),
    ];
    for ask in asks {
        assert_eq!(Request::read(ask.request().as_bytes()), Ok(Request::Ask(ask)));
    }
    for order in orders() {
        assert_eq!(Request::read(order.request().as_bytes()), Ok(Request::Order(order)));
    }
}

#[test]
fn every_word_is_one_that_is_understood() {
    for (tag, words) in [("ask", &ASKS[..]), ("order", &ORDERS)] {
        for word in words {
            let refused = Request::read(format!("{{\"v\":1,\"{tag}\":\"{word}\"}}").as_bytes()).err();
            assert!(refused.is_none_or(|it| it.message.contains("missing field")), "{tag} {word}");
        }
    }
}

#[test]
fn orders_that_make_no_sense_are_refused_and_change_nothing() {
    let mut ledger = ledger();
    let meant = |rule: &str| Hushed { rules: vec![rule.to_owned()], ..Hushed::default() };
    let silence = |meant, seconds, reason: &str| Order::Silence { meant, seconds, reason: reason.to_owned() };
    for (order, code, words) in [
        (silence(Hushed::default(), 60, "x"), RefusalCode::BadRequest, "says what it means"),
        (silence(meant("*"), 0, "x"), RefusalCode::BadRequest, "from a second"),
        (silence(meant("*"), 31 * 86_400, "x"), RefusalCode::BadRequest, "to 30 days"),
        (silence(meant("*"), 60, " "), RefusalCode::BadRequest, "has a reason"),
        (silence(meant("a["), 60, "x"), RefusalCode::BadRequest, "a["),
        (Order::EndSilence { id: "x".to_owned() }, RefusalCode::NotThere, "no silence \"x\""),
        (Order::Test { notifiers: Vec::new() }, RefusalCode::NotThere, "no notifier"),
        (Order::Test { notifiers: vec!["x".to_owned()] }, RefusalCode::NotThere, "no notifier \"x\""),
    ] {
        match order.perform(&mut ledger, WallTime(0)).unwrap() {
            Says::Refusal(refusal) => {
                assert!(refusal.code == code && refusal.message.contains(words), "{order:?}: {refusal:?}");
            }
            Says::Answer(answer) => panic!("{order:?}: {answer:?}"),
        }
    }
    assert_eq!(Ask::Silences.answer(&ledger, WallTime(0)).unwrap(), Says::Answer(Answer::Silences(Vec::new())));
    let alerts = Ask::Alerts(AlertQuery { limit: 9, ..AlertQuery::default() });
    let none = Answer::Alerts(AlertPage { alerts: Vec::new(), next: None });
    assert_eq!(alerts.answer(&ledger, WallTime(0)).unwrap(), Says::Answer(none));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    use RefusalCode::{BadRequest, OtherVersion, UnknownAsk};
    for (request, code, words) in [
        ("", BadRequest, "not a request"),
        ("GET / HTTP/1.1", BadRequest, "not a request"),
        ("[1]", BadRequest, "not a request"),
        ("{\"v\":1,\"ask\":\"explain\"", BadRequest, "EOF"),
        ("{\"ask\":\"explain\",\"event_id\":\"e\"}", BadRequest, "says its version"),
        ("{\"v\":\"1\",\"ask\":\"explain\",\"event_id\":\"e\"}", BadRequest, "says its version"),
        ("{\"v\":-1}", BadRequest, "says its version"),
        ("{\"v\":0}", OtherVersion, "is newer than what asks: it speaks version 1, not 0"),
        ("{\"v\":2,\"anything\":[]}", OtherVersion, "is older than what asks: it speaks version 1, not 2; restart it"),
        ("{\"v\":1}", UnknownAsk, "knows no ask \"\", only explain, health, accesses"),
        ("{\"v\":1,\"ask\":7}", UnknownAsk, "knows no ask"),
        ("{\"v\":1,\"ask\":\"secrets\"}", UnknownAsk, "knows no ask \"secrets\""),
        ("{\"v\":1,\"order\":\"stop\"}", UnknownAsk, "knows no order \"stop\", only resend"),
        ("{\"v\":1,\"ask\":\"explain\"}", BadRequest, "missing field `event_id`"),
        ("{\"v\":1,\"ask\":\"explain\",\"event_id\":7}", BadRequest, "expected a string"),
        ("{\"v\":1,\"ask\":\"explain\",\"event_id\":\"e\",\"deep\":1}", BadRequest, "unknown field `deep`"),
    ] {
        let refused = Request::read(request.as_bytes()).unwrap_err();
        assert!(refused.code == code && refused.message.contains(words), "{request}: {refused:?}");
    }
}
