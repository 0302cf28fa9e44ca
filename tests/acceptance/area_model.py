"""Bundles that must not be served: refused when they are brought, and the previous model goes on answering.

The input is a sentence about a bundle's files; SPOILS finds, by pattern, how one is spoilt. Everything goes the way of
`ticketbot models import DIR --promote`: hashes, trust, the graph's own check, a first run in a child, golden pictures.
"""

import functools
import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.acceptance import databases
from tests.judge.test_engine import endless, external, hungry, onnx_model
from tests.retrain.test_shelf import PUBLISHER
from tests.support.bundles import make_bundle, picture
from tests.support.settings import make_settings
from tests.support.shelf import put_model, states
from ticketbot.classify.serving import Serving
from ticketbot.contracts import bundle
from ticketbot.errors import BundleRefused, Conflict, UsageError
from ticketbot.judge import golden, probe, trust
from ticketbot.judge.engine import Engine
from ticketbot.retrain import shelf

EXPECT = {"loaded", "code_ran", "status", "serving"}
GIVEN = set()
ROOT = Path(__file__).parents[2]
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
OLD = "old-1"


def run(case, request):
    if re.search(r"loop|endless|never ends|hangs|timeout|inference", case.input):
        # The service gives a first run two minutes; fifteen seconds show the same.
        patch = request.getfixturevalue("monkeypatch")
        patch.setattr(shelf, "probe", functools.partial(probe.probe, timeout_s=15))
    with databases.each(request) as grounds:
        for folder, db in grounds:
            settings = make_settings(folder, {"model.trusted_keys": []})
            put_model(db, settings, OLD)
            if "never half" in case.expect.get("serving", ""):
                _killed(db, settings, folder, case.input)
                continue
            if re.search(r"disk (is )?full|no space|ENOSPC", case.input):
                _disk_full(db, settings, folder)
                continue
            if re.search(r"(deleted|removed|unlinked) (while|under)", case.input):
                _deleted(db, settings)
                continue
            if re.search(r"roll(ed)? ?back", case.input, re.IGNORECASE):
                _rolled_back(db, settings, folder)
                continue
            for number, spoil in enumerate(spoils_of(case.input)):
                made = folder / f"made {number}"
                made.mkdir()
                _check(case.expect, db, spoil(made, settings) or settings, made)


def spoils_of(text):
    """How each bundle that the sentence names is spoilt; each gets a folder of its own. Raises LookupError."""
    found = []
    for pattern, spoil in SPOILS:
        if match := re.search(pattern, text, re.IGNORECASE):
            found.append(lambda made, settings, spoil=spoil, match=match: spoil(made, settings, match))
    if not found:
        raise LookupError(f"nobody knows the bundle with {text!r}")
    return found


def _check(expect, db, settings, made):
    refusal = _bring(db, settings, made)
    ran = (made / "ran").exists() or Path("ran").exists()
    serving = _serving(db, settings)
    if "status" in expect:
        assert expect["status"].startswith("refused") == (refusal is not None), refusal
        if "golden" in expect["status"]:
            assert re.search(r"golden|finite|answers", refusal), refusal
    if "loaded" in expect:
        assert (refusal is None) == expect["loaded"]
    if "code_ran" in expect:
        assert ran == expect["code_ran"]
    if refusal is not None or "previous" in str(expect.get("serving")):
        assert serving == OLD and not ran


def _bring(db, settings, made):
    """Import it and put it into service; the refusal as text, None when it is served."""
    try:
        shelf.bring(db, settings, made, promoted=True, who="ann", now=time.time())
    except (BundleRefused, Conflict, UsageError) as error:
        return str(error)
    return None


def _serving(db, settings):
    """The model in service, after it has really answered."""
    (champion,) = [model_id for model_id, state in states(db).items() if state == "champion"]
    answer = Engine(shelf.folder_of(settings, champion)).answer([picture(0)])
    assert np.isfinite(answer).all()
    return champion


