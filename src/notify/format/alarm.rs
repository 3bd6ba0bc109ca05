//! The message that a CloudWatch alarm would have published, for what parses those already.
//!
//! A rule is an alarm, an incident its time in the state ALARM, and the group's values are dimensions. Names and forms
//! are CloudWatch's own, also where they are odd; nothing is added, since somebody may refuse what they do not know. So
//! who did it and from where stands in the reason, and the ids are attributes of the message.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::text::one_line;
use super::{Message, place, summary};
use crate::model::{Alert, AlertKind, WallTime, printable};

/// Characters of the reason, of which CloudWatch has no more.
const REASON_MAX: usize = 1_023;

/// Characters of a name; of an alarm's CloudWatch takes 255.
const NAME_MAX: usize = 255;

/// What Regions are called there, since the message has their names and not their codes. The list grows; a Region that
/// is not in it is called by its code.
const REGIONS: [(&str, &str); 39] = [
    ("af-south-1", "Africa (Cape Town)"),
    ("ap-east-1", "Asia Pacific (Hong Kong)"),
    ("ap-east-2", "Asia Pacific (Taipei)"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)"),
    ("ap-northeast-2", "Asia Pacific (Seoul)"),
    ("ap-northeast-3", "Asia Pacific (Osaka)"),
    ("ap-south-1", "Asia Pacific (Mumbai)"),
    ("ap-south-2", "Asia Pacific (Hyderabad)"),
    ("ap-southeast-1", "Asia Pacific (Singapore)"),
    ("ap-southeast-2", "Asia Pacific (Sydney)"),
    ("ap-southeast-3", "Asia Pacific (Jakarta)"),
    ("ap-southeast-4", "Asia Pacific (Melbourne)"),
    ("ap-southeast-5", "Asia Pacific (Malaysia)"),
    ("ap-southeast-6", "Asia Pacific (New Zealand)"),
    ("ap-southeast-7", "Asia Pacific (Thailand)"),
    ("ca-central-1", "Canada (Central)"),
    ("ca-west-1", "Canada West (Calgary)"),
    ("cn-north-1", "China (Beijing)"),
    ("cn-northwest-1", "China (Ningxia)"),
    ("eu-central-1", "Europe (Frankfurt)"),
    ("eu-central-2", "Europe (Zurich)"),
    ("eu-north-1", "Europe (Stockholm)"),
    ("eu-south-1", "Europe (Milan)"),
    ("eu-south-2", "Europe (Spain)"),
    ("eu-west-1", "Europe (Ireland)"),
    ("eu-west-2", "Europe (London)"),
    ("eu-west-3", "Europe (Paris)"),
    ("eusc-de-east-1", "AWS European Sovereign Cloud (Germany)"),
    ("il-central-1", "Israel (Tel Aviv)"),
    ("me-central-1", "Middle East (UAE)"),
    ("me-south-1", "Middle East (Bahrain)"),
    ("mx-central-1", "Mexico (Central)"),
    ("sa-east-1", "South America (Sao Paulo)"),
    ("us-east-1", "US East (N. Virginia)"),
    ("us-east-2", "US East (Ohio)"),
    ("us-gov-east-1", "AWS GovCloud (US-East)"),
    ("us-gov-west-1", "AWS GovCloud (US-West)"),
    ("us-west-1", "US West (N. California)"),
    ("us-west-2", "US West (Oregon)"),
];

/// The message to the topic `arn` in `region`.
pub(super) fn message(alert: &Alert, arn: &str, region: &str) -> Message {
    let mut parts = arn.split(':').skip(1);
    let (partition, owner) = (parts.next().unwrap_or("aws"), parts.nth(2).unwrap_or_default());
    let (account, seen_in) = place(alert);
    let (account, region) = (account.unwrap_or(owner), seen_in.unwrap_or(region));
    let called = REGIONS.iter().find(|(code, _)| *code == region).map_or(region, |(_, name)| *name);
    let name = printable(&alert.rule.name, NAME_MAX);
    let (old, new) = states(alert.kind);
    let text = json!({
        "AlarmName": name,
        "AlarmDescription": alert.rule.description.as_deref().unwrap_or_default(),
        "AWSAccountId": account,
        "NewStateValue": new,
        "NewStateReason": reason(alert),
        "StateChangeTime": time(alert.decided),
        "Region": called,
        "AlarmArn": format!("arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"),
        "OldStateValue": old,
        "OKActions": [arn],
        "AlarmActions": [arn],
        "InsufficientDataActions": [],
        "Trigger": trigger(alert),
    });
    Message { subject: one_line(&format!("{new}: \"{name}\" in {called}")), text: text.to_string() }
}

/// The state before and after.
fn states(kind: AlertKind) -> (&'static str, &'static str) {
    match kind {
        AlertKind::Opened | AlertKind::Test | AlertKind::Blind | AlertKind::Notice => ("OK", "ALARM"),
        AlertKind::Updated => ("ALARM", "ALARM"),
        AlertKind::Resolved | AlertKind::Sighted => ("ALARM", "OK"),
        // It gets here by way of a fallback alone, and is nothing to be alarmed about.
        AlertKind::Digest => ("OK", "OK"),
    }
}

fn trigger(alert: &Alert) -> Value {
    let group = alert.group.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let dimensions: Vec<Value> = group.map(|(name, value)| json!({ "value": value, "name": name })).collect();
    json!({
        "MetricName": metric(&alert.statistic),
        "Namespace": "secretwatch",
        "StatisticType": "Statistic",
        "Statistic": "SUM",
        "Unit": null,
        "Dimensions": dimensions,
        "Period": alert.window_seconds,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": number(alert.threshold),
        "TreatMissingData": "notBreaching",
        "EvaluateLowSampleCountPercentile": "",
    })
}

/// `SecretAccesses`, or what else is counted, in one word: `distinct source_ip` is `DistinctSourceIp`.
fn metric(statistic: &str) -> String {
    if statistic == "sum" {
        return "SecretAccesses".to_owned();
    }
    let words = statistic.split([' ', '_']).filter_map(|word| {
        let mut letters = word.chars();
        Some(letters.next()?.to_uppercase().chain(letters).collect::<String>())
    });
    words.collect()
}

/// What CloudWatch would say, for alerts about accesses, and then what there is to say.
fn reason(alert: &Alert) -> String {
    let said = summary(alert, REASON_MAX / 2);
    let reason = match (alert.kind, alert.last_access) {
        (AlertKind::Opened | AlertKind::Updated, Some(last)) => {
            let at = Timestamp::from_second(last.0).unwrap_or_default().strftime("%d/%m/%y %H:%M:%S").to_string();
            let (value, threshold) = (number(alert.value), number(alert.threshold));
            format!(
                "Threshold Crossed: 1 datapoint [{value:?} ({at})] was greater than or equal to the threshold \
                 ({threshold:?}). {said}. Alert {}",
                alert.id
            )
        }
        _ => format!("{said}. Alert {}", alert.id),
    };
    printable(&reason, REASON_MAX)
}

/// Numbers have a point there, whole ones too.
#[expect(clippy::cast_precision_loss, reason = "a count that loses digits here is beyond reading")]
fn number(count: u64) -> f64 {
    count as f64
}

/// `2026-01-01T00:00:00.000+0000`.
fn time(at: WallTime) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}
