//! The story that `secretwatch demo` tells: an ordinary day, and then somebody helps himself.
//!
//! [`story`] is a pure and endless sequence of what happens when; [`play`] lets it happen in an account, by the
//! account's clock. Every actor takes turns: it does something and says when it wants to be asked again. The ordinary
//! ones stay far below ten reads a minute and never touch the [`CANARY`], so whatever is reported is the attack.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::callers::Caller;
use super::records::Record;
use crate::model::WallTime;

/// The secret that nobody has any business with.
pub const CANARY: &str = "prod/canary/root-credentials";

/// How many secrets the attacker reads, and within which time.
pub const ATTACK_READS: u64 = 20;
/// See [`ATTACK_READS`].
pub const ATTACK_TAKES: Duration = Duration::from_secs(4);

/// Applications: role, secret, seconds between two reads.
const APPLICATIONS: [(&str, &str, u64); 5] = [
    ("apps/checkout", "prod/checkout/postgres", 25),
    ("apps/payments", "prod/payments/stripe-key", 35),
    ("apps/reports", "prod/reports/warehouse", 50),
    ("apps/mailer", "prod/mailer/smtp", 60),
    ("apps/search", "prod/search/opensearch", 80),
];

/// What the build pipeline deploys with.
const PIPELINE: [&str; 3] = ["ci/registry-token", "ci/signing-key", "staging/checkout/postgres"];

/// Read by nobody on an ordinary day.
const QUIET: [&str; 11] = [
    "prod/ledger/postgres",
    "prod/ledger/hsm-pin",
    "prod/identity/jwt-key",
    "prod/identity/ldap-bind",
    "prod/partners/sftp",
    "prod/partners/api-key",
    "prod/backup/passphrase",
    "prod/vpn/preshared-key",
    "prod/monitoring/pager-token",
    "prod/legacy/oracle",
    CANARY,
];

/// Every secret of the story: just as many as the attacker reads, and one more for the person in the console.
#[must_use]
pub fn secrets() -> Vec<&'static str> {
    let applications = APPLICATIONS.iter().map(|(_, secret, _)| *secret);
    applications.chain(PIPELINE).chain(QUIET).chain(["staging/search/opensearch"]).collect()
}

/// Everything that happens in `account`, by how long after the beginning; the attack begins after `quiet`.
#[must_use]
pub fn story(account: &str, seed: u64, quiet: Duration) -> Story {
    let mut story =
        Story { account: account.to_owned(), rng: fastrand::Rng::with_seed(seed), due: BTreeMap::new(), planned: 0 };
    for application in 0..APPLICATIONS.len() {
        let first = Duration::from_millis(story.rng.u64(0..30_000));
        story.plan(first, Turn::Take(Actor::Application(application)));
    }
    story.plan(Duration::from_secs(17), Turn::Take(Actor::Pipeline));
    story.plan(Duration::from_secs(40), Turn::Take(Actor::Person));
    story.plan(Duration::from_secs(90), Turn::Take(Actor::Rotation));
    story.plan(quiet, Turn::Take(Actor::Thief));
    story.plan(quiet.saturating_add(Duration::from_secs(180)), Turn::Take(Actor::Prowler));
    story
}

/// Lets a story happen, from `start` on by the account's clock, until `stop`. What lies in the past happens at once.
pub async fn play(account: &Account, story: Story, start: WallTime, stop: CancellationToken) {
    for (offset, record) in story {
        let at = start.plus(offset);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = account.clock().reach(at) => {}
        }
        account.put(&record.at(at.second()));
    }
}

/// The day before the story, sparsely: applications that keep what they have read for a while, more of them at noon than
/// at night, and the small mishaps of any day.
#[must_use]
pub fn day(account: &str, seed: u64, length: Duration) -> Vec<(Duration, Record)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut told = Vec::new();
    for number in 0..APPLICATIONS.len() {
        let mut at = Duration::from_secs(rng.u64(0..1_800));
        while at < length {
            told.push((at, application(account, number, &mut rng)));
            let noon = (std::f64::consts::PI * at.as_secs_f64() / length.as_secs_f64()).sin();
            at += Duration::from_secs_f64(rng.f64().mul_add(800.0, 1_200.0) / (1.0 + 3.0 * noon * noon));
        }
    }
    let contractor = Caller::user(account, "contractor");
    let clumsy = Record::read("prod/ledger/postgres").by(contractor).from("203.0.113.99").denied();
    told.push((length * 2 / 5, clumsy));
    let absent = Record::read("prod/search/opensaerch")
        .failed("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let developer = Caller::role(
        account,
        "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Developer_0123456789abcdef",
        "ada@example.com",
    );
    told.push((length * 3 / 5, absent.by(developer).from("203.0.113.20")));
    told.sort_by_key(|(at, _)| *at);
    told
}

