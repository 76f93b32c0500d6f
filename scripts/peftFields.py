"""Facts about the config dataclasses of the installed PEFT: names, types and defaults of their fields.

Writes extension/core/peft/schema/peftFields.json, from which the schema of adapter_config.json takes
what the methods' own tables do not say. Run with a Python that has PEFT: python scripts/peftFields.py
"""

import dataclasses
import enum
import json
import pathlib
import types
import typing

import peft
import peft.utils
from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

target = pathlib.Path(__file__).parent.parent / "extension/core/peft/schema/peftFields.json"


def names_of(hint):
    """Type names of an annotation in JSON's terms: "integer", "string", "null", "array:integer", "=value"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return [name for argument in arguments for name in names_of(argument)]
    if origin is typing.Literal:
        return [f"={value}" for value in arguments]
    if origin in (list, tuple, typing.List):
        inner = {name for argument in arguments for name in names_of(argument)}
        return [f"array:{'|'.join(sorted(inner))}"] if inner else ["array"]
    if origin is dict or hint is dict or dataclasses.is_dataclass(hint):
        return ["object"]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [f"={member.value}" for member in hint]
    plain = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
    return [plain.get(hint, "object")]


def default_of(field):
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return None
    if isinstance(value, enum.Enum):
        return value.value
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value


common = {field.name for field in dataclasses.fields(PeftConfig)}
result = {"version": peft.__version__, "methods": {}}
for peft_type, config in sorted(PEFT_TYPE_TO_CONFIG_MAPPING.items(), key=lambda each: str(each[0].value)):
    hints = typing.get_type_hints(config)
    fields = {}
    for field in dataclasses.fields(config):
        if field.name in common:
            continue
        fields[field.name] = [list(dict.fromkeys(names_of(hints[field.name]))), default_of(field)]
    result["methods"][peft_type.value] = {"class": config.__name__, "fields": fields}
lines = [f'{{ "version": "{result["version"]}", "methods": {{']
for i, (name, method) in enumerate(result["methods"].items()):
    lines.append(f'{"," if i else ""}"{name}": {{ "class": "{method["class"]}", "fields": {{')
    for j, (field, fact) in enumerate(method["fields"].items()):
        lines.append(f'{"," if j else ""}"{field}": {json.dumps(fact)}')
    lines.append("}}")
lines.append("}}")
target.write_text("\n".join(lines) + "\n")
