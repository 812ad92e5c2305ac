"""What the parts of a model card are made of: shares and other figures with their intervals."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of the figures; frozen. What a bundle of another time says besides is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Share(Part):
    """A share of n students, from 0 to 1, with its exact 95 % interval; of none there is no share."""

    label: str = ""
    share: float | None
    low: float | None
    high: float | None
    n: int


class Estimate(Part):
    """A figure with its 90 % interval; nothing where too few students are behind it."""

    value: float | None
    low: float | None = None
    high: float | None = None
