//! Accesses in the store, deflated: they are most of what it holds, and most of each is the same as in all others.
//!
//! A row begins with a byte that says how it is packed. What follows is the access's JSON and, after a line break, the
//! record that it was read from, deflated together by a dictionary of what both are made of: what the record says a
//! second time costs next to nothing. Rows of version 2 have no record, and `{` is JSON as it stands, which version 1
//! wrote. A row is packed alone, so that one that is damaged costs no other.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{StoreError, rows};
use crate::model::Access;

/// An access alone, deflated by [`DICTIONARY`].
const DEFLATED: u8 = 1;

/// An access and, if it is at hand, the record behind a line break, deflated by [`RECORDS`].
const WITH_RECORD: u8 = 2;

/// What a row may hold once unpacked, with room to spare: what is more was never written by us.
const MOST: usize = 1024 * 1024;

/// Never to be changed, since rows that were packed by it can be unpacked by nothing else: another one is another first
/// byte. The most common comes last, where it costs the fewest bits.
const DICTIONARY: &[u8] = br#"","counts_as":"","updates":"","own":true,"shared_event_id":"","invoked_by":"secretsmanager.amazonaws.com","vpc_endpoint":"vpce-0"mfa":true,"console":true,"mfa":false,"type":"IAMUser","arn":"arn:aws:iam:::user/"type":"AWSService"type":"FederatedUser"type":"Root"outcome":"failed","error":"ResourceNotFoundException","outcome":"denied","error":"AccessDenied","error_message":"User: arn:aws:sts:: is not authorized to perform: secretsmanager:GetSecretValue on resource: because no identity-based policy allows the secretsmanager:GetSecretValue actionListSecretsDescribeSecretPutSecretValueCreateSecretUpdateSecretDeleteSecretRotateSecretBatchGetSecretValue"secret":null,"user_agent":"aws-cli/2."user_agent":"secretsmanager.amazonaws.com"user_agent":"Boto3/1. md/Botocore#1. ua/2. os/linux# md/arch#x86_64 lang/python#3. md/pyimpl#CPython cfg/retry-mode#legacyeu-west-1eu-central-1us-west-2us-east-2"arn":"arn:aws:secretsmanager:us-east-1::secret:prod/{"event_id":"","event":"GetSecretValue","time":"2027-01-01T00:00:00Z","seen":"2027-01-01T00:00:00.000Z","account":"","region":"us-east-1","secret":{"name":"","arn":null,"requested":"","account":"","region":"us-east-1"},"principal":{"type":"AssumedRole","arn":"arn:aws:iam:::role/","name":"","session":"i-0","account":""},"source_ip":"10.0.","user_agent":"aws-sdk-/1. os/linux lang/rust/1.","access_key_id":"ASIA","mfa":null,"vpc_endpoint":null,"invoked_by":null,"request_id":"","outcome":"success","error":null,"error_message":null,"console":false,"event_source":"secretsmanager.amazonaws.com"}"#;

/// What records are made of. As little to be changed as [`DICTIONARY`].
const RECORD: &[u8] = br#"{"eventVersion":"1.08","userIdentity":{"accountId":"","invokedBy":"secretsmanager.amazonaws.com"},"additionalEventData":{"SecretId":"arn:aws:secretsmanager:","eventType":"AwsServiceEvent","serviceEventDetails":null"errorCode":"AccessDenied","errorMessage":"User: arn:aws:sts::"sessionCredentialFromConsole":"true"webIdFederationData":{"federatedProvider":"arn:aws:iam::","attributes":{}},"inScopeOf":{"issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn:aws:lambda:"vpcEndpointId":"vpce-0","vpcEndpointAccountId":"","requestParameters":{"maxResults":100,"filters":[{"key":"tag-key","values":["includePlannedDeletion":false"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::,"userName":"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROA:","arn":"arn:aws:sts:::assumed-role/","accountId":"","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA","arn":"arn:aws:iam:::role/","accountId":"","userName":""},"webIdFederationData":{},"attributes":{"creationDate":"2027-01-01T00:00:00Z","mfaAuthenticated":"false"},"ec2RoleDelivery":"2.0"}},"eventTime":"2027-01-01T00:00:00Z","eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","awsRegion":"us-east-1","sourceIPAddress":"10.0.","userAgent":"","requestParameters":{"secretId":"","versionId":"","versionStage":"AWSCURRENT"},"responseElements":null,"requestID":"","eventID":"","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"secretsmanager.us-east-1.amazonaws.com"}}"#;

/// What an access and its record are made of.
static RECORDS: LazyLock<Vec<u8>> = LazyLock::new(|| [RECORD, DICTIONARY].concat());

