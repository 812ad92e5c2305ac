"""A contract: read from its YAML, checked, and what follows from it."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

from data.contract.columns import ELAPSED, Column, Role, Target
from data.contract.dated import AS_OF, Dated
from data.contract.expressions import ContractError, Name, Strict, Taken, names_in
from data.contract.yaml_files import find_yaml, parse_yaml, read_text
from data.errors import BadInput

FOLDER = Path(__file__).parent
IGNORE = "ignore"
Model = TypeVar("Model", bound=BaseModel)
MESSAGES = {
    "missing": "this key is missing",
    "invalid_key": "a key here must be a text",
    "string_type": "write a text; quote it where it looks like a number, or is yes, no or empty",
    "string_too_short": "this may not be empty",
    "string_too_long": "write at most {max_length} characters",
    "string_pattern_mismatch": "use lower-case letters, digits and _, beginning with a letter",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "greater_than": "write a number above {gt:g}",
    "less_than_equal": "write a number up to {le:g}",
    "date_type": "write a day, 2025-09-01",
    "date_parsing": "write a day, 2025-09-01",
    "date_from_datetime_parsing": "write a day, 2025-09-01",
    "date_from_datetime_inexact": "write a day, 2025-09-01",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "dict_type": "write keys with values here, {{key: value}}",
    "model_type": "write keys with values here, {{key: value}}",
    "tuple_type": "write a list here, [one, another]",
    "enum": "give one of {expected}",
    "literal_error": "give one of {expected}",
}


def find_contract(name_or_path: str | Path) -> Path:
    """Return the YAML file of a contract given by name or by path; raises BadInput."""
    return find_yaml("contract", name_or_path, FOLDER)


def read_contract(name_or_path: str | Path, model: type[Model], *, strict: bool = True) -> Model:
    """Read and check a contract; raises BadInput with file and line."""
    path = find_contract(name_or_path)
    return parse_contract(read_text(path), model, file=path, strict=strict)


def parse_contract(text: str, model: type[Model], *, file: str | Path, strict: bool = True) -> Model:
    """Check a contract's YAML text against the model; raises BadInput with file and line."""
    tree, raw = parse_yaml(text, file=file, strict=strict)
    if tree is None or not isinstance(raw, dict):
        raise BadInput("the file holds no contract.", file=file, remedy="Start from an existing one.")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = [_problem(tree, item, model) for item in error.errors(include_url=False)]
        raise BadInput(f"{'; '.join(dict.fromkeys(found))}.", file=file) from error


def _problem(tree: yaml.Node, item: Any, model: type[BaseModel]) -> str:
    """Return one validation problem as `line N: key: what`."""
    context = item.get("ctx", {})
    broken = context.get("error")
    keys = [key for key in item["loc"] if key != "[key]"]
    line, path = _locate(tree, [*keys, *broken.keys] if isinstance(broken, ContractError) else keys)
    own = MESSAGES.get(item["type"])
    message = own.format_map(context) if own else item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = f"this key is not known here; there are {_known(model, keys)}"
    return f"line {line}: {'.'.join(path)}: {message}"


