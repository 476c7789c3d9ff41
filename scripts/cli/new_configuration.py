"""A company's own configuration, begun: what `init` writes, for `--config-dir`."""

from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.cli.shipped import CONF, CONFIG

TEXT = """\
# Your own configuration: what stands here is put over what offermix ships. Name its folder with every command:
#
#   offermix weekly --config-dir FOLDER tables=DIR
#
# Only what differs is said here. `offermix weekly --cfg job` prints every setting; those of a command stand before these.
# What is wrong here is told with file and key.
#
# Options take the place of shipped ones: a file solve/nightly.yaml in this folder is chosen as solve=nightly, or for all weeks by
#
# defaults:
#   - solve: nightly
#
# The policies in policy/ are known by their names, before the shipped ones: policy=default is policy/default.yaml here.
#
# weekly:
#   policy: default            # the policy that is published
# publish:
#   approver_required: true    # a week is published only with an approver other than the author of its policy
# tracking:
#   experiment: offermix
"""


def begin(folder: Path) -> tuple[Path, ...]:
    """Writes the folder, which must be new or empty, and returns its files; InputError where it is not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError([f"{folder}: is there already; name a new folder"])
    policies = folder / "policy"
    disk.make_folder(policies, parents=True, there=True)
    written = folder / CONFIG, policies / "default.yaml"
    disk.write_text(written[0], TEXT)
    disk.copy(CONF / "policy" / "default.yaml", written[1])
    disk.sync_tree(folder)
    return written
