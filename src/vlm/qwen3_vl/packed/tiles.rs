//! The innermost loops: a few rows times one panel, with the processor's vector instructions where it has them.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

/// Outputs of a panel: two 256-bit registers of 32-bit numbers.
pub const PANEL: usize = 16;
/// Rows of a tile: with two registers each they leave room for the weights.
pub const ROWS: usize = 6;

/// Inputs that share a scale where weights have 4 bits. Eight sums of four products each still fit 16 bits.
pub const NARROW_GROUP: usize = 32;
/// Bytes that hold two quads of inputs of a panel.
pub const NIBBLES: usize = 4 * PANEL;

/// See [`Tiles::int4`].
#[derive(Clone, Copy)]
pub struct Int4Panel<'a> {
    pub numbers: &'a [u8],
    pub scales: &'a [f32],
    pub lows: &'a [f32],
}

/// See [`Tiles::int4`].
#[derive(Clone, Copy)]
pub struct Int8Rows<'a> {
    pub numbers: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [f32],
    /// Numbers from row to row; scales and sums have one for each group of them.
    pub stride: usize,
}

/// Which instructions this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiles {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Tiles {
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Self::Avx2;
        }
        Self::Portable
    }

    /// `sums += x · weights`: `weights` is (inputs, PANEL), `x` has a row every `stride` numbers, `sums` is (rows, PANEL)
    /// with at most [`ROWS`] rows.
    pub fn f32(self, weights: &[f32], x: &[f32], stride: usize, sums: &mut [f32]) {
        check(weights.len() / PANEL, x.len(), stride, sums.len());
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions, and `check` the rows inside `x`.
            Self::Avx2 => unsafe { avx2::f32(weights, x, stride, sums) },
            Self::Portable => portable::f32(weights, x, stride, sums),
        }
    }

    /// As [`Tiles::f32`] with whole numbers: `weights` is (pairs of inputs, PANEL, 2), `scales` is (groups, PANEL), and
    /// each group's sum is multiplied by its scale.
    pub fn int8(self, weights: &[i16], scales: &[f32], x: &[i16], stride: usize, sums: &mut [f32]) {
        let inputs = weights.len() / PANEL;
        check(inputs, x.len(), stride, sums.len());
        assert!(scales.len() / PANEL * super::GROUP == inputs, "a scale for every group");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions, and `check` the rows inside `x`.
            Self::Avx2 => unsafe { avx2::int8(weights, scales, x, stride, sums) },
            Self::Portable => portable::int8(weights, scales, x, stride, sums),
        }
    }

    /// As [`Tiles::f32`] with 4-bit weights and 8-bit activations, both in groups of [`NARROW_GROUP`] inputs: `weights` is
    /// (quads of inputs, PANEL, 4), `scales` and `lows` are (groups, PANEL), a weight being `low + scale · number`; the rows
    /// of `x` have their own scales and sums.
    pub fn int4(self, weights: Int4Panel, x: Int8Rows, sums: &mut [f32]) {
        let inputs = weights.numbers.len() / PANEL;
        check(inputs, x.numbers.len(), x.stride, sums.len());
        let groups = inputs / NARROW_GROUP;
        check(groups, x.scales.len().min(x.sums.len()), x.stride / NARROW_GROUP, sums.len());
        assert!(weights.scales.len().min(weights.lows.len()) >= groups * PANEL, "a scale for every group");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions, and `check` the rows inside `x`.
            Self::Avx2 => unsafe { avx2::int4(weights, x, sums) },
            Self::Portable => portable::int4(weights, x, sums),
        }
    }

    /// 4-bit numbers as bytes: of every [`NIBBLES`] bytes the low halves, then the high ones.
    pub fn unfold(self, folded: &[u8], bytes: &mut [u8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::unfold(folded, bytes) },
            Self::Portable => portable::unfold(folded, bytes),
        }
    }

    /// 8-bit numbers as 16-bit ones.
    pub fn widen(self, narrow: &[i8], wide: &mut [i16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::widen(narrow, wide) },
            Self::Portable => portable::widen(narrow, wide),
        }
    }
}

fn check(inputs: usize, x: usize, stride: usize, sums: usize) {
    let rows = sums / PANEL;
    assert!(rows * PANEL == sums && (1..=ROWS).contains(&rows), "a tile of {sums} sums");
    assert!((rows - 1) * stride + inputs <= x, "{rows} rows of {inputs} in {x} numbers");
}
