"""The inference host as its clients see it: the bytes of the in-process pool, over a socket of its own."""

from __future__ import annotations

import pickle
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actors.messages.columns import pack_f64, unpack_f64
from actors.messages.inference import PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.pool.frames import VERSION, Ask, Frame, Hello, Look, Refused, Standing, Unpacker, Welcome, pack
from actors.predictor.pool.host import RefusedModel
from actors.predictor.pool.inprocess import InProcessPool
from actors.predictor.text.lexicon import Lexicon
from actors.predictor.text.manifest import read_text_manifest
from actors.predictor.text.model import load_text_model
from actors.predictor.text.store import ModelStore
from daemon.inference.server import CONNECTIONS_MAX
from tests.inference.support import MODEL, Elsewhere, Host, asking, reachable, running, table, until

SIZES = (1, 63, 64, 65, 500)
TEXTS = tuple(f"Company {i} beats estimates" if i % 2 else f"Company {i} cut to sell, shares plunge" for i in range(19))


def texts(*, model_id: str, number: int = 0) -> SentimentRequested:
    """Return a request to score headlines."""
    return SentimentRequested(f"s-{number}", model_id, tuple(f"n{i}" for i in range(len(TEXTS))), TEXTS, 0)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Run one host of two threads, as the command line does."""
    with running("inference.workers=2") as one:
        yield one


def test_the_host_answers_the_bytes_of_the_in_process_pool(host: Host) -> None:
    """Whole messages are equal, for sizes around the fixed batch, and where a feature is unknown."""
    here = InProcessPool([MODEL])
    with asking(host) as pool:
        reachable(pool)
        for number, n in enumerate(SIZES):
            request = table(n, number)
            answer = pool.predict(request)
            assert isinstance(answer, PredictionReady)
            assert answer == here.predict(request)
        rows = unpack_f64(table(3).features).copy()
        rows[4] = np.nan
        holes = msgspec.structs.replace(table(3), features=pack_f64(rows))
        assert pool.predict(holes) == here.predict(holes)
        facts = pool.facts()
        assert (facts.answered, facts.degraded, facts.unavailable, facts.late) == (len(SIZES) + 1, 0, 0, 0)
        assert 0 < facts.p50_ms <= facts.p99_ms


def test_texts_come_back_in_their_order_and_are_remembered(host: Host) -> None:
    """19 texts travel as three parts; what was scored once is not asked again, and partly known lists are completed."""
    model = Lexicon()
    with asking(host) as pool:
        reachable(pool)
        request = texts(model_id=model.model_id)
        answer = pool.sentiment(request)
        assert isinstance(answer, SentimentReady)
        assert answer == InProcessPool([], texts={model.model_id: Lexicon}).sentiment(request)
        assert np.array_equal(unpack_f64(answer.p).reshape(-1, 3), model.score(TEXTS))
        more = msgspec.structs.replace(
            request, texts=("Profit warning", *TEXTS[:3], "Profit warning"), news_ids=("a", "b", "c", "d", "e")
        )
        again = pool.sentiment(more)
        assert isinstance(again, SentimentReady)
        assert np.array_equal(unpack_f64(again.p).reshape(-1, 3), model.score(more.texts))
        facts = pool.facts()
        assert (facts.cache_hits, facts.cache_misses, facts.cache_size) == (3, len(TEXTS) + 2, len(TEXTS) + 1)


def scores_of_the_shipped_model(host: Host) -> tuple[bytes, bytes]:
    """Return what a host and the in-process pool say of 19 headlines, by the sentiment model that ships."""
    folder = ModelStore(host.folder).find("sentiment")
    request = texts(model_id=read_text_manifest(folder).model_id)
    with asking(host, deadline_s=60.0) as pool:
        reachable(pool)
        there = pool.sentiment(request)
    here = InProcessPool([], texts={request.model_id: lambda: load_text_model(folder)}).sentiment(request)
    assert isinstance(there, SentimentReady)
    assert isinstance(here, SentimentReady)
    assert there.news_ids == request.news_ids
    return there.p, here.p


def test_the_shipped_text_model_says_the_same_on_a_thread_of_the_host(host: Host) -> None:
    """Bit for bit, although its texts travel in three parts."""
    there, here = scores_of_the_shipped_model(host)
    assert there == here
    rows = unpack_f64(there).reshape(-1, 3)
    assert np.allclose(rows.sum(axis=1), 1.0, atol=1e-5)
    assert len({tuple(row) for row in rows.tolist()}) == len(TEXTS)


def load_takes_longer_than_a_request_may(host: Host, seconds: float = 0.1) -> None:
    """Ask for one headline in less time than its model takes to load, until there is an answer."""
    request = texts(model_id=read_text_manifest(ModelStore(host.folder).find("sentiment")).model_id)
    request = msgspec.structs.replace(request, texts=TEXTS[:1], news_ids=("n0",))
    with asking(host, deadline_s=seconds) as pool:
        reachable(pool)
        first = pool.sentiment(request)
        assert isinstance(first, PredictionUnavailable)
        assert "being loaded" in first.reason or "in time" in first.reason  # on a busy machine the clock may be first
        until(lambda: isinstance(pool.sentiment(request), SentimentReady), "an answer once it is loaded")


def test_a_model_that_takes_long_to_load_is_loaded_all_the_same() -> None:
    """What asks meanwhile is told so, which is no fault of the request; the thread is not left behind over it."""
    with running("inference.workers=1") as one:
        load_takes_longer_than_a_request_may(one)


def test_many_ask_at_once_and_everybody_gets_his_own_answer(host: Host) -> None:
    """200 requests of eight threads on one connection."""
    here = InProcessPool([MODEL])
    requests = [table(1 + i % 7, i) for i in range(200)]
    with asking(host) as pool, ThreadPoolExecutor(8) as threads:
        reachable(pool)
        assert isinstance(pool.predict(table(1)), PredictionReady)  # on trial: one at a time
        answers = list(threads.map(pool.predict, requests))
    assert answers == [here.predict(request) for request in requests]


REFUSED = {
    "an unknown model": (msgspec.structs.replace(table(2), model_id="nothing@1"), "has no model 'nothing'"),
    "a path": (msgspec.structs.replace(table(2), model_id="../../etc/passwd@1"), "has no model '../../etc/passwd'"),
    "another version": (table(2, model_id="price_5d@000000000000"), f"has {MODEL.model_id}, not price_5d@0000"),
    "too few features": (msgspec.structs.replace(table(2), features=b"\0" * 8), "1 features for 2 rows of 9"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_told_in_a_sentence(host: Host, name: str) -> None:
    """The host stays well; without a fallback the answer is no prediction."""
    request, sentence = REFUSED[name]
    with asking(host) as pool:
        reachable(pool)
        answer = pool.predict(request)
        assert isinstance(answer, PredictionUnavailable)
        assert sentence in answer.reason
        assert isinstance(pool.predict(table(1)), PredictionReady)


def test_a_folder_is_no_name_of_a_text_model(host: Host, tmp_path: Path) -> None:
    """A client cannot make the host read where it likes."""
    with asking(host) as pool:
        reachable(pool)
        answer = pool.sentiment(texts(model_id=str(tmp_path)))
        assert isinstance(answer, PredictionUnavailable)
        assert "no text model" in answer.reason


def test_a_model_the_host_does_not_have_is_computed_here(host: Host) -> None:
    """The fallback answers, and that is no failure of the host."""
    elsewhere = Elsewhere()
    with asking(host, fallback=elsewhere) as pool:
        reachable(pool)
        for number in range(5):
            request = msgspec.structs.replace(table(2, number), model_id="nothing@1")
            assert isinstance(pool.predict(request), PredictionReady)
        assert len(elsewhere.asked) == 5
        assert (pool.facts().breaker, pool.facts().degraded) == ("closed", 5)


@pytest.mark.parametrize("here", [True, False])
def test_a_model_the_host_refuses_is_named_until_it_answers(host: Host, *, here: bool) -> None:
    """Its breaker stays closed, so without this nobody would hear that a model is only in the daemon's store."""
    request = msgspec.structs.replace(table(2), model_id="nothing@1")
    with asking(host, fallback=Elsewhere() if here else None) as pool:
        reachable(pool)
        assert pool.facts().refused == ()
        pool.predict(request)
        said = RefusedModel("nothing@1", "the inference host has no model 'nothing'", here)
        assert pool.facts().refused == (said,)
        few = msgspec.structs.replace(table(2), features=b"\0" * 8)
        pool.predict(few)
        assert [refused.model_id for refused in pool.facts().refused] == ["nothing@1", MODEL.model_id]
        assert isinstance(pool.predict(table(2, 1)), PredictionReady)
        assert pool.facts().refused == (said,)


