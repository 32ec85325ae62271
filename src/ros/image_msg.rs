use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::std_msgs::msg::Header;

use super::rcl::time::stamp_to_ns;
use crate::episode::CameraFrame;
use crate::episode::image::{
    ImageError, ImageView, check_compressed, check_raw, decode_compressed, decode_raw,
};

/// What a camera sends.
pub trait CameraMessage: Sized + Send + 'static {
    /// The frame, which keeps the message until it is decoded or dropped.
    ///
    /// # Errors
    /// What is wrong with the image, as far as that shows without decoding.
    fn frame(self) -> Result<CameraFrame, ImageError>;
}

impl CameraMessage for Image {
    fn frame(self) -> Result<CameraFrame, ImageError> {
        check_raw(view(&self))?;
        let (stamp_ns, frame_id) = stamp(&self.header);
        let size = Some((self.width, self.height));
        Ok(CameraFrame::new(stamp_ns, frame_id, size, move || decode_raw(view(&self))))
    }
}

impl CameraMessage for CompressedImage {
    fn frame(self) -> Result<CameraFrame, ImageError> {
        check_compressed(&self.format, &self.data)?;
        let (stamp_ns, frame_id) = stamp(&self.header);
        Ok(CameraFrame::new(stamp_ns, frame_id, None, move || decode_compressed(&self.format, &self.data)))
    }
}

fn stamp(header: &Header) -> (i64, std::sync::Arc<str>) {
    (stamp_to_ns(&header.stamp), header.frame_id.as_str().into())
}

fn view(image: &Image) -> ImageView<'_> {
    ImageView {
        encoding: &image.encoding,
        width: image.width,
        height: image.height,
        step: image.step as usize,
        is_bigendian: image.is_bigendian != 0,
        data: &image.data,
    }
}
