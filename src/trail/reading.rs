//! Turns the pages of one reading into the spans of event time that they cover.
//!
//! LookupEvents serves a span newest first, fifty events at a time. A page therefore covers its span down to the second
//! *after* its oldest event, because more events of that second may stand on the next page; only the last page covers
//! the rest. A [`Reading`] does that sum, page by page, so that each page can be committed together with what it covers.
//!
//! That AWS keeps to descending order is nowhere promised. When a page breaks it, what the reading has covered so far is
//! taken back, and from then on it counts only when complete. A refused token does not end a reading: [`Reading::restart`]
//! gives the part that is left, whose newest second is the one that was being read. What a server can do to keep a
//! reader busy for ever has a limit here, with a name, and ends as [`Stuck`].
//!
//! Pure: no requests, no clock. Telling [`Coverage`](super::Coverage) and the store is the caller's business.

use crate::model::{EventTime, Span, WallTime};

/// The same token this often in a row: the server does not move. Once or twice is legal.
const MAX_SAME_TOKEN: u32 = 5;

/// Pages without an event in a row. Each one legally carries a token, but a scan this long is not coming to an end.
const MAX_EMPTY_PAGES: u32 = 200;

/// Pages in a row that cover nothing: twenty seconds at the full rate of GetSecretValue in one second, or a server that
/// goes round in circles. A reading out of order covers nothing until it is complete, so this bounds that too.
const MAX_IDLE_PAGES: u32 = 4_000;

/// Restarts in a row that cover nothing in between.
const MAX_RESTARTS: u32 = 5;

/// One reading of one span, whose end stays what it was when the reading began.
#[derive(Clone, Debug)]
pub struct Reading {
    /// All that is to be read; smaller after a restart.
    span: Span,
    at: WallTime,
    /// What this reading has covered so far, restarts included.
    covered: Option<Span>,
    /// The oldest event since the start or restart; newer ones must not follow.
    oldest: Option<EventTime>,
    order: Order,
    complete: bool,
    /// The token that was last followed, and how often in a row.
    token: Option<(String, u32)>,
    empty_pages: u32,
    idle_pages: u32,
    restarts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Descending,
    Broken,
}

/// What one page changes about coverage. Forgetting comes first, then covering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Counted as covered by an earlier page of this reading, wrongly, since the order was broken.
    pub forget: Option<Span>,
    /// Every event of these seconds has now been delivered.
    pub cover: Option<Span>,
}

/// Why a reading cannot go on. What it has covered stays covered; the rest is for a later plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The server keeps giving the same token.
    #[error("the same page token came {MAX_SAME_TOKEN} times in a row")]
    SameToken,
    /// The server keeps giving pages without events.
    #[error("{MAX_EMPTY_PAGES} pages in a row were empty but not the last")]
    EmptyPages,
    /// One second, or a reading out of order, does not come to an end.
    #[error("{MAX_IDLE_PAGES} pages in a row finished no second")]
    IdlePages,
}

impl Reading {
    /// A reading of `span` that begins at `at`.
    #[must_use]
    pub fn new(span: Span, at: WallTime) -> Self {
        Self {
            span,
            at,
            covered: None,
            oldest: None,
            order: Order::Descending,
            complete: false,
            token: None,
            empty_pages: 0,
            idle_pages: 0,
            restarts: 0,
        }
    }

    /// What is to be asked for. Stays the same until a restart, as page tokens demand.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// When the reading began: what its coverage counts as.
    #[must_use]
    pub fn at(&self) -> WallTime {
        self.at
    }

    /// Whether the last page has been taken in.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether pages have come in descending order so far.
    #[must_use]
    pub fn is_descending(&self) -> bool {
        self.order == Order::Descending
    }

    /// Whether it has begun a second that it has not come to the end of. Broken off here, it would have to begin that
    /// second again, and one that is crowded enough would never be finished.
    #[must_use]
    pub fn is_amid_a_second(&self) -> bool {
        self.idle_pages > 0
    }

    /// Takes in a page whose events happened at `times`, in the order in which they were served; `last` if no token came
    /// with it.
    pub fn page(&mut self, times: &[EventTime], last: bool) -> Step {
        let mut step = Step::default();
        if self.order == Order::Descending && !self.descends(times) {
            self.order = Order::Broken;
            step.forget = self.covered.take();
        }
        let oldest = times.iter().min().copied();
        self.oldest = oldest.into_iter().chain(self.oldest).min();
        self.complete |= last;
        step.cover = if last { self.rest() } else { self.down_to_the_oldest() };
        if let Some(news) = step.cover {
            let top = self.covered.map_or(news.to, |covered| covered.to);
            self.covered = Some(Span { from: news.from, to: top });
        }
        self.count(times.is_empty(), step.cover.is_some());
        step
    }

