//! Renderings of made-up statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::api::AccessesAsked;
use super::chart::Chart;
use super::page::Page;
use super::*;
use crate::detect::Trouble;
use crate::model::EventTime;
use crate::model::fixture::{START, access};
use crate::store::{AccessPage, Fullest, OpenIncident, RuleStanding, Tally, Waiting};
use crate::trail::SourceId;

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
        quota_used: None,
        passes: Vec::new(),
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
        health: Health { sources: 2, incidents: 1, ..Health::default() },
        sources: vec![source("us-east-1"), source("us-east-2")],
        incidents: vec![incident("r\"\\\n")],
        outboxes: vec![outbox("chat")],
        rules: vec!["r\"\\\n".to_owned(), "quiet".to_owned()],
        store_bytes: 4096,
        tally: Tally::default(),
    };
    Status { began: now(), overview }
}

#[track_caller]
fn says(sources: u64, read: Option<u64>, blind: bool, why: Option<Trouble>, queued: Option<u64>, said: &str) {
    let ago = |secs| now().minus(Duration::from_secs(secs));
    let source = SourceId { account: "self".to_owned(), region: "us-east-1".to_owned() };
    let stalest = Some(Staleness { source, read_through: read.map(ago), blind, why });
    let slowest = queued.map(|secs| Waiting { notifier: "chat".to_owned(), queued: ago(secs) });
    let health = Health { sources, blind: blind.into(), stalest, slowest, ..Health::default() };
    assert_eq!(line(&health, now()), said);
}

#[test]
fn a_sentence_says_the_worst_first() {
    let denied = || Some(Trouble::Denied("AccessDenied: no".to_owned()));
    let at = |secs| now().minus(Duration::from_secs(secs)).second();
    says(1, None, false, None, None, "self/us-east-1 is being read for the first time; no incident open");
    let read = at(4);
    let fresh = format!("Watching 1 source, which is fresh; no incident open; read through at {read}");
    says(1, Some(4), false, None, None, &fresh);
    let fresh = format!("Watching 3 sources, all fresh; no incident open; read through at {read}");
    says(3, Some(4), false, None, Some(5), &fresh);
    let refused =
        "self/us-east-1 was not read through: AWS does not allow the lookup: AccessDenied: no; no incident open";
    says(3, Some(64), false, denied(), None, refused);
    let since = at(3600);
    let blind = format!(
        "Blind: self/us-east-1 has not been read through since {since}: AWS does not allow the lookup: AccessDenied: no; no \
         incident open"
    );
    says(1, Some(3600), true, denied(), None, &blind);
    let blind = "Blind in 1 of 3 sources: self/us-east-1 has not been read through since the start; no incident open";
    says(3, None, true, None, None, blind);
    let queued = at(600);
    let waiting = format!(
        "Watching 1 source, which is fresh; an alert has waited for \"chat\" since {queued}; no incident open; read through \
         at {read}"
    );
    says(1, Some(4), false, None, Some(600), &waiting);
}

#[test]
fn a_sentence_is_one_line_of_bounded_length() {
    let endless = Trouble::Other("x\n".repeat(10_000));
    let source = SourceId { account: "self".to_owned(), region: "us-east-1".to_owned() };
    let stalest = Some(Staleness { source, read_through: None, blind: false, why: Some(endless) });
    let said = sentence(&Health { stalest, ..Health::default() }, now());
    assert!(said.chars().count() < 250 && !said.contains('\n'), "{said}");
}

