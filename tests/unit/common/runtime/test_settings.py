"""How a service is told its settings, and what it answers to wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from common.errors import InvalidSpec
from common.runtime.settings import load_settings, read_settings
from keeper.settings import KeeperSettings
from proxy.settings import ProxySettings
from sentinel.settings import SentinelSettings

NO_NUMBER = "Input should be a valid number, unable to parse string as a number"
NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


class Inner(BaseModel):
    """Where the other side is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: tuple[str, ...] = Field(("a:1",), description="members, nearest first")
    ca_file: Path | None = Field(None, description="certificates")
    password: SecretStr | None = Field(None, description="the password")
    timeout_s: float = Field(2.0, gt=0, description="shorter notices sooner, 50% of the time")


class Outer(BaseModel):
    """A made-up service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str = Field(description="its name")
    port: int = Field(default=5432, ge=1, le=65535, description="where it listens")
    fast: bool = Field(default=False, description="whether it hurries")
    etcd: Inner = Field(default_factory=Inner, description="the store")

    @model_validator(mode="after")
    def _fits_together(self) -> Outer:
        if self.fast and self.port == 1:
            raise ValueError("fast and port = 1 contradict each other")
        return self


def read(*argv: str, env: Mapping[str, str] | None = None) -> Outer:
    return read_settings(Outer, "pgha-thing", argv=argv, environ=env or {})


def problems(*argv: str, env: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        read(*argv, env=env)
    return str(caught.value).splitlines()


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_what_is_not_given_has_its_default() -> None:
    """Only what has no default must be given."""
    settings = read("--uid", "one")

    assert settings == Outer(uid="one")


def test_flags_win_over_the_environment_that_over_the_file_that_over_defaults(tmp_path: Path) -> None:
    """Each source is asked only for what those before it left out, inside of inner models too."""
    file = write(tmp_path / "c.yaml", "uid: file\nport: 1000\netcd: {timeout_s: 7, endpoints: [f:1, f:2]}\n")
    env = {"PGHA_THING_UID": "env", "PGHA_THING_ETCD_ENDPOINTS": "e:1,e:2", "PGHA_THING_PORT": "2000"}

    settings = read("--config", file, "--uid", "flag", "--etcd-ca-file", "/ca.pem", env=env)

    assert (settings.uid, settings.port, settings.fast) == ("flag", 2000, False)
    assert settings.etcd == Inner(endpoints=("e:1", "e:2"), timeout_s=7, ca_file=Path("/ca.pem"))


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """A unit file needs no flags at all."""
    env = {"PGHA_THING_CONFIG": write(tmp_path / "c.yaml", "uid: file\netcd:\n")}

    assert read(env=env).uid == "file"
    assert read("--etcd-timeout-s", "3", env=env).etcd.timeout_s == 3


def test_switches_have_a_flag_for_each_way() -> None:
    """So that a flag can take back what the environment says."""
    env = {"PGHA_THING_FAST": "true", "PGHA_THING_UID": "one"}

    assert read(env=env).fast
    assert not read("--no-fast", env=env).fast


def test_a_secret_comes_from_the_environment_or_the_file_only(tmp_path: Path) -> None:
    """Command lines are there for everybody to read."""
    by_env = read("--uid", "one", env={"PGHA_THING_ETCD_PASSWORD": "hunter2"})
    by_file = read("--config", write(tmp_path / "c", "uid: one\netcd: {password: hunter2}"))

    assert by_env.etcd.password == by_file.etcd.password == SecretStr("hunter2")
    assert "unrecognized arguments" in problems("--etcd-password", "hunter2")[0]


def test_every_problem_is_named_with_value_rule_and_origin(tmp_path: Path) -> None:
    """All at once, one line each."""
    file = write(tmp_path / "c.yaml", "etcd: {timeout_s: soon, colour: red}\n")

    found = problems("--port", "70000", "--config", file, env={"PGHA_THING_FAST": "perhaps"})

    assert found == [
        "uid is required: give --uid or PGHA_THING_UID",
        "port = '70000': Input should be less than or equal to 65535 (from --port)",
        "fast = 'perhaps': Input should be a valid boolean, unable to interpret input (from PGHA_THING_FAST)",
        f"etcd.timeout_s = 'soon': {NO_NUMBER} (from {file})",
        f"etcd.colour: there is no such setting (from {file})",
    ]


def test_contradictions_are_refused_in_a_sentence() -> None:
    """What a model says of its values together stands there as it says it."""
    assert problems("--uid", "one", "--fast", "--port", "1") == ["fast and port = 1 contradict each other"]


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    """Neither a wrong one, nor one under a misspelt name."""
    file = write(tmp_path / "c.yaml", "uid: one\netcd: {pasword: hunter2, password: [hunter2]}\n")

    found = problems("--config", file)

    assert [line.partition(":")[0] for line in found] == ["etcd.password", "etcd.pasword"]
    assert "hunter2" not in "\n".join(found)


def test_a_misspelt_variable_is_refused() -> None:
    """Those of other programs are none of our business."""
    env = {"PGHA_THING_ETCD_ENDPIONTS": "x", "PGHA_OTHER": "y", "PGHA_THING_UID": "one"}

    assert problems(env=env) == ["PGHA_THING_ETCD_ENDPIONTS: there is no such setting"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        ("- a list", "must hold settings by their names"),
        ("a: [", "no YAML"),
        ("etcd: 3", "etcd: Input should be a valid dictionary or instance of Inner"),
        ("x" * (1 << 20) + "x", "longer than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    """With what is wrong with it."""
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_text(content)

    found = problems("--uid", "one", "--config", str(path))

    assert len(found) == 1
    assert says in found[0]


def test_a_flag_inside_what_the_file_says_is_no_model_is_refused(tmp_path: Path) -> None:
    """The file's mistake is said, rather than overwritten."""
    file = write(tmp_path / "c.yaml", "uid: one\netcd: 3\n")

    assert problems("--config", file, "--etcd-timeout-s", "3") == [
        "etcd = 3: must hold settings by their names"
    ]


