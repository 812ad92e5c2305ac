"""The MLflow registry: what is written there, what is promoted, and why.

`registration.register_submission` is the way in: it has `bundling` make and verify the bundle, logs and
registers it, has `promotion` judge it and `decisions` carry out the verdict, or ask a person; `rollout`
watches the predictor follow, and turns back. `store` opens the registry and loads what is in it.
"""
