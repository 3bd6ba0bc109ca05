//! Why somebody was told, or why not, as the ledger explains it: every way in which an access can miss an alert, every
//! place where an alert can be, and that what is said is what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use secretwatch::detect::{
    Allowance, AtMost, Condition, FirstSeen, Globs, GroupKey, Pattern, Rule, Statistic, Step, Trouble,
};
use secretwatch::model::{Access, Alert, EventTime, Outcome, Severity, Span, Unreadable, WallTime};
use secretwatch::store::{
    Basis, Explanation, Finding, IncidentState, Kept, Ledger, LedgerSettings, Next, Objection, Recipient, Ruling,
    Settlement, Standing, StoreError, Version,
};
use secretwatch::trail::SourceId;

use crate::promise::{EVENT_SOURCE, START, access, drain, rule, settings, source};

fn now() -> WallTime {
    EventTime(START + 1800).wall()
}

fn later(secs: u64) -> WallTime {
    now().plus(Duration::from_secs(secs))
}

fn globs(text: &str) -> Globs {
    Globs::new(&[text.to_owned()]).unwrap()
}

/// The access that most tests ask about: a read of `s` by `p`.
fn read() -> Access {
    access("e", START, "s", "p")
}

fn three_reads() -> Vec<Access> {
    vec![read(), access("e2", START + 5, "s", "p"), access("e3", START + 9, "s", "p")]
}

fn allowance(name: &str) -> Allowance {
    Allowance {
        name: name.to_owned(),
        owner: "ops".to_owned(),
        reason: "backups".to_owned(),
        until: None,
        condition: Condition::default(),
        rules: Vec::new(),
        at_most: None,
    }
}

fn first_seen() -> FirstSeen {
    FirstSeen { of: vec![GroupKey::Principal, GroupKey::Secret], memory: 86_400, learn: 0, seed: 0 }
}

fn explain(ledger: &Ledger, id: &str) -> Explanation {
    let explanation = ledger.explain(id, later(60)).unwrap();
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation, "{json}");
    explanation
}

/// What the only rule makes of the event `e`, once all of `accesses` were taken in.
fn ruling(settings: LedgerSettings, accesses: Vec<Access>) -> Ruling {
    let mut ledger = Ledger::in_memory(settings, now()).unwrap();
    ledger.take(accesses, now()).unwrap();
    explain(&ledger, "e").rules.remove(0)
}

#[track_caller]
fn says(settings: LedgerSettings, accesses: Vec<Access>, expected: &str) {
    let ruling = ruling(settings, accesses);
    assert!(ruling.summary.starts_with(expected), "{}\n{ruling:#?}", ruling.summary);
}

