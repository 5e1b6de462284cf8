#!/usr/bin/python3
"""Many programs at once in one mount; what each did and what it was told, as JSON.

    crowd.py MOUNT SECONDS SEED CONTACTS...     the first of the contacts is everybody's, the others are
                                                one writer's each

For test_crowd.py. Every person is a process.
"""

import errno
import json
import os
import random
import subprocess
import sys
import time

FIELDS = ("first_name", "surname", "phone_number", "city")


class Person:
    def __init__(self, number, seed, contact):
        self.number, self.random, self.contact = number, random.Random(f"{seed}-{number}"), contact
        self.done = []
        self.serial = 0
        self.longest = 0.0

    def value(self):
        self.serial += 1
        return f"p{self.number}-{self.serial}"

    def tried(self, kind, name, value, act, *args):
        """Its errno, 0 when it went well."""
        began = time.monotonic()
        result = 0
        try:
            act(*args)
        except OSError as e:
            result = e.errno
        ended = time.monotonic()
        self.longest = max(self.longest, ended - began)
        self.done.append([kind, name, value, result, began, ended])
        return result

    def work(self, until):
        while time.monotonic() < until:
            self.step()

    def write(self, path, text):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


class Writer(Person):
    """Of one contact, in three ways."""

    def step(self):
        slug, value = self.random.choice(FIELDS), self.value()
        record = f"contacts/{self.contact}.json"
        text = json.dumps({"fields": [{"slug": slug, "value": value}]})
        how = self.random.randrange(3)
        if how == 0:
            self.tried("save", slug, value, self.write, record, text)
        elif how == 1:
            self.tried("save", slug, value, self.write, f"contacts/{self.contact}/fields/{slug}",
                       value + "\n")
        else:
            temporary = f"contacts/.{self.value()}"
            try:
                self.write(temporary, text)
            except OSError as e:
                assert e.errno in (errno.ETIMEDOUT, errno.EREMOTEIO), e
                return
            self.tried("save", slug, value, os.rename, temporary, record)


class Maker(Person):
    def step(self):
        name = self.value()
        how = self.random.randrange(3)
        if how == 0:
            self.tried("tag", name, None, os.mkdir, f"tags/{name}")
        elif how == 1:
            self.tried("tag", name, None, self.write, f"tags/{name}.json",
                       json.dumps({"name": name}))
        else:
            made = self.tried("tag", name, None, os.mkdir, f"tags/{name}")
            if made == 0:
                self.tried("remove", name, None, self.remove, name)

    def remove(self, name):
        os.unlink("tags/" + os.readlink(f"tags/{name}.json"))


class Reader(Person):
    """Of any record: whole, and itself. `contact`: all that are written in place, whose size the kernel
    says to be 0 from the writer's O_TRUNC on."""

    names = ()

    def step(self):
        began = time.monotonic()
        try:
            if not self.serial % 20:
                self.names = [name for name in os.listdir("contacts") if name[0].isdigit()]
            self.serial += 1
            name = self.random.choice(self.names)
            with open(f"contacts/{name}", "rb") as f:
                size = os.fstat(f.fileno()).st_size
                text = f.read()
        except OSError as e:
            self.done.append(["read", "", None, e.errno, 0, 0])
            return
        self.longest = max(self.longest, time.monotonic() - began)
        id = str(json.loads(text)["id"])
        wrong = id + ".json" != name or (not size and id not in self.contact)
        self.done.append(["mixed" if wrong else "read", name, size, 0, 0, 0])


class Tool(Person):
    commands = [["grep", "-rc", "p1-", "contacts"], ["ls", "-l", "tags"], ["find", "courses"],
                ["cat", ".systemefs/status", ".systemefs/errors", ".systemefs/requests"],
                ["du", "contacts"], ["sh", "-c", "echo refresh > .systemefs/ctl"],
                ["ls", "-lR", ".systemefs/drafts"], ["sh", "-c", "cat contacts/*.json"]]

    def step(self):
        command = self.random.choice(self.commands)
        began = time.monotonic()
        code = subprocess.run(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
        self.longest = max(self.longest, time.monotonic() - began)
        self.done.append(["tool", command[0], None, code, 0, 0])


def crowd(contacts):
    """64 of them."""
    shared, own = contacts[0], contacts[1:]
    kinds = ([(Writer, c) for c in own] + [(Writer, shared)] * 8 + [(Maker, None)] * 8 +
             [(Reader, contacts)] * 16)
    return kinds + [(Tool, None)] * (64 - len(kinds))


def main():
    mount, seconds, seed, *contacts = sys.argv[1:]
    os.chdir(mount)
    until = time.monotonic() + float(seconds)
    children = []
    for number, (kind, contact) in enumerate(crowd(contacts)):
        read, write = os.pipe()
        if os.fork() == 0:
            person = kind(number, seed, contact)
            person.work(until)
            with os.fdopen(write, "w") as out:
                json.dump([kind.__name__, contact, person.longest, person.done], out)
            os._exit(0)
        os.close(write)
        children.append(read)
    people = []
    for read in children:
        with os.fdopen(read) as stream:
            people.append(json.loads(stream.read() or "null"))
        os.wait()
    json.dump(people, sys.stdout)


if __name__ == "__main__":
    main()
