#!/usr/bin/env python3
"""claw-discord against the double of Discord, and discord.py, unchanged, against the same double.

  tests/test_discord.py [PROGRAM] [WORD...]     the tests with one of these words in their name

Each test has a double of its own; they run beside one another. Waiting is always for an event, with a limit.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from double import BOT, TOKEN, Double

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).resolve().parents[1] / "target/debug/claw-discord"
LIMIT = 60
TESTS = []


def test(function):
    TESTS.append(function)
    return function


async def until(condition, what, limit=LIMIT):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit} s: {what() if callable(what) else what}"
        await asyncio.sleep(0.01)


class Claw:
    """The other end of the line protocol: acknowledges each message, unless told to hold."""

    def __init__(self, double, state, *arguments, **env):
        self.double, self.state, self.arguments, self.env = double, state, arguments, env
        self.received, self.answers, self.acked, self.pongs, self.output, self.errors = [], {}, [], [], "", ""
        self.holds = False
        self.process = None

    async def start(self):
        token = self.state / "token"
        if not token.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            token.write_text(self.env.pop("token", TOKEN) + "\n")
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, "--token-file", token, "--api", self.double.api, *self.arguments,
            env={"CLAW_STATE": str(self.state), "PATH": "/usr/bin:/bin", **self.env},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 22)
        self.readers = [asyncio.create_task(self.read()), asyncio.create_task(self.listen())]
        return self

    async def read(self):
        async for line in self.process.stdout:
            self.output += line.decode()
            line = json.loads(line)
            if "pong" in line:
                self.pongs.append(line["pong"])
            elif "sent" in line or "failed" in line:
                self.answers.setdefault(line.get("sent") or line.get("failed"), []).append(line)
            else:
                self.received.append(line)
                if not self.holds:
                    self.ack(line["id"])

    async def listen(self):
        async for line in self.process.stderr:
            self.errors += line.decode()

    def write(self, line):
        if not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps(line).encode() + b"\n")

    def ack(self, id):
        self.acked.append(id)
        self.write({"ack": id})

    def send(self, id, to, text):
        self.write({"send": {"id": id, "to": to, "text": text, "attempt": 1, "maybe_repeated": False}})

    async def sent(self, id, to, text):
        """Sends a message as claw does: again after each `retry_after`."""
        while True:
            count = len(self.answers.get(id, []))
            self.send(id, to, text)
            await until(lambda: len(self.answers.get(id, [])) > count, f"an answer for {id}; {self.errors}")
            answer = self.answers[id][-1]
            if "retry_after" not in answer:
                return answer
            await asyncio.sleep(min(answer["retry_after"], 3))

    async def got(self, count):
        await until(lambda: len(self.received) >= count, lambda: f"{count} messages, not {len(self.received)}; {self.errors}")

    async def live(self, count=1):
        ready = lambda: self.double.counts.get("ready", 0) + self.double.counts.get("resume", 0)
        await until(lambda: ready() >= count, lambda: f"the gateway; {self.errors}")

    async def synced(self):
        """Everything that was acknowledged is stored: lines are handled in their order."""
        self.write({"ping": 77 + len(self.pongs)})
        number = 77 + len(self.pongs)
        await until(lambda: number in self.pongs, "a pong")

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await asyncio.gather(*self.readers)

    async def ended(self):
        code = await asyncio.wait_for(self.process.wait(), LIMIT)
        await asyncio.gather(*self.readers)
        return code

    async def stop(self):
        if self.process.returncode is None:
            self.process.stdin.close()
            assert await self.ended() == 0, self.errors
        self.no_token()

    def no_token(self):
        assert TOKEN not in self.output + self.errors, "the token is in the output"
        for file in self.state.rglob("*"):
            assert file.name == "token" or not file.is_file() or TOKEN not in file.read_text(), file


class World:
    """A double with a server, and folders for programs."""

    def __init__(self, double, folder):
        self.double, self.folder, self.claws = double, folder, []
        double.user("21", "ann")
        double.user("22", "bob")
        double.guild("300")
        self.channel = double.channel("301", "300")
        self.other = double.channel("302", "300")
        self.thread = double.channel("303", "300", 11, "301")
        self.direct = double.direct("21")

    async def claw(self, *arguments, state="state", **env):
        claw = Claw(self.double, self.folder / state, *arguments, **env)
        self.claws.append(claw)
        return await claw.start()


def time_passes(claw, event):
    """Makes the begun parts of a message older than Discord's memory of nonces; returns their number."""
    receipt = claw.state / f"sends/{event}.json"
    stored = json.loads(receipt.read_text())
    begun = [part for part in stored["parts"] if "begun" in part]
    for part in begun:
        part["begun"] -= 121_000
    receipt.write_text(json.dumps(stored))
    return len(begun)


