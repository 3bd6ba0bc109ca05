//! The account's side door: an SDK's requests are answered in this process, without a socket.
//!
//! A simulation under paused time needs it, since tokio lets time jump on while a socket is waited for. What comes in
//! here goes the way of everything else: the same router, the same faults, and an answer that was cut breaks off here,
//! too. Like a server, the account finishes what it has begun when the client has given up.

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};

use super::account::Shared;
use super::server::answer;

/// What an SDK takes for its HTTP client.
pub(super) fn client(shared: Arc<Shared>) -> SharedHttpClient {
    let door = SharedHttpConnector::new(Door(shared));
    http_client_fn(move |_settings, _components| door.clone())
}

struct Door(Arc<Shared>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl HttpConnector for Door {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let shared = Arc::clone(&self.0);
        // A task of its own: whoever asked may leave before it is done.
        let answered = tokio::spawn(async move { carry_out(answer(shared, carry_in(request)?).await).await });
        HttpConnectorFuture::new(
            async move { answered.await.unwrap_or_else(|gone| Err(ConnectorError::io(gone.into()))) },
        )
    }
}

fn carry_in(request: HttpRequest) -> Result<Request<Body>, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    // Every request of the clients that come here is held in memory.
    Ok(request.map(|body| Body::from(Bytes::copy_from_slice(body.bytes().unwrap_or_default()))))
}

async fn carry_out(response: Response<Body>) -> Result<HttpResponse, ConnectorError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| ConnectorError::io(error.into()))?.to_bytes();
    let promised = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = match promised {
        Some(promised) if body.len() < promised => broken_off(body),
        _ => SdkBody::from(body),
    };
    HttpResponse::try_from(Response::from_parts(parts, body)).map_err(|error| ConnectorError::other(error.into(), None))
}

/// A body that ends with the error of a connection that was closed too early.
fn broken_off(half: Bytes) -> SdkBody {
    let limit = half.len().saturating_sub(1);
    let error = |_| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer breaks off");
    SdkBody::from_body_1_x(Limited::new(Full::new(half), limit).map_err(error))
}
