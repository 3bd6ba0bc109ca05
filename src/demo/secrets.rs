//! Secrets Manager: a vault for each account and Region, and a record of every call in its Event history.
//!
//! A caller that is denied everything, a secret that does not exist and a read across accounts all leave the records
//! that they leave at AWS; a batch leaves its own and one for each secret. Values are obviously made up.

use serde_json::{Map, Value, json};

use super::records::{Record, SECRETS_MANAGER, denial, uuid};
use super::state::{Request, Source, State};
use super::wire::{Answer, Refusal};
use crate::model::WallTime;

/// The secrets of one account and Region, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Vault {
    secrets: Vec<Secret>,
}

#[derive(Clone, Debug)]
struct Secret {
    name: String,
    arn: String,
    description: String,
    version_id: String,
    created: WallTime,
    tags: Vec<(String, String)>,
}

impl State {
    /// Makes a secret if it is not there, and returns its ARN; leaves no record.
    pub(super) fn add_secret(&mut self, (account, region): Source, name: &str, now: WallTime) -> String {
        let vault = self.vaults.entry((account.clone(), region.clone())).or_default();
        if let Some(secret) = vault.secrets.iter().find(|secret| secret.name == name) {
            return secret.arn.clone();
        }
        let suffix: String = (0..6).map(|_| self.rng.alphanumeric()).collect();
        let arn = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}");
        vault.secrets.push(Secret {
            name: name.to_owned(),
            arn: arn.clone(),
            description: format!("made up: {name}"),
            version_id: uuid(&mut self.rng),
            created: now,
            tags: Vec::new(),
        });
        arn
    }

    /// Gives the secret `arn` a tag.
    pub(super) fn tag_secret(&mut self, arn: &str, key: &str, value: &str) {
        let mut secrets = self.vaults.values_mut().flat_map(|vault| &mut vault.secrets);
        if let Some(secret) = secrets.find(|secret| secret.arn == arn) {
            secret.tags.push((key.to_owned(), value.to_owned()));
        }
    }
}

impl Secret {
    /// By name, ARN, or ARN without its suffix.
    fn is(&self, typed: &str) -> bool {
        typed == self.name || typed == self.arn || self.arn.rsplit_once('-').is_some_and(|(arn, _)| arn == typed)
    }

    fn value(&self) -> Value {
        json!({
            "ARN": self.arn,
            "Name": self.name,
            "VersionId": self.version_id,
            "SecretString": format!("not-a-real-secret:{}", self.name),
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": seconds(self.created),
        })
    }

    fn description(&self) -> Value {
        let mut described = self.entry();
        described["VersionIdsToStages"] = json!({ &self.version_id: ["AWSCURRENT"] });
        described
    }

