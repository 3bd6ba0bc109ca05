//! What of the store is durable, in a file of our own beside sled's: it is written after every sync, so after a power cut it
//! may say too little, and never too much.

use std::path::Path;
use std::sync::LazyLock;

use super::{StoreError, keys, kv};

/// The file in sled's folder.
pub(super) const BEGUN: &str = "begun";

/// Which boot of the machine this is, as Linux calls it; nothing where nobody says. In a container it is the host's.
static BOOT: LazyLock<Vec<u8>> =
    LazyLock::new(|| std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_ascii().to_vec());

/// What is known to be durable.
#[derive(Debug)]
pub(super) struct Begun {
    /// So many batches.
    pub(super) batches: u64,
    /// The log up to this segment, the last one by then; older versions did not note it.
    pub(super) segment: Option<i64>,
    /// The boot in which that was so.
    boot: Vec<u8>,
}

impl Begun {
    pub(super) fn now(batches: u64, segment: i64) -> Self {
        Self { batches, segment: Some(segment), boot: BOOT.clone() }
    }

    /// What is noted in the store's folder; none: nothing has been durable yet.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(BEGUN);
        match std::fs::read(&path) {
            // A version that wrote no number at all left the file empty.
            Ok(noted) => Ok(Some(Self {
                batches: keys::number_at(&noted, 0).unwrap_or(0),
                segment: keys::number_at(&noted, 8).and_then(|segment| i64::try_from(segment).ok()),
                boot: noted.get(16..).unwrap_or_default().to_vec(),
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(kv::io("read", &path, source)),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.batches.to_be_bytes().to_vec();
        bytes.extend(self.segment.unwrap_or(0).to_be_bytes());
        bytes.extend(&self.boot);
        bytes
    }

    /// Whether the machine was started anew since, or may have been: what the system has of the store may then be less than
    /// what was written.
    pub(super) fn is_of_another_boot(&self) -> bool {
        BOOT.is_empty() || self.boot != *BOOT
    }
}
