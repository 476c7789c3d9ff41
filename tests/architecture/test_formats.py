"""Every JSON file has one home, which alone knows its name, and text is made of JSON in few places."""

import ast
import re

from tests.architecture.test_imports import MODULES

HOMES = {
    "schema.json": "ranker.log_schema",
    "late_events.json": "ranker.log_schema",
    "catalogue.json": "ranker.catalogue",
    "world.json": "ranker.market.settings",
    "model.json": "ranker.model.settings",
    "evaluation.json": "ranker.evaluate.records",
    "policy.json": "allocator.formats",
    "certificate.json": "allocator.formats",
    "audit.json": "allocator.formats",
    "prices.json": "allocator.formats",
    "diagnosis.json": "allocator.formats",
    "what_if.json": "allocator.workbench.answers",
    "seek.json": "allocator.workbench.answers",
    "explain.json": "allocator.workbench.answers",
    "frontier.json": "allocator.workbench.answers",
    "sample.json": "allocator.workbench.answers",
    "left_out.json": "allocator.formats",
    "manifest.json": "scripts.formats.manifest",
    "run.json": "scripts.formats.run_record",
    "profile.json": "ranker.profiles.records",
    "drift.json": "scripts.formats.drift",
    "gates.json": "scripts.formats.gates",
    "published.json": "scripts.formats.pointer",
    "published_history.jsonl": "scripts.formats.pointer",
    "objects.json": "scripts.formats.pointer",
    "summary.json": "scripts.formats.summary",
    "readout.json": "scripts.formats.readout",
    "regret.json": "scripts.formats.regret",
    "rehearsal.json": "scripts.formats.rehearsal",
    "plan.json": "scripts.formats.plan",
    "draft.json": "scripts.formats.console",
    "scenarios.json": "scripts.formats.console",
    "proposal.json": "scripts.formats.console",
    "accepted_advisories.json": "scripts.formats.advisories",
    "ranker.jsonl": "scripts.bench.bench_ranker",
    "allocator.jsonl": "scripts.bench.bench_allocator",
}
BELOW_THE_HOME = {
    ("allocator.audit.judge", "certificate.json"),  # believes nothing of it, so it reads by itself
    ("allocator.audit.contact_history", "catalogue.json"),  # in a message of its own
    ("allocator.report.collect", "manifest.json"),  # shows what stands there, whoever wrote it
    ("scripts.schedulers.airflow_dag", "summary.json"),  # runs where this program is not installed
    ("allocator.report.collect", "evaluation.json"),  # the allocator does not import the ranker's evaluation
}
WRITERS = {
    "ranker.files": "what every document is written with",
    "ranker.catalogue": "catalogue.json, also of a mapping",
    "ranker.market.world": "world.json",
    "ranker.model.artifact": "model.json, and the digest of what it says",
    "allocator.allocate": "policy.json",
    "allocator.audit.certificate_as_read": "the certificate, read by itself",
    "allocator.policy.grammar": "the digest of a policy",
    "allocator.policy.reader": "a policy from a mapping",
    "allocator.policy.words": "values in messages and in ids of rows",
    "allocator.report.page": "figures inside the page",
    "scripts.cli.at_once": "answers on stdout",
    "scripts.crashes.full_disk": "what a process in a namespace of its own is asked and answers",
    "scripts.crashes.injected": "how a process that found its act refused ended",
    "scripts.crashes.resumed": "what files say, of times apart",
    "scripts.formats.manifest": "manifest.json, whose settings may be infinite",
    "scripts.runs.digests": "the digest of settings",
    "scripts.runs.mlflow_entries": "the profile of a dataset",
    "scripts.runs.params": "one setting as a parameter",
    "scripts.formats.pointer": "lines of published_history.jsonl, written",
    "scripts.runs.published": "the same lines, read",
    "scripts.stores.chain": "the same entries, as objects of a store",
    "scripts.bench.instances": "a line of a policy",
    "scripts.library.given": "schema, catalogue and policy that are handed over as mappings",
    "scripts.served.offermix_ranker": "a price book in a parameter of MLflow",
    "scripts.schedulers.airflow_dag": "summary.json, where Airflow has none of the packages",
    "scripts.bench.results": "lines of measured figures",
}
"""Modules that turn JSON to text or back, and for what."""


def test_the_name_of_a_file_stands_in_its_home_alone() -> None:
    found = {
        (module, node.value)
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+\.jsonl?", node.value)
    }
    assert found == {(home, name) for name, home in HOMES.items()} | BELOW_THE_HOME


def test_text_is_made_of_json_where_it_is_said_for_what() -> None:
    called = re.compile(r"json\.(dumps|loads|dump|load)|json_text")
    found = {
        module
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and called.fullmatch(ast.unparse(node.func))
    }
    assert found == WRITERS.keys()
