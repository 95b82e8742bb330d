"""What every regression here shares: scikit-learn's interface, and inputs checked at the door.

Estimators follow scikit-learn's conventions (constructor arguments kept as they are, fitted attributes end in ``_``,
``get_params``/``set_params``), so ``sklearn.base.clone``, pipelines and searches accept them. Arrays give arrays back,
tensors give tensors on their device.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from brainnet.ridge.features import Features, array_of, dtype_of
from brainnet.scores import r2, usable_voxels

_LARGEST_EXACT_INTEGER = 2**24  # of float32


class VoxelwiseRegressor:
    """Parameters, scores and checks of an estimator that predicts every voxel from the same features.

    Attributes:
        reads: what X is: "features" of one feature space, "spaces" (name -> features), or "tokens".
        per_voxel: names of the fitted attributes worth keeping beside the scores; their last or first axis is voxels.
    """

    reads = "features"
    per_voxel: tuple[str, ...] = ("best_alphas_",)

    def training_score(self) -> Tensor:
        """(n_voxels,) float64 cross-validated score on the images given to ``fit``; NaN where there is none."""
        self._check_fitted()
        return torch.as_tensor(self.cv_scores_).double().max(0).values

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name, as in scikit-learn; deep, also "name__argument" of estimators within."""
        names = inspect.signature(type(self).__init__).parameters
        params = {name: getattr(self, name) for name in names if name not in ("self", "args", "kwargs")}
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    params |= {f"{name}__{inner}": given for inner, given in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> VoxelwiseRegressor:
        """Sets constructor arguments and returns the estimator."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}. Known: {', '.join(known)}")
            own, _, inner = name.partition("__")
            if inner:
                getattr(self, own).set_params(**{inner: value})
            else:
                setattr(self, own, value)
        return self

    def score(self, X: Any, y: Any) -> Any:
        """R2 per voxel, (n_voxels,), not their mean; NaN where responses are constant."""
        prediction = torch.as_tensor(self.predict(X))
        response = torch.as_tensor(array_of(y, "responses"))
        return self._give(r2(prediction.reshape(len(prediction), -1), response.reshape(len(response), -1)))

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, multi_output=True),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=RegressorTags(),
            input_tags=InputTags(),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{k}={v!r}" for k, v in self.get_params(deep=False).items() if repr(v) != repr(defaults[k].default))
        return f"{type(self).__name__}({', '.join(changed)})"

    def _open(self, X: Any, Y: Any, dtype: torch.dtype | None = None) -> tuple[Features, Tensor]:
        """Features and responses (n_images, n_voxels) on one device and dtype, once they fit together.

        Voxels with NaN in some images are set to zero here and predicted as NaN, see ``_usable``.
        """
        if Y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        self._numpy = not isinstance(Y, Tensor)
        response = array_of(Y, "responses")
        response = response if isinstance(response, Tensor) else torch.from_numpy(response)
        X = X if isinstance(X, Features) else array_of(X, "features")
        if dtype is None:
            dtype = torch.float64 if torch.float64 in (dtype_of(response), dtype_of(X)) else torch.float32
        self._one_voxel = response.ndim == 1
        response = response[:, None] if response.ndim == 1 else response
        if response.ndim != 2 or 0 in response.shape:
            raise ValueError(f"responses must be (n_images, n_voxels), neither zero; got {tuple(response.shape)}.")
        device = X.device if isinstance(X, Tensor) and X.device.type != "cpu" else response.device
        features = Features(X, dtype, device)
        if len(features) != len(response):
            raise ValueError(f"features have {len(features)} images but responses have {len(response)}.")
        if len(response) < 2:
            raise ValueError("a fit needs at least two images; got one sample.")
        response = self._check_responses(response.to(device, dtype))
        self.n_features_in_ = features.width
        return features, response

    def _check_responses(self, response: Tensor) -> Tensor:
        """Responses without NaN; warns where voxels are left out, or lose their digits under a large offset."""
        low, high = response.aminmax(dim=0)
        self._usable = torch.ones(response.shape[1], dtype=torch.bool, device=response.device)
        size = torch.maximum(low.abs(), high.abs())
        coarse = high - low < 1e3 * torch.finfo(response.dtype).eps * size
        coarse &= (low < high) | (size > _LARGEST_EXACT_INTEGER / 16)  # a voxel of small numbers is just constant
        if coarse.any():
            kind, largest = str(response.dtype).removeprefix("torch."), size[coarse].max().item()
            warnings.warn(
                f"{int(coarse.sum())} of {response.shape[1]} voxels change by less than a thousand steps of {kind} "
                f"around an offset of up to {largest:.3g}: most of their changes are lost. "
                "Give responses in float64, or subtract their means first.",
                stacklevel=4,
            )
        if low.isfinite().all() and high.isfinite().all():
            return response
        missing = ~response.isfinite()
        empty_rows = missing.all(1).nonzero()[:, 0].tolist()
        if empty_rows:
            raise ValueError(
                f"responses hold no number in {len(empty_rows)} images (first: {empty_rows[:5]}); leave those "
                "images out of features and responses."
            )
        self._usable = ~missing.any(0)
        warnings.warn(
            f"{int((~self._usable).sum())} of {response.shape[1]} voxels hold NaN or infinite responses; they are "
            "predicted as NaN and have no score.",
            stacklevel=4,
        )
        return torch.where(self._usable, response, 0.0)

    def _moving(self, response: Tensor) -> Tensor:
        """(n_voxels,) bool: voxels that can be scored."""
        return self._usable & usable_voxels(response)

    def _warn_at_edges(self, chosen: Tensor, grid: Any, moving: Tensor) -> None:
        """Says once where every voxel chose the smallest or the largest penalty of a grid that the user gave."""
        grid = torch.as_tensor(grid).to(chosen)
        chosen = chosen[moving.to(chosen.device)]
        if len(grid) < 2 or not len(chosen):
            return
        lowest, highest = (int((chosen == edge).sum()) for edge in (grid.min(), grid.max()))
        if lowest + highest == len(chosen):
            warnings.warn(
                f"all {len(chosen)} voxels chose a penalty at an edge of the grid ({lowest} the smallest, "
                f"{grid.min().item():.3g}, and {highest} the largest, {grid.max().item():.3g}): widen the grid.",
                stacklevel=4,
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_features_in_"):
            _refuse_unfitted(type(self).__name__)

    def _reopen(self, X: Any) -> Features:
        """Features to predict from, once their number is the fitted one."""
        self._check_fitted()
        features = Features(X, self._dtype, self._device)
        if features.width != self.n_features_in_:
            raise ValueError(
                f"X has {features.width} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return features

    def _give(self, value: Tensor) -> Any:
        """A result as the user gave the responses: numpy for numpy."""
        return value.cpu().numpy() if self._numpy else value

    def _give_prediction(self, prediction: Tensor) -> Any:
        prediction[:, ~self._usable.to(prediction.device)] = torch.nan
        return self._give(prediction[:, 0] if self._one_voxel else prediction)


def renamed(**names: str) -> Callable:
    """A decorator for ``__init__``: an argument's old name still works, with a warning.

    >>> class Model:
    ...     @renamed(standardise="standardize")
    ...     def __init__(self, standardize=False):
    ...         self.standardize = standardize
    >>> Model(standardise=True).standardize
    True
    """

    def accept(init: Callable) -> Callable:
        @functools.wraps(init)
        def accepting(self, *args: Any, **options: Any) -> None:
            for old in names.keys() & options.keys():
                warnings.warn(f"{old} is called {names[old]} now.", DeprecationWarning, stacklevel=2)
                options[names[old]] = options.pop(old)
            init(self, *args, **options)

        return accepting

    return accept


def _refuse_unfitted(name: str) -> NoReturn:
    from sklearn.exceptions import NotFittedError

    raise NotFittedError(f"this {name} is not fitted yet; call fit first.")
