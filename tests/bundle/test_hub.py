"""Bundles on the hub: the real client against a server on this machine; nothing else is asked, and never unasked."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.hub_server import READ_ONLY, TOKEN, Hub, Repository, hub_server

import polyvigil
from polyvigil.bundle import layout
from polyvigil.bundle.hub import HubName, fetch, local_names, parse_hub_name, push
from polyvigil.bundle.store import Bundle
from polyvigil.bundle.verify import verify
from polyvigil.cli import main as program
from polyvigil.cli.commands import COMMANDS, Group
from polyvigil.errors import BundleError, HubError, PolyvigilError, RecipeError
from polyvigil.types import Post

pytest.importorskip("huggingface_hub", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # of huggingface_hub, in uploads without Xet

POSTS = [Post("1", "the pills gave me a rash", "en"), Post("2", "schönes Wetter heute", "de")]
NAME = "clinic/ade"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine that huggingface_hub takes for the only one, an empty cache, and a token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    with hub_server() as server:
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "HF_STORED_TOKENS_PATH": str(tmp_path / "tokens"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets HF_HUB_OFFLINE as if at the start of the program."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def _silent(_: str) -> None: ...


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _hold(hub: Hub, folder: Path, *, name: str = NAME, **changed: bytes) -> str:
    """Put the files of a bundle into a public repository; the id of the commit."""
    repository = hub.repositories.setdefault(name, Repository(private=False))
    return repository.commit(_files(folder) | changed)


def test_a_name_is_read_and_written_alike() -> None:
    assert parse_hub_name("hf://org/a.b-c") == HubName(repository="org/a.b-c")
    for text in ("hf://org/name", "hf://org/name@v1.0", "hf://org/name@refs/pr/5", "hf://org/name@" + "0a" * 20):
        assert str(parse_hub_name(text)) == text
    assert parse_hub_name("hf://org/name", revision="v1") == parse_hub_name("hf://org/name@v1")
    assert [HubName(repository="a/b", revision=name).is_commit for name in ("main", "0a" * 20)] == [False, True]


@pytest.mark.parametrize("text", ["hf://", "hf://name", "hf://org/name@", "hf://a/b/c", "hf://../x", "hf://a/b@x y"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"no name of a bundle on the hub; write it as hf://ORG/NAME or"):
        parse_hub_name(text)


def test_a_revision_is_given_once_and_of_the_hub_alone(bundle_folder: Path) -> None:
    with pytest.raises(RecipeError, match="names a revision already; give the revision once"):
        polyvigil.load("hf://a/b@v1", revision="v2")
    with pytest.raises(RecipeError, match="is a folder, which has no revision 'v2'"):
        polyvigil.load(bundle_folder, revision="v2")


def test_what_is_pushed_is_what_is_loaded(hub: Hub, bundle: Bundle, bundle_folder: Path) -> None:
    lines: list[str] = []
    pushed = push(bundle_folder, NAME, log=lines.append)
    repository = hub.repositories[NAME]
    held = repository.commits[pushed.commit]
    assert {name: held[name] for name in held if name != ".gitattributes"} == _files(bundle_folder)
    assert (pushed.private, pushed.bundle, pushed.url) == (True, bundle.id, f"{hub.url}/{NAME}")
    assert pushed.bytes == sum(map(len, _files(bundle_folder).values()))
    assert sum(line.startswith("PUT /lfs/") for line in hub.requests) == 3  # weights, dev, seen
    assert hub.cards == [(bundle_folder / layout.CARD).read_text(encoding="utf-8")]

    loaded = polyvigil.load(f"hf://{NAME}")
    assert loaded.id == bundle.id
    assert np.array_equal(loaded.probabilities(POSTS), bundle.probabilities(POSTS))
    assert loaded.folder is not None
    assert loaded.folder.name == pushed.commit
    assert any(path.is_symlink() for path in loaded.folder.rglob("*"))  # the cache of the hub as it is
    before = len(hub.requests)
    assert polyvigil.load(f"hf://{NAME}", revision=pushed.commit).id == bundle.id
    assert hub.requests[before:] == []  # a commit that was fetched is not asked for again


def test_a_saved_copy_holds_files_and_no_links(hub: Hub, bundle_folder: Path, tmp_path: Path) -> None:
    _hold(hub, bundle_folder)
    copy = polyvigil.load(f"hf://{NAME}").save(tmp_path / "copy")
    assert _files(tmp_path / "copy") == _files(bundle_folder)
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))
    assert copy.folder == tmp_path / "copy"


def test_functions_take_a_name(hub: Hub, bundle: Bundle, bundle_folder: Path) -> None:
    _hold(hub, bundle_folder)
    texts = [post.text for post in POSTS]
    scored = polyvigil.score(f"hf://{NAME}", texts, ["en", "de"])
    assert scored.column("p").to_pylist() == polyvigil.score(bundle_folder, texts, ["en", "de"]).column("p").to_pylist()
    assert polyvigil.explain(f"hf://{NAME}", texts, ["en", "de"])[0]["id"] == "row-1"


def test_a_branch_is_looked_up_each_time_and_a_commit_stays(hub: Hub, bundle_folder: Path, tmp_path: Path) -> None:
    first = _hold(hub, bundle_folder)
    hub.repositories[NAME].references["v1"] = first
    lines: list[str] = []
    assert fetch(parse_hub_name(f"hf://{NAME}"), log=lines.append).name == first
    assert f"hf://{NAME}@{first}" in lines[0]
    second = _hold(hub, bundle_folder, **{"NOTES.md": b"x"})
    assert fetch(parse_hub_name(f"hf://{NAME}")).name == second
    assert fetch(parse_hub_name(f"hf://{NAME}@v1")).name == first
    assert fetch(parse_hub_name(f"hf://{NAME}@{first}")).name == first


def test_only_files_that_the_bundle_lists_are_fetched(hub: Hub, bundle_folder: Path) -> None:
    _hold(hub, bundle_folder, **{"members/00-linear/model.pkl": b"x", "setup.py": b"x", "huge.bin": b"x" * 99})
    folder = fetch(parse_hub_name(f"hf://{NAME}"))
    assert sorted(_files(folder)) == sorted(_files(bundle_folder))
    assert not [line for line in hub.requests if "pkl" in line or "setup.py" in line or "huge" in line]


def test_without_network_what_was_fetched_is_used_on_request_alone(
    hub: Hub, bundle: Bundle, bundle_folder: Path, offline: Callable[[], None]
) -> None:
    commit = _hold(hub, bundle_folder)
    polyvigil.load(f"hf://{NAME}")
    _hold(hub, bundle_folder, **{"NOTES.md": b"x"})
    offline()
    before = len(hub.requests)
    loaded = polyvigil.load(f"hf://{NAME}")
    assert loaded.folder is not None
    assert (loaded.id, loaded.folder.name) == (bundle.id, commit)
    with pytest.raises(HubError, match="was not fetched before, or not whole, and HF_HUB_OFFLINE is set; unset HF_HUB"):
        polyvigil.load("hf://clinic/other")
    with pytest.raises(HubError, match="nothing is sent while HF_HUB_OFFLINE is set; unset it and push again"):
        push(bundle_folder, NAME, log=_silent)
    assert hub.requests[before:] == []


def test_a_network_that_is_down_is_no_older_bundle(
    hub: Hub, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = _hold(hub, bundle_folder)
    polyvigil.load(f"hf://{NAME}")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(HubError) as caught:
            polyvigil.load(f"hf://{NAME}")
        assert str(caught.value) == (
            f"hf://{NAME}: the hub cannot be reached (ConnectError); check the network and HF_ENDPOINT; what was "
            "fetched before is used with HF_HUB_OFFLINE=1"
        )
        assert polyvigil.load(f"hf://{NAME}@{commit}").folder is not None
        with pytest.raises(HubError, match=r"cannot be reached \(ConnectError\); check the network and HF_ENDPOINT$"):
            push(bundle_folder, NAME, log=_silent)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://clinic/none", "no such repository, or none that your token may see; check the spelling; a private one"),
        (f"hf://{NAME}@v9", r"the repository has no revision 'v9'; name a branch, tag or commit of it; the newest is"),
        ("hf://clinic/empty", r"has no bundle\.json: it is no bundle of polyvigil; a model that recipes fine-tune is"),
        ("hf://a--b/c", "no name that the hub takes; write it as ORG/NAME"),
    ],
)
def test_what_is_not_there_is_said(hub: Hub, bundle_folder: Path, name: str, message: str) -> None:
    _hold(hub, bundle_folder)
    hub.repositories["clinic/empty"] = Repository(private=False)
    hub.repositories["clinic/empty"].commit({"README.md": b""})
    with pytest.raises(HubError, match=message):
        polyvigil.load(name)


def test_a_private_bundle_needs_a_token(hub: Hub, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hold(hub, bundle_folder)
    hub.repositories[NAME].private = True
    monkeypatch.setenv("HF_TOKEN", READ_ONLY)
    assert polyvigil.load(f"hf://{NAME}").id
    with pytest.raises(HubError, match=r"the hub refuses \(HTTP 403\); use a token that may write there: run: hf auth"):
        push(bundle_folder, NAME, replace=True, log=_silent)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no such repository, or none that your token may see.*hf auth login, or set"):
        polyvigil.load(f"hf://{NAME}")
    before = len(hub.requests)
    with pytest.raises(HubError, match="no token, which pushing needs; run: hf auth login, or set HF_TOKEN"):
        push(bundle_folder, NAME, log=_silent)
    assert hub.requests[before:] == []


def test_a_hub_in_trouble_is_asked_again_later(hub: Hub, bundle_folder: Path) -> None:
    _hold(hub, bundle_folder)
    hub.broken = 501
    with pytest.raises(HubError, match="the hub answers HTTP 501; run it again later"):
        polyvigil.load(f"hf://{NAME}")


def test_a_damaged_file_is_refused_with_the_way_out(hub: Hub, bundle_folder: Path) -> None:
    weights = "members/00-linear/weights.safetensors"
    content = bytearray((bundle_folder / weights).read_bytes())
    content[-1] ^= 1
    _hold(hub, bundle_folder, **{weights: bytes(content)})
    with pytest.raises(BundleError) as caught:
        polyvigil.load(f"hf://{NAME}")
    assert "weights.safetensors: was changed or damaged after the bundle was saved" in str(caught.value)
    assert "polyvigil push BUNDLE ORG/NAME --replace; if this disk is at fault: remove " in caught.value.hint
    assert caught.value.hint.endswith("models--clinic--ade and fetch it again")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"[" * 100_000, r"unreadable bundle\.json"),
        (b'{"format": "other"}', r"unreadable bundle\.json"),
    ],
)
def test_a_hostile_manifest_fetches_nothing_more(hub: Hub, bundle_folder: Path, manifest: bytes, message: str) -> None:
    _hold(hub, bundle_folder, **{layout.MANIFEST: manifest})
    with pytest.raises(BundleError, match=message):
        polyvigil.load(f"hf://{NAME}")
    assert not [line for line in hub.requests if "policy.json" in line]


def test_a_file_outside_and_a_file_that_lacks_are_refused(hub: Hub, bundle_folder: Path) -> None:
    files = _files(bundle_folder)
    manifest = json.loads(files[layout.MANIFEST])
    outside = manifest | {"files": manifest["files"] | {"../x": manifest["files"]["policy.json"]}}
    _hold(hub, bundle_folder, **{layout.MANIFEST: json.dumps(outside).encode()})
    with pytest.raises(BundleError, match=r"file name '\.\./x' is not allowed"):
        polyvigil.load(f"hf://{NAME}")
    hub.repositories[NAME].commit({name: content for name, content in files.items() if name != layout.POLICY})
    with pytest.raises(BundleError, match=r"policy\.json: is missing"):
        polyvigil.load(f"hf://{NAME}")


def test_a_bundle_is_replaced_on_request_alone(hub: Hub, bundle_folder: Path, tmp_path: Path) -> None:
    first = push(bundle_folder, NAME, public=True, log=_silent)
    assert not first.private
    with pytest.raises(BundleError, match="a bundle is there already; choose another name, or --replace it; older com"):
        push(bundle_folder, NAME, public=True, log=_silent)
    assert len(hub.repositories[NAME].commits) == 2
    hub.repositories[NAME].commit(hub.repositories[NAME].commits[first.commit] | {"members/01-linear/old.json": b"{}"})
    smaller = Path(shutil.copytree(bundle_folder, tmp_path / "other"))
    commits = len(hub.repositories[NAME].commits)
    with pytest.raises(HubError, match="everybody can read it; add --public if they may, or make it private"):
        push(smaller, f"hf://{NAME}", replace=True, log=_silent)
    assert len(hub.repositories[NAME].commits) == commits
    again = push(smaller, f"hf://{NAME}", public=True, replace=True, log=_silent)
    assert not again.private
    assert "members/01-linear/old.json" not in hub.repositories[NAME].commits[again.commit]
    assert polyvigil.load(f"hf://{NAME}").folder is not None


def test_what_is_no_bundle_is_never_replaced(hub: Hub, bundle_folder: Path, tmp_path: Path) -> None:
    hub.repositories[NAME] = Repository(private=True)
    hub.repositories[NAME].commit({"pytorch_model.bin": b"x"})
    with pytest.raises(BundleError, match=r"holds pytorch_model\.bin and no bundle; choose another name"):
        push(bundle_folder, NAME, replace=True, log=_silent)
    with pytest.raises(RecipeError, match="no name of a repository; write it as ORG/NAME"):
        push(bundle_folder, "name", log=_silent)
    damaged = Path(shutil.copytree(bundle_folder, tmp_path / "damaged"))
    (damaged / layout.POLICY).write_text("{}", encoding="utf-8")
    before = len(hub.requests)
    with pytest.raises(BundleError, match="was changed or damaged"):
        push(damaged, NAME, replace=True, log=_silent)
    assert hub.requests[before:] == []


def test_folders_of_this_machine_in_the_recipe_are_listed(tmp_path: Path) -> None:
    text = 'seed = 1\n[model]\nname = "/home/ann/models/x"\n[distil]\nteacher = "~/old"\nother = "org/name"\n'
    (tmp_path / layout.RECIPE).write_text(text, encoding="utf-8")
    assert [*local_names(tmp_path)] == [("model.name", "/home/ann/models/x"), ("distil.teacher", "~/old")]
    assert [*local_names(tmp_path / "none")] == []


def test_a_link_of_a_cache_leads_to_its_blobs_alone(bundle_folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    shutil.copytree(bundle_folder, snapshot)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    policy = snapshot / layout.POLICY
    policy.rename(tmp_path / "models--a--b" / "blobs" / "abc")
    policy.symlink_to("../../blobs/abc")
    assert verify(snapshot).id
    (tmp_path / "models--a--b" / "blobs" / "abc").rename(tmp_path / "outside")
    policy.unlink()
    policy.symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match=r"policy\.json: is a link, which a bundle may not hold"):
        verify(snapshot)


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        RecipeError, match=r"fetching a bundle needs huggingface_hub, .* pip install 'polyvigil\[hub\]'"
    ):
        polyvigil.load(f"hf://{NAME}")


def test_the_commands_of_a_person(hub: Hub, bundle: Bundle, bundle_folder: Path, tmp_path: Path) -> None:
    """The program itself, told where the hub is by the environment, as people tell it."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "NO_PROXY": "127.0.0.1",
    }

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "polyvigil", *arguments]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False)

    pushed = run("push", str(bundle_folder), NAME, "--json")
    assert pushed.returncode == 0, pushed.stderr
    data = json.loads(pushed.stdout)["data"]
    assert (data["bundle"], data["private"]) == (bundle.id, True)
    (tmp_path / "posts.csv").write_text("id,text,language\n1,these pills gave me a rash,en\n", encoding="utf-8")
    table = str(tmp_path / "scored.csv")
    scored = run("score", data["name"], str(tmp_path / "posts.csv"), "-o", table, HF_HUB_OFFLINE="0")
    assert scored.returncode == 0, scored.stderr
    assert "hf://clinic/ade@" in scored.stderr
    assert bundle.id in Path(table).read_text(encoding="utf-8")
    inspected = run("inspect", f"hf://{NAME}", HF_HUB_OFFLINE="1")
    assert inspected.returncode == 1  # of main nothing was fetched, only the commit
    assert "next: unset HF_HUB_OFFLINE and run it again" in inspected.stderr


