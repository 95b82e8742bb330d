"""A method of linear encoding, though it is not linear."""

import numpy as np


class NearestImage:
    """Predicts the response to the training image with the most similar features."""

    reads = "features"

    def fit(self, X, Y):
        self.features_, self.responses_ = np.asarray(X), np.asarray(Y)
        return self

    def predict(self, X):
        distances = ((np.asarray(X)[:, None] - self.features_) ** 2).sum(-1)
        return self.responses_[distances.argmin(1)]
