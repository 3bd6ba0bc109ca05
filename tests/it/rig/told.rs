//! The judge at the receiver's end: holds everything that arrived to the promise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Request;

/// What a receiver was told, in the order in which it heard of it first.
pub(crate) struct Told {
    /// Every alert that was accepted, once.
    alerts: Vec<Value>,
}

impl Told {
    /// Judges `requests`: equal ids have equal accesses, an access is in one alert id of a rule only, and an incident
    /// begins with `opened`. What was not accepted is judged too: it was told to somebody.
    #[track_caller]
    pub(crate) fn by(requests: &[Request]) -> Self {
        for request in requests {
            assert_eq!(request.headers["webhook-id"], text(&request.body, "id"), "{}", request.body);
        }
        Self::of(requests.iter().map(|request| (&request.body, request.accepted)))
    }

    /// Judges alerts that were all accepted.
    #[track_caller]
    pub(crate) fn from_alerts(alerts: &[Value]) -> Self {
        Self::of(alerts.iter().map(|alert| (alert, true)))
    }

    #[track_caller]
    fn of<'a>(heard: impl Iterator<Item = (&'a Value, bool)>) -> Self {
        let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut holder: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        let mut incidents: BTreeSet<&str> = BTreeSet::new();
        let mut accepted: BTreeSet<&str> = BTreeSet::new();
        let mut alerts = Vec::new();
        for (alert, is_accepted) in heard {
            let id = text(alert, "id");
            match by_id.insert(id, alert) {
                Some(first) => assert_eq!(first["accesses"], alert["accesses"], "the id {id} with two contents"),
                None => {
                    let is_new = incidents.insert(text(alert, "incident"));
                    match text(alert, "kind") {
                        "opened" => assert!(is_new, "an incident that was opened late or twice: {alert:#}"),
                        "updated" | "resolved" => assert!(!is_new, "an incident that was never opened: {alert:#}"),
                        _ => {}
                    }
                }
            }
            for access in accesses(alert) {
                let other = holder.insert((rule(alert), access), id).unwrap_or(id);
                assert_eq!(other, id, "the access {access} in two alerts");
            }
            if is_accepted && accepted.insert(id) {
                alerts.push(alert.clone());
            }
        }
        Self { alerts }
    }

    /// The accesses that `rule` told of.
    pub(crate) fn covered(&self, wanted: &str) -> BTreeSet<String> {
        let of_rule = self.alerts.iter().filter(|alert| rule(alert) == wanted);
        of_rule.flat_map(|alert| accesses(alert).map(str::to_owned)).collect()
    }

    /// The alerts.
    pub(crate) fn alerts(&self) -> &[Value] {
        &self.alerts
    }

    /// Their kinds.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.alerts.iter().map(|alert| text(alert, "kind")).collect()
    }

    /// The first alert of this kind.
    #[track_caller]
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let mut found = self.alerts.iter().filter(|alert| text(alert, "kind") == kind);
        match (found.next(), found.next()) {
            (Some(alert), None) => alert,
            _ => panic!("not one {kind} in {:?}", self.kinds()),
        }
    }

    /// Whether one of this kind is among them.
    pub(crate) fn has(&self, kind: &str) -> bool {
        self.kinds().contains(&kind)
    }
}

/// A member of an alert that is a text.
#[track_caller]
pub(crate) fn text<'a>(alert: &'a Value, key: &str) -> &'a str {
    alert[key].as_str().unwrap_or_else(|| panic!("no text {key} in {alert:#}"))
}

fn rule(alert: &Value) -> &str {
    alert["rule"]["name"].as_str().unwrap_or_else(|| panic!("no rule in {alert:#}"))
}

fn accesses(alert: &Value) -> impl Iterator<Item = &str> {
    let list = alert["accesses"].as_array().unwrap_or_else(|| panic!("no accesses in {alert:#}"));
    list.iter().map(|access| text(access, "event_id"))
}
