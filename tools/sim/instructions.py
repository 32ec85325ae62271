"""What the robot is told: one task in many wordings. `HELD_OUT` wordings never appear in training."""

NOUNS = ["block", "cube"]
PLACES = ["target", "goal", "marker", "goal marker", "target marker", "white ring", "ring", "target position", "goal position"]
WORDINGS = [
    "pick up the {thing} and place it at the {place}",
    "pick up the {thing} and place it on the {place}",
    "pick up the {thing} and put it on the {place}",
    "pick the {thing} and put it on the {place}",
    "move the {thing} to the {place}",
    "move the {thing} onto the {place}",
    "put the {thing} on the {place}",
    "place the {thing} on the {place}",
    "place the {thing} at the {place}",
    "grasp the {thing} and move it to the {place}",
    "bring the {thing} to the {place}",
    "carry the {thing} to the {place}",
    "pick and place the {thing} onto the {place}",
    "take the {thing} and drop it in the {place}",
]
HELD_OUT = [
    "transfer the {thing} onto the {place}",
    "lift the {thing} and set it down on the {place}",
    "get the {thing} over to the {place}",
    "relocate the {thing} to the {place}",
]


def instruction(rng, colour, wordings=WORDINGS):
    """A random wording; an empty colour leaves it to the scene which block is meant."""
    thing = f"{colour} {rng.choice(NOUNS)}".strip()
    text = str(rng.choice(wordings)).format(thing=thing, place=rng.choice(PLACES))
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.6 else text
