//! What a changed set of rules makes different, over the same records.
//!
//! Incidents of two sets of rules have different names, since a rule's every key is part of them. They are the *same*
//! here if a rule of the same name covers the same accesses in the same group, in as many alerts. One that shares some
//! access with an incident of that rule, and differs in anything, is *changed*; one that shares none is *added* or
//! *removed*. So a lower threshold that finds what happened two minutes earlier changes an incident, and a rule under
//! another name is another rule.
//!
//! Pure, but for the writing: what is compared are the alerts that each set would have sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use super::tally::{Tally, is_counted};
use crate::config::Config;
use crate::model::{Alert, EventTime, Span, count};

/// A set of rules, and the alerts that it would have sent.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) config: &'a Config,
    pub(super) alerts: &'a [Alert],
}

/// Two sets of rules beside each other.
pub(super) struct Comparison<'a> {
    /// The span of the records.
    span: Option<Span>,
    /// By name: before and after, where each set has the rule.
    rules: BTreeMap<&'a str, [Option<Tally>; 2]>,
    added: Vec<Incident<'a>>,
    removed: Vec<Incident<'a>>,
    /// What it was, and what it is now.
    changed: Vec<(Vec<Incident<'a>>, Incident<'a>)>,
    same: u64,
}

/// One incident, by its alerts.
#[derive(Clone)]
struct Incident<'a> {
    alerts: Vec<&'a Alert>,
    /// The ids of the events that it covers.
    covers: BTreeSet<&'a str>,
}

/// A line of the comparison, for programs.
#[derive(Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
enum Line<'a> {
    Rule { rule: &'a str, before: Option<Tally>, after: Option<Tally> },
    Added { alert: &'a Alert },
    Removed { alert: &'a Alert },
    Changed { alert: &'a Alert, before: Extent, after: Extent },
}

/// How large an incident is, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Extent {
    incidents: usize,
    alerts: usize,
    accesses: usize,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(before: Side<'a>, after: Side<'a>, span: Option<Span>) -> Self {
        let mut rules: BTreeMap<&str, [Option<Tally>; 2]> = BTreeMap::new();
        for (place, side) in [before, after].into_iter().enumerate() {
            for (name, tally) in Tally::of(side.config, side.alerts, span) {
                rules.entry(name).or_default()[place] = Some(tally);
            }
        }
        let (old, new) = (incidents(before.alerts), incidents(after.alerts));
        let (covered_before, covered_after) = (covering(&old), covering(&new));
        let is_new = |incident: &&Incident<'_>| incident.among(&covered_before).is_empty();
        let is_gone = |incident: &&Incident<'_>| incident.among(&covered_after).is_empty();
        let mut comparison = Self {
            span,
            rules,
            added: new.iter().filter(is_new).cloned().collect(),
            removed: old.iter().filter(is_gone).cloned().collect(),
            changed: Vec::new(),
            same: 0,
        };
        for kept in new.iter().filter(|incident| !is_new(incident)) {
            let was: Vec<Incident<'_>> =
                kept.among(&covered_before).into_iter().map(|place| old[place].clone()).collect();
            match was.as_slice() {
                [was] if was.is_like(kept) => comparison.same += 1,
                _ => comparison.changed.push((was, kept.clone())),
            }
        }
        comparison
    }

    /// Writes it for people.
    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_rules(out)?;
        for (what, incidents) in [("Added", &self.added), ("Removed", &self.removed)] {
            writeln!(out, "\n{what}: {}", count(incidents.len() as u64, "incident"))?;
            incidents.iter().try_for_each(|incident| writeln!(out, "  {}", incident.line()))?;
        }
        writeln!(out, "\nChanged: {}", count(self.changed.len() as u64, "incident"))?;
        for (was, now) in &self.changed {
            writeln!(out, "  {}", now.line())?;
            writeln!(out, "    {}; before: {}", Extent::of([now]).words(), Extent::of(was).words())?;
        }
        writeln!(out, "\nThe same: {}", count(self.same, "incident"))
    }

    fn write_rules(&self, out: &mut dyn Write) -> io::Result<()> {
        let widest = self.rules.keys().map(|name| name.chars().count()).max().unwrap_or(0).max("rule".len());
        if let Some(Span { from, to }) = self.span {
            writeln!(out, "Records from {from} to {to}.\n")?;
        }
        writeln!(out, "{:widest$}  {:>17}  {:>17}  {:>17}", "", "incidents", "alerts", "alerts a week")?;
        let pair = ["before", "after"].map(|word| format!("{word:>8}")).join(" ");
        writeln!(out, "{:widest$}  {pair}  {pair}  {pair}", "rule")?;
        for (name, tallies) in &self.rules {
            let column = |value: &dyn Fn(&Tally) -> String| {
                let cell = |tally: &Option<Tally>| format!("{:>8}", tally.as_ref().map_or("-".to_owned(), value));
                tallies.iter().map(cell).collect::<Vec<_>>().join(" ")
            };
            let incidents = column(&|tally| tally.incidents.to_string());
            let alerts = column(&|tally| tally.alerts.to_string());
            let weekly = column(&|tally| tally.alerts_per_week.map_or("?".to_owned(), |share| format!("{share:.1}")));
            writeln!(out, "{name:widest$}  {incidents}  {alerts}  {weekly}")?;
        }
        Ok(())
    }

    /// Writes it for programs: an object a line.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let rules =
            self.rules.iter().map(|(rule, [before, after])| Line::Rule { rule, before: *before, after: *after });
        let added = self.added.iter().flat_map(|incident| &incident.alerts).map(|alert| Line::Added { alert });
        let removed = self.removed.iter().flat_map(|incident| &incident.alerts).map(|alert| Line::Removed { alert });
        let changed = self.changed.iter().flat_map(|(was, now)| {
            let (before, after) = (Extent::of(was), Extent::of([now]));
            now.alerts.iter().map(move |alert| Line::Changed { alert, before, after })
        });
        let lines = rules.chain(added).chain(removed).chain(changed);
        lines.map(|line| serde_json::to_string(&line)).try_for_each(|line| writeln!(out, "{}", line?))
    }
}

