//! JSON of others: of servers and of models, which do not always keep to the standard.

pub mod lenient;
pub mod shape;
pub mod surrogates;
