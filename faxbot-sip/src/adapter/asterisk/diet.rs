//! Which events the adapter asks the server for: a busy one sends thousands that nobody needs.
