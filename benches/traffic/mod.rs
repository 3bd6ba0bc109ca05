//! The traffic that both benches measure with: accesses as a small company makes them, and a ledger to take them in.
//!
//! Accesses are read from records as AWS writes them, so that their size on disk is a real one. The same seed gives the
//! same traffic each time; time runs in it, not on the wall.

use std::time::Duration;

use secretwatch::demo::{Caller, Record, SECRETS_MANAGER, Surroundings};
use secretwatch::detect::{Condition, GroupKey, Rule, Statistic};
use secretwatch::model::{Access, EventTime, Severity, Span, WallTime, read_record};
use secretwatch::store::{Ledger, LedgerSettings, Recipient, StoreError};
use secretwatch::trail::{Coverage, SourceId};

/// Accesses on one page of LookupEvents.
pub(crate) const PAGE: usize = 50;

/// How long after the last access of a page the page is read: everything in it is settled by then.
const READ_AFTER: Duration = Duration::from_mins(16);

const LATENESS: Duration = Duration::from_mins(15);
const BACKFILL: Duration = Duration::from_hours(1);
const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";

/// When the traffic begins: 2027-01-15T08:00:00Z.
pub(crate) const START: EventTime = EventTime(1_800_000_000);

/// A stream of accesses at even steps of event time, without end.
pub(crate) struct Traffic {
    rng: fastrand::Rng,
    at_millis: i64,
    step: Duration,
    /// How many secrets there are to choose from; none: every access reads another one.
    secrets: Option<usize>,
    made: usize,
}

impl Traffic {
    pub(crate) fn new(step: Duration, secrets: Option<usize>) -> Self {
        Self { rng: fastrand::Rng::with_seed(7), at_millis: START.wall().0, step, secrets, made: 0 }
    }

    /// The next page, oldest first.
    pub(crate) fn page(&mut self) -> Vec<Access> {
        (0..PAGE).map(|_| self.access()).collect()
    }

    fn access(&mut self) -> Access {
        self.made += 1;
        self.at_millis += i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX);
        let now = WallTime(self.at_millis);
        let secret = self.secrets.map_or(self.made, |secrets| self.rng.usize(..secrets));
        let role = format!("service-{}", self.rng.u8(..40));
        let record = Record::read(&format!("prod/service-{secret}/database"))
            .by(Caller::role(ACCOUNT, &role, "i-0123456789abcdef0"))
            .at(now.second());
        read_record(&written(&record, now, &mut self.rng), now).expect("our own record is readable")
    }
}

/// `record` as it stands in a log file.
pub(crate) fn written(record: &Record, now: WallTime, rng: &mut fastrand::Rng) -> String {
    record.json(Surroundings { account: ACCOUNT, region: REGION, now, late: Duration::ZERO }, rng)
}

/// The rule that counts when the configuration has none.
pub(crate) fn every_read() -> Rule {
    Rule {
        name: "secret-is-accessed".to_owned(),
        description: Some("A secret's value was read".to_owned()),
        severity: Severity::Medium,
        runbook: None,
        notify: vec!["security".to_owned()],
        condition: Condition { events: vec!["GetSecretValue".to_owned()], ..Condition::default() },
        steps: Vec::new(),
        first_seen: None,
        statistic: Statistic::Sum,
        threshold: 1,
        window: 60,
        hold: 900,
        update_every: 900,
        group_by: vec![GroupKey::Secret],
    }
}

pub(crate) fn settings(rules: Vec<Rule>) -> LedgerSettings {
    LedgerSettings {
        rules,
        allowances: Vec::new(),
        recipients: vec![Recipient { name: "security".to_owned(), min_severity: Severity::Info, send_resolved: false }],
        sources: vec![source()],
        event_sources: vec![SECRETS_MANAGER.to_owned()],
        lateness: LATENESS,
        recheck: Duration::ZERO,
        backfill: BACKFILL,
        retention: Duration::from_hours(30 * 24),
        stale_after: Duration::from_hours(10 * 365 * 24),
        awake_since: None,
    }
}

/// When the last page of `pages` is read.
pub(crate) fn read_at(pages: &[Access]) -> WallTime {
    pages.iter().map(|access| access.time).max().unwrap_or(START).wall().plus(READ_AFTER)
}

/// One page as the daemon takes it in: what it says, what has been read by it, and the flush.
pub(crate) fn commit(ledger: &mut Ledger, page: Vec<Access>) -> Result<(), StoreError> {
    let now = read_at(&page);
    let mut coverage = ledger
        .sources()
        .get(&source())
        .and_then(|row| row.coverage.get(SECRETS_MANAGER))
        .cloned()
        .unwrap_or_else(|| Coverage::new(START, LATENESS, Duration::ZERO));
    if let Some(read) = Span::new(coverage.since(), page.iter().map(|access| access.time).max().unwrap_or(START)) {
        coverage.read(read, now);
    }
    ledger.take(page, now)?;
    ledger.cover(&source(), SECRETS_MANAGER, coverage)?;
    ledger.sync()?;
    Ok(())
}

pub(crate) fn source() -> SourceId {
    SourceId { account: ACCOUNT.to_owned(), region: REGION.to_owned() }
}
