//! What `status` and `why` report, as values. `command` prints them; `--json` serialises them.

pub mod story;