/// One read of an application's own secret.
fn application(account: &str, number: usize, rng: &mut fastrand::Rng) -> Record {
    let (role, secret, _) = APPLICATIONS[number];
    let host = rng.u8(10..14);
    let caller = Caller::role(account, role, &format!("i-0{number}c0ffee{host}"));
    Record::read(secret)
        .by(caller)
        .from(&format!("10.0.{number}.{host}"))
        .through("vpce-0a1b2c3d4e5f60718")
        .user_agent("aws-sdk-java/2.25.60 Linux/6.1 OpenJDK_64-Bit_Server_VM/21.0.3")
}

/// See [`story`]. It never ends.
#[derive(Debug)]
pub struct Story {
    account: String,
    rng: fastrand::Rng,
    /// By time; the number keeps what is planned for the same instant in order.
    due: BTreeMap<(Duration, u64), Turn>,
    planned: u64,
}

#[derive(Debug)]
enum Turn {
    Take(Actor),
    Tell(Box<Record>),
}

#[derive(Clone, Copy, Debug)]
enum Actor {
    /// Reads its own secret now and then.
    Application(usize),
    /// Reads what a deployment needs.
    Pipeline,
    /// Looks around in the console, and now and then at a value.
    Person,
    /// Secrets Manager itself.
    Rotation,
    /// Comes once, with an application's stolen session, and takes everything.
    Thief,
    /// Comes once, without permission.
    Prowler,
}

impl Iterator for Story {
    type Item = (Duration, Record);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let ((at, _), turn) = self.due.pop_first()?;
            match turn {
                Turn::Tell(record) => return Some((at, *record)),
                Turn::Take(actor) => self.take(actor, at),
            }
        }
    }
}

impl Story {
    fn plan(&mut self, at: Duration, turn: Turn) {
        self.planned += 1;
        self.due.insert((at, self.planned), turn);
    }

    fn tell(&mut self, at: Duration, record: Record) {
        self.plan(at, Turn::Tell(Box::new(record)));
    }

    /// Asks `actor` again after `secs`, give or take a third.
    fn again(&mut self, actor: Actor, at: Duration, secs: u64) {
        let wait = Duration::from_millis(self.rng.u64(secs * 667..=secs * 1_333));
        self.plan(at + wait, Turn::Take(actor));
    }

    fn take(&mut self, actor: Actor, at: Duration) {
        match actor {
            Actor::Application(number) => self.application(number, at),
            Actor::Pipeline => self.pipeline(at),
            Actor::Person => self.person(at),
            Actor::Rotation => self.rotation(at),
            Actor::Thief => self.thief(at),
            Actor::Prowler => self.prowler(at),
        }
    }

    fn application(&mut self, number: usize, at: Duration) {
        let record = application(&self.account, number, &mut self.rng);
        self.tell(at, record);
        self.again(Actor::Application(number), at, APPLICATIONS[number].2);
    }

    fn pipeline(&mut self, at: Duration) {
        let run = self.rng.u32(1_000..9_999);
        let caller = Caller::role(&self.account, "ci/deploy", &format!("build-{run}"));
        for (number, secret) in (0..).zip(PIPELINE) {
            let record = Record::read(secret).by(caller.clone()).from("192.0.2.44").user_agent(
                "aws-cli/2.17.32 md/awscrt#0.21.2 ua/2.0 os/linux md/command#secretsmanager.get-secret-value",
            );
            self.tell(at + Duration::from_millis(600 * number), record);
        }
        self.again(Actor::Pipeline, at, 100);
    }

    fn person(&mut self, at: Duration) {
        let role = "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Developer_0123456789abcdef";
        let caller = Caller::role(&self.account, role, "ada@example.com");
        let looks = |record: Record| {
            record.by(caller.clone()).from("203.0.113.20").in_console().user_agent("Mozilla/5.0 (X11; Linux x86_64)")
        };
        let secret = "staging/search/opensearch";
        self.tell(at, looks(Record::new("ListSecrets").parameter("maxResults", json!(100))));
        self.tell(at + Duration::from_secs(3), looks(Record::new("DescribeSecret").secret(secret)));
        if self.rng.bool() {
            self.tell(at + Duration::from_secs(9), looks(Record::read(secret)));
        }
        self.again(Actor::Person, at, 150);
    }

    fn rotation(&mut self, at: Duration) {
        let arn = format!("arn:aws:secretsmanager:us-east-1:{}:secret:prod/search/opensearch-Ab12Cd", self.account);
        self.tell(at, Record::service_event("RotationStarted", &arn));
        self.tell(at + Duration::from_secs(6), Record::service_event("RotationSucceeded", &arn));
        self.again(Actor::Rotation, at, 240);
    }

