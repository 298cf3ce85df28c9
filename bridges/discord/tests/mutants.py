#!/usr/bin/env python3
"""Breaks claw-discord in one place at a time, in a copy, and runs the tests that must notice.

  tests/mutants.py [WORD...]    those with one of the words in their name
  tests/mutants.py --check      only checks that every replacement has its place
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "target/mutants"

# name, file, old, new, test: `unit`, or a word in the name of a test of test_discord.py
MUTANTS = [
    ("the mark passes open messages", "ledger.rs", "behind.min(Snowflake(first.0 - 1))", "behind", "unit"),
    ("finished messages are not remembered", "ledger.rs", "|| self.done.contains(&id)", "", "nothing_acknowledged"),
    ("the mark has no slack", "ledger.rs", "self.newest.earlier(SLACK)", "self.newest", "unit"),
    ("an acknowledgement is not stored", "bridge/mod.rs", "self.store.save(at, place)\n", "Ok(())\n", "nothing_acknowledged"),
    ("a message is finished when it is handed over", "bridge/receiving.rs", "place.ledger.open(message.id);", "place.ledger.open(message.id); place.ledger.finish(message.id);", "nothing_acknowledged"),
    ("ids from the future are taken", "ledger.rs", "id.0 < 1 << 63 && id.millis() <= now.saturating_add(AHEAD)", "id.0 > now.min(0)", "ids_of_two"),
    ("live messages do not wait for the fetch", "bridge/receiving.rs", "Phase::Behind(_) | Phase::Fetching(_) => place.wait(message),", "Phase::Behind(_) | Phase::Fetching(_) => self.take(at, &message),", "long_gap"),
    ("only one page is fetched", "bridge/receiving.rs", "if page.is_full && last > after && is_known", "if page.is_full && last < after && is_known", "long_gap"),
    ("nothing is fetched after a reconnection", "bridge/mod.rs", "self.fall_behind();\n                self.list();", "self.is_listed = true;", "never_used"),
    ("a new connection does not put places behind", "bridge/mod.rs", "self.fall_behind();\n                self.list();", "self.list();", "overtake"),
    ("a part is not begun before its request", "send.rs", "if !matches!(step, Step::Done(_)) {", "if matches!(step, Step::Done(_)) {", "unknown_fate"),
    ("a sent part is not stored", "send.rs", "receipt.sent(part, id);\n                    save(&receipt)?;", "receipt.sent(part, id);", "under_way_at_a_kill"),
    ("each try has a nonce of its own", "receipt.rs", "State::Begun(_) | State::Sent(_) => {}", "State::Begun(_) | State::Sent(_) => next.round += 1,", "answer_is_lost"),
    ("the nonce is not enforced", "send.rs", '"enforce_nonce": true', '"enforce_nonce": false', "answer_is_lost"),
    ("the nonce is trusted for ever", "receipt.rs", "NONCE_WINDOW: u64 = 120_000", "NONCE_WINDOW: u64 = 1 << 60", "unknown_fate"),
    ("a refused part counts as unknown", "send.rs", "if !matches!(failure, Failure::Unknown(_)) {", "if matches!(failure, Failure::Unknown(_)) {", "refusals_are_permanent"),
    ("mentions are allowed", "send.rs", '{"parse": []}', '{"parse": ["everyone"]}', "without_mentions"),
    ("parts are too long", "cut.rs", "LIMIT: usize = 2000", "LIMIT: usize = 2001", "unit"),
    ("buckets are not learned", "rest.rs", "self.limits(|limits| limits.learn(", "self.limits(|_| Limits::default().learn(", "buckets"),
    ("a global limit counts for one route", "limits.rs", "if refusal.is_global {", "if false {", "unit"),
    ("refusals are not counted", "limits.rs", "self.refusals.push_back(now);", "", "unit"),
    ("a refusal is tried again", "send.rs", "Failure::Refused(_, why) => Self::Failed(why)", "Failure::Refused(_, why) => Self::Later(why, REPEAT)", "refusals_are_permanent"),
    ("the token is not removed", "output.rs", "text.replace(&*self.token, REDACTED)", "text.replace(REDACTED, REDACTED)", "token_in_it"),
    ("an unanswered resume is waited for", "gateway.rs", "Some(deadline) => timeout_at(deadline, next).await,", "Some(_) => Ok::<_, tokio::time::error::Elapsed>(next.await),", "unanswered_resume"),
    ("a second greeting is ignored", "gateway.rs", "Ok(Event { op: 10, .. }) if is_greeted =>", "Ok(Event { op: 10, .. }) if is_greeted && code == Some(1) =>", "greeting_twice"),
    ("refused intents are tried again", "gateway.rs", "        4014 =>", "        4999 =>", "wrong_token_and_intents"),
    ("a privileged intent is asked for", "gateway.rs", "Intents::GUILD_MESSAGES.union", "Intents::MESSAGE_CONTENT.union", "smallest_intents"),
    ("the folder is not locked", "store.rs", "match lock.try_lock() {", "match Ok::<(), TryLockError>(()) {", "second_program"),
    ("redirections are followed", "rest.rs", ".redirect(Policy::none())", ".redirect(Policy::limited(9))", "redirection"),
    ("programs are heard", "incoming.rs", "|| message.webhook_id.is_some()", "", "messages_for_the_bot"),
    ("everything in a channel is heard", "incoming.rs", "!kind.is_direct() && !is_reply && !is_mentioned", "!kind.is_direct() && is_reply && is_mentioned", "messages_for_the_bot"),
    ("a pong comes without a connection", "bridge/mod.rs", "if !self.was_ready => self.pings.push(number)", "if self.was_ready => self.pings.push(number)", "pings_are_answered"),
]


def mutated(file, old, new):
    text = (ROOT / "src" / file).read_text()
    if text.count(old) != 1:
        raise LookupError(f"in src/{file} this occurs {text.count(old)} times, not once: {old}")
    return text.replace(old, new)


def check():
    names = (ROOT / "tests/test_discord.py").read_text()
    wrong = []
    for name, file, old, new, test in MUTANTS:
        try:
            mutated(file, old, new)
        except LookupError as error:
            wrong.append(f"{name}: {error}")
        if test != "unit" and test not in names:
            wrong.append(f"{name}: no test is called {test}")
    print("\n".join(wrong) if wrong else f"{len(MUTANTS)} mutants have their place")
    return not wrong


def caught(test):
    """Whether the tests fail; the program must build."""
    build = subprocess.run(["cargo", "build", "--locked", "--quiet", "--no-default-features"], cwd=COPY, capture_output=True, text=True)
    if build.returncode != 0:
        raise SystemExit(f"it does not build:\n{build.stderr[-3000:]}")
    if test == "unit":
        command = ["cargo", "test", "--locked", "--quiet", "--no-default-features"]
    else:
        command = [sys.executable, ROOT / "tests/test_discord.py", COPY / "target/debug/claw-discord", test]
    return subprocess.run(command, cwd=COPY, capture_output=True, timeout=300).returncode != 0


def main():
    if not check():
        return 2
    if "--check" in sys.argv:
        return 0
    chosen = [one for one in MUTANTS if not sys.argv[1:] or any(word in one[0] for word in sys.argv[1:])]
    shutil.rmtree(COPY / "src", ignore_errors=True)
    COPY.mkdir(parents=True, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, COPY / name)
    shutil.copytree(ROOT / "src", COPY / "src")
    if not (COPY / "target").exists():
        # The libraries are built already.
        (COPY / "target").mkdir()
        subprocess.run(["cp", "-al", ROOT / "target/debug", COPY / "target/debug"], check=True)
    survived = []
    for name, file, old, new, test in chosen:
        path = COPY / "src" / file
        path.write_text(mutated(file, old, new))
        ok = caught(test)
        shutil.copyfile(ROOT / "src" / file, path)
        os.utime(path)
        print(f"{'caught' if ok else 'SURVIVED'}: {name} ({test})", flush=True)
        survived += [] if ok else [name]
    print(f"{len(chosen)} mutants, {len(survived)} survived")
    return 1 if survived else 0


sys.exit(main())
