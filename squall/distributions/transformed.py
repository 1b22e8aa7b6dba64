"""Distributions made of others: through a function, with batches read as events, and mixed."""

from __future__ import annotations

import copy
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution
from squall.distributions.errors import UndefinedError
from squall.distributions.transform import Transform
from squall.distributions.transforms_composed import ComposeTransform
from squall.distributions.utils import sum_rightmost


class Independent(Distribution):
    """A distribution whose last batch dimensions are read as parts of one event.

    Args:
        base_distribution: of at least so many batch dimensions. reinterpreted_batch_ndims: how many join the event.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.Independent(sq.distributions.Normal(sq.zeros(3), 1.0), 1)
        >>> d.batch_shape, d.event_shape, d.log_prob(sq.zeros(3))
        (squall.Size([]), squall.Size([3]), tensor(-2.7568))
    """

    def __init__(self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None):
        have = len(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > have:
            raise ValueError(f"Independent: expected reinterpreted_batch_ndims <= {have}, the base's batch "
                             f"dimensions, got {reinterpreted_batch_ndims}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        shape = base_distribution.batch_shape + base_distribution.event_shape
        place = have - reinterpreted_batch_ndims
        super().__init__(shape[:place], shape[place:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = copy.copy(self) if _instance is None else _instance
        batch_shape = sq.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape + self._event_shape[:self.reinterpreted_batch_ndims])
        new.reinterpreted_batch_ndims = self.reinterpreted_batch_ndims
        new._batch_shape, new._event_shape = batch_shape, self._event_shape
        return new

    @property
    def has_rsample(self) -> bool:
        """As of the base."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:
        """As of the base, where no batch dimension joined the event."""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        """The base's, for the larger event."""
        found, more = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(found, more) if more else found

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Any:
        if self.reinterpreted_batch_ndims > 0:
            raise UndefinedError("Independent: enumerate_support() of a product of distributions is not defined")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """The distribution of a random value's image under an invertible function.

    Args:
        base_distribution: of the value. transforms: a transform or a list of them, first applied first.

    Attributes:
        base_dist, transforms: the two, the first expanded to what the transforms ask for.

    Raises:
        ValueError: when the shapes do not fit.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.TransformedDistribution(D.Normal(0.0, 1.0), [D.ExpTransform()]).log_prob(sq.tensor(1.0))
        tensor(-0.9189)
    """

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None):
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"TransformedDistribution: expected a Transform or a list of them, got {transforms}")
        shape = base_distribution.batch_shape + base_distribution.event_shape
        base_dims, whole = len(base_distribution.event_shape), ComposeTransform(self.transforms)
        if len(shape) < whole.domain.event_dim:
            raise ValueError(f"TransformedDistribution: the base needs shape with at least {whole.domain.event_dim} "
                             f"dimensions, got {tuple(shape)}")
        made = whole.forward_shape(shape)
        needed = whole.inverse_shape(made)
        base_distribution = base_distribution.expand(needed[:len(needed) - base_dims])
        joining = whole.domain.event_dim - base_dims
        self.base_dist = Independent(base_distribution, joining) if joining > 0 else base_distribution
        event = whole.codomain.event_dim + max(base_dims - whole.domain.event_dim, 0)
        place = len(made) - event
        super().__init__(made[:place], made[place:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = copy.copy(self) if _instance is None else _instance
        batch_shape, whole = sq.Size(batch_shape), ComposeTransform(self.transforms)
        shape = whole.inverse_shape(batch_shape + self.event_shape)
        new.base_dist = self.base_dist.expand(shape[:len(shape) - len(self.base_dist.event_shape)])
        new.transforms = self.transforms
        for name in self.arg_constraints:
            if name in self.__dict__:
                setattr(new, name, self._expanded(name, batch_shape))
        new._batch_shape, new._event_shape = batch_shape, self.event_shape
        return new

    def _support(self) -> Any:
        """Where the last transform leads to."""
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self.event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    support: Any = constraints.dependent_property(_support, is_discrete=False)
    has_rsample: Any = property(lambda self: self.base_dist.has_rsample)
    base_dist: Any

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, value: Any) -> Any:
        for transform in self.transforms:
            value = transform(value)
        return value

    def log_prob(self, value: Any) -> Any:
        """By the change of variables: the base's, less the logarithm of the Jacobian's determinant."""
        self._validate_sample(value)
        event, total, y = len(self.event_shape), 0.0, value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event += transform.domain.event_dim - transform.codomain.event_dim
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), event - transform.domain.event_dim)
            y = x
        return total + sum_rightmost(self.base_dist.log_prob(y), event - len(self.base_dist.event_shape))

    def _rising(self, value: Any) -> Any:
        """A probability turned round where the transforms fall."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Any) -> Any:
        """By the base's, for monotonous transforms."""
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        self._validate_base(value)
        return self._rising(self.base_dist.cdf(value))

    def _validate_base(self, value: Any) -> None:
        if self._validate_args:
            self.base_dist._validate_sample(value)

    def icdf(self, value: Any) -> Any:
        """By the base's, for monotonous transforms."""
        return self._forward(self.base_dist.icdf(self._rising(value)))


