//! What is refused, in which words; what is allowed and can never match; what is allowed and probably not meant.

use secretwatch::detect::Pattern;

/// `text` is refused at `column`, in these words.
fn refused(text: &str, column: usize, message: &str) {
    let error = Pattern::parse(text).expect_err(text);
    assert_eq!((error.column, error.message.as_str()), (column, message), "{text}");
}

#[test]
fn a_regular_expression_says_at_which_character_it_is_wrong() {
    refused("{ $.a = %x }", 9, "a regular expression ends with another `%`");
    refused("{ $.a = %% }", 9, "there is nothing between the percent signs");
    refused("{ $.a = %a(b)% }", 11, r"a regular expression has no parentheses here; the character is `\x28`");
    refused("{ $.a = %a!b% }", 11, r"`!` cannot stand in a regular expression; write `\x21`");
    refused("{ $.a = %aé% }", 11, "a regular expression takes ASCII only; `.` is any character");
    refused("{ $.a = %[a% }", 11, "a `[` without its `]`");
    refused("{ $.a = %a{x}% }", 11, "a repetition is `{m}`, `{m,}`, `{,n}` or `{m,n}` with numbers below 10000");
    refused("{ $.a = %a{,}% }", 11, "a repetition is `{m}`, `{m,}`, `{,n}` or `{m,n}` with numbers below 10000");
    refused("{ $.a = %a{10000}% }", 11, "a repetition is `{m}`, `{m,}`, `{,n}` or `{m,n}` with numbers below 10000");
    refused("{ $.a = %a{1% }", 11, r"a `{` without its `}`; write `\{` for the character");
    refused("{ $.a = %*a% }", 10, "the regular expression cannot be read: repetition operator missing expression");
    refused("{ $.a = %[z-a]% }", 13, "a range goes up from one character to another, as in `a-z`; a hyphen comes last");
    refused(
        r"{ $.a = %[a-\d]% }",
        14,
        "a range goes up from one character to another, as in `a-z`; a hyphen comes last",
    );
    refused(
        r"{ $.a = %\q% }",
        11,
        r"`\q` has no meaning; there are \d \D \s \S \w \W \t \n \r \xhh and escaped symbols",
    );
    refused(r"{ $.a = %a\% }", 11, r"a `\` at the end escapes nothing; write `\\`");
    refused(
        r"{ $.a = %\x8g% }",
        11,
        r"after `\x` come two hexadecimal digits of an ASCII character: `\x3a` is a colon",
    );
    refused(
        r"{ $.a = %\xff% }",
        11,
        r"after `\x` come two hexadecimal digits of an ASCII character: `\x3a` is a colon",
    );
    refused("{ $.a = %a{9999}{9999}% }", 10, "the regular expression repeats too much to be compiled; repeat less");
    refused(
        "{ $.a = %a{3,2}% }",
        10,
        "the regular expression cannot be read: invalid repetition count range, the start must be <= the end",
    );
}

#[test]
fn too_much_of_something() {
    refused("{ $.*.* = 1 }", 3, "a selector has one wildcard at most");
    refused("{ $.a[*].b[*] = 1 }", 3, "a selector has one wildcard at most");
    refused(
        "{ $.a[*] = 1 && $.b[*] = 1 && $.c[*] = 1 && $.*.d = 1 }",
        45,
        "a pattern has 3 selectors with a wildcard at most",
    );
    refused("{ $.a = %a% && $.b = %b% && $.c = %c% }", 35, "a pattern has 2 regular expressions at most");
    refused("%a% %b% -%c%", 10, "a pattern has 2 regular expressions at most");
    refused("--a", 2, "a term has one `-` or `?` at most; others stand in double quotes");
    refused("?-a", 2, "a term has one `-` or `?` at most; others stand in double quotes");
}