def _known(model: type[BaseModel], keys: list[Any]) -> str:
    """List the keys that are known where an unknown one stands."""
    level = model
    for key in keys[:-1]:
        level = _model_in(level.model_fields[key].annotation) or level if key in level.model_fields else level
    names = [field.alias or name for name, field in level.model_fields.items()]
    return ", ".join(name for name in names if (level, name) != (Column, "name"))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a type like `dict[str, Column]` or `Dated | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _locate(node: yaml.Node, keys: list[Any]) -> tuple[int, list[str]]:
    """Return the line of the deepest key of the path that the YAML has, and the path to what is wrong."""
    line = node.start_mark.line + 1
    path: list[str] = []
    for key in keys:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[key]
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in reversed(pairs) if _same(k, key)), None)  # a merged key stands first
        if found is None:
            return line, [*path, str(key)]
        line, node = found[0].start_mark.line + 1, found[1]
        path.append(found[0].value)
    return line, path


def _same(node: yaml.ScalarNode, key: Any) -> bool:
    """Whether a key of the YAML is that key of the model, which calls true 1."""
    return bool(yaml.constructor.SafeConstructor().construct_object(node) == key)


class Contract(Strict):
    """A data set's columns and target, checked as one whole."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=200)]
    title: Name
    description: str = ""
    target: Target
    columns: dict[str, Column]
    rule_of_thumb: str | None = None
    dated: Dated | None = None
    ignored: tuple[str, ...] = Field(default=(), exclude=True)
    """Columns with the role ignore: known, and used for nothing."""

    def __copy__(self) -> Self:
        """Return a copy without what was derived: `model_copy` may give it other columns."""
        copied = super().__copy__()
        for name in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[name]
        return copied

    @model_validator(mode="before")
    @classmethod
    def _columns_know_their_names(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("columns"), dict):
            return raw
        if "ignored" in raw:
            raise ContractError("give those columns the role ignore", "ignored")
        day = _day(raw.get("dated")) if AS_OF not in raw["columns"] else {}
        columns = {**day, **raw["columns"]}
        ignored = [name for name, column in columns.items() if _is_ignored(name, column)]
        named = {k: _named(k, v) if isinstance(v, dict) else v for k, v in columns.items()}
        used = {name: column for name, column in named.items() if name not in ignored}
        return {**raw, "columns": used, "ignored": tuple(map(str, ignored))}

    @model_validator(mode="after")
    def _roles_and_target_agree(self) -> Self:
        if not self.features:
            raise ContractError("at least one needs the role feature", "columns")
        for role in (Role.ID, Role.SCORE):
            names = [column.name for column in self._having(role)]
            if len(names) > 1:
                raise ContractError(
                    f"{names[0]} has the role {role} already, at most one may", "columns", names[1], "role"
                )
        if self.target.column in {*self.columns, *self.ignored}:
            raise ContractError(
                "this is the target and cannot be a column as well", "columns", self.target.column
            )
        self._check_score()
        self._check_aliases()
        if self.rule_of_thumb and self.rule_of_thumb not in {c.name for c in self.features}:
            raise ContractError(f"{self.rule_of_thumb!r} is not a feature", "rule_of_thumb")
        self._check_dated()
        if self.accumulating and ELAPSED in {*self.columns, self.target.column}:
            raise ContractError(
                "where a column accumulates, this name says how much of the period has passed",
                *(("columns", ELAPSED) if ELAPSED in self.columns else ("target", "column")),
            )
        return self

    def _check_dated(self) -> None:
        taken = self.taken
        if self.dated is None:
            if taken:
                raise ContractError("this needs the section dated", "columns", next(iter(taken)), "taken")
            return
        if self.id is None:
            raise ContractError("dated records need a column with the role id", "columns")
        self.dated.check_taken(taken)
        numbers = {c.name for c in self.columns.values() if not c.coded and c.role is not Role.ID}
        rules: dict[tuple[str, ...], str | None] = {("dated", "early_warning"): self.dated.early_warning}
        rules |= {("columns", name, "taken", "formula"): one.formula for name, one in taken.items()}
        for place, rule in rules.items():
            unknown = next((n for n in names_in(rule or "0") if n not in numbers), None)
            if unknown is not None:
                raise ContractError(f"{unknown!r} is no column of numbers here", *place)

    def _check_score(self) -> None:
        rule, score = self.target.derive_rule, self.score
        if rule and (score is None or score.name != rule["score"]):
            raise ContractError(
                f"{rule['score']!r} must be the column with the role score", "target", "derive"
            )
        if self.target.bounds and score is None:
            key = "at_most" if self.target.at_most else "at_least"
            raise ContractError("the rule needs a column with the role score", "target", key)
        if score is not None and score.coded:
            raise ContractError("a score is of kind number or integer", "columns", score.name, "kind")
        if score is not None and self.target.bounds is None:
            raise ContractError(
                "a score needs a rule in the target: at_least, at_most or derive",
                "columns",
                score.name,
                "role",
            )

    def _check_aliases(self) -> None:
        known = {*self.columns, *self.ignored, self.target.column}
        places = [(name, ("columns", name)) for name in self.columns] + [(self.target.column, ("target",))]
        for name, place in places:
            own = self.columns.get(name, self.target)
            for alias in own.aliases:
                if alias in known:
                    raise ContractError(f"{alias!r} is a column or an alias already", *place, "aliases")
                known.add(alias)

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """The column's name by each of its aliases."""
        found = {alias: column.name for column in self.columns.values() for alias in column.aliases}
        return found | dict.fromkeys(self.target.aliases, self.target.column)

    def named(self, headings: Iterable[str]) -> list[str]:
        """Return a file's headings with the columns' own names in place of their aliases."""
        found = list(headings)
        own = set(found)
        return [name if self._aliases.get(name, name) in own else self._aliases[name] for name in found]

    @cached_property
    def headings(self) -> frozenset[str]:
        """Names of the columns that are read from a source, and their aliases."""
        return self.readable | {a for a, name in self._aliases.items() if name in self.readable}

    def _having(self, role: Role) -> tuple[Column, ...]:
        return tuple(column for column in self.columns.values() if column.role is role)

    @cached_property
    def taken(self) -> dict[str, Taken]:
        """How columns are taken from dated tables, by their names."""
        return {column.name: column.taken for column in self.columns.values() if column.taken}

    @property
    def model_name(self) -> str:
        """The registered model's name: the contract's, with dashes."""
        return self.name.replace("_", "-")

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """Columns that the model sees."""
        return self._having(Role.FEATURE)

    @cached_property
    def fallbacks(self) -> tuple[Column, ...]:
        """Features for which a value is taken where there is none."""
        return tuple(column for column in self.features if column.fallback is not None)

    @cached_property
    def audit(self) -> tuple[Column, ...]:
        """Columns recorded for the fairness audit and never seen by the model."""
        return self._having(Role.AUDIT)

    @cached_property
    def audited(self) -> tuple[Column, ...]:
        """Columns of the fairness audit: those recorded for it, then the features that are audited too."""
        return self.audit + tuple(column for column in self.features if column.audited)

    @cached_property
    def leaks(self) -> tuple[Column, ...]:
        """Columns that give the outcome away and are never used."""
        return self._having(Role.LEAK)

    @cached_property
    def readable(self) -> frozenset[str]:
        """Names of the columns that are read from a source: all but the leaks, and the target."""
        return frozenset({*self.columns, self.target.column} - {column.name for column in self.leaks})

    @cached_property
    def asked(self) -> tuple[Column, ...]:
        """Columns known when a forecast is asked for: features, then audit columns."""
        return self.features + self.audit

    @cached_property
    def accumulating(self) -> tuple[Column, ...]:
        """Features that grow over the period, and are known in full at its end alone."""
        return tuple(column for column in self.features if column.accumulates)

    @cached_property
    def id(self) -> Column | None:
        """The column that names a student, if there is one."""
        return next(iter(self._having(Role.ID)), None)

    @cached_property
    def score(self) -> Column | None:
        """The numeric score that the class is derived from, if there is one."""
        return next(iter(self._having(Role.SCORE)), None)


def _day(dated: Any) -> dict[str, Any]:
    """Return the column of the day that dated records are forecast for; nothing where there are none."""
    days = dated.get("checkpoints") if isinstance(dated, dict) else None
    if not isinstance(days, list) or not all(isinstance(day, int) for day in days) or len(days) < 2:
        return {}  # what is wrong with them is told where they are checked
    first, last = min(days), max(days)
    about = f"From the start, {first} to {last}. Only what was known by the end of this day is used."
    return {AS_OF: {"title": "Day", "kind": "integer", "help": about, "min": first, "max": last}}


def _is_ignored(name: Any, column: Any) -> bool:
    """Tell whether a column is to be used for nothing; it needs to be told of no more."""
    if not isinstance(column, dict) or column.get("role") != IGNORE:
        return False
    for key in column.keys() - {"role", "title", "help"}:
        raise ContractError("an ignored column has a title and a help at most", "columns", name, key)
    return True


def _named(name: Any, column: dict[Any, Any]) -> dict[Any, Any]:
    if column.get("name", name) != name:
        raise ContractError("a column's name is the key that it stands under", "columns", name, "name")
    return {**column, "name": name}


def load_contract(name_or_path: str | Path, *, strict: bool = True) -> Contract:
    """Load a contract by name or from a YAML file; not strict for that of a registered bundle.

    Raises BadInput naming the file, the line and what is allowed there.
    """
    return read_contract(name_or_path, Contract, strict=strict)
