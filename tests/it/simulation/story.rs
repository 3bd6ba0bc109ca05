//! What happens in one seed's world: who reads which secret and when that shows, what the operator wants, and how much
//! time it all takes. Everything is drawn before the first life begins, and nothing here knows the engine.

use std::fmt::Write as _;
use std::path::Path;

use secretwatch::config::{Config, Environment, check};
use secretwatch::demo::{Account, Caller, Record};
use secretwatch::model::{EventTime, WallTime};

/// When stories in paused time begin: a day in 2030, so that the machine's clock lies before it.
const START: EventTime = EventTime(1_900_000_000);

/// The accounts; the first is the daemon's own.
const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];

/// For so long what happened before shows in [`Story::for_kills`].
pub(crate) const KILLING_SECS: i64 = 8;

/// One seed's world.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) start: EventTime,
    pub(crate) times: Times,
    /// Account and Region, each of them read.
    pub(crate) sources: Vec<(String, String)>,
    /// By a role in each account; else the only source is the caller's own.
    roles: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) events: Vec<Event>,
    /// Topics that hear of everything from the first life to the last.
    pub(crate) topics: Vec<&'static str>,
    /// Listed twice, listed out of order (in seconds), asked for its secrets.
    pub(crate) repeats: f64,
    pub(crate) disorder: u64,
    pub(crate) inventory: bool,
    pub(crate) quota: bool,
    /// Some topic refuses alerts for a while.
    pub(crate) refusals: bool,
    /// [`RELIEF`] stands in for the first topic once it has failed for so many seconds.
    pub(crate) relief_after: Option<i64>,
}

/// How long things take, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) interval: i64,
    pub(crate) lateness: i64,
    /// Zero: never.
    pub(crate) recheck: i64,
    pub(crate) stale_after: i64,
    /// Things happen, and go wrong, for so long.
    pub(crate) trouble: i64,
}

/// A rule, as the operator writes it and as the oracle counts it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) threshold: usize,
    pub(crate) window: i64,
    /// Among `secret`, `principal`, `source_ip`, `region`.
    pub(crate) group_by: Vec<&'static str>,
    pub(crate) distinct: Option<&'static str>,
    pub(crate) hold: i64,
    pub(crate) update_every: i64,
}

/// One record in one trail.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) at: EventTime,
    /// Shown from then on; none: never.
    pub(crate) delay: Option<i64>,
    /// The trail that it stands in.
    pub(crate) place: (String, String),
    pub(crate) name: &'static str,
    /// Owner's account, Region and name.
    pub(crate) secret: (String, String, String),
    typed: String,
    pub(crate) caller: Caller,
    pub(crate) ip: String,
    pub(crate) shared: Option<String>,
    pub(crate) updates: Option<String>,
    denied: bool,
    listed: usize,
}

/// What the operator changes from one life to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tweak {
    /// Another notifier is configured.
    pub(crate) extra: bool,
    /// The rules' texts, and how long incidents are held.
    pub(crate) wording: u8,
    /// The first rule counts otherwise.
    pub(crate) changed: bool,
}

