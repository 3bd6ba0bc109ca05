//! Filter patterns: what they match, what they refuse, and how they explain themselves.

mod allocations;
mod mistakes;
mod naive;
mod properties;

use secretwatch::detect::Pattern;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fires(text: &str, record: &str) {
    assert!(pattern(text).matches(record), "{text} on {record}");
}

fn is_quiet(text: &str, record: &str) {
    assert!(!pattern(text).matches(record), "{text} on {record}");
}

/// The JSON of AWS's documentation.
const TRAIL: &str = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],
    "objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"cluster.name":"c"}"#;
const USERS: &str = r#"{"user":{"id":1,"email":"John.Stiles@example.com"},
    "users":[{"id":2,"email":"John.Doe@example.com"},{"id":3,"email":"Jane.Doe@example.com"}],
    "actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}"#;

#[test]
fn the_json_examples_of_the_documentation() {
    fires(r#"{ $.eventType = "UpdateTrail" }"#, TRAIL);
    fires("{ $.sourceIPAddress != 123.123.* }", TRAIL);
    fires(r#"{ $.arrayKey[0] = "value" }"#, TRAIL);
    fires("{ $.eventType = %Trail% }", TRAIL);
    fires("{ $.arrayKey[*] = %val.{2}% }", TRAIL);
    fires(r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", TRAIL);
    fires("{ $.['cluster.name'] = \"c\" }", TRAIL);
    fires("{ $.SomeObject IS NULL }", TRAIL);
    fires("{ $.SomeOtherObject NOT EXISTS }", TRAIL);
    fires(r#"{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }"#, USERS);
    fires(
        r#"{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch"
            && $.actions[2] = "nonmatch" }"#,
        USERS,
    );
    is_quiet(
        r#"{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch")
            && $.actions[2] = "nonmatch" }"#,
        USERS,
    );
    is_quiet(r#"{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }"#, USERS);
}

#[test]
fn the_numeric_examples_of_the_documentation() {
    fires("{ $.bandwidth > 75 }", r#"{"bandwidth":76}"#);
    is_quiet("{ $.bandwidth > 75 }", r#"{"bandwidth":75}"#);
    fires("{ $.latency < 50 }", r#"{"latency":49.9}"#);
    fires("{ $.refreshRate >= 60 }", r#"{"refreshRate":60}"#);
    fires("{ $.responseTime <= 5 }", r#"{"responseTime":5}"#);
    fires("{ $.errorCode = 400}", r#"{"errorCode":400}"#);
    fires("{ $.errorCode != 500 }", r#"{"errorCode":400}"#);
    fires("{ $.number[0] = 1e+3 }", r#"{"number":[1000]}"#);
    fires("{ $.number[0] != 1e-3 }", r#"{"number":[1000]}"#);
    is_quiet("{ $.number[0] != 1e-3 }", r#"{"number":[0.001]}"#);
}

#[test]
fn the_term_examples_of_the_documentation() {
    let lines = [
        "[ERROR 400] BAD REQUEST",
        "[ERROR 401] UNAUTHORIZED REQUEST",
        "[ERROR 419] MISSING ARGUMENTS",
        "[ERROR 420] INVALID ARGUMENTS",
        "[ERROR 500] INTERNAL SERVER ERROR",
        "[INFO] REQUEST FAILED",
    ];
    let matching = |text: &str| {
        let pattern = pattern(text);
        lines.iter().map(|line| if pattern.matches(line) { '+' } else { '-' }).collect::<String>()
    };
    assert_eq!(matching("ERROR"), "+++++-");
    assert_eq!(matching("ERROR ARGUMENTS"), "--++--");
    assert_eq!(matching("?ERROR ?ARGUMENTS"), "+++++-");
    assert_eq!(matching("?FAILED ?ARGUMENTS"), "--++-+");
    assert_eq!(matching("?ERROR ?ARGUMENTS REQUEST"), "++---+");
    assert_eq!(matching(r#""INTERNAL SERVER ERROR""#), "----+-");
    assert_eq!(matching("ERROR -ARGUMENTS"), "++--+-");
    assert_eq!(matching("\" \""), "++++++");
    assert_eq!(matching("%AUTHORIZED%"), "-+----");
}

#[test]
fn what_a_comparison_means_for_each_kind_of_value() {
    /// Which of these the test after `$.a` holds for.
    fn holds(test: &str, expected: &str) {
        let values = [
            "null",
            "true",
            "false",
            "5",
            "5.0",
            r#""5""#,
            r#""true""#,
            r#""x""#,
            r#""""#,
            "[5]",
            r#"{"a":5}"#,
            "absent",
        ];
        let pattern = pattern(&format!("{{ $.a {test} }}"));
        let matched = values.into_iter().filter(|value| match *value {
            "absent" => pattern.matches(r#"{"b":5}"#),
            value => pattern.matches(&format!(r#"{{"a":{value}}}"#)),
        });
        assert_eq!(matched.collect::<Vec<_>>().join(" "), expected, "{test}");
    }
    holds("= 5", r#"5 5.0 "5""#);
    holds("= \"5\"", r#"5 "5""#);
    holds("= 5.0", r#"5 5.0 "5""#);
    holds("= \"5.0\"", "5.0");
    holds("= 5*", r#"5 5.0 "5""#);
    holds("= true", r#"true "true""#);
    holds("= x", r#""x""#);
    holds("= \"\"", r#""""#);
    holds("= *", r#"true false 5 5.0 "5" "true" "x" """#);
    holds("= %^.$%", r#"5 "5" "x""#);
    holds("!= 5", r#"null true false "true" "x" """#);
    holds("!= x", r#"null true false 5 5.0 "5" "true" """#);
    holds("!= *", "null");
    holds("!= %5%", r#"null true false "true" "x" """#);
    holds("> 4", r#"5 5.0 "5""#);
    holds("<= 5", r#"5 5.0 "5""#);
    holds("< 5", "");
    holds("IS NULL", "null");
    holds("IS TRUE", "true");
    holds("IS FALSE", "false");
    holds("NOT EXISTS", "absent");
}

#[test]
fn a_wildcard_in_a_selector_chooses_every_child_and_one_is_enough() {
    fires("{ $.users[*].id = 3 }", USERS);
    fires("{ $.users[*].id != 3 }", USERS);
    is_quiet("{ $.users[*].id = 4 }", USERS);
    fires("{ $.users.*.id = 3 }", USERS);
    fires("{ $.user[*] = 1 }", USERS);
    fires("{ $.*.email = \"John*\" }", USERS);
    fires("{ $.*[0].id = 2 }", USERS);
    is_quiet("{ $.users[*].id NOT EXISTS }", USERS);
    fires("{ $.users[*].name NOT EXISTS }", USERS);
    fires("{ $.nothing[*] NOT EXISTS }", USERS);
    fires("{ $.a[*] NOT EXISTS }", r#"{"a":[]}"#);
    is_quiet("{ $.a[*] != 1 }", r#"{"a":[]}"#);
    fires("{ $.a[*] IS NULL }", r#"{"a":[1,null]}"#);
    // A wildcard looks at members that others of the same name hide.
    fires("{ $.* = 1 }", r#"{"a":1,"a":2}"#);
}

#[test]
fn selectors_find_what_they_name_and_nothing_else() {
    let record = r#"{"a":{"b":[{"c-d":1},[2,3]],"x y":4},"e_f":5,"":6,"é":7,"$.a":8,"a.b":9,"it's":10}"#;
    for selector in [
        "$.a.b[0].c-d = 1",
        "$.a.b[1][1] = 3",
        "$.a['x y'] = 4",
        "$.a.[\"x y\"] = 4",
        "$['e_f'] = 5",
        "$.e_f = 5",
        "$.[''] = 6",
        "$.é = 7",
        "$.['$.a'] = 8",
        "$.['a.b'] = 9",
        "$.[\"it's\"] = 10",
        "$.a.b[2] NOT EXISTS",
        "$.a.b.c-d NOT EXISTS",
        "$.a[0] NOT EXISTS",
        "$.b NOT EXISTS",
        "$.A NOT EXISTS",
        "$.e NOT EXISTS",
        "$.e_f.g NOT EXISTS",
        "$.e_f[0] NOT EXISTS",
        "$.a.b[99999999999999999999] NOT EXISTS",
    ] {
        if selector.contains("9999") {
            assert!(Pattern::parse(&format!("{{ {selector} }}")).is_err(), "{selector}");
        } else {
            fires(&format!("{{ {selector} }}"), record);
        }
    }
}

/// Sixteen fields are found in one pass.
#[test]
fn more_fields_than_are_found_at_once_are_found_all_the_same() {
    let names: Vec<String> = (0..40).map(|at| format!("f{at}")).collect();
    let pattern =
        format!("{{ {} }}", names.iter().map(|name| format!("$.{name} = x")).collect::<Vec<_>>().join(" && "));
    let record = |last: &str| {
        let members: Vec<String> = names.iter().map(|name| format!(r#""{name}":"x""#)).collect();
        format!(r#"{{{},"f39":"{last}"}}"#, members.join(","))
    };
    fires(&pattern, &record("x"));
    is_quiet(&pattern, &record("y"));
}

#[test]
fn the_last_of_members_with_the_same_name_counts() {
    let record = r#"{"a":1,"b":0,"\u0061":2,"o":{"x":1},"o":{"y":1}}"#;
    fires("{ $.a = 2 }", record);
    is_quiet("{ $.a = 1 }", record);
    fires("{ $.o.x NOT EXISTS && $.o.y = 1 }", record);
}

#[test]
fn texts_are_compared_by_what_they_mean_not_by_how_they_are_written() {
    let record = r#"{"a":"x\u002fy \"z\" \ud83d\ude00\n","b":"x/y","c":"\u0035","d":"\ud800","e":"c:\\d"}"#;
    fires(r#"{ $.a = "x/y \"z\" *" }"#, record);
    fires(r#"{ $.a = "*😀*" }"#, record);
    fires(r#"{ $.a = "x*z*" && $.a != "x*y" }"#, record);
    fires("{ $.a = %^x/y .z. .\\s$% }", record);
    fires("{ $.b = x/y }", record);
    fires("{ $.c = 5 && $.c >= 5 }", record);
    fires("{ $.d = \"\u{fffd}\" }", record);
    fires(r#"{ $.e = "c:\\d" }"#, record);
    fires(r#"{ $.e = "c:\d" }"#, record);
    is_quiet(r#"{ $.b = "X/Y" }"#, record);
}

#[test]
fn wildcards_in_texts_stand_for_any_text() {
    for (glob, text, expected) in [
        ("*", "", true),
        ("a*", "a", true),
        ("a*", "ba", false),
        ("*a", "ba", true),
        ("*a", "ab", false),
        ("a*b", "ab", true),
        ("a*b", "a-b", true),
        ("a*a", "a", false),
        ("ab*ba", "aba", false),
        ("*b*", "abc", true),
        ("*ab*ab*", "abab", true),
        ("*ab*ab*", "aba", false),
        ("a**b", "axb", true),
        ("a*b*c", "a-b-b-c", true),
        ("*.amazonaws.com", "kms.amazonaws.com", true),
        ("a*", "A", false),
        ("*", "*", true),
        ("a*c", "a*c", true),
    ] {
        let escaped: String = text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        for text in [text, &escaped] {
            let pattern = pattern(&format!(r#"{{ $.a = "{glob}" }}"#));
            assert_eq!(pattern.matches(&format!(r#"{{"a":"{text}"}}"#)), expected, "{glob} on {text}");
        }
    }
}

#[test]
fn and_binds_tighter_than_or_and_brackets_tightest() {
    let logic = |text: &str| {
        let text = text.replace('T', "$.a = 1").replace('F', "$.a = 2");
        pattern(&format!("{{{text}}}")).matches(r#"{"a":1}"#)
    };
    assert!(logic("T || F && F"));
    assert!(!logic("(T || F) && F"));
    assert!(logic("F && F || T"));
    assert!(logic("T&&T&&(F||(T))"));
    assert!(!logic("F || F || F"));
    assert!(logic("((((T))))"));
    assert!(logic("F||F||T&&T"));
}

#[test]
fn terms_are_found_anywhere_in_the_text_as_it_is_written() {
    let record = r#"{"eventName":"GetSecretValue","errorCode":"AccessDenied","path":"a\/b"}"#;
    fires("GetSecretValue", record);
    fires("Secret", record);
    is_quiet("getsecretvalue", record);
    fires(r#""\"eventName\":\"GetSecretValue\"""#, record);
    fires("GetSecretValue AccessDenied", record);
    is_quiet("GetSecretValue -AccessDenied", record);
    fires("-PutSecretValue", record);
    fires("-PutSecretValue -ListSecrets", record);
    is_quiet("-PutSecretValue -AccessDenied", record);
    fires("?PutSecretValue ?AccessDenied", record);
    is_quiet("?PutSecretValue ?ListSecrets", record);
    fires("?nothing GetSecretValue", record);
    fires("?nothing -other", record);
    fires("%Get[A-Z]%", record);
    is_quiet("-%Get[A-Z]%", record);
    fires("?x ?%^\\{%", record);
    fires(r#""a\\/b""#, record);
    is_quiet("a/b", record);
    fires(r#"-"PutSecretValue" "GetSecretValue""#, record);
    fires("\"\"", record);
    is_quiet("-\" \"", record);
    fires("  GetSecretValue\n\tAccessDenied ", record);
}

#[test]
fn the_filters_of_the_cis_benchmark() {
    let root = r#"{"userIdentity":{"type":"Root"},"eventType":"AwsApiCall","eventName":"GetSecretValue"}"#;
    fires(
        r#"{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS
            && $.eventType != "AwsServiceEvent" }"#,
        root,
    );
    let denied = r#"{"errorCode":"AccessDeniedException","sourceIPAddress":"192.0.2.7","eventName":"GetSecretValue"}"#;
    fires(
        r#"{($.errorCode ="*UnauthorizedOperation") || ($.errorCode ="AccessDenied*")
            && ($.sourceIPAddress!="delivery.logs.amazonaws.com") && ($.eventName!="HeadBucket") }"#,
        denied,
    );
    let login = r#"{"eventName":"ConsoleLogin","additionalEventData":{"MFAUsed":"No"},
        "userIdentity":{"type":"IAMUser"},"responseElements":{"ConsoleLogin":"Success"}}"#;
    fires(
        r#"{ ($.eventName = "ConsoleLogin") && ($.additionalEventData.MFAUsed != "Yes")
            && ($.userIdentity.type = "IAMUser") && ($.responseElements.ConsoleLogin = "Success") }"#,
        login,
    );
    let key = r#"{"eventSource":"kms.amazonaws.com","eventName":"DisableKey"}"#;
    fires(
        "{($.eventSource = kms.amazonaws.com) && (($.eventName=DisableKey)||($.eventName=ScheduleKeyDeletion)) }",
        key,
    );
}

/// Found by users of CloudWatch: excluding a service that way excludes every caller that is none.
#[test]
fn a_difference_from_something_absent_does_not_hold() {
    is_quiet(
        r#"{($.errorCode = "AccessDenied") && ($.userIdentity.invokedBy != "cloudfront.amazonaws.com")}"#,
        r#"{"errorCode":"AccessDenied","userIdentity":{"accountId":"anonymous"}}"#,
    );
}

#[test]
fn depth_and_length_are_no_matter() {
    let deep = format!(r#"{{"x":{}1{},"a":2}}"#, "[".repeat(500_000), "]".repeat(500_000));
    fires("{ $.a = 2 }", &deep);
    fires("{ $.x[0][0][0][0] != 1 || $.a = 2 }", &deep);
    let brackets = format!("{{ {}$.a = 2{} }}", "(".repeat(64), ")".repeat(64));
    fires(&brackets, r#"{"a":2}"#);
    let path = format!("{{ $.{}x = 1 }}", "x.".repeat(500));
    is_quiet(&path, &deep);
}

#[test]
fn what_is_no_json_has_nothing_in_it() {
    for record in
        ["", " ", "x", "[]", "null", r#""a""#, "{", r#"{"a"#, r#"{"a":"#, r#"{"a" 1}"#, r#"{a:1}"#, r#"{"a":1x}"#]
    {
        is_quiet("{ $.a = 1 }", record);
        assert_eq!(pattern("{ $.a NOT EXISTS }").matches(record), !record.trim().is_empty(), "{record}");
    }
    fires("{ $.a = 1 }", r#"{"a":1,"b":{"c":"#);
    fires("{ $.a = 1 }", "  {\"a\":1}\n");
}

#[test]
fn regular_expressions_of_the_documentation() {
    fn finds(regex: &str, text: &str, expected: bool) {
        let record = format!(r#"{{"a":{}}}"#, serde_json::Value::from(text));
        assert_eq!(pattern(&format!("{{ $.a = %{regex}% }}")).matches(&record), expected, "{regex} in {text}");
    }
    for (regex, found, not_found) in [
        ("^[hc]at", "hats", "that"),
        ("[hc]at$", "that", "hats"),
        ("colou?r", "color", "colr"),
        ("[abcx-z]", "y", "w"),
        ("^a{3,5}$", "aaaa", "aa"),
        ("^a{,2}$", "aa", "aaa"),
        ("^a{2,}$", "aaaa", "a"),
        ("^a{2}$", "aa", "aaa"),
        ("^a{ 1 , 2 }$", "a", "aaa"),
        ("gra|ey", "gray", "gry"),
        ("^starting|^initializing|^shutting down", "shutting down", "skipping initializing"),
        ("abcc|ab[^c]$", "aba", "aac"),
        (r"\[.\]", "[a]", "[ab]"),
        (r"10\.10\.0\.1", "10.10.0.1", "10010,051"),
        ("ab*c", "abbbc", "adc"),
        ("ab+c", "abc", "ac"),
        ("^.at$", " at", "at"),
        (r"\d\D", "1a", "11"),
        (r"^\s\S$", "\ta", "ab"),
        (r"^\w\W$", "_-", "__"),
        (r"^\x3A\x28$", ":(", "::"),
        (r"^[\d\s]+$", "1 2", "1a"),
        (r"^[\w-]+$", "a-b", "a b"),
        (r"^[a\-z]+$", "-az", "b"),
        ("^[]a]+$", "]a", "b"),
        ("^[^]a]$", "b", "]"),
        ("^[a-]+$", "a-", "b"),
        ("^[[{]$", "{", "x"),
        ("^.$", "é", "éé"),
        ("^[^a]$", "😀", "a"),
        ("^a.b$", "a\nb", "ab"),
        ("a/b=c:d_e#f@g;h,i-j k", "a/b=c:d_e#f@g;h,i-j k", "x"),
    ] {
        finds(regex, found, true);
        finds(regex, not_found, false);
    }
    // Letters of other alphabets are no \w, and their digits no \d.
    finds(r"\w", "é", false);
    finds(r"\d", "٣", false);
}
