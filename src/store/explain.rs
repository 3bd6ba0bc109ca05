//! Answers the question why somebody was told of an event, or why not.
//!
//! What was read stands in the store, and a rule can be asked again at any time what it makes of an access. But what was
//! *counted* is what the match rows say: the allow-list may have changed since, and the rule may have been another one.
//! So each [`Ruling`](super::Ruling) has both, and its sentence says where they differ. Nothing is stored for this
//! alone.
//!
//! Here is what is known under an id; `ruling` asks the rules, `window` finds the window that came closest, `telling`
//! follows an access into its incident, alert and deliveries, `former` looks for versions of rules that are no more,
//! and `words` puts it all in sentences. Everything is read only, and bounded: what is not looked at for that reason is
//! said.

mod former;
mod ruling;
mod telling;
mod window;
mod words;

use std::collections::BTreeSet;

pub(super) use self::telling::Heads;
pub(super) use self::window::fullest;
use super::explanation::{
    Basis, Copied, EXPLANATION, Explanation, FeedSight, Finding, Kept, Known, SourceSight, Unread, Watched,
};
use super::keys::{self, Key};
use super::ledger::{Ledger, Troubles};
use super::rows::{self, SourceRow, UnreadableRow};
use super::{StoreError, pack};
use crate::model::{Access, EventTime, Span, WallTime, printable};
use crate::trail::{Coverage, SourceId};

/// An event id is no longer than this, in bytes: nothing longer is ever read as one.
pub const MAX_EVENT_ID: usize = 256;

/// A record of an access lies within so many seconds of the others.
const COPY_REACH: i64 = 3600;

/// Further records of an access that are shown.
const MAX_OTHERS: usize = 20;

/// Records that made no sense which are looked through for an id, the newest first.
const MAX_UNREADABLE: usize = 10_000;

/// Gaps in what was read of a source that are shown, the oldest first.
const MAX_GAPS: usize = 10;

/// What of an unreadable record is shown, in characters.
const MAX_RAW: usize = 400;

/// An access that rules are asked about.
struct Subject<'a> {
    access: &'a Access,
    /// Further records of it.
    others: Vec<&'a Access>,
    /// All ids under which an alert may hold it.
    names: BTreeSet<&'a str>,
    /// Whether its event source is read.
    is_read: bool,
}

impl Ledger {
    /// Why the event `event_id` was told, or why not, as it stands at `now`.
    pub fn explain(&self, event_id: &str, now: WallTime) -> Result<Explanation, StoreError> {
        let mut limits = Vec::new();
        let finding = self.find(event_id, now, &mut limits)?;
        self.explained(event_id, finding, now, limits)
    }

    /// The same of an access that was never taken in, since nobody reads its event source.
    pub fn explain_ignored(&self, access: Access, now: WallTime) -> Result<Explanation, StoreError> {
        let event_id = access.event_id.clone();
        let event_sources = self.settings.event_sources.clone();
        self.explained(&event_id, Finding::Ignored { access: Box::new(access), event_sources }, now, Vec::new())
    }

    fn explained(
        &self,
        event_id: &str,
        mut finding: Finding,
        now: WallTime,
        mut limits: Vec<String>,
    ) -> Result<Explanation, StoreError> {
        let rules = match finding.subject() {
            Some(subject) => self.rulings(&subject, &mut limits)?,
            None => Vec::new(),
        };
        finding.forget_records();
        let event_id = printable(event_id, MAX_EVENT_ID);
        let (schema, headline) = (EXPLANATION.to_owned(), String::new());
        let explanation =
            Explanation { schema, event_id, asked: now, basis: Basis::State, headline, finding, rules, limits };
        Ok(explanation.in_words())
    }

    fn find(&self, id: &str, now: WallTime, limits: &mut Vec<String>) -> Result<Finding, StoreError> {
        // Ids lose their control characters when they are read, and one of those marks other rows of the index.
        let is_one = (1..=MAX_EVENT_ID).contains(&id.len()) && !id.contains(char::is_control);
        if is_one && let Some(row) = self.index(id)? {
            return self.known_as(id, row.identity, row.at);
        }
        let (nameless, unread) = self.unreadable(id, limits)?;
        Ok(match unread {
            Some(unread) => Finding::Unreadable(unread),
            None => Finding::Nothing(self.watched(nameless, now)),
        })
    }

    fn known_as(&self, id: &str, counts_as: String, at: EventTime) -> Result<Finding, StoreError> {
        let counted = match self.access(&counts_as)? {
            Some(access) => Some(self.known_access(counts_as.clone(), access)?),
            None => None,
        };
        Ok(match counted {
            Some(known) if known.access.event_id == id => Finding::Access(Box::new(known)),
            counted => Finding::Copy(Box::new(Copied { copy: self.copy_of(id, at)?, counts_as, counted })),
        })
    }

    fn known_access(&self, counts_as: String, access: Access) -> Result<Known, StoreError> {
        let late = access.seen.since(access.time.wall());
        Ok(Known {
            late_seconds: late.as_secs(),
            later_than_lateness: late > self.settings.lateness,
            record: match (&access.record, access.oversize) {
                (Some(_), _) => Kept::Yes,
                (None, true) => Kept::Oversize,
                (None, false) => Kept::No,
            },
            others: self.others(&counts_as, access.time)?,
            counts_as,
            access,
        })
    }

