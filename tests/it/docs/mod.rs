//! The README and `docs/` do what they say: every block is run, and what stands below it is what came out.
//!
//! **What is a command.** The lines of a `console` block that begin with `$ ` (further lines of one begin with `> `), and
//! a `sh` block as a whole. A page's commands run in one shell, in the folder of the page's own daemon, in the order of
//! the page. A block `LANGUAGE FILE` is the text of that file: it is written first.
//!
//! **What is expected.** The other lines of a `console` block, or a `json` or `text` block that comes after. A command
//! must exit 0 unless it says otherwise itself (`; echo $?`). Without an expectation it must answer no problem.
//! Standard output and standard error are one, as on a terminal.
//!
//! **What may differ** ([`shape`]): UUIDs, times, tokens, SHA-256 sums, addresses, versions, durations, sizes, per cents
//! and the numbers of instances are compared as such, not by value. `…` stands for any text in a line; alone in a line,
//! for any lines. In JSON the members in [`shape::ANY`] are compared by their type, and layout does not matter.
//!
//! **What is replaced** ([`session`]): the daemon's address, and the folders that only root may write.
//!
//! **What is not run** is marked in its info string (`console not-run`) and listed in [`inventory`] with the reason.
//! Rust blocks are compiled with the documentation (`src/lib.rs`), and run where an example has the same text.

mod blocks;
mod configuration;
mod curl;
mod inventory;
mod pages;
mod proxy;
mod rust;
mod session;
mod shape;
mod table;
