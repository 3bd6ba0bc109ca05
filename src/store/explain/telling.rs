//! From an access that a window covers to who was told: its incident, the alert that holds it, and where that stands.

use std::collections::{BTreeSet, HashMap};

use memchr::memmem;

use super::super::StoreError;
use super::super::explanation::{AlertSight, IncidentSight, IncidentState, Ruling, Stand, Standing};
use super::super::keys;
use super::super::ledger::{ActiveRule, Ledger, Recipient};
use super::super::rows::{self, AlertRow, DeliveryRow, FateRow, Pending};
use super::Subject;
use crate::detect::{GroupId, Incident, State};
use crate::model::{EventTime, Span};

/// The heads of chains that have been looked up: by notifier and incident, number and id of the alert.
pub(in crate::store) type Heads = HashMap<(String, String), Option<(u64, String)>>;

impl Ledger {
    /// What came of an access that `active` has covered in `group` at `at`.
    pub(super) fn trace(
        &self,
        active: &ActiveRule,
        (group, at): (GroupId, EventTime),
        subject: &Subject<'_>,
        ruling: &mut Ruling,
    ) -> Result<(), StoreError> {
        let rule = &active.rule;
        let ends = Span { from: at, to: at.plus(rule.window.saturating_sub(1)) };
        let mut near = self.incidents(active.id, group, ends)?;
        near.retain(|incident| incident.first_end <= ends.to && incident.last_end >= ends.from);
        self.trace_incidents(&near, Some(&rule.notify), subject, ruling)?;
        let goes_on = near.iter().find(|incident| !matches!(incident.state, State::Merged(_)));
        if let Some(incident) = goes_on
            && ruling.alert.is_none()
            && self.is_pending(incident, subject.access.identity())?
        {
            let every = std::time::Duration::from_secs(u64::try_from(rule.update_every).unwrap_or(0));
            ruling.update_due = Some(incident.last_alert.plus(every));
        }
        Ok(())
    }