/// The incidents that `alerts` tell of, by their beginning.
fn incidents(alerts: &[Alert]) -> Vec<Incident<'_>> {
    // What one incident told before it went on in another belongs to that one.
    let heirs: HashMap<&str, &str> =
        alerts.iter().filter_map(|alert| Some((alert.incident.as_str(), alert.merged_into.as_deref()?))).collect();
    let heir = |name: &'_ Alert| {
        let chain = std::iter::successors(Some(name.incident.as_str()), |name| heirs.get(name).copied());
        chain.take(heirs.len() + 1).last().unwrap_or_default().to_owned()
    };
    let mut found: BTreeMap<String, Incident<'_>> = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| is_counted(alert)) {
        let nothing = || Incident { alerts: Vec::new(), covers: BTreeSet::new() };
        let incident = found.entry(heir(alert)).or_insert_with(nothing);
        incident.alerts.push(alert);
        incident.covers.extend(alert.accesses.iter().map(|access| access.event_id.as_str()));
    }
    let mut found: Vec<Incident<'_>> = found.into_values().collect();
    found.sort_by_key(|incident| (incident.began(), incident.alerts[0].rule.name.as_str()));
    found
}

/// By rule and event: which of `incidents` covers it.
fn covering<'a>(incidents: &[Incident<'a>]) -> HashMap<(&'a str, &'a str), usize> {
    let covered = incidents
        .iter()
        .enumerate()
        .flat_map(|(place, incident)| incident.covers.iter().map(move |event| ((incident.rule(), *event), place)));
    covered.collect()
}

impl<'a> Incident<'a> {
    fn rule(&self) -> &'a str {
        &self.alerts[0].rule.name
    }

    fn began(&self) -> Option<EventTime> {
        self.alerts.iter().filter_map(|alert| alert.first_access).min()
    }

    /// Which of others cover an access of this one, for the same rule.
    fn among(&self, covering: &HashMap<(&str, &str), usize>) -> BTreeSet<usize> {
        self.covers.iter().filter_map(|event| covering.get(&(self.rule(), *event)).copied()).collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        let facts = |incident: &Self| (incident.alerts.len(), incident.alerts[0].group.clone());
        self.covers == other.covers && facts(self) == facts(other)
    }

    /// When, which rule, which group, and what happened.
    fn line(&self) -> String {
        let first = self.alerts[0];
        let at = self.began().map(|at| at.to_string()).unwrap_or_default();
        format!("{at}  {}  {}  {}", first.rule.name, first.group_in_words(), first.summary)
    }
}

