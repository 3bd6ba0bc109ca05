//! Walks the tree and makes a [`Config`]: the top level, `[poll]`, `[[account]]`, `[heartbeat]`, `[status]`, and what
//! must be right between them. Rules, the allow-list and notifiers have files of their own.
//!
//! Readers go on after a complaint, with the default or without the thing in question; if there was any complaint, what
//! they made is thrown away.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::allow::{AllowRead, allowances};
use super::digest::digest;
use super::doubts::{Whole, doubts};
use super::duration::brief;
use super::keys::{ACCOUNT, HEARTBEAT, POLL, ROOT, STATUS};
use super::load::Environment;
use super::notifiers::{Notifiers, notifiers};
use super::problem::{Complaints, Origin, Problems, shown};
use super::rules::{Around, QUARTER_HOUR, RuleRead, rules};
use super::secrets::{URL_KEYS, one_of, secret, url};
use super::table::{Item, Table};
use super::tree::{overlay, parse};
use super::{Account, Cadence, Config, Heartbeat, Poll, Status, schedule};

/// LookupEvents knows nothing older.
pub(super) const HISTORY: Duration = days(90);

/// Anything that [`Item::duration`] takes.
pub(super) const ENDLESS: Duration = Duration::MAX;

/// AWS answers no more than this for each account and Region.
const QUOTA: f64 = 2.0;

/// Slower than this, and a page takes longer than any window.
const SLOWEST: f64 = 0.001;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

pub(super) const fn days(count: u64) -> Duration {
    hours(count * 24)
}

/// Makes settings of `text`, with the variables of `env` laid over it, or says all that is wrong with it. `file_name`
/// is what the text is called in problems.
///
/// Reads files only where the text names some that hold a URL or a secret; their paths are taken as they are.
pub fn check(text: &str, file_name: &str, env: &Environment) -> Result<Config, Problems> {
    let complaints = Complaints::default();
    // Where the text is no TOML, an empty tree stands in for it, of which there is nothing to complain.
    let entries = match parse(text, &complaints) {
        Some(mut entries) => {
            overlay(&mut entries, env, &complaints);
            entries
        }
        None => Vec::new(),
    };
    let config = root(&Table::new(&ROOT, "", entries, &complaints), env, &complaints);
    complaints.verdict(file_name, text).map(|warnings| Config { warnings, ..config })
}

fn root(table: &Table<'_>, env: &Environment, complaints: &Complaints) -> Config {
    table.refuse_the_rest();
    let state_dir = table.read("state_dir", Item::filled).map(PathBuf::from);
    let Notifiers { names, made } = notifiers(table, env);
    let poll_table = table.section("poll", &POLL);
    let poll = poll(&poll_table, env);
    let accounts = accounts(table);
    let rules = rules(table, Around { notifiers: &names, poll: &poll });
    let allowances = allowances(table, &rules);
    long_enough(&poll, &poll_table, &rules, &allowances);
    doubts(&Whole {
        poll: &poll,
        poll_table: &poll_table,
        accounts: &accounts,
        rules: &rules,
        allowances: &allowances,
        now: env.now().second(),
    });
    let status = status(table);
    let digest = digest(table, &made, &names, poll.retention, env);
    Config {
        state_dir: state_dir.unwrap_or_else(|| default_state_dir(env, complaints)),
        poll,
        accounts,
        rules: rules.into_iter().map(|read| read.rule).collect(),
        allowances: allowances.into_iter().map(|read| read.allowance).collect(),
        notifiers: made,
        digest,
        heartbeat: heartbeat(table, env),
        status,
        warnings: Vec::new(),
    }
}

/// What systemd made for us, else the place where Linux programs keep such things.
fn default_state_dir(env: &Environment, complaints: &Complaints) -> PathBuf {
    const VARIABLE: &str = "STATE_DIRECTORY";
    const DEFAULT: &str = "/var/lib/secretwatch";
    let Some(given) = env.filled(VARIABLE) else { return PathBuf::from(DEFAULT) };
    match given.to_str() {
        // Several directories are separated by colons; the first is the one named first in the unit.
        Some(list) => PathBuf::from(list.split(':').find(|path| !path.is_empty()).unwrap_or(DEFAULT)),
        None => {
            complaints.add(&Origin::Variable(VARIABLE.to_owned()), "state_dir", "not UTF-8");
            PathBuf::from(DEFAULT)
        }
    }
}

