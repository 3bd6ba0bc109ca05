//! That a pattern is evaluated without allocating, as its module says.

use secretwatch::detect::Pattern;

/// As AWS writes them, with an escape in the user agent.
const RECORD: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:i-0123",
    "arn":"arn:aws:sts::111122223333:assumed-role/orders/i-0123","accountId":"111122223333",
    "accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE",
    "arn":"arn:aws:iam::111122223333:role/orders","accountId":"111122223333","userName":"orders"},
    "attributes":{"creationDate":"2026-05-27T18:00:00Z","mfaAuthenticated":"false"}}},
    "eventTime":"2026-05-27T18:45:54Z","eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue",
    "awsRegion":"us-east-2","sourceIPAddress":"192.0.2.7","userAgent":"aws-cli\/2.31.0 \"x\"",
    "requestParameters":{"secretId":"prod/db","versionId":"1"},"responseElements":null,
    "requestID":"9a0c0f0e-0000-4000-8000-000000000002","eventID":"5f0c0f0e-0000-4000-8000-000000000001",
    "readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333",
    "resources":[{"ARN":"arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db","n":5}],
    "eventCategory":"Management"}"#;

/// Allocations of the second evaluation; a regular expression makes its scratch memory in the first.
fn allocations(text: &str, expected: bool) -> u64 {
    let pattern = Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(pattern.matches(RECORD), expected, "{text}");
    let mut again = !expected;
    let counted = allocation_counter::measure(|| again = pattern.matches(RECORD));
    assert_eq!(again, expected, "{text}");
    counted.count_total
}

#[test]
fn nothing_is_allocated_to_evaluate_a_pattern() {
    for text in [
        r#"{ $.eventName = "GetSecretValue" && $.userIdentity.sessionContext.sessionIssuer.userName = orders }"#,
        r#"{ $.userAgent = "aws-cli/2*\"x\"" && $.userAgent != "*y*" && $.userAgent != "aws-cli/2" }"#,
        "{ $.responseElements IS NULL && $.readOnly IS TRUE && $.errorCode NOT EXISTS }",
        "{ $.resources[0].n >= 5 && $.resources[*].ARN = *prod/db && $.recipientAccountId = 111122223333 }",
        "{ $.* = Management && ($.userAgent > 5 || $.requestParameters.versionId = 1e0) }",
        r"{ $.sourceIPAddress = %^192\.0\.2\.[0-9]{1,3}$% && $.userIdentity.* = %:i-[0-9]+$% }",
        "GetSecretValue \"prod/db\" -AccessDenied -\"x y\"",
        "?AccessDenied ?Management",
        r"%\d{4}-\d\d-\d\dT18% -%Denied%",
    ] {
        assert_eq!(allocations(text, true), 0, "{text}");
    }
    assert_eq!(allocations("{ $.a = 1 || $.userIdentity.type = %^Root$% }", false), 0);
}

/// The one exception, which also shows that the counter counts.
#[test]
fn a_text_with_escapes_is_put_together_for_a_regular_expression() {
    let count = allocations("{ $.userAgent = %^aws-cli/2% }", true);
    assert!((1..=8).contains(&count), "{count} allocations");
}
