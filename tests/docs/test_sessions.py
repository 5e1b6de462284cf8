"""What the documents show can be typed, and does what they say."""

import json
import os
import re
import stat
import urllib.request

from conftest import read, steps
from editors import PROGRAMS, Desk

SENT = "grep -v ' GET ' .systemefs/requests | cut -d ' ' -f 4-6"


def unescaped(page):
    """What mdoc(7) shows of literal text."""
    return page.replace(r"\&", "").replace(r"\e", "\\")


def test_the_manual(repository, mount, shell, home):
    """The sessions of systemefs(7)."""
    text = read(repository, "man", "systemefs.7")
    found = re.findall(r"^\.Bd -literal[^\n]*\n(\$ systemefs .*?)^\.Ed", text, re.M | re.S)
    assert len(found) == 2
    for number, example in enumerate(found):
        session = steps(unescaped(example))
        assert len(session) > 6
        assert session[0] == ("systemefs --sandbox ~/crm && cd ~/crm", "")
        assert session[-1] == ("cd && fusermount3 -u ~/crm", "")
        bash = shell(mount(home / f"crm{number}"))
        for command, output in session[1:-1]:
            assert bash.type(command) == output, command


def edit(desk, line, directory):
    """A line that starts an editor, with what is to be done there as a comment."""
    name, path, old, new = re.fullmatch(r"(\w+) (\S+) +# (.+) becomes (.+)", line).groups()
    editor = {program.name: program for program in PROGRAMS}[name]
    editor.save(desk, os.path.join(directory, path), old, new)


def test_the_readme(repository, mount, shell, tmp_path):
    """What a new user types after ./demo, in one shell."""
    text = read(repository, "README.md")
    session = "".join(re.findall(r"^```console\n(.*?)^```", text, re.M | re.S))
    directory = mount(tmp_path / "demo.d")
    bash = shell(tmp_path)
    edited = 0
    with Desk(tmp_path / "desk") as desk:
        for command, output in steps(session):
            if command.startswith(("vim ", "nano ")):
                edit(desk, command, directory)
                edited += 1
            else:
                assert bash.type(command) == output, command
    assert edited == 2
    assert not os.path.ismount(directory)


def test_the_lines_of_the_readme(repository, mount, shell, home):
    """What "Use it" shows, for a contact that is there."""
    text = read(repository, "README.md")
    block = text[text.index("## Use it") : text.index("- **Names.**")]
    lines = re.findall(r"^    (\S.*)", block, re.M)
    assert len(lines) > 8
    crm = mount(home / "crm")
    contact = os.readlink(os.path.join(crm, "contacts", "jane@example.com.json"))
    bash = shell(home)
    for line in lines:
        line = line.replace("246810357.json", contact).replace("246810357", contact[:-5])
        shown = bash.type(f"{line}\necho status $?")
        assert shown.endswith("status 0\n"), (line, shown)


def ids(*directory):
    return sorted(name[:-5] for name in os.listdir(os.path.join(*directory)) if name.endswith(".json"))


def test_the_lines_of_the_mounts_own_readme(sandbox_mount, shell, home):
    """How to change a record, with ids that are there."""
    text = read(sandbox_mount, "README.md")
    block = text[text.index("To change a record") : text.index("Ids are given by the server")]
    lines = re.findall(r"^    (\S.*?)(?:  .*)?$", block, re.M)
    contact = next(c for c in ids(sandbox_mount, "contacts")
                   if ids(sandbox_mount, "contacts", c, "subscriptions"))
    subscription = ids(sandbox_mount, "contacts", contact, "subscriptions")[0]
    (home / "ben.json").write_text('{"email": "other@example.com"}')
    bash = shell(sandbox_mount)
    bash.type(f"echo Eve > contacts/{contact}/fields/first_name")
    bash.type(f"""echo '{{"locale": "en"}}' > contacts/{contact}.json; mkdir tags/old tags/new9""")
    begun = len(bash.type(SENT).splitlines())
    for line in lines:
        if line.startswith("vim "):
            continue
        for word, here in (
            ("contacts/5", f"contacts/{contact}"), ("subscriptions/8", f"subscriptions/{subscription}"),
            ("tags/9", "tags/new9"), ("courses/7", "courses/" + ids(sandbox_mount, "courses")[0]),
            ("cp ben", "cp ~/ben"),
        ):
            line = line.replace(word, here)
        assert bash.type(line) == "", line
    assert [line.split()[0] for line in bash.type(SENT).splitlines()[begun:]] == [
        "PATCH", "PATCH", "POST", "POST", "POST", "POST", "PUT", "POST", "DELETE"]


