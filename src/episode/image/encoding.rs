use super::ImageError;

/// What the bytes of a raw image mean; the names are those of `sensor_msgs/image_encodings.hpp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One value a channel and pixel, side by side.
    Packed {
        depth: Depth,
        channels: usize,
        places: [usize; 3],
    },
    /// One value a pixel behind a mosaic of colour filters.
    Bayer {
        depth: Depth,
        pattern: Pattern,
    },
    Yuv(Yuv),
}

/// Width of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Eight,
    /// In the byte order that the message names.
    Sixteen,
}

/// The colour filters of the first two rows, as indices of (red, green, blue).
pub type Pattern = [[usize; 2]; 2];

/// Luma in full, chroma shared by neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yuv {
    Yuyv,
    Uyvy,
    Nv12,
    Nv21,
    Nv24,
}

/// All names understood, for messages and tests.
pub const SUPPORTED: &str = "rgb8, bgr8, rgba8, bgra8, rgb16, bgr16, rgba16, bgra16, mono8, mono16, 8UC1, 8UC3, 8UC4, \
     yuyv, yuv422_yuy2, uyvy, yuv422, nv12, nv21, nv24, bayer_{rggb,bggr,gbrg,grbg}{8,16}";

impl Encoding {
    pub fn parse(name: &str) -> Result<Self, ImageError> {
        let packed = |depth, channels, places| Self::Packed { depth, channels, places };
        Ok(match name {
            "rgb8" => packed(Depth::Eight, 3, [0, 1, 2]),
            "rgb16" => packed(Depth::Sixteen, 3, [0, 1, 2]),
            // cv_bridge and image_proc read a bare three-channel image as BGR.
            "bgr8" | "8UC3" => packed(Depth::Eight, 3, [2, 1, 0]),
            "bgr16" => packed(Depth::Sixteen, 3, [2, 1, 0]),
            "rgba8" => packed(Depth::Eight, 4, [0, 1, 2]),
            "rgba16" => packed(Depth::Sixteen, 4, [0, 1, 2]),
            "bgra8" | "8UC4" => packed(Depth::Eight, 4, [2, 1, 0]),
            "bgra16" => packed(Depth::Sixteen, 4, [2, 1, 0]),
            "mono8" | "8UC1" => packed(Depth::Eight, 1, [0, 0, 0]),
            "mono16" => packed(Depth::Sixteen, 1, [0, 0, 0]),
            "yuyv" | "yuv422_yuy2" => Self::Yuv(Yuv::Yuyv),
            "uyvy" | "yuv422" => Self::Yuv(Yuv::Uyvy),
            "nv12" => Self::Yuv(Yuv::Nv12),
            "nv21" => Self::Yuv(Yuv::Nv21),
            "nv24" => Self::Yuv(Yuv::Nv24),
            "16UC1" | "32FC1" => return Err(ImageError::Depth(name.to_owned())),
            _ => bayer(name).ok_or_else(|| ImageError::Encoding(name.to_owned()))?,
        })
    }

    /// Bytes of one row without padding.
    pub fn row_bytes(self, width: u32) -> usize {
        let values = match self {
            Self::Packed { channels, .. } => channels,
            Self::Yuv(Yuv::Yuyv | Yuv::Uyvy) => 2,
            Self::Bayer { .. } | Self::Yuv(_) => 1,
        };
        let bytes = match self {
            Self::Packed { depth: Depth::Sixteen, .. } | Self::Bayer { depth: Depth::Sixteen, .. } => 2,
            _ => 1,
        };
        (width as usize).saturating_mul(values * bytes)
    }

    /// Rows of `step` bytes that the data hold, chroma planes among them.
    pub fn rows(self, height: u32) -> usize {
        let height = height as usize;
        match self {
            Self::Yuv(Yuv::Nv12 | Yuv::Nv21) => height + height / 2,
            Self::Yuv(Yuv::Nv24) => height.saturating_mul(3),
            _ => height,
        }
    }

    /// Whether width and height must be even: where neighbours share their colour.
    pub fn needs_even(self) -> (bool, bool) {
        match self {
            Self::Yuv(Yuv::Yuyv | Yuv::Uyvy) => (true, false),
            Self::Yuv(Yuv::Nv12 | Yuv::Nv21) => (true, true),
            _ => (false, false),
        }
    }
}

fn bayer(name: &str) -> Option<Encoding> {
    let rest = name.strip_prefix("bayer_")?;
    let (pattern, depth) = rest.split_at_checked(4)?;
    let depth = match depth {
        "8" => Depth::Eight,
        "16" => Depth::Sixteen,
        _ => return None,
    };
    let (red, green, blue) = (0, 1, 2);
    let pattern = match pattern {
        "rggb" => [[red, green], [green, blue]],
        "bggr" => [[blue, green], [green, red]],
        "gbrg" => [[green, blue], [red, green]],
        "grbg" => [[green, red], [blue, green]],
        _ => return None,
    };
    Some(Encoding::Bayer { depth, pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_told_from_what_is_unknown() {
        assert_eq!(Encoding::parse("16UC1"), Err(ImageError::Depth("16UC1".into())));
        assert_eq!(Encoding::parse("32FC1"), Err(ImageError::Depth("32FC1".into())));
        for name in ["", "jpeg", "bayer_rggb12", "bayer_", "bayer_rgbg8", "RGB8"] {
            assert_eq!(Encoding::parse(name), Err(ImageError::Encoding(name.into())));
        }
    }

    #[test]
    fn chroma_planes_are_counted() {
        let rows = |name| Encoding::parse(name).unwrap().rows(4);
        assert_eq!([rows("rgb8"), rows("nv12"), rows("nv24"), rows("uyvy")], [4, 6, 12, 4]);
        let bytes = |name| Encoding::parse(name).unwrap().row_bytes(6);
        assert_eq!([bytes("bgra16"), bytes("yuyv"), bytes("nv21"), bytes("bayer_grbg16")], [48, 12, 6, 12]);
    }
}
