//! A receiver over HTTP: is it there, and is its certificate one that we accept?
//!
//! Asked is the root of its host and not the URL itself, with HEAD: a webhook would take a request for an alert, and a
//! heartbeat's receiver for the news that all is well. Whatever answers, it can be reached.

use std::time::Duration;

use reqwest::{Client, Url};

use super::{Finding, SAID_MAX};
use crate::config::is_loopback;
use crate::model::printable;
use crate::notify::with_causes;

/// Whether somebody answers at `url`.
pub(super) async fn examine(about: &str, url: &Url, timeout: Duration) -> Finding {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    let secured = if url.scheme() == "https" { "its certificate is good" } else { "unencrypted, on this machine" };
    match ask(url, timeout).await {
        Ok(status) => Finding::pass(about, "reachability", format!("{host} answers ({status}); {secured}")),
        Err(error) => Finding::fail(
            about,
            "reachability",
            printable(&format!("{host} cannot be reached: {}", with_causes(&error.without_url())), SAID_MAX),
            "Look at name resolution, firewall and proxy on the way from this host; for a certificate that is not \
             accepted, at the certificate authorities of this system and at its clock.",
        ),
    }
}

async fn ask(url: &Url, timeout: Duration) -> Result<u16, reqwest::Error> {
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    let mut client = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(timeout);
    if is_loopback(url) {
        client = client.no_proxy();
    }
    Ok(client.build()?.head(root).send().await?.status().as_u16())
}
