#!/usr/bin/env python3
"""Checks the dependencies: their source, their licence, their number, and that banned packages are absent.
Known vulnerabilities are checked by `cargo audit` if it and its database are installed; the database needs a
network, so a skip is printed."""

import json
import re
import shutil
import subprocess
import sys

SOURCE = "registry+https://github.com/rust-lang/crates.io-index"
LICENCES = {
    "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "0BSD",
    "Unlicense", "CC0-1.0", "Unicode-3.0", "CDLA-Permissive-2.0", "BSL-1.0", "MIT-0",
    # A copyleft of single files: using them unchanged adds no duty. Servo's CSS parsers have it.
    "MPL-2.0",
}
# Packages linked into each program, by name. Raise it together with the reason, in Cargo.toml.
MOST_SHIPPED = {"Cargo.toml": 213, "bridges/discord/Cargo.toml": 108}
BANNED = {
    "openssl-sys": "rustls is the only TLS here",
    "native-tls": "rustls is the only TLS here",
    "aws-lc-sys": "ring builds ten times faster",
    "serde_yaml": "archived; serde_yaml_ng continues it",
    "serde_yml": "unsound (RUSTSEC-2025-0068)",
    "chrono": "jiff is the only calendar here",
    "openssl": "rustls is the only TLS here",
}


def is_free(expression):
    """Whether the licences above satisfy an SPDX expression."""
    expression = expression.replace("/", " OR ")
    words = re.findall(r"\(|\)|\bAND\b|\bOR\b|[^()\s]+(?: WITH [^()\s]+)?", expression)
    python = " ".join(
        {"AND": "and", "OR": "or", "(": "(", ")": ")"}.get(word, str(word in LICENCES)) for word in words
    )
    return eval(python)  # the text holds only True, False, and, or, brackets


def check(manifest):
    """The problems of a workspace."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu",
         "--manifest-path", manifest],
        check=True, capture_output=True, text=True,
    )
    packages = json.loads(metadata.stdout)["packages"]
    wrong = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if package["source"] not in (None, SOURCE):
            wrong.append(f"{name} comes from {package['source']}")
        if not is_free(package["license"] or ""):
            wrong.append(f"{name} has the licence {package['license']}")
        if package["name"] in BANNED:
            wrong.append(f"{name}: {BANNED[package['name']]}")
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}", "--manifest-path", manifest],
        check=True, capture_output=True, text=True,
    )
    shipped = len({line.split()[0] for line in tree.stdout.splitlines() if line})
    if shipped > MOST_SHIPPED[manifest]:
        wrong.append(f"{shipped} packages are linked into the program; the limit is {MOST_SHIPPED[manifest]}")
    for line in wrong:
        print(f"{manifest}: {line}")
    print(f"{manifest}: {len(packages)} packages checked, {shipped} of them linked into the program, {len(wrong)} problems")
    return wrong


def main():
    wrong = [line for manifest in MOST_SHIPPED for line in check(manifest)]
    if shutil.which("cargo-audit"):
        for manifest in MOST_SHIPPED:
            lock = manifest.replace("Cargo.toml", "Cargo.lock")
            audit = subprocess.run(["cargo", "audit", "--no-fetch", "--stale", "--file", lock])
            wrong += ["cargo audit"] if audit.returncode else []
    else:
        print("SKIPPED: known vulnerabilities (cargo audit is not installed)")
    sys.exit(1 if wrong else 0)


main()
