//! The engine, broken on purpose, from outside: what stands between it and the world is changed so that the whole
//! behaves as if the engine had the mistake. The oracle has to notice each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use secretwatch::demo::Clock;
use serde_json::{Value, json};

/// A mistake.
#[derive(Clone)]
pub(crate) enum Mutation {
    /// A cursor: nothing is asked for again that happened before the newest event that was served.
    Cursor(Arc<Mutex<Cursors>>),
    /// Records count when they arrive, not when they happened.
    Arrival,
    /// An alert counts as delivered before it is sent.
    MarkedFirst,
    /// A sync does nothing.
    NoFlush,
}

/// By credential scope: the newest event served, and from where the reading under way has begun.
#[derive(Default)]
pub(crate) struct Cursors(HashMap<String, (i64, i64)>);

type Answer = Result<HttpResponse, ConnectorError>;

impl Mutation {
    /// Makes the call with the mistake.
    pub(crate) async fn call(&self, inner: SharedHttpConnector, request: HttpRequest, clock: &Clock) -> Answer {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        match self {
            Self::Cursor(cursors) if target.ends_with("LookupEvents") => cursor(cursors, inner, request).await,
            Self::Arrival if target.ends_with("LookupEvents") => arrival(clock, inner, request).await,
            Self::MarkedFirst if target.is_empty() && is_publish(&request) => {
                tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    let _ = inner.call(request).await;
                });
                let accepted = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
                                <MessageId>0</MessageId></PublishResult></PublishResponse>";
                Ok(HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(accepted)))
            }
            _ => inner.call(request).await,
        }
    }
}

fn is_publish(request: &HttpRequest) -> bool {
    request.body().bytes().is_some_and(|body| body.starts_with(b"Action=Publish&"))
}

async fn cursor(cursors: &Mutex<Cursors>, inner: SharedHttpConnector, mut request: HttpRequest) -> Answer {
    let authorization = request.headers().get("authorization").unwrap_or_default();
    let scope = authorization.split(',').next().unwrap_or_default().to_owned();
    let mut asked: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("a question");
    {
        let mut cursors = cursors.lock().expect("nobody panics with the cursors in hand");
        let (newest, began) = cursors.0.entry(scope.clone()).or_default();
        if asked.get("NextToken").is_none() {
            *began = asked["StartTime"].as_i64().unwrap_or(0).max(*newest);
        }
        let end = asked["EndTime"].as_i64().unwrap_or(i64::MAX);
        asked["StartTime"] = json!((*began).min(end));
    }
    *request.body_mut() = SdkBody::from(asked.to_string());
    let answer = inner.call(request).await;
    let served = |events: &mut Vec<Value>| {
        let mut cursors = cursors.lock().expect("nobody panics with the cursors in hand");
        let (newest, _) = cursors.0.entry(scope).or_default();
        *newest = events.iter().filter_map(|event| event["EventTime"].as_i64()).chain([*newest]).max().unwrap_or(0);
    };
    changed(answer, served).await
}

async fn arrival(clock: &Clock, inner: SharedHttpConnector, request: HttpRequest) -> Answer {
    let answer = inner.call(request).await;
    let now = clock.now().second().to_string();
    let arrived = |events: &mut Vec<Value>| {
        for event in events {
            let record = event["CloudTrailEvent"].as_str().and_then(|record| serde_json::from_str(record).ok());
            let Some(Value::Object(mut record)) = record else { continue };
            record.insert("eventTime".to_owned(), json!(now));
            event["CloudTrailEvent"] = json!(Value::Object(record).to_string());
        }
    };
    changed(answer, arrived).await
}

/// The answer with its list of events looked at or changed, if there is one.
async fn changed(answer: Answer, change: impl FnOnce(&mut Vec<Value>)) -> Answer {
    let mut answer = answer?;
    let Ok(body) = std::mem::replace(answer.body_mut(), SdkBody::empty()).collect().await else {
        return Err(ConnectorError::io("the answer breaks off".into()));
    };
    let body = body.to_bytes();
    *answer.body_mut() = match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) if value["Events"].is_array() => {
            if let Some(events) = value["Events"].as_array_mut() {
                change(events);
            }
            answer.headers_mut().remove("content-length");
            SdkBody::from(value.to_string())
        }
        _ => SdkBody::from(body),
    };
    Ok(answer)
}
