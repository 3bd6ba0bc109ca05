//! What an explanation comes to, in sentences: one for each rule, and one for all of it.
//!
//! Pure: made from the other fields alone. Texts that come from records go through [`printable`], as in alerts. A
//! rule's sentence has no capital and no full stop, so that it can follow the rule's name; the headline has both.

use std::cmp::Reverse;

use super::super::explanation::{
    AlertSight, Basis, Copied, Demand, Explanation, Finding, Measure, News, Objection, Ruling, Stand, Standing, Version,
};
use crate::model::{Span, count, duration_in_words, group_key_words, printable, statistic_words};

/// Longest value that is shown in a sentence, in characters.
const VALUE_MAX: usize = 120;

impl Explanation {
    /// The same, for files over which the rules were run: what the ledger has queued would have been sent, and was not.
    #[must_use]
    pub fn of_files(mut self) -> Self {
        self.basis = Basis::Files;
        let alerts = self.rules.iter_mut().filter_map(|ruling| ruling.alert.as_mut());
        for stand in alerts.flat_map(|alert| &mut alert.notifiers) {
            if let Standing::Waiting { .. } = stand.stand {
                stand.stand = Standing::Meant;
            }
        }
        self.in_words()
    }

    /// With the sentences that follow from the rest of it.
    pub(super) fn in_words(mut self) -> Self {
        let basis = self.basis;
        self.rules.iter_mut().for_each(|ruling| ruling.summary = ruling.summarise(basis));
        self.headline = self.summarise();
        self
    }

    /// Whether anything is known under the id.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self.finding, Finding::Nothing(_))
    }

    fn summarise(&self) -> String {
        let id = &self.event_id;
        match &self.finding {
            Finding::Nothing(_) if self.basis == Basis::Files => format!("No record in these files has the id {id}."),
            Finding::Nothing(_) => format!("Event {id} is not known here: no record with this id has been read."),
            Finding::Unreadable(unread) => format!(
                "Event {id} was read and made no sense ({}), so no rule could count it.",
                printable(&unread.reason, VALUE_MAX)
            ),
            Finding::Ignored { access, .. } => {
                let source = printable(&access.event_source, VALUE_MAX);
                format!("Event {id} is of {source}, which is not among the event sources that are read.")
            }
            Finding::Access(_) => self.verdict(),
            Finding::Copy(copied) => match &copied.counted {
                Some(known) if copied.copy.is_some() => {
                    format!("Event {id} is a further record of event {}. {}", known.access.event_id, self.verdict())
                }
                Some(known) => {
                    let event = &known.access.event_id;
                    format!("{id} is how other records name the access of event {event}. {}", self.verdict())
                }
                None => uncounted(id, copied),
            },
        }
    }

    /// What the rules come to.
    fn verdict(&self) -> String {
        let (nobody, tells) = match self.basis {
            Basis::State => ("nobody was told", "tells"),
            Basis::Files => ("nobody would be told", "would tell"),
        };
        let Some(first) = self.rules.iter().min_by_key(|ruling| Reverse(ruling.weight())) else {
            return format!("There are no rules, so {nobody}.");
        };
        if first.objection == Some(Objection::Own) {
            return format!("It is the daemon's own inventory call, which no rule counts; {nobody}.");
        }
        let name = &first.rule;
        let others = self.rules.iter().filter(|ruling| ruling.alert.is_some()).count().saturating_sub(1);
        let more = match others {
            0 => String::new(),
            1 => " One other rule, too.".to_owned(),
            _ => format!(" {others} other rules, too."),
        };
        match (&first.alert, first.counted) {
            (Some(alert), _) => format!("Rule {name} {tells} of it: {}.{more}", stands(alert)),
            (None, true) if first.update_due.is_some() || first.told_before || first.is_over() => {
                format!("Rule {name}: {}.", first.summary)
            }
            (None, true) => match first.progress() {
                Some(progress) => format!("Rule {name} counted it: {progress}; {nobody}."),
                None => format!("Rule {name} counted it; {nobody}."),
            },
            (None, false) if self.rules.len() == 1 => format!("Rule {name}: {}; {nobody}.", first.summary),
            (None, false) => format!("No rule counted it. The nearest was {name}: {}; {nobody}.", first.summary),
        }
    }
}

