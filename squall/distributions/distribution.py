"""The base of all distributions: shapes, checks of parameters and values, and what follows from a density."""

from __future__ import annotations

import copy
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.errors import UndefinedError
from squall.distributions.utils import holds, is_tensor, lazy_property, tracing


class Distribution:
    """A distribution over values of `event_shape`, one for each place of `batch_shape`.

    Args:
        batch_shape: of distributions side by side, which may have parameters of their own. event_shape: of one value.
        validate_args: check parameters and values (default: True; see `set_default_validate_args`). A check asks for
            the values, so it evaluates what is pending; while a function is traced by `compile` or `vmap`, nothing is
            checked.

    Attributes:
        arg_constraints: by parameter, the values it may have. support: where samples lie. has_rsample: whether
            `rsample` passes gradients to the parameters. has_enumerate_support: whether values can be listed.

    Raises:
        ValueError: for parameters and, in `log_prob`, `cdf` and their kin, values outside of their region.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.Normal(sq.zeros(3), 1.0)
        >>> d.batch_shape, d.event_shape, d.sample((2,)).shape
        (squall.Size([3]), squall.Size([]), squall.Size([2, 3]))
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    arg_constraints: Any = {}
    support: Any = constraints.dependent
    _validate_args = True

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = sq.Size(batch_shape), sq.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args and not tracing():
            self._check_parameters()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values when nothing else is said."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expected a bool, got {value!r}")
        Distribution._validate_args = value

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            computed = name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(constraint) or computed:
                continue
            value = getattr(self, name)
            if not holds(constraint.check(value)):
                raise ValueError(f"{type(self).__name__}: parameter {name} of shape {tuple(value.shape)} must satisfy "
                                 f"the constraint {constraint!r}, but found invalid values:\n{value}")

    # ------------------------------------------------------------ shapes
    @property
    def batch_shape(self) -> Any:
        """The shape of distributions side by side."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of one value."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        return sq.Size(sample_shape) + self._batch_shape + self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distributions, with parameters expanded to another batch shape.

        Args:
            batch_shape: what the present one broadcasts to.
        """
        new = copy.copy(self) if _instance is None else _instance
        for name in [n for n in new.__dict__ if isinstance(getattr(type(self), n, None), lazy_property)]:
            if name not in self.arg_constraints:
                del new.__dict__[name]  # computed again, of the new shape
        new._batch_shape = sq.Size(batch_shape)
        for name in self.arg_constraints:
            if name in self.__dict__:
                setattr(new, name, self._expanded(name, new._batch_shape))
        return new

    def _expanded(self, name: str, batch_shape: Any) -> Any:
        value, constraint = self.__dict__[name], self.arg_constraints[name]
        own = value.shape[value.ndim - constraint.event_dim:] if constraint.event_dim else ()
        return value.expand(tuple(batch_shape) + tuple(own))

    # ------------------------------------------------------------ moments
    @property
    def mean(self) -> Any:
        """The mean."""
        raise UndefinedError(f"{type(self).__name__}: mean is not defined")

    @property
    def mode(self) -> Any:
        """The most probable value."""
        raise UndefinedError(f"{type(self).__name__}: mode is not defined")

    @property
    def variance(self) -> Any:
        """The variance."""
        raise UndefinedError(f"{type(self).__name__}: variance is not defined")

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    # ------------------------------------------------------------ values
    def sample(self, sample_shape: Any = ()) -> Any:
        """Random values, of shape sample_shape + batch_shape + event_shape; without history."""
        with sq.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Random values whose gradients with respect to the parameters are those of a moving sample."""
        raise UndefinedError(f"{type(self).__name__}: rsample() is not defined; samples have no gradient")

    def sample_n(self, n: int) -> Any:
        """n random values; the older form of `sample((n,))`."""
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or probability, of each value."""
        raise UndefinedError(f"{type(self).__name__}: log_prob() is not defined")

    def cdf(self, value: Any) -> Any:
        """The probability of at most a value."""
        raise UndefinedError(f"{type(self).__name__}: cdf() is not defined")

    def icdf(self, value: Any) -> Any:
        """The value below which a given probability lies."""
        raise UndefinedError(f"{type(self).__name__}: icdf() is not defined")

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values, along a new first dimension; expanded over the batch or with sizes of 1 there."""
        raise UndefinedError(f"{type(self).__name__}: enumerate_support() is not defined")

    def _listed(self, values: Any, expand: bool) -> Any:
        """Values along the first dimension, with the batch's dimensions behind them."""
        shape = self._batch_shape
        values = values.reshape((-1,) + (1,) * len(shape))
        return values.expand((-1, *tuple(shape))) if expand else values

    def entropy(self) -> Any:
        """The entropy, in nats."""
        raise UndefinedError(f"{type(self).__name__}: entropy() is not defined")

    def perplexity(self) -> Any:
        """exp(entropy)."""
        return self.entropy().exp()

    def _validate_sample(self, value: Any) -> None:
        """Raise where a value is no Tensor, of a shape that does not fit, or outside of the support."""
        if not self._validate_args:
            return
        if not is_tensor(value):
            raise ValueError(f"{type(self).__name__}: the value must be a Tensor, not {type(value).__name__}")
        wanted = tuple(self._extended_shape())
        event = len(self._event_shape)
        if event and (value.ndim < event or tuple(value.shape[value.ndim - event:]) != tuple(self._event_shape)):
            raise ValueError(f"{type(self).__name__}: the last dimensions of a value of shape {tuple(value.shape)} "
                             f"must be the event shape {tuple(self._event_shape)}")
        for given, own in zip(reversed(value.shape), reversed(wanted), strict=False):
            if given not in (1, own) and own != 1:
                raise ValueError(f"{type(self).__name__}: a value of shape {tuple(value.shape)} does not broadcast "
                                 f"with batch and event shape {wanted}")
        if tracing():
            return
        try:
            support = self.support
        except NotImplementedError:
            return
        if not constraints.is_dependent(support) and not holds(support.check(value)):
            raise ValueError(f"{type(self).__name__}: values must lie within the support {support!r}, but found "
                             f"invalid values:\n{value}")

    def __repr__(self) -> str:
        known = [n for n in self.arg_constraints if n in self.__dict__]
        values = [(n, self.__dict__[n]) for n in known]
        shown = ", ".join(f"{n}: {v if v.numel() == 1 else v.size()}" for n, v in values)
        return f"{type(self).__name__}({shown})"