def texts(claw):
    return [line["text"] for line in claw.received]


@test
async def messages_for_the_bot_arrive_and_others_do_not(world):
    claw = await world.claw()
    await claw.live()
    double = world.double
    double.post(world.direct, "21", "hello")
    double.post(world.channel, "21", "talk among people")
    double.post(world.channel, "22", "/status", mention=True)
    double.post(world.thread, "21", "in a thread", mention=True)
    await claw.got(3)
    own = double.post(world.channel, BOT["id"], "which one?")
    double.post(world.channel, "22", "that one", mention=True, reply=own)
    double.post(world.channel, "22", "from a program", mention=True, webhook_id="88")
    double.post(world.channel, "22", "a pin", mention=True, type=6)
    await claw.got(4)
    plain = [{key: line.get(key) for key in ("from", "chat", "thread", "text", "mentioned", "reply")} for line in claw.received]
    by_text = {line["text"]: line for line in plain}
    assert by_text["hello"] == {"from": "21", "chat": None, "thread": None, "text": "hello", "mentioned": None, "reply": None}
    assert by_text["/status"] == {"from": "22", "chat": "301", "thread": None, "text": "/status", "mentioned": True, "reply": False}
    assert by_text["in a thread"]["chat"] == "301" and by_text["in a thread"]["thread"] == "303"
    assert by_text["that one"]["reply"] is True
    assert claw.received[3]["quoted"] == {"from": "claw", "text": "which one?", "own": True}
    assert len(claw.received) == 4, texts(claw)


@test
async def smallest_intents_and_no_privileged_one(world):
    claw = await world.claw()
    await claw.live()
    (session,) = world.double.sessions.values()
    assert session.intents == 1 << 9 | 1 << 12, session.intents


async def gap(world, claw, number):
    """One interruption of some kind; returns the program that goes on."""
    double = world.double
    kinds = ["abort", 4000, "op 7", "op 9", 4009, "lost session"]
    if number == 10:
        # A few messages are handed over and not acknowledged when the program is killed.
        claw.holds = True
        count = len(claw.received)
        for text in range(3):
            world.say(f"before the kill {text}")
        await claw.got(count + 3)
        await claw.kill()
        world.claws.remove(claw)
        claw.no_token()
        for _ in range(4):
            world.say(f"while it is dead {number}")
        return await world.claw()
    double.accepting = False
    how = kinds[number % len(kinds)]
    if how == "lost session":
        double.sessions.clear()
        for socket in list(double.sockets):
            socket.out.put_nowait("abort")
    else:
        double.disconnect(how)
    for _ in range(7):
        world.say(f"in gap {number}")
    double.accepting = True
    return claw


@test
async def two_hundred_messages_in_twenty_gaps_one_across_a_kill(world):
    world.posted = {place: [] for place in (world.direct, world.channel, world.thread)}
    dice = random.Random(7)

    def say(text):
        place = dice.choice(list(world.posted))
        message = world.double.post(place, "21", f"{text} {dice.random()}", mention=place != world.direct)
        world.posted[place].append(message["id"])
        # People talk in between, too.
        world.double.post(world.channel, "22", "not for the bot")

    world.say = say
    claw = await world.claw()
    await claw.live()
    everything = []
    for number in range(20):
        lives = world.double.counts.get("ready", 0) + world.double.counts.get("resume", 0)
        went_on = await gap(world, claw, number)
        if went_on is not claw:
            everything.append(claw)
            claw = went_on
        await claw.live(lives + 1)
        for _ in range(3):
            say(f"live after gap {number}")
        total = sum(map(len, world.posted.values()))
        await until(lambda: len({id for one in [*everything, claw] for id in one.acked}) == total,
                    lambda: f"{total} messages after gap {number}; {claw.errors}")
    assert total >= 200, total
    acked = [id for one in [*everything, claw] for id in one.acked]
    assert len(acked) == len(set(acked)), "a message was handed over again after its acknowledgement"
    for place, ids in world.posted.items():
        assert [id for id in acked if id in set(ids)] == ids, f"order in {place}"
    counts = world.double.counts
    assert counts["resume"] >= 5 and counts["ready"] >= 5, counts
    print(f"    {total} messages in 20 gaps, one across a kill: {total - len(acked)} lost, in order")


