//! Attention: heads made ready, and how the work is shared out over the card.

use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig};
use candle_core::{DType, Result, Tensor, bail};

use super::super::cache::PAGE;
use super::super::layers::{RotaryTable, TextHeads};
use super::Cuda;
use super::functions::{TALL_HIGH, TALL_WARPS, TALL_WIDTH, WIDTHS};
use super::launch::Address;

/// Query rows of a tile.
const ROWS: usize = 16;
/// Keys that are worth a block of their own.
const LEAST_KEYS: usize = 256;
/// Keys of a tile.
const TILE: usize = 64;
/// Heads of a block that makes heads ready.
const HEADS_AT_ONCE: usize = 8;
/// A warp holds no more numbers of a head.
const LARGEST_HEAD: usize = 256;

/// `Heads` of `heads.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Heads {
    all: Address,
    bias: Address,
    query_norm: Address,
    key_norm: Address,
    cosines: Address,
    sines: Address,
    pages: Address,
    keys: Address,
    values: Address,
    heads: i32,
    shared: i32,
    head_dim: i32,
    committed: i32,
    eps: f32,
}

// SAFETY: numbers only, in the order and the sizes of the kernel's structure.
unsafe impl DeviceRepr for Heads {}

/// `Attention` of `attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attention {
    query: Address,
    pages: Address,
    keys: Address,
    values: Address,
    out: Address,
    found: Address,
    scales: Address,
    rows: i32,
    total: i32,
    heads: i32,
    shared: i32,
    head_dim: i32,
    query_row: i32,
    query_head: i32,
    key_row: i32,
    key_head: i32,
    splits: i32,
    keys_per_split: i32,
    causal: i32,
    scale: f32,
}

// SAFETY: as above.
unsafe impl DeviceRepr for Attention {}

/// Where the keys and values of a chunk go: one layer's pages of (2, shared heads, [`PAGE`], head_dim), keys before values.
pub struct Room {
    /// The addresses of all layers' pages, (layers, pages) I64.
    pub pages: Tensor,
    pub layer: usize,
    pub dtype: DType,
    pub shared: usize,
    pub head_dim: usize,
    /// Tokens that are there already.
    pub committed: usize,
}

impl Room {
    /// How many bytes behind a page's beginning keys and values begin.
    fn parts(&self) -> [Address; 2] {
        [0, (self.shared * PAGE * self.head_dim * self.dtype.size_in_bytes()) as Address]
    }
}

/// Keys and values, wherever they lie.
#[derive(Clone, Copy)]
pub struct Keys {
    /// Of the table of pages; 0: there are none.
    pages: Address,
    /// Of the first key and value; in pages, how many bytes behind the beginning of each.
    first: [Address; 2],
    /// Numbers from one row, or head, to the next.
    row: usize,
    head: usize,
}

impl Keys {
    /// In a stretch for each head; `keys` tells where the first row of each is.
    pub fn beside_each_other(keys: Places, values: Address) -> Self {
        Self { pages: 0, first: [keys.first, values], row: keys.row, head: keys.head }
    }
}

/// Rows of heads that lie anywhere: addresses, and how far it is from one row or head to the next.
#[derive(Clone, Copy)]
pub struct Places {
    pub first: Address,
    pub row: usize,
    pub head: usize,
}

/// Who looks at whom.
#[derive(Clone, Copy)]
pub struct Shape {
    pub rows: usize,
    pub total: usize,
    pub heads: usize,
    pub shared: usize,
    pub head_dim: usize,
    /// The rows are the last of all, and see nothing behind themselves.
    pub causal: bool,
}

/// How the work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub warps: usize,
    /// Tiles of query rows of a warp.
    pub high: usize,
    pub splits: usize,
    pub keys_per_split: usize,
}

