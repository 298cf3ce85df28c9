"""Next instants of cron expressions by cronsim, an independent implementation of Debian's rules.

A line of stdin is a time zone, an expression and starts (seconds since 1970), separated by tabs. Its line of stdout has
for each start the first instant after it: seconds since 1970, followed by `!` if the calendar of the zone has no such
time, `-` if there is none, or `?` if the search does not end. An expression that is refused is answered with `error`. Instead of a start, `FROM..UNTIL`
asks for the number of instants after one and up to the other.
"""

import signal
import sys
from datetime import datetime, timezone
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


# CPU seconds; other searches take a thousandth of it.
LIMIT = 0.5


class Endless(BaseException):
    pass


def interrupt(*_):
    raise Endless


signal.signal(signal.SIGVTALRM, interrupt)


def instant(expression, zone, start):
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        found = next(CronSim(expression, datetime.fromtimestamp(start, zone)))
    except StopIteration:
        return "-"
    except Endless:
        return "?"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    utc = found.astimezone(timezone.utc)
    is_real = utc.astimezone(zone).replace(tzinfo=None) == found.replace(tzinfo=None)
    return f"{int(utc.timestamp())}{'' if is_real else '!'}"


def count(expression, zone, start, end):
    found = CronSim(expression, datetime.fromtimestamp(start, zone))
    return sum(1 for _ in takewhile(lambda at: at.timestamp() <= end, found))


def answer(expression, zone, start):
    if ".." in start:
        return str(count(expression, zone, *map(int, start.split(".."))))
    return instant(expression, zone, int(start))


for line in sys.stdin:
    name, expression, *starts = line.rstrip("\n").split("\t")
    zone = timezone.utc if name == "UTC" else ZoneInfo(name)
    try:
        print("\t".join(answer(expression, zone, start) for start in starts))
    except CronSimError:
        print("error")
