//! How fast the hot parts are. Figures that were measured, and how, are in `README.md` beside this file.
//!
//! `parse` is what a record costs before anything is known of it, `pattern` what a filter pattern adds; `count` is the way of a page through the ledger,
//! without a disk; `windows` is the arithmetic in it; `durable` has the disk; `outbox` hands alerts over. Nothing here
//! fails for being slow: a busy machine is no defect.

mod traffic;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

fn main() {
    divan::main();
}

mod parse {
    //! From the text that AWS wrote to what it means.

    use secretwatch::demo::{Caller, Record};
    use secretwatch::model::read_record;

    use super::{Bencher, BytesCount, ItemsCount, traffic};

    #[divan::bench]
    fn read(bencher: Bencher<'_, '_>) {
        measure(bencher, &of_a_session());
    }

    /// The secret stands in the message alone.
    #[divan::bench]
    fn denied(bencher: Bencher<'_, '_>) {
        measure(bencher, &of_a_session().denied());
    }

    pub(super) fn of_a_session() -> Record {
        Record::read("arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/orders/database-AbCdEf")
            .by(Caller::role("111122223333", "service-orders", "i-0123456789abcdef0"))
            .user_agent("Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.13.1")
            .through("vpce-0123456789abcdef0")
    }

    fn measure(bencher: Bencher<'_, '_>, record: &Record) {
        let seen = traffic::START.wall();
        let text = traffic::written(record, seen, &mut fastrand::Rng::with_seed(7));
        bencher
            .counter(ItemsCount::new(1_usize))
            .counter(BytesCount::of_str(&text))
            .bench_local(|| read_record(divan::black_box(&text), seen));
    }
}

mod pattern {
    //! One filter pattern on one record of 1.4 KB, which is a read by a session.

    use secretwatch::detect::Pattern;

    use super::{Bencher, BytesCount, ItemsCount, parse, traffic};

    /// What an alarm on a secret has today.
    #[divan::bench]
    fn json(bencher: Bencher<'_, '_>) {
        let by_session = "$.userIdentity.sessionContext.sessionIssuer.userName != \"deploy\"";
        measure(
            bencher,
            &format!("{{ $.eventName = \"GetSecretValue\" && $.errorCode NOT EXISTS && {by_session} }}"),
            true,
        );
    }

    /// Most records fail at the first comparison.
    #[divan::bench]
    fn json_that_fails_at_once(bencher: Bencher<'_, '_>) {
        measure(bencher, "{ $.eventName = \"DeleteSecret\" && $.errorCode NOT EXISTS }", false);
    }

    #[divan::bench]
    fn json_regex(bencher: Bencher<'_, '_>) {
        measure(bencher, r"{ $.userIdentity.arn = %assumed-role/service-[a-z]+/i-[0-9a-f]{8,17}$% }", true);
    }

    /// Each is looked for in the whole record.
    #[divan::bench]
    fn terms(bencher: Bencher<'_, '_>) {
        measure(bencher, "GetSecretValue \"prod/orders\" -AccessDenied", true);
    }

    #[divan::bench]
    fn terms_regex(bencher: Bencher<'_, '_>) {
        measure(bencher, r"%Boto3/1\.[0-9]+% -%Denied|Unauthorized%", true);
    }

    fn measure(bencher: Bencher<'_, '_>, text: &str, expected: bool) {
        let record = traffic::written(&parse::of_a_session(), traffic::START.wall(), &mut fastrand::Rng::with_seed(7));
        let pattern = Pattern::parse(text).expect("a pattern");
        assert_eq!(pattern.matches(&record), expected, "{text} on {record}");
        bencher
            .counter(ItemsCount::new(1_usize))
            .counter(BytesCount::of_str(&record))
            .bench_local(|| pattern.matches(divan::black_box(&record)));
    }
}

mod count {
    //! Pages of 50 into a ledger in memory, as `replay` does it: 5,000 accesses to 200 secrets by 40 roles.

    use std::time::Duration;

    use secretwatch::detect::{GroupKey, Rule, Statistic};
    use secretwatch::model::Access;
    use secretwatch::store::Ledger;

    use super::traffic::{self, PAGE, START, Traffic, every_read};
    use super::{Bencher, ItemsCount};

    const PAGES: usize = 100;
    const STEP: Duration = Duration::from_secs(7);

    #[derive(Clone, Copy, Debug)]
    enum Order {
        Sorted,
        Shuffled,
    }

    const ORDERS: [Order; 2] = [Order::Sorted, Order::Shuffled];

