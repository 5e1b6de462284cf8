"""The flags of HACKING.md, "Hardening", in a program that is built without sanitizers."""

import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def program(repository, tmp_path_factory):
    """Built for this: the other tests run one with the sanitizers, which replace the flags."""
    build = tmp_path_factory.mktemp("hardened")
    for command in (["meson", "setup", str(build), repository], ["ninja", "-C", str(build), "-j2",
                                                                 "src/systemefs"]):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return os.path.join(build, "src/systemefs")


def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, program], check=True, capture_output=True,
                          text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def test_hardening(program):
    assert "DYN (Position-Independent Executable" in readelf("-h", program)
    segments = readelf("-l", program)
    assert "GNU_RELRO" in segments
    stack, = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert " RW " in stack and " RWE " not in stack
    assert "NOW" in readelf("-d", program)
    symbols = readelf("--dyn-syms", program)
    assert "__stack_chk_fail" in symbols
    assert "_chk@GLIBC" in symbols.replace("__stack_chk_fail", "")
    if os.uname().machine == "x86_64":
        code = subprocess.run(["objdump", "-d", program], check=True, capture_output=True, text=True)
        assert code.stdout.count("endbr64") > 50  # -fcf-protection


def test_flags_that_leave_no_trace_in_the_code(program):
    """gcc notes in the debug information how each file was compiled."""
    notes = readelf("--debug-dump=info", program)
    ours = [line for line in notes.splitlines() if "DW_AT_producer" in line and "GNU C17" in line]
    if not ours:
        pytest.skip("not built by gcc")
    for line in ours:
        for flag in ("-fstack-protector-strong", "-fstack-clash-protection",
                     "-ftrivial-auto-var-init=zero", "-fno-delete-null-pointer-checks"):
            assert flag in line


def test_no_segment_is_writable_and_executable(program):
    flags = [line.split()[6:-1] for line in readelf("-l", program).splitlines()
             if line.split()[:1] == ["LOAD"]]
    assert len(flags) >= 4  # code apart from constants
    assert not [f for f in flags if {"W", "E"} <= set("".join(f))]
    dynamic = readelf("-d", program)
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
