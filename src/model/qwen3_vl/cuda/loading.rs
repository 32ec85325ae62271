//! Matrices from their files to the card.
//!
//! What is stored as it is to be held goes as it is: read on all cores into memory that the card can fetch from, while the
//! stretch before is on its way. Everything else is converted in between.

use std::sync::{Arc, PoisonError};

use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC;
use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaStream, DriverError, PinnedHostSlice, result,
};
use candle_core::quantized::cuda::QCudaStorage;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Error, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::super::error::LoadError;
use super::super::layers::Linear;
use super::super::weights::{HeldAs, Numbers, Stored};
use super::Cuda;
use super::launch::Address;

/// Bytes of one stretch.
const STRETCH: usize = 32 << 20;
/// Stretches that are filled or on their way at once.
const STRETCHES: usize = 3;
/// Numbers that are rounded by one thread at once, at least a row of them.
const AT_ONCE: usize = 1 << 16;

/// Memory of the processor's that the card fetches from.
#[derive(Default)]
pub struct Staging {
    stretches: Vec<Stretch>,
    next: usize,
}

struct Stretch {
    memory: PinnedHostSlice<u8>,
    /// When the card has fetched it.
    fetched: CudaEvent,
}

impl Staging {
    /// Has `fill` write so many bytes and the card fetch them.
    fn send(
        &mut self,
        stream: &Arc<CudaStream>,
        to: Address,
        size: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        if self.stretches.len() < STRETCHES {
            self.stretches.push(Stretch::new(stream).map_err(Error::wrap)?);
            self.next = self.stretches.len() - 1;
        }
        let stretch = &mut self.stretches[self.next];
        self.next = (self.next + 1) % STRETCHES;
        stretch.fetched.synchronize().map_err(Error::wrap)?;
        let bytes = &mut stretch.memory.as_mut_slice().map_err(Error::wrap)?[..size];
        fill(bytes)?;
        // SAFETY: the memory stays as it is until the event behind the copy has come, and the target has room for it.
        unsafe { result::memcpy_htod_async(to, bytes, stream.cu_stream()) }.map_err(Error::wrap)?;
        stretch.fetched.record(stream).map_err(Error::wrap)?;
        Ok(())
    }

    /// Gives the memory back once the card has all of it.
    pub fn release(&mut self) -> Result<(), DriverError> {
        for stretch in self.stretches.drain(..) {
            stretch.fetched.synchronize()?;
        }
        Ok(())
    }
}

impl Stretch {
    fn new(stream: &Arc<CudaStream>) -> Result<Self, DriverError> {
        let context = stream.context();
        // SAFETY: bytes of any value are bytes, and none is sent before it was written.
        let memory = unsafe { context.alloc_pinned_with_flags(STRETCH, 0) }?;
        Ok(Self { memory, fetched: context.new_event(Some(CU_EVENT_BLOCKING_SYNC))? })
    }
}

impl Cuda {
    pub(super) fn load_linear(&self, stored: &[Stored], bias: Option<Tensor>) -> Result<Linear, LoadError> {
        let Some(first) = stored.first() else {
            return Err(Error::Msg("a matrix of nothing".to_owned()).into());
        };
        let (outputs, inputs) = (stored.iter().map(Stored::outputs).sum::<usize>(), first.inputs());
        match self.held(first.held_as()) {
            HeldAs::Numbers(dtype) => {
                let weights = self.empty((outputs, inputs), dtype)?;
                let mut to = self.address(&weights)?;
                for one in stored {
                    self.send(one, dtype, to)?;
                    to += (one.outputs() * inputs * dtype.size_in_bytes()) as u64;
                }
                Ok(Linear::Plain { weights, bias })
            }
            HeldAs::Blocks(blocks) => {
                let card = self.device.as_cuda_device()?;
                let storage = QStorage::Cuda(QCudaStorage::zeros(card, outputs * inputs, blocks)?);
                let mut to = storage.device_ptr()? as Address;
                for one in stored {
                    self.send_blocks(one, blocks, to)?;
                    to += (one.outputs() * row_of(blocks, inputs)) as u64;
                }
                Ok(Linear::Quantised { weights: Arc::new(QTensor::new(storage, (outputs, inputs))?), bias })
            }
        }
    }

