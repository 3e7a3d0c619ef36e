"""The engine on real tiny models: joining, pausing, cancelling, failing and unloading."""

import threading
import time

import pytest
import torch

from kronos.decoding.decoder import Decoder, generate
from kronos.errors import Busy, DeadlineExceeded, ForecastCancelled, InvalidRequest, OutOfMemory
from kronos.forecasters.base import Pending
from kronos.serving.engine import SAMPLING
from kronos.serving.jobs import Limits, Priority
from kronos.serving.service import LocalService
from tests.decoding.test_decoder import make_context, new_sequence
from tests.patience import wait_until
from tests.serving.scripted import Scripted, Stepping, named


class Loaded(Stepping):
    """A loaded model whose steps can be watched, held and made to fail."""

    def __init__(self, model, n_bytes=100):
        self.decoder = Decoder(model)
        self._n_bytes = n_bytes
        self.steps = []
        self.gate = threading.Event()
        self.gate.set()
        self.before_step = lambda series: None
        self._step, self.decoder.step = self.decoder.step, self.step

    @property
    def n_bytes(self):
        return self._n_bytes

    def step(self, series):
        self.gate.wait(10)
        self.steps.append(list(series))
        self.before_step(series)
        self._step(series)


@pytest.fixture
def loaded(model):
    return Loaded(model)


@pytest.fixture
def make_service():
    services = []

    def make(load, **options):
        services.append(LocalService(load, **options))
        return services[-1]

    yield make
    for service in services:
        assert service.close()


@pytest.fixture
def service(make_service, loaded):
    return make_service(lambda name, progress: loaded)


def request(seed=0, length=16, horizon=4, n_paths=6, model="tiny", **sampling):
    def begin(predictor):
        c = new_sequence(make_context(length, horizon, seed), n_paths, seed=seed, **sampling)
        return Pending([c], lambda: torch.stack((c.s1, c.s2)))

    return Scripted(model, begin)


def expected(model, asked):
    pending = asked.begin(None)
    generate(Decoder(model), pending.sequences)
    return pending.result()


def test_requests_of_many_threads_share_steps_and_get_their_own_answers(service, model, loaded):
    asked = {
        f"k{i}": request(i, length=10 + i, horizon=3 + i % 4, n_paths=2 + i, T=0.5 + i / 8)
        for i in range(8)
    }
    loaded.gate.clear()
    answers = {}

    def ask(key):
        answers[key] = service.run(named(key, asked[key]), owner=key)

    threads = [threading.Thread(target=ask, args=(key,)) for key in asked]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(service.engine.queue.status(key) for key in asked))
    loaded.gate.set()
    for thread in threads:
        thread.join(20)
    for key, one in asked.items():
        assert torch.equal(answers[key], expected(model, one)), key
    assert max(map(len, loaded.steps)) >= 4


def test_one_computation_serves_all_who_ask_the_same(service, loaded):
    loaded.gate.clear()
    for i in range(20):
        service.engine.queue.submit("same", request(), owner=f"o{i}")
    loaded.gate.set()
    answers = [service.engine.queue.result("same", owner=f"o{i}", timeout=10) for i in range(20)]
    assert all(torch.equal(answers[0], other) for other in answers)
    assert len(loaded.steps) == 4


def test_a_person_pauses_work_in_the_background_at_the_next_step(service, model, loaded):
    service.engine.queue.submit("batch", request(1, horizon=30), owner="b", priority=Priority.BATCH)
    wait_until(lambda: len(loaded.steps) >= 3)
    loaded.gate.clear()
    service.engine.queue.submit("person", request(2, horizon=5), owner="p")
    seen = len(loaded.steps)
    loaded.gate.set()
    assert torch.equal(
        service.engine.queue.result("person", owner="p", timeout=10),
        expected(model, request(2, horizon=5)),
    )
    assert all(len(series) == 1 for series in loaded.steps)
    of_person = [i for i, (c,) in enumerate(loaded.steps) if c.context.horizon == 5]
    # At most one step of the other, the one in flight, came before; none in between.
    assert of_person == list(range(of_person[0], of_person[0] + 5))
    assert of_person[0] <= seen + 1
    batch = service.engine.queue.result("batch", owner="b", timeout=20)
    assert torch.equal(batch, expected(model, request(1, horizon=30)))


def test_a_cancelled_request_ends_within_a_step(service, loaded):
    loaded.before_step = lambda series: loaded.gate.clear()
    service.engine.queue.submit("gone", request(horizon=40), owner="o")
    wait_until(lambda: len(loaded.steps) == 1)
    service.engine.queue.leave("gone", owner="o")
    loaded.gate.set()
    wait_until(lambda: service.engine.queue.status("gone").state == "cancelled")
    assert len(loaded.steps) <= 2
    with pytest.raises(ForecastCancelled):
        service.engine.queue.result("gone", owner="o")


def test_a_deadline_gives_a_request_up(service, loaded):
    loaded.before_step = lambda series: time.sleep(0.03)
    with pytest.raises(DeadlineExceeded):
        service.run(named("late", request(horizon=40)), owner="o", deadline=0.1, keep=True)
    wait_until(lambda: service.engine.queue.status("late").state == "failed")
    assert len(loaded.steps) < 40


def test_what_is_wrong_with_a_request_is_its_answer_alone(service, model):
    def begin(predictor):
        raise InvalidRequest("no such thing")

    service.engine.queue.submit("wrong", Scripted("tiny", begin), owner="o", supersede=False)
    service.engine.queue.submit("right", request(3), owner="o", supersede=False)
    with pytest.raises(InvalidRequest, match="no such thing"):
        service.engine.queue.result("wrong", owner="o", timeout=10)
    assert torch.equal(
        service.engine.queue.result("right", owner="o", timeout=10), expected(model, request(3))
    )


