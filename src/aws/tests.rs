//! What is asked of AWS, and what is made of its answers, over real HTTP.

use super::*;
use crate::loopback::{Answer, Loopback};
use crate::model::{Access, EventTime, Principal, Span, fixture};
use crate::trail::{Filter, Query};

const ROLE: &str = "arn:aws:iam::111122223333:role/watch/secretwatch";

fn account(role_arn: Option<&str>, regions: &[&str]) -> Account {
    Account {
        name: "prod".to_owned(),
        role_arn: role_arn.map(str::to_owned),
        external_id: role_arn.map(|_| "outside".to_owned()),
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
    }
}

async fn aws(server: &Loopback) -> Aws {
    let sdk = server.sdk();
    let loader = aws_config::defaults(behavior()).endpoint_url(server.url()).region(sdk.region().cloned());
    let credentials = sdk.credentials_provider().expect("the stand-in has credentials");
    Aws::from_loader(loader.credentials_provider(credentials)).await
}

fn access(event: &str, arn: &str) -> Access {
    let principal = Principal { arn: Some(arn.to_owned()), ..Principal::default() };
    Access { event: event.to_owned(), principal, ..fixture::access(0) }
}

#[test]
fn own_inventory_calls_are_told_by_account_and_role() {
    let role = "arn:aws:sts::111122223333:assumed-role/secretwatch/i-0123456789";
    let user = "arn:aws:iam::111122223333:user/ops/secretwatch";
    for (me, event, arn, own) in [
        (role, "ListSecrets", ROLE, true),
        (role, "DescribeSecret", "arn:aws:iam::111122223333:role/secretwatch", true),
        (role, "ListSecrets", "arn:aws:sts::111122223333:assumed-role/secretwatch/another", true),
        (role, "GetSecretValue", ROLE, false),
        (role, "PutSecretValue", ROLE, false),
        (role, "ListSecrets", "arn:aws:iam::111122223333:role/other", false),
        (role, "ListSecrets", "arn:aws:iam::111122223333:role/secretwatch/other", false),
        (role, "ListSecrets", "arn:aws:iam::444455556666:role/secretwatch", false),
        (role, "ListSecrets", "arn:aws:iam::111122223333:user/secretwatch", false),
        (role, "ListSecrets", "", false),
        (user, "ListSecrets", user, true),
        (user, "ListSecrets", "arn:aws:iam::111122223333:user/secretwatch", false),
        ("nonsense", "ListSecrets", ROLE, false),
    ] {
        let identity = Identity { account: "111122223333".to_owned(), arn: me.to_owned() };
        assert_eq!(identity.is_own(&access(event, arn)), own, "{event} by {arn} seen by {me}");
    }
    let identity = Identity { account: String::new(), arn: role.to_owned() };
    let mut nobody = access("ListSecrets", "");
    nobody.principal.arn = None;
    assert!(!identity.is_own(&nobody));
}

#[tokio::test]
async fn sources_are_named_by_account_and_region() {
    let server = Loopback::serving([Answer::new(200, "{}")]).await;
    let accounts = [account(None, &[]), account(Some(ROLE), &["us-east-1", "eu-west-1"])];
    let sources = aws(&server).await.sources(&accounts).await.unwrap();
    let names: Vec<String> = sources.iter().map(|source| source.id.to_string()).collect();
    assert_eq!(names, ["prod/us-east-2", "111122223333/us-east-1", "111122223333/eu-west-1"]);
    assert!(server.asked().is_empty(), "making clients asks nobody");
}

#[tokio::test]
async fn no_region_anywhere_is_said_plainly() {
    let aws = Aws { base: SdkConfig::builder().behavior_version(behavior()).build() };
    let error = aws.sources(&[account(None, &[])]).await.unwrap_err().to_string();
    assert_eq!(error, "no region for account \"prod\": set `regions` of the account, or AWS_REGION");
}

#[tokio::test]
async fn a_role_is_assumed_once_for_all_its_regions() {
    let assumed = r"<AssumeRoleResponse><AssumeRoleResult><Credentials>
        <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>no key</SecretAccessKey>
        <SessionToken>t</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>
        </Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let server = Loopback::serving([Answer::new(200, assumed), Answer::new(200, "{}")]).await;
    let sources = aws(&server).await.sources(&[account(Some(ROLE), &["us-east-1", "eu-west-1"])]).await.unwrap();
    let span = Span { from: EventTime(0), to: EventTime(1) };
    let query = Query { filter: Filter::EventSource("secretsmanager.amazonaws.com".to_owned()), span };
    for source in &sources {
        source.lookup.page(&query, None).await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].body.contains("ExternalId=outside") && asked[0].body.contains("RoleSessionName=secretwatch"));
    for (request, region) in asked[1..].iter().zip(["us-east-1", "eu-west-1"]) {
        let signature = request.headers["authorization"].to_str().unwrap();
        assert!(signature.contains("ASIAIOSFODNN7EXAMPLE") && signature.contains(region), "{signature}");
    }
}

#[tokio::test]
async fn identity_is_read_or_missing_without_retries() {
    let known = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn><Account>111122223333</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";
    let server = Loopback::serving([Answer::new(200, known), Answer::new(404, "<html>")]).await;
    let aws = aws(&server).await;
    let identity = Identity { account: "111122223333".to_owned(), arn: "a".to_owned() };
    assert_eq!(aws.identity().await.unwrap(), identity);
    assert!(aws.identity().await.is_err());
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn the_inventory_goes_through_all_pages() {
    let first = r#"{"SecretList":[{"Name":"a","ARN":"arn:a"},{"Name":"no arn"}],"NextToken":"n"}"#;
    let second = r#"{"SecretList":[{"Name":"b","ARN":"arn:b","Tags":[{"Key":"env","Value":"prod"},{"Key":"x"}]}]}"#;
    let server = Loopback::serving([Answer::new(200, first), Answer::new(200, second)]).await;
    let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
    let listed = |name: &str, tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ListedSecret { name: name.to_owned(), arn: format!("arn:{name}"), tags }
    };
    let b = listed("b", &[("env", "prod"), ("x", "")]);
    assert_eq!(source.inventory().await.unwrap(), [listed("a", &[]), b]);
    assert_eq!(server.asked()[1].json()["NextToken"], "n");
}

#[tokio::test]
async fn trails_are_asked_whether_they_log() {
    let list = r#"{"trailList":[{"Name":"a","TrailARN":"arn:a"},{"Name":"b","TrailARN":"arn:b"},{"Name":"no arn"}]}"#;
    let answers = [list, r#"{"IsLogging":true}"#, r#"{"IsLogging":false}"#].map(|body| Answer::new(200, body));
    let server = Loopback::serving(answers).await;
    let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
    let trail = |name: &str, logs| Trail { name: name.to_owned(), logs };
    assert_eq!(source.trails().await.unwrap(), [trail("a", true), trail("b", false)]);
    assert_eq!(server.asked()[1].json()["Name"], "arn:a");
}

#[tokio::test]
async fn a_denied_inventory_names_the_source_and_the_cause() {
    let server = Loopback::serving([Answer::new(400, r#"{"__type":"AccessDeniedException"}"#)]).await;
    let source = aws(&server).await.sources(&[account(None, &[])]).await.unwrap().remove(0);
    let error = source.inventory().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot list the secrets of prod/us-east-2");
    assert!(error.source().is_some());
}
