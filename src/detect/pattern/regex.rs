//! Regular expressions as CloudWatch Logs has them: few characters, no groups, ASCII classes.
//!
//! The pattern is checked and rewritten for the `regex` crate, whose language is larger and whose `\d`, `\s` and `\w`
//! mean more than the ASCII that AWS documents. Its engine takes linear time on anything. It keeps its scratch memory
//! between calls and makes it at the first one of a thread; apart from that, a match allocates only if the text has
//! escapes, since the engine needs the text in one piece.

use super::scan::Text;

/// Bytes that a compiled expression may take: far more than any that fits into a pattern needs, unless it repeats
/// repetitions.
const MAX_COMPILED: usize = 1 << 20;

/// Characters that stand for themselves.
const SYMBOLS: &str = ":_#=@/;,- ";

/// Where in the expression something is wrong, in characters from its beginning, and what.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) message: String,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Regex(regex::Regex);

impl Regex {
    pub(super) fn new(text: &str) -> Result<Self, Wrong> {
        let rewritten = Rewriting::of(text)?;
        regex::RegexBuilder::new(&rewritten)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .build()
            .map(Self)
            .map_err(|error| Wrong { at: 0, message: complaint(&error) })
    }

    pub(super) fn matches(&self, text: Text<'_>) -> bool {
        match text.plain() {
            Some(plain) => self.matches_plain(plain),
            None => self.matches_plain(&text.chars().collect::<String>()),
        }
    }

    pub(super) fn matches_plain(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    pub(super) fn is_the_same(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }

    /// Where in `text` it matches.
    pub(super) fn find(&self, text: &str) -> Option<std::ops::Range<usize>> {
        self.0.find(text).map(|found| found.range())
    }
}

fn complaint(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression repeats too much to be compiled; repeat less".to_owned()
        }
        // The last line of many; the others draw the place in an expression that the user has not written.
        error => {
            let text = error.to_string();
            let line = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the regular expression cannot be read: {line}")
        }
    }
}

/// From AWS's language to that of the `regex` crate.
struct Rewriting<'a> {
    rest: std::str::Chars<'a>,
    read: usize,
    written: String,
}

/// What stands for one character of the text.
enum Item {
    Character(char),
    /// Any of these, in the language of the `regex` crate.
    Class(&'static str),
}

impl<'a> Rewriting<'a> {
    fn of(text: &'a str) -> Result<String, Wrong> {
        let mut rewriting = Self { rest: text.chars(), read: 0, written: String::with_capacity(text.len()) };
        while let Some(c) = rewriting.next() {
            rewriting.piece(c)?;
        }
        Ok(rewriting.written)
    }

    fn piece(&mut self, c: char) -> Result<(), Wrong> {
        match c {
            '[' => return self.class(),
            '{' => return self.repetition(),
            '^' | '$' | '?' | '|' | '*' | '+' | '.' => self.written.push(c),
            ']' | '}' => self.write(&Item::Character(c)),
            _ => {
                let item = self.item(c)?;
                self.write(&item);
            }
        }
        Ok(())
    }

    /// Characters are written as numbers, so that none is an operator by accident.
    fn write(&mut self, item: &Item) {
        let written = match item {
            Item::Class(class) => (*class).to_owned(),
            Item::Character(c) => format!("\\x{{{:x}}}", u32::from(*c)),
        };
        self.written.push_str(&written);
    }

    fn item(&mut self, c: char) -> Result<Item, Wrong> {
        match c {
            '\\' => self.escape(),
            '(' | ')' => {
                let code = u32::from(c);
                Err(self
                    .wrong(format!("a regular expression has no parentheses here; the character is `\\x{code:02x}`")))
            }
            c if c.is_ascii_alphanumeric() || SYMBOLS.contains(c) => Ok(Item::Character(c)),
            c if c.is_ascii_graphic() => {
                let code = u32::from(c);
                Err(self.wrong(format!("`{c}` cannot stand in a regular expression; write `\\x{code:02x}`")))
            }
            _ => Err(self.wrong("a regular expression takes ASCII only; `.` is any character")),
        }
    }

