"""The address at which others reach a PostgreSQL, and those at which it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.main import postgres_settings
from keeper.settings import KeeperSettings


@pytest.mark.parametrize(
    ("given", "listens"),
    [({"host": "10.1.0.5"}, "10.1.0.5"), ({"host": "db.example", "listen": "*"}, "*")],
    ids=["the host alone", "both"],
)
def test_postgresql_listens_where_it_is_told_to_else_at_its_host(
    tmp_path: Path, given: dict[str, str], listens: str
) -> None:
    """Behind address translation the address that others use is none of the machine's own."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    settings = KeeperSettings.model_validate(
        {
            "uid": "sandun-1",
            "site": "sandun",
            "root": tmp_path,
            "replication_password_file": password,
            "rewind_password_file": password,
            **given,
        }
    )

    assert postgres_settings(settings).listen_addresses == listens
    assert settings.host == given["host"]
