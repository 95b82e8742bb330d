"""What every regression here shares: scikit-learn's interface, and inputs checked at the door.

Estimators follow scikit-learn's conventions (constructor arguments kept as they are, fitted attributes end in ``_``,
``get_params``/``set_params``), so ``sklearn.base.clone``, pipelines and searches accept them. Arrays give arrays back,
tensors give tensors on their device.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.features import Features, dtype_of
from brainnet.scores import r2


class VoxelwiseRegressor:
    """Parameters, scores and checks of an estimator that predicts every voxel from the same features."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name, as scikit-learn's estimators give them."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name not in ("self", "args", "kwargs")}

    def set_params(self, **params: Any) -> VoxelwiseRegressor:
        """Sets constructor arguments and returns the estimator."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}. Known: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def score(self, X: Any, Y: Any) -> Any:
        """R2 per voxel, (n_voxels,), not their mean; NaN where responses are constant."""
        prediction = torch.as_tensor(self.predict(X))
        response = torch.as_tensor(Y)
        return self._give(r2(prediction.reshape(len(prediction), -1), response.reshape(len(response), -1)))

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags("regressor", TargetTags(required=True, multi_output=True), None, None, RegressorTags(), InputTags())

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{k}={v!r}" for k, v in self.get_params().items() if v is not defaults[k].default)
        return f"{type(self).__name__}({', '.join(changed)})"

    def _open(self, X: Any, Y: Any, dtype: torch.dtype | None = None) -> tuple[Features, Tensor]:
        """Features and responses (n_images, n_voxels) on one device and dtype, once they fit together.

        Voxels with NaN in some images are set to zero here and predicted as NaN, see ``_usable``.
        """
        self._numpy = not isinstance(Y, Tensor)
        response = torch.as_tensor(np.asarray(Y) if self._numpy and not hasattr(Y, "__array_interface__") else Y)
        if dtype is None:
            dtype = torch.float64 if torch.float64 in (response.dtype, dtype_of(X)) else torch.float32
        self._one_voxel = response.ndim == 1
        response = response.reshape(len(response), -1) if response.ndim in (1, 2) else response
        if response.ndim != 2 or 0 in response.shape:
            raise ValueError(f"responses must be (n_images, n_voxels), neither zero; got {tuple(response.shape)}.")
        device = X.device if isinstance(X, Tensor) and X.device.type != "cpu" else response.device
        features = Features(X, dtype, device)
        if len(features) != len(response):
            raise ValueError(f"features have {len(features)} images but responses have {len(response)}.")
        response = response.to(device, dtype)
        self._usable = torch.ones(response.shape[1], dtype=torch.bool, device=device)
        if not torch.stack(response.aminmax()).isfinite().all():
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
                stacklevel=3,
            )
            response = torch.where(self._usable, response, 0.0)
        self.n_features_in_ = features.width
        return features, response

    def _reopen(self, X: Any) -> Features:
        """Features to predict from, once their number is the fitted one."""
        if not hasattr(self, "n_features_in_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet; call fit first.")
        features = Features(X, self._dtype, self._device)
        if features.width != self.n_features_in_:
            raise ValueError(f"X has {features.width} features but the model was fitted on {self.n_features_in_}.")
        return features

    def _give(self, value: Tensor) -> Any:
        """A result as the user gave the responses: numpy for numpy."""
        return value.cpu().numpy() if self._numpy else value

    def _give_prediction(self, prediction: Tensor) -> Any:
        prediction[:, ~self._usable.to(prediction.device)] = torch.nan
        return self._give(prediction[:, 0] if self._one_voxel else prediction)
