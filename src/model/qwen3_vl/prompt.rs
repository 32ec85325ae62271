//! The prompt, byte for byte, as token ids.
//!
//! Source of the video span: transformers 4.57, `models/qwen3_vl/processing_qwen3_vl.py`. The sentence and its two
//! settings, without and with the chat template, are TOPReward's (arXiv 2602.19313).

use serde_json::Value;
use tokenizers::Tokenizer;

use super::super::VlmError;
use super::error::LoadError;
use super::folder::ModelFolder;
use super::tokenizer_shape;

const FILE: &str = "tokenizer.json";
const BEFORE_INSTRUCTION: &str =
    "The above video shows a robot manipulation trajectory that completes the following task: ";
const BEHIND_INSTRUCTION: &str = " Decide whether the above statement is True or not. The answer is:";
/// The described variant of the reference implementation (`generate_object_state_reasoning` and the prompt it feeds).
const ASK_FOR_DESCRIPTION: &str = "Describe the robot manipulation trajectory in this video:";
const BEHIND_DESCRIPTION: &str = " Therefore given the above description and the video, the video shows a robot manipulation trajectory that **completes** the following instruction: ";

/// Turns text into token ids and knows the control tokens by name.
pub struct Prompt {
    /// Blind to control tokens: whatever it is given is text.
    text: Tokenizer,
    control: ControlTokens,
    chat_template: bool,
    max_instruction_tokens: usize,
    answer_true: u32,
    answer_false: u32,
}

struct ControlTokens {
    turn_start: u32,
    turn_end: u32,
    vision_start: u32,
    vision_end: u32,
    video_pad: u32,
    /// Only images need it; a tokenizer without it still scores videos.
    image_pad: Option<u32>,
    /// Ends an answer too, where there is one.
    text_end: Option<u32>,
}

impl Prompt {
    /// # Errors
    /// `tokenizer.json` missing or malformed, without Qwen's control tokens, or with an answer that is not one token.
    pub fn load(
        folder: &ModelFolder,
        vocab_size: usize,
        chat_template: bool,
        max_instruction_tokens: usize,
    ) -> Result<Self, LoadError> {
        let mut description: Value = folder.read_json(FILE)?;
        tokenizer_shape::check(&description)?;
        let control = ControlTokens::find(&description, vocab_size)?;
        // Without added tokens there is nothing an instruction could turn into a control token.
        // Some of them, <think> for one, are not marked as special and would pass every filter by that mark.
        description["added_tokens"] = Value::Array(Vec::new());
        description["truncation"] = Value::Null;
        description["padding"] = Value::Null;
        let text: Tokenizer = serde_json::from_value(description)
            .map_err(|source| LoadError::Json { file: FILE.to_owned(), source })?;
        let (answer_true, answer_false) = if chat_template { ("True", "False") } else { (" True", " False") };
        let prompt = Self {
            answer_true: single_token(&text, answer_true, vocab_size)?,
            answer_false: single_token(&text, answer_false, vocab_size)?,
            text,
            control,
            chat_template,
            max_instruction_tokens,
        };
        prompt.check_vocabulary(vocab_size)?;
        Ok(prompt)
    }

    /// What stands before the video.
    pub fn opening(&self) -> Result<Vec<u32>, VlmError> {
        Ok([vec![self.control.turn_start], self.encode("user\n")?].concat())
    }

    /// What stands before a pair's visual tokens; `seconds` is the mean of its frames' times.
    pub fn before_visual(&self, seconds: f64) -> Result<Vec<u32>, VlmError> {
        let mut tokens = self.encode(&time_stamp(seconds))?;
        tokens.push(self.control.vision_start);
        Ok(tokens)
    }

    /// The token that stands for one visual token.
    pub fn video_pad(&self) -> u32 {
        self.control.video_pad
    }

    /// What stands behind a pair's visual tokens.
    pub fn behind_visual(&self) -> [u32; 1] {
        [self.control.vision_end]
    }

