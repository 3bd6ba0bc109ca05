//! Versions of rules that are no more, and have counted an access while they were.
//!
//! A change of a rule begins it anew, and what its old version has told stays told. Its match rows outlive it by the
//! retention, and they are all that is needed: which version and which group, and with it the incident. What the
//! version asked for is not stored; where only a look is taken at the store, its card may still be there.

use std::collections::BTreeMap;

use super::super::StoreError;
use super::super::explanation::{Measure, Ruling, Version};
use super::super::keys;
use super::super::kv;
use super::super::ledger::Ledger;
use super::super::rows::{self, RuleRow};
use super::Subject;
use crate::detect::{GroupId, Incident, RuleId};

/// Versions that are looked for.
const MAX_VERSIONS: usize = 256;

/// Groups of one version that are looked through for an access: its own is among those of present rules, nearly always.
const MAX_GROUPS: usize = 10_000;

/// Adds what versions of rules have made of `subject` that `ledger` does not count by any more.
pub(super) fn add(
    ledger: &Ledger,
    stored: &BTreeMap<String, RuleRow>,
    subject: &Subject<'_>,
    rulings: &mut Vec<Ruling>,
    limits: &mut Vec<String>,
) -> Result<(), StoreError> {
    let versions = ledger.versions_that_counted()?;
    if versions.len() >= MAX_VERSIONS {
        limits.push(format!("only {MAX_VERSIONS} versions of rules were looked at"));
    }
    for version in versions.into_iter().filter(|id| ledger.rules.iter().all(|active| active.id != *id)) {
        let Some(group) = ledger.group_that_counted(version, subject, limits)? else { continue };
        let row = stored.values().find(|row| row.id == version);
        let incidents = ledger.incidents_of(version, group)?;
        let name = row.map(|row| row.card.name.clone()).or(incidents.first().map(|it| it.rule_name.clone()));
        // One that has neither a name nor an incident told nobody anything.
        let Some(name) = name else { continue };
        let mut ruling = blank(name, row);
        let at = subject.access.time;
        let covering: Vec<Incident> = incidents
            .into_iter()
            .filter(|incident| incident.first_access <= at && at <= incident.last_access)
            .collect();
        ruling.group = covering.first().map(|incident| incident.group.labels.clone());
        ledger.trace_incidents(&covering, None, subject, &mut ruling)?;
        rulings.push(ruling);
    }
    Ok(())
}

impl Ledger {
    /// The versions of rules of which there are match rows.
    fn versions_that_counted(&self) -> Result<Vec<RuleId>, StoreError> {
        let mut found = Vec::new();
        let mut from = Some(vec![keys::MATCH]);
        while found.len() < MAX_VERSIONS
            && let Some(begin) = from
            && let Some(row) = self.kv.range(&begin, &[keys::MATCH + 1]).next()
        {
            let (key, _) = row?;
            let Some(id) = key.get(1..9).and_then(|id| id.try_into().ok()).filter(|_| key[0] == keys::MATCH) else {
                break;
            };
            found.push(RuleId(id));
            from = kv::past(&key[..9]);
        }
        Ok(found)
    }

    /// The group in which `version` has counted the access.
    fn group_that_counted(
        &self,
        version: RuleId,
        subject: &Subject<'_>,
        limits: &mut Vec<String>,
    ) -> Result<Option<GroupId>, StoreError> {
        let access = subject.access;
        let counts = |group: GroupId| -> Result<bool, StoreError> {
            Ok(self.kv.row(&keys::matched(version, group, access.time, access.identity()))?.is_some())
        };
        // A group's id depends on the values alone, so that of another rule may be the one.
        for (rule, _) in self.all_rules() {
            let group = rule.group(access).id;
            if counts(group)? {
                return Ok(Some(group));
            }
        }
        let prefix = keys::Key::of(keys::MATCH).bytes(&version.0).end();
        let mut from = Some(prefix.clone());
        for _ in 0..MAX_GROUPS {
            let Some(begin) = from else { return Ok(None) };
            let past = kv::past(&prefix).unwrap_or_default();
            let Some(row) = self.kv.range(&begin, &past).next() else { return Ok(None) };
            let (key, _) = row?;
            let group = key.get(9..25).filter(|_| key.starts_with(&prefix)).and_then(|group| group.try_into().ok());
            let Some(group) = group.map(GroupId) else { return Ok(None) };
            if counts(group)? {
                return Ok(Some(group));
            }
            from = kv::past(&key[..25]);
        }
        limits.push(format!("only {MAX_GROUPS} groups of an earlier version of a rule were looked at"));
        Ok(None)
    }

    fn incidents_of(&self, version: RuleId, group: GroupId) -> Result<Vec<Incident>, StoreError> {
        let rows = self.kv.prefix(&keys::group(keys::INCIDENT, version, group).end());
        rows.map(|row| row.and_then(|(key, value)| rows::decode(&key, &value))).collect()
    }
}

fn blank(rule: String, row: Option<&RuleRow>) -> Ruling {
    Ruling {
        rule,
        severity: row.map(|row| row.card.severity),
        version: Version::Former,
        summary: String::new(),
        measure: row.map(|row| Measure {
            statistic: row.card.statistic.clone(),
            threshold: row.card.threshold,
            window_seconds: row.card.window,
        }),
        counted: true,
        objection: None,
        demands: Vec::new(),
        steps: Vec::new(),
        allowances: Vec::new(),
        first_seen: None,
        group: None,
        told_before: false,
        window: None,
        incident: None,
        alert: None,
        update_due: None,
    }
}