    fn thief(&mut self, at: Duration) {
        let caller = Caller::role(&self.account, "apps/reports", "i-02c0ffee11");
        let agent = "Boto3/1.34.0 md/Botocore#1.34.0 ua/2.0 os/linux lang/python#3.12.3";
        let steals = |record: Record| record.by(caller.clone()).from("198.51.100.66").user_agent(agent);
        self.tell(at, steals(Record::new("ListSecrets")));
        let begin = at + Duration::from_secs(1);
        for (number, secret) in (0..ATTACK_READS).zip(secrets()) {
            let moment = begin + Duration::from_millis(number * 190);
            self.tell(moment, steals(Record::read(secret)));
        }
    }

    fn prowler(&mut self, at: Duration) {
        let caller = Caller::user(&self.account, "contractor");
        for (number, secret) in (0..).zip(["prod/ledger/postgres", "prod/identity/jwt-key", "prod/vpn/preshared-key"]) {
            let record = Record::read(secret).by(caller.clone()).from("203.0.113.99").denied();
            self.tell(at + Duration::from_secs(4 * number), record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Surroundings;

    const ACCOUNT: &str = "111122223333";
    const QUIET_TIME: Duration = Duration::from_secs(600);

    /// Time, event name, principal and secret of what happens in the first half an hour.
    fn told(seed: u64) -> Vec<(Duration, String, String, String)> {
        let around = Surroundings { account: ACCOUNT, region: "us-east-1", now: WallTime(0), late: Duration::ZERO };
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        story(ACCOUNT, seed, QUIET_TIME)
            .take_while(|(at, _)| *at < Duration::from_secs(1_800))
            .map(|(at, record)| {
                let json = record.json(around, &mut fastrand::Rng::with_seed(0));
                let record: serde_json::Value = serde_json::from_str(&json).unwrap();
                let identity = &record["userIdentity"];
                let who = match &identity["sessionContext"]["sessionIssuer"]["arn"] {
                    serde_json::Value::Null => text(&identity["arn"]),
                    role => text(role),
                };
                (at, text(&record["eventName"]), who, text(&record["requestParameters"]["secretId"]))
            })
            .collect()
    }

    #[test]
    fn it_is_told_in_order_and_the_same_way_for_the_same_seed() {
        let story = told(5);
        assert!(story.is_sorted_by_key(|(at, ..)| *at));
        assert!(story.len() > 100, "{}", story.len());
        assert_eq!(story, told(5));
        assert_ne!(story, told(6));
    }

    #[test]
    fn only_the_thief_reads_ten_secrets_a_minute_or_the_canary() {
        for seed in 0..20 {
            let story = told(seed);
            let theft = QUIET_TIME..QUIET_TIME + Duration::from_secs(6);
            let ordinary: Vec<_> =
                story.iter().filter(|(at, event, ..)| event == "GetSecretValue" && !theft.contains(at)).collect();
            for (at, _, role, secret) in &ordinary {
                let minute = at.saturating_sub(Duration::from_secs(60));
                let reads = ordinary.iter().filter(|(t, _, r, _)| r == role && *t > minute && t <= at).count();
                assert!(reads <= 6, "{role} read {reads} secrets in the minute to {at:?} with seed {seed}");
                assert_ne!(secret, CANARY);
            }
        }
    }

    #[test]
    fn the_day_before_is_ordered_and_ordinary() {
        let length = Duration::from_secs(86_400);
        let day = day(ACCOUNT, 3, length);
        assert!(day.is_sorted_by_key(|(at, _)| *at) && day.iter().all(|(at, _)| *at < length));
        assert!((350..700).contains(&day.len()), "{}", day.len());
        let within =
            |hours: std::ops::Range<u64>| day.iter().filter(|(at, _)| hours.contains(&(at.as_secs() / 3_600))).count();
        assert!(within(11..13) > 2 * within(0..2), "{} and {}", within(11..13), within(0..2));
    }

    #[test]
    fn the_thief_reads_twenty_secrets_in_four_seconds() {
        let all = told(1);
        let stolen: Vec<_> = all
            .iter()
            .filter(|(at, event, who, _)| {
                let late = *at >= QUIET_TIME && *at < QUIET_TIME + Duration::from_secs(6);
                late && event == "GetSecretValue" && who.ends_with("role/apps/reports")
            })
            .collect();
        let mut secrets: Vec<_> = stolen.iter().map(|(.., secret)| secret.as_str()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        assert!(secrets.len() == 20 && secrets.contains(&CANARY));
        assert!(stolen[stolen.len() - 1].0 - stolen[0].0 <= ATTACK_TAKES);
    }
}
