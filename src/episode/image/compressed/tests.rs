//! Pictures of the `image` crate's own encoders, and two of Pillow's.

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ImageBuffer, Luma, Rgb};
use base64::Engine;

use super::super::{ImageView, decode_raw};
use super::*;

/// A picture of 40×24 pixels by Pillow 12 (`quality=30`): chroma in half, a restart behind each unit
/// (`restart_marker_blocks=1, optimize=True`); and in ten scans (`progressive=True`). Pillow reads the pixels
/// (59, 0, 67) and (67, 0, 74) at (5, 5) and (30, 20) of both.
const WITH_RESTARTS: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6j\
     q62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk\
     pKSkpKSkpKT/wAARCAAYACgDASIAAhEBAxEB/8QAGAABAAMBAAAAAAAAAAAAAAAAAAMEBQL/xAAoEAABAwIEBgIDAAAAAAAAAAAB\
     AAIRAwQSEyEyFDFBUXGBBSIzQrH/xAAXAQEBAQEAAAAAAAAAAAAAAAADAgEE/8QAJBEAAQQBBAAHAAAAAAAAAAAAAQACAxHwBCIx\
     MiEzQVGBoeH/3QAEAAH/2gAMAwEAAhEDEQA/AMc5z6zmUtYE9NB5Vync37KwAfDgMUw2I7zyUVIg8TTw43OwEMmMQGpVprm8LkYf\
     vuyp1iZifHtDqJjKdwwrolhaXbjxa//Qy/lLm6qmmLh8wCW6DrHZQWjq5c5tI6xJ5aAeVZvSWm1a0im9riYJ2SRErm1OLi2OIq1H\
     OBhp3wZMLYpXMhAbx+4UzW1J4HKX/9GlTuL5kUw+IGLk2I7yilaW8HkYPvuyp1jFMT49ooEzjd59rJNNGXE1d57Ff//Sw7j8zvX8\
     XTNwREPoEuq8z5K//9PCuf19qOn1REkfQKm9l//UxGbQiIrQP7Ff/9k=";
const PROGRESSIVE: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6j\
     q62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk\
     pKSkpKSkpKT/wgARCAAYACgDASIAAhEBAxEB/8QAGAAAAwEBAAAAAAAAAAAAAAAAAAIDAQT/xAAWAQADAAAAAAAAAAAAAAAAAAAB\
     AgP/2gAMAwEAAhADEAAAAeOyVSkZ1xw44s+XQDqoVDgCX//EABwQAAICAgMAAAAAAAAAAAAAAAACAREDQhAhMf/aAAgBAQABBQLu\
     4Z7ys0i2QzkGrimjejEcf//EABwRAAICAgMAAAAAAAAAAAAAAAABAgMRMSEiMv/aAAgBAwEBPwGUFnkS7Eq45LfQtj2f/8QAGxEA\
     AQUBAQAAAAAAAAAAAAAAAgABEBIxAyH/2gAIAQIBAT8B6HbUJOweK7wOR//EAB0QAAEDBQEAAAAAAAAAAAAAAAABAhEQEiFBoSD/\
     2gAIAQEABj8CxRLjBA5CODdDtqRz1//EAB4QAAICAgIDAAAAAAAAAAAAAAABITERQVGREGFx/9oACAEBAAE/IZugjeb0SR8HzaCN\
     vejgZbxHImq5sQxUk+ieLketixTN9i0VmngqP//aAAwDAQACAAMAAAAQMSzB8/8A/8QAHBEAAgICAwAAAAAAAAAAAAAAAREAITHw\
     EFGx/9oACAEDAQE/EDLMOIodUKIpvejPQ8Gaf//EAB0RAAICAQUAAAAAAAAAAAAAAAABEfAxECFBoeH/2gAIAQIBAT8QY+ysWlh7\
     WJkzezhGHT//xAAfEAACAgICAwEAAAAAAAAAAAABEQAhMUFRcYGhscH/2gAIAQEAAT8QOU0Hqh3A4BQFki5eIVBqBNBtcQ0jaZxQ\
     HcQgqGiLlwwdyQ6QWZ7CtptPrzDJEAoUTuQnCtgIKLUsqF7O2rJ9eZ8HyYp+02mKf//Z";

fn unpacked(base64: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn plain(format: ImageFormat) -> Vec<u8> {
    encoded(RgbImage::from_pixel(16, 8, Rgb([200, 40, 90])), format)
}

/// 40×24 pixels that are all different.
fn busy() -> RgbImage {
    RgbImage::from_fn(40, 24, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * 11 + y * y) as u8, (x * y) as u8]))
}

/// The place of a marker, and behind its segment.
fn segment(jpeg: &[u8], marker: u8) -> (usize, usize) {
    let start = jpeg.windows(2).position(|pair| pair == [0xFF, marker]).unwrap();
    (start, start + 2 + usize::from(u16::from_be_bytes([jpeg[start + 2], jpeg[start + 3]])))
}