def _rolled_back(db, settings, folder):
    """A good model goes into service, and a person takes it back: the previous one answers again."""
    made = folder / "newer"
    made.mkdir()
    make_bundle(made, model_id="newer-1", shift=1)
    shelf.bring(db, settings, made, promoted=True, who="ann", now=time.time())
    assert _serving(db, settings) == "newer-1"
    shelf.rollback(db, settings, who="ann", reason="it was worse", now=time.time())
    assert _serving(db, settings) == OLD


def _killed(db, settings, folder, text):
    """Killed again and again, at any moment or exactly where the sentence says; or two publish at once."""
    if re.search(r"\b(two|several|\d+) (imports|publishers|processes)|at once|same time", text):
        _published_twice(db, settings, folder)
        return
    points = ("promote.abdicated", "promote.crowned") if re.search(r"roll(ed)? ?back|promot", text) else ()
    if re.search(r"between|rename|before (the|its) (DB|database)? ?row", text):
        points = ("shelf.copied", "shelf.renamed", "shelf.row")
    if not points:
        for number in range(1, 4):
            _kill(_publisher(db, folder, f"m{number}"), 0.2 * number)
            _whole(db, settings)
    for number, point in enumerate(points):
        if "back" in text:
            _publisher(db, folder, f"m{number}").communicate(timeout=120)
        died = _publisher(db, folder, f"m{number if 'back' in text else number + 10}", point, "back" in text)
        died.communicate(timeout=120)
        assert died.returncode == -signal.SIGKILL, f"{point} was not reached"
        _whole(db, settings)


def _whole(db, settings):
    served = _serving(db, settings)
    golden.check(Engine(shelf.folder_of(settings, served)))
    for model_id in states(db):
        bundle.read(shelf.folder_of(settings, model_id))


def _publisher(db, folder, model_id, point="", back=False):
    """A process that brings a model into service, or takes the present one back; it kills itself at `point`."""
    code = PUBLISHER
    if back:
        code = code.replace("make_bundle(made", "(lambda *_, **__: None)(made")
        code = re.sub(r"shelf\.bring\(.*\)", "shelf.rollback(db, settings, who='ann', reason='worse', now=9.0)", code)
    if point:
        arm = f"lambda name: os.kill(os.getpid(), 9) if name == {point!r} else None"
        code = f"import os\nfrom ticketbot import failpoints\nfailpoints.arm({arm})\n{code}"
    words = [sys.executable, "-c", code, db.url, str(folder), model_id]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)


def _kill(child, after_s):
    child.stdout.readline()
    time.sleep(after_s)  # any moment will do
    child.kill()
    child.wait()
    child.stdout.close()


def _published_twice(db, settings, folder):
    """Both find the bundle made; one may be told that the other was quicker."""
    make_bundle(settings.data_dir / "made" / "m1", model_id="m1")
    code = PUBLISHER.replace("make_bundle(made", "(lambda *_, **__: None)(made")
    words = [sys.executable, "-c", code, db.url, str(folder), "m1"]
    pair = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in pair]
    assert any(b"served" in one for one in said), said
    assert _serving(db, settings) == "m1"
    _whole(db, settings)


def _disk_full(db, settings, folder):
    """No file may grow beyond a kilobyte while a bundle is brought: refused, and nothing of it is left."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\nprint('made'"
    words = [sys.executable, "-c", PUBLISHER.replace("print('made'", limit).replace('print("made"', limit), db.url]
    done = subprocess.run([*words, str(folder), "m1"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "served" not in done.stdout and "BundleRefused" in done.stderr, done.stderr
    assert _serving(db, settings) == OLD
    assert not [one for one in (settings.data_dir / "models").iterdir() if one.name != OLD]


def _deleted(db, settings):
    """The files of the model in service are deleted under it: it goes on answering."""
    serving = Serving(db, settings)
    engine = serving.current()
    shutil.rmtree(shelf.folder_of(settings, OLD))
    assert serving.current() is engine and np.isfinite(engine.answer([picture(0)])).all()


# --- how a bundle is spoilt: (its folder, settings, match) -> other settings, or None ---


class Evil:
    """Unpickling it leaves a file `ran`."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch '{self.place}/ran'",)


