//! Much at once, and what takes its time: nothing else waits for it.

mod blocked;
mod due;
mod probe;
mod purge;
mod streams;
