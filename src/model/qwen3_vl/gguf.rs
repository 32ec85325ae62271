//! Weights as GGUF: what llama.cpp's converter writes, as a container and nothing else.
//!
//! Of the metadata only the architecture and the alignment are read: how the model is built and how text becomes tokens
//! config.json and tokenizer.json say, as for every folder. Format: ggml, `docs/gguf.md`, versions 2 and 3, little-endian.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;

use candle_core::quantized::GgmlDType;

use super::config::Qwen3VlConfig;
use super::error::LoadError;
use super::folder::ModelFolder;
use super::shard::{Part, Shard, StoredTensor};
use crate::files;

mod blocks;
mod names;
mod reader;
#[cfg(test)]
mod tests;

pub(super) use blocks::dequantised;
use names::PATCHES;
use reader::Reader;

const LANGUAGE_MODEL: &str = "qwen3vl";
const VISION_TOWER: &str = "clip";
/// Where nothing else is said, tensors begin at multiples of this.
const ALIGNMENT: u64 = 32;
const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=65_536;
/// Far more than any model of this architecture has.
const MOST_ENTRIES: u64 = 65_536;
/// Bytes of the shortest entry: a key and a value, and a tensor.
const LEAST_METADATA: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;
const MOST_DIMENSIONS: u32 = 4;
const STRING: u32 = 8;
const U32: u32 = 4;

/// The format's types by number, and how those that are read are read.
const TYPES: [(u32, &str, Option<GgmlDType>); 22] = [
    (0, "F32", Some(GgmlDType::F32)),
    (1, "F16", Some(GgmlDType::F16)),
    (2, "Q4_0", Some(GgmlDType::Q4_0)),
    (3, "Q4_1", None),
    (6, "Q5_0", Some(GgmlDType::Q5_0)),
    (7, "Q5_1", None),
    (8, "Q8_0", Some(GgmlDType::Q8_0)),
    (10, "Q2_K", None),
    (11, "Q3_K", None),
    (12, "Q4_K", Some(GgmlDType::Q4K)),
    (13, "Q5_K", Some(GgmlDType::Q5K)),
    (14, "Q6_K", Some(GgmlDType::Q6K)),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (20, "IQ4_NL", None),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (23, "IQ4_XS", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(GgmlDType::BF16)),
];

/// The GGUF files of a folder as its weights: one language model, and one vision tower.
///
/// # Errors
/// None of either or two of one, a file of another architecture, a header that contradicts itself or the file's size, a
/// tensor of a type that is not read, or a config.json that is not Qwen3-VL's.
pub(super) fn shards(folder: &ModelFolder, files: Vec<String>) -> Result<Vec<Shard>, LoadError> {
    let mut language_model: Option<Opened> = None;
    let mut vision_tower = None;
    for name in files {
        let file = files::open(&folder.file(&name))
            .map_err(|source| LoadError::Read { file: name.clone(), source })?;
        let header = Header::read(&name, &file)?;
        let place = match header.architecture.as_str() {
            LANGUAGE_MODEL => &mut language_model,
            VISION_TOWER => &mut vision_tower,
            _ => return Err(LoadError::GgufArchitecture { file: name, found: header.architecture }),
        };
        if let Some((first, ..)) = place.take() {
            return Err(LoadError::GgufTwice { first, second: name, architecture: header.architecture });
        }
        *place = Some((name, file, header));
    }
    let lacks =
        |(found, ..): Opened, missing, example| Err(LoadError::GgufIncomplete { found, missing, example });
    let both = match (language_model, vision_tower) {
        (Some(language_model), Some(vision_tower)) => [language_model, vision_tower],
        (Some(found), None) => {
            return lacks(found, "vision tower", "mmproj-Qwen3VL-2B-Instruct-F16.gguf");
        }
        (None, Some(found)) => return lacks(found, "language model", "Qwen3VL-2B-Instruct-Q8_0.gguf"),
        (None, None) => return Ok(Vec::new()),
    };
    let deepstack = Qwen3VlConfig::load(folder)?.vision.deepstack_layers;
    both.into_iter().map(|(name, file, header)| header.shard(name, file, &deepstack)).collect()
}

