"""Drives an event socket with greenswitch, as it comes from PyPI.

    client.py esl://:password@host:port

The numbers are those of the mock: 600 answers, 602 is busy, 603 rings for ever, 605 is rejected. The
expectations are what a real FreeSWITCH 1.10.12 says. Exit status 0 only if all holds.
"""

import sys
import uuid
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from greenswitch import InboundESL

LIMIT = 15


class Client:
    """One connection and the events that it saw."""

    def __init__(self, url, password=None):
        self.events = []
        self.changed = Event()
        self.esl = InboundESL(url.hostname, url.port, password or url.password)
        self.esl.register_handle("*", self.on_event)

    def on_event(self, event):
        self.events.append(event.headers)
        self.changed.set()

    def send(self, line):
        with gevent.Timeout(LIMIT):
            return self.esl.send(line).data

    def event(self, name, **wanted):
        """The first event of that name with these headers (`_` stands for `-`), seen or to come."""

        def fits(headers):
            return headers.get("Event-Name") == name and all(
                headers.get(key.replace("_", "-")) == value for key, value in wanted.items()
            )

        try:
            with gevent.Timeout(LIMIT):
                while True:
                    self.changed.clear()
                    for headers in list(self.events):
                        if fits(headers):
                            return headers
                    self.changed.wait()
        except gevent.Timeout:
            seen = [headers.get("Event-Name") for headers in self.events]
            raise AssertionError(f"no {name} with {wanted}; seen: {seen}") from None


def check(condition, what):
    assert condition, what
    print(f"ok: {what}")


def wrong_password(url):
    try:
        Client(url, password="wr0ng").esl.connect()
    except ValueError:
        return check(True, "a wrong password is refused")
    raise AssertionError("a wrong password was taken")


def originate(client, number, application="&park()", **variables):
    call = str(uuid.uuid4())
    variables = {"origination_uuid": call, **variables}
    line = ",".join(f"{name}={value}" for name, value in variables.items())
    said = client.send(f"bgapi originate {{{line}}}sofia/gateway/trunk/{number} {application}")
    check(said.startswith("+OK Job-UUID: "), f"the job of {number} is taken")
    return call, said.split(": ")[1].strip()


def main():
    url = urlsplit(sys.argv[1])
    wrong_password(url)
    client = Client(url)
    client.esl.connect()
    check(client.send("api status").startswith("UP "), "status")
    check("FreeSWITCH Version" in client.send("api version"), "version")
    check(client.send("api nosuchcommand").strip().endswith("Command not found!"), "an unknown command")
    check(client.send("api module_exists mod_sofia").strip() == "true", "module_exists")
    check(client.send("events plain ALL").startswith("+OK"), "all events")

    call, job = originate(client, "600", origination_caller_id_number="+15551230000")
    answer = client.event("CHANNEL_ANSWER", Unique_ID=call)
    check(answer["Call-Direction"] == "outbound", "an answered call")
    check(answer["Answer-State"] == "answered", "and its state")
    done = client.event("BACKGROUND_JOB", Job_UUID=job)
    check(done.get("Job-Command") == "originate", "the end of the job")
    check(client.send(f"api uuid_exists {call}").strip() == "true", "uuid_exists")
    check(client.send(f"api uuid_setvar {call} mark here").startswith("+OK"), "uuid_setvar")
    check(client.send(f"api uuid_getvar {call} mark") == "here", "uuid_getvar")
    check(call in client.send("api show channels as json"), "show channels")
    check(client.send(f"api uuid_kill {call}").startswith("+OK"), "uuid_kill")
    end = client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID=call)
    check(end["Hangup-Cause"] == "NORMAL_CLEARING", "the end of a call")
    check(client.send(f"api uuid_kill {call}").strip() == "-ERR No such channel!", "a second uuid_kill")

    for number, cause in [("602", "USER_BUSY"), ("605", "UNALLOCATED_NUMBER")]:
        call, job = originate(client, number)
        end = client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID=call)
        check(end["Hangup-Cause"] == cause, f"{number} ends with {cause}")

    call, job = originate(
        client,
        "600",
        origination_nested_vars="true",
        api_hangup_hook="'hash insert/clients/kept/${hangup_cause}|${sip_term_status}|${answer_epoch}'",
    )
    client.event("CHANNEL_ANSWER", Unique_ID=call)
    client.send(f"api uuid_kill {call}")
    client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID=call)
    kept = client.send("api hash select/clients/kept")
    check(kept.startswith("NORMAL_CLEARING|"), "the hook of an end leaves its values")
    check(client.send("api hash delete/clients/kept").startswith("+OK"), "and they are deleted")

    check(client.send("filter Unique-ID nobody").startswith("+OK"), "a filter")
    client.esl.stop()
    check(True, "exit")


main()
