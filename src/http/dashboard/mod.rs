//! The dashboard: what a browser gets at `/`, `/instances`, `/tasks` and so on.
//!
//! Every page is the same small document, [`shell`]; its modules ([`assets`]) draw what the address names, with the same
//! requests that any client may make. [`session`] keeps a token in a cookie, so that no script sees it. Nothing here is
//! part of the HTTP contract.

mod assets;
mod session;
mod shell;
mod slim;

pub use assets::show as asset;
pub use session::{begin as log_in, end as log_out, token};
pub use shell::show as page;
