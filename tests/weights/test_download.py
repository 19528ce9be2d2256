"""Downloads, from a server on this machine that can do what servers do: send all, send half, send something else."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from minicnn import models
from minicnn.errors import LoadError, OptionError
from minicnn.weights import download
from minicnn.weights.catalogue import CATALOGUE, Published, published
from minicnn.weights.download import PIECE, fetch

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGESTS = [
    f"{kind}:{hashlib.new(kind, CONTENT).hexdigest()[:length]}"
    for kind, length in (("sha256", 64), ("sha256", 8), ("md5", 32), ("sha1", 40))
]


class Server(ThreadingHTTPServer):
    content = CONTENT
    ranges = True  # whether it can send a part
    cut_after: int | None = None  # bytes of an answer, then the connection is closed
    cuts = 0  # how many answers are cut
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        if self.path != "/weights.pth":
            self.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and self.server.ranges else 0
        if begin and begin >= len(self.server.content):
            self.send_error(416)
            return
        rest = self.server.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cuts > 0:
            self.server.cuts -= 1
            rest = rest[: self.server.cut_after]
        self.wfile.write(rest)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def entry(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_WEIGHTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(digest=DIGESTS[0], path="weights.pth"):
        address = f"http://127.0.0.1:{server.server_port}/{path}"
        return Published("mine", "resnet18", "torchvision", address, digest, "none", None, None)

    return make


@pytest.mark.parametrize("digest", [*DIGESTS, ""])
def test_a_file_comes_once(server, entry, tmp_path, digest):
    path = fetch(entry(digest), progress=False)
    assert path == tmp_path / "cache" / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(entry(digest), progress=False) == path
    assert len(server.asked) == 1
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]


def test_a_file_with_another_digest_is_not_kept(server, entry, tmp_path):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(LoadError, match=r"is not what http.* should be: its sha256 is .*, published is"):
        fetch(entry(), progress=False)
    assert list((tmp_path / "cache").iterdir()) == []
    server.content = CONTENT
    assert fetch(entry(), progress=False).read_bytes() == CONTENT


def test_a_cut_connection_is_taken_up_where_it_broke(server, entry):
    server.cut_after, server.cuts = 1_000_000, 2
    assert fetch(entry(), progress=False).read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={PIECE * 15}-", f"bytes={PIECE * 30}-"]


def test_a_server_that_cannot_send_parts_starts_again(server, entry):
    server.ranges, server.cut_after, server.cuts = False, 1_000_000, 1
    assert fetch(entry(), progress=False).read_bytes() == CONTENT


def test_the_next_call_goes_on_too(server, entry, tmp_path):
    server.cut_after, server.cuts = 500_000, 3
    with pytest.raises(LoadError, match=r"cut; 1,376,256 bytes are here, the next try .* By hand: get http"):
        fetch(entry(), progress=False)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["weights.pth.part"]
    assert fetch(entry(), progress=False).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={PIECE * 21}-"


def test_a_part_that_was_whole_already(server, entry, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights.pth.part").write_bytes(CONTENT)
    assert fetch(entry(), progress=False).read_bytes() == CONTENT


def test_without_a_digest_parts_are_not_put_together(server, entry):
    server.cut_after, server.cuts = 500_000, 3
    with pytest.raises(LoadError, match="the connection was cut"):
        fetch(entry(""), progress=False)
    assert fetch(entry(""), progress=False).read_bytes() == CONTENT
    assert server.asked[-1] == ""


def test_404(entry, tmp_path):
    with pytest.raises(LoadError, match=r"the server answers 404 Not Found\. By hand: get http.* and put it into "):
        fetch(entry(path="gone.pth"), progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_offline(entry, tmp_path, server):
    offline = entry()
    server.server_close()
    with pytest.raises(LoadError) as caught:
        fetch(offline, progress=False)
    assert "the connection failed" in str(caught.value)
    assert f"By hand: get {offline.address} and put it into {tmp_path / 'cache'}" in str(caught.value)


def test_a_name_that_no_server_has(entry, monkeypatch):
    unknown = Published("x", "resnet18", "torchvision", "http://weights.invalid/x.pth", "", "", None, None)
    with pytest.raises(LoadError, match=r"name is not known here|connection failed|the server answers"):
        fetch(unknown, progress=False)


def test_a_server_that_says_nothing_more(server, entry, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(1))
    with pytest.raises(LoadError, match=r"nothing came for 0 s"):
        fetch(entry(), progress=False)


def test_a_file_put_there_by_hand_is_used_if_it_is_the_right_one(server, entry, tmp_path):
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / "weights.pth"
    path.write_bytes(CONTENT)
    assert fetch(entry(), progress=False) == path
    path.write_bytes(b"something else")
    with pytest.raises(LoadError, match="is not what"):
        fetch(entry(), progress=False)
    assert path.read_bytes() == b"something else"
    assert server.asked == []


def test_a_folder_that_cannot_be_written(entry, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MINICNN_WEIGHTS_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(LoadError, match="cannot be written: Not a directory"):
        fetch(entry(), progress=False)


def test_the_bar(entry, capfd):
    fetch(entry())
    assert "weights.pth: 100%" in capfd.readouterr().err


# ----------------------------------------------------------------------------------------- the catalogue


@pytest.mark.parametrize("entry_of", CATALOGUE.values(), ids=CATALOGUE)
def test_an_entry_is_of_a_network_that_we_have(entry_of):
    assert entry_of.form in models.ARCHITECTURES[entry_of.model].forms
    assert entry_of.name.startswith(entry_of.model)
    assert entry_of.address.startswith("http")
    assert entry_of.licence
    kind, _, digest = entry_of.digest.partition(":")
    assert (kind, len(digest)) in {("sha256", 8), ("sha256", 9), ("md5", 32), ("sha1", 40), ("", 0)}
    int(digest or "0", 16)
    assert published(entry_of.name) is entry_of


def test_file_names_are_unique():
    files = [entry_of.file for entry_of in CATALOGUE.values()]
    assert len(set(files)) == len(files) == 45


def test_names_that_are_not_in_it():
    assert published("resnet50").name == "resnet50-torchvision"
    with pytest.raises(OptionError, match="did you mean 'resnet50-keras'"):
        published("resnet50-kera")
