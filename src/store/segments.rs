//! What sled's log says of itself is durable, held to what is.
//!
//! The log is a file of segments. Each begins with a header: the segment's place in the log, and how much of the log was
//! stable when it was begun. Whoever opens the store looks for a torn end only behind the largest such claim; what cannot
//! be read before it was freed and overwritten, sled thinks, and is passed over. But stable means `sync_file_range`
//! there, which leaves the disk's cache alone. A power cut at the wrong moment keeps a new segment and loses pages of the
//! one before it. Then sled steps over the hole, and what stands behind it makes it panic, or is a store without the rows
//! that others refer to.
//!
//! So each sync that was really one notes which segment was the last by then ([`last`]), and after the machine has been
//! started anew no header is left with a larger claim ([`bound`]) before sled sees it. It looks for the tear itself from
//! there on, and cuts the log: what goes had been told to nobody. Where that segment is not there any more, nothing is
//! taken back: sled has freed it and used its place again, and a log that is looked through from a gap seems torn.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes in a segment: sled's own default, said aloud. A store cannot change it.
pub(super) const SEGMENT: usize = 512 * 1024;

/// What sled turns places in the log by before it writes them, so that zeros are no header.
const TURN: i64 = i64::MAX;

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Where in the log it begins.
    place: i64,
    /// Up to where the log is stable, it says.
    claim: i64,
}

impl Header {
    const LEN: usize = 20;

    /// None: there is no header, or it was never written to its end.
    fn decode(bytes: [u8; Self::LEN]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].try_into().map(i64::from_le_bytes).ok();
        let header = Self { place: number(4)? ^ TURN, claim: number(12)? ^ TURN };
        (header.encode() == bytes).then_some(header)
    }

    fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[4..12].copy_from_slice(&(self.place ^ TURN).to_le_bytes());
        bytes[12..].copy_from_slice(&(self.claim ^ TURN).to_le_bytes());
        let sum = !crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// The place of the last segment of the log in `file`; 0 if there is none.
pub(super) fn last(file: &File) -> io::Result<i64> {
    let mut last = 0;
    each(file, |_, header| {
        last = last.max(header.place);
        Ok(())
    })?;
    Ok(last)
}

/// Takes back what headers in `file` claim beyond the segment at `durable`. Returns how many did.
pub(super) fn bound(file: &File, durable: i64) -> io::Result<usize> {
    let mut headers = Vec::new();
    each(file, |at, header| {
        headers.push((at, header));
        Ok(())
    })?;
    let is_there = headers.iter().any(|(_, header)| header.place == durable);
    headers.retain(|(_, header)| is_there && header.claim > durable);
    for (at, header) in &headers {
        file.write_all_at(&Header { claim: durable, ..*header }.encode(), *at)?;
    }
    Ok(headers.len())
}

fn each(file: &File, mut each: impl FnMut(u64, Header) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = [0; Header::LEN];
    for at in (0..file.metadata()?.len()).step_by(SEGMENT) {
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => Header::decode(bytes).map_or(Ok(()), |header| each(at, header))?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The real thing: what sled writes is what is read here, and what is written here sled takes.
    #[test]
    fn sled_and_this_mean_the_same_headers() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            || sled::Config::new().path(folder.path()).segment_size(SEGMENT).flush_every_ms(None).open().unwrap();
        let file = || File::options().read(true).write(true).open(folder.path().join("db")).unwrap();
        let db = open();
        let mut lasts = vec![last(&file()).unwrap()];
        for number in 0_u32..400 {
            db.insert(number.to_be_bytes(), vec![7; 4000]).unwrap();
            db.flush().unwrap();
            lasts.push(last(&file()).unwrap());
        }
        assert!(lasts.is_sorted(), "{lasts:?}");
        lasts.dedup();
        let step = i64::try_from(SEGMENT).unwrap();
        assert!(lasts.len() > 3 && lasts.windows(2).all(|pair| pair[1] - pair[0] == step), "{lasts:?}");
        drop(db);
        super::super::kv::closed(folder.path());
        // The second one was used again long ago, and nothing may be held to it.
        assert_eq!(bound(&file(), lasts[1]).unwrap(), 0);
        let durable = lasts[lasts.len() - 2];
        assert!(bound(&file(), durable).unwrap() > 0, "no header claimed more");
        assert_eq!(bound(&file(), durable).unwrap(), 0, "claimed again");
        assert_eq!(open().iter().count(), 400);
    }

    #[test]
    fn a_torn_or_missing_header_is_none() {
        let header = Header { place: 3 << 19, claim: 1234 };
        let bytes = header.encode();
        assert_eq!(Header::decode(bytes), Some(header));
        assert_eq!(Header::decode([0; Header::LEN]), None);
        for at in 0..Header::LEN {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(Header::decode(torn), None, "byte {at}");
        }
    }
}
