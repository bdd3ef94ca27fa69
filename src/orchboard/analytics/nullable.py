"""Arrays with NaN as lists with None, which JSON can express."""

from typing import Any

import numpy as np

from orchboard.scoring import Doubles
from orchboard.store.rollups.group_index import Indices


def with_none(values: Doubles | Indices) -> list[Any]:
    """The values as nested lists, with None in place of NaN.

    >>> with_none(np.array([[1.0, np.nan], [0.5, 2.0]]))
    [[1.0, None], [0.5, 2.0]]
    """
    found = values.astype(np.object_)
    found[np.isnan(values)] = None
    lists: list[Any] = found.tolist()
    return lists
