"""Whether all trials of a search ask tenants for the same sums: then a budget pays for these once.

That is tried out where the values of the space are extreme, without any data. A search that asks for other sums after
all pays for them, too, and so ends before its last trial: the tenants' ledgers go by what was released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.config import Config
from fedrec.config_training import Value
from fedrec.errors import FedrecError
from fedrec.models import ItemFeatures
from fedrec.models.fitting import may_recur
from fedrec.privacy.budget import rehearsed
from fedrec.server.private_run import closed_forms
from fedrec.server.run import options_of
from fedrec.simulations.search_space import one_of_each
from fedrec.tune_config import Range, Space


def corners(space: Space) -> list[Mapping[str, Value]]:
    """A value for each key, in as many ways as one of them can be extreme, or something else."""
    first = one_of_each(space)
    several = {key: (v.low, v.high) if isinstance(v, Range) else v for key, v in space.items()}
    return [{**first, key: value} for key, values in several.items() for value in values]


def share_sums(configs: Sequence[Config], items: ItemFeatures) -> bool:
    """Whether these configurations need the same sums, each of which can be told by its name and parameters. One that
    cannot be run asks for none."""
    asked = [keys for config in configs if (keys := _keys(config, items)) is not None]
    return len(set(asked)) == 1 and "" not in asked[0]


def _keys(config: Config, items: ItemFeatures) -> frozenset[str] | None:
    """The sums of a run; "" for one that is about arrays, and so its own. None for a run that cannot be."""
    try:
        steps = rehearsed(closed_forms(options_of(config)), items)
    except FedrecError:
        return None
    return frozenset(statistic.key if may_recur(statistic) else "" for step in steps for statistic in step)