    /// What stands behind the video: the sentence with the instruction, up to the answer.
    ///
    /// # Errors
    /// As [`Prompt::check_instruction`].
    pub fn question(&self, instruction: &str) -> Result<Vec<u32>, VlmError> {
        self.question_behind(BEFORE_INSTRUCTION, instruction)
    }

    /// As [`Prompt::question`], with a description of the video before the sentence.
    ///
    /// # Errors
    /// As [`Prompt::check_instruction`].
    pub fn described_question(&self, instruction: &str, description: &str) -> Result<Vec<u32>, VlmError> {
        self.question_behind(&format!("{description}{BEHIND_DESCRIPTION}"), instruction)
    }

    fn question_behind(&self, before: &str, instruction: &str) -> Result<Vec<u32>, VlmError> {
        self.check_instruction(instruction)?;
        let mut tokens = self.encode(&format!("{before}{instruction}{BEHIND_INSTRUCTION}"))?;
        if self.chat_template {
            tokens.extend(self.turn_of_the_assistant()?);
        }
        Ok(tokens)
    }

    /// What stands behind the video to have it described.
    pub fn ask_for_description(&self) -> Result<Vec<u32>, VlmError> {
        Ok([self.encode(ASK_FOR_DESCRIPTION)?, self.turn_of_the_assistant()?].concat())
    }

    /// A user's turn of texts with one image between each two, and the opening of the answer: the tokens before,
    /// between and behind the images, one list more than there are images.
    ///
    /// # Errors
    /// [`VlmError::Inference`] when the tokenizer fails.
    pub fn user_turn(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, VlmError> {
        let mut runs = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let mut run = Vec::new();
            if index == 0 {
                run.push(self.control.turn_start);
                // One text for the tokenizer, which may merge across the line break.
                run.extend(self.encode(&format!("user\n{text}"))?);
            } else {
                run.push(self.control.vision_end);
                run.extend(self.encode(text)?);
            }
            if index + 1 < texts.len() {
                run.push(self.control.vision_start);
            } else {
                run.extend(self.turn_of_the_assistant()?);
            }
            runs.push(run);
        }
        Ok(runs)
    }

    fn turn_of_the_assistant(&self) -> Result<Vec<u32>, VlmError> {
        let mut tokens = vec![self.control.turn_end];
        tokens.extend(self.encode("\n")?);
        tokens.push(self.control.turn_start);
        tokens.extend(self.encode("assistant\n")?);
        Ok(tokens)
    }

    /// The token that stands for one visual token of an image.
    ///
    /// # Errors
    /// [`VlmError::Inference`] when the tokenizer has none.
    pub fn image_pad(&self) -> Result<u32, VlmError> {
        self.control.image_pad.ok_or_else(|| {
            VlmError::Inference(
                "the model's tokenizer has no <|image_pad|>: it cannot be shown images".into(),
            )
        })
    }

    /// Whether this token ends an answer.
    pub fn ends_answer(&self, token: u32) -> bool {
        token == self.control.turn_end || Some(token) == self.control.text_end
    }