/// `[poll]`.
pub(super) fn poll(table: &Table<'_>, env: &Environment) -> Poll {
    table.refuse_the_rest();
    let second = Duration::from_secs(1);
    let read = |key, least, most| table.read(key, |item| item.whole_seconds(least, most));
    Poll {
        cadence: cadence(table, env),
        lateness: read("lateness", Duration::ZERO, HISTORY).unwrap_or(minutes(15)),
        backfill: read("backfill", Duration::ZERO, HISTORY).unwrap_or(hours(1)),
        requests_per_second: table.read("requests_per_second", |item| item.number(SLOWEST, QUOTA)).unwrap_or(1.0),
        recheck: read("recheck", Duration::ZERO, HISTORY).unwrap_or(hours(24)),
        stale_after: table.read("stale_after", |item| item.duration(second, ENDLESS)).unwrap_or(minutes(15)),
        event_sources: event_sources(table).unwrap_or_else(|| vec!["secretsmanager.amazonaws.com".to_owned()]),
        retention: read("retention", second, ENDLESS).unwrap_or(days(30)),
        inventory: table.read("inventory", Item::boolean).unwrap_or(true),
        narrow_when_behind: table.read("narrow_when_behind", Item::boolean).unwrap_or(false),
    }
}

fn cadence(table: &Table<'_>, env: &Environment) -> Cadence {
    let interval = table.item("interval");
    let Some(schedule) = table.item("schedule") else {
        let every = interval.and_then(|item| item.duration(Duration::from_secs(1), ENDLESS));
        return Cadence::Every(every.unwrap_or(minutes(1)));
    };
    if interval.is_some() {
        schedule.wrong("not together with poll.interval; remove one of them");
    }
    let text = schedule.text().unwrap_or_default().trim().to_owned();
    if let Some(complaint) = schedule::complaint(&text, env.now()) {
        schedule.wrong(complaint);
    }
    Cadence::Cron(text)
}

fn event_sources(table: &Table<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str = "an event source such as \"secretsmanager.amazonaws.com\"";
    let right = |text: &str| {
        text.contains('.') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
    };
    let item = table.item("event_sources")?;
    let sources = item.set("event sources", |item| item.text_like(EXPECTED, right))?;
    if item.is_empty_list() {
        item.wrong("must not be empty: nothing would be read");
    }
    Some(sources)
}

/// What is kept must reach back as far as anything that is still counted.
fn long_enough(poll: &Poll, table: &Table<'_>, rules: &[RuleRead<'_>], allowances: &[AllowRead<'_>]) {
    let retention = table.item("retention");
    // A retention that cannot be read is wrong already, and nothing can be measured by it.
    let is_read = |item: &Item<'_>| item.whole_seconds(Duration::ZERO, ENDLESS).is_some();
    if !retention.as_ref().is_none_or(is_read) {
        return;
    }
    let advice = if retention.is_some() { "raise it" } else { "set poll.retention" };
    let kept = brief(poll.retention);
    if poll.backfill > poll.retention
        && let Some(at) = retention.clone().or_else(|| table.item("backfill"))
    {
        at.wrong(format!("poll.retention is {kept}, less than poll.backfill, {}; {advice}", brief(poll.backfill)));
    }
    let Some((reach, whose, item)) = farthest(rules, allowances) else { return };
    let needed = poll.recheck.saturating_add(Duration::from_secs(u64::try_from(reach).unwrap_or(0)));
    if needed > poll.retention
        && let Some(at) = retention.or(item).or_else(|| table.item("recheck"))
    {
        at.wrong(format!(
            "poll.retention is {kept}, less than {}, which poll.recheck with window and hold of {whose} come to; \
             {advice}",
            brief(needed),
        ));
    }
}

/// What reaches farthest back: by how many seconds, what it is, and where that is said.
fn farthest<'a>(rules: &[RuleRead<'a>], allowances: &[AllowRead<'a>]) -> Option<(i64, String, Option<Item<'a>>)> {
    let rules =
        rules.iter().map(|read| (read.rule.reach(), format!("the rule {}", shown(&read.rule.name)), read.reach_item()));
    let allowances = allowances.iter().filter_map(|read| {
        let reach = read.allowance.at_most?.window.saturating_add(QUARTER_HOUR);
        Some((reach, format!("the allowance {}", shown(&read.allowance.name)), read.table.item("at_most")))
    });
    rules.chain(allowances).max_by_key(|(reach, ..)| *reach)
}

fn accounts(root: &Table<'_>) -> Vec<Account> {
    let mut accounts = Vec::new();
    let mut names = BTreeSet::new();
    let mut sources = BTreeSet::new();
    for table in root.tables("account", &ACCOUNT) {
        let account = account(&table, &mut sources);
        if !names.insert(account.name.clone()) {
            let text = format!("another account is called {} already; give each its own name", shown(&account.name));
            match table.item("name") {
                Some(item) => item.wrong(text),
                None => table.wrong("name", text),
            }
        }
        accounts.push(account);
    }
    if accounts.is_empty() {
        accounts.push(Account { name: OWN.to_owned(), role_arn: None, external_id: None, regions: Vec::new() });
    }
    accounts
}

/// What the caller's own account is called.
const OWN: &str = "self";

