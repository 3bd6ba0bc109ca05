//! The allow-list in the store: what it keeps from rules, how it was used, and what is wrong with its entries.

use super::StoreError;
use super::intake::Draft;
use super::keys;
use super::kv::Writes;
use super::ledger::{ActiveRule, Ledger};
use super::rows::{self, AllowanceRow};
use crate::detect::{Allowance, Lapse, about_allowance};
use crate::model::{Access, WallTime};

/// An entry that was not used for this long is told of.
const UNUSED: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

impl Ledger {
    /// How the allowances of the configuration were used, in their order.
    #[must_use]
    pub fn allowances(&self) -> &[AllowanceRow] {
        &self.allowances
    }

    /// Whether `active` counts `access`, as far as the access alone can tell.
    pub(super) fn counts(&self, active: &ActiveRule, access: &Access) -> bool {
        if !active.rule.matches(access) {
            return false;
        }
        match active.watches.and_then(|place| self.settings.allowances.get(place)) {
            None => !self.settings.allowances.iter().any(|allowance| allowance.allows(&active.rule.name, access)),
            Some(allowance) => self.uses(allowance, access),
        }
    }

    /// Notes which allowances the new `accesses` use.
    pub(super) fn note_allowed(&mut self, accesses: &[&Access], draft: &mut Draft) -> Result<(), StoreError> {
        for place in 0..self.allowances.len() {
            let allowance = &self.settings.allowances[place];
            let used = accesses.iter().filter(|access| !access.own && self.uses(allowance, access));
            let times: Vec<_> = used.map(|access| access.time).collect();
            let Some(last) = times.iter().max() else { continue };
            let key = keys::allowance(allowance.id());
            let row = &mut self.allowances[place];
            row.used += times.len() as u64;
            row.last_used = row.last_used.max(Some(*last));
            draft.writes.put(key, rows::encode(row)?);
        }
        Ok(())
    }

    /// Whether `allowance` keeps `access` from a rule that would count it.
    pub(super) fn uses(&self, allowance: &Allowance, access: &Access) -> bool {
        let mut rules = self.settings.rules.iter();
        rules.any(|rule| allowance.allows(&rule.name, access) && rule.matches(access))
    }

    /// Tells of entries that are over or that nobody uses, each once.
    pub(super) fn notice_lapses(&mut self, now: WallTime) -> Result<(), StoreError> {
        for place in 0..self.allowances.len() {
            let Some(lapse) = self.lapse(place, now) else { continue };
            let allowance = self.settings.allowances[place].clone();
            let row = &mut self.allowances[place];
            match lapse {
                Lapse::Over => row.told_over = allowance.until,
                Lapse::Unused => row.told_unused = Some(now),
            }
            let mut writes = Writes::default();
            writes.put(keys::allowance(allowance.id()), rows::encode(row)?);
            let alert = about_allowance(&allowance, lapse, row.last_used, now);
            self.queue_for_everybody(&alert, &mut writes)?;
            self.write(writes)?;
        }
        Ok(())
    }

    fn lapse(&self, place: usize, now: WallTime) -> Option<Lapse> {
        let (allowance, row) = (&self.settings.allowances[place], &self.allowances[place]);
        if allowance.is_over(now.second()) {
            return (row.told_over != allowance.until).then_some(Lapse::Over);
        }
        let used = row.last_used.map(|at| at.wall());
        let idle_since = [Some(row.created), used, row.told_unused].into_iter().flatten().max()?;
        (now.since(idle_since) > UNUSED).then_some(Lapse::Unused)
    }

    pub(super) fn load_allowances(&mut self, now: WallTime) -> Result<(), StoreError> {
        for allowance in self.settings.allowances.clone() {
            let key = keys::allowance(allowance.id());
            let row = match self.kv.row(&key)? {
                Some(row) => rows::decode(&key, &row)?,
                None => {
                    let (last_used, told_over, told_unused) = (None, None, None);
                    let row = AllowanceRow { created: now, used: 0, last_used, told_over, told_unused };
                    let mut writes = Writes::default();
                    writes.put(key, rows::encode(&row)?);
                    self.write(writes)?;
                    row
                }
            };
            self.allowances.push(row);
        }
        Ok(())
    }
}