    /// The text of generated tokens; control tokens are left out.
    ///
    /// # Errors
    /// [`VlmError::Inference`] when the tokenizer fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, VlmError> {
        self.text.decode(tokens, true).map_err(|error| {
            VlmError::Inference(format!("tokens cannot be turned into text: {error}").into())
        })
    }

    /// # Errors
    /// [`VlmError::EmptyInstruction`] or [`VlmError::InstructionTooLong`].
    pub fn check_instruction(&self, instruction: &str) -> Result<(), VlmError> {
        if instruction.trim().is_empty() {
            return Err(VlmError::EmptyInstruction);
        }
        let (tokens, limit) = (self.encode(instruction)?.len(), self.max_instruction_tokens);
        if tokens > limit {
            return Err(VlmError::InstructionTooLong { tokens, limit });
        }
        Ok(())
    }

    /// The token ids of the two answers, true and false.
    pub fn answers(&self) -> (u32, u32) {
        (self.answer_true, self.answer_false)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, VlmError> {
        let encoding = self
            .text
            .encode_fast(text, false)
            .map_err(|error| VlmError::Inference(format!("a text cannot be tokenised: {error}").into()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A tokenizer made for a larger vocabulary would ask for embeddings that are not there.
    fn check_vocabulary(&self, vocab_size: usize) -> Result<(), LoadError> {
        let highest = self.text.get_vocab(false).into_values().max().unwrap_or(0);
        if highest as usize >= vocab_size {
            return Err(outside_vocabulary("its vocabulary", highest, vocab_size));
        }
        Ok(())
    }
}

impl ControlTokens {
    fn find(description: &Value, vocab_size: usize) -> Result<Self, LoadError> {
        let added = description.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let find_if_present = |name: &str| {
            let entry = added.iter().find(|token| token.get("content").and_then(Value::as_str) == Some(name));
            let id = entry
                .and_then(|token| token.get("id"))
                .and_then(Value::as_u64)
                .and_then(|id| u32::try_from(id).ok());
            match id {
                Some(id) if id as usize >= vocab_size => Err(outside_vocabulary(name, id, vocab_size)),
                found => Ok(found),
            }
        };
        let find = |name: &str| {
            find_if_present(name)?.ok_or_else(|| LoadError::Tokenizer {
                reason: format!("the control token {name} is missing: this is not Qwen3-VL's tokenizer"),
            })
        };
        Ok(Self {
            turn_start: find("<|im_start|>")?,
            turn_end: find("<|im_end|>")?,
            vision_start: find("<|vision_start|>")?,
            vision_end: find("<|vision_end|>")?,
            video_pad: find("<|video_pad|>")?,
            image_pad: find_if_present("<|image_pad|>")?,
            text_end: find_if_present("<|endoftext|>")?,
        })
    }
}

fn single_token(tokenizer: &Tokenizer, answer: &str, vocab_size: usize) -> Result<u32, LoadError> {
    let fail = |reason: String| LoadError::Tokenizer { reason };
    let encoding = tokenizer.encode_fast(answer, false).map_err(|error| fail(error.to_string()))?;
    match encoding.get_ids() {
        [id] if *id as usize >= vocab_size => Err(outside_vocabulary(answer, *id, vocab_size)),
        [id] => Ok(*id),
        ids => Err(fail(format!(
            "the answer \"{answer}\" must be one token, but is {}: its log-probability would not be the reward",
            ids.len()
        ))),
    }
}

fn outside_vocabulary(what: &str, id: u32, vocab_size: usize) -> LoadError {
    LoadError::Tokenizer {
        reason: format!("{what} reaches token {id}, but config.json's vocab_size is {vocab_size}"),
    }
}

/// The time with one decimal. Like Python's `.1f`, Rust rounds the exact binary value and breaks ties to even.
fn time_stamp(seconds: f64) -> String {
    format!("<{seconds:.1} seconds>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_round_as_python_does() {
        // Left: exact ties and values just below or above one, with what Python 3 prints for f"{x:.1f}".
        let expected = [
            (0.0, "0.0"),
            (0.25, "0.2"),
            (0.35, "0.3"),
            (0.75, "0.8"),
            (1.25, "1.2"),
            (1.35, "1.4"),
            (2.25, "2.2"),
            (0.05, "0.1"),
            (0.15, "0.1"),
            (0.45, "0.5"),
            (9.95, "9.9"),
            (12.04, "12.0"),
            (99.95, "100.0"),
            (1234.75, "1234.8"),
        ];
        for (seconds, text) in expected {
            assert_eq!(time_stamp(seconds), format!("<{text} seconds>"));
        }
    }
}
