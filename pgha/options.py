"""What every command that talks to the store takes: the cluster's name and how to reach etcd."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import SecretStr, ValidationError

from common.errors import InvalidSpec, StoreUnavailable
from common.model.base import describe
from common.model.keys import Keys, check_name
from common.store.etcd import EtcdSettings, EtcdStore
from common.store.port import Store
from pgha.exits import Exit, fail

T = TypeVar("T")


def input_file(path: Path | None) -> Path | None:
    """Let through a file that is there, and ``-`` for standard input; for typer's ``callback``."""
    if path is not None and str(path) != "-" and not path.is_file():
        raise typer.BadParameter(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
    return path


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster that a command is about."""

    keys: Keys
    etcd: EtcdSettings

    def run(self, act: Callable[[Store], Awaitable[T]]) -> T:
        """Open the store, act, close it; a store out of reach ends the command."""

        async def with_store() -> T:
            store = EtcdStore(self.etcd)
            try:
                return await act(store)
            finally:
                await store.close()

        try:
            return asyncio.run(with_store())
        except StoreUnavailable as error:
            fail(self.unreachable(error), Exit.NO_STORE)

    def unreachable(self, error: StoreUnavailable) -> str:
        """Say what cannot be reached and what to do."""
        return (
            f"cannot reach etcd at {', '.join(self.etcd.endpoints)}: {error} "
            "(see that it runs, or name it with --etcd-endpoints)"
        )


def target(
    *,
    cluster: Annotated[
        str, typer.Option("--cluster", envvar="PGHA_CLUSTER", help="Name of the cluster.")
    ] = "main",
    etcd_endpoints: Annotated[
        str,
        typer.Option(envvar="PGHA_ETCD_ENDPOINTS", help="Client URLs of the etcd members, between commas."),
    ] = "http://127.0.0.1:2379",
    etcd_tls_ca_file: Annotated[
        Path | None, typer.Option(envvar="PGHA_ETCD_TLS_CA_FILE", help="Certificates that sign etcd's.")
    ] = None,
    etcd_tls_cert_file: Annotated[
        Path | None, typer.Option(envvar="PGHA_ETCD_TLS_CERT_FILE", help="Our own certificate.")
    ] = None,
    etcd_tls_key_file: Annotated[
        Path | None, typer.Option(envvar="PGHA_ETCD_TLS_KEY_FILE", help="The key of our own certificate.")
    ] = None,
    etcd_user: Annotated[str | None, typer.Option(envvar="PGHA_ETCD_USER", help="User of etcd.")] = None,
    etcd_password_file: Annotated[
        Path | None,
        typer.Option(
            envvar="PGHA_ETCD_PASSWORD_FILE",
            help="File with that user's password; or set PGHA_ETCD_PASSWORD.",
        ),
    ] = None,
    etcd_timeout_s: Annotated[
        float,
        typer.Option(
            envvar="PGHA_ETCD_TIMEOUT_S",
            help="Seconds until a call to etcd is given up: longer bears slower disks.",
        ),
    ] = EtcdSettings().timeout_s,
) -> Target:
    """Read the common options; raises typer.BadParameter for contradictions and bad values."""
    password = None if etcd_password_file else os.environ.get("PGHA_ETCD_PASSWORD")
    try:
        etcd = EtcdSettings.model_validate(
            {
                "endpoints": etcd_endpoints,
                "tls_ca_file": etcd_tls_ca_file,
                "tls_cert_file": etcd_tls_cert_file,
                "tls_key_file": etcd_tls_key_file,
                "user": etcd_user,
                "password": SecretStr(password) if password else None,
                "password_file": etcd_password_file,
                "timeout_s": etcd_timeout_s,
            }
        )
        return Target(Keys(check_name("--cluster", cluster)), etcd)
    except ValidationError as error:
        raise typer.BadParameter(f"etcd: {describe(error)}") from error
    except InvalidSpec as error:
        raise typer.BadParameter(str(error)) from error


def given(command: Callable[..., None], **providers: Callable[..., Any]) -> Callable[..., None]:
    """Give a command, whose first arguments are made by providers, the options of these after its own."""
    ours = inspect.signature(command, eval_str=True).parameters
    theirs = {name: inspect.signature(make, eval_str=True).parameters for name, make in providers.items()}
    assert list(ours)[: len(providers)] == list(providers)  # noqa: S101 - seen at this program's first start

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        made = [
            make(**{option: values.pop(option) for option in theirs[name]})
            for name, make in providers.items()
        ]
        command(*made, **values)

    own = list(ours.values())[len(providers) :]
    parameters = [*own, *(option for options in theirs.values() for option in options.values())]
    signature = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def with_target(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first argument is a Target the common options, after its own."""
    return given(command, target=target)
