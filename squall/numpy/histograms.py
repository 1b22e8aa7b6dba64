"""Histograms of points, and bits in bytes, under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64, int64, uint8
from squall.frontend import creation as making
from squall.frontend.by_values import by_values
from squall.numpy import creation, joining, shaping, sorting
from squall.numpy.binning import histogram_bin_edges
from squall.numpy.core import arr, cast, lift, one_axis


@by_values("histogramdd")
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    """(counts, edges of each dimension) of points.

    Args:
        sample: points (n, d), or a sequence of d coordinates (n,). bins: how many in every dimension, or for each how
            many or the edges. range: (low, high) of each dimension, or None. density: divide by the total and the
            bins' volumes. weights: what each point counts.

    Raises:
        ValueError: when bins or range have not one entry a dimension, or edges do not ascend.

    Example:
        >>> import squall.numpy as snp
        >>> snp.histogramdd(snp.array([[0.1, 0.2], [0.9, 0.3]]), bins=2, range=[(0, 1), (0, 1)])[0]
        array([[1., 0.],
               [1., 0.]])
    """
    whole = hasattr(sample, "node") or hasattr(sample, "shape")
    points = arr(creation.asarray(sample)) if whole else arr(creation.asarray(sample)).T
    if points.ndim == 1:
        points = points.unsqueeze(1)
    count, dims = points.node.shape
    given = [bins] * dims if isinstance(bins, int) or getattr(bins, "ndim", 1) == 0 else list(bins)
    spans = [None] * dims if range is None else list(range)
    if len(given) != dims:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    if len(spans) != dims:
        raise ValueError("range argument must have one entry per dimension")
    edges = [_edges(points[:, i], given[i], spans[i]) for i in _numbers(dims)]
    place, inside = making.zeros(count, dtype=int64), making.ones(count, dtype=bool)
    for i, edge in enumerate(edges):
        bin_ = arr(sorting.searchsorted(edge, points[:, i], "right")) - 1
        bin_ = bin_ - cast(points[:, i] == arr(edge)[-1], int64)  # the last edge belongs to the last bin
        inside = inside & (bin_ >= 0) & (bin_ < edge.size - 1)
        place = place * (edge.size - 1) + bin_
    sizes = tuple(edge.size - 1 for edge in edges)
    total = 1
    for size in sizes:
        total *= size
    each = making.ones(count, dtype=float64) if weights is None else cast(arr(weights), float64)
    place = cast(inside, int64) * place + cast(~inside, int64) * total
    counts = making.zeros(total + 1, dtype=float64).index_add(0, place, each)[:total].reshape(sizes)
    if density:
        whole = counts.sum()
        for i, edge in enumerate(edges):
            width = arr(edge)[1:] - arr(edge)[:-1]
            counts = counts / width.reshape(tuple(-1 if i == k else 1 for k in _numbers(dims)))
        counts = counts / whole
    return lift(counts), tuple(edges)


_numbers = range  # which an argument's name hides


def _edges(x: Any, bins: Any, span: Any) -> Any:
    if isinstance(bins, int) or getattr(bins, "ndim", 1) == 0:
        if int(bins) < 1:
            raise ValueError("`bins` must be positive, when an integer")
        return histogram_bin_edges(lift(x), int(bins), span)
    edge = creation.asarray(bins)
    if edge.ndim != 1:
        raise ValueError("`bins` must be a scalar or 1d array")
    if bool((edge[1:] < edge[:-1]).any()):
        raise ValueError("`bins` must be monotonically increasing, when an array")
    return edge


@by_values("histogram2d")
def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple:
    """(counts, edges of x, edges of y) of points.

    Args:
        bins: how many in both dimensions, the edges of both, or a pair with either for each. range, density, weights:
            as in `histogramdd`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.histogram2d([0.1, 0.9], [0.2, 0.3], bins=2, range=[(0, 1), (0, 1)])[0]
        array([[1., 0.],
               [1., 0.]])
    """
    across, down = creation.asarray(x), creation.asarray(y)
    if across.size != down.size:
        raise ValueError("x and y must have the same length.")
    if not isinstance(bins, int) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = histogramdd(joining.stack([across, down], axis=1), bins, range, density, weights)
    return counts, edges[0], edges[1]


def _order(bitorder: str) -> list[int]:
    if bitorder not in ("big", "little"):
        raise ValueError("'order' must be either 'little' or 'big'")
    places = [1 << i for i in range(8)]
    return places if bitorder == "little" else places[::-1]


def packbits(a: Any, /, axis: int | None = None, bitorder: str = "big") -> Any:
    """Booleans, or whole numbers that count as such, as bits of uint8, eight to one along an axis.

    Args:
        axis: None: of the flattened array. bitorder: whether the first of eight is the "big" or the "little" end.

    Example:
        >>> import squall.numpy as snp
        >>> snp.packbits([1, 0, 1])
        array([160], dtype=uint8)
    """
    x = arr(a)
    if x.node.dtype.category > 1:
        raise TypeError("Expected an input array of integer or boolean data type")
    x = x.reshape(-1) if axis is None else x
    d = one_axis(0 if axis is None else axis, x.ndim)
    rows = (x != 0).movedim(d, -1)
    missing = -rows.node.shape[-1] % 8
    filled = making.zeros((*rows.node.shape[:-1], missing), dtype=rows.node.dtype)
    bits = arr(joining.concat([rows, filled], -1)).reshape(*rows.node.shape[:-1], -1, 8)
    weights = making.tensor(_order(bitorder), dtype=int64)
    return lift(cast((cast(bits, int64) * weights).sum(-1), uint8).movedim(-1, d))


def unpackbits(a: Any, /, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """The bits of uint8 numbers along an axis, as zeros and ones.

    Args:
        axis: None: of the flattened array. count: how many to give: zeros follow where there are less; a negative one
            leaves so many out. bitorder: as in `packbits`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.unpackbits(snp.array([5], snp.uint8), count=-4)
        array([0, 0, 0, 0], dtype=uint8)
    """
    x = arr(a)
    if x.node.dtype is not uint8:
        raise TypeError("Expected an input array of unsigned byte data type")
    x = x.reshape(-1) if axis is None else x
    d = one_axis(0 if axis is None else axis, x.ndim)
    rows = cast(x.movedim(d, -1), int64).unsqueeze(-1)
    weights = making.tensor(_order(bitorder), dtype=int64)
    bits = cast((rows & weights) != 0, uint8).flatten(-2)
    wanted = bits.node.shape[-1] if count is None else count if count >= 0 else bits.node.shape[-1] + count
    if wanted < 0:
        raise ValueError(f"-count larger than number of elements {bits.node.shape[-1]}")
    short = wanted - bits.node.shape[-1]
    if short > 0:
        zeros = making.zeros((*bits.node.shape[:-1], short), dtype=uint8)
        bits = arr(joining.concat([bits, zeros], -1))
    return shaping.moveaxis(lift(bits[..., :wanted]), -1, d)