def test_flags_must_be_written_out() -> None:
    """An abbreviation would change its meaning with the next release."""
    assert "unrecognized arguments: --por" in problems("--uid", "one", "--por", "5")[0]


def test_wrong_usage_ends_the_program_with_64(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line says which program speaks, the last where help is."""
    with pytest.raises(SystemExit) as ended:
        load_settings(Outer, "pgha-thing", argv=["--port", "x"], environ={})

    assert ended.value.code == 64
    assert capsys.readouterr().err.splitlines() == [
        "pgha-thing: uid is required: give --uid or PGHA_THING_UID",
        f"pgha-thing: port = 'x': {NO_INTEGER} (from --port)",
        "pgha-thing: see pgha-thing --help",
    ]


def test_help_says_each_setting_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Those without a flag too; a percent sign is just that."""
    with pytest.raises(SystemExit) as ended:
        load_settings(Outer, "pgha-thing", argv=["--help"], environ={})
    said = " ".join(capsys.readouterr().out.split())

    assert ended.value.code == 0
    assert "A made-up service." in said
    assert "--uid VALUE its name [PGHA_THING_UID; required]" in said
    assert "--fast, --no-fast whether it hurries [PGHA_THING_FAST; default: False]" in said
    assert "--etcd-endpoints VALUE members, nearest first [PGHA_THING_ETCD_ENDPOINTS; default: a:1]" in said
    assert "notices sooner, 50% of the time [PGHA_THING_ETCD_TIMEOUT_S; default: 2.0]" in said
    assert "etcd.password: the password [PGHA_THING_ETCD_PASSWORD; default: none]" in said


def test_version_says_program_and_release(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, and ends well."""
    with pytest.raises(SystemExit) as ended:
        load_settings(Outer, "pgha-thing", argv=["--version"], environ={})

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("pgha-thing 0.")


SERVICES = pytest.mark.parametrize(
    ("model", "program"),
    [
        (KeeperSettings, "pgha-keeper"),
        (SentinelSettings, "pgha-sentinel"),
        (ProxySettings, "pgha-proxy"),
    ],
)


@SERVICES
def test_each_service_says_what_every_setting_is_for(
    model: type[BaseModel], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting of a service is without a description, and those of etcd are among them."""
    with pytest.raises(SystemExit):
        load_settings(model, program, argv=["--help"], environ={})
    said = " ".join(capsys.readouterr().out.split())

    assert "--etcd-endpoints VALUE client URLs" in said
    assert "VALUE [PGHA" not in said


@SERVICES
def test_each_service_refuses_a_level_of_logs_that_there_is_not(model: type[BaseModel], program: str) -> None:
    """Before it starts, with those that there are."""
    with pytest.raises(InvalidSpec, match=r"log_level = 'loud': .*'warning' or 'error' \(from --log-level\)"):
        read_settings(model, program, argv=["--log-level", "loud"], environ={})
