//! The caller-owned key-value cache: grows in blocks, is cut back in O(1).

use candle_core::{DType, Device, Result, Tensor, bail};

mod pages;

pub use pages::PAGE;
use pages::Pages;

/// How storage grows when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By half of itself or 256 tokens, whichever is more, and is copied: that stays rare.
    Half,
    /// By pages that stay where they are: for kernels that find their way, where memory is scarce.
    Pages,
}

impl Growth {
    /// Tokens that there is room for once so many have come one after the other, at most.
    pub fn capacity(self, tokens: usize) -> usize {
        match self {
            Self::Half => tokens + half(tokens),
            Self::Pages => tokens.next_multiple_of(PAGE),
        }
    }
}

fn half(capacity: usize) -> usize {
    (capacity / 2).max(256)
}

/// Keys and values of all tokens seen so far, for every layer.
///
/// Not `Clone`: the storage is written in place, and a clone would share it.
pub struct KvCache {
    layers: usize,
    key_value_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
    storage: Storage,
    len: usize,
    next_position: u32,
}

impl KvCache {
    /// An empty cache that holds numbers of this type on this device; storage is taken when tokens come, and grows like this.
    pub fn new(
        layers: usize,
        key_value_heads: usize,
        head_dim: usize,
        (dtype, growth): (DType, Growth),
        device: &Device,
    ) -> Self {
        let empty = || LayerCache { key_value_heads, head_dim, dtype, device: device.clone(), storage: None };
        let storage = match growth {
            Growth::Half => Storage::Layers((0..layers).map(|_| empty()).collect()),
            Growth::Pages => Storage::Pages(Pages::default()),
        };
        let device = device.clone();
        Self { layers, key_value_heads, head_dim, dtype, device, storage, len: 0, next_position: 0 }
    }

    /// Bytes of memory that one token takes.
    pub fn bytes_per_token(&self) -> usize {
        self.layers * 2 * self.key_value_heads * self.head_dim * self.dtype.size_in_bytes()
    }

    /// Of the numbers of keys and values.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "kernels ask for it that write by themselves")
    )]
    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The M-RoPE position of the next token; smaller than the length once there was a visual span.
    pub fn next_position(&self) -> u32 {
        self.next_position
    }

    /// Forgets all tokens from `len` on. O(1): the storage stays and will be written over.
    pub fn truncate(&mut self, len: usize, next_position: u32) {
        if len <= self.len {
            self.len = len;
            self.next_position = next_position;
        }
    }

    /// A guard: tokens added through it are gone again when it is dropped, whatever happened between; but for those that
    /// [`Fork::keep`] has named.
    pub fn fork(&mut self) -> Fork<'_> {
        Fork { len: self.len, next_position: self.next_position, cache: self }
    }

    /// Writes one layer's keys and values, (key-value heads, tokens, head_dim), behind the committed tokens and
    /// returns those of all tokens so far. They count only once [`KvCache::advance`] is called.
    pub(super) fn write(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        match &mut self.storage {
            Storage::Layers(layers) => layers[layer].write(self.len, keys, values),
            Storage::Pages(_) => bail!("into pages kernels write by themselves"),
        }
    }

    /// The addresses of pages with room for so many tokens behind the committed ones, (layers, pages) I64: a page is (2,
    /// key-value heads, [`PAGE`], head_dim), keys before values. What kernels write there counts only once
    /// [`KvCache::advance`] is called.
    #[cfg_attr(
        all(not(feature = "cuda"), not(test)),
        expect(dead_code, reason = "only kernels on a device write by themselves")
    )]
    pub(super) fn pages(
        &mut self,
        tokens: usize,
        address: impl Fn(&Tensor) -> Result<u64>,
    ) -> Result<Tensor> {
        let Storage::Pages(pages) = &mut self.storage else { bail!("this cache has no pages") };
        let page = [2, self.key_value_heads, PAGE, self.head_dim];
        let device = (self.dtype, &self.device);
        pages.table((self.len + tokens, self.layers), page, device, address)
    }

    /// Commits tokens that every layer has written.
    pub(super) fn advance(&mut self, tokens: usize, next_position: u32) {
        self.len += tokens;
        self.next_position = next_position;
    }
}

/// See [`KvCache::fork`].
pub struct Fork<'a> {
    cache: &'a mut KvCache,
    len: usize,
    next_position: u32,
}

impl Fork<'_> {
    pub fn cache(&mut self) -> &mut KvCache {
        self.cache
    }

    /// The first of the added tokens stay when the guard is dropped, `next_position` being that of the one behind them.
    pub(super) fn keep(&mut self, tokens: usize, next_position: u32) {
        (self.len, self.next_position) = (self.len + tokens, next_position);
    }
}

impl Drop for Fork<'_> {
    fn drop(&mut self) {
        self.cache.truncate(self.len, self.next_position);
    }
}

enum Storage {
    Layers(Vec<LayerCache>),
    Pages(Pages),
}

struct LayerCache {
    key_value_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
    /// (key-value heads, capacity, head_dim) each.
    storage: Option<(Tensor, Tensor)>,
}

impl LayerCache {
    fn write(&mut self, committed: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let total = committed + keys.dim(1)?;
        let (stored_keys, stored_values) = self.reserve(committed, total)?;
        stored_keys.slice_set(&keys.to_dtype(self.dtype)?.contiguous()?, 1, committed)?;
        stored_values.slice_set(&values.to_dtype(self.dtype)?.contiguous()?, 1, committed)?;
        Ok((stored_keys.narrow(1, 0, total)?, stored_values.narrow(1, 0, total)?))
    }

