from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.contribution import Block, Contribution, Layout
from fedrec.errors import ContributionError
from fedrec.privacy.fixed_point import Words, add, bits_for, bound, clipped_block, plan
from fedrec.rng import derive

COUNTS = Layout((Block("counts", (3,), user_l2=1.0),))


def test_counts_are_encoded_in_twos_complement() -> None:
    encoding = plan(COUNTS, max_clients=2, max_users_per_client=5)
    words = encoding.encode(Contribution(COUNTS, {"counts": np.array([5.0, 0.0, -1.0])}, num_users=5))
    assert words.u32.tolist() == [5, 0, 0xFFFFFFFF]
    assert words.u64.size == 0


def test_sum_of_two_clients_decodes_to_the_true_sum() -> None:
    encoding = plan(COUNTS, max_clients=2, max_users_per_client=5)
    first = encoding.encode_values({"counts": np.array([5.0, -5.0, 1.0])})
    second = encoding.encode_values({"counts": np.array([5.0, -5.0, -2.0])})
    assert encoding.decode(add(first, second))["counts"].tolist() == [10.0, -10.0, -1.0]


def test_blocks_of_both_widths_keep_their_order_and_shape() -> None:
    layout = Layout(
        (
            Block("small", (2,), user_l2=1.0),
            Block("wide", (1, 2), user_l2=2.0**20, resolution=2.0**-20),
            Block("other", (1,), user_l2=1.0, resolution=0.5),
        )
    )
    encoding = plan(layout, max_clients=3, max_users_per_client=4)
    assert [g.word_bits for g in encoding.grid] == [32, 64, 32]
    values = {
        "small": np.array([1.0, -1.0]),
        "wide": np.array([[3.0, -(2.0**-20)]]),
        "other": np.array([-0.5]),
    }
    words = encoding.encode_values(values)
    assert words.u32.tolist() == [1, 2**32 - 1, 2**32 - 1]
    assert words.u64.tolist() == [3 * 2**20, 2**64 - 1]
    decoded = encoding.decode(words)
    assert all(np.array_equal(decoded[name], values[name]) for name in values)


@pytest.mark.parametrize(
    ("clients", "users", "bits"),
    # One step per user, and one more for the slack: a client's limit is users + 1, and 3 * 715,827,882 = 2^31
    # - 2.
    [(3, 715_827_881, 32), (3, 715_827_882, 64), (1, 1, 32)],
)
def test_word_is_widened_exactly_where_the_sum_would_overflow(clients: int, users: int, bits: int) -> None:
    grid = bound(Block("counts", (1,), user_l2=1.0), clients, users)
    assert grid.client_limit == users + 1
    assert grid.word_bits == bits


def test_largest_values_of_all_clients_fit_their_word() -> None:
    layout = Layout((Block("x", (2,), user_l2=3.0, resolution=0.25),))
    encoding = plan(layout, max_clients=7, max_users_per_client=11)
    assert encoding.grid[0].word_bits == 32
    total = Words.zeros(2, 0)
    for _ in range(7):
        total = add(total, encoding.encode_values({"x": np.array([33.0, -33.0])}))
    assert encoding.decode(total)["x"].tolist() == [231.0, -231.0]


def test_sum_that_overflows_64_bits_is_refused() -> None:
    layout = Layout((Block("x", (1,), user_l2=1.0, resolution=1e-18),))
    with pytest.raises(ContributionError, match="64-bit"):
        plan(layout, max_clients=10, max_users_per_client=1)


@pytest.mark.parametrize("value", [6.01, -6.01, np.nan, np.inf, -np.inf])
def test_value_beyond_the_planned_limit_is_refused(value: float) -> None:
    layout = Layout((Block("x", (1,), user_l2=1.0, resolution=0.001),))
    encoding = plan(layout, max_clients=2, max_users_per_client=6)
    with pytest.raises(ContributionError, match="exceeds"):
        encoding.encode_values({"x": np.array([value])})


def test_noise_has_the_room_that_was_planned_for_it() -> None:
    layout = Layout((Block("x", (1,), user_l2=1.0, resolution=0.5),))
    encoding = plan(layout, 2, 1, noise_max={"x": 9.0})
    assert encoding.decode(encoding.encode_values({"x": np.array([-10.0])}))["x"].tolist() == [-10.0]
    with pytest.raises(ContributionError, match="exceeds"):
        encoding.encode_values({"x": np.array([10.8])})


