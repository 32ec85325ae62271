//! Storage that grows without copying: pages of keys and values, and the table of their addresses.

use candle_core::{DType, Device, Result, Tensor};

/// Tokens of a page: `PAGE` of the kernels' `pages.cuh`.
pub const PAGE: usize = 256;

/// The pages of one cache. All are of one size and small, so that what one episode gives back serves the next, and none leaves
/// a gap behind that nothing fits into.
#[derive(Default)]
pub(super) struct Pages {
    /// (2, key-value heads, [`PAGE`], head_dim) each: keys and values; one for every layer, then the next tokens'.
    pages: Vec<Tensor>,
    /// Where they are, (layers, pages of each), I64.
    table: Option<Tensor>,
}

impl Pages {
    /// The table of so many tokens' pages, of this shape each; those that are there stay where they are.
    pub fn table(
        &mut self,
        (tokens, layers): (usize, usize),
        shape: [usize; 4],
        (dtype, device): (DType, &Device),
        address: impl Fn(&Tensor) -> Result<u64>,
    ) -> Result<Tensor> {
        let needed = tokens.div_ceil(PAGE);
        while self.pages.len() < needed * layers {
            self.pages.push(Tensor::zeros(&shape, dtype, device)?);
        }
        let each = self.pages.len() / layers.max(1);
        if let Some(table) = &self.table
            && table.dim(1)? == each
        {
            return Ok(table.clone());
        }
        let of_layer = |layer: usize| self.pages.iter().skip(layer).step_by(layers).take(each);
        let addresses = (0..layers).flat_map(of_layer).map(|page| Ok(address(page)? as i64));
        let addresses: Vec<i64> = addresses.collect::<Result<_>>()?;
        let table = Tensor::from_vec(addresses, (layers, each), device)?;
        self.table = Some(table.clone());
        Ok(table)
    }
}
