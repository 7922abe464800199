//! `man`: the manual, made from what `--help` shows.

use std::fs;

use clap::Command;
use clap_mangen::Man as Page;

use super::{
    args::Man,
    failure::{FAILURE, Failure, USAGE},
    help, print,
};
use crate::domain::suggest;

pub(super) fn run(man: &Man) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(FAILURE, format!("cannot write the manual: {error}"));
    // `help` has nothing to say that is not in the other pages.
    let mut whole = help::command().disable_help_subcommand(true);
    whole = whole.mut_subcommands(|verb| verb.disable_help_subcommand(true));
    whole.build();
    if let Some(folder) = &man.dir {
        fs::create_dir_all(folder).map_err(failed)?;
        return clap_mangen::generate_to(whole, folder).map_err(failed);
    }
    let mut command = &whole;
    for verb in &man.verb {
        command = command.find_subcommand(verb).ok_or_else(|| {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            Failure::new(USAGE, format!("there is no verb `{verb}`{}", suggest::hint(verb, &known)))
        })?;
    }
    let mut page = Vec::new();
    Page::new(command.clone()).render(&mut page).map_err(failed)?;
    print::all(&String::from_utf8_lossy(&page))
}