@test
async def nothing_acknowledged_is_repeated_and_nothing_else_is_lost(world):
    claw = await world.claw()
    await claw.live()
    for number in range(6):
        world.double.post(world.direct, "21", f"message {number}")
    claw.holds = True
    await claw.got(6)
    seen = [line["id"] for line in claw.received]
    done = set(claw.acked)
    # Acknowledged out of order: the gap in between stays open.
    for id in (seen[5], seen[3]):
        claw.ack(id)
        done.add(id)
    await claw.synced()
    await claw.kill()
    world.claws.remove(claw)
    again = await world.claw()
    await again.got(6 - len(done))
    await again.live(2)
    world.double.post(world.direct, "21", "last")
    await until(lambda: "last" in texts(again), "the last message")
    assert [line["id"] for line in again.received[:-1]] == [id for id in seen if id not in done]


@test
async def refused_message_is_finished(world):
    claw = await world.claw()
    await claw.live()
    claw.holds = True
    world.double.post(world.direct, "21", "no")
    await claw.got(1)
    claw.write({"refused": claw.received[0]["id"], "why": "not paired"})
    claw.write({"ack": "12345"})
    claw.write({"ack": claw.received[0]["id"]})
    await claw.synced()
    await claw.kill()
    world.claws.remove(claw)
    again = await world.claw()
    await again.live(2)
    world.double.post(world.direct, "21", "yes")
    await again.got(1)
    assert texts(again) == ["yes"]


@test
async def long_gap_is_fetched_page_by_page_before_live_messages(world):
    claw = await world.claw()
    await claw.live()
    world.double.post(world.channel, "21", "first", mention=True)
    await claw.got(1)
    await claw.stop()
    world.claws.remove(claw)
    expected = []
    for number in range(700):
        world.double.post(world.channel, "22", f"noise {number}")
        if number % 2:
            expected.append(world.double.post(world.channel, "21", f"missed {number}", mention=True)["id"])
    again = await world.claw()
    await again.live(2)
    for number in range(20):
        expected.append(world.double.post(world.channel, "21", f"live {number}", mention=True)["id"])
    await again.got(len(expected))
    assert [line["id"] for line in again.received] == expected


@test
async def list_that_ends_during_an_outage_does_not_let_a_live_message_overtake(world):
    double = world.double
    claw = await world.claw()
    await claw.live()
    double.post(world.direct, "21", "known")
    await claw.got(1)
    double.list_delay = 0.5
    double.disconnect("op 9")
    await claw.live(2)
    double.accepting = False
    double.disconnect("op 9")
    fetches = lambda: double.requests.count(("GET", f"/api/v10/channels/{world.direct}/messages"))
    count = fetches()
    await until(lambda: fetches() > count, "the fetch after the list")
    double.post(world.direct, "21", "missed")
    double.accepting = True
    await claw.live(3)
    double.post(world.direct, "21", "live")
    await claw.got(3)
    assert texts(claw) == ["known", "missed", "live"], texts(claw)


@test
async def mention_in_a_channel_that_was_never_used_is_found_after_an_outage(world):
    claw = await world.claw()
    await claw.live()
    await claw.stop()
    world.claws.remove(claw)
    world.double.post(world.other, "21", "are you there?", mention=True)
    again = await world.claw()
    await again.got(1)
    assert texts(again) == ["are you there?"]


@test
async def once_fetches_and_ends(world):
    claw = await world.claw()
    await claw.live()
    world.double.post(world.direct, "21", "one")
    await claw.got(1)
    await claw.stop()
    world.claws.remove(claw)
    world.double.post(world.direct, "21", "two")
    once = await world.claw(CLAW_ONCE="1")
    assert await once.ended() == 0, once.errors
    assert texts(once) == ["two"] and world.double.counts["ready"] == 1


@test
async def second_program_in_the_same_folder_ends_with_75(world):
    claw = await world.claw()
    await claw.live()
    second = Claw(world.double, claw.state)
    await second.start()
    assert await second.ended() == 75 and "another claw-discord" in second.errors


