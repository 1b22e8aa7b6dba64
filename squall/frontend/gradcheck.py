"""Gradients compared with central differences: `gradcheck` and `gradgradcheck` of `sq.autograd`, as in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.dtypes import float64
from squall.frontend import creation
from squall.frontend.autograd import grad
from squall.frontend.batching import vmap
from squall.frontend.core import Handle, wrap
from squall.frontend.interop import computed
from squall.frontend.joining import stack
from squall.frontend.random import randn
from squall.frontend.state import enable_grad
from squall.frontend.transforms import jvp


class GradcheckError(RuntimeError):
    """Gradients that do not agree with differences of values, or that cannot be checked."""


def gradcheck(func: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False,
              check_batched_forward_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Compare the gradients of a function with central differences of its values.

    Args:
        func: takes the inputs, returns Tensors. inputs: a Tensor or a tuple; those that require grad are checked and
            should be float64. eps: the step of the differences. atol, rtol: tolerances. raise_exception: raise instead
            of returning False. nondet_tol: how far two backward passes may differ. check_undefined_grad: outputs that
            get no gradient count as zeros. check_grad_dtypes: gradients have their input's dtype. check_batched_grad:
            gradients of a batch of cotangents through vmap agree. check_batched_forward_grad: jvp of a batch of
            tangents through vmap agrees. check_forward_ad: jvp agrees too. check_backward_ad: gradients are checked.
            fast_mode: accepted; the whole jacobian is compared in any case. masked: accepted; it concerns sparse
            tensors, and all are dense here.

    Returns:
        bool: whether all agrees.

    Raises:
        GradcheckError: showing both jacobians.

    Example:
        >>> import squall as sq
        >>> sq.autograd.gradcheck(sq.sin, sq.randn(3, dtype=sq.float64, requires_grad=True))
        True
    """
    checks = {"nondet_tol": nondet_tol, "undefined": check_undefined_grad, "dtypes": check_grad_dtypes,
              "batched": check_batched_grad,
              "batched_forward": check_batched_forward_grad, "forward": check_forward_ad, "backward": check_backward_ad}
    try:
        _Check(func, inputs, eps, atol, rtol).run(checks)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


