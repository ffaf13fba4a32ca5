"""Statistics of the tenant's users, joined into one contribution a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.client.content import features_of
from fedrec.client.fading import weighed
from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution, Layout, joined
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, ContributeBody, StatisticSpec, part
from fedrec.models.protocols import Statistic
from fedrec.models.statistics import CONTENT, OVER_CONTENT, STATISTICS


def statistics_of(body: ContributeBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> list[Statistic]:
    """What `body` asks for, with the content of the tenant's own catalogue where that plays a part.

    Raises ProtocolError for what is not known here, Refusal for content of another encoder.
    """
    return [
        _statistic(spec, part(arrays, str(index)) | _content(spec, body, store))
        for index, spec in enumerate(body.statistics)
    ]


def layout_of(statistics: Sequence[Statistic]) -> Layout:
    """The layout of their contribution, statistic `i` under the prefix `i`; known before any row is read."""
    layout = Layout(())
    for index, statistic in enumerate(statistics):
        layout = layout.join(statistic.layout().prefixed(str(index)))
    return layout


def contribute(body: ContributeBody, statistics: Sequence[Statistic], store: TenantStore) -> Contribution:
    """The sums that `body` asks for, statistic `i` under the prefix `i`.

    While hyper-parameters are chosen only the training rows are used, afterwards training and validation rows; the
    test item is in neither.
    """
    split = store.split(body.holdout)
    if body.phase == "choose":
        store.check_choosing_allowed()
    histories = weighed(split.train if body.phase == "choose" else split.fit, body.holdout)
    return joined({str(index): s.contribute(histories) for index, s in enumerate(statistics)})


def _statistic(spec: StatisticSpec, arrays: Mapping[str, AnyArray]) -> Statistic:
    if spec.name not in STATISTICS:
        raise ProtocolError(f"No statistic '{spec.name}' here; known: {', '.join(STATISTICS)}.")
    return STATISTICS[spec.name].from_wire(spec.params, arrays)


def _content(spec: StatisticSpec, body: ContributeBody, store: TenantStore) -> dict[str, AnyArray]:
    """The array that a statistic over content has from here and not from the server."""
    if spec.name not in OVER_CONTENT:
        return {}
    if body.encoder is None:
        raise ProtocolError(f"The statistic '{spec.name}' is over content; the instruction names no encoder.")
    content = features_of(store, body.encoder).content
    return {} if content is None else {CONTENT: content}
