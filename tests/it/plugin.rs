//! The plugin API: handlers as their authors write them.

mod blocking;
mod controller;
mod ends;
mod engine;
mod examples;
mod registry;
