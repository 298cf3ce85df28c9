#!/usr/bin/env python3
"""Looks at what we depend on: where it comes from, under which licence, and that what we decided
against has not come in by a side door. Known vulnerabilities are looked up by `cargo audit` where
that and its database are there; the database needs a network, so its absence is said, not hidden."""

import json
import re
import shutil
import subprocess
import sys

SOURCE = "registry+https://github.com/rust-lang/crates.io-index"
LICENCES = {
    "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "0BSD",
    "Unlicense", "CC0-1.0", "Unicode-3.0", "CDLA-Permissive-2.0", "BSL-1.0", "MIT-0",
    # Of files, not of programs: what uses them as they are has nothing to give out. Servo's readers of CSS have it.
    "MPL-2.0",
}
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
    """Whether an SPDX expression can be met with the licences above."""
    expression = expression.replace("/", " OR ")
    words = re.findall(r"\(|\)|\bAND\b|\bOR\b|[^()\s]+(?: WITH [^()\s]+)?", expression)
    python = " ".join(
        {"AND": "and", "OR": "or", "(": "(", ")": ")"}.get(word, str(word in LICENCES)) for word in words
    )
    return eval(python)  # only True, False, and, or and brackets can be in it


def main():
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"],
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
    for line in wrong:
        print(line)
    print(f"{len(packages)} packages looked at, {len(wrong)} wrong")
    if shutil.which("cargo-audit"):
        audit = subprocess.run(["cargo", "audit", "--no-fetch", "--stale"])
        wrong += ["cargo audit"] if audit.returncode else []
    else:
        print("SKIPPED: known vulnerabilities (cargo audit is not installed)")
    sys.exit(1 if wrong else 0)


main()