/// A file with its name and header.
type Opened = (String, File, Header);

/// What the header of a file says.
#[derive(Debug)]
struct Header {
    architecture: String,
    tensors: Vec<Listed>,
}

/// A tensor as the header has it.
#[derive(Debug, Clone)]
struct Listed {
    name: String,
    /// Outputs first, as Hugging Face has it.
    shape: Vec<usize>,
    stored_as: &'static str,
    numbers: GgmlDType,
    /// In the file.
    bytes: Range<u64>,
}

impl Header {
    fn read(name: &str, file: &File) -> Result<Self, LoadError> {
        let mut reader = Reader::new(name, file)?;
        if reader.bytes()? != *b"GGUF" {
            return Err(reader.damaged("it does not begin as a GGUF file"));
        }
        let version = reader.u32()?;
        if ![2, 3].contains(&version) {
            return Err(reader.damaged(format!(
                "it is of GGUF version {version}, and only 2 and 3 are read, little-endian"
            )));
        }
        let tensors = reader.count("tensors", LEAST_TENSOR, MOST_ENTRIES)?;
        let entries = reader.count("entries of metadata", LEAST_METADATA, MOST_ENTRIES)?;
        let (architecture, alignment) = metadata(&mut reader, entries)?;
        let mut listed = Vec::new();
        for _ in 0..tensors {
            listed.push(Listed::read(&mut reader, name, alignment)?);
        }
        place(&reader, &mut listed, alignment)?;
        Ok(Self { architecture, tensors: listed })
    }

    /// The file with its tensors under their Hugging Face names. Those that have none keep theirs: nothing asks for them.
    fn shard(self, name: String, file: File, deepstack: &[usize]) -> Result<Shard, LoadError> {
        let described: String = self.tensors.iter().map(Listed::described).collect();
        let mut directory = BTreeMap::new();
        for listed in &self.tensors {
            let stored = match PATCHES.iter().position(|patches| *patches == listed.name) {
                None => StoredTensor::of(listed.shape.clone(), listed.part()),
                Some(0) => self.patch_embedding(listed)?,
                Some(_) => continue,
            };
            let known = names::hugging_face(&listed.name, deepstack).unwrap_or_else(|| listed.name.clone());
            if directory.insert(known, stored).is_some() {
                let reason = format!("it has the tensor {} twice", listed.name);
                return Err(LoadError::Weights { file: name, reason });
            }
        }
        Ok(Shard::new(name, file, described.into_bytes(), directory))
    }

    /// A kernel (hidden, channels, 2, side, side), put together from its two slices (hidden, channels, side, side).
    fn patch_embedding(&self, first: &Listed) -> Result<StoredTensor, LoadError> {
        let missing = || LoadError::MissingTensor { name: PATCHES[1].to_owned() };
        let second = self.tensors.iter().find(|listed| listed.name == PATCHES[1]).ok_or_else(missing)?;
        if first.shape != second.shape {
            return Err(LoadError::TensorShape {
                name: second.name.clone(),
                found: second.shape.clone(),
                expected: first.shape.clone(),
            });
        }
        let mut shape = first.shape.clone();
        shape.insert(shape.len().min(2), PATCHES.len());
        let run = first.shape.iter().skip(2).product();
        Ok(StoredTensor { shape, parts: vec![first.part(), second.part()], run })
    }
}

