"""The prompt, token by token, as the engine builds it, and the small tokenizer that goes with the model."""

import sys
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sim"))
from instructions import instruction

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange"]
OPENING = "<|im_start|>user\n"
STEM = "The above video shows a robot manipulation trajectory that completes the following task:"
QUESTION = STEM + " {} Decide whether the above statement is True or not. The answer is:"
CONTROL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
VOCABULARY = 1024
# Qwen2's pre-tokenizer: contractions, words with one leading sign, single digits, punctuation, white space.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Words beyond the training task, so that other instructions don't fall apart into letters.
MORE_WORDS = (
    "open close drawer door cup bowl plate pen marker box bin stack push pull lift drop left right top bottom front behind inside into from with "
    "arm gripper robot hand object black white pink brown grey small large towel fold cloth ball bottle lid sponge banana apple toy battery lego "
    "brick the a an to of in on at up down and then it is transfer relocate get over set"
).split()


def corpus():
    rng = np.random.default_rng(0)
    for index in range(3000):
        yield f"user\n<{index / 30:.1f} seconds>"
        yield QUESTION.format(instruction(rng, COLOURS[index % 6])) + (" True" if index % 2 else " False")
    for word in MORE_WORDS:
        yield from [f"pick the {word} up {word} task: {word.capitalize()} {word}"] * 20
    yield from ["assistant\nTrue", "assistant\nFalse", "system\n"] * 20


def build_tokenizer():
    """A byte-level BPE with Qwen's control tokens; everything but the vocabulary is as in Qwen's own tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(CONTROL)
    for word in (" True", " False", "True", "False"):
        assert len(tokenizer.encode(word).ids) == 1, word
    return tokenizer


class Prompt:
    """Token ids of the prompt's pieces."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.opening = self._ids(OPENING)
        self.vision_start, self.vision_end, self.pad = (
            tokenizer.token_to_id(name) for name in ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>")
        )
        self.true, self.false = (self._ids(word)[0] for word in (" True", " False"))
        self.stem = self._ids(STEM)
        self._questions = {}

    def _ids(self, text):
        return self.tokenizer.encode(text).ids

    def seconds(self, time):
        return self._ids(f"<{time:.1f} seconds>")

    def question(self, text):
        """The whole sentence as one string; its first tokens are `stem` whatever the instruction says."""
        if text not in self._questions:
            ids = self._ids(QUESTION.format(text))
            assert ids[: len(self.stem)] == self.stem
            self._questions[text] = ids
        return self._questions[text]
