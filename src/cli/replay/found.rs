//! What a replay has read: the accesses that some rule may count, and how many records were something else.
//!
//! Files are read by many threads, each of which fills a [`Found`] of its own for each file; they are merged in the order
//! of the files. Only accesses that matter are kept, since a trail of months holds many that do not.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::model::{Access, Span, WallTime, read_record};
use crate::trail::SourceId;

/// Records that make no sense and are told one by one; the others are counted.
const TOLD: usize = 20;

/// What was read.
#[derive(Default)]
pub(super) struct Found {
    /// The accesses that some rule may count.
    pub(super) accesses: Vec<Access>,
    /// How many records told of them; more than there are, if some did twice.
    pub(super) matched: u64,
    /// Whose trails they stand in, or others that were read.
    pub(super) sources: BTreeSet<SourceId>,
    /// Accesses that no rule counts.
    pub(super) unmatched: u64,
    /// Records that make no sense.
    pub(super) unreadable: u64,
    /// What is wrong with the first of them, and where.
    pub(super) told: Vec<String>,
    /// From the first to the last second that was read about.
    pub(super) span: Option<Span>,
    /// Not all of it was read, so that nobody can say what is new.
    pub(super) unlearnt: bool,
}

impl Found {
    /// Takes a record in, for rules of which any may count it. `is_own` tells our own calls, which no rule counts, and
    /// `place` where it stands.
    pub(super) fn take(
        &mut self,
        configs: &[Config],
        json: &str,
        is_own: &dyn Fn(&Access) -> bool,
        place: &dyn Fn() -> String,
    ) {
        match read_record(json, WallTime::default()) {
            Ok(mut access) => {
                access.seen = access.time.wall();
                access.own = is_own(&access);
                self.reaches(Span { from: access.time, to: access.time });
                self.sources.insert(SourceId { account: access.account.clone(), region: access.region.clone() });
                if configs.iter().any(|config| may_count(config, &access)) {
                    // Most of what is held, where there are many.
                    access.record = access.record.filter(|_| configs.iter().any(Config::reads_records));
                    self.matched += 1;
                    self.accesses.push(access);
                } else {
                    self.unmatched += 1;
                }
            }
            Err(error) => self.nonsense(place, &error.to_string()),
        }
    }

    /// Notes a record that makes no sense.
    pub(super) fn nonsense(&mut self, place: &dyn Fn() -> String, why: &str) {
        self.unreadable += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("{}: record makes no sense: {why}", place()));
        }
    }

    /// Notes that `span` was read about.
    pub(super) fn reaches(&mut self, span: Span) {
        let known = self.span.unwrap_or(span);
        self.span = Some(Span { from: known.from.min(span.from), to: known.to.max(span.to) });
    }

    /// Adds what comes after.
    pub(super) fn merge(&mut self, mut later: Self) {
        self.accesses.append(&mut later.accesses);
        self.sources.append(&mut later.sources);
        self.matched += later.matched;
        self.unmatched += later.unmatched;
        self.unreadable += later.unreadable;
        self.told.append(&mut later.told);
        self.told.truncate(TOLD);
        self.unlearnt |= later.unlearnt;
        later.span.into_iter().for_each(|span| self.reaches(span));
    }

    /// Puts the accesses into the order in which they happened, each once: folders often hold an event in more than one
    /// file, and whatever the order of the files, what follows is the same.
    pub(super) fn settle(&mut self) {
        self.accesses.sort_by(|a, b| (a.time, &a.event_id).cmp(&(b.time, &b.event_id)));
        self.accesses.dedup();
    }
}

/// Whether a rule of `config` counts `access`, or may count another record of it.
pub(in crate::cli) fn may_count(config: &Config, access: &Access) -> bool {
    let source = &access.event_source;
    let is_read = source.is_empty() || config.poll.event_sources.contains(source);
    if access.own || !is_read {
        return false;
    }
    // The copy that counts may be another one than that which a rule matches.
    let told_elsewhere = access.identity() != access.event_id;
    told_elsewhere || config.rules.iter().any(|rule| rule.matches(access))
}