impl Story {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let times = Times::draw(rng);
        let accounts = [1, 1, 2, 2, 3][rng.usize(..5)];
        let mut sources: Vec<(String, String)> =
            ACCOUNTS[..accounts].iter().map(|account| ((*account).to_owned(), "us-east-1".to_owned())).collect();
        if accounts < 3 && rng.u8(0..4) == 0 {
            sources.push((ACCOUNTS[0].to_owned(), "eu-west-1".to_owned()));
        }
        let rules =
            (1..=[1, 1, 2, 3][rng.usize(..4)]).map(|number| Rule::draw(&format!("rule-{number}"), rng)).collect();
        let mut story = Self {
            start: START,
            times,
            roles: sources.len() > 1 || rng.bool(),
            sources,
            rules,
            events: Vec::new(),
            topics: if rng.bool() { vec!["alpha", "beta"] } else { vec!["alpha", "beta.fifo"] },
            repeats: if rng.bool() { 0.2 } else { 0.0 },
            // A crash while an order is broken leaves a hole that only the recheck finds.
            disorder: if times.recheck > 0 && rng.u8(0..4) == 0 { 5 } else { 0 },
            inventory: rng.bool(),
            quota: rng.bool(),
            refusals: false,
            relief_after: None,
        };
        for _ in 0..rng.usize(3..8) {
            story.burst(rng);
        }
        if rng.u8(0..3) == 0 {
            story.relief_after = Some(rng.i64(0..600));
        }
        story
    }

    /// The small one that is crashed at every step.
    pub(crate) fn small() -> Self {
        let times = Times { interval: 60, lateness: 45, recheck: 0, stale_after: 600, trouble: 90 };
        let mut story = Self::plain(START, times);
        for (at, delay, secret) in
            [(0, 5, "a"), (3, 30, "a"), (6, 35, "a"), (7, 1, "a"), (40, 2, "b"), (62, 20, "a"), (62, 9, "b")]
        {
            story.read(at, delay, secret);
        }
        story
    }

    /// The one for the real program, which knows only the real time: what happened in the minute before `now` shows in
    /// the seconds after it.
    pub(crate) fn for_kills(now: EventTime, rng: &mut fastrand::Rng) -> Self {
        let times = Times { interval: 1, lateness: 120, recheck: 0, stale_after: 600, trouble: 60 };
        let mut story = Self::plain(now.minus(times.trouble), times);
        for _ in 0..200 {
            let at = rng.i64(0..times.trouble);
            let shown = times.trouble + rng.i64(0..KILLING_SECS);
            story.read(at, shown - at, ["a", "b", "prod/c"][rng.usize(..3)]);
        }
        story
    }

    /// One source, two rules, two topics; nothing happens, and nothing goes wrong.
    fn plain(start: EventTime, times: Times) -> Self {
        let rule = |name: &str, threshold| Rule {
            name: name.to_owned(),
            threshold,
            window: 10,
            group_by: vec!["secret"],
            distinct: None,
            hold: 5,
            update_every: 20,
        };
        Self {
            start,
            times,
            sources: vec![(ACCOUNTS[0].to_owned(), "us-east-1".to_owned())],
            roles: false,
            rules: vec![rule("every", 1), rule("three", 3)],
            events: Vec::new(),
            topics: vec!["alpha", "beta"],
            repeats: 0.0,
            disorder: 0,
            inventory: false,
            quota: false,
            refusals: false,
            relief_after: None,
        }
    }

    /// A plain read of `secret`, shown `delay` seconds after it happened.
    fn read(&mut self, at: i64, delay: i64, secret: &str) {
        let mut event = self.event(at, secret, &mut fastrand::Rng::with_seed(1));
        (event.name, event.delay, event.typed) = ("GetSecretValue", Some(delay), secret.to_owned());
        (event.denied, event.listed) = (false, 1);
        self.events.push(event);
    }

    /// When nothing new happens or goes wrong any more.
    pub(crate) fn calm(&self) -> WallTime {
        self.start.plus(self.times.trouble).wall()
    }

    /// When everything must have been seen, settled, rechecked, told and accepted.
    pub(crate) fn end(&self) -> WallTime {
        let longest = self.rules.iter().map(|rule| rule.window + rule.hold.max(Rule::OTHER_HOLD)).max().unwrap_or(0);
        let Times { interval, lateness, recheck, .. } = self.times;
        let settled = lateness + longest + 3 * interval;
        // The pause before a recheck is at most this; rechecks come with a poll.
        let rechecked = if recheck > 0 { recheck + (recheck / 24).max(3_700) + 4 * interval } else { 0 };
        // Who refused an alert is asked again within the hour, who was not reached within minutes.
        let asked_again = if self.refusals { 3_700 } else { 400 };
        WallTime(self.calm().0 + 1_000 * (settled.max(rechecked).max(asked_again) + 60))
    }

    /// Whether `event` must come to be known: it stands in a trail that is read, and shows in time.
    pub(crate) fn is_known(&self, event: &Event) -> bool {
        let in_time = self.times.lateness.max(self.times.recheck);
        self.sources.contains(&event.place) && event.delay.is_some_and(|delay| delay <= in_time)
    }

    /// Puts everything into the account's trails.
    pub(crate) fn play(&self, account: &Account) {
        for event in &self.events {
            account.put(&event.record());
        }
    }

    fn burst(&mut self, rng: &mut fastrand::Rng) {
        let Times { trouble, .. } = self.times;
        let from = rng.i64(0..trouble);
        let window = self.rules[rng.usize(..self.rules.len())].window;
        let length = rng.i64(1..=(2 * window).min(trouble - from).max(1));
        let secret = ["a", "b", "prod/c"][rng.usize(..3)];
        let events = if rng.u8(0..8) == 0 { rng.usize(50..130) } else { rng.usize(1..12) };
        for _ in 0..events {
            let at = from + rng.i64(0..length);
            let secret = if rng.u8(0..4) == 0 { ["a", "b", "prod/c"][rng.usize(..3)] } else { secret };
            let event = self.event(at, secret, rng);
            match rng.u8(0..12) {
                0 => self.update(event, rng),
                1 => self.copies(event, rng),
                _ => self.events.push(event),
            }
        }
    }

    fn event(&self, at: i64, secret: &str, rng: &mut fastrand::Rng) -> Event {
        let place = self.sources[rng.usize(..self.sources.len())].clone();
        let partial = format!("arn:aws:secretsmanager:{}:{}:secret:{secret}", place.1, place.0);
        let denied = rng.u8(0..10) == 0;
        let typed = match rng.u8(0..4) {
            0 if !denied => format!("{partial}-AbCdE1"),
            1 => partial,
            _ if denied => partial,
            _ => secret.to_owned(),
        };
        let caller = match rng.u8(0..3) {
            0 => Caller::user(&place.0, "ada"),
            1 => Caller::user(&place.0, "bob"),
            _ => Caller::role(&place.0, "app", ["i-1", "i-2"][rng.usize(..2)]),
        };
        Event {
            id: format!("event-{:04}", self.events.len()),
            at: self.start.plus(at),
            delay: self.times.delay(rng),
            secret: (place.0.clone(), place.1.clone(), secret.to_owned()),
            place,
            name: if rng.u8(0..12) == 0 { "DescribeSecret" } else { "GetSecretValue" },
            typed,
            caller,
            ip: format!("198.51.100.{}", rng.u8(1..4)),
            shared: None,
            updates: None,
            denied,
            listed: if rng.u8(0..10) == 0 { 2 } else { 1 },
        }
    }

    /// The event and a later record of the same, which may show first.
    fn update(&mut self, event: Event, rng: &mut fastrand::Rng) {
        let update = Event {
            id: format!("{}-again", event.id),
            delay: self.times.delay(rng),
            updates: Some(event.id.clone()),
            listed: 1,
            ..event.clone()
        };
        self.events.extend([event, update]);
    }

    /// Two accounts' records of one access: the owner's, and that of the account whose principal it was. Both show.
    fn copies(&mut self, event: Event, rng: &mut fastrand::Rng) {
        let Some(foreign) = ACCOUNTS.iter().find(|account| **account != event.place.0) else { return };
        let (account, region, name) = event.secret.clone();
        let in_time = |delay: Option<i64>| delay.or(Some(1));
        let owners = Event {
            shared: Some(format!("shared-{}", event.id)),
            typed: format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-AbCdE1"),
            caller: Caller::role(foreign, "guest", "i-9"),
            delay: in_time(event.delay),
            updates: None,
            denied: false,
            ..event
        };
        let callers = Event {
            id: format!("{}-copy", owners.id),
            place: ((*foreign).to_owned(), region),
            delay: in_time(self.times.delay(rng)),
            ..owners.clone()
        };
        self.events.extend([owners, callers]);
    }

    /// The configuration of one life.
    pub(crate) fn config(&self, tweak: Tweak) -> Config {
        let text = self.toml(tweak, Path::new("/nonexistent"));
        check(&text, "the story's configuration", &Environment::default())
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    /// The same as its text.
    pub(crate) fn toml(&self, tweak: Tweak, state_dir: &Path) -> String {
        let Times { interval, lateness, recheck, stale_after, .. } = self.times;
        let mut text = format!(
            "state_dir = {state_dir:?}\n[poll]\ninterval = \"{interval}s\"\nlateness = \"{lateness}s\"\n\
             recheck = \"{recheck}s\"\nstale_after = \"{stale_after}s\"\nbackfill = \"{}s\"\n\
             requests_per_second = 2.0\ninventory = {}\n",
            self.backfill(),
            self.inventory
        );
        for (account, regions) in self.accounts().into_iter().filter(|_| self.roles) {
            let role = format!("arn:aws:iam::{account}:role/watch/secretwatch");
            let _ = write!(text, "[[account]]\nname = \"{account}\"\nrole_arn = \"{role}\"\nregions = {regions:?}\n");
        }
        for rule in self.rules(tweak) {
            text += &rule.toml(tweak.wording);
        }
        let relief = self.relief_after.map(|_| RELIEF);
        for topic in self.topics.iter().copied().chain(tweak.extra.then_some(EXTRA)).chain(relief) {
            let name = topic.trim_end_matches(".fifo");
            let arn = topic_arn(topic);
            let _ = write!(
                text,
                "[notify.{name}]\ntype = \"sns\"\ntopic_arn = \"{arn}\"\nformat = \"json\"\nsend_resolved = true\n"
            );
            if let Some(after) = self.relief_after.filter(|_| topic == self.topics[0]) {
                let _ = write!(text, "fallback = \"{RELIEF}\"\nfallback_after = \"{after}s\"\n");
            }
        }
        text
    }

    /// The rules of one life.
    pub(crate) fn rules(&self, tweak: Tweak) -> Vec<Rule> {
        let mut rules = self.rules.clone();
        if tweak.changed {
            rules[0].threshold += 1;
            rules[0].window += 7;
        }
        rules
    }

    /// How far back a rule counts when it is new: to before the first event, whenever that is.
    pub(crate) fn backfill(&self) -> i64 {
        self.times.trouble + 4 * self.times.lateness + 3_600
    }

    fn accounts(&self) -> Vec<(&str, Vec<&str>)> {
        let mut accounts: Vec<(&str, Vec<&str>)> = Vec::new();
        for (account, region) in &self.sources {
            match accounts.iter_mut().find(|(known, _)| known == account) {
                Some((_, regions)) => regions.push(region),
                None => accounts.push((account, vec![region])),
            }
        }
        accounts
    }
}

