//! From the bytes of a file to its text.
//!
//! [`load`] reads whatever comes, as far as it goes, and says what is wrong with it. [`Inflater`] is for what comes from
//! CloudTrail: a file of one gzip member, whole and undamaged, which it decompresses in one go and twice as fast.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use libdeflater::Decompressor;
use memchr::memmem;

use super::Fault;

/// How a gzip member begins: the magic number, and the only method that there is.
const MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// The shortest gzip member: its head, an empty block, checksum and length.
const SHORTEST: usize = 20;

/// Deflate makes a byte of this many at best: who promises more is lying.
const MOST_FROM_A_BYTE: u64 = 1032;

/// Space that is kept from one file to the next, since fresh memory takes a tenth of the time that filling it does.
const KEPT_BYTES: usize = 16 << 20;

/// Whether `head` is how a gzip file begins.
pub(super) fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&MEMBER[..2])
}

/// How long the text of a gzip file is that ends with `tail` and has `stored` bytes, if it has one member and neither
/// lies nor has more than four gigabytes.
pub(super) fn promised(tail: [u8; 4], stored: u64) -> Option<u64> {
    let length = u64::from(u32::from_le_bytes(tail));
    (length <= most_of(stored)).then_some(length)
}

/// How long the text of a gzip file of `stored` bytes may be.
pub(super) fn most_of(stored: u64) -> u64 {
    stored.saturating_mul(MOST_FROM_A_BYTE)
}

/// Decompresses whole files, with space that is used again.
pub(super) struct Inflater {
    decompressor: Decompressor,
    text: Vec<u8>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { decompressor: Decompressor::new(), text: Vec::new() }
    }

    /// The text of `zip`, of `limit` bytes at most, if `zip` is one undamaged gzip member and nothing else.
    ///
    /// The decompressor does not say where a member ends. What follows it would have to end with the length of the text:
    /// so does another member of the same length, which is why the heads of members are looked for, and damage by chance.
    pub(super) fn inflate(&mut self, zip: &[u8], limit: u64) -> Option<&[u8]> {
        let tail = *zip.last_chunk::<4>()?;
        let is_one = zip.len() >= SHORTEST && is_head(zip) && !has_head(&zip[1..]);
        let length = promised(tail, zip.len() as u64).filter(|length| is_one && *length <= limit)?;
        let length = usize::try_from(length).ok()?;
        if self.text.len() < length {
            self.text.resize(length, 0);
        }
        let written = self.decompressor.gzip_decompress(zip, &mut self.text[..length]).ok()?;
        (written == length).then(|| &self.text[..length])
    }

    /// Lets go of more space than the next file is likely to need.
    pub(super) fn rest(&mut self) {
        if self.text.len() > KEPT_BYTES {
            self.text = Vec::new();
        }
    }
}

/// Whether `bytes` begin as a gzip member does: the magic number, no flag that means nothing, one of three levels of
/// compression, and a system that has a number.
fn is_head(bytes: &[u8]) -> bool {
    let Some([head @ .., flags, _, _, _, _, level, system]) = bytes.first_chunk::<10>() else { return false };
    *head == MEMBER && *flags < 0x20 && [0, 2, 4].contains(level) && (*system < 14 || *system == 255)
}

/// Whether a member begins somewhere in `bytes`. The magic number alone is found in every fortieth log file.
fn has_head(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, &MEMBER).any(|at| is_head(&bytes[at..]))
}

/// What was read of a stream.
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    /// Why it was not read to its end.
    pub(super) fault: Option<Fault>,
    pub(super) gzipped: bool,
}

/// All of `stream`, decompressed, as far as it can be read and `limit` goes.
pub(super) fn load(mut stream: impl Read, limit: u64) -> Loaded {
    let mut head = Vec::new();
    if let Err(error) = stream.by_ref().take(2).read_to_end(&mut head) {
        return Loaded { bytes: head, fault: Some(Fault::Io(error)), gzipped: false };
    }
    let gzipped = is_gzip(&head);
    let whole = io::Cursor::new(head).chain(stream);
    let mut bytes = Vec::new();
    // One byte more than allowed tells whether there is more than that.
    let outcome = if gzipped {
        MultiGzDecoder::new(whole).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Fault::Gzip)
    } else {
        whole.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Fault::Io)
    };
    let mut fault = outcome.err();
    if let Ok(most) = usize::try_from(limit)
        && bytes.len() > most
    {
        bytes.truncate(most);
        fault = Some(Fault::TooLarge(limit));
    }
    Loaded { bytes, fault, gzipped }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(zip: &[u8], limit: u64) -> Option<Vec<u8>> {
        Inflater::new().inflate(zip, limit).map(<[u8]>::to_vec)
    }

    #[test]
    fn one_whole_member_is_inflated() {
        for length in [0, 1, 5, 100, 100_000] {
            let text = "abcde".repeat(length).into_bytes();
            assert_eq!(inflated(&gzip(&text), text.len() as u64), Some(text));
        }
    }

    #[test]
    fn anything_else_is_not() {
        let zip = gzip(b"some text");
        assert_eq!(inflated(&zip, 8), None, "more than allowed");
        for end in 0..zip.len() {
            assert_eq!(inflated(&zip[..end], 100), None, "cut at {end}");
        }
        for at in [0, 1, 2, 12, zip.len() - 6, zip.len() - 1] {
            let mut spoilt = zip.clone();
            spoilt[at] ^= 1;
            assert_eq!(inflated(&spoilt, 1 << 30), None, "spoilt at {at}");
        }
        for tail in [&b"x"[..], &[0; 9], &gzip(b"more"), &zip] {
            assert_eq!(inflated(&[&zip, tail].concat(), 100), None, "{}", tail.escape_ascii());
        }
    }

    #[test]
    fn space_is_used_again_and_given_up() {
        let mut inflater = Inflater::new();
        let large = gzip(&vec![b'x'; KEPT_BYTES + 1]);
        assert!(inflater.inflate(&large, u64::MAX).is_some());
        assert_eq!(inflater.inflate(&gzip(b"small"), u64::MAX), Some(&b"small"[..]));
        inflater.rest();
        assert!(inflater.text.is_empty());
    }
}
