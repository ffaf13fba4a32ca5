"""Topics of the synthetic marketplace and the words by which its item texts give them away."""

from __future__ import annotations

_WORDS = {
    "camping": "tent lantern campfire rucksack hammock trail canteen compass",
    "kitchen": "skillet saucepan whisk ladle colander spatula teapot grinder",
    "garden": "trowel seedling watering pruner compost trellis planter hose",
    "music": "guitar metronome drumstick tuner amplifier violin plectrum keyboard",
    "books": "novel paperback atlas bookmark anthology memoir thriller bookend",
    "cycling": "pedal saddle derailleur helmet pannier inner-tube handlebar pump",
    "toys": "puzzle marble plush kite domino spinning-top doll blocks",
    "office": "stapler notebook fountain-pen folder desk-lamp whiteboard eraser binder",
    "fitness": "dumbbell kettlebell yoga-mat treadmill skipping-rope bench resistance-band roller",
    "pets": "leash aquarium birdcage scratching-post kibble collar hamster-wheel terrarium",
    "photo": "tripod lens flash darkroom shutter viewfinder filter film",
    "baking": "flour rolling-pin yeast cake-tin icing sieve vanilla muffin",
}
COMMON_WORDS = ("classic", "compact", "deluxe", "large", "light", "new", "original", "pro", "small", "sturdy")


def topic(number: int) -> tuple[str, tuple[str, ...]]:
    """The name of a topic and its words. After the last topic they start again with numbers behind them."""
    name = list(_WORDS)[number % len(_WORDS)]
    lap = number // len(_WORDS)
    suffix = str(lap + 1) if lap else ""
    return name + suffix, tuple(word + suffix for word in _WORDS[name].split())
