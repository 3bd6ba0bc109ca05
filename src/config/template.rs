//! `template = "file"`: a body of the operator's own, in minijinja.
//!
//! A template that is wrong at three in the morning is an alert that nobody gets. So the file is read and compiled
//! where the configuration is checked, and filled in with a sample of every kind of alert there; whoever holds a
//! [`Template`] has one that works for those. What is not there is an error and not an empty text, in conditions too,
//! since a name that is misspelt would never show; every key of an alert is always there, if only as `none`.
//!
//! Whatever is filled in is escaped by what the body is: as JSON values where the content type is JSON, for markup
//! where it is HTML or XML, and not at all in plain text. Absent on purpose: files that include others.

use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::load::read_at_most;
use crate::model::{Alert, sample_alerts};

/// Size of a template's file, in bytes, at most.
pub const MAX_TEMPLATE_BYTES: u64 = 256 * 1024;

/// Size of a body that was filled in, in bytes, at most: several times the largest alert.
const BODY_MAX: usize = 1024 * 1024;

/// Steps of one filling in. A list of five hundred accesses with everything in them takes a tenth of that.
const STEPS: u64 = 1_000_000;

/// What the body is taken for where nothing is said.
const CONTENT_TYPE: &str = "application/json";

/// Keys that an alert leaves out where they say nothing.
const NOT_ALWAYS: [&str; 3] = ["reason", "trouble", "advice"];

/// A template that was tried.
pub struct Template {
    path: PathBuf,
    content_type: String,
    environment: Environment<'static>,
}

/// A template that cannot be used, or cannot be used for some alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BadTemplate {
    text: String,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("path", &self.path)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Reads the file at `path`, compiles it and fills it in with every kind of alert.
    pub fn read(path: &Path, content_type: Option<&str>) -> Result<Self, BadTemplate> {
        let bad = |text: String| BadTemplate { text };
        let bytes = read_at_most(path, MAX_TEMPLATE_BYTES).map_err(|e| bad(format!("{path:?} cannot be read: {e}")))?;
        let text = String::from_utf8(bytes).map_err(|_| bad(format!("{path:?} is not UTF-8")))?;
        let content_type = content_type.unwrap_or(CONTENT_TYPE).to_owned();
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(STEPS));
        let escape = escape(&content_type);
        environment.set_auto_escape_callback(move |_| escape.clone());
        let name = path.display().to_string();
        environment.add_template_owned(name, text).map_err(|error| bad(told(path, &error)))?;
        let template = Self { path: path.to_owned(), content_type, environment };
        template.try_out()?;
        Ok(template)
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its bodies are.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The body for `alert`; `fallback_for` is the notifier that it stands in for.
    pub fn fill_in(&self, alert: &Alert, fallback_for: Option<&str>) -> Result<String, BadTemplate> {
        let bad = |text: String| BadTemplate { text };
        let mut keys = serde_json::to_value(alert).map_err(|e| bad(format!("alert is no JSON: {e}")))?;
        if let Value::Object(keys) = &mut keys {
            for key in NOT_ALWAYS {
                keys.entry(key).or_insert(Value::Null);
            }
            keys.insert("fallback_for".to_owned(), fallback_for.map_or(Value::Null, Value::from));
        }
        let name = self.path.display().to_string();
        let template = self.environment.get_template(&name);
        let body = template.and_then(|template| template.render(Serde(&keys)));
        let body = body.map_err(|error| bad(told(&self.path, &error)))?;
        if body.len() > BODY_MAX {
            return Err(bad(format!("{:?} makes more than {BODY_MAX} bytes of an alert", self.path)));
        }
        Ok(body)
    }

    /// Fills it in with every kind of alert, by way of a fallback too. Where it should be JSON, it has to be.
    fn try_out(&self) -> Result<(), BadTemplate> {
        for alert in sample_alerts() {
            for fallback_for in [None, Some("notifier")] {
                let body = self.fill_in(&alert, fallback_for).map_err(|BadTemplate { text }| BadTemplate {
                    text: format!("{text}; tried with an alert of kind {:?}", alert.kind.word()),
                })?;
                if escape(&self.content_type) == AutoEscape::Json
                    && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
                {
                    let (path, kind) = (&self.path, alert.kind.word());
                    let text = format!("{path:?} makes no JSON of an alert of kind {kind:?}: {error} of the body");
                    return Err(BadTemplate { text });
                }
            }
        }
        Ok(())
    }
}

