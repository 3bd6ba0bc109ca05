//! Explains a record in CloudTrail files: what the configured rules would make of it, and of all that is with it.
//!
//! As in `replay`, everything in the files is as if it had become visible at one poll, and a ledger in memory takes it
//! in. What is kept is what a rule may count and the record that is asked about, whatever it is: of a service that
//! nobody reads, or one that makes no sense.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::super::exit::{self, Exit};
use super::super::{Args, replay};
use crate::config::Config;
use crate::daemon;
use crate::model::{Access, EventTime, Unreadable, WallTime, printable, read_record};
use crate::store::{Explanation, Ledger, LedgerSettings, StoreError};
use crate::trail::{Origin, ReadSettings, SourceId, Summary, Wanted, read_paths};

/// Ids that are offered where it is not said which record is meant.
const OFFERED: usize = 5;

/// What was found in the files.
struct Found<'a> {
    config: &'a Config,
    /// Which record is meant; none: the only one.
    id: Option<&'a str>,
    /// The first ids, each once, and one more than is offered.
    ids: Vec<String>,
    /// The first that rules may count, and what happened.
    countable: Vec<(String, String)>,
    records: u64,
    /// What rules may count, and what is meant.
    accesses: Vec<Access>,
    /// Whose trails the files are, and since when.
    sources: BTreeSet<SourceId>,
    oldest: Option<EventTime>,
    /// What is meant, if its event source is not read.
    ignored: Option<Access>,
    /// What is meant, if it makes no sense.
    unreadable: Option<(Unreadable, String)>,
}

/// Explains the record `id`, or the only one, in `paths`; and whether all of them could be read.
pub(super) fn explain(args: &Args, id: Option<&str>, paths: &[PathBuf]) -> Result<(Explanation, bool), Exit> {
    let config = replay::rules(args)?;
    let mut found = Found {
        config: &config,
        id,
        ids: Vec::new(),
        countable: Vec::new(),
        records: 0,
        accesses: Vec::new(),
        sources: BTreeSet::new(),
        oldest: None,
        ignored: None,
        unreadable: None,
    };
    let damage = found.read(paths).damage;
    damage.iter().for_each(|damage| exit::tell(damage));
    let id = found.meant()?;
    let explanation = found.explained(&id).map_err(|error| {
        exit::tell(&error);
        Exit::Store
    })?;
    Ok((explanation.of_files(), damage.is_empty()))
}

impl Found<'_> {
    /// Reads every record: the one that is meant may be of a service that nobody watches.
    fn read(&mut self, paths: &[PathBuf]) -> Summary {
        let settings = ReadSettings { wanted: Wanted::everything(), jobs: NonZeroUsize::MIN, progress: None };
        let each = |of_file: &mut Vec<String>, json: &str, _: &Origin<'_>| of_file.push(json.to_owned());
        read_paths(paths, &settings, &each, &mut |of_file| of_file.iter().for_each(|json| self.take(json)))
    }

    fn take(&mut self, json: &str) {
        self.records += 1;
        match read_record(json, WallTime::default()) {
            Ok(access) => {
                self.note(&access.event_id);
                self.oldest = Some(self.oldest.map_or(access.time, |oldest| oldest.min(access.time)));
                self.keep(access);
            }
            Err(what) => {
                let id = what.event_id.clone().unwrap_or_default();
                self.note(&id);
                if self.is_meant(&id) {
                    self.unreadable.get_or_insert_with(|| (what, json.to_owned()));
                }
            }
        }
    }

    fn keep(&mut self, mut access: Access) {
        access.seen = access.time.wall();
        let is_read = access.event_source.is_empty() || self.config.poll.event_sources.contains(&access.event_source);
        let is_meant = self.is_meant(&access.event_id);
        if is_meant && !is_read {
            self.ignored = Some(access);
        } else if is_meant || replay::may_count(self.config, &access) {
            if self.countable.len() <= OFFERED && !self.countable.iter().any(|(id, _)| *id == access.event_id) {
                let by = access.principal.called();
                let what = format!("{} {} by {}", access.time, printable(&access.event, 60), printable(by, 60));
                self.countable.push((access.event_id.clone(), what));
            }
            self.sources.insert(SourceId { account: access.account.clone(), region: access.region.clone() });
            self.accesses.push(access);
        }
    }

    fn note(&mut self, id: &str) {
        if self.ids.len() <= OFFERED && !self.ids.iter().any(|known| known == id) {
            self.ids.push(id.to_owned());
        }
    }

    /// Whether it is the record of this id that is meant, as far as can be told by now.
    fn is_meant(&self, id: &str) -> bool {
        self.id.map_or(self.ids.len() == 1, |meant| meant == id)
    }

    /// The id of what is meant.
    fn meant(&self) -> Result<String, Exit> {
        match (self.id, &self.ids[..]) {
            (Some(id), _) => Ok(id.to_owned()),
            (None, [id]) if !id.is_empty() => Ok(id.clone()),
            (None, [_]) => {
                let why = self.unreadable.as_ref().map_or("it has no id", |(what, _)| what.reason.as_str());
                eprintln!("secretwatch: the only record makes no sense: {why}");
                Err(Exit::Unknown)
            }
            (None, []) => {
                eprintln!("secretwatch: there is no record to explain");
                Err(Exit::Unknown)
            }
            (None, ids) => {
                eprintln!("secretwatch: there are {} records; say which is meant, before --file:", self.records);
                let other = ids.iter().map(|id| (id.clone(), String::new())).collect();
                let offered = if self.countable.is_empty() { &other } else { &self.countable };
                for (id, what) in offered.iter().take(OFFERED) {
                    eprintln!("{}", format!("  {}  {what}", printable(id, 100)).trim_end());
                }
                if offered.len() > OFFERED {
                    eprintln!("  …");
                }
                Err(Exit::Usage)
            }
        }
    }

    fn explained(self, id: &str) -> Result<Explanation, StoreError> {
        let Self { config, mut accesses, sources, ignored, unreadable, oldest, .. } = self;
        accesses.sort_by(|a, b| (a.time, &a.event_id).cmp(&(b.time, &b.event_id)));
        // Folders often hold an event in more than one file.
        accesses.dedup();
        let is_there = accesses.iter().any(|access| access.names().any(|name| name == id));
        let now = accesses.last().map_or_else(WallTime::now, |access| access.time.wall());
        let LedgerSettings { rules, recipients, .. } = daemon::settings_of_view(config);
        let settings = LedgerSettings { rules, recipients, ..replay::settings(config, &sources) };
        let mut ledger = Ledger::in_memory(settings, now)?;
        for source in &sources {
            ledger.know(source, oldest.unwrap_or(now.second()))?;
        }
        ledger.take(accesses, now)?;
        ledger.tick(now, true)?;
        match (ignored, unreadable) {
            (Some(access), _) if !is_there => return ledger.explain_ignored(access, now),
            (None, Some((what, raw))) if !is_there => drop(ledger.keep_unreadable(&what, &raw, now)?),
            _ => {}
        }
        ledger.explain(id, now)
    }
}
