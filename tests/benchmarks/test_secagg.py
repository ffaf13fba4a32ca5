"""Secure aggregation's figures: that a wrong sum would be seen, that both sides are timed at the same work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import secagg_deviations, secagg_exactness, secagg_flower
from benchmarks.registry import BENCHMARKS
from benchmarks.secagg import CASES, cost_of, rounding_seconds
from benchmarks.secagg_exactness import SMALL, Shard, thin_graph, wrong_of_long_sum
from benchmarks.secagg_federation import Federation, Silent, random_words, wrong_words
from benchmarks.secagg_grid import round_costs
from fedrec.contribution import Words
from fedrec.errors import FedrecError, RoundFailed
from fedrec.privacy.secagg import keys, party, stages
from fedrec.privacy.secagg.graph import Parameters
from fedrec.rng import derive

UPDATE = np.linspace(-1, 1, 50).astype(np.float32)


def federation(num_clients: int = 4) -> Federation:
    return Federation(num_clients, thin_graph, SMALL)


def words_of(node: int) -> Words:
    return random_words(derive(0, "test", node), SMALL)


def test_both_benchmarks_can_be_run_by_name() -> None:
    assert {"secagg", "secagg-exactness"} <= set(BENCHMARKS)


def test_one_wrong_coordinate_is_seen() -> None:
    clients = federation()
    clients.invite(Silent())
    aggregate = clients.round(words_of, Silent())
    assert wrong_words(clients, words_of, aggregate) == 0
    aggregate.total.u32[1] += 1
    aggregate.total.u64[0] += 1
    assert wrong_words(clients, words_of, aggregate) == 2


def test_a_vector_that_is_not_in_the_sum_is_not_expected_there() -> None:
    clients = federation(10)
    clients.invite(Silent())
    aggregate = clients.round(words_of, Silent(upload=frozenset({3})))
    assert aggregate.dead == (3,)
    assert wrong_words(clients, words_of, aggregate) == 0
    assert wrong_words(clients, words_of, replace(aggregate, alive=(*aggregate.alive, 3))) == 5


@pytest.mark.parametrize("phase", ["upload", "consent", "reveal"])
def test_silence_of_too_many_fails_the_round_in_every_phase(phase: str) -> None:
    clients = federation(6)
    clients.invite(Silent())
    with pytest.raises(RoundFailed):
        clients.round(words_of, Silent(**{phase: frozenset({1, 2, 3, 4})}))


@pytest.mark.parametrize("phase", ["advertise", "share"])
def test_silence_of_too_many_fails_the_invitation(phase: str) -> None:
    with pytest.raises(RoundFailed):
        federation(4).invite(Silent(**{phase: frozenset({1, 2, 3})}))


def test_a_client_that_returns_is_in_a_later_round() -> None:
    clients = federation(10)
    clients.invite(Silent())
    three = frozenset({3})
    assert 3 not in clients.round(words_of, Silent(upload=three)).alive
    assert 3 not in clients.round(words_of, Silent(), returning=three).alive
    clients.round(words_of, Silent(), returning=three)
    assert 3 in clients.round(words_of, Silent()).alive


def test_all_that_a_client_sends_in_a_round_is_counted() -> None:
    clients = federation(3)
    clients.invite(Silent())
    clients.forget_costs()
    clients.round(words_of, Silent())
    # Headers of 40 bytes. Upload: two blocks of 4 + (40 + 32 + 4 + 2 * 102) and 4 + (40 + 152), lengths 8, and, aligned
    # to 8, the vector of 3 * 4 + 2 * 8. Signature: 40 + 64. Two shares of 42: 40 + 4 + 84.
    upload = 40 + (4 + 280) + (4 + 192) + 8 + 28
    assert all(0 <= sent - (upload + 104 + 128) < 8 for sent in clients.client_bytes.values())
    assert all(seconds > 0 for seconds in clients.client_s.values())


def test_patterns_are_counted_until_enough_sums_were_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg_exactness, "MOST", 6)
    counts = secagg_exactness.outcomes(Shard(0, 0, 12))
    assert counts["exact"] == 12
    assert counts["wrong"] == counts["refused"] == 0
    assert secagg_exactness.outcomes(Shard(0, 0, 12)) == counts
    assert party.signed_by is stages.signed_by is keys.signed_by


def test_a_round_that_nobody_can_open_is_a_failure_and_the_next_starts_afresh() -> None:
    clients, rng = federation(3), derive(0, "test", "patterns")  # three clients bear no dropout at all
    seen = [secagg_exactness.pattern(clients, rng) for _ in range(30)]
    assert set(seen) == {"exact", "failed"}
    assert "exact" in seen[seen.index("failed") :]


def test_a_long_sum_has_both_widths_and_is_exact() -> None:
    assert wrong_of_long_sum(40, seed=1) == 0


def test_a_case_is_measured_with_its_dropouts() -> None:
    case = replace(CASES[0], num_clients=70, parameters=Parameters(6, 4), length=100, dropped=1, repeats=2)
    cost = cost_of(case)
    assert len(cost.client_s) == len(cost.server_s) == 2
    assert 400 < cost.client_bytes < 400 + 3_000
    with pytest.raises(RoundFailed):
        cost_of(replace(case, dropped=40, repeats=1))


def test_rounding_is_timed_on_updates_of_any_size() -> None:
    assert all(seconds >= 0 for seconds in rounding_seconds(1000 * UPDATE, 100, 1))


def test_flowers_protocol_opens_the_mean_of_what_its_clients_send() -> None:
    cost = secagg_flower.measure(5, 4, 3, UPDATE, repeats=2)
    assert len(cost.client_s) == 5
    assert all(seconds > 0 for seconds in cost.client_s.values())
    assert list(cost.server_s) == ["setup", "share_keys", "collect_masked_vectors", "unmask"]
    assert cost.vector_bytes > 8 * UPDATE.size


def test_a_wrong_mean_of_flower_is_no_measurement() -> None:
    check = secagg_flower.MeanCheck(UPDATE, 1)
    right = [(secagg_flower.Proxy(2), secagg_flower.fit_result(UPDATE))]
    wrong = [(secagg_flower.Proxy(2), secagg_flower.fit_result(UPDATE + np.float32(0.01)))]
    check.aggregate_fit(1, right, [])
    with pytest.raises(FedrecError, match="wrong mean"):
        check.aggregate_fit(1, wrong, [])
    with pytest.raises(FedrecError, match="wrong mean"):
        check.aggregate_fit(1, right, [ValueError()])


def test_a_secure_round_costs_three_messages_and_a_plain_one_one() -> None:
    plain, secure = round_costs(num_clients=4, num_coordinates=500, rounds=1)
    assert (plain.messages, secure.messages) == (1, 3)
    assert 2_000 <= plain.bytes_up < 2_500
    assert 2_000 <= secure.bytes_up < 4_000


def test_only_scripts_that_assert_a_reason_of_the_servers_deviation_are_counted() -> None:
    source = """
