#![cfg(test)]
//! [`ReqwestClient`](faxbot_core::http::ReqwestClient) over real sockets.

mod answers;
mod connections;
mod privacy;
mod server;
mod writes;
