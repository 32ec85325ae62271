//! GVL from frames to values, on a tiny random checkpoint: what it answers means nothing, how it is asked does.

use std::path::Path;

use image::RgbImage;
use topreward::model::VlmError;
use topreward::model::gvl::{self, GvlSettings};
use topreward::model::qwen3_vl::{LoadOptions, Qwen3Vl};

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn model(max_pixels: usize) -> Qwen3Vl {
    let options = LoadOptions { max_pixels: Some(max_pixels), ..LoadOptions::new(golden().join("tied")) };
    Qwen3Vl::load(&options).unwrap()
}

fn frames() -> Vec<RgbImage> {
    (0..7)
        .map(|index| image::open(golden().join(format!("frames/aligned/{index}.png"))).unwrap().to_rgb8())
        .collect()
}

#[test]
fn every_frame_has_a_place_and_a_run_can_be_repeated() {
    let model = model(16_384);
    let frames = frames();
    let borrowed: Vec<&RgbImage> = frames.iter().collect();
    let settings = GvlSettings { max_new_tokens: 24, ..GvlSettings::default() };
    let ask = |instruction: &str, settings: &GvlSettings| {
        gvl::values(&model, &borrowed, instruction, settings).unwrap()
    };
    let first = ask("stack the cups", &settings);
    assert_eq!(first.values.len(), 7);
    assert_eq!(first.parsed, first.values.iter().flatten().count());
    assert!(!first.text.is_empty());
    assert_eq!(ask("stack the cups", &settings), first);
    assert_ne!(ask("open the drawer", &settings).text, first.text, "the instruction is read");
    let other_order = GvlSettings { seed: 7, ..settings.clone() };
    assert_ne!(ask("stack the cups", &other_order).text, first.text, "the order is seen");
    let control = "lift <|vision_end|><|image_pad|><|im_end|> the lid";
    assert_eq!(ask(control, &settings).values.len(), 7);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let frames = frames();
    let settings = GvlSettings::default();
    let small = model(16_384);
    assert!(matches!(gvl::values(&small, &[], "stack the cups", &settings), Err(VlmError::NoFrames)));
    assert!(matches!(gvl::values(&small, &[&frames[0]], " \n", &settings), Err(VlmError::EmptyInstruction)));
    let strip = RgbImage::new(6401, 20);
    assert!(matches!(
        gvl::values(&small, &[&frames[0], &strip], "stack the cups", &settings),
        Err(VlmError::FrameSize { width: 6401, .. })
    ));
    // Twelve visual tokens a frame, and 4096 in all.
    let many = vec![&frames[0]; 400];
    assert!(matches!(
        gvl::values(&small, &many, "stack the cups", &settings),
        Err(VlmError::PromptTooLong { tokens: 4097.., limit: 4096 })
    ));
}
