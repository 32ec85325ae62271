//! Answers and descriptions in words.

use topreward::model::VlmError;
use topreward::model::qwen3_vl::PromptPart;

use super::*;

#[derive(Deserialize)]
struct Generation {
    turns: Vec<Turn>,
    described: Vec<Described>,
}

#[derive(Deserialize)]
struct Turn {
    checkpoint: String,
    parts: Vec<TurnPart>,
    max_pixels: usize,
    input_ids: Vec<u32>,
    top: Vec<(usize, f64)>,
    generated: Vec<u32>,
    ended: bool,
    text: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TurnPart {
    Text(String),
    Image(String, usize),
}

#[derive(Deserialize)]
struct Described {
    checkpoint: String,
    frames_set: String,
    n_frames: usize,
    times_s: Vec<f64>,
    template: bool,
    instruction: String,
    max_pixels: usize,
    description: String,
    log_prob_true: f64,
    log_prob_false: f64,
    text: String,
}

fn generation() -> Generation {
    serde_json::from_str(&std::fs::read_to_string(golden().join("generation.json")).unwrap()).unwrap()
}

/// How many tokens the golden answers have at most.
const GENERATED: usize = 16;

#[test]
fn answers_to_images_equal_those_of_transformers() {
    let (mut worst, mut ended) = (0f64, 0);
    for turn in generation().turns {
        let model = model(&turn.checkpoint, false, turn.max_pixels);
        let images: Vec<_> = turn.parts.iter().map(|part| part.image()).collect();
        let parts: Vec<_> = turn.parts.iter().zip(&images).map(|(part, image)| part.shown(image)).collect();
        let (tokens, logits) = model.next_token_logits(&parts).unwrap();
        assert_eq!(tokens, turn.input_ids);
        let log_prob = |token| topreward::reward::log_softmax_at(&logits, token).unwrap();
        for &(token, expected) in &turn.top {
            worst = worst.max((log_prob(token) - expected).abs());
        }
        assert_eq!(model.generate_tokens(&parts, GENERATED).unwrap(), turn.generated, "{}", turn.checkpoint);
        assert_eq!(model.generate(&parts, GENERATED).unwrap(), turn.text);
        let fewer = model.generate_tokens(&parts, 3).unwrap();
        assert_eq!(fewer, turn.generated[..3]);
        if turn.ended {
            assert!(turn.generated.len() < GENERATED);
            assert_eq!(model.generate_tokens(&parts, 10 * GENERATED).unwrap(), turn.generated);
            ended += 1;
        }
    }
    println!("the likeliest first tokens: off by at most {worst:.2e} nats");
    assert!(worst <= 1e-4, "off by {worst} nats");
    assert!(ended > 0);
}

impl TurnPart {
    fn image(&self) -> Option<RgbImage> {
        match self {
            Self::Text(_) => None,
            Self::Image(set, index) => frames(set, index + 1).pop(),
        }
    }

    fn shown<'a>(&self, image: &'a Option<RgbImage>) -> PromptPart<'a> {
        match (self, image) {
            (Self::Text(text), _) => PromptPart::Text(text.clone()),
            (_, image) => PromptPart::Image(image.as_ref().unwrap()),
        }
    }
}

#[test]
fn descriptions_and_described_scores_equal_those_of_transformers() {
    let mut worst = 0f64;
    for case in generation().described {
        let model = model(&case.checkpoint, case.template, case.max_pixels);
        let timed: Vec<_> =
            frames(&case.frames_set, case.n_frames).into_iter().zip(case.times_s.iter().copied()).collect();
        let mut episode = episode_of(&model, &timed);
        let before = model.score(&mut episode, &case.instruction).unwrap();
        assert_eq!(model.describe(&mut episode, GENERATED).unwrap(), case.text.trim());
        let scored = model.score_described(&mut episode, &case.instruction, &case.description).unwrap();
        let expected = LogProbs { log_prob_true: case.log_prob_true, log_prob_false: case.log_prob_false };
        worst = worst.max(difference(scored, expected));
        assert_eq!(model.score(&mut episode, &case.instruction).unwrap(), before, "nothing may stay behind");
    }
    println!("behind a description: off by at most {worst:.2e} nats");
    assert!(worst <= 1e-4, "off by {worst} nats");
    let model = model("tied", false, 16_384);
    assert!(matches!(model.describe(&mut model.new_episode(), 4), Err(VlmError::NoFrames)));
}
