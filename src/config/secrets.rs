//! URLs and keys that are secret, or hold something that is: they may stand in the file itself, in a variable, or in a
//! file of their own, and no problem ever shows them.

use std::path::Path;

use reqwest::Url;

use super::load::{Environment, MAX_SECRET_BYTES, read_at_most};
use super::table::{Item, Table};

/// The ways to give a URL.
pub(super) const URL_KEYS: [&str; 3] = ["url", "url_env", "url_file"];

/// The one of `keys` that is set. Each that is set besides it is a complaint.
pub(super) fn one_of<'a>(table: &Table<'a>, keys: &[&'static str]) -> Option<(&'static str, Item<'a>)> {
    let mut set = keys.iter().filter_map(|key| Some((*key, table.item(key)?)));
    let (first, item) = set.next()?;
    for (_, other) in set {
        other.wrong(format!("not together with {first}; remove one of them"));
    }
    Some((first, item))
}

/// What `item` says itself, or by way of a variable or a file, as the last part of its key has it.
pub(super) fn secret(key: &str, item: &Item<'_>, env: &Environment) -> Option<String> {
    let text = item.filled()?;
    let found = match key.rsplit_once('_') {
        Some((_, "env")) => from_variable(&text, env),
        Some((_, "file")) => from_file(Path::new(&text)),
        _ => Ok(text),
    };
    found.map_err(|why| item.wrong(why)).ok()
}

fn from_variable(name: &str, env: &Environment) -> Result<String, String> {
    let value = env.filled(name).ok_or_else(|| format!("the variable {name:?} is not set"))?;
    Ok(value.to_str().ok_or_else(|| format!("the variable {name:?} is not UTF-8"))?.to_owned())
}

fn from_file(path: &Path) -> Result<String, String> {
    let bytes = read_at_most(path, MAX_SECRET_BYTES).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{path:?} is not UTF-8"))?;
    // Editors and `echo` end a file with a newline that nobody means.
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(format!("{path:?} is empty")) } else { Ok(text.to_owned()) }
}

/// The URL that `text` is, if secrets may be sent there: by https, or by http to this very machine.
pub(super) fn url(item: &Item<'_>, text: &str, example: &str) -> Option<Url> {
    let complain = |why: &str| {
        item.wrong(format!("{why}; expected a URL such as {example:?}"));
        None
    };
    match Url::parse(text) {
        Err(error) => complain(&format!("not a URL: {error}")),
        Ok(url) if url.scheme() == "https" && url.has_host() => Some(url),
        Ok(url) if url.scheme() == "http" && is_loopback(&url) => Some(url),
        Ok(url) if url.scheme() == "http" => complain("http is for loopback addresses only"),
        Ok(_) => complain("neither https nor http"),
    }
}

/// Whether `url` leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_in_all_its_spellings() {
        for (url, expected) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:80/", true),
            ("https://203.0.113.7/", false),
            ("https://localhost.example.com/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