@test
async def greeting_twice_does_not_confuse_it(world):
    claw = await world.claw()
    await claw.live()
    world.double.post(world.direct, "21", "before")
    await claw.got(1)
    for how in (4000, "op 9"):
        world.double.hello_twice = True
        world.double.disconnect(how)
        world.double.post(world.direct, "21", "meanwhile")
        world.double.post(world.direct, "21", "hello")
        count = len(world.double.messages[world.direct])
        await claw.got(count)
    assert texts(claw) == ["before"] + 2 * ["meanwhile", "hello"] and "greeted twice" in claw.errors
    # What twilight answers to the second greeting is a breach, but of the server's making.
    world.double.violations = [one for one in world.double.violations if "twice" not in one and "open session" not in one]


@test
async def sequence_that_goes_back_repeats_nothing(world):
    claw = await world.claw()
    await claw.live()
    for number in range(5):
        world.double.post(world.direct, "21", f"{number}")
    await claw.got(5)
    world.double.sequence_back(4)
    await claw.synced()
    world.double.disconnect(4000)
    await claw.live(2)
    world.double.post(world.direct, "21", "5")
    await claw.got(6)
    await claw.synced()
    assert texts(claw) == [f"{number}" for number in range(6)]


@test
async def unanswered_resume_is_given_up(world):
    claw = await world.claw("--gateway-timeout", "1")
    await claw.live()
    # A bot can list no direct conversations: this one must be known.
    world.double.post(world.direct, "21", "before")
    await claw.got(1)
    world.double.resume = "silent"
    world.double.disconnect(4000)
    world.double.post(world.direct, "21", "hello")
    await until(lambda: world.double.counts["ready"] == 2, lambda: claw.errors)
    await claw.got(2)
    assert "not ready within 1 s" in claw.errors


@test
async def zombie_gateway_is_left(world):
    world.double.heartbeat = 300
    claw = await world.claw()
    await claw.live()
    world.double.zombie = True
    world.double.post(world.direct, "21", "unheard")
    await until(lambda: not any(session.socket for session in world.double.sessions.values()), "the end of the connection")
    world.double.zombie = False
    await claw.got(1)
    assert texts(claw) == ["unheard"]


@test
async def ids_of_two_to_the_63_are_left_out(world):
    claw = await world.claw()
    await claw.live()
    for id in (1 << 63, (1 << 64) - 1, 1 << 64, 1 << 62):
        world.double.post(world.direct, "21", "poison", id=str(id))
    world.double.post(world.direct, "21", "one")
    await claw.got(1)
    # The same ids in a page of REST.
    world.double.disconnect("op 9")
    await claw.live(2)
    world.double.post(world.direct, "21", "two")
    await claw.got(2)
    assert texts(claw) == ["one", "two"] and "from the future" in claw.errors


@test
async def events_that_are_none_are_skipped(world):
    claw = await world.claw()
    await claw.live()
    (session,) = world.double.sessions.values()
    for text in ["{}", "[]", "nonsense", '{"op":0}', '{"op":0,"t":"MESSAGE_CREATE","s":2,"d":{"id":{}}}', '{"op":99,"d":null}', '{"op":0,"t":"NEW_KIND","s":3,"d":[]}']:
        world.double.send(session.socket, text)
    world.double.dispatch(session, "MESSAGE_CREATE", {"id": "0", "channel_id": world.direct})
    world.double.post(world.direct, "21", "hello")
    await claw.got(1)


@test
async def wrong_token_and_intents_end_with_78_and_the_way_out(world):
    claw = await world.claw(token=TOKEN[:-1] + "X", state="wrong")
    assert await claw.ended() == 78 and "Reset Token" in claw.errors, claw.errors
    assert TOKEN[:-1] not in claw.errors
    for code, way_out in ((4013, "update claw-discord"), (4014, "Privileged Gateway Intents")):
        world.double.refuse_intents = code
        claw = await world.claw(state=str(code))
        assert await claw.ended() == 78 and way_out in claw.errors, claw.errors
    # The token is reset while the program runs.
    world.double.refuse_intents = None
    claw = await world.claw(state="reset")
    await claw.live()
    world.double.token = "another" * 8
    world.double.disconnect("op 9")
    assert await claw.ended() == 78 and "Reset Token" in claw.errors, claw.errors


