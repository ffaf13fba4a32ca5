import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.data import Dataset, Fold, Histories, global_time_split, leave_last_out
from fedrec.errors import ConfigError, FedrecError

ROWS = [
    [0, 1, 2, 3],  # plain
    [0, 1, 0, 2, 1, 2],  # the last discovery is 2, the one before it 1; what follows is used nowhere
    [4, 4, 4, 3],  # two distinct items: in no fold
    [],
    [5, 5, 6, 6, 7, 7],
]


def lists(histories: Histories) -> list[list[int]]:
    return [histories.row(user).tolist() for user in range(histories.num_users)]


def test_last_discovery_is_held_out():
    split = leave_last_out(Histories.from_lists(ROWS, 8))
    test = split.open_test()
    assert test.users.tolist() == [0, 1, 4]
    assert lists(test.targets) == [[3], [2], [7]]
    assert lists(test.history) == [[0, 1, 2], [0, 1, 0], [5, 5, 6, 6]]
    assert lists(split.fit) == [[0, 1, 2], [0, 1, 0], [4, 4, 4, 3], [], [5, 5, 6, 6]]


def test_validation_is_the_same_rule_on_what_is_left():
    split = leave_last_out(Histories.from_lists(ROWS, 8))
    assert lists(split.validation.targets) == [[2], [1], [6]]
    assert lists(split.validation.history) == [[0, 1], [0], [5, 5]]
    assert lists(split.train) == [[0, 1], [0], [4, 4, 4, 3], [], [5, 5]]


def test_users_left_out_are_counted():
    split = leave_last_out(Histories.from_lists(ROWS, 8))
    assert (split.left_out_of_validation, split.left_out_of_test) == (2, 2)


def slow_leave_last_out(row: list[int]) -> tuple[list[int], int] | None:
    """History and target of one user, by walking backwards."""
    for position in reversed(range(len(row))):
        if row[position] not in row[:position]:
            return row[:position], row[position]
    return None


@given(st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=6))
def test_leave_last_out_equals_its_slow_twin(rows):
    split = leave_last_out(Histories.from_lists(rows, 6))
    test, validation = split.open_test(), split.validation
    expected = []
    for user, row in enumerate(rows):
        if len(set(row)) < 3:
            assert lists(split.train)[user] == lists(split.fit)[user] == row
            continue
        history, target = slow_leave_last_out(row) or ([], -1)
        earlier, middle = slow_leave_last_out(history) or ([], -1)
        expected.append((user, history, [target], earlier, [middle]))
        assert lists(split.fit)[user] == history
        assert lists(split.train)[user] == earlier
    found = zip(
        test.users.tolist(), lists(test.history), lists(test.targets),
        lists(validation.history), lists(validation.targets), strict=True,
    )  # fmt: skip
    assert list(found) == expected


def test_test_fold_can_be_opened_once():
    split = leave_last_out(Histories.from_lists(ROWS, 8))
    split.open_test()
    with pytest.raises(FedrecError, match="already opened"):
        split.open_test()


def timed() -> Dataset:
    rows = [
        ("u", "a", 0), ("u", "b", 1), ("u", "a", 60), ("u", "c", 61), ("u", "d", 90),
        ("v", "a", 2), ("v", "b", 91), ("v", "b", 92),
        ("w", "d", 62), ("w", "a", 93),
        ("x", "c", 94),
    ]  # fmt: skip
    users, items, times = zip(*rows, strict=True)
    return Dataset.from_frame({"user_id": users, "item_id": items, "timestamp": times})


def named(dataset: Dataset, fold: Fold) -> dict[str, tuple[str, str]]:
    ids = dataset.catalogue.item_ids
    return {
        dataset.interactions.user_ids[user]: ("".join(ids[i] for i in seen), "".join(ids[i] for i in new))
        for user, seen, new in zip(fold.users, lists(fold.history), lists(fold.targets), strict=True)
    }


def test_time_split_cuts_all_users_at_the_same_moments():
    dataset = timed()  # 11 events: validation starts at rank 3, the event at 60; test at rank 6, the one at 90
    split = global_time_split(dataset, validation=0.27, test=0.45)
    assert lists(split.train) == [[0, 1], [0], [], []]
    assert named(dataset, split.validation) == {"u": ("ab", "c")}
    assert named(dataset, split.open_test()) == {"u": ("abac", "d"), "v": ("a", "b"), "w": ("d", "a")}
    assert split.left_out_of_test == 1


def test_time_split_can_include_new_users():
    dataset = timed()
    split = global_time_split(dataset, validation=0.27, test=0.45, new_users=True)
    assert named(dataset, split.validation) == {"u": ("ab", "c"), "w": ("", "d")}
    assert named(dataset, split.open_test())["x"] == ("", "c")


def test_events_of_one_second_are_never_separated():
    frame = {"user_id": [1] * 10, "item_id": range(10), "timestamp": [0, 1, 2, 3, 4, 5, 5, 5, 5, 9]}
    split = global_time_split(Dataset.from_frame(frame), validation=0.2, test=0.1)
    assert split.train.num_events == 5
    assert split.fit.num_events == 9


@pytest.mark.parametrize(("validation", "test"), [(0, 0.1), (0.5, 0.5), (0.1, 1.0), (np.nan, 0.1)])
def test_shares_out_of_range_are_refused(validation, test):
    with pytest.raises(ConfigError):
        global_time_split(timed(), validation, test)


def test_time_split_without_different_times_is_refused():
    frame = {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": [5, 5, 5]}
    with pytest.raises(ConfigError, match="share one second"):
        global_time_split(Dataset.from_frame(frame), 0.3, 0.3)