fn account(table: &Table<'_>, sources: &mut BTreeSet<(String, String)>) -> Account {
    const ROLE: &str = "a role's ARN such as \"arn:aws:iam::111122223333:role/secretwatch\"";
    table.refuse_the_rest();
    let assumes = table.item("role_arn").is_some();
    let role_arn = table.read("role_arn", |item| item.text_like(ROLE, |text| role_account(text).is_some()));
    let id = match role_arn.as_deref().and_then(role_account) {
        Some(id) => id.to_owned(),
        // Which account is meant by a wrong ARN, nobody knows; it is compared with no other.
        None if assumes => table.path().to_owned(),
        None => OWN.to_owned(),
    };
    let external_id = table.item("external_id");
    if !assumes && let Some(item) = &external_id {
        item.wrong("has no effect without role_arn; set that, or remove this");
    }
    Account {
        name: table.read("name", Item::line).unwrap_or_else(|| id.clone()),
        external_id: external_id.and_then(|item| item.filled()),
        regions: regions(table, &id, sources),
        role_arn,
    }
}

/// The Regions of one account; each pair of account and Region is one source, and may be there once.
fn regions(table: &Table<'_>, id: &str, sources: &mut BTreeSet<(String, String)>) -> Vec<String> {
    let Some(item) = table.item("regions") else {
        if !sources.insert((id.to_owned(), String::new())) {
            table.wrong("regions", "missing; another [[account]] reads this account in the default Region already");
        }
        return Vec::new();
    };
    if item.is_empty_list() {
        item.wrong("must not be empty; without the key it is the Region of AWS_REGION or the profile");
    }
    let region = |item: &Item<'_>| {
        let region = item.text_like("a Region such as \"us-east-2\"", is_region)?;
        if !sources.contains(&(id.to_owned(), region.clone())) {
            return Some(region);
        }
        item.wrong(format!("another [[account]] reads {region} of this account already; remove one of them"));
        None
    };
    let regions = item.set("Regions", region).unwrap_or_default();
    sources.extend(regions.iter().map(|region| (id.to_owned(), region.clone())));
    regions
}

/// The account id in the ARN of a role; none: it is no such ARN.
fn role_account(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let (prefix, partition, service, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let name = resource.strip_prefix("role/")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&b);
    let right = prefix == "arn"
        && is_partition(partition)
        && (service, region) == ("iam", "")
        && is_account(account)
        && !name.is_empty()
        && !name.ends_with('/')
        && name.bytes().all(allowed);
    right.then_some(account)
}

/// `aws`, `aws-cn`, `aws-us-gov` and whatever comes.
pub(super) fn is_partition(text: &str) -> bool {
    text.starts_with("aws") && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// Twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Words of small letters and a number, with hyphens between: the list of Regions grows.
pub(super) fn is_region(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match text.rsplit_once('-') {
        Some((words, number)) => {
            words.contains('-')
                && words.split('-').all(word)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

/// Without a table there is nobody to tell; a table that names nobody is half of what somebody meant to write.
fn heartbeat(root: &Table<'_>, env: &Environment) -> Option<Heartbeat> {
    let second = Duration::from_secs(1);
    let table = root.item("heartbeat")?.table(&HEARTBEAT)?;
    table.refuse_the_rest();
    // Whoever waits for pings must be able to tell soon that there are none.
    let every = table.read("every", |item| item.duration(second, days(1))).unwrap_or(minutes(1));
    let timeout = table.read("timeout", |item| item.duration(Duration::from_millis(1), minutes(1)));
    let Some((key, item)) = one_of(&table, &URL_KEYS) else {
        table.wrong(
            "url",
            "missing; set url, url_env (a variable that holds it) or url_file (a file that holds it), or remove \
             [heartbeat]",
        );
        return None;
    };
    let url = url(&item, secret(key, &item, env)?.trim(), "https://ping.example.com/…")?;
    Some(Heartbeat { url, every, timeout: timeout.unwrap_or(second * 10) })
}

/// Where the status page listens, unless told otherwise.
const LISTEN: &str = "127.0.0.1:9474";

/// None: it is turned off, or wrong.
fn status(root: &Table<'_>) -> Option<Status> {
    let table = root.section("status", &STATUS);
    table.refuse_the_rest();
    let token = table.item("token_file").and_then(|item| secret("token_file", &item, &Environment::default()));
    let listen = match table.item("listen") {
        None => LISTEN.to_owned(),
        Some(item) => item.text()?,
    };
    if listen.is_empty() {
        return None;
    }
    let Ok(address) = listen.parse::<SocketAddr>() else {
        if let Some(item) = table.item("listen") {
            item.wrong(format!("not an address with a port; expected one such as \"{LISTEN}\", or \"\" for none"));
        }
        return None;
    };
    if !address.ip().is_loopback() && table.item("token_file").is_none() {
        if let Some(item) = table.item("listen") {
            item.wrong("an address that is not loopback needs token_file: who reads which secret is nobody's business");
        }
        return None;
    }
    Some(Status { listen: address, token: token.map(|token| token.trim().to_owned()) })
}
