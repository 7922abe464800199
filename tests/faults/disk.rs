//! What the disk can do to a daemon: it is cut off, fails, fills up, slows down, or gives back something else.

mod power_cut;
mod synced;
