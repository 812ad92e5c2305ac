"""What a pipeline run submits to the registry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.contract import Contract
from data.contract_file import find_contract
from data.manifest import digest
from flows.process import Processed
from flows.reports.evidence import Evidence
from flows.settings import Settings
from flows.support.fingerprint import code_digest, fingerprint
from flows.train import Trained


@dataclass(frozen=True)
class Submission:
    """A trained candidate with the records and the evidence behind it."""

    trained: Trained
    processed: Processed
    contract_name: str
    evidence: Evidence
    settings: Settings
    must_win: bool = False
    """After a drift alarm: not worse is not enough, for records that may be corrupt."""

    @property
    def contract(self) -> Contract:
        """Return the contract that the candidate was trained under."""
        return self.evidence.contract

    @property
    def fingerprint(self) -> str:
        """Return the digest of what its bundle depends on: the model, the contract's every word, the code."""
        return fingerprint(
            trained=self.trained.fingerprint,
            contract=digest(find_contract(self.contract_name)),
            code=code_digest("flows/registry/bundling.py"),
        )

    @property
    def asks_person(self) -> bool:
        """Whether a person must approve its promotion: of each, or of one that an alarm led to."""
        return self.settings.approval == "required" or (
            self.must_win and self.settings.approval == "after-alarm"
        )

    @property
    def place(self) -> Path:
        """Return the folder of the bundle and its plots."""
        return self.settings.home / "bundles" / f"{self.contract.name}-{self.fingerprint}"

    @property
    def bundle(self) -> Path:
        """Return the bundle's folder."""
        return self.place / "bundle"

    def blocks(self, name: str) -> Iterator[pd.DataFrame]:
        """Yield the clean rows of a split, without their ids, part after part."""
        return self.processed.blocks(self.contract, name)

    def split(self, name: str) -> pd.DataFrame:
        """Read the clean rows of a split."""
        return self.processed.split(self.contract, name)
