//! Where new passwords come from: never from the command line, which everybody on the machine can read.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use crate::{
    admin::AdminError,
    auth::passwords::{LONGEST_SECRET, check_password},
};

/// Where a new password comes from.
#[derive(Args, Clone, Debug)]
pub struct NewPassword {
    /// Read the password from standard input, up to its first line break
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make a password and print it
    #[arg(long)]
    generate: bool,
}

/// The password that is given, or `None` where the registry is to make one.
pub(super) fn password(new: &NewPassword, name: &str) -> Result<Option<String>, AdminError> {
    if new.generate {
        return Ok(None);
    }
    let given = if new.password_stdin {
        first_line(&mut io::stdin().lock())?
    } else if io::stdin().is_terminal() {
        prompted(name)?
    } else {
        return Err(AdminError::Input(
            "there is no terminal to ask for the password on; give --password-stdin or --generate".to_owned(),
        ));
    };
    check_password(&given).map_err(|rule| AdminError::Input(rule.to_owned()))?;
    Ok(Some(given))
}

fn unreadable(error: &io::Error) -> AdminError {
    AdminError::Input(format!("the password cannot be read: {error}"))
}

fn prompted(name: &str) -> Result<String, AdminError> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(|error| unreadable(&error));
    let password = ask(&format!("Password for {name}: "))?;
    if ask("The same again: ")? != password {
        return Err(AdminError::Input("the two passwords differ; nothing was changed".to_owned()));
    }
    Ok(password)
}

/// What stands before the first line break; no more than a password may have is read.
fn first_line(from: &mut impl BufRead) -> Result<String, AdminError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(LONGEST_SECRET).unwrap_or(u64::MAX).saturating_add(3);
    io::Read::take(from, most).read_until(b'\n', &mut bytes).map_err(|error| unreadable(&error))?;
    let text =
        String::from_utf8(bytes).map_err(|_| AdminError::Input("the password is not UTF-8".to_owned()))?;
    Ok(text.trim_end_matches('\n').trim_end_matches('\r').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_and_no_more_of_an_endless_one_is_read() {
        for (input, password) in [("a b \r\nmore", "a b "), ("a", "a"), ("", ""), ("\n", "")] {
            assert_eq!(first_line(&mut input.as_bytes()).unwrap(), password, "{input:?}");
        }
        let endless = first_line(&mut io::BufReader::new(io::repeat(b'x'))).unwrap();
        assert!(endless.len() > LONGEST_SECRET && check_password(&endless).is_err());
        assert!(first_line(&mut &b"\xff"[..]).is_err());
    }
}
