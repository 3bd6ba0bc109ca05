//! What each rule makes of an access: what it has counted, and what it says when it is asked again.

use super::super::StoreError;
use super::super::explanation::{
    AllowanceRuling, Demand, Listed, Measure, News, Objection, Ruling, StepRuling, Version, Window,
};
use super::super::keys;
use super::super::ledger::{ActiveRule, Ledger};
use super::super::rows;
use super::window::{closest, step_value};
use super::{Subject, former};
use crate::detect::window::Crossing;
use crate::detect::{Condition, Entry, Rule, Step};
use crate::model::{Access, Span};

/// Accesses of a window that are listed.
const MAX_LISTED: usize = 20;

/// Times in which a combination was seen that are shown.
const MAX_SEEN: usize = 5;

/// A rule that is asked.
struct Asked<'a> {
    rule: &'a Rule,
    /// The allowance that it watches.
    watches: Option<usize>,
    /// As it counts; none where no daemon has been started with it.
    active: Option<&'a ActiveRule>,
}

impl Ledger {
    /// What every rule makes of `subject`.
    pub(super) fn rulings(&self, subject: &Subject<'_>, limits: &mut Vec<String>) -> Result<Vec<Ruling>, StoreError> {
        let stored = self.rule_rows()?;
        let mut rulings = Vec::new();
        for (rule, watches) in &self.all_rules() {
            let active = self.rules.iter().find(|active| active.rule.name == rule.name);
            let asked = Asked { rule, watches: *watches, active };
            let mut ruling = self.blank_ruling(&asked, subject)?;
            if let Version::Active { activated, .. } = &mut ruling.version {
                *activated = stored.get(&rule.name).map(|row| row.activated);
            }
            if let Some(active) = active {
                self.follow(active, subject, &mut ruling)?;
            }
            rulings.push(ruling);
        }
        former::add(self, &stored, subject, &mut rulings, limits)?;
        Ok(rulings)
    }

    /// What the rule says when it is asked, and nothing of what it has counted.
    fn blank_ruling(&self, asked: &Asked<'_>, subject: &Subject<'_>) -> Result<Ruling, StoreError> {
        let Asked { rule, active, .. } = asked;
        let card = rule.card();
        let first_seen = match active {
            Some(active) => self.news(active, subject.access)?,
            None => None,
        };
        Ok(Ruling {
            rule: rule.name.clone(),
            severity: Some(rule.severity),
            version: match active {
                Some(active) => Version::Active { from: active.from, activated: None },
                None => Version::Waiting,
            },
            summary: String::new(),
            measure: Some(Measure {
                statistic: card.statistic,
                threshold: card.threshold,
                window_seconds: card.window,
            }),
            counted: false,
            objection: self.objection(asked, first_seen.as_ref(), subject),
            demands: demands(&rule.condition, subject.access),
            steps: steps(rule, subject.access),
            allowances: self.allowances_for(rule, subject.access),
            first_seen,
            group: None,
            told_before: false,
            window: None,
            incident: None,
            alert: None,
            update_due: None,
        })
    }

    /// What speaks against counting the access, in the order in which counting asks.
    fn objection(&self, asked: &Asked<'_>, news: Option<&News>, subject: &Subject<'_>) -> Option<Objection> {
        let (Asked { rule, watches, active }, access) = (asked, subject.access);
        let watched = watches.and_then(|place| self.settings.allowances.get(place));
        let is_allowed = self.settings.allowances.iter().any(|allowance| allowance.allows(&rule.name, access));
        let is_part = |step: &Step| step.condition.matches(access);
        let objections = [
            (access.own, Objection::Own),
            (!subject.is_read, Objection::EventSource),
            (active.is_some_and(|active| access.time < active.from), Objection::TooEarly),
            (!rule.condition.matches(access), Objection::Condition),
            (!rule.steps.is_empty() && !rule.steps.iter().any(is_part), Objection::Steps),
            (watched.is_none() && is_allowed, Objection::Allowed),
            (watched.is_some_and(|allowance| !self.uses(allowance, access)), Objection::NotAllowed),
            (rule.share(access).is_none(), Objection::NoValue),
        ];
        let first = objections.into_iter().find_map(|(speaks, objection)| speaks.then_some(objection));
        first.or_else(|| news.and_then(|news| not_news(news, access)))
    }

    fn allowances_for(&self, rule: &Rule, access: &Access) -> Vec<AllowanceRuling> {
        let used = self.allowances.iter().map(|row| row.used).chain(std::iter::repeat(0));
        let about = self.settings.allowances.iter().zip(used).filter(|(allowance, _)| allowance.concerns(&rule.name));
        let means = about.filter(|(allowance, _)| allowance.condition.matches(access));
        means
            .map(|(allowance, used)| AllowanceRuling {
                name: allowance.name.clone(),
                owner: allowance.owner.clone(),
                reason: allowance.reason.clone(),
                until: allowance.until,
                valid: !allowance.is_over(access.time),
                used,
            })
            .collect()
    }

