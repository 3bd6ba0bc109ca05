//! How a report comes about: what to ask, one small thing after the other, and what the answers add up to.
//!
//! An [`Inquiry`] asks nobody itself. Whoever has a ledger, or a daemon that does, puts each [`Ask`] to it and hands the
//! answer back, so that passes and deliveries go in between. Accesses are asked for from the newest to the oldest: those
//! of the report's time first, and then those before, by which one knows what is new.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::protocol::{Answer, Ask};
use crate::model::{
    AlertKind, BlindLine, DeniedLine, EventTime, IncidentLine, Outcome, Outcomes, PairLine, PrincipalLine, REPORT,
    Ranked, Report, SecretLine, Severity, Stretch, WallTime,
};
use crate::store::{AccessPlace, AccessQuery, AlertQuery, AlertSight, Combination, HOUR, IncidentQuery, Sum};

/// Combinations that are kept apart. A caller can make up names as fast as AWS refuses them.
const COMBINATIONS: usize = 100_000;

/// Stretches of a report, about.
const STRETCHES: i64 = 60;

/// Alerts that are asked for at once.
const ALERTS: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Inquiry {
    from: EventTime,
    to: EventTime,
    phase: Phase,
    sums: HashMap<Combination, Sum>,
    hours: BTreeMap<i64, Outcomes>,
    cut_short: bool,
    /// Principals and secrets that came together in the report's time, and not before.
    new: HashMap<Pair, (Outcomes, EventTime)>,
    known_from: Option<EventTime>,
    is_past_known: bool,
    /// The latest, twice as many as are shown at most.
    incidents: Vec<IncidentLine>,
    incidents_seen: u64,
    /// Of these incidents, what their first alert says.
    told: HashMap<String, (Severity, String)>,
    alerts: BTreeMap<String, u64>,
    undelivered: u64,
    /// Alerts about sources, the newest first.
    sights: Vec<AlertSight>,
    /// Lines of each list.
    most: usize,
}

/// Account, Region and name.
type Secret = (String, String, String);

type Pair = (String, Secret);

/// What is asked for next, and where it goes on.
#[derive(Debug)]
enum Phase {
    During(Option<AccessPlace>),
    Before(Option<AccessPlace>),
    Incidents(Option<String>),
    Alerts(Option<u64>),
    Over,
}

impl Inquiry {
    /// About what happened from `from` on until `now`, with lists of at most `most` lines.
    #[must_use]
    pub fn new(from: EventTime, now: WallTime, most: usize) -> Self {
        Self {
            from,
            to: now.second(),
            phase: Phase::During(None),
            sums: HashMap::new(),
            hours: BTreeMap::new(),
            cut_short: false,
            new: HashMap::new(),
            known_from: None,
            is_past_known: false,
            incidents: Vec::new(),
            incidents_seen: 0,
            told: HashMap::new(),
            alerts: BTreeMap::new(),
            undelivered: 0,
            sights: Vec::new(),
            most,
        }
    }

    /// What is to be asked now; none: everything is known.
    #[must_use]
    pub fn next(&self) -> Option<Ask> {
        let before = |before: &Option<AccessPlace>| before.clone().or_else(|| Some((self.to.plus(1), String::new())));
        Some(match &self.phase {
            Phase::During(place) => {
                Ask::Sums(AccessQuery { since: Some(self.from), before: before(place), ..AccessQuery::default() })
            }
            Phase::Before(place) => {
                let place = place.clone().or_else(|| Some((self.from, String::new())));
                Ask::Sums(AccessQuery { before: place, ..AccessQuery::default() })
            }
            Phase::Incidents(after) => Ask::Incidents(IncidentQuery { since: self.from, after: after.clone() }),
            Phase::Alerts(before) => {
                Ask::Alerts(AlertQuery { before: *before, limit: ALERTS, ..AlertQuery::default() })
            }
            Phase::Over => return None,
        })
    }

