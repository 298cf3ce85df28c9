"""A strict double of Discord: gateway, REST API, rate limits, nonces, close codes.

It holds what Discord's documentation promises and no more, refuses what Discord refuses, and records every breach of the
rules by a client in `violations`. `test_discord.py` shows that it is faithful: discord.py runs against it unchanged.
"""

import asyncio
import json
import re
import time
import zlib

from aiohttp import WSMsgType, web

EPOCH = 1_420_070_400_000
GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 0, 1 << 9, 1 << 12, 1 << 15
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
KNOWN_INTENTS = (1 << 17) - 1 | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25
TOKEN = "MTA5OTk5.GdOuBl.e-0123456789abcdefghijklmnop"
BOT = {"id": "9000", "username": "claw", "discriminator": "0", "avatar": None, "global_name": None, "bot": True}


class Session:
    def __init__(self, name, intents):
        self.name, self.intents = name, intents
        self.sequence, self.log, self.socket = 0, [], None


class Double:
    def __init__(self, **options):
        self.heartbeat = 41_250
        self.token = TOKEN
        self.privileged = False  # whether the portal allows privileged intents
        self.refuse_intents = None  # 4013 or 4014 for every identify
        self.max_concurrency = 1
        self.identify_limit = False  # at most one identify in five seconds for each of max_concurrency
        self.nonce_window = 180.0
        self.message_limit = (5, 5.0)  # POST messages: so many in so many seconds
        self.read_limit = (50, 1.0)
        self.global_limit = 50
        self.resume = "ok"  # ok, silent, invalid
        self.accepting = True
        self.hello_twice = False
        self.zombie = False
        self.posts = []  # faults of the next POSTs: "before", "after", a status
        self.global_429 = 0.0
        self.redirect = None  # another server, to which all requests are sent
        self.list_delay = 0.0  # of the list of servers
        vars(self).update(options)
        self.users = {BOT["id"]: BOT}
        self.guilds, self.channels, self.messages = {}, {}, {}
        self.nonces, self.buckets, self.sessions = {}, {}, {}
        self.counts, self.violations, self.identifies, self.requests = {}, [], [], []
        self.blocked, self.no_access, self.no_send = set(), set(), set()
        self.unique = 0
        self.last = 0
        self.sockets = set()

    # The world

    def snowflake(self, millis=None):
        self.unique += 1
        millis = int(time.time() * 1000) if millis is None else millis
        self.last = max(self.last + 1, (millis - EPOCH) << 22 | self.unique & 0xFFF)
        return str(self.last)

    def user(self, id, name):
        self.users[id] = {"id": id, "username": name, "discriminator": "0", "avatar": None, "global_name": name.title()}
        return self.users[id]

    def guild(self, id):
        self.guilds[id] = {"id": id, "name": f"server {id}", "owner_id": "1", "icon": None}

    def channel(self, id, guild, kind=0, parent=None):
        self.channels[id] = {"id": id, "type": kind, "guild_id": guild, "name": f"c{id}", "position": 0, "topic": None,
                             "nsfw": False, "permission_overwrites": [], "parent_id": parent, "last_message_id": None}
        if kind in (10, 11, 12):
            self.channels[id] |= {"owner_id": "1", "message_count": 0, "member_count": 1, "thread_metadata": {
                "archived": False, "locked": False, "auto_archive_duration": 1440,
                "archive_timestamp": "2026-01-01T00:00:00+00:00"}}
        self.messages[id] = []
        return id

    def direct(self, user):
        for channel in self.channels.values():
            if channel["type"] == 1 and channel["recipients"][0]["id"] == user:
                return channel["id"]
        id = str(int(user) + 500_000)
        self.channels[id] = {"id": id, "type": 1, "last_message_id": None, "recipients": [self.users[user]]}
        self.messages[id] = []
        return id

    def post(self, channel, author, content, mention=False, reply=None, id=None, live=True, **more):
        """Somebody writes a message."""
        where = self.channels[channel]
        id = id or self.snowflake()
        mentions = [{**BOT}] if mention else []
        message = {"id": id, "channel_id": channel, "author": self.users[author], "type": 19 if reply else 0,
                   "content": f"<@{BOT['id']}> {content}" if mention else content, "timestamp": stamp(id), "edited_timestamp": None,
                   "tts": False, "mention_everyone": False, "mentions": mentions, "mention_roles": [], "attachments": [],
                   "embeds": [], "pinned": False, "components": [], "flags": 0, **more}
        if reply:
            message["referenced_message"] = reply
            message["message_reference"] = {"message_id": reply["id"], "channel_id": channel}
        self.messages[channel].append(message)
        where["last_message_id"] = id
        if live:
            self.dispatch_message(message)
        return message

    def seen(self, message, intents):
        """A message as a client with these intents gets it."""
        channel = self.channels[message["channel_id"]]
        is_own = message["author"]["id"] == BOT["id"]
        is_told = any(user["id"] == BOT["id"] for user in message["mentions"])
        if channel["type"] == 1 or is_own or is_told or intents & MESSAGE_CONTENT:
            return message
        return {**message, "content": "", "embeds": [], "attachments": [], "components": []}

    def dispatch_message(self, message):
        channel = self.channels[message["channel_id"]]
        for session in self.sessions.values():
            needed = DIRECT_MESSAGES if channel["type"] == 1 else GUILD_MESSAGES
            if session.intents & needed and channel["id"] not in self.no_access:
                event = self.seen(message, session.intents)
                if channel["type"] != 1:
                    event = {**event, "guild_id": channel["guild_id"], "member": {"roles": [], "joined_at": None, "deaf": False, "mute": False, "flags": 0}}
                self.dispatch(session, "MESSAGE_CREATE", event)

    # The gateway

    def dispatch(self, session, name, data):
        session.sequence += 1
        event = {"op": 0, "t": name, "s": session.sequence, "d": data}
        session.log.append(event)
        if session.socket and not self.zombie:
            self.send(session.socket, event)

    def send(self, socket, event):
        text = event if isinstance(event, str) else json.dumps(event)
        if socket.zlib:
            frame = socket.zlib.compress(text.encode()) + socket.zlib.flush(zlib.Z_SYNC_FLUSH)
            socket.out.put_nowait(frame)
        else:
            socket.out.put_nowait(text)

    def sequence_back(self, steps):
        """Says an older sequence than before, with an event that changes nothing."""
        for session in self.sessions.values():
            if session.socket:
                self.send(session.socket, {"op": 0, "t": "TYPING_START", "s": max(1, session.sequence - steps), "d": {}})

    def disconnect(self, how):
        """Ends all connections: a close code, "abort", or op 7 (reconnect) or op 9 (session is over)."""
        for session in list(self.sessions.values()):
            socket, session.socket = session.socket, None
            if socket is None:
                continue
            if how == "op 7":
                self.send(socket, {"op": 7, "d": None})
            elif how == "op 9":
                self.sessions.pop(session.name)
                self.send(socket, {"op": 9, "d": False})
            else:
                socket.out.put_nowait(how)

    async def gateway(self, request):
        if not self.accepting:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=True, max_msg_size=1 << 20)
        try:
            await socket.prepare(request)
        except ConnectionError:  # the client was killed
            return socket
        socket.zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        socket.out = asyncio.Queue()
        self.sockets.add(socket)
        transport = request.transport
        writer = asyncio.create_task(self.write(socket, transport))
        try:
            if (request.query.get("v"), request.query.get("encoding")) != ("10", "json"):
                return await self.close(socket, 4012, "version or encoding")
            self.send(socket, {"op": 10, "d": {"heartbeat_interval": self.heartbeat, "_trace": []}})
            if self.hello_twice:
                self.hello_twice = False
                self.send(socket, {"op": 10, "d": {"heartbeat_interval": self.heartbeat, "_trace": []}})
            await self.converse(socket)
        finally:
            writer.cancel()
            self.sockets.discard(socket)
            for session in self.sessions.values():
                if session.socket is socket:
                    session.socket = None
        return socket

    async def write(self, socket, transport):
        while True:
            frame = await socket.out.get()
            try:
                if frame == "abort":
                    transport.abort()
                elif isinstance(frame, int):
                    await socket.close(code=frame)
                elif isinstance(frame, bytes):
                    await socket.send_bytes(frame)
                else:
                    await socket.send_str(frame)
            except (ConnectionError, RuntimeError):
                return

    async def close(self, socket, code, why):
        if code in (4001, 4002, 4003, 4005, 4007, 4008, 4012):
            self.violations.append(f"gateway {code}: {why}")
        await socket.close(code=code, message=why.encode())
        return socket

    async def converse(self, socket):
        session, commands, beats = None, [], time.monotonic()
        while True:
            patience = beats + self.heartbeat * 1.6 / 1000 + 1 - time.monotonic()
            try:
                frame = await asyncio.wait_for(socket.receive(), max(patience, 0.01))
            except asyncio.TimeoutError:
                return await self.close(socket, 4009, "no heartbeat")
            if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
                if session and frame.type == WSMsgType.CLOSE and frame.data in (1000, 1001):
                    self.sessions.pop(session.name, None)
                return
            commands = [at for at in commands if at > time.monotonic() - 60] + [time.monotonic()]
            if len(commands) > 120:
                return await self.close(socket, 4008, "more than 120 commands in 60 s")
            try:
                event = json.loads(frame.data)
                op, data = event["op"], event.get("d")
            except (ValueError, KeyError, TypeError):
                return await self.close(socket, 4002, "not an event")
            if len(frame.data) > 4096:
                return await self.close(socket, 4002, "more than 4096 bytes")
            if op == 1:
                beats = time.monotonic()
                if data is not None and not (isinstance(data, int) and data >= 0):
                    return await self.close(socket, 4002, "heartbeat without a sequence")
                if session and data is not None and data > session.sequence:
                    self.violations.append("a heartbeat is ahead of its session")
                if not self.zombie:
                    self.send(socket, {"op": 11})
            elif op == 2:
                if session:
                    return await self.close(socket, 4005, "identified twice")
                session = await self.identify(socket, data)
                if session is None and socket.closed:
                    return
            elif op == 6:
                if session:
                    return await self.close(socket, 4005, "resumed an open session")
                session = await self.resumed(socket, data)
                if socket.closed:
                    return
            elif session is None:
                return await self.close(socket, 4003, f"op {op} before identify")
            elif op not in (3, 4, 8, 31):
                return await self.close(socket, 4001, f"op {op}")

    async def identify(self, socket, data):
        if not isinstance(data, dict) or not {"token", "properties", "intents"} <= data.keys():
            await self.close(socket, 4002, "identify is incomplete")
            return None
        now = time.monotonic()
        self.identifies = [at for at in self.identifies if at > now - 5]
        if self.identify_limit and len(self.identifies) >= self.max_concurrency:
            self.violations.append("identified too often")
            self.send(socket, {"op": 9, "d": False})
            return None
        self.identifies.append(now)
        if data["token"].removeprefix("Bot ") != self.token:
            await self.close(socket, 4004, "Authentication failed.")
            return None
        intents = data["intents"]
        if not isinstance(intents, int) or intents & ~KNOWN_INTENTS or self.refuse_intents == 4013:
            await self.close(socket, 4013, "Invalid intent(s).")
            return None
        if intents & PRIVILEGED and not self.privileged or self.refuse_intents == 4014:
            await self.close(socket, 4014, "Disallowed intent(s).")
            return None
        self.unique += 1
        session = Session(f"session-{self.unique}", intents)
        session.socket = socket
        self.sessions[session.name] = session
        self.counts["ready"] = self.counts.get("ready", 0) + 1
        self.dispatch(session, "READY", {
            "v": 10, "user": {**BOT, "verified": True, "mfa_enabled": False, "flags": 0, "email": None}, "session_id": session.name,
            "resume_gateway_url": self.socket_url, "session_type": "normal", "private_channels": [], "shard": [0, 1],
            "guilds": [{"id": id, "unavailable": True} for id in self.guilds], "application": {"id": BOT["id"], "flags": 0}})
        if intents & GUILDS:
            for guild in self.guilds.values():
                of = lambda threads: [c for c in self.channels.values() if c.get("guild_id") == guild["id"] and (c["type"] in (10, 11, 12)) == threads]
                self.dispatch(session, "GUILD_CREATE", {
                    **guild, "channels": of(False), "threads": of(True), "members": [{"user": BOT, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0}],
                    "roles": [{"id": guild["id"], "name": "@everyone", "color": 0, "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None}, "hoist": False, "position": 0, "permissions": "104324673", "managed": False, "mentionable": False, "flags": 0}],
                    "emojis": [], "stickers": [], "features": [], "member_count": 1, "presences": [], "voice_states": [], "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
                    "verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0, "mfa_level": 0, "nsfw_level": 0, "system_channel_flags": 0, "premium_tier": 0, "premium_progress_bar_enabled": False,
                    "preferred_locale": "en-US", "afk_timeout": 60, "large": False, "unavailable": False, "joined_at": "2026-01-01T00:00:00+00:00", "afk_channel_id": None, "system_channel_id": None, "rules_channel_id": None, "public_updates_channel_id": None, "safety_alerts_channel_id": None, "application_id": None, "description": None, "banner": None, "splash": None, "discovery_splash": None, "vanity_url_code": None})
        return session

    async def resumed(self, socket, data):
        if data["token"].removeprefix("Bot ") != self.token:
            await self.close(socket, 4004, "Authentication failed.")
            return None
        session = self.sessions.get(data["session_id"])
        self.counts["resume"] = self.counts.get("resume", 0) + 1
        if self.resume == "silent":
            return Session("nothing", 0)
        if session is None or self.resume == "invalid":
            self.sessions.pop(data["session_id"], None)
            self.send(socket, {"op": 9, "d": False})
            return None
        if data["seq"] > session.sequence:
            await self.close(socket, 4007, "a sequence that was never sent")
            return None
        session.socket = socket
        for event in session.log:
            if event["s"] > data["seq"]:
                self.send(socket, event)
        self.dispatch(session, "RESUMED", {"_trace": []})
        return session

    # The REST API

    @web.middleware
    async def guard(self, request, handler):
        if request.path == "/":
            return await handler(request)
        self.requests.append((request.method, request.path))
        if self.redirect:
            return web.Response(status=307, headers={"Location": self.redirect + request.path.removeprefix("/api/v10")})
        agent = request.headers.get("User-Agent", "")
        if not re.match(r"^DiscordBot \(\S+ [^)\s]+\)", agent):
            self.violations.append(f"user agent {agent!r}")
        if request.headers.get("Authorization") != f"Bot {self.token}":
            return plain(refuse(401, 0, "401: Unauthorized"))
        limited = self.limited(request)
        if limited is not None:
            return plain(limited)
        response = await handler(request)
        response.headers.update(request.get("limits", {}))
        return plain(response)

    def limited(self, request):
        now = time.monotonic()
        if self.global_429 > now:
            return self.too_many(self.global_429 - now, {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}, True)
        seconds = [at for at in self.counts.setdefault("global", []) if at > now - 1]
        self.counts["global"] = seconds
        if len(seconds) >= self.global_limit:
            self.counts["429"] = self.counts.get("429", 0) + 1
            return self.too_many(seconds[0] + 1 - now, {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}, True)
        seconds.append(now)
        found = re.match(r"/api/v10/(channels|guilds)/(\d+)", request.path)
        resource = found[2] if found else ""
        template = request.method + re.sub(r"\d{2,}", "N", request.path)
        limit, period = self.message_limit if template == "POST/api/vN/channels/N/messages" else self.read_limit
        name = f"{zlib.crc32(template.encode()):08x}"
        bucket = self.buckets.setdefault((name, resource), [limit, now + period])
        if bucket[1] <= now:
            bucket[:] = [limit, now + period]
        headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Reset": f"{time.time() + bucket[1] - now:.3f}",
                   "X-RateLimit-Reset-After": f"{bucket[1] - now:.3f}", "X-RateLimit-Bucket": name}
        if bucket[0] == 0:
            self.counts["429"] = self.counts.get("429", 0) + 1
            return self.too_many(bucket[1] - now, {**headers, "X-RateLimit-Remaining": "0", "X-RateLimit-Scope": "user"}, False)
        bucket[0] -= 1
        request["limits"] = {**headers, "X-RateLimit-Remaining": str(bucket[0])}
        return None

    def too_many(self, after, headers, is_global):
        body = {"message": "You are being rate limited.", "retry_after": round(after, 3), "global": is_global}
        return web.json_response(body, status=429, headers={**headers, "Retry-After": str(int(after) + 1)})

    def place(self, request):
        channel = self.channels.get(request.match_info["channel"])
        if channel is None:
            return None, refuse(404, 10003, "Unknown Channel")
        if channel["id"] in self.no_access:
            return None, refuse(403, 50001, "Missing Access")
        return channel, None

    async def me(self, request):
        return web.json_response({**BOT, "verified": True, "mfa_enabled": False, "flags": 0, "email": None})

    async def get_gateway(self, request):
        return web.json_response({"url": self.socket_url, "shards": 1, "session_start_limit": {
            "total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": self.max_concurrency if self.identify_limit else 0}})

    async def application(self, request):
        return web.json_response({"id": BOT["id"], "name": "claw", "icon": None, "description": "", "bot_public": False,
                                  "bot_require_code_grant": False, "verify_key": "0", "flags": 0, "team": None, "summary": "",
                                  "owner": {"id": "1", "username": "owner", "discriminator": "0", "avatar": None}})

    async def list_guilds(self, request):
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 200))
        await asyncio.sleep(self.list_delay)
        ids = sorted((id for id in self.guilds if int(id) > after), key=int)[:limit]
        return web.json_response([{**self.guilds[id], "owner": False, "permissions": "104324673", "features": []} for id in ids])

    async def list_channels(self, request):
        guild = request.match_info["guild"]
        if guild not in self.guilds:
            return refuse(404, 10004, "Unknown Guild")
        return web.json_response([c for c in self.channels.values() if c.get("guild_id") == guild and c["type"] not in (10, 11, 12)])

    async def list_threads(self, request):
        guild = request.match_info["guild"]
        of = [c for c in self.channels.values() if c.get("guild_id") == guild and c["type"] in (10, 11, 12) and not c["thread_metadata"]["archived"]]
        return web.json_response({"threads": of, "members": []})

    async def get_channel(self, request):
        channel, refused = self.place(request)
        return refused or web.json_response(channel)

    async def open_direct(self, request):
        user = (await request.json()).get("recipient_id")
        if user not in self.users:
            return refuse(404, 10013, "Unknown User")
        return web.json_response(self.channels[self.direct(user)])

    async def get_messages(self, request):
        channel, refused = self.place(request)
        if refused:
            return refused
        limit = int(request.query.get("limit", 50))
        if not 1 <= limit <= 100 or len({"before", "after", "around"} & request.query.keys()) > 1:
            self.violations.append(f"messages with {request.query_string}")
            return refuse(400, 50035, "Invalid Form Body")
        stored = sorted(self.messages[channel["id"]], key=lambda message: int(message["id"]))
        if "after" in request.query:
            found = [m for m in stored if int(m["id"]) > int(request.query["after"])][:limit]
        elif "before" in request.query:
            found = [m for m in stored if int(m["id"]) < int(request.query["before"])][-limit:]
        else:
            found = stored[-limit:]
        intents = MESSAGE_CONTENT if self.privileged else 0
        return web.json_response([self.seen(message, intents) for message in reversed(found)])

    async def create_message(self, request):
        fault = self.posts.pop(0) if self.posts else None
        if fault == "before":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int) and fault >= 500:
            return web.Response(status=fault, text="<html>bad gateway</html>")
        channel, refused = self.place(request)
        if refused:
            return refused
        body = await request.json()
        content, nonce = body.get("content"), body.get("nonce")
        if channel["id"] in self.no_send:
            return refuse(403, 50013, "Missing Permissions")
        if channel["type"] == 1 and channel["recipients"][0]["id"] in self.blocked:
            return refuse(403, 50007, "Cannot send messages to this user")
        if channel.get("thread_metadata", {}).get("locked"):
            return refuse(400, 50083, "Thread is archived")
        if not isinstance(content, str) or not content.strip():
            return refuse(400, 50006, "Cannot send an empty message")
        if len(content) > 2000 or nonce is not None and len(str(nonce)) > 25:
            self.violations.append("a message is too long")
            return refuse(400, 50035, "Invalid Form Body")
        now = time.monotonic()
        self.nonces = {key: value for key, value in self.nonces.items() if value[0] > now - self.nonce_window}
        if nonce is not None and body.get("enforce_nonce") and str(nonce) in self.nonces:
            message = self.nonces[str(nonce)][1]
        else:
            message = self.post(channel["id"], BOT["id"], content.strip(), live=False, nonce=nonce, flags=body.get("flags", 0), sent=body)
            self.nonces[str(nonce)] = (now, message)
            self.dispatch_message({key: value for key, value in message.items() if key != "sent"})
        if fault == "after":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return web.Response(status=fault + 300, text="<html>gateway timeout</html>")
        return web.json_response({key: value for key, value in message.items() if key != "sent"})

    def sent(self, channel):
        """The texts that the bot has written."""
        return [message["content"] for message in self.messages[channel] if message["author"]["id"] == BOT["id"]]

    async def unknown(self, request):
        return refuse(404, 0, "404: Not Found")

    async def start(self):
        app = web.Application(middlewares=[self.guard])
        app.router.add_get("/", self.gateway)
        for method, path, handler in [
            ("GET", "/users/@me", self.me), ("GET", "/gateway", self.get_gateway), ("GET", "/gateway/bot", self.get_gateway),
            ("GET", "/oauth2/applications/@me", self.application), ("GET", "/users/@me/guilds", self.list_guilds),
            ("GET", "/guilds/{guild}/channels", self.list_channels), ("GET", "/guilds/{guild}/threads/active", self.list_threads),
            ("GET", "/channels/{channel}", self.get_channel), ("GET", "/channels/{channel}/messages", self.get_messages),
            ("POST", "/channels/{channel}/messages", self.create_message), ("POST", "/users/@me/channels", self.open_direct),
        ]:
            app.router.add_route(method, "/api/v10" + path, handler)
        app.router.add_route("*", "/{rest:.*}", self.unknown)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.socket_url, self.api = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}/api/v10"
        return self

    async def stop(self):
        for socket in list(self.sockets):
            socket.out.put_nowait("abort")
        await self.runner.cleanup()


def stamp(id):
    millis = (int(id) >> 22) + EPOCH
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis / 1000)) + f".{millis % 1000:03d}000+00:00"
    except (ValueError, OverflowError):
        return "2084-09-06T15:47:35.551000+00:00"


def plain(response):
    """Discord's content type has no character set, and clients compare it as a whole."""
    if response.content_type == "application/json":
        response.headers["Content-Type"] = "application/json"
    return response


def refuse(status, code, message):
    return web.json_response({"code": code, "message": message}, status=status)
