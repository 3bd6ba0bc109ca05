//! Taking in a page: what is known is dropped, what is new is written, counted and judged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::StoreError;
use super::keys::{self, Key};
use super::kv::{MAX_BATCH, MAX_VALUE, Writes};
use super::ledger::{ActiveRule, Ledger};
use super::pack;
use super::rows::{self, IndexRow, UnreadableRow};
use crate::detect::{Entry, Group, GroupId, Incident, RuleId, Share, Sightings, Touch, judge, removal};
use crate::model::{Access, EventTime, Outcome, Span, Unreadable, WallTime};

/// Rows that one alert is reckoned to take, apart from those for each notifier.
const ALERT_ROWS: usize = 7;

/// Marks, among the event ids of the index, the hash of a record without one. No event id has a control character.
pub(super) const UNREADABLE: &str = "\u{1}";

/// What became of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Accesses never seen before, by outcome.
    pub new: BTreeMap<Outcome, u64>,
    /// When they happened, of one page: a sum of pages does without.
    pub first_seen: Vec<EventTime>,
    /// Records whose event id was known.
    pub duplicates: u64,
    /// Records that tell of an access known under another id.
    pub copies: u64,
    /// Records older than the retention.
    pub too_old: u64,
    /// Event ids that came again with another content; the first one stands.
    pub conflicts: Vec<String>,
    /// Records that made no sense and were not known before.
    pub unreadable: Vec<Unreadable>,
}

impl Taken {
    /// Adds up two.
    pub fn absorb(&mut self, other: Self) {
        for (outcome, count) in other.new {
            *self.new.entry(outcome).or_default() += count;
        }
        self.duplicates += other.duplicates;
        self.copies += other.copies;
        self.too_old += other.too_old;
        self.conflicts.extend(other.conflicts);
        self.unreadable.extend(other.unreadable);
    }

    fn note_new(&mut self, access: &Access) {
        *self.new.entry(access.outcome).or_default() += 1;
        self.first_seen.push(access.time);
    }

    /// How many accesses were new.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.new.values().sum()
    }
}

/// Writes under way, with the accesses that are in them and not yet in the store.
pub(super) struct Draft {
    pub(super) writes: Writes,
    pub(super) accesses: HashMap<String, Access>,
    /// Entries of rules that are in them as reported.
    reported: HashSet<(usize, Arc<str>)>,
    /// Sightings that are in them, by key.
    pub(super) sightings: HashMap<Vec<u8>, Sightings>,
    pub(super) now: WallTime,
}

impl Draft {
    pub(super) fn new(now: WallTime) -> Self {
        let (writes, accesses, reported) = Default::default();
        Self { writes, accesses, reported, sightings: HashMap::new(), now }
    }
}

/// New accesses that are to be written and counted together.
#[derive(Default)]
struct Chunk {
    accesses: Vec<Access>,
    /// The groups of rules that they fall into.
    groups: HashSet<(usize, GroupId)>,
    /// How many rows they may take, as far as can be told before they are judged.
    rows: usize,
}

/// What the store knows of an event id.
enum Known {
    /// Nothing.
    No,
    /// This very record, or another under its id.
    Seen { same: bool },
    /// Only that another record speaks of it.
    Named,
}

impl Ledger {
    /// Takes in `accesses`, in any order. Written in batches of bounded size, each of which leaves the ledger right:
    /// if only some are written, the rest are new when they come again.
    pub fn take(&mut self, accesses: Vec<Access>, now: WallTime) -> Result<Taken, StoreError> {
        let mut taken = Taken::default();
        let floor = now.minus(self.settings.retention).second();
        let mut chunk = Chunk::default();
        let mut ids: HashSet<String> = HashSet::new();
        for access in best_first(accesses) {
            if access.time < floor {
                taken.too_old += 1;
                continue;
            }
            if !ids.insert(access.event_id.clone()) {
                // Twice in one page: by the time we look it up, the first must have been written.
                self.count_new(&mut chunk, &mut taken, now)?;
            }
            match self.known(&access)? {
                Known::Seen { same } => {
                    taken.duplicates += 1;
                    if !same {
                        taken.conflicts.push(access.event_id);
                    }
                }
                Known::No if access.identity() == access.event_id => {
                    self.reckon(&access, &mut chunk);
                    chunk.accesses.push(access);
                    if chunk.rows >= self.kv.max_batch() {
                        self.count_new(&mut chunk, &mut taken, now)?;
                    }
                }
                Known::No | Known::Named => {
                    self.count_new(&mut chunk, &mut taken, now)?;
                    self.take_telling(access, &mut taken, now)?;
                }
            }
        }
        self.count_new(&mut chunk, &mut taken, now)?;
        self.tally.duplicates += taken.duplicates;
        for (outcome, count) in &taken.new {
            *self.tally.accesses.entry(*outcome).or_default() += count;
        }
        Ok(taken)
    }