    /// Storage for at least `total` tokens, the committed ones kept. It grows by a share, so that copying stays linear.
    fn reserve(&mut self, committed: usize, total: usize) -> Result<(Tensor, Tensor)> {
        let capacity = match &self.storage {
            Some((keys, _)) => keys.dim(1)?,
            None => 0,
        };
        if let Some((keys, values)) = &self.storage
            && total <= capacity
        {
            return Ok((keys.clone(), values.clone()));
        }
        let grown = total.max(capacity + half(capacity));
        let empty = || Tensor::zeros((self.key_value_heads, grown, self.head_dim), self.dtype, &self.device);
        let (keys, values) = (empty()?, empty()?);
        if let Some((old_keys, old_values)) = &self.storage
            && committed > 0
        {
            keys.slice_set(old_keys, 1, 0)?;
            values.slice_set(old_values, 1, 0)?;
        }
        self.storage = Some((keys.clone(), values.clone()));
        Ok((keys, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(first: usize, tokens: usize) -> Tensor {
        let values: Vec<f32> =
            (0..2).flat_map(|head| (first..first + tokens).map(move |t| (1000 * head + t) as f32)).collect();
        Tensor::from_vec(values, (2, tokens, 1), &Device::Cpu).unwrap()
    }

    fn push(cache: &mut KvCache, tokens: usize) -> Tensor {
        let new = numbered(cache.len(), tokens);
        let (keys, values) = cache.write(0, &new, &new).unwrap();
        cache.advance(tokens, (cache.len() + tokens) as u32);
        assert_eq!(keys.to_vec3::<f32>().unwrap(), values.to_vec3::<f32>().unwrap());
        keys
    }

    #[test]
    fn growth_keeps_every_token_of_every_head() {
        let mut cache = KvCache::new(1, 2, 1, (DType::F32, Growth::Half), &Device::Cpu);
        let mut keys = push(&mut cache, 1);
        for tokens in [3, 250, 7, 1000, 1] {
            keys = push(&mut cache, tokens);
        }
        assert_eq!(cache.len(), 1262);
        assert_eq!(keys.to_vec3::<f32>().unwrap(), numbered(0, 1262).to_vec3::<f32>().unwrap());
    }

    #[test]
    fn a_fork_leaves_nothing_behind() {
        let mut cache = KvCache::new(1, 2, 1, (DType::F32, Growth::Half), &Device::Cpu);
        push(&mut cache, 5);
        {
            let mut fork = cache.fork();
            push(fork.cache(), 600);
            assert_eq!(fork.cache().len(), 605);
        }
        assert_eq!((cache.len(), cache.next_position()), (5, 5));
        let keys = push(&mut cache, 2);
        assert_eq!(keys.to_vec3::<f32>().unwrap(), numbered(0, 7).to_vec3::<f32>().unwrap());
    }

    #[test]
    fn a_fork_keeps_what_it_was_told_to() {
        let mut cache = KvCache::new(1, 2, 1, (DType::F32, Growth::Half), &Device::Cpu);
        push(&mut cache, 5);
        {
            let mut fork = cache.fork();
            push(fork.cache(), 600);
            fork.keep(3, 8);
        }
        assert_eq!((cache.len(), cache.next_position()), (8, 8));
        let keys = push(&mut cache, 2);
        assert_eq!(keys.to_vec3::<f32>().unwrap(), numbered(0, 10).to_vec3::<f32>().unwrap());
    }

    #[test]
    fn pages_stay_where_they_are() {
        let mut cache = KvCache::new(3, 2, 4, (DType::F32, Growth::Pages), &Device::Cpu);
        assert_eq!(cache.bytes_per_token(), 3 * 2 * 2 * 4 * 4);
        let numbers = |tensor: &Tensor| {
            let (storage, _) = tensor.storage_and_layout();
            let candle_core::Storage::Cpu(storage) = &*storage else { unreachable!() };
            Ok(storage.as_slice::<f32>()?.as_ptr() as u64)
        };
        let table = |cache: &mut KvCache, tokens| -> Vec<Vec<i64>> {
            cache.pages(tokens, numbers).unwrap().to_vec2().unwrap()
        };
        let first = table(&mut cache, PAGE);
        cache.advance(PAGE, 9);
        let more = table(&mut cache, 1);
        let columns = |of: &[Vec<i64>], column: usize| of.iter().map(|row| row[column]).collect::<Vec<_>>();
        assert_eq!((first.len(), first[0].len(), more.len(), more[0].len()), (3, 1, 3, 2));
        assert_eq!(columns(&first, 0), columns(&more, 0));
        cache.advance(1, 10);
        // What was cut back has room still.
        cache.truncate(3, 9);
        assert_eq!(table(&mut cache, PAGE), more);
        let mut places = more.concat();
        places.sort_unstable();
        let page = 2 * 2 * PAGE * 4 * 4;
        assert!(places.windows(2).all(|pair| pair[1].abs_diff(pair[0]) as usize >= page));
        let unwritten = Tensor::zeros((2, 1, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(cache.write(0, &unwritten, &unwritten).is_err());
    }

    #[test]
    fn room_for_growth_is_counted() {
        assert_eq!([1, PAGE, PAGE + 1].map(|tokens| Growth::Pages.capacity(tokens)), [256, 256, 512]);
        assert_eq!([100, 1000].map(|tokens| Growth::Half.capacity(tokens)), [356, 1500]);
    }

    #[test]
    fn a_panic_inside_a_fork_leaves_nothing_behind() {
        let mut cache = KvCache::new(1, 2, 1, (DType::F32, Growth::Half), &Device::Cpu);
        push(&mut cache, 4);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut fork = cache.fork();
            push(fork.cache(), 3);
            panic!("inside the fork");
        }));
        assert!(caught.is_err());
        assert_eq!((cache.len(), cache.next_position()), (4, 4));
    }
}
