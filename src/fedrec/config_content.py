"""The part of a configuration that is about what is publicly known of the items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

EncoderName = Literal["hashed", "minilm", "none"]
NO_CONTENT: EncoderName = "none"


class ContentConfig(BaseModel):
    """What turns the public catalogue into vectors, the same at every party.

    encoder: "hashed" needs nothing, "minilm" needs the extra [text] at every tenant, "none" leaves items to their ids.
    Clients are told its name and its digest; one whose encoder gives other vectors refuses. images: a file with a
    vector for each item, see `fedrec.content.vectors`, which becomes one more field. image_source: the model that made
    them; where tenants bring files of their own, that has to agree. Without it everyone must have this very file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderName = "hashed"
    images: str | None = None
    image_source: str | None = None


def check_content(content: ContentConfig, local: Mapping[str, Any]) -> None:
    """Raises ValueError for images or a plan of training, `training.local`, that need content where there is none."""
    if content.encoder == NO_CONTENT and content.images is not None:
        raise ValueError("content: images are a part of the content; set encoder to 'hashed' or 'minilm'")
    if content.image_source is not None and content.images is None:
        raise ValueError("content: image_source says what made the images; give their file as images, too")
    if content.encoder == NO_CONTENT and local.get("item_dropout"):
        raise ValueError(
            "training: local.item_dropout leaves items to their content, and there is none; set content.encoder to "
            "'hashed' or 'minilm', or item_dropout to 0"
        )