def test_contribution_of_too_many_users_is_refused() -> None:
    encoding = plan(COUNTS, max_clients=2, max_users_per_client=5)
    with pytest.raises(ContributionError, match="num_users=6"):
        encoding.encode(Contribution(COUNTS, {"counts": np.zeros(3)}, num_users=6))


def test_wrong_names_shapes_lengths_and_types_are_refused() -> None:
    encoding = plan(COUNTS, max_clients=2, max_users_per_client=5)
    with pytest.raises(ContributionError, match="blocks"):
        encoding.encode_values({"other": np.zeros(3)})
    with pytest.raises(ContributionError, match="shape"):
        encoding.encode_values({"counts": np.zeros(4)})
    with pytest.raises(ContributionError, match="words"):
        encoding.decode(Words.zeros(4, 0))
    with pytest.raises(ContributionError, match="equal length"):
        add(Words.zeros(1, 0), Words.zeros(2, 0))
    with pytest.raises(ContributionError, match="uint32"):
        Words(np.zeros(1), np.zeros(0, np.uint64))  # type: ignore[arg-type]
    with pytest.raises(ContributionError, match="noise_max"):
        plan(COUNTS, 2, 5, noise_max={"counts": -1.0})
    with pytest.raises(ContributionError, match="max_clients"):
        plan(COUNTS, 0, 5)


def test_stochastic_rounding_keeps_the_mean_and_moves_by_less_than_a_step() -> None:
    layout = Layout((Block("x", (100_000,), user_l2=1.0, resolution=1.0),))
    encoding = plan(layout, 2, 1)
    rounded = encoding.decode(encoding.encode_values({"x": np.full(100_000, -0.3)}, derive(1, "round")))["x"]
    assert set(rounded.tolist()) == {-1.0, 0.0}
    # standard error sqrt(.3 * .7 / 1e5) = .00145; six of them: false alarm below 1e-8
    assert abs(rounded.mean() + 0.3) < 0.0087


def test_integers_survive_stochastic_rounding_up_to_2_to_the_53() -> None:
    layout = Layout((Block("gram", (4,), user_l2=2.0**53),))
    encoding = plan(layout, 2, 1)
    values = np.array([2.0**53, 2.0**52 + 1, -(2.0**52) - 1, 7.0])
    for seed in range(20):
        assert np.array_equal(
            encoding.decode(encoding.encode_values({"gram": values}, derive(seed, "r")))["gram"], values
        )


def test_clipped_float32_update_is_within_half_a_step() -> None:
    block = clipped_block("update", (70_000,), clip_norm=0.5, bits=bits_for(100))
    encoding = plan(Layout((block,)), max_clients=100, max_users_per_client=1)
    assert encoding.grid[0].word_bits == 32
    update = derive(2, "update").uniform(-0.5, 0.5, 70_000).astype(np.float32)
    update[:2] = 0.5, -0.5
    decoded = encoding.decode(encoding.encode_values({"update": update}))["update"]
    assert np.abs(decoded - update).max() <= block.resolution / 2 * (1 + 1e-6)


@pytest.mark.parametrize("clients", [1, 2, 3, 7, 64, 100, 127, 128, 129, 1000, 1023, 1024, 1 << 20])
def test_bits_for_is_the_most_that_fits_32_bits(clients: int) -> None:
    def width(bits: int) -> int:
        return plan(Layout((clipped_block("x", (1,), 1.0, bits),)), clients, 1).grid[0].word_bits

    assert width(bits_for(clients)) == 32
    assert width(bits_for(clients) + 1) == 64


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.floats(0.01, 50),
    st.floats(1e-3, 2),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_decoded_sum_is_within_one_step_per_client_of_the_true_sum(
    clients: int, users: int, limit: float, step: float, seed: int, at_random: bool
) -> None:
    block = Block("x", (5,), user_l2=limit, resolution=step)
    encoding = plan(Layout((block,)), clients, users)
    rng = derive(seed, "values")
    total, truth = Words.zeros(encoding.num_u32, encoding.num_u64), np.zeros(5)
    for _ in range(clients):
        value = rng.uniform(-limit * users, limit * users, 5)
        truth += value
        total = add(total, encoding.encode_values({"x": value}, rng if at_random else None))
    assert np.abs(encoding.decode(total)["x"] - truth).max() <= clients * step * (1 if at_random else 0.5) * (1 + 1e-6)
