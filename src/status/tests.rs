//! Renderings of made-up statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::page::{Filter, Lists};
use super::*;
use crate::model::EventTime;
use crate::model::fixture::{START, access};
use crate::store::{OpenIncident, Tally};

fn now() -> WallTime {
    EventTime(START.0 + 60).wall()
}

fn source(region: &str) -> SourceStanding {
    SourceStanding {
        account: "prod".to_owned(),
        region: region.to_owned(),
        read_through: Some(now()),
        blind_since: None,
        fresh: true,
        trouble: None,
        behind_seconds: 7,
        visible_within_seconds: Some(180),
    }
}

fn outbox(notifier: &str) -> OutboxStanding {
    OutboxStanding { notifier: notifier.to_owned(), waiting: 0, refused: 0, oldest: None, dead: 0 }
}

fn incident(rule: &str) -> OpenIncident {
    OpenIncident {
        incident: "0c4be0a1".to_owned(),
        rule: rule.to_owned(),
        group: BTreeMap::from([("secret".to_owned(), Some("<script>alert(1)</script>".to_owned()))]),
        opened: now(),
        first_access: START,
        last_access: START,
        value: 1,
        accesses: 1,
    }
}

fn status() -> Status {
    let overview = Overview {
        at: now(),
        ticked: now(),
        sources: vec![source("us-east-1"), source("us-east-2")],
        incidents: vec![incident("r\"\\\n")],
        outboxes: vec![outbox("chat")],
        rules: vec!["r\"\\\n".to_owned(), "quiet".to_owned()],
        store_bytes: 4096,
        tally: Tally::default(),
    };
    Status { began: now(), overview }
}

#[test]
fn a_sentence_says_how_it_goes() {
    let mut status = status();
    assert_eq!(status.sentence(), "Watching 2 sources, all fresh; 1 incident is open.");
    assert_eq!(status.objections(), [] as [&str; 0]);
    status.overview.incidents.clear();
    status.overview.outboxes[0].waiting = 2;
    status.overview.outboxes[0].dead = 1;
    status.overview.sources[0].fresh = false;
    let expected = "Watching 2 sources, of which 1 not read through lately; no incident is open; 2 alerts to be delivered; \
                    1 alert given up.";
    assert_eq!(status.sentence(), expected);
    assert_eq!(status.objections(), ["prod/us-east-1 was not read through lately"]);
    status.overview.sources[0].blind_since = Some(now());
    status.overview.sources[0].trouble = Some("denied".to_owned());
    assert!(status.sentence().starts_with("Blind: 1 of 2 sources cannot be read through;"));
    assert_eq!(status.objections(), ["prod/us-east-1 is blind: denied"]);
}

#[test]
fn metrics_have_the_names_of_the_interface() {
    let mut status = status();
    status.overview.tally.detection.note(Duration::from_millis(1500));
    let text = metrics::render(&status, now());
    for line in [
        "# TYPE secretwatch_accesses_total counter",
        "secretwatch_accesses_total{outcome=\"denied\"} 0",
        "secretwatch_lookup_requests_total{account=\"prod\",region=\"us-east-2\",result=\"throttled\"} 0",
        "secretwatch_source_behind_seconds{account=\"prod\",region=\"us-east-1\"} 7",
        "secretwatch_detection_seconds_bucket{le=\"1\"} 0",
        "secretwatch_detection_seconds_bucket{le=\"5\"} 1",
        "secretwatch_detection_seconds_bucket{le=\"+Inf\"} 1",
        "secretwatch_detection_seconds_sum 1.500",
        "secretwatch_incidents_open{rule=\"r\\\"\\\\\\n\"} 1",
        "secretwatch_incidents_open{rule=\"quiet\"} 0",
        "secretwatch_deliveries_total{notifier=\"chat\",result=\"accepted\"} 0",
        "secretwatch_outbox_oldest_seconds{notifier=\"chat\"} 0",
        "secretwatch_dead_letters{notifier=\"chat\"} 0",
        "secretwatch_store_bytes 4096",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
    // A family is declared once, before its samples, and has no other's samples among them.
    let mut declared = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap().to_owned();
            assert!(!declared.contains(&name), "{name} twice");
            declared.push(name);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(declared.last().unwrap().as_str()), "{line} is not of {:?}", declared.last());
        }
    }
}

#[test]
fn nothing_from_a_record_is_markup_on_the_page() {
    let mut hostile = access(0);
    let script = "<script>alert(1)</script>\"' onload=x";
    hostile.secret.as_mut().unwrap().name = script.to_owned();
    hostile.principal.name = Some(script.to_owned());
    hostile.source_ip = Some(script.to_owned());
    let filter = Filter { secret: script.to_owned(), ..Filter::default() };
    let lists = Lists {
        charted: vec![hostile.clone()],
        all_charted: true,
        accesses: vec![hostile],
        alerts: Vec::new(),
        filter,
    };
    let page = page::render(&status(), &lists, now()).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("' onload") && !page.contains("\" onload"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert_eq!(page.matches("<rect class=\"success\"").count(), 1);
    assert!(page.contains("Watching 2 sources, all fresh; 1 incident is open."));
}
