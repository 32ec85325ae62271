//! What the two sorts of files that rosbag2 writes have in common.

use super::BagError;
use super::index::{Index, Place};

/// One file of a bag.
pub trait Storage: Send + Sync {
    /// Reads the file from its beginning to its end and tells `index` what it holds; what is damaged is told as one of its
    /// problems, and the rest is used.
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
    fn read(&mut self, place: Place) -> Result<Vec<u8>, BagError>;
}
