"""Where each document stands in the store (protocol, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import InvalidSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


def check_name(field: str, value: str) -> str:
    """Return a cluster name, uid or site name if it may stand in keys and names.

    Raises InvalidSpec otherwise.
    """
    if not _NAME.fullmatch(value):
        raise InvalidSpec(
            f"{field} = {value!r}: must be 1 to 40 letters, digits, '_', '.' or '-', "
            "beginning with a letter or digit"
        )
    return value


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cluster."""

    cluster: str

    @property
    def prefix(self) -> str:
        """Everything of this cluster stands below it."""
        return f"/pgha/{self.cluster}/"

    @property
    def store_id(self) -> str:
        """The random id that tells a restored store from the one we knew."""
        return f"{self.prefix}store-id"

    @property
    def store(self) -> str:
        """Prefix of what tells which store this is."""
        return f"{self.prefix}store-"

    @property
    def acceptance(self) -> str:
        """An operator's word that a restored store is the right one."""
        return f"{self.prefix}store-accepted"

    @property
    def spec(self) -> str:
        """What the operator wants."""
        return f"{self.prefix}spec"

    @property
    def view(self) -> str:
        """What each member should do."""
        return f"{self.prefix}view"

    @property
    def reasons(self) -> str:
        """Why, and why not."""
        return f"{self.prefix}reasons"

    @property
    def leader(self) -> str:
        """The leader sentinel; its create revision is the fencing token."""
        return f"{self.prefix}leader"

    @property
    def keepers(self) -> str:
        """Prefix of the keepers' reports."""
        return f"{self.prefix}keepers/"

    @property
    def sentinels(self) -> str:
        """Prefix of the sentinels' reports."""
        return f"{self.prefix}sentinels/"

    @property
    def proxies(self) -> str:
        """Prefix of the proxies' reports."""
        return f"{self.prefix}proxies/"

    @property
    def history(self) -> str:
        """Prefix of the events."""
        return f"{self.prefix}history/"

    @property
    def past_specs(self) -> str:
        """Prefix of the specs that are kept, the present one among them."""
        return f"{self.prefix}past-specs/"

    @property
    def requests(self) -> str:
        """Prefix of what operators have asked for."""
        return f"{self.prefix}requests/"

    def keeper(self, uid: str) -> str:
        """The report of one keeper."""
        return f"{self.keepers}{uid}"

    def sentinel(self, uid: str) -> str:
        """The report of one sentinel."""
        return f"{self.sentinels}{uid}"

    def proxy(self, uid: str) -> str:
        """The report of one proxy."""
        return f"{self.proxies}{uid}"

    def request(self, request_id: str) -> str:
        """One operation asked for."""
        return f"{self.requests}{request_id}"

    def past_spec(self, number: int) -> str:
        """A spec that is kept; ten digits, so that keys sort by age."""
        return f"{self.past_specs}{number:010d}"

    def event(self, generation: int) -> str:
        """The event that came with a generation; ten digits, so that keys sort by age."""
        return f"{self.history}{generation:010d}"
