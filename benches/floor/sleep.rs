//! The least that a program that waits can be.

fn main() {
    loop {
        std::thread::park();
    }
}