class MixtureSameFamily(Distribution):
    """One of several distributions of a family, chosen at random.

    Args:
        mixture_distribution: a Categorical, which chooses. component_distribution: whose last batch dimension are the
            components.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> mix = D.Categorical(sq.tensor([0.5, 0.5]))
        >>> D.MixtureSameFamily(mix, D.Normal(sq.tensor([-1.0, 3.0]), 1.0)).mean
        tensor(1.)
    """

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None):
        if "logits" not in mixture_distribution.arg_constraints or mixture_distribution.event_shape:
            raise ValueError("MixtureSameFamily: the mixture distribution must be a Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("MixtureSameFamily: the component distribution must be a Distribution")
        shape, mixed = component_distribution.batch_shape, mixture_distribution.batch_shape
        if not shape or shape[-1] != mixture_distribution.param_shape[-1]:
            raise ValueError(f"MixtureSameFamily: {mixture_distribution.param_shape[-1]} choices for components of "
                             f"batch shape {tuple(shape)}")
        for a, b in zip(reversed(mixed), reversed(shape[:-1]), strict=False):
            if a not in (1, b) and b != 1:
                raise ValueError(f"MixtureSameFamily: batch shapes {tuple(mixed)} and {tuple(shape[:-1])} do not fit")
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        self._num_component = shape[-1]
        super().__init__(shape[:-1], component_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = copy.copy(self) if _instance is None else _instance
        batch_shape = sq.Size(batch_shape)
        new._component_distribution = self._component_distribution.expand(batch_shape + (self._num_component,))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_shape, new._batch_shape = self._num_component, self._event_shape, batch_shape
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the components."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Any:
        """What chooses."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """What is chosen from."""
        return self._component_distribution

    def _weights(self) -> Any:
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *[1] * len(self._event_shape))

    @property
    def mean(self) -> Any:
        return (self._weights() * self._component_distribution.mean).sum(-1 - len(self._event_shape))

    @property
    def variance(self) -> Any:
        """The mean of the variances and the variance of the means."""
        place, weights, means = -1 - len(self._event_shape), self._weights(), self._component_distribution.mean
        apart = (means - self.mean.unsqueeze(place)) ** 2
        return (weights * (self._component_distribution.variance + apart)).sum(place)

    def cdf(self, value: Any) -> Any:
        below = self._component_distribution.cdf(self._padded(value))
        return (below * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        logs = self._component_distribution.log_prob(self._padded(value))
        return (logs + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            place, event = len(sample_shape) + len(self._batch_shape), tuple(self._event_shape)
            shape = (*tuple(self._extended_shape(sample_shape))[:place], 1, *event)
            chosen = chosen.expand(shape[:place]).reshape(*shape[:place], 1, *[1] * len(event)).expand(shape)
            return values.gather(place, chosen).squeeze(place)

    def _padded(self, value: Any) -> Any:
        return value.unsqueeze(value.ndim - len(self._event_shape))

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture_distribution}, {self._component_distribution})"
