use std::sync::Arc;

use ::image::RgbImage;

/// One decoded camera frame. Cheap to clone: the pixels are shared.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the camera took it: the header's stamp, in nanoseconds.
    pub stamp_ns: i64,
    /// The camera's frame of reference, from the header.
    pub frame_id: Arc<str>,
    pub rgb: Arc<RgbImage>,
}
