"""All errors that the project raises on purpose.

    KronosError
    ├── InvalidCandles        candles or a table cannot be used (also a ValueError)
    ├── InvalidRequest        a parameter is outside its range (also a ValueError)
    ├── InvalidEvents         events or a table of them cannot be used (also a ValueError)
    ├── CheckpointError
    │   ├── CheckpointInvalid       parameters missing, misshapen or unknown
    │   ├── CheckpointCorrupt       bytes do not match the pinned SHA-256
    │   ├── CheckpointUnavailable   not on this machine, and not to be had from the hub
    │   └── RevisionMismatch        weights of another revision than the one requested
    ├── SourceError           a source of market data gave no bars
    │   ├── UnknownSymbol           the source has no such instrument, or no bars of it
    │   ├── IntervalUnavailable     not that interval, or not that far back
    │   ├── RateLimited             too many requests; says when to try again
    │   ├── SourceBlocked           the source refuses this address or region
    │   ├── SourceDown              no response, or that of a broken server
    │   └── SourceNonsense          a response that is not in the source's own format
    ├── StoreError            the store of forecasts cannot be used
    │   ├── StoreUnavailable        it cannot be opened, read or written now
    │   ├── StoreIncompatible       a newer version of this program made it
    │   └── StoreDamaged            its data differs from what was stored
    ├── TrainingDiverged      a training run can no longer learn
    ├── ForecastCancelled     the caller cancelled
    ├── DeadlineExceeded      no result by the deadline; the request was dropped
    ├── NotFinished           a wait ended before the job (also a TimeoutError)
    ├── OutOfMemory           the machine's memory is not enough (also a MemoryError)
    ├── MissingExtra          a package of an optional extra is not installed (also an ImportError)
    ├── ServiceUnreachable    the server that forecasts does not answer, or refuses this client
    ├── NotOffered            this server offers it to administrators alone
    └── Busy                  the queue is full; nothing was started

A message says what was wrong, what was found, and what to do. Code that wraps a library raises
these `from` the library's own error.
"""


class KronosError(Exception):
    """Base of all errors raised on purpose by this project."""


class InvalidCandles(KronosError, ValueError):
    """Candles or a table that cannot be used; the message names the row and column."""


class InvalidRequest(KronosError, ValueError):
    """A parameter outside its range, or parameters that contradict each other."""


class InvalidEvents(KronosError, ValueError):
    """Events that cannot be used; of a table, the message names the line and column."""


class CheckpointError(KronosError):
    """A checkpoint cannot be used."""


class CheckpointInvalid(CheckpointError):
    """Parameters are missing, have another shape, or are unknown to the model."""


class CheckpointCorrupt(CheckpointError):
    """The bytes on disk do not match the pinned SHA-256."""


class CheckpointUnavailable(CheckpointError):
    """The checkpoint is not on this machine and could not be fetched."""


class RevisionMismatch(CheckpointError):
    """The weights that can be loaded are of another revision than the one requested."""


class SourceError(KronosError):
    """A source of market data gave no bars."""


class UnknownSymbol(SourceError):
    """The source has no such instrument, or no bars of it."""


class IntervalUnavailable(SourceError):
    """The source does not have bars of this width, or not that far back."""


class RateLimited(SourceError):
    """The source got too many requests.

    Attributes:
        retry_after: Seconds to wait before the next request; None where the source names none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceBlocked(SourceError):
    """The source refuses requests from this address or region."""


class SourceDown(SourceError):
    """The source does not respond, or its servers fail."""


class SourceNonsense(SourceError):
    """A response that is not in the source's own format."""


class StoreError(KronosError):
    """The store of forecasts cannot be used."""


class StoreUnavailable(StoreError):
    """The store cannot be opened, read or written now; the message says why."""


class StoreIncompatible(StoreError):
    """The store has a schema that this version does not know."""


class StoreDamaged(StoreError):
    """The data of the store differs from what was stored."""


class TrainingDiverged(KronosError):
    """Losses or gradients are no longer finite."""


class ForecastCancelled(KronosError):
    """The caller cancelled; the forecast is discarded."""


class DeadlineExceeded(KronosError):
    """There was no result by the deadline of the request, which was dropped."""


class NotFinished(KronosError, TimeoutError):
    """The timeout of a wait is over; the job itself continues."""


class OutOfMemory(KronosError, MemoryError):
    """The memory of the machine or of its GPU is not enough, even for small portions."""


class MissingExtra(KronosError, ImportError):
    """A package of an optional extra is not installed."""


class ServiceUnreachable(KronosError):
    """The server that computes forecasts does not answer, or refuses this client."""


class NotOffered(KronosError):
    """A server that is open to the public offers this to its administrators alone."""


class Busy(KronosError):
    """The queue is full; the request was not started.

    Attributes:
        position: Position in the queue that the request would have had, 1 being next; None where
            the queue is closed.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position
