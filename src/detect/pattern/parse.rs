//! From the text of a pattern to what it means, or to where it is wrong and what would be right.
//!
//! The parsers are `winnow`'s. Their error is a [`Complaint`]: without words it means that something else may stand
//! here, and the parsers go on to try that; with words, which are those of `mistakes`, it is final. Words are chosen
//! where the text stops making sense, so that they can say what was probably meant: people come here with patterns from
//! Terraform files, from JSON and from memory.

use std::cell::{Cell, RefCell};

use winnow::combinator::{alt, opt, preceded, repeat, separated};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::token::{none_of, take_till, take_while};

use super::compare::{Comparison, Fields, Glob, Order, Selector, Step, Test, Wanted, is_of_a_name, number};
use super::mistakes::{
    found, no_limit, no_operator, no_selector, no_value, not_closed, odd_in_a_selector, odd_in_a_term, wrong_brackets,
};
use super::regex::Regex;
use super::terms::{Role, Term, Terms, What};
use super::{Form, Logic, PatternError};

/// Characters of a pattern, regular expressions of a pattern, wildcards in its selectors: as AWS has them.
const MAX_CHARACTERS: usize = 1024;
const MAX_REGEXES: usize = 2;
const MAX_WILDCARDS: usize = 3;

/// Parentheses inside one another: a bound on the stack that a pattern can take.
const MAX_NESTING: usize = 64;

type Parsed<T> = Result<T, Complaint>;

pub(super) fn parse(text: &str) -> Result<Form, PatternError> {
    let mut rest = text;
    Reading::default().form(&mut rest).map_err(|complaint| {
        let at = text.len() - complaint.left;
        let message = complaint.message.unwrap_or_else(|| format!("{} cannot be read", found(&text[at..])));
        PatternError { column: text[..at].chars().count() + 1, message }
    })
}

/// What is wrong, and how many bytes of the pattern are left there.
#[derive(Debug)]
struct Complaint {
    left: usize,
    message: Option<String>,
}

impl Complaint {
    fn at(rest: &str, message: impl Into<String>) -> Self {
        Self { left: rest.len(), message: Some(message.into()) }
    }
}

impl<'a> ParserError<&'a str> for Complaint {
    type Inner = Self;

    fn from_input(input: &&'a str) -> Self {
        Self { left: input.len(), message: None }
    }

