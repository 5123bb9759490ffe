//! The person at the terminal, and the registry that proves what they say.

use std::io::{self, BufRead, Write};

use async_trait::async_trait;

use super::{LoginCheck, Terminal};
use crate::{Error, Result, Secret, Side, remote};

#[async_trait]
impl LoginCheck for remote::Client {
    async fn check_login(&self, host: &str, user: &str, password: &Secret, side: &Side) -> Result<()> {
        Self::check_login(self, host, user, password, side).await
    }
}

/// Whoever sits at the terminal: standard input and output, and for the password the terminal itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl Terminal for Console {
    fn tell(&mut self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())
    }

    fn user(&mut self, known: Option<&str>) -> Result<String> {
        let prompt = known.map_or_else(|| "Username: ".to_owned(), |known| format!("Username ({known}): "));
        let mut out = io::stdout().lock();
        out.write_all(prompt.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Error::file("standard output"))?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map_err(Error::file("standard input"))?;
        if read == 0 {
            return Err(Error::Usage("nobody answers; give --username and --password-stdin".to_owned()));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn password(&mut self) -> Result<Secret> {
        rpassword::prompt_password("Password: ").map(Secret::new).map_err(|source| Error::Other {
            what: "reading the password from the terminal (without one, use --password-stdin)".to_owned(),
            source: source.into(),
        })
    }
}
