"""All gates of a week, every one asked: what each found, as the record that is kept beside the run."""

import logging

from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import OVERRIDDEN, REFUSED, UNTOLD, GateFinding, GatesRecord, Override
from scripts.gates.beside_last import Guardrail, GuardrailLimit, Swing, WorthGate
from scripts.gates.data import FeatureDrift, ScoreDrift, TellingOutcomes, VolumeGate
from scripts.gates.gate import Gate, WeeksCompared
from scripts.gates.learned import ModelValue, Reliability, SlopeGate
from scripts.gates.listeners import Partitions
from scripts.gates.own import Approver, CleanAudit, Finished, SmallGap, SomeContacts, WholeFiles, approver_of
from scripts.gates.whom import ChurnGate, EmptyPartitions, ExpiredRules

log = logging.getLogger("offermix.publish")
GATES_IN_ORDER: tuple[Gate, ...] = (
    WholeFiles("files", "files", None),
    CleanAudit("audit", "checks", None),
    Finished("finished", "", None),
    SmallGap("gap", "share of the bound", None),
    Approver("approver", "", None),
    SomeContacts("empty week", "contacts", None),
    WorthGate("value", "value", "min_value", "value", ",.2f"),
    WorthGate("contacts", "contacts", "min_contacts", "contacts", ",.0f"),
    WorthGate("reach", "listeners", "min_reach", "listeners who get a contact", ",.0f"),
    Swing("swing", "as the rule's", "max_swing"),
    ChurnGate("churn", "share of listeners", "max_churn"),
    Guardrail("guardrail", "as the metric's", "max_guardrail"),
    GuardrailLimit("guardrail limit", "per contact", "guardrail_limits"),
    ExpiredRules("expired rules", "rules", "max_expired"),
    EmptyPartitions("empty partitions", "listeners", "max_empty"),
    TellingOutcomes("outcomes", "outcomes", "max_constant_outcomes"),
    VolumeGate("volume", "rows", "max_volume"),
    FeatureDrift("feature drift", "spreads", "max_feature_drift", "shift", "moved by {:.2f} spreads"),
    FeatureDrift("category drift", "share of listeners", "max_category_drift", "moved", "{:.2f} of its values moved"),
    FeatureDrift(
        "missing values", "share of listeners", "max_missing_drift", "missing", "missing part moved by {:.2f}"
    ),
    ScoreDrift("score drift", "spreads and errors", "max_score_drift"),
    ModelValue("model value", "per decision", "min_model_value"),
    SlopeGate("calibration slope", "slope", "max_slope_loss"),
    Reliability("reliability", "share of variance", "min_reliability"),
)


def judged(weeks: WeeksCompared, options: PublishOptions) -> GatesRecord:
    """Asks every gate; overrides what may be overridden where the settings name a person and a reason."""
    findings = tuple(finding for gate in GATES_IN_ORDER for finding in gate.judge(weeks, options))
    override = _override(findings, options)
    if override is not None:
        findings = tuple(_overridden(each) for each in findings)
    return GatesRecord(
        run=weeks.now.name,
        week=weeks.last_name,
        findings=findings,
        approver=approver_of(weeks, options),
        override=override,
        partitions=_partitions(weeks),
    )


def of_the_allocation(weeks: WeeksCompared, options: PublishOptions | None = None) -> tuple[GateFinding, ...]:
    """What is wrong with the allocation itself, whenever it is published; options: to judge its gap by as well."""
    gates = GATES_IN_ORDER[:3] if options is None else GATES_IN_ORDER[:4]
    asked = PublishOptions() if options is None else options
    return tuple(each for gate in gates for each in gate.judge(weeks, asked) if each.status == REFUSED)


def tell_untold(record: GatesRecord) -> None:
    """Says once what could not be compared with the last published week; of a first week there is nothing to say."""
    whys: dict[str, list[str]] = {}
    for each in record.of(UNTOLD):
        if record.week is not None and each.about is None:
            whys.setdefault(each.sentence, []).append(each.gate)
    for why, gates in whys.items():
        log.warning("Not compared with %s, the last published week: %s (%s)", record.week, ", ".join(gates), why)


def _override(findings: tuple[GateFinding, ...], options: PublishOptions) -> Override | None:
    """None where none is asked for, or needed, or where it would not suffice."""
    refused = [each for each in findings if each.status == REFUSED]
    if options.override is None or options.reason is None or not refused or any(each.final for each in refused):
        return None
    return Override(by=options.override, reason=options.reason, refusals=tuple(each.sentence for each in refused))


def _overridden(finding: GateFinding) -> GateFinding:
    return finding.model_copy(update={"status": OVERRIDDEN}) if finding.status == REFUSED else finding


def _partitions(weeks: WeeksCompared) -> Partitions | None:
    try:
        return weeks.now.counted
    except InputError:
        return None
