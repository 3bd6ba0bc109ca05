//! What the dispatcher needs of the store, and nothing more: the next alert, and a place to say what became of it.

use std::collections::HashSet;

use crate::model::WallTime;
use crate::store::{Delivery, Keeper, Next, Settlement, StoreError};

/// The durable queues of alerts, one for each notifier.
///
/// Among the chains that `which` admits, the one whose head has been due for the longest goes first; an alert is due
/// from when it was queued, and after a failure from [`Settlement::Retry`]'s `at`. So whatever fails again and again
/// moves behind whatever does not, and cannot starve it.
///
/// Whoever queues something tells the dispatchers through the `watch` channel that
/// [`Dispatcher::run`](super::Dispatcher::run) is given.
pub trait Outbox: Send + Sync + 'static {
    /// The next alert to hand over to `notifier` at `now`, else when to look again, else nothing.
    fn next(
        &self,
        notifier: &str,
        now: WallTime,
        which: Which<'_>,
    ) -> impl Future<Output = Result<Next, StoreError>> + Send;

    /// Further alerts that could go together with `delivery`: see [`Ledger::beside`](crate::store::Ledger::beside).
    fn beside(
        &self,
        delivery: &Delivery,
        now: WallTime,
        which: Which<'_>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send;

    /// Records what became of one attempt; durable when it returns.
    fn settle(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Which chains are to be considered.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those whose stored time for the next attempt has come.
    Due,
    /// All of them, whatever the stored times say, except those of these incidents. There is never anything to wait
    /// for then.
    AllBut(&'a HashSet<String>),
}

impl Which<'_> {
    fn but(self) -> Option<HashSet<String>> {
        match self {
            Self::Due => None,
            Self::AllBut(but) => Some(but.clone()),
        }
    }
}

impl Outbox for Keeper {
    async fn next(&self, notifier: &str, now: WallTime, which: Which<'_>) -> Result<Next, StoreError> {
        let notifier = notifier.to_owned();
        let but = which.but();
        self.run(move |ledger| ledger.next(&notifier, now, but.as_ref())).await
    }

    async fn beside(
        &self,
        delivery: &Delivery,
        now: WallTime,
        which: Which<'_>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (delivery, but) = (delivery.clone(), which.but());
        self.run(move |ledger| ledger.beside(&delivery, now, but.as_ref(), most)).await
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), StoreError> {
        let delivery = delivery.clone();
        self.run(move |ledger| ledger.settle(&delivery, &settlement)).await
    }
}
