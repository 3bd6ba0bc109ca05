//! Accesses in the store, deflated: they are most of what it holds, and most of each is the same as in all others.
//!
//! A row begins with a byte that says how it is packed, and what follows is the access's JSON, deflated by a dictionary
//! of what such JSON is made of. `{` is JSON as it stands, which version 1 wrote. A row is packed alone, so that one that
//! is damaged costs no other.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{StoreError, rows};
use crate::model::Access;

/// Deflated by [`DICTIONARY`].
const DEFLATED: u8 = 1;

/// What a row may hold once unpacked, with room to spare: what is more was never written by us.
const MOST: usize = 1024 * 1024;

/// Never to be changed, since rows that were packed by it can be unpacked by nothing else: another one is another first
/// byte. The most common comes last, where it costs the fewest bits.
const DICTIONARY: &[u8] = br#"","counts_as":"","updates":"","own":true,"shared_event_id":"","invoked_by":"secretsmanager.amazonaws.com","vpc_endpoint":"vpce-0"mfa":true,"console":true,"mfa":false,"type":"IAMUser","arn":"arn:aws:iam:::user/"type":"AWSService"type":"FederatedUser"type":"Root"outcome":"failed","error":"ResourceNotFoundException","outcome":"denied","error":"AccessDenied","error_message":"User: arn:aws:sts:: is not authorized to perform: secretsmanager:GetSecretValue on resource: because no identity-based policy allows the secretsmanager:GetSecretValue actionListSecretsDescribeSecretPutSecretValueCreateSecretUpdateSecretDeleteSecretRotateSecretBatchGetSecretValue"secret":null,"user_agent":"aws-cli/2."user_agent":"secretsmanager.amazonaws.com"user_agent":"Boto3/1. md/Botocore#1. ua/2. os/linux# md/arch#x86_64 lang/python#3. md/pyimpl#CPython cfg/retry-mode#legacyeu-west-1eu-central-1us-west-2us-east-2"arn":"arn:aws:secretsmanager:us-east-1::secret:prod/{"event_id":"","event":"GetSecretValue","time":"2027-01-01T00:00:00Z","seen":"2027-01-01T00:00:00.000Z","account":"","region":"us-east-1","secret":{"name":"","arn":null,"requested":"","account":"","region":"us-east-1"},"principal":{"type":"AssumedRole","arn":"arn:aws:iam:::role/","name":"","session":"i-0","account":""},"source_ip":"10.0.","user_agent":"aws-sdk-/1. os/linux lang/rust/1.","access_key_id":"ASIA","mfa":null,"vpc_endpoint":null,"invoked_by":null,"request_id":"","outcome":"success","error":null,"error_message":null,"console":false,"event_source":"secretsmanager.amazonaws.com"}"#;

thread_local! {
    /// Kept, since making one clears a quarter of a megabyte.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(6), true));
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// The value of an access's row.
pub(super) fn pack(access: &Access) -> Result<Vec<u8>, StoreError> {
    let json = rows::encode(access)?;
    // What cannot be deflated stays readable all the same.
    Ok(deflate(&json).filter(|packed| packed.len() < json.len()).unwrap_or(json))
}

/// The access in the row under `key`.
pub(super) fn unpack(key: &[u8], row: &[u8]) -> Result<Access, StoreError> {
    match row.split_first() {
        Some((&DEFLATED, packed)) => {
            let json = inflate(packed).ok_or_else(|| {
                rows::damaged(format!("row {}: what it holds cannot be unpacked", key.escape_ascii()))
            })?;
            rows::decode(key, &json)
        }
        _ => rows::decode(key, row),
    }
}

fn deflate(json: &[u8]) -> Option<Vec<u8>> {
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        deflate.set_dictionary(DICTIONARY).ok()?;
        let mut packed = Vec::with_capacity(json.len() + 64);
        packed.push(DEFLATED);
        let status = deflate.compress_vec(json, &mut packed, FlushCompress::Finish).ok()?;
        (status == Status::StreamEnd).then_some(packed)
    })
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(true);
        let mut json = Vec::with_capacity(packed.len().saturating_mul(4).max(2048));
        let mut at = 0;
        loop {
            match inflate.decompress_vec(packed.get(at..)?, &mut json, FlushDecompress::Finish) {
                Ok(Status::StreamEnd) => return Some(json),
                Ok(_) if json.len() < json.capacity() || json.len() >= MOST => return None,
                Ok(_) => json.reserve(json.len()),
                Err(error) => {
                    error.needs_dictionary()?;
                    inflate.set_dictionary(DICTIONARY).ok()?;
                }
            }
            at = usize::try_from(inflate.total_in()).ok()?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{WallTime, read_record};

    fn access(user_agent: &str) -> Access {
        let record = format!(
            r#"{{"eventID":"1f0e5b9c-8f5a-4c8e-9f53-9d3b6a2f7c11","eventTime":"2026-05-27T18:45:54Z",
                "eventName":"GetSecretValue","eventSource":"secretsmanager.amazonaws.com","awsRegion":"us-east-1",
                "userAgent":"{user_agent}","recipientAccountId":"111122223333","sourceIPAddress":"192.0.2.7",
                "requestParameters":{{"secretId":"prod/db"}},"requestID":"7c1b8a52-4c35-4d0b-8d70-0f4a3a3c8a01"}}"#
        );
        read_record(&record, WallTime(1_800_000_000_000)).unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked_and_small() {
        for user_agent in ["aws-sdk-rust/1.3.9", &"ü".repeat(500), "", &"x".repeat(30_000)] {
            let access = access(user_agent);
            let (packed, plain) = (pack(&access).unwrap(), rows::encode(&access).unwrap());
            assert_eq!(unpack(b"a", &packed).unwrap(), access);
            assert_eq!(unpack(b"a", &plain).unwrap(), access, "as version 1 wrote it");
            assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
        }
    }

    #[test]
    fn damage_is_an_error() {
        let packed = pack(&access("x")).unwrap();
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 0x10;
            assert!(unpack(b"a", &bad).is_err(), "byte {at}");
            assert!(unpack(b"a", &packed[..at]).is_err(), "{at} bytes");
        }
    }
}
