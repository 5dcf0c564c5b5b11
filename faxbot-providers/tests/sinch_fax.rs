//! The plugin for Sinch Fax over a mock of the vendor, callbacks through a router.
#![cfg(test)]