@test
async def long_message_is_sent_in_parts_without_mentions_or_previews(world):
    claw = await world.claw()
    await claw.live()
    text = "\n\n".join(f"paragraph {number} " + "word " * 150 + "@everyone" for number in range(6))
    answer = await claw.sent("event-1", "301", text)
    parts = [message for message in world.double.messages["301"] if message["author"]["id"] == BOT["id"]]
    assert answer == {"sent": "event-1", "receipt": " ".join(part["id"] for part in parts)}
    assert len(parts) == 3 and "\n\n".join(part["content"] for part in parts) == text
    for part in parts:
        assert part["sent"]["allowed_mentions"] == {"parse": []} and part["sent"]["enforce_nonce"] is True
        assert part["sent"]["flags"] == 4


@test
async def part_whose_answer_is_lost_is_sent_exactly_once(world):
    claw = await world.claw()
    await claw.live()
    text = "\n\n".join("word " * 380 for _ in range(4))
    world.double.posts = ["ok", "after", "before", 504 - 300, 502, "ok"]
    answer = await claw.sent("event-2", "301", text)
    assert "sent" in answer and len(claw.answers["event-2"]) > 3, claw.answers
    assert len(world.double.sent("301")) == 4, world.double.sent("301")


@test
async def part_under_way_at_a_kill_is_sent_exactly_once(world):
    for number in range(3):
        claw = await world.claw()
        await claw.live(number + 1)
        double = world.double
        count = len(double.sent("301"))
        claw.send(f"kill-{number}", "301", "\n\n".join("word " * 380 for _ in range(3)))
        await until(lambda: len(double.sent("301")) > count, "the first part")
        await claw.kill()
        world.claws.remove(claw)
        claw = await world.claw()
        assert "sent" in await claw.sent(f"kill-{number}", "301", "another text that claw would never give")
        assert len(double.sent("301")) == count + 3
        assert time_passes(claw, f"kill-{number}") == 0, "a sent part is not stored"
        assert "sent" in await claw.sent(f"kill-{number}", "301", "again, as after a kill of claw itself")
        assert len(double.sent("301")) == count + 3
        await claw.kill()
        world.claws.remove(claw)


@test
async def kill_sweep_loses_nothing_and_sends_every_part_once(world):
    """Kills at 40 instants of starting, fetching, handing over and sending."""
    dice, double = random.Random(11), world.double
    double.message_limit = (1_000, 1.0)
    posted, sends, received, answered, kills = [], {}, [], set(), 0

    def collect(claw):
        received.extend(line["id"] for line in claw.received if line["id"] not in received)
        answered.update(id for id, answers in claw.answers.items() if "sent" in answers[-1])

    # The direct conversation must be known: a bot can list none.
    claw = await world.claw()
    await claw.live()
    posted.append(double.post(world.direct, "21", "first")["id"])
    await claw.got(1)
    await claw.stop()
    world.claws.remove(claw)
    collect(claw)
    for number in range(40):
        claw = await world.claw()
        posted.append(double.post(world.direct, "21", f"a {number}")["id"])
        sends[f"sweep-{number}"] = f"{number} one " + "x" * 1_500 + f"\n\n{number} two " + "y" * 1_500
        for id in sends.keys() - answered:
            claw.send(id, "301", sends[id])
        # The instant of the kill; nothing is waited for.
        await asyncio.sleep(dice.random() * 0.3)
        posted.append(double.post(world.direct, "21", f"b {number}")["id"])
        await claw.kill()
        world.claws.remove(claw)
        kills += 1
        collect(claw)
    claw = await world.claw()
    for id in sorted(sends.keys() - answered):
        assert "sent" in await claw.sent(id, "301", sends[id]), claw.answers[id]
    await until(lambda: collect(claw) or set(received) == set(posted), lambda: f"{len(received)} of {len(posted)}; {claw.errors}")
    assert received == posted, "order"
    parts = sorted(text.split(" x")[0].split(" y")[0] for text in double.sent("301"))
    assert parts == sorted(f"{number} {which}" for number in range(40) for which in ("one", "two")), parts
    print(f"    {kills} kills: {len(posted)} messages, 0 lost, in order; {len(parts)} parts, 0 doubled")


@test
async def another_server_gets_no_request_by_a_redirection(world):
    thief = await Double().start()
    try:
        claw = await world.claw()
        await claw.live()
        world.double.redirect = thief.api
        claw.send("redirected", "301", "x")
        await until(lambda: "redirected" in claw.answers, "an answer")
        assert "sent" not in claw.answers["redirected"][0] and thief.requests == []
    finally:
        await thief.stop()


