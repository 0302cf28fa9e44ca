import pytest

from ticketbot.contracts import suspects
from ticketbot.contracts.suspects import Suspect
from ticketbot.errors import UsageError

SURE = Suspect("errors/a, b.jpg", "ab" * 32, "errors", "reports", 0.0312, 0.9, 3, 2, True)
UNJUDGED = Suspect("=x.jpg", "cd" * 32, "errors", "errors", None, None, 4, 1, False)


def test_suspects_come_back_in_their_order(tmp_path):
    suspects.write(tmp_path / "suspects.csv", [SURE, UNJUDGED])
    assert suspects.read(tmp_path / "suspects.csv") == [SURE, UNJUDGED]
    assert "'=x.jpg," in (tmp_path / "suspects.csv").read_text()


@pytest.mark.parametrize("cells", ["a,b,errors,errors,much,1,1,1,no", "a,b,errors,errors,0.1,1,1,1,perhaps", "a"])
def test_a_broken_row_is_refused_with_its_line(tmp_path, cells):
    path = tmp_path / "suspects.csv"
    path.write_text(",".join(suspects.COLUMNS) + "\n" + cells + "\n")
    with pytest.raises(UsageError, match=r"suspects\.csv, line 2"):
        suspects.read(path)
