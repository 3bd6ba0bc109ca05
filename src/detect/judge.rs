//! What a page of new accesses does to the incidents of one rule and group.
//!
//! The way of the argument, which is what makes the result the same for every order of arrival: the covered set is a
//! function of the set of counted accesses alone. So we work it out twice, without and with the new ones, and what the
//! second has and the first has not is newly covered. Nothing is remembered between pages but the accesses themselves
//! and the incidents; a repeated page finds nothing new.
//!
//! Only a bounded neighbourhood is needed ([`Touch::loads`]): a new access at `t` changes windows that end in
//! `[t, t + window)`, these hold accesses in `(t - window, t + window)`, and whether one of those was covered before
//! depends on windows that end before `t + 2 * window` and hold accesses after `t - 2 * window`.

use std::collections::HashSet;

use super::incident::{Incident, IncidentId, State};
use super::window::{Crossing, Entry, covered, crossings};
use super::{Group, Rule};
use crate::model::{AlertKind, EventTime, Span, WallTime};

/// New accesses of one page that fall into one group of one rule.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The group.
    pub group: Group,
    /// The new entries, sorted.
    pub new: Vec<Entry>,
}

/// What became of one incident.
#[derive(Clone, Debug)]
pub struct Change {
    /// The incident as it is now.
    pub incident: Incident,
    /// `first_end` as it was stored; none if the incident is new.
    pub stored_at: Option<EventTime>,
    /// The accesses that it newly covers.
    pub covers: Vec<Entry>,
    /// Incidents that went on in this one, whose pending accesses are now its own.
    pub swallowed: Vec<IncidentId>,
    /// The alert that this calls for at once. None: what is newly covered waits for the next update.
    pub announce: Option<AlertKind>,
}

impl Change {
    /// The alert that cannot wait. An incident that nobody has heard of says nothing before it has something to tell:
    /// its first window may hold only accesses that were reported before they moved here.
    fn due_at_once(&self) -> Option<AlertKind> {
        let Incident { state, sequence, pending, .. } = &self.incident;
        match state {
            State::Merged(_) => (*sequence > 0).then_some(AlertKind::Resolved),
            _ if *pending == 0 => None,
            _ if *sequence == 0 => Some(AlertKind::Opened),
            State::Resolved => Some(AlertKind::Updated),
            State::Open => None,
        }
    }
}

impl Touch {
    /// The spans of event time whose stored entries [`judge`] must be given.
    #[must_use]
    pub fn loads(&self, rule: &Rule) -> Vec<Span> {
        self.clusters(rule, rule.window.saturating_mul(2), rule.window.saturating_mul(2))
    }

    /// The span of window ends whose incidents [`judge`] must be given.
    #[must_use]
    pub fn incidents(&self, rule: &Rule) -> Option<Span> {
        let (first, last) = (self.new.first()?, self.new.last()?);
        Span::new(first.at.minus(rule.reach()), last.at.plus(rule.window).plus(rule.reach()))
    }

    /// The new entries with `before` and `after` seconds around them, joined where their loads would overlap, so that
    /// every set of spans made here has the same number of them.
    fn clusters(&self, rule: &Rule, before: i64, after: i64) -> Vec<Span> {
        let apart = rule.window.saturating_mul(4);
        let mut spans: Vec<Span> = Vec::new();
        let mut last: Option<EventTime> = None;
        for entry in &self.new {
            let to = entry.at.plus(after);
            match (last, spans.last_mut()) {
                (Some(last), Some(span)) if entry.at.0 - last.0 <= apart => span.to = to,
                _ => spans.push(Span { from: entry.at.minus(before), to }),
            }
            last = Some(entry.at);
        }
        spans
    }
}

/// What `touch` does, given the `known` entries of [`Touch::loads`], sorted, and the `incidents` of the group that lie
/// within [`Touch::incidents`].
#[must_use]
pub fn judge(rule: &Rule, touch: &Touch, known: &[Entry], incidents: Vec<Incident>, now: WallTime) -> Vec<Change> {
    let ends = touch.clusters(rule, rule.window, rule.window.saturating_mul(2));
    // What moves within the group is still stored where it was.
    let new: HashSet<&str> = touch.new.iter().map(|entry| &*entry.id).collect();
    let known: Vec<Entry> = known.iter().filter(|old| !new.contains(&*old.id)).cloned().collect();
    let known = known.as_slice();
    let before = covered(rule, known, &crossings(rule, known, &ends));
    let (all, was_covered) = merge(known, &before, &touch.new);
    let after = crossings(rule, &all, &ends);
    let fresh: Vec<&Entry> = all
        .iter()
        .zip(covered(rule, &all, &after).into_iter().zip(was_covered))
        .filter(|(entry, (is, was))| *is && !*was && !entry.reported)
        .map(|(entry, _)| entry)
        .collect();

    // Windows that no new access changed belong to an incident already.
    let changed = touch.clusters(rule, 0, rule.window - 1);
    let mut cast = Cast::new(incidents);
    for crossing in after.iter().filter(|crossing| changed.iter().any(|span| span.contains(crossing.end))) {
        let first = first_of(rule, &all, crossing.end);
        cast.place(rule, &touch.group, *crossing, first, now);
    }
    for entry in fresh {
        // The nearest window end at or after a covered access is that of a window which holds it.
        let end = after.partition_point(|crossing| crossing.end < entry.at);
        if let Some(crossing) = after.get(end) {
            cast.cover(crossing.end, entry);
        }
    }
    cast.changes()
}