    /// What is known of the access's combination, for a rule that asks whether it is news.
    fn news(&self, active: &ActiveRule, access: &Access) -> Result<Option<News>, StoreError> {
        let (Some(first_seen), Some(memory)) = (&active.rule.first_seen, active.memory) else { return Ok(None) };
        let known_since = self.known_since(access);
        let mut news = News {
            combination: first_seen.labels(access),
            memory_seconds: first_seen.memory,
            known_since,
            learnt_from: known_since.map(|known| known.plus(first_seen.learn)),
            seen: Vec::new(),
            seen_before: None,
            news: false,
        };
        let Some(combination) = first_seen.combination(access) else { return Ok(Some(news)) };
        let sightings = self.sightings(&keys::sightings(memory, &combination))?;
        let is_new = sightings.is_news(access.time, first_seen, active.rule.window);
        news.news = is_new && self.has_learnt(first_seen, access);
        let before = sightings.runs().iter().filter(|(first, _)| *first < access.time);
        news.seen = before.map(|(first, last)| Span { from: *first, to: (*last).min(access.time) }).collect();
        if !is_new {
            let early_enough = |span: &&Span| span.from <= access.time.minus(active.rule.window);
            news.seen_before = news.seen.iter().rfind(early_enough).copied();
        }
        news.seen.drain(..news.seen.len().saturating_sub(MAX_SEEN));
        Ok(Some(news))
    }

    /// What the rule has counted, and what came of it.
    fn follow(&self, active: &ActiveRule, subject: &Subject<'_>, ruling: &mut Ruling) -> Result<(), StoreError> {
        let access = subject.access;
        let (rule, group) = (&active.rule, active.rule.group(access));
        let key = keys::matched(active.id, group.id, access.time, access.identity());
        let Some(value) = self.kv.row(&key)? else { return Ok(()) };
        let entry = rows::entry(&key, &value)?;
        (ruling.counted, ruling.told_before) = (true, entry.reported);
        let around = Span { from: access.time.minus(rule.window), to: access.time.plus(rule.window) };
        let entries = self.entries(active.id, group.id, around)?;
        if let Some(crossing) = closest(rule, &entries, access.time) {
            let from = crossing.end.minus(rule.window.saturating_sub(1));
            let first = entries.partition_point(|entry| entry.at < from);
            let last = entries.partition_point(|entry| entry.at <= crossing.end);
            let held = entries.get(first..last).unwrap_or_default();
            fill_steps(rule, crossing, held, &mut ruling.steps);
            ruling.window = Some(self.window(rule, crossing, held, access)?);
        }
        if ruling.window.as_ref().is_some_and(|window| window.crosses) || entry.reported {
            self.trace(active, (group.id, access.time), subject, ruling)?;
        }
        ruling.group = Some(group.labels);
        // It was told of where an earlier record has said that it belongs.
        for record in subject.others.iter().filter(|_| entry.reported) {
            if ruling.alert.is_none() {
                self.trace(active, (rule.group(record).id, record.time), subject, ruling)?;
            }
        }
        Ok(())
    }

    fn window(&self, rule: &Rule, crossing: Crossing, held: &[Entry], access: &Access) -> Result<Window, StoreError> {
        let this = held.iter().position(|entry| *entry.id == *access.identity()).unwrap_or(0);
        let most = held.len().min(MAX_LISTED);
        // As many before it as after it, where there are as many.
        let from = this.saturating_sub(most / 2).min(held.len() - most);
        let mut listed = Vec::new();
        for entry in &held[from..from + most] {
            if let Some(other) = self.access(&entry.id)? {
                listed.push(listing(entry, &other, access));
            }
        }
        let at = |entry: Option<&Entry>| entry.map_or(access.time, |entry| entry.at);
        Ok(Window {
            span: Span { from: crossing.end.minus(rule.window.saturating_sub(1)), to: crossing.end },
            value: crossing.value,
            crosses: crossing.value >= rule.goal(),
            accesses: held.len() as u64,
            first: at(held.first()),
            last: at(held.last()),
            listed,
        })
    }
}

fn listing(entry: &Entry, other: &Access, access: &Access) -> Listed {
    Listed {
        time: entry.at,
        event_id: other.event_id.clone(),
        event: other.event.clone(),
        secret: other.secret.as_ref().map(|secret| secret.name.clone()),
        principal: other.principal.key(),
        outcome: other.outcome,
        this: *entry.id == *access.identity(),
    }
}

fn demands(condition: &Condition, access: &Access) -> Vec<Demand> {
    condition.verdicts(access).into_iter().map(Demand::from).collect()
}

fn steps(rule: &Rule, access: &Access) -> Vec<StepRuling> {
    let share = rule.share(access).map_or(0, |share| share.steps);
    let ruling = |(place, step): (usize, &Step)| StepRuling {
        statistic: step.statistic.words(),
        threshold: step.threshold,
        demands: demands(&step.condition, access),
        part: rule.condition.matches(access) && share >> place & 1 == 1,
        value: None,
        taken: None,
    };
    rule.steps.iter().enumerate().map(ruling).collect()
}

fn fill_steps(rule: &Rule, crossing: Crossing, held: &[Entry], steps: &mut [StepRuling]) {
    for (place, step) in steps.iter_mut().enumerate() {
        step.value = Some(step_value(rule, place, held));
        step.taken = Some((place as u64) < crossing.value);
    }
}

/// What speaks against an access that has to be news.
fn not_news(news: &News, access: &Access) -> Option<Objection> {
    let is_whole = news.combination.values().all(Option::is_some);
    match news.learnt_from {
        _ if !is_whole => Some(Objection::NoCombination),
        _ if news.news => None,
        Some(from) if access.time >= from => Some(Objection::NotNews),
        _ => Some(Objection::NotLearnt),
    }
}