def only_a_pickle(made, settings, match):
    if re.search(r"good bundle|otherwise|beside", match.string):
        make_bundle(made)
    (made / "export.pkl").write_bytes(pickle.dumps(Evil(made)))
    if (made / "manifest.json").exists():
        bundle.write(made, bundle.read(made, check_files=False))  # as the trainer writes it, when it is asked to


def extra_file(made, settings, match):
    make_bundle(made)
    (made / "extra.bin").write_bytes(b"not in the manifest")


def pickle_as_model(made, settings, match):
    make_bundle(made, graph=pickle.dumps(Evil(made)))


def state_dict(made, settings, match):
    import torch

    buffer = io.BytesIO()
    torch.save({"weights": Evil(made)}, buffer)
    make_bundle(made, graph=buffer.getvalue())


def unsigned(made, settings, match):
    make_bundle(made)
    return make_settings(settings.data_dir.parent, {"model.trusted_keys": [trust.public_key(KEY)]})


def wrongly_signed(made, settings, match):
    make_bundle(made)
    trust.sign(made, OTHER_KEY)
    return make_settings(settings.data_dir.parent, {"model.trusted_keys": [trust.public_key(KEY)]})


def changed_after_signing(made, settings, match):
    make_bundle(made)
    trust.sign(made, KEY)
    _manifest(made, temperature=1.5)
    return make_settings(settings.data_dir.parent, {"model.trusted_keys": [trust.public_key(KEY)]})


def external_data(made, settings, match):
    (made.parent / "secret.bin").write_bytes(bytes(100))
    make_bundle(made, graph=onnx_model(tensors=[external(match[0])]))


def graph_of(make):
    return lambda made, settings, match: make_bundle(made, graph=make()) and None


def _manifest(made, **changes):
    """Change the manifest's JSON by hand, as somebody who means harm would."""
    path = made / "manifest.json"
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps(value))


def manifest_with(**changes):
    def spoil(made, settings, match):
        make_bundle(made)
        _manifest(made, **changes)

    return spoil


def odd_file_names(made, settings, match):
    make_bundle(made)
    files = json.loads((made / "manifest.json").read_text())["files"]
    name = "/etc/hostname" if "absolute" in match.string or "/etc" in match.string else "../../outside.txt"
    (made.parent.parent / "outside.txt").write_text("outside")
    _manifest(made, files={**files, name: "0" * 64})


def manifest_bytes(made, settings, match):
    make_bundle(made)
    text = match.string.lower()
    data = b"[" * 200_000 if "deep" in text or "nest" in text else b'{"a": "' + b"x" * 3_000_000 + b'"}'
    data = b"\xff\xfe{" if "not json" in text or "garbage" in text else data
    (made / "manifest.json").write_bytes(data)


def no_manifest(made, settings, match):
    make_bundle(made)
    (made / "manifest.json").unlink()


def foreign_class(made, settings, match):
    make_bundle(made, classes=("reports", "errors", "screens", "letters"))


def fewer_classes(made, settings, match):
    make_bundle(made, classes=("reports", "errors", "screens"))


def reserved_class(made, settings, match):
    make_bundle(made, classes=("reports", "errors", "screens", "unsure"))


def class_twice(made, settings, match):
    make_bundle(made)
    _manifest(made, classes=["reports", "errors", "screens", "screens"])


def other_bytes(made, settings, match):
    make_bundle(made)
    (made / "model.onnx").write_bytes(onnx_model())


def link(made, settings, match):
    make_bundle(made)
    name = "model.onnx" if re.search(r"onnx", match.string, re.IGNORECASE) else "report.html"
    (made / name).unlink()
    (made / name).symlink_to("/etc/hostname")


