//! What goes wrong on demand.
//!
//! An [`Injection`] names the calls that it strikes, what it does to them ([`Fault`]) and how often. Faults that AWS
//! answers with strike before anything is done; faults of the way back (cut, garbled, empty answers) strike after, as
//! they do in life: the message was published, only the publisher does not know.

use std::fmt;

use tokio_util::sync::CancellationToken;

use super::account::Call;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this error, and nothing is done.
    Error {
        /// HTTP status.
        status: u16,
        /// The error's code, such as `ThrottlingException`.
        code: String,
        /// What it says.
        message: String,
    },
    /// It is done; the answer breaks off in the middle.
    CutBody,
    /// It is done; the answer is neither JSON nor XML.
    Garbled,
    /// It is done; the answer is a 200 without a body.
    Empty,
    /// It waits until this token is cancelled, and is then done.
    Hang(CancellationToken),
    /// Its `NextToken` is refused. Strikes only calls that carry one.
    RefuseToken,
    /// Its page of events is spoiled.
    Page(Spoiled),
}

/// What is wrong with a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// The first event has no `CloudTrailEvent`.
    NoRecord,
    /// The first event's `CloudTrailEvent` is no JSON.
    BadRecord,
    /// The events are oldest first.
    Reversed,
    /// It holds at most one event, though more would fit and more follow.
    Short,
}

impl Fault {
    /// "Rate exceeded", as CloudTrail says it.
    #[must_use]
    pub fn throttled() -> Self {
        Self::error(400, "ThrottlingException", "Rate exceeded")
    }

    /// A lack of permission.
    #[must_use]
    pub fn denied() -> Self {
        Self::error(400, "AccessDeniedException", "User is not authorized to perform this operation")
    }

    /// Something broke at AWS: a 500.
    #[must_use]
    pub fn internal() -> Self {
        Self::error(500, "InternalFailure", "The request processing has failed")
    }

    /// AWS is busy: a 503.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::error(503, "ServiceUnavailable", "Service is unavailable")
    }

    /// Any error.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: message.to_owned() }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::CutBody => "cut body",
            Self::Garbled => "garbled",
            Self::Empty => "empty",
            Self::Hang(_) => "hang",
            Self::RefuseToken => "refused token",
            Self::Page(_) => "spoiled page",
        }
    }
}

/// Which calls are struck, by what, how often.
pub struct Injection {
    strikes: Box<dyn Fn(&Call) -> bool + Send>,
    fault: Fault,
    /// How often still; none: until lifted.
    left: Option<usize>,
}

impl Injection {
    /// The next call of `operation`.
    #[must_use]
    pub fn on(operation: &str, fault: Fault) -> Self {
        let operation = operation.to_owned();
        Self::when(move |call| call.operation == operation, fault)
    }

    /// The next call that `strikes` says yes to.
    #[must_use]
    pub fn when(strikes: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) -> Self {
        Self { strikes: Box::new(strikes), fault, left: Some(1) }
    }

    /// So many calls instead of one.
    #[must_use]
    pub fn times(mut self, calls: usize) -> Self {
        self.left = Some(calls);
        self
    }

    /// Every call until [`Account::lift`](super::Account::lift).
    #[must_use]
    pub fn until_lifted(mut self) -> Self {
        self.left = None;
        self
    }
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injection").field("fault", &self.fault.word()).field("left", &self.left).finish_non_exhaustive()
    }
}

/// What lifts an injection again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectionId(u64);

/// All that is going to go wrong, in the order in which it was asked for.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(InjectionId, Injection)>,
    made: u64,
}

impl Faults {
    pub(super) fn add(&mut self, injection: Injection) -> InjectionId {
        self.made += 1;
        let id = InjectionId(self.made);
        self.planned.push((id, injection));
        id
    }

    pub(super) fn lift(&mut self, id: InjectionId) {
        self.planned.retain(|(planned, _)| *planned != id);
    }

    /// The fault that strikes `call` as a whole.
    pub(super) fn strike(&mut self, call: &Call) -> Option<Fault> {
        self.take(call, |fault| match fault {
            Fault::RefuseToken => call.parameters.get("NextToken").is_some(),
            Fault::Page(_) => false,
            _ => true,
        })
    }

    /// What is wrong with the page of `events` that answers `call`. A page on which it would not show is left alone.
    pub(super) fn spoil(&mut self, call: &Call, events: usize) -> Option<Spoiled> {
        let struck = self.take(call, |fault| match fault {
            Fault::Page(Spoiled::Reversed | Spoiled::Short) => events > 1,
            Fault::Page(_) => events > 0,
            _ => false,
        });
        match struck {
            Some(Fault::Page(spoiled)) => Some(spoiled),
            _ => None,
        }
    }

    fn take(&mut self, call: &Call, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let (_, injection) = self
            .planned
            .iter_mut()
            .find(|(_, injection)| injection.left != Some(0) && fits(&injection.fault) && (injection.strikes)(call))?;
        let fault = injection.fault.clone();
        injection.left = injection.left.map(|left| left - 1);
        self.planned.retain(|(_, injection)| injection.left != Some(0));
        Some(fault)
    }
}
