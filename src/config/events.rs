//! The events that CloudTrail is known to record, for those who mistype one.
//!
//! Both lists grow without our hearing of it, so a name that is not in them is no mistake: only one that differs from a
//! known name in its capitals alone is, since CloudTrail tells capitals apart.

use super::keys::nearest;

/// One service's events.
struct Source {
    /// As in `poll.event_sources`.
    name: &'static str,
    events: &'static [&'static str],
    /// Those that name no secret, or several at once.
    without_secret: &'static [&'static str],
}

/// The services whose events we know.
const SOURCES: [Source; 2] = [
    Source {
        name: "secretsmanager.amazonaws.com",
        events: &[
            "GetSecretValue",
            "BatchGetSecretValue",
            "DescribeSecret",
            "ListSecrets",
            "ListSecretVersionIds",
            "GetResourcePolicy",
            "GetRandomPassword",
            "CreateSecret",
            "PutSecretValue",
            "UpdateSecret",
            "UpdateSecretVersionStage",
            "DeleteSecret",
            "RestoreSecret",
            "RotateSecret",
            "CancelRotateSecret",
            "PutResourcePolicy",
            "DeleteResourcePolicy",
            "ValidateResourcePolicy",
            "ReplicateSecretToRegions",
            "RemoveRegionsFromReplication",
            "StopReplicationToReplica",
            "TagResource",
            "UntagResource",
            "RotationStarted",
            "RotationSucceeded",
            "RotationFailed",
            "RotationAbandoned",
            "TestRotationStarted",
            "TestRotationSucceeded",
            "TestRotationFailed",
            "StartSecretVersionDelete",
            "CancelSecretVersionDelete",
            "EndSecretVersionDelete",
            "SecretVersionDeletion",
        ],
        without_secret: &["ListSecrets", "GetRandomPassword"],
    },
    Source {
        name: CLOUDTRAIL,
        events: &[
            "CreateTrail",
            "UpdateTrail",
            "DeleteTrail",
            "StartLogging",
            "StopLogging",
            "PutEventSelectors",
            "PutInsightSelectors",
            "GetTrail",
            "GetTrailStatus",
            "GetEventSelectors",
            "GetInsightSelectors",
            "DescribeTrails",
            "ListTrails",
            "LookupEvents",
            "AddTags",
            "RemoveTags",
            "ListTags",
            "CreateEventDataStore",
            "UpdateEventDataStore",
            "DeleteEventDataStore",
            "RestoreEventDataStore",
            "StartEventDataStoreIngestion",
            "StopEventDataStoreIngestion",
            "StartQuery",
            "CancelQuery",
        ],
        without_secret: &[],
    },
];

/// CloudTrail's own events.
pub(super) const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";

/// What the names of event sources end in.
const ENDING: &str = ".amazonaws.com";

/// The event that `name` is, but for its capitals.
pub(super) fn in_other_capitals(name: &str) -> Option<&'static str> {
    all().find(|event| event.eq_ignore_ascii_case(name) && *event != name)
}

/// What is doubtful about an event of this name where `sources` are looked up; none: nothing.
pub(super) fn doubt(name: &str, sources: &[String]) -> Option<String> {
    if let Some(source) = SOURCES.iter().find(|source| source.events.contains(&name)) {
        let is_read = sources.iter().any(|read| read == source.name);
        return (!is_read).then(|| {
            format!("poll.event_sources does not hold {:?}, whose event {name} is; it will not be seen", source.name)
        });
    }
    // What a source that we do not know calls its events, nobody here can tell.
    if sources.iter().any(|read| SOURCES.iter().all(|source| source.name != read)) {
        return None;
    }
    let near = nearest(name, all()).map(|near| format!(", did you mean {near:?}?"));
    let rest = near.unwrap_or_else(|| "; if it is mistyped, it counts nothing".to_owned());
    Some(format!("no event called {name:?} is known{rest}"))
}

/// What is doubtful about looking up the event source of this name; none: nothing.
pub(super) fn doubt_of_source(name: &str) -> Option<String> {
    let Some(service) = name.strip_suffix(ENDING) else {
        return Some(format!("event sources end in {ENDING:?}; if it is mistyped, nothing is found"));
    };
    // Short names are near to one another, and there are too many of them to know.
    const TELLING: usize = 6;
    let known = || SOURCES.iter().map(|source| source.name.trim_end_matches(ENDING));
    if service.len() < TELLING || known().any(|known| known == service) {
        return None;
    }
    let near = nearest(service, known())?;
    Some(format!("no event source called {name:?} is known, did you mean {:?}?", format!("{near}{ENDING}")))
}

/// Whether every one of `events` names no secret; false if there is none.
pub(super) fn name_no_secret(events: &[String]) -> bool {
    let without = |event: &String| SOURCES.iter().any(|source| source.without_secret.contains(&event.as_str()));
    let of_another = |event: &String| SOURCES[1..].iter().any(|source| source.events.contains(&event.as_str()));
    !events.is_empty() && events.iter().all(|event| without(event) || of_another(event))
}

fn all() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().flat_map(|source| source.events).copied()
}
