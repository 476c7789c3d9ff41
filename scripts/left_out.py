"""Who gets no offers, and why: `python -m scripts.left_out allocation=DIR scores=DIR out=DIR`."""

from allocator.formats import LeftOutRecord
from allocator.left_out import write_left_out
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import LeftOutSettings
from scripts.runs import stage


def run(settings: LeftOutSettings) -> LeftOutRecord:
    """Writes left_out.json into `out` and returns what is in it."""
    paths = settings.paths
    with stage.write(paths.out, "left_out", [paths.allocation, paths.scores]) as made:
        return write_left_out(paths.allocation, open_scores(paths.scores), made)


def main(settings: LeftOutSettings) -> None:
    print("\n".join(run(settings).sentences))


if __name__ == "__main__":
    entry.main("left_out", LeftOutSettings, main)