class ExponentialFamily(Distribution):
    """A distribution with density exp(t(x) . eta - F(eta) + k(x)), by its natural parameters.

    A family gives `_natural_params`, a tuple of Tensors, and `_log_normalizer(*natural)`, which is F; the mean of
    the carrier, `_mean_carrier_measure`, is needed for the entropy.

    Example:
        >>> import squall as sq
        >>> isinstance(sq.distributions.Gamma(1.0, 1.0), sq.distributions.ExponentialFamily)
        True
    """

    _mean_carrier_measure: Any = None

    @property
    def _natural_params(self) -> tuple:
        raise UndefinedError(f"{type(self).__name__}: natural parameters are not defined")

    def _log_normalizer(self, *natural: Any) -> Any:
        raise UndefinedError(f"{type(self).__name__}: the log normalizer is not defined")

    def _expectations(self) -> tuple:
        """F at the natural parameters, these, and its gradients there, the means of the statistics."""
        natural = tuple(p.detach() for p in self._natural_params) if not sq.is_grad_enabled() else self._natural_params
        value = self._log_normalizer(*natural)
        places = tuple(range(len(natural)))
        means = sq.func.grad(lambda *p: self._log_normalizer(*p).sum(), places)(*natural)
        return value, natural, means

    def entropy(self) -> Any:
        """F - eta . grad F - E[k], by the gradient of the log normalizer."""
        if self._mean_carrier_measure is None:
            raise UndefinedError(f"{type(self).__name__}: the mean of the carrier is not defined")
        value, natural, means = self._expectations()
        total = value - self._mean_carrier_measure
        for p, m in zip(natural, means, strict=True):
            part = p * m
            total = total - part.reshape(*self._batch_shape, -1).sum(-1)
        return total