    /// Keeps a record that made no sense, so that somebody can look at it. Returns whether it is new.
    pub fn keep_unreadable(&mut self, what: &Unreadable, raw: &str, now: WallTime) -> Result<bool, StoreError> {
        // Found again by its content: a record without a readable id has nothing else.
        let hash = short_hash(&[raw]);
        let mark = Key::of(keys::INDEX).text(UNREADABLE).number(hash).end();
        if self.kv.row(&mark)?.is_some() {
            return Ok(false);
        }
        let row = UnreadableRow {
            event_id: what.event_id.clone(),
            reason: what.reason.clone(),
            raw: prefix(raw, MAX_VALUE / 8).to_owned(),
            len: raw.len(),
        };
        let mut writes = Writes::default();
        writes.put(Key::of(keys::UNREADABLE).time(now.second()).number(hash).end(), rows::encode(&row)?);
        let index = IndexRow { at: now.second(), hash, named_only: false, identity: String::new() };
        writes.put(mark, index.encode(UNREADABLE));
        self.write(writes)?;
        Ok(true)
    }

    /// The access that counts under `id`, or that the event `id` tells of.
    pub fn access(&self, id: &str) -> Result<Option<Access>, StoreError> {
        let Some(mut row) = self.index(id)? else { return Ok(None) };
        if row.identity != id {
            match self.index(&row.identity)? {
                Some(real) => row = real,
                None => return Ok(None),
            }
        }
        let key = keys::access(row.at, &row.identity);
        self.kv.row(&key)?.map(|value| pack::unpack(&key, &value)).transpose()
    }

    /// Counts for the rule at `index` what is stored already.
    pub(super) fn count_stored(&mut self, index: usize, now: WallTime) -> Result<(), StoreError> {
        self.each_stored(self.rules[index].from, now, |ledger, batch, draft| ledger.count_for(index, batch, draft))
    }

    /// Shows `each` the accesses that are stored from `from` on, some at a time, and writes what it drafts.
    pub(super) fn each_stored(
        &mut self,
        from: EventTime,
        now: WallTime,
        each: impl Fn(&mut Self, &[&Access], &mut Draft) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = keys::access(from, "");
        let to = keys::access(EventTime(i64::MAX), "");
        loop {
            let mut batch = Vec::new();
            for row in self.kv.range(&from, &to).take(MAX_BATCH / (4 + ALERT_ROWS)) {
                let (key, value) = row?;
                batch.push(pack::unpack(&key, &value)?);
                from = key;
            }
            if batch.is_empty() {
                return Ok(());
            }
            from.push(0);
            let mut draft = Draft::new(now);
            each(self, &batch.iter().collect::<Vec<_>>(), &mut draft)?;
            self.write(draft.writes)?;
        }
    }

    fn known(&self, access: &Access) -> Result<Known, StoreError> {
        Ok(match self.index(&access.event_id)? {
            None => Known::No,
            Some(row) if row.named_only => Known::Named,
            Some(row) => Known::Seen { same: row.hash == content_hash(access) },
        })
    }

    pub(super) fn index(&self, id: &str) -> Result<Option<IndexRow>, StoreError> {
        self.kv.row(&keys::index(id))?.map(|row| IndexRow::decode(id, &row)).transpose()
    }

    /// Adds to `chunk` the rows that `access` may take: its own, and those of an alert for each group that it is the
    /// first of. A page's accesses stay together where they can, because what is counted in one batch is told in one
    /// alert.
    fn reckon(&self, access: &Access, chunk: &mut Chunk) {
        chunk.rows += 2;
        for index in 0..self.rules.len() {
            if let Some((group, _)) = self.placed(index, access) {
                chunk.rows += 1;
                if chunk.groups.insert((index, group.id)) {
                    chunk.rows += ALERT_ROWS + self.settings.recipients.len();
                }
            }
        }
    }

