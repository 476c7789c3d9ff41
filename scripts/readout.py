"""What a week really brought, once its outcomes are in: the holdout against everybody else.

`python -m scripts.readout allocation=DIR tables=DIR out=DIR [scores=DIR policy=FILE]`

Groups are those that the policy drew by salted hash, or those that the exposures record; outcomes and features come from tables in the
format of prepare, taken after the week. Writes readout.json and readout.html and records both in MLflow.
"""

from ranker import disk
from scripts.cli import entry
from scripts.cli.settings import ReadoutSettings
from scripts.formats.readout import READOUT, Readout
from scripts.judging.readout import read_out
from scripts.pages.printed import show_readout
from scripts.pages.readout_page import write_page
from scripts.runs import metrics, stage, tracking


def run(settings: ReadoutSettings) -> Readout:
    """Writes the readout into `out`, records it, and returns what is in readout.json."""
    paths = settings.paths
    inputs = [path for path in (paths.allocation, paths.tables, paths.scores, paths.policy) if path is not None]
    with stage.write(paths.out, "readout", inputs, {"readout": settings.readout}) as made:
        found = read_out(settings)
        disk.write_text(made / READOUT, found.text())
        write_page(found, made / "readout.html")
    tracking.record_command("readout", settings, metrics.readout_metrics(found), [], paths.out)
    return found


def main(settings: ReadoutSettings) -> None:
    show_readout(run(settings))
    print(f"page: {settings.paths.out / 'readout.html'}")


if __name__ == "__main__":
    entry.main("readout", ReadoutSettings, main)
