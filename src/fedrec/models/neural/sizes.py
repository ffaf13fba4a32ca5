"""How many numbers are trained under each choice of what to train: public, and known before any training."""

from __future__ import annotations

from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.registry import create_neural

FULL, LOW_RANK, TOWER, FROZEN = (
    "all items and the encoder",
    "a quarter of the width",
    'content tower and encoder (residual = "none")',
    'encoder over the items of a closed form (freeze = "items")',
)
NARROW = 4


def sizes(model: str, num_items: int, dim: int, content_dim: int) -> dict[str, int]:
    """Numbers of each choice. Raises ConfigError for a recommender that is not trained by gradients."""
    narrow = max(1, dim // NARROW)
    return {
        FULL: _count(model, num_items, dim, 0),
        LOW_RANK: _count(model, num_items, narrow, 0),
        TOWER: _count(model, num_items, dim, content_dim, residual="none"),
        FROZEN: _count(model, num_items, dim, 0, freeze="items"),
    }


def _count(model: str, num_items: int, dim: int, content_dim: int, freeze: str = "", residual: str = "shared") -> int:
    network = create_neural(model, {"dim": dim, "residual": residual}).build(num_items, content_dim, 0)
    plan = LocalTraining(freeze=freeze)
    return sum(p.numel() for name, p in network.named_parameters() if not plan.freezes(name))
