"""What Snakemake tells on the console when it is started through workflow/run.py: `--logger console`.

One line for each job begun and ended, progress of long jobs, errors with what to do; plain text that reads
well in a terminal, a log file and continuous integration. A dry run and --verbose show what Snakemake prints.
Snakemake finds this package by its name on PYTHONPATH (snakemake_logger_plugin_*), where run.py puts it.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from posegauge import disk, logs

from .estimate import Estimate, about, duration, earlier_durations
from .screen import Aside, Screen

STATE = Path(".snakemake")
# Without a terminal, a running job shows its progress this often.
PROGRESS_EVERY_S = 30.0
# Of what Snakemake says outside of its events, a person needs these; warnings and errors always.
TELLING = (
    "Nothing to be done",
    "Creating conda environment",
    "Trying to restart job",
    "Pulling singularity image",
)
# Said before the first event, by targets like --report too, and of no use to a person.
USUAL = (
    "Using workflow specific profile",
    "Config file ",
    "Assuming unrestricted shared",
    "Building DAG of jobs",
)
# The exception of a failed command, for which JOB_ERROR comes as well.
FAILED_COMMAND = "CalledProcessError"
FAILED_RUN = "At least one job did not complete successfully"


class LogHandler(LogHandlerBase):
    """Turns Snakemake's log records into lines."""

    def __post_init__(self) -> None:
        common = self.common_settings
        quiet = set(common.quiet or ())
        self.silent = Quietness.ALL in quiet
        self.show_jobs = not quiet & {Quietness.ALL, Quietness.RULES}
        self.show_left = not quiet & {Quietness.ALL, Quietness.PROGRESS}
        self.plain, self.aside = None, None
        if common.dryrun or common.verbose or common.debug_dag:
            self.plain = _snakemakes_own(common)
            return
        name = f"{datetime.now().isoformat().replace(':', '')}.jobs.log"
        # A folder that cannot be written to: Snakemake says so itself.
        with contextlib.suppress(OSError):
            self.aside = Aside(STATE.resolve() / "log" / name)
        self.screen = Screen(sys.stdout if common.stdout else sys.stderr)
        self.begun = self.closed = self.stopping = self.concluded = False
        self.total = self.done = 0
        self.estimate = None
        self.jobs, self.failed, self.cluster = {}, {}, False
        self._end = threading.Event()

    # What the interface asks for.
    writes_to_stream = property(lambda self: True)
    writes_to_file = property(lambda self: False)
    has_filter = property(lambda self: True)
    has_formatter = property(lambda self: True)
    needs_rulegraph = property(lambda self: False)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; called with the handler's lock held."""
        if self.plain:
            self.plain.handle(record)
            return
        try:
            event = getattr(record, "event", None)
            handle = getattr(self, f"_{event}", None) if event else self._message
            if handle:
                handle(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Stop the progress and put the streams back; Snakemake calls this more than once."""
        if not self.plain and not self.closed:
            self.closed = True
            self._end.set()
            with self.lock:
                if self.stopping:
                    self._conclude()
                self.screen.status("")
                if self.aside:
                    self.aside.close()
        super().close()

    # ------------------------------------------------------------------------------- Snakemake's events

    def _workflow_started(self, record) -> None:
        self.begun = True

    def _resources_info(self, record) -> None:
        self.cluster = self.cluster or hasattr(record, "nodes")

    def _run_info(self, record) -> None:
        counts = {rule: count for rule, count in record.stats.items() if rule != "total"}
        self.total, self.begin = record.stats["total"], record.created
        self.estimate = Estimate(counts, earlier_durations(STATE / "metadata"))
        if self.show_jobs:
            self.screen.line(f"{self.total} {'job' if self.total == 1 else 'jobs'} to run.")
            threading.Thread(target=self._tick, daemon=True).start()

    def _job_info(self, record) -> None:
        job = {
            "rule": record.rule_name,
            "title": record.rule_msg or record.rule_name,
            "log": list(record.log),
            "begin": record.created,
            "told": record.created,
            "progress": None,
            # A target that only gathers files has nothing to show.
            "shown": bool(record.rule_msg or record.output or record.log),
            "queued": self.cluster and not record.local,
        }
        self.jobs[record.jobid] = job
        self.failed.pop(record.jobid, None)
        self.estimate.started(record.jobid, job["rule"], list(record.output), record.created)
        if self.show_jobs and job["shown"]:
            self._line(record.created, "queued" if job["queued"] else "begin", job["title"])

    def _job_finished(self, record) -> None:
        job = self.jobs.pop(record.job_id, None)
        if job is None:
            return
        self.done += 1
        took = self.estimate.ended(record.job_id, record.created)
        if self.show_jobs and job["shown"]:
            waited = " with its wait in the queue" if job["queued"] else ""
            self._line(
                record.created,
                "done",
                f"{job['title']}: {duration(took)}{waited}{self._left(record.created)}",
            )
        for line in (line for log in job["log"] if _fresh(log, job["begin"]) for line in logs.said(log)):
            self.screen.line(line)
        if self.done == self.total and self.show_jobs:
            self.screen.line(f"All {self.total} jobs done in {duration(record.created - self.begin)}.")

    def _job_error(self, record) -> None:
        job = self.jobs.pop(record.jobid, None)
        if job is None or self.stopping:
            return
        took = self.estimate.ended(record.jobid, record.created, succeeded=False)
        self.failed[record.jobid] = job
        self._line(record.created, "FAILED", f"{job['title']}, after {duration(took)}")
        self.screen.line(_indented(self._account(job, record)))

    def _error(self, record) -> None:
        text = record.getMessage()
        if FAILED_RUN in text:
            self._conclude()
        # After a failed command JOB_ERROR follows and says it better, from the job's log.
        elif not self.stopping and not (FAILED_COMMAND in text and self.jobs):
            self.screen.line(text.strip())

    def _group_error(self, record) -> None:
        self.screen.line(f"A group of jobs failed; its logs: {', '.join(record.aux_logs) or 'none'}")

    def _message(self, record) -> None:
        text = record.getMessage() if record.msg else ""
        if text.startswith("Terminating processes on user request"):
            self.stopping = True
            self.screen.line("Stopping the running jobs.")
        elif getattr(record, "for_console", False):
            if not self.silent:
                self.screen.line(text)
        elif record.levelno >= logging.WARNING:
            if not (
                self.stopping
                or FAILED_RUN in text
                or text.startswith("Exiting because a job execution failed")
            ):
                self.screen.line(text.strip())
        elif not self.silent and (
            text.startswith(TELLING) or (not self.begun and text and not text.startswith(USUAL))
        ):
            self.screen.line(text.strip())

    # ------------------------------------------------------------------------------------ what is shown

    def _line(self, now: float, what: str, text: str) -> None:
        share = 100 * self.done // self.total if self.total else 0
        self.screen.line(f"{time.strftime('%H:%M:%S', time.localtime(now))} {share:3d} %  {what:<6} {text}")

    def _left(self, now: float) -> str:
        # After a failure some of the jobs that are left will not run.
        seconds = self.estimate.seconds_left(now) if self.show_left and not self.failed else None
        return "" if seconds is None else f"; {about(seconds)} left"

    def _account(self, job: dict, record) -> str:
        """Return why a job failed, where to read on and what to do."""
        log = next((log for log in job["log"] if _fresh(log, job["begin"])), None)
        text, ours = logs.failure(log) if log else ("", False)
        full = None if ours or not record.log else disk.problem(Path(record.log[0]).parent)
        if full:  # the log could not say so
            text, ours = full, True
        if not text:
            text = f"{logs.KILLED} Or it was not started."
            if self.aside and self.aside.path.exists() and self.aside.path.stat().st_size:
                text += f"\nWhat jobs print outside of their logs is in {os.path.relpath(self.aside.path)}."
        # What the cluster says of it.
        if record.rule_msg and not ours:
            text += f"\n{record.rule_msg}"
        lines = [text, f"rule: {job['rule']}", *(f"log:  {name}" for name in record.log)]
        if not ours and logs.KILLED not in text:
            lines.append("This is no error of the input that the workflow knows: the log has all of it.")
        return "\n".join(lines)

    def _conclude(self) -> None:
        """Say how a run that did not succeed ended; once."""
        if self.stopping:
            if not self.concluded:
                self.screen.line(
                    f"Stopped: {self.done} of {self.total} jobs done. The same command goes on from here."
                )
            self.concluded = True
            return
        failed, rest = len(self.failed), self.total - self.done - len(self.failed)
        text = f"{failed} {'job' if failed == 1 else 'jobs'} of {self.total} failed, {self.done} done"
        text += (
            f", {rest} not run because {'it needs' if rest == 1 else 'they need'} what failed."
            if rest
            else "."
        )
        if failed:
            text += "".join(
                f"\n  {job['title']} ({', '.join(job['log']) or job['rule']})" for job in self.failed.values()
            )
        self.screen.line(
            f"{text}\nPut it right and give the same command again: what is done is not done again."
        )

    def _tick(self) -> None:
        """Show the progress of running jobs until the end."""
        while not self._end.wait(1.0):
            with self.lock:
                if not self._end.is_set():
                    self._show_progress(time.time())

    def _show_progress(self, now: float) -> None:
        """Show how far the running jobs are: in place, or now and then as a line."""
        if self.screen.live:
            self.screen.status(self._running(now))
            return
        for job in self.jobs.values():
            if now - job["told"] >= PROGRESS_EVERY_S and (text := _progress(job)) not in (
                None,
                job["progress"],
            ):
                job["told"], job["progress"] = now, text
                self._line(now, "...", f"{job['title']}: {text}")

    def _running(self, now: float) -> str:
        jobs = [
            f"{job['title']}: {_progress(job) or duration(now - job['begin'])}" for job in self.jobs.values()
        ]
        if not jobs:
            return ""
        share = 100 * self.done // self.total if self.total else 0
        return f"{share:12d} %  {len(jobs)} running{self._left(now)}: {'; '.join(jobs)}"


def _snakemakes_own(common) -> logging.Handler:
    """Return the handler that Snakemake uses without a plugin."""
    handler = ColorizingTextHandler(
        nocolor=common.nocolor, stream=sys.stdout if common.stdout else sys.stderr,
        formatter=DefaultFormatter(common.quiet, common.show_failed_logs),
        filter=DefaultFilter(
            common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
        ),
    )  # fmt: skip
    return handler


def _fresh(log: str, begin: float) -> bool:
    """Return whether a job that began at `begin` has written to its log; a second for coarse file times."""
    try:
        return Path(log).stat().st_mtime >= begin - 1.0
    except OSError:
        return False


def _progress(job: dict) -> str | None:
    return next(
        (text for log in job["log"] if _fresh(log, job["begin"]) and (text := logs.last_progress(log))), None
    )


def _indented(text: str) -> str:
    return "\n".join(f"{'':16}{line}" for line in text.splitlines())
