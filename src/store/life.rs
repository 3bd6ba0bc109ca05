//! The life of incidents in the store: changes that a page brought, what time brings, and the alerts that follow.

use std::time::Duration;

use super::StoreError;
use super::intake::Draft;
use super::keys::{self, Key};
use super::kv::{PART, Writes};
use super::ledger::{Ledger, Troubles};
use super::rows::{self, AlertRow, Blindness, DeliveryRow, Pending, RuleRow};
use crate::detect::{
    Change, Incident, IncidentId, Rule, RuleCard, State, Trouble, about_digest, about_source, about_test, compose,
    episode_id, resolved,
};
use crate::model::{Access, Alert, AlertKind, EventTime, Report, Span, WallTime};
use crate::trail::SourceId;

/// Covered accesses in one `p` row: few enough that the longest ids fit a value.
const SEGMENT: usize = 150;

/// `p` rows that are told in one batch.
const TOLD_AT_ONCE: usize = 8;

/// See [`Ledger::tick_after_pass`].
const TICKED_LATELY: Duration = Duration::from_secs(1);

/// Event ids in one `e` row.
pub(super) const IDS_A_ROW: usize = 150;

/// Who is to hear an alert.
enum Audience<'a> {
    /// The notifiers of a rule.
    Named(&'a [String]),
    /// All of them: it is about the daemon itself.
    Everybody,
}

impl Ledger {
    /// What is due at `now`: updates of open incidents, all of them if `flush`; incidents that are over; sources that
    /// have become blind. One batch an incident.
    pub fn tick(&mut self, now: WallTime, flush: bool) -> Result<(), StoreError> {
        self.forget_the_future(now);
        self.notice_blindness(now)?;
        self.tick_incidents(now, flush)
    }

    fn tick_incidents(&mut self, now: WallTime, flush: bool) -> Result<(), StoreError> {
        self.ticked = now;
        self.notice_lapses(now)?;
        self.flush_now_and_then(now);
        let mut open: Vec<_> =
            self.open.values().map(|incident| (incident.first_access, incident.id.clone())).collect();
        open.sort_unstable();
        open.iter().try_for_each(|(_, id)| self.tick_incident(id, now, flush))
    }

    /// The same after a pass, which may have settled what an incident was waiting for; not if it was done within the last
    /// second, since a thousand sources make many passes. In a single run the other sources' passes may be under way, the
    /// first since the last run: nobody is blind before its end.
    pub fn tick_after_pass(&mut self, now: WallTime) -> Result<(), StoreError> {
        let is_news = now < self.ticked || now.since(self.ticked) >= TICKED_LATELY;
        match self.settings.awake_since {
            _ if !is_news => Ok(()),
            Some(_) => self.tick(now, false),
            None => self.tick_incidents(now, false),
        }
    }

    /// Notes that a pass from `began` until `now` has read `source` through. A blind source is sighted again unless that
    /// took longer than it may be blind: then it would be blind again before the next pass can end.
    pub fn read_through(&mut self, source: &SourceId, began: WallTime, now: WallTime) -> Result<(), StoreError> {
        self.troubles.remove(source);
        let Some(mut row) = self.sources.get(source).cloned() else { return Ok(()) };
        let mut writes = Writes::default();
        if now.since(began) <= self.settings.stale_after
            && let Some(blind) = row.blind.take()
        {
            self.announce_source(source, AlertKind::Sighted, &blind, now, &mut writes)?;
        }
        row.read_through = Some(now);
        self.write_source(source, row, writes)
    }

    /// Notes why the last pass has not read `source` through.
    pub fn not_read_through(&mut self, source: &SourceId, why: Trouble) {
        self.troubles.entry(source.clone()).or_default().verdict = Some(why);
    }

    /// Notes what a pass that goes on has met with: until an answer comes, it says more than how the last pass ended.
    pub fn obstructed(&mut self, source: &SourceId, by: Trouble) {
        self.troubles.entry(source.clone()).or_default().obstacle = Some(by);
    }

    /// Writes what a page did to one incident.
    pub(super) fn write_change(
        &mut self,
        card: &RuleCard,
        change: Change,
        draft: &mut Draft,
    ) -> Result<(), StoreError> {
        let mut incident = change.incident;
        let mut moved = Vec::new();
        for id in &change.swallowed {
            moved.extend(self.take_pending(id, usize::MAX, &mut draft.writes)?);
        }
        moved.extend(change.covers.iter().map(|entry| Pending { at: entry.at, id: entry.id.to_string() }));
        match change.announce {
            Some(AlertKind::Resolved) => {
                // It went on in another incident, which has taken its pending accesses.
                let alert = resolved(card, &mut incident, None, draft.now);
                self.queue(&alert, &Audience::Named(&card.notify), &mut draft.writes)?;
            }
            Some(kind) => {
                let mut pending = self.take_pending(&incident.id, usize::MAX, &mut draft.writes)?;
                pending.extend(moved);
                self.tell(card, &mut incident, kind, pending, draft)?;
            }
            None => self.append_pending(&incident.id, moved, &mut draft.writes)?,
        }
        self.write_incident(incident, change.stored_at, &mut draft.writes)
    }