impl Extent {
    fn of<'i, 'a: 'i>(incidents: impl IntoIterator<Item = &'i Incident<'a>>) -> Self {
        incidents.into_iter().fold(Self::default(), |sum, incident| Self {
            incidents: sum.incidents + 1,
            alerts: sum.alerts + incident.alerts.len(),
            accesses: sum.accesses + incident.covers.len(),
        })
    }

    fn words(self) -> String {
        let counts = [(self.incidents, "incident"), (self.alerts, "alert"), (self.accesses, "access")];
        counts.map(|(number, noun)| count(number as u64, noun)).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, check};
    use crate::model::AlertKind;
    use crate::model::fixture::{START, access, alert};

    /// Rules of these names.
    fn config(rules: &[&str]) -> Config {
        let text: String = rules.iter().map(|name| format!("[[rule]]\nname = {name:?}\n")).collect();
        check(&text, "test", &Environment::default()).unwrap()
    }

    /// Alerts, one a line: rule, incident, and the seconds of the accesses; `of x` for another group, `into i` for an
    /// incident that goes on in `i`.
    fn alerts(lines: &str) -> Vec<Alert> {
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(one).collect()
    }

    fn one(line: &str) -> Alert {
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = words[2..].iter().map_while(|word| word.parse::<i64>().ok());
        let mut alert = alert(AlertKind::Opened, seconds.map(access).collect());
        words[0].clone_into(&mut alert.rule.name);
        words[1].clone_into(&mut alert.incident);
        match words[..] {
            [.., "of", group] => alert.group = BTreeMap::from([("secret".to_owned(), Some(group.to_owned()))]),
            [.., "into", heir] => (alert.merged_into, alert.kind) = (Some(heir.to_owned()), AlertKind::Resolved),
            [_, _, "over"] => alert.kind = AlertKind::Resolved,
            _ => {}
        }
        alert
    }

    /// `before` and `after` compare as `expected` says: added, removed, changed and unchanged incidents.
    fn compares(before: &str, after: &str, expected: [usize; 4]) {
        let config = config(&["r", "other"]);
        let (old, new) = (alerts(before), alerts(after));
        let side = |alerts| Side { config: &config, alerts };
        let comparison = Comparison::of(side(&old), side(&new), None);
        let Comparison { added, removed, changed, same, .. } = comparison;
        assert_eq!([added.len(), removed.len(), changed.len(), same as usize], expected, "{before} / {after}");
    }

    #[test]
    fn incidents_are_told_apart_by_what_they_cover() {
        compares("", "", [0, 0, 0, 0]);
        compares("r a 1 2", "r b 1 2", [0, 0, 0, 1]);
        compares("r a 1 2", "other b 1 2", [1, 1, 0, 0]);
        compares("r a 1 2", "r b 3 4", [1, 1, 0, 0]);
        compares("r a 1 2", "r b 2 3", [0, 0, 1, 0]);
        compares("r a 1 2", "r b 1 2 of x", [0, 0, 1, 0]);
        compares("r a 1 2", "", [0, 1, 0, 0]);
        compares("", "r a 1 2", [1, 0, 0, 0]);
        compares("r a 1 \n r a 2", "r b 1 2", [0, 0, 1, 0]);
        compares("r a 1 \n r a 2 \n r a over", "r b 1 \n r b 2", [0, 0, 0, 1]);
        compares("r a 1 2 \n r b 5 6", "r c 1 2 5 6", [0, 0, 1, 0]);
        compares("r c 1 2 5 6", "r a 1 2 \n r b 5 6", [0, 0, 2, 0]);
        compares("r a 1 \n r b 5 \n r b into a", "r c 1 \n r c 5", [0, 0, 0, 1]);
    }

    #[test]
    fn each_rule_is_counted_in_each_set_that_has_it() {
        let (old, new) = (config(&["gone", "kept"]), config(&["kept", "new"]));
        let (before, after) = (alerts("gone a 1 2 \n gone a 3 \n kept b 4"), alerts("kept b 4 \n kept c 100"));
        let span = Span::new(START, START.plus(14 * 86_400 - 1));
        let old = Side { config: &old, alerts: &before };
        let comparison = Comparison::of(old, Side { config: &new, alerts: &after }, span);
        let tally = |incidents, alerts, accesses, share| {
            Some(Tally { incidents, alerts, accesses, alerts_per_week: Some(share) })
        };
        let expected = BTreeMap::from([
            ("gone", [tally(1, 2, 3, 1.0), None]),
            ("kept", [tally(1, 1, 1, 0.5), tally(2, 2, 2, 1.0)]),
            ("new", [None, tally(0, 0, 0, 0.0)]),
        ]);
        assert_eq!(comparison.rules, expected);

        let mut text = Vec::new();
        comparison.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Records from 2026-05-27T18:45:54Z to 2026-06-10T18:45:53Z.");
        assert_eq!(lines[4], "gone         1        -         2        -       1.0        -");
        assert!(lines.contains(&"Removed: 1 incident") && lines.contains(&"The same: 1 incident"), "{text}");
        assert!(lines.contains(&"  2026-05-27T18:47:34Z  kept  secret prod/db-password  Secret prod/db-password was read by role deploy (session ci-42) from 203.0.113.7"), "{text}");
    }

    #[test]
    fn a_few_hours_say_nothing_about_weeks() {
        let config = config(&["r"]);
        for (seconds, told) in [(86_399, false), (86_400, true)] {
            let span = Span::new(START, START.plus(seconds - 1));
            let tally = Tally::of(&config, &alerts("r a 1"), span)["r"];
            assert_eq!(tally.alerts_per_week.is_some(), told, "{seconds}");
        }
    }
}
