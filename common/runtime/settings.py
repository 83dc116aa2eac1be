"""How a service is told its settings: flags, then environment, then a YAML file, then defaults.

A setting is a field of the service's pydantic model. ``lease_ttl_s`` is the flag ``--lease-ttl-s``, the
variable ``PGHA_SENTINEL_LEASE_TTL_S`` and the key ``lease_ttl_s`` of the file; a field of a model inside
the model joins both names (``etcd.timeout_s`` is ``--etcd-timeout-s``, in the file a mapping ``etcd:``).
A secret has no flag: command lines are there for everybody to read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from common.errors import InvalidSpec
from common.runtime.flags import CONFIG, FlagParser, Setting, env_prefix, settings_of
from common.runtime.service import EXIT_USAGE

M = TypeVar("M", bound=BaseModel)

FILE_LIMIT_BYTES: Final = 1024 * 1024


def load_settings(
    model: type[M],
    program: str,
    *,
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> M:
    """Read the settings of a program, or end it.

    Exits with 0 after ``--help`` and ``--version``, with 64 and one line for each problem on standard
    error when anything is wrong.
    """
    try:
        return read_settings(
            model,
            program,
            argv=sys.argv[1:] if argv is None else argv,
            environ=os.environ if environ is None else environ,
        )
    except InvalidSpec as error:
        lines = [*str(error).splitlines(), f"see {program} --help"]
        sys.stderr.write("".join(f"{program}: {line}\n" for line in lines))
        raise SystemExit(EXIT_USAGE) from error


def read_settings(model: type[M], program: str, *, argv: Sequence[str], environ: Mapping[str, str]) -> M:
    """Read the settings of a program; raises InvalidSpec with one line for each problem."""
    settings = settings_of(model, program)
    flags = FlagParser(model, program, settings).values(argv)
    variables = _variables(settings, env_prefix(program), environ)
    file = flags.get(CONFIG) or variables.get(CONFIG)
    plain = read_file(Path(file)) if file else {}
    given_by: dict[str, str] = {}
    for setting in settings:
        for source, values in ((setting.env, variables), (setting.flag, flags)):
            if setting.name in values:
                value = values[setting.name]
                _put(plain, setting.path, setting.parse(value) if isinstance(value, str) else value)
                given_by[setting.name] = source
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise InvalidSpec("\n".join(_explain(error, settings, given_by, file))) from error


def _variables(settings: Sequence[Setting], prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment gives, by name; one with our prefix that we do not know is refused."""
    known = {setting.env: setting.name for setting in settings} | {f"{prefix}CONFIG": CONFIG}
    ours = {variable: value for variable, value in environ.items() if variable.startswith(prefix)}
    unknown = sorted(ours.keys() - known.keys())
    if unknown:
        raise InvalidSpec("\n".join(f"{variable}: there is no such setting" for variable in unknown))
    return {known[variable]: value for variable, value in ours.items()}


def read_file(path: Path) -> dict[str, Any]:
    """Read a settings file: YAML, a mapping at its top; a name without a value says nothing.

    Raises InvalidSpec.
    """
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise InvalidSpec(f"config = {path}: longer than {FILE_LIMIT_BYTES} bytes")
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InvalidSpec(f"config = {path}: no YAML: {' '.join(str(error).split())}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"config = {path}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(plain, dict | None):
        raise InvalidSpec(f"config = {path}: must hold settings by their names, such as 'uid: sandun-1'")
    return {name: value for name, value in (plain or {}).items() if value is not None}


def _put(plain: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *outer, last = path
    for part in outer:
        inner = plain.get(part, {})
        if not isinstance(inner, dict):
            raise InvalidSpec(f"{part} = {inner!r}: must hold settings by their names")
        plain[part] = inner
        plain = inner
    plain[last] = value


def _explain(
    error: ValidationError, settings: Sequence[Setting], given_by: Mapping[str, str], file: str | None
) -> list[str]:
    """Each problem as ``field = value: rule`` and where the value came from."""
    by_name = {setting.name: setting for setting in settings}
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        setting = by_name.get(name)
        rule = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing" and setting:
            lines.append(f"{name} is required: give {setting.flag or 'it in the file'} or {setting.env}")
        elif setting is None and problem["type"] != "extra_forbidden":
            lines.append(f"{name}: {rule}" if name else rule)
        else:
            rule = "there is no such setting" if problem["type"] == "extra_forbidden" else rule
            source = given_by.get(name) or file or "its default"
            lines.append(f"{name}{_value(setting, problem['input'])}: {rule} (from {source})")
    return lines


def _value(setting: Setting | None, value: object) -> str:
    """A value for a message: short, and never that of a secret or of something unknown."""
    if setting is None or not setting.flag:
        return ""
    text = repr(value)
    return f" = {text}" if len(text) <= 80 else f" = {text[:77]}..."  # noqa: PLR2004 - one terminal line
