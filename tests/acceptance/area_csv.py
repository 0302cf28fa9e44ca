"""Lists and tables that people hand in: addresses to fetch, cleaned rows, labels.

The input is a sentence; SCENES finds who writes that file and runs the program on it.
"""

import csv
import io
import re
from types import SimpleNamespace

from PIL import Image

from tests.acceptance import databases
from tests.support.gallery import jpeg, staged
from tests.support.settings import make_settings
from ticketbot.contracts import cleaned
from ticketbot.errors import UsageError
from ticketbot.net import guard
from ticketbot.review import transfer
from trainer.data import urls
from trainer.progress import Progress

EXPECT = {"line", "files", "status", "retrain", "csv_cell", "taken", "labels", "code"}
GIVEN = set()
CLASSES = ("errors", "reports", "screens", "tickets")
PER_CLASS = 3


def run(case, request):
    for pattern, scene in SCENES:
        if match := re.search(pattern, case.input, re.IGNORECASE):
            seen = scene(request, match)
            break
    else:
        raise LookupError(f"nobody knows the table {case.input!r}")
    for key, wanted in case.expect.items():
        if isinstance(wanted, str):
            assert all(word.strip() in seen[key] for word in re.split(r"[,;] ?", wanted)), (key, seen)
        else:
            assert seen[key] == wanted, (key, seen)


def _lines(entries):
    return "; ".join(f"{one.outcome} {one.code}".strip() for one in entries)


def url_list(request, match):
    """`trainer urls` on a list that holds this address, without a network: the guard is the real one."""
    folder = request.getfixturevalue("tmp_path")
    text = match.string
    address = re.search(r"\b(?:with|holding|of|naming) (\S+:\S*|\S+\.\S+/\S*|\.\./\S+|/\S+)", text)
    named = bool(address)
    address = address[1].encode() if address else b"http://127.0.0.1/a.jpg"
    inside = "127.0.0.1" if "good." not in text else "93.184.216.34"
    if not named and re.search(
        r"(same (URL|address|line)|twice|duplicate|BOM|blank|comment|CRLF|good|public)", text, re.IGNORECASE
    ):
        address, inside = b"http://good.example/a.jpg", "93.184.216.34"
    lines = [address]
    if re.search(r"same (URL|address|line)|twice|duplicate", text, re.IGNORECASE):
        lines *= min(1000, int((re.search(r"(\d[\d,]*) ?(?:times|x)", text) or ["", "2"])[1].replace(",", "")))
    if size := re.search(r"(?:line|URL|address) (?:of|with) (\d+) ?(MB|KB|char)", text):
        lines = [b"http://good.example/" + b"a" * (int(size[1]) * {"MB": 2**20, "KB": 1024, "char": 1}[size[2]])]
    data = b"\r\n".join(lines) + b"\r\n"
    if re.search(r"blank|comment", text):
        data = b"\r\n# a comment\r\n" + data + b"\r\n"
    data = b"\xef\xbb\xbf" + data if "BOM" in text else data
    data = b"http://good.example/\x00a.jpg\n" if "NUL" in text else data
    data = b"http://good.example/\xff\xfe.jpg\n" if re.search(r"not UTF-?8|binary|latin", text, re.IGNORECASE) else data
    data = b"" if re.match(r"(an? )?empty|.*\b0 bytes", text) else data
    path = folder / "urls_errors.csv"
    path.write_bytes(data)

    def get(url, *, allow=()):
        guard.check(url, resolve=lambda host, port: [inside], allow=allow)
        assert inside != "127.0.0.1", f"{url} would have been fetched"
        return jpeg("a")

    try:
        found = urls.collect([path], folder / "out", Progress(), get=get).get("errors", [])
    except UsageError as error:
        return {"line": f"refused {error}", "files": 0, "code": "usage", "status": "refused", "taken": 0}
    pictures = [place for place in (folder / "out").rglob("*") if place.is_file() and place.name != urls.JOURNAL]
    code = found[0].code if found else ""
    return {"line": _lines(found), "files": len(pictures), "code": code, "status": "taken", "taken": len(pictures)}


def bad_class(request, match):
    """Names that are no class: what the sentence says, and its neighbours."""
    text = match.string
    length = re.search(r"(\d+) (?:char|byte)", text)
    named = re.search(r"['\"](?P<name>[^'\"]+)['\"]", text)
    names = ["a" * int(length[1])] if length else [named["name"]] if named else []
    names = names or {"slash": ["a/b"], "empty": [""], "space": ["a b"]}.get(text.split(" ")[-1], ["../x", "a b", ""])
    return class_name(request, {"name": f"urls_{names[0]}.csv"})