    fn is_backtrack(&self) -> bool {
        self.message.is_none()
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// What has been read so far, as far as it matters to what follows.
#[derive(Debug, Default)]
struct Reading {
    regexes: Cell<usize>,
    wildcards: Cell<usize>,
    fields: RefCell<Fields>,
}

impl Reading {
    fn form(&self, input: &mut &str) -> Parsed<Form> {
        if let Some((at, _)) = input.char_indices().nth(MAX_CHARACTERS) {
            let message = format!("the pattern has more than {MAX_CHARACTERS} characters");
            return Err(Complaint::at(&input[at..], message));
        }
        space(input)?;
        let message = match input.chars().next() {
            None => "the pattern is empty; leave `pattern` out to count every record",
            Some('{') => return self.json(input).map(|logic| Form::Json(self.fields.take(), logic)),
            Some('[') => "`[…]` is for lines of words, and records are JSON; write `{ $.eventName = \"…\" }`",
            Some('$') => "a comparison stands in braces: `{ $.eventName = \"…\" }`",
            Some(_) => return self.terms(input).map(Form::Terms),
        };
        Err(Complaint::at(input, message))
    }

    // The term form.

    fn terms(&self, input: &mut &str) -> Parsed<Terms> {
        repeat(1.., |input: &mut &str| self.term(input)).map(Terms::new).parse_next(input)
    }

    fn term(&self, input: &mut &str) -> Parsed<Term> {
        let ((role, what), text) = (role, |input: &mut &str| self.what(input)).with_taken().parse_next(input)?;
        let text = text.to_owned();
        if !input.is_empty() && !input.starts_with(char::is_whitespace) {
            return Err(Complaint::at(input, odd_in_a_term(input, &text)));
        }
        space(input)?;
        Ok(Term { text, role, what })
    }

    fn what(&self, input: &mut &str) -> Parsed<What> {
        match input.chars().next() {
            Some('"') => quoted.map(|text| What::phrase(&text)).parse_next(input),
            Some('%') => self.regex(input).map(What::Regex),
            Some(c) if is_of_a_term(c) => take_while(1.., is_of_a_term).map(What::phrase).parse_next(input),
            Some(_) => Err(Complaint::at(input, odd_in_a_term(input, ""))),
            None => Err(Complaint::from_input(input)),
        }
    }

    // The JSON form.

    fn json(&self, input: &mut &str) -> Parsed<Logic> {
        ('{', space).parse_next(input)?;
        if input.starts_with('}') {
            return Err(Complaint::at(
                input,
                "there is nothing between the braces; `{ $.eventName = * }` compares something",
            ));
        }
        let logic = self.alternatives(0, input)?;
        closing('}', input)?;
        space(input)?;
        if input.is_empty() {
            return Ok(logic);
        }
        Err(Complaint::at(input, format!("{} follows the closing brace, which ends the pattern", found(input))))
    }

    /// `A || B`, of which `&&` binds tighter.
    fn alternatives(&self, depth: usize, input: &mut &str) -> Parsed<Logic> {
        separated(1.., |input: &mut &str| self.conjunction(depth, input), "||")
            .map(|all| joined(all, Logic::Any))
            .parse_next(input)
    }

    fn conjunction(&self, depth: usize, input: &mut &str) -> Parsed<Logic> {
        separated(1.., |input: &mut &str| self.operand(depth, input), "&&")
            .map(|all| joined(all, Logic::All))
            .parse_next(input)
    }

    fn operand(&self, depth: usize, input: &mut &str) -> Parsed<Logic> {
        space(input)?;
        if !input.starts_with('(') {
            return self.comparison(input).map(Logic::One);
        }
        if depth == MAX_NESTING {
            return Err(Complaint::at(input, format!("more than {MAX_NESTING} parentheses stand inside one another")));
        }
        '('.parse_next(input)?;
        let inside = self.alternatives(depth + 1, input)?;
        closing(')', input)?;
        space(input)?;
        Ok(inside)
    }

    /// Takes the white space that follows, too.
    fn comparison(&self, input: &mut &str) -> Parsed<Comparison> {
        let whole = *input;
        let selector = self.selector(input)?;
        space(input)?;
        let test = self.test(&selector, input)?;
        let text = whole[..whole.len() - input.len()].to_owned();
        space(input)?;
        Ok(Comparison { text, selector, test })
    }

    fn selector(&self, input: &mut &str) -> Parsed<Selector> {
        let whole = *input;
        if opt('$').parse_next(input)?.is_none() {
            return Err(Complaint::at(input, no_selector(input)));
        }
        if !input.starts_with(['.', '[']) {
            return Err(Complaint::at(whole, no_selector(input)));
        }
        let steps: Vec<Option<Step>> = repeat(1.., step).parse_next(input)?;
        if input.starts_with(|c: char| !c.is_whitespace() && !"=!<>()&|}".contains(c)) {
            return Err(Complaint::at(input, odd_in_a_selector(input)));
        }
        let mut parts = steps.split(Option::is_none).map(|part| part.iter().flatten().cloned().collect());
        let path: Vec<Step> = parts.next().unwrap_or_default();
        let field = match path.first() {
            Some(Step::Member(name)) => self.fields.borrow_mut().place(name),
            _ => None,
        };
        let selector = Selector { field, path, each: parts.next() };
        if parts.next().is_some() {
            return Err(Complaint::at(whole, "a selector has one wildcard at most"));
        }
        if selector.each.is_some() {
            count(&self.wildcards, MAX_WILDCARDS, "selectors with a wildcard", whole)?;
        }
        Ok(selector)
    }

    fn test(&self, selector: &Selector, input: &mut &str) -> Parsed<Test> {
        if input.starts_with(char::is_alphabetic) {
            return word_test(selector, input);
        }
        let operator = operator(input)?;
        space(input)?;
        match operator {
            Operator::Equals => self.wanted(input).map(Test::Equals),
            Operator::Differs => self.wanted(input).map(Test::Differs),
            Operator::Order(order) => limit(input).map(|limit| Test::Order(order, limit)),
        }
    }

    fn wanted(&self, input: &mut &str) -> Parsed<Wanted> {
        match input.chars().next() {
            Some('"') => quoted.map(|text| Wanted::Text(Glob::new(&text))).parse_next(input),
            Some('%') => self.regex(input).map(Wanted::Regex),
            _ => bare(input).map(|text| match number(text) {
                Some(number) => Wanted::Number(number),
                None => Wanted::Text(Glob::new(text)),
            }),
        }
    }

    fn regex(&self, input: &mut &str) -> Parsed<Regex> {
        count(&self.regexes, MAX_REGEXES, "regular expressions", input)?;
        let whole = *input;
        '%'.parse_next(input)?;
        let inside = *input;
        let text = take_till(0.., '%').parse_next(input)?;
        if opt('%').parse_next(input)?.is_none() {
            return Err(Complaint::at(whole, "a regular expression ends with another `%`"));
        }
        if text.is_empty() {
            return Err(Complaint::at(whole, "there is nothing between the percent signs"));
        }
        Regex::new(text).map_err(|wrong| {
            let at = inside.char_indices().nth(wrong.at).map_or(inside.len(), |(at, _)| at);
            Complaint::at(&inside[at..], wrong.message)
        })
    }
}

fn count(counter: &Cell<usize>, most: usize, what: &str, place: &str) -> Parsed<()> {
    counter.set(counter.get() + 1);
    if counter.get() > most {
        return Err(Complaint::at(place, format!("a pattern has {most} {what} at most")));
    }
    Ok(())
}

fn joined(mut all: Vec<Logic>, join: impl Fn(Vec<Logic>) -> Logic) -> Logic {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            join(all)
        }
    }
}

