//! A lenient look into JSON objects whose shape nobody guarantees.
//!
//! An [`Object`] knows its members' names and where their values stand in the text, and reads a value only when asked.
//! So a field of an unexpected type, or nested a million levels deep, disturbs nobody who does not need it: what cannot
//! be read as asked reads as absent. Of members with the same name the last one counts, as in most JSON parsers.
//!
//! Serde's derive is absent on purpose: it refuses a whole record for one field of another type, for a repeated key,
//! or for half of a surrogate pair, and a record that is refused is an access that nobody is told about.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::text::clean;

/// The members of one JSON object, in the order in which they stand.
#[derive(Debug, Default)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

/// A text that is no JSON object, or stops being one half-way.
#[derive(Debug)]
pub(crate) struct Broken<'a> {
    /// The members before the damage.
    pub(crate) whole: Object<'a>,
    /// What the damage is.
    pub(crate) error: serde_json::Error,
}

impl<'a> Object<'a> {
    /// The object that is the whole of `json`.
    pub(crate) fn read(json: &'a str) -> Result<Self, Broken<'a>> {
        let mut object = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let outcome = Members(&mut object).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        match outcome {
            Ok(()) => Ok(object),
            Err(error) => Err(Broken { whole: object, error }),
        }
    }

    /// The JSON of the member `key`.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.find(|name| name == key)
    }

    /// The object that is the member `key`; an empty one if there is none.
    pub(crate) fn object(&self, key: &str) -> Self {
        self.value(key).and_then(|json| Self::read(json).ok()).unwrap_or_default()
    }

    /// The member `key` as text, if it is a text that is not empty, a number or a truth value.
    pub(crate) fn whole_text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.value(key)?)
    }

    /// [`whole_text`](Self::whole_text), [cleaned](clean) and in at most `limit` bytes.
    pub(crate) fn text(&self, key: &str, limit: usize) -> Option<String> {
        self.whole_text(key).map(|text| clean(&text, limit))
    }

    /// [`text`](Self::text) of the member whose name differs from `key` in upper and lower case at most: AWS writes
    /// `arn`, `aRN` and `ARN`.
    pub(crate) fn text_in_any_case(&self, key: &str, limit: usize) -> Option<String> {
        text(self.find(|name| name.eq_ignore_ascii_case(key))?).map(|text| clean(&text, limit))
    }

    /// The text that is the only element of the list `key`.
    pub(crate) fn only_text(&self, key: &str, limit: usize) -> Option<String> {
        let [only] = serde_json::from_str::<[&RawValue; 1]>(self.value(key)?).ok()?;
        text(only.get()).map(|text| clean(&text, limit))
    }

    /// The member `key` as a truth value: `true`, or `"true"`.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.whole_text(key)?.to_ascii_lowercase().parse().ok()
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
        self.members.iter().rev().find(|(name, _)| wanted(name)).map(|(_, json)| *json)
    }
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(json).ok()?.0,
        b't' | b'f' | b'-' | b'0'..=b'9' => Cow::Borrowed(json),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Collects members into an object that the caller keeps, so that those before an error are not lost with it.
struct Members<'o, 'a>(&'o mut Object<'a>);

impl<'a> DeserializeSeed<'a> for Members<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            // Raw values are skipped over without recursion: no depth of nesting is too much.
            let value: &'a RawValue = map.next_value()?;
            self.0.members.push((name, value.get()));
        }
        Ok(())
    }
}

/// A JSON string. Read as bytes, because serde_json gives halves of surrogate pairs in no other way; they become
/// U+FFFD.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        // The thorough way takes much longer over what is right anyway.
        Ok(Text(std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Text<'de>, A::Error> {
        // `deserialize_bytes` takes a list for bytes; we do not.
        Err(de::Error::invalid_type(de::Unexpected::Seq, &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(json: &str) -> Option<String> {
        Object::read(json).unwrap().text("k", 64)
    }

    #[test]
    fn texts_numbers_and_truth_values_are_texts_and_nothing_else_is() {
        assert_eq!(text_of(r#"{"k":"a\u00e9\n"}"#).as_deref(), Some("aé\u{fffd}"));
        assert_eq!(text_of(r#"{"k":true}"#).as_deref(), Some("true"));
        assert_eq!(text_of(r#"{"k": -1.5e3 }"#).as_deref(), Some("-1.5e3"));
        for json in [r#"{"k":null}"#, r#"{"k":""}"#, r#"{"k":[1]}"#, r#"{"k":{}}"#, "{}", r#"{"K":"a"}"#] {
            assert_eq!(text_of(json), None, "{json}");
        }
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        assert_eq!(text_of(r#"{"k":"a","\u006b":"b"}"#).as_deref(), Some("b"));
    }

    #[test]
    fn half_a_surrogate_pair_spoils_neither_name_nor_text() {
        assert_eq!(text_of(r#"{"\ud800":1,"k":"a\udc00z"}"#).as_deref(), Some("a\u{fffd}\u{fffd}\u{fffd}z"));
    }

    #[test]
    fn depth_is_no_matter() {
        let deep = format!(r#"{{"x":{}1{},"k":"a"}}"#, "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(text_of(&deep).as_deref(), Some("a"));
    }

    #[test]
    fn members_before_the_damage_are_kept() {
        let broken = Object::read(r#"{"k":"a","l":"#).unwrap_err();
        assert_eq!(broken.whole.text("k", 64).as_deref(), Some("a"));
        assert!(broken.error.is_eof());
        assert!(Object::read(r#"{"k":"a"} x"#).is_err());
        assert!(Object::read("[]").is_err());
    }

    #[test]
    fn only_the_only_element_is_the_only_text() {
        let object = Object::read(r#"{"none":[],"one":["a"],"two":["a","b"],"odd":[{}],"text":"a"}"#).unwrap();
        assert_eq!(object.only_text("one", 64).as_deref(), Some("a"));
        for key in ["none", "two", "odd", "text", "absent"] {
            assert_eq!(object.only_text(key, 64), None, "{key}");
        }
    }
}
