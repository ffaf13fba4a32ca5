"""Statistics of the tenant's users, joined into one contribution a round."""

from __future__ import annotations

from collections.abc import Mapping

from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution, joined
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, ContributeBody, StatisticSpec, part
from fedrec.models.protocols import Statistic
from fedrec.models.statistics import STATISTICS


def contribute(body: ContributeBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """The sums that `body` asks for, statistic `i` under the prefix `i`.

    While hyper-parameters are chosen only the training rows are used, afterwards training and validation rows; the
    test item is in neither.
    """
    split = store.split(body.holdout)
    if body.phase == "choose":
        store.check_choosing_allowed()
    histories = split.train if body.phase == "choose" else split.fit
    statistics = [_statistic(spec, part(arrays, str(index))) for index, spec in enumerate(body.statistics)]
    return joined({str(index): s.contribute(histories) for index, s in enumerate(statistics)})


def _statistic(spec: StatisticSpec, arrays: Mapping[str, AnyArray]) -> Statistic:
    if spec.name not in STATISTICS:
        raise ProtocolError(f"No statistic '{spec.name}' here; known: {', '.join(STATISTICS)}.")
    return STATISTICS[spec.name].from_wire(spec.params, arrays)
