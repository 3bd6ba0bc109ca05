//! A replay of Event history: every account and Region of the configuration, as far back as was asked for.
//!
//! Sources are read beside each other, each at its share of its own quota, which is slow: fifty events a request. What has
//! been read is kept in memory and replayed at the end, as if it had come from files. The first Ctrl-C ends the reading
//! and not the replay: pages come newest first, so what has come is the newest part, without a hole.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::found::Found;
use super::progress::HistoryBar;
use super::{Read, exit};
use crate::aws::{Aws, Source};
use crate::cli::exit::Exit;
use crate::cli::run::{runtime, stop_on_signals};
use crate::config::Config;
use crate::daemon::{Fatal, History, HistoryPage, Unfinished};
use crate::detect::Trouble;
use crate::model::{EventTime, Span, WallClock, WallTime, count};
use crate::trail::SourceId;

/// What was read of one source.
struct OfSource {
    id: SourceId,
    found: Found,
    events: u64,
    /// Of which event source not everything was read, from where on it was, and why not before.
    unfinished: Option<(String, EventTime, Unfinished)>,
}

/// What every source is asked.
#[derive(Clone)]
struct Question {
    configs: Arc<[Config]>,
    event_sources: Vec<String>,
    span: Span,
    requests_per_second: f64,
    stop: CancellationToken,
    bar: Arc<HistoryBar>,
}

/// Reads what the first of `configs` names, for the rules of all.
pub(super) fn read_history(configs: &Arc<[Config]>, event_sources: Vec<String>, back: Duration) -> Result<Read, Exit> {
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    runtime.block_on(async {
        let now = WallTime::now();
        let span = Span { from: now.minus(back).second(), to: now.second() };
        let poll = &configs[0].poll;
        let sources = Aws::load().await.sources(&configs[0].accounts).await;
        let sources = sources.map_err(|error| exit::fatal(&Fatal::Aws(error)))?;
        let readings = sources.len() * event_sources.len();
        let question = Question {
            configs: configs.clone(),
            event_sources,
            span,
            requests_per_second: poll.requests_per_second,
            stop,
            bar: Arc::new(HistoryBar::new(span.seconds().unsigned_abs() * readings as u64)),
        };
        let mut tasks = JoinSet::new();
        for (place, source) in sources.into_iter().enumerate() {
            let question = question.clone();
            tasks.spawn(async move { (place, question.ask(source).await) });
        }
        let mut read = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            read.push(ended.map_err(|error| exit::fatal(&Fatal::Task(error)))?);
        }
        // In the order of the configuration, whichever was through first.
        read.sort_by_key(|(place, _)| *place);
        drop(question);
        Ok(put_together(read.into_iter().map(|(_, of_source)| of_source), span))
    })
}

impl Question {
    async fn ask(self, source: Source) -> OfSource {
        // Without an answer, own calls count like anybody's.
        let identity = source.identity().await.ok();
        let mut history = History::new(source, self.requests_per_second, WallClock::machine());
        let id = history.id().clone();
        let mut of_source = OfSource { id: id.clone(), found: Found::default(), events: 0, unfinished: None };
        for event_source in &self.event_sources {
            let mut from = self.span.to.plus(1);
            let told = &mut |page: HistoryPage| {
                let before = from;
                from = page.covered.map_or(self.span.to.plus(1), |covered| covered.from);
                self.bar.page(page.items.len(), before.0 - from.0);
                of_source.events += page.items.len() as u64;
                for item in page.items {
                    let name = item.event_id.as_deref().unwrap_or("of unknown id");
                    let place = || format!("{id}, event {name}");
                    let is_own = |access: &_| identity.as_ref().is_some_and(|identity| identity.is_own(access));
                    match &item.record {
                        Some(json) => of_source.found.take(&self.configs, json, &is_own, &place),
                        None => of_source.found.nonsense(&place, "it came without its record (CloudTrailEvent)"),
                    }
                }
            };
            let ended = history.read(event_source, self.span, &self.stop, told).await;
            if let Err(why) = ended {
                // One that is stopped or denied will not do better with the next.
                of_source.unfinished = Some((event_source.clone(), from, why));
                break;
            }
        }
        of_source
    }
}

/// Merges the sources, and says of which not everything was read.
fn put_together(read: impl Iterator<Item = OfSource>, span: Span) -> Read {
    let (mut found, mut sources, mut events, mut complete) = (Found::default(), 0, 0, true);
    found.reaches(span);
    for of_source in read {
        let OfSource { id, unfinished, .. } = &of_source;
        if let Some((event_source, from, why)) = unfinished {
            complete = false;
            found.unlearnt = true;
            tell_unfinished(id, event_source, (*from <= span.to).then_some(*from), why);
        }
        sources += 1;
        events += of_source.events;
        found.merge(of_source.found);
    }
    let Span { from, to } = span;
    let what = format!("{}, {from} to {to}; {}", count(sources, "source"), count(events, "event"));
    Read { found, what, notes: Vec::new(), complete }
}

fn tell_unfinished(id: &SourceId, event_source: &str, from: Option<EventTime>, why: &Unfinished) {
    let read = from.map_or("nothing was read".to_owned(), |from| format!("read back to {from} and no farther"));
    match why {
        Unfinished::Stopped => eprintln!("secretwatch: {id}: {event_source}: {read}: stopped"),
        Unfinished::Failed(trouble) => {
            eprintln!("secretwatch: {id}: {event_source}: {read}: {trouble}");
            Trouble::advice(trouble).iter().for_each(|advice| eprintln!("  {advice}"));
        }
    }
}
