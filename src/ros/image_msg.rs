use std::sync::Arc;

use ::image::RgbImage;
use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::std_msgs::msg::Header;

use super::time::stamp_to_ns;
use crate::episode::Frame;
use crate::image::{ImageError, ImageView, decode_compressed, decode_raw};

/// What a camera sends.
pub trait CameraMessage: Send + 'static {
    fn header(&self) -> &Header;
    fn decode(&self) -> Result<RgbImage, ImageError>;

    fn frame(&self) -> Result<Frame, ImageError> {
        let header = self.header();
        Ok(Frame {
            stamp_ns: stamp_to_ns(&header.stamp),
            frame_id: header.frame_id.as_str().into(),
            rgb: Arc::new(self.decode()?),
        })
    }
}

impl CameraMessage for Image {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self) -> Result<RgbImage, ImageError> {
        decode_raw(ImageView {
            encoding: &self.encoding,
            width: self.width,
            height: self.height,
            step: self.step as usize,
            is_bigendian: self.is_bigendian != 0,
            data: &self.data,
        })
    }
}

impl CameraMessage for CompressedImage {
    fn header(&self) -> &Header {
        &self.header
    }

    fn decode(&self) -> Result<RgbImage, ImageError> {
        decode_compressed(&self.format, &self.data)
    }
}