thread_local! {
    /// Kept, since making one clears a quarter of a megabyte.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(6), true));
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// The value of an access's row, with the record if it is at hand.
pub(super) fn pack(access: &Access) -> Result<Vec<u8>, StoreError> {
    let json = rows::encode(access)?;
    let mut whole = json.clone();
    if let Some(record) = &access.record {
        whole.push(b'\n');
        whole.extend_from_slice(record.as_bytes());
    }
    // What cannot be deflated stays readable all the same, without its record.
    Ok(deflate(&whole).filter(|packed| packed.len() < whole.len()).unwrap_or(json))
}

/// The access in the row under `key`.
pub(super) fn unpack(key: &[u8], row: &[u8]) -> Result<Access, StoreError> {
    let damaged = || rows::damaged(format!("row {}: what it holds cannot be unpacked", key.escape_ascii()));
    match row.split_first() {
        Some((&DEFLATED, packed)) => rows::decode(key, &inflate(packed, DICTIONARY).ok_or_else(damaged)?),
        Some((&WITH_RECORD, packed)) => {
            let whole = inflate(packed, &RECORDS).ok_or_else(damaged)?;
            // JSON as we write it has no line breaks of its own.
            let end = whole.iter().position(|byte| *byte == b'\n').unwrap_or(whole.len());
            let record = whole.get(end + 1..).map(str::from_utf8).transpose().map_err(|_| damaged())?;
            Ok(Access { record: record.map(Arc::from), ..rows::decode(key, &whole[..end])? })
        }
        _ => rows::decode(key, row),
    }
}

/// The same without the record, which takes most of the time, and without a look at the checksum behind it: for sums over
/// many. Damage on disk is sled's to find.
pub(super) fn unpack_without_record(key: &[u8], row: &[u8]) -> Result<Access, StoreError> {
    match row.split_first() {
        Some((&WITH_RECORD, packed)) => {
            let access = inflate_line(packed, &RECORDS).ok_or_else(|| {
                rows::damaged(format!("row {}: what it holds cannot be unpacked", key.escape_ascii()))
            })?;
            rows::decode(key, &access)
        }
        _ => unpack(key, row),
    }
}

fn deflate(whole: &[u8]) -> Option<Vec<u8>> {
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        deflate.set_dictionary(&RECORDS).ok()?;
        let mut packed = Vec::with_capacity(whole.len() + 64);
        packed.push(WITH_RECORD);
        let status = deflate.compress_vec(whole, &mut packed, FlushCompress::Finish).ok()?;
        (status == Status::StreamEnd).then_some(packed)
    })
}

fn inflate(packed: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
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
                    inflate.set_dictionary(dictionary).ok()?;
                }
            }
            at = usize::try_from(inflate.total_in()).ok()?;
        }
    })
}

/// The first line of what is packed, or all if it has one line.
fn inflate_line(packed: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(true);
        let mut json: Vec<u8> = Vec::with_capacity(1024);
        let (mut at, mut looked_at) = (0, 0);
        loop {
            let status = inflate.decompress_vec(packed.get(at..)?, &mut json, FlushDecompress::None);
            if let Some(end) = json[looked_at..].iter().position(|byte| *byte == b'\n') {
                json.truncate(looked_at + end);
                return Some(json);
            }
            looked_at = json.len();
            match status {
                Ok(Status::StreamEnd) => return Some(json),
                Ok(_) if json.len() < json.capacity() || json.len() >= MOST => return None,
                Ok(_) => json.reserve(1024),
                Err(error) => {
                    error.needs_dictionary()?;
                    inflate.set_dictionary(dictionary).ok()?;
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
            let alone = Access { record: None, ..access.clone() };
            assert_eq!(unpack_without_record(b"a", &packed).unwrap(), alone);
            assert_eq!(unpack_without_record(b"a", &plain).unwrap(), alone);
            assert_eq!(unpack_without_record(b"a", &pack(&alone).unwrap()).unwrap(), alone);
            assert_eq!(unpack(b"a", &plain).unwrap(), alone, "as version 1 wrote it");
            assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
            let packed_alone = pack(&alone).unwrap();
            assert_eq!(unpack(b"a", &packed_alone).unwrap(), alone);
            assert!(packed.len() < packed_alone.len() * 2, "{} and {}", packed.len(), packed_alone.len());
        }
    }

    /// As version 2 packed it: the dictionary of that time is not to be changed.
    #[test]
    fn what_version_2_wrote_is_read() {
        const ROW: &str = "0178bb430a10abc5d54b0ac3201006e0138dccc3899a73a407f01137852c7aff45b14268da0a295d74e780cc3fc82773104515574d2183af1ac166bf42a82a108aa429727599e89cba095081dd427eb63aabfda08e74413f524744c4cc2c22725ae0e38b943486f874e18ba481cdcb76ddda923ca4f549fa7987d8cb3db295af12031b346cdc48e3addb1313def9f5f6bfe17399928fca60b328d882097c7108586d9428d9476c4ffe07a077f324d45d";
        let row = hex::decode(ROW).unwrap();
        assert_eq!(unpack(b"a", &row).unwrap(), Access { record: None, ..access("aws-sdk-rust/1.3.9") });
    }

    #[test]
    fn damage_is_an_error() {
        let access = access("x");
        let packed = pack(&access).unwrap();
        for at in 0..packed.len() {
            let mut bad = packed.clone();
            bad[at] ^= 0x10;
            // Bits that only fill up the last byte mean nothing.
            assert!(unpack(b"a", &bad).map_or(true, |unpacked| unpacked == access), "byte {at}");
            assert!(unpack(b"a", &packed[..at]).is_err(), "{at} bytes");
            let _ = unpack_without_record(b"a", &bad);
            let _ = unpack_without_record(b"a", &packed[..at]);
        }
    }
}
