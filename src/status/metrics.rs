//! A [`Status`] as Prometheus reads it: the text format, version 0.0.4.

use std::fmt::Write;
use std::time::Duration;

use super::Status;
use crate::model::WallTime;
use crate::store::Overview;
use crate::trail::Histogram;

/// The content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What comes before each name.
const PREFIX: &str = "secretwatch_";

/// Outcomes of accesses, and results of what may fail: all are there from the beginning, at zero.
const OUTCOMES: [crate::model::Outcome; 3] =
    [crate::model::Outcome::Success, crate::model::Outcome::Denied, crate::model::Outcome::Failed];
const RESULTS: [&str; 3] = ["ok", "throttled", "failed"];
const DELIVERIES: [&str; 5] = ["accepted", "diverted", "failed", "refused", "dead"];

/// The text so far.
struct Text(String);

/// Labels of a sample.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{PREFIX}{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            self.sample(&format!("{name}_bucket"), &[("le", &bound.to_string())], count);
        }
        self.sample(&format!("{name}_bucket"), &[("le", "+Inf")], histogram.count());
        self.sample(&format!("{name}_sum"), &[], seconds(histogram.sum()));
        self.sample(&format!("{name}_count"), &[], histogram.count());
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// All metrics.
pub(super) fn render(status: &Status, now: WallTime) -> String {
    let Status { began, overview } = status;
    let Overview { sources, incidents, outboxes, rules, store_bytes, tally, .. } = overview;
    let mut text = Text(String::new());

    text.family("build_info", "gauge", "The version that runs; always 1.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("start_timestamp_seconds", "gauge", "When the process began.");
    text.sample("start_timestamp_seconds", &[], began.second().0);

    text.family("records_read_total", "counter", "Records that AWS has served.");
    text.sample("records_read_total", &[], tally.records);
    text.family("duplicates_total", "counter", "Records that were known already.");
    text.sample("duplicates_total", &[], tally.duplicates);
    text.family("accesses_total", "counter", "Accesses that were new, by outcome.");
    for outcome in OUTCOMES {
        let count = tally.accesses.get(&outcome).copied().unwrap_or(0);
        text.sample("accesses_total", &[("outcome", outcome.word())], count);
    }

    text.family("lookup_requests_total", "counter", "Requests to LookupEvents, by source and result.");
    for source in sources {
        for result in RESULTS {
            let id = crate::trail::SourceId { account: source.account.clone(), region: source.region.clone() };
            let count = tally.lookups.get(&(id, result)).copied().unwrap_or(0);
            let labels = [("account", source.account.as_str()), ("region", &source.region), ("result", result)];
            text.sample("lookup_requests_total", &labels, count);
        }
    }
    text.family("source_behind_seconds", "gauge", "Age of the oldest event time that has not been read.");
    for source in sources {
        let labels = [("account", source.account.as_str()), ("region", &source.region)];
        text.sample("source_behind_seconds", &labels, source.behind_seconds);
    }
    text.family("source_blind", "gauge", "Whether a source cannot be read through.");
    for source in sources {
        let labels = [("account", source.account.as_str()), ("region", &source.region)];
        text.sample("source_blind", &labels, u8::from(source.blind_since.is_some()));
    }
    text.family("source_last_pass_timestamp_seconds", "gauge", "When the last pass ended that read a source through.");
    for source in sources {
        if let Some(at) = source.read_through {
            let labels = [("account", source.account.as_str()), ("region", &source.region)];
            text.sample("source_last_pass_timestamp_seconds", &labels, at.second().0);
        }
    }

    text.histogram("event_visibility_seconds", "First seen minus event time.", &tally.visibility);
    text.histogram("detection_seconds", "Alert accepted minus its first access seen.", &tally.detection);

    text.family("incidents_open", "gauge", "Incidents that are open, by rule.");
    for rule in rules {
        let open = incidents.iter().filter(|incident| incident.rule == *rule).count();
        text.sample("incidents_open", &[("rule", rule)], open);
    }
    text.family("alerts_total", "counter", "Alerts that were decided, by rule and kind.");
    for ((rule, kind), count) in &tally.alerts {
        text.sample("alerts_total", &[("rule", rule), ("kind", kind.word())], count);
    }
    text.family("deliveries_total", "counter", "Attempts to deliver, by notifier and result.");
    for outbox in outboxes {
        for result in DELIVERIES {
            let count = tally.deliveries.get(&(outbox.notifier.clone(), result)).copied().unwrap_or(0);
            text.sample("deliveries_total", &[("notifier", &outbox.notifier), ("result", result)], count);
        }
    }
    text.family("outbox_alerts", "gauge", "Alerts that a notifier has not accepted.");
    for outbox in outboxes {
        text.sample("outbox_alerts", &[("notifier", &outbox.notifier)], outbox.waiting);
    }
    text.family("outbox_oldest_seconds", "gauge", "How long the oldest of them has waited.");
    for outbox in outboxes {
        let waited = outbox.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        text.sample("outbox_oldest_seconds", &[("notifier", &outbox.notifier)], waited.as_secs());
    }
    text.family("dead_letters", "gauge", "Alerts that were given up and are kept.");
    for outbox in outboxes {
        text.sample("dead_letters", &[("notifier", &outbox.notifier)], outbox.dead);
    }
    text.family("store_bytes", "gauge", "Bytes that the store takes on disk.");
    text.sample("store_bytes", &[], store_bytes);
    text.0
}
