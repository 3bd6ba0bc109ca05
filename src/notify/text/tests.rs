//! Whole mails, as somebody gets them, and what no mail may hold.

use std::collections::BTreeMap;

use super::*;
use crate::model::fixture::{START, access, alert, denied};
use crate::model::{Access, printable};
use proptest::prelude::*;

fn user(name: &str, secs: i64) -> Access {
    let mut access = access(secs);
    access.principal.kind = "IAMUser".to_owned();
    access.principal.name = Some(name.to_owned());
    access.principal.arn = Some(format!("arn:aws:iam::111122223333:user/{name}"));
    access.principal.session = None;
    access
}

fn changed(mut alert: Alert, change: impl FnOnce(&mut Alert)) -> Alert {
    change(&mut alert);
    alert.summary = alert.summarise();
    alert
}

/// The whole mail, subject first.
fn mail(alert: &Alert, expected: &str) {
    let mail = format!("Subject: {}\n\n{}", subject(alert), text(alert));
    assert_eq!(mail, expected.trim_start_matches('\n'), "\n{mail}");
}

#[test]
fn one_read() {
    mail(
        &alert(AlertKind::Opened, vec![access(0)]),
        r"
Subject: [medium] Secret prod/db-password was read by role deploy (session ci-42) from 203.0.113.7

Secret prod/db-password was read by role deploy (session ci-42) from
203.0.113.7.

Secret      prod/db-password
            arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn
Who         arn:aws:iam::111122223333:role/deploy
            session ci-42, access key ASIAEXAMPLEEXAMPLE42
From        203.0.113.7
Using       aws-cli/2.31.0
When        2026-05-27 18:45:54 UTC, seen 4 minutes later
Where       account 111122223333, us-east-2
Call        GetSecretValue, which succeeded

Why this is an alert:
  Rule secret-is-accessed, severity medium: A secret's value was read.
  It fires at 1 access in 1 minute for one secret; the most so far was 1.

What to do:
  1. Is this expected? Ask whoever is responsible for the principal above.
  2. See what else it did, in CloudTrail:
     aws cloudtrail lookup-events --region us-east-2 \
       --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=ASIAEXAMPLEEXAMPLE42
  3. If it is not: take its credentials away and rotate the secret:
     aws secretsmanager rotate-secret --region us-east-2 \
       --secret-id arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Event       6c1e4b0a-0000-4000-8000-000000000000
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn one_refusal_with_a_runbook() {
    mail(
        &changed(alert(AlertKind::Opened, vec![denied(0)]), |alert| {
            alert.runbook = Some("https://wiki.example.com/secret-read".to_owned());
            alert.accesses[0].error_message = Some(
                "User: arn:aws:sts::111122223333:assumed-role/deploy/ci-42 is not authorized to perform: \
             secretsmanager:GetSecretValue on resource: prod/db-password because no identity-based policy allows it"
                    .to_owned(),
            );
        }),
        r"
Subject: [medium] Secret prod/db-password was refused to role deploy (session ci-42) from 203.0.113.7

Secret prod/db-password was refused to role deploy (session ci-42) from
203.0.113.7.

Secret      prod/db-password
            arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn
Who         arn:aws:iam::111122223333:role/deploy
            session ci-42, access key ASIAEXAMPLEEXAMPLE42
From        203.0.113.7
Using       aws-cli/2.31.0
When        2026-05-27 18:45:54 UTC, seen 4 minutes later
Where       account 111122223333, us-east-2
Call        GetSecretValue, which was refused (AccessDenied)
            User: arn:aws:sts::111122223333:assumed-role/deploy/ci-42 is not
            authorized to perform: secretsmanager:GetSecretValue on
            resource: prod/db-password because no identity-based policy
            allows it

Why this is an alert:
  Rule secret-is-accessed, severity medium: A secret's value was read.
  It fires at 1 access in 1 minute for one secret; the most so far was 1.

What to do:
  Follow https://wiki.example.com/secret-read

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Event       6c1e4b0a-0000-4000-8000-000000000000
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn many_reads_in_part() {
    let many = (0..40).map(|n| match n % 10 {
        0 => denied(n * 7),
        5 => user(&format!("user{n}"), n * 7),
        _ => {
            let mut access = access(n * 7);
            access.source_ip = Some(format!("203.0.113.{}", n % 10));
            access
        }
    });
    let many = many.collect();
    mail(
        &changed(alert(AlertKind::Opened, many), |alert| {
            alert.statistic = "distinct source_ip".to_owned();
            alert.group = BTreeMap::from([("principal".to_owned(), Some("x".to_owned()))]);
            (alert.value, alert.threshold, alert.window_seconds) = (12, 3, 5_400);
            (alert.accesses_total, alert.accesses_omitted) = (100, 60);
        }),
        r"
Subject: [medium] 40 reads (4 refused) of secret prod/db-password by 5 principals from 8 addresses; 100 a...

40 reads (4 refused) of secret prod/db-password by 5 principals from 8
addresses; 100 accesses in all.

Secrets     prod/db-password
Who         36 × arn:aws:iam::111122223333:role/deploy
            1 × arn:aws:iam::111122223333:user/user15
            1 × arn:aws:iam::111122223333:user/user25
            1 × arn:aws:iam::111122223333:user/user35
            1 × arn:aws:iam::111122223333:user/user5
Keys        ASIAEXAMPLEEXAMPLE42
From        12 × 203.0.113.7
            4 × 203.0.113.1
            4 × 203.0.113.2
            4 × 203.0.113.3
            4 × 203.0.113.4
            and 3 more
Using       aws-cli/2.31.0
Calls       36 × GetSecretValue, which succeeded
            4 × GetSecretValue, which was refused (AccessDenied)
Where       account 111122223333, us-east-2

The oldest and the newest (UTC):
  2026-05-27 18:45:54  prod/db-password by deploy from 203.0.113.7, refused
  2026-05-27 18:46:01  prod/db-password by deploy from 203.0.113.1
  2026-05-27 18:46:08  prod/db-password by deploy from 203.0.113.2
  2026-05-27 18:46:15  prod/db-password by deploy from 203.0.113.3
  2026-05-27 18:46:22  prod/db-password by deploy from 203.0.113.4
  … 30 between them …
  2026-05-27 18:49:59  prod/db-password by user35 from 203.0.113.7
  2026-05-27 18:50:06  prod/db-password by deploy from 203.0.113.6
  2026-05-27 18:50:13  prod/db-password by deploy from 203.0.113.7
  2026-05-27 18:50:20  prod/db-password by deploy from 203.0.113.8
  2026-05-27 18:50:27  prod/db-password by deploy from 203.0.113.9

First       2026-05-27 18:45:54 UTC
Last        2026-05-27 18:50:27 UTC, 4 minutes 33 seconds later
How often   40 in this message, 100 in all; 60 follow at once in further
            messages

Why this is an alert:
  Rule secret-is-accessed, severity medium: A secret's value was read.
  It fires at 3 different addresses in 1 hour 30 minutes for one principal;
  the most so far was 12.

What to do:
  1. Is this expected? Ask whoever is responsible for the principal above.
  2. See what else it did, in CloudTrail:
     aws cloudtrail lookup-events --region us-east-2 \
       --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=ASIAEXAMPLEEXAMPLE42
  3. If it is not: take its credentials away and rotate the secret:
     aws secretsmanager rotate-secret --region us-east-2 \
       --secret-id arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn an_update() {
    mail(
        &changed(alert(AlertKind::Updated, vec![user("alice", 600), user("bob", 610)]), |alert| {
            alert.first_access = Some(START);
            (alert.accesses_total, alert.value) = (5, 3);
        }),
        r"
Subject: [medium] 2 more reads of secret prod/db-password by 2 principals from 203.0.113.7; 5 accesses in...

2 more reads of secret prod/db-password by 2 principals from 203.0.113.7; 5
accesses in all.

Secrets     prod/db-password
Who         1 × arn:aws:iam::111122223333:user/alice
            1 × arn:aws:iam::111122223333:user/bob
Keys        ASIAEXAMPLEEXAMPLE42
From        203.0.113.7
Using       aws-cli/2.31.0
Calls       GetSecretValue, which succeeded
Where       account 111122223333, us-east-2

The accesses (UTC):
  2026-05-27 18:55:54  prod/db-password by alice from 203.0.113.7
  2026-05-27 18:56:04  prod/db-password by bob from 203.0.113.7

First       2026-05-27 18:45:54 UTC
Last        2026-05-27 18:56:04 UTC, 10 minutes 10 seconds later
How often   2 in this message, 5 in all

Why this is an alert:
  Rule secret-is-accessed, severity medium: A secret's value was read.
  It fires at 1 access in 1 minute for one secret; the most so far was 3.

What to do:
  1. Is this expected? Ask whoever is responsible for the principal above.
  2. See what else it did, in CloudTrail:
     aws cloudtrail lookup-events --region us-east-2 \
       --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=ASIAEXAMPLEEXAMPLE42
  3. If it is not: take its credentials away and rotate the secret:
     aws secretsmanager rotate-secret --region us-east-2 \
       --secret-id arn:aws:secretsmanager:us-east-2:111122223333:secret:prod/db-password-96fRBn

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn the_three_ends() {
    let over = changed(alert(AlertKind::Resolved, vec![]), |alert| {
        (alert.first_access, alert.last_access) = (Some(START), Some(START.plus(800)));
        (alert.accesses_total, alert.value) = (14, 3);
    });
    mail(
        &over,
        r"
Subject: [medium] Over: secret-is-accessed for secret prod/db-password, 14 accesses in all

Over: secret-is-accessed for secret prod/db-password, 14 accesses in all.

There were no more accesses for a while. This does not mean that they were
harmless.

Group       secret prod/db-password
First       2026-05-27 18:45:54 UTC
Last        2026-05-27 18:59:14 UTC, 13 minutes 20 seconds later
How often   14 in all

  Rule secret-is-accessed, severity medium: A secret's value was read.

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
    let rule_changed = changed(over.clone(), |alert| alert.reason = Some("rule changed".to_owned()));
    mail(
        &rule_changed,
        r"
Subject: [medium] Closed (rule changed): secret-is-accessed for secret prod/db-password, 14 accesses in all

Closed (rule changed): secret-is-accessed for secret prod/db-password, 14
accesses in all.

Accesses from now on are counted anew.

Group       secret prod/db-password
First       2026-05-27 18:45:54 UTC
Last        2026-05-27 18:59:14 UTC, 13 minutes 20 seconds later
How often   14 in all

  Rule secret-is-accessed, severity medium: A secret's value was read.

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
    let merged = changed(over, |alert| alert.merged_into = Some("0c4be0a1d8814a2f8f0c1b6e5d7a9f32".to_owned()));
    mail(
        &merged,
        r"
Subject: [medium] Goes on in an older incident: secret-is-accessed for secret prod/db-password

Goes on in an older incident: secret-is-accessed for secret
prod/db-password.

An access that became visible late showed that this incident and an older
one are the same. It goes on under the older one's id:
Goes on as  0c4be0a1d8814a2f8f0c1b6e5d7a9f32

Group       secret prod/db-password
First       2026-05-27 18:45:54 UTC
Last        2026-05-27 18:59:14 UTC, 13 minutes 20 seconds later
How often   14 in all

  Rule secret-is-accessed, severity medium: A secret's value was read.

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn a_test() {
    mail(
        &alert(AlertKind::Test, vec![]),
        r"
Subject: [test] This is a test: secretwatch was asked to send an alert, no secret was read

This is a test: secretwatch was asked to send an alert, no secret was read.

Alerts reach you this way. There is nothing to do.

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn blind_and_sighted() {
    let blind = changed(alert(AlertKind::Blind, vec![]), |alert| {
        alert.group = [("account", "111122223333"), ("region", "us-east-2")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())))
            .into();
        alert.reason = Some("LookupEvents is not allowed".to_owned());
    });
    mail(
        &blind,
        r"
Subject: [medium] Blind: secretwatch cannot read the events of account 111122223333 in us-east-2: LookupE...

Blind: secretwatch cannot read the events of account 111122223333 in
us-east-2: LookupEvents is not allowed.

Until this ends, reads of secrets there make no alert. Nothing is lost yet:
CloudTrail keeps events for 90 days, and what was missed is read afterwards,
back to what `retention` allows.

What to do:
  Its log says what is missing. Where it runs as a service:
     journalctl -u secretwatch

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
    let advised = changed(blind.clone(), |alert| alert.advice = Some("Mend it.".to_owned()));
    assert!(
        text(&advised).contains("What to do:\n  1. Mend it.\n  2. Its log says more. Where it runs as a service:\n")
    );
    let sighted = changed(blind, |alert| alert.kind = AlertKind::Sighted);
    mail(
        &sighted,
        r"
Subject: [medium] No longer blind: secretwatch can read the events of account 111122223333 in us-east-2 a...

No longer blind: secretwatch can read the events of account 111122223333 in
us-east-2 again.

What happened there in the meantime is read now; alerts about it may follow,
late.

Alert       5f2c9a1be07d44318d06c2a7b9e31f58
Incident    a90b13de774c4f0f9b1d2ce86f4a0c35
Decided     2026-05-27 18:49:55 UTC
",
    );
}

#[test]
fn a_subject_is_short_and_ascii() {
    let check = |summary: &str, expected: &str| {
        let mut alert = alert(AlertKind::Opened, vec![]);
        alert.summary = summary.to_owned();
        let subject = subject(&alert);
        assert_eq!(subject, expected);
        assert!(subject.len() < 100 && subject.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    };
    check("plain", "[medium] plain");
    check("zwölf\r\nBcc: x", "[medium] zw?lf??Bcc: x");
    check("cut…", "[medium] cut...");
    check(&"x".repeat(90), &format!("[medium] {}", "x".repeat(90)));
    check(&"x".repeat(91), &format!("[medium] {}...", "x".repeat(87)));
}

#[test]
fn a_command_is_offered_only_if_no_part_of_it_can_be_an_attack() {
    for name in ["x; rm -rf ~", "$(id)", "--cli-input-json", "=cmd", "file:///etc/passwd", "a\nb", "a b", "'", ""] {
        let mut access = access(0);
        access.access_key_id = Some(name.to_owned());
        let secret = access.secret.as_mut().unwrap();
        (secret.arn, secret.name) = (None, name.to_owned());
        let text = text(&alert(AlertKind::Opened, vec![access]));
        assert!(!text.contains("aws cloudtrail") && !text.contains("aws secretsmanager"), "{text}");
        assert!(text.contains("2. See what else it did, in CloudTrail.\n"), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_stands_in_a_record_a_mail_has_only_printable_lines(
        texts in proptest::collection::vec(any::<String>(), 8), copies in 0..14i64, updated: bool,
    ) {
        let accesses = (0..copies).map(|n| {
            let mut access = access(n);
            access.event = texts[0].clone();
            access.principal.arn = (n % 2 == 0).then(|| format!("{n}{}", texts[1]));
            access.principal.session = Some(texts[2].clone());
            access.user_agent = Some(texts[3].clone());
            access.error_message = Some(texts[4].clone());
            access.secret.as_mut().unwrap().name = texts[5].clone();
            access.source_ip = Some(texts[6].clone());
            access
        }).collect();
        let kind = if updated { AlertKind::Updated } else { AlertKind::Opened };
        let mut alert = alert(kind, accesses);
        alert.rule.description = Some(texts[7].clone());
        alert.runbook = (copies == 1).then(|| texts[4].clone());
        let text = text(&alert);
        prop_assert!(text.lines().all(|line| printable(line, usize::MAX) == line && !line.ends_with(' ')));
        prop_assert!(text.len() < 64 * 1024 && text.ends_with('\n'));
        let subject = subject(&alert);
        prop_assert!(subject.len() < 100 && subject.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    }

    #[test]
    fn words_are_neither_lost_nor_stretched_beyond_the_width(words in "[a-z]{1,20}( [a-z]{1,20}){0,40}") {
        let mut page = Page::default();
        page.field("Label", &words);
        let text = page.into_text();
        let (label, value) = text.split_once(' ').unwrap();
        prop_assert_eq!(label, "Label");
        prop_assert_eq!(value.split_whitespace().collect::<Vec<_>>().join(" "), printable(&words, Room::MAIL.value));
        prop_assert!(text.lines().all(|line| line.chars().count() <= super::super::page::WIDTH));
    }
}