    /// Takes the answer to what [`next`](Self::next) said. Returns whether it is one.
    pub fn hear(&mut self, answer: Answer) -> bool {
        match (&self.phase, answer) {
            (Phase::During(_), Answer::Sums(page)) => {
                self.known_from = page.oldest.or(self.known_from);
                page.sums.into_iter().for_each(|(combination, sum)| self.add(combination, sum));
                for (hour, outcomes) in page.hours {
                    self.hours.entry(hour).or_default().absorb(outcomes);
                }
                self.phase = page.next.map_or(Phase::Before(None), |next| Phase::During(Some(next)));
            }
            (Phase::Before(_), Answer::Sums(page)) => {
                self.is_past_known |= page.oldest.is_some();
                self.known_from = page.oldest.or(self.known_from);
                for (Combination { principal, secret, .. }, _) in page.sums {
                    secret.and_then(|secret| self.new.remove(&(principal, secret)));
                }
                self.phase = page.next.map_or(Phase::Incidents(None), |next| Phase::Before(Some(next)));
            }
            (Phase::Incidents(_), Answer::Incidents(page)) => {
                page.incidents.into_iter().for_each(|incident| self.add_incident(incident));
                self.phase = match page.next {
                    Some(next) => Phase::Incidents(Some(next)),
                    None => {
                        self.latest_incidents();
                        let ids = self.incidents.iter().map(|incident| incident.incident.clone());
                        self.told = ids.map(|id| (id, (Severity::Info, String::new()))).collect();
                        Phase::Alerts(None)
                    }
                };
            }
            (Phase::Alerts(_), Answer::Alerts(page)) => {
                page.alerts.into_iter().for_each(|alert| self.add_alert(alert));
                self.phase = page.next.map_or(Phase::Over, |next| Phase::Alerts(Some(next)));
            }
            _ => return false,
        }
        true
    }

    fn add(&mut self, combination: Combination, sum: Sum) {
        if self.sums.len() >= COMBINATIONS && !self.sums.contains_key(&combination) {
            self.cut_short = true;
            return;
        }
        if let Some(secret) = &combination.secret {
            let pair = (combination.principal.clone(), secret.clone());
            let (outcomes, first) = self.new.entry(pair).or_insert((Outcomes::default(), sum.first));
            outcomes.add(combination.outcome, sum.count);
            *first = sum.first.min(*first);
        }
        match self.sums.get_mut(&combination) {
            Some(known) => known.absorb(sum),
            None => {
                self.sums.insert(combination, sum);
            }
        }
    }

    fn add_incident(&mut self, incident: IncidentLine) {
        if incident.first_access > self.to {
            return;
        }
        self.incidents_seen += 1;
        self.incidents.push(incident);
        if self.incidents.len() > 2 * self.most.max(ALERTS) {
            self.latest_incidents();
        }
    }

    fn latest_incidents(&mut self) {
        self.incidents.sort_by(|a, b| (b.last_access, &b.incident).cmp(&(a.last_access, &a.incident)));
        self.incidents.truncate(self.most);
    }

    /// They come the newest first, so that the first alert of an incident is what stays.
    fn add_alert(&mut self, alert: AlertSight) {
        if alert.decided >= self.from.wall() {
            *self.alerts.entry(alert.kind.word().to_owned()).or_default() += 1;
            self.undelivered += u64::from(alert.is_undelivered());
        }
        if matches!(alert.kind, AlertKind::Blind | AlertKind::Sighted) {
            self.sights.push(alert);
        } else if let Some(told) = self.told.get_mut(&alert.incident) {
            *told = (alert.severity, alert.summary);
        }
    }

    /// What it comes to.
    #[must_use]
    pub fn report(mut self) -> Report {
        self.latest_incidents();
        let most = self.most;
        let by_secret = self.by_secret();
        let by_principal = self.by_principal();
        let denied = self.denied();
        let over_time = self.over_time();
        let mut accesses = Outcomes::default();
        self.hours.values().for_each(|outcomes| accesses.absorb(*outcomes));
        let blind = self.blind();
        let mut new: Vec<PairLine> = self
            .new
            .into_iter()
            .map(|((principal, secret), (accesses, first))| PairLine { principal, secret: secret.2, accesses, first })
            .collect();
        new.sort_by(|a, b| (b.first, &a.principal, &a.secret).cmp(&(a.first, &b.principal, &b.secret)));
        let mut incidents =
            Ranked { omitted: self.incidents_seen - self.incidents.len() as u64, shown: self.incidents };
        for incident in &mut incidents.shown {
            if let Some((severity, summary)) = self.told.remove(&incident.incident).filter(|(_, it)| !it.is_empty()) {
                (incident.severity, incident.summary) = (Some(severity), Some(summary));
            }
        }
        Report {
            schema: REPORT.to_owned(),
            from: self.from,
            to: self.to,
            known_from: self.known_from,
            cut_short: self.cut_short,
            accesses,
            secrets: by_secret.len() as u64,
            principals: by_principal.len() as u64,
            over_time,
            by_secret: Ranked::first(by_secret, most),
            by_principal: Ranked::first(by_principal, most),
            new_pairs: self.is_past_known.then(|| Ranked::first(new, most)),
            denied: Ranked::first(denied, most),
            incidents,
            alerts: self.alerts,
            undelivered: self.undelivered,
            blind,
        }
    }

