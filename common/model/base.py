"""What every stored document and every value inside one shares."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import InvalidDocument


def describe(error: ValidationError) -> str:
    """Say each problem of a validation as ``field = value: rule``, one after the other."""
    parts = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"]) or "(document)"
        value = repr(problem.get("input"))
        shown = value if len(value) <= 80 else value[:77] + "..."  # noqa: PLR2004 - one terminal line
        rule = {"extra_forbidden": "unknown field", "missing": "required, but absent"}.get(
            problem["type"], problem["msg"].removeprefix("Value error, ")
        )
        parts.append(f"{field} = {shown}: {rule}")
    return "; ".join(parts)


class Value(BaseModel):
    """A frozen part of a document; what a newer release added inside it is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def changed(self, **fields: Any) -> Self:
        """Return a copy with some fields replaced, validated again."""
        return type(self).model_validate({**dict(self), **fields})


class Document(Value):
    """A value that stands under a key of its own in the store."""

    SCHEMA: ClassVar[int] = 1
    schema_version: int = 1

    def to_bytes(self) -> bytes:
        """Serialise for the store."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a document.

        Raises InvalidDocument when it is malformed or was written by a newer release.
        """
        try:
            document = cls.model_validate_json(raw)
        except ValidationError as error:
            raise InvalidDocument(f"{cls.__name__}: {describe(error)}") from error
        if document.schema_version > cls.SCHEMA:
            raise InvalidDocument(
                f"{cls.__name__}: schema_version = {document.schema_version}: "
                f"this release reads up to {cls.SCHEMA}"
            )
        return document