class _Check:
    """One function at one point."""

    def __init__(self, func: Callable, inputs: Any, eps: float, atol: float, rtol: float):
        self.func, self.eps, self.atol, self.rtol = func, eps, atol, rtol
        self.inputs = (inputs,) if isinstance(inputs, Handle) else tuple(inputs)
        self.chosen = [i for i, t in enumerate(self.inputs) if isinstance(t, Handle) and t.requires_grad]
        if not self.chosen:
            raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them "
                             "have requires_grad=True.")
        for i in self.chosen:
            if self.inputs[i].node.dtype is not float64:
                warnings.warn(f"Input #{i} requires gradient and is not a double precision floating point. This check "
                              "will likely fail if all the inputs are not of double precision.", stacklevel=4)
        with enable_grad():
            self.outputs = self._differentiable(self.func(*self.inputs))

    @staticmethod
    def _differentiable(made: Any) -> list:
        leaves = [t for t in pytree.flatten(made)[0] if isinstance(t, Handle)]
        return [t for t in leaves if t.node.dtype.category >= 2]

    def run(self, checks: dict) -> None:
        """All comparisons, the first failure raised."""
        import numpy

        numerical = self._numerical()
        if not any(t.requires_grad for t in self.outputs):
            for row in numerical:
                for jacobian in row:
                    if numpy.abs(jacobian).max(initial=0.0) > self.atol:
                        raise GradcheckError("Numerical gradient for function expected to be zero: no output requires "
                                             f"grad, but values change with the inputs:\n{jacobian}")
            return
        if checks["backward"]:
            analytical = self._analytical(checks["dtypes"])
            self._compare(analytical, numerical, "")
            self._check_repeats(analytical, checks["nondet_tol"])
            if checks["batched"]:
                self._compare(self._batched(), numerical, " (through vmap)")
            if checks["undefined"]:
                self._check_undefined()
        if checks["forward"]:
            self._compare(self._forward(), numerical, " (forward mode)")
        if checks["batched_forward"]:
            self._compare(self._forward(batched=True), numerical, " (forward mode through vmap)")

    def _numerical(self) -> list[list]:
        """Jacobians by output and input: [elements of the output, elements of the input]."""
        import numpy

        columns: list[list[list]] = [[] for _ in self.outputs]
        for row in columns:
            row.extend([] for _ in self.chosen)
        for k, i in enumerate(self.chosen):
            base = self.inputs[i].detach_array()
            for place in numpy.ndindex(*base.shape):
                ends = [self._moved(i, place, step) for step in (self.eps, -self.eps)]
                for o in range(len(self.outputs)):
                    columns[o][k].append((ends[0][o] - ends[1][o]) / (2 * self.eps))
        return [[_columns(columns[o][k], output, self.inputs[i]) for k, i in enumerate(self.chosen)]
                for o, output in enumerate(self.outputs)]

    def _moved(self, i: int, place: tuple, step: float) -> list:
        """Flat values of the outputs with one element of an input moved."""
        import numpy

        args = list(self.inputs)
        for j in self.chosen:
            array = numpy.array(self.inputs[j].detach_array())
            if j == i:
                array[place] += step
            args[j] = creation.require_grad(wrap(computed(array)), True, "gradcheck")
        with enable_grad():
            made = self._differentiable(self.func(*args))
        return [numpy.array(t.detach().detach_array(), dtype="float64").reshape(-1) for t in made]

    def _gradients(self, output: Any, cotangent: Any) -> tuple:
        return grad(output, [self.inputs[i] for i in self.chosen], cotangent, retain_graph=True, allow_unused=True)

    def _analytical(self, dtypes: bool = False) -> list[list]:
        import numpy

        out = []
        for output in self.outputs:
            rows: list[list] = [[] for _ in self.chosen]
            for unit in _units(output):
                found = self._gradients(output, unit) if output.requires_grad else (None,) * len(self.chosen)
                for k, (gradient, i) in enumerate(zip(found, self.chosen, strict=True)):
                    tensor = self.inputs[i]
                    if gradient is not None and tuple(gradient.shape) != tuple(tensor.shape):
                        raise GradcheckError(f"Analytical gradient has incorrect shape {list(gradient.shape)} for "
                                             f"input {i} of shape {list(tensor.shape)}")
                    if dtypes and gradient is not None and gradient.dtype is not tensor.dtype:
                        raise GradcheckError(f"Gradient has dtype {gradient.dtype}, input {i} has {tensor.dtype}")
                    rows[k].append(numpy.zeros(tensor.numel()) if gradient is None
                                   else numpy.array(gradient.detach().detach_array(), dtype="float64").reshape(-1))
            out.append([numpy.array(r).reshape(output.numel(), self.inputs[i].numel())
                        for r, i in zip(rows, self.chosen, strict=True)])
        return out

    def _batched(self) -> list[list]:
        import numpy

        out = []
        for output in self.outputs:
            units = creation.tensor(numpy.stack([u.detach_array() for u in _units(output)]), dtype=output.dtype)

            def pulled(v: Any, output: Any = output) -> tuple:
                found = self._gradients(output, v)
                return tuple(creation.zeros_like(self.inputs[i]) if g is None else g
                             for g, i in zip(found, self.chosen, strict=True))

            blocks = vmap(pulled)(units)
            out.append([numpy.array(b.detach().detach_array()).reshape(output.numel(), -1) for b in blocks])
        return out

    def _forward(self, batched: bool = False) -> list[list]:
        import numpy

        columns: list[list[list]] = [[[] for _ in self.chosen] for _ in self.outputs]
        primals = tuple(self.inputs[i].detach() for i in self.chosen)

        def of_chosen(*values: Any) -> tuple:
            args = list(self.inputs)
            for i, value in zip(self.chosen, values, strict=True):
                args[i] = value
            return tuple(self._differentiable(self.func(*args)))

        for k, i in enumerate(self.chosen):
            def push(unit: Any, k: int = k) -> tuple:
                tangents = tuple(unit if j == k else creation.zeros_like(p) for j, p in enumerate(primals))
                return jvp(of_chosen, primals, tangents)[1]

            units = _units(self.inputs[i])
            if batched and units:
                many = vmap(push)(stack(units))
                rows = [tuple(block[j] for block in many) for j in range(len(units))]
            else:
                rows = [push(unit) for unit in units]
            for pushed in rows:
                for o, tangent in enumerate(pushed):
                    columns[o][k].append(numpy.array(tangent.detach().detach_array()).reshape(-1))
        return [[_columns(columns[o][k], output, self.inputs[i]) for k, i in enumerate(self.chosen)]
                for o, output in enumerate(self.outputs)]

    def _compare(self, analytical: list, numerical: list, how: str) -> None:
        import numpy

        for o, (row, expected_row) in enumerate(zip(analytical, numerical, strict=True)):
            for k, (made, expected) in enumerate(zip(row, expected_row, strict=True)):
                if not numpy.allclose(made, expected, rtol=self.rtol, atol=self.atol, equal_nan=False):
                    worst = numpy.abs(made - expected).max()
                    raise GradcheckError(f"Jacobian mismatch for output {o} with respect to input "
                                         f"{self.chosen[k]}{how}, largest "
                                         f"difference {worst:.3g},\nnumerical:\n{expected.T}\nanalytical:\n{made.T}\n")

    def _check_repeats(self, analytical: list, tolerance: float) -> None:
        import numpy

        for row, again in zip(analytical, self._analytical(), strict=True):
            for first, second in zip(row, again, strict=True):
                if numpy.abs(first - second).max(initial=0.0) > tolerance:
                    raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and "
                                         "grad_output "
                                         "multiple times gives different values, although analytical gradient matches "
                                         f"numerical gradient. The tolerance for nondeterminism was {tolerance}.")

    def _check_undefined(self) -> None:
        """Zero cotangents must give zero gradients."""
        import numpy

        for o, output in enumerate(self.outputs):
            if not output.requires_grad:
                continue
            for gradient in self._gradients(output, creation.zeros_like(output.detach())):
                if gradient is not None and numpy.abs(gradient.detach().detach_array()).max(initial=0.0) > 0:
                    raise GradcheckError(f"Expected zero gradients for a zero gradient of output {o}: a custom "
                                         "backward must be linear in the gradients it gets")