/// Of a record whose access is not known.
fn uncounted(id: &str, copied: &Copied) -> String {
    let owner = copied.copy.as_ref().and_then(|copy| Some((copy, &copy.secret.as_ref()?.account)));
    match owner {
        Some((copy, owner)) if copy.shared_event_id.is_some() && *owner != copy.account => format!(
            "Event {id} is the record that account {} got of an access that counts in account {owner}, which owns the \
             secret and is read here too. That account's own record has not been read yet, so nobody was told.",
            copy.account
        ),
        _ => format!("Event {id} was spoken of by a record that was read, and nothing more is kept of it."),
    }
}

impl Ruling {
    fn summarise(&self, basis: Basis) -> String {
        let why = self.why();
        match (&self.version, self.counted, &why) {
            (Version::Waiting, _, why) => {
                let would = why.as_ref().map_or("count it".to_owned(), |why| format!("not count it: {why}"));
                format!("not active yet, since nothing was started with this configuration; it would {would}")
            }
            (_, false, Some(why)) => format!("not counted: {why}"),
            (_, false, None) => "not counted when it was read, though it would be now: most likely an entry of the \
                                 allow-list kept it away that is gone or has changed since"
                .to_owned(),
            (Version::Former, true, _) => {
                format!("an earlier version of this rule counted it; {}", self.outcome(basis))
            }
            (Version::Active { .. }, true, None) => self.outcome(basis),
            (Version::Active { .. }, true, Some(why)) => {
                format!("{}; as it is configured now it would not be counted: {why}", self.outcome(basis))
            }
        }
    }

    /// What came of an access that was counted.
    fn outcome(&self, basis: Basis) -> String {
        match (&self.alert, self.update_due, self.progress()) {
            (Some(alert), ..) if basis == Basis::Files => format!("would alert: {}", stands(alert)),
            (Some(alert), ..) => format!("alerted: {}", stands(alert)),
            (None, Some(due), _) => {
                format!("counted, and in an incident whose next update, due at {due}, will tell of it")
            }
            (None, None, _) if self.told_before => {
                "counted, and told of before a better record moved it to this group".to_owned()
            }
            (None, None, _) if self.is_over() => {
                "counted, and in a window that crosses, but no alert with it is stored any more".to_owned()
            }
            (None, None, Some(progress)) => format!("counted: {progress}, which is not enough"),
            (None, None, None) => "no alert with it is stored".to_owned(),
        }
    }

    fn is_over(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.crosses)
    }

    /// `3 of 15 different secrets in 10 minutes`.
    fn progress(&self) -> Option<String> {
        self.measure.as_ref().zip(self.window.as_ref()).map(|(measure, window)| measure.words(window.value))
    }

    /// How much this says about who was told: the larger, the more.
    fn weight(&self) -> (u8, u64) {
        let accepted = |stand: &Stand| matches!(stand.stand, Standing::Accepted { .. });
        match (&self.alert, self.counted, self.objection) {
            (Some(alert), ..) => (if alert.notifiers.iter().any(accepted) { 6 } else { 5 }, 0),
            (None, true, _) if self.update_due.is_some() || self.is_over() => (4, 0),
            (None, true, _) => (3, self.share_of_threshold()),
            (None, false, Some(Objection::Condition | Objection::Steps)) => {
                (1, u64::MAX - self.demands.iter().filter(|demand| !demand.holds).count() as u64)
            }
            (None, false, Some(Objection::NotAllowed)) => (0, 0),
            (None, false, _) => (2, 0),
        }
    }

    /// In thousandths.
    fn share_of_threshold(&self) -> u64 {
        let of = self.measure.as_ref().zip(self.window.as_ref());
        of.map_or(0, |(measure, window)| window.value.saturating_mul(1000) / measure.threshold.max(1))
    }

    /// What speaks against counting it, as a clause.
    fn why(&self) -> Option<String> {
        Some(match self.objection? {
            Objection::Own => "it is the daemon's own inventory call".to_owned(),
            Objection::EventSource => "its event source is not read".to_owned(),
            Objection::TooEarly => match &self.version {
                Version::Active { from, .. } => format!("it happened before {from}, where this rule begins to count"),
                Version::Waiting | Version::Former => "it happened before this rule begins to count".to_owned(),
            },
            Objection::Condition => unmet(&self.demands),
            Objection::Steps => "it is a part of no step".to_owned(),
            Objection::Allowed => self.allowed(),
            Objection::NotAllowed => "this entry of the allow-list has kept it from no rule".to_owned(),
            Objection::NoValue => {
                let statistic = self.measure.as_ref().map_or("", |measure| measure.statistic.as_str());
                format!("it has no {}, which is what is counted", statistic_words(statistic).0)
            }
            Objection::NoCombination => {
                let lacks = self.first_seen.iter().flat_map(|news| &news.combination);
                let lacks = lacks.filter(|(_, value)| value.is_none()).map(|(key, _)| group_key_words(key));
                format!("it has no {}, and cannot be new without", lacks.collect::<Vec<_>>().join(" and no "))
            }
            Objection::NotLearnt => match self.first_seen.as_ref().and_then(|news| news.learnt_from) {
                Some(from) => format!("what is new is told from {from} on, when enough of the past is known"),
                None => "the past of its source is still being read, and until then nothing counts as new".to_owned(),
            },
            Objection::NotNews => self.first_seen.as_ref().map(seen_before).unwrap_or_default(),
        })
    }

    fn allowed(&self) -> String {
        let Some(entry) = self.allowances.iter().find(|entry| entry.valid) else { return String::new() };
        let until = entry.until.map_or(String::new(), |until| format!(" until {until}"));
        format!("the entry {} of the allow-list allows it{until} ({}: {})", entry.name, entry.owner, entry.reason)
    }
}

