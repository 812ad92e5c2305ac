"""The registered model as MLflow loads it ("models from code"): raw records in, forecasts out."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from data.bundle.bundle import Bundle
from data.contract.columns import ELAPSED
from data.errors import BadInput
from data.rows.frames import matrix, parse
from data.rows.quarantine import cell_faults, reasons_by_row
from data.rows.records import asking

ARTIFACT, ONLY = "bundle", "only"
NAMED = 20
"""Bad rows that a refusal names at most."""


class GradecastModel(PythonModel):
    """Wraps a bundle; holds nothing of its own.

    Loaded with `model_config={"only": "grade_class"}` it returns that column alone, which is what
    `mlflow.models.evaluate` asks a classifier for.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle that was logged beside this file."""
        self.bundle = Bundle.load(Path(context.artifacts[ARTIFACT]))
        self.only = str((context.model_config or {}).get(ONLY, ""))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  MLflow passes it by name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002  and this
    ) -> Any:
        """Return one forecast a row, in order; raises BadInput naming the rows that break the contract."""
        contract = asking(self.bundle.contract)
        frame = parse(model_input, contract, labelled=False)
        faults = cell_faults(frame, contract, labelled=False)
        if len(faults):
            raise BadInput(
                _rows(reasons_by_row(faults.sort_values(["row", "column"]))),
                remedy="Mend or leave out these rows (the header counts as row 1).",
            )
        told = self.bundle.contract.accumulating and ELAPSED in frame
        elapsed = frame[ELAPSED].fillna(1.0).to_numpy() if told else None
        said = self.bundle.probabilities(matrix(frame, self.bundle.contract), elapsed)
        answers = self.bundle.answers(said, elapsed)
        forecasts = pd.DataFrame(answers, index=model_input.index)
        named = pd.DataFrame(forecasts.pop("probabilities").tolist(), index=model_input.index)
        whole = forecasts.join(named.add_prefix("probability_"))
        return whole[self.only] if self.only else whole


def _rows(reasons: "pd.Series[str]") -> str:
    named = [f"row {row}: {reason}" for row, reason in reasons.items()]
    more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{'; '.join(named[:NAMED])}{more}."


mlflow.models.set_model(GradecastModel())