#[test]
fn each_key_that_speaks_against_it_is_named() {
    let conditions = |change: &dyn Fn(&mut Condition)| {
        let mut rule = rule("r");
        change(&mut rule.condition);
        settings(vec![rule])
    };
    let tags = |value: Option<&str>| BTreeMap::from([("env".to_owned(), value.map(str::to_owned))]);
    let mut tagged = read();
    tagged.secret.as_mut().unwrap().tags = Some(tags(Some("test")));
    let mut recorded = read();
    recorded.record = Some(r#"{"eventName":"GetSecretValue"}"#.into());
    let arn = "arn:aws:iam::111122223333:user/p";
    let prod = BTreeMap::from([("env".to_owned(), globs("prod"))]);
    let pattern = r#"{ $.eventName = "PutSecretValue" }"#;
    for (change, access, expected) in [
        (
            &(|it: &mut Condition| it.events = vec!["PutSecretValue".to_owned()]) as &dyn Fn(&mut Condition),
            read(),
            "events is GetSecretValue, wanted PutSecretValue".to_owned(),
        ),
        (&|it| it.outcome = Some(Outcome::Denied), read(), "outcome is success, wanted denied".to_owned()),
        (&|it| it.secrets = globs("prod/*"), read(), "secrets is s, wanted prod/*".to_owned()),
        (&|it| it.secret_tags = prod.clone(), tagged, "secret_tags is env = test, wanted env = prod".to_owned()),
        (&|it| it.principals = globs("*/q"), read(), format!("principals is {arn}, wanted */q")),
        (&|it| it.exclude_principals = globs("*/p"), read(), format!("exclude_principals is {arn}, wanted not */p")),
        (
            &|it| it.pattern = Some(Pattern::parse(pattern).unwrap()),
            recorded,
            "the pattern does not match ($.eventName = \"PutSecretValue\": does not hold, \"GetSecretValue\")"
                .to_owned(),
        ),
    ] {
        says(conditions(change), vec![access], &format!("not counted: {expected}"));
    }
    let both = conditions(&|it| (it.outcome, it.secrets) = (Some(Outcome::Denied), globs("x")));
    let ruling = ruling(both, vec![read()]);
    assert!(ruling.summary.ends_with("outcome is success, wanted denied; secrets is s, wanted x"), "{ruling:#?}");
    let holds: Vec<_> = ruling.demands.iter().map(|demand| (demand.key.as_str(), demand.holds)).collect();
    assert_eq!(holds, [("events", true), ("outcome", false), ("secrets", false)]);
    assert!(ruling.window.is_none() && ruling.group.is_none() && !ruling.counted);
}

#[test]
fn every_other_way_not_to_count_is_named() {
    let own = Access { own: true, ..read() };
    let nobody = Access { source_ip: None, ..read() };
    let by_address = Rule { statistic: Statistic::Distinct(GroupKey::SourceIp), ..rule("r") };
    let denied = Condition { outcome: Some(Outcome::Denied), ..Condition::default() };
    let step = Step { condition: denied, statistic: Statistic::Sum, threshold: 1 };
    let sequence = Rule { steps: vec![step], ..rule("r") };
    let early = LedgerSettings { backfill: Duration::from_secs(60), ..settings(vec![rule("r")]) };
    let until = Some(EventTime(START + 1));
    let allowed =
        LedgerSettings { allowances: vec![Allowance { until, ..allowance("a") }], ..settings(vec![rule("r")]) };
    for (settings, access, expected, objection) in [
        (settings(vec![rule("r")]), own, "it is the daemon's own inventory call".to_owned(), Objection::Own),
        (early, read(), format!("it happened before {}", EventTime(START + 1740)), Objection::TooEarly),
        (
            settings(vec![by_address]),
            nobody,
            "it has no address, which is what is counted".to_owned(),
            Objection::NoValue,
        ),
        (settings(vec![sequence]), read(), "it is a part of no step".to_owned(), Objection::Steps),
        (
            allowed,
            read(),
            format!("the entry a of the allow-list allows it until {} (ops: backups)", EventTime(START + 1)),
            Objection::Allowed,
        ),
    ] {
        says(settings.clone(), vec![access.clone()], &format!("not counted: {expected}"));
        assert_eq!(ruling(settings, vec![access]).objection, Some(objection));
    }
}

#[test]
fn an_entry_that_has_run_out_is_shown_and_allows_nothing() {
    let entries = vec![
        Allowance { until: Some(EventTime(START)), ..allowance("over") },
        Allowance { rules: vec!["other".to_owned()], ..allowance("of another") },
    ];
    let ruling = ruling(LedgerSettings { allowances: entries, ..settings(vec![rule("r")]) }, vec![read()]);
    assert!(ruling.counted && ruling.objection.is_none());
    let shown: Vec<_> = ruling.allowances.iter().map(|entry| (entry.name.as_str(), entry.valid)).collect();
    assert_eq!(shown, [("over", false)]);
}

#[test]
fn what_an_entry_of_the_allow_list_takes_is_counted_by_the_rule_that_watches_it() {
    let at_most = Some(AtMost { accesses: 1, window: 3600 });
    let watched =
        LedgerSettings { allowances: vec![Allowance { at_most, ..allowance("a") }], ..settings(vec![rule("r")]) };
    let mut ledger = Ledger::in_memory(watched.clone(), now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    let rules = explain(&ledger, "e").rules;
    assert_eq!(rules[0].objection, Some(Objection::Allowed));
    assert_eq!((rules[1].rule.as_str(), rules[1].counted), ("allow/a", true));
    assert_eq!(rules[1].summary, "counted: 1 of 2 accesses in 1 hour, which is not enough");

    let denied = Access { event: "DescribeSecret".to_owned(), ..read() };
    let mut ledger = Ledger::in_memory(watched, now()).unwrap();
    ledger.take(vec![denied], now()).unwrap();
    assert_eq!(explain(&ledger, "e").rules[1].objection, Some(Objection::NotAllowed));
}

#[test]
fn what_the_allow_list_says_now_does_not_hide_what_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let plain = settings(vec![Rule { threshold: 5, ..rule("r") }]);
    let allowed = LedgerSettings { allowances: vec![allowance("a")], ..plain.clone() };
    let mut ledger = Ledger::open(folder.path(), plain.clone(), now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    drop(ledger);
    let mut ledger = Ledger::open(folder.path(), allowed, now()).unwrap();
    ledger.take(vec![access("e2", START + 1, "s", "p")], now()).unwrap();
    let ruling = explain(&ledger, "e").rules.remove(0);
    assert!(ruling.counted && ruling.objection == Some(Objection::Allowed));
    let differs = "which is not enough; as it is configured now it would not be counted: the entry a of";
    assert!(ruling.summary.contains(differs), "{}", ruling.summary);
    drop(ledger);

    let ledger = Ledger::open(folder.path(), plain, now()).unwrap();
    let ruling = explain(&ledger, "e2").rules.remove(0);
    assert!(!ruling.counted && ruling.objection.is_none());
    assert!(ruling.summary.contains("not counted when it was read, though it would be now"), "{}", ruling.summary);
}

#[test]
fn news_is_explained_by_what_was_seen_before() {
    let new = |first_seen: FirstSeen| settings(vec![Rule { first_seen: Some(first_seen), ..rule("r") }]);
    let before = access("b", START - 600, "s", "p");
    let ruling_of = |settings: LedgerSettings, accesses: Vec<Access>| {
        let ruling = ruling(settings, accesses);
        (ruling.objection, ruling.first_seen.clone().unwrap(), ruling)
    };

    let (objection, news, _) = ruling_of(new(first_seen()), vec![read()]);
    assert!(objection.is_none() && news.news && news.seen.is_empty());

    let (objection, news, ruling) = ruling_of(new(first_seen()), vec![before, read()]);
    assert_eq!(objection, Some(Objection::NotNews));
    assert_eq!(news.seen_before.map(|span| span.from), Some(EventTime(START - 600)));
    let expected = format!("secret s is not new: it was seen from {} on", EventTime(START - 600));
    assert!(ruling.summary.contains(&expected), "{}", ruling.summary);

    let (objection, news, ruling) = ruling_of(new(FirstSeen { learn: 86_400, ..first_seen() }), vec![read()]);
    assert_eq!((objection, news.news), (Some(Objection::NotLearnt), false));
    let from = news.learnt_from.unwrap();
    assert_eq!(from, news.known_since.unwrap().plus(86_400));
    assert!(ruling.summary.contains(&format!("is told from {from} on")), "{}", ruling.summary);

    let (objection, news, ruling) = ruling_of(new(FirstSeen { seed: 7 * 86_400, ..first_seen() }), vec![read()]);
    assert_eq!((objection, news.known_since), (Some(Objection::NotLearnt), None));
    assert!(ruling.summary.contains("the past of its source is still being read"), "{}", ruling.summary);

    let nameless = Access { secret: None, ..read() };
    let (objection, _, ruling) = ruling_of(new(first_seen()), vec![nameless]);
    assert_eq!(objection, Some(Objection::NoCombination));
    assert!(ruling.summary.contains("it has no secret, and cannot be new without"), "{}", ruling.summary);
}

#[test]
fn below_the_threshold_the_closest_window_says_how_far_it_came() {
    let five = Rule { threshold: 5, ..rule("r") };
    says(settings(vec![five.clone()]), three_reads(), "counted: 3 of 5 accesses in 1 minute, which is not enough");
    let window = ruling(settings(vec![five]), three_reads()).window.unwrap();
    assert_eq!((window.value, window.accesses, window.crosses), (3, 3, false));
    assert_eq!((window.first, window.last, window.span.to), (EventTime(START), EventTime(START + 9), window.last));
    let listed: Vec<_> = window.listed.iter().map(|it| (it.event_id.as_str(), it.this)).collect();
    assert_eq!(listed, [("e", true), ("e2", false), ("e3", false)]);

    let distinct =
        Rule { statistic: Statistic::Distinct(GroupKey::Secret), threshold: 3, group_by: Vec::new(), ..rule("r") };
    let accesses = vec![read(), access("e2", START + 5, "t", "p"), access("e3", START + 70, "u", "p")];
    says(settings(vec![distinct]), accesses, "counted: 2 of 3 different secrets in 1 minute, which is not enough");
}

#[test]
fn a_long_list_is_cut_around_the_access() {
    let many = Rule { threshold: 1000, window: 200, ..rule("r") };
    let accesses = |this: usize| {
        let of = |place: usize| access(&format!("o{place}"), START + place as i64, "s", "p");
        let mut accesses: Vec<Access> = (0..100).map(of).collect();
        accesses[this].event_id = "e".to_owned();
        accesses
    };
    for (this, first) in [(0, 0), (5, 0), (50, 40), (99, 80)] {
        let window = ruling(settings(vec![many.clone()]), accesses(this)).window.unwrap();
        assert_eq!((window.accesses, window.listed.len()), (100, 20), "{this}");
        assert_eq!(window.listed.iter().filter(|it| it.this).count(), 1, "{this}");
        assert_eq!(window.listed[0].time, EventTime(START + first), "{this}");
    }
}

#[test]
fn a_sequence_says_how_far_its_steps_got() {
    let step = |outcome: Outcome, threshold: u64| Step {
        condition: Condition { outcome: Some(outcome), ..Condition::default() },
        statistic: Statistic::Sum,
        threshold,
    };
    let sequence = Rule { steps: vec![step(Outcome::Denied, 2), step(Outcome::Success, 1)], ..rule("r") };
    let denied = |id: &str, at: i64| Access { outcome: Outcome::Denied, ..access(id, START + at, "s", "p") };
    let steps = |accesses: Vec<Access>| {
        let ruling = ruling(settings(vec![sequence.clone()]), accesses);
        let steps: Vec<_> = ruling.steps.iter().map(|it| (it.part, it.value.unwrap(), it.taken.unwrap())).collect();
        (ruling.summary, steps)
    };
    let (summary, taken) = steps(vec![denied("a", -2), read()]);
    assert_eq!(summary, "counted: 0 of 2 steps in 1 minute, which is not enough");
    assert_eq!(taken, [(false, 1, false), (true, 1, false)]);
    let (summary, taken) = steps(vec![denied("e", 0), denied("a", 1), access("late", START + 60, "s", "p")]);
    assert_eq!(summary, "counted: 1 of 2 steps in 1 minute, which is not enough");
    assert_eq!(taken, [(true, 2, true), (false, 0, false)]);
    let (summary, taken) = steps(vec![denied("a", -2), denied("b", -1), read()]);
    assert!(summary.starts_with("alerted: alert "), "{summary}");
    assert_eq!(taken, [(false, 2, true), (true, 1, true)]);
}

/// A ledger of rule `r` that has taken in a read, and the alert about it.
fn alerted(recipients: &[(&str, Severity)]) -> (Ledger, Alert) {
    let rule = Rule { notify: vec!["all".to_owned(), "chat".to_owned()], ..rule("r") };
    let recipient = |(name, min_severity): &(&str, Severity)| Recipient {
        name: (*name).to_owned(),
        min_severity: *min_severity,
        send_resolved: true,
    };
    let recipients = recipients.iter().map(recipient).collect();
    let mut ledger = Ledger::in_memory(LedgerSettings { recipients, ..settings(vec![rule]) }, now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    let Next::Send(delivery) = ledger.next("all", now(), None).unwrap() else { panic!("nothing was queued") };
    (ledger, delivery.alert)
}

#[test]
fn an_alert_says_where_it_stands_with_each_notifier() {
    let all = ("all", Severity::Info);
    let settled = |settlement: Settlement| {
        let (mut ledger, alert) = alerted(&[all]);
        let Next::Send(delivery) = ledger.next("all", now(), None).unwrap() else { panic!("nothing was queued") };
        ledger.settle(&delivery, &settlement).unwrap();
        let explanation = explain(&ledger, "e");
        let sight = explanation.rules[0].alert.clone().unwrap();
        assert_eq!((sight.id.as_str(), sight.accesses), (alert.id.as_str(), 1));
        assert!(
            explanation.headline.starts_with(&format!("Rule r tells of it: alert {}", alert.id)),
            "{explanation:#?}"
        );
        (explanation.rules[0].summary.replace(&alert.id, "A"), sight.notifiers[0].stand.clone())
    };
    let retry = |attempts, parked| Settlement::Retry { at: later(60), attempts, parked, error: "no answer".to_owned() };
    let at = later(60);
    for (settlement, expected) in [
        (Settlement::Accepted { at: later(1) }, format!("alerted: alert A, accepted by all at {}", later(1))),
        (retry(3, false), format!("alerted: alert A, not accepted by all in 3 attempts (no answer), next at {at}")),
        (retry(1, true), format!("alerted: alert A, refused by all (no answer), which is tried again at {at}")),
        (
            Settlement::Dead { at, error: "gone".to_owned() },
            format!("alerted: alert A, given up for all at {at} (gone)"),
        ),
    ] {
        assert_eq!(settled(settlement).0, expected);
    }
    assert!(matches!(settled(Settlement::Accepted { at }).1, Standing::Accepted { attempts: 1, .. }));
    let (ledger, alert) = alerted(&[all]);
    assert_eq!(
        explain(&ledger, "e").rules[0].summary,
        format!("alerted: alert {}, waiting for all since {}", alert.id, now())
    );
}

#[test]
fn who_was_passed_over_is_told_with_the_reason() {
    let (ledger, _) = alerted(&[("all", Severity::Info), ("chat", Severity::High), ("mail", Severity::Info)]);
    let stands = explain(&ledger, "e").rules[0].alert.clone().unwrap().notifiers;
    let of = |name: &str| stands.iter().find(|it| it.notifier == name).unwrap().stand.clone();
    assert!(matches!(of("all"), Standing::Waiting { attempts: 0, parked: false, behind: None, .. }));
    assert_eq!(of("chat"), Standing::TooMild { min_severity: Severity::High });
    assert_eq!(of("mail"), Standing::NotNamed);
    let to_nobody = LedgerSettings { recipients: Vec::new(), ..settings(vec![rule("r")]) };
    says(to_nobody, vec![read()], "alerted: alert ");
}

#[test]
fn an_alert_waits_behind_an_earlier_one_of_its_incident() {
    let (mut ledger, first) = alerted(&[("all", Severity::Info)]);
    ledger.take(vec![access("e2", START + 5, "s", "p")], now()).unwrap();
    let due = explain(&ledger, "e2").rules.remove(0);
    assert_eq!((due.alert, due.update_due), (None, Some(later(900))));
    assert!(due.summary.contains("whose next update"), "{}", due.summary);
    ledger.tick(later(900), true).unwrap();
    let alert = explain(&ledger, "e2").rules.remove(0).alert.unwrap();
    let Standing::Waiting { behind, .. } = &alert.notifiers[0].stand else { panic!("{alert:#?}") };
    assert_eq!(behind.as_ref(), Some(&first.id));
}

#[test]
fn an_alert_of_an_incident_that_went_on_in_another_is_found() {
    let mut ledger = Ledger::in_memory(settings(vec![Rule { hold: 60, ..rule("r") }]), now()).unwrap();
    ledger.take(vec![access("old", START, "s", "p")], now()).unwrap();
    ledger.take(vec![access("e", START + 200, "s", "p")], later(1)).unwrap();
    let apart = explain(&ledger, "e").rules.remove(0);
    ledger.take(vec![access("between", START + 100, "s", "p")], later(2)).unwrap();
    let joined = explain(&ledger, "e").rules.remove(0);
    let old = explain(&ledger, "old").rules.remove(0);
    assert_eq!(joined.alert, apart.alert);
    assert_eq!(
        joined.incident.as_ref().map(|it| (&it.id, it.state, it.accesses)),
        Some((&old.incident.unwrap().id, IncidentState::Open, 3))
    );
}

#[test]
fn an_earlier_version_of_a_rule_has_told_what_it_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), settings(vec![rule("r")]), now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    let told = drain(&mut ledger, now());
    drop(ledger);
    let other = |by: GroupKey| settings(vec![Rule { threshold: 9, group_by: vec![by], ..rule("r") }]);
    for (by, renamed) in [(GroupKey::Secret, false), (GroupKey::Region, false), (GroupKey::Region, true)] {
        let mut changed = other(by);
        if renamed {
            changed.rules[0].name = "new".to_owned();
        }
        let ledger = Ledger::open(folder.path(), changed, now()).unwrap();
        let explanation = explain(&ledger, "e");
        let [present, former] = &explanation.rules[..] else { panic!("{explanation:#?}") };
        assert_eq!(present.summary, "counted: 1 of 9 accesses in 1 minute, which is not enough");
        assert_eq!((former.rule.as_str(), &former.version), ("r", &Version::Former));
        assert_eq!(former.alert.as_ref().unwrap().id, told[0].id);
        assert!(explanation.headline.starts_with("Rule r tells of it: alert "), "{}", explanation.headline);
        drop(ledger);
    }
}

#[test]
fn copies_and_updates_lead_to_the_access_that_counts() {
    let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
    let update = Access { event_id: "u".to_owned(), updates: Some("e".to_owned()), ..read() };
    ledger.take(vec![read()], now()).unwrap();
    ledger.take(vec![update], now()).unwrap();
    let Finding::Access(known) = explain(&ledger, "u").finding else { panic!() };
    assert_eq!((known.counts_as.as_str(), known.access.event_id.as_str()), ("e", "u"));
    assert_eq!(known.others.iter().map(|it| it.event_id.as_str()).collect::<Vec<_>>(), ["e"]);
    let explanation = explain(&ledger, "e");
    let Finding::Copy(copied) = &explanation.finding else { panic!("{explanation:#?}") };
    assert_eq!(copied.copy.as_ref().unwrap().event_id, "e");
    assert_eq!(copied.counted.as_ref().unwrap().access.event_id, "u");
    assert!(explanation.headline.starts_with("Event e is a further record of event u. Rule r tells of it"));
    assert_eq!(explain(&ledger, "u").rules[0].alert, explanation.rules[0].alert, "told as e, which u has replaced");
}

#[test]
fn an_access_that_a_better_record_moved_is_found_where_it_was_told() {
    let two = Rule { threshold: 2, group_by: vec![GroupKey::Principal], ..rule("r") };
    let mut ledger = Ledger::in_memory(settings(vec![two]), now()).unwrap();
    ledger.take(vec![read(), access("e2", START, "s", "p")], now()).unwrap();
    let told = drain(&mut ledger, now()).remove(0);
    let principal = access("x", START, "s", "other").principal;
    let update = Access { event_id: "u".to_owned(), updates: Some("e".to_owned()), principal, ..read() };
    ledger.take(vec![update], now()).unwrap();
    for id in ["e", "u", "e2"] {
        let ruling = explain(&ledger, id).rules.remove(0);
        assert!(ruling.told_before && !ruling.window.as_ref().unwrap().crosses, "{id}: {ruling:#?}");
        assert_eq!(ruling.alert.unwrap().id, told.id, "{id}");
    }
}

#[test]
fn a_copy_whose_owner_is_read_too_waits_for_the_owners_record() {
    let owner = "444455556666";
    let both = [owner, "111122223333"].map(|id| SourceId { account: id.to_owned(), region: source().region });
    let mut ledger =
        Ledger::in_memory(LedgerSettings { sources: both.to_vec(), ..settings(vec![rule("r")]) }, now()).unwrap();
    let mut copy = Access { shared_event_id: Some("shared".to_owned()), ..read() };
    copy.secret.as_mut().unwrap().account = owner.to_owned();
    ledger.take(vec![copy.clone()], now()).unwrap();
    let explanation = explain(&ledger, "e");
    assert!(explanation.headline.contains("account's own record has not been read yet, so nobody was told"));
    assert!(explanation.rules.is_empty() && explanation.is_known());

    ledger.take(vec![Access { event_id: "o".to_owned(), account: owner.to_owned(), ..copy }], now()).unwrap();
    for (id, begin) in [
        ("e", "Event e is a further record of event o. Rule r tells"),
        ("o", "Rule r tells"),
        ("shared", "shared is how other records name the access of event o. Rule r tells"),
    ] {
        let headline = explain(&ledger, id).headline;
        assert!(headline.starts_with(begin), "{id}: {headline}");
    }
}

#[test]
fn how_it_was_read_is_said() {
    let known = |access: Access| {
        let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
        ledger.take(vec![access], now()).unwrap();
        let Finding::Access(known) = explain(&ledger, "e").finding else { panic!("not known") };
        (known.late_seconds, known.later_than_lateness, known.record)
    };
    let seen = |secs| Access { seen: EventTime(START + secs).wall(), ..read() };
    assert_eq!(known(seen(240)), (240, false, Kept::No));
    assert_eq!(known(Access { record: Some("{}".into()), ..seen(900) }), (900, false, Kept::Yes));
    assert_eq!(known(Access { oversize: true, ..seen(901) }), (901, true, Kept::Oversize));
}

#[test]
fn a_record_that_made_no_sense_is_told_from_one_that_never_came() {
    let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
    let what = |id: Option<&str>| Unreadable { event_id: id.map(str::to_owned), reason: "no time".to_owned() };
    ledger.keep_unreadable(&what(Some("e")), "{\"eventID\":\"e\"}", now()).unwrap();
    ledger.keep_unreadable(&what(None), "{}", now()).unwrap();
    let explanation = explain(&ledger, "e");
    assert!(matches!(&explanation.finding, Finding::Unreadable(unread) if unread.reason == "no time"));
    assert!(explanation.headline.contains("made no sense (no time)") && explanation.is_known());
    let Finding::Nothing(watched) = explain(&ledger, "other").finding else { panic!() };
    assert_eq!(watched.nameless, 1);
}

#[test]
fn of_an_unknown_event_it_says_what_was_read_at_all() {
    let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
    let mut coverage = ledger.sources()[&source()].coverage[EVENT_SOURCE].clone();
    let span = |from: i64, to: i64| Span { from: EventTime(START + from), to: EventTime(START + to) };
    coverage.read(span(-1800, 100), now());
    coverage.read(span(200, 1800), now());
    ledger.cover(&source(), EVENT_SOURCE, coverage).unwrap();
    ledger.not_read_through(&source(), Trouble::Denied("no".to_owned()));
    let explanation = explain(&ledger, "e");
    assert!(!explanation.is_known() && explanation.rules.is_empty());
    assert_eq!(explanation.headline, "Event e is not known here: no record with this id has been read.");
    let Finding::Nothing(watched) = explanation.finding else { panic!() };
    let sight = &watched.sources[0];
    assert!(sight.trouble.as_ref().unwrap().contains("does not allow the lookup"));
    let feed = &sight.feeds[0];
    assert_eq!((feed.event_source.as_str(), feed.since), (EVENT_SOURCE, EventTime(START - 1800)));
    assert_eq!((feed.read_to, feed.settled_to), (Some(EventTime(START + 1800)), Some(EventTime(START + 100))));
    assert_eq!(feed.gaps, [span(101, 199)]);
}

#[test]
fn no_text_is_taken_for_an_id_that_was_never_one() {
    let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    ledger.keep_unreadable(&Unreadable { event_id: None, reason: "x".to_owned() }, "{}", now()).unwrap();
    for id in ["", "\u{1}", "\u{1}12345678", "e\0", "E", "e ", "\n", "'; --", "🔑", &"e".repeat(100_000)] {
        let explanation = explain(&ledger, id);
        assert!(!explanation.is_known(), "{id:?}");
        assert!(explanation.event_id.chars().count() <= 256 && !explanation.headline.contains('\n'));
    }
}

#[test]
fn odd_ids_are_found_in_alerts() {
    for id in ["a\"b", "back\\slash", "ü", "x y", &"i".repeat(256)] {
        let mut ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
        ledger.take(vec![access(id, START, "s", "p"), access("b\"", START, "s", "p")], now()).unwrap();
        assert!(explain(&ledger, id).rules[0].alert.is_some(), "{id}");
    }
}

#[test]
fn an_event_source_that_is_not_read_is_the_reason() {
    let ledger = Ledger::in_memory(settings(vec![rule("r")]), now()).unwrap();
    let foreign = Access { event_source: "kms.amazonaws.com".to_owned(), ..read() };
    let explanation = ledger.explain_ignored(foreign, now()).unwrap();
    assert_eq!(explanation.rules[0].summary, "not counted: its event source is not read");
    assert!(explanation.headline.contains("kms.amazonaws.com, which is not among the event sources"));
}

#[test]
fn of_files_nothing_is_said_to_have_been_sent() {
    let (ledger, alert) = alerted(&[("all", Severity::Info), ("chat", Severity::Critical)]);
    let explanation = explain(&ledger, "e").of_files();
    assert_eq!(explanation.basis, Basis::Files);
    assert_eq!(explanation.rules[0].summary, format!("would alert: alert {}, for all", alert.id));
    assert_eq!(explanation.rules[0].alert.as_ref().unwrap().notifiers[0].stand, Standing::Meant);
}

/// Every file below `folder`, with what is in it.
fn files(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn a_look_at_a_store_changes_nothing_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), settings(vec![rule("r"), rule("gone")]), now()).unwrap();
    ledger.take(vec![read()], now()).unwrap();
    ledger.sync().unwrap();
    let held = Ledger::view(folder.path(), settings(vec![rule("r")]), now());
    assert!(matches!(held, Err(StoreError::Locked(_))), "{held:?}");
    drop(ledger);

    // sled lets go of its files in the background, and writes a last time as it does.
    drop(Ledger::view(folder.path(), settings(vec![rule("r")]), now()).unwrap());
    let before = files(folder.path());
    let new = Rule { threshold: 9, ..rule("new") };
    let view = Ledger::view(folder.path(), settings(vec![rule("r"), new]), now()).unwrap();
    let explanation = view.ledger().explain("e", now()).unwrap();
    let said: Vec<_> = explanation.rules.iter().map(|it| (it.rule.as_str(), it.version.clone())).collect();
    let Version::Active { from, activated } = said[0].1 else { panic!("{said:?}") };
    assert_eq!((from, activated), (EventTime(START - 1800), Some(now())));
    assert_eq!(&said[1..], [("new", Version::Waiting), ("gone", Version::Former)]);
    let waits = "not active yet, since nothing was started with this configuration; it would count it";
    assert_eq!(explanation.rules[1].summary, waits);
    assert!(explanation.rules[2].alert.is_some());
    assert_eq!(view.ledger().open_incidents().len(), 2);
    drop(view);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn there_is_nothing_to_look_at_where_nothing_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let view = Ledger::view(folder.path(), settings(vec![rule("r")]), now());
    assert!(matches!(view, Err(StoreError::Missing(_))), "{view:?}");
    assert!(files(folder.path()).is_empty());
}

