"""What Hugging Face generates on the golden checkpoints, for make_golden.py: tests/golden/generation.json.

Turns of texts and single images, and descriptions of a video, both greedy. Images keep to the engine's
bounds per frame, which are fed in as the image processor's `size`.
"""

from dataclasses import dataclass

import torch

TOKENS = 16
MARGIN = 1e-3  # nats between the likeliest token and the next: far more than the engine may be off
TOP = 16

# A description is asked for behind the video, and stands before the sentence that is scored.
ASK_FOR_DESCRIPTION = "Describe the robot manipulation trajectory in this video:"
DESCRIBED = (
    "{description} Therefore given the above description and the video, the video shows a robot "
    "manipulation trajectory that **completes** the following instruction: {instruction} "
    "Decide whether the above statement is True or not. The answer is:"
)
DESCRIPTION = "The gripper moves right; a red disc follows it <|im_end|> past the <think> box."


@dataclass(frozen=True)
class Turn:
    """Texts and images, (frame set, index), as they follow each other in a user's turn."""

    parts: tuple
    max_pixels: int = 16384


def all_turns(control: str) -> list[Turn]:
    first, later, last = ("aligned", 0), ("aligned", 5), ("aligned", 3)
    return [
        Turn((
            "Initial robot scene:", first, "Task completion is 0%.", "Frame 1:", later, "Frame 2:", last,
        )),
        Turn((first, later, "Which of the three comes last?", ("aligned", 6))),
        Turn(("One: ", ("camera", 1), "two:\n", ("large", 0), "three: ", ("thumbnail", 2)), 9000),
        Turn((control, first, later, control, last)),
        Turn(("Say how far the task has come.",)),
        # The tied checkpoint ends its answer to this one within the limit.
        Turn(("put down ", ("aligned", 2), "\n", ("aligned", 5))),
    ]


def runs_of(parts: tuple) -> tuple[list[str], list[tuple]]:
    """The texts before, between and behind the images, and the images."""
    texts, images = [""], []
    for part in parts:
        if isinstance(part, str):
            texts[-1] += part
        else:
            images.append(part)
            texts.append("")
    return texts, images


class Generation:
    """Greedy generation of one checkpoint; `reference` is make_golden.Reference."""

    def __init__(self, reference, added_tokens: list[str]):
        self.reference = reference
        self.added_tokens = added_tokens
        token = reference.tokenizer.token_to_id
        self.token = token
        self.ends = [token("<|im_end|>"), token("<|endoftext|>")]
        self.assistant = [
            token("<|im_end|>"), *self.text("\n"), token("<|im_start|>"), *self.text("assistant\n"),
        ]

    def text(self, part: str) -> list[int]:
        return self.reference.text_only.encode(part).ids

    def turn_inputs(self, turn: Turn) -> dict:
        """Model inputs of a turn; without control tokens in the texts Hugging Face's ids must be ours."""
        texts, images = runs_of(turn.parts)
        prompt = "<|im_start|>user\n" + "<|vision_start|><|image_pad|><|vision_end|>".join(texts)
        prompt += "<|im_end|>\n<|im_start|>assistant\n"
        holds_tokens = any(token in text for token in self.added_tokens for text in texts)
        if holds_tokens:
            prompt = "<|vision_start|><|image_pad|><|vision_end|>" * len(images)
        size = dict(shortest_edge=self.reference.min_pixels, longest_edge=turn.max_pixels)
        frames = [self.reference.frame_sets[name][index] for name, index in images]
        processed = self.reference.processor(
            text=[prompt], images=frames or None, return_tensors="pt", images_kwargs=dict(size=size)
        )
        pads = [height * width // 4 for _, height, width in processed.get("image_grid_thw", [])]
        ids = [self.token("<|im_start|>"), *self.text("user\n" + texts[0])]
        for count, behind in zip(pads, texts[1:], strict=True):
            ids += [self.token("<|vision_start|>"), *[self.token("<|image_pad|>")] * int(count)]
            ids += [self.token("<|vision_end|>"), *self.text(behind)]
        ids += self.assistant
        assert holds_tokens or processed["input_ids"][0].tolist() == ids, "tokenised differently"
        pictures = {name: processed[name] for name in ("pixel_values", "image_grid_thw") if images}
        ids = torch.tensor([ids])
        return dict(input_ids=ids, attention_mask=torch.ones_like(ids), **pictures)

    def greedy(self, inputs: dict) -> list[int]:
        """Hugging Face's generate, which must agree with itself without a cache."""
        model, prompt = self.reference.model, inputs["input_ids"]
        with torch.no_grad():
            out = model.generate(
                **inputs, max_new_tokens=TOKENS, do_sample=False, num_beams=1,
                eos_token_id=self.ends, pad_token_id=self.token("<|endoftext|>"),
            )
        generated = out[0, prompt.shape[1]:].tolist()
        # A generated pad or start would be text to generate(), and a missing picture to a run without a cache.
        visual = ("<|vision_start|>", "<|image_pad|>", "<|video_pad|>")
        assert not {self.token(name) for name in visual} & set(generated), generated
        for count, token in enumerate(generated):
            ids = torch.cat([prompt, torch.tensor([generated[:count]], dtype=torch.long)], dim=1)
            logits = self.reference.logits(
                dict(inputs, input_ids=ids, attention_mask=torch.ones_like(ids))
            )
            best = logits.topk(2)
            assert best.indices[0] == token, (count, token)
            assert best.values[0] - best.values[1] > MARGIN, (count, best.values)
        return generated

    def answer(self, inputs: dict) -> dict:
        generated = self.greedy(inputs)
        ended = generated[-1] in self.ends
        kept = generated[:-1] if ended else generated
        text = self.reference.tokenizer.decode(kept, skip_special_tokens=True)
        return dict(generated=kept, ended=ended, text=text)

    def turn(self, turn: Turn) -> dict:
        inputs = self.turn_inputs(turn)
        log_probs = torch.log_softmax(self.reference.logits(inputs).double(), dim=-1)
        top = log_probs.topk(TOP)
        return dict(
            checkpoint=self.reference.name, parts=turn.parts, max_pixels=turn.max_pixels,
            input_ids=inputs["input_ids"][0].tolist(),
            top=list(zip(top.indices.tolist(), top.values.tolist())), **self.answer(inputs),
        )

    def described(self, case) -> dict:
        """The description of a case's video, and the case scored behind a given one."""
        inputs = self.reference.inputs(case)
        video = inputs["input_ids"][0].tolist()
        behind = len(video) - 1 - video[::-1].index(self.token("<|vision_end|>"))
        tail = {
            "asked": self.text(ASK_FOR_DESCRIPTION) + self.assistant,
            "scored": self.text(
                DESCRIBED.format(description=DESCRIPTION, instruction=case.instruction)
            ) + (self.assistant if case.template else []),
        }
        for name, ids in tail.items():
            ids = torch.tensor([video[: behind + 1] + ids])
            tail[name] = dict(inputs, input_ids=ids, attention_mask=torch.ones_like(ids))
        log_probs = torch.log_softmax(self.reference.logits(tail["scored"]).double(), dim=-1)
        space = "" if case.template else " "
        true_id, false_id = (self.text(space + word)[0] for word in ("True", "False"))
        return dict(
            checkpoint=self.reference.name, frames_set=case.frames_set, n_frames=case.n_frames,
            times_s=case.times, template=case.template, instruction=case.instruction,
            max_pixels=case.max_pixels, description=DESCRIPTION,
            log_prob_true=log_probs[true_id].item(), log_prob_false=log_probs[false_id].item(),
            **self.answer(tail["asked"]),
        )
