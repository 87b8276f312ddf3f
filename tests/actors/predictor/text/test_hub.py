"""Fetching a model over real sockets from a hub on this machine that breaks, lies, redirects and forgets."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from actors.predictor.text.hub import KNOWN, Known, _address, discard_fetched, fetch_model, fetched_folder
from actors.predictor.text.importing import Asked, import_model
from actors.predictor.text.store import ModelStore
from daemon.kernel.errors import OperatorError
from tests.text_support import write_source

REPOSITORY, REVISION = "someone/tiny", "f" * 40


class Hub(ThreadingHTTPServer):
    """Serves a folder as the hub does; what goes wrong is set by the test."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.breaks_after: list[int] = []
        """Bytes after which the next answers of the large file end."""
        self.ranges = True
        self.redirect = ""
        self.status = 0
        self.whole_as: tuple[int, str] | None = None
        """Status and ``Content-Range`` of an answer that is all of the file, whatever was asked for."""
        self.drop_s = 0.0
        """Seconds between two bytes."""
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Stay quiet."""

    def do_GET(self) -> None:
        """Send a file, or what the test has asked for instead."""
        hub = self.server
        wanted = self.headers.get("Range", "")
        hub.asked.append((self.path, wanted))
        if hub.redirect and not self.path.startswith("/cdn/"):
            self.send_response(302)
            self.send_header("Location", hub.redirect.format(name=self.path.rpartition("/")[2]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = hub.folder / self.path.rpartition("/")[2]
        known = self.path.startswith(("/cdn/", f"/{REPOSITORY}/resolve/{REVISION}/"))
        if hub.status or not known or not path.is_file():
            self.send_error(hub.status or 404)
            return
        data = path.read_bytes()
        start = int(wanted[6:-1]) if wanted and hub.ranges else 0
        if start >= len(data):
            self.send_error(416)
            return
        status, told = 206 if start else 200, f"bytes {start}-{len(data) - 1}/{len(data)}" if start else ""
        if hub.whole_as is not None:
            start, (status, told) = 0, hub.whole_as
        self.send_response(status)
        if told:
            self.send_header("Content-Range", told)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = len(data)
        if path.name == "model.safetensors" and hub.breaks_after:
            end = start + hub.breaks_after.pop(0)
        if hub.drop_s:
            with suppress(OSError):  # who waits has enough
                for at in range(start, end):
                    self.wfile.write(data[at : at + 1])
                    time.sleep(hub.drop_s)
            self.close_connection = True
            return
        self.wfile.write(data[start:end])
        self.wfile.flush()
        if end < len(data):
            self.close_connection = True


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Run a hub that has the hand-written model."""
    with Hub(write_source(tmp_path / "hub")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Return an empty store."""
    return ModelStore(tmp_path / "state", shipped=tmp_path / "none")


@pytest.fixture
def catalogue(hub: Hub) -> dict[str, Known]:
    """Return the digests of what the hub has."""
    names = ("config.json", "vocab.txt", "model.safetensors")
    files = {name: hashlib.sha256((hub.folder / name).read_bytes()).hexdigest() for name in names}
    return {"tiny": Known(REPOSITORY, REVISION, files, "by hand", "mine", "none", "A toy.")}


def test_a_fetched_model_is_imported_with_where_it_came_from(hub: Hub, store: ModelStore, catalogue) -> None:
    """From the pinned revision, every file, with progress up to the last byte."""
    told: list[tuple[int, int]] = []
    folder, asked = fetch_model("tiny", store, hub.url, lambda done, total: told.append((done, total)), catalogue)
    assert [path for path, _ in hub.asked] == [
        f"/{REPOSITORY}/resolve/{REVISION}/{name}" for name in catalogue["tiny"].files
    ]
    size = (hub.folder / "model.safetensors").stat().st_size
    assert told[-1] == (size, size)
    found = import_model(folder, store, asked)
    assert found.name == "tiny"
    assert found.manifest is not None
    assert found.manifest.source == f"127.0.0.1/{REPOSITORY} at {REVISION}"
    assert (found.manifest.base, found.manifest.licence) == ("by hand", "mine")
    discard_fetched("tiny", store)
    assert not fetched_folder("tiny", store).exists()


def test_files_that_are_there_are_not_fetched_again(hub: Hub, store: ModelStore, catalogue) -> None:
    """Their digests say that they are whole."""
    fetch_model("tiny", store, hub.url, None, catalogue)
    hub.asked.clear()
    fetch_model("tiny", store, hub.url, None, catalogue)
    assert hub.asked == []


def test_a_connection_that_breaks_is_taken_up_where_it_ended(hub: Hub, store: ModelStore, catalogue) -> None:
    """Twice within one fetch: the third request asks for the rest alone."""
    hub.breaks_after = [1_000, 500]
    folder, _ = fetch_model("tiny", store, hub.url, None, catalogue)
    assert (folder / "model.safetensors").read_bytes() == (hub.folder / "model.safetensors").read_bytes()
    assert [wanted for path, wanted in hub.asked if path.endswith(".safetensors")] == ["", "bytes=1000-", "bytes=1500-"]


def test_what_a_fetch_has_left_is_taken_up_by_the_next(hub: Hub, store: ModelStore, catalogue) -> None:
    """A hub that breaks every time ends in a sentence; what came is kept for another day."""
    hub.breaks_after = [100, 100, 100, 100]
    with pytest.raises(OperatorError) as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "HUB"
    assert "model.safetensors" in caught.value.message
    assert store.models() == []
    hub.asked.clear()
    fetch_model("tiny", store, hub.url, None, catalogue)
    assert [wanted for _, wanted in hub.asked] == ["bytes=400-"]


def test_a_hub_that_knows_no_ranges_sends_all_again(hub: Hub, store: ModelStore, catalogue) -> None:
    """Its 200 replaces what had come; nothing is laid behind it."""
    hub.ranges = False
    hub.breaks_after = [1_000]
    folder, _ = fetch_model("tiny", store, hub.url, None, catalogue)
    assert (folder / "model.safetensors").read_bytes() == (hub.folder / "model.safetensors").read_bytes()


def test_another_file_than_was_pinned_is_thrown_away(hub: Hub, store: ModelStore, catalogue) -> None:
    """A changed model, a broken mirror, somebody in between: nothing is installed."""
    (hub.folder / "vocab.txt").write_text("other words\n")
    with pytest.raises(OperatorError) as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "MODEL_DIGEST"
    assert "vocab.txt" in caught.value.message
    left = sorted(path.name for path in fetched_folder("tiny", store).iterdir())
    assert left == ["config.json"]


def test_a_part_of_another_file_is_found_out(hub: Hub, store: ModelStore, catalogue) -> None:
    """What lies there is longer than the file, or its beginning is another's."""
    folder = fetched_folder("tiny", store)
    folder.mkdir(parents=True)
    for left in (b"x" * 10, b"x" * 1_000_000):
        (folder / "config.json.part").write_bytes(left)
        with pytest.raises(OperatorError, match="pinned"):
            fetch_model("tiny", store, hub.url, None, catalogue)
    fetch_model("tiny", store, hub.url, None, catalogue)


def test_redirects_are_followed_as_long_as_they_stay_safe(hub: Hub, store: ModelStore, catalogue) -> None:
    """The hub sends to its CDN; plain HTTP to another machine is refused."""
    hub.redirect = "/cdn/{name}"
    fetch_model("tiny", store, hub.url, None, catalogue)
    other = ModelStore(store.root / "other")
    for address in ("http://example.invalid/{name}", "ftp://127.0.0.1/{name}", "file:///etc/passwd"):
        hub.redirect = address
        with pytest.raises(OperatorError) as caught:
            fetch_model("tiny", other, hub.url, None, catalogue)
        assert caught.value.code == "HUB_ADDRESS"
    hub.redirect = "/again/{name}"
    with pytest.raises(OperatorError, match="redirects without end"):
        fetch_model("tiny", other, hub.url, None, catalogue)


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "https://127.0.0.1:abc/", "/" + "x" * 100_000, "https://", "javascript:alert(1)", "data:,x"],
)
def test_a_redirect_that_is_no_address_is_told(hub: Hub, store: ModelStore, catalogue, location: str) -> None:
    """It was a fault of the program."""
    hub.redirect = location
    with pytest.raises(OperatorError) as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "HUB_ADDRESS"
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


