"""The file of tokens: what its lines say, what is refused by its line, and what a change of it means."""

from __future__ import annotations

import re
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.errors import OptionError
from fanout_app.identity import Identity, Role
from fanout_app.tokens_file import Known, TokensFile

ONE, TWO = "one-token-of-32-characters-at-least", "two-token-of-32-characters-at-least"
FORM = r"SHA256 ROLE\[,ROLE\] \[group=NAME\] \[name=NAME\]"


def digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


HASH_ONE, HASH_TWO = digest(ONE).hex(), digest(TWO).hex()
CONSUME = Identity(roles=frozenset({Role.CONSUME}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def read(path: Path, text: str) -> Known:
    path.write_text(text)
    return TokensFile(str(path)).read()


def test_a_line_is_a_hash_with_what_it_allows(path: Path) -> None:
    known = read(
        path,
        f"# who may what\n\n  {HASH_ONE.upper()}\tconsume,metrics  group=cana\u0301ry name=orders \r\n{HASH_TWO} admin",
    )
    assert known == {
        digest(ONE): Identity(roles=frozenset({Role.CONSUME, Role.METRICS}), group="canáry", name="orders"),
        digest(TWO): Identity(roles=frozenset({Role.ADMIN})),
    }


@pytest.mark.parametrize(
    ("roles", "may"),
    [("consume", {Role.CONSUME}), ("metrics", {Role.METRICS}), ("admin", set(Role)), ("admin,metrics", set(Role))],
)
def test_admin_may_what_the_others_may(path: Path, roles: str, may: set[Role]) -> None:
    (identity,) = read(path, f"{HASH_ONE} {roles}").values()
    assert {role for role in Role if identity.may(role)} == may


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (ONE, "does not begin with the SHA-256 of a token"),
        (f"{HASH_ONE[1:]} consume", "does not begin with"),
        (f"{HASH_ONE}0 consume", "does not begin with"),
        (f"sha256:{HASH_ONE} consume", "does not begin with"),
        (f"{digest('').hex()} consume", "has the hash of nothing at all"),
        (HASH_ONE, "must name its roles"),
        (f"{HASH_ONE} {ONE}", "must name its roles"),
        (f"{HASH_ONE} Consume", "must name its roles"),
        (f"{HASH_ONE} consume,", "must name its roles"),
        (f"{HASH_ONE} consume, admin", "must name its roles"),
        (f"{HASH_ONE} consume admin", "has something else than group=NAME"),
        (f"{HASH_ONE} consume {ONE}", "has something else than"),
        (f"{HASH_ONE} consume grp=a", "has something else than"),
        (f"{HASH_ONE} consume group=a group=b", "has something else than"),
        (f"{HASH_ONE} consume group=two words", "has something else than"),
        (f"{HASH_ONE} consume group=", "has a group that is not 1 to 200 printable characters"),
        (f"{HASH_ONE} consume name={'x' * 201}", "has a name that is not 1 to 200"),
        (f"{HASH_ONE} metrics group=a", "fixes a group"),
        (f"{HASH_ONE} consume,admin group=a", "fixes a group"),
        (f"{HASH_ONE} consume name=\udc80", "is not UTF-8"),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_not_shown(path: Path, line: str, said: str) -> None:
    path.write_bytes(f"# remark\n{HASH_TWO} consume\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(OptionError, match=f"--tokens-file {path}: line 3 {said}.*{FORM}") as refused:
        TokensFile(str(path)).read()
    for secret in (ONE, HASH_ONE, HASH_TWO):
        assert secret not in str(refused.value)


@given(
    st.lists(
        st.lists(
            st.sampled_from([b"\t", b"#", b"group=", b"name=\xff", b"=", b"\xe2\x80\x83"])
            | st.sampled_from([HASH_ONE, HASH_TWO, ONE, "consume", "admin,metrics", "group=a", "name=b"]).map(
                str.encode
            )
            | st.binary(max_size=3),
            max_size=5,
        ),
        max_size=4,
    )
)
def test_whatever_a_file_holds_is_read_or_refused_without_being_shown(lines: list[list[bytes]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "tokens")
        path.write_bytes(b"\n".join(b" ".join(fields) for fields in lines))
        known: Known = {}
        said = ""
        try:
            known = TokensFile(str(path)).read()
        except OptionError as error:
            said = str(error)
        assert bool(known) != bool(said)
        assert known.keys() <= {digest(ONE), digest(TWO)}
        assert all(identity.roles for identity in known.values())
        assert not any(secret in said for secret in (ONE, HASH_ONE, HASH_TWO))


def test_the_page_shows_how_a_token_is_made(path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    (commands,) = re.findall(r"^```sh\n(token=.*?)^```", page, re.MULTILINE | re.DOTALL)
    made = [
        subprocess.run(["bash", "-euc", commands], cwd=path.parent, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    tokens = [text.removesuffix("\n") for text in made]
    assert TokensFile(str(path)).read() == {
        digest(token): Identity(roles=frozenset({Role.CONSUME}), name="orders") for token in tokens
    }
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{44}", token) for token in tokens)
    (example,) = re.findall(r"^# (SHA256 .*)$", page, re.MULTILINE)
    assert re.fullmatch(FORM, example)


def test_a_token_stands_in_one_line(path: Path) -> None:
    with pytest.raises(OptionError, match="line 4 has the token of line 2: take one of them out"):
        read(path, f"#\n{HASH_ONE} consume\n{HASH_TWO} consume\n{HASH_ONE.upper()} admin\n")


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing yet\n"])
def test_a_file_without_tokens_would_let_nobody_in(path: Path, text: str) -> None:
    with pytest.raises(OptionError, match=f"holds no token.*{FORM}"):
        read(path, text)


def test_a_file_that_is_not_there_is_said_with_what_belongs_into_it(path: Path) -> None:
    with pytest.raises(OptionError, match=rf"cannot be read \(No such file or directory\).*{FORM}"):
        TokensFile(str(path)).read()


def test_a_change_is_told_in_numbers_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path.write_text(f"{HASH_ONE} consume\n")
    tokens = TokensFile(str(path))
    assert tokens.read() == {digest(ONE): CONSUME}
    path.write_text(f"# another remark\n{HASH_ONE} consume\n")
    assert tokens.changed() is None

    path.write_text(f"{HASH_TWO} consume\n{HASH_ONE} consume\n")
    assert tokens.changed() == tokens.in_use == {digest(ONE): CONSUME, digest(TWO): CONSUME}
    path.write_text(f"{HASH_TWO} admin\n")
    assert tokens.changed() == {digest(TWO): Identity(roles=frozenset({Role.ADMIN}))}
    assert tokens.changed() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"--tokens-file {path} was read again: 2 tokens, 1 of them as they were before, 0 taken out",
        f"--tokens-file {path} was read again: 1 tokens, 0 of them as they were before, 1 taken out",
    ]


def test_a_file_that_cannot_be_used_any_more_is_said_once_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path.write_text(f"{HASH_ONE} consume\n")
    tokens = TokensFile(str(path))
    tokens.read()
    for text in (f"{HASH_ONE} consume\n{ONE}", f"{HASH_ONE} consume\n{ONE}", "", f"{HASH_ONE} consume\n"):
        path.write_text(text)
        assert tokens.changed() is None
        assert tokens.in_use == {digest(ONE): CONSUME}
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["ERROR", "ERROR", "INFO"]
    assert all("the tokens read before stay in use" in text for level, text in said if level == "ERROR")
    assert said[-1][1].endswith("can be used again, its tokens are those in use")
    assert not [text for _, text in said if ONE in text or HASH_ONE in text]
