//! What a daemon may not have enough of: descriptors, memory, processes.

mod descriptors;
mod memory;
mod processes;
mod scratch;