    /// Cards without bf16 have f16.
    fn held(&self, held: HeldAs) -> HeldAs {
        match held {
            HeldAs::Numbers(DType::BF16) => HeldAs::Numbers(self.sixteen_bits()),
            other => other,
        }
    }

    fn send(&self, stored: &Stored, dtype: DType, to: Address) -> Result<(), LoadError> {
        let row = stored.inputs() * dtype.size_in_bytes();
        let at_once = (STRETCH / row.max(1)).max(1);
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        for first in (0..stored.outputs()).step_by(at_once) {
            let rows = first..stored.outputs().min(first + at_once);
            let place = to + (first * row) as u64;
            staging.send(&self.stream, place, rows.len() * row, |bytes| {
                if stored.copy(HeldAs::Numbers(dtype), first * row, bytes)? {
                    stored.count(rows.len() * stored.inputs());
                    return Ok(());
                }
                round_into(bytes, &stored.rows(rows)?, dtype);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// In blocks: as they are stored, or rounded to them.
    fn send_blocks(&self, stored: &Stored, blocks: GgmlDType, to: Address) -> Result<(), LoadError> {
        let (row, numbers) = (row_of(blocks, stored.inputs()), stored.in_file());
        let at_once = (STRETCH / row.max(1)).max(1);
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        for first in (0..stored.outputs()).step_by(at_once) {
            let rows = at_once.min(stored.outputs() - first);
            staging.send(&self.stream, to + (first * row) as u64, rows * row, |bytes| {
                if !stored.copy(HeldAs::Blocks(blocks), first * row, bytes)? {
                    round_to_blocks(&numbers, first, (stored.inputs(), blocks), bytes)?;
                }
                stored.count(rows * stored.inputs());
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn round_into(bytes: &mut [u8], numbers: &[f32], dtype: DType) {
    fn all<const SIZE: usize>(bytes: &mut [u8], numbers: &[f32], of: impl Fn(f32) -> [u8; SIZE] + Sync) {
        let (to, _) = bytes.as_chunks_mut::<SIZE>();
        to.par_chunks_mut(AT_ONCE).zip(numbers.par_chunks(AT_ONCE)).for_each(|(to, from)| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = of(*from));
        });
    }
    match dtype {
        DType::BF16 => all(bytes, numbers, |number| bf16::from_f32(number).to_le_bytes()),
        DType::F16 => all(bytes, numbers, |number| f16::from_f32(number).to_le_bytes()),
        _ => all(bytes, numbers, f32::to_le_bytes),
    }
}

/// Bytes of a row of blocks.
pub(super) fn row_of(blocks: GgmlDType, inputs: usize) -> usize {
    inputs / blocks.block_size() * blocks.type_size()
}

/// Rows of a matrix from the `first` on, rounded to blocks; each thread reads, converts and rounds some of them.
pub(super) fn round_to_blocks(
    numbers: &Numbers,
    first: usize,
    (inputs, blocks): (usize, GgmlDType),
    bytes: &mut [u8],
) -> Result<(), LoadError> {
    let (row, at_once) = (row_of(blocks, inputs), (AT_ONCE / inputs.max(1)).max(1));
    bytes.par_chunks_mut(at_once * row).enumerate().try_for_each(|(part, bytes)| {
        let first = first + part * at_once;
        let numbers = numbers.some(first * inputs, bytes.len() / row * inputs)?;
        let numbers = Tensor::from_vec(numbers, bytes.len() / row * inputs, &Device::Cpu)?;
        bytes.copy_from_slice(&QTensor::quantize(&numbers, blocks)?.data()?);
        Ok(())
    })
}
