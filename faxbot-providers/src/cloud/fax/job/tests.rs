//! The job's state machine, without any waiting.
