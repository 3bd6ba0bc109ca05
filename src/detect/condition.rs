//! Which accesses are meant: what a rule, a step of a sequence and an entry of the allow-list say with the same keys.
//!
//! A [`Condition`] is a list of demands of which each must be met; a key that is not set demands nothing. Whether one is
//! met is a pure function of the access as it is stored, so that it can be asked again at any time: when a rule changes,
//! and when somebody wants to know why they were not told ([`Condition::verdicts`]).

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::pattern::{Clause, Pattern};
use super::rule::Fields;
use crate::model::{Access, Outcome, Secret};

/// Which accesses are meant.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Event names; none: every event.
    pub events: Vec<String>,
    /// The outcome; none: any.
    pub outcome: Option<Outcome>,
    /// Globs over the secret's name or ARN; none: all, and accesses that name no secret.
    pub secrets: Globs,
    /// Tags of the secret, each with globs over its value. A secret whose tag is not known meets them: better one alert
    /// too many than none because an inventory was late.
    pub secret_tags: BTreeMap<String, Globs>,
    /// Globs over the principal's ARN; none: all.
    pub principals: Globs,
    /// Principals that are not meant.
    pub exclude_principals: Globs,
    /// A filter pattern over the record; none: every record.
    pub pattern: Option<Pattern>,
}

/// One key of a condition, the cheapest to ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Events,
    Outcome,
    Secrets,
    SecretTags,
    Principals,
    ExcludePrincipals,
    Pattern,
}

/// Whether one key's demand is met by one access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The key, as in the configuration.
    pub key: &'static str,
    /// What it demands.
    pub wanted: String,
    /// What the access has.
    pub found: String,
    /// Whether it is met.
    pub holds: bool,
}

impl Key {
    const ALL: [Self; 7] = [
        Self::Events,
        Self::Outcome,
        Self::Secrets,
        Self::SecretTags,
        Self::Principals,
        Self::ExcludePrincipals,
        Self::Pattern,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Outcome => "outcome",
            Self::Secrets => "secrets",
            Self::SecretTags => "secret_tags",
            Self::Principals => "principals",
            Self::ExcludePrincipals => "exclude_principals",
            Self::Pattern => "pattern",
        }
    }
}

impl Condition {
    /// Whether `access` is meant.
    #[must_use]
    pub fn matches(&self, access: &Access) -> bool {
        Key::ALL.into_iter().all(|key| self.holds(key, access))
    }

    /// What each key that is set makes of `access`.
    #[must_use]
    pub fn verdicts(&self, access: &Access) -> Vec<Verdict> {
        let set = Key::ALL.into_iter().filter(|key| self.demands(*key));
        set.map(|key| Verdict {
            key: key.word(),
            wanted: self.wanted(key),
            found: self.found(key, access),
            holds: self.holds(key, access),
        })
        .collect()
    }

    /// Whether it has to look at records themselves.
    #[must_use]
    pub fn reads_records(&self) -> bool {
        self.pattern.is_some()
    }

    /// The tags of secrets that it asks for.
    pub fn tags(&self) -> impl Iterator<Item = &String> {
        self.secret_tags.keys()
    }

    /// Feeds what it means. A condition without keys of later versions feeds what the first version did, so that an
    /// upgrade counts nothing again.
    pub(super) fn feed(&self, hash: &mut Fields) {
        hash.list(&self.events);
        hash.maybe(self.outcome.map(Outcome::word));
        hash.list(&self.secrets.texts);
        hash.list(&self.principals.texts);
        hash.list(&self.exclude_principals.texts);
        if !self.secret_tags.is_empty() {
            hash.some("secret_tags");
            for (tag, values) in &self.secret_tags {
                hash.some(tag);
                hash.list(&values.texts);
            }
        }
        if let Some(pattern) = &self.pattern {
            hash.some("pattern");
            hash.some(pattern.text());
        }
    }

    fn demands(&self, key: Key) -> bool {
        match key {
            Key::Events => !self.events.is_empty(),
            Key::Outcome => self.outcome.is_some(),
            Key::Secrets => !self.secrets.is_empty(),
            Key::SecretTags => !self.secret_tags.is_empty(),
            Key::Principals => !self.principals.is_empty(),
            Key::ExcludePrincipals => !self.exclude_principals.is_empty(),
            Key::Pattern => self.pattern.is_some(),
        }
    }

    fn holds(&self, key: Key, access: &Access) -> bool {
        if !self.demands(key) {
            return true;
        }
        let secret = access.secret.as_ref();
        match key {
            Key::Events => self.events.contains(&access.event),
            Key::Outcome => self.outcome == Some(access.outcome),
            Key::Secrets => secret.is_some_and(|secret| self.names(secret)),
            Key::SecretTags => secret.is_some_and(|secret| self.has_tags(secret)),
            Key::Principals => self.principals.matches(&access.principal.key()),
            Key::ExcludePrincipals => !self.exclude_principals.matches(&access.principal.key()),
            Key::Pattern => self.pattern.as_ref().is_none_or(|pattern| match &access.record {
                Some(record) => pattern.matches(record),
                // Too large to be kept, and too unusual to be passed over.
                None => access.oversize,
            }),
        }
    }