/// What the removal of one entry does to those around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whether the removed entry was covered, and so has been reported or is about to be.
    pub was_covered: bool,
    /// Entries that were covered only with its help. They have been reported, which their windows no longer show.
    pub uncovered: Vec<Entry>,
}

/// What becomes of a group from which the entry `id` at `at` is taken, given `known` entries for two windows around it.
#[must_use]
pub fn removal(rule: &Rule, known: &[Entry], at: EventTime, id: &str) -> Removal {
    let ends = [Span { from: at.minus(rule.window), to: at.plus(rule.window.saturating_mul(2)) }];
    let is_it = |entry: &Entry| entry.at == at && &*entry.id == id;
    let before = covered(rule, known, &crossings(rule, known, &ends));
    let was_covered = known.iter().zip(&before).any(|(entry, covered)| *covered && is_it(entry));
    let (rest, was): (Vec<Entry>, Vec<bool>) =
        known.iter().cloned().zip(before).filter(|(entry, _)| !is_it(entry)).unzip();
    let after = covered(rule, &rest, &crossings(rule, &rest, &ends));
    let lost = rest.into_iter().zip(was.into_iter().zip(after)).filter(|(_, (was, is))| *was && !*is);
    Removal { was_covered, uncovered: lost.map(|(entry, _)| entry).collect() }
}

/// The earliest access of the window that ends at `end`.
fn first_of<'a>(rule: &Rule, entries: &'a [Entry], end: EventTime) -> &'a Entry {
    &entries[entries.partition_point(|entry| entry.at <= end.minus(rule.window))]
}

/// Both lists in one, sorted, and for each entry whether it was covered before.
fn merge(known: &[Entry], known_covered: &[bool], new: &[Entry]) -> (Vec<Entry>, Vec<bool>) {
    let mut all: Vec<(Entry, bool)> = known.iter().cloned().zip(known_covered.iter().copied()).collect();
    all.extend(new.iter().map(|entry| (entry.clone(), false)));
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().unzip()
}

/// The incidents of the group while a page is being judged.
struct Cast {
    members: Vec<Change>,
    /// Those that the page has changed.
    touched: Vec<bool>,
}

impl Cast {
    fn new(incidents: Vec<Incident>) -> Self {
        let members: Vec<Change> = incidents
            .into_iter()
            .filter(|incident| !matches!(incident.state, State::Merged(_)))
            .map(|incident| Change {
                stored_at: Some(incident.first_end),
                incident,
                covers: Vec::new(),
                swallowed: Vec::new(),
                announce: None,
            })
            .collect();
        Self { touched: vec![false; members.len()], members }
    }

    /// The members that go on and that a window ending at `end` belongs to, the senior first.
    fn reached(&self, rule: &Rule, end: EventTime) -> Vec<usize> {
        let mut hits: Vec<usize> = (0..self.members.len())
            .filter(|&i| {
                let incident = &self.members[i].incident;
                !matches!(incident.state, State::Merged(_)) && incident.reaches(rule, end)
            })
            .collect();
        hits.sort_by(|&a, &b| self.members[a].incident.seniority().cmp(&self.members[b].incident.seniority()));
        hits
    }

    /// Gives `crossing` to its incident, opening or merging as needed.
    fn place(&mut self, rule: &Rule, group: &Group, crossing: Crossing, first: &Entry, now: WallTime) {
        let hits = self.reached(rule, crossing.end);
        let Some((&senior, juniors)) = hits.split_first() else {
            let incident = Incident::open(rule, group, crossing, first, now);
            self.members.push(Change {
                incident,
                stored_at: None,
                covers: Vec::new(),
                swallowed: Vec::new(),
                announce: None,
            });
            self.touched.push(true);
            return;
        };
        self.members[senior].incident.extend(crossing);
        self.touched[senior] = true;
        for &junior in juniors {
            self.swallow(senior, junior);
        }
    }

    fn swallow(&mut self, senior: usize, junior: usize) {
        let into = self.members[senior].incident.id.clone();
        let lost = &mut self.members[junior];
        let incident = lost.incident.clone();
        let swallowed = std::mem::take(&mut lost.swallowed);
        lost.incident.pending = 0;
        lost.incident.state = State::Merged(into);
        self.touched[junior] = true;

        let winner = &mut self.members[senior];
        winner.incident.swallow(&incident);
        winner.swallowed.extend(swallowed);
        winner.swallowed.push(incident.id);
    }

    fn cover(&mut self, end: EventTime, entry: &Entry) {
        let home = self.members.iter().position(|member| {
            let incident = &member.incident;
            !matches!(incident.state, State::Merged(_)) && incident.first_end <= end && end <= incident.last_end
        });
        if let Some(home) = home {
            let member = &mut self.members[home];
            member.incident.cover(entry);
            member.covers.push(entry.clone());
            self.touched[home] = true;
        }
    }

    /// What has changed and is to be kept: an incident opened and swallowed within one page has never been.
    fn changes(self) -> Vec<Change> {
        let mut changes: Vec<Change> = self
            .members
            .into_iter()
            .zip(self.touched)
            .filter(|(_, touched)| *touched)
            .map(|(change, _)| change)
            .collect();
        let unborn: Vec<IncidentId> = changes
            .iter()
            .filter(|change| change.stored_at.is_none() && matches!(change.incident.state, State::Merged(_)))
            .map(|change| change.incident.id.clone())
            .collect();
        changes.retain(|change| !unborn.contains(&change.incident.id));
        for change in &mut changes {
            change.swallowed.retain(|id| !unborn.contains(id));
            change.announce = change.due_at_once();
            if change.announce.is_some() && change.incident.state == State::Resolved {
                change.incident.state = State::Open;
            }
        }
        changes
    }
}
