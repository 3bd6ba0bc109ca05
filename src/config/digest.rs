//! `[digest]`: a report that is sent by the calendar.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::{ENDLESS, days};
use super::keys::DIGEST;
use super::load::Environment;
use super::rules::notify;
use super::table::{Item, Table};
use super::{Digest, Notifier, SnsFormat, Target, WebhookFormat, brief, schedule};

/// The shortest time that a report can be about.
const LEAST: Duration = Duration::from_secs(60);

/// Without a table there is none. `retention` is how long accesses are kept.
pub(super) fn digest(
    root: &Table<'_>,
    notifiers: &BTreeMap<String, Notifier>,
    names: &[String],
    retention: Duration,
    env: &Environment,
) -> Option<Digest> {
    let table = root.item("digest")?.table(&DIGEST)?;
    table.refuse_the_rest();
    let since = table.read("since", |item| item.whole_seconds(LEAST, ENDLESS)).unwrap_or(days(7));
    if since > retention {
        let kept = brief(retention);
        table.warn("since", format!("accesses are kept for {kept} (poll.retention), so it is about no more than that"));
    }
    let listed = table.item("notify");
    let chosen = listed.as_ref().and_then(|item| notify(item, names));
    let notify = match (listed, chosen) {
        (Some(item), Some(chosen)) => {
            chosen.iter().filter_map(|name| notifiers.get(name)).for_each(|it| refuse_alarms(&item, it));
            chosen
        }
        // None named: everybody whom it would not wake.
        _ => notifiers.values().filter(|it| alarm(&it.target).is_none()).map(|it| it.name.clone()).collect(),
    };
    let item = table.required("schedule", "say when, such as \"0 0 8 * * MON\" for Mondays at eight (UTC)")?;
    let schedule = item.text()?.trim().to_owned();
    if let Some(complaint) = schedule::complaint(&schedule, env.now()) {
        item.wrong(complaint);
    }
    Some(Digest { schedule, since, notify })
}

fn refuse_alarms(item: &Item<'_>, notifier: &Notifier) {
    if let Some(format) = alarm(&notifier.target) {
        let name = &notifier.name;
        item.wrong(format!("{name:?} has the format {format:?}, which would make an alarm of a digest; name another"));
    }
}

/// The word for a format that is for alarms only, if `target` has one.
fn alarm(target: &Target) -> Option<&'static str> {
    match target {
        Target::Sns { format: SnsFormat::CloudWatchAlarm, .. } => Some("cloudwatch-alarm"),
        Target::Webhook(webhook) => match &webhook.format {
            format @ (WebhookFormat::PagerDuty(_) | WebhookFormat::Alertmanager) => Some(format.word()),
            _ => None,
        },
        Target::Sns { .. } | Target::Stdout => None,
    }
}
