"""The training core: arrays in, a fitted model out.

`fit.fit` is the way in: it searches a `grid` over the model `families`, CatBoost's in `symmetric`, beside the
`baselines`, by the `metrics` and the `ordinal` link, and refits the best, `distributed` where there are many
rows; what suits, several families' in a `pool`. `rows` gives it its arrays, `work` spreads the search over
processes, `telling` says what was done, and `trained` keeps what comes of it.
"""