    /// Whether the page's token may be followed. To be asked after [`Reading::page`].
    pub fn follow(&mut self, token: &str) -> Result<(), Stuck> {
        let repeats = match self.token.take() {
            Some((held, repeats)) if held == token => repeats + 1,
            _ => 1,
        };
        self.token = Some((token.to_owned(), repeats));
        match () {
            () if repeats >= MAX_SAME_TOKEN => Err(Stuck::SameToken),
            () if self.empty_pages >= MAX_EMPTY_PAGES => Err(Stuck::EmptyPages),
            () if self.idle_pages >= MAX_IDLE_PAGES => Err(Stuck::IdlePages),
            () => Ok(()),
        }
    }

    /// Starts the remaining part again, without a token, and gives it; none if there is nothing left or too many
    /// restarts have led nowhere.
    ///
    /// The part's newest second is the one that was being read: it is paged through again from its top, never skipped.
    pub fn restart(&mut self) -> Option<Span> {
        if self.complete || self.restarts >= MAX_RESTARTS {
            return None;
        }
        self.span = self.rest()?;
        self.restarts += 1;
        self.oldest = None;
        self.token = None;
        self.empty_pages = 0;
        self.idle_pages = 0;
        Some(self.span)
    }

    fn descends(&self, times: &[EventTime]) -> bool {
        self.oldest.iter().chain(times).is_sorted_by(|newer, older| newer >= older)
    }

    /// What this reading has not covered yet.
    fn rest(&self) -> Option<Span> {
        let to = self.covered.map_or(self.span.to, |covered| self.span.to.min(covered.from.minus(1)));
        Span::new(self.span.from, to)
    }

    /// The seconds above the oldest event, which in descending order can get no more events.
    fn down_to_the_oldest(&self) -> Option<Span> {
        let rest = self.rest().filter(|_| self.order == Order::Descending)?;
        Span::new(self.oldest?.plus(1).max(rest.from), rest.to)
    }

    fn count(&mut self, empty: bool, covered: bool) {
        self.empty_pages = if empty { self.empty_pages + 1 } else { 0 };
        self.idle_pages = if covered { 0 } else { self.idle_pages + 1 };
        if covered {
            self.restarts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from: EventTime(from), to: EventTime(to) }
    }

    fn times(list: &[i64]) -> Vec<EventTime> {
        list.iter().copied().map(EventTime).collect()
    }

    fn reading(from: i64, to: i64) -> Reading {
        Reading::new(span(from, to), EventTime(to).wall())
    }

    fn covers(from: i64, to: i64) -> Step {
        Step { cover: Some(span(from, to)), forget: None }
    }

    #[test]
    fn a_page_covers_down_to_the_second_after_its_oldest_event() {
        let mut reading = reading(0, 100);
        assert_eq!(reading.page(&times(&[90, 80, 80]), false), covers(81, 100));
        assert_eq!(reading.page(&times(&[80, 80]), false), Step::default());
        assert_eq!(reading.page(&times(&[]), false), Step::default());
        assert_eq!(reading.page(&times(&[80, 50]), false), covers(51, 80));
        assert_eq!(reading.page(&times(&[50]), true), covers(0, 50));
        assert!(reading.is_complete() && reading.is_descending());
    }

    #[test]
    fn an_empty_span_is_covered_by_one_page() {
        assert_eq!(reading(0, 100).page(&[], true), covers(0, 100));
    }

    #[test]
    fn broken_order_takes_back_what_was_covered_until_complete() {
        let mut reading = reading(0, 100);
        assert_eq!(reading.page(&times(&[90, 80]), false), covers(81, 100));
        assert_eq!(reading.page(&times(&[85, 60]), false), Step { forget: Some(span(81, 100)), cover: None });
        assert_eq!(reading.page(&times(&[50]), false), Step::default());
        assert_eq!(reading.page(&times(&[99]), true), covers(0, 100));
    }

    #[test]
    fn order_broken_on_the_last_page_still_completes() {
        let mut reading = reading(0, 100);
        let _ = reading.page(&times(&[50]), false);
        let step = reading.page(&times(&[70]), true);
        assert_eq!(step, Step { forget: Some(span(51, 100)), cover: Some(span(0, 100)) });
    }

    #[test]
    fn events_outside_the_span_cover_nothing_outside_it() {
        let mut reading = reading(10, 20);
        assert_eq!(reading.page(&times(&[99, 15]), false), covers(16, 20));
        assert_eq!(reading.page(&times(&[3]), false), covers(10, 15));
        assert_eq!(reading.page(&times(&[2]), true), Step::default());
    }

    #[test]
    fn a_restart_pages_through_the_crowded_second_again() {
        let mut reading = reading(0, 100);
        let _ = reading.page(&times(&[90, 80]), false);
        let _ = reading.page(&times(&[80, 80]), false);
        assert_eq!(reading.restart(), Some(span(0, 80)));
        assert_eq!(reading.page(&times(&[80, 80]), false), Step::default());
        assert_eq!(reading.page(&times(&[80, 40]), true), covers(0, 80));
        assert_eq!(reading.restart(), None);
    }

    #[test]
    fn order_broken_after_a_restart_takes_the_upper_part_back_too() {
        let mut reading = reading(0, 100);
        let _ = reading.page(&times(&[80]), false);
        assert_eq!(reading.restart(), Some(span(0, 80)));
        let _ = reading.page(&times(&[60]), false);
        let step = reading.page(&times(&[70]), true);
        assert_eq!(step, Step { forget: Some(span(61, 100)), cover: Some(span(0, 80)) });
    }

