//! Headers written by hand, one thing wrong in each.

use std::io::Write;

use super::*;

const F32: u32 = 0;
const Q8_0: u32 = 8;
const ARRAY: u32 = 9;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key)[..], &kind.to_le_bytes(), value].concat()
}

fn array(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), values].concat()
}

/// `dimensions` as the file has them, the innermost first.
fn tensor(name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let sizes: Vec<u8> = dimensions.iter().flat_map(|size| size.to_le_bytes()).collect();
    [
        &text(name)[..],
        &(dimensions.len() as u32).to_le_bytes(),
        &sizes,
        &kind.to_le_bytes(),
        &offset.to_le_bytes(),
    ]
    .concat()
}

struct Sketch {
    version: u32,
    counts: Option<(u64, u64)>,
    metadata: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    alignment: usize,
    data: usize,
}

/// A sound file: a vector of 6 numbers as 2 rows, and one block.
fn sketch() -> Sketch {
    Sketch {
        version: 3,
        counts: None,
        metadata: vec![
            entry("general.architecture", STRING, &text("qwen3vl")),
            entry("qwen3vl.block_count", U32, &[4, 0, 0, 0]),
            entry("tokenizer.ggml.tokens", ARRAY, &array(STRING, 2, &[text("a"), text("bc")].concat())),
            entry("tokenizer.ggml.scores", ARRAY, &array(6, 2, &[0; 8])),
            entry("general.name", STRING, &text("a model")),
            entry("tokenizer.ggml.add_bos_token", 7, &[1]),
            entry("large", 12, &[0; 8]),
        ],
        tensors: vec![tensor("a", &[3, 2], F32, 0), tensor("b", &[32], Q8_0, 32)],
        alignment: 32,
        data: 32 + 34,
    }
}

impl Sketch {
    fn bytes(&self) -> Vec<u8> {
        let (tensors, metadata) =
            self.counts.unwrap_or((self.tensors.len() as u64, self.metadata.len() as u64));
        let mut bytes = [
            b"GGUF",
            &self.version.to_le_bytes()[..],
            &tensors.to_le_bytes(),
            &metadata.to_le_bytes(),
            &self.metadata.concat(),
            &self.tensors.concat(),
        ]
        .concat();
        bytes.resize(bytes.len().next_multiple_of(self.alignment) + self.data, 0);
        bytes
    }

    fn refused(&self, words: &str) {
        refused(&self.bytes(), words);
    }
}

fn read(bytes: &[u8]) -> Result<Header, LoadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Header::read("some.gguf", &File::open(file.path()).unwrap())
}

fn refused(bytes: &[u8], words: &str) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.starts_with("some.gguf") && error.contains(words), "\"{words}\" is not in: {error}");
}

#[test]
fn a_sound_header_is_read() {
    for version in [2, 3] {
        let file = Sketch { version, ..sketch() };
        let header = read(&file.bytes()).unwrap();
        assert_eq!(header.architecture, "qwen3vl");
        let start = (file.bytes().len() - file.data) as u64;
        let [a, b] = &header.tensors[..] else { panic!("{header:?}") };
        assert_eq!((a.name.as_str(), &a.shape[..], a.stored_as), ("a", &[2, 3][..], "F32"));
        assert_eq!((b.name.as_str(), &b.shape[..], b.stored_as), ("b", &[32][..], "Q8_0"));
        assert_eq!((a.bytes.clone(), b.bytes.clone()), (start..start + 24, start + 32..start + 66));
    }
}

#[test]
fn a_file_that_ends_anywhere_before_its_last_number_is_refused() {
    let whole = sketch().bytes();
    for length in 0..whole.len() {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, LoadError::Weights { .. }), "{length}: {error}");
    }
    assert!(read(&whole).is_ok());
}

#[test]
fn any_one_byte_may_be_wrong() {
    let whole = sketch().bytes();
    for place in 0..whole.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut damaged = whole.clone();
            damaged[place] = value;
            // Sound or not, it is reported without a panic and without much memory.
            let _ = read(&damaged);
        }
    }
}

#[test]
fn other_kinds_of_files_are_refused() {
    refused(b"GGML and something else", "does not begin as a GGUF file");
    for version in [0, 1, 4, 3u32.swap_bytes()] {
        Sketch { version, ..sketch() }.refused("only 2 and 3 are read");
    }
    let mut without = sketch();
    without.metadata.remove(0);
    without.refused("no general.architecture");
}