    fn by_secret(&self) -> Vec<SecretLine> {
        let mut lines: BTreeMap<&Secret, (SecretLine, BTreeSet<&str>)> = BTreeMap::new();
        for (combination, sum) in &self.sums {
            let Some(whole @ (account, region, secret)) = &combination.secret else { continue };
            let (line, principals) = lines.entry(whole).or_insert_with(|| {
                let (accesses, last) = (Outcomes::default(), sum.last);
                let (secret, account, region) = (secret.clone(), account.clone(), region.clone());
                (SecretLine { secret, account, region, accesses, principals: 0, last }, BTreeSet::new())
            });
            line.accesses.add(combination.outcome, sum.count);
            line.last = line.last.max(sum.last);
            principals.insert(&combination.principal);
        }
        let lines =
            lines.into_values().map(|(line, principals)| SecretLine { principals: principals.len() as u64, ..line });
        let mut lines: Vec<SecretLine> = lines.collect();
        lines.sort_by(|a, b| (b.accesses.all, &a.secret).cmp(&(a.accesses.all, &b.secret)));
        lines
    }

    fn by_principal(&self) -> Vec<PrincipalLine> {
        let mut lines: BTreeMap<&str, (PrincipalLine, HashSet<&Secret>)> = BTreeMap::new();
        for (combination, sum) in &self.sums {
            let principal = &combination.principal;
            let (line, secrets) = lines.entry(principal).or_insert_with(|| {
                let (principal, accesses) = (principal.clone(), Outcomes::default());
                (PrincipalLine { principal, accesses, secrets: 0, last: sum.last }, HashSet::new())
            });
            line.accesses.add(combination.outcome, sum.count);
            line.last = line.last.max(sum.last);
            secrets.extend(&combination.secret);
        }
        let lines = lines.into_values().map(|(line, secrets)| PrincipalLine { secrets: secrets.len() as u64, ..line });
        let mut lines: Vec<PrincipalLine> = lines.collect();
        lines.sort_by(|a, b| (b.accesses.all, &a.principal).cmp(&(a.accesses.all, &b.principal)));
        lines
    }

    fn denied(&self) -> Vec<DeniedLine> {
        let denied = self.sums.iter().filter(|(combination, _)| combination.outcome == Outcome::Denied);
        let mut lines: Vec<DeniedLine> = denied
            .map(|(Combination { secret, principal, event, .. }, sum)| DeniedLine {
                principal: principal.clone(),
                secret: secret.as_ref().map(|(_, _, name)| name.clone()),
                event: event.clone(),
                count: sum.count,
                last: sum.last,
                source_ip: sum.source_ip.clone(),
            })
            .collect();
        let rank = |line: &DeniedLine| (std::cmp::Reverse(line.count), line.principal.clone(), line.secret.clone());
        lines.sort_by_cached_key(|line| (rank(line), line.event.clone()));
        lines
    }

    /// In stretches of so many hours that there are some sixty of them.
    fn over_time(&self) -> Vec<Stretch> {
        const LENGTHS: [i64; 9] = [1, 2, 3, 4, 6, 8, 12, 24, 48];
        let hours = self.to.0.saturating_sub(self.from.0).max(0) / HOUR + 1;
        let length = LENGTHS
            .into_iter()
            .find(|length| hours / length <= STRETCHES)
            .unwrap_or(hours / STRETCHES + 1)
            .saturating_mul(HOUR);
        let (first, last) = (self.from.0.div_euclid(length), self.to.0.div_euclid(length));
        let mut stretches: BTreeMap<i64, Outcomes> =
            (first..=last).map(|number| (number, Outcomes::default())).collect();
        for (hour, outcomes) in &self.hours {
            if let Some(sum) = stretches.get_mut(&hour.div_euclid(length)) {
                sum.absorb(*outcomes);
            }
        }
        stretches.into_iter().map(|(number, accesses)| Stretch { from: EventTime(number * length), accesses }).collect()
    }

    /// Each alert that a source is blind, with the one that it is not any more.
    fn blind(&self) -> Vec<BlindLine> {
        let sighted: HashMap<&str, WallTime> = self
            .sights
            .iter()
            .filter(|alert| alert.kind == AlertKind::Sighted)
            .map(|alert| (alert.incident.as_str(), alert.decided))
            .collect();
        let blind =
            self.sights.iter().filter(|alert| alert.kind == AlertKind::Blind && alert.decided <= self.to.wall());
        blind
            .filter_map(|alert| {
                let until = sighted.get(alert.incident.as_str()).copied();
                let (begin, end) = (alert.decided.max(self.from.wall()), until.unwrap_or(self.to.wall()));
                let line = BlindLine {
                    summary: alert.summary.clone(),
                    told: alert.decided,
                    until,
                    seconds: end.min(self.to.wall()).since(begin).as_secs(),
                };
                (end > self.from.wall()).then_some(line)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
