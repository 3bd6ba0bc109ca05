//! Renderings of a made-up report.

use super::*;
use crate::model::sample_alerts;

fn report() -> Report {
    *sample_alerts().into_iter().find_map(|alert| alert.report).expect("a digest is among the samples")
}

#[test]
fn text_says_all_of_it_in_lines() {
    let said = text(&report());
    for line in [
        "Accesses to secrets, 2026-05-20T18:45:54Z to 2026-05-27T18:45:54Z (7 days)",
        "3 accesses to 1 secret by 1 principal in 7 days; 1 incident, 1 denied, blind for 10 minutes.",
        "2 alerts (1 opened, 1 resolved); all that were for somebody were accepted.",
        "New is what is not among the accesses kept since 2026-04-27T18:45:54Z.",
        "        1  GetSecretValue prod/db-password to arn:aws:iam::111122223333:role/app, last at 2026-05-27T18:45:54Z from \
         203.0.113.9",
        "  2026-05-27T18:44:54Z  prod/db-password by arn:aws:iam::111122223333:role/app (2 accesses)",
        "        3  prod/db-password, by 1 principal, 1 denied, last at 2026-05-27T18:45:54Z",
        "        3  arn:aws:iam::111122223333:role/app, 1 secret, 1 denied, last at 2026-05-27T18:45:54Z",
    ] {
        assert!(said.lines().any(|it| it == line), "no {line:?} in\n{said}");
    }
}

#[test]
fn what_nobody_can_know_is_said() {
    let mut report = report();
    report.new_pairs = None;
    report.cut_short = true;
    let said = text(&report);
    assert!(said.contains("nobody can say what was new") && said.contains("lists lack the rarest"), "{said}");
    let said = html(&report).unwrap();
    assert!(said.contains("nobody can say what was new") && said.contains("lists lack the rarest"), "{said}");
}

#[test]
fn html_needs_nothing_else_and_nothing_in_it_is_markup() {
    let hostile = "<script>alert(1)</script>\"' onload=x http://evil.example";
    let mut report = report();
    report.by_secret.shown[0].secret = hostile.to_owned();
    report.by_principal.shown[0].principal = hostile.to_owned();
    report.denied.shown[0].source_ip = Some(hostile.to_owned());
    report.incidents.shown[0].summary = Some(hostile.to_owned());
    report.blind[0].summary = hostile.to_owned();
    let page = html(&report).unwrap();
    assert_eq!(page.matches("&lt;script&gt;alert(1)").count(), 5, "{page}");
    for outside in ["<script", "src=", "href=", "url(", "@import", "\" onload", "' onload"] {
        assert!(!page.contains(outside), "{outside} in\n{page}");
    }
    assert!(page.contains("<rect class=\"success\"") && page.contains("<rect class=\"denied\""));
}

#[test]
fn a_digest_keeps_its_limit_whatever_names_are() {
    let long = "\u{1F511}".repeat(4_000);
    let mut report = report();
    let secret = report.by_secret.shown[0].clone();
    report.by_secret.shown = vec![crate::model::SecretLine { secret: long.clone(), ..secret }; 1_000];
    let denied = report.denied.shown[0].clone();
    report.denied.shown =
        vec![crate::model::DeniedLine { principal: long.clone(), source_ip: Some(long.clone()), ..denied }; 1_000];
    let incident = report.incidents.shown[0].clone();
    report.incidents.shown =
        vec![crate::model::IncidentLine { summary: Some(long.clone()), rule: long, ..incident }; 1_000];
    report.blind = vec![report.blind[0].clone(); 1_000];
    let alert = crate::detect::about_digest(report, crate::model::WallTime(0));
    let bytes = serde_json::to_string(&alert).unwrap().len();
    assert!(bytes < crate::model::MAX_BYTES, "{bytes}");
    let report = alert.report.unwrap();
    assert_eq!((report.by_secret.shown.len(), report.by_secret.omitted), (10, 990));
}
