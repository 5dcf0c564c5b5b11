//! FusionPBX: FreeSWITCH 1.10 seen from one of its tenants.

mod config;

pub use config::{FIELDS, FusionpbxConfig, SCHEMES};
