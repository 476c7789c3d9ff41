"""A watcher of writes that stops whoever writes, as an interrupt would."""

from dataclasses import dataclass

from ranker.disk import Act


@dataclass
class Stop:
    """Raises KeyboardInterrupt before the n-th act of a kind, counted from 1."""

    kind: str
    n: int = 1
    seen: int = 0

    def before(self, act: Act) -> None:
        self.seen += act.kind == self.kind
        if act.kind == self.kind and self.seen == self.n:
            raise KeyboardInterrupt

    def after(self, act: Act) -> None:
        pass
