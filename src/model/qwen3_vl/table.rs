//! Tables that stay in the processor's memory as they are stored: a step looks up a hundred of their many thousand rows.

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::gguf::dequantised;

/// Rows of one size.
pub(super) struct Table {
    bytes: Vec<u8>,
    stored: GgmlDType,
    width: usize,
}

impl Table {
    /// `bytes` are rows of so many numbers, whole blocks each.
    pub fn new(bytes: Vec<u8>, stored: GgmlDType, width: usize) -> Self {
        Self { bytes, stored, width }
    }

    /// How many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Some rows behind one another, in f32.
    ///
    /// # Errors
    /// A row that there is not.
    pub fn rows(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let size = self.width / self.stored.block_size() * self.stored.type_size();
        let mut found = Vec::with_capacity(ids.len() * self.width);
        for &id in ids {
            let first = id as usize * size;
            let Some(bytes) = self.bytes.get(first..first + size) else {
                candle_core::bail!("row {id} of a table of {}", self.bytes.len() / size.max(1));
            };
            match self.stored {
                GgmlDType::F32 => found.extend(bytes.as_chunks().0.iter().map(|of| f32::from_le_bytes(*of))),
                GgmlDType::BF16 => {
                    found.extend(bytes.as_chunks().0.iter().map(|of| bf16::from_le_bytes(*of).to_f32()));
                }
                GgmlDType::F16 => {
                    found.extend(bytes.as_chunks().0.iter().map(|of| f16::from_le_bytes(*of).to_f32()));
                }
                blocks => found.extend(dequantised(blocks, bytes)?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn rows_are_those_of_the_tensor() {
        let numbers: Vec<f32> = (0..5 * 64).map(|at| (at as f32 * 0.37).sin()).collect();
        let whole = Tensor::from_vec(numbers.clone(), (5, 64), &Device::Cpu).unwrap();
        let q8 = QTensor::quantize(&whole, GgmlDType::Q8_0).unwrap();
        let halves = |dtype| whole.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        let bf16s: Vec<u8> = numbers.iter().flat_map(|of| bf16::from_f32(*of).to_le_bytes()).collect();
        let f16s: Vec<u8> = numbers.iter().flat_map(|of| f16::from_f32(*of).to_le_bytes()).collect();
        for (bytes, stored, expected) in [
            (numbers.iter().flat_map(|of| of.to_le_bytes()).collect(), GgmlDType::F32, whole.clone()),
            (bf16s, GgmlDType::BF16, halves(DType::BF16)),
            (f16s, GgmlDType::F16, halves(DType::F16)),
            (q8.data().unwrap().to_vec(), GgmlDType::Q8_0, q8.dequantize(&Device::Cpu).unwrap()),
        ] {
            let table = Table::new(bytes, stored, 64);
            let expected = expected.to_vec2::<f32>().unwrap();
            assert_eq!(
                table.rows(&[4, 0, 4]).unwrap(),
                [&expected[4][..], &expected[0], &expected[4]].concat()
            );
            assert!(table.rows(&[5]).unwrap_err().to_string().contains("a table of 5"));
        }
    }
}
