//! `first_seen` of a rule: what has not been seen before.

use std::time::Duration;

use super::Poll;
use super::check::{HISTORY, days};
use super::duration::brief;
use super::keys::FIRST_SEEN;
use super::rules::{group_key, seconds};
use super::table::{Item, Table};
use crate::detect::{FirstSeen, GroupKey, Rule};

/// How long a combination is remembered, and how much of the past must be known, where a rule does not say.
const MEMORY: Duration = days(30);
const LEARN: Duration = days(7);

/// The window where a rule does not say: for this long, every access with a new combination is told of.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Makes `rule` one of news: `table` is its own, and `item` what it says of it.
pub(super) fn first_seen(rule: &mut Rule, table: &Table<'_>, item: &Item<'_>, poll: &Poll) -> Option<()> {
    let news = item.table(&FIRST_SEEN)?;
    news.refuse_the_rest();
    let of = of(&news).unwrap_or_default();
    let memory = news.read("memory", |item| seconds(item, 1)).unwrap_or(whole(MEMORY));
    let learn = news.read("learn", |item| seconds(item, 0)).unwrap_or(whole(LEARN));
    let seed = news.read("seed", |item| seed(item, poll)).unwrap_or(memory.min(whole(HISTORY.min(poll.retention))));
    if table.item("window").is_none() {
        rule.window = whole(WINDOW.max(poll.lateness));
    }
    rule.group_by.clone_from(&of);
    long_enough(rule.window, memory, table, &news, poll);
    rule.first_seen = Some(FirstSeen { of, memory, learn, seed });
    Some(())
}

fn of(table: &Table<'_>) -> Option<Vec<GroupKey>> {
    let item =
        table.required("of", "name the keys whose values together are new, such as [\"principal\", \"secret\"]")?;
    if item.is_empty_list() {
        item.wrong("must not be empty: nothing would be new");
    }
    item.set("keys", group_key)
}

/// What is older than the Event history cannot be read, and what is older than the retention is not.
fn seed(item: &Item<'_>, poll: &Poll) -> Option<i64> {
    let seed = item.whole_seconds(Duration::ZERO, HISTORY)?;
    if seed > poll.retention {
        item.wrong(format!("more than poll.retention, {}: nothing older is read", brief(poll.retention)));
        return None;
    }
    Some(whole(seed))
}

fn long_enough(window: i64, memory: i64, table: &Table<'_>, news: &Table<'_>, poll: &Poll) {
    if window < whole(poll.lateness)
        && let Some(item) = table.item("window")
    {
        item.warn(format!(
            "less than poll.lateness, {}: what happened before an access may show up that long after it, too late to \
             say that it is nothing new",
            brief(poll.lateness)
        ));
    }
    if memory > whole(poll.retention)
        && let Some(item) = news.item("memory")
    {
        item.warn(format!(
            "more than poll.retention, {}: what a new rule remembers reaches back no farther than that at first",
            brief(poll.retention)
        ));
    }
    if memory < window.saturating_mul(2) {
        let text = format!("first_seen.memory must be at least twice as long as the window, {}", brief_of(window));
        match news.item("memory").or_else(|| table.item("window")) {
            Some(item) => item.wrong(text),
            None => news.wrong("memory", text),
        }
    }
}

fn whole(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn brief_of(secs: i64) -> String {
    brief(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}
