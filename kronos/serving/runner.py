"""Worker threads for everything heavy, so that whoever asks never waits for it.

Callers submit work under a key and poll its status. Equal keys share one job; a newer request of
an owner supersedes its older one; a job that nobody watches any more stops at its next step.
Neither torch nor any interface is imported here: work is a plain callable.
"""

from __future__ import annotations

from kronos.errors import ForecastCancelled
from kronos.serving.jobs import Job, JobControl
from kronos.serving.worker import Worker


class Runner(Worker):
    """A worker whose jobs are plain callables; each thread does one after another."""

    def _serve(self) -> None:
        while (job := self.queue.take()) is not None:
            self._perform(job)
            # A job held until the next one comes would keep its result alive as long.
            del job

    def _perform(self, job: Job) -> None:
        try:
            result = job.payload(JobControl(job, self.queue.is_wanted))
        except ForecastCancelled:
            self.queue.cancel(job)
        # The boundary of the thread: whatever one job raises becomes that job's error, because an
        # exception that escaped would end the only worker and leave every later caller waiting.
        except Exception as error:  # noqa: BLE001
            self._fail(job, error)
        else:
            self.queue.finish(job, result)
