//! The handlers that the daemon ships: two, both of use, both readable as examples.

pub mod checksum;
mod folder;
pub mod sleep;

use std::error::Error;

pub use checksum::Checksum;
pub use sleep::Sleep;

use crate::task::Registry;

/// Registers all of them. Fits `taskwright::run`.
///
/// # Errors
/// None; faults of the configuration come out of [`Registry::into_handlers`].
pub fn register(registry: &mut Registry) -> Result<(), Box<dyn Error + Send + Sync>> {
    registry.register(Sleep).register_with(Checksum::new);
    Ok(())
}