    /// Writes the chunk's accesses, of which nothing was known, and counts them for every rule.
    fn count_new(&mut self, chunk: &mut Chunk, taken: &mut Taken, now: WallTime) -> Result<(), StoreError> {
        let Chunk { accesses, .. } = std::mem::take(chunk);
        if accesses.is_empty() {
            return Ok(());
        }
        let mut draft = Draft::new(now);
        for access in &accesses {
            taken.note_new(access);
            draft.writes.put(keys::access(access.time, &access.event_id), pack::pack(access)?);
            draft.writes.put(
                keys::index(&access.event_id),
                index_row(access, access.identity(), access.time).encode(&access.event_id),
            );
        }
        let all: Vec<&Access> = accesses.iter().collect();
        self.note_allowed(&all, &mut draft)?;
        draft.accesses = accesses.iter().map(|access| (access.event_id.clone(), access.clone())).collect();
        for index in 0..self.rules.len() {
            self.count_for(index, &all, &mut draft)?;
        }
        self.write(draft.writes)
    }

    /// Counts `accesses` for the rule at `index`, those that it has not counted yet.
    fn count_for(&mut self, index: usize, accesses: &[&Access], draft: &mut Draft) -> Result<(), StoreError> {
        self.remember(index, accesses, draft)?;
        let mut touches: BTreeMap<GroupId, Touch> = BTreeMap::new();
        for access in accesses {
            if let Some((group, entry)) = self.placed(index, access)
                && self.is_news(index, access, draft)?
                && self.kv.row(&keys::matched(self.rules[index].id, group.id, entry.at, &entry.id))?.is_none()
            {
                touches.entry(group.id).or_insert_with(|| Touch { group, new: Vec::new() }).new.push(entry);
            }
        }
        let mut touches: Vec<Touch> = touches.into_values().collect();
        touches.iter_mut().for_each(|touch| touch.new.sort_unstable());
        // Alerts are told in the order of what happened.
        touches.sort_by(|a, b| a.new.cmp(&b.new));
        touches.iter().try_for_each(|touch| self.judge(index, touch, draft))
    }

    /// Where the rule at `index` counts `access`, if it does; whether it is news, if that is asked, is another question.
    fn placed(&self, index: usize, access: &Access) -> Option<(Group, Entry)> {
        let active = &self.rules[index];
        if access.own || access.time < active.from || !self.counts(active, access) || self.is_past(access) {
            return None;
        }
        self.place_of(active, access)
    }

    /// Where `active` would count `access`, whatever the allow-list says.
    fn place_of(&self, active: &ActiveRule, access: &Access) -> Option<(Group, Entry)> {
        if !active.rule.matches(access) {
            return None;
        }
        let Share { value, steps } = active.rule.share(access)?;
        let entry = Entry { at: access.time, id: Arc::from(access.identity()), value, steps, reported: false };
        Some((active.rule.group(access), entry))
    }

    fn judge(&mut self, index: usize, touch: &Touch, draft: &mut Draft) -> Result<(), StoreError> {
        let ActiveRule { id, rule, .. } = &self.rules[index];
        let id = *id;
        let mut known = Vec::new();
        for span in touch.loads(rule) {
            known.extend(self.entries(id, touch.group.id, span)?);
        }
        for entry in &mut known {
            entry.reported |= draft.reported.contains(&(index, entry.id.clone()));
        }
        let incidents = match touch.incidents(rule) {
            Some(span) => self.incidents(id, touch.group.id, span)?,
            None => Vec::new(),
        };
        let changes = judge(rule, touch, &known, incidents, draft.now);
        for entry in &touch.new {
            draft.writes.put(keys::matched(id, touch.group.id, entry.at, &entry.id), rows::entry_value(entry));
        }
        let card = self.rules[index].rule.card();
        for change in changes {
            self.write_change(&card, change, draft)?;
        }
        Ok(())
    }

    /// The counted entries of a group within `span`, in order.
    pub(super) fn entries(&self, rule: RuleId, group: GroupId, span: Span) -> Result<Vec<Entry>, StoreError> {
        let from = keys::group(keys::MATCH, rule, group).time(span.from).end();
        let to = keys::group(keys::MATCH, rule, group).time(span.to.plus(1)).end();
        self.kv.range(&from, &to).map(|row| row.and_then(|(key, value)| rows::entry(&key, &value))).collect()
    }

