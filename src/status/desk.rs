//! What answers are made of: the ledger, asked in slices, and what it has said a moment ago.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Status;
use super::chart::Chart;
use super::server::Failed;
use crate::model::{WallClock, WallTime};
use crate::store::{AccessPage, AccessQuery, AlertPage, AlertQuery, Keeper, RuleStanding, StoreError};

/// A status is made anew after this long.
const STATUS_AGE: Duration = Duration::from_secs(1);

/// So is what takes a look at many rows.
const WALK_AGE: Duration = Duration::from_secs(5);

/// After this long a chart takes what it has: the newest accesses.
const WALK_AT_MOST: Duration = Duration::from_secs(2);

/// A loop that has not turned for so long hangs.
const STANDSTILL: Duration = Duration::from_secs(60);

/// See the module. Clones share what they remember.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) keeper: Keeper,
    pub(super) clock: WallClock,
    began: WallTime,
    status: Kept<(), Arc<Status>>,
    rules: Kept<(), Arc<Vec<RuleStanding>>>,
    chart: Kept<AccessQuery, Arc<Chart>>,
}

/// The last value, what it is the answer to, and when it was made. Of those who ask at once one has it made, and the
/// others wait for that.
type Kept<K, T> = Arc<Mutex<Option<(Instant, K, T)>>>;

async fn kept<K: PartialEq, T: Clone>(
    last: &Kept<K, T>,
    age: Duration,
    question: K,
    make: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let mut last = last.lock().await;
    if let Some((made, about, value)) = &*last
        && *about == question
        && made.elapsed() < age
    {
        return Ok(value.clone());
    }
    let value = make.await?;
    *last = Some((Instant::now(), question, value.clone()));
    Ok(value)
}

impl Desk {
    pub(super) fn of(keeper: Keeper, clock: WallClock) -> Self {
        let (status, rules, chart) = (Kept::default(), Kept::default(), Kept::default());
        Self { began: clock.now(), keeper, clock, status, rules, chart }
    }

    /// The status, a second old at most.
    pub(super) async fn status(&self) -> Result<Arc<Status>, Failed> {
        kept(&self.status, STATUS_AGE, (), async {
            let now = self.clock.now();
            let overview = self.keeper.run(move |ledger| Ok(ledger.overview(now))).await??;
            Ok(Arc::new(Status { began: self.began, overview }))
        })
        .await
    }

    pub(super) fn hangs(&self, status: &Status) -> bool {
        self.clock.now().since(status.overview.ticked) > STANDSTILL
    }

    /// How near each rule has come to its threshold, one rule after the other.
    pub(super) async fn rules(&self) -> Result<Arc<Vec<RuleStanding>>, Failed> {
        kept(&self.rules, WALK_AGE, (), async {
            let (now, mut rules) = (self.clock.now(), Vec::new());
            loop {
                let place = rules.len();
                match self.keeper.run(move |ledger| Ok(ledger.rule_standing(place, now))).await?? {
                    Some(rule) => rules.push(rule),
                    None => return Ok(Arc::new(rules)),
                }
            }
        })
        .await
    }

    /// The chart of the accesses that `query` wants, whatever time it says.
    pub(super) async fn chart(&self, query: AccessQuery) -> Result<Arc<Chart>, Failed> {
        kept(&self.chart, WALK_AGE, query.clone(), async {
            let mut chart = Chart::until(self.clock.now());
            let mut query = AccessQuery { since: Some(chart.begin()), ..query };
            let begun = Instant::now();
            loop {
                let (slice, condition) = (query.clone(), query.condition().map_err(Failed::bad)?);
                let (noted, next) = self
                    .keeper
                    .run(move |ledger| {
                        let mut chart = chart;
                        let next = ledger.scan(&slice, &condition, |access| {
                            chart.note(access);
                            ControlFlow::Continue(())
                        });
                        Ok(next.map(|next| (chart, next)))
                    })
                    .await??;
                chart = noted;
                match next {
                    Some(next) if begun.elapsed() < WALK_AT_MOST => query.before = Some(next),
                    next => {
                        chart.whole_from = next.map(|(at, _)| at);
                        return Ok(Arc::new(chart));
                    }
                }
            }
        })
        .await
    }

    pub(super) async fn accesses(&self, query: AccessQuery) -> Result<AccessPage, Failed> {
        let condition = query.condition().map_err(Failed::bad)?;
        // A failing look is told to whoever looks, and ends nothing.
        Ok(self.keeper.run(move |ledger| Ok(ledger.accesses(&query, &condition))).await??)
    }

    pub(super) async fn alerts(&self, query: AlertQuery) -> Result<AlertPage, Failed> {
        Ok(self.keeper.run(move |ledger| Ok(ledger.alerts(&query))).await??)
    }

    /// Whether the store takes writes: the ledger's thread ends with the first that fails.
    pub(super) async fn is_writable(&self) -> Result<(), StoreError> {
        self.keeper.run(|_| Ok(())).await
    }
}