    /// By name or by ARN, however the caller spelt it: an ARN can be told from every spelling.
    fn names(&self, secret: &Secret) -> bool {
        self.secrets.matches(&secret.name)
            || self.secrets.matches(&secret.partial_arn())
            || secret.requested.as_ref().is_some_and(|text| self.secrets.matches(text))
    }

    fn has_tags(&self, secret: &Secret) -> bool {
        let Some(tags) = &secret.tags else { return true };
        self.secret_tags.iter().all(|(tag, values)| match tags.get(tag) {
            Some(Some(value)) => values.matches(value),
            Some(None) => false,
            None => true,
        })
    }

    fn wanted(&self, key: Key) -> String {
        match key {
            Key::Events => one_of(&self.events),
            Key::Outcome => self.outcome.map_or("any", Outcome::word).to_owned(),
            Key::Secrets => one_of(self.secrets.texts()),
            Key::SecretTags => {
                let tags = self.secret_tags.iter().map(|(tag, values)| format!("{tag} = {}", one_of(values.texts())));
                tags.collect::<Vec<_>>().join(" and ")
            }
            Key::Principals => one_of(self.principals.texts()),
            Key::ExcludePrincipals => format!("not {}", one_of(self.exclude_principals.texts())),
            Key::Pattern => self.pattern.as_ref().map(|pattern| pattern.text().to_owned()).unwrap_or_default(),
        }
    }

    fn found(&self, key: Key, access: &Access) -> String {
        const NONE: &str = "none";
        let secret = access.secret.as_ref();
        match key {
            Key::Events => access.event.clone(),
            Key::Outcome => access.outcome.word().to_owned(),
            Key::Secrets => secret.map_or(NONE.to_owned(), |secret| secret.name.clone()),
            Key::SecretTags => secret.map_or(NONE.to_owned(), |secret| self.tags_found(secret)),
            Key::Principals | Key::ExcludePrincipals => access.principal.key(),
            Key::Pattern => self.found_in_record(access),
        }
    }

    fn tags_found(&self, secret: &Secret) -> String {
        let found = self.secret_tags.keys().map(|tag| match secret.tags.as_ref().and_then(|tags| tags.get(tag)) {
            Some(Some(value)) => format!("{tag} = {value}"),
            Some(None) => format!("no tag {tag}"),
            None => format!("{tag} not known, which counts"),
        });
        found.collect::<Vec<_>>().join(", ")
    }

    fn found_in_record(&self, access: &Access) -> String {
        match (&self.pattern, &access.record) {
            (Some(pattern), Some(record)) => {
                pattern.explain(record).iter().map(in_words).collect::<Vec<_>>().join("; ")
            }
            _ if access.oversize => "a record too large to be kept, which counts".to_owned(),
            _ => "the record was not kept".to_owned(),
        }
    }
}

/// A list of globs, of which one must match. `*` also matches `/`, since secrets and roles are named like paths and
/// `prod/*` is meant to hold all of production.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// Compiles the globs; the error names the first that is none.
    pub fn new(texts: &[String]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for text in texts {
            builder.add(GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build()?);
        }
        Ok(Self { texts: texts.to_vec(), set: builder.build()? })
    }

    /// The same over secrets, where an ARN may be written as the console shows it: what is matched has lost its final
    /// `-` and six characters, since not every spelling of a secret has them.
    pub fn of_secrets(texts: &[String]) -> Result<Self, globset::Error> {
        let mut globs = Self::new(texts)?;
        let cut = texts.iter().filter_map(|text| {
            let (head, suffix) = text.rsplit_once('-')?;
            let is_suffix = suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric() || c == '?');
            (text.starts_with("arn:") && is_suffix).then(|| head.to_owned())
        });
        globs.set = Self::new(&texts.iter().cloned().chain(cut).collect::<Vec<_>>())?.set;
        Ok(globs)
    }

    /// The globs as they were written.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }
}

/// What one part of a pattern makes of the record.
fn in_words(clause: &Clause) -> String {
    let Clause { text, found, holds, ignored } = clause;
    let found = found.as_deref().unwrap_or("nothing there");
    match (ignored, holds) {
        (true, _) => format!("{text}: plays no part"),
        (false, true) => format!("{text}: holds, {found}"),
        (false, false) => format!("{text}: does not hold, {found}"),
    }
}

fn one_of(texts: &[String]) -> String {
    texts.join(" or ")
}
