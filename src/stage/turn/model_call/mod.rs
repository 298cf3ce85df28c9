//! One model call of a turn: the model and its fallbacks, the request, the request's reservation in the ledger, and the
//! reply.

mod ask;
pub mod meter;
mod send;
