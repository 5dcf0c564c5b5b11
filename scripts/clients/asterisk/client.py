"""Drives a manager interface with panoramisk, the asyncio client for Asterisk, as it comes from PyPI.

    client.py ami://user:secret@host:port

The expectations hold for real Asterisk 16 and 22 as well (`scripts/real-servers/asterisk.sh start`
prints such a URL), so a mock that passes behaves as they do. Exit status 0 only if all holds.
"""

import asyncio
import logging
import sys
from urllib.parse import urlsplit

from panoramisk import Manager

LIMIT = 15


class Client:
    """One manager session and the events that it saw."""

    def __init__(self, url, secret=None):
        self.events = []
        self.changed = asyncio.Event()
        self.manager = Manager(
            loop=asyncio.get_running_loop(),
            host=url.hostname,
            port=url.port,
            username=url.username,
            secret=secret or url.password,
            # A reconnect would hide a lost connection from the checks.
            reconnect_timeout=3600,
        )
        self.manager.register_event("*", self.on_event)

    def on_event(self, manager, event):
        self.events.append(event)
        self.changed.set()

    async def login(self):
        await asyncio.wait_for(self.manager.connect(), LIMIT)
        while self.manager.authenticated_future is None:
            await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.shield(self.manager.authenticated_future), LIMIT)

    async def action(self, name, **headers):
        action = {"Action": name, **headers}
        return await asyncio.wait_for(self.manager.send_action(action), LIMIT)

    async def event(self, name, **headers):
        """The first event of that name with these headers, seen or still to come."""

        def fits(event):
            values = {key.lower(): value for key, value in event.items()}
            return event.event == name and all(
                values.get(key.lower()) == value for key, value in headers.items()
            )

        async def search():
            while True:
                self.changed.clear()
                for event in self.events:
                    if fits(event):
                        return event
                await self.changed.wait()

        try:
            return await asyncio.wait_for(search(), LIMIT)
        except asyncio.TimeoutError:
            seen = [event.event for event in self.events]
            raise AssertionError(f"no {name} with {headers}; seen: {seen}") from None


def check(condition, what):
    assert condition, what
    print(f"ok: {what}")


async def wrong_secret(url):
    client = Client(url, secret="wr0ng")
    answer = await client.login()
    check(not answer.success, "a wrong secret is refused")
    check(answer.message == "Authentication failed", "with the words of Asterisk")
    client.manager.close()


async def questions(client):
    answer = await client.action("Ping")
    check(answer.success and answer.ping == "Pong", "Ping is answered")
    answer = await client.action("CoreSettings")
    check(answer.success and answer.amiversion, "CoreSettings tells the version of the protocol")
    answer = await client.action("CoreStatus")
    check(answer.success and answer.corestartuptime, "CoreStatus tells since when it runs")
    answer = await client.action("ListCommands")
    check(answer.success and answer.ping, "ListCommands lists Ping")
    answer = await client.action("DBGet", Family="nothing", Key="here")
    check(
        not answer.success and answer.message == "Database entry not found",
        "a missing database entry is an error",
    )
    answer = await client.action("Nonsense")
    check(not answer.success, "an unknown action is an error")


async def commands(client):
    answer = await asyncio.wait_for(client.manager.send_command("core show version"), LIMIT)
    check(answer.success, "a console command succeeds")
    check("Asterisk" in str(answer.output), "and has its output")


async def lists(client):
    answer = await client.action("DBPut", Family="panoramisk", Key="key", Val="value")
    check(answer.success, "DBPut works")
    answers = await client.action("DBGet", Family="panoramisk", Key="key")
    values = [message.val for message in answers if message.event == "DBGetResponse"]
    check(values == ["value"], "DBGet reads it back, as a list of one")
    answer = await client.action("DBDel", Family="panoramisk", Key="key")
    check(answer.success, "DBDel works")
    answer = await client.action("DBDel", Family="panoramisk", Key="key")
    check(
        not answer.success and answer.message == "Database entry could not be deleted",
        "DBDel of what is gone is an error with the words of Asterisk",
    )
    answers = await client.action("DBGetTree", Family="nothing")
    check(
        [message.event for message in answers[1:]] == ["DBGetTreeComplete"],
        "DBGetTree of a family that is not there is an empty list",
    )
    answers = await client.action("CoreShowChannels")
    check(
        answers[-1].event == "CoreShowChannelsComplete" and answers[-1].listitems == "0",
        "the list of channels is empty and complete",
    )


async def originate(client, number, channel_id):
    return await client.action(
        "Originate",
        Channel=f"PJSIP/{number}@trunk",
        ChannelId=channel_id,
        Application="Wait",
        Data="60",
        Async="true",
        Timeout="5000",
    )


async def calls(client):
    answers = await originate(client, "600", "panoramisk-answered")
    check(answers[0].success, "Originate is taken")
    check(
        answers[-1].event == "OriginateResponse"
        and answers[-1].reason == "4"
        and answers[-1].uniqueid == "panoramisk-answered",
        "OriginateResponse says answered and names our channel",
    )
    up = await client.event("Newstate", uniqueid="panoramisk-answered", channelstatedesc="Up")
    new = await client.event("Newchannel", uniqueid="panoramisk-answered")
    check(up.channel == new.channel, "the events of the call name one channel")
    answers = await client.action("CoreShowChannels")
    listed = [message.uniqueid for message in answers if message.event == "CoreShowChannel"]
    check("panoramisk-answered" in listed, "the list of channels has it")
    answer = await client.action("Hangup", Channel=new.channel)
    check(answer.success, "Hangup is taken")
    await client.event("Hangup", uniqueid="panoramisk-answered")
    check(True, "and the call ends")
    answer = await client.action("Hangup", Channel=new.channel)
    check(
        not answer.success and answer.message == "No such channel",
        "a channel that is gone cannot be hung up",
    )
    answers = await originate(client, "602", "panoramisk-busy")
    check(answers[-1].response == "Failure", "a busy line is a failure")
    end = await client.event("Hangup", uniqueid="panoramisk-busy")
    check(end.cause == "17", "with cause 17")


async def logoff(client):
    answer = await client.action("Logoff")
    check(answer.response == "Goodbye", "Logoff says goodbye")
    client.manager.close()


async def main(url):
    await wrong_secret(url)
    client = Client(url)
    answer = await client.login()
    check(answer.success, "the login works")
    await client.event("FullyBooted")
    check(True, "FullyBooted follows")
    await questions(client)
    await commands(client)
    await lists(client)
    await calls(client)
    await logoff(client)
    print("panoramisk: all checks hold")


if __name__ == "__main__":
    # panoramisk logs a lost connection as an error; here that is the end that was asked for.
    logging.getLogger("panoramisk").setLevel(logging.CRITICAL)
    asyncio.run(main(urlsplit(sys.argv[1])))
