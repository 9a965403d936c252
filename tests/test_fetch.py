"""Downloads from a server that misbehaves, unpacking of archives that do, and what is remembered of it."""

import hashlib
import io
import json
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest
from filelock import FileLock
from misbehaving import QUOTA_PAGE, Answer, Server

from robnb import assets
from robnb.assets import DataSet, File, Roots, accept, fetch, require, states
from robnb.assets.catalogue import read_catalogue
from robnb.assets.download import Patience, download, size_on_server
from robnb.assets.unpack import unpack
from robnb.cli.fetch import add
from robnb.errors import UserError

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes: several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
PATIENCE = Patience(connect=5, read=0.4, retries=2, backoff=0)


@pytest.fixture
def server():
    with Server() as running:
        yield running


def weights(url, **about):
    return File(url=url, path="w.pth", **about)


def get(file, folder):
    """Download into a folder; returns what was said on the way."""
    said = []
    found = download(file, folder / file.path, PATIENCE, said.append)
    assert found.sha256 == hashlib.sha256((folder / file.path).read_bytes()).hexdigest()
    return said


def left(folder):
    return sorted(path.name for path in folder.iterdir())


# Downloads


def test_an_honest_server(server, tmp_path):
    file = weights(server.put("w.pth", CONTENT), bytes=len(CONTENT), hash=f"sha256:{SHA256}")
    assert get(file, tmp_path) == []
    assert (tmp_path / "w.pth").read_bytes() == CONTENT and left(tmp_path) == ["w.pth"]
    assert server.asked["w.pth"][0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("fault", [Answer(stall=200_000), Answer(cut=200_000)], ids=["stall", "cut off"])
def test_a_broken_download_goes_on_where_it_was(server, tmp_path, fault):
    said = get(weights(server.put("w.pth", CONTENT, fault)), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    again = server.asked["w.pth"][1]
    start = int(again["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 100_000 < start <= 200_000 and again["If-Range"] == '"1"'
    assert server.sent["w.pth"] == 200_000 + len(CONTENT) - start
    assert len(said) == 1 and f"from byte {start:,}" in said[0]


def test_a_part_of_an_earlier_run_is_gone_on_with(server, tmp_path):
    url = server.put("w.pth", CONTENT, *[Answer(cut=300_000), *[Answer(status=503)] * 9])
    with pytest.raises(UserError, match="answered 503"):
        get(weights(url), tmp_path)
    assert left(tmp_path) == ["w.pth.part", "w.pth.part.json"]
    have = (tmp_path / "w.pth.part").stat().st_size
    server.resources["w.pth"].answers.clear()
    before = server.sent["w.pth"]
    get(weights(url), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT and left(tmp_path) == ["w.pth"]
    assert have > 0 and server.sent["w.pth"] - before == len(CONTENT) - have


@pytest.mark.parametrize(
    "about", [{}, {"obeys_if_range": False}, {"etag": "", "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}]
)
def test_a_file_that_changed_between_two_attempts_is_begun_again(server, tmp_path, about):
    url = server.put("w.pth", CONTENT, Answer(cut=300_000), *[Answer(status=503)] * 9, **about)
    with pytest.raises(UserError):
        get(weights(url), tmp_path)
    now = {"etag": '"2"'} if about.get("etag", "1") else {"etag": "", "modified": "Tue, 02 Jan 2024 00:00:00 GMT"}
    server.put("w.pth", OTHER, **{**about, **now})
    get(weights(url), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == OTHER


@pytest.mark.parametrize("about", [{"ranges": False}, {"etag": ""}], ids=["no ranges", "nothing tells versions apart"])
def test_a_server_that_cannot_resume_is_asked_for_everything(server, tmp_path, about):
    url = server.put("w.pth", CONTENT, Answer(cut=300_000), **about)
    get(weights(url), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.sent["w.pth"] == 300_000 + len(CONTENT)


def test_a_part_that_is_whole_is_only_verified(server, tmp_path):
    url = server.put("w.pth", CONTENT, Answer(cut=300_000), *[Answer(status=503)] * 9)
    with pytest.raises(UserError):
        get(weights(url), tmp_path)
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    server.put("w.pth", CONTENT)
    before = server.sent["w.pth"]
    get(weights(url, hash=f"sha256:{SHA256}"), tmp_path)
    assert server.sent["w.pth"] == before


def test_a_part_longer_than_the_file_is_begun_again(server, tmp_path):
    url = server.put("w.pth", CONTENT, Answer(cut=300_000), *[Answer(status=503)] * 9)
    with pytest.raises(UserError):
        get(weights(url), tmp_path)
    (tmp_path / "w.pth.part").write_bytes(CONTENT + b"more")
    server.put("w.pth", CONTENT)
    get(weights(url), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_errors_that_pass_are_waited_out(server, tmp_path):
    busy = Answer(status=429, headers=(("Retry-After", "0"),))
    assert len(get(weights(server.put("w.pth", CONTENT, Answer(status=503), busy)), tmp_path)) == 2


def test_a_server_that_never_answers_is_given_up(server, tmp_path):
    url = server.put("w.pth", CONTENT, *[Answer(stall=0)] * 9)
    with pytest.raises(
        UserError, match=r"did not answer in time, after 3 attempts in vain; try again later, or get it from"
    ):
        get(weights(url), tmp_path)


def test_a_closed_port_is_given_up(tmp_path):
    with pytest.raises(UserError, match="cannot be reached, after 3 attempts"):
        get(weights("http://127.0.0.1:9/w.pth"), tmp_path)


@pytest.mark.parametrize(
    ("answer", "about", "said"),
    [
        (Answer(length=len(CONTENT) + 5000), {}, r"broke off with 512,000 bytes of it here, after 3"),
        (Answer(length=len(CONTENT) - 5000), {"bytes": len(CONTENT)}, r"a file of 507,000 bytes, expected 512,000"),
        (Answer(length=len(CONTENT) - 5000), {"hash": f"sha256:{SHA256}"}, r"sent another file: its sha256 is"),
        (Answer(length=-1), {"bytes": len(CONTENT) - 5000}, r"sends more than the 507,000 bytes"),
        (Answer(length=-1, cut=5000), {"bytes": len(CONTENT)}, r"ended after 5,000 of 512,000 bytes"),
    ],
)  # fmt: skip
def test_a_server_that_lies_about_the_length_is_found_out(server, tmp_path, answer, about, said):
    url = server.put("w.pth", CONTENT, *[answer] * 9, ranges=False)
    with pytest.raises(UserError, match=said):
        get(weights(url, **about), tmp_path)
    assert "w.pth" not in left(tmp_path)


def test_a_length_that_is_not_stated_is_no_obstacle(server, tmp_path):
    get(weights(server.put("w.pth", CONTENT, Answer(length=-1)), bytes=len(CONTENT)), tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_weights_is_refused(server, tmp_path, content_type):
    url = server.put("w.pth", CONTENT, Answer(page=b"\n" + QUOTA_PAGE, content_type=content_type))
    with pytest.raises(
        UserError, match=r"a web page \('Google Drive - Quota exceeded'\) .* too many people fetched it"
    ):
        get(weights(url), tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha256-8", "md5", "sha1"])
def test_wrong_bytes_are_deleted_and_said(server, tmp_path, algorithm):
    digest = hashlib.new(algorithm.removesuffix("-8"), CONTENT).hexdigest()[: 8 if algorithm == "sha256-8" else None]
    url = server.put("w.pth", OTHER)
    with pytest.raises(UserError, match=f"expected {digest}.*; what came was deleted"):
        get(weights(url, hash=f"{algorithm}:{digest}"), tmp_path)
    assert left(tmp_path) == []
    server.put("w.pth", CONTENT)
    get(weights(url, hash=f"{algorithm}:{digest}"), tmp_path)


def test_mirrors_are_tried_in_turn_and_finish_what_another_began(server, tmp_path):
    first = server.put("first.pth", CONTENT, Answer(cut=300_000), *[Answer(status=500)] * 9)
    mirrors = (server.url("nothing-here"), server.put("wrong.pth", OTHER[:-1]), server.put("right.pth", CONTENT))
    file = weights(first, mirrors=mirrors, hash=f"sha256:{SHA256}")
    get(file, tmp_path)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.asked["nothing-here"] == [] and len(server.asked["wrong.pth"]) > 0
    # With a published hash even the part of another address is of use.
    server.put("first.pth", CONTENT, Answer(cut=300_000), *[Answer(status=500)] * 9)
    (tmp_path / "w.pth").unlink()
    before = server.sent["right.pth"]
    get(weights(first, mirrors=mirrors[2:], hash=f"sha256:{SHA256}"), tmp_path)
    assert server.sent["right.pth"] - before < len(CONTENT) - 200_000


def test_a_hash_that_the_server_states_is_held_against_the_file(server, tmp_path):
    """Hugging Face sends it with the redirect to where the file is stored."""
    target = server.put("stored", CONTENT)
    for digest, right in ((SHA256, True), ("0" * 64, False)):
        hop = Answer(status=302, headers=(("Location", target), ("X-Linked-ETag", f'"{digest}"')))
        file = weights(server.put("resolve/main/w.pth", b"", hop))
        if right:
            get(file, tmp_path)
        else:
            with pytest.raises(UserError, match=f"expected {digest}"):
                get(file, tmp_path)


def test_a_full_disk_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 1000))
    with pytest.raises(UserError, match=r"w.pth needs 0.0 GB more in .*free some"):
        get(weights(server.put("w.pth", CONTENT)), tmp_path)
    assert "w.pth" not in left(tmp_path)


def test_sizes_are_asked_of_the_server(server):
    assert size_on_server(weights(server.put("w.pth", CONTENT)), PATIENCE) == len(CONTENT)
    assert size_on_server(weights(server.url("nothing")), PATIENCE) is None
    assert size_on_server(weights("http://127.0.0.1:9/w.pth"), PATIENCE) is None


# Archives


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            content = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def linked_zip():
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped({"a/f": b"1", info: b"/etc/passwd"})


GOOD = {"top/a/1.txt": b"one", "top/a/2.txt": b"two" * 1000, "top/b.txt": b"b"}
FLAT = {name.removeprefix("top/"): content for name, content in GOOD.items()}


@pytest.mark.parametrize(
    "archive",
    [zipped(GOOD), zipped(FLAT), tarred(GOOD), tarred(FLAT, "w:gz"), tarred({f"./{k}": v for k, v in GOOD.items()})],
    ids=["zip", "flat zip", "tar", "flat tar.gz", "tar with ./"],
)
def test_archives_are_unpacked_where_they_are_expected(tmp_path, archive):
    (tmp_path / "x.archive").write_bytes(archive)
    target = tmp_path / "to"
    (target / "a").mkdir(parents=True)
    (target / "a/1.txt").write_bytes(b"half a file of a run that was killed")
    (target / "a/mine").write_bytes(b"mine")
    unpack(tmp_path / "x.archive", target, ("a", "b.txt"))
    assert {path: (target / path).read_bytes() for path in FLAT} == FLAT
    assert (target / "a/mine").exists() and left(target) == ["a", "b.txt"]


BAD = {
    "zip up": (zipped({"../evil": b"1"}), "leads out of the folder"),
    "zip deep": (zipped({"a/../../evil": b"1"}), "leads out of the folder"),
    "zip absolute": (zipped({"/tmp/evil": b"1"}), "leads out of the folder"),
    "zip windows": (zipped({"..\\evil": b"1"}), "leads out of the folder"),
    "zip drive": (zipped({"C:/evil": b"1"}), "leads out of the folder"),
    "zip link": (linked_zip(), "is a link or a device"),
    "tar up": (tarred({"../evil": b"1"}), "leads out of the folder"),
    "tar absolute": (tarred({"/tmp/evil": b"1"}), "leads out of the folder"),
    "tar symlink": (tarred({"a": special("a", tarfile.SYMTYPE, "/etc")}), "is a link or a device"),
    "tar hard link": (tarred({"a": special("a", tarfile.LNKTYPE, "../evil")}), "is a link or a device"),
    "tar device": (tarred({"a": special("a", tarfile.CHRTYPE)}), "is a link or a device"),
    "tar fifo": (tarred({"a": special("a", tarfile.FIFOTYPE)}), "is a link or a device"),
    "truncated zip": (zipped(FLAT)[:-40], "truncated or damaged"),
    "truncated tar": (tarred(FLAT)[:1800], "truncated or damaged"),
    "tar without its end": (tarred(FLAT)[: -len(tarred({}))], "truncated or damaged"),
    "truncated gz": (tarred(FLAT, "w:gz")[:-30], "truncated or damaged"),
    "damaged zip": (zipped(FLAT).replace(b"twotwo", b"twotow", 1), "truncated or damaged"),
    "no archive": (b"nothing of the kind" * 100, "truncated or damaged"),
    "another one": (zipped({"other/1": b"1"}), "does not hold a, b.txt"),
    "a file and its folder": (tarred({"a": b"1", "a/b": b"2"}), "is there twice"),
    "twice": (tarred({"a": b"1", "./a": b"2"}), "is there twice"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_archives_leave_nothing(tmp_path, kind):
    content, said = BAD[kind]
    (tmp_path / "in").mkdir()
    (tmp_path / "x.archive").write_bytes(content)
    with pytest.raises(UserError, match=said):
        unpack(tmp_path / "x.archive", tmp_path / "in/to", ("a", "b.txt"))
    assert not (tmp_path / "in/to").exists() or left(tmp_path / "in/to") == []
    assert left(tmp_path / "in") in ([], ["to"])


def test_a_zip_that_would_fill_the_disk_is_not_begun(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    (tmp_path / "x.zip").write_bytes(zipped(FLAT))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 100))
    with pytest.raises(UserError, match="are free there; free some"):
        unpack(tmp_path / "x.zip", tmp_path / "to", ("a",))


# Assets: a small catalogue

TOY = {"toy/images/1.jpg": b"1", "toy/images/2.jpg": b"2", "toy/about.txt": b"about"}


def small_catalogue(server, **weights_about):
    """One backbone and one data set, on the test's server."""
    about = {"title": "t", "licence": "free", "citation": "c", "source": "https://x"}
    backbone = {
        **about, "file": "w.pth", "url": server.url("w.pth"), "container": "", "prefix": "", "image_size": 8,
        "resize": 8, "interpolation": "bilinear", **weights_about,
    }  # fmt: skip
    archive = zipped(TOY)
    server.put("toy.zip", archive)
    files = [{
        "url": server.url("toy.zip"), "bytes": len(archive), "hash": f"md5:{hashlib.md5(archive).hexdigest()}",
        "unpack": ".", "unpacked": ["images", "about.txt"],
    }]  # fmt: skip
    toy = {
        **about, "title": "Toy", "tasks": ["upstream"], "splits": ["test"], "root": "coco", "files": files,
        "paths": ["images", "about.txt"], "counts": {"images/*.jpg": 2},
    }  # fmt: skip
    by_hand = {
        **toy,
        "title": "By hand",
        "files": [],
        "manual": "write to them, and put it into {folder}",
        "root": "imagenet",
    }
    return read_catalogue({"backbones": {"net.w": backbone}, "data": {"toy": toy, "by_hand": by_hand}})


@pytest.fixture
def small(server):
    server.put("w.pth", CONTENT)
    return small_catalogue(server)


def run(asset, roots, **options):
    return fetch([asset], roots, patience=PATIENCE, say=lambda _: None, **options)[0]


def state_of(asset, roots):
    return states([asset], roots)[0].state


def test_a_data_set_from_nothing_to_verified(server, small, tmp_path):
    roots, toy = Roots(tmp_path), small["toy"]
    before = states([toy], roots)[0]
    assert (before.state, before.bytes_needed, before.unknown) == ("missing", toy.bytes, 0)
    assert before.lacking == ("images", "about.txt")
    with pytest.raises(
        UserError, match=rf"Toy, missing: {tmp_path}/coco/images.*`robnb fetch toy --data-root {tmp_path}`"
    ):
        require([toy], roots)
    assert left(tmp_path) == [], "looking writes nothing"
    assert run(toy, roots).problem == ""
    assert (tmp_path / "coco/images/2.jpg").read_bytes() == b"2"
    assert left(tmp_path / "coco") == [".robnb-fetch.lock", "about.txt", "images", "robnb-lock.json"]
    assert state_of(toy, roots) == "verified"
    require([toy], roots)
    assert run(toy, roots).problem == "" and len(server.asked["toy.zip"]) == 1


def test_archives_are_kept_if_asked_or_not_ours(server, small, tmp_path):
    run(small["toy"], Roots(tmp_path / "1"), keep_archives=True)
    assert "toy.zip" in left(tmp_path / "1/coco")
    (tmp_path / "2/coco").mkdir(parents=True)
    shutil.copy(tmp_path / "1/coco/toy.zip", tmp_path / "2/coco/toy.zip")
    assert state_of(small["toy"], Roots(tmp_path / "2")) == "incomplete"
    assert run(small["toy"], Roots(tmp_path / "2")).problem == ""
    assert "toy.zip" in left(tmp_path / "2/coco") and len(server.asked["toy.zip"]) == 1
    assert state_of(small["toy"], Roots(tmp_path / "2")) == "verified"


def test_an_unpacked_folder_is_found_and_checked_and_not_downloaded(server, small, tmp_path):
    roots, toy = Roots(tmp_path, {"coco": tmp_path / "elsewhere"}), small["toy"]
    (tmp_path / "elsewhere/images").mkdir(parents=True)
    for name in ("images/1.jpg", "images/.hidden.jpg", "about.txt"):
        (tmp_path / "elsewhere" / name).write_bytes(b"x")
    half = states([toy], roots)[0]
    assert (half.state, half.lacking) == ("incomplete", ("images/*.jpg (1 of 2)",))
    with pytest.raises(UserError, match=rf"1 of 2.*`ROBNB_COCO={tmp_path}/elsewhere robnb fetch toy"):
        require([toy], roots)
    (tmp_path / "elsewhere/images/2.jpg").write_bytes(b"x")
    (tmp_path / "elsewhere").chmod(0o555)
    try:
        assert state_of(toy, roots) == "present"
        assert run(toy, roots).problem == ""
    finally:
        (tmp_path / "elsewhere").chmod(0o755)
    assert server.asked["toy.zip"] == []


def test_a_subset_can_be_accepted_as_it_is(small, tmp_path):
    roots, toy = Roots(tmp_path), small["toy"]
    with pytest.raises(UserError, match="cannot be accepted without images, about"):
        accept(toy, roots)
    (tmp_path / "coco/images").mkdir(parents=True)
    for name in ("images/1.jpg", "about.txt"):
        (tmp_path / "coco" / name).write_bytes(b"x")
    accept(toy, roots)
    assert state_of(toy, roots) == "present"
    require([toy], roots)
    (tmp_path / "coco/images/1.jpg").unlink()
    assert state_of(toy, roots) == "incomplete", "fewer than were accepted"


def test_a_stand_in_for_weights_can_be_accepted(server, tmp_path):
    net, roots = small_catalogue(server, hash=f"sha256:{SHA256}")["net.w"], Roots(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/w.pth").write_bytes(OTHER)
    assert "expected" in run(net, roots).problem
    accept(net, roots)
    assert run(net, roots).problem == "" and state_of(net, roots) == "present"


def test_a_later_change_is_damage(server, small, tmp_path):
    """No hash is published for these weights: the first download is trusted, and every later one held against it."""
    net, roots = small["net.w"], Roots(tmp_path)
    path = tmp_path / "weights/w.pth"
    assert run(net, roots).problem == "" and state_of(net, roots) == "verified"
    locked = json.loads((tmp_path / "weights/robnb-lock.json").read_text())["files"]["w.pth"]
    assert (locked["sha256"], locked["bytes"], locked["url"]) == (SHA256, len(CONTENT), server.url("w.pth"))
    path.touch()
    assert state_of(net, roots) == "verified", "touched, but the same bytes"
    path.write_bytes(OTHER)
    damaged = states([net], roots)[0]
    assert damaged.state == "damaged" and "changed since it was verified" in damaged.lacking[0]
    with pytest.raises(UserError, match="damaged"):
        require([net], roots)
    assert "delete it, and fetch again" in run(net, roots).problem
    path.unlink()
    server.put("w.pth", OTHER, etag='"2"')
    assert "another file now than when it was first fetched" in run(net, roots).problem
    assert not path.exists()
    server.put("w.pth", CONTENT)
    assert run(net, roots).problem == "" and state_of(net, roots) == "verified"


def test_files_that_lie_there_are_verified_not_downloaded(server, tmp_path):
    net, roots = small_catalogue(server, hash=f"sha256-8:{SHA256[:8]}", bytes=len(CONTENT))["net.w"], Roots(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/w.pth").write_bytes(CONTENT[1:])
    assert states([net], roots)[0].lacking == ("w.pth (511,999 bytes instead of 512,000)",)
    assert "511,999 bytes, expected 512,000" in run(net, roots).problem
    (tmp_path / "weights/w.pth").write_bytes(CONTENT)
    assert state_of(net, roots) == "present"
    assert run(net, roots).problem == "" and state_of(net, roots) == "verified"
    assert server.asked["w.pth"] == []


def test_one_that_fails_does_not_keep_the_others_from_coming(server, small, tmp_path):
    server.put("w.pth", CONTENT, Answer(page=QUOTA_PAGE))
    results = fetch(small.values(), Roots(tmp_path), patience=PATIENCE, say=lambda _: None)
    assert [bool(result.problem) for result in results] == [True, False, True]
    assert "web page" in results[0].problem
    assert f"write to them, and put it into {tmp_path}/imagenet" in results[2].problem
    assert [result.state.state for result in results] == ["missing", "verified", "missing"]


def test_an_archive_that_lacks_images_is_said(server, small, tmp_path):
    archive = zipped({name: content for name, content in TOY.items() if "2" not in name})
    toy = small["toy"]
    url = server.put("toy.zip", archive)
    toy = DataSet(
        **{**vars(toy), "files": (File(url=url, path="toy.zip", unpack=".", unpacked=("images", "about.txt")),)}
    )
    assert "still lacks images/*.jpg (1 of 2)" in run(toy, Roots(tmp_path)).problem


def test_a_download_that_was_begun_is_incomplete(server, small, tmp_path):
    server.put("w.pth", CONTENT, Answer(cut=300_000), *[Answer(status=503)] * 9)
    result = run(small["net.w"], Roots(tmp_path))
    assert "answered 503" in result.problem and result.state.state == "incomplete"
    assert 0 < result.state.bytes_on_disk <= 300_000 and result.state.unknown == 1


def test_room_for_the_archive_and_what_is_in_it(server, small, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, small["toy"].bytes + 1))
    assert "to be downloaded and unpacked" in run(small["toy"], Roots(tmp_path)).problem
    assert server.asked["toy.zip"] == []


def test_a_folder_that_cannot_be_made_is_said(small, tmp_path):
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(UserError, match="cannot write to"):
        fetch([small["net.w"]], Roots(tmp_path), patience=PATIENCE)


def test_two_fetches_into_a_folder_take_turns(server, small, tmp_path):
    (tmp_path / "weights").mkdir()
    other, said = FileLock(tmp_path / "weights/.robnb-fetch.lock"), []
    other.acquire()

    def say(text):
        said.append(text)
        other.release()

    assert fetch([small["net.w"]], Roots(tmp_path), patience=PATIENCE, say=say)[0].problem == ""
    assert said == [f"waiting for another fetch into {tmp_path}/weights"]


def test_a_damaged_lock_file_is_said(small, tmp_path):
    (tmp_path / "weights").mkdir()
    for text in ("{", '{"files": {"w.pth": {}}}', "[]"):
        (tmp_path / "weights/robnb-lock.json").write_text(text)
        with pytest.raises(UserError, match=r"robnb-lock.json is damaged; delete it"):
            states([small["net.w"]], Roots(tmp_path))


# The command


@pytest.fixture
def command(small, monkeypatch):
    """``robnb fetch`` on the small catalogue; returns its exit code."""
    import argparse

    monkeypatch.setattr(assets, "asset", lambda name: small[name])
    monkeypatch.setattr(assets, "fetch", lambda wanted, roots, **o: fetch(wanted, roots, patience=PATIENCE, **o))

    def main(*argv):
        parser = argparse.ArgumentParser()
        add(parser.add_subparsers())
        arguments = parser.parse_args(["fetch", *map(str, argv)])
        return arguments.command(arguments)

    return main


def test_a_dry_run_lists_everything_and_writes_nothing(server, command, tmp_path, capsys):
    assert command("net.w", "toy", "by_hand", "--dry-run", "--data-root", tmp_path / "data") == 0
    out = capsys.readouterr().out
    for text in (
        "net.w: t",
        "toy: Toy",
        "licence   free",
        f"{tmp_path}/data/coco",
        "write to them",
        "state     missing",
    ):
        assert text in out
    assert "and 1 file of unknown size to download; by hand: by_hand" in " ".join(out.split())
    assert not (tmp_path / "data").exists() and not any(server.asked.values())


def test_the_command_fetches_and_says_what_failed(server, command, tmp_path, capsys):
    server.resources["w.pth"].answers = [Answer(status=404)]
    assert command("net.w", "toy", "--yes", "--data-root", tmp_path) == 1
    out, err = capsys.readouterr()
    assert "512 kB" in " ".join(out.split()), "the size that only the server knows"
    assert "robnb: net.w: w.pth was not fetched: 127.0.0.1 answered 404" in err
    assert (tmp_path / "coco/images/1.jpg").exists()
    assert command("net.w", "toy", "--yes", "--data-root", tmp_path) == 0
    assert command("net.w", "toy", "--data-root", tmp_path) == 0, "nothing to do, so nothing to ask"


def test_licences_are_asked_about(command, tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="add --yes"):
        command("toy", "--data-root", tmp_path)
    assert "licence   free" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert command("toy", "--data-root", tmp_path) == 1 and left(tmp_path) == []
    monkeypatch.setattr("builtins.input", lambda _: "Y")
    assert command("toy", "--data-root", tmp_path) == 0 and (tmp_path / "coco/about.txt").exists()


def test_accepting_from_the_command(command, tmp_path, capsys):
    (tmp_path / "coco/images").mkdir(parents=True)
    (tmp_path / "coco/about.txt").touch()
    assert command("toy", "--accept", "--data-root", tmp_path) == 0
    assert "1 present" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "nothing to fetch was given"),
        (["toy", "--for", "01"], "both names and --for"),
        (["toy", "--profile", "paper"], "--profile belongs to a notebook"),
        (["toy", "-p", "a", "1"], "-p sets a parameter of a notebook"),
        (["--list", "--for", "01"], "--list is of the whole catalogue"),
        (["nothing*", "--dry-run"], "nothing in the catalogue is named like"),
    ],
)
def test_arguments_that_do_not_say_one_thing(command, argv, said):
    with pytest.raises(UserError, match=said):
        command(*argv)


def test_the_list_has_the_whole_catalogue(command, tmp_path, capsys):
    assert command("--list", "--data-root", tmp_path) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in assets.catalogue()) and f"{len(assets.catalogue())} missing" in out
    assert command("authors0*", "--list", "--data-root", tmp_path) == 0
    assert "9 missing" in capsys.readouterr().out


@pytest.mark.slow
def test_all_that_a_notebook_of_the_paper_needs(command, tmp_path, capsys):
    assert command("--for", "01_fixed_feature", "--profile", "paper", "--dry-run", "--data-root", tmp_path) == 0
    out = capsys.readouterr().out
    for name in ("resnet50.ant3x3", "swin_tiny.in1k", "coco", "ade20k", "imagenet"):
        assert f"\n{name}: " in out
    assert f"{tmp_path}/ADEChallengeData2016" in out
    assert command("--for", "01", "--profile", "smoke", "--dry-run") == 0
    assert "needs nothing" in capsys.readouterr().out


@pytest.mark.slow
def test_which_notebooks_of_a_profile_need_what(command, tmp_path, capsys):
    assert command("--list", "--profile", "paper", "--data-root", tmp_path) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "01 02" in lines["coco"]
