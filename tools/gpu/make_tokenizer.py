"""Write a tokenizer.json for random weights on a machine without a network: `python tools/gpu/make_tokenizer.py FOLDER`.

Qwen's way of splitting with the words of this project's prompts learnt whole, so that prompts have about as many tokens as with Qwen's
own vocabulary, which has these words too. Numbers fall into digits, as with Qwen's.
"""

import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, trainers
from tokenizers.pre_tokenizers import ByteLevel

SPLITTING = Path(__file__).parents[2] / "tests/golden/tied/tokenizer.json"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PROMPT = (
    "The above video shows a robot manipulation trajectory that completes the following task: "
    "pick up the red cube and put it into the bowl Decide whether the above statement is True or not. The answer is:"
)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(SPLITTING))
    stamps = [f"<{tenths / 10:.1f} seconds>" for tenths in range(100)]
    corpus = [PROMPT, "user\n", "assistant\n", "True", "False", " True", " False"] * 100 + stamps
    trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    print(f"{len(tokenizer.encode(PROMPT).ids)} tokens for the question, {tokenizer.get_vocab_size()} in all")


if __name__ == "__main__":
    main()