@test
async def part_of_unknown_fate_is_held_after_the_window(world):
    claw = await world.claw()
    await claw.live()
    world.double.posts = ["after"]
    claw.send("event-3", "301", "once")
    await until(lambda: "event-3" in claw.answers, "an answer")
    assert claw.answers["event-3"][0]["retry_after"] >= 1
    assert time_passes(claw, "event-3") == 1
    answer = await claw.sent("event-3", "301", "once")
    assert "may have been sent" in answer["why"] and world.double.sent("301") == ["once"]
    # The owner has looked, and sends it again.
    world.double.nonces.clear()
    assert "sent" in await claw.sent("event-3", "301", "once")
    assert world.double.sent("301") == ["once", "once"]


@test
async def destinations_are_users_channels_and_threads(world):
    claw = await world.claw()
    await claw.live()
    for to, place in (("21", world.direct), ("22", None), ("301", "301"), ("301/303", "303")):
        answer = await claw.sent(f"to-{to.replace('/', '-')}", to, f"hi {to}")
        assert "sent" in answer, answer
        assert world.double.sent(place or world.double.direct("22")) == [f"hi {to}"]
    for to in ("", "ann", "0", "-1", "404040", "301/404040", "18446744073709551616"):
        answer = await claw.sent("bad", to, "x")
        assert "failed" in answer and "retry_after" not in answer, answer


@test
async def answer_to_the_bots_first_word_is_found_after_an_outage(world):
    claw = await world.claw()
    await claw.live()
    assert "sent" in await claw.sent("first", "22", "good morning")
    await claw.stop()
    world.claws.remove(claw)
    world.double.post(world.double.direct("22"), "22", "good morning, claw")
    again = await world.claw()
    await again.got(1)
    assert again.received[0]["from"] == "22" and "chat" not in again.received[0]


@test
async def refusals_are_permanent_and_name_the_permission(world):
    claw = await world.claw()
    await claw.live()
    double = world.double
    double.no_access.add("302")
    double.no_send.add("301")
    double.blocked.add("22")
    double.channels["303"]["thread_metadata"]["locked"] = True
    for to, word in (("302", "View Channel"), ("301", "Send Messages"), ("22", "blocked the bot"), ("301/303", "Manage Threads")):
        answer = await claw.sent(f"no-{to.replace('/', '-')}", to, "x")
        assert "retry_after" not in answer and word in answer["why"], answer
    # The permission is given, and the owner retries: the refused part was certainly not sent.
    double.no_send.clear()
    time_passes(claw, "no-301")
    assert "sent" in await claw.sent("no-301", "301", "x")


@test
async def message_with_the_token_in_it_does_not_show_it(world):
    claw = await world.claw()
    await claw.live()
    world.double.post(world.direct, "21", f"is {TOKEN} yours?")
    await claw.got(1)
    assert texts(claw) == ["is [token] yours?"]


@test
async def buckets_are_kept(world):
    world.double.message_limit = (3, 0.5)
    claw = await world.claw()
    await claw.live()
    for number in range(12):
        claw.send(f"bucket-{number}", "301", f"text {number}")
        claw.send(f"other-{number}", "302", f"text {number}")
    await until(lambda: len(claw.answers) == 24, lambda: f"{len(claw.answers)} answers")
    for place in ("301", "302"):
        assert world.double.sent(place) == [f"text {number}" for number in range(12)]
    assert world.double.counts.get("429", 0) == 0, "requests beyond the bucket"


@test
async def global_limit_is_waited_for(world):
    claw = await world.claw()
    await claw.live()
    await until(lambda: world.double.requests[-1][1].endswith("/threads/active"), "the list")
    world.double.global_429 = time.monotonic() + 1.5
    requests = len(world.double.requests)
    assert "sent" in await claw.sent("global", "301", "text")
    assert time.monotonic() >= world.double.global_429 and len(world.double.requests) - requests == 2


@test
async def account_pauses_after_a_thousand_refusals(world):
    world.double.no_access.add("302")
    world.double.message_limit = (10_000, 1.0)
    world.double.global_limit = 10_000
    claw = await world.claw()
    await claw.live()
    for number in range(1_005):
        claw.send(f"refused-{number}", f"302/{302}", "x")
    await until(lambda: "the account pauses" in claw.errors, lambda: f"{len(claw.answers)} answers", 100)
    requests = len(world.double.requests)
    claw.send("later", "301", "x")
    await until(lambda: "later" in claw.answers, "an answer")
    assert claw.answers["later"][0]["retry_after"] > 500 and len(world.double.requests) == requests


