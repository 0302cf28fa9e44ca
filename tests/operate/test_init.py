"""Does `init` make an installation that works, and leave nothing behind when it cannot?"""

import json
import stat

import pytest
from click.testing import CliRunner

from ticketbot import settings
from ticketbot.cli import main
from ticketbot.db import connect, migrate
from ticketbot.operate import install


def run(config, *arguments):
    return CliRunner().invoke(main, ["--config", str(config), "init", *arguments])


def test_the_written_file_says_what_was_asked_for(tmp_path):
    (tmp_path / "attach").mkdir()
    config = tmp_path / "etc" / "ticketbot.toml"
    query = "SELECT t FROM u WHERE user_id = :user AND name = :name"
    said = run(
        config,
        "--data-dir",
        str(tmp_path / "data"),
        "--tree",
        str(tmp_path / "attach"),
        "--ticket-pattern",
        r"^(?P<ticket>\d+)/",
        "--ticket-url",
        "sqlite:////srv/erp.db",
        "--ticket-query",
        query,
        "--endpoint-url",
        "http://127.0.0.1:9/hook",
        "--base-url",
        "https://pictures.example.com",
        "--categories",
        "invoices, letters",
        "--json",
    )
    assert said.exit_code == 0, said.output
    made = settings.load(config, {})
    assert made.data_dir == tmp_path / "data"
    assert made.categories == ("invoices", "letters")
    assert made.web.proxies == 1
    source, desk = made.sources["erp"], made.endpoints["desk"]
    assert [lookup.kind for lookup in source.ticket] == ["path", "sql"]
    assert source.ticket[1].query == query
    assert (source.endpoint, desk.mode, desk.allow) == ("desk", "dry_run", ("127.0.0.1:9",))
    result = json.loads(said.stdout)
    assert result["admin_link"].startswith("https://pictures.example.com/invite/")
    assert result["secrets"]["desk"].startswith("whsec_")
    db = connect(made.database_url)
    assert migrate.current(db) == migrate.head(db)
    db.close()


def test_without_anything_it_still_makes_a_house_that_doctor_accepts(tmp_path):
    config = tmp_path / "ticketbot.toml"
    assert run(config).exit_code == 0
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    said = CliRunner().invoke(main, ["--config", str(config), "doctor", "--json"])
    assert said.exit_code == 0, said.output
    assert {one["level"] for one in json.loads(said.stdout)} == {"ok", "note"}


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    config = tmp_path / "ticketbot.toml"
    config.write_text("# mine\n")
    said = run(config)
    assert said.exit_code == 2
    assert "is there already" in said.stderr
    assert config.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--categories", "only-one"], "2 to 40 different names"),
        (["--categories", "a,unsure"], "'unsure' is not a category name"),
        (["--tree", ".", "--ticket-pattern", "no group"], "needs a named group"),
        (["--ticket-url", "sqlite:///x"], "belong together"),
        (["--ticket-pattern", "(?P<ticket>x)"], "name it with --tree"),
        (["--endpoint-url", "ftp://x/"], "not an address we can call"),
        (["--database-url", "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/x"], "the database cannot be used"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_no_file(tmp_path, arguments, said):
    config = tmp_path / "ticketbot.toml"
    result = run(config, *arguments)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert "Traceback" not in result.output and "hunter2" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert not config.exists()


def test_names_with_quotes_and_backslashes_survive(tmp_path):
    wanted = install.Wanted(tmp_path / 'a "b" \\ c', tree='/srv/ü "x"', ticket_pattern=r'^"(?P<ticket>\d+)\\')
    config = tmp_path / "t.toml"
    install.write(config, wanted)
    made = settings.load(config, {})
    assert made.data_dir == tmp_path / 'a "b" \\ c'
    assert made.sources["erp"].ticket[0].pattern == r'^"(?P<ticket>\d+)\\'


def test_it_writes_the_file_that_the_environment_names(tmp_path):
    config = tmp_path / "etc" / "mine.toml"
    made = CliRunner(env={"TICKETBOT_CONFIG": str(config)}).invoke(main, ["init", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["config"] == str(config) and config.is_file()
