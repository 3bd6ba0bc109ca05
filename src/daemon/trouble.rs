//! What a lookup that failed says about its source: AWS's errors in the terms of [`Trouble`].

use std::error::Error;

use crate::detect::Trouble;
use crate::model::{WallTime, printable};
use crate::notify::with_causes;
use crate::trail::{LookupClass, LookupError};

/// Longest text of AWS's that is kept, in characters.
const SAID_MAX: usize = 500;

/// The trouble behind `error`, which came when the local clock showed `now`, after so many throttled requests in a row.
#[must_use]
pub fn trouble(error: &LookupError, in_a_row: u32, now: WallTime) -> Trouble {
    match (error.class, error.date) {
        (LookupClass::Throttled, _) => Trouble::Throttled { in_a_row },
        (LookupClass::Skewed, Some(date)) => {
            Trouble::Clock { ahead_secs: now.second().0.saturating_sub(date.second().0) }
        }
        (LookupClass::Skewed | LookupClass::Transient, _) => Trouble::Unreachable(said(error)),
        (LookupClass::Stranger, _) => Trouble::NoCredentials(said(error)),
        (LookupClass::Denied, _) => Trouble::Denied(said(error)),
        (LookupClass::TokenRefused | LookupClass::Refused, _) => Trouble::Refused(said(error)),
    }
}

/// What was said or met with, on one line, without what the trouble says itself.
fn said(error: &LookupError) -> String {
    let parts = [error.reason.clone(), error.source().map(with_causes)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let said = if parts.is_empty() { error.to_string() } else { parts.join(": ") };
    printable(&said, SAID_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::{Answer, Loopback, sdk};
    use crate::model::{EventTime, Span};
    use crate::trail::{Filter, Lookup, Query};

    /// 2026-05-27T18:45:54Z.
    const DATE: &str = "Wed, 27 May 2026 18:45:54 GMT";
    const NOW: WallTime = WallTime(1_779_908_154_000);

    async fn met(url: &str) -> Trouble {
        let span = Span { from: EventTime(0), to: EventTime(1) };
        let query = Query { filter: Filter::EventName("GetSecretValue".to_owned()), span };
        let error = Lookup::new((&sdk(url)).into()).page(&query, None).await.unwrap_err();
        trouble(&error, 3, NOW)
    }

    async fn refused(status: u16, code: &str) -> Trouble {
        let body = serde_json::json!({ "__type": code, "message": "line\nbreak" }).to_string();
        met(Loopback::serving([Answer::new(status, body).header("date", DATE)]).await.url()).await
    }

    #[tokio::test]
    async fn every_refusal_is_a_trouble() {
        let with = |code: &str| format!("{code}: line?break");
        for (status, code, expected) in [
            (400, "AccessDeniedException", Trouble::Denied(with("AccessDeniedException"))),
            (403, "OptInRequired", Trouble::Denied(with("OptInRequired"))),
            (400, "ExpiredTokenException", Trouble::NoCredentials(with("ExpiredTokenException"))),
            (400, "UnrecognizedClientException", Trouble::NoCredentials(with("UnrecognizedClientException"))),
            (400, "ThrottlingException", Trouble::Throttled { in_a_row: 3 }),
            (500, "InternalFailure", Trouble::Unreachable(with("InternalFailure"))),
            (400, "InvalidTimeRangeException", Trouble::Refused(with("InvalidTimeRangeException"))),
            (400, "InvalidNextTokenException", Trouble::Refused(with("InvalidNextTokenException"))),
            (400, "RequestTimeTooSkewed", Trouble::Clock { ahead_secs: 600 }),
        ] {
            assert_eq!(refused(status, code).await, expected, "{status} {code}");
        }
    }

    #[tokio::test]
    async fn what_nobody_answered_says_why() {
        let Trouble::Unreachable(why) = met("http://127.0.0.1:1").await else { panic!("reached") };
        assert!(why.contains("refused"), "{why}");
        let garbled = Loopback::serving([Answer::new(200, "<html>")]).await;
        assert!(matches!(met(garbled.url()).await, Trouble::Unreachable(_)));
    }
}