    /// Ends the incidents of a rule's version that counts no more.
    pub(super) fn close_incidents(&mut self, version: &RuleRow, why: &str, now: WallTime) -> Result<(), StoreError> {
        let ids: Vec<IncidentId> =
            self.open.values().filter(|incident| incident.rule == version.id).map(|it| it.id.clone()).collect();
        for id in ids {
            self.end_incident(&id, &version.card, Some(why), now)?;
        }
        Ok(())
    }

    fn tick_incident(&mut self, id: &IncidentId, now: WallTime, flush: bool) -> Result<(), StoreError> {
        let Some(incident) = self.open.get(id) else { return Ok(()) };
        let Some(rule) = self.rules.iter().find(|active| active.id == incident.rule).map(|active| &active.rule) else {
            return Ok(());
        };
        if self.is_over(rule, incident, now) {
            let card = rule.card();
            return self.end_incident(id, &card, None, now);
        }
        if incident.update_due(rule, now) || (flush && incident.pending > 0) {
            let card = rule.card();
            self.tell_pending(id, &card, now)?;
        }
        Ok(())
    }

    /// Tells what is left to tell, then that it is over.
    fn end_incident(
        &mut self,
        id: &IncidentId,
        card: &RuleCard,
        why: Option<&str>,
        now: WallTime,
    ) -> Result<(), StoreError> {
        self.tell_pending(id, card, now)?;
        let Some(mut incident) = self.open.get(id).cloned() else { return Ok(()) };
        let mut draft = Draft::new(now);
        incident.state = State::Resolved;
        // Nobody needs to hear that what they never heard of is over.
        if incident.sequence > 0 {
            let alert = resolved(card, &mut incident, why, now);
            self.queue(&alert, &Audience::Named(&card.notify), &mut draft.writes)?;
        }
        let stored_at = incident.first_end;
        self.write_incident(incident, Some(stored_at), &mut draft.writes)?;
        self.write(draft.writes)
    }

    /// Tells all that no alert holds yet, in batches of bounded size; between two of them the rest is still pending.
    fn tell_pending(&mut self, id: &IncidentId, card: &RuleCard, now: WallTime) -> Result<(), StoreError> {
        while let Some(mut incident) = self.open.get(id).filter(|incident| incident.pending > 0).cloned() {
            let mut draft = Draft::new(now);
            let pending = self.take_pending(id, TOLD_AT_ONCE, &mut draft.writes)?;
            if pending.is_empty() {
                return Err(rows::damaged(format!("{} pending accesses of incident {}", incident.pending, id.0)));
            }
            let kind = if incident.sequence == 0 { AlertKind::Opened } else { AlertKind::Updated };
            self.tell(card, &mut incident, kind, pending, &mut draft)?;
            let stored_at = incident.first_end;
            self.write_incident(incident, Some(stored_at), &mut draft.writes)?;
            self.write(draft.writes)?;
        }
        Ok(())
    }

    /// Whether `hold` has passed and nothing that could still belong to it can be unread, in any source that sees.
    fn is_over(&self, rule: &Rule, incident: &Incident, now: WallTime) -> bool {
        incident.last_end.plus(rule.hold).wall() <= now && self.is_settled(incident.watched(rule))
    }

    /// Whether every source that is not blind has read `span`, as far as it lies within what it watches, at an age at
    /// which nothing more appears. With every source blind nobody can say so.
    fn is_settled(&self, span: Span) -> bool {
        let configured = &self.settings.event_sources;
        let mut seeing = self.sources.values().filter(|row| row.blind.is_none()).peekable();
        seeing.peek().is_some()
            && seeing
                .flat_map(|row| configured.iter().map(|name| row.coverage.get(name)))
                .all(|coverage| coverage.is_some_and(|coverage| coverage.settled(span)))
    }

