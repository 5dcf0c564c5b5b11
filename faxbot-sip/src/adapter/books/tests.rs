//! Tests of the books follow with the adapters that feed them.
