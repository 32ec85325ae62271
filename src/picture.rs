//! Everything that is drawn: [`overlay`] is the live picture, [`plot`] has the pictures of offline results.

pub mod overlay;
pub mod plot;
mod text;
