//! A look into JSON that allocates nothing: where a value begins and ends, and what stands in it.
//!
//! A [`Value`] is a piece of the record's text. It finds its members and elements by skipping over what lies between,
//! without recursion, so no depth of nesting is too much; a [`Text`] compares itself by undoing its escapes one
//! character at a time. Of members with the same name the last one counts, as in `model::json`, which reads the same
//! records.
//!
//! Nothing is validated. In JSON that is none, whatever cannot be found is absent, and that is all that happens.
//! Halves of surrogate pairs read as U+FFFD.

use std::str::Chars;

use memchr::memchr2;

/// A JSON value as it stands in the record. Never empty, and without white space around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a>(&'a str);

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    Null,
    Truth(bool),
    /// As written.
    Number(&'a str),
    Text(Text<'a>),
    /// An object or an array.
    Container,
}

/// A JSON string without its quotes, escapes and all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Value<'a> {
    /// The value that `record` begins with. Its end is not looked for, so that what was cut short still has members.
    pub(super) fn whole(record: &'a str) -> Option<Self> {
        let text = record.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
        (!text.is_empty()).then_some(Self(text))
    }

    /// As written.
    pub(super) fn as_written(self) -> &'a str {
        self.0
    }

    /// What it is; none if it is nothing that JSON knows.
    pub(super) fn kind(self) -> Option<Kind<'a>> {
        match self.0.as_bytes().first()? {
            b'{' | b'[' => Some(Kind::Container),
            b'"' => string(self.0, 0).map(|(text, _)| Kind::Text(text)),
            _ => match self.0 {
                "null" => Some(Kind::Null),
                "true" => Some(Kind::Truth(true)),
                "false" => Some(Kind::Truth(false)),
                number if is_number(number) => Some(Kind::Number(number)),
                _ => None,
            },
        }
    }

    /// The member `name` of an object.
    pub(super) fn member(self, name: &str) -> Option<Self> {
        self.children().filter(|(key, _)| key.is_some_and(|key| key.is(name))).last().map(|(_, value)| value)
    }

    /// The element at `index` of an array.
    pub(super) fn element(self, index: usize) -> Option<Self> {
        self.children().nth(index).filter(|(key, _)| key.is_none()).map(|(_, value)| value)
    }

    /// Members with their names, or elements without; none of anything else. Members with the same name are all there.
    pub(super) fn children(self) -> Children<'a> {
        let closing = match self.0.as_bytes().first() {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            _ => return Children { text: "", at: 0, closing: b']' },
        };
        Children { text: self.0, at: 0, closing }
    }
}

/// The children of one value, in the order in which they stand.
#[derive(Debug)]
pub(super) struct Children<'a> {
    text: &'a str,
    /// Where the bracket or comma stands that the next child follows.
    at: usize,
    closing: u8,
}

impl<'a> Iterator for Children<'a> {
    type Item = (Option<Text<'a>>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let child = self.child();
        if child.is_none() {
            self.text = "";
        }
        child
    }
}

impl<'a> Children<'a> {
    fn child(&mut self) -> Option<(Option<Text<'a>>, Value<'a>)> {
        let bytes = self.text.as_bytes();
        if self.at > 0 && *bytes.get(self.at)? != b',' {
            return None;
        }
        let mut at = after_space(bytes, self.at + 1);
        let mut name = None;
        if self.closing == b'}' {
            let (key, end) = string(self.text, at)?;
            let colon = after_space(bytes, end);
            if *bytes.get(colon)? != b':' {
                return None;
            }
            name = Some(key);
            at = after_space(bytes, colon + 1);
        }
        let end = end_of_value(bytes, at)?;
        self.at = after_space(bytes, end);
        Some((name, Value(self.text.get(at..end)?)))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    /// `plain` as it is: nothing in it is an escape.
    fn from(plain: &'a str) -> Self {
        Self { raw: plain, escaped: false }
    }
}

impl<'a> Text<'a> {
    /// The text itself, if it is written without escapes.
    pub(super) fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// Its characters, without escapes.
    pub(super) fn chars(self) -> Unescaped<'a> {
        Unescaped(self.raw.chars())
    }

    /// Whether it means `wanted`.
    pub(super) fn is(self, wanted: &str) -> bool {
        self.raw == wanted && !self.escaped || self.escaped && self.chars().eq(wanted.chars())
    }
}

/// The characters that a JSON string means.
#[derive(Clone, Debug)]
pub(super) struct Unescaped<'a>(Chars<'a>);

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let c = self.0.next()?;
        if c != '\\' {
            return Some(c);
        }
        Some(match self.0.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.code_point(),
            literal => literal,
        })
    }
}

impl Unescaped<'_> {
    /// After `\u`: one code point, which may take a second escape.
    fn code_point(&mut self) -> char {
        let first = self.hex();
        let mut ahead = self.clone();
        let second = match first {
            0xd800..0xdc00 if ahead.0.next() == Some('\\') && ahead.0.next() == Some('u') => ahead.hex(),
            _ => 0,
        };
        if !(0xdc00..0xe000).contains(&second) {
            return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        *self = ahead;
        let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Four hexadecimal digits; half of a surrogate pair, which is no character, if they are not.
    fn hex(&mut self) -> u32 {
        const NO_CHARACTER: u32 = 0xd800;
        let digits = self.0.as_str().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(digits) = digits else { return NO_CHARACTER };
        self.0 = self.0.as_str()[4..].chars();
        u32::from_str_radix(digits, 16).unwrap_or(NO_CHARACTER)
    }
}

/// Whether `text` is a number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && digits(exponent) && (whole == "0" || !whole.starts_with('0'))
}

/// The string whose opening quote stands at `at`, and the place after its closing one.
fn string(text: &str, at: usize) -> Option<(Text<'_>, usize)> {
    let bytes = text.as_bytes();
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let (end, escaped) = end_of_string(bytes, at + 1)?;
    Some((Text { raw: text.get(at + 1..end)?, escaped }, end + 1))
}

/// Where the closing quote of the string stands whose inside begins at `at`, and whether there are escapes before it.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

fn end_of_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => end_of_string(bytes, at + 1).map(|(end, _)| end + 1),
        b'{' | b'[' => end_of_container(bytes, at),
        _ => {
            let ends = |byte: &u8| is_space(*byte) || matches!(byte, b',' | b':' | b'"' | b'[' | b']' | b'{' | b'}');
            let length = bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
            (length > 0).then_some(at + length)
        }
    }
}

/// Brackets are counted and not told apart: in what is JSON they agree, and in what is none nothing hangs on them.
fn end_of_container(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = end_of_string(bytes, at + 1)?.0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn after_space(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while bytes.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