impl Cut {
    /// As many blocks as the card takes at once, where keys are many; `tall`: it has room for tall tiles.
    pub fn of(shape: &Shape, multiprocessors: usize, tall: bool) -> Self {
        let most = shape.total.div_ceil(LEAST_KEYS).max(1);
        let grouped = shape.heads / shape.shared * shape.rows;
        let padded = |warps: usize| grouped.next_multiple_of(ROWS * warps);
        // Twice the rows share what is read of the keys, unless they would stay empty.
        let (warps, at_once) = if grouped > 64 && padded(8) <= padded(4) { (8, 1) } else { (4, 2) };
        let blocks = |rows: usize| grouped.div_ceil(rows) * shape.shared;
        // Tall tiles get more out of what they read, and are worth it where there is enough for the whole card.
        let rows = ROWS * TALL_HIGH * TALL_WARPS;
        let of_width = TALL_WIDTH / 2 < shape.head_dim && shape.head_dim <= TALL_WIDTH;
        if tall && of_width && grouped > rows / 2 && blocks(rows) * most >= 2 * multiprocessors {
            return Self::into(shape.total, TALL_WARPS, TALL_HIGH, 2 * multiprocessors / blocks(rows), most);
        }
        let splits = at_once * multiprocessors / blocks(ROWS * warps).max(1);
        Self::into(shape.total, warps, 1, splits, most)
    }

    fn into(total: usize, warps: usize, high: usize, splits: usize, most: usize) -> Self {
        let keys_per_split = total.div_ceil(splits.clamp(1, most)).next_multiple_of(TILE);
        Self { warps, high, splits: total.div_ceil(keys_per_split.max(1)).max(1), keys_per_split }
    }
}

impl Cuda {
    /// Norms and rotates the heads of a chunk, (rows, (heads + 2 · shared) · head_dim): queries in place, keys and values into
    /// the cache.
    pub fn prepare_text(
        &self,
        heads: &TextHeads,
        all: &Tensor,
        bias: Option<&Tensor>,
        rotary: &RotaryTable,
        room: &Room,
    ) -> Result<()> {
        let ([keys, values], pages) = (room.parts(), self.pages_of(room)?);
        let argument = Heads {
            all: self.address(all)?,
            bias: self.address_of_some(bias)?,
            query_norm: self.address(&heads.query_norm.weight)?,
            key_norm: self.address(&heads.key_norm.weight)?,
            cosines: self.address(&rotary.cos)?,
            sines: self.address(&rotary.sin)?,
            pages,
            keys,
            values,
            heads: heads.heads as i32,
            shared: heads.shared as i32,
            head_dim: heads.head_dim as i32,
            committed: room.committed as i32,
            eps: heads.query_norm.eps,
        };
        let fits = room.committed + all.dim(0)? <= room.pages.dim(1)? * PAGE;
        if !fits || (room.dtype, room.shared, room.head_dim) != (all.dtype(), heads.shared, heads.head_dim) {
            bail!("{:?} of {:?} do not fit behind {} tokens", all.dims(), all.dtype(), room.committed);
        }
        self.prepare(argument, all)
    }

    /// Adds the bias to the heads of patches, (patches, 3 · hidden), and rotates queries and keys, all in place.
    pub fn prepare_patches(
        &self,
        all: &Tensor,
        heads: usize,
        bias: Option<&Tensor>,
        rotary: &RotaryTable,
    ) -> Result<()> {
        let argument = Heads {
            all: self.address(all)?,
            bias: self.address_of_some(bias)?,
            query_norm: 0,
            key_norm: 0,
            cosines: self.address(&rotary.cos)?,
            sines: self.address(&rotary.sin)?,
            pages: 0,
            keys: 0,
            values: 0,
            heads: heads as i32,
            shared: heads as i32,
            head_dim: (all.dim(1)? / (3 * heads)) as i32,
            committed: 0,
            eps: 0.0,
        };
        self.prepare(argument, all)
    }