    /// Further records of the access that counts under `counts_as`. They tell of the same second, nearly always.
    fn others(&self, counts_as: &str, at: EventTime) -> Result<Vec<Access>, StoreError> {
        let mut others = Vec::new();
        for row in self.kv.prefix(&Key::of(keys::COPY).time(at).end()) {
            let (key, value) = row?;
            let id = keys::text_at(&key, 9).unwrap_or_default();
            if others.len() < MAX_OTHERS && self.index(id)?.is_some_and(|row| row.identity == counts_as) {
                others.push(pack::unpack(&key, &value)?);
            }
        }
        Ok(others)
    }

    /// The further record with this id. It lies at its own time, and the index may know that of the access.
    fn copy_of(&self, id: &str, at: EventTime) -> Result<Option<Access>, StoreError> {
        let key = keys::copy(at, id);
        if let Some(value) = self.kv.row(&key)? {
            return pack::unpack(&key, &value).map(Some);
        }
        let (from, to) = (keys::copy(at.minus(COPY_REACH), ""), keys::copy(at.plus(COPY_REACH), ""));
        for row in self.kv.range(&from, &to) {
            let (key, value) = row?;
            if keys::text_at(&key, 9) == Some(id) {
                return pack::unpack(&key, &value).map(Some);
            }
        }
        Ok(None)
    }

    /// How many of the records that made no sense have no id, and the newest that has this one.
    fn unreadable(&self, id: &str, limits: &mut Vec<String>) -> Result<(u64, Option<Unread>), StoreError> {
        let mut nameless = 0;
        for (count, row) in self.kv.prefix(&[keys::UNREADABLE]).rev().enumerate() {
            if count >= MAX_UNREADABLE {
                limits.push(format!("only the newest {MAX_UNREADABLE} records that made no sense were looked at"));
                break;
            }
            let (key, value) = row?;
            let row: UnreadableRow = rows::decode(&key, &value)?;
            nameless += u64::from(row.event_id.is_none());
            if row.event_id.as_deref() == Some(id) {
                let seen = keys::time_at(&key, 1).unwrap_or_default();
                let raw = printable(&row.raw, MAX_RAW);
                return Ok((nameless, Some(Unread { seen, reason: row.reason, raw })));
            }
        }
        Ok((nameless, None))
    }

    fn watched(&self, nameless: u64, now: WallTime) -> Watched {
        Watched {
            sources: self.sources.iter().map(|(source, row)| self.sight_of(source, row, now)).collect(),
            event_sources: self.settings.event_sources.clone(),
            retention_seconds: self.settings.retention.as_secs(),
            lateness_seconds: self.settings.lateness.as_secs(),
            nameless,
        }
    }

    fn sight_of(&self, source: &SourceId, row: &SourceRow, now: WallTime) -> SourceSight {
        let within = |quantile| row.visibility.quantile(quantile).map(|within| within.as_secs());
        SourceSight {
            account: source.account.clone(),
            region: source.region.clone(),
            account_id: row.account_id.clone(),
            read_through: row.read_through,
            blind_since: row.blind.as_ref().map(|blind| blind.since),
            trouble: self.troubles.get(source).and_then(Troubles::present).map(ToString::to_string),
            visible_within: within(0.5).zip(within(0.99)),
            feeds: row.coverage.iter().map(|(name, coverage)| feed_sight(name, coverage, now)).collect(),
        }
    }
}

impl Finding {
    /// Records were there to be asked, and are no part of what is said.
    fn forget_records(&mut self) {
        let known = match self {
            Self::Access(known) => Some(&mut **known),
            Self::Copy(copied) => {
                copied.copy.iter_mut().for_each(|copy| copy.record = None);
                copied.counted.as_mut()
            }
            Self::Ignored { access, .. } => {
                access.record = None;
                None
            }
            Self::Unreadable(_) | Self::Nothing(_) => None,
        };
        let accesses = known.into_iter().flat_map(|known| std::iter::once(&mut known.access).chain(&mut known.others));
        accesses.for_each(|access| access.record = None);
    }

    /// The access that rules are to be asked about, if there is one.
    fn subject(&self) -> Option<Subject<'_>> {
        let (known, asked) = match self {
            Self::Access(known) => (&**known, None),
            Self::Copy(copied) => (copied.counted.as_ref()?, copied.copy.as_ref()),
            Self::Ignored { access, .. } => {
                let names = access.names().collect();
                return Some(Subject { access, others: Vec::new(), names, is_read: false });
            }
            Self::Unreadable(_) | Self::Nothing(_) => return None,
        };
        let others: Vec<&Access> = known.others.iter().chain(asked).collect();
        let names = others.iter().map(|record| record.event_id.as_str()).chain(known.access.names()).collect();
        Some(Subject { access: &known.access, others, names, is_read: true })
    }
}

fn feed_sight(name: &str, coverage: &Coverage, now: WallTime) -> FeedSight {
    let mut coverage = coverage.clone();
    coverage.discard_after(now);
    let since = coverage.since();
    let (mut gaps, unsettled) = match Span::new(since, now.second()) {
        Some(all) => (coverage.unread(all), coverage.unsettled(all)),
        None => Default::default(),
    };
    let up_to = |last: EventTime| (last >= since).then_some(last);
    // What lies behind the newest that was read is no gap: it comes next.
    let read_to = match gaps.pop_if(|gap| gap.to == now.second()) {
        Some(rest) => up_to(rest.from.minus(1)),
        None => up_to(now.second()),
    };
    let settled_to = up_to(unsettled.first().map_or(now.second(), |gap| gap.from.minus(1)));
    gaps.truncate(MAX_GAPS);
    FeedSight { event_source: name.to_owned(), since, read_to, settled_to, gaps }
}
