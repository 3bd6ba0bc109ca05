//! The keys that a configuration can have, in one table.
//!
//! Readers may only ask for keys that stand here, what is left over in a file is unknown by this table, and the example
//! file is tested against it.

/// The keys of one table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// How [`known_keys`] writes what comes before a key: `poll.`, `rule[].`.
    prefix: &'static str,
    /// The keys.
    pub(super) keys: &'static [&'static str],
}

/// The top level.
pub(super) const ROOT: Section = Section {
    prefix: "",
    keys: &["state_dir", "use", "poll", "account", "rule", "allow", "notify", "digest", "heartbeat", "status"],
};

/// `[poll]`.
pub(super) const POLL: Section = Section {
    prefix: "poll.",
    keys: &[
        "interval",
        "schedule",
        "lateness",
        "backfill",
        "requests_per_second",
        "recheck",
        "stale_after",
        "event_sources",
        "retention",
        "inventory",
        "narrow_when_behind",
    ],
};

/// `[[account]]`.
pub(super) const ACCOUNT: Section =
    Section { prefix: "account[].", keys: &["name", "role_arn", "external_id", "regions"] };

/// `[[rule]]`.
pub(super) const RULE: Section = Section {
    prefix: "rule[].",
    keys: &[
        "name",
        "description",
        "severity",
        "runbook",
        "events",
        "outcome",
        "secrets",
        "secret_tags",
        "principals",
        "exclude_principals",
        "pattern",
        "statistic",
        "threshold",
        "window",
        "steps",
        "within",
        "first_seen",
        "group_by",
        "hold",
        "update_every",
        "notify",
    ],
};

/// An element of a rule's `steps`.
pub(super) const STEP: Section = Section {
    prefix: "rule[].steps[].",
    keys: &[
        "events",
        "outcome",
        "secrets",
        "secret_tags",
        "principals",
        "exclude_principals",
        "pattern",
        "statistic",
        "threshold",
    ],
};

/// A rule's `first_seen`.
pub(super) const FIRST_SEEN: Section =
    Section { prefix: "rule[].first_seen.", keys: &["of", "memory", "learn", "seed"] };

/// `[[allow]]`.
pub(super) const ALLOW: Section = Section {
    prefix: "allow[].",
    keys: &[
        "name",
        "owner",
        "reason",
        "until",
        "rules",
        "events",
        "outcome",
        "secrets",
        "secret_tags",
        "principals",
        "exclude_principals",
        "pattern",
        "at_most",
    ],
};

/// What the file of built-in rules says of a rule besides.
pub(super) const CATALOGUE: Section = Section {
    prefix: "rule[].catalogue.",
    keys: &["reason", "which", "technique", "recommended", "with", "needs_key", "needs_source"],
};

/// `[notify.NAME]`, whatever its type.
pub(super) const NOTIFIER: Section = Section {
    prefix: "notify.*.",
    keys: &[
        "type",
        "topic_arn",
        "format",
        "url",
        "url_env",
        "url_file",
        "signing_secret_file",
        "signing_secret_env",
        "headers",
        "timeout",
        "template",
        "content_type",
        "routing_key_file",
        "routing_key_env",
        "min_severity",
        "retry_for",
        "send_resolved",
        "fallback",
        "fallback_after",
    ],
};

/// Keys of [`NOTIFIER`] that only an SNS topic has.
pub(super) const SNS_ONLY: &[&str] = &["topic_arn"];

/// Keys of [`NOTIFIER`] that only a webhook has.
pub(super) const WEBHOOK_ONLY: &[&str] = &[
    "url",
    "url_env",
    "url_file",
    "signing_secret_file",
    "signing_secret_env",
    "headers",
    "timeout",
    "template",
    "content_type",
    "routing_key_file",
    "routing_key_env",
];

/// `[digest]`.
pub(super) const DIGEST: Section = Section { prefix: "digest.", keys: &["schedule", "since", "notify"] };

/// `[heartbeat]`.
pub(super) const HEARTBEAT: Section =
    Section { prefix: "heartbeat.", keys: &["url", "url_env", "url_file", "every", "timeout"] };

/// `[status]`.
pub(super) const STATUS: Section = Section { prefix: "status.", keys: &["listen", "token_file"] };

/// The `statistic` of a rule, when it is a table.
pub(super) const STATISTIC: Section = Section { prefix: "rule[].statistic.", keys: &["distinct"] };

/// Every key that takes a value, as a path: `poll.interval`, `rule[].name`, `notify.*.url`.
#[must_use]
pub fn known_keys() -> Vec<String> {
    let of = |section: &'static Section| section.keys.iter().map(|key| format!("{}{key}", section.prefix));
    let tables = ["poll", "account", "rule", "allow", "notify", "digest", "heartbeat", "status"];
    let top = of(&ROOT).filter(|key| !tables.contains(&key.as_str()));
    top.chain([&POLL, &ACCOUNT, &RULE, &ALLOW, &NOTIFIER, &DIGEST, &HEARTBEAT, &STATUS].into_iter().flat_map(of))
        .collect()
}

/// The header of the table that has `key`, for a key that was written in the wrong one. Of several, the first: a key
/// that many tables have says little about where it was meant to be.
pub(super) fn home_of(key: &str) -> Option<&'static str> {
    let homes = [
        (&POLL, "[poll]"),
        (&ACCOUNT, "[[account]]"),
        (&RULE, "[[rule]]"),
        (&ALLOW, "[[allow]]"),
        (&NOTIFIER, "[notify.NAME]"),
        (&DIGEST, "[digest]"),
        (&HEARTBEAT, "[heartbeat]"),
        (&STATUS, "[status]"),
    ];
    let mut found = homes.iter().filter(|(section, _)| section.keys.contains(&key)).map(|(_, header)| *header);
    let top = "the top of the file, before the first table";
    found.next().or_else(|| ROOT.keys.contains(&key).then_some(top))
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is longer than any key by half is nothing mistyped, and comparing it would take its time.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let mistakes = 1 + word.chars().count() / 4;
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= mistakes)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `, did you mean "x"?`, or nothing where nothing is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|known| format!(", did you mean {known:?}?")).unwrap_or_default()
}