    /// The incidents of a group whose crossing windows end within `span`.
    pub(super) fn incidents(&self, rule: RuleId, group: GroupId, span: Span) -> Result<Vec<Incident>, StoreError> {
        let from = keys::group(keys::INCIDENT, rule, group).end();
        let to = keys::group(keys::INCIDENT, rule, group).time(span.to.plus(1)).end();
        let mut found = Vec::new();
        for row in self.kv.range(&from, &to).rev() {
            let (key, value) = row?;
            let incident: Incident = rows::decode(&key, &value)?;
            if incident.last_end < span.from && !matches!(incident.state, crate::detect::State::Merged(_)) {
                // They do not overlap, so all before this one ended earlier still.
                break;
            }
            found.push(incident);
        }
        Ok(found)
    }

    /// Takes a record that tells of an access counted under another id than its own, or that another one spoke of.
    fn take_telling(&mut self, mut access: Access, taken: &mut Taken, now: WallTime) -> Result<(), StoreError> {
        let identity = self.root(&access)?;
        if identity != access.identity() {
            access.counts_as = Some(identity.clone());
        }
        if !self.is_eligible(&access) {
            taken.copies += 1;
            return self.keep_copy(&access, &identity, access.time);
        }
        match self.access(&identity)? {
            None => {
                taken.note_new(&access);
                let mut draft = Draft::new(now);
                self.place_telling(&access, &identity, &mut draft)?;
                self.note_allowed(&[&access], &mut draft)?;
                for index in 0..self.rules.len() {
                    self.count_for(index, &[&access], &mut draft)?;
                }
                self.write(draft.writes)
            }
            Some(stored) if rank(&access) > rank(&stored) => {
                taken.copies += 1;
                self.replace(&stored, Access { seen: stored.seen, ..access }, now)
            }
            Some(stored) => {
                taken.copies += 1;
                self.keep_copy(&access, &identity, stored.time)
            }
        }
    }

    /// The id that the access behind a record is counted under: the one that a record read before has settled, by
    /// whichever of its names that record was known, else what this one says.
    fn root(&self, access: &Access) -> Result<String, StoreError> {
        for name in access.names() {
            if let Some(row) = self.index(name)? {
                return Ok(row.identity);
            }
        }
        Ok(access.identity().to_owned())
    }

    /// A cross-account access counts in the account that owns the secret, if that is a configured source.
    fn is_eligible(&self, access: &Access) -> bool {
        match (&access.shared_event_id, &access.secret) {
            (Some(_), Some(secret)) => {
                access.account == secret.account || !self.is_source(&secret.account, &secret.region)
            }
            _ => true,
        }
    }

    fn place_telling(&mut self, access: &Access, identity: &str, draft: &mut Draft) -> Result<(), StoreError> {
        draft.writes.put(keys::access(access.time, identity), pack::pack(access)?);
        self.name(access, identity, access.time, &mut draft.writes)?;
        draft.accesses.insert(identity.to_owned(), access.clone());
        Ok(())
    }

    /// Makes every name of `access` lead to `identity`, whose access lies at `at`.
    fn name(&self, access: &Access, identity: &str, at: EventTime, writes: &mut Writes) -> Result<(), StoreError> {
        for name in access.names().chain([identity]) {
            let row = match self.index(name)? {
                Some(row) if name == identity => IndexRow { at, ..row },
                Some(_) => continue,
                None => IndexRow { at, hash: 0, named_only: true, identity: identity.to_owned() },
            };
            writes.put(keys::index(name), row.encode(name));
        }
        writes.put(keys::index(&access.event_id), index_row(access, identity, at).encode(&access.event_id));
        Ok(())
    }