/// The notifier that comes and goes.
pub(crate) const EXTRA: &str = "extra";

/// The notifier that stands in for another.
pub(crate) const RELIEF: &str = "relief";

pub(crate) fn topic_arn(name: &str) -> String {
    format!("arn:aws:sns:us-east-1:{}:{name}", ACCOUNTS[0])
}

impl Times {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        // Minutes more often than hours, which take longer to play.
        let lateness = 60 * [5, 10, 10, 15, 20, 20, 30, 120][rng.usize(..8)];
        let interval = lateness / [1, 1, 2, 3, 4][rng.usize(..5)];
        let recheck = if rng.u8(0..4) == 0 { 0 } else { lateness * rng.i64(2..5) };
        let trouble = lateness * rng.i64(3..8);
        Self { interval, lateness, recheck, stale_after: (6 * interval).max(900), trouble }
    }

    /// How late a record shows: mostly soon, mostly within `lateness`, sometimes only the recheck can find it.
    fn delay(&self, rng: &mut fastrand::Rng) -> Option<i64> {
        let late = |most: i64, rng: &mut fastrand::Rng| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a delay of some hours")]
            let delay = (most as f64).powf(rng.f64()) as i64;
            delay
        };
        match rng.u8(0..20) {
            0 if self.recheck > 0 => Some(rng.i64(self.lateness..=self.recheck)),
            1 => None,
            2 => Some(self.lateness),
            3..7 => Some(rng.i64(0..=self.lateness)),
            _ => Some(late(self.lateness, rng)),
        }
    }
}

