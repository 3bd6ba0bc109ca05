//! A set of seconds of event time, kept as the spans it consists of.
//!
//! What has been read of a source is nearly always a few long stretches, so [`SpanSet`] holds sorted spans that neither
//! overlap nor touch: months of coverage are one element. Insertion coalesces, removal cuts, and nothing here knows
//! what the seconds stand for; that is [`Coverage`](super::Coverage)'s business.

use serde::{Deserialize, Serialize};

use crate::model::{EventTime, Span};

/// Seconds of event time, as ascending spans of which no two overlap or touch.
///
/// Serialised as the list of those spans. Reading it back sorts and coalesces, so no stored text can break the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Span>", into = "Vec<Span>")]
pub struct SpanSet {
    spans: Vec<Span>,
}

impl SpanSet {
    /// Adds every second of `span`.
    pub fn insert(&mut self, span: Span) {
        let first = self.spans.partition_point(|held| held.to.plus(1) < span.from);
        let after = self.spans.partition_point(|held| held.from <= span.to.plus(1));
        let joined = match self.spans.get(first..after) {
            Some([only]) => union(*only, span),
            Some([low, .., high]) => union(union(*low, *high), span),
            _ => span,
        };
        self.spans.splice(first..after.max(first), [joined]);
    }

    /// Takes every second of `span` out.
    pub fn remove(&mut self, span: Span) {
        let first = self.spans.partition_point(|held| held.to < span.from);
        let after = self.spans.partition_point(|held| held.from <= span.to);
        let Some(cut) = self.spans.get(first..after) else { return };
        let rest: Vec<Span> = cut.iter().flat_map(|held| minus(*held, span)).collect();
        self.spans.splice(first..after, rest);
    }

    /// Takes every second before `floor` out.
    pub fn drop_before(&mut self, floor: EventTime) {
        if let Some(below) = Span::new(EventTime(i64::MIN), floor.minus(1)).filter(|below| below.to < floor) {
            self.remove(below);
        }
    }

    /// Takes every second after `last` out.
    pub fn drop_after(&mut self, last: EventTime) {
        if let Some(above) = Span::new(last.plus(1), EventTime(i64::MAX)).filter(|above| above.from > last) {
            self.remove(above);
        }
    }

    /// Whether `at` is in the set.
    #[must_use]
    pub fn contains(&self, at: EventTime) -> bool {
        self.covers(Span { from: at, to: at })
    }

    /// Whether all of `span` is in the set.
    #[must_use]
    pub fn covers(&self, span: Span) -> bool {
        let index = self.spans.partition_point(|held| held.to < span.from);
        self.spans.get(index).is_some_and(|held| held.from <= span.from && span.to <= held.to)
    }

    /// What of `span` is missing, ascending.
    #[must_use]
    pub fn gaps(&self, span: Span) -> Vec<Span> {
        let first = self.spans.partition_point(|held| held.to < span.from);
        let mut gaps = Vec::new();
        let mut rest = Some(span);
        for held in self.spans.iter().skip(first).take_while(|held| held.from <= span.to) {
            let Some(open) = rest else { break };
            gaps.extend(Span::new(open.from, held.from.minus(1)).filter(|gap| gap.to < held.from));
            rest = Span::new(held.to.plus(1), open.to).filter(|left| left.from > held.to);
        }
        gaps.extend(rest);
        gaps
    }

    /// The spans, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.spans.iter().copied()
    }

    /// How many spans the set consists of, which is what it costs to keep.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl From<Vec<Span>> for SpanSet {
    fn from(spans: Vec<Span>) -> Self {
        spans.into_iter().collect()
    }
}

impl From<SpanSet> for Vec<Span> {
    fn from(set: SpanSet) -> Self {
        set.spans
    }
}

impl FromIterator<Span> for SpanSet {
    /// Spans that end before they begin, which only damaged text can hold, count as empty.
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut set = Self::default();
        for span in spans.into_iter().filter(|span| span.from <= span.to) {
            set.insert(span);
        }
        set
    }
}

