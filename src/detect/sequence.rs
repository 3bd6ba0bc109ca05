//! Which windows hold a whole sequence: its steps one after the other, each with as many accesses as it asks for.
//!
//! A window crosses when its accesses can be put in an order by time, those of one second in either order, in which each
//! step is completed before the next one begins, and no access serves two steps. Like everything that is counted this is
//! a function of the set of accesses, so late ones complete a sequence as well.
//!
//! One pass in order of time answers for all windows. For each step it keeps the latest time at which a chain of the
//! steps up to it can have begun, so far: the accesses that complete a step *last* are the best ones, and what came
//! before the first of them is asked for the best chain of the steps before. A window crosses if the whole chain's
//! beginning lies in it. Within a second, accesses that serve earlier steps only go first. That is the best order where no
//! access can serve more than one step, and where there are two steps that count accesses. Where accesses of the very same
//! second can each serve several of three or more steps, or of steps that count distinct values, one order is tried and
//! not all: the only case in which a sequence can be overlooked.

use std::collections::VecDeque;

use super::window::{Crossing, Entry};
use super::{Rule, Statistic, Step};
use crate::model::{EventTime, Span};

/// The crossing windows whose ends lie in one of `ends`, by end. `entries` are sorted by time and complete for one
/// window before each of those ends.
pub(super) fn crossings(rule: &Rule, entries: &[Entry], ends: &[Span]) -> Vec<Crossing> {
    let order = in_order(entries);
    let mut begun: Option<Chain> = None;
    for (place, step) in rule.steps.iter().enumerate() {
        begun = Some(Chain::of(step, 1 << place, &order, begun.as_ref()));
    }
    let Some(whole) = begun else { return Vec::new() };
    let mut found = Vec::new();
    for (place, entry) in order.iter().enumerate() {
        let is_last_of_second = order.get(place + 1).is_none_or(|next| next.at > entry.at);
        let begins_within = whole.begun[place + 1].is_some_and(|begun| begun > entry.at.minus(rule.window));
        if is_last_of_second && begins_within && ends.iter().any(|span| span.contains(entry.at)) {
            found.push(Crossing { end: entry.at, value: rule.goal() });
        }
    }
    found
}

/// By time; within a second those first that serve earlier steps only.
fn in_order(entries: &[Entry]) -> Vec<&Entry> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| (entry.at, entry.steps.trailing_zeros(), entry.steps.checked_ilog2()));
    order
}

/// How late the steps up to one of them can have begun.
struct Chain {
    /// By how many entries are looked at: when the best chain among them begins; none where there is no chain.
    begun: Vec<Option<EventTime>>,
}

impl Chain {
    /// The chain that ends with `step`, which is the bit `part` of entries, behind the chain of the steps `before`.
    fn of(step: &Step, part: u8, order: &[&Entry], before: Option<&Self>) -> Self {
        let goal = usize::try_from(step.threshold).unwrap_or(usize::MAX);
        let mut recent = Recent { statistic: step.statistic, goal, held: VecDeque::new() };
        let mut begun = Vec::with_capacity(order.len() + 1);
        begun.push(None);
        let mut best = None;
        for (place, entry) in order.iter().enumerate() {
            if entry.steps & part != 0 {
                recent.add(place, entry.value);
                let first = recent.first_of_goal();
                let begins = first.and_then(|first| match before {
                    Some(before) => before.begun[first],
                    None => Some(order[first].at),
                });
                best = best.max(begins);
            }
            begun.push(best);
        }
        Self { begun }
    }
}

/// The latest entries that complete a step.
struct Recent {
    statistic: Statistic,
    goal: usize,
    /// Place and value, as many as the goal at most: of a value that came again, the last.
    held: VecDeque<(usize, u64)>,
}

impl Recent {
    fn add(&mut self, place: usize, value: u64) {
        if let Statistic::Distinct(_) = self.statistic {
            self.held.retain(|(_, held)| *held != value);
        }
        self.held.push_back((place, value));
        if self.held.len() > self.goal {
            self.held.pop_front();
        }
    }

    /// The place of the first of those that complete the step, if they do.
    fn first_of_goal(&self) -> Option<usize> {
        self.held.front().filter(|_| self.held.len() >= self.goal).map(|(place, _)| *place)
    }
}