def _units(tensor: Any) -> list:
    """The unit vectors of a Tensor's space, as Tensors of its shape."""
    import numpy

    node, out = tensor.node, []
    for place in numpy.ndindex(*node.shape):
        array = numpy.zeros(node.shape, dtype=node.dtype.name)
        array[place] = 1
        out.append(creation.tensor(array, dtype=node.dtype))
    return out


def _columns(columns: Sequence, output: Any, tensor: Any) -> Any:
    import numpy

    return numpy.array(columns).reshape(tensor.numel(), output.numel()).T


def gradgradcheck(func: Callable, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
                  check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
                  gen_non_contig_grad_outputs: bool = False, masked: bool = False) -> bool:
    """Compare second derivatives of a function with central differences of its gradients.

    Args:
        grad_outputs: cotangents of the outputs, random when None; the gradients are checked with respect to them too.
        check_fwd_over_rev: forward mode over the gradients too. gen_non_contig_grad_outputs: the random cotangents
            are views with strides. The others are `gradcheck`'s.

    Returns:
        bool: whether all agrees.

    Example:
        >>> import squall as sq
        >>> sq.autograd.gradgradcheck(lambda x: x**3, sq.randn(2, dtype=sq.float64, requires_grad=True))
        True
    """
    given = (inputs,) if isinstance(inputs, Handle) else tuple(inputs)
    with enable_grad():
        outputs = [t for t in _Check._differentiable(func(*given)) if t.requires_grad]
    if grad_outputs is None:
        cotangents = tuple(randn(tuple(t.shape), dtype=t.dtype, requires_grad=True) for t in outputs)
    else:
        cotangents = (grad_outputs,) if isinstance(grad_outputs, Handle) else tuple(grad_outputs)
    if grad_outputs is None and gen_non_contig_grad_outputs:
        cotangents = tuple(t.detach().unsqueeze(-1).repeat(*[1] * t.ndim, 2)[..., 0].requires_grad_()
                           for t in cotangents)
    chosen = [i for i, t in enumerate(given) if isinstance(t, Handle) and t.requires_grad]

    def gradients(*args: Any) -> tuple:
        own = list(args[:len(given)])
        with enable_grad():
            for i in chosen:
                own[i] = own[i] if own[i].requires_grad else own[i].detach().requires_grad_()
            made = [t for t in _Check._differentiable(func(*own)) if t.requires_grad]
            found = grad(made, [own[i] for i in chosen], args[len(given):], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(gradients, (*given, *cotangents), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
                     check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
                     check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, fast_mode=fast_mode)
