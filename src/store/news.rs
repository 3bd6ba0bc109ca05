//! What is news: the memory of rules with `first_seen`, and the reading of the past that fills it.
//!
//! Sightings are noted of every access that such a rule means, whether it counts or not: what is allowed, and what
//! happened before the rule began to count or its source to be watched. Each is written with the access that it comes
//! from.
//!
//! Nothing is news before enough of the past is known: `learn` from where the source is known on. That is the beginning
//! of watching, unless the Event history before it was read once, below everything else in priority: [`Past`] says what
//! of it is left. When all of it is read, what has happened meanwhile is counted with the knowledge that was missing.

use super::StoreError;
use super::intake::Draft;
use super::keys;
use super::kv::Writes;
use super::ledger::{ActiveRule, Ledger};
use super::rows::{self, Seeding};
use crate::detect::FirstSeen;
use crate::model::{Access, EventTime, Span, WallTime};
use crate::trail::{Coverage, SourceId};

/// Less than this is not worth reading for, in seconds.
const WORTH_READING: i64 = 3600;

/// What is left to be read of the past of one source.
#[derive(Clone, Debug)]
pub struct Past {
    /// Of the event source of this name.
    pub event_source: String,
    /// What was read of it so far.
    pub coverage: Coverage,
    /// What there is to read: up to the second before watching began.
    pub span: Span,
}

impl Ledger {
    /// What of the past of `source` is still to be read for rules that tell what is new; empty if nothing is.
    #[must_use]
    pub fn past(&self, source: &SourceId) -> Vec<Past> {
        let Some(row) = self.sources.get(source) else { return Vec::new() };
        let Some(seeding) = &row.seeding else { return Vec::new() };
        let of = |name: &String| {
            let watched = row.coverage.get(name)?.since();
            let span = Span::new(seeding.from, watched.minus(1))?;
            let coverage = seeding.coverage.get(name).cloned().unwrap_or_else(|| self.nothing_since(seeding.from));
            (!coverage.unread(span).is_empty()).then(|| Past { event_source: name.clone(), coverage, span })
        };
        self.settings.event_sources.iter().filter_map(of).collect()
    }

    /// Keeps what has been read of the past. Returns whether that was the last of it.
    pub fn cover_past(
        &mut self,
        source: &SourceId,
        event_source: &str,
        coverage: Coverage,
        now: WallTime,
    ) -> Result<bool, StoreError> {
        self.update_source(source, |row| {
            if let Some(seeding) = &mut row.seeding {
                seeding.coverage.insert(event_source.to_owned(), coverage);
            }
        })?;
        self.finish_seeding(source, now)
    }

    /// Notes that everything in `source` is known from `from` on, wherever it came from.
    pub fn know(&mut self, source: &SourceId, from: EventTime) -> Result<(), StoreError> {
        self.update_source(source, |row| (row.known, row.seeding) = (Some(from), None))
    }

    /// Begins to read the past of `source`, as far as a rule wants to know it and does not.
    pub(super) fn begin_seeding(&mut self, source: &SourceId, now: WallTime) -> Result<(), StoreError> {
        let wanted = self.settings.rules.iter().filter_map(|rule| rule.first_seen.as_ref()).map(|it| it.seed).max();
        let kept = i64::try_from(self.settings.retention.as_secs()).unwrap_or(i64::MAX);
        let Some(seed) = wanted.map(|seed| seed.min(kept)).filter(|seed| *seed > 0) else {
            return self.update_source(source, |row| row.seeding = None);
        };
        let from = now.second().minus(seed);
        let known = self.watched_since(source);
        self.update_source(source, |row| {
            let known = row.known.or(known).unwrap_or(now.second());
            let is_enough = known <= from.plus(WORTH_READING);
            match &row.seeding {
                Some(begun) if begun.from <= from.plus(WORTH_READING) => {}
                _ if is_enough => row.seeding = None,
                _ => row.seeding = Some(Seeding { from, coverage: Default::default() }),
            }
        })?;
        Ok(())
    }

    /// Where nothing is left to be read of the past, what rules could not tell meanwhile is told. That they are to count
    /// again is written together with what is known: whoever is killed in between counts at the next start.
    pub(super) fn finish_seeding(&mut self, source: &SourceId, now: WallTime) -> Result<bool, StoreError> {
        let Some(mut row) = self.sources.get(source).cloned() else { return Ok(false) };
        let Some(seeding) = row.seeding.take_if(|_| self.past(source).is_empty()) else { return Ok(false) };
        row.known = Some(seeding.from);
        let remembering: Vec<usize> = (0..self.rules.len()).filter(|it| self.rules[*it].memory.is_some()).collect();
        let mut writes = Writes::default();
        for index in &remembering {
            self.put_rule(*index, false, now, &mut writes)?;
        }
        self.write_source(source, row, writes)?;
        for index in remembering {
            self.count_stored(index, now)?;
            let mut writes = Writes::default();
            self.put_rule(index, true, now, &mut writes)?;
            self.write(writes)?;
        }
        Ok(true)
    }

