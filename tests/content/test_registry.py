"""Two parties use content together only if it comes from the same encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from fedrec.content import ENCODERS, HashedEncoder, encoder_named
from fedrec.content.registry import agreed_encoder
from fedrec.errors import ConfigError, Refusal
from fedrec.models.protocols import EncoderId


@dataclass(frozen=True)
class Newer(HashedEncoder):
    """What the next version of the default encoder would be."""

    version: ClassVar[int] = 99


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_agrees_with_itself(name: str) -> None:
    encoder = encoder_named(name)
    assert encoder.name == name
    assert agreed_encoder(encoder.identity) == encoder


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no encoder 'hash'; did you mean 'hashed'"):
        encoder_named("hash")
    with pytest.raises(ConfigError, match="there are hashed, minilm"):
        encoder_named("x")


@pytest.mark.parametrize("other", [Newer(), HashedEncoder(text_weight=2.0)], ids=["version", "settings"])
def test_another_version_or_setting_is_refused_and_both_are_named(other: HashedEncoder) -> None:
    with pytest.raises(Refusal) as caught:
        agreed_encoder(other.identity)
    assert caught.value.reason == "encoder-mismatch"
    assert str(other.identity) in caught.value.detail
    assert str(HashedEncoder().identity) in caught.value.detail


def test_an_encoder_that_is_not_here_is_refused() -> None:
    with pytest.raises(Refusal, match="encoder photos 12; here are hashed, minilm"):
        agreed_encoder(EncoderId("photos", "12"))


def test_a_tenant_may_bring_an_encoder_of_its_own() -> None:
    own = HashedEncoder(text_weight=2.0)
    assert agreed_encoder(own.identity, own=[own]) is own
