//! The account's front door: takes requests, lets the state answer them, and spoils answers where that was asked for.
//!
//! A request goes: read → noted → quota → faults of the way there → done → faults of the way back → answered. Every
//! request with a known service is noted before anything else, so a test can wait for one that hangs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Held};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::net::TcpListener;

use super::account::{Answered, Call, Shared};
use super::faults::Fault;
use super::records::uuid;
use super::state::Request;
use super::wire::{self, Answer, Asked, Refusal};
use crate::model::WallTime;

/// Serves until the account shall stop, and until what was under way then is answered.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let router = Router::new()
        .fallback(|Held(shared): Held<Arc<Shared>>, request| answer(shared, request))
        .layer(DefaultBodyLimit::max(wire::MAX_BODY_BYTES))
        .with_state(Arc::clone(&shared));
    // The future of a server with graceful shutdown has no error to return but that of accepting, which axum retries.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
}

/// Answers one request, wherever it came in.
pub(super) async fn answer(shared: Arc<Shared>, request: axum::extract::Request) -> Response {
    let request_id = uuid(&mut shared.state().rng);
    let asked = match wire::read(request).await {
        Ok(asked) => asked,
        Err(refusal) => {
            let response = wire::response(Err(refusal), None, &request_id);
            return wire::sent(response, &request_id, shared.clock.now());
        }
    };
    let (number, request, fault) = note(&shared, asked, &request_id);
    let result = perform(&shared, &request, fault.as_ref()).await;
    let answered = match (&result, &fault) {
        (Err(refusal), _) => Answered::Refused(refusal.code.clone()),
        (Ok(_), Some(Fault::CutBody | Fault::Garbled | Fault::Empty)) => Answered::Spoiled,
        (Ok(_), _) => Answered::Well,
    };
    shared.state().calls[number].answer = Some(answered);
    shared.changed();

    let done = result.is_ok();
    let response = wire::response(result, Some((request.service, &request.call.operation)), &request_id);
    spoiled(response, fault.filter(|_| done), &request_id, shared.clock.now())
}

/// Notes the call, asks the quota and the faults. A call that the quota refuses uses up no fault.
fn note(shared: &Shared, asked: Asked, id: &str) -> (usize, Request, Option<Fault>) {
    let mut state = shared.state();
    let now = shared.clock.now();
    let caller = state.caller(&asked.access_key);
    let call = Call {
        at: now,
        account: caller.account().to_owned(),
        region: asked.region,
        operation: asked.operation,
        parameters: asked.parameters,
        answer: None,
    };
    let number = state.calls.len();
    state.calls.push(call.clone());
    let request =
        Request { service: asked.service, call, caller, user_agent: asked.user_agent, id: id.to_owned(), now };
    let fault = if state.admits(&request) { state.faults.strike(&request.call) } else { Some(Fault::throttled()) };
    drop(state);
    shared.changed();
    (number, request, fault)
}

/// Does what is asked for, unless a fault says otherwise.
async fn perform(shared: &Shared, request: &Request, fault: Option<&Fault>) -> Result<Answer, Refusal> {
    match fault {
        Some(Fault::Error { status, code, message }) => Err(Refusal::with_status(*status, code, message)),
        Some(Fault::RefuseToken) => Err(Refusal::invalid_token()),
        Some(Fault::Hang(release)) => {
            tokio::select! {
                biased;
                () = release.cancelled() => {}
                () = shared.stop.cancelled() => return Err(Refusal::with_status(503, "ServiceUnavailable", "stopping")),
            }
            let request = Request { now: shared.clock.now(), ..request.clone() };
            shared.state().perform(&request)
        }
        _ => shared.state().perform(request),
    }
}

/// The response, or what the way back has left of it.
fn spoiled(
    (status, content_type, body): (StatusCode, &'static str, String),
    fault: Option<Fault>,
    request_id: &str,
    now: WallTime,
) -> Response {
    match fault {
        Some(Fault::CutBody) => {
            let whole = wire::sent((status, content_type, body.clone()), request_id, now);
            wire::cut(whole.into_parts().0.headers, &body)
        }
        Some(Fault::Garbled) => wire::sent((status, content_type, "\u{1}}{<garbled".to_owned()), request_id, now),
        Some(Fault::Empty) => wire::sent((StatusCode::OK, content_type, String::new()), request_id, now),
        _ => wire::sent((status, content_type, body), request_id, now),
    }
}
