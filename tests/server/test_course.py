"""How far a run came is read back exactly, or refused."""

from __future__ import annotations

import json

import pytest

from fedrec.errors import ConfigError, FedrecError, ModelError
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.course import COURSE, Course, read_course, run_of
from tests.federation import config_of

CONFIG = config_of()
CHOSEN = (
    Chosen(Candidate("popularity", "popularity", {}), (({}, 0.1),)),
    Chosen(
        Candidate("ease", "ease", {"l2": 10.0, "n": 1, "unit": True, "name": "x", "last": None}),
        (({"l2": 1.0}, 0.2 + 0.1),),
    ),
)
RESULTS = {"floor": {"popularity": {"all": {"NDCG@2": {"mean": 1 / 3, "users": 7.0, "low": None}}}}}


def written(folder) -> Course:
    course = Course(run_of(CONFIG), 5, CHOSEN).with_arm("floor", RESULTS["floor"])
    course.write(folder)
    return course


def test_a_course_is_read_back_to_the_bit(tmp_path):
    course = written(tmp_path)
    found = read_course(tmp_path, CONFIG)
    assert found == course
    assert json.dumps(found.results) == json.dumps(RESULTS)
    assert [type(value) for value in found.chosen[1].candidate.params.values()] == [float, int, bool, str, type(None)]


def test_there_is_no_course_before_the_choice(tmp_path):
    assert read_course(tmp_path, CONFIG) is None


def test_the_course_of_another_configuration_is_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(ConfigError, match="another configuration"):
        read_course(tmp_path, config_of(seed=1))


def test_a_damaged_course_is_refused_and_never_another_error(tmp_path):
    written(tmp_path)
    content = (tmp_path / COURSE).read_bytes()
    for place in range(0, len(content), 5):
        (tmp_path / COURSE).write_bytes(content[:place])
        with pytest.raises(ModelError, match="damaged"):
            read_course(tmp_path, CONFIG)
        (tmp_path / COURSE).write_bytes(content[:place] + bytes([content[place] ^ 0x95]) + content[place + 1 :])
        try:
            read_course(tmp_path, CONFIG)
        except FedrecError:
            continue