def missing_file(made, settings, match):
    make_bundle(made)
    (made / "model.onnx").unlink()


def wrong_golden(made, settings, match):
    make_bundle(made)
    golden.write(made, [(np.stack([picture(0, px=32)]), np.array([[0.1, 0.9, 0.0, 0.0]]))])
    bundle.write(made, bundle.read(made, check_files=False))


def no_golden(made, settings, match):
    make_bundle(made, golden=False)


def golden_pickle(made, settings, match):
    make_bundle(made)
    np.savez(made / "golden.npz", pixels=np.array([Evil(made)], dtype=object))
    bundle.write(made, bundle.read(made, check_files=False))


def same_id(made, settings, match):
    make_bundle(made, model_id=OLD, shift=1)


def wrong_opset(made, settings, match):
    from onnx import load_model_from_string

    make_bundle(made)
    model = load_model_from_string((made / "model.onnx").read_bytes())
    model.opset_import[0].version = 999
    (made / "model.onnx").write_bytes(model.SerializeToString())
    bundle.write(made, bundle.read(made, check_files=False))


def other_outputs(made, settings, match):
    """Four classes in the manifest, a graph of another number."""
    make_bundle(made, classes=("reports", "errors", "screens"))
    _manifest(made, classes=["reports", "errors", "screens", "tickets"])


def not_a_file(made, settings, match):
    make_bundle(made)
    (made / "model.onnx").unlink()
    if "director" in match.string:
        (made / "model.onnx").mkdir()
    else:
        os.mkfifo(made / "model.onnx")


def an_archive(made, settings, match):
    """No bundle is taken from an archive; one that lies there leads nowhere."""
    import zipfile

    with zipfile.ZipFile(made / "bundle.zip", "w") as archive:
        archive.writestr("../../outside.txt", "outside")
        archive.writestr("manifest.json", "{}")


def not_a_number(made, settings, match):
    make_bundle(made, rule="nan")


def infinite(made, settings, match):
    from onnx import load_model_from_string, numpy_helper

    make_bundle(made)
    model = load_model_from_string((made / "model.onnx").read_bytes())
    for tensor in model.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(numpy_helper.from_array(np.full((3, 4), np.inf, np.float32), "weights"))
    (made / "model.onnx").write_bytes(model.SerializeToString())
    bundle.write(made, bundle.read(made, check_files=False))


def many_nodes():
    from onnx import helper

    return onnx_model(nodes=[helper.make_node("Identity", ["pixels"], [f"n{number}"]) for number in range(200_000)])