impl Rule {
    /// What `hold` is where the wording says so.
    const OTHER_HOLD: i64 = 45;

    fn draw(name: &str, rng: &mut fastrand::Rng) -> Self {
        let keys: [&[&str]; 5] =
            [&["secret"], &["secret"], &["principal"], &["principal", "secret"], &["source_ip", "region"]];
        let group_by = if rng.u8(0..5) == 0 { Vec::new() } else { keys[rng.usize(..5)].to_vec() };
        let distinct = [None, None, None, Some("secret"), Some("principal")][rng.usize(..5)];
        Self {
            name: name.to_owned(),
            threshold: rng.usize(1..=5),
            window: [1, 5, 30, 60, 300][rng.usize(..5)],
            // Nothing has more than one value in a group that it tells apart.
            distinct: distinct.filter(|key| !group_by.contains(key)),
            group_by,
            hold: [0, 30, 300, 900][rng.usize(..4)],
            update_every: [0, 300, 900][rng.usize(..3)],
        }
    }

    fn toml(&self, wording: u8) -> String {
        let hold = if wording == 1 { Self::OTHER_HOLD } else { self.hold };
        let statistic = match self.distinct {
            None => "\"sum\"".to_owned(),
            Some(key) => format!("{{ distinct = \"{key}\" }}"),
        };
        format!(
            "[[rule]]\nname = \"{}\"\ndescription = \"wording {wording}\"\nevents = [\"GetSecretValue\"]\n\
             statistic = {statistic}\nthreshold = {}\nwindow = \"{}s\"\ngroup_by = {:?}\nhold = \"{hold}s\"\n\
             update_every = \"{}s\"\n",
            self.name, self.threshold, self.window, self.group_by, self.update_every
        )
    }
}

impl Event {
    fn record(&self) -> Record {
        let (account, region) = &self.place;
        let mut record = Record::new(self.name)
            .secret(&self.typed)
            .by(self.caller.clone())
            .at(self.at)
            .id(&self.id)
            .in_source(account, region)
            .from(&self.ip)
            .listed(self.listed);
        // "Never" must lie beyond every story and within what a clock can show.
        let shown = self.at.plus(self.delay.unwrap_or(10_000_000)).wall();
        record = record.visible_at(shown);
        if let Some(shared) = &self.shared {
            record = record.shared(shared);
        }
        if let Some(original) = &self.updates {
            record = record.updates(original).user_agent("enriched later");
        }
        if self.denied {
            record = record.denied();
        }
        record
    }
}