fn space(input: &mut &str) -> Parsed<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn role(input: &mut &str) -> Parsed<Role> {
    let role = match opt(alt(('-', '?'))).parse_next(input)? {
        None => return Ok(Role::Required),
        Some('-') => Role::Excluded,
        Some(_) => Role::Optional,
    };
    match input.chars().next() {
        Some('-' | '?') => {
            Err(Complaint::at(input, "a term has one `-` or `?` at most; others stand in double quotes"))
        }
        Some(c) if !c.is_whitespace() => Ok(role),
        _ => Err(Complaint::at(input, "the term has to follow its `-` or `?` at once")),
    }
}

/// A text in double quotes, in which `\"` and `\\` stand for the second character.
fn quoted(input: &mut &str) -> Parsed<String> {
    let whole = *input;
    let character = alt(("\\\"".value('"'), "\\\\".value('\\'), none_of('"')));
    let text = preceded('"', repeat(0.., character)).parse_next(input)?;
    if opt('"').parse_next(input)?.is_none() {
        return Err(Complaint::at(whole, "a quoted text ends with another `\"`"));
    }
    Ok(text)
}

/// A step, or none for a wildcard.
fn step(input: &mut &str) -> Parsed<Option<Step>> {
    let whole = *input;
    match opt(alt(('.', '['))).parse_next(input)? {
        None => Err(Complaint::from_input(input)),
        Some('[') => brackets(whole, input),
        Some(_) if opt('[').parse_next(input)?.is_some() => brackets(whole, input),
        Some(_) if opt('*').parse_next(input)?.is_some() => Ok(None),
        Some(_) => {
            let name = take_while(0.., is_of_a_name).parse_next(input)?;
            if name.is_empty() {
                return Err(Complaint::at(input, format!("{} stands where the name of a field should", found(input))));
            }
            Ok(Some(Step::Member(name.to_owned())))
        }
    }
}

/// After `[`.
fn brackets(whole: &str, input: &mut &str) -> Parsed<Option<Step>> {
    let step = match input.chars().next() {
        Some('*') => '*'.value(None).parse_next(input)?,
        Some(quote @ ('\'' | '"')) => {
            let name = preceded(quote, take_till(0.., quote)).parse_next(input)?;
            opt(quote).parse_next(input)?;
            Some(Step::Member(name.to_owned()))
        }
        _ => {
            let digits: &str = take_while(0.., |c: char| c.is_ascii_digit()).parse_next(input)?;
            let index = digits.parse().map_err(|_| Complaint::at(whole, wrong_brackets()))?;
            Some(Step::Element(index))
        }
    };
    match opt(']').parse_next(input)? {
        Some(_) => Ok(step),
        None => Err(Complaint::at(whole, wrong_brackets())),
    }
}