#[test]
fn a_status_says_what_cannot_be_relied_on() {
    let mut status = status();
    assert_eq!(status.sentence(), "Watching 2 sources, all fresh; 1 incident open");
    assert_eq!(status.objections(), [] as [&str; 0]);
    status.overview.outboxes[0].dead = 1;
    assert_eq!(status.sentence(), "Watching 2 sources, all fresh; 1 incident open; 1 alert given up");
    status.overview.sources[0].fresh = false;
    assert_eq!(status.objections(), ["prod/us-east-1 was not read through lately"]);
    status.overview.sources[0].blind_since = Some(now());
    status.overview.sources[0].trouble = Some("denied".to_owned());
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

fn rendered(status: &Status, accesses: Vec<crate::model::Access>, asked: AccessesAsked) -> String {
    let mut chart = Chart::until(now());
    accesses.iter().for_each(|access| chart.note(access));
    let group = BTreeMap::from([("principal".to_owned(), Some("<b>".to_owned()))]);
    let rule = RuleStanding {
        rule: "<i>rule</i>".to_owned(),
        severity: crate::model::Severity::High,
        description: None,
        statistic: "distinct secret".to_owned(),
        threshold: 10,
        window_seconds: 3600,
        group_by: vec!["principal"],
        open: 1,
        fullest: Some(Fullest { value: 3, end: START, group }),
        cut_short: false,
    };
    let page = Page {
        status,
        now: now(),
        rules: &[rule],
        chart: &chart,
        fired: Vec::new(),
        accesses: AccessPage { accesses, next: Some((START, "an id".to_owned())) },
        alerts: Vec::new(),
        asked,
        trouble: None,
    };
    page.render().unwrap()
}

#[test]
fn nothing_from_a_record_is_markup_on_the_page() {
    let mut hostile = access(0);
    let script = "<script>alert(1)</script>\"' onload=x";
    hostile.secret.as_mut().unwrap().name = script.to_owned();
    hostile.principal.name = Some(script.to_owned());
    hostile.source_ip = Some(script.to_owned());
    let asked = AccessesAsked { secret: Some(script.to_owned()), ..AccessesAsked::default() };
    let page = rendered(&status(), vec![hostile], asked);
    assert!(!page.contains("<script>alert") && !page.contains("' onload") && !page.contains("\" onload"), "{page}");
    assert!(!page.contains("<b>") && !page.contains("<i>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains("Watching 2 sources, all fresh; 1 incident open"));
}

#[test]
fn a_page_shows_rules_and_keeps_its_filter_where_it_goes_on() {
    let asked =
        AccessesAsked { secret: Some("prod/*&x".to_owned()), outcome: Some(String::new()), ..AccessesAsked::default() };
    let page = rendered(&status(), vec![access(0)], asked);
    assert!(
        page.contains("10 different secrets within 1 hour, for each principal") && page.contains("3 of 10"),
        "{page}"
    );
    let older = page.split("href=\"").find(|it| it.contains("before=")).unwrap();
    let older = older.split('"').next().unwrap();
    assert!(older.contains("secret=prod%2F*%26x") && !older.contains("outcome"), "{older}");
}

#[test]
fn a_filter_by_time_means_the_list_and_not_the_chart_of_a_day() {
    let since = Some("1h".to_owned());
    let by_time = AccessesAsked { since: since.clone(), ..AccessesAsked::default() };
    let by_secret = AccessesAsked { secret: Some("prod/*".to_owned()), since, ..AccessesAsked::default() };
    for (asked, is_chart_filtered) in [(AccessesAsked::default(), false), (by_time, false), (by_secret, true)] {
        let page = rendered(&status(), Vec::new(), asked.clone());
        assert_eq!(page.contains("last 24 hours, filtered"), is_chart_filtered, "{asked:?}");
        assert_eq!(page.contains("None that this filter means"), asked.since.is_some(), "{asked:?}");
    }
}

#[test]
fn five_hundred_sources_are_shown_with_what_is_wrong_first() {
    let mut status = status();
    status.overview.sources = (0..500).map(|number| source(&format!("region-{number}"))).collect();
    status.overview.sources[321].fresh = false;
    status.overview.incidents = vec![incident("<i>rule</i>"); 120];
    let page = rendered(&status, Vec::new(), AccessesAsked::default());
    assert!(page.contains("Sources: 499 of 500 fresh") && page.contains("<summary>460 more</summary>"));
    assert!(page.contains("<summary>100 more</summary>"));
    assert!(page.find("region-321").unwrap() < page.find("region-0<").unwrap());
    assert!(page.len() < 300_000, "{} bytes", page.len());
}

#[test]
fn the_document_has_every_path_and_no_other() {
    let document: serde_json::Value = serde_json::from_str(super::api::DOCUMENT).unwrap();
    let documented: std::collections::BTreeSet<String> =
        document["paths"].as_object().unwrap().keys().cloned().collect();
    let routes = include_str!("server.rs").split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let routes = routes.filter(|path| !path.starts_with("/page.")).map(str::to_owned).collect();
    assert_eq!(documented, routes);
}