impl Measure {
    /// `3 of 15 different secrets in 10 minutes`.
    #[must_use]
    pub fn words(&self, value: u64) -> String {
        let (one, many) = statistic_words(&self.statistic);
        let unit = if self.threshold == 1 { one } else { many };
        format!("{value} of {} {unit} in {}", self.threshold, duration_in_words(self.window_seconds))
    }
}

/// `outcome is success, wanted denied`.
fn unmet(demands: &[Demand]) -> String {
    let clause = |Demand { key, wanted, found, .. }: &Demand| {
        let (wanted, found) = (printable(wanted, VALUE_MAX), printable(found, VALUE_MAX));
        match key.as_str() {
            "pattern" => format!("the pattern does not match ({found})"),
            _ => format!("{key} is {found}, wanted {wanted}"),
        }
    };
    demands.iter().filter(|demand| !demand.holds).map(clause).collect::<Vec<_>>().join("; ")
}

fn seen_before(news: &News) -> String {
    let value = |(key, value): (&String, &Option<String>)| {
        format!("{} {}", group_key_words(key), printable(value.as_deref().unwrap_or("none"), VALUE_MAX))
    };
    let combination = news.combination.iter().map(value).collect::<Vec<_>>().join(" with ");
    let seen = match news.seen_before {
        Some(Span { from, to }) if from == to => format!("it was seen at {from}"),
        Some(Span { from, .. }) => format!("it was seen from {from} on"),
        None => "it was seen before".to_owned(),
    };
    format!("{combination} is not new: {seen}")
}

/// `alert 8cca8dff7f6f18e64c97d7bc48a91c42, accepted by security at 2026-05-27T18:49:55.101Z`.
fn stands(alert: &AlertSight) -> String {
    let clauses: Vec<String> = alert.notifiers.iter().filter_map(clause).collect();
    let clauses = match &clauses[..] {
        [] => "for which there was no notifier".to_owned(),
        some => some.join("; "),
    };
    format!("alert {}, {clauses}", alert.id)
}

/// Where it stands with one notifier, unless it was not meant for it.
fn clause(Stand { notifier, stand }: &Stand) -> Option<String> {
    let because = |error: &Option<String>| {
        error.as_ref().map_or(String::new(), |error| format!(" ({})", printable(error, VALUE_MAX)))
    };
    Some(match stand {
        Standing::Accepted { at, by: None, .. } => format!("accepted by {notifier} at {at}"),
        Standing::Accepted { at, by: Some(by), .. } => format!("accepted by {by} in place of {notifier} at {at}"),
        Standing::Waiting { parked: true, error, next_at, .. } => {
            format!("refused by {notifier}{}, which is tried again at {next_at}", because(error))
        }
        Standing::Waiting { attempts: 0, since, behind, .. } => {
            let behind = behind.as_ref().map_or(String::new(), |alert| format!(", behind alert {alert}"));
            format!("waiting for {notifier} since {since}{behind}")
        }
        Standing::Waiting { attempts, error, next_at, .. } => {
            let attempts = count(u64::from(*attempts), "attempt");
            format!("not accepted by {notifier} in {attempts}{}, next at {next_at}", because(error))
        }
        Standing::Dead { at, error, .. } => format!("given up for {notifier} at {at}{}", because(error)),
        Standing::Silenced { silence } => format!("not sent to {notifier}, by silence {silence}"),
        Standing::Meant => format!("for {notifier}"),
        Standing::Lost => format!("queued for {notifier}, and what became of that is not stored"),
        Standing::NotNamed | Standing::TooMild { .. } | Standing::NotQueued => return None,
    })
}
