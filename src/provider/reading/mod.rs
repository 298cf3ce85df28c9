//! Reading answers, the same for every protocol. Only text, calls, the end and an error may break an answer; everything
//! else that a server sends is read leniently.
//!
//! Bytes become frames (`frames`), a frame becomes JSON or an error (`reported`), the protocol of a wire adds its
//! fields (`fields`) to the answer (`answer`, `text`).

pub(super) mod answer;
pub(super) mod decode;
pub(super) mod fields;
pub mod frames;
pub(super) mod reported;
mod text;