#[test]
fn counts_fit_into_the_file() {
    for count in [100, 70_000, 1 << 40, u64::MAX] {
        Sketch { counts: Some((count, 7)), ..sketch() }.refused("tensors");
        Sketch { counts: Some((2, count)), ..sketch() }.refused("entries of metadata");
    }
    // Enough room, and yet more than any model has.
    Sketch { counts: Some((70_000, 7)), data: 1 << 22, ..sketch() }.refused("70000 tensors");
    Sketch { counts: Some((2, 70_000)), data: 1 << 22, ..sketch() }.refused("70000 entries");
}

fn with_entry(bytes: Vec<u8>) -> Sketch {
    let mut file = sketch();
    file.metadata.push(bytes);
    file
}

#[test]
fn lengths_in_metadata_fit_into_the_file() {
    for length in [100_000, 1 << 62, u64::MAX] {
        with_entry(length.to_le_bytes().to_vec()).refused("a name in its header has");
        with_entry(entry("k", STRING, &length.to_le_bytes())).refused("past the end of the file");
        with_entry(entry("k", ARRAY, &array(STRING, length, &[]))).refused("texts in an array");
        for kind in [0, 3, 6, 12] {
            with_entry(entry("k", ARRAY, &array(kind, length, &[]))).refused("values in an array");
        }
        with_entry(entry("k", ARRAY, &array(STRING, 1, &length.to_le_bytes()))).refused("past the end");
        with_entry(entry("general.architecture", STRING, &length.to_le_bytes())).refused("a name in its");
    }
    with_entry(entry("k", ARRAY, &array(ARRAY, 1, &array(0, 1, &[0])))).refused("an array of arrays");
    with_entry(entry("k", ARRAY, &array(13, 1, &[0]))).refused("unknown type 13");
    with_entry(entry("k", 13, &[0])).refused("unknown type 13");
    let mut key = entry("key", 0, &[0]);
    key[8] = 0xFF;
    with_entry(key).refused("not UTF-8");
}

#[test]
fn what_is_read_of_the_metadata_is_of_its_type_and_there_once() {
    with_entry(entry("general.architecture", STRING, &text("clip"))).refused("general.architecture twice");
    let mut other = sketch();
    other.metadata[0] = entry("general.architecture", U32, &[0; 4]);
    other.refused("general.architecture is of type 4");
    with_entry(entry("general.alignment", STRING, &text("32"))).refused("general.alignment is of type 8");
    for alignment in [0u32, 1, 4, 33, 48, 1 << 17, u32::MAX] {
        with_entry(entry("general.alignment", U32, &alignment.to_le_bytes()))
            .refused(&format!("its general.alignment is {alignment}"));
    }
    let alignment = |value: u32| entry("general.alignment", U32, &value.to_le_bytes());
    let mut wide = with_entry(alignment(64));
    wide.alignment = 64;
    wide.refused("b does not begin at a multiple of 64");
    wide.tensors[1] = tensor("b", &[32], Q8_0, 64);
    wide.data = 64 + 34;
    assert_eq!(read(&wide.bytes()).unwrap().tensors[1].bytes.start % 64, 0);
    wide.metadata.push(alignment(64));
    wide.refused("general.alignment twice");
}

fn with_tensor(bytes: Vec<u8>) -> Sketch {
    let mut file = sketch();
    file.tensors[1] = bytes;
    file
}

#[test]
fn tensors_lie_in_the_file() {
    with_tensor(tensor("b", &[1, 1, 1, 1, 1], F32, 32)).refused("b has 5 dimensions");
    with_tensor(tensor("b", &[1 << 40, 1 << 40], F32, 32)).refused("b cannot have the shape");
    with_tensor(tensor("b", &[1 << 62], F32, 32)).refused("b cannot have the shape");
    with_tensor(tensor("b", &[0, u64::MAX], F32, 32)).refused("b cannot have the shape");
    // Rows are made of whole blocks, whatever the number of all numbers.
    for dimensions in [&[31][..], &[16, 2], &[]] {
        with_tensor(tensor("b", dimensions, Q8_0, 32)).refused("b cannot have the shape");
    }
    for offset in [33, 31, 8] {
        with_tensor(tensor("b", &[32], Q8_0, offset)).refused("b does not begin at a multiple of 32");
    }
    for offset in [64, 1 << 40, u64::MAX - 31] {
        with_tensor(tensor("b", &[32], Q8_0, offset)).refused("b ends past the end of the file");
    }
    with_tensor(tensor("b", &[64], Q8_0, 32)).refused("b ends past the end of the file");
    with_tensor(tensor("b", &[32], Q8_0, 0)).refused("a and b overlap");
    assert!(read(&with_tensor(tensor("b", &[], F32, 32)).bytes()).is_ok());
}

