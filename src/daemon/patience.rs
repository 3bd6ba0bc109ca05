//! What to do about a page that did not come, and for how long.
//!
//! One reading puts up with a few passing faults and with more throttled requests in a row; a good page forgives them
//! all. A [`Patience`] only decides. How one waits and whom one tells is the business of whoever asks: a pass gives way to
//! the next poll, a [`History`](super::History) does not.

use std::time::Duration;

use crate::trail::LookupClass;

/// Passing faults in a row (5xx, broken replies, no connection) that one reading puts up with.
const MAX_FAULTS: u32 = 3;

/// Throttled requests in a row before a reading gives up: after three to five minutes.
const MAX_THROTTLES: u32 = 10;

/// The first wait after a passing fault; it doubles.
const FIRST_FAULT_WAIT: Duration = Duration::from_millis(500);

/// What one reading has put up with since its last good page.
#[derive(Debug, Default)]
pub(super) struct Patience {
    faults: u32,
    throttles: u32,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask the same again, as soon as a pace allows that has been told of the refusal.
    AtItsPace,
    /// Ask the same again after this long.
    After(Duration),
    /// Start what is left of the reading again, without a token.
    Anew,
    /// Give the reading up.
    GiveUp,
}

impl Patience {
    /// A page came.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// None came, for a reason of this class.
    pub(super) fn failed(&mut self, class: LookupClass) -> Next {
        match class {
            LookupClass::Throttled if self.throttles < MAX_THROTTLES => {
                self.throttles += 1;
                Next::AtItsPace
            }
            LookupClass::Transient | LookupClass::Skewed if self.faults < MAX_FAULTS => {
                self.faults += 1;
                Next::After(FIRST_FAULT_WAIT * (1 << (self.faults - 1)))
            }
            LookupClass::TokenRefused => Next::Anew,
            _ => Next::GiveUp,
        }
    }

    /// Throttled requests in a row.
    pub(super) fn throttles(&self) -> u32 {
        self.throttles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_where_its_limits_are_and_begins_anew_with_a_page() {
        let mut patience = Patience::default();
        for _ in 0..2 {
            for millis in [500, 1000, 2000] {
                assert_eq!(patience.failed(LookupClass::Transient), Next::After(Duration::from_millis(millis)));
            }
            assert_eq!(patience.failed(LookupClass::Transient), Next::GiveUp);
            for throttles in 1..=10 {
                assert_eq!(patience.failed(LookupClass::Throttled), Next::AtItsPace);
                assert_eq!(patience.throttles(), throttles);
            }
            assert_eq!(patience.failed(LookupClass::Throttled), Next::GiveUp);
            assert_eq!(patience.failed(LookupClass::TokenRefused), Next::Anew);
            for class in [LookupClass::Stranger, LookupClass::Denied, LookupClass::Refused] {
                assert_eq!(patience.failed(class), Next::GiveUp);
            }
            patience.answered();
        }
    }
}