def test_the_traps(sandbox_mount, shell, home):
    """What README.md and systemefs(7) warn of is so."""
    bash = shell(sandbox_mount)
    jane, ada = (
        os.readlink(os.path.join(sandbox_mount, "contacts", f"{name}@example.com.json"))[:-5]
        for name in ("jane", "ada"))

    # A shell does not look whether what it has redirected was taken; cp does.
    assert bash.type(f"echo Spain > contacts/{jane}/fields/country; echo $?") == "0\n"
    (home / "country").write_text("Spain\n")
    assert bash.type(f"cp ~/country contacts/{jane}/fields/country; echo $?").endswith("\n1\n")
    # Of a whole document it is told.
    assert bash.type(f"""echo '{{"id": 7}}' > contacts/{jane}.json; echo $?""").endswith("\n1\n")

    # A field that is none is scratch.
    before = bash.type(SENT)
    assert bash.type(f"echo 46 > contacts/{jane}/fields/shoe_siez; echo $?") == "0\n"
    assert bash.type(SENT) == before

    # mv from elsewhere: a delete, and a creation that is refused.
    (home / "ada.json").write_text('{"locale": "fr"}')
    assert bash.type(f"mv ~/ada.json contacts/{ada}.json; echo $?").endswith("\n1\n")
    assert bash.type(SENT) == before + f"DELETE /api/contacts/{ada} 204\n"
    assert bash.type(f"cat .systemefs/drafts/contacts/{ada}.json") == '{"locale": "fr"}'
    assert bash.type(f"jq -r .email .systemefs/trash/contacts/{ada}.json") == "ada@example.com\n"

    # rm -r of what belongs to a contact empties it, and does not delete it.
    assert bash.type(f"rm -r contacts/{jane}/ 2>/dev/null; echo $?") == "1\n"
    assert bash.type(f"jq -c '[.email, .tags, .fields[].value]' contacts/{jane}.json") == (
        '["jane@example.com",[],null,null,null,null,null,null,null]\n')


def test_two_people(sandbox_mount, shell, home):
    """Whose second save fails, until he has looked."""
    bash = shell(sandbox_mount)
    jane = "contacts/" + os.readlink(os.path.join(sandbox_mount, "contacts", "jane@example.com.json"))
    bash.type(f"sed 's/León/Bath/' {jane} > ~/mine.json")
    url = bash.type("sed -n 's/^url: //p' .systemefs/status").strip()
    change = {"op": "patch_contact", "id": int(jane[9:-5]), "fields": {"city": "Hull"}}
    urllib.request.urlopen(f"{url}/_sandbox/world", json.dumps(change).encode(), timeout=60).close()
    bash.type(f"echo refresh {jane} > .systemefs/ctl")
    again = f"cp .systemefs/drafts/{jane} {jane} 2>&1; echo $?"
    assert bash.type(f"cp ~/mine.json {jane}; echo $?").endswith(": Stale file handle\n1\n")
    assert bash.type(again).endswith("1\n")
    assert bash.type(f"grep -c Hull {jane}") == "1\n"
    assert bash.type(again) == "0\n"
    assert bash.type(f"grep -c Bath {jane}; ls .systemefs/drafts") == "1\n"


def test_the_state_directory(sandbox_mount, shell, home):
    """Where systemefs(1) says that it is, and for nobody else."""
    bash = shell(sandbox_mount)
    bash.type("echo '{}}' > contacts/x.json")
    state = home / ".local" / "state" / "systemefs" / "sandbox"
    assert (state / "drafts" / "contacts" / "x.json").read_text() == "{}}\n"
    for path in (state, *state.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
