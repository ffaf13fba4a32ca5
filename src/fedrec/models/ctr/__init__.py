"""Models of clicks: how probable is the label of an event, such as clicked or liked, and how true was that?"""

from __future__ import annotations

from fedrec.models.ctr.events import ClickEvents, ClickSplit, hold_out
from fedrec.models.ctr.features import Contexts, Hashed, Hashing, contexts
from fedrec.models.ctr.learning import ClickBatch, Clicks
from fedrec.models.ctr.metrics import ClickFigures, ClickProtocol, ClickSums, Reliability
from fedrec.models.ctr.predictor import ClickPredictor
from fedrec.models.ctr.rows import ClickRows, measured
from fedrec.models.ctr.widedeep import WideDeep, WideDeepNetwork, probabilities

__all__ = [
    "ClickBatch",
    "ClickEvents",
    "ClickFigures",
    "ClickPredictor",
    "ClickProtocol",
    "ClickRows",
    "ClickSplit",
    "ClickSums",
    "Clicks",
    "Contexts",
    "Hashed",
    "Hashing",
    "Reliability",
    "WideDeep",
    "WideDeepNetwork",
    "contexts",
    "hold_out",
    "measured",
    "probabilities",
]
