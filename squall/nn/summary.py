"""`sq.nn.summary`: what a model is made of: shapes, parameters and operations of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import squall as sq
from squall.nn.flops import flops_of
from squall.nn.module import Module

_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


@dataclass
class Row:
    """One module of the model.

    Attributes:
        name: dotted. kind: its class. depth: how deep it lies. input_shape, output_shape: of the first Tensor, None
            where it was not called. parameters: of its own, trained or not. flops: of its own, over all calls.
    """

    name: str
    kind: str
    depth: int
    input_shape: Any = None
    output_shape: Any = None
    parameters: int = 0
    flops: int = 0
    calls: int = 0


@dataclass
class Summary:
    """What `summary` gives: rows by module, and totals. `str` is a table; rich prints it as one of its own.

    Attributes:
        rows: every module in order, the model itself first. parameters, trainable: elements of all parameters, each
            counted once. buffers: elements of buffers. flops: of one forward. bytes: of parameters and buffers.
    """

    rows: list[Row]
    parameters: int
    trainable: int
    buffers: int
    flops: int
    bytes: int

    def _cells(self) -> list[tuple[str, ...]]:
        out = []
        for row in self.rows:
            label = "  " * row.depth + (f"{row.name.rpartition('.')[2]}: " if row.name else "") + row.kind
            out.append((label, _shape(row.input_shape), _shape(row.output_shape),
                        f"{row.parameters:,}" if row.parameters else "", _short(row.flops) if row.flops else ""))
        return out

    def _totals(self) -> list[str]:
        return [
            f"parameters: {self.parameters:,}, trained: {self.trainable:,}, in buffers: {self.buffers:,}",
            f"memory of both: {_short(self.bytes)}B, forward: {_short(self.flops)}FLOP",
        ]

    def __str__(self) -> str:
        table = [("layer", "input", "output", "parameters", "FLOPs"), *self._cells()]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = [
            "  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in
                      enumerate(zip(row, widths, strict=True))).rstrip()
            for row in table
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    def __rich__(self) -> Any:
        """The table that rich prints; needs rich."""
        from rich.console import Group
        from rich.table import Table

        table = Table(box=None, header_style="bold")
        for i, title in enumerate(("layer", "input", "output", "parameters", "FLOPs")):
            table.add_column(title, justify="left" if i < 3 else "right")
        for row in self._cells():
            table.add_row(*row)
        return Group(table, *self._totals())

    __repr__ = __str__


def _shape(shape: Any) -> str:
    return "" if shape is None else str(tuple(shape))


def _short(value: int) -> str:
    """1234567 as "1.23 M"."""
    for size, letter in _UNITS:
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value} "


def _first(values: Any) -> Any:
    if isinstance(values, sq.Tensor):
        return tuple(values.shape)
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, (tuple, list)) else ():
        found = _first(value)
        if found is not None:
            return found
    return None


def _inputs(input_size: Any, example: Any, dtype: Any) -> tuple:
    """The arguments of the call that is watched."""
    if example is not None:
        return tuple(example) if isinstance(example, (tuple, list)) else (example,)
    if input_size is None:
        raise ValueError("summary: give input_size, or example inputs")
    several = bool(input_size) and isinstance(input_size[0], (tuple, list))
    return tuple(sq.zeros(*size, dtype=dtype) for size in (input_size if several else [input_size]))


def summary(
    model: Module, input_size: Any = None, *, example: Any = None, dtype: Any = None, depth: int | None = None,
    **kwargs: Any,
) -> Summary:
    """What a model is made of, seen while it is called once without gradients, in evaluation mode.

    Args:
        model: any Module. input_size: the shape of the input, or several for several inputs. example: inputs instead of
            sizes, a Tensor or a tuple. dtype: of the inputs made from sizes. depth: leave out what lies deeper.
            kwargs: keyword arguments of the call.

    Returns:
        Summary: print it. Operations of kinds of layers that are not known count as 0, and so do functions that are no
        layers.

    Raises:
        ValueError: without sizes and without an example.

    Example:
        >>> import squall as sq
        >>> print(sq.nn.summary(sq.nn.Sequential(sq.nn.Linear(4, 8), sq.nn.ReLU()), (2, 4)))
        layer        input   output  parameters  FLOPs
        ----------------------------------------------
        Sequential   (2, 4)  (2, 8)
          0: Linear  (2, 4)  (2, 8)          40   144
          1: ReLU    (2, 8)  (2, 8)                16
        ----------------------------------------------
        parameters: 40, trained: 40, in buffers: 0
        memory of both: 160 B, forward: 160 FLOP
    """
    args = _inputs(input_size, example, dtype or sq.get_default_dtype())
    rows = {id(m): Row(name, type(m).__name__, name.count(".") + bool(name)) for name, m in model.named_modules()}
    handles = [m.register_forward_hook(_watch(rows[id(m)]), with_kwargs=True) for m in model.modules()]
    modes = [(m, m.training) for m in model.modules()]
    try:
        model.eval()
        with sq.no_grad():
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    for module in model.modules():
        rows[id(module)].parameters = sum(p.numel() for p in module._parameters.values() if p is not None)
    parameters, buffers = list(model.parameters()), list(model.buffers())
    kept = [r for r in rows.values() if depth is None or r.depth <= depth]
    return Summary(
        kept,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(b.numel() for b in buffers),
        sum(r.flops for r in rows.values()),
        sum(t.numel() * t.element_size() for t in (*parameters, *buffers)),
    )


def _watch(row: Row) -> Any:
    def hook(module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        if row.calls == 0:
            row.input_shape, row.output_shape = _first((*args, *kwargs.values())), _first(output)
        row.calls += 1
        if args:
            row.flops += flops_of(module, args, output)

    return hook
