//! A minimal program.

fn main() {}
