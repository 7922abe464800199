//! Everything that is tested through real processes and real sockets.

mod layers;
mod process;
