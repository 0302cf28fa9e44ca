"""Are settings what the file says, and are bad ones refused with key, value and what is allowed?"""

import tomllib

import pytest

from ticketbot import settings
from ticketbot.errors import SettingsError


def load(tmp_path, text="", **environ):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return settings.load(path, environ)


def test_the_defaults_are_complete_and_valid():
    assert settings.load(None, {}).categories == ("reports", "errors", "screens", "tickets")


def test_a_users_file_needs_only_what_it_changes(tmp_path):
    changed = load(tmp_path, "[web]\nport = 9000\n")
    assert (changed.web.port, changed.web.host) == (9000, "127.0.0.1")


def test_the_environment_wins(tmp_path):
    assert load(tmp_path, "[web]\nport = 9000\n", TICKETBOT_WEB__PORT="9001").web.port == 9001


def test_a_secret_may_lie_in_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("whsec_abc\n")
    text = '[endpoints.desk]\nurl = "https://desk.example.com/hook"\n'
    made = load(tmp_path, text, TICKETBOT_ENDPOINTS__DESK__SECRET_FILE=str(secret))
    assert made.endpoints["desk"].secret == "whsec_abc"


def test_a_password_in_an_address_is_not_said(tmp_path):
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, "", TICKETBOT_DATABASE__URL="[1]", TICKETBOT_WEB__PORT="postgresql://joe:hunter2@db/x")
    assert "hunter2" not in str(refused.value) and "//…@db/x" in str(refused.value)


def test_a_source_has_the_defaults_of_every_source(tmp_path):
    made = load(tmp_path, '[source]\nsettle_s = 3\n[sources.erp]\nroot = "attach"\n')
    assert made.sources["erp"].settle_s == 3
    assert made.sources["erp"].root == tmp_path / "attach"


def test_relative_folders_are_relative_to_the_file(tmp_path):
    assert load(tmp_path).data_dir == tmp_path / "var"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[web]\nprt = 1", "web.prt: there is no such setting"),
        ("[wbe]\nport = 1", "wbe: there is no such setting"),
        ("[web]\nport = 70000", "web.port = 70000: Input should be less than or equal to 65535"),
        ('[model]\nfirst = "yes"', "model.first = 'yes': Input should be 'ask' or 'auto'"),
        ('[general]\ncategories = ["a"]', "needs 2 to 40 different names"),
        ('[general]\ncategories = ["a", "unsure"]', "'unsure' is not a category name"),
        ('[sources.erp]\nroot = "x"\npath = "("', "not a regular expression"),
        ('[sources.erp]\nmatch = "magic"', "sources.erp.root is missing"),
        (
            '[sources.erp]\nroot = "x"\nendpoint = "desk"',
            "sources.erp.endpoint is 'desk'; endpoints: none is configured",
        ),
        (
            '[sources.erp]\nroot = "x"\nticket = [{kind = "path", pattern = "x"}]',
            "needs a named group, like (?P<ticket>",
        ),
        ('[sources.erp]\nroot = "x"\nticket = [{kind = "sql", url = "", query = "DELETE"}]', "query = 'DELETE'"),
        ('[sources.Erp]\nroot = "x"', "a name is 1 to 40 of [a-z0-9_-]"),
        ("sources = 1", "write sections [sources.<name>]"),
        ("[web\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_the_key_and_what_is_allowed(tmp_path, text, said):
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert said in str(refused.value)


def test_a_bad_secret_is_not_shown(tmp_path):
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, '[endpoints.desk]\nurl = "https://x"\nsecret = 7123451\n')
    assert "7123451" not in str(refused.value)


def test_a_variable_that_is_no_setting_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="TICKETBOT_PORT: not a setting"):
        load(tmp_path, TICKETBOT_PORT="1")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match="cannot read settings file"):
        settings.load(tmp_path / "none.toml", {})


def test_every_key_of_the_file_is_commented():
    """Each key has a comment above it, or stands in a run of keys that has one."""
    commented = True
    for line in (settings.config_dir() / "ticketbot.toml").read_text().splitlines():
        if line.startswith("#"):
            commented = True
        elif line.startswith("[") or not line.strip():
            commented = False
        else:
            assert commented, f"no comment above: {line}"


def test_the_file_and_the_schema_name_the_same_keys():
    values = tomllib.loads((settings.config_dir() / "ticketbot.toml").read_text())
    for section, keys in values.items():
        model = {"source": settings.Source, "endpoint": settings.Endpoint}.get(section)
        model = model or settings.Settings.model_fields[section].annotation
        assert set(keys) == set(model.model_fields), section