@test
async def pings_are_answered_once_the_gateway_is_ready(world):
    double = world.double
    double.accepting = False
    claw = await world.claw()
    claw.write({"ping": 1})
    await until(lambda: ("GET", "/api/v10/gateway/bot") in double.requests, "a request")
    assert claw.pongs == []
    double.accepting = True
    await claw.live()
    await until(lambda: claw.pongs == [1], "a pong")
    double.post(world.direct, "21", "hello")
    await claw.got(1)


@test
async def without_a_network_it_ends_with_69(world):
    claw = Claw(world.double, world.folder / "state")
    # A port that is open, and closed again.
    free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    claw.double = type("", (), {"api": f"http://127.0.0.1:{port}/api/v10"})
    await claw.start()
    claw.write({"ping": 1})
    claw.send("unsent", "301", "x")
    await until(lambda: "unsent" in claw.answers, "an answer")
    assert claw.answers["unsent"][0]["retry_after"] >= 1
    assert await claw.ended() == 69 and "cannot be reached: no answer" in claw.errors, claw.errors
    assert claw.pongs == []


@test
async def claw_itself_answers_over_kills_of_both(world):
    """The whole way: a message of Discord, an event, a turn of the offline model, the answer in Discord."""
    program = ROOT / "target/debug/claw"
    if not program.exists() and os.environ.get("CLAW_REQUIRE_PEERS") != "1":
        print("SKIPPED: claw is not built (cargo build)")
        return
    home, double = world.folder, world.double
    root = home / "ws"
    root.mkdir()
    (home / "token").write_text(TOKEN)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "USER": "ann", "TZ": "UTC", "OLLAMA_HOST": "127.0.0.1:1"}

    async def claw(*arguments):
        done = await asyncio.create_subprocess_exec(program, *arguments, cwd=root, env=env, stdin=asyncio.subprocess.DEVNULL,
                                                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        out = (await done.communicate())[0].decode()
        assert TOKEN not in out
        return done.returncode, out

    assert (await claw("init", "."))[0] == 0
    command = json.dumps([str(PROGRAM), "--token-file", str(home / "token"), "--api", double.api])
    with (root / "claw.yaml").open("a") as file:
        file.write(f"\nchannels:\n  discord: {{type: exec, command: {command}, policy: allow, allow: [21], groups: [301]}}\n")
    assert (await claw("trust"))[0] == 0
    log = (home / "log").open("wb")

    async def supervise():
        return await asyncio.create_subprocess_exec(program, "supervise", cwd=root, env=env, stdin=asyncio.subprocess.DEVNULL,
                                                    stdout=log, stderr=log, start_new_session=True)

    ready = lambda: double.counts.get("ready", 0) + double.counts.get("resume", 0)
    said = lambda: (home / "log").read_text()[-3000:]
    supervisor = await supervise()
    try:
        await until(ready, lambda: f"the gateway; {said()}")
        double.post(world.direct, "21", "hello")
        double.post(world.direct, "22", "I am a stranger")
        double.post(world.channel, "21", "hello in the channel", mention=True)
        double.post(world.thread, "21", "hello in the thread", mention=True)
        double.post(world.other, "21", "hello in a channel that is not in the settings", mention=True)
        places = (world.direct, world.channel, world.thread)
        await until(lambda: all(len(double.sent(place)) == 1 for place in places), lambda: f"three answers; {said()}")
        # All of it dies while messages come.
        before = ready()
        os.killpg(supervisor.pid, signal.SIGKILL)
        await supervisor.wait()
        await until(lambda: not double.sockets, "the end of the bridge")
        for number in range(5):
            double.post(world.direct, "21", f"while you were dead {number}")
        supervisor = await supervise()
        await until(lambda: ready() > before, lambda: f"the gateway; {said()}")
        double.post(world.direct, "21", "welcome back")
        await until(lambda: len(double.sent(world.direct)) == 7, lambda: f"{double.sent(world.direct)}; {said()}")
        code, out = await claw("channels")
        assert code == 0 and "listening" in out, out
        supervisor.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(supervisor.wait(), LIMIT) == 0
        assert len(double.sent(world.direct)) == 7 and double.sent(world.other) == []
        order = [text for text in double.sent(world.direct) if "dead" in text]
        assert order == sorted(order), order
        assert TOKEN not in said()
    finally:
        if supervisor.returncode is None:
            os.killpg(supervisor.pid, signal.SIGKILL)
            await supervisor.wait()
        log.close()


@test
async def discord_py_runs_unchanged_against_the_double(world):
    """Only its two URLs are set. It logs in, hears, resumes, keeps the buckets, and reads the history."""
    import discord
    from discord.gateway import DiscordWebSocket
    from discord.http import Route
    from yarl import URL

    double = world.double
    double.message_limit = (5, 1.0)
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = double.api, URL(double.socket_url)
    intents = discord.Intents.none()
    intents.guilds = intents.guild_messages = intents.dm_messages = True
    client = discord.Client(intents=intents)
    heard, resumed, ready = [], asyncio.Event(), asyncio.Event()

    @client.event
    async def on_ready():
        ready.set()

    @client.event
    async def on_resumed():
        resumed.set()

    @client.event
    async def on_message(message):
        if message.author != client.user:
            heard.append(message.content)
            if message.content == "count":
                for number in range(7):
                    await message.channel.send(f"{number}", nonce=f"n{number}")

    async with client:
        running = asyncio.create_task(client.start(double.token))
        await asyncio.wait_for(ready.wait(), LIMIT)
        assert [guild.name for guild in client.guilds] == ["server 300"] and str(client.user) == "claw"
        double.post(world.direct, "21", "count")
        await until(lambda: len(double.sent(world.direct)) == 7, lambda: f"{double.sent(world.direct)}")
        assert double.sent(world.direct) == [str(number) for number in range(7)]
        # A mention has its text without the privileged intent, other messages have none.
        double.post(world.channel, "21", "secret")
        double.post(world.channel, "21", "open", mention=True)
        await until(lambda: len(heard) == 3, lambda: f"{heard}")
        assert heard == ["count", "", f"<@{BOT['id']}> open"]
        double.disconnect("abort")
        double.post(world.direct, "21", "missed")
        await asyncio.wait_for(resumed.wait(), LIMIT)
        await until(lambda: heard[-1] == "missed", lambda: f"{heard}")
        channel = await client.fetch_channel(int(world.direct))
        first = int(double.messages[world.direct][0]["id"])
        history = [message.content async for message in channel.history(after=discord.Object(first), oldest_first=True, limit=None)]
        assert history == [str(number) for number in range(7)] + ["missed"]
        double.no_send.add("301")
        try:
            await client.get_channel(301).send("x")
            raise AssertionError("discord.py was not refused")
        except discord.Forbidden as refused:
            assert refused.code == 50013
        await client.close()
        await running
    refused = discord.Client(intents=intents)
    try:
        async with refused:
            await refused.start("wrong" * 8)
        raise AssertionError("discord.py was let in")
    except discord.LoginFailure:
        pass
    # Not allowed in the portal: close code 4014.
    intents.message_content = True
    try:
        async with discord.Client(intents=intents) as privileged:
            await privileged.start(double.token)
        raise AssertionError("discord.py was let in")
    except discord.PrivilegedIntentsRequired:
        pass


async def run(function, gate):
    async with gate:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="claw-discord-", dir=memory))
        double = await Double().start()
        world = World(double, folder)
        begun = time.monotonic()
        try:
            await asyncio.wait_for(function(world), 120)
            for claw in world.claws:
                await claw.stop()
            assert double.violations == [], double.violations
            print(f"ok    {function.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
            return True
        except Exception:
            print(f"FAILED {function.__name__}\n{traceback.format_exc()}", flush=True)
            for claw in world.claws:
                print(claw.errors[-2000:])
            print(double.violations)
            return False
        finally:
            for claw in world.claws:
                if claw.process and claw.process.returncode is None:
                    claw.process.kill()
            await double.stop()
            shutil.rmtree(folder, ignore_errors=True)


async def main():
    global PROGRAM
    words = sys.argv[1:]
    if words and os.sep in words[0]:
        PROGRAM = Path(words.pop(0)).resolve()
    chosen = [one for one in TESTS if not words or any(word in one.__name__ for word in words)]
    gate = asyncio.Semaphore(6)
    results = await asyncio.gather(*(run(one, gate) for one in chosen))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


sys.exit(asyncio.run(main()))
