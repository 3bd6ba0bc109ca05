//! Where a configuration comes from: which file or variable holds the text, and what surrounds the process.
//!
//! The first of these that is there wins: the path on the command line, the text in `$SECRETWATCH_CONFIG_TOML`, the
//! path in `$SECRETWATCH_CONFIG`, [`DEFAULT_PATH`]. A variable that is set to nothing counts as not set. One source is
//! read, never several laid over one another; only `SECRETWATCH__SECTION__KEY` variables are laid over it.
//!
//! An empty text is a valid configuration, but none at all is an error: who forgot the file must not believe that it is
//! in force.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::{Config, check};
use crate::model::WallTime;

/// The file that is read when nothing names another.
pub const DEFAULT_PATH: &str = "/etc/secretwatch/config.toml";

/// Size of a configuration file in bytes, at most.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Size of a file that holds a secret or a URL, in bytes, at most.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

const PATH_VARIABLE: &str = "SECRETWATCH_CONFIG";
const TEXT_VARIABLE: &str = "SECRETWATCH_CONFIG_TOML";

/// What surrounds the process, as far as a configuration depends on it: the variables, and the time, since a schedule
/// must still have something before it. A value, so that whoever tests needs no process.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    now: WallTime,
}

impl Environment {
    /// The variables and the clock of this process. For the shell only.
    #[must_use]
    pub fn of_process() -> Self {
        // A name that is no UTF-8 is none that anybody here asks for.
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        named.collect::<Self>().at(WallTime::now())
    }

    /// The same at another time.
    #[must_use]
    pub fn at(self, now: WallTime) -> Self {
        Self { now, ..self }
    }

    /// The time.
    pub(super) fn now(&self) -> WallTime {
        self.now
    }

    /// The value of the variable `name`; none if it is not set, or set to nothing.
    pub(super) fn filled(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// All variables whose names begin with `prefix`.
    pub(super) fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &OsStr)> {
        let from = self.variables.range(prefix.to_owned()..);
        from.take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_os_str()))
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, now: WallTime::default() }
    }
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("names", &self.variables.keys()).field("now", &self.now).finish()
    }
}

/// Why there is no configuration. All of it is for the operator to mend; trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing named a configuration, and the default file does not exist.
    #[error(
        "no configuration: {DEFAULT_PATH} does not exist; write it (an empty file means all defaults), or name another \
         with --config or ${PATH_VARIABLE}"
    )]
    Missing,
    /// The file cannot be read.
    #[error("configuration file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was read, and is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// Finds, reads and checks the configuration; `path` is what the command line says.
pub fn load(path: Option<&Path>, env: &Environment) -> Result<Config, LoadError> {
    if let Some(path) = path {
        return from_file(path, env);
    }
    if let Some(text) = env.filled(TEXT_VARIABLE) {
        return from_bytes(text.as_encoded_bytes(), TEXT_VARIABLE, env);
    }
    if let Some(path) = env.filled(PATH_VARIABLE) {
        return from_file(Path::new(path), env);
    }
    from_file(Path::new(DEFAULT_PATH), env).map_err(|error| match error {
        LoadError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => LoadError::Missing,
        other => other,
    })
}

fn from_file(path: &Path, env: &Environment) -> Result<Config, LoadError> {
    let bytes =
        read_at_most(path, MAX_FILE_BYTES).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    from_bytes(&bytes, &path.display().to_string(), env)
}

fn from_bytes(bytes: &[u8], name: &str, env: &Environment) -> Result<Config, LoadError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(check(text, name, env)?),
        Err(error) => {
            let sound = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            Err(Problems::no_text(name, sound).into())
        }
    }
}

/// The contents of a file, unless it is larger than `most` bytes.
pub(super) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}