    /// Queues the alerts that tell of `pending`, which has been taken off the incident's rows.
    fn tell(
        &mut self,
        card: &RuleCard,
        incident: &mut Incident,
        kind: AlertKind,
        mut pending: Vec<Pending>,
        draft: &mut Draft,
    ) -> Result<(), StoreError> {
        pending.sort_unstable();
        incident.pending = incident.pending.saturating_sub(pending.len() as u64);
        let mut accesses: Vec<Access> = Vec::with_capacity(pending.len());
        for Pending { id, .. } in &pending {
            let stored = match draft.accesses.get(id) {
                Some(access) => Some(access.clone()),
                None => self.access(id)?,
            };
            accesses
                .push(stored.ok_or_else(|| rows::damaged(format!("access {id}, which is to be told, is missing")))?);
        }
        for alert in compose(card, incident, kind, accesses, draft.now) {
            self.queue(&alert, &Audience::Named(&card.notify), &mut draft.writes)?;
        }
        Ok(())
    }

    /// What no alert holds yet of incident `id`, from at most so many rows, which go.
    fn take_pending(&self, id: &IncidentId, rows: usize, writes: &mut Writes) -> Result<Vec<Pending>, StoreError> {
        let mut pending = Vec::new();
        for row in self.kv.prefix(&keys::pending(id).end()).take(rows) {
            let (key, value) = row?;
            pending.extend(rows::decode::<Vec<Pending>>(&key, &value)?);
            writes.remove(key);
        }
        Ok(pending)
    }

    /// Adds to what no alert holds yet. The last row is filled first, so that a page touches one or two rows however
    /// much is waiting.
    fn append_pending(&self, id: &IncidentId, more: Vec<Pending>, writes: &mut Writes) -> Result<(), StoreError> {
        if more.is_empty() {
            return Ok(());
        }
        let prefix = keys::pending(id).end();
        let last = self.kv.prefix(&prefix).next_back().transpose()?;
        let (segment, mut pending) = match last {
            Some((key, value)) => {
                let segment = keys::number_at(&key, prefix.len()).ok_or_else(|| rows::damaged("a p row".to_owned()))?;
                (segment, rows::decode::<Vec<Pending>>(&key, &value)?)
            }
            None => (0, Vec::new()),
        };
        pending.extend(more);
        for (segment, pending) in (segment..).zip(pending.chunks(SEGMENT)) {
            writes.put(keys::pending(id).number(segment).end(), rows::encode(&pending)?);
        }
        Ok(())
    }

    fn write_incident(
        &mut self,
        incident: Incident,
        stored_at: Option<EventTime>,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let place = |first_end| keys::incident(incident.rule, incident.group_id(), first_end, &incident.id);
        let key = place(incident.first_end);
        if let Some(stored_at) = stored_at.filter(|at| *at != incident.first_end) {
            writes.remove(place(stored_at));
        }
        writes.put(key.clone(), rows::encode(&incident)?);
        if incident.state == State::Open {
            writes.put(keys::open(&incident.id), key);
            self.open.insert(incident.id.clone(), incident);
        } else {
            writes.remove(keys::open(&incident.id));
            self.open.remove(&incident.id);
        }
        Ok(())
    }

    /// Writes `alert` down and puts it into the outboxes of those who are to hear it.
    fn queue(&mut self, alert: &Alert, audience: &Audience<'_>, writes: &mut Writes) -> Result<(), StoreError> {
        if let Some(silence) = self.silenced(alert, writes)? {
            return self.record(alert, Vec::new(), Some(silence), writes);
        }
        let names = self
            .settings
            .recipients
            .iter()
            .filter(|recipient| match audience {
                Audience::Named(names) => names.contains(&recipient.name),
                Audience::Everybody => true,
            })
            .filter(|recipient| alert.rule.severity >= recipient.min_severity)
            .filter(|recipient| alert.kind != AlertKind::Resolved || recipient.send_resolved)
            .map(|recipient| recipient.name.clone())
            .collect();
        self.record(alert, names, None, writes)
    }

    /// The same for an alert about the daemon itself.
    pub(super) fn queue_for_everybody(&mut self, alert: &Alert, writes: &mut Writes) -> Result<(), StoreError> {
        self.queue(alert, &Audience::Everybody, writes)
    }

    /// Queues a test alert for the notifiers `names`, however mild it is, and returns its id.
    pub fn queue_test(&mut self, names: &[String], now: WallTime) -> Result<String, StoreError> {
        let alert = about_test(self.next_seq, now);
        let mut writes = Writes::default();
        self.record(&alert, names.to_vec(), None, &mut writes)?;
        self.write(writes)?;
        Ok(alert.id)
    }

