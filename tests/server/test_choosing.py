"""How values of a configuration become candidates."""

from __future__ import annotations

from fedrec.config import ModelConfig
from fedrec.server.choosing import candidates_of


def test_no_residual_is_a_choice_and_no_limit_is_null() -> None:
    bare, shared = candidates_of(ModelConfig.model_validate({"name": "mf", "residual": ["none", "shared"]}))
    assert (bare.params["residual"], shared.params["residual"]) == ("none", "shared")
    (limitless,) = candidates_of(ModelConfig.model_validate({"name": "popularity", "max_items_per_user": "none"}))
    assert limitless.params["max_items_per_user"] is None
