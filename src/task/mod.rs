//! What a plugin author reads: handlers, their controller, their errors, and the registry.

pub mod erased;
pub mod reporter;
