import pytest

from ticketbot.db.models import WebSession
from ticketbot.errors import Conflict, Refused
from ticketbot.web import accounts, tokens

NOW = 1_800_000_000.0
HOUR_S = 3600.0


@pytest.fixture
def rita(db):
    """The id of a reviewer who may sign in."""
    with db.write() as session:
        secret = accounts.make_invite(session, "rita", "reviewer", NOW)
        account = accounts.invited(session, secret, NOW)
        accounts.set_password(session, account.id, "a hash", secret)
        return account.id


def test_an_invitation_works_once_and_for_a_day(db):
    with db.write() as session:
        secret = accounts.make_invite(session, "otto", "viewer", NOW)
    with db.write() as session:
        assert accounts.invited(session, secret, NOW + 23 * HOUR_S).name == "otto"
        assert accounts.invited(session, secret, NOW + 25 * HOUR_S) is None
        assert accounts.invited(session, "guessed", NOW) is None
        account = accounts.invited(session, secret, NOW)
        accounts.set_password(session, account.id, "a hash", secret)
    with db.write() as session:
        assert accounts.invited(session, secret, NOW) is None
        with pytest.raises(Conflict):
            accounts.set_password(session, account.id, "another hash", secret)


def test_the_database_does_not_hold_the_secret_of_an_invitation(db):
    with db.write() as session:
        secret = accounts.make_invite(session, "otto", "viewer", NOW)
    with db.read() as session:
        assert secret not in str(vars(accounts.find(session, "otto")))


@pytest.mark.parametrize("name", ["", " rita", "ri ta", "<b>", "-x", "a" * 81, "rita\n", "rité"])
def test_it_refuses_names_that_are_not_plain(db, name):
    with db.write() as session, pytest.raises(Refused):
        accounts.make_invite(session, name, "viewer", NOW)


def test_the_first_administrator_gets_a_link_until_one_can_sign_in(db):
    with db.write() as session:
        first, second = accounts.first_admin(session, NOW), accounts.first_admin(session, NOW)
        assert first and second and first != second
        account = accounts.invited(session, second, NOW)
        assert accounts.invited(session, first, NOW) is None
        accounts.set_password(session, account.id, "a hash", second)
    with db.write() as session:
        assert accounts.first_admin(session, NOW) is None


def test_a_session_ends_at_its_time_and_when_idle(db, rita):
    with db.write() as session:
        secret = accounts.open_session(session, rita, NOW, 12 * HOUR_S)
    with db.write() as session:
        account, row = accounts.signed_in(session, secret, NOW + 2 * HOUR_S)
        assert account.id == rita
        assert secret not in str(vars(row))
        assert accounts.signed_in(session, secret, NOW + 4 * HOUR_S) is None
        for hour in range(2, 12, 2):
            accounts.touch(session, row.hash, NOW + hour * HOUR_S)
        assert accounts.signed_in(session, secret, NOW + 11.9 * HOUR_S)
        assert accounts.signed_in(session, secret, NOW + 12 * HOUR_S) is None


def test_a_new_password_ends_every_session(db, rita):
    with db.write() as session:
        secrets = [accounts.open_session(session, rita, NOW, HOUR_S) for _ in range(3)]
        accounts.set_password(session, rita, "another hash")
        assert [accounts.signed_in(session, secret, NOW) for secret in secrets] == [None] * 3


def test_a_switched_off_account_is_out_at_once(db, rita):
    with db.write() as session:
        secret = accounts.open_session(session, rita, NOW, HOUR_S)
        accounts.disable(session, accounts.find(session, "rita"), NOW)
    with db.read() as session:
        assert accounts.signed_in(session, secret, NOW) is None


def test_sessions_that_are_over_are_swept(db, rita):
    with db.write() as session:
        accounts.open_session(session, rita, NOW, HOUR_S)
        accounts.open_session(session, rita, NOW + 2 * HOUR_S, HOUR_S)
        assert session.query(WebSession).count() == 1


def test_the_last_administrator_stays(db):
    with db.write() as session:
        secret = accounts.first_admin(session, NOW)
        admin = accounts.invited(session, secret, NOW)
        accounts.set_password(session, admin.id, "a hash", secret)
        session.refresh(admin)
        with pytest.raises(Refused):
            accounts.disable(session, admin, NOW)
        with pytest.raises(Refused):
            accounts.set_role(session, admin, "viewer")


def test_a_token_is_found_by_its_text_only(db):
    with db.write() as session:
        text = tokens.make(session, "erp", ["label", "classify"], NOW)
    with db.read() as session:
        row = tokens.find(session, text, NOW)
        assert row.scopes == "classify label"
        assert text.split("_", 2)[2] not in str(vars(row))
        for wrong in (
            text[:-1] + ("A" if text[-1] != "A" else "B"),
            text[3:],
            text + "A",
            "",
            "tb__",
            "tb_" + "0" * 12,
        ):
            assert tokens.find(session, wrong, NOW) is None


def test_a_token_ends_by_time_or_by_hand(db):
    with db.write() as session:
        text = tokens.make(session, "erp", ["classify"], NOW, expires_at=NOW + 60)
        row = tokens.find(session, text, NOW + 59)
        assert tokens.find(session, text, NOW + 60) is None
        assert tokens.revoke(session, row.id, NOW)
        assert not tokens.revoke(session, row.id, NOW)
    with db.read() as session:
        assert tokens.find(session, text, NOW) is None


@pytest.mark.parametrize(("name", "scopes"), [("erp", []), ("erp", ["root"]), ("", ["read"]), ("a\nb", ["read"])])
def test_it_refuses_tokens_without_name_or_sense(db, name, scopes):
    with db.write() as session, pytest.raises(Refused):
        tokens.make(session, name, scopes, NOW)