# -- the socket --------------------------------------------------------------------------------------------------------


def converse(host: Host, *data: bytes) -> list[Frame]:
    """Send bytes and return what the host says until it hangs up, or has answered a question after its health."""
    unpacker, frames = Unpacker(), []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(20)
        link.connect(str(host.socket))
        link.sendall(b"".join(data))
        while not (frames and isinstance(frames[-1], Standing)):
            received = link.recv(65536)
            if not received:
                break
            frames += unpacker.feed(received)
    return frames


def test_the_socket_is_its_owners_alone(host: Host) -> None:
    """Mode 0600: nobody else connects."""
    with asking(host) as pool:
        reachable(pool)
    assert stat.S_IMODE(host.socket.stat().st_mode) == 0o600


def test_the_host_greets_and_says_how_it_is(host: Host) -> None:
    """Backend, workers and its process."""
    with asking(host) as pool:
        reachable(pool)
    welcome, standing = converse(host, pack(Hello((VERSION, 99), "a test")), pack(Look(5)))
    assert isinstance(welcome, Welcome)
    assert (welcome.version, welcome.backend, welcome.workers, welcome.pid) == (VERSION, "threads", 2, host.pid)
    assert isinstance(standing, Standing)
    assert (standing.number, standing.state, standing.workers, standing.busy, standing.queue) == (5, "up", 2, 0, 0)


