"""Dot products of few queries with keys that lie along their features: a row of scores for each query.

An element has `SPREAD` bytes of lanes on every machine, each a chain of multiply-adds over every so many features; then
halves are added until one lane is left. Registers of several scores are added at once, in the same order.
"""

from __future__ import annotations

from squall.compiler.attend.tiles import FOLLOWING
from squall.compiler.nest.isa import Isa
from squall.ir.linear import BYTES, I64, PTR, Builder, Function, Reg

SPREAD = 64  # bytes of an element's lanes
# Queries of a tile and scores of a tile: chains, as many as the registers hold.
HEIGHTS = (4, 2, 1)
CHAINS = {"avx512": 16, "avx2": 4, "sse4": 4, "neon": 4}


def lanes_of(scalar: str) -> int:
    """Lanes of an element."""
    return SPREAD // BYTES[scalar]


def halved(b: Builder, parts: list[Reg]) -> Reg:
    """Registers that are parts of one, halves added until it fits one register."""
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [b.add(x, y) for x, y in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]


def summed(b: Builder, vectors: list[Reg]) -> Reg:
    """One lane for each vector: what adding halves until one lane is left gives."""
    count = len(vectors)
    while vectors[0].type.lanes > count:
        half = vectors[0].type.lanes // 2
        ends = tuple(range(half)), tuple(range(half, 2 * half))
        vectors = [b.add(*(b.shuffle(v, v, end) for end in ends)) for v in vectors]
    lanes, size = vectors[0].type.lanes, vectors[0].type.lanes // 2
    while len(vectors) > 1:
        starts = [lanes * which + at for at in range(0, lanes, 2 * size) for which in (0, 1)]
        low, high = (tuple(s + past + j for s in starts for j in range(size)) for past in (0, size))
        half = len(vectors) // 2
        vectors = [b.add(b.shuffle(x, y, low), b.shuffle(x, y, high))
                   for x, y in zip(vectors[:half], vectors[half:], strict=True)]
        size //= 2
    return vectors[0]


def _tile(isa: Isa, scalar: str, height: int, across: int) -> Function:
    """`dots_{height}(q, q_width, k, k_row, features, scores, row, last)`: scores of some queries and the next `across`
    keys, of which the one numbered `last` is the last there is."""
    b = Builder(f"dots_{height}", (PTR, I64, PTR, I64, I64, PTR, I64, I64))
    q, q_width, k, k_row, features, scores, row, last = b.parameters
    vector, parts = isa.vector(scalar), range(0, lanes_of(scalar), isa.lanes(scalar))
    keys = [b.gep(k, b.mul(b.op("min", b.int(c), last), k_row), scalar) for c in range(across)]
    queries = [b.gep(q, b.mul(b.int(r), q_width), scalar) for r in range(height)]
    later = b.mul(k_row, b.int(FOLLOWING))
    sums = [[[b.var(b.const(0.0, vector)) for _ in parts] for _ in keys] for _ in queries]
    with b.loop(b.int(0), features, b.int(lanes_of(scalar))) as f:
        places = [b.add(f, b.int(part)) for part in parts]
        rows = [[b.load(vector, b.gep(line, place, scalar)) for place in places] for line in queries]
        for c, key in enumerate(keys):
            b.emit("prefetch", None, (b.gep(key, b.add(f, later), scalar),), (False, 3))
            for p, place in enumerate(places):
                value = b.load(vector, b.gep(key, place, scalar))
                for r, line in enumerate(rows):
                    total = sums[r][c][p]
                    b.set(total, b.fma(line[p], value, b.get(total)))
    found = summed(b, [halved(b, [b.get(total) for total in one]) for line in sums for one in line])
    for r in range(height):
        part = found if height == 1 else b.shuffle(found, found, tuple(range(r * across, (r + 1) * across)))
        value = part if across > 1 else b.extract(found, r)
        b.store(value, b.gep(scores, b.mul(row, b.int(r)), scalar))
    return b.finish()


def dots(isa: Isa, scalar: str) -> list[Function]:
    """`dots(q, q_width, k, k_row, scores, row, queries, keys)` and its tiles: scores of some queries and keys. Queries
    are rows of `q_width` elements, whole vectors of `SPREAD` bytes, keys too. Scores go on to whole tiles."""
    chains = min(CHAINS[isa.name], isa.lanes(scalar))
    heights = [height for height in HEIGHTS if height <= chains]
    b = Builder("dots", (PTR, I64, PTR, I64, PTR, I64, I64, I64))
    q, q_width, k, k_row, scores, row, queries, keys = b.parameters
    first = b.var(b.int(0))
    for height in heights:
        end = b.sub(queries, b.op("rem", b.sub(queries, b.get(first)), b.int(height)))
        across = chains // height
        with b.loop(b.get(first), end, b.int(height)) as i, b.loop(b.int(0), keys, b.int(across)) as j:
            b.call(f"dots_{height}", (b.gep(q, b.mul(i, q_width), scalar), q_width, b.gep(k, b.mul(j, k_row), scalar),
                                      k_row, q_width, b.gep(scores, b.add(b.mul(i, row), j), scalar), row,
                                      b.sub(b.sub(keys, j), b.int(1))))
        b.set(first, end)
    return [*(_tile(isa, scalar, height, chains // height) for height in heights), b.finish()]