/// `IS …` and `NOT EXISTS`.
fn word_test(selector: &Selector, input: &mut &str) -> Parsed<Test> {
    let whole = *input;
    let first = keyword(input)?;
    space(input)?;
    let second_at = *input;
    match first.as_str() {
        "IS" => match keyword(input)?.as_str() {
            "NULL" => Ok(Test::IsNull),
            "TRUE" => Ok(Test::Is(true)),
            "FALSE" => Ok(Test::Is(false)),
            "NOT" => Err(Complaint::at(
                whole,
                format!("there is no `IS NOT`; `{selector} = *` holds for every value but null"),
            )),
            _ => Err(Complaint::at(
                second_at,
                format!("{} follows `IS`; `NULL`, `TRUE` or `FALSE` can", found(second_at)),
            )),
        },
        "NOT" => match keyword(input)?.as_str() {
            "EXISTS" => Ok(Test::NotExists),
            _ => {
                Err(Complaint::at(second_at, format!("{} follows `NOT`; only `NOT EXISTS` is known", found(second_at))))
            }
        },
        "EXISTS" => {
            Err(Complaint::at(whole, format!("there is no `EXISTS`, only `NOT EXISTS`; write `{selector} = *`")))
        }
        _ => Err(Complaint::at(whole, no_operator(whole))),
    }
}

/// A word, in capital letters however it is written.
fn keyword(input: &mut &str) -> Parsed<String> {
    take_while(0.., |c: char| c.is_alphanumeric() || c == '_').map(str::to_ascii_uppercase).parse_next(input)
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equals,
    Differs,
    Order(Order),
}

fn operator(input: &mut &str) -> Parsed<Operator> {
    /// What other languages write, and what it is called here.
    const FOREIGN: [(&str, &str); 10] = [
        ("==", "equality is `=`"),
        ("=~", "a regular expression stands in percent signs: `= %…%`"),
        ("=>", "at least is `>=`"),
        ("=<", "at most is `<=`"),
        ("<>", "inequality is `!=`"),
        ("!~", "a regular expression stands in percent signs: `!= %…%`"),
        ("≠", "inequality is `!=`"),
        ("≤", "at most is `<=`"),
        ("≥", "at least is `>=`"),
        (":", "equality is `=`"),
    ];
    if let Some((written, right)) = FOREIGN.iter().find(|(written, _)| input.starts_with(written)) {
        return Err(Complaint::at(input, format!("`{written}` is no operator; {right}")));
    }
    let known = alt((
        "!=".value(Operator::Differs),
        ">=".value(Operator::Order(Order::AtLeast)),
        "<=".value(Operator::Order(Order::AtMost)),
        "=".value(Operator::Equals),
        ">".value(Operator::Order(Order::Greater)),
        "<".value(Operator::Order(Order::Less)),
    ));
    opt(known).parse_next(input)?.ok_or_else(|| Complaint::at(input, no_operator(input)))
}

/// The right side of `<` and its like.
fn limit(input: &mut &str) -> Parsed<f64> {
    let whole = *input;
    if whole.starts_with(['"', '%']) {
        return Err(Complaint::at(whole, no_limit(whole)));
    }
    number(bare(input)?).ok_or_else(|| Complaint::at(whole, no_limit(whole)))
}

/// A value without quotes.
fn bare<'a>(input: &mut &'a str) -> Parsed<&'a str> {
    let whole = *input;
    let value = take_while(0.., |c| is_of_a_term(c) || c == '*').parse_next(input)?;
    let ends = |c: char| c.is_whitespace() || matches!(c, ')' | '}' | '&' | '|');
    if value.is_empty() || input.starts_with(|c| !ends(c)) {
        return Err(Complaint::at(input, no_value(whole, input)));
    }
    Ok(value)
}

/// What a term or a value may be made of outside quotes. AWS says letters, digits and underscores, and takes more: its
/// own examples have `123.123.*`.
fn is_of_a_term(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '+' | '#')
}

/// What ends an expression: the bracket that was opened.
fn closing(bracket: char, input: &mut &str) -> Parsed<()> {
    match opt(bracket).parse_next(input)? {
        Some(_) => Ok(()),
        None => Err(Complaint::at(input, not_closed(bracket, input))),
    }
}
