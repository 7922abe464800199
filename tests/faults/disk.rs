//! What the disk can do to a daemon: it is cut off, fails, fills up, slows down, or gives back something else.

mod backups;
mod damage;
mod failed_sync;
mod full;
mod locked;
mod migrations;
mod power_cut;
mod read_only;
mod slow;
mod synced;
mod tried;
