//! The promise of counting, held against a model so naive that it cannot be wrong: sort everything, slide a window.
//!
//! Accesses reach a ledger shuffled, repeated, in pages of any size, with clocks that move and restarts in between. In
//! the end every access in a crossing window must be in exactly one alert of its rule, and no other in any.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use secretwatch::detect::{self, Condition, GroupKey, Rule, Statistic};
use secretwatch::model::{
    Access, Alert, AlertKind, EventTime, MAX_ACCESSES, Outcome, Principal, Secret, Severity, Span, WallTime,
};
use secretwatch::store::{Ledger, LedgerSettings, Next, Recipient, Settlement};
use secretwatch::trail::SourceId;

pub(crate) const EVENT_SOURCE: &str = "secretsmanager.amazonaws.com";
pub(crate) const START: i64 = 1_800_000_000;

pub(crate) fn rule(name: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        description: None,
        severity: Severity::Medium,
        runbook: None,
        notify: vec!["all".to_owned()],
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

pub(crate) fn access(id: &str, at: i64, secret: &str, principal: &str) -> Access {
    Access {
        event_id: id.to_owned(),
        event: "GetSecretValue".to_owned(),
        time: EventTime(at),
        seen: EventTime(at).wall(),
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        secret: Some(Secret {
            name: secret.to_owned(),
            arn: None,
            requested: Some(secret.to_owned()),
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            tags: None,
        }),
        principal: Principal {
            kind: "IAMUser".to_owned(),
            arn: Some(format!("arn:aws:iam::111122223333:user/{principal}")),
            name: Some(principal.to_owned()),
            session: None,
            account: Some("111122223333".to_owned()),
        },
        source_ip: Some("192.0.2.1".to_owned()),
        user_agent: None,
        access_key_id: None,
        mfa: None,
        vpc_endpoint: None,
        invoked_by: None,
        request_id: None,
        outcome: Outcome::Success,
        error: None,
        error_message: None,
        console: false,
        event_source: EVENT_SOURCE.to_owned(),
        shared_event_id: None,
        own: false,
        counts_as: None,
        updates: None,
        record: None,
        oversize: false,
    }
}

pub(crate) fn source() -> SourceId {
    SourceId { account: "111122223333".to_owned(), region: "us-east-1".to_owned() }
}

pub(crate) fn settings(rules: Vec<Rule>) -> LedgerSettings {
    LedgerSettings {
        rules,
        allowances: Vec::new(),
        recipients: vec![Recipient { name: "all".to_owned(), min_severity: Severity::Info, send_resolved: true }],
        sources: vec![source()],
        event_sources: vec![EVENT_SOURCE.to_owned()],
        lateness: Duration::from_secs(900),
        recheck: Duration::ZERO,
        backfill: Duration::from_secs(3600),
        retention: Duration::from_secs(30 * 86400),
        stale_after: Duration::from_secs(365 * 86_400),
        awake_since: None,
    }
}

/// Takes everything out of the outbox, in order.
pub(crate) fn drain(ledger: &mut Ledger, now: WallTime) -> Vec<Alert> {
    let mut alerts = Vec::new();
    while let Next::Send(delivery) = ledger.next("all", now, None).unwrap() {
        ledger.settle(&delivery, &Settlement::Accepted { at: now }).unwrap();
        alerts.push(delivery.alert);
    }
    alerts
}

/// Whether the accesses of one window are enough.
fn crosses(rule: &Rule, window: &[&&Access]) -> bool {
    if !rule.steps.is_empty() {
        let mut window: Vec<&Access> = window.iter().map(|a| **a).collect();
        window.sort_by_key(|a| a.time);
        return follow_each_other(rule, &mut window, 0);
    }
    let value = match rule.statistic {
        Statistic::Sum => window.len(),
        Statistic::Distinct(_) => window.iter().map(|a| rule.share(a)).collect::<BTreeSet<_>>().len(),
    };
    value as u64 >= rule.threshold
}

/// Whether the steps are taken one after the other in any order of `window` that keeps the order of time: those from
/// `place` on are tried in each.
fn follow_each_other(rule: &Rule, window: &mut [&Access], place: usize) -> bool {
    if place == window.len() {
        return are_taken(rule, window);
    }
    (place..window.len()).take_while(|&other| window[other].time == window[place].time).collect::<Vec<_>>().iter().any(
        |&other| {
            window.swap(place, other);
            let found = follow_each_other(rule, window, place + 1);
            window.swap(place, other);
            found
        },
    )
}

/// Whether the steps are taken by accesses in exactly this order, each by as few as it needs.
fn are_taken(rule: &Rule, order: &[&Access]) -> bool {
    let mut steps = rule.steps.iter().peekable();
    let mut taken: Vec<&Access> = Vec::new();
    for access in order {
        let Some(step) = steps.peek() else { return true };
        if step.condition.matches(access) {
            taken.push(access);
        }
        let value = match step.statistic {
            Statistic::Sum => taken.len(),
            Statistic::Distinct(_) => {
                taken.iter().filter_map(|a| Some(&a.secret.as_ref()?.name)).collect::<BTreeSet<_>>().len()
            }
        };
        if value as u64 >= step.threshold {
            steps.next();
            taken.clear();
        }
    }
    steps.peek().is_none()
}

/// The ids of the accesses in crossing windows, worked out from the definition alone.
fn naive(rule: &Rule, accesses: &[Access]) -> BTreeSet<String> {
    let counted: Vec<&Access> = accesses.iter().filter(|a| rule.matches(a) && rule.share(a).is_some()).collect();
    let mut covered = BTreeSet::new();
    for end in &counted {
        let window: Vec<&&Access> = counted
            .iter()
            .filter(|a| rule.group(a).labels == rule.group(end).labels)
            .filter(|a| end.time.0 - rule.window < a.time.0 && a.time <= end.time)
            .collect();
        if crosses(rule, &window) {
            covered.extend(window.iter().map(|a| a.event_id.clone()));
        }
    }
    covered
}

/// How many incidents there are in the end, from the definition alone.
fn naive_incidents(rule: &Rule, accesses: &[Access]) -> usize {
    let mut ends: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    let counted: Vec<&Access> = accesses.iter().filter(|a| rule.matches(a) && rule.share(a).is_some()).collect();
    for end in &counted {
        let window: Vec<&&Access> = counted
            .iter()
            .filter(|a| rule.group(a).labels == rule.group(end).labels)
            .filter(|a| end.time.0 - rule.window < a.time.0 && a.time <= end.time)
            .collect();
        if crosses(rule, &window) {
            ends.entry(rule.group(end).labels).or_default().push(end.time.0);
        }
    }
    ends.into_values()
        .map(|mut ends| {
            ends.sort_unstable();
            1 + ends.windows(2).filter(|pair| pair[1] - pair[0] > rule.window + rule.hold).count()
        })
        .sum()
}

/// What alerts said, checked one by one: no access twice, the first is `opened`, and so on.
#[derive(Default)]
struct Told {
    covered: BTreeSet<String>,
    live: BTreeSet<String>,
    over: BTreeSet<String>,
    merged: BTreeSet<String>,
    ids: BTreeSet<String>,
}

impl Told {
    fn hear(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            assert!(self.ids.insert(alert.id.clone()), "one id, two alerts: {alert:#?}");
            assert!(alert.accesses.len() <= MAX_ACCESSES);
            for access in &alert.accesses {
                assert!(self.covered.insert(access.event_id.clone()), "{} twice", access.event_id);
            }
            match alert.kind {
                AlertKind::Opened => {
                    assert!(!alert.accesses.is_empty());
                    assert!(self.live.insert(alert.incident.clone()), "opened twice: {alert:#?}");
                }
                AlertKind::Updated => {
                    assert!(!alert.accesses.is_empty());
                    assert!(self.live.contains(&alert.incident), "updated before opened");
                    self.over.remove(&alert.incident);
                }
                AlertKind::Resolved => {
                    assert!(alert.accesses.is_empty());
                    match &alert.merged_into {
                        Some(into) => {
                            assert!(self.live.remove(&alert.incident));
                            self.over.remove(&alert.incident);
                            self.merged.insert(alert.incident.clone());
                            assert_ne!(*into, alert.incident);
                        }
                        None => assert!(self.over.insert(alert.incident.clone()), "resolved twice"),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// One step of a story.
#[derive(Clone, Debug)]
enum Step {
    /// These accesses (by number) arrive in one page.
    Page(Vec<usize>),
    /// The clock moves on, and the ledger is told.
    Tick(i64),
    /// The process ends and begins anew.
    Restart,
}

fn steps(accesses: usize) -> impl Strategy<Value = Vec<Step>> {
    let shuffled = Just((0..accesses).collect::<Vec<_>>()).prop_shuffle();
    let extra = prop::collection::vec(0..accesses, 0..20);
    let cuts = prop::collection::vec((1usize..12, 0..3u8, 0i64..2000), 1..60);
    (shuffled, extra, cuts).prop_map(|(mut order, extra, cuts)| {
        for (place, repeated) in extra.into_iter().enumerate() {
            order.insert((place * 7) % order.len(), repeated);
        }
        let mut order = order.into_iter();
        let mut steps = Vec::new();
        for (size, what, secs) in cuts {
            steps.push(Step::Page(order.by_ref().take(size).collect()));
            match what {
                0 => steps.push(Step::Tick(secs)),
                1 => steps.push(Step::Restart),
                _ => {}
            }
        }
        steps.push(Step::Page(order.collect()));
        steps
    })
}

fn rules() -> impl Strategy<Value = Rule> {
    let statistic = prop_oneof![
        3 => Just(Statistic::Sum),
        1 => Just(Statistic::Distinct(GroupKey::Secret)),
    ];
    let group_by = prop_oneof![
        Just(vec![]),
        Just(vec![GroupKey::Secret]),
        Just(vec![GroupKey::Principal]),
        Just(vec![GroupKey::Principal, GroupKey::Secret]),
    ];
    (statistic, group_by, 1u64..6, 1i64..120, 0i64..300, 0i64..2000).prop_map(
        |(statistic, group_by, threshold, window, hold, update_every)| Rule {
            statistic,
            group_by,
            threshold,
            window,
            hold,
            update_every,
            ..rule("r")
        },
    )
}

fn step(events: &[&str], statistic: Statistic, threshold: u64) -> detect::Step {
    let events = events.iter().map(|&event| event.to_owned()).collect();
    detect::Step { condition: Condition { events, ..Condition::default() }, statistic, threshold }
}

/// Sequences over what [`busy_accesses`] makes: with steps that share accesses, with one that counts distinct values, and
/// with three.
fn sequences() -> impl Strategy<Value = Rule> {
    let steps = (1u64..3, 1u64..3, 1u64..3, 0..4u8).prop_map(|(a, b, c, kind)| match kind {
        0 => vec![step(&["A"], Statistic::Sum, a), step(&["B"], Statistic::Sum, b)],
        1 => vec![step(&["A", "B"], Statistic::Sum, a), step(&["B", "C"], Statistic::Sum, b)],
        2 => vec![step(&["A"], Statistic::Sum, a), step(&["B"], Statistic::Distinct(GroupKey::Secret), b)],
        _ => vec![step(&["A"], Statistic::Sum, a), step(&["B"], Statistic::Sum, b), step(&["C"], Statistic::Sum, c)],
    });
    let group_by = prop_oneof![Just(vec![]), Just(vec![GroupKey::Principal])];
    (steps, group_by, 1i64..40, 0i64..60, 0i64..2000).prop_map(|(steps, group_by, window, hold, update_every)| Rule {
        condition: Condition::default(),
        steps,
        group_by,
        window,
        hold,
        update_every,
        ..rule("r")
    })
}

/// Accesses of three kinds, a few of them in one second.
fn busy_accesses() -> impl Strategy<Value = Vec<Access>> {
    prop::collection::vec((0i64..150, 0..3u8, 0..2u8, 0..4usize), 1..24).prop_map(|all| {
        let one = |(i, (at, secret, principal, event)): (usize, (i64, u8, u8, usize))| {
            let mut one = access(&format!("e{i}"), START + at, &format!("s{secret}"), &format!("p{principal}"));
            one.event = ["A", "B", "C", "D"][event].to_owned();
            one
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    prop::collection::vec((0i64..1800, 0..3u8, 0..3u8, any::<bool>()), 1..80).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(i, (at, secret, principal, has_secret))| {
                let mut one = access(&format!("e{i}"), START + at, &format!("s{secret}"), &format!("p{principal}"));
                if !has_secret && secret == 0 {
                    one.secret = None;
                }
                one
            })
            .collect()
    })
}

/// Plays `steps` against a ledger and returns what was told in the end, with the last word still to come.
fn play(rule: &Rule, accesses: &[Access], steps: &[Step]) -> (Ledger, Told, WallTime, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut now = EventTime(START + 1800).wall();
    let mut ledger = Ledger::open(dir.path(), settings(vec![rule.clone()]), now).unwrap();
    let mut told = Told::default();
    for step in steps {
        match step {
            Step::Page(page) => {
                let page = page.iter().map(|&i| accesses[i].clone()).collect();
                ledger.take(page, now).unwrap();
            }
            Step::Tick(secs) => {
                now = now.plus(Duration::from_secs(u64::try_from(*secs).unwrap()));
                ledger.tick(now, false).unwrap();
                told.hear(&drain(&mut ledger, now));
            }
            Step::Restart => {
                drop(ledger);
                ledger = Ledger::open(dir.path(), settings(vec![rule.clone()]), now).unwrap();
            }
        }
    }
    (ledger, told, now, dir)
}

proptest! {
    #![proptest_config(crate::cases(48))]

    #[test]
    fn every_order_tells_of_the_same_accesses(
        (rule, accesses, steps) in prop_oneof![
            2 => (rules(), accesses()),
            1 => (sequences(), busy_accesses()),
        ].prop_flat_map(|(rule, accesses)| {
            let steps = steps(accesses.len());
            (Just(rule), Just(accesses), steps)
        })
    ) {
        let (mut ledger, mut told, now, _dir) = play(&rule, &accesses, &steps);

        // Everything has been read, and long enough ago: what is open is told and over.
        let end = now.plus(Duration::from_secs(86_400));
        ledger.read_through(&source(), end, end).unwrap();
        let mut coverage = ledger.sources()[&source()].coverage[EVENT_SOURCE].clone();
        coverage.read(Span { from: coverage.since(), to: end.second() }, end);
        ledger.cover(&source(), EVENT_SOURCE, coverage).unwrap();
        ledger.tick(end, false).unwrap();
        told.hear(&drain(&mut ledger, end));

        prop_assert_eq!(&told.covered, &naive(&rule, &accesses));
        prop_assert_eq!(told.live.len(), naive_incidents(&rule, &accesses));
        prop_assert_eq!(told.live, told.over);
    }
}
