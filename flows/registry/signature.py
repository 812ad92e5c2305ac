"""The MLflow signature of a contract's model."""

from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType, Array

from data.columns import Column, Kind, Role
from data.contract import Contract


def model_signature(contract: Contract) -> ModelSignature:
    """Derive inputs (raw records) and outputs (forecasts) from a contract.

    Audit columns are optional. A coded column takes codes or labels, which are of several types; a nullable
    integer is a double, as a missing one makes it.
    """
    inputs = [
        ColSpec(_type(column), column.name, required=column.role is Role.FEATURE) for column in contract.asked
    ]
    outputs = [
        ColSpec(DataType.string, "grade_class"),
        ColSpec(DataType.long, "grade_class_index"),
        ColSpec(DataType.double, "at_risk"),
        ColSpec(Array(DataType.string), "grade_set"),
        *(ColSpec(DataType.double, f"probability_{label}") for label in contract.target.labels),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))  # type: ignore[arg-type]


def _type(column: Column) -> DataType | AnyType:
    if column.coded:
        return AnyType()  # type: ignore[no-untyped-call]
    return DataType.long if column.kind is Kind.INTEGER and not column.nullable else DataType.double
