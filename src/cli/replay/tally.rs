//! How much a set of rules has to say: incidents, alerts and accesses, rule by rule.
//!
//! Ends of incidents are not counted as alerts: most notifiers are not told of them. A week's share is what tells whether
//! a rule can be lived with; a few hours of records say nothing about that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::config::Config;
use crate::model::{Alert, AlertKind, Span};

/// Seconds of records from which on a week's share is told.
const LEAST_SPAN: i64 = 86_400;

const WEEK: f64 = 7.0 * 86_400.0;

/// What one rule has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Tally {
    pub(super) incidents: u64,
    /// Those that are opened or go on.
    pub(super) alerts: u64,
    /// None: too few records to tell.
    pub(super) alerts_per_week: Option<f64>,
    pub(super) accesses: u64,
}

impl Tally {
    /// Of each rule of `config`, the silent ones too, over the `span` that the records lie in.
    /// And of those that watch its allowances, where they have something to say.
    pub(super) fn of<'a>(config: &'a Config, alerts: &'a [Alert], span: Option<Span>) -> BTreeMap<&'a str, Self> {
        let told_by = |name: &'a str| alerts.iter().filter(move |alert| alert.rule.name == name);
        let names = config.rules.iter().map(|rule| rule.name.as_str());
        let names = names.chain(alerts.iter().map(|alert| alert.rule.name.as_str())).collect::<BTreeSet<_>>();
        names.into_iter().map(|name| (name, Self::of_rule(told_by(name), span))).collect()
    }

    fn of_rule<'a>(alerts: impl Iterator<Item = &'a Alert>, span: Option<Span>) -> Self {
        let mut tally = Self::default();
        let mut incidents = BTreeSet::new();
        for alert in alerts.filter(|alert| is_counted(alert)) {
            incidents.insert(&alert.incident);
            tally.alerts += 1;
            tally.accesses += alert.accesses.len() as u64;
        }
        tally.incidents = incidents.len() as u64;
        tally.alerts_per_week = span.filter(|span| span.seconds() >= LEAST_SPAN).map(|span| {
            let weeks = span.seconds() as f64 / WEEK;
            (tally.alerts as f64 / weeks * 10.0).round() / 10.0
        });
        tally
    }
}

/// Whether `alert` tells of accesses.
pub(super) fn is_counted(alert: &Alert) -> bool {
    alert.kind != AlertKind::Resolved
}
