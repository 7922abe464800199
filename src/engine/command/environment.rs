//! What a command finds in its environment.

use std::{ffi::OsString, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    domain::{free_text, variables},
    engine::{
        attempt::Attempt,
        catalog::CommandRunner,
        command_task::InputsBy,
        scratch::{INPUT_FILE, OUTPUT_FILE},
        settings::Numerous,
        token::{self, AttemptIdentity},
    },
};

/// What commands find in their environment beside what their task says.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where they report; empty where nobody listens.
    pub url: String,
    /// Whose processes they are.
    pub tag: String,
    /// What their tokens are sealed with.
    pub key: [u8; 32],
    /// What the clients of `numerous` are told.
    pub numerous: Numerous,
    /// What is taken over from the daemon's own environment.
    pub inherited: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The variables of this process that commands may see: PATH, HOME, LANG, LC_*, TZ.
    pub fn inherited() -> Vec<(OsString, OsString)> {
        std::env::vars_os()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                matches!(&*name, "PATH" | "HOME" | "LANG" | "TZ") || name.starts_with("LC_")
            })
            .collect()
    }

    /// What the environment of every process of an attempt holds, unless it was replaced.
    pub(super) fn marks(&self, attempt: &Attempt) -> [(&'static str, String); 2] {
        [(variables::STORE, self.tag.clone()), (variables::TOKEN, self.token(attempt))]
    }

    fn token(&self, attempt: &Attempt) -> String {
        token::seal(&self.key, AttemptIdentity { instance: attempt.id, attempt: attempt.attempt })
    }

    /// Every variable of the command of `attempt`, whose files are in `scratch`.
    pub(super) fn variables(
        &self,
        attempt: &Attempt,
        command: &CommandRunner,
        scratch: &Path,
    ) -> Vec<(OsString, OsString)> {
        let mut all: Vec<(OsString, OsString)> = self.inherited.clone();
        let mut set = |name: &str, value: OsString| {
            all.retain(|(known, _)| known != name);
            all.push((name.into(), value));
        };
        set("PYTHONUNBUFFERED", "1".into());
        for (name, value) in &command.env {
            set(name, value.into());
        }
        set(variables::INSTANCE, attempt.id.to_string().into());
        if command.inputs == InputsBy::Environment {
            set(variables::INPUT_DATA, BASE64_STANDARD.encode(free_text::told(&attempt.inputs).as_bytes()).into());
        }
        set(variables::INPUT_FILE, scratch.join(INPUT_FILE).into());
        set(variables::OUTPUT_FILE, scratch.join(OUTPUT_FILE).into());
        if !self.url.is_empty() {
            set(variables::URL, self.url.clone().into());
            // Without a URL the package would go to its maker's platform: then it gets no token either.
            let app = attempt.task.definition.app_id.as_deref();
            let named = |name: Option<&str>| OsString::from(name.unwrap_or(Numerous::UNNAMED));
            set(variables::NUMEROUS_URL, format!("{}/query", self.url).into());
            set(variables::NUMEROUS_TOKEN, self.token(attempt).into());
            set(variables::NUMEROUS_ORGANIZATION, named(self.numerous.organization.as_deref()));
            set(variables::NUMEROUS_DEPLOYMENT, named(app.or(self.numerous.deployment.as_deref())));
        }
        for (name, value) in self.marks(attempt) {
            set(name, value.into());
        }
        all
    }
}
