//! The program is linked at a fixed address. Moving it at every start (PIE) means some twenty thousand
//! relocations, which is a quarter of the time of a command that has nothing to do; what that would
//! protect are memory errors, and there is no code here that could make one but for a few lines with
//! their proof. Libraries, heap and stack are still placed at random.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
