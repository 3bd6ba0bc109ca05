//! What is allowed and in all likelihood not meant: a field that CloudTrail does not write, a comparison that says less
//! than it seems to.
//!
//! The field names are those of AWS's record reference. AWS adds to them, which is why an unknown one is no error.

use super::compare::{Comparison, Selector, Step, Test, Wanted};
use super::terms::{Role, Terms};
use super::{Form, Logic, Pattern};

/// Members of a record.
const FIELDS: [&str; 32] = [
    "additionalEventData",
    "addendum",
    "apiVersion",
    "awsRegion",
    "edgeDeviceDetails",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventContext",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "insightDetails",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "vpcEndpointAccountId",
    "vpcEndpointId",
];

/// Members of `userIdentity`.
const IDENTITY_FIELDS: [&str; 14] = [
    "accessKeyId",
    "accountId",
    "arn",
    "credentialId",
    "identityProvider",
    "identityStoreArn",
    "inScopeOf",
    "invokedBy",
    "onBehalfOf",
    "principalId",
    "sessionContext",
    "type",
    "userId",
    "userName",
];

/// Members of a record that are objects or arrays, or null.
const CONTAINERS: [&str; 11] = [
    "additionalEventData",
    "addendum",
    "edgeDeviceDetails",
    "eventContext",
    "insightDetails",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "tlsDetails",
    "userIdentity",
];

/// What most records lack, and what it means that it is there.
const MOSTLY_ABSENT: [&str; 4] = ["$.errorCode", "$.errorMessage", "$.userIdentity.invokedBy", "$.vpcEndpointId"];

/// Truth values that CloudTrail writes as texts.
const TRUTHS_AS_TEXT: [&str; 2] =
    ["$.sessionCredentialFromConsole", "$.userIdentity.sessionContext.attributes.mfaAuthenticated"];

/// Unlike enough not to be meant.
const MAX_DISTANCE: usize = 3;

impl Pattern {
    /// What may be a mistake, a sentence each; none of it keeps the pattern from being used.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = match &self.form {
            Form::Terms(terms) => of_terms(terms),
            Form::Json(_, logic) => of_comparisons(logic),
        };
        warnings.extend(self.dead_part().map(|reason| format!("a part of the pattern can never hold: {reason}")));
        warnings
    }
}

fn of_terms(terms: &Terms) -> Vec<String> {
    let ignored = terms.iter().find(|term| term.role == Role::Optional && terms.ignores_optional());
    let ignored = ignored.map(|term| {
        format!("`{}` has no effect: as in CloudWatch Logs, terms with `?` are ignored beside terms without", term.text)
    });
    let words = terms.iter().filter(|term| matches!(term.text.as_str(), "AND" | "OR" | "NOT"));
    let words = words.map(|term| {
        format!("`{}` is a term like any other; `A B` asks for both, `?A ?B` for one of them, `-A` for none", term.text)
    });
    ignored.into_iter().chain(words).collect()
}

fn of_comparisons(logic: &Logic) -> Vec<String> {
    let mut comparisons = Vec::new();
    logic.for_each(&mut |comparison| comparisons.push(comparison));
    let mut warnings: Vec<String> = Vec::new();
    for comparison in &comparisons {
        let hints = [
            unknown_field(&comparison.selector),
            compared_container(comparison),
            compared_null(comparison),
            truth_as_text(comparison),
            absent_differs(comparison, &comparisons),
        ];
        // One hint is enough for one comparison, and one comparison for equal hints.
        let hint = hints.into_iter().flatten().next();
        warnings.extend(hint.filter(|hint| !warnings.contains(hint)));
    }
    warnings
}

fn unknown_field(selector: &Selector) -> Option<String> {
    let [Step::Member(first), rest @ ..] = selector.path.as_slice() else { return None };
    if first == "userIdentity"
        && let [Step::Member(second), ..] = rest
    {
        let right = IDENTITY_FIELDS.iter().find(|field| field.eq_ignore_ascii_case(second))?;
        return (right != second)
            .then(|| format!("CloudTrail writes `$.userIdentity.{right}`, not `$.userIdentity.{second}`"));
    }
    if FIELDS.contains(&first.as_str()) {
        return None;
    }
    let wrapped = match (first.as_str(), rest) {
        ("detail", _) => Some(("EventBridge", rest)),
        ("Records", [Step::Element(_), rest @ ..]) => Some(("a log file", rest)),
        ("CloudTrailEvent", _) => Some(("LookupEvents", rest)),
        _ => None,
    };
    if let Some((whose, rest)) = wrapped.filter(|(_, rest)| !rest.is_empty()) {
        let right = Selector { field: None, path: rest.to_vec(), each: selector.each.clone() };
        return Some(format!("`{selector}` is how {whose} wraps records; here it is `{right}`"));
    }
    Some(match nearest(first) {
        Some(field) => format!("records have no field `{first}`; did you mean `$.{field}`?"),
        None => format!("CloudTrail's records have no field `{first}`, as far as its documentation goes"),
    })
}

fn nearest(name: &str) -> Option<&'static str> {
    // Other spellings of the same words: event_name, EventName, sourceIpAddress.
    let letters = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let distance = |field: &str| strsim::damerau_levenshtein(&letters(field), &letters(name));
    let field = FIELDS.into_iter().min_by_key(|field| distance(field))?;
    (distance(field) <= MAX_DISTANCE.min(name.len() / 2)).then_some(field)
}

fn compared_container(comparison: &Comparison) -> Option<String> {
    let Selector { path, each: None, .. } = &comparison.selector else { return None };
    let [Step::Member(field)] = path.as_slice() else { return None };
    let compares = matches!(comparison.test, Test::Equals(_) | Test::Differs(_) | Test::Order(..) | Test::Is(_));
    (compares && CONTAINERS.contains(&field.as_str()))
        .then(|| format!("`$.{field}` holds fields and is no value itself: compare one of them, or `$.{field}.*`"))
}

fn compared_null(comparison: &Comparison) -> Option<String> {
    let Test::Equals(Wanted::Text(glob)) = &comparison.test else { return None };
    let is_null = glob.literal().is_some_and(|text| text.eq_ignore_ascii_case("null"));
    (is_null && !comparison.text.ends_with('"'))
        .then(|| format!("`{}` asks for the text; `{} IS NULL` asks for null", comparison.text, comparison.selector))
}

fn truth_as_text(comparison: &Comparison) -> Option<String> {
    let Test::Is(truth) = comparison.test else { return None };
    let selector = comparison.selector.to_string();
    TRUTHS_AS_TEXT
        .contains(&selector.as_str())
        .then(|| format!("CloudTrail writes `{selector}` as a text: `{selector} = \"{truth}\"`"))
}

/// `!=` does not hold of what is absent, and the absence is the ordinary case.
fn absent_differs(comparison: &Comparison, all: &[&Comparison]) -> Option<String> {
    let selector = comparison.selector.to_string();
    let differs = matches!(comparison.test, Test::Differs(_)) && MOSTLY_ABSENT.contains(&selector.as_str());
    let seen = || {
        let same = |other: &&&Comparison| other.selector.to_string() == selector;
        all.iter().filter(same).any(|other| !matches!(other.test, Test::Differs(_)))
    };
    (differs && !seen()).then(|| {
        format!(
            "`{}` does not hold where there is no `{selector}`; add `|| {selector} NOT EXISTS` to count \
             those records too",
            comparison.text
        )
    })
}
