//! Which model a folder holds, found without reading all of it.

use std::ops::Range;

use ring::digest::{Context, SHA256};

use super::error::LoadError;
use super::folder::ModelFolder;
use super::shard::Shard;

/// Bytes of one block.
const BLOCK: usize = 1024;
/// Blocks of each tensor: its first, its last, and what lies evenly between them.
const BLOCKS: usize = 5;

/// SHA-256, in lower-case hexadecimal, over config.json and of every weight file the name, the header (names, types
/// and shapes of its tensors) and five blocks of 1 KiB spread evenly over each tensor; small tensors are read whole.
///
/// That costs a few megabytes of reading for any size of model. Training moves every tensor that it trains nearly
/// everywhere, so a fine-tune has another fingerprint. What it does not see: a change that spares all blocks (a few
/// numbers of a large tensor edited by hand), and tokenizer or preprocessor files. The same weights in other shards
/// count as another model.
///
/// # Errors
/// A file that is missing, cannot be read, or holds no weights.
pub fn fingerprint(folder: &ModelFolder) -> Result<String, LoadError> {
    let mut hash = Context::new(&SHA256);
    update(&mut hash, folder.read("config.json")?.as_bytes());
    for shard in Shard::all(folder)? {
        update(&mut hash, shard.name().as_bytes());
        update(&mut hash, shard.header());
        for part in shard.tensors().values().flat_map(|tensor| &tensor.parts) {
            for block in blocks(part.size()) {
                update(&mut hash, &shard.read(part, block)?);
            }
        }
    }
    let digest = hash.finish();
    Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// With its length before it, so that no two sequences of parts look alike.
fn update(hash: &mut Context, part: &[u8]) {
    hash.update(&(part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// The blocks of a tensor of `size` bytes.
fn blocks(size: usize) -> Vec<Range<usize>> {
    let (count, length) = if size <= BLOCK * BLOCKS { (1, size) } else { (BLOCKS, BLOCK) };
    let apart = (size - length) / (BLOCKS - 1);
    (0..count).map(|index| apart * index..apart * index + length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn tiny_model() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied")
    }

    fn of(path: &Path) -> String {
        fingerprint(&ModelFolder::open(path).unwrap()).unwrap()
    }

    fn copied() -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(tiny_model().join(name), copy.path().join(name)).unwrap();
        }
        copy
    }

    #[test]
    fn blocks_cover_small_tensors_and_spread_over_large_ones() {
        for small in [0, 1, 5 * 1024] {
            assert_eq!((blocks(small).len(), blocks(small).first()), (1, Some(&(0..small))));
        }
        assert_eq!(blocks(9 * 1024), [0, 2, 4, 6, 8].map(|kib| kib * 1024..(kib + 1) * 1024));
        assert!(blocks(10_000_003).last().unwrap().end <= 10_000_003);
    }

    #[test]
    fn a_copy_is_the_same_model() {
        let copy = copied();
        assert_eq!(of(copy.path()), of(&tiny_model()));
        assert_eq!(of(copy.path()).len(), 64);
    }

    #[test]
    fn another_weight_is_another_model() {
        let copy = copied();
        let file = copy.path().join("model.safetensors");
        let whole = std::fs::read(&file).unwrap();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut seen = vec![of(copy.path())];
        // The first and the last number of the file are the ends of tensors, whichever way they are stored.
        for place in [header, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            seen.push(of(copy.path()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn another_config_is_another_model() {
        let copy = copied();
        let file = copy.path().join("config.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen('{', "{\"rope\": 1, ", 1)).unwrap();
        assert_ne!(of(copy.path()), of(&tiny_model()));
    }

    #[test]
    fn all_shards_count() {
        let sharded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/untied");
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&sharded).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        assert_eq!(of(copy.path()), of(&sharded));
        let shard = copy.path().join("model-00003-of-00003.safetensors");
        let mut bytes = std::fs::read(&shard).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&shard, bytes).unwrap();
        assert_ne!(of(copy.path()), of(&sharded));
    }
}
