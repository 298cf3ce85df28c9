//! The least that a program can be.

fn main() {}
