use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Lock {
    /// It is held until the file is closed, also when the process is killed.
    Held,
    /// Another process has it, or this one by another open file.
    Busy,
    /// This file system has no locks, some network file systems for example.
    Unsupported(io::Error),
}

/// Locks an open file or folder against other processes, without waiting (flock).
pub fn lock(file: impl AsFd) -> Lock {
    match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Lock::Held,
        Err(Errno::WOULDBLOCK) => Lock::Busy,
        Err(error) => Lock::Unsupported(error.into()),
    }
}
