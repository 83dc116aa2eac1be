"""A clone that does not fit on its disk."""

from __future__ import annotations

import shutil

from common.model.spec import ClusterSpec
from tests.support.cluster import SMALL, Cluster, cluster
from tests.support.patience import PATIENT

GB = 1 << 30

SPEC = ClusterSpec.from_plain(
    {"durability": {"survive": "node"}, "postgres": {"parameters": SMALL}, "timings": PATIENT}
)


def test_a_clone_that_does_not_fit_says_so_and_is_made_once_it_fits() -> None:
    """Its member names the room that is missing; the others serve on, and it comes by itself in the end."""

    async def story(running: Cluster) -> None:
        uid, primary, term = running.standbys[0], running.primary, running.view.term
        # A file without blocks: the data are announced as larger than any disk here, for any user.
        filler = running.data(primary) / "filler"

        def said(_: object) -> bool:
            report = running.report(uid)
            return report is not None and any("too full for a clone" in each.text for each in report.reasons)

        async with running.writing() as statements:
            await running.power_cut(uid)
            shutil.rmtree(running.data(uid))
            with filler.open("wb") as file:
                file.truncate(shutil.disk_usage(running.demo.directory).free + 16 * GB)
            filler.chmod(0o644)
            await running.start(uid)
            await running.until(said, "its report says that the disk is too full")
            await running.more_writes()
            code, shown = running.status()
            texts = [reason["text"] for reason in shown["reasons"]]
            filler.unlink()
            await running.until_well()
            await running.more_writes()
        report = running.report(uid)

        assert code != 0
        missing = [text for text in texts if text.startswith(f"{uid}: the disk of {running.root(uid)}")]
        assert missing, texts
        assert " MB are needed, " in missing[0]
        assert " MB are free; make room, the clone is then tried again" in missing[0]
        assert (running.view.term, running.primary) == (term, primary)
        assert [each for each in statements if each.result != "ok"] == []
        assert report is not None
        assert report.reasons == ()
        assert not (running.root(uid) / "data.new").exists()

    with cluster(spec=SPEC) as running:
        running.run(story(running))
