"""The settings of a pydantic model as command-line flags and environment variables, and their help."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from common.errors import InvalidSpec
from common.runtime.release import release

CONFIG: Final = "config"


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of the model, with its three names; ``flag`` is empty where there is none."""

    path: tuple[str, ...]
    flag: str
    env: str
    description: str
    default: str
    is_switch: bool
    is_list: bool

    @property
    def name(self) -> str:
        """The name in messages, ``etcd.timeout_s``."""
        return ".".join(self.path)

    def parse(self, text: str) -> str | list[str]:
        """Take a value from a flag or a variable: several stand between commas."""
        return [part.strip() for part in text.split(",") if part.strip()] if self.is_list else text


def env_prefix(program: str) -> str:
    """The beginning of the names of a program's environment variables."""
    return program.upper().replace("-", "_") + "_"


def settings_of(model: type[BaseModel], program: str) -> tuple[Setting, ...]:
    """Every setting of a model, those of models inside it too, in their order."""
    return tuple(_walk(model, env_prefix(program), ()))


def _walk(model: type[BaseModel], prefix: str, outer: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        path = (*outer, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, prefix, path)
            continue
        joined = "_".join(path)
        is_secret = SecretStr in (field.annotation, *get_args(field.annotation))
        yield Setting(
            path=path,
            flag="" if is_secret else f"--{joined.replace('_', '-')}",
            env=prefix + joined.upper(),
            description=field.description or "",
            default=_shown(field),
            is_switch=field.annotation is bool,
            is_list=get_origin(field.annotation) in {tuple, list, set, frozenset},
        )


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default == "":
        return "default: none"
    if isinstance(default, tuple | list):
        return f"default: {','.join(str(each) for each in default)}"
    return f"default: {default}"


class FlagParser(argparse.ArgumentParser):
    """Flags for every setting that may have one. All values stay texts: the model reads and checks them."""

    def __init__(self, model: type[BaseModel], program: str, settings: Sequence[Setting]) -> None:
        super().__init__(
            prog=program,
            usage=f"{program} [--config FILE] [setting ...]",
            description=inspect.getdoc(model),
            epilog="Flags win over the environment, that over the file, that over the defaults.",
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=_Help,
        )
        self.add_argument("--version", action="version", version=f"{program} {release()}")
        self.add_argument(
            "--config",
            metavar="FILE",
            help=f"YAML file with settings by their names [{env_prefix(program)}CONFIG]",
        )
        without_flag = []
        for setting in settings:
            about = f"{setting.description} [{setting.env}; {setting.default}]".replace("%", "%%")
            if not setting.flag:
                without_flag.append(f"{setting.name}: {about}")
            elif setting.is_switch:
                self.add_argument(
                    setting.flag, dest=setting.name, action=argparse.BooleanOptionalAction, help=about
                )
            else:
                self.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=about)
        if without_flag:
            self.add_argument_group("in the environment or the file only", "\n".join(without_flag))

    def values(self, argv: Sequence[str]) -> dict[str, Any]:
        """What was given, by the settings' names and ``config``; raises InvalidSpec for wrong usage."""
        return vars(self.parse_args(list(argv)))

    def error(self, message: str) -> NoReturn:
        """Refuse wrong usage in our own way."""
        raise InvalidSpec(message)


class _Help(argparse.HelpFormatter):
    """As wide as the lines of this project."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)