#[test]
fn types_that_are_not_read_are_named() {
    for (kind, name) in [(3, "Q4_1"), (10, "Q2_K"), (23, "IQ4_XS"), (26, "type 26"), (99, "type 99")] {
        with_tensor(tensor("b", &[256], kind, 32)).refused(&format!("tensor b is stored as {name}: take"));
    }
}

/// Bytes that nobody chose, with scales that are small numbers.
fn some_blocks(kind: u32, dtype: GgmlDType, scales: &[usize]) -> Vec<u8> {
    let mut state = kind + 1;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0x7FFF_FFFF;
        (state >> 16) as u8
    })
    .take(2 * dtype.type_size())
    .collect();
    for (number, block) in bytes.chunks_mut(dtype.type_size()).enumerate() {
        for (&place, scale) in scales.iter().zip([0.25, -0.5]) {
            let scale = half::f16::from_f32(scale * (number + 1) as f32);
            block[place..place + 2].copy_from_slice(&scale.to_le_bytes());
        }
    }
    bytes
}

/// Two blocks of each type: numbers 0, 1, half a block, the first block's last, the second's first and last, then the
/// sum of all, and the sum of all times their places. Computed by ggml's own Python (`gguf.quants`).
#[test]
fn blocks_become_the_numbers_that_ggml_makes_of_them() {
    let cases: [(u32, &[usize], [f64; 8]); 6] = [
        (2, &[0], [1.25, 0.0, -0.25, -1.0, -2.5, 3.5, -3.75, -139.0]),
        (6, &[0], [-3.5, -0.5, 0.5, -3.5, 5.0, -5.5, -67.5, -2670.75]),
        (8, &[0], [27.75, -24.25, 22.0, 17.5, -22.0, 56.5, 9.75, 2819.25]),
        (12, &[0, 2], [13.25, 94.25, 73.5, 120.5, 94.0, 269.0, 63_645.5, 21_128_590.5]),
        (13, &[0, 2], [183.5, 183.5, 7.25, 146.5, 2.0, 168.0, 73_807.0, 20_573_742.75]),
        (14, &[208], [-558.0, -403.0, -875.0, -303.75, -81.0, -212.0, 25_483.75, 8_733_259.0]),
    ];
    for (kind, scales, expected) in cases {
        let (_, name, dtype) = TYPES.iter().find(|(number, ..)| *number == kind).unwrap();
        let dtype = dtype.unwrap();
        let numbers = dequantised(dtype, &some_blocks(kind, dtype, scales)).unwrap();
        let block = numbers.len() / 2;
        let picked =
            [0, 1, block / 2, block - 1, block, 2 * block - 1].map(|place| f64::from(numbers[place]));
        let sum: f64 = numbers.iter().copied().map(f64::from).sum();
        let moment: f64 =
            numbers.iter().enumerate().map(|(place, &number)| place as f64 * f64::from(number)).sum();
        assert_eq!(
            (picked, sum, moment),
            (expected[..6].try_into().unwrap(), expected[6], expected[7]),
            "{name}"
        );
    }
}

#[test]
fn many_blocks_are_what_each_is_by_itself() {
    let dtype = GgmlDType::Q6K;
    let block = some_blocks(14, dtype, &[208]);
    let alone = dequantised(dtype, &block).unwrap();
    let many = dequantised(dtype, &block.repeat(150)).unwrap();
    assert_eq!(many, alone.repeat(150));
    assert!(dequantised(dtype, &[]).unwrap().is_empty());
}

#[test]
fn names_are_hugging_faces() {
    let named = |name| names::hugging_face(name, &[5, 11, 17]);
    for (name, expected) in [
        ("blk.27.ffn_norm.weight", "model.language_model.layers.27.post_attention_layernorm.weight"),
        ("v.blk.3.attn_out.bias", "model.visual.blocks.3.attn.proj.bias"),
        ("v.deepstack.17.fc2.weight", "model.visual.deepstack_merger_list.2.linear_fc2.weight"),
        ("mm.2.bias", "model.visual.merger.linear_fc2.bias"),
    ] {
        assert_eq!(named(name).as_deref(), Some(expected));
    }
    for unknown in
        ["rope_freqs.weight", "v.deepstack.6.fc2.weight", "blk.x.ffn_up.weight", "output.scale", ""]
    {
        assert_eq!(named(unknown), None, "{unknown}");
    }
}
