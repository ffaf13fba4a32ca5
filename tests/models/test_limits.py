from __future__ import annotations

import pytest

from fedrec.errors import CatalogueTooLarge
from fedrec.models import ALS, EASE, MAX_PAIR_ITEMS, PCA, ClosedForm, ItemFeatures, ItemKNN, Markov
from fedrec.models.limits import MAX_COORDINATES


@pytest.mark.parametrize("algorithm", [EASE(), ItemKNN(), Markov(), PCA()], ids=lambda a: a.name)
def test_sums_over_pairs_refuse_a_large_catalogue_and_name_the_way_out(algorithm: ClosedForm) -> None:
    with pytest.raises(CatalogueTooLarge, match=r"GB up from each client.*PCA\(method=\"subspace\"\) or ALS"):
        algorithm.begin(ItemFeatures(MAX_PAIR_ITEMS + 1))
    assert "num_items" in algorithm.begin(ItemFeatures(MAX_PAIR_ITEMS))


def test_the_message_states_bytes_and_memory() -> None:
    # 100,000 items: 5.0e9 pairs, 4 bytes each up; 8 bytes each and 12 for each of 1e10 matrix elements held
    with pytest.raises(CatalogueTooLarge, match=r"100,000 items need 20\.0 GB up .* and 160\.0 GB of memory"):
        EASE().begin(ItemFeatures(100_000))


def test_the_limit_can_be_raised_and_lowered() -> None:
    assert EASE(catalogue_limit=30_000).begin(ItemFeatures(30_000))
    with pytest.raises(CatalogueTooLarge, match="catalogue_limit=10"):
        EASE(catalogue_limit=10).begin(ItemFeatures(11))


def test_als_refuses_factors_whose_sums_would_not_fit() -> None:
    assert MAX_COORDINATES == 200_010_000
    with pytest.raises(CatalogueTooLarge, match="428,800,000 numbers .* Lower rank"):
        ALS(rank=64).begin(ItemFeatures(200_000))
    assert "item_factors" in ALS(rank=16).begin(ItemFeatures(200_000))


def test_subspace_pca_takes_a_catalogue_beyond_the_limit_of_pairs() -> None:
    assert PCA(rank=2, oversample=2, method="subspace").begin(ItemFeatures(200_000))["basis"].shape == (200_000, 4)
