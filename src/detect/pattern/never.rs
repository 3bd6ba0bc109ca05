//! Patterns that no record can match, found before anybody relies on them.
//!
//! A pattern is written out as its cases, each a list of comparisons that have to hold together; it never matches if
//! none of its cases can. Within a case the comparisons of one selector are asked whether any value passes them all.
//! What is said here is certain, and what is not certain is not said: selectors with a wildcard choose several values,
//! two wildcards in texts may or may not agree, and a pattern with more than [`MAX_CASES`] cases is not judged.

use std::collections::BTreeMap;

use super::compare::{Comparison, Order, Step, Test, Wanted};
use super::scan::{Kind, is_number};
use super::terms::{Role, Terms, What};
use super::{Form, Logic, Pattern};

/// Cases that are looked at. `&&` over brackets with `||` in them multiplies.
const MAX_CASES: usize = 256;

/// Cases that are told.
const MAX_TOLD: usize = 3;

type Case<'a> = Vec<&'a Comparison>;

impl Pattern {
    /// Why no record can match it; none if one can, or if that is not certain.
    #[must_use]
    pub fn never_matches(&self) -> Option<String> {
        let cases = match &self.form {
            Form::Terms(terms) => return exclusion(terms),
            Form::Json(_, logic) => logic.cases()?,
        };
        let reasons: Option<Vec<String>> = cases.iter().map(|case| contradiction(case)).collect();
        let mut reasons = reasons?;
        reasons.dedup();
        let more = reasons.len().saturating_sub(MAX_TOLD);
        reasons.truncate(MAX_TOLD);
        let more = if more > 0 { format!("; and {more} more like these") } else { String::new() };
        Some(format!("{}{more}", reasons.join("; ")))
    }

    /// Why a part of it cannot hold, if others can.
    pub(super) fn dead_part(&self) -> Option<String> {
        let Form::Json(_, logic) = &self.form else { return None };
        let reasons: Vec<Option<String>> = logic.cases()?.iter().map(|case| contradiction(case)).collect();
        let all = reasons.iter().all(Option::is_some);
        if all { None } else { reasons.into_iter().flatten().next() }
    }
}

impl Logic {
    /// What it comes to without brackets; none if that is too long.
    fn cases(&self) -> Option<Vec<Case<'_>>> {
        match self {
            Self::One(comparison) => Some(vec![vec![comparison]]),
            Self::Any(parts) => {
                let cases = parts.iter().map(Self::cases).collect::<Option<Vec<_>>>()?.concat();
                (cases.len() <= MAX_CASES).then_some(cases)
            }
            Self::All(parts) => parts.iter().try_fold(vec![Vec::new()], |before, part| {
                let after = part.cases()?;
                (before.len() * after.len() <= MAX_CASES).then(|| product(&before, &after))
            }),
        }
    }
}

fn product<'a>(before: &[Case<'a>], after: &[Case<'a>]) -> Vec<Case<'a>> {
    before.iter().flat_map(|first| after.iter().map(|second| [first.as_slice(), second].concat())).collect()
}

/// A term that excludes what another one requires.
fn exclusion(terms: &Terms) -> Option<String> {
    let excluded = || terms.iter().filter(|term| term.role == Role::Excluded);
    if let Some(term) = excluded().find(|term| term.what.asks_for_nothing()) {
        return Some(format!("`{}` excludes every record", term.text));
    }
    let required = terms.iter().filter(|term| term.role == Role::Required);
    let mut pairs = required.flat_map(|required| excluded().map(move |excluded| (required, excluded)));
    let (required, excluded) = pairs.find(|(required, excluded)| match (&required.what, &excluded.what) {
        (What::Phrase(required), What::Phrase(excluded)) => excluded.find(required.needle()).is_some(),
        (What::Regex(required), What::Regex(excluded)) => required.is_the_same(excluded),
        _ => false,
    })?;
    Some(format!("`{}` excludes every record that `{}` asks for", excluded.text, required.text))
}

/// What one comparison asks of the value at one place.
#[derive(Clone, Copy, Debug)]
struct Demand<'a> {
    comparison: &'a Comparison,
    what: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// That it passes the test.
    Test,
    /// That it has members or elements.
    Children,
}

/// Comparisons of the case that cannot hold together.
fn contradiction(case: &[&Comparison]) -> Option<String> {
    let mut places: BTreeMap<&[Step], Vec<Demand<'_>>> = BTreeMap::new();
    for comparison in case {
        demands(comparison, &mut places);
    }
    places.values().find_map(|demands| {
        let pairs =
            demands.iter().enumerate().flat_map(|(at, first)| demands[at + 1..].iter().map(|second| [*first, *second]));
        let mut pairs = pairs.filter(|pair| !possible(pair));
        match pairs.next() {
            Some(pair) => Some(together(&pair)),
            None => (!possible(demands)).then(|| together(demands)),
        }
    })
}

