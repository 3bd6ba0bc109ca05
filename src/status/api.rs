//! JSON for programs, at `/api/v1/`. `openapi.json` beside this file says what is asked and answered, and is served too.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::desk::Desk;
use super::server::Failed;
use crate::model::{EventTime, Outcome, WallClock, printable};
use crate::store::{AccessPage, AccessPlace, AccessQuery, AlertPage, AlertQuery};

/// What can be asked and what is answered.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// Rows of a list in one answer, and unless asked otherwise.
const MOST: usize = 1_000;
const USUAL: usize = 100;

pub(super) async fn status_of(State(desk): State<Desk>) -> Result<Json<Value>, Failed> {
    let status = desk.status().await?;
    let overview = &status.overview;
    let mut open = serde_json::Map::new();
    for rule in &overview.rules {
        let count = overview.incidents.iter().filter(|incident| incident.rule == *rule).count();
        open.insert(rule.clone(), count.into());
    }
    Ok(Json(json!({
        "schema": "secretwatch.status.v1",
        "version": env!("CARGO_PKG_VERSION"),
        "at": overview.at,
        "began": status.began,
        "says": status.sentence(),
        "ready": status.objections().is_empty(),
        "sources": overview.sources,
        "notifiers": overview.outboxes,
        "incidents_open": open,
        "store_bytes": overview.store_bytes,
    })))
}

/// What `/api/v1/accesses` can be asked, and the page in the same words.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccessesAsked {
    pub(super) since: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) before: Option<String>,
}

/// The parameters in the address, or why they make no sense.
pub(super) type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

pub(super) fn asked<T>(asked: Asked<T>) -> Result<T, Failed> {
    asked.map(|Query(asked)| asked).map_err(|rejection| Failed(StatusCode::BAD_REQUEST, rejection.body_text()))
}

fn bad(key: &str, expected: &str) -> Failed {
    Failed(StatusCode::BAD_REQUEST, format!("{key}: expected {expected}"))
}

pub(super) async fn accesses(State(desk): State<Desk>, query: Asked<AccessesAsked>) -> Result<Json<Value>, Failed> {
    let query = access_query(&desk, asked(query)?).await?;
    let AccessPage { accesses, next } = desk.accesses(query).await?;
    Ok(Json(json!({ "accesses": accesses, "next": next.map(word_of) })))
}

/// A key without a value asks for nothing.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What was asked, if it makes sense. A key without a value asks for nothing, as an empty field of a form does.
pub(super) async fn access_query(desk: &Desk, asked: AccessesAsked) -> Result<AccessQuery, Failed> {
    let AccessesAsked { since, secret, principal, outcome, rule, limit, before } = asked;
    let rule = given(rule);
    if let Some(rule) = &rule
        && !desk.status().await?.overview.rules.contains(rule)
    {
        return Err(Failed(StatusCode::NOT_FOUND, format!("rule: there is no rule {:?}", printable(rule, 100))));
    }
    let query = AccessQuery {
        since: given(since).map(|since| back(&since, &desk.clock)).transpose()?,
        secrets: given(secret).into_iter().collect(),
        principals: given(principal).into_iter().collect(),
        outcome: match given(outcome).as_deref() {
            None | Some("any") => None,
            Some("success") => Some(Outcome::Success),
            Some("denied") => Some(Outcome::Denied),
            Some("failed") => Some(Outcome::Failed),
            Some(_) => return Err(bad("outcome", "success, denied, failed or any")),
        },
        rule,
        before: given(before).map(|before| place(&before)).transpose()?,
        limit: limit.unwrap_or(USUAL).min(MOST),
    };
    query.condition().map_err(Failed::bad)?;
    Ok(query)
}

/// So long before now, as in `1h`.
fn back(since: &str, clock: &WallClock) -> Result<EventTime, Failed> {
    let length = humantime::parse_duration(since).map_err(|_| bad("since", "a duration such as 1h"))?;
    Ok(clock.now().minus(length).second())
}

/// A place in a list, as a word for `before`.
pub(super) fn word_of((at, id): AccessPlace) -> String {
    format!("{at}/{id}")
}

fn place(before: &str) -> Result<AccessPlace, Failed> {
    let wrong = || bad("before", "the next of an earlier answer");
    let (at, id) = before.split_once('/').ok_or_else(wrong)?;
    Ok((at.parse().map_err(|_| wrong())?, id.to_owned()))
}

/// What `/api/v1/alerts` can be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlertsAsked {
    id: Option<String>,
    since: Option<String>,
    undelivered: bool,
    limit: Option<usize>,
    before: Option<u64>,
}

pub(super) async fn alerts(State(desk): State<Desk>, query: Asked<AlertsAsked>) -> Result<Json<Value>, Failed> {
    let AlertsAsked { id, since, undelivered, limit, before } = asked(query)?;
    let since = given(since).map(|since| back(&since, &desk.clock)).transpose()?.map(EventTime::wall);
    let limit = limit.unwrap_or(USUAL).min(MOST);
    let AlertPage { alerts, next } =
        desk.alerts(AlertQuery { id: given(id), since, undelivered, before, limit }).await?;
    Ok(Json(json!({ "alerts": alerts, "next": next })))
}

/// There are never so many open incidents that they would want pages, and none is stored apart from the status.
pub(super) async fn incidents(State(desk): State<Desk>) -> Result<Json<Value>, Failed> {
    Ok(Json(json!({ "incidents": desk.status().await?.overview.incidents })))
}

/// How near each rule has come to its threshold. There are never so many that they would want pages.
pub(super) async fn rules(State(desk): State<Desk>) -> Result<Json<Value>, Failed> {
    Ok(Json(json!({ "rules": *desk.rules().await? })))
}