    /// After `\`.
    fn escape(&mut self) -> Result<Item, Wrong> {
        let Some(c) = self.next() else { return Err(self.wrong("a `\\` at the end escapes nothing; write `\\\\`")) };
        Ok(match c {
            'd' => Item::Class("[0-9]"),
            'D' => Item::Class("[^0-9]"),
            's' => Item::Class("[\\t-\\r ]"),
            'S' => Item::Class("[^\\t-\\r ]"),
            'w' => Item::Class("[0-9A-Za-z_]"),
            'W' => Item::Class("[^0-9A-Za-z_]"),
            't' => Item::Character('\t'),
            'n' => Item::Character('\n'),
            'r' => Item::Character('\r'),
            'x' => return self.hexadecimal(),
            c if c.is_ascii_punctuation() || c == ' ' => Item::Character(c),
            c => {
                let known = "\\d \\D \\s \\S \\w \\W \\t \\n \\r \\xhh and escaped symbols";
                return Err(self.wrong(format!("`\\{c}` has no meaning; there are {known}")));
            }
        })
    }

    /// After `\x`.
    fn hexadecimal(&mut self) -> Result<Item, Wrong> {
        let digits = self.rest.as_str().get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii) {
            Some(code) => {
                self.skip(2);
                Ok(Item::Character(char::from(code)))
            }
            None => {
                Err(self.wrong("after `\\x` come two hexadecimal digits of an ASCII character: `\\x3a` is a colon"))
            }
        }
    }

    /// After `[`. Operators mean themselves in here, as `[` does.
    fn class(&mut self) -> Result<(), Wrong> {
        self.written.push('[');
        if self.peek() == Some('^') {
            self.skip(1);
            self.written.push('^');
        }
        let mut empty = true;
        loop {
            match self.next() {
                None => return Err(self.wrong("a `[` without its `]`")),
                Some(']') if !empty => break,
                Some(c) => self.class_member(c)?,
            }
            empty = false;
        }
        self.written.push(']');
        Ok(())
    }

    fn class_member(&mut self, c: char) -> Result<(), Wrong> {
        let first = self.class_item(c)?;
        self.write(&first);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            return Ok(());
        }
        self.skip(1);
        let last = self.next().unwrap_or_default();
        let last = self.class_item(last)?;
        match (first, last) {
            (Item::Character(first), Item::Character(last)) if first <= last => {
                self.written.push('-');
                self.write(&Item::Character(last));
                Ok(())
            }
            _ => Err(self.wrong("a range goes up from one character to another, as in `a-z`; a hyphen comes last")),
        }
    }

    fn class_item(&mut self, c: char) -> Result<Item, Wrong> {
        match c {
            '[' | ']' | '{' | '}' | '^' | '$' | '?' | '|' | '*' | '+' | '.' => Ok(Item::Character(c)),
            _ => self.item(c),
        }
    }

    /// After `{`: `m}`, `m,}`, `,n}` or `m,n}`.
    fn repetition(&mut self) -> Result<(), Wrong> {
        let Some((inside, _)) = self.rest.as_str().split_once('}') else {
            return Err(self.wrong("a `{` without its `}`; write `\\{` for the character"));
        };
        let (least, most) = inside.split_once(',').map_or((inside, None), |(least, most)| (least, Some(most.trim())));
        let least = least.trim();
        let is_count = |text: &str| text.len() < 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        if least.is_empty() && most.is_none_or(str::is_empty) || !is_count(least) || !most.is_none_or(is_count) {
            return Err(self.wrong("a repetition is `{m}`, `{m,}`, `{,n}` or `{m,n}` with numbers below 10000"));
        }
        let least = if least.is_empty() { "0" } else { least };
        let rewritten = most.map_or_else(|| format!("{{{least}}}"), |most| format!("{{{least},{most}}}"));
        self.written.push_str(&rewritten);
        self.skip(inside.chars().count() + 1);
        Ok(())
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.read += usize::from(c.is_some());
        c
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.next();
        }
    }

    /// Something is wrong with the character that was read last.
    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong { at: self.read.saturating_sub(1), message: message.into() }
    }
}