    /// Every read is an alert or part of one.
    #[divan::bench(args = ORDERS, sample_count = 20, sample_size = 1)]
    fn every_read_by_secret(bencher: Bencher<'_, '_>, order: &Order) {
        measure(bencher, *order, &every_read());
    }

    #[divan::bench(args = ORDERS, sample_count = 20, sample_size = 1)]
    fn ten_reads_by_principal(bencher: Bencher<'_, '_>, order: &Order) {
        let rule = Rule { threshold: 10, window: 3_600, group_by: vec![GroupKey::Principal], ..every_read() };
        measure(bencher, *order, &rule);
    }

    #[divan::bench(args = ORDERS, sample_count = 20, sample_size = 1)]
    fn ten_secrets_by_principal(bencher: Bencher<'_, '_>, order: &Order) {
        let statistic = Statistic::Distinct(GroupKey::Secret);
        let rule =
            Rule { statistic, threshold: 10, window: 3_600, group_by: vec![GroupKey::Principal], ..every_read() };
        measure(bencher, *order, &rule);
    }

    fn measure(bencher: Bencher<'_, '_>, order: Order, rule: &Rule) {
        let pages = pages(order);
        // A page read late is no different from one read at once: only `seen` and `decided` are later.
        let now = traffic::read_at(&pages.concat());
        bencher
            .counter(ItemsCount::new(PAGES * PAGE))
            .with_inputs(|| {
                let ledger = Ledger::in_memory(traffic::settings(vec![rule.clone()]), START.wall());
                (ledger.expect("a ledger in memory opens"), pages.clone())
            })
            .bench_local_values(|(mut ledger, pages)| {
                for page in pages {
                    ledger.take(page, now).expect("memory takes a page");
                }
                ledger
            });
    }

    fn pages(order: Order) -> Vec<Vec<Access>> {
        let mut traffic = Traffic::new(STEP, Some(200));
        let mut accesses: Vec<Access> = (0..PAGES).flat_map(|_| traffic.page()).collect();
        if let Order::Shuffled = order {
            fastrand::Rng::with_seed(7).shuffle(&mut accesses);
        }
        accesses.chunks(PAGE).map(<[Access]>::to_vec).collect()
    }
}

mod windows {
    //! One pass over 10,000 entries of a group, 60 of them in a window; and what it takes to insert 100,000 that come in
    //! any order, with 10,000 different values in each window.

    use std::sync::Arc;

    use secretwatch::detect::window::crossings;
    use secretwatch::detect::{Condition, Entry, GroupKey, Rule, Statistic, Step, Touch, judge};
    use secretwatch::model::{EventTime, Span};

    use super::traffic::{START, every_read};
    use super::{Bencher, ItemsCount};

    const ENTRIES: i64 = 10_000;

    #[divan::bench]
    fn sum(bencher: Bencher<'_, '_>) {
        measure(bencher, Statistic::Sum);
    }

    #[divan::bench]
    fn distinct(bencher: Bencher<'_, '_>) {
        measure(bencher, Statistic::Distinct(GroupKey::Secret));
    }

    /// Two steps, each a part of every other entry.
    #[divan::bench]
    fn sequence(bencher: Bencher<'_, '_>) {
        let step = || Step { condition: Condition::default(), statistic: Statistic::Sum, threshold: 3 };
        let rule = Rule { steps: vec![step(), step()], ..every_read() };
        let entries: Vec<Entry> =
            (0..ENTRIES).map(|secs| Entry { steps: 1 << (secs % 2), ..entry(START.plus(secs), 0) }).collect();
        let all = [Span { from: START, to: START.plus(ENTRIES) }];
        bencher
            .counter(ItemsCount::new(entries.len()))
            .bench_local(|| crossings(&rule, divan::black_box(&entries), &all));
    }

    /// All at once, as a replay does it: put in order, and judged.
    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn distinct_inserted_in_any_order(bencher: Bencher<'_, '_>) {
        const INSERTS: i64 = 100_000;
        const VALUES: i64 = 10_000;
        let rule =
            Rule { statistic: Statistic::Distinct(GroupKey::Secret), threshold: 9_000, window: VALUES, ..every_read() };
        let mut shuffled: Vec<Entry> =
            (0..INSERTS).map(|secs| entry(START.plus(secs), (secs % VALUES).cast_unsigned())).collect();
        fastrand::Rng::with_seed(7).shuffle(&mut shuffled);
        let group = rule.group(&super::traffic::Traffic::new(std::time::Duration::from_secs(7), None).page()[0]);
        bencher.counter(ItemsCount::new(shuffled.len())).with_inputs(|| shuffled.clone()).bench_local_values(
            |mut new| {
                new.sort_unstable();
                judge(&rule, &Touch { group: group.clone(), new }, &[], Vec::new(), START.wall())
            },
        );
    }