def test_a_hub_sends_nobody_to_this_machine() -> None:
    """From HTTPS only HTTPS is gone to; from a mirror of this machine its own paths as well."""
    far, near = httpx2.URL("https://hub.example/x"), httpx2.URL("http://127.0.0.1:8080/x")
    for address in ("http://127.0.0.1:8080/", "http://localhost/x", "http://[::1]/", "http://hub.example/x"):
        with pytest.raises(OperatorError) as caught:
            _address(address, far)
        assert caught.value.code == "HUB_ADDRESS"
    assert str(_address("/y", far)) == "https://hub.example/y"
    assert str(_address("https://cdn.example/y", far)) == "https://cdn.example/y"
    assert str(_address("/y", near)) == "http://127.0.0.1:8080/y"
    assert str(_address("https://cdn.example/y", near)) == "https://cdn.example/y"


def test_what_comes_drop_by_drop_is_a_broken_connection(hub: Hub, store: ModelStore, catalogue, monkeypatch) -> None:
    """Else a hub keeps who asks it for years; what has come is kept, and the next try goes on from there."""
    monkeypatch.setattr("actors.predictor.text.hub.SLOW_S", 0.2)
    hub.drop_s = 0.02
    with pytest.raises(OperatorError, match=r"breaks off while sending config.json: [\d,]+ bytes in 0 s") as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "HUB"
    part = fetched_folder("tiny", store) / "config.json.part"
    have = part.stat().st_size
    assert part.read_bytes() == (hub.folder / "config.json").read_bytes()[:have]
    assert have > 0
    hub.drop_s = 0.0
    hub.asked.clear()
    fetch_model("tiny", store, hub.url, None, catalogue)
    assert hub.asked[0][1] == f"bytes={have}-"


