"""How models of the run before do on events that are newer than it: measured before anything is learnt from those."""

from __future__ import annotations

from collections.abc import Mapping

from fedrec.client.recommenders import measure, received, scores_of
from fedrec.client.store import TenantStore
from fedrec.contribution import Contribution, joined
from fedrec.errors import ProtocolError
from fedrec.messages import AnyArray, ModelSpec, part
from fedrec.metrics import MetricSums
from fedrec.models import create
from fedrec.strategies.fresh import FreshBody


def score_fresh(body: FreshBody, arrays: Mapping[str, AnyArray], store: TenantStore) -> Contribution:
    """Metric sums of every model that `body` names, under its label.

    It ends all choosing on these rows: whoever had seen how models do on them could choose by it. The caller answers
    one such question about them. Raises ProtocolError unless the models came and the split is one by time.
    """
    counts = arrays.get("counts")
    if counts is None or counts.shape != (store.dataset().num_items,):
        raise ProtocolError("Expected 'counts', one for each item of the catalogue.")
    if body.arm != "federated" or body.phase != "choose" or body.holdout.rule != "time":
        raise ProtocolError("Fresh events are the validation of a split by time, ranked by federated models.")
    store.read_test()
    return joined({spec.label: _sums(body, spec, part(arrays, spec.label), counts, store) for spec in body.models})


def _sums(
    body: FreshBody, spec: ModelSpec, shared: Mapping[str, AnyArray], counts: AnyArray, store: TenantStore
) -> Contribution:
    fold, model = store.split(body.holdout).validation, create(spec.name, spec.candidates[0])
    metrics = measure(scores_of(model, received(model, shared, store, body), fold), fold, counts, store, body.holdout)
    return MetricSums.of(metrics, tenant=store.name, positions=fold.users).contribution()