    fn measure(bencher: Bencher<'_, '_>, statistic: Statistic) {
        let rule = Rule { statistic, threshold: 10, ..every_read() };
        let mut rng = fastrand::Rng::with_seed(7);
        let entries: Vec<Entry> = (0..ENTRIES).map(|secs| entry(START.plus(secs), rng.u64(..200))).collect();
        let all = [Span { from: START, to: START.plus(ENTRIES) }];
        bencher
            .counter(ItemsCount::new(entries.len()))
            .bench_local(|| crossings(&rule, divan::black_box(&entries), &all));
    }

    fn entry(at: EventTime, value: u64) -> Entry {
        Entry { at, id: Arc::from(at.to_string()), value, steps: 0, reported: false }
    }
}

mod durable {
    //! One page of 50 as the daemon commits it: `take`, `cover`, `sync`. The spread is what `footprint` measures.

    use std::time::Duration;

    use secretwatch::detect::Rule;
    use secretwatch::store::Ledger;

    use super::traffic::{self, PAGE, START, Traffic, every_read};
    use super::{Bencher, ItemsCount};

    #[divan::bench(sample_count = 300, sample_size = 1)]
    fn no_incident(bencher: Bencher<'_, '_>) {
        measure(bencher, Rule { threshold: 1_000, ..every_read() });
    }

    #[divan::bench(sample_count = 300, sample_size = 1)]
    fn fifty_incidents(bencher: Bencher<'_, '_>) {
        measure(bencher, every_read());
    }

    fn measure(bencher: Bencher<'_, '_>, rule: Rule) {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to");
        let mut ledger =
            Ledger::open(dir.path(), traffic::settings(vec![rule]), START.wall()).expect("a new store opens");
        let mut traffic = Traffic::new(Duration::from_secs(1), None);
        bencher
            .counter(ItemsCount::new(PAGE))
            .with_inputs(|| traffic.page())
            .bench_local_values(|page| traffic::commit(&mut ledger, page).expect("the disk takes a page"));
    }
}

mod outbox {
    //! A thousand alerts of as many incidents, handed over one by one: `next`, `settle`.

    use std::path::Path;
    use std::time::Duration;

    use secretwatch::model::WallTime;
    use secretwatch::store::{Ledger, Next, Settlement};
    use tempfile::TempDir;

    use super::traffic::{self, PAGE, START, Traffic, every_read};
    use super::{Bencher, ItemsCount};

    const PAGES: usize = 20;

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn in_memory(bencher: Bencher<'_, '_>) {
        let open = || Ledger::in_memory(traffic::settings(vec![every_read()]), START.wall());
        bencher
            .counter(ItemsCount::new(PAGES * PAGE))
            .with_inputs(|| filled(open().expect("memory opens")))
            .bench_local_values(|(ledger, now)| drain(ledger, now, false));
    }

    /// Deliveries that come one at a time pay a flush each; those that come together share one.
    #[divan::bench(args = [false, true], sample_count = 5, sample_size = 1)]
    fn on_disk_flushing_each(bencher: Bencher<'_, '_>, flush: bool) {
        bencher
            .counter(ItemsCount::new(PAGES * PAGE))
            .with_inputs(|| {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to");
                let (ledger, now) = filled(on_disk(dir.path()));
                (dir, ledger, now)
            })
            .bench_local_values(|(dir, ledger, now): (TempDir, Ledger, WallTime)| (drain(ledger, now, flush), dir));
    }

    fn on_disk(dir: &Path) -> Ledger {
        Ledger::open(dir, traffic::settings(vec![every_read()]), START.wall()).expect("a new store opens")
    }

    fn filled(mut ledger: Ledger) -> (Ledger, WallTime) {
        let mut traffic = Traffic::new(Duration::from_secs(1), None);
        let mut now = START.wall();
        for _ in 0..PAGES {
            let page = traffic.page();
            now = traffic::read_at(&page);
            traffic::commit(&mut ledger, page).expect("a page is taken");
        }
        (ledger, now)
    }

    fn drain(mut ledger: Ledger, now: WallTime, flush: bool) -> Ledger {
        while let Next::Send(delivery) = ledger.next("security", now, None).expect("the outbox can be read") {
            ledger.settle(&delivery, &Settlement::Accepted { at: now }).expect("a fate can be kept");
            if flush {
                ledger.sync().expect("the disk takes it");
            }
        }
        ledger
    }
}
