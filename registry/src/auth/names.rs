//! What accounts may be called. Names stand in rules, in log lines and in addresses, so they hold nothing that
//! means something there.

use berth_oci::RepoName;

/// Characters of a name at most.
const LONGEST: usize = 128;

/// Checks the name of a user or group: letters, digits and `. _ - @ +`, a letter or digit first.
///
/// # Errors
/// The rule that it breaks, as a sentence's end.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST {
        return Err("a name has 1 to 128 characters");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err("a name begins with a letter or digit");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte)) {
        return Err("a name has letters, digits and . _ - @ + alone");
    }
    Ok(())
}

/// Checks the name of a robot: like a repository's, with at least one `/`, so that no user has it.
///
/// # Errors
/// As [`check_name`].
pub fn check_robot_name(name: &str) -> Result<(), &'static str> {
    if name.len() > LONGEST {
        return Err("a robot's name has 128 characters at most");
    }
    if !name.contains('/') || name.parse::<RepoName>().is_err() {
        return Err("a robot's name is like a repository's, with a / in it, as team/ci");
    }
    Ok(())
}

/// Checks a subject that may be in a group: `user:NAME`, `robot:TEAM/NAME` or `cert:NAME`.
///
/// # Errors
/// As [`check_name`].
pub fn check_member(member: &str) -> Result<(), &'static str> {
    match member.split_once(':') {
        Some(("user", name)) => check_name(name),
        Some(("robot", name)) => check_robot_name(name),
        Some(("cert", name)) if is_certificate_name(name) => Ok(()),
        _ => Err("a member is user:NAME, robot:TEAM/NAME or cert:NAME"),
    }
}

/// Whether a certificate's name can be a subject's: printable, and no longer than others.
#[must_use]
pub fn is_certificate_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 255 && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["a", "alice", "Alice.B_c-d@example.com", "0", &"a".repeat(128)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".a", "-a", "a b", "a/b", "a:b", "ä", "a\n", "a\0", &"a".repeat(129)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn no_robot_has_the_name_of_a_user() {
        for name in ["team/ci", "a/b/c-d.e_f"] {
            assert_eq!(check_robot_name(name), Ok(()), "{name}");
            assert!(check_name(name).is_err());
        }
        for name in [
            "ci",
            "Team/ci",
            "team/",
            "/ci",
            "team//ci",
            "team/../ci",
            "a/b\n",
            &format!("a/{}", "b".repeat(127)),
        ] {
            assert!(check_robot_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn members_are_subjects() {
        for member in ["user:alice", "robot:team/ci", "cert:CN of ours"] {
            assert_eq!(check_member(member), Ok(()), "{member}");
        }
        for member in
            ["alice", "user:", "user:a/b", "robot:ci", "cert:", "cert:\u{1b}", "ci:github:a/b", "anonymous"]
        {
            assert!(check_member(member).is_err(), "{member}");
        }
    }
}
