#!/usr/bin/env python3
"""Search quality of `claw recall` beside grep and SQLite FTS5, on notes that this program generates.

    cargo build --profile fast && python3 benches/recall.py target/fast/claw

Notes in English, German, French and Japanese: topics with headings, projects, daily notes. A question names a fact in
other words forms than its line, by its heading, by its day, or by a part of a compound; its answer is one line. Prints
for each kind of question the share with the answer among the first five (any@5), and the mean reciprocal rank (MRR).
grep searches each word of the query, without regard to case, and ranks lines by the number of words; FTS5 has a row per
line and its stemmer `porter`.
"""
import json, pathlib, random, re, sqlite3, subprocess, sys, tempfile

SEED = 20261121
NAMES = "Anna Boris Clara Dmitri Elif Farid Greta Hana Ivo Jule Kofi Lena Marek Noor Olga Pavel".split()
THINGS = [("bicycle", "bicycles"), ("camera", "cameras"), ("meeting", "meetings"), ("battery", "batteries"),
          ("knife", "knives"), ("letter", "letters"), ("recipe", "recipes"), ("ticket", "tickets"), ("key", "keys"),
          ("invoice", "invoices"), ("plant", "plants"), ("mirror", "mirrors")]
PLACES = "Leipzig Oslo Porto Ghent Turin Graz Lyon Bergen Malmo Cork".split()
VERBS = [("repaired", "repair"), ("ordered", "order"), ("painted", "paint"), ("borrowed", "borrow"),
         ("cancelled", "cancel"), ("photographed", "photograph"), ("cleaned", "clean"), ("misplaced", "misplace")]
DEVICES = "router printer scanner thermostat doorbell projector dishwasher freezer modem speaker".split()
FIELDS = ["password", "address", "serial number", "warranty", "model", "manual"]
GERMAN = [("Die {0}häuser in {1} werden renoviert", "{0}haus {1} Renovierung"), ("{0} hat die Schlüssel in {1} vergessen", "Schlüssel {0} vergisst {1}"),
          ("Die Rechnungen von {0} aus {1} sind bezahlt", "Rechnung {0} bezahlen {1}")]
FRENCH = [("{0} a réservé les chambres à {1}", "chambre réservée {0} {1}"), ("Les clés de {0} sont restées à {1}", "clé de {0} à {1}")]
JAPANESE = [("{0}の猫の名前は{1}です", "{0}の猫の名前"), ("{0}は{1}で会議に出席した", "{0} {1} 会議")]


def corpus(random):
    """Files by name, and questions: kind, query, file, line."""
    files, questions = {}, []

    def put(name, line, kind=None, query=None):
        files.setdefault(name, []).append(line)
        if query:
            questions.append((kind, query, name, len(files[name])))

    for device in DEVICES:
        put("topics/house.md", f"## {device.title()}")
        for field in FIELDS:
            value = random.randrange(10**6)
            put("topics/house.md", f"- the {field} is {value}", "heading", f"{device} {field}")
        put("topics/house.md", "")
    seen = set()
    for day in range(1, 241):
        name = f"daily-notes/2026-{(day - 1) // 28 + 1:02}-{(day - 1) % 28 + 1:02}.md"
        put(name, f"# {name[12:22]}")
        put(name, "")
        for _ in range(8):
            who, where = random.choice(NAMES), random.choice(PLACES)
            (thing, things), (past, verb) = random.choice(THINGS), random.choice(VERBS)
            fact = (who, where, thing, verb)
            if fact in seen:
                continue
            seen.add(fact)
            line = f"- {who} {past} the {things} in {where}"
            if random.random() < 0.12:
                put(name, line, "inflection", f"what {thing} did {who} {verb} in {where}?")
            elif random.random() < 0.06:
                put(name, line, "part", f"{who} {past} the {things} in {where[:-1]}")
            else:
                put(name, line)
        if random.random() < 0.4:
            who, where = random.choice(NAMES), random.choice(PLACES)
            kind, texts = random.choice([("German", GERMAN), ("French", FRENCH), ("Japanese", JAPANESE)])
            line, query = random.choice(texts)
            if (kind, who, where, line) not in seen:
                seen.add((kind, who, where, line))
                put(name, "- " + line.format(who, where), kind, query.format(who, where))
    return files, questions


def rank(found, name, line):
    return next((at for at, hit in enumerate(found, 1) if hit == (name, line)), 0)


def main():
    claw = pathlib.Path(sys.argv[1]).resolve()
    files, questions = corpus(random.Random(SEED))
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "ws"
        subprocess.run([claw, "init", root], check=True, capture_output=True)
        (root / "claw.yaml").write_text("memories: {languages: [en, de, fr]}\n")
        for name, lines in files.items():
            path = root / "memories" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        base = sqlite3.connect(":memory:")
        base.execute("create virtual table notes using fts5(text, file unindexed, line unindexed, tokenize='porter')")
        for name, lines in files.items():
            base.executemany("insert into notes values (?, ?, ?)", [(text, name, n) for n, text in enumerate(lines, 1)])

        def by_claw(query):
            out = subprocess.run([claw, "recall", "--json", "-n", "5", query], cwd=root, capture_output=True, text=True)
            hits = [json.loads(line) for line in out.stdout.splitlines()]
            return [(hit["path"].removeprefix("memories/"), hit["line"]) for hit in hits]

        def by_fts5(query):
            words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
            rows = base.execute("select file, line from notes where notes match ? order by rank limit 5", (words,))
            return [(file, line) for file, line in rows]

        def by_grep(query):
            words = [word.lower() for word in re.findall(r"\w+", query)]
            hits = [(-sum(word in text.lower() for word in words), name, n)
                    for name, lines in files.items() for n, text in enumerate(lines, 1)]
            return [(name, n) for count, name, n in sorted(hits)[:5] if count]

        print(f"{sum(map(len, files.values()))} lines in {len(files)} files, {len(questions)} questions, seed {SEED}\n")
        print("| questions | number | any@5: claw | FTS5 | grep | MRR: claw | FTS5 | grep |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        ranks = {kind: [] for kind in ["heading", "inflection", "part", "German", "French", "Japanese"]}
        for kind, query, name, line in questions:
            ranks[kind].append([rank(search(query), name, line) for search in (by_claw, by_fts5, by_grep)])
        ranks["all"] = [row for rows in list(ranks.values()) for row in rows]
        for kind, rows in ranks.items():
            any5 = [sum(row[n] > 0 for row in rows) / len(rows) for n in range(3)]
            mrr = [sum(1 / row[n] for row in rows if row[n]) / len(rows) for n in range(3)]
            print(f"| {kind} | {len(rows)} | " + " | ".join(f"{value:.3f}" for value in any5 + mrr) + " |")
        worse = [kind for kind, rows in ranks.items()
                 if sum(row[0] > 0 for row in rows) < max(sum(row[n] > 0 for row in rows) for n in (1, 2))]
        sys.exit(f"below another search: {', '.join(worse)}" if worse else 0)


main()
