//! `cli:NAME`: the terminal. There is no receipt; the move to `done/` is all there is to say.

use crate::channel::Delivery;
use crate::core::fault::Result;

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    (delivery.print)(delivery.event)
}