    fn prepare(&self, argument: Heads, all: &Tensor) -> Result<()> {
        let (rows, width) = all.dims2()?;
        let head_dim = argument.head_dim as usize;
        if head_dim == 0 || head_dim > LARGEST_HEAD || !width.is_multiple_of(head_dim) || rows == 0 {
            bail!("heads of {head_dim} numbers in rows {:?}", all.shape());
        }
        let config = LaunchConfig {
            grid_dim: (rows as u32, (width / head_dim).div_ceil(HEADS_AT_ONCE) as u32, 1),
            block_dim: (32 * HEADS_AT_ONCE as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        self.launch(&self.functions.of(all.dtype())?.prepare_heads, config, &argument)
    }

    /// The keys and values in pages, for attention.
    pub fn keys(&self, room: &Room) -> Result<Keys> {
        let (row, head) = (room.head_dim, PAGE * room.head_dim);
        Ok(Keys { pages: self.pages_of(room)?, first: room.parts(), row, head })
    }

    /// Where the addresses of one layer's pages are.
    fn pages_of(&self, room: &Room) -> Result<Address> {
        self.address(&room.pages.narrow(0, room.layer, 1)?)
    }

    /// (rows, heads · head_dim), queries, keys and values being of this type.
    pub fn attention(&self, shape: &Shape, query: Places, keys: Keys, dtype: DType) -> Result<Tensor> {
        let Shape { rows, total, heads, shared, head_dim, causal } = *shape;
        let fits = shared > 0 && heads.is_multiple_of(shared) && head_dim <= LARGEST_HEAD;
        if !fits || rows == 0 || causal && rows > total || total == 0 {
            bail!("attention of {rows} rows of {heads} heads to {total} of {shared} of {head_dim} numbers");
        }
        let out = self.empty((rows, heads * head_dim), dtype)?;
        let mut argument = Attention {
            query: query.first,
            pages: keys.pages,
            keys: keys.first[0],
            values: keys.first[1],
            out: self.address(&out)?,
            rows: rows as i32,
            total: total as i32,
            heads: heads as i32,
            shared: shared as i32,
            head_dim: head_dim as i32,
            query_row: query.row as i32,
            query_head: query.head as i32,
            key_row: keys.row as i32,
            key_head: keys.head as i32,
            splits: 1,
            keys_per_split: total as i32,
            causal: i32::from(causal),
            // The kernels' exponential is a power of two.
            scale: std::f32::consts::LOG2_E / (head_dim as f32).sqrt(),
            ..Attention::default()
        };
        let aligned = [query.row, query.head, keys.row, keys.head].iter().all(|step| step.is_multiple_of(8));
        let tiled = self.has_bf16 && dtype != DType::F32 && aligned && head_dim.is_multiple_of(8);
        if tiled && WIDTHS.iter().any(|width| *width >= head_dim) {
            self.attend_by_tiles(shape, &mut argument, dtype)?;
        } else {
            let config = LaunchConfig {
                grid_dim: ((rows * heads).div_ceil(4) as u32, 1, 1),
                block_dim: (128, 1, 1),
                shared_mem_bytes: 0,
            };
            self.launch(&self.functions.of(dtype)?.attend_simply, config, &argument)?;
        }
        Ok(out)
    }

    fn attend_by_tiles(&self, shape: &Shape, argument: &mut Attention, dtype: DType) -> Result<()> {
        let Shape { rows, heads, shared, head_dim, .. } = *shape;
        let functions = self.functions.of(dtype)?;
        let cut = Cut::of(shape, self.multiprocessors, functions.tall.is_some());
        let Some((function, shared_memory)) = functions.tiles(head_dim, cut.warps, cut.high) else {
            bail!("no tiles for heads of {head_dim} numbers");
        };
        (argument.splits, argument.keys_per_split) = (cut.splits as i32, cut.keys_per_split as i32);
        let parts = cut.splits * rows * heads;
        let found = if cut.splits > 1 {
            Some([self.empty(parts * head_dim, DType::F32)?, self.empty(2 * parts, DType::F32)?])
        } else {
            None
        };
        if let Some([found, scales]) = &found {
            (argument.found, argument.scales) = (self.address(found)?, self.address(scales)?);
        }
        let tiles = (heads / shared * rows).div_ceil(ROWS * cut.high * cut.warps);
        let config = LaunchConfig {
            grid_dim: (tiles as u32, shared as u32, cut.splits as u32),
            block_dim: (32 * cut.warps as u32, 1, 1),
            shared_mem_bytes: shared_memory as u32,
        };
        self.launch(function, config, argument)?;
        if cut.splits > 1 {
            let config = LaunchConfig {
                grid_dim: ((rows * heads).div_ceil(4) as u32, 1, 1),
                block_dim: (128, 1, 1),
                shared_mem_bytes: 0,
            };
            self.launch(&functions.join, config, argument)?;
        }
        Ok(())
    }
}
