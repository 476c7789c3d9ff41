"""Why a listener gets this, or offers so few get: `python -m scripts.explain allocation=DIR user=ID | product=NAME [out=DIR]`."""

from allocator.policy.words import filter_from_words
from allocator.reopened import policy_of
from allocator.saved import read_allocation
from allocator.workbench.answers import EXPLAIN, Explanation, ProductExplanation
from allocator.workbench.explain import explain
from allocator.workbench.product import explain_offers
from allocator.workbench.session import Session
from allocator.workbench.wider import Wider
from ranker.files import InputError
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import ExplainSettings
from scripts.pages.explain import show_listener, show_offers
from scripts.runs import stage
from scripts.runs.made_from import scores_of


def run(settings: ExplainSettings) -> Explanation | ProductExplanation:
    """The answer, written to `out` where one is named."""
    paths, ask, steps = settings.paths, settings.ask, ["opening the allocation"]
    if (ask.user is None) == (ask.product is None):
        raise InputError(
            ["user: give user=ID for one listener, or product=NAME for the offers of a product; one of them"]
        )
    allocation = read_allocation(paths.allocation)
    scores = open_scores(scores_of(paths.allocation, paths.scores))
    with (
        entry.watched(lambda: f"Explaining: {steps[-1]}"),
        Session.open(scores, ask.sample, tell=steps.append) as session,
    ):
        policy = policy_of(allocation.folder).without_comparisons()
        answer: Explanation | ProductExplanation
        if ask.product is None:
            answer = explain(scores, allocation, str(ask.user), Wider(session, policy), steps.append)
        else:
            answer = explain_offers(session.price(policy), filter_from_words({"product": ask.product}))
    if paths.out is not None:
        stage.write_alone(paths.out, EXPLAIN, answer.text())
    return answer


def main(settings: ExplainSettings) -> None:
    answer = run(settings)
    if isinstance(answer, Explanation):
        show_listener(answer)
    else:
        show_offers(answer)


if __name__ == "__main__":
    entry.main("explain", ExplainSettings, main)
