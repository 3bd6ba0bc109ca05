//! Which version of each rule counts, and from when on.
//!
//! A rule's version is its fingerprint. One that is new counts what is stored already, as far back as `backfill`, and the
//! incidents of the one before it end. All of it can be interrupted anywhere and done again.

use std::collections::{BTreeMap, HashSet};

use super::kv::Writes;
use super::ledger::{ActiveRule, Ledger, LedgerSettings};
use super::rows::{self, RuleRow};
use super::{StoreError, keys};
use crate::detect::Rule;
use crate::model::WallTime;

impl Ledger {
    /// Makes the configured rules current. A version that is new counts what is stored already, from `backfill` ago
    /// on, and ends the incidents of the one before it. Can be interrupted anywhere and done again.
    pub(super) fn activate_rules(&mut self, now: WallTime) -> Result<(), StoreError> {
        let stored = self.rule_rows()?;
        let rules = self.all_rules();
        let names: HashSet<String> = rules.iter().map(|(rule, _)| rule.name.clone()).collect();
        for (rule, watches) in rules {
            let row = stored.get(&rule.name).filter(|row| row.id == rule.id());
            if row.is_none() && stored.contains_key(&rule.name) {
                self.close_incidents(&stored[&rule.name], "rule changed", now)?;
            }
            let mut row = row.cloned().unwrap_or_else(|| RuleRow {
                id: rule.id(),
                activated: now,
                from: self
                    .beginning
                    .into_iter()
                    .chain([now.minus(self.settings.backfill).second()])
                    .min()
                    .unwrap_or_default(),
                ready: false,
                card: rule.card(),
            });
            row.card = rule.card();
            self.write_rule(&rule.name, &row)?;
            let memory = rule.memory();
            self.rules.push(ActiveRule { id: row.id, from: row.from, rule: rule.clone(), memory, watches });
            if !row.ready {
                self.remember_stored(self.rules.len() - 1, now)?;
                self.count_stored(self.rules.len() - 1, now)?;
                row.ready = true;
                self.write_rule(&rule.name, &row)?;
            }
        }
        for (name, row) in &stored {
            if !names.contains(name) {
                self.close_incidents(row, "rule removed", now)?;
                let mut writes = Writes::default();
                writes.remove(rule_key(name));
                self.write(writes)?;
            }
        }
        Ok(())
    }

    /// The rules of the configuration, and those that watch its allowances.
    pub(super) fn all_rules(&self) -> Vec<(Rule, Option<usize>)> {
        let LedgerSettings { rules, allowances, .. } = &self.settings;
        let watches = allowances.iter().enumerate().filter_map(|(place, it)| Some((it.watch(rules)?, Some(place))));
        rules.iter().map(|rule| (rule.clone(), None)).chain(watches).collect()
    }

    /// Lets rules that would begin to count after `now` begin anew: the clock that they were activated by has been set
    /// back since, and what happens until that time comes would count for nobody.
    pub fn reactivate_rules(&mut self, now: WallTime) -> Result<(), StoreError> {
        let from = now.minus(self.settings.backfill).second();
        for index in 0..self.rules.len() {
            if self.rules[index].from <= now.second() {
                continue;
            }
            let ActiveRule { id, rule, from: begins, .. } = &mut self.rules[index];
            *begins = from;
            let (name, card) = (rule.name.clone(), rule.card());
            let mut row = RuleRow { id: *id, activated: now, from, ready: false, card };
            self.write_rule(&name, &row)?;
            self.count_stored(index, now)?;
            row.ready = true;
            self.write_rule(&name, &row)?;
        }
        Ok(())
    }

    pub(super) fn rule_rows(&self) -> Result<BTreeMap<String, RuleRow>, StoreError> {
        let mut stored = BTreeMap::new();
        for row in self.kv.prefix(&[keys::RULE]) {
            let (key, value) = row?;
            let row: RuleRow = rows::decode(&key, &value)?;
            stored.insert(row.card.name.clone(), row);
        }
        Ok(stored)
    }

    /// Writes the current version of the rule at `index`, and whether it has counted all that it should.
    pub(super) fn put_rule(
        &self,
        index: usize,
        ready: bool,
        now: WallTime,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let ActiveRule { id, rule, from, .. } = &self.rules[index];
        let key = rule_key(&rule.name);
        let stored = self.kv.row(&key)?.map(|row| rows::decode::<RuleRow>(&key, &row)).transpose()?;
        let activated = stored.map_or(now, |row| row.activated);
        let row = RuleRow { id: *id, activated, from: *from, ready, card: rule.card() };
        writes.put(key, rows::encode(&row)?);
        Ok(())
    }

    fn write_rule(&mut self, name: &str, row: &RuleRow) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        writes.put(rule_key(name), rows::encode(row)?);
        self.write(writes)
    }
}

fn rule_key(name: &str) -> Vec<u8> {
    keys::Key::of(keys::RULE).text(name).end()
}
