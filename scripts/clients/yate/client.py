"""Drives the external module port of Yate, written from its documentation alone
(https://docs.yate.ro/wiki/External_module_command_flow): no code of the SDK, no library.

    client.py yate://host:port

The numbers are those of the mock: 600 answers, 602 is busy, 603 rings for ever, 605 is rejected. The
expectations are what a real Yate 6.4 says. Exit status 0 only if all holds.
"""

import socket
import sys
import threading
import time
from urllib.parse import urlsplit

LIMIT = 15


def escape(text):
    """`%` and what is below 0x20 or a colon becomes `%` and the code plus 64."""
    out = []
    for char in text:
        if char == "%":
            out.append("%%")
        elif ord(char) < 0x20 or char == ":":
            out.append("%" + chr(ord(char) + 64))
        else:
            out.append(char)
    return "".join(out)


def unescape(text):
    out, chars = [], iter(text)
    for char in chars:
        if char == "%":
            char = next(chars, "")
            if char != "%":
                char = chr(ord(char) - 64) if char else ""
        out.append(char)
    return "".join(out)


class Line:
    """A line of the engine: keyword, fields before the parameters, parameters."""

    def __init__(self, text):
        fields = text.split(":")
        self.keyword = fields[0]
        self.fields = [unescape(field) for field in fields[1:]]
        self.params = {}
        if self.keyword.endswith("message"):
            for field in fields[5:]:
                name, _, value = field.partition("=")
                self.params[unescape(name)] = unescape(value)

    def __repr__(self):
        return f"{self.keyword} {self.fields[:4]} {sorted(self.params)}"


class Client:
    """One connection as a global module. Messages that it installed are answered by `handlers`."""

    def __init__(self, url):
        self.socket = socket.create_connection((url.hostname, url.port), LIMIT)
        self.socket.settimeout(None)
        self.handlers = {}
        self.lines = []
        self.arrived = threading.Condition()
        self.number = 0
        threading.Thread(target=self.read, daemon=True).start()

    def write(self, *fields):
        line = ":".join(escape(field) if at else field for at, field in enumerate(fields))
        self.socket.sendall(line.encode() + b"\n")

    def read(self):
        for raw in self.socket.makefile("rb"):
            line = Line(raw.decode(errors="replace").rstrip("\n"))
            if line.keyword == "%%>message":
                self.answer(line)
            with self.arrived:
                self.lines.append(line)
                self.arrived.notify_all()
        with self.arrived:
            self.lines.append(Line("closed"))
            self.arrived.notify_all()

    def answer(self, line):
        ident, _, name = line.fields[:3]
        handled, retval, params = self.handlers[name](line.params)
        words = [f"{key}={value}" for key, value in params.items()]
        # `=` is no separator behind the first one, so only the colons are escaped.
        self.write("%%<message", ident, "true" if handled else "false", name, retval, *words)

    def wait(self, what, fits):
        """The first line that fits, seen or still to come."""
        until = time.monotonic() + LIMIT
        with self.arrived:
            while True:
                for line in self.lines:
                    if fits(line):
                        return line
                left = until - time.monotonic()
                if left <= 0 or not self.arrived.wait(left):
                    raise AssertionError(f"no {what}; seen: {self.lines[-20:]}")

    def command(self, verb, *fields):
        """install, watch, setlocal: the answer repeats the verb and the name."""
        name = fields[-1] if verb == "watch" else (fields[1] if verb == "install" else fields[0])
        self.write(f"%%>{verb}", *fields)
        return self.wait(
            f"answer to {verb} {name}",
            lambda line: line.keyword == f"%%<{verb}" and name in line.fields,
        )

    def message(self, name, **params):
        """Asks the engine; answers whether it was handled, the return value, the parameters."""
        self.number += 1
        ident = f"client.{self.number}"
        words = [f"{key}={value}" for key, value in params.items()]
        self.write("%%>message", ident, str(int(time.time())), name, "", *words)
        line = self.wait(
            f"answer to {name}",
            lambda line: line.keyword == "%%<message" and line.fields[0] == ident,
        )
        return line.fields[1] == "true", line.fields[3], line.params

    def watched(self, name, **wanted):
        def fits(line):
            return (
                line.keyword == "%%<message"
                and line.fields[0] == ""
                and line.fields[2] == name
                and all(line.params.get(key) == value for key, value in wanted.items())
            )

        return self.wait(f"{name} with {wanted}", fits)


def check(condition, what):
    assert condition, what
    print(f"ok: {what}")


def call(client, number):
    handled, _, params = client.message(
        "call.execute",
        callto="dumb/",
        target="x",
        direct=f"sip/sip:{number}@trunk.example",
        caller="+15551230000",
    )
    check(handled and params["peerid"].startswith("sip/"), f"a call to {number} is placed")
    return params["id"], params["peerid"]


def main():
    client = Client(urlsplit(sys.argv[1]))
    client.write("%%>connect", "global")
    check(client.command("setlocal", "engine.version", "").fields[1] != "", "the version is told")
    for name in ["chan.startup", "call.ringing", "call.answered", "chan.hangup", "engine.timer"]:
        check("true" in client.command("watch", name).fields, f"{name} is watched")

    near, far = call(client, "600")
    client.watched("call.answered", id=far)
    handled, status, _ = client.message("engine.status", module="sip")
    check(f"{far}=answered" in status, "the status shows the call")
    handled, _, _ = client.message("call.drop", id=far, reason="hangup")
    check(handled, "the call is dropped")
    end = client.watched("chan.hangup", id=far).params
    check(end["answered"] == "true", "and ends as answered")
    handled, _, _ = client.message("call.drop", id=far)
    check(not handled, "a second drop finds nothing")

    for number, code in [("602", "486"), ("605", "404")]:
        _, far = call(client, number)
        end = client.watched("chan.hangup", id=far).params
        check((end["answered"], end["cause_sip"]) == ("false", code), f"{number} ends with {code}")

    handled, _, _ = client.message("call.execute", callto="dumb/")
    check(not handled, "a call without a target is refused")
    client.watched("engine.timer")
    check(True, "the engine's timer comes")
    handled, _, _ = client.message("no.such.message", text="a:b%c\nd")
    check(not handled, "a message that nobody handles")

    check("true" in client.command("setlocal", "reenter", "true").fields, "our own messages may reach us")
    client.handlers["call.route"] = lambda params: (True, "-", {"error": "busy"})
    check("true" in client.command("install", "50", "call.route").fields, "a route is installed")
    handled, target, params = client.message("call.route", caller="1", called="777")
    check(handled and target == "-" and params.get("error") == "busy", "the route answers")
    client.write("%%>quit")
    client.wait("answer to quit", lambda line: line.keyword == "%%<quit")
    client.wait("end of the connection", lambda line: line.keyword == "closed")
    check(True, "quit")


main()
