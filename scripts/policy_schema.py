"""The JSON schema of policy files, for editors: `python -m scripts.policy_schema out=FILE [scores=DIR | catalogue=FILE]`."""

from allocator.policy.checked import meant_for
from allocator.policy.schema import policy_schema
from ranker import disk
from scripts.cli import at_once
from scripts.cli.statuses import DONE


def run(given: at_once.Given) -> int:
    """Writes the schema; with scores or a catalogue, their words are offered too."""
    meant = meant_for(given.paths.get("scores"), given.paths.get("catalogue"))
    out = given.path("out")
    disk.make_folder(out.parent, parents=True, there=True)
    disk.write_text(out, at_once.json_of(policy_schema(meant.world)) + "\n")
    print(f"Wrote {out}.")
    return DONE


if __name__ == "__main__":
    at_once.main("policy_schema", run, ["out"])
