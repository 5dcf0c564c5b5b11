//! Mock servers: the server side of the same codecs that the adapters use.

pub mod asterisk;
