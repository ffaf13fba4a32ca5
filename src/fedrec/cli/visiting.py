"""Which recommender answers a visitor: the one that is asked, or by content where that one knows nothing to go by."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.cli.run_folder import RunFolder
from fedrec.data import Catalogue
from fedrec.errors import ConfigError
from fedrec.models import ContentKNN, ContentMap, Recommender
from fedrec.models.interest import Interest, by_content, with_interest
from fedrec.models.protocols import Extendable

BY_CONTENT = (ContentMap.name, ContentKNN.name)
"""The recommenders of a run that know items by their content, the better one for new items first."""


@dataclass(frozen=True, eq=False)
class Visit:
    """A recommender under its name, the visitor's history as it knows it, and the catalogue that describes both."""

    name: str
    recommender: Recommender
    catalogue: Catalogue
    history: tuple[str, ...]

    def saying(self, interest: str) -> Visit:
        """With what the visitor says it wants, before all that was had. Raises ConfigError, ModelError."""
        said = Interest.parse(interest, self.catalogue)
        recommender = with_interest(self.recommender, self.catalogue, said)
        return Visit(self.name, recommender, self.catalogue.extended([said.item_id]), (said.item_id, *self.history))

    def is_known(self) -> bool:
        """Whether the recommender goes by ids and some item of the history was had by somebody when it was fitted."""
        counts = dict(zip(self.recommender.item_ids, self.recommender.weights["popularity"], strict=True))
        return any(counts.get(item, 1.0) > 0 for item in self.history)


def visit(asked: Visit, interest: str | None, run: RunFolder | None, may_change: bool) -> Visit:
    """How the visitor is answered.

    An item that nobody had tells nothing to a recommender that goes by ids, and an interest has no id at all: both go
    by content. run: where other recommenders are. may_change: False if the visitor insists on this one.
    """
    if interest is not None and not _is_described(asked.catalogue):
        raise ConfigError("An interest is compared with what is known of items; give their descriptions, --catalogue.")
    speechless = interest is not None or (bool(asked.history) and not asked.is_known())
    goes_by_ids = not isinstance(asked.recommender.algorithm, Extendable)
    if may_change and speechless and goes_by_ids and _is_described(asked.catalogue):
        asked = _by_content(asked, run)
    return asked if interest is None else asked.saying(interest)


def _is_described(catalogue: Catalogue) -> bool:
    return any(text is not None for text in catalogue.text) or any(catalogue.categories)


def _by_content(asked: Visit, run: RunFolder | None) -> Visit:
    """By the run's own recommender of content, or by the likeness of content alone."""
    known = {card["model"]: card["name"] for card in run.server()["models"]} if run is not None else {}
    for model in BY_CONTENT:
        if run is not None and model in known:
            name, recommender = run.model(known[model])
            return Visit(name, recommender, asked.catalogue, asked.history)
    return Visit(ContentKNN.name, by_content(asked.recommender, asked.catalogue), asked.catalogue, asked.history)
