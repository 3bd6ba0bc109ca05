//! The side door answers like the front door, spoiled answers included, and in paused time.

use super::*;
use crate::demo::{Answered, Fault, Injection, Record};

fn trail(account: &Account) -> aws_sdk_cloudtrail::Client {
    let key = account.register(Caller::user("111122223333", "tester"));
    let config = aws_sdk_cloudtrail::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(account.url())
        .credentials_provider(Credentials::new(&key.id, &key.secret, None, None, "test"))
        .http_client(account.http_client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(std::time::Duration::from_secs(20)).build());
    aws_sdk_cloudtrail::Client::from_conf(config.build())
}

#[tokio::test(start_paused = true)]
async fn answers_come_whole_or_break_off() {
    let clock = Clock::stopped(NOON.wall());
    let account = Account::in_process(Settings { clock, quota: None, ..Settings::default() });
    account.put(&Record::read("prod/db"));
    let trail = trail(&account);
    let events = trail.lookup_events().send().await.unwrap().events.unwrap();
    assert_eq!(events.len(), 1);

    for fault in [Fault::CutBody, Fault::Garbled] {
        account.inject(Injection::on("LookupEvents", fault));
        let error = trail.lookup_events().send().await.unwrap_err();
        assert_eq!(account.calls().last().unwrap().answer, Some(Answered::Spoiled));
        assert_eq!(code::<(), _>(Err(error)), "no code");
    }
    account.inject(Injection::on("LookupEvents", Fault::denied()));
    assert_eq!(code(trail.lookup_events().send().await), "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_finished_when_the_client_has_left() {
    let release = tokio_util::sync::CancellationToken::new();
    let account = Account::in_process(Settings { quota: None, ..Settings::default() });
    account.inject(Injection::on("LookupEvents", Fault::Hang(release.clone())));
    let timed_out = trail(&account).lookup_events().send().await.unwrap_err();
    assert!(timed_out.as_service_error().is_none());
    assert_eq!(account.calls()[0].answer, None);
    release.cancel();
    account.until(|account| account.calls()[0].answer == Some(Answered::Well)).await;
}