def test_a_request_that_breaks_a_batch_is_found_and_the_others_go_on(service, model, loaded):
    """The batch is halved until the guilty one is alone, at every failing step."""

    def fail(series):
        if any(c.sampling.seed == 5 and c.n_drawn == 2 for c in series):
            raise ValueError("a bad series")

    loaded.before_step = fail
    loaded.gate.clear()
    for i in range(8):
        service.engine.queue.submit(f"k{i}", request(i), owner="o", supersede=False)
    loaded.gate.set()
    for i in range(8):
        if i == 5:
            with pytest.raises(ValueError, match="a bad series"):
                service.engine.queue.result("k5", owner="o", timeout=10)
        else:
            found = service.engine.queue.result(f"k{i}", owner="o", timeout=10)
            assert torch.equal(found, expected(model, request(i)))


def test_too_little_memory_shrinks_portions_without_changing_paths(service, model, loaded):
    def fail(series):
        if sum(c.n_rows for c in series) > 70:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    loaded.before_step = fail
    asked = request(2, n_paths=200)
    found = service.run(named("big", asked), owner="o")
    assert torch.equal(found, expected(model, asked))


def test_memory_that_never_suffices_is_told_clearly(service, loaded):
    def fail(series):
        raise MemoryError

    loaded.before_step = fail
    with pytest.raises(OutOfMemory, match="smaller model"):
        service.run(named("big", request(n_paths=100)), owner="o")


def test_a_full_queue_says_so_at_once(make_service, loaded):
    service = make_service(lambda name, progress: loaded, limits=Limits(max_queued=2))
    loaded.gate.clear()
    service.engine.queue.submit("running", request(0, n_paths=256), owner="a")
    wait_until(lambda: service.engine.queue.status("running").state == "running")
    for i in range(2):
        service.engine.queue.submit(f"w{i}", request(i), owner=f"w{i}")
    with pytest.raises(Busy) as refused:
        service.engine.queue.submit("more", request(9), owner="m")
    assert refused.value.position == 3
    loaded.gate.set()


def test_progress_counts_steps(service, loaded):
    loaded.before_step = lambda series: time.sleep(0.02)
    seen = []
    service.run(named("k", request(horizon=12)), owner="o", watch=seen.append)
    sampling = [status for status in seen if status.stage == SAMPLING]
    assert sampling
    assert all(status.total == 12 for status in sampling)
    assert sorted(status.done for status in sampling) == [status.done for status in sampling]


def test_an_interrupted_caller_leaves(service, loaded):
    loaded.before_step = lambda series: time.sleep(0.02)

    def interrupt(status):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.run(named("k", request(horizon=50)), owner="o", watch=interrupt, keep=True)
    wait_until(lambda: service.engine.queue.status("k").state == "cancelled")


def test_models_are_unloaded_least_recently_used_first(make_service, model):
    loads = []

    def load(name, progress):
        loads.append(name)
        return Loaded(model, n_bytes=100)

    service = make_service(load, budget=250)
    for i, name in enumerate("abacab"):
        service.run(named(f"k{i}", request(i, model=name)), owner="o")
    # a b (a) c -> b goes; (a); b is loaded again -> c goes.
    assert loads == ["a", "b", "c", "b"]
    assert sorted(service.engine.loaded) == ["a", "b"]
    assert [(m.name, m.n_bytes) for m in service.models] == [("a", 100), ("b", 100)]


def test_models_make_room_when_loading_runs_out_of_memory(make_service, model):
    kept, failures = [], []

    def load(name, progress):
        if name == "big" and not failures:
            failures.append(name)
            raise torch.OutOfMemoryError("CUDA out of memory")
        kept.append(name)
        return Loaded(model)

    service = make_service(load)
    service.run(named("k0", request(0, model="small")), owner="o")
    service.run(named("k1", request(1, model="big")), owner="o")
    assert kept == ["small", "big"]
    assert service.engine.loaded == ["big"]


def test_a_failed_load_is_the_answer_and_is_tried_again(make_service, loaded):
    attempts = []

    def load(name, progress):
        attempts.append(name)
        if len(attempts) == 1:
            raise InvalidRequest("no such model")
        return loaded

    service = make_service(load)
    with pytest.raises(InvalidRequest, match="no such model"):
        service.run(named("k", request()), owner="o")
    assert service.run(named("k", request()), owner="o").shape == (2, 6, 4)


def test_a_job_of_many_series_runs_within_the_row_limit(service, model, loaded):
    def begin(predictor):
        series = [new_sequence(make_context(8 + i, 3, i), 40, seed=i) for i in range(12)]
        return Pending(series, lambda: [torch.stack((c.s1, c.s2)) for c in series])

    found = service.run(named("many", Scripted("tiny", begin)), owner="o", priority=Priority.BATCH)
    pending = begin(None)
    for c, tokens in zip(pending.sequences, found, strict=True):
        generate(Decoder(model), [c])
        assert torch.equal(tokens, torch.stack((c.s1, c.s2)))
    assert max(sum(c.context.horizon > 0 for c in series) for series in loaded.steps) == 6


def test_close_cancels_and_refuses(make_service, loaded):
    service = make_service(lambda name, progress: loaded)
    loaded.before_step = lambda series: time.sleep(0.01)
    service.engine.queue.submit("k", request(horizon=40), owner="o")
    wait_until(lambda: len(loaded.steps) >= 1)
    assert service.close()
    assert service.engine.queue.status("k").state == "cancelled"
    with pytest.raises(Busy):
        service.engine.queue.submit("late", request(), owner="o")
