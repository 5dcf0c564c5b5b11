//! Faxes by Phaxio.

mod wire;
