"""Global models on the server's disk: safetensors for weights, JSON for the rest."""

from __future__ import annotations

from pathlib import Path

from fedrec.content import ContentCard
from fedrec.content.card_file import write_card
from fedrec.data import Catalogue
from fedrec.models import Recommender, Weights, load, parameters_of
from fedrec.server.choosing import Candidate


def save_model(
    folder: Path, candidate: Candidate, weights: Weights, catalogue: Catalogue, card: ContentCard | None = None
) -> None:
    """Write a fitted global model; whole or not at all. card: of its content, if it has any."""
    recommender = Recommender(candidate.algorithm, weights, catalogue.item_ids)
    recommender.save(folder)
    if card is not None and card.encoder == recommender.encoder:
        write_card(folder, card)


def load_models(folder: Path) -> dict[str, tuple[Candidate, Weights]]:
    """Label -> model of every model in `folder`."""
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        model = load(path)
        candidate = Candidate(path.name, model.algorithm.name, parameters_of(model.algorithm))
        found[path.name] = (candidate, model.weights)
    return found
