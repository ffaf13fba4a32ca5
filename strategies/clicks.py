"""What server and client say to each other about models of clicks, besides rounds of training (`local_updates`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fedrec.errors import ConfigError, ProtocolError
from fedrec.messages import Body, Params
from fedrec.models.ctr import ClickProtocol, WideDeep

CLICKS = "evaluate.clicks"
ARM: Literal["clicks"] = "clicks"
"""Names what a tenant's test was read for, beside the arms of recommenders."""


class ClickBody(Body):
    """Predict the labels of your held-out events with the weights that come, and add up how good that is.

    params: of a `WideDeep`. measures: of a `ClickProtocol`.
    """

    arm: Literal["clicks"] = ARM
    params: Params
    measures: Params

    def click_protocol(self) -> ClickProtocol:
        """How predictions are measured. Raises ProtocolError if it is none."""
        values: dict[str, Any] = dict(self.measures)
        try:
            return ClickProtocol(**values)
        except (ConfigError, TypeError) as error:
            raise ProtocolError(f"The instruction holds no measures of this fedrec: {error}") from error


def click_model(params: Params) -> WideDeep:
    """The model of an instruction. Raises ProtocolError if there is none like it."""
    values: dict[str, Any] = dict(params)
    try:
        return WideDeep(**values)
    except (ConfigError, TypeError) as error:
        raise ProtocolError(f"The instruction names no model of clicks of this fedrec: {error}") from error


def click_params(value: WideDeep | ClickProtocol) -> Params:
    """A model or its measures in the form in which they cross the wire."""
    return dict(asdict(value))
