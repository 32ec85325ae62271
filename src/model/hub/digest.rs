//! The hashes by which the hub names files.

use std::fmt::Write;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::source::is_hex;

/// The hash that a file must have, in lower-case hexadecimal. It is also the name of its blob in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256 of the content: large files (LFS, Xet).
    Sha256(String),
    /// SHA-1 of a git blob: files that lie in the repository itself.
    GitBlob(String),
}

impl Digest {
    /// From an etag or an object id; `None` when it is neither kind of hash.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches("W/").trim_matches('"');
        match text {
            _ if is_hex(text, 64) => Some(Self::Sha256(text.to_owned())),
            _ if is_hex(text, 40) => Some(Self::GitBlob(text.to_owned())),
            _ => None,
        }
    }

    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }

    /// Begins a hash of the same kind for a file of `size` bytes.
    pub fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher(Context::new(&SHA256)),
            Self::GitBlob(_) => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {size}\0").as_bytes());
                Hasher(context)
            }
        }
    }
}

/// A hash that grows with the bytes.
#[derive(Clone)]
pub struct Hasher(Context);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Lower-case hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish().as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(digest: &str, content: &[u8]) -> String {
        let digest = Digest::parse(digest).unwrap();
        let mut hasher = digest.hasher(content.len() as u64);
        content.chunks(3).for_each(|bytes| hasher.update(bytes));
        hasher.finish()
    }

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        // printf 'hello\n' | sha256sum; printf 'hello\n' | git hash-object --stdin
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(hash(sha256, b"hello\n"), sha256);
        assert_eq!(hash(git, b"hello\n"), git);
        assert_eq!(Digest::parse(&format!("W/\"{git}\"")), Some(Digest::GitBlob(git.to_owned())));
        assert_eq!(Digest::parse("\"../../etc\""), None);
    }
}