def class_name(request, match):
    """A list whose name would lead elsewhere, or is no class."""
    folder = request.getfixturevalue("tmp_path")
    name = match["name"]
    path = SimpleNamespace(name=name) if "/" not in name else SimpleNamespace(name=name.rpartition("/")[2])
    try:
        found = urls.class_of(path)
    except UsageError:
        found = None
    if "/" in name:
        try:
            urls.collect([folder / name], folder / "out", Progress(), get=None)
        except UsageError:
            found = None
    return {"status": "refused" if found is None else "taken", "files": 0}


def _trees(folder):
    """A folder of pictures a class, as the trainer takes it; file names by class."""
    names = []
    for number, label in enumerate(CLASSES):
        (folder / "data" / label).mkdir(parents=True)
        for seed in range(PER_CLASS):
            stream = io.BytesIO()
            Image.effect_noise((64, 64), 40 + number * 10 + seed).convert("RGB").save(stream, "JPEG")
            (folder / "data" / label / f"{seed}.jpg").write_bytes(stream.getvalue())
            names.append((f"{label}/{seed}.jpg", label))
    return names


def cleaned_rows(request, match):
    """cleaned.csv as a reviewer (or somebody worse) left it, given to `trainer retrain --cleaned`."""
    folder = request.getfixturevalue("tmp_path")
    names = _trees(folder)
    for number, data in enumerate(_tables(names, match.string)):
        path = folder / f"cleaned {number}.csv"
        path.write_bytes(data)
        if re.search(r"sym(bolic )?link", match.string):
            path.unlink()
            path.symlink_to("/etc/passwd")
        if re.search(r"(is )?a (directory|folder)", match.string):
            path.unlink()
            path.mkdir()
        if re.search(r"missing|not there|does not exist", match.string) and "naming" not in match.string:
            path.unlink()
        said = _retrain(folder, path, number)
        if not said.startswith("refused"):
            return {"retrain": said, "status": said}
    return {"retrain": f"{said}, reason shown", "status": said}


def _retrain(folder, path, number):
    """What `trainer retrain --cleaned` says: "refused …" or "trained"; stopped before any real training."""
    from click.testing import CliRunner

    from trainer.cli import cli

    words = ["retrain", "--data", str(folder / "data"), "--cleaned", str(path), "--out", str(folder / f"out {number}")]
    words += ["--arch", "efficientnet_lite0", "--weights", "none", "--cache", str(folder / "cache")]
    words += ["--min-per-class", "2"]
    done = CliRunner().invoke(cli, words)
    text = f"{done.output} {done.exception or ''}"
    if isinstance(done.exception, UsageError) or done.exit_code in (2, 3):
        assert len(text.strip()) > 10, "no reason was shown"
        return f"refused: {text.strip()}"
    assert done.exit_code == 0, text
    return "trained"


def _table(rows, head="name,label"):
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return f"{head}\r\n{stream.getvalue()}".encode("utf-8", "surrogateescape")


