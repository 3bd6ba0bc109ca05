//! Everything that the simulated account remembers, and what its services do with it.
//!
//! One [`State`] behind one lock: the account answers a few requests a second, and a test that looks at it between two
//! of them sees a whole picture. What a service does is a plain function of the state and a [`Request`]; nothing here
//! waits or looks at the machine's clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::account::{Call, Settings};
use super::callers::Caller;
use super::faults::Faults;
use super::quota::Quota;
use super::records::{Record, Surroundings};
use super::secrets::Vault;
use super::topics::Topics;
use super::trail::History;
use super::wire::{Answer, Refusal, Service};
use super::{secrets, sts, topics};
use crate::model::WallTime;

/// Account and Region.
pub(super) type Source = (String, String);

/// A request whose caller is known.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) service: Service,
    pub(super) call: Call,
    pub(super) caller: Caller,
    pub(super) user_agent: String,
    /// What the answer's header and the record call it.
    pub(super) id: String,
    pub(super) now: WallTime,
}

impl Request {
    /// A parameter that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.call.parameters.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// Where it was sent: the caller's account, the Region of the credential scope.
    pub(super) fn source(&self) -> Source {
        (self.call.account.clone(), self.call.region.clone())
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) rng: fastrand::Rng,
    pub(super) callers: HashMap<String, Caller>,
    /// ARNs of principals that may do nothing with secrets.
    pub(super) denied: BTreeSet<String>,
    /// The external id that a role asks for.
    pub(super) external_ids: BTreeMap<String, String>,
    pub(super) vaults: BTreeMap<Source, Vault>,
    pub(super) topics: Topics,
    pub(super) faults: Faults,
    pub(super) calls: Vec<Call>,
    histories: BTreeMap<Source, History>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(settings.seed),
            settings,
            callers: HashMap::new(),
            denied: BTreeSet::new(),
            external_ids: BTreeMap::new(),
            vaults: BTreeMap::new(),
            topics: Topics::default(),
            faults: Faults::default(),
            calls: Vec::new(),
            histories: BTreeMap::new(),
        }
    }

    /// Whose access key that is. One that nobody registered is the operator's.
    pub(super) fn caller(&self, access_key: &str) -> Caller {
        let operator = || Caller::user(&self.settings.account, "operator");
        self.callers.get(access_key).cloned().unwrap_or_else(operator)
    }

    /// Lets `caller` be recognised by its access key, which is returned; none for a service.
    pub(super) fn register(&mut self, caller: Caller) -> Option<String> {
        let key = caller.access_key()?;
        self.callers.insert(key.clone(), caller);
        Some(key)
    }

    /// Whether the quota has room for this request.
    pub(super) fn admits(&mut self, request: &Request) -> bool {
        request.service != Service::CloudTrail || self.history(request.source(), request.now).admits(request.now)
    }

    /// Does what is asked for.
    pub(super) fn perform(&mut self, request: &Request) -> Result<Answer, Refusal> {
        match request.service {
            Service::CloudTrail if request.call.operation == "LookupEvents" => self.look_up(request),
            Service::CloudTrail => Err(Refusal::unknown_operation(request.service)),
            Service::SecretsManager => secrets::perform(self, request),
            Service::Sns => topics::perform(self, request),
            Service::Sts => sts::perform(self, request),
        }
    }

    /// Puts a record into its history and returns its event id.
    pub(super) fn put(&mut self, record: &Record, now: WallTime) -> String {
        let (account, region) = record.place();
        let account = account.unwrap_or(&self.settings.account).to_owned();
        let region = region.unwrap_or(&self.settings.region).to_owned();
        let late = self.settings.lateness.draw(&mut self.rng);
        let event = record.written(Surroundings { account: &account, region: &region, now, late }, &mut self.rng);
        let id = event.id.clone();
        let twice = self.rng.f64() < self.settings.repeats;
        for _ in 0..record.copies().unwrap_or(if twice { 2 } else { 1 }) {
            let shift = self.shift();
            self.history((account.clone(), region.clone()), now).insert(event.clone(), shift);
        }
        id
    }

    /// How many records all histories hold.
    pub(super) fn records(&self) -> usize {
        self.histories.values().map(History::len).sum()
    }

    /// How many seconds too new an event is listed.
    fn shift(&mut self) -> i64 {
        let most = i64::try_from(self.settings.disorder.as_secs()).unwrap_or(i64::MAX);
        self.rng.i64(0..=most)
    }

    fn history(&mut self, place: Source, now: WallTime) -> &mut History {
        let per_second = self.settings.quota;
        self.histories
            .entry(place)
            .or_insert_with(|| History::new(per_second.map(|per_second| Quota::new(per_second, now))))
    }

    fn look_up(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (account, region) = request.source();
        // Made if it is not there, so that the borrow below is of one field and the faults stay free.
        self.history((account.clone(), region.clone()), request.now);
        let whose = format!("{account} {region}");
        let Some(history) = self.histories.get(&(account, region)) else {
            return Err(Refusal::with_status(500, "InternalFailure", "no history"));
        };
        let faults = &mut self.faults;
        let spoil = |events| faults.spoil(&request.call, events);
        history.look_up(&request.call.parameters, &whose, request.now, spoil).map(Answer::Json)
    }
}
