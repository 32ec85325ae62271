//! Greedy generation: as much as the GVL baseline and the described variant of TOPReward need.
//!
//! Sources: transformers 4.57, `models/qwen3_vl/processing_qwen3_vl.py` (an image is one span of `<|image_pad|>`) and
//! `models/qwen2_vl/image_processing_qwen2_vl_fast.py` (it enters the vision tower as a pair of itself). One thing
//! differs on purpose: images keep to the same pixel bounds as the frames that are scored.

use ::image::RgbImage;

use super::super::{LogProbs, VlmError};
use super::cache::KvCache;
use super::config::FRAMES_PER_PAIR;
use super::episode::QwenEpisode;
use super::error::inference;
use super::mrope::TokenChunk;
use super::vision::{GridTables, PatchGrid, VisionFeatures};
use super::{Qwen3Vl, no_numbers, on_worker};

/// A piece of a user's turn. A text is data: nothing in it becomes a control token.
#[derive(Debug, Clone)]
pub enum PromptPart<'a> {
    Text(String),
    Image(&'a RgbImage),
}

impl Qwen3Vl {
    /// The model's answer to one turn in the chat template: the likeliest token each time, until the turn's end or
    /// `max_new_tokens`.
    ///
    /// # Errors
    /// [`VlmError::FrameSize`] for an image that cannot be used, [`VlmError::PromptTooLong`], or
    /// [`VlmError::Inference`].
    pub fn generate(&self, parts: &[PromptPart], max_new_tokens: usize) -> Result<String, VlmError> {
        self.prompt.decode(&self.generate_tokens(parts, max_new_tokens)?)
    }

    /// The tokens behind [`Qwen3Vl::generate`], without the one that ended the answer.
    ///
    /// # Errors
    /// As [`Qwen3Vl::generate`].
    pub fn generate_tokens(&self, parts: &[PromptPart], max_new_tokens: usize) -> Result<Vec<u32>, VlmError> {
        on_worker(|| {
            let mut cache = self.text.new_cache();
            let (_, logits) = self.read_turn(parts, &mut cache)?;
            self.answer(logits, &mut cache, max_new_tokens)
        })
    }

    /// All token ids of the prompt of [`Qwen3Vl::generate`], and the logits of the answer's first token, one per
    /// vocabulary entry.
    ///
    /// # Errors
    /// As [`Qwen3Vl::generate`].
    pub fn next_token_logits(&self, parts: &[PromptPart]) -> Result<(Vec<u32>, Vec<f32>), VlmError> {
        on_worker(|| self.read_turn(parts, &mut self.text.new_cache()))
    }

    /// What the model sees in the episode so far, in its own words and without knowing the instruction. Leaves the
    /// episode as it was.
    ///
    /// # Errors
    /// [`VlmError::NoFrames`], [`VlmError::EpisodeTooLong`] or [`VlmError::Inference`].
    pub fn describe(&self, episode: &mut QwenEpisode, max_new_tokens: usize) -> Result<String, VlmError> {
        if episode.frames() == 0 {
            return Err(VlmError::NoFrames);
        }
        let tokens = on_worker(|| {
            let (logits, mut fork) =
                self.ask(episode, &self.prompt.ask_for_description()?, |chunk, cache| {
                    self.text.last_logits(chunk, cache)
                })?;
            self.answer(logits, fork.cache(), max_new_tokens)
        })?;
        Ok(self.prompt.decode(&tokens)?.trim().to_owned())
    }

    /// As [`super::super::VideoVlm::score`], with a description of the video (see [`Qwen3Vl::describe`]) before the
    /// sentence and the reference's wording for that case.
    ///
    /// # Errors
    /// As [`super::super::VideoVlm::score`].
    pub fn score_described(
        &self,
        episode: &mut QwenEpisode,
        instruction: &str,
        description: &str,
    ) -> Result<LogProbs, VlmError> {
        let question = self.prompt.described_question(instruction, description)?;
        on_worker(|| self.score_frames(episode, &question))
    }

    /// Runs a user's turn and the opening of the answer into an empty cache: its token ids and the last logits.
    fn read_turn(&self, parts: &[PromptPart], cache: &mut KvCache) -> Result<(Vec<u32>, Vec<f32>), VlmError> {
        let (texts, images) = around_images(parts);
        let runs = self.prompt.user_turn(&texts)?;
        let grids = images
            .iter()
            .map(|image| self.processor.grid(image.width(), image.height()))
            .collect::<Result<Vec<_>, _>>()?;
        let tokens = runs.iter().map(Vec::len).chain(grids.iter().map(PatchGrid::tokens)).sum();
        if tokens > self.max_tokens {
            return Err(VlmError::PromptTooLong { tokens, limit: self.max_tokens });
        }
        let features = self.encode_images(&images, &grids)?;
        let mut chunk = TokenChunk::starting_at(0);
        for (index, run) in runs.iter().enumerate() {
            chunk.push_text(run);
            if let (Some(grid), Some(features)) = (grids.get(index), features.get(index)) {
                chunk.push_visual(self.prompt.image_pad()?, grid, features);
            }
        }
        let logits = self.text.last_logits(&chunk, cache).map_err(inference)?;
        Ok((chunk.tokens().to_vec(), logits))
    }

