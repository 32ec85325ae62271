//! The caller-owned key-value cache: grows in blocks, is cut back in O(1).

use candle_core::{DType, Device, Result, Tensor};

/// By how much a layer's storage grows at least when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By half of itself or 256 tokens: copying stays rare.
    Half,
    /// By a sixteenth of itself or 1024 tokens: where memory is scarce and copying is fast.
    Sixteenth,
}

impl Growth {
    fn of(self, capacity: usize) -> usize {
        match self {
            Self::Half => (capacity / 2).max(256),
            Self::Sixteenth => (capacity / 16).max(1024),
        }
    }

    /// Tokens that there is room for once so many have come one after the other, at most.
    pub fn capacity(self, tokens: usize) -> usize {
        tokens + self.of(tokens)
    }
}

/// Keys and values of all tokens seen so far, for every layer.
///
/// Not `Clone`: the storage is written in place, and a clone would share it.
pub struct KvCache {
    layers: Vec<LayerCache>,
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
        let empty =
            || LayerCache { key_value_heads, head_dim, dtype, growth, device: device.clone(), storage: None };
        let layers = (0..layers).map(|_| empty()).collect();
        Self { layers, len: 0, next_position: 0 }
    }

    /// Bytes of memory that one token takes.
    pub fn bytes_per_token(&self) -> usize {
        let of =
            |layer: &LayerCache| 2 * layer.key_value_heads * layer.head_dim * layer.dtype.size_in_bytes();
        self.layers.iter().map(of).sum()
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
        self.layers[layer].write(self.len, keys, values)
    }

    /// Storage of one layer with room for so many tokens behind the committed ones, keys and values of (key-value heads,
    /// capacity, head_dim), for a kernel to write them there. They count only once [`KvCache::advance`] is called.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "only kernels on a device write by themselves")
    )]
    pub(super) fn room(&mut self, layer: usize, tokens: usize) -> Result<(Tensor, Tensor)> {
        self.layers[layer].reserve(self.len, self.len + tokens)
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

struct LayerCache {
    key_value_heads: usize,
    head_dim: usize,
    dtype: DType,
    growth: Growth,
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
        let grown = total.max(capacity + self.growth.of(capacity));
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