    /// Queues a digest for the notifiers `names`, however mild it is, and returns its id.
    pub fn queue_digest(&mut self, names: &[String], report: Report, now: WallTime) -> Result<String, StoreError> {
        let alert = about_digest(report, now);
        let mut writes = Writes::default();
        let known = names.iter().filter(|name| self.settings.recipients.iter().any(|it| it.name == **name));
        self.record(&alert, known.cloned().collect(), None, &mut writes)?;
        self.write(writes)?;
        Ok(alert.id)
    }

    /// Writes `alert` down, queued for the notifiers `names`.
    pub(super) fn record(
        &mut self,
        alert: &Alert,
        names: Vec<String>,
        silenced: Option<String>,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.tally.alert(alert);
        let body = if names.is_empty() { Vec::new() } else { rows::encode(alert)? };
        let parts = body.chunks(PART);
        let delivery = DeliveryRow::fresh(&alert.incident, alert.decided);
        self.count_queued(names.len() as u64);
        for name in &names {
            writes.put(keys::queue(name).number(seq).end(), rows::encode(&delivery)?);
        }
        let row = AlertRow::new(alert, names, silenced, parts.len());
        writes.put(keys::numbered(keys::ALERT, seq).end(), rows::encode(&row)?);
        writes.put(keys::alert_of(&alert.incident, seq), Vec::new());
        for (part, bytes) in parts.enumerate() {
            writes.put(keys::numbered(keys::BODY, seq).part(part).end(), bytes.to_vec());
        }
        let ids: Vec<&str> = alert.accesses.iter().map(|access| access.event_id.as_str()).collect();
        for (part, ids) in ids.chunks(IDS_A_ROW).enumerate() {
            writes.put(keys::numbered(keys::EVENTS, seq).part(part).end(), rows::encode(&ids)?);
        }
        Ok(())
    }

    fn notice_blindness(&mut self, now: WallTime) -> Result<(), StoreError> {
        let mut stale = Vec::new();
        for (source, row) in &self.sources {
            if row.blind.is_none() && self.is_stale(source, now) {
                stale.push(source.clone());
            }
        }
        for source in stale {
            let Some(mut row) = self.sources.get(&source).cloned() else { continue };
            let blind = Blindness { episode: episode_id(&source.to_string(), now), since: now };
            let mut writes = Writes::default();
            self.announce_source(&source, AlertKind::Blind, &blind, now, &mut writes)?;
            row.blind = Some(blind);
            self.write_source(&source, row, writes)?;
        }
        Ok(())
    }

    /// A clock that was ahead has left times that are yet to come. They would keep a source from being blind until then.
    fn forget_the_future(&mut self, now: WallTime) {
        self.settings.awake_since = self.settings.awake_since.map(|awake| awake.min(now));
        for row in self.sources.values_mut() {
            row.created = row.created.min(now);
            row.read_through = row.read_through.map(|at| at.min(now));
        }
    }

    /// Whether `source` has not been read through for longer than it may be.
    fn is_stale(&self, source: &SourceId, now: WallTime) -> bool {
        self.unread_for(source, now) > self.settings.stale_after
    }

    /// Whether it has been for half as long: time to do something about it, so that the alert can say what was done.
    #[must_use]
    pub fn is_half_stale(&self, source: &SourceId, now: WallTime) -> bool {
        self.unread_for(source, now) > self.settings.stale_after / 2
    }

    /// For how long `source` has not been read through while it could have been.
    fn unread_for(&self, source: &SourceId, now: WallTime) -> std::time::Duration {
        self.sources.get(source).map_or(std::time::Duration::ZERO, |row| {
            let since = row.read_through.unwrap_or(row.created);
            now.since(self.settings.awake_since.map_or(since, |awake| since.max(awake)))
        })
    }

    fn announce_source(
        &mut self,
        source: &SourceId,
        kind: AlertKind,
        blind: &Blindness,
        now: WallTime,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let labels = [("account", source.account.as_str()), ("region", source.region.as_str())];
        let seconds = match kind {
            AlertKind::Sighted => now.since(blind.since),
            _ => self.unread_for(source, now),
        };
        let trouble = self.troubles.get(source).and_then(Troubles::present);
        let figures = (seconds.as_secs(), self.settings.stale_after.as_secs());
        let alert = about_source(kind, &blind.episode, &labels, figures, trouble, now);
        self.queue(&alert, &Audience::Everybody, writes)
    }
}

/// A key of an alert's own rows, for whoever reads or deletes them.
pub(super) fn alert_rows(seq: u64) -> [Key; 3] {
    [keys::numbered(keys::BODY, seq), keys::numbered(keys::EVENTS, seq), keys::numbered(keys::FATE, seq)]
}