SPOILS = (
    (r"(extra|additional|unlisted|more|foreign) file|file .*(not (in|listed)|does not (list|name))", extra_file),
    (r"export\.pkl|\.pkl\b|learner", only_a_pickle),
    (r"pickle|__reduce__", pickle_as_model),
    (r"state.?dict|\.pth?\b|torch", state_dict),
    (r"signature[^/]*missing|unsigned|no signature|not signed", unsigned),
    (
        r"signature[^/]*wrong|wrong (\w+ )?(signature|key)|(an)?other key|foreign key|unknown key$|untrusted",
        wrongly_signed,
    ),
    (r"(changed|modified|tampered|altered)[^/]*sign|sign\w*[^/]*(changed|tampered)", changed_after_signing),
    (r"\.\./\S+\.bin|\.\./(?=.*external)\S+", external_data),
    (r"/etc/\S+(?<!\.\.)(?=\s*$)", external_data),
    (
        r"external data (in|from) (\S+)|external data$",
        lambda m, s, match: make_bundle(m, graph=onnx_model(tensors=[external(match[2] or "weights.bin")])) and None,
    ),
    (r"truncated|cut (off|in|short|at)|\bhalf (of|an?) ", graph_of(lambda: onnx_model()[:-20])),
    (r"\bempty\b", graph_of(lambda: b"")),
    (r"random|garbage(?! manifest)|noise", graph_of(lambda: os.urandom(5000))),
    (r"\bzeros?\b", graph_of(lambda: bytes(1000))),
    (r"\bNaN\b", not_a_number),
    (r"\bInf(inity|inite)?\b", infinite),
    (r"(\d+ ?GB|memory|huge tensor|bomb)", graph_of(hungry)),
    (r"loop|endless|never ends|hangs|timeout", graph_of(endless)),
    (r"too many nodes|nodes", graph_of(many_nodes)),
    (r"custom op|unknown op\w*|op domain|domain", graph_of(lambda: onnx_model(domain="evil.ops"))),
    (
        r"(input|output)s? .*(shape|name|type|size)|other (input|output|ports)|wrong (shape|input)",
        graph_of(lambda: onnx_model(px=33)),
    ),
    (r"file names?|path traversal|\.\./(?!.*(external|\.bin))|absolute (path|name)", odd_file_names),
    (
        r"class(es)? (that (is|are) )?(not configured|unknown)|unknown class|foreign class|(more|other) classes"
        r"|class\b.*(not know|nobody knows|not in)",
        foreign_class,
    ),
    (r"fewer classes|subset of the classes", fewer_classes),
    (r"reserved|named ['\"]?(unsure|junk)", reserved_class),
    (r"class(es)? .*twice|duplicate class", class_twice),
    (r"(sha256|hash|checksum)", other_bytes),
    (r"sym(bolic )?link", link),
    (r"(file|onnx|model) (is )?missing|missing (file|model)|without (its )?model", missing_file),
    (r"no manifest|without manifest|manifest missing", no_manifest),
    (r"manifest.*(not json|garbage|deep|nest|\d+ ?MB|huge|large)", manifest_bytes),
    (r"format.?version|newer format", manifest_with(format_version=99)),
    (r"temperature", manifest_with(temperature=0)),
    (r"unknown key|extra key", manifest_with(surprise=1)),
    (r"model_id|\bid\b.*(\.\./|path)", manifest_with(model_id="../../../etc")),
    (r"golden.*(other|wrong|differ|not reproduce|swapped)|(other|wrong|different) answers", wrong_golden),
    (r"golden.*(missing|none)|(no|without) golden", no_golden),
    (r"golden.*(pickle|npz|object)|npz", golden_pickle),
    (r"same id|id (again|twice|(is )?(already )?taken)|already taken", same_id),
    (r"joblib|checkpoint|safetensors|\.bin\b(?!.*external)", pickle_as_model),
    (r"operator|\bops?\b", graph_of(lambda: onnx_model(domain="evil.ops"))),
    (r"opset", wrong_opset),
    (r"(two|several|more) (in|out)puts|other number of classes|number of classes|output.*classes", other_outputs),
    (
        r"external data",
        lambda m, s, match: make_bundle(m, graph=onnx_model(tensors=[external("weights.bin")])) and None,
    ),
    (r"(file|folder|bundle|model).*(fifo|socket|device|directory instead)", not_a_file),
    (r"bundle is a (sym)?link", link),
    (r"names? .*(missing|not there)|not in the bundle", missing_file),
    (r"empty (class|list)|no classes|without classes|classes (are )?(missing|empty)", manifest_with(classes=[])),
    (r"class(es)?.*(HTML|script|newline|\.\./|too long|control)", manifest_with(classes=["<script>", "a", "b", "c"])),
    (r"thresholds?", manifest_with(thresholds={"reports": -1.0})),
    (r"input size|side|pixels|size (of )?\d", manifest_with(stages=[])),
    (r"zip|archive|tar\b", an_archive),
    (r"older manifest|replayed signature|signature (of|over) (an)?other", changed_after_signing),
    (r"crash\w*.*(first|inference)|first (run|inference)", graph_of(endless)),
    (r"corrupt|damaged|broken|bit ?flip|flipped", graph_of(lambda: onnx_model()[:-20])),
)
