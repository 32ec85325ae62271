//! Errors name what is wrong and leave everything as it was.

use topreward::model::VlmError;

use super::*;

#[test]
fn an_error_leaves_the_episode_as_it_was() {
    let copy = copy_of("tied");
    let config = copy.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let (before, after) = ("\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 130");
    assert!(text.contains(before));
    std::fs::write(&config, text.replace(before, after)).unwrap();
    let options = LoadOptions { max_pixels: Some(16_384), ..LoadOptions::new(copy.path()) };
    let short = Qwen3Vl::load(&options).unwrap();
    let whole = model("tied", false, 16_384);
    let frames = aligned();
    let expected = |count: usize| whole.score(&mut episode_of(&whole, &frames[..count]), PLAIN).unwrap();

    let mut episode = episode_of(&short, &frames[..3]);
    assert_eq!(short.score(&mut episode, PLAIN).unwrap(), expected(3));
    let long = PLAIN.repeat(6);
    assert!(matches!(
        short.score(&mut episode, &long),
        Err(VlmError::EpisodeTooLong { tokens: 131.., limit: 130 })
    ));
    assert_eq!(short.score(&mut episode, PLAIN).unwrap(), expected(3));
    let wrong = RgbImage::new(64, 64);
    assert!(matches!(short.append(&mut episode, &wrong, 1.5), Err(VlmError::FrameSize { width: 64, .. })));
    assert!(short.append(&mut episode, &frames[3].0, 0.5).unwrap_err().to_string().contains("time"));
    assert!(short.append(&mut episode, &frames[3].0, f64::NAN).is_err());
    short.append(&mut episode, &frames[3].0, frames[3].1).unwrap();
    assert_eq!(short.score(&mut episode, PLAIN).unwrap(), expected(4));
    // The pairs alone outgrow the model: the frame that did it is refused, the one before it is still there.
    let mut time_s = frames[3].1;
    let refused = loop {
        time_s += 0.5;
        assert!(time_s < 20.0, "no end in sight");
        if let Err(error) = short.append(&mut episode, &frames[4].0, time_s) {
            break error;
        }
    };
    assert!(matches!(refused, VlmError::EpisodeTooLong { .. }), "{refused}");
    let kept = episode.frames();
    assert_eq!(kept % 2, 1);
    assert!(matches!(short.append(&mut episode, &frames[4].0, time_s), Err(VlmError::EpisodeTooLong { .. })));
    assert_eq!(episode.frames(), kept);
}

#[test]
fn frames_that_no_model_can_use_are_refused() {
    let model = model("tied", false, 16_384);
    let mut episode = model.new_episode();
    for (width, height) in [(31, 100), (100, 20), (32, 6401), (0, 0)] {
        let refused = model.append(&mut episode, &RgbImage::new(width, height), 0.0);
        assert!(matches!(refused, Err(VlmError::FrameSize { .. })), "{width}×{height}");
    }
    assert!(matches!(model.score(&mut episode, PLAIN), Err(VlmError::NoFrames)));
    assert!(matches!(model.score_at_once(&[], PLAIN), Err(VlmError::NoFrames)));
    model.append(&mut episode, &aligned()[0].0, 0.0).unwrap();
    assert!(model.score(&mut episode, PLAIN).is_ok());
}

#[test]
fn instructions_are_checked() {
    let options = LoadOptions { max_instruction_tokens: 20, ..LoadOptions::new(golden().join("tied")) };
    let model = Qwen3Vl::load(&options).unwrap();
    let mut episode = episode_of(&model, &aligned()[..1]);
    for empty in ["", "  \n\t"] {
        assert!(matches!(model.instruction_check().check(empty), Err(VlmError::EmptyInstruction)));
        assert!(matches!(model.score(&mut episode, empty), Err(VlmError::EmptyInstruction)));
    }
    let long = "x y ".repeat(30);
    assert!(matches!(
        model.instruction_check().check(&long),
        Err(VlmError::InstructionTooLong { tokens: 21.., limit: 20 })
    ));
    assert!(matches!(model.score(&mut episode, &long), Err(VlmError::InstructionTooLong { .. })));
    assert!(model.instruction_check().check("x y z").is_ok());
}

#[test]
fn weights_that_are_no_numbers_give_no_score() {
    let copy = copy_of("tied");
    let file = copy.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let norm = weights.get_mut("model.language_model.norm.weight").unwrap();
    *norm = (&*norm * f64::NAN).unwrap();
    candle_core::safetensors::save(&weights, &file).unwrap();
    let broken = Qwen3Vl::load(&LoadOptions::new(copy.path())).unwrap();
    let mut episode = episode_of(&broken, &aligned()[..2]);
    assert!(matches!(broken.score(&mut episode, PLAIN), Err(VlmError::Inference(_))));
}