    fn entry(&self) -> Value {
        json!({
            "ARN": self.arn,
            "Name": self.name,
            "Description": self.description,
            "LastChangedDate": seconds(self.created),
            "CreatedDate": seconds(self.created),
            "SecretVersionsToStages": { &self.version_id: ["AWSCURRENT"] },
            "Tags": self.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect::<Vec<_>>(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium fit a float exactly")]
fn seconds(at: WallTime) -> f64 {
    at.0 as f64 / 1000.0
}

pub(super) fn perform(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let operation = request.call.operation.as_str();
    if !["ListSecrets", "DescribeSecret", "GetSecretValue", "BatchGetSecretValue", "CreateSecret"].contains(&operation)
    {
        return Err(Refusal::unknown_operation(request.service));
    }
    if request.caller.principal_arn().is_some_and(|arn| state.denied.contains(&arn)) {
        leave(state, request, record(request).denied());
        let message = denial(&request.caller, SECRETS_MANAGER, operation, request.text("SecretId"));
        return Err(Refusal::new("AccessDeniedException", &message));
    }
    let result = match operation {
        "ListSecrets" => list(state, request),
        "DescribeSecret" => find(state, request, request.text("SecretId")).map(Secret::description),
        "GetSecretValue" => find(state, request, request.text("SecretId")).map(Secret::value),
        "BatchGetSecretValue" => return batch(state, request),
        _ => create(state, request),
    };
    let left = match &result {
        Ok(answer) if operation == "CreateSecret" => {
            record(request).response(json!({ "arn": answer["ARN"], "name": answer["Name"] }))
        }
        Ok(_) => record(request),
        Err(refusal) => record(request).failed(&refusal.code, &refusal.message),
    };
    leave(state, request, left);
    result.map(Answer::Json)
}

/// The record of this call, its parameters spelled as CloudTrail spells them and its secret values left out.
fn record(request: &Request) -> Record {
    let mut record = Record::new(&request.call.operation).request(&request.id);
    for (name, value) in request.call.parameters.as_object().into_iter().flatten() {
        if !["SecretString", "SecretBinary"].contains(&name.as_str()) {
            let mut letters = name.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            record = record.parameter(&first.into_iter().chain(letters).collect::<String>(), value.clone());
        }
    }
    match request.text("SecretId") {
        Some(typed) => record.secret(typed),
        None => record,
    }
}

/// Puts the record into the caller's history, and a copy with the same `sharedEventID` into that of the account that
/// owns the secret, if it is another.
fn leave(state: &mut State, request: &Request, record: Record) {
    let record = record.by(request.caller.clone()).user_agent(&request.user_agent).from(LOOPBACK);
    let region = &request.call.region;
    let owner = request.text("SecretId").and_then(account_in_arn).filter(|owner| *owner != request.call.account);
    let record = match owner {
        None => record,
        Some(owner) => {
            let record = record.shared(&uuid(&mut state.rng));
            state.put(&record.clone().in_source(owner, region), request.now);
            record
        }
    };
    state.put(&record.in_source(&request.call.account, region), request.now);
}

/// Where every real call to this account comes from.
const LOOPBACK: &str = "127.0.0.1";

fn account_in_arn(typed: &str) -> Option<&str> {
    typed.strip_prefix("arn:aws:secretsmanager:")?.split(':').nth(1)
}

fn find<'a>(state: &'a State, request: &Request, typed: Option<&str>) -> Result<&'a Secret, Refusal> {
    let typed = typed.ok_or_else(|| invalid("You must provide a value for the SecretId parameter."))?;
    let account = account_in_arn(typed).unwrap_or(&request.call.account).to_owned();
    let vault = state.vaults.get(&(account, request.call.region.clone()));
    vault.and_then(|vault| vault.secrets.iter().find(|secret| secret.is(typed))).ok_or_else(not_found)
}

fn not_found() -> Refusal {
    Refusal::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}

fn create(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let name = request.text("Name").ok_or_else(|| invalid("You must provide a value for the Name parameter."))?;
    if find(state, request, Some(name)).is_ok() {
        let message = format!("The operation failed because the secret {name} already exists.");
        return Err(Refusal::new("ResourceExistsException", &message));
    }
    let arn = state.add_secret(request.source(), name, request.now);
    let version = find(state, request, Some(name))?.version_id.clone();
    Ok(json!({ "ARN": arn, "Name": name, "VersionId": version }))
}

/// The longest page of `ListSecrets`, and of a batch.
const MAX_LISTED: usize = 100;
const MAX_BATCH: usize = 20;

fn list(state: &State, request: &Request) -> Result<Value, Refusal> {
    let (page, next) = page(state, request, MAX_LISTED)?;
    let entries: Vec<_> = page.into_iter().map(Secret::entry).collect();
    Ok(with_token(json!({ "SecretList": entries }), next))
}

/// Secrets that pass the filters, from where the token says; the token of the next page, if there is one.
fn page<'a>(state: &'a State, request: &Request, longest: usize) -> Result<(Vec<&'a Secret>, Option<String>), Refusal> {
    let parameters = &request.call.parameters;
    let size = match parameters.get("MaxResults").and_then(Value::as_u64) {
        None => longest,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|asked| (1..=longest).contains(asked))
            .ok_or_else(|| invalid(&format!("MaxResults must be between 1 and {longest}")))?,
    };
    let skip = match request.text("NextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix(TOKEN)
            .and_then(|number| number.parse::<usize>().ok())
            .ok_or_else(|| Refusal::new("InvalidNextTokenException", "The NextToken value is invalid."))?,
    };
    let prefixes = name_filter(parameters)?;
    let vault = state.vaults.get(&request.source());
    let matching: Vec<_> = vault
        .into_iter()
        .flat_map(|vault| &vault.secrets)
        .filter(|secret| prefixes.is_empty() || prefixes.iter().any(|prefix| secret.name.starts_with(prefix)))
        .collect();
    let next = (skip.saturating_add(size) < matching.len()).then(|| format!("{TOKEN}{}", skip + size));
    Ok((matching.into_iter().skip(skip).take(size).collect(), next))
}

const TOKEN: &str = "after-";

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    answer
}

/// Prefixes of names; filters by anything else are refused rather than ignored.
fn name_filter(parameters: &Value) -> Result<Vec<&str>, Refusal> {
    let filters = parameters.get("Filters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut prefixes = Vec::new();
    for filter in filters {
        if filter["Key"] != "name" {
            return Err(invalid("The simulated account filters by name only."));
        }
        prefixes.extend(filter["Values"].as_array().into_iter().flatten().filter_map(Value::as_str));
    }
    Ok(prefixes)
}

/// A batch reads what it may and lists what it could not; it leaves a record of its own and one for each secret.
fn batch(state: &mut State, request: &Request) -> Result<Answer, Refusal> {
    let (typed, next) = match request.call.parameters.get("SecretIdList").and_then(Value::as_array) {
        Some(list) => (list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>(), None),
        None => {
            let (page, next) = page(state, request, MAX_BATCH)?;
            (page.into_iter().map(|secret| secret.arn.clone()).collect(), next)
        }
    };
    if typed.len() > MAX_BATCH {
        return Err(invalid("SecretIdList must have at most 20 members"));
    }
    leave(state, request, record(request));
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for typed in typed {
        let read = one_of_batch(request, &typed);
        let found = find(state, &read, Some(&typed)).map(Secret::value);
        let left = match &found {
            Ok(_) => record(&read),
            Err(refusal) => record(&read).failed(&refusal.code, &refusal.message),
        };
        leave(state, &read, left);
        match found {
            Ok(value) => values.push(value),
            Err(refusal) => {
                errors.push(json!({ "SecretId": typed, "ErrorCode": refusal.code, "Message": refusal.message }));
            }
        }
    }
    Ok(Answer::Json(with_token(json!({ "SecretValues": values, "Errors": errors }), next)))
}

/// The single read that a batch does for `typed`.
fn one_of_batch(request: &Request, typed: &str) -> Request {
    let mut read = request.clone();
    "GetSecretValue".clone_into(&mut read.call.operation);
    read.call.parameters = Value::Object(Map::from_iter([("SecretId".to_owned(), json!(typed))]));
    read
}
