//! The results of `status`, `why` and `check`, as values: computed here from files, printed by `command`, serialised by
//! `--json` (schemas in `docs/schema/`).

pub mod budget;
pub mod channels;
pub mod crons;
pub mod crons_overview;
pub mod event;
pub mod event_state;
pub mod problem;
pub mod risks;
pub mod status;
pub mod timeline;
pub mod undelivered;