    /// Each image at its own size, as a pair of itself.
    fn encode_images(
        &self,
        images: &[&RgbImage],
        grids: &[PatchGrid],
    ) -> Result<Vec<VisionFeatures>, VlmError> {
        let mut encoded = Vec::with_capacity(images.len());
        let mut known: Option<(PatchGrid, GridTables)> = None;
        for (image, grid) in images.iter().zip(grids) {
            let (_, tables) = match known.take() {
                Some(same) if same.0 == *grid => known.insert(same),
                _ => known.insert((*grid, self.vision.grid_tables(grid).map_err(inference)?)),
            };
            let resized = self.processor.resize(image, grid)?;
            let patches = self.processor.patches([&resized; FRAMES_PER_PAIR], grid)?;
            encoded.push(self.vision.encode(&patches, tables).map_err(inference)?);
        }
        Ok(encoded)
    }

    /// Goes on from the logits behind the cached tokens.
    fn answer(
        &self,
        logits: Vec<f32>,
        cache: &mut KvCache,
        max_new_tokens: usize,
    ) -> Result<Vec<u32>, VlmError> {
        let room = self.max_tokens.saturating_sub(cache.len());
        greedy(
            logits,
            max_new_tokens.min(room),
            |token| self.prompt.ends_answer(token),
            |token| {
                let mut chunk = TokenChunk::starting_at(cache.next_position());
                chunk.push_text(&[token]);
                self.text.last_logits(&chunk, cache).map_err(inference)
            },
        )
    }
}

/// The texts before, between and behind the images, and the images: one text more than there are images.
fn around_images<'a>(parts: &[PromptPart<'a>]) -> (Vec<String>, Vec<&'a RgbImage>) {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    let mut text = String::new();
    for part in parts {
        match part {
            PromptPart::Text(more) => text.push_str(more),
            PromptPart::Image(image) => {
                texts.push(std::mem::take(&mut text));
                images.push(*image);
            }
        }
    }
    texts.push(text);
    (texts, images)
}

/// The likeliest token each time, from the first `logits` on, `step` giving those behind a token.
fn greedy(
    mut logits: Vec<f32>,
    limit: usize,
    is_end: impl Fn(u32) -> bool,
    mut step: impl FnMut(u32) -> Result<Vec<f32>, VlmError>,
) -> Result<Vec<u32>, VlmError> {
    let mut tokens = Vec::new();
    while tokens.len() < limit {
        let token = likeliest(&logits)?;
        if is_end(token) {
            break;
        }
        tokens.push(token);
        if tokens.len() < limit {
            logits = step(token)?;
        }
    }
    Ok(tokens)
}

/// The index of the largest logit, the first of equals.
fn likeliest(logits: &[f32]) -> Result<u32, VlmError> {
    let mut best: Option<(usize, f32)> = None;
    for (token, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return Err(no_numbers());
        }
        if best.is_none_or(|(_, most)| logit > most) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token as u32).ok_or_else(no_numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits over five tokens of which `token` is the largest.
    fn towards(token: u32) -> Vec<f32> {
        (0..5).map(|index| if index == token { 1.5 } else { -0.5 }).collect()
    }

    fn ends(token: u32) -> bool {
        token == 4
    }

    #[test]
    fn generation_ends_at_the_end_token_or_the_limit() {
        let count_up = |token: u32| Ok(towards(token + 1));
        assert_eq!(greedy(towards(1), 10, ends, count_up).unwrap(), [1, 2, 3]);
        assert_eq!(greedy(towards(1), 2, ends, count_up).unwrap(), [1, 2]);
        assert!(greedy(towards(4), 10, ends, count_up).unwrap().is_empty());
        assert!(greedy(towards(1), 0, ends, count_up).unwrap().is_empty());
        let mut steps = 0;
        let one = |_| {
            steps += 1;
            Ok(towards(1))
        };
        assert_eq!(greedy(towards(1), 3, ends, one).unwrap(), [1, 1, 1]);
        assert_eq!(steps, 2, "behind the last token nothing is computed");
    }

    #[test]
    fn the_first_of_equals_is_taken_and_no_number_is_refused() {
        assert_eq!(likeliest(&[f32::NEG_INFINITY, 2.0, 2.0]).unwrap(), 1);
        assert_eq!(likeliest(&[f32::NEG_INFINITY]).unwrap(), 0);
        assert!(matches!(likeliest(&[0.0, f32::NAN]), Err(VlmError::Inference(_))));
        assert!(likeliest(&[]).is_err());
    }

    #[test]
    fn texts_are_joined_up_to_the_next_image() {
        let image = RgbImage::new(1, 1);
        let text = |text: &str| PromptPart::Text(text.to_owned());
        let parts = [PromptPart::Image(&image), PromptPart::Image(&image), text("a"), text(""), text("b\n")];
        let (texts, images) = around_images(&parts);
        assert_eq!(texts, ["", "", "ab\n"]);
        assert_eq!(images.len(), 2);
        assert_eq!(around_images(&[]).0, [""]);
    }
}