    /// What came of an access that one of `incidents` covers, of which the others went on in that one. `notify` are the
    /// notifiers of their rule, where they are known.
    pub(super) fn trace_incidents(
        &self,
        incidents: &[Incident],
        notify: Option<&[String]>,
        subject: &Subject<'_>,
        ruling: &mut Ruling,
    ) -> Result<(), StoreError> {
        let goes_on = incidents.iter().find(|incident| !matches!(incident.state, State::Merged(_)));
        ruling.incident = goes_on.or(incidents.first()).map(incident_sight);
        for incident in incidents {
            if let Some((seq, row)) = self.alert_with(incident, &subject.names)? {
                ruling.alert = Some(self.alert_sight(seq, row, notify, &mut Heads::new())?);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The alert of `incident` that holds one of the events `names`.
    fn alert_with(&self, incident: &Incident, names: &BTreeSet<&str>) -> Result<Option<(u64, AlertRow)>, StoreError> {
        for seq in self.alerts_of(&incident.id.0)? {
            if !self.holds(seq, names)? {
                continue;
            }
            let key = keys::numbered(keys::ALERT, seq).end();
            if let Some(value) = self.kv.row(&key)? {
                return Ok(Some((seq, rows::decode(&key, &value)?)));
            }
        }
        Ok(None)
    }

    /// The numbers of an incident's alerts, in the order in which they were decided.
    pub(in crate::store) fn alerts_of(&self, incident: &str) -> Result<Vec<u64>, StoreError> {
        let prefix = keys::Key::of(keys::ALERT_OF).text(incident).end();
        let number = |key: &[u8]| keys::number_at(key, prefix.len());
        self.kv.prefix(&prefix).filter_map(|row| row.map(|(key, _)| number(&key)).transpose()).collect()
    }

    fn holds(&self, seq: u64, names: &BTreeSet<&str>) -> Result<bool, StoreError> {
        for row in self.kv.prefix(&keys::numbered(keys::EVENTS, seq).end()) {
            let (key, value) = row?;
            // Most rows are not it, and a look at the bytes says so; JSON writes quotes and backslashes in another way.
            let may_be = |name: &&str| name.contains(['"', '\\']) || memmem::find(&value, name.as_bytes()).is_some();
            if !names.iter().any(may_be) {
                continue;
            }
            if rows::decode::<Vec<String>>(&key, &value)?.iter().any(|id| names.contains(id.as_str())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `incident` covers the access that counts under `id`, and no alert holds it yet.
    fn is_pending(&self, incident: &Incident, id: &str) -> Result<bool, StoreError> {
        for row in self.kv.prefix(&keys::pending(&incident.id).end()) {
            let (key, value) = row?;
            if rows::decode::<Vec<Pending>>(&key, &value)?.iter().any(|pending| pending.id == id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(in crate::store) fn alert_sight(
        &self,
        seq: u64,
        row: AlertRow,
        notify: Option<&[String]>,
        heads: &mut Heads,
    ) -> Result<AlertSight, StoreError> {
        let mut notifiers = Vec::new();
        for notifier in &row.notifiers {
            let stand = self.queued_stand(seq, notifier, &row, heads)?;
            notifiers.push(Stand { notifier: notifier.clone(), stand });
        }
        for recipient in self.settings.recipients.iter().filter(|it| !row.notifiers.contains(&it.name)) {
            let stand = passed_over(recipient, &row, notify);
            notifiers.push(Stand { notifier: recipient.name.clone(), stand });
        }
        let AlertRow { id, incident, kind, rule, severity, decided, accesses, summary, silenced, .. } = row;
        Ok(AlertSight { id, incident, kind, rule, severity, decided, accesses, summary, silenced, notifiers })
    }

    /// Where an alert stands that was queued for `notifier`.
    fn queued_stand(
        &self,
        seq: u64,
        notifier: &str,
        alert: &AlertRow,
        heads: &mut Heads,
    ) -> Result<Standing, StoreError> {
        let key = keys::numbered(keys::FATE, seq).text(notifier).end();
        if let Some(value) = self.kv.row(&key)? {
            let FateRow { accepted, by, dead, attempts, error } = rows::decode(&key, &value)?;
            return Ok(match (accepted, dead) {
                (Some(at), _) => Standing::Accepted { at, attempts, by },
                (None, Some(at)) => Standing::Dead { at, attempts, error },
                (None, None) => Standing::Lost,
            });
        }
        let key = keys::queue(notifier).number(seq).end();
        let Some(value) = self.kv.row(&key)? else { return Ok(Standing::Lost) };
        let DeliveryRow { queued, attempts, next_at, parked, error, .. } = rows::decode(&key, &value)?;
        let chain = (notifier.to_owned(), alert.incident.clone());
        let head = match heads.get(&chain) {
            Some(head) => head.clone(),
            None => {
                let head = self.head(notifier, &alert.incident)?;
                heads.insert(chain, head.clone());
                head
            }
        };
        let behind = head.filter(|(first, _)| *first < seq).map(|(_, id)| id);
        Ok(Standing::Waiting { since: queued, attempts, next_at, parked, error, behind })
    }

    /// The alert of `incident` that `notifier` has to accept next: its number and its id.
    fn head(&self, notifier: &str, incident: &str) -> Result<Option<(u64, String)>, StoreError> {
        for seq in self.alerts_of(incident)? {
            let key = keys::numbered(keys::ALERT, seq).end();
            if self.kv.row(&keys::queue(notifier).number(seq).end())?.is_some()
                && let Some(value) = self.kv.row(&key)?
            {
                return Ok(Some((seq, rows::decode::<AlertRow>(&key, &value)?.id)));
            }
        }
        Ok(None)
    }
}

/// Why an alert was not queued for `recipient`, as the configuration stands.
fn passed_over(recipient: &Recipient, alert: &AlertRow, notify: Option<&[String]>) -> Standing {
    match notify {
        Some(notify) if !notify.contains(&recipient.name) => Standing::NotNamed,
        _ if alert.severity < recipient.min_severity => Standing::TooMild { min_severity: recipient.min_severity },
        _ => match &alert.silenced {
            Some(silence) => Standing::Silenced { silence: silence.clone() },
            None => Standing::NotQueued,
        },
    }
}

fn incident_sight(incident: &Incident) -> IncidentSight {
    let (state, merged_into) = match &incident.state {
        State::Open => (IncidentState::Open, None),
        State::Resolved => (IncidentState::Resolved, None),
        State::Merged(into) => (IncidentState::Merged, Some(into.0.clone())),
    };
    IncidentSight {
        id: incident.id.0.clone(),
        state,
        merged_into,
        opened: incident.opened,
        value: incident.value,
        accesses: incident.accesses,
        first_access: incident.first_access,
        last_access: incident.last_access,
    }
}