#[test]
fn brackets_and_braces() {
    refused("", 1, "the pattern is empty; leave `pattern` out to count every record");
    refused("  \n", 4, "the pattern is empty; leave `pattern` out to count every record");
    refused("{}", 2, "there is nothing between the braces; `{ $.eventName = * }` compares something");
    refused("{ }", 3, "there is nothing between the braces; `{ $.eventName = * }` compares something");
    refused("{ $.a = 1", 10, "the pattern ends without its closing `}`");
    refused("{ ($.a = 1 }", 12, "the brace closes before the `)` that is missing");
    refused("{ $.a = 1) }", 10, "this `)` closes nothing");
    refused("{ $.a = 1 } x", 13, "`x` follows the closing brace, which ends the pattern");
    refused("{ $.a = 1 }}", 12, "`}` follows the closing brace, which ends the pattern");
    refused("$.a = 1", 1, r#"a comparison stands in braces: `{ $.eventName = "…" }`"#);
    refused("[ip, user]", 1, r#"`[…]` is for lines of words, and records are JSON; write `{ $.eventName = "…" }`"#);
    refused("{ $.a = 1 && { $.b = 2 } }", 14, "`{` stands where a selector should, such as `$.eventName`");
    refused("{{ $.a = 1 }", 2, "`{` stands where a selector should, such as `$.eventName`");
}

#[test]
fn a_term_says_how_it_would_have_to_be_written() {
    refused("ERROR, x", 6, r#"`,` cannot stand in a term without quotes; write `"ERROR,"`"#);
    refused("'ERROR 500'", 1, r#"single quotes are no quotes; write `"ERROR 500"`"#);
    refused("“ERROR”", 1, r#"typographic quotes are no quotes; write `"ERROR"`"#);
    refused(r#""ERROR"#, 1, r#"a quoted text ends with another `"`"#);
    refused("%ERROR", 1, "a regular expression ends with another `%`");
    refused("- ERROR", 2, "the term has to follow its `-` or `?` at once");
    refused("ERROR -", 8, "the term has to follow its `-` or `?` at once");
    refused("?", 2, "the term has to follow its `-` or `?` at once");
    refused(r#""a""b""#, 4, r#"`"` follows a term without a space between them"#);
    refused(r#""a"b"#, 4, "`b` follows a term without a space between them");
    refused(r#"a"b""#, 2, r#"`"` cannot stand in a term without quotes; write `"a\"b\""`"#);
    refused("%a%b", 4, "`b` follows a term without a space between them");
    refused("*", 1, "`*` is no wildcard in a term, which is found within words as well; leave it out");
    refused("Get*", 4, "`*` is no wildcard in a term, which is found within words as well; leave it out");
    refused("a && b", 3, "`&` cannot stand in a term; terms beside each other all have to be there");
    refused("a || b", 3, "`|` cannot stand in a term; `?A ?B` asks for one of the two");
    refused("(a)", 1, r#"`(` cannot stand in a term without quotes; write `"(a)"`"#);
    refused(
        "eventName=GetSecretValue",
        10,
        r#"`=` cannot stand in a term; a comparison is `{ $.eventName = "…" }`, and other texts stand in quotes"#,
    );
    refused(
        "eventName = GetSecretValue",
        11,
        r#"`=` cannot stand in a term; a comparison is `{ $.eventName = "…" }`, and other texts stand in quotes"#,
    );
    refused(r#""x" %a(b)%"#, 7, r"a regular expression has no parentheses here; the character is `\x28`");
    refused(r#"\"a b\""#, 1, r#"`\"` is how other files write a quote; write `"a b"`"#);
    refused("é, x", 2, r#"`,` cannot stand in a term without quotes; write `"é,"`"#);
}

#[test]
fn a_selector_says_what_it_lacks() {
    refused(r#"{ eventName = "x" }"#, 3, "a field of the record is written with `$.`: `$.eventName`");
    refused("{ $eventName = x }", 3, "a field of the record is written with `$.`: `$.eventName`");
    refused("{ .eventName = x }", 3, "a field of the record is written with `$.`: `$.eventName`");
    refused("{ eventName.x[0] = 1 }", 3, "a field of the record is written with `$.`: `$.eventName.x[0]`");
    refused("{ $ = x }", 3, "a space stands where a selector should, such as `$.eventName`");
    refused("{ $. = x }", 5, "a space stands where the name of a field should");
    refused("{ $..a = x }", 5, "`.` stands where the name of a field should");
    refused("{ $.a. = x }", 7, "a space stands where the name of a field should");
    refused("{ $.a = $.b }", 9, "a selector is compared with a value, not with another selector");
    refused("{ $.a = 1 && }", 14, "`}` stands where a selector should, such as `$.eventName`");
    refused("{ && $.a = 1 }", 3, "`&` stands where a selector should, such as `$.eventName`");
    refused("{ $.a = 1 || || $.a = 2 }", 14, "`|` stands where a selector should, such as `$.eventName`");
    refused("{ !($.a = 1) }", 3, "nothing can be negated as a whole; write `!=` or `NOT EXISTS`");
    refused("{ NOT ($.a = 1) }", 3, "nothing can be negated as a whole; write `!=` or `NOT EXISTS`");
    refused("{ () }", 4, "`)` stands where a selector should, such as `$.eventName`");
    refused("{ $.a@b = 1 }", 6, "`@` cannot stand in a selector; a name with such characters is written `$.['a b']`");
    refused(
        "{ $.a[x] = 1 }",
        6,
        "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`",
    );
    refused(
        "{ $.a[-1] = 1 }",
        6,
        "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`",
    );
    refused(
        "{ $.a[0 = 1 }",
        6,
        "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`",
    );
    refused(
        "{ $.['a] = 1 }",
        4,
        "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`",
    );
    refused(
        "{ $.a[] = 1 }",
        6,
        "brackets hold the number of an element, `[0]`, any element, `[*]`, or a name in quotes, `['a.b']`",
    );
}

#[test]
fn an_operator_from_elsewhere_says_what_it_is_called_here() {
    refused("{ $.a == 1 }", 7, "`==` is no operator; equality is `=`");
    refused("{ $.a === 1 }", 7, "`==` is no operator; equality is `=`");
    refused("{ $.a <> 1 }", 7, "`<>` is no operator; inequality is `!=`");
    refused("{ $.a =~ %x% }", 7, "`=~` is no operator; a regular expression stands in percent signs: `= %…%`");
    refused("{ $.a !~ %x% }", 7, "`!~` is no operator; a regular expression stands in percent signs: `!= %…%`");
    refused("{ $.a => 1 }", 7, "`=>` is no operator; at least is `>=`");
    refused("{ $.a =< 1 }", 7, "`=<` is no operator; at most is `<=`");
    refused("{ $.a ≠ 1 }", 7, "`≠` is no operator; inequality is `!=`");
    refused("{ $.a : 1 }", 7, "`:` is no operator; equality is `=`");
    refused("{ $.a 1 }", 7, "`1` stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS");
    refused("{ $.a }", 7, "`}` stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS");
    refused(
        "{ $.a ",
        7,
        "the end of the pattern stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS",
    );
    refused("{ $.a !1 }", 7, "`!` stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS");
    refused("{ $.a IS NOT NULL }", 7, "there is no `IS NOT`; `$.a = *` holds for every value but null");
    refused("{ $.a is not null }", 7, "there is no `IS NOT`; `$.a = *` holds for every value but null");
    refused("{ $.a IS EMPTY }", 10, "`EMPTY` follows `IS`; `NULL`, `TRUE` or `FALSE` can");
    refused("{ $.a IS }", 10, "`}` follows `IS`; `NULL`, `TRUE` or `FALSE` can");
    refused("{ $.a EXISTS }", 7, "there is no `EXISTS`, only `NOT EXISTS`; write `$.a = *`");
    refused("{ $.a.['b c'] EXISTS }", 15, "there is no `EXISTS`, only `NOT EXISTS`; write `$.a.['b c'] = *`");
    refused("{ $.a NOT NULL }", 11, "`NULL` follows `NOT`; only `NOT EXISTS` is known");
    refused("{ $.a NOT }", 11, "`}` follows `NOT`; only `NOT EXISTS` is known");
    refused(r#"{ $.a LIKE "x" }"#, 7, "`LIKE` stands where an operator should: =, !=, <, <=, >, >=, IS or NOT EXISTS");
    refused("{ $.é == 1 }", 7, "`==` is no operator; equality is `=`");
}

#[test]
fn a_value_says_what_is_wrong_with_it() {
    refused("{ $.a = 'x y' }", 9, r#"single quotes are no quotes; write `"x y"`"#);
    refused("{ $.a = “x y” }", 9, r#"typographic quotes are no quotes; write `"x y"`"#);
    refused("{ $.a = ‘x’ }", 9, r#"typographic quotes are no quotes; write `"x"`"#);
    refused(r#"{ $.a = \"x y\" }"#, 9, r#"`\"` is how other files write a quote; write `"x y"`"#);
    refused("{ $.a = }", 9, "`}` stands where a value should");
    refused("{ $.a = && $.b = 1 }", 9, "`&` stands where a value should");
    refused(
        "{ $.a = foo bar }",
        13,
        "`bar` follows a comparison; `&&`, `||` or a closing bracket can; a value with spaces stands in double quotes",
    );
    refused("{ $.a = foo,bar }", 12, r#"`,` cannot stand in a value without quotes; write `"foo,bar"`"#);
    refused("{ $.a = [1] }", 9, r#"`[` cannot stand in a value without quotes; write `"[1]"`"#);
    refused("{ $.a = = 1 }", 9, "`=` follows an operator, which a value should");
    refused(
        "{ $.a = xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx! }",
        49,
        r#"`!` cannot stand in a value without quotes; write `"…"`"#,
    );
    refused(r#"{ $.a = "x }"#, 9, r#"a quoted text ends with another `"`"#);
    refused(r#"{ $.a = "x\" }"#, 9, r#"a quoted text ends with another `"`"#);
    refused("{ $.a = 1 and $.b = 2 }", 11, "`and` follows a comparison; “and” is written `&&`");
    refused("{ $.a = 1 AND $.b = 2 }", 11, "`AND` follows a comparison; “and” is written `&&`");
    refused("{ $.a = 1 OR $.b = 2 }", 11, "`OR` follows a comparison; “or” is written `||`");
    refused("{ $.a = 1 & $.b = 2 }", 11, "`&` follows a comparison; “and” is written `&&`");
    refused("{ $.a = 1 | $.b = 2 }", 11, "`|` follows a comparison; “or” is written `||`");
    refused("{ $.a = 1, $.b = 2 }", 10, "`,` joins nothing; “and” is written `&&`, “or” is written `||`");
    refused(r#"{ $.a = "1", $.b = 2 }"#, 12, "`,` follows a comparison; “and” is written `&&`, “or” is written `||`");
    refused(
        r#"{ $.a = "x" y }"#,
        13,
        "`y` follows a comparison; `&&`, `||` or a closing bracket can; a value with spaces stands in double quotes",
    );
    refused("{ $.a > x }", 9, "`x` is no number, and only numbers are more or less than others");
    refused(r#"{ $.a > "5" }"#, 9, "only numbers are more or less than others, and numbers stand without quotes");
    refused("{ $.a < 5* }", 9, "`5*` is no number, and only numbers are more or less than others");
    refused("{ $.a >= %5% }", 10, "`%5%` is no number, and only numbers are more or less than others");
    refused("{ $.a > }", 9, "`}` stands where a value should");
}

#[test]
fn more_characters_than_aws_takes() {
    let longest = format!(r#"{{ $.a = "{}" }}"#, "é".repeat(1024 - 12));
    assert!(Pattern::parse(&longest).is_ok());
    refused(&format!("{longest} "), 1025, "the pattern has more than 1024 characters");
}

#[test]
fn more_brackets_than_the_stack_should_take() {
    let nested = |depth: usize| format!("{{{}$.a = 1{}}}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::parse(&nested(64)).is_ok());
    refused(&nested(65), 66, "more than 64 parentheses stand inside one another");
}

#[test]
fn an_error_shows_its_column() {
    let error = Pattern::parse("{ $.a == 1 }").expect_err("two equals signs");
    assert_eq!(error.to_string(), "column 7: `==` is no operator; equality is `=`");
}

/// Why `text` can never match; empty if it can, or if that is not certain.
fn never(text: &str, reason: &str) {
    let pattern = Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(pattern.never_matches().unwrap_or_default(), reason, "{text}");
}

#[test]
fn what_contradicts_itself_never_matches() {
    never(r#"{ $.a = "x" && $.a = "y" }"#, r#"`$.a = "x"` and `$.a = "y"` cannot both hold"#);
    never("{ $.n > 5 && $.n < 3 }", "`$.n > 5` and `$.n < 3` cannot both hold");
    never("{ $.n > 5 && $.n <= 5 }", "`$.n > 5` and `$.n <= 5` cannot both hold");
    never("{ $.n >= 5 && $.n <= 5 && $.n != 5 }", "`$.n >= 5`, `$.n <= 5` and `$.n != 5` cannot all hold");
    never("{ $.a = x && $.a != x }", "`$.a = x` and `$.a != x` cannot both hold");
    never("{ $.a = 5 && $.a != 5.0 }", "`$.a = 5` and `$.a != 5.0` cannot both hold");
    never("{ $.a = 5 && $.a = 6 }", "`$.a = 5` and `$.a = 6` cannot both hold");
    never("{ $.a = 5 && $.a = x }", "`$.a = 5` and `$.a = x` cannot both hold");
    never("{ $.a > 5 && $.a = \"4\" }", "`$.a > 5` and `$.a = \"4\"` cannot both hold");
    never("{ $.a > 5 && $.a != * }", "`$.a > 5` and `$.a != *` cannot both hold");
    never("{ $.a NOT EXISTS && $.a = 1 }", "`$.a NOT EXISTS` and `$.a = 1` cannot both hold");
    never("{ $.a NOT EXISTS && $.a != 1 }", "`$.a NOT EXISTS` and `$.a != 1` cannot both hold");
    never("{ $.a NOT EXISTS && $.a IS NULL }", "`$.a NOT EXISTS` and `$.a IS NULL` cannot both hold");
    never("{ $.a NOT EXISTS && $.a.b[0].c = 1 }", "`$.a NOT EXISTS` and `$.a.b[0].c = 1` cannot both hold");
    never("{ $.a.b = 1 && $.a = 1 }", "`$.a.b = 1` and `$.a = 1` cannot both hold");
    never("{ $.a[*] = 1 && $.a = 1 }", "`$.a[*] = 1` and `$.a = 1` cannot both hold");
    never("{ $.a IS TRUE && $.a IS FALSE }", "`$.a IS TRUE` and `$.a IS FALSE` cannot both hold");
    never("{ $.a IS TRUE && $.a != true }", "`$.a IS TRUE` and `$.a != true` cannot both hold");
    never("{ $.a IS NULL && $.a = * }", "`$.a IS NULL` and `$.a = *` cannot both hold");
    never("{ $.a = x* && $.a = y* }", "`$.a = x*` and `$.a = y*` cannot both hold");
    never("{ $.a = *x && $.a = *y }", "`$.a = *x` and `$.a = *y` cannot both hold");
    never("{ $.a = ab*c && $.a != a* }", "`$.a = ab*c` and `$.a != a*` cannot both hold");
    never("{ $.a = %x% && $.a != %x% }", "`$.a = %x%` and `$.a != %x%` cannot both hold");
    never("{ $.a = abc && $.a = %^b% }", "`$.a = abc` and `$.a = %^b%` cannot both hold");
    never("{ $.a > 1e999 }", "`$.a > 1e999` cannot hold");
    never(
        "{ ($.a = x || $.a = y) && $.b = 1 && $.a = z }",
        "`$.a = x` and `$.a = z` cannot both hold; `$.a = y` and `$.a = z` cannot both hold",
    );
    never(
        "{ ($.a = 1 || $.a = 2 || $.a = 3 || $.a = 4 || $.a = 5) && $.a = 6 }",
        "`$.a = 1` and `$.a = 6` cannot both hold; `$.a = 2` and `$.a = 6` cannot both hold; `$.a = 3` and `$.a = 6` \
         cannot both hold; and 2 more like these",
    );
    never("ERROR -ERROR", "`-ERROR` excludes every record that `ERROR` asks for");
    never("-ERR ERROR", "`-ERR` excludes every record that `ERROR` asks for");
    never("%a.b% -%a.b%", "`-%a.b%` excludes every record that `%a.b%` asks for");
    never("ERROR -\" \"", "`-\" \"` excludes every record");
}

#[test]
fn what_may_match_is_not_said_to_never_match() {
    for text in [
        "{ $.a = x || $.a != x }",
        "{ $.a = 5 && $.a = \"5.0\" }",
        "{ $.a = 5 && $.a != \"5\" }",
        "{ $.a > 5 && $.a < 5.1 }",
        "{ $.a >= 5 && $.a <= 5 }",
        "{ $.a = x* && $.a = *y }",
        "{ $.a = x* && $.a != xy }",
        "{ $.a = *b* && $.a = *c* }",
        "{ $.a[*] = x && $.a[*] = y }",
        "{ $.a[*] NOT EXISTS && $.a[0] NOT EXISTS }",
        "{ $.a != x && $.a != * }",
        "{ $.a = true && $.a IS TRUE }",
        "{ $.a NOT EXISTS && $.a.b NOT EXISTS }",
        "{ $.a.b NOT EXISTS && $.a = 1 }",
        "{ $.a = %x% && $.a != %y% }",
        "{ $.a = a* && $.a != %^a% }",
        "{ $.a IS NULL && $.b NOT EXISTS }",
        "{ $.a = x && $.A = y }",
        "{ $.a = 1 && $.b = 2 }",
        "ERROR -ERRORS",
        "?ERROR -ERROR2",
        "%a% -%b%",
    ] {
        never(text, "");
    }
}

/// A pattern with 2 to the 10th cases is not judged.
#[test]
fn too_many_cases_are_not_judged() {
    let part = |at: usize| format!("($.a{at} = 1 || $.b{at} = 1)");
    let parts: Vec<String> = (0..10).map(part).collect();
    never(&format!("{{ {} && $.c = 1 && $.c = 2 }}", parts.join(" && ")), "");
    never(
        &format!("{{ {} && $.c = 1 && $.c = 2 }}", parts[..2].join(" && ")),
        "`$.c = 1` and `$.c = 2` cannot both hold",
    );
}

/// What is said of `text`, apart from errors.
fn warns(text: &str, expected: &[&str]) {
    let pattern = Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(pattern.warnings(), expected, "{text}");
}

#[test]
fn fields_that_records_do_not_have() {
    let meant = |name: &str, field: &str| {
        warns(&format!("{{ $.{name} = x }}"), &[&format!("records have no field `{name}`; did you mean `$.{field}`?")]);
    };
    meant("eventname", "eventName");
    meant("event_name", "eventName");
    meant("EventName", "eventName");
    meant("sourceIpAddress", "sourceIPAddress");
    meant("eventNmae", "eventName");
    meant("requestParameter", "requestParameters");
    warns("{ $.secretId = x }", &["CloudTrail's records have no field `secretId`, as far as its documentation goes"]);
    warns("{ $.foo NOT EXISTS }", &["CloudTrail's records have no field `foo`, as far as its documentation goes"]);
    warns(
        "{ $.userIdentity.username = x }",
        &["CloudTrail writes `$.userIdentity.userName`, not `$.userIdentity.username`"],
    );
    warns("{ $.userIdentity.somethingNew = x && $.requestParameters.x[0].y = 1 && $.* = 3 }", &[]);
}

#[test]
fn records_as_others_wrap_them() {
    warns(
        "{ $.detail.eventName = x && $.detail.userIdentity.type = Root }",
        &[
            "`$.detail.eventName` is how EventBridge wraps records; here it is `$.eventName`",
            "`$.detail.userIdentity.type` is how EventBridge wraps records; here it is `$.userIdentity.type`",
        ],
    );
    warns(
        "{ $.Records[0].eventName = x }",
        &["`$.Records[0].eventName` is how a log file wraps records; here it is `$.eventName`"],
    );
}

#[test]
fn comparisons_that_say_less_than_they_seem_to() {
    warns(
        "{ $.eventName = x && $.userIdentity.invokedBy != x }",
        &["`$.userIdentity.invokedBy != x` does not hold where there is no `$.userIdentity.invokedBy`; add \
             `|| $.userIdentity.invokedBy NOT EXISTS` to count those records too"],
    );
    warns("{ $.errorCode != x || $.errorCode NOT EXISTS }", &[]);
    warns("{ $.errorCode = * && $.errorCode != x }", &[]);
    warns(
        "{ $.requestParameters = null }",
        &["`$.requestParameters` holds fields and is no value itself: compare one of them, or `$.requestParameters.*`"],
    );
    warns("{ $.requestParameters IS NULL }", &[]);
    warns("{ $.errorCode = null }", &["`$.errorCode = null` asks for the text; `$.errorCode IS NULL` asks for null"]);
    warns(
        "{ $.sessionCredentialFromConsole IS TRUE }",
        &["CloudTrail writes `$.sessionCredentialFromConsole` as a text: `$.sessionCredentialFromConsole = \"true\"`"],
    );
    warns("{ $.readOnly IS TRUE }", &[]);
    warns(
        "{ $.eventName = x || $.awsRegion = a && $.awsRegion = b }",
        &["a part of the pattern can never hold: `$.awsRegion = a` and `$.awsRegion = b` cannot both hold"],
    );
}

#[test]
fn terms_that_do_nothing() {
    warns(
        "?ERROR GetSecretValue",
        &["`?ERROR` has no effect: as in CloudWatch Logs, terms with `?` are ignored beside terms without"],
    );
    warns("?ERROR ?WARN", &[]);
    warns(
        "ERROR AND WARN",
        &["`AND` is a term like any other; `A B` asks for both, `?A ?B` for one of them, `-A` for none"],
    );
}
