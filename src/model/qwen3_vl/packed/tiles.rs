//! The innermost loops: a few rows times one panel, with the processor's vector instructions where it has them.

use super::GROUP;
#[cfg(doc)]
use super::activations::MIDDLE;

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

pub use portable::signed;

/// Outputs of a panel: two 256-bit registers of 32-bit numbers.
pub const PANEL: usize = 16;
/// Rows of a tile: with two registers each they leave room for the weights.
pub const ROWS: usize = 6;

/// Inputs that share a scale where weights have 4 bits. Eight sums of four products each still fit 16 bits.
pub const NARROW_GROUP: usize = 32;
/// Bytes that hold two quads of inputs of a panel.
pub const NIBBLES: usize = 4 * PANEL;
/// Bytes that hold four quads of inputs of a panel in 6 bits: their low halves as 4-bit numbers lie, then the others.
pub const SIXES: usize = 3 * NIBBLES;
/// Inputs of that many bytes.
pub const SIXES_INPUTS: usize = 16;

/// See [`Tiles::int4`].
#[derive(Clone, Copy)]
pub struct Int4Panel<'a> {
    pub numbers: &'a [u8],
    pub scales: &'a [f32],
    pub lows: &'a [f32],
}

/// See [`Tiles::int6`].
#[derive(Clone, Copy)]
pub struct Int6Panel<'a> {
    pub numbers: &'a [i8],
    pub offsets: &'a [i32],
    pub scales: &'a [f32],
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

    /// `sums += x · weights`: `weights` is (inputs, PANEL), `x` is (inputs, rows), `sums` is (rows, PANEL) with at most
    /// [`ROWS`] rows.
    pub fn f32(self, weights: &[f32], x: &[f32], sums: &mut [f32]) {
        check(weights.len() / PANEL, x.len(), sums.len());
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::f32(weights, x, sums) },
            Self::Portable => portable::f32(weights, x, sums),
        }
    }

    /// As [`Tiles::f32`] with whole numbers: `weights` is (pairs of inputs, PANEL, 2), `scales` is (groups, PANEL), `x` is
    /// (pairs of inputs, rows), and each group's sum is multiplied by its scale.
    pub fn int8(self, weights: &[i16], scales: &[f32], x: &[[i16; 2]], sums: &mut [f32]) {
        let inputs = weights.len() / PANEL;
        check(inputs / 2, x.len(), sums.len());
        assert!(scales.len() / PANEL * GROUP == inputs, "a scale for every group");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::int8(weights, scales, x, sums) },
            Self::Portable => portable::int8(weights, scales, x, sums),
        }
    }

    /// As [`Tiles::f32`] with 4-bit weights and 8-bit activations, both in groups of [`NARROW_GROUP`] inputs: `weights` is
    /// (quads of inputs, PANEL, 4), `scales` and `lows` are (groups, PANEL), a weight being `low + scale · number`; `x` is
    /// (quads of inputs, rows), and `groups`, (groups, rows), has the scale and the sum of the rows' numbers.
    pub fn int4(self, weights: Int4Panel, x: &[[i8; 4]], groups: &[[f32; 2]], sums: &mut [f32]) {
        let inputs = weights.numbers.len() / PANEL;
        check(inputs / 4, x.len(), sums.len());
        check(inputs / NARROW_GROUP, groups.len(), sums.len());
        let about = weights.scales.len().min(weights.lows.len());
        assert!(about == inputs / NARROW_GROUP * PANEL, "a scale for every group");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::int4(weights, x, groups, sums) },
            Self::Portable => portable::int4(weights, x, groups, sums),
        }
    }

    /// As [`Tiles::f32`] with 6-bit weights and 8-bit activations, both in groups of [`GROUP`] inputs: `weights` is (quads of
    /// inputs, PANEL, 4), `scales` and `offsets` (see [`Tiles::offsets`]) are (groups, PANEL), a weight being `scale · number`
    /// with numbers from -32 to 31; `x` is (quads of inputs, rows), [`MIDDLE`] standing for 0, and `groups`, (groups, rows), has
    /// the scale of the rows' numbers.
    pub fn int6(self, weights: Int6Panel, x: &[[u8; 4]], groups: &[f32], sums: &mut [f32]) {
        let inputs = weights.numbers.len() / PANEL;
        check(inputs / 4, x.len(), sums.len());
        check(inputs / GROUP, groups.len(), sums.len());
        let about = weights.scales.len().min(weights.offsets.len());
        assert!(about == inputs / GROUP * PANEL, "a scale for every group");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::int6(weights, x, groups, sums) },
            Self::Portable => portable::int6(weights, x, groups, sums),
        }
    }

    /// What the sums of groups of 8-bit numbers, (quads of inputs, PANEL, 4), begin with where [`MIDDLE`] stands for 0.
    pub fn offsets(self, numbers: &[i8], offsets: &mut [i32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::offsets(numbers, offsets) },
            Self::Portable => portable::offsets(numbers, offsets),
        }
    }

    /// 6-bit numbers as bytes: every [`SIXES`] bytes become four quads of inputs.
    pub fn unfold_sixes(self, folded: &[u8], numbers: &mut [i8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the instructions.
            Self::Avx2 => unsafe { avx2::unfold_sixes(folded, numbers) },
            Self::Portable => portable::unfold_sixes(folded, numbers),
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

fn check(columns: usize, x: usize, sums: usize) {
    let rows = sums / PANEL;
    assert!(rows * PANEL == sums && (1..=ROWS).contains(&rows), "a tile of {sums} sums");
    assert!(rows * columns == x, "{rows} rows of {columns} in {x}");
}
