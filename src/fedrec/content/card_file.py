"""The content card beside a saved model: `content.json` says which fields told what users took next."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedrec.content.card import ContentCard
from fedrec.errors import ModelError
from fedrec.files import write_bytes
from fedrec.models.protocols import EncoderId

CARD = "content.json"
_CARD = TypeAdapter(ContentCard)


def write_card(folder: Path, card: ContentCard) -> None:
    """Put `card` beside the model in `folder`."""
    write_bytes(folder / CARD, json.dumps(asdict(card), indent=1, ensure_ascii=False).encode())


def read_card(folder: Path, encoder: EncoderId | None) -> ContentCard | None:
    """The card beside the model in `folder`; None without one. encoder: that of the model.

    Raises:
        ModelError: the file is damaged, or is about the content of another encoder than the model's.
    """
    path = folder / CARD
    if not path.exists():
        return None
    try:
        card = _CARD.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{path} is damaged; copy the folder again, or save the model again.") from error
    if card.encoder != encoder:
        raise ModelError(f"{path} is about content of the encoder {card.encoder}, the model's is {encoder}; remove it.")
    return card
