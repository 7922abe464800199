//! `open`: the dashboard in a browser.

use std::{
    env,
    process::{Command, Stdio},
};

use super::{ids, outcome, session::Session};
use crate::cli::{
    args::client::{Format, Open},
    failure::Failure,
    print,
};

pub(super) fn run(open: Open) -> Result<(), Failure> {
    let session = Session::open(&open.common)?;
    let id = open.id.as_deref().map(|word| ids::one(&session, word)).transpose()?;
    session.run(async {
        let base = session.client.url();
        let url = match id {
            None => {
                // A page that nobody serves is no page.
                session.client.probe("/livez").await.map_err(|error| session.failure(&error))?;
                format!("{base}/")
            }
            Some(id) => format!("{base}/instances/{}", outcome::now(&session, &id).await?.image.id),
        };
        if session.output.format != Format::None {
            print::line(&url)?;
        }
        if !open.print && has_desktop() && !show(&url) {
            session.say("taskwright: no program opened it: paste the address into a browser");
        }
        Ok(())
    })
}

fn has_desktop() -> bool {
    cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn show(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
