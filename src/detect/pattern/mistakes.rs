//! What to say about a pattern that cannot be read: what was found, and what would be right.
//!
//! Each function is for one place of the grammar in `parse` and looks at what stands there instead. It guesses at what
//! was meant, since most mistakes are habits from other languages; where it cannot guess, it lists what would do.

use super::compare::is_of_a_name;

/// Characters of the pattern that a message repeats.
const MAX_QUOTED: usize = 24;

/// What stands at the beginning of `rest`.
pub(super) fn found(rest: &str) -> String {
    match rest.chars().next() {
        None => "the end of the pattern".to_owned(),
        Some(c) if c.is_whitespace() => "a space".to_owned(),
        Some(c) => {
            let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(MAX_QUOTED).collect();
            if word.is_empty() { format!("`{c}`") } else { format!("`{word}`") }
        }
    }
}

/// `text` as it would have to be quoted.
fn in_quotes(text: &str) -> String {
    let short = !text.is_empty() && text.chars().count() <= MAX_QUOTED;
    let text = if short { text.replace('\\', "\\\\").replace('"', "\\\"") } else { "…".to_owned() };
    format!("`\"{text}\"`")
}

/// What `rest` has up to white space or a closing bracket.
fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ')' | '}')).unwrap_or(rest.len());
    &rest[..end]
}

/// What to say if `rest` begins with quotes that are none.
fn foreign_quotes(rest: &str) -> Option<String> {
    let (opening, closing, what) = match rest.chars().next()? {
        '\'' => ("'", "'", "single quotes are no quotes"),
        '“' => ("“", "”", "typographic quotes are no quotes"),
        '”' => ("”", "”", "typographic quotes are no quotes"),
        '„' => ("„", "“", "typographic quotes are no quotes"),
        '‘' => ("‘", "’", "typographic quotes are no quotes"),
        '’' => ("’", "’", "typographic quotes are no quotes"),
        '\\' if rest.starts_with("\\\"") => ("\\\"", "\\\"", "`\\\"` is how other files write a quote"),
        _ => return None,
    };
    let inside = rest.strip_prefix(opening)?;
    let text = inside.split_once(closing).map_or_else(|| word(inside), |(text, _)| text);
    Some(format!("{what}; write {}", in_quotes(text)))
}

/// `rest` goes on where the term `before` should have ended.
pub(super) fn odd_in_a_term(rest: &str, before: &str) -> String {
    if let Some(message) = foreign_quotes(rest) {
        return message;
    }
    let found = found(rest);
    if before.ends_with(['"', '%']) {
        return format!("{found} follows a term without a space between them");
    }
    match rest.chars().next() {
        Some('=' | '!' | '<' | '>') => {
            format!(
                "{found} cannot stand in a term; a comparison is `{{ $.eventName = \"…\" }}`, and other texts stand in \
                 quotes"
            )
        }
        Some('&') => format!("{found} cannot stand in a term; terms beside each other all have to be there"),
        Some('|') => format!("{found} cannot stand in a term; `?A ?B` asks for one of the two"),
        Some('*') => "`*` is no wildcard in a term, which is found within words as well; leave it out".to_owned(),
        _ => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let whole = format!("{}{}", before.trim_start_matches(['-', '?']), &rest[..end]);
            format!("{found} cannot stand in a term without quotes; write {}", in_quotes(&whole))
        }
    }
}

/// In place of a selector.
pub(super) fn no_selector(rest: &str) -> String {
    let is_of_a_path = |c: char| is_of_a_name(c) || matches!(c, '.' | '[' | ']');
    let path: String = rest.chars().take_while(|c| is_of_a_path(*c)).take(MAX_QUOTED).collect();
    match (rest.chars().next(), path.trim_start_matches('.')) {
        (Some('!'), _) | (_, "NOT" | "not") => {
            "nothing can be negated as a whole; write `!=` or `NOT EXISTS`".to_owned()
        }
        (_, "") => format!("{} stands where a selector should, such as `$.eventName`", found(rest)),
        (_, path) => format!("a field of the record is written with `$.`: `$.{path}`"),
    }
}

pub(super) fn odd_in_a_selector(rest: &str) -> String {
    format!("{} cannot stand in a selector; a name with such characters is written `$.['a b']`", found(rest))
}

pub(super) fn no_operator(rest: &str) -> String {
    format!("{} stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS", found(rest))
}

/// `whole` is what follows the operator, `rest` what follows the part of it that could be read.
pub(super) fn no_value(whole: &str, rest: &str) -> String {
    if let Some(message) = foreign_quotes(rest) {
        return message;
    }
    let found = found(rest);
    match rest.chars().next() {
        None | Some(')' | '}' | '&' | '|') => format!("{found} stands where a value should"),
        Some('$') => "a selector is compared with a value, not with another selector".to_owned(),
        Some('=' | '<' | '>' | '!') if whole.len() == rest.len() => {
            format!("{found} follows an operator, which a value should")
        }
        Some(',') if rest[1..].starts_with(char::is_whitespace) => {
            "`,` joins nothing; “and” is written `&&`, “or” is written `||`".to_owned()
        }
        Some(_) => format!("{found} cannot stand in a value without quotes; write {}", in_quotes(word(whole))),
    }
}

pub(super) fn no_limit(whole: &str) -> String {
    match whole.chars().next() {
        Some('"') => "only numbers are more or less than others, and numbers stand without quotes".to_owned(),
        _ => format!("`{}` is no number, and only numbers are more or less than others", word(whole)),
    }
}

/// In place of the closing `bracket`.
pub(super) fn not_closed(bracket: char, rest: &str) -> String {
    let letters: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    let right = match (rest.chars().next(), letters.to_ascii_lowercase().as_str()) {
        (None, _) => return format!("the pattern ends without its closing `{bracket}`"),
        (Some(')'), _) => return "this `)` closes nothing".to_owned(),
        (Some('}'), _) => return format!("the brace closes before the `{bracket}` that is missing"),
        (Some('&'), _) | (_, "and") => "“and” is written `&&`",
        (Some('|'), _) | (_, "or") => "“or” is written `||`",
        (Some(','), _) => "“and” is written `&&`, “or” is written `||`",
        (_, "") => "`&&`, `||` or a closing bracket can",
        _ => "`&&`, `||` or a closing bracket can; a value with spaces stands in double quotes",
    };
    format!("{} follows a comparison; {right}", found(rest))
}

pub(super) fn wrong_brackets() -> &'static str {
    "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`"
}