    fn keep_copy(&mut self, access: &Access, identity: &str, stored_at: EventTime) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        writes.put(keys::copy(access.time, &access.event_id), pack::pack(access)?);
        writes.put(keys::index(&access.event_id), index_row(access, identity, stored_at).encode(&access.event_id));
        for name in access.names().filter(|name| *name != access.event_id) {
            if self.index(name)?.is_none() && name != identity {
                let row = IndexRow { at: stored_at, hash: 0, named_only: true, identity: identity.to_owned() };
                writes.put(keys::index(name), row.encode(name));
            }
        }
        self.write(writes)
    }

    /// Puts a better record of the same access in the place of `old`. What was reported stays reported, wherever the
    /// better record says that it belongs.
    fn replace(&mut self, old: &Access, new: Access, now: WallTime) -> Result<(), StoreError> {
        let identity = new.identity().to_owned();
        let mut draft = Draft::new(now);
        draft.writes.remove(keys::access(old.time, &identity));
        draft.writes.put(keys::copy(old.time, &old.event_id), pack::pack(old)?);
        self.place_telling(&new, &identity, &mut draft)?;
        for index in 0..self.rules.len() {
            self.move_match(index, old, &new, &mut draft)?;
        }
        self.write(draft.writes)
    }

    fn move_match(&mut self, index: usize, old: &Access, new: &Access, draft: &mut Draft) -> Result<(), StoreError> {
        // Where it was counted is what its row says: the allow-list may have changed since.
        let is = self.placed(index, new);
        let mut was = self.place_of(&self.rules[index], old);
        if let Some((group, entry)) = &was
            && self.kv.row(&keys::matched(self.rules[index].id, group.id, entry.at, &entry.id))?.is_none()
        {
            was = None;
        }
        if was == is {
            return Ok(());
        }
        self.remember(index, &[new], draft)?;
        let mut reported = false;
        if let Some((group, entry)) = was {
            reported = self.unmatch(index, group.id, &entry, draft)?;
        }
        if let Some((group, entry)) = is
            && (reported || self.is_news(index, new, draft)?)
        {
            self.judge(index, &Touch { group, new: vec![Entry { reported, ..entry }] }, draft)?;
        }
        Ok(())
    }

    /// Takes `entry` out of a group. Returns whether it has been reported. That it was, and that those were which were
    /// covered with its help, the windows no longer show; so it is written down.
    fn unmatch(&self, index: usize, group: GroupId, entry: &Entry, draft: &mut Draft) -> Result<bool, StoreError> {
        let ActiveRule { id, rule, .. } = &self.rules[index];
        let key = keys::matched(*id, group, entry.at, &entry.id);
        let Some(value) = self.kv.row(&key)? else { return Ok(false) };
        let reach = rule.window.saturating_mul(2);
        let around = Span { from: entry.at.minus(reach), to: entry.at.plus(reach) };
        let removal = removal(rule, &self.entries(*id, group, around)?, entry.at, &entry.id);
        for uncovered in removal.uncovered {
            let uncovered = Entry { reported: true, ..uncovered };
            draft.writes.put(keys::matched(*id, group, uncovered.at, &uncovered.id), rows::entry_value(&uncovered));
            draft.reported.insert((index, uncovered.id));
        }
        let reported = removal.was_covered || rows::entry(&key, &value)?.reported;
        draft.writes.remove(key);
        Ok(reported)
    }
}

/// Which of two records of one access is better: the one in the account that owns the secret, then in the smaller
/// account; an update rather than its original; and whatever makes the choice the same for every order of arrival.
fn rank(access: &Access) -> impl Ord + use<> {
    let is_owner = access.secret.as_ref().is_some_and(|secret| secret.account == access.account);
    let account = Reverse(access.account.clone());
    (is_owner, account, access.updates.is_some(), access.time, Reverse(access.event_id.clone()))
}

/// The records of a page, so that of several which tell of one access the best comes first and is the one that is told.
fn best_first(mut accesses: Vec<Access>) -> Vec<Access> {
    let tells = |access: &Access| access.identity() != access.event_id;
    if accesses.iter().any(tells) {
        accesses.sort_by_cached_key(|access| Reverse(tells(access).then(|| rank(access))));
    }
    accesses
}

pub(super) fn index_row(access: &Access, identity: &str, at: EventTime) -> IndexRow {
    IndexRow { at, hash: content_hash(access), named_only: false, identity: identity.to_owned() }
}

/// A hash of what makes an event this event: not of its spelling, since the same one may be read from Event history and
/// from a log file.
fn content_hash(access: &Access) -> u64 {
    let secret = access.secret.as_ref();
    short_hash(&[
        &access.event,
        &access.time.0.to_string(),
        &access.account,
        &access.region,
        &access.principal.key(),
        secret.map_or("", |secret| &secret.name),
        access.outcome.word(),
        access.source_ip.as_deref().unwrap_or(""),
        access.request_id.as_deref().unwrap_or(""),
    ])
}

fn short_hash(texts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// As much of `text` as fits `max` bytes.
fn prefix(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
