//! Terminal input and output, for several commands.

pub(in crate::command) mod approval_dialog;
pub(in crate::command) mod attachments;
pub(in crate::command) mod backlog;
pub(in crate::command) mod change;
pub(in crate::command) mod create;
pub(in crate::command) mod dialog;
pub(in crate::command) mod edit;
pub(in crate::command) mod exchange;
pub(in crate::command) mod interrupt;
pub(in crate::command) mod line;
pub mod out;
pub mod record;
pub(in crate::command) mod screen;
pub(in crate::command) mod stop_signals;
pub mod style;
pub(in crate::command) mod transcript;
pub(in crate::command) mod until_end;