    #[test]
    fn restarts_that_lead_nowhere_end() {
        let mut reading = reading(0, 100);
        assert_eq!((0..10).take_while(|_| reading.restart().is_some()).count(), 5);
    }

    #[test]
    fn endless_replies_end() {
        let end = |times: &[EventTime], token: fn(u32) -> String| {
            let mut reading = reading(0, 100);
            (0..10_000).find_map(|page| {
                let _ = reading.page(times, false);
                reading.follow(&token(page)).err()
            })
        };
        assert_eq!(end(&times(&[50]), |_| "same".to_owned()), Some(Stuck::SameToken));
        assert_eq!(end(&[], |page| page.to_string()), Some(Stuck::EmptyPages));
        assert_eq!(end(&times(&[50]), |page| page.to_string()), Some(Stuck::IdlePages));
        assert_eq!(end(&times(&[50, 51]), |page| (page % 2).to_string()), Some(Stuck::IdlePages));
    }

    #[test]
    fn a_token_may_come_twice() {
        let mut reading = reading(0, 100);
        assert_eq!(reading.follow("a").and_then(|()| reading.follow("a")), Ok(()));
    }

    /// A server with the pages of one span, and what a reader has been given.
    fn pages(mut events: Vec<i64>, sizes: &[usize], swap: Option<(usize, usize)>) -> Vec<Vec<EventTime>> {
        events.sort_unstable_by(|one, other| other.cmp(one));
        if let Some((one, other)) = swap.filter(|_| !events.is_empty()) {
            let len = events.len();
            events.swap(one % len, other % len);
        }
        let mut rest = times(&events);
        let mut pages = Vec::new();
        for size in sizes.iter().cycle() {
            let tail = rest.split_off(rest.len().min(*size));
            pages.push(std::mem::replace(&mut rest, tail));
            if rest.is_empty() {
                return pages;
            }
        }
        pages
    }

    proptest! {
        #[test]
        fn no_second_is_claimed_before_all_its_events_came(
            events in prop::collection::vec(0..40i64, 0..60),
            mut sizes in prop::collection::vec(0..7usize, 1..8),
            swap in prop::option::of((0..60usize, 0..60usize)),
        ) {
            sizes.push(1);
            let served = pages(events.clone(), &sizes, swap);
            let mut reading = reading(0, 39);
            let mut claimed = super::super::SpanSet::default();
            let mut given: Vec<EventTime> = Vec::new();
            for (index, page) in served.iter().enumerate() {
                let last = index + 1 == served.len();
                let step = reading.page(page, last);
                given.extend(page);
                step.forget.into_iter().for_each(|span| claimed.remove(span));
                step.cover.into_iter().for_each(|span| claimed.insert(span));
                if given.is_sorted_by(|newer, older| newer >= older) {
                    prop_assert!(reading.is_descending());
                    // Swaps that have not shown themselves yet cannot be known; without one every claim holds.
                    if swap.is_none() {
                        for second in claimed.iter().flat_map(|span| span.from.0..=span.to.0) {
                            let came = given.iter().filter(|at| at.0 == second).count();
                            prop_assert_eq!(came, events.iter().filter(|at| **at == second).count());
                        }
                    }
                } else {
                    prop_assert!(!reading.is_descending());
                    prop_assert!(last || claimed.is_empty());
                }
            }
            prop_assert!(claimed.covers(span(0, 39)) && reading.is_complete());
        }

        #[test]
        fn restarts_lose_nothing(
            events in prop::collection::vec(0..20i64, 0..60),
            size in 1..6usize,
            refusals in prop::collection::vec(0..6usize, 0..5),
        ) {
            let mut reading = reading(0, 19);
            let mut claimed = super::super::SpanSet::default();
            let mut given = [0; 20];
            let mut refusals = refusals.into_iter();
            loop {
                let asked = reading.span();
                let of_span = events.iter().copied().filter(|at| asked.contains(EventTime(*at))).collect();
                let served = pages(of_span, &[size], None);
                let refused_at = refusals.next().filter(|at| *at < served.len());
                given[..=usize::try_from(asked.to.0).unwrap()].fill(0);
                for (index, page) in served.iter().take(refused_at.unwrap_or(usize::MAX)).enumerate() {
                    let step = reading.page(page, index + 1 == served.len());
                    prop_assert_eq!(step.forget, None);
                    step.cover.into_iter().for_each(|span| claimed.insert(span));
                    page.iter().for_each(|at| given[usize::try_from(at.0).unwrap()] += 1);
                    for second in claimed.iter().flat_map(|span| span.from.0..=span.to.0) {
                        let all = events.iter().filter(|at| **at == second).count();
                        // Seconds above the part that is asked for again were complete before.
                        prop_assert!(second > asked.to.0 || given[usize::try_from(second).unwrap()] == all);
                    }
                }
                if reading.is_complete() || reading.restart().is_none() {
                    break;
                }
            }
            prop_assert!(!reading.is_complete() || claimed.covers(span(0, 19)));
        }
    }
}