def test_what_comes_slowly_but_comes_is_waited_for(hub: Hub, store: ModelStore, catalogue, monkeypatch) -> None:
    """Over many more of the spans in which bytes are counted than there are tries."""
    monkeypatch.setattr("actors.predictor.text.hub.SLOW_S", 0.1)
    monkeypatch.setattr("actors.predictor.text.hub.SLOW_BYTES", 2)
    hub.drop_s = 0.002
    only = catalogue["tiny"]._replace(files={"config.json": catalogue["tiny"].files["config.json"]})
    folder, _ = fetch_model("tiny", store, hub.url, None, {"tiny": only})
    assert (folder / "config.json").read_bytes() == (hub.folder / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("status", "told"), [(206, "bytes 5-9/10"), (206, "bytes 0-9/10"), (206, ""), (200, "bytes 7-9/10"), (200, "")]
)
def test_a_hub_that_says_another_place_is_not_gone_on_from(
    hub: Hub, store: ModelStore, catalogue, status: int, told: str
) -> None:
    """It sends all: what was there already is begun anew, whatever the answer calls itself."""
    hub.whole_as = (status, told)
    part = fetched_folder("tiny", store) / "config.json.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((hub.folder / "config.json").read_bytes()[:7])
    folder, _ = fetch_model("tiny", store, hub.url, None, catalogue)
    assert (folder / "config.json").read_bytes() == (hub.folder / "config.json").read_bytes()
    assert hub.asked[0][1] == "bytes=7-"


def test_what_is_larger_than_any_model_is_not_gone_on_from(hub: Hub, store: ModelStore, catalogue, monkeypatch) -> None:
    """A hub that sends without end fills the disk once; the next try, of one that does not, begins anew."""
    monkeypatch.setattr("actors.predictor.text.hub.FILE_MAX", 100)
    with pytest.raises(OperatorError, match="more than 100 bytes"):
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert list(fetched_folder("tiny", store).iterdir()) == []
    monkeypatch.undo()
    fetch_model("tiny", store, hub.url, None, catalogue)


def test_one_at_a_time_gathers_the_files_of_a_model(hub: Hub, store: ModelStore, catalogue) -> None:
    """Two that appended to one file would throw away what the other has brought."""

    def meanwhile(_have: int, _total: int) -> None:
        if not told:
            with pytest.raises(OperatorError, match="another process fetches tiny") as caught:
                fetch_model("tiny", ModelStore(store.root.parents[1], shipped=Path("none")), hub.url, None, catalogue)
            told.append(caught.value.code)

    told: list[str] = []
    fetch_model("tiny", store, hub.url, meanwhile, catalogue)
    assert told == ["HUB"]
    fetch_model("tiny", store, hub.url, None, catalogue)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_refusal_of_the_hub_is_told(hub: Hub, store: ModelStore, catalogue, status: int) -> None:
    """With its number."""
    hub.status = status
    with pytest.raises(OperatorError) as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "HUB"
    assert str(status) in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "http://example.invalid",
        "ftp://127.0.0.1",
        "example.invalid",
        "file:///tmp",
        "https://",
        "https://:443",
        "http://[",
        "http://127.0.0.1:abc",
        "https://hub\n.example",
        "\x00",
    ],
)
def test_only_https_is_asked(store: ModelStore, address: str) -> None:
    """But for this very machine."""
    with pytest.raises(OperatorError) as caught:
        fetch_model("finbert", store, address)
    assert caught.value.code == "HUB_ADDRESS"


def test_nobody_there_is_told(store: ModelStore, catalogue, hub: Hub) -> None:
    """A port nobody listens on."""
    hub.shutdown()
    hub.server_close()
    with pytest.raises(OperatorError) as caught:
        fetch_model("tiny", store, hub.url, None, catalogue)
    assert caught.value.code == "HUB"
    assert "127.0.0.1 cannot be reached: " in caught.value.message
    assert "--hub" in caught.value.remedy


def test_what_is_pinned_is_pinned() -> None:
    """A commit, not a branch; SHA-256 of every file; no pickle among them."""
    for known in KNOWN.values():
        assert len(known.revision) == 40
        assert {len(digest) for digest in known.files.values()} == {64}
        assert set(known.files) == {"config.json", "vocab.txt", "model.safetensors"}
    with pytest.raises(OperatorError, match="finbert"):
        fetch_model("other", ModelStore(Path("nowhere")))


def test_the_words_of_finbert_are_those_of_bert(test_data: Path) -> None:
    """The pinned digest of vocab.txt is that of the vocabulary the reference model shares with it."""
    path = test_data / "models" / "minilm_l6_phrasebank" / "vocab.txt"
    if not path.is_file():
        pytest.skip("the reference model is not among the real test data")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == KNOWN["finbert"].files["vocab.txt"]


def test_nothing_is_asked_of_an_import(hub: Hub, store: ModelStore, catalogue) -> None:
    """Once fetched, a model comes in without the network."""
    folder, _ = fetch_model("tiny", store, hub.url, None, catalogue)
    hub.asked.clear()
    import_model(folder, store, Asked(name="tiny"))
    assert hub.asked == []
