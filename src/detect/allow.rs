//! What need not be told: accesses that somebody answers for, until a date, and within a measure.
//!
//! An [`Allowance`] takes accesses off the rules that it names before they are counted. It is no part of a rule's
//! fingerprint: it decides once for each access, when that is counted for the first time, so that an entry that is
//! added, changed or runs out neither ends an incident nor counts anything again.
//!
//! What exceeds its measure is told by a rule of the allowance's own ([`Allowance::watch`]), so that counting, incidents
//! and delivery are those of every other rule.

use super::condition::Condition;
use super::rule::{Fields, Rule, Statistic, front};
use crate::model::{Access, EventTime, Severity};

/// Seconds for which an incident of exceeding stays open, and between two reports of it.
const QUARTER_HOUR: i64 = 15 * 60;

/// What the rule that watches an allowance is called before the allowance's name. No configured rule has such a name.
const WATCHED: &str = "allow/";

/// One entry of the allow-list.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// What it is called in reports; unique among allowances.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is right.
    pub reason: String,
    /// Accesses from this second on are not allowed any more; none: it never ends.
    pub until: Option<EventTime>,
    /// Which accesses.
    pub condition: Condition,
    /// Names of the rules that do not count them; none: no rule does.
    pub rules: Vec<String>,
    /// How many are allowed; none: any number.
    pub at_most: Option<AtMost>,
}

/// So many accesses in a sliding window are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtMost {
    /// How many.
    pub accesses: u64,
    /// In how many seconds.
    pub window: i64,
}

/// The hash of an allowance's name, and of what it allows to which rules: what is remembered of its use goes by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllowId(pub [u8; 8]);

impl Allowance {
    /// Whether the rule called `rule` is not to count `access`, which it would count.
    #[must_use]
    pub fn allows(&self, rule: &str, access: &Access) -> bool {
        self.concerns(rule) && !self.is_over(access.time) && self.condition.matches(access)
    }

    /// Whether it is about the rule of this name.
    #[must_use]
    pub fn concerns(&self, rule: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|name| name == rule)
    }

    /// Whether what happens at `at` is no longer allowed.
    #[must_use]
    pub fn is_over(&self, at: EventTime) -> bool {
        self.until.is_some_and(|until| at >= until)
    }

    /// Under which id its use is remembered.
    #[must_use]
    pub fn id(&self) -> AllowId {
        let mut hash = Fields::new("allowance");
        hash.some(&self.name);
        self.condition.feed(&mut hash);
        hash.list(&self.rules);
        AllowId(front(hash))
    }

    /// The rule that tells when more is done than is allowed; it counts what the allowance takes off `rules`, and goes to
    /// their notifiers. None where nothing is too much.
    #[must_use]
    pub fn watch(&self, rules: &[Rule]) -> Option<Rule> {
        let at_most = self.at_most?;
        let concerned = || rules.iter().filter(|rule| self.concerns(&rule.name));
        let mut notify: Vec<String> = Vec::new();
        for name in concerned().flat_map(|rule| &rule.notify) {
            if !notify.contains(name) {
                notify.push(name.clone());
            }
        }
        Some(Rule {
            name: format!("{WATCHED}{}", self.name),
            description: Some(format!("More than is allowed to {}: {}", self.owner, self.reason)),
            severity: concerned().map(|rule| rule.severity).max().unwrap_or(Severity::Medium),
            runbook: None,
            notify,
            condition: self.condition.clone(),
            steps: Vec::new(),
            first_seen: None,
            statistic: Statistic::Sum,
            threshold: at_most.accesses.saturating_add(1),
            window: at_most.window,
            hold: QUARTER_HOUR,
            update_every: QUARTER_HOUR,
            group_by: Vec::new(),
        })
    }
}
