"""``pgha demo``: a whole cluster on this machine."""


def demo() -> None:
    """Run."""
