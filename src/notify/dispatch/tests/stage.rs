//! What the tests play on: an outbox in memory, a sender that follows a script, and a dispatcher between them.

use std::sync::Mutex;

use super::super::*;
use crate::config::Target;
use crate::model::fixture::alert;
use crate::model::{AlertKind, Severity};
use crate::notify::Sender;

pub(super) type Answer = Box<dyn Fn(&str, usize) -> Outcome + Send + Sync>;

/// A sender that does what a test says, and keeps what it was given and when.
pub struct Script {
    /// What to answer to an alert's attempt number so-and-so, counted from 1.
    answer: Answer,
    /// How long an attempt takes.
    takes: Duration,
    /// Whether alerts may share a message; then it is in `sent` as their ids with `+` between them.
    pub(in crate::notify) shares: bool,
    /// Stands behind the ids in `sent`, to tell a fallback from the notifier itself.
    mark: &'static str,
    sent: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub(in crate::notify) async fn send(&self, letter: &Letter<'_>) -> Outcome {
        assert_eq!(letter.fallback_for, (!self.mark.is_empty()).then_some("n"));
        let ids: Vec<&str> = letter.alerts().map(|alert| alert.id.as_str()).collect();
        let ids = ids.join("+") + self.mark;
        let attempt = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((Instant::now(), ids.clone()));
            sent.iter().filter(|(_, id)| *id == ids).count()
        };
        tokio::time::sleep(self.takes).await;
        (self.answer)(&ids, attempt)
    }
}

/// An outbox in memory, written as simply as its contract allows.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) entries: Mutex<Vec<Entry>>,
    pub(super) broken: bool,
}

pub(super) struct Entry {
    pub(super) delivery: Delivery,
    pub(super) due: WallTime,
    pub(super) settled: Vec<Settlement>,
}

impl Entry {
    pub(super) fn is_open(&self) -> bool {
        self.settled.last().is_none_or(|last| matches!(last, Settlement::Retry { .. }))
    }
}

impl Fake {
    /// Queues alerts; the first letter of an id is its incident.
    pub(super) fn queue(&self, ids: &str, now: WallTime) {
        let mut entries = self.entries.lock().unwrap();
        for id in ids.split_whitespace() {
            let alert =
                Alert { id: id.to_owned(), incident: id.chars().take(1).collect(), ..alert(AlertKind::Test, vec![]) };
            let seq = entries.len() as u64;
            let delivery = Delivery { notifier: "n".to_owned(), seq, alert, attempts: 0, queued: now, parked: false };
            entries.push(Entry { delivery, due: now, settled: vec![] });
        }
    }
}

impl Outbox for Fake {
    async fn next(&self, notifier: &str, now: WallTime, which: Which<'_>) -> Result<Next, StoreError> {
        assert_eq!(notifier, "n");
        let entries = self.entries.lock().unwrap();
        let mut incidents = HashSet::new();
        let mut heads: Vec<_> = (entries.iter())
            .filter(|entry| entry.is_open() && incidents.insert(&entry.delivery.alert.incident))
            .collect();
        heads.sort_by_key(|head| head.due);
        let ready = heads.iter().find(|head| match which {
            Which::Due => head.due <= now,
            Which::AllBut(held) => !held.contains(&head.delivery.alert.incident),
        });
        Ok(match (ready, heads.first(), which) {
            (Some(head), ..) => Next::Send(Box::new(head.delivery.clone())),
            (None, Some(head), Which::Due) => Next::Wait(head.due),
            (None, ..) => Next::Idle,
        })
    }

    async fn beside(
        &self,
        delivery: &Delivery,
        now: WallTime,
        which: Which<'_>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let entries = self.entries.lock().unwrap();
        let mut incidents = HashSet::from([&delivery.alert.incident]);
        let heads = entries.iter().filter(|entry| entry.is_open() && incidents.insert(&entry.delivery.alert.incident));
        let due = heads.filter(|head| match which {
            Which::Due => head.due <= now,
            Which::AllBut(held) => !held.contains(&head.delivery.alert.incident),
        });
        Ok(due.filter(|head| !head.delivery.parked).take(most).map(|head| head.delivery.clone()).collect())
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Stopped);
        }
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.iter_mut().find(|entry| entry.delivery.seq == delivery.seq).unwrap();
        assert!(entry.is_open(), "{} was settled already", delivery.alert.id);
        if let Settlement::Retry { at, attempts, parked, .. } = settlement {
            (entry.due, entry.delivery.attempts, entry.delivery.parked) = (at, attempts, parked);
        }
        entry.settled.push(settlement);
        Ok(())
    }
}

