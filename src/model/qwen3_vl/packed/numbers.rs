//! A matrix's bytes: in memory of their own, or in a mapped file.

use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

pub enum Numbers {
    Owned(Vec<u8>),
    /// A range of a file.
    Mapped(Arc<Mmap>, Range<usize>),
}

impl Numbers {
    pub fn zeros(count: usize) -> Self {
        Self::Owned(vec![0; count])
    }

    /// To write on; what is mapped is copied first.
    pub fn to_mut(&mut self) -> &mut [u8] {
        if let Self::Mapped(..) = self {
            *self = Self::Owned(self.to_vec());
        }
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(..) => &mut [],
        }
    }
}

impl Deref for Numbers {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map, range) => &map[range.clone()],
        }
    }
}
