use std::fmt;
use std::sync::Arc;

use ::image::RgbImage;

use crate::episode::image::ImageError;

/// One decoded camera frame. Cheap to clone: the pixels are shared.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the camera took it: the header's stamp, in nanoseconds.
    pub stamp_ns: i64,
    /// The camera's frame of reference, from the header.
    pub frame_id: Arc<str>,
    pub rgb: Arc<RgbImage>,
}

/// One camera frame as it came: decoded only when the model is to see it, which at 30 frames a second and 2 samples a
/// second spares 14 of 15.
pub struct CameraFrame {
    /// As [`Frame::stamp_ns`].
    pub stamp_ns: i64,
    /// As [`Frame::frame_id`].
    pub frame_id: Arc<str>,
    /// When it was received, nanoseconds of the receiver's clock, which nobody sets; `None` where there is no receiver.
    pub received_ns: Option<i64>,
    /// (width, height) in pixels, where it is known before decoding.
    pub size: Option<(u32, u32)>,
    decode: Box<dyn FnOnce() -> Result<RgbImage, ImageError> + Send>,
}

impl CameraFrame {
    pub fn new(
        stamp_ns: i64,
        frame_id: Arc<str>,
        size: Option<(u32, u32)>,
        decode: impl FnOnce() -> Result<RgbImage, ImageError> + Send + 'static,
    ) -> Self {
        Self { stamp_ns, frame_id, received_ns: None, size, decode: Box::new(decode) }
    }

    /// The same frame, received at this time.
    #[must_use]
    pub fn received(self, received_ns: i64) -> Self {
        Self { received_ns: Some(received_ns), ..self }
    }

    /// # Errors
    /// What is wrong with the image.
    pub fn decode(self) -> Result<Frame, ImageError> {
        let Self { stamp_ns, frame_id, decode, .. } = self;
        Ok(Frame { stamp_ns, frame_id, rgb: Arc::new(decode()?) })
    }
}

impl From<Frame> for CameraFrame {
    fn from(Frame { stamp_ns, frame_id, rgb }: Frame) -> Self {
        Self::new(stamp_ns, frame_id, Some(rgb.dimensions()), move || Ok(Arc::unwrap_or_clone(rgb)))
    }
}

impl fmt::Debug for CameraFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stamp_ns, frame_id, size, .. } = self;
        write!(f, "CameraFrame {{ stamp_ns: {stamp_ns}, frame_id: {frame_id:?}, size: {size:?} }}")
    }
}