def _tables(names, text):
    """The bytes of each table that the sentence names."""
    found = []
    if re.search(r"0 rows|emptied|no rows", text):
        found.append(_table([]))
    if re.search(
        r"(one )?class (is )?gone|without (a|one) class|(deleted|removed).*class|class\b.*(deleted|removed)", text
    ):
        found.append(_table([row for row in names if row[1] != "errors"]))
    if re.search(
        r"unknown (class|label)|class unknown|other class|(label|class) nobody|(label|class) .*not known", text
    ):
        found.append(_table([*names, ("errors/0.jpg", "letters")]))
    if re.search(r"two labels|duplicate|twice", text):
        found.append(_table([*names, ("errors/0.jpg", "reports")]))
    if re.search(r"(without|no|wrong|other|missing) (a )?(header|column)|header|wrong columns", text):
        found += [_table(names, "file,class"), _table(names, ""), b"\x00\x01\x02"]
    if re.search(r"binary|NUL|not (a )?CSV|garbage", text):
        found.append(bytes(range(256)) * 4)
    if re.search(r"0 bytes|empty file|\bis empty|^(an )?empty", text):
        found.append(b"")
    if re.search(r"BOM|byte order", text):
        found.append(b"\xef\xbb\xbf" + _table(names))
    if re.search(r"too few|one picture (a|per) class", text):
        found.append(_table(names[::PER_CLASS]))
    if re.search(r"\.\./|path|outside|absolute", text):
        found.append(_table([("../../etc/passwd", "errors"), ("/etc/passwd", "errors")]))
    if re.search(r"unknown (name|file|picture)|naming a (file|picture)|not there|strange name", text):
        found.append(_table([*names, ("errors/none.jpg", "errors")]))
    if re.search(r"no class\b|label that is", text):
        found.append(_table([*names[1:], (names[0][0], "letters")]))
    if re.search(r"(one|single) (row|line|picture) (a|per) class", text):
        found.append(_table(names[::PER_CLASS]))
    if re.search(r"swapped|wrong order|reversed", text):
        found.append(_table([(label, name) for name, label in names]))
    if re.search(r"UTF-?16", text):
        found.append(_table(names).decode().encode("utf-16"))
    if re.search(r"quote", text):
        found.append(b'name,label\r\n"errors/0.jpg,errors\r\n' + _table(names))
    if size := re.search(r"(?:field|line|row) of (\d+) ?(MB|KB)", text):
        found.append(_table([*names, ("x" * (int(size[1]) * {"MB": 2**20, "KB": 1024}[size[2]]), "errors")]))
    if re.search(r"third|extra|more (columns|fields)", text):
        found.append(_table([(*row, "extra") for row in names]))
    if re.search(r"(all|every)\b(?!.*(deleted|removed|gone)).*one class|only one class", text):
        found.append(_table([(name, "errors") for name, _ in names]))
    if re.search(r"semicolon|\btabs?\b", text):
        mark = b";" if "semicolon" in text else b"\t"
        found.append(_table(names).replace(b",", mark))
    if re.search(r"CRLF|line ends", text):
        found.append(_table(names))
    if re.search(r"half (of )?the (rows|lines)", text):
        found.append(_table([row for number, row in enumerate(names) if number % PER_CLASS == 0]))
    if re.search(r"link|director|folder|missing|does not exist", text):
        found.append(_table(names))
    if not found:
        raise LookupError(f"nobody knows the table {text!r}")
    return found


def formula(request, match):
    """A name that a spreadsheet would run: quoted on the way out, itself again on the way in."""
    folder = request.getfixturevalue("tmp_path")
    name = match["name"] or "=cmd|' /C calc'!A0.jpg"
    path = folder / "cleaned.csv"
    cleaned.write_cleaned(path, {name: "errors", "-1+2.jpg": "errors", "@SUM(A1).jpg": "reports", "\tx.jpg": "reports"})
    with open(path, newline="") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert set(cleaned.read_cleaned(path, CLASSES)) == {name, "-1+2.jpg", "@SUM(A1).jpg", "\tx.jpg"}
    return {"csv_cell": cells[0], "status": "quoted", "line": cells[0]}


def imported(request, match):
    """`ticketbot labels import` of a CSV: what is no category, no picture or outside is refused, line by line."""
    with databases.each(request) as grounds:
        for folder, db in grounds:
            settings = make_settings(folder)
            sha256 = staged(db, settings, jpeg("a"))
            path = folder / "labels.csv"
            rows = [
                (sha256, "letters"),
                ("0" * 64, "errors"),
                ("../../etc/passwd", "errors"),
                ("' OR 1=1 --", "errors"),
            ]
            path.write_bytes(_table(rows, "sha256,label"))
            report = transfer.import_csv(
                db, path, CLASSES, stage=lambda file: str(file), who="ann", now=1.0, on_label=None
            )
            assert len(report.refused) == len(rows) and report.labelled == 0
    return {"status": "refused", "labels": 0, "taken": 0, "line": "refused"}


SCENES = (
    (
        r"cleaned\.csv.*(=|formula|\+|@)|formula|spreadsheet|(?<!\w)[=@]\w+.*cleaned",
        lambda request, m: formula(request, _name(m)),
    ),
    (r"cleaned", cleaned_rows),
    (r"^class name (?!.*urls_)|name of \d+", bad_class),
    (r"(?P<name>urls_(?!errors\.csv)[^/]*?\.csv)", class_name),
    (r"(?P<name>urls_(?!errors\.csv)\S*) as|(?P<name2>urls_\S*\.\./\S*)", lambda r, m: class_name(r, _name(m))),
    (r"(?P<name>urls_\S+) (with|for|as) (a |the )?(class|name)", class_name),
    (r"urls?_|urls", url_list),
    (r"label|import", imported),
)


def _name(match):
    found = re.search(r"(?P<name>[=+@-]\S+|urls_\S+)", match.string)
    return {"name": found["name"] if found else None}
