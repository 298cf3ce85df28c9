//! A minimal program that waits.

fn main() {
    loop {
        std::thread::park();
    }
}
