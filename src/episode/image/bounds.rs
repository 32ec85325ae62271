//! How large a picture may be. A few bytes can claim gigabytes, so that this is asked of the header, before any decoder
//! runs.

use super::ImageError;

/// Most pixels across, and most down.
pub const LARGEST_SIDE: u32 = 8192;
/// Most pixels in all: 8K video (7680×4320) is below it, and decoding takes some 200 MB at most.
pub const MOST_PIXELS: u64 = 1 << 25;

/// Whether a picture of so many pixels is read.
///
/// # Errors
/// It is empty, or larger than [`LARGEST_SIDE`] or [`MOST_PIXELS`].
pub fn check_size(width: u32, height: u32) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    let pixels = u64::from(width) * u64::from(height);
    if width > LARGEST_SIDE || height > LARGEST_SIDE || pixels > MOST_PIXELS {
        return Err(ImageError::TooLarge { width, height });
    }
    Ok(())
}

/// The same for the decoders, with the memory that they may take.
pub fn limits() -> ::image::Limits {
    let mut limits = ::image::Limits::no_limits();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(1 << 29);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_fit_and_claims_do_not() {
        for (width, height) in [(1, 1), (640, 480), (7680, 4320), (8192, 4096), (4096, 8192)] {
            check_size(width, height).unwrap();
        }
        for (width, height) in [(8193, 1), (1, 8193), (8192, 4097), (22_000, 22_000), (u32::MAX, u32::MAX)] {
            assert_eq!(check_size(width, height), Err(ImageError::TooLarge { width, height }));
        }
        assert_eq!(check_size(0, 3), Err(ImageError::Empty { width: 0, height: 3 }));
    }
}