STRANGERS = {
    "a pickle": (struct.pack(">I", 40) + pickle.dumps({"a": 1}).ljust(40, b"."), "FRAME"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "FRAME_SIZE"),
    "another version": (pack(Hello((99,), "a test")), "VERSION"),
    "no hello": (pack(Look(1)), "HELLO"),
    "an endless frame": (struct.pack(">I", 1 << 31), "FRAME_SIZE"),
    "a host's word": (pack(Hello((VERSION,), "a test")) + pack(Refused("X", "x")), "FRAME"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_refused_and_nobody_else_hears_of_it(host: Host, name: str) -> None:
    """One sentence with a stable code, then the connection ends; another client goes on."""
    data, code = STRANGERS[name]
    with asking(host) as pool:
        reachable(pool)
        frames = converse(host, data)
        assert isinstance(frames[-1], Refused)
        assert frames[-1].code == code
        assert isinstance(pool.predict(table(1)), PredictionReady)


def test_a_client_that_reads_nothing_is_hung_up_on(host: Host) -> None:
    """It would keep its place for ever, and there are not many; what it has asked is in nobody's way."""
    with asking(host) as pool, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        reachable(pool)
        link.settimeout(20)
        link.connect(str(host.socket))
        link.sendall(pack(Hello((VERSION,), "deaf")))
        looks = b"".join(pack(Look(number)) for number in range(200_000))  # many more than wait for anybody
        with pytest.raises(ConnectionError):
            link.sendall(looks)
        reachable(pool)
        assert isinstance(pool.predict(table(1)), PredictionReady)


HELLO = pack(Hello((VERSION,), "a test"))


def connected(host: Host, stack: ExitStack) -> socket.socket:
    """Return a connection that has said hello."""
    link = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    link.settimeout(20)
    link.connect(str(host.socket))
    with suppress(BrokenPipeError):  # it was refused already
        link.sendall(HELLO)
    return link


def test_a_client_that_does_not_read_its_refusal_is_hung_up_on(host: Host) -> None:
    """Its socket is full of an answer when it says what no client says: it loses its place all the same."""
    long = msgspec.structs.replace(table(1), request_id="x" * 400_000)  # and the answer names it
    with asking(host) as pool, ExitStack() as stack:
        reachable(pool)
        deaf = [connected(host, stack) for _ in range(CONNECTIONS_MAX - 4)]
        for link in deaf:
            link.sendall(pack(Ask(1, 0, long)))
            assert len(converse(host, HELLO, pack(Look(1)))) == 2  # it has heard that
        for link in deaf:
            link.sendall(pack(Refused("X", "no client says this")))

        def takes_one_more() -> bool:
            link = connected(host, stack)
            (first,) = Unpacker().feed(link.recv(65536))
            if isinstance(first, Refused):
                link.close()
            return isinstance(first, Welcome)

        for _ in range(4):  # three places were free
            until(takes_one_more, "a place", 20)


def test_two_hosts_do_not_share_a_socket(host: Host) -> None:
    """The second says who is in its way and ends with 75; the first is untouched."""
    with asking(host) as pool:
        reachable(pool)
        second = Host(host.folder, ["inference.workers=1"])
        process = second.start()
        assert process.wait(60) == 75
        told = host.log.read_text("utf-8")
        assert "another inference host listens on" in told
        assert "give this one another [predictor] host_socket" in told
        assert isinstance(pool.predict(table(1)), PredictionReady)


def test_a_host_that_is_told_to_stop_ends_in_order() -> None:
    """Exit 0, and its socket is gone."""
    with running("inference.workers=1") as host, asking(host) as pool:
        reachable(pool)
        assert host.kill(signal.SIGTERM) == 0
        assert not host.socket.exists()
        answer = pool.predict(table(1))
        assert isinstance(answer, PredictionUnavailable)
        assert "inference host" in answer.reason


PLACES = {
    "open to all": ("open/s", 78, "others may write into"),
    "too long": ("x" * 120 + "/s", 78, "the path of the inference host's socket"),
    "taken by a file": ("file", 78, "is there and is no socket"),
    "below a file": ("file/s", 78, "cannot be made: File exists"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_where_no_socket_can_be_is_told_with_the_key_that_names_it(tmp_path: Path, name: str) -> None:
    """One sentence, exit 78; nothing of the control socket, which this is not."""
    where, code, sentence = PLACES[name]
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").touch()
    config = tmp_path / "c.toml"
    config.write_text(f'[predictor]\nhost_socket = "{tmp_path / where}"\n', "utf-8")
    command = [sys.executable, "-m", "daemon", "inference", "--config", str(config)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == code, answer.stderr
    assert sentence in answer.stderr
    assert str(tmp_path) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "control" not in answer.stderr
    assert name == "taken by a file" or "host_socket" in answer.stderr


def test_a_group_that_is_none_is_refused(tmp_path: Path) -> None:
    """Exit 78 with a sentence, before anything listens."""
    config = tmp_path / "c.toml"
    config.write_text(f'[paths]\nruntime_dir = "{tmp_path}"\n[inference]\ngroup = "no-such-group"\n', "utf-8")
    command = [sys.executable, "-m", "daemon", "inference", "--config", str(config)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 78
    assert "inference.group names no-such-group" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_asking_does_not_wait_for_a_host_that_is_not_there(tmp_path: Path) -> None:
    """The first request finds the breaker open."""
    with running(start=False) as host, asking(host, deadline_s=30.0) as pool:
        answers = [pool.predict(table(1, i)) for i in range(3)]
        took = pool.facts().p99_ms
        assert all(isinstance(answer, PredictionUnavailable) for answer in answers)
        assert took < 1_000
        host.start()
        until(lambda: isinstance(pool.predict(table(1)), PredictionReady), "an answer once it is there")
