//! What answers are made of: the ledger, asked in slices, and what it has said a moment ago.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Status;
use super::chart::Chart;
use super::server::Failed;
use crate::model::{WallClock, WallTime};
use crate::store::{AccessPage, AccessQuery, AlertPage, AlertQuery, Keeper, Look, Looked, RuleStanding, StoreError};

/// A status is made anew after this long.
const STATUS_AGE: Duration = Duration::from_secs(1);

/// So is what takes a look at many rows, and until that is done the old one is given out.
const WALK_AGE: Duration = Duration::from_secs(5);
const WALK_AGE_AT_MOST: Duration = Duration::from_secs(30);

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

/// The last value, what it is the answer to, and when it was made. Of those who ask at once one has it made.
struct Kept<K, T> {
    last: Arc<std::sync::Mutex<Option<(Instant, K, T)>>>,
    making: Arc<Mutex<()>>,
}

/// How old a value may be before it is made anew, and until when the old one is given out meanwhile.
struct Ages {
    fresh: Duration,
    stale: Duration,
}

impl<K: Clone + PartialEq + Send + 'static, T: Clone + Send + 'static> Kept<K, T> {
    fn known(&self, question: &K, most: Duration) -> Option<T> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, value) = last.as_ref().filter(|(made, about, _)| about == question && made.elapsed() < most)?;
        Some(value.clone())
    }

    fn keep(&self, question: K, value: T) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), question, value));
    }

    async fn get(
        &self,
        ages: Ages,
        question: K,
        make: impl Future<Output = Result<T, Failed>> + Send + 'static,
    ) -> Result<T, Failed> {
        if let Some(value) = self.known(&question, ages.fresh) {
            return Ok(value);
        }
        if let Some(value) = self.known(&question, ages.stale) {
            if let Ok(place) = Arc::clone(&self.making).try_lock_owned() {
                let kept = self.clone();
                tokio::spawn(async move {
                    let _place = place;
                    // Whoever asks when it is too old is told why it cannot be made.
                    if let Ok(value) = make.await {
                        kept.keep(question, value);
                    }
                });
            }
            return Ok(value);
        }
        let _place = self.making.lock().await;
        if let Some(value) = self.known(&question, ages.fresh) {
            return Ok(value);
        }
        let value = make.await?;
        self.keep(question, value.clone());
        Ok(value)
    }
}

impl<K, T> Clone for Kept<K, T> {
    fn clone(&self) -> Self {
        Self { last: Arc::clone(&self.last), making: Arc::clone(&self.making) }
    }
}

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self { last: Arc::default(), making: Arc::default() }
    }
}

impl Desk {
    pub(super) fn of(keeper: Keeper, clock: WallClock) -> Self {
        let (status, rules, chart) = (Kept::default(), Kept::default(), Kept::default());
        Self { began: clock.now(), keeper, clock, status, rules, chart }
    }

    /// The status, a second old at most.
    pub(super) async fn status(&self) -> Result<Arc<Status>, Failed> {
        let desk = self.clone();
        let make = async move {
            let now = desk.clock.now();
            let overview = desk.keeper.run(move |ledger| Ok(ledger.overview(now))).await??;
            Ok(Arc::new(Status { began: desk.began, overview }))
        };
        self.status.get(Ages { fresh: STATUS_AGE, stale: STATUS_AGE }, (), make).await
    }

    pub(super) fn hangs(&self, status: &Status) -> bool {
        self.clock.now().since(status.overview.ticked) > STANDSTILL
    }

    /// How near each rule has come to its threshold, one rule after the other.
    pub(super) async fn rules(&self) -> Result<Arc<Vec<RuleStanding>>, Failed> {
        let desk = self.clone();
        let make = async move {
            let (now, mut rules, mut look) = (desk.clock.now(), Vec::new(), Look::default());
            loop {
                let (place, so_far) = (rules.len(), std::mem::take(&mut look));
                match desk.keeper.run(move |ledger| Ok(ledger.rule_standing(place, so_far, now))).await?? {
                    Some(Looked::Further(further)) => look = further,
                    Some(Looked::Stands(rule)) => rules.push(*rule),
                    None => return Ok(Arc::new(rules)),
                }
            }
        };
        self.rules.get(Ages { fresh: WALK_AGE, stale: WALK_AGE_AT_MOST }, (), make).await
    }

    /// The chart of the accesses that `query` wants, whatever time and place it says.
    pub(super) async fn chart(&self, query: AccessQuery) -> Result<Arc<Chart>, Failed> {
        let query = AccessQuery { since: None, before: None, ..query };
        let (desk, question) = (self.clone(), query.clone());
        let make = async move { desk.charted(query).await.map(Arc::new) };
        self.chart.get(Ages { fresh: WALK_AGE, stale: WALK_AGE_AT_MOST }, question, make).await
    }

    async fn charted(&self, query: AccessQuery) -> Result<Chart, Failed> {
        let mut chart = Chart::until(self.clock.now());
        let mut query = AccessQuery { since: Some(chart.begin()), ..query };
        let begun = Instant::now();
        loop {
            let (slice, condition) = (query.clone(), query.condition().map_err(Failed::bad)?);
            let slice = self.keeper.run(move |ledger| {
                let mut chart = chart;
                let next = ledger.scan(&slice, &condition, |access| {
                    chart.note(access);
                    ControlFlow::Continue(())
                });
                Ok(next.map(|next| (chart, next)))
            });
            let (noted, next) = slice.await??;
            chart = noted;
            match next {
                Some(next) if begun.elapsed() < WALK_AT_MOST => query.before = Some(next),
                next => {
                    chart.whole_from = next.map(|(at, _)| at);
                    return Ok(chart);
                }
            }
        }
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