/// What `text` must be to be a content type.
pub(super) fn is_content_type(text: &str) -> bool {
    let essence = essence(text);
    let halves = essence.split_once('/');
    let word =
        |half: &str| !half.is_empty() && half.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    // What a form is made of cannot be told apart in a text once it is there.
    let is_form = essence == "application/x-www-form-urlencoded";
    halves.is_some_and(|(kind, sort)| word(kind) && word(sort)) && HeaderValue::from_str(text).is_ok() && !is_form
}

/// The content type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn escape(content_type: &str) -> AutoEscape {
    let essence = essence(content_type);
    let sort = essence.split_once('/').map_or("", |(_, sort)| sort);
    if sort == "json" || sort.ends_with("+json") {
        AutoEscape::Json
    } else if matches!(sort, "html" | "xml") || sort.ends_with("+xml") {
        AutoEscape::Html
    } else {
        AutoEscape::None
    }
}

/// `/etc/secretwatch/ticket.j2:3: undefined value: …`
fn told(path: &Path, error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{line}: {}{detail}", path.display(), error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AlertKind;
    use crate::model::fixture::{access, alert};

    fn read(text: &str, content_type: Option<&str>) -> Result<Template, BadTemplate> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.j2");
        std::fs::write(&path, text).unwrap();
        let template = Template::read(&path, content_type);
        template.map_err(|BadTemplate { text }| BadTemplate { text: text.replace(&path.display().to_string(), "t.j2") })
    }

    #[track_caller]
    fn wrong(text: &str, expected: &str) {
        let error = read(text, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n  expected {expected}\n  found    {error}");
    }

    #[test]
    fn mistakes_are_found_where_the_configuration_is_checked() {
        wrong("{\n{{ ", "t.j2:2: syntax error");
        wrong("{}\n{% include 'x' %}", "t.j2:2: ");
        wrong("{\"a\":\n{{ sumary }}}", "t.j2:2: undefined value; tried with an alert of kind \"opened\"");
        wrong("{% if sumary %}1{% endif %}", "t.j2:1: undefined value");
        wrong("{{ accesses[0].event }}", "; tried with an alert of kind \"resolved\"");
        wrong("{{ summary | shout }}", "t.j2:1: unknown filter");
        wrong("{\"a\": \"{{ summary }}\"}", "makes no JSON of an alert of kind \"opened\"");
        wrong(
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}1",
            "t.j2:1: engine ran out of fuel",
        );
        assert!(Template::read(Path::new("/nowhere/t.j2"), None).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn what_is_filled_in_is_escaped_by_what_the_body_is() {
        let mut odd = alert(AlertKind::Opened, vec![access(0)]);
        odd.rule.name = "<a> & \"b\"".to_owned();
        for (content_type, expected) in [
            (None, r#""<a> & \"b\"""#),
            (Some("application/problem+json; charset=utf-8"), r#""<a> & \"b\"""#),
            (Some("text/html"), "&lt;a&gt; &amp; &quot;b&quot;"),
            (Some("application/xml"), "&lt;a&gt; &amp; &quot;b&quot;"),
            (Some("text/plain"), "<a> & \"b\""),
        ] {
            let body = read("{{ rule.name }}", content_type).unwrap().fill_in(&odd, None).unwrap();
            let same = match serde_json::from_str::<String>(&body) {
                Ok(decoded) => decoded == odd.rule.name && expected.starts_with('"'),
                Err(_) => body == expected,
            };
            assert!(same, "{content_type:?}: {body}");
        }
    }

    #[test]
    fn every_key_is_there_and_the_fallback_too() {
        let keys = "[{{ reason }}, {{ trouble }}, {{ advice }}, {{ runbook }}, {{ merged_into }}, {{ fallback_for }}]";
        let template = read(keys, None).unwrap();
        let filled = template.fill_in(&alert(AlertKind::Opened, vec![]), Some("chat")).unwrap();
        assert_eq!(filled, "[null, null, null, null, null, \"chat\"]");
    }

    #[test]
    fn the_largest_alert_takes_few_of_the_steps() {
        let all = "[{% for access in accesses %}{{ access }}{% if not loop.last %},{% endif %}{% endfor %}]";
        let template = read(all, None).unwrap();
        let largest = alert(AlertKind::Opened, (0..500).map(access).collect());
        let body: Vec<Value> = serde_json::from_str(&template.fill_in(&largest, None).unwrap()).unwrap();
        assert_eq!(body.len(), 500);
    }

    #[test]
    fn content_types() {
        for (text, right) in [
            ("application/json", true),
            ("text/plain; charset=utf-8", true),
            ("json", false),
            ("", false),
            ("a/b\r\nx: y", false),
            ("text/", false),
        ] {
            assert_eq!(is_content_type(text), right, "{text:?}");
        }
    }
}