def test_every_command_that_takes_a_bundle_takes_a_name(
    hub: Hub, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is given a repository that there is not, and says so: the name reached the hub, not the disk."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.csv").write_text("id,text,label\n1,a,1\n", encoding="utf-8")
    name, bundle = "hf://clinic/none", str(bundle_folder)
    lines = (
        f"inspect {name}",
        f"card {name}",
        f"score {name} posts.csv -o out.csv",
        f"explain {name} posts.csv",
        f"submit {name} posts.csv -o out.zip",
        f"serve {name}",
        f"evaluate {name} posts.csv",
        f"report {name}",
        f"report {bundle} --since {name}",
        f"compare {bundle} {name} posts.csv",
        f"compare {name} {bundle} posts.csv",
        f"tune {name} -o out",
        f"tune {bundle} posts.csv --like {name} -o out",
        f"ensemble {bundle} {name} -o out",
        f"judge {name} --with {bundle} -o out",
        f"judge {bundle} --with {name} -o out",
        f"export {name} posts.csv -o out --to int8",
        f"audit drift {name} {bundle} posts.csv",
        f"audit calibration {bundle} {name} posts.csv",
        f"audit augmentation {bundle} {name} posts.csv",
        f"audit behaviour {name}",
        f"audit shortcuts {name} posts.csv",
        f"audit similarity {name} posts.csv",
        f"audit truncation {name} posts.csv",
        f"worklist posts.csv --bundle {name} --budget 1 -o out.csv",
        f"monitor add m.jsonl posts.csv --bundle {name} --week 2026-W12",
    )
    for line in lines:
        assert program.run(line.split()) == 1, line
        assert f"{name}: no such repository" in capfd.readouterr().err, line
    assert {path.name for path in tmp_path.iterdir()} <= {"posts.csv", "cache"}
    tried = {line.split()[0] for line in lines}
    listed = {name for name, entry in COMMANDS.items() if isinstance(entry, Group) or entry.module}
    without = {"demo", "check", "augment", "adapt", "convert", "train", "estimate", "review", "push", "reproduce"}
    assert listed - tried == without | {"recipes", "doctor", "help"}


def test_an_error_of_the_hub_has_its_code() -> None:
    assert (HubError.code, HubError.exit_code, issubclass(HubError, PolyvigilError)) == ("hub", 1, True)
