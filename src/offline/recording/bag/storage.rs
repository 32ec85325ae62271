//! What the two sorts of files that rosbag2 writes have in common.

use super::BagError;
use super::index::{Index, MessageLocation};

/// One file of a bag.
pub trait Storage: Send + Sync {
    /// Reads the file from its beginning to its end into `index`. What is damaged becomes one of the index's problems, and
    /// the rest is used.
    ///
    /// # Errors
    /// A file of which nothing can be used.
    fn scan(&self, file: u32, index: &mut Index) -> Result<(), BagError>;

    /// # Errors
    /// The file cannot be opened any more.
    fn open(&self) -> Result<Box<dyn Messages>, BagError>;
}

/// An open file, out of which single messages are read; those that follow each other come fastest.
pub trait Messages {
    /// The bytes of a message, as they were stored.
    ///
    /// # Errors
    /// They cannot be read, or the file is not what it was when it was scanned.
    fn read(&mut self, location: MessageLocation) -> Result<Vec<u8>, BagError>;
}

/// Bags are images, which barely shrink: what grows beyond this is none.
const RATIO_LIMIT: u64 = 200;
const SMALL: u64 = 256 << 20;
/// A message is longer than this in any file, however well it was packed.
const LEAST_PACKED: u64 = 4;
const FEW: u64 = 1 << 19;

/// How many bytes so many compressed ones may become.
pub fn unpacked_limit(packed: u64) -> u64 {
    packed.saturating_mul(RATIO_LIMIT).max(SMALL)
}

/// How many messages a file of so many bytes may hold: each is remembered, so that a few bytes must not claim millions.
pub fn message_limit(bytes: u64) -> u64 {
    (bytes / LEAST_PACKED).max(FEW)
}

/// What claims more than a recording can hold.
#[derive(Debug, thiserror::Error)]
pub enum TooMuch {
    #[error("it would have more than {} MiB", .0 >> 20)]
    Bytes(u64),
    #[error("it has more than {0} messages, far more than a recording of its size")]
    Messages(u64),
}
