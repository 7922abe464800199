//! taskwright
#[doc(hidden)]
pub mod process;
