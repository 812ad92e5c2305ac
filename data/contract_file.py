"""Read a contract from YAML; say which line is wrong and what is allowed there."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data.columns import Column, Misfit
from data.errors import BadInput
from data.target import Costs, Target
from data.yaml_files import find_yaml, parse_yaml, read_text

FOLDER = Path(__file__).parent / "contracts"
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
    misfit = context.get("error")
    keys = [key for key in item["loc"] if key != "[key]"]
    line, path = _locate(tree, [*keys, *misfit.keys] if isinstance(misfit, Misfit) else keys)
    message = MESSAGES.get(item["type"], item["msg"].removeprefix("Value error, ")).format_map(context)
    if item["type"] == "extra_forbidden":
        message = f"this key is not known here; there are {_known(model, keys)}"
    return f"line {line}: {'.'.join(path)}: {message}"


def _known(model: type[BaseModel], keys: list[Any]) -> str:
    """List the keys of the whole contract, its target, the target's costs or one of its columns."""
    below: type[BaseModel] = Costs if keys[0] == "target" else Column
    level = (model, Target, below)[len(keys) - 1]
    return ", ".join(name for name in level.model_fields if (level, name) != (Column, "name"))


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