def test_swapped_key_is_refused(kit): assert kit.refusal() is Reason.ADVERT_SIGNATURE
@pytest.mark.parametrize("degree", [2, 4])
def test_thin_graph_is_refused(kit, degree): assert kit.refusal(degree) is Reason.DEGREE_TOO_SMALL
def test_honest_server_is_answered(kit): assert kit.reply()
def test_state_cannot_be_used_twice(kit): assert kit.refusal() is Reason.STATE_USED
def split_view(kit): return Reason.CONSENTS_TOO_FEW
"""
    assert secagg_deviations.scripted_in(source) == {
        "test_swapped_key_is_refused": {"ADVERT_SIGNATURE"},
        "test_thin_graph_is_refused": {"DEGREE_TOO_SMALL"},
    }


def test_a_deviation_of_which_one_case_is_not_refused_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "test_malicious_example.py"
    script.write_text(
        "import pytest\nfrom fedrec.privacy.secagg.reasons import Reason\n"
        "def test_one_is_refused(): assert Reason.WRONG_RUN\n"
        "@pytest.mark.parametrize('case', [0, 1])\n"
        "def test_other_is_refused(case): assert case and Reason.WRONG_ROUND\n"
    )
    monkeypatch.setattr(secagg_deviations, "SCRIPTS", [script])
    found = secagg_deviations.deviations()
    assert found.refused == {"test_one_is_refused"}
    assert found.scripted - found.refused == {"test_other_is_refused"}
    assert found.reasons == {"WRONG_RUN"}