/// The smallest span that holds both.
fn union(one: Span, other: Span) -> Span {
    Span { from: one.from.min(other.from), to: one.to.max(other.to) }
}

/// What is left of `span` without `cut`: below it, then above it.
pub(super) fn minus(span: Span, cut: Span) -> impl Iterator<Item = Span> {
    // At the very ends of time `plus` and `minus` stand still; the comparisons keep a cut second from coming back.
    let below = Span::new(span.from, span.to.min(cut.from.minus(1))).filter(|below| below.to < cut.from);
    let above = Span::new(span.from.max(cut.to.plus(1)), span.to).filter(|above| above.from > cut.to);
    [below, above].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from: EventTime(from), to: EventTime(to) }
    }

    fn spans(list: &[(i64, i64)]) -> Vec<Span> {
        list.iter().map(|&(from, to)| span(from, to)).collect()
    }

    #[test]
    fn spans_that_touch_become_one() {
        let set: SpanSet = spans(&[(10, 12), (1, 3), (13, 14), (4, 4), (20, 21)]).into();
        assert_eq!(set.iter().collect::<Vec<_>>(), spans(&[(1, 4), (10, 14), (20, 21)]));
        assert_eq!(set.gaps(span(0, 30)), spans(&[(0, 0), (5, 9), (15, 19), (22, 30)]));
        assert_eq!(set.gaps(span(2, 3)), []);
    }

    #[test]
    fn the_ends_of_time_are_ordinary_seconds() {
        let all = span(i64::MIN, i64::MAX);
        let mut set = SpanSet::default();
        set.insert(all);
        assert!(set.covers(all) && set.gaps(all).is_empty());
        set.drop_after(EventTime(i64::MAX));
        set.drop_before(EventTime(i64::MIN));
        assert!(set.covers(all));
        set.remove(span(0, i64::MAX));
        assert_eq!(set.gaps(all), spans(&[(0, i64::MAX)]));
        set.remove(all);
        assert!(set.is_empty());
    }

    #[test]
    fn damaged_text_still_makes_a_set() {
        let text = r#"[{"from":"2026-01-01T00:00:09Z","to":"2026-01-01T00:00:10Z"},
                       {"from":"2026-01-01T00:00:05Z","to":"2026-01-01T00:00:01Z"},
                       {"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:08Z"}]"#;
        let set: SpanSet = serde_json::from_str(text).unwrap();
        assert_eq!(
            serde_json::to_string(&set).unwrap(),
            r#"[{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:10Z"}]"#
        );
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_seconds(steps in prop::collection::vec((0..4u8, -20..60i64, 0..15i64), 0..40)) {
            let mut set = SpanSet::default();
            let mut naive = BTreeSet::new();
            for (what, from, length) in steps {
                let step = span(from, from + length);
                match what {
                    0 | 1 => {
                        set.insert(step);
                        naive.extend(from..=from + length);
                    }
                    2 => {
                        set.remove(step);
                        naive.retain(|second| !step.contains(EventTime(*second)));
                    }
                    _ if from % 2 == 0 => {
                        set.drop_before(EventTime(from - 20));
                        naive.retain(|second| *second >= from - 20);
                    }
                    _ => {
                        set.drop_after(EventTime(from + 20));
                        naive.retain(|second| *second <= from + 20);
                    }
                }
                prop_assert!((-50..100).all(|second| set.contains(EventTime(second)) == naive.contains(&second)));
                prop_assert!(set.spans.windows(2).all(|pair| pair[0].to.plus(1) < pair[1].from));
                prop_assert_eq!(set.covers(step), (from..=from + length).all(|second| naive.contains(&second)));
                let gaps: Vec<i64> = set.gaps(step).iter().flat_map(|gap| gap.from.0..=gap.to.0).collect();
                let missing: Vec<i64> = (from..=from + length).filter(|second| !naive.contains(second)).collect();
                prop_assert_eq!(gaps, missing);
            }
        }
    }
}
