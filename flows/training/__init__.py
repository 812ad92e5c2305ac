"""The training core: arrays in, a fitted model out; `fit.fit` is the way in."""