fn together(demands: &[Demand<'_>]) -> String {
    let texts: Vec<String> = demands.iter().map(|demand| format!("`{}`", demand.comparison.text)).collect();
    match texts.as_slice() {
        [only] => format!("{only} cannot hold"),
        [first, second] => format!("{first} and {second} cannot both hold"),
        [first @ .., last] => format!("{} and {last} cannot all hold", first.join(", ")),
        [] => String::new(),
    }
}

/// What `comparison` asks, place by place. Only `NOT EXISTS` is content without the places on its way, and with a
/// wildcard it is about no single place.
fn demands<'a>(comparison: &'a Comparison, places: &mut BTreeMap<&'a [Step], Vec<Demand<'a>>>) {
    let selector = &comparison.selector;
    let exists = !matches!(comparison.test, Test::NotExists);
    let mut ask = |length: usize, what| {
        places.entry(&selector.path[..length]).or_default().push(Demand { comparison, what });
    };
    if exists {
        (0..selector.path.len()).for_each(|length| ask(length, Ask::Children));
    }
    match &selector.each {
        None => ask(selector.path.len(), Ask::Test),
        Some(_) if exists => ask(selector.path.len(), Ask::Children),
        Some(_) => {}
    }
}

/// Whether one value, or the absence of one, might meet all demands.
fn possible(demands: &[Demand<'_>]) -> bool {
    let children = demands.iter().any(|demand| demand.what == Ask::Children);
    let tests: Vec<&Test> =
        demands.iter().filter(|demand| demand.what == Ask::Test).map(|demand| &demand.comparison.test).collect();
    let absent = tests.iter().any(|test| matches!(test, Test::NotExists));
    match (children, absent) {
        (true, _) => tests.is_empty(),
        (_, true) => tests.iter().all(|test| matches!(test, Test::NotExists)),
        _ => some_scalar_passes(&tests),
    }
}

fn some_scalar_passes(tests: &[&Test]) -> bool {
    let passes = |kind| tests.iter().all(|test| test.passes(kind));
    if [Kind::Null, Kind::Truth(true), Kind::Truth(false)].into_iter().any(passes) {
        return true;
    }
    if tests.iter().any(|test| matches!(test, Test::IsNull | Test::Is(_))) {
        return false;
    }
    // Left are numbers and texts. If one test knows the only text that it takes, that is the one to try.
    match tests.iter().find_map(|test| only_text(test)) {
        Some(text) => passes(Kind::Text(text.into())) || is_number(text) && passes(Kind::Number(text)),
        None => some_number_passes(tests) && texts_agree(tests),
    }
}

fn only_text(test: &Test) -> Option<&str> {
    match test {
        Test::Equals(Wanted::Text(glob)) => glob.literal(),
        _ => None,
    }
}

/// Whether some number meets what the tests say about numbers, if they say anything.
fn some_number_passes(tests: &[&Test]) -> bool {
    let (mut least, mut most) =
        (Bound { at: f64::NEG_INFINITY, open: false }, Bound { at: f64::INFINITY, open: false });
    let mut bounded = false;
    for test in tests {
        let (from, to) = match **test {
            Test::Equals(Wanted::Number(at)) => (Some((at, false)), Some((at, false))),
            Test::Order(Order::Greater, at) => (Some((at, true)), None),
            Test::Order(Order::AtLeast, at) => (Some((at, false)), None),
            Test::Order(Order::Less, at) => (None, Some((at, true))),
            Test::Order(Order::AtMost, at) => (None, Some((at, false))),
            _ => continue,
        };
        bounded = true;
        least.tighten(from, |new, old| new > old);
        most.tighten(to, |new, old| new < old);
    }
    if least.at < most.at || !bounded {
        return true;
    }
    let excluded = tests.iter().any(|test| matches!(test, Test::Differs(Wanted::Number(at)) if *at == least.at));
    least.at == most.at && !least.open && !most.open && !excluded
}

/// One end of a range of numbers.
struct Bound {
    at: f64,
    /// Whether the end itself is outside.
    open: bool,
}

impl Bound {
    fn tighten(&mut self, to: Option<(f64, bool)>, is_tighter: impl Fn(f64, f64) -> bool) {
        let Some((at, open)) = to else { return };
        if is_tighter(at, self.at) {
            *self = Self { at, open };
        } else if at == self.at {
            self.open |= open;
        }
    }
}

/// Whether some text might meet what the tests say about texts. Only what is plain to see is seen.
fn texts_agree(tests: &[&Test]) -> bool {
    let equals = || tests.iter().filter_map(|test| if let Test::Equals(wanted) = test { Some(wanted) } else { None });
    let differs = tests.iter().filter_map(|test| if let Test::Differs(wanted) = test { Some(wanted) } else { None });
    let is_text = tests.iter().any(|test| matches!(test, Test::Equals(_) | Test::Order(..)));
    let mut excluded = differs.filter(|wanted| match wanted {
        Wanted::Text(glob) => {
            glob.is_everything() && is_text
                || equals().any(|wanted| matches!(wanted, Wanted::Text(narrower) if glob.covers(narrower)))
        }
        Wanted::Regex(regex) => equals().any(|wanted| matches!(wanted, Wanted::Regex(same) if same.is_the_same(regex))),
        Wanted::Number(_) => false,
    });
    let globs: Vec<_> =
        equals().filter_map(|wanted| if let Wanted::Text(glob) = wanted { Some(glob) } else { None }).collect();
    let clash =
        globs.iter().enumerate().any(|(at, first)| globs[at + 1..].iter().any(|second| !first.might_agree(second)));
    !clash && excluded.next().is_none()
}
