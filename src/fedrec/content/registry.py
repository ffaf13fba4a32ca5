"""Encoders by the name under which instructions and models know them, and what happens when two do not agree."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

from fedrec.content.encoder import ItemEncoder
from fedrec.content.hashed import HashedEncoder
from fedrec.content.minilm import minilm_encoder
from fedrec.errors import ConfigError, Refusal
from fedrec.models.protocols import EncoderId

ENCODERS: Mapping[str, Callable[[], ItemEncoder]] = {"hashed": HashedEncoder, "minilm": minilm_encoder}
"""Name -> how to make the encoder, with the settings that all parties have unless they agree on others."""


def encoder_named(name: str) -> ItemEncoder:
    """The encoder `name`. Raises ConfigError for an unknown one."""
    if name not in ENCODERS:
        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(ENCODERS)}."
        raise ConfigError(f"There is no encoder '{name}'{hint}")
    return ENCODERS[name]()


def agreed_encoder(asked: EncoderId, own: Iterable[ItemEncoder] = ()) -> ItemEncoder:
    """This party's encoder for an instruction that was made with `asked`.

    own: encoders beside those of `ENCODERS`, such as one with the tenant's image vectors.

    Raises:
        Refusal: this party has no such encoder, or one of the same name that gives other vectors.
    """
    known = {encoder.name: encoder for encoder in own}
    if asked.name not in known and asked.name not in ENCODERS:
        here = ", ".join([*ENCODERS, *known])
        raise Refusal("encoder-mismatch", f"the instruction uses content of the encoder {asked}; here are {here}")
    encoder = known.get(asked.name) or encoder_named(asked.name)
    if encoder.identity != asked:
        raise Refusal(
            "encoder-mismatch",
            f"the instruction uses content of the encoder {asked}, here it is {encoder.identity}; "
            "install the same version of fedrec, with the same settings",
        )
    return encoder