/// Rules of different kinds over the same accesses.
fn rules() -> Vec<Rule> {
    let step = |secret: &str, threshold: u64| Step {
        condition: Condition { secrets: globs(secret), ..Condition::default() },
        statistic: Statistic::Sum,
        threshold,
    };
    let base = Rule { window: 20, hold: 30, ..rule("sum") };
    let distinct = Statistic::Distinct(GroupKey::Principal);
    vec![
        Rule { threshold: 3, ..base.clone() },
        Rule { name: "distinct".to_owned(), statistic: distinct, threshold: 2, ..base.clone() },
        Rule {
            name: "steps".to_owned(),
            steps: vec![step("s", 2), step("t", 1)],
            group_by: Vec::new(),
            ..base.clone()
        },
    ]
}

proptest! {
    #![proptest_config(crate::cases(64))]

    /// Whatever comes in whatever order: an access is said to be in that alert which holds it, and in no other; and one
    /// that is in none is in no window that crosses.
    #[test]
    fn what_is_said_of_alerts_is_what_they_hold(
        happened in prop::collection::vec((0..120i64, 0..2usize, 0..2usize), 1..30),
        order in any::<u64>(),
        page in 1..8usize,
    ) {
        let accesses = happened.iter().enumerate().map(|(number, (at, secret, principal))| {
            access(&format!("e{number}"), START + at, ["s", "t"][*secret], ["p", "q"][*principal])
        });
        let mut accesses: Vec<Access> = accesses.collect();
        fastrand::Rng::with_seed(order).shuffle(&mut accesses);
        let mut ledger = Ledger::in_memory(settings(rules()), now()).unwrap();
        let mut alerts = Vec::new();
        for (number, page) in (0..).zip(accesses.chunks(page)) {
            ledger.take(page.to_vec(), later(number)).unwrap();
            alerts.extend(drain(&mut ledger, later(number)));
        }
        ledger.tick(later(3000), true).unwrap();
        alerts.extend(drain(&mut ledger, later(3000)));
        for access in &accesses {
            for ruling in explain(&ledger, &access.event_id).rules {
                let holds = |alert: &&Alert| {
                    alert.rule.name == ruling.rule && alert.accesses.iter().any(|it| it.event_id == access.event_id)
                };
                let holding = alerts.iter().find(holds).map(|alert| &alert.id);
                prop_assert_eq!(ruling.alert.as_ref().map(|alert| &alert.id), holding, "{:#?}", ruling);
                let window = ruling.window.as_ref().unwrap();
                prop_assert_eq!(window.crosses, holding.is_some(), "{:#?}", ruling);
                prop_assert!(ruling.objection.is_none() && ruling.counted);
            }
        }
    }
}
