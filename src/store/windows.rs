//! How near each rule has come to its threshold lately: its fullest window.
//!
//! Entries lie by group, so the groups of a rule are gone through by leaping from one to the next, and of each only what
//! happened lately is read. That takes as long as there are groups, so it goes in slices, there is a bound, and it is told
//! when it was hit.

use std::collections::BTreeMap;

use serde::Serialize;

use super::explain::fullest;
use super::keys::{self, Key};
use super::ledger::{ActiveRule, Ledger};
use super::{StoreError, rows};
use crate::detect::window::Crossing;
use crate::detect::{Entry, GroupId};
use crate::model::{EventTime, Severity, Span, WallTime};

/// Groups of one rule that are looked at, and in one slice of that.
const GROUPS: usize = 2_000;
const SLICE: usize = 100;

/// How far the look at a rule has come.
#[derive(Debug, Default)]
pub struct Look {
    /// The key behind the last group that was looked at; empty: none was.
    from: Vec<u8>,
    groups: usize,
    best: Option<(Crossing, Entry)>,
}

/// What a slice of a [`Look`] has come to.
#[derive(Debug)]
pub enum Looked {
    /// There are more groups.
    Further(Look),
    /// This is how the rule stands.
    Stands(Box<RuleStanding>),
}

/// A rule, and how near it has come to its threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleStanding {
    /// Its name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub description: Option<String>,
    /// `sum`, `distinct secret`, `sequence`.
    pub statistic: String,
    /// A window crosses at this value: for a sequence, the number of its steps.
    pub threshold: u64,
    /// Its length, in seconds.
    pub window_seconds: i64,
    /// What tells one group from another.
    pub group_by: Vec<&'static str>,
    /// Incidents that are open.
    pub open: u64,
    /// The fullest of the windows that ended within the last `window` and `lateness`, over all groups; none: all were
    /// empty.
    pub fullest: Option<Fullest>,
    /// There were more groups than are looked at, and one of the others may have a fuller window.
    pub cut_short: bool,
}

/// A window of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fullest {
    /// The statistic over it.
    pub value: u64,
    /// The second at which it ends.
    pub end: EventTime,
    /// The group.
    pub group: BTreeMap<String, Option<String>>,
}

impl Ledger {
    /// How the rule at `place` in the configuration stands, by one more slice of `look`; none: there are no more rules.
    pub fn rule_standing(&self, place: usize, look: Look, now: WallTime) -> Result<Option<Looked>, StoreError> {
        let Some(active) = self.rules.get(place).filter(|active| active.watches.is_none()) else { return Ok(None) };
        let (look, is_over) = self.look_on(active, look, now)?;
        if !is_over && look.groups < GROUPS {
            return Ok(Some(Looked::Further(look)));
        }
        let (card, rule) = (active.rule.card(), &active.rule);
        Ok(Some(Looked::Stands(Box::new(RuleStanding {
            open: self.open.values().filter(|incident| incident.rule == active.id).count() as u64,
            rule: card.name,
            severity: card.severity,
            description: card.description,
            statistic: card.statistic,
            threshold: rule.goal(),
            window_seconds: card.window,
            group_by: rule.group_by.iter().map(|key| key.word()).collect(),
            fullest: self.named(active, look.best)?,
            cut_short: !is_over,
        }))))
    }

    /// Looks at some more groups. Returns also whether there are no more.
    fn look_on(&self, active: &ActiveRule, look: Look, now: WallTime) -> Result<(Look, bool), StoreError> {
        let window = active.rule.window;
        let ends = Span { from: now.minus(self.settings.lateness).second().minus(window), to: now.second() };
        let read = Span { from: ends.from.minus(window), to: ends.to };
        let all = Key::of(keys::MATCH).bytes(&active.id.0).end();
        let past = Key::of(keys::MATCH).bytes(&active.id.0).bytes(&[u8::MAX; 25]).end();
        // Another rule may stand in this place since the last slice.
        let mut look = if look.from.starts_with(&all) { look } else { Look { from: all, ..Look::default() } };
        for _ in 0..SLICE {
            let Some(row) = self.kv.range(&look.from, &past).next() else { return Ok((look, true)) };
            let (key, _) = row?;
            let group = key.get(9..25).and_then(|bytes| bytes.try_into().ok()).map(GroupId);
            let group = group.ok_or_else(|| rows::damaged("a key of a counted access".to_owned()))?;
            look.from = keys::group(keys::MATCH, active.id, group).bytes(&[u8::MAX; 9]).end();
            look.groups += 1;
            let entries = self.entries(active.id, group, read)?;
            if entries.is_empty() {
                continue;
            }
            if let Some(crossing) = fullest(&active.rule, &entries, ends)
                && look.best.as_ref().is_none_or(|(best, _)| crossing.value > best.value)
                && let Some(last) = entries.into_iter().rfind(|entry| entry.at <= crossing.end)
            {
                look.best = Some((crossing, last));
            }
        }
        Ok((look, false))
    }

    /// The window with what its group is called, which its accesses know.
    fn named(&self, active: &ActiveRule, best: Option<(Crossing, Entry)>) -> Result<Option<Fullest>, StoreError> {
        let Some((Crossing { end, value }, entry)) = best else { return Ok(None) };
        let access = self.access(&entry.id)?;
        let group = access.map(|access| active.rule.group(&access).labels).unwrap_or_default();
        Ok(Some(Fullest { value, end, group }))
    }
}
