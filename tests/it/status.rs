//! The status page, metrics and JSON of the real daemon, over real HTTP.

use std::collections::BTreeSet;
use std::net::TcpListener;

use reqwest::{Client, Response, StatusCode};
use secretwatch::demo::{Fault, Injection, Record};
use serde_json::Value;

use crate::rig::{EVERY_READ, PATIENCE, Program, Rig};

/// A daemon that is looked at.
struct Shown {
    rig: Rig,
    daemon: Program,
    url: String,
    client: Client,
}

impl Shown {
    /// A daemon with these further keys of `[status]`, once it has answered.
    async fn begin(mut rig: Rig, keys: &str) -> Self {
        // Free a moment ago, and nobody else asks for one by name.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        rig.tables(format!("[status]\nlisten = \"127.0.0.1:{port}\"\n{keys}\n{EVERY_READ}"));
        let daemon = rig.daemon();
        daemon.until_logged("status page and metrics").await;
        Self { rig, daemon, url: format!("http://127.0.0.1:{port}"), client: Client::new() }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        text
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    /// Asks again and again until it holds.
    async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let text = self.get(path).await.text().await.unwrap();
            if holds(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} never comes to that: {text}");
        }
    }
}

#[tokio::test]
async fn page_metrics_and_json_say_what_was_read_and_told() {
    let rig = Rig::new().await;
    let read = rig.read("prod/<b>db</b>", 600);
    rig.account.put(&Record::read("test/key").denied().at(rig.ago(500)));
    let shown = Shown::begin(rig, "").await;
    shown.rig.until_covered(&shown.daemon, "read", &[read.clone()].into()).await;

    let metrics = shown
        .until("/metrics", |text| text.contains("deliveries_total{notifier=\"hook\",result=\"accepted\"} 2"))
        .await;
    for line in [
        "secretwatch_accesses_total{outcome=\"success\"} 1",
        "secretwatch_accesses_total{outcome=\"denied\"} 1",
        "secretwatch_alerts_total{rule=\"read\",kind=\"opened\"} 2",
        "secretwatch_detection_seconds_count 2",
        "secretwatch_event_visibility_seconds_count 0",
        "secretwatch_incidents_open{rule=\"read\"} 2",
        "secretwatch_outbox_alerts{notifier=\"hook\"} 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line} in\n{metrics}");
    }
    // What is documented is what there is.
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.md")).unwrap();
    let rows = document
        .lines()
        .filter(|line| ["counter", "gauge", "histogram"].iter().any(|it| line.contains(&format!("| {it} |"))));
    let documented: BTreeSet<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            format!("secretwatch_{} {}", cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    let declared = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect();
    assert_eq!(documented, declared);
    assert_eq!(shown.text("/healthz").await, "ok\n");
    shown.until("/readyz", |text| text == "ready\n").await;

    let status = shown.json("/api/v1/status").await;
    assert_eq!((&status["schema"], &status["ready"]), (&"secretwatch.status.v1".into(), &true.into()));
    assert_eq!(status["incidents_open"]["read"], 2);
    let accesses = shown.json("/api/v1/accesses?limit=1").await;
    assert_eq!(accesses["accesses"].as_array().unwrap().len(), 1);
    let next = accesses["next"].as_str().unwrap().replace('+', "%2B");
    let rest = shown.json(&format!("/api/v1/accesses?before={next}")).await;
    assert_eq!((&rest["accesses"][0]["event_id"], &rest["next"]), (&read.as_str().into(), &Value::Null));
    assert_eq!(shown.json("/api/v1/accesses?outcome=denied").await["accesses"].as_array().unwrap().len(), 1);
    assert_eq!(shown.json("/api/v1/alerts").await["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(shown.json("/api/v1/alerts?undelivered=true").await["alerts"], Value::Array(Vec::new()));
    assert_eq!(shown.json("/api/v1/incidents").await["incidents"].as_array().unwrap().len(), 2);

    let page = shown.text("/?secret=prod/*").await;
    assert!(
        page.contains("&lt;b&gt;db&lt;&#x2f;b&gt;") && page.contains("2 incidents open") && !page.contains("<b>db"),
        "{page}"
    );
    assert!(!page.contains("<td>test&#x2f;key</td>"), "it is filtered");
    for path in ["/page.css", "/page.js"] {
        assert!(shown.text(path).await.len() > 100);
    }

    let rules = shown.json("/api/v1/rules").await;
    let (rule, fullest) = (&rules["rules"][0], &rules["rules"][0]["fullest"]);
    assert_eq!((&rule["rule"], &rule["open"], &fullest["value"]), (&"read".into(), &2.into(), &1.into()));
    let by_rule = shown.json("/api/v1/accesses?rule=read&outcome=denied").await;
    assert_eq!(by_rule["accesses"].as_array().unwrap().len(), 1);
    let source = &shown.json("/api/v1/status").await["sources"][0];
    assert!(source["passes"][0]["requests"].as_u64().unwrap() > 0, "{source}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_in_words() {
    let shown = Shown::begin(Rig::new().await, "").await;
    for (path, status, words) in [
        ("/nowhere", StatusCode::NOT_FOUND, "nothing here"),
        ("/api/v1/accesses?since=yesterday", StatusCode::BAD_REQUEST, "since: expected a duration"),
        ("/api/v1/accesses?outcome=odd", StatusCode::BAD_REQUEST, "outcome: expected success"),
        ("/api/v1/accesses?secret=a%5Bb", StatusCode::BAD_REQUEST, "a[b"),
        ("/api/v1/accesses?before=x", StatusCode::BAD_REQUEST, "before: expected"),
        ("/api/v1/accesses?limit=-1", StatusCode::BAD_REQUEST, "limit"),
        ("/api/v1/accesses?rule=odd", StatusCode::NOT_FOUND, "there is no rule"),
        ("/?rule=odd", StatusCode::NOT_FOUND, "there is no rule"),
        ("/?outcome=odd", StatusCode::BAD_REQUEST, "<p class=\"bad\" role=\"alert\">outcome: expected success"),
        ("/api/v1/alerts?odd=1", StatusCode::BAD_REQUEST, "odd"),
    ] {
        let answer = shown.get(path).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let found = answer.status();
        let text = answer.text().await.unwrap();
        assert!(found == status && text.contains(words), "{path}: {found} {text}");
    }
    let post = shown.client.post(format!("{}/metrics", shown.url)).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    let foreign = shown.client.get(format!("{}/", shown.url)).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_token_lets_in_and_nothing_else_does() {
    let rig = Rig::new().await;
    let token = rig.path("token");
    std::fs::write(&token, "open-sesame\n").unwrap();
    let shown = Shown::begin(rig, &format!("token_file = {token:?}")).await;
    let with = async |header: Option<String>, path: &str| {
        let request = shown.client.get(format!("{}{path}", shown.url));
        let request = header.into_iter().fold(request, |request, header| request.header("authorization", header));
        request.send().await.unwrap().status()
    };
    use base64::Engine;
    let basic = |pair: &str| Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)));
    assert_eq!(with(None, "/metrics").await, StatusCode::UNAUTHORIZED);
    assert_eq!(with(Some("Bearer open-sesam".to_owned()), "/metrics").await, StatusCode::UNAUTHORIZED);
    assert_eq!(with(basic("any:other"), "/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(with(Some("Bearer open-sesame".to_owned()), "/metrics").await, StatusCode::OK);
    assert_eq!(with(basic("any:open-sesame"), "/").await, StatusCode::OK);
    assert_eq!(with(None, "/healthz").await, StatusCode::OK);
}

#[tokio::test]
async fn a_blind_daemon_lives_and_is_not_ready() {
    let mut rig = Rig::new().await;
    rig.poll("stale_after", "\"2s\"");
    rig.account.inject(Injection::on("LookupEvents", Fault::denied()).until_lifted());
    let shown = Shown::begin(rig, "").await;
    let says = shown.until("/readyz", |text| text.contains("is blind")).await;
    assert!(says.contains("AWS does not allow the lookup"), "{says}");
    assert_eq!(shown.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shown.text("/healthz").await, "ok\n");
    assert!(shown.text("/metrics").await.contains("secretwatch_source_blind{account=\"self\",region=\"us-east-1\"} 1"));
    assert!(shown.text("/").await.contains("Blind: self&#x2f;us-east-1 has not been read through since the start"));
}

#[tokio::test]
async fn an_address_that_is_taken_keeps_nobody_from_watching() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new().await;
    rig.tables(format!("[status]\nlisten = \"{}\"\n{EVERY_READ}", taken.local_addr().unwrap()));
    let read = rig.read("prod/db", 600);
    let daemon = rig.daemon();
    daemon.until_logged("so there is no status page and no metrics").await;
    rig.until_covered(&daemon, "read", &[read].into()).await;
}