    /// Notes that the rule at `index` has seen `accesses`, if it is one that remembers.
    pub(super) fn remember(&self, index: usize, accesses: &[&Access], draft: &mut Draft) -> Result<(), StoreError> {
        let ActiveRule { rule, memory: Some(memory), .. } = &self.rules[index] else { return Ok(()) };
        let Some(first_seen) = &rule.first_seen else { return Ok(()) };
        let floor = draft.now.minus(self.settings.retention).second().minus(first_seen.memory);
        for access in accesses.iter().filter(|access| !access.own && rule.matches(access)) {
            let Some(combination) = first_seen.combination(access) else { continue };
            let key = keys::sightings(*memory, &combination);
            let mut sightings = match draft.sightings.remove(&key) {
                Some(sightings) => sightings,
                None => self.sightings(&key)?,
            };
            let before = sightings.clone();
            sightings.see(access.time, first_seen, rule.window);
            if sightings != before {
                sightings.forget(floor);
                draft.writes.put(key.clone(), rows::sightings_value(&sightings));
            }
            draft.sightings.insert(key, sightings);
        }
        Ok(())
    }

    /// The same for all that is stored.
    pub(super) fn remember_stored(&mut self, index: usize, now: WallTime) -> Result<(), StoreError> {
        if self.rules[index].memory.is_none() {
            return Ok(());
        }
        self.each_stored(EventTime(i64::MIN), now, |ledger, batch, draft| ledger.remember(index, batch, draft))
    }

    /// Whether `access`, which has been remembered, is news to the rule at `index`. To one that does not ask, everything
    /// is.
    pub(super) fn is_news(&self, index: usize, access: &Access, draft: &Draft) -> Result<bool, StoreError> {
        let ActiveRule { rule, memory: Some(memory), .. } = &self.rules[index] else { return Ok(true) };
        let Some(first_seen) = &rule.first_seen else { return Ok(true) };
        let Some(combination) = first_seen.combination(access) else { return Ok(false) };
        if !self.has_learnt(first_seen, access) {
            return Ok(false);
        }
        let key = keys::sightings(*memory, &combination);
        let is_news = |sightings: &crate::detect::Sightings| sightings.is_news(access.time, first_seen, rule.window);
        match draft.sightings.get(&key) {
            Some(sightings) => Ok(is_news(sightings)),
            None => self.sightings(&key).map(|sightings| is_news(&sightings)),
        }
    }

    /// Whether enough is known of what happened in the source of `access` before it.
    pub(super) fn has_learnt(&self, first_seen: &FirstSeen, access: &Access) -> bool {
        self.known_since(access).is_some_and(|known| access.time >= known.plus(first_seen.learn))
    }

    /// From where on everything in the source of `access` is known; none while its past is being read, or where no
    /// source is its own.
    pub(super) fn known_since(&self, access: &Access) -> Option<EventTime> {
        let (source, row) = self.source_of(access)?;
        match (row.known, &row.seeding) {
            // More of the past may be being read for a rule that wants it.
            (Some(known), _) => Some(known),
            (None, Some(_)) => None,
            (None, None) => self.watched_since(source),
        }
    }

    /// Whether `access` happened before its source was watched, and was read for those alone who want to know what is new.
    pub(super) fn is_past(&self, access: &Access) -> bool {
        let is_seeded = |row: &super::SourceRow| row.known.is_some() || row.seeding.is_some();
        if !self.sources.values().any(is_seeded) {
            return false;
        }
        let since = self.source_of(access).and_then(|(source, _)| self.watched_since(source));
        since.is_some_and(|since| access.time < since)
    }

    fn source_of(&self, access: &Access) -> Option<(&SourceId, &super::SourceRow)> {
        self.sources.iter().find(|(id, row)| {
            id.region == access.region
                && (id.account == access.account || row.account_id.as_deref() == Some(access.account.as_str()))
        })
    }

    /// Since when all event sources of `source` are watched.
    fn watched_since(&self, source: &SourceId) -> Option<EventTime> {
        let row = self.sources.get(source)?;
        self.settings.event_sources.iter().filter_map(|name| row.coverage.get(name)).map(Coverage::since).max()
    }

    pub(super) fn sightings(&self, key: &[u8]) -> Result<crate::detect::Sightings, StoreError> {
        self.kv.row(key)?.map_or(Ok(Default::default()), |value| rows::sightings(key, &value))
    }

    fn nothing_since(&self, from: EventTime) -> Coverage {
        Coverage::new(from, self.settings.lateness, std::time::Duration::ZERO)
    }
}
