use super::*;
use ::image::Rgb;

fn view<'a>(encoding: &'a str, step: usize, data: &'a [u8]) -> ImageView<'a> {
    ImageView { encoding, width: 2, height: 2, step, is_bigendian: false, data }
}

#[test]
fn every_packed_encoding_lands_its_colours() {
    // The pixel at (1, 0) is red 10, green 20, blue 30; at (0, 1) it is 40, 50, 60.
    let cases: [(&str, usize, Vec<u8>); 6] = [
        ("rgb8", 6, vec![0, 0, 0, 10, 20, 30, 40, 50, 60, 0, 0, 0]),
        ("bgr8", 6, vec![0, 0, 0, 30, 20, 10, 60, 50, 40, 0, 0, 0]),
        ("8UC3", 6, vec![0, 0, 0, 30, 20, 10, 60, 50, 40, 0, 0, 0]),
        ("rgba8", 8, vec![0, 0, 0, 9, 10, 20, 30, 9, 40, 50, 60, 9, 0, 0, 0, 9]),
        ("bgra8", 8, vec![0, 0, 0, 9, 30, 20, 10, 9, 60, 50, 40, 9, 0, 0, 0, 9]),
        ("8UC4", 8, vec![0, 0, 0, 9, 30, 20, 10, 9, 60, 50, 40, 9, 0, 0, 0, 9]),
    ];
    for (encoding, step, data) in cases {
        let rgb = decode_raw(view(encoding, step, &data)).unwrap();
        assert_eq!(rgb.get_pixel(1, 0), &Rgb([10, 20, 30]), "{encoding}");
        assert_eq!(rgb.get_pixel(0, 1), &Rgb([40, 50, 60]), "{encoding}");
    }
    for encoding in ["mono8", "8UC1"] {
        let mono = decode_raw(view(encoding, 2, &[1, 2, 3, 4])).unwrap();
        assert_eq!(mono.get_pixel(0, 1), &Rgb([3, 3, 3]));
    }
}

#[test]
fn sixteen_bits_are_read_in_their_byte_order_and_scaled_by_the_full_range() {
    // 2570 = 10 · 257, and so on.
    let values: [u16; 12] = [0, 0, 0, 2570, 5140, 7710, 65535, 12850, 15420, 0, 0, 0];
    for big in [false, true] {
        let bytes = |value: &u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let data: Vec<u8> = values.iter().flat_map(bytes).collect();
        for (encoding, flipped) in [("rgb16", false), ("bgr16", true)] {
            let rgb = decode_raw(ImageView { is_bigendian: big, ..view(encoding, 12, &data) }).unwrap();
            let (mut first, mut second) = ([10, 20, 30], [255, 50, 60]);
            if flipped {
                first.reverse();
                second.reverse();
            }
            assert_eq!((rgb.get_pixel(1, 0).0, rgb.get_pixel(0, 1).0), (first, second), "{encoding} {big}");
        }
        let mono = decode_raw(ImageView { is_bigendian: big, ..view("mono16", 4, &data[6..14]) }).unwrap();
        assert_eq!(mono.get_pixel(0, 1).0, [30; 3]);
    }
}

/// Red, BT.601, limited range: y 81, u 90, v 240.
const RED: [u8; 3] = [81, 90, 240];

#[test]
fn every_yuv_encoding_shows_red_and_grey() {
    let [y, u, v] = RED;
    let yuyv = [y, u, y, v, 126, 128, 126, 128];
    let uyvy = [u, y, v, y, 128, 126, 128, 126];
    let nv12 = [y, y, y, y, u, v];
    let nv21 = [y, y, y, y, v, u];
    let nv24 = [y, y, 126, 126, u, v, u, v, 128, 128, 128, 128];
    let cases: [(&str, usize, &[u8], bool); 7] = [
        ("yuyv", 4, &yuyv, true),
        ("yuv422_yuy2", 4, &yuyv, true),
        ("uyvy", 4, &uyvy, true),
        ("yuv422", 4, &uyvy, true),
        ("nv12", 2, &nv12, false),
        ("nv21", 2, &nv21, false),
        ("nv24", 2, &nv24, true),
    ];
    for (encoding, step, data, has_grey) in cases {
        let rgb = decode_raw(view(encoding, step, data)).unwrap();
        let near = |x, y, expected: [u8; 3]| {
            let got = rgb.get_pixel(x, y).0;
            let close = got.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 2);
            assert!(close, "{encoding} at {x}, {y}: {got:?}, expected {expected:?}");
        };
        near(0, 0, [255, 0, 0]);
        near(1, 0, [255, 0, 0]);
        if has_grey {
            // (126 - 16) · 255 / 219
            near(1, 1, [128, 128, 128]);
        }
    }
}

