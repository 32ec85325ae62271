//! Generative Value Learning (Ma et al., arXiv 2411.04549): the baseline that TOPReward is compared with.
//!
//! The frames of an episode are shown shuffled, behind the first one as the scene at 0 %, and the model writes down how
//! far the task has come in each. Shuffling takes away the order in time, which a model would otherwise just count up.
//!
//! The prompt is a part of the method and is given to the byte: it is the one of TOPReward's own GVL runs
//! (jcoleharrison/TOPReward, MIT licence, taken over from OpenGVL: `configs/prompts/default.yaml`,
//! `configs/prompt_phrases/default.yaml` and the order of `BaseModelClient._iter_prompt_events`), without examples from
//! other episodes. Against the paper's prompt it leaves out the description of each frame and adds two reminders;
//! Qwen's chat template puts nothing between the texts. As there, the first frame is the anchor and one of the shuffled
//! ones besides, so that no value is given away. Unlike there, an answer that leaves out a frame loses this frame only.

use ::image::RgbImage;

use crate::model::qwen3_vl::{PromptPart, Qwen3Vl};
use crate::model::{VideoVlm, VlmError};

mod answer;
mod shuffle;

pub use answer::percentages;
pub use shuffle::shuffled;

/// How the frames are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GvlSettings {
    /// The same seed and number of frames give the same order.
    pub seed: u64,
    /// Bound of the answer; a line for one frame takes about 15 tokens.
    pub max_new_tokens: usize,
}

impl Default for GvlSettings {
    fn default() -> Self {
        Self { seed: 42, max_new_tokens: 1024 }
    }
}

/// What the model said of an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct GvlResult {
    /// The task's completion in each frame, 0..=1, in the order of time; `None` where the answer does not say it.
    pub values: Vec<Option<f64>>,
    /// How many of the values are there.
    pub parsed: usize,
    /// The answer itself; its frame numbers are the shuffled ones.
    pub text: String,
}

/// Asks the model for the completion in every frame; `frames` are in the order of time.
///
/// # Errors
/// [`VlmError::NoFrames`], an instruction or a frame the model cannot take, [`VlmError::PromptTooLong`], or a failure
/// of the inference. An answer that makes no sense is no error: its values are `None`.
pub fn values(
    model: &Qwen3Vl,
    frames: &[&RgbImage],
    instruction: &str,
    settings: &GvlSettings,
) -> Result<GvlResult, VlmError> {
    model.instruction_check().check(instruction)?;
    let order = shuffled(frames.len(), settings.seed);
    let prompt = prompt(frames, &order, instruction)?;
    let text = model.generate(&prompt, settings.max_new_tokens)?;
    let values = in_order_of_time(&percentages(&text, frames.len()), &order);
    Ok(GvlResult { parsed: values.iter().flatten().count(), values, text })
}

/// The turn shown to the model; `order[k]` is the frame that is called "Frame k + 1".
fn prompt<'a>(
    frames: &[&'a RgbImage],
    order: &[usize],
    instruction: &str,
) -> Result<Vec<PromptPart<'a>>, VlmError> {
    let text = |text: String| PromptPart::Text(text);
    let first = frames.first().ok_or(VlmError::NoFrames)?;
    let mut parts = vec![
        text(format!(
            "You are an expert roboticist tasked to predict task completion percentages for frames of a robot for the task of {instruction}.\n\
             The task completion percentages are between 0 and 100, where 100 corresponds to full task completion.\n\
             We provide several examples of the robot performing the task at various stages and their corresponding task completion percentages.\n\
             Note that the frames may be in random order, so please pay attention to the individual frames when reasoning about task completion percentage.\n\
             Initial robot scene:"
        )),
        PromptPart::Image(first),
        text(format!(
            "In the initial robot scene, the task completion percentage is 0%.\
             Now, for the task of {instruction}, output the task completion percentage for the following frames that are presented in random order. \
             For each frame, format your response as follow: Frame {{i}}: Task Completion Percentages:{{}}%\
             Be rigorous and precise; percentage reflects task completion.\
             Remember: frames are in random order."
        )),
    ];
    for (index, &frame) in order.iter().enumerate() {
        parts.push(text(format!("Frame {}:", index + 1)));
        parts.push(PromptPart::Image(frames[frame]));
    }
    Ok(parts)
}

fn in_order_of_time(said: &[Option<f64>], order: &[usize]) -> Vec<Option<f64>> {
    let mut values = vec![None; order.len()];
    for (&value, &frame) in said.iter().zip(order) {
        values[frame] = value;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_return_to_the_order_of_time() {
        // Frames 0..4 shown as 2, 0, 3, 1.
        let said = [Some(0.6), Some(0.0), None, Some(0.3)];
        assert_eq!(in_order_of_time(&said, &[2, 0, 3, 1]), [Some(0.0), Some(0.3), Some(0.6), None]);
    }

    #[test]
    fn a_model_that_knows_the_truth_is_read_back_whatever_the_seed() {
        let frames = 15;
        for seed in 0..50 {
            let order = shuffled(frames, seed);
            let answer: String = order
                .iter()
                .enumerate()
                .map(|(shown, frame)| {
                    format!("Frame {}: Task Completion Percentages:{}%\n", shown + 1, frame * 7)
                })
                .collect();
            let values = in_order_of_time(&percentages(&answer, frames), &order);
            let expected: Vec<_> = (0..frames).map(|frame| Some((frame * 7) as f64 / 100.0)).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn the_anchor_comes_first_and_every_frame_is_asked_about() {
        let frames: Vec<RgbImage> = (1..4).map(|width| RgbImage::new(width, 1)).collect();
        let borrowed: Vec<&RgbImage> = frames.iter().collect();
        let parts = prompt(&borrowed, &[2, 0, 1], "stack the cups").unwrap();
        let shown: Vec<String> = parts
            .iter()
            .map(|part| match part {
                PromptPart::Text(text) => text.clone(),
                PromptPart::Image(image) => format!("[{}]", image.width()),
            })
            .collect();
        assert!(shown[0].contains("for the task of stack the cups.\nThe task"));
        assert!(shown[0].ends_with("percentage.\nInitial robot scene:"));
        assert!(
            shown[2].starts_with("In the initial robot scene, the task completion percentage is 0%.Now, for")
        );
        assert!(shown[2].ends_with("Frame {i}: Task Completion Percentages:{}%Be rigorous and precise; percentage reflects task completion.Remember: frames are in random order."));
        assert_eq!(shown[1], "[1]");
        assert_eq!(shown[3..], ["Frame 1:", "[3]", "Frame 2:", "[1]", "Frame 3:", "[2]"]);
        assert!(matches!(prompt(&[], &[], "x"), Err(VlmError::NoFrames)));
    }
}
