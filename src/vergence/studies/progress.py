"""What a long job tells its user: bars on a terminal, a line for each finished part everywhere."""

from types import TracebackType

from rich.progress import MofNCompleteColumn, TaskID, TimeElapsedColumn, TimeRemainingColumn

from vergence.terminal import bars, plain


class StudyProgress:
    """Progress of a job of several runs, on standard error; use it in a `with` statement.

    Args:
        title: What to call the job's own bar.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.display = bars(MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(compact=True))
        self._bars: dict[str, TaskID] = {}
        self._done = self._total = 0

    def __enter__(self) -> "StudyProgress":
        self.display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.stop()

    def start(self, n_runs: int) -> None:
        """Say how many runs there will be."""
        self._total = n_runs
        self._bars[self.title] = self.display.add_task(self.title, total=n_runs)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.display.console.print(plain(line), soft_wrap=True)

    def advanced(self, run: str, done: int, total: int) -> None:
        """Show how far a run is."""
        if run not in self._bars:
            self._bars[run] = self.display.add_task(run, total=total)
        self.display.update(self._bars[run], completed=done)

    def finished(self, run: str, outcome: str) -> None:
        """Count a run as done, and say what came out."""
        self._done += 1
        self.say(f"[{self._done}/{self._total}] {run}: {outcome}")
        self.ended(run)
        self.display.advance(self._bars[self.title])

    def ended(self, run: str) -> None:
        """Take the bar of a run away, if it has one."""
        if run in self._bars:
            self.display.remove_task(self._bars.pop(run))