fn claiming(mut jpeg: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let start = jpeg.windows(2).position(|pair| pair[0] == 0xFF && [0xC0, 0xC2].contains(&pair[1])).unwrap();
    jpeg[start + 5..start + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[start + 7..start + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

#[test]
fn jpeg_and_png_are_known_by_their_bytes() {
    for (kind, tolerance) in [(ImageFormat::Png, 0i16), (ImageFormat::Jpeg, 4)] {
        let rgb = decode_compressed("bgr8; whatever the driver wrote", &plain(kind)).unwrap();
        assert_eq!(rgb.dimensions(), (16, 8));
        for (got, expected) in rgb.get_pixel(5, 5).0.iter().zip([200i16, 40, 90]) {
            assert!((i16::from(*got) - expected).abs() <= tolerance, "{kind:?}: {got} for {expected}");
        }
    }
}

#[test]
fn cut_empty_foreign_and_depth_data_are_refused_with_the_format() {
    let png = plain(ImageFormat::Png);
    let jpeg = plain(ImageFormat::Jpeg);
    for (format, data) in [
        ("jpeg", &jpeg[..jpeg.len() - 20]),
        ("png", &png[..png.len() / 2]),
        ("png", &png[..20]),
        ("jpeg", &[][..]),
        ("jpeg", b"not an image at all"),
        ("16UC1; compressedDepth png", &png),
    ] {
        let error = decode_compressed(format, data).unwrap_err();
        assert!(error.to_string().contains(format), "{error}");
    }
}

#[test]
fn a_size_is_refused_by_the_header_alone() {
    let mut png = plain(ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x55, 0xF0, 0, 0, 0x55, 0xF0]);
    for data in [png, claiming(plain(ImageFormat::Jpeg), 22_000, 22_000)] {
        let error = check_compressed("it", &data).unwrap_err().to_string();
        assert!(error.contains("22000×22000 pixels are more than are read"), "{error}");
    }
    // Few bytes that claim much, within what is read.
    let error = check_compressed("it", &claiming(plain(ImageFormat::Jpeg), 4000, 4000)).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[test]
fn a_jpeg_that_is_cut_is_never_filled_up() {
    let whole = encoded(busy(), ImageFormat::Jpeg);
    for whole in [whole, unpacked(WITH_RESTARTS)] {
        let (_, data) = segment(&whole, START_OF_SCAN);
        assert_eq!(decode_compressed("", &whole).unwrap().dimensions(), (40, 24));
        for kept in data..whole.len() - 2 {
            assert!(decode_compressed("", &whole[..kept]).is_err(), "{kept}");
            // As cameras do that close what they could not finish.
            let closed = [&whole[..kept], &[0xFF, 0xD9]].concat();
            assert!(decode_compressed("", &closed).is_err(), "{kept} and an end");
        }
        // A larger picture than there is.
        let larger = decode_compressed("", &claiming(whole, 40, 40)).unwrap_err();
        assert!(larger.to_string().contains("blocks are there"), "{larger}");
    }
    let progressive = unpacked(PROGRESSIVE);
    let (_, data) = segment(&progressive, START_OF_SCAN);
    for kept in [data, data + 5, data + 15] {
        assert!(decode_compressed("", &[&progressive[..kept], &[0xFF, 0xD9]].concat()).is_err(), "{kept}");
    }
    assert!(decode_compressed("", &claiming(progressive, 400, 240)).is_err());
}

const START_OF_SCAN: u8 = 0xDA;

#[test]
fn the_usual_kinds_of_jpeg_are_whole() {
    for (base64, kind) in [(WITH_RESTARTS, "restarts"), (PROGRESSIVE, "progressive")] {
        let rgb = decode_compressed("jpeg", &unpacked(base64)).unwrap();
        for (place, expected) in [((5, 5), [59i16, 0, 67]), ((30, 20), [67, 0, 74])] {
            let found = rgb.get_pixel(place.0, place.1).0;
            let near =
                found.iter().zip(expected).all(|(found, expected)| (i16::from(*found) - expected).abs() <= 3);
            assert!(near, "{kind}: {found:?} for {expected:?}");
        }
    }
    for quality in [1, 30, 75, 100] {
        for (width, height) in [(1, 1), (7, 9), (8, 8), (40, 24)] {
            let picture = ::image::imageops::crop_imm(&busy(), 0, 0, width, height).to_image();
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&picture).unwrap();
            assert_eq!(decode_compressed("", &bytes).unwrap().dimensions(), (width, height));
        }
    }
}

#[test]
fn motion_jpeg_without_its_tables_is_read_with_the_standards() {
    // The encoder writes the standard's tables: what it wrote without them is the same picture.
    for picture in [DynamicImage::from(busy()), DynamicImage::from(busy()).to_luma8().into()] {
        let whole = encoded(picture, ImageFormat::Jpeg);
        let mut bare = whole.clone();
        while bare.windows(2).any(|pair| pair == [0xFF, 0xC4]) {
            let (start, end) = segment(&bare, 0xC4);
            bare.drain(start..end);
        }
        assert!(bare.len() < whole.len());
        check_compressed("", &bare).unwrap();
        assert_eq!(decode_compressed("", &bare).unwrap(), decode_compressed("", &whole).unwrap());
    }
}

#[test]
fn a_mosaic_becomes_the_colours_of_the_raw_one() {
    let values: Vec<u8> = (0..8 * 6).map(|i| (i * 5) as u8).collect();
    let wide: Vec<u16> = values.iter().map(|value| u16::from(*value) * 257).collect();
    let pictures = [
        (DynamicImage::from(GrayImage::from_raw(8, 6, values.clone()).unwrap()), 8),
        (ImageBuffer::<Luma<u16>, _>::from_raw(8, 6, wide).unwrap().into(), 16),
    ];
    for (picture, bits) in pictures {
        let png = encoded(picture, ImageFormat::Png);
        for pattern in ["rggb", "bggr", "gbrg", "grbg"] {
            let encoding = format!("bayer_{pattern}8");
            let view = ImageView {
                encoding: &encoding,
                width: 8,
                height: 6,
                step: 8,
                is_bigendian: false,
                data: &values,
            };
            let format = format!("bayer_{pattern}{bits}; png compressed ");
            assert_eq!(decode_compressed(&format, &png).unwrap(), decode_raw(view).unwrap(), "{format}");
        }
    }
    // What the publisher has made colours of is left alone.
    let colours = encoded(busy(), ImageFormat::Png);
    assert_eq!(decode_compressed("bayer_rggb8; png compressed bgr8", &colours).unwrap(), busy());
}

#[test]
fn sixteen_bits_of_grey_are_depth_unless_told_otherwise() {
    let grey = ImageBuffer::<Luma<u16>, _>::from_fn(8, 6, |x, _| Luma([x as u16 * 257]));
    let png = encoded(grey, ImageFormat::Png);
    for format in ["", "png", "16UC1; png compressed ", "rgb8; png compressed"] {
        let error = decode_compressed(format, &png).unwrap_err().to_string();
        assert!(error.contains("depth"), "{error}");
    }
    assert!(decode_picture(&png).is_err());
    let rgb = decode_compressed("mono16; png compressed ", &png).unwrap();
    assert_eq!(rgb.get_pixel(7, 0).0, [7; 3]);
    // Colours of 16 bits are colours.
    let colours = ImageBuffer::<Rgb<u16>, _>::from_pixel(2, 2, Rgb([257, 514, 771]));
    assert_eq!(decode_picture(&encoded(colours, ImageFormat::Png)).unwrap().get_pixel(0, 0).0, [1, 2, 3]);
}

/// A TIFF header with one entry, the orientation, in an APP1 segment (Exif 2.32, 4.5.4).
fn exif(orientation: u8) -> Vec<u8> {
    let tiff =
        [b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]];
    let body = tiff.concat();
    [&[0xFF, 0xE1], &((body.len() + 2) as u16).to_be_bytes()[..], &body].concat()
}

#[test]
fn pictures_are_turned_as_exif_says_and_messages_are_not() {
    // Red at the top left, green at the top right, blue and white below.
    let stored = RgbImage::from_fn(32, 16, |x, y| match (x < 16, y < 8) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255; 3]),
    });
    let plain = encoded(stored, ImageFormat::Jpeg);
    // Where the stored row 0 and column 0 are seen, as the standard lists it: (bottom?, right?) of each corner.
    let sides = [
        "top left",
        "top right",
        "bottom right",
        "bottom left",
        "left top",
        "right top",
        "right bottom",
        "left bottom",
    ];
    for (orientation, sides) in (1u8..).zip(sides) {
        let turned = [&plain[..2], &exif(orientation), &plain[2..]].concat();
        let rgb = decode_picture(&turned).unwrap();
        let swapped = orientation > 4;
        assert_eq!(rgb.dimensions(), if swapped { (16, 32) } else { (32, 16) });
        let (bottom, right) = (sides.contains("bottom"), sides.contains("right"));
        let corner = |bottom: bool, right: bool| {
            let (width, height) = rgb.dimensions();
            let (x, y) = (if right { width - 3 } else { 2 }, if bottom { height - 3 } else { 2 });
            rgb.get_pixel(x, y).0.map(|value| u8::from(value > 127))
        };
        // Red lies where row 0 and column 0 meet, green at the other end of row 0.
        assert_eq!(corner(bottom, right), [1, 0, 0], "{orientation}");
        let green = if swapped { corner(!bottom, right) } else { corner(bottom, !right) };
        assert_eq!(green, [0, 1, 0], "{orientation}");
        assert_eq!(decode_compressed("jpeg", &turned).unwrap(), decode_compressed("jpeg", &plain).unwrap());
    }
}