/// A dispatcher between a fake outbox and a scripted sender, in paused time.
pub(super) struct Stage {
    pub(super) dispatcher: Arc<Dispatcher<Fake>>,
    pub(super) outbox: Arc<Fake>,
    pub(super) sent: Arc<Mutex<Vec<(Instant, String)>>>,
    pub(super) wake: watch::Sender<()>,
    pub(super) shutdown: CancellationToken,
    pub(super) start: Instant,
}

pub(super) const START: WallTime = WallTime(1_779_907_554_000);

impl Stage {
    /// With `ids` queued; `answer` is given the id and how often it was tried.
    pub(super) fn new(ids: &str, answer: impl Fn(&str, usize) -> Outcome + Send + Sync + 'static) -> Self {
        Self::with(ids, Duration::ZERO, Fake::default(), answer)
    }

    pub(super) fn with(
        ids: &str,
        takes: Duration,
        outbox: Fake,
        answer: impl Fn(&str, usize) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::built(ids, takes, outbox, (None, false), answer)
    }

    /// With a fallback after so many seconds, whose ids end with `!`.
    pub(super) fn with_fallback(
        ids: &str,
        after: u64,
        answer: impl Fn(&str, usize) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::built(ids, Duration::ZERO, Fake::default(), (Some(Duration::from_secs(after)), false), answer)
    }

    /// With a sender whose messages several alerts may share.
    pub(super) fn sharing(ids: &str, answer: impl Fn(&str, usize) -> Outcome + Send + Sync + 'static) -> Self {
        Self::built(ids, Duration::ZERO, Fake::default(), (None, true), answer)
    }

    pub(super) fn built(
        ids: &str,
        takes: Duration,
        outbox: Fake,
        (fallback, shares): (Option<Duration>, bool),
        answer: impl Fn(&str, usize) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let (start, outbox, sent) = (Instant::now(), Arc::new(outbox), Arc::default());
        outbox.queue(ids, START);
        let notifier = config::Notifier {
            name: "n".to_owned(),
            target: Target::Stdout,
            min_severity: Severity::Info,
            send_resolved: true,
            retry_for: Duration::from_secs(600),
            fallback: None,
        };
        let answer = Arc::new(answer);
        let way = |name: &str, mark, after| {
            let answer = Arc::clone(&answer);
            let answer: Answer = Box::new(move |ids, attempt| answer(ids, attempt));
            let script = Script { answer, takes, shares, mark, sent: Arc::clone(&sent) };
            Way { notifier: name.to_owned(), sender: Arc::new(Sender::Scripted(script)), after }
        };
        let own = way("n", "", Duration::ZERO);
        let ways = std::iter::once(own).chain(fallback.map(|after| way("b", "!", after))).collect();
        let clock = WallClock::new(move || START.plus(start.elapsed()));
        let dispatcher = Dispatcher::new(&notifier, ways, Arc::clone(&outbox), clock);
        let (wake, _) = watch::channel(());
        Self { dispatcher: Arc::new(dispatcher), outbox, sent, wake, shutdown: CancellationToken::new(), start }
    }

    /// Runs for `secs`, then shuts down.
    pub(super) async fn run(&self, secs: u64) -> Result<(), StoreError> {
        let stop = async {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            self.shutdown.cancel();
        };
        let running = self.dispatcher.run(self.wake.subscribe(), self.shutdown.clone());
        tokio::join!(running, stop).0
    }

    pub(super) async fn drain(&self, secs: Option<u64>) -> Drained {
        let deadline = secs.map(|secs| self.start + Duration::from_secs(secs));
        self.dispatcher.drain(deadline, &self.shutdown).await.unwrap()
    }

    pub(super) fn sent(&self) -> String {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Seconds between attempts.
    pub(super) fn pauses(&self) -> Vec<f64> {
        let sent = self.sent.lock().unwrap();
        sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
    }

    /// How an alert ended.
    pub(super) fn end(&self, id: &str) -> Settlement {
        let entries = self.outbox.entries.lock().unwrap();
        entries.iter().find(|entry| entry.delivery.alert.id == id).unwrap().settled.last().unwrap().clone()
    }

    /// How the attempts have ended.
    pub(super) fn stats(&self) -> NotifierStats {
        let mut stats = NotifierStats::default();
        let entries = self.outbox.entries.lock().unwrap();
        entries.iter().flat_map(|entry| &entry.settled).for_each(|settlement| stats.count(settlement));
        stats
    }

    pub(super) fn open(&self) -> usize {
        self.outbox.entries.lock().unwrap().iter().filter(|entry| entry.is_open()).count()
    }
}

pub(super) fn ok(_: &str, _: usize) -> Outcome {
    Outcome::Accepted
}

pub(super) fn down(_: &str, _: usize) -> Outcome {
    Outcome::transient("down")
}

pub(super) fn stats(accepted: u64, failed: u64, dead: u64) -> NotifierStats {
    NotifierStats { accepted, failed, dead }
}