#[test]
fn a_mosaic_becomes_its_colour_in_every_pattern_and_depth() {
    let colour = [200, 100, 50];
    for (pattern, order) in
        [("rggb", [0, 1, 1, 2]), ("bggr", [2, 1, 1, 0]), ("gbrg", [1, 2, 0, 1]), ("grbg", [1, 0, 2, 1])]
    {
        let eight: Vec<u8> = order.iter().map(|&c| colour[c]).collect();
        let sixteen: Vec<u8> = eight.iter().flat_map(|&v| (u16::from(v) * 257).to_le_bytes()).collect();
        for (depth, step, data) in [("8", 2, &eight), ("16", 4, &sixteen)] {
            let encoding = format!("bayer_{pattern}{depth}");
            let rgb = decode_raw(view(&encoding, step, data)).unwrap();
            assert!(rgb.pixels().all(|pixel| pixel.0 == colour), "{encoding}: {rgb:?}");
        }
    }
}

#[test]
fn padding_is_skipped_and_the_last_row_may_lack_it() {
    for data in [vec![1, 2, 77, 77, 3, 4, 77, 77], vec![1, 2, 77, 77, 3, 4]] {
        let rgb = decode_raw(view("mono8", 4, &data)).unwrap();
        let reds: Vec<u8> = rgb.pixels().map(|p| p.0[0]).collect();
        assert_eq!(reds, [1, 2, 3, 4]);
    }
    let [y, u, v] = RED;
    let padded = [y, y, 9, 9, y, y, 9, 9, u, v];
    let red = |rgb: RgbImage| rgb.pixels().all(|p| p.0[0] > 250 && p.0[1] < 5 && p.0[2] < 5);
    assert!(red(decode_raw(view("nv12", 4, &padded)).unwrap()));
    let row = [y, u, y, v];
    assert!(red(decode_raw(ImageView { height: 1, ..view("yuyv", usize::MAX, &row) }).unwrap()));
    let packed = [y, u, y, v, 9, 9, y, u, y, v];
    assert!(red(decode_raw(view("yuyv", 6, &packed)).unwrap()));
}

#[test]
fn what_does_not_fit_is_named() {
    let encoding = decode_raw(view("h264", 8, &[0; 16])).unwrap_err();
    assert_eq!(encoding, ImageError::Encoding("h264".into()));
    assert!(matches!(decode_raw(view("32FC1", 8, &[0; 16])), Err(ImageError::Depth(_))));
    assert!(matches!(decode_raw(view("rgb8", 5, &[0; 16])), Err(ImageError::Step { needed: 6, .. })));
    assert!(matches!(decode_raw(view("rgb8", 6, &[0; 11])), Err(ImageError::Length { needed: 12, .. })));
    assert!(matches!(decode_raw(view("nv24", 2, &[0; 11])), Err(ImageError::Length { needed: 12, .. })));
    assert!(matches!(decode_raw(view("rgb16", 11, &[0; 99])), Err(ImageError::Step { needed: 12, .. })));
    let odd = ImageView { width: 3, ..view("yuyv", 8, &[0; 16]) };
    assert!(matches!(decode_raw(odd), Err(ImageError::Odd { width: 3, .. })));
    let empty = ImageView { width: 0, ..view("rgb8", 6, &[]) };
    assert!(matches!(decode_raw(empty), Err(ImageError::Empty { .. })));
    for encoding in ["rgba8", "nv24", "bayer_rggb16", "uyvy"] {
        let size = ImageView { width: u32::MAX - 1, height: u32::MAX - 1, ..view(encoding, usize::MAX, &[]) };
        assert!(decode_raw(size).is_err(), "{encoding}");
    }
}
