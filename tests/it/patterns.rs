//! Filter patterns: what they match, what they refuse, and how they explain themselves.

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
const TRAIL: &str = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],"objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"cluster.name":"c"}"#;
const USERS: &str = r#"{"user":{"id":1,"email":"John.Stiles@example.com"},"users":[{"id":2,"email":"John.Doe@example.com"},{"id":3,"email":"Jane.Doe@example.com"}],"actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}"#;

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
        r#"{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch" && $.actions[2] = "nonmatch" }"#,
        USERS,
    );
    is_quiet(
        r#"{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch") && $.actions[2] = "nonmatch" }"#,
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
