//! One model call of a turn: the model and its fallbacks, the request, the request's reservation in the ledger, and the
//! reply.

mod ask;
pub(in crate::stage) mod meter;
mod send;