impl Listed {
    /// With a place that counts from the first tensor's.
    fn read(reader: &mut Reader, file: &str, alignment: u64) -> Result<Self, LoadError> {
        let name = reader.text()?;
        let dimensions = reader.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(reader.damaged(format!("tensor {name} has {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(reader.u64()?);
        }
        shape.reverse();
        let kind = reader.u32()?;
        let offset = reader.u64()?;
        let known = TYPES.iter().find(|(number, ..)| *number == kind);
        let Some(&(_, stored_as, Some(numbers))) = known else {
            let found = known.map_or_else(|| format!("type {kind}"), |(_, name, _)| (*name).to_owned());
            return Err(LoadError::GgufType { file: file.to_owned(), tensor: name, found });
        };
        let size = size(&shape, numbers)
            .ok_or_else(|| reader.damaged(format!("tensor {name} cannot have the shape {shape:?}")))?;
        if offset % alignment != 0 {
            return Err(reader.damaged(format!("tensor {name} does not begin at a multiple of {alignment}")));
        }
        let end = offset
            .checked_add(size)
            .ok_or_else(|| reader.damaged(format!("tensor {name} ends past the end of the file")))?;
        let shape = shape.into_iter().map(|dimension| dimension as usize).collect();
        Ok(Self { name, shape, stored_as, numbers, bytes: offset..end })
    }

    /// One line that says all there is to know of it.
    fn described(&self) -> String {
        format!("{} {:?} {} {:?}\n", self.name, self.shape, self.stored_as, self.bytes)
    }

    fn part(&self) -> Part {
        Part { stored_as: self.stored_as.to_owned(), numbers: Some(self.numbers), bytes: self.bytes.clone() }
    }
}

/// The architecture and the alignment.
fn metadata(reader: &mut Reader, entries: u64) -> Result<(String, u64), LoadError> {
    let (mut architecture, mut alignment) = (None, None);
    for _ in 0..entries {
        let key = reader.text()?;
        let kind = reader.u32()?;
        let twice = match (key.as_str(), kind) {
            ("general.architecture", STRING) => architecture.replace(reader.text()?).is_some(),
            ("general.alignment", U32) => alignment.replace(u64::from(reader.u32()?)).is_some(),
            ("general.architecture" | "general.alignment", _) => {
                return Err(reader.damaged(format!("its {key} is of type {kind}")));
            }
            _ => {
                reader.skip_value(kind)?;
                false
            }
        };
        if twice {
            return Err(reader.damaged(format!("it has {key} twice")));
        }
    }
    let alignment = alignment.unwrap_or(ALIGNMENT);
    if !alignment.is_power_of_two() || !ALIGNMENTS.contains(&alignment) {
        return Err(reader.damaged(format!("its general.alignment is {alignment}")));
    }
    let split = "it has no general.architecture (the parts of a split file must be merged first)";
    Ok((architecture.ok_or_else(|| reader.damaged(split))?, alignment))
}

/// Bytes of a tensor; none if they cannot be counted, or if its rows are not made of whole blocks.
fn size(shape: &[u64], numbers: GgmlDType) -> Option<u64> {
    let block = numbers.block_size() as u64;
    let count = shape.iter().try_fold(1u64, |count, &dimension| count.checked_mul(dimension))?;
    let whole = shape.last().unwrap_or(&1).is_multiple_of(block) && count > 0;
    // Places in memory are counted by it.
    usize::try_from(count).ok().filter(|_| whole)?;
    (count / block).checked_mul(numbers.type_size() as u64)
}

/// Moves all tensors behind the header, where they must fit into the file without touching one another.
fn place(reader: &Reader, tensors: &mut [Listed], alignment: u64) -> Result<(), LoadError> {
    let start = reader.place().next_multiple_of(alignment);
    for tensor in tensors.iter_mut() {
        let moved = |place: u64| place.checked_add(start).filter(|place| *place <= reader.size());
        let (Some(begin), Some(end)) = (moved(tensor.bytes.start), moved(tensor.bytes.end)) else {
            let name = &tensor.name;
            return Err(reader.damaged(format!("tensor {name} ends past the end of the file")));
        };
        tensor.bytes = begin..end;
    }
    let mut in_order: Vec<&Listed> = tensors.iter().collect();
    in_order.sort_by_key(|tensor| tensor.bytes.start);
    for pair in in_order.windows(2) {
        if pair[0].bytes.end > pair[1].bytes.start {
            let (first, second) = (&pair[0].name, &pair[1].name);
            return Err(reader.damaged(format!("the tensors {first} and {second} overlap")));
        }
    }
    Ok(())
}
