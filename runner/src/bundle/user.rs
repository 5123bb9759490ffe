//! Who the first process is: `user[:group]` looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::path::{Path, PathBuf};

use super::inside::Inside;
use crate::{
    error::{Result, RunnerError},
    rootless,
};

/// A user, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User id in the container.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    /// Home folder, `/` where nobody says.
    pub(crate) home: PathBuf,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// A number, or `None` for a name. A number that no id can be is an error and never a name, or `4294967296` would
/// become somebody else (CVE-2024-40635).
fn number(text: &str, what: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The highest is what the kernel takes for "no id".
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX => Ok(Some(id)),
        Ok(_) | Err(_) => {
            Err(RunnerError::Usage(format!("{what} {text} is no id: they go from 0 to {}", u32::MAX - 1)))
        }
    }
}

/// The identity of `user[:group]` (empty: root) with additional groups.
///
/// # Errors
/// [`RunnerError::Usage`] for a user or group that the image does not know, or a number that is no id;
/// [`RunnerError::Content`] for a file of more than 1 MiB.
pub(crate) fn find(inside: &Inside, user: &str, additional: &[String]) -> Result<Identity> {
    let passwd = inside.text(Path::new("/etc/passwd"))?.unwrap_or_default();
    let groups = || Ok(inside.text(Path::new("/etc/group"))?.unwrap_or_default());
    among(&passwd, groups, user, additional)
}

/// [`find`] in the text of both files; the second is read where it is needed.
///
/// # Errors
/// As there.
pub(crate) fn among(
    passwd: &str,
    group_file: impl FnOnce() -> Result<String>,
    user: &str,
    additional: &[String],
) -> Result<Identity> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    // By numbers only what is needed: an image whose files are too large still runs as `--user 1000:1000`.
    let mut identity = Identity { uid: 0, gid: 0, groups: Vec::new(), home: "/".into() };
    let asked = number(user, "user")?;
    let account = accounts(passwd).find(|account| match asked {
        Some(uid) => account.uid == uid,
        None if user.is_empty() => account.uid == 0,
        None => account.name == user,
    });
    match (&account, asked) {
        (Some(account), _) => {
            (identity.uid, identity.gid) = (account.uid, account.gid);
            if account.home.starts_with('/') {
                identity.home = account.home.into();
            }
        }
        (None, Some(uid)) => identity.uid = uid,
        (None, None) if user.is_empty() => {}
        (None, None) => {
            return Err(RunnerError::Usage(format!(
                "user {user}: the image's /etc/passwd does not know it: name one that is there, or a number"
            )));
        }
    }
    let needs_groups = account.is_some() && group.is_empty()
        || !group.is_empty() && number(group, "group")?.is_none()
        || !additional.is_empty();
    let table = if needs_groups { group_file()? } else { String::new() };
    let find = |name: &str| -> Result<u32> {
        if let Some(gid) = number(name, "group")? {
            return Ok(gid);
        }
        groups(&table).find(|group| group.name == name).map(|group| group.gid).ok_or_else(|| {
            RunnerError::Usage(format!(
                "group {name}: the image's /etc/group does not know it: name one that is there, or a number"
            ))
        })
    };
    if !group.is_empty() {
        identity.gid = find(group)?;
    } else if let Some(account) = &account {
        let member = |group: &Group<'_>| group.members.split(',').any(|member| member == account.name);
        identity.groups = groups(&table).filter(member).map(|group| group.gid).collect();
    }
    for name in additional {
        identity.groups.push(find(name)?);
    }
    if identity.uid != 0 && rootless::sets_groups() {
        // As login does. A group that only the first one is could be given up by way of a program with setgid, and
        // with it what that group is kept from (CVE-2022-2989).
        identity.groups.push(identity.gid);
    }
    identity.groups.sort_unstable();
    identity.groups.dedup();
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn image(passwd: &str, group: &str) -> (tempfile::TempDir, Inside) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/passwd"), passwd).unwrap();
        fs::write(folder.path().join("etc/group"), group).unwrap();
        let inside = Inside::new(folder.path()).unwrap();
        (folder, inside)
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:web:/srv/web:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\naudio:x:60:other\n";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let (_folder, inside) = image(PASSWD, GROUP);
        let table = [
            ("", identity(0, 0, &[], "/root")),
            ("0", identity(0, 0, &[], "/root")),
            ("web", identity(33, 34, &[34, 50], "/srv/web")),
            ("33", identity(33, 34, &[34, 50], "/srv/web")),
            ("web:audio", identity(33, 60, &[60], "/srv/web")),
            ("web:7", identity(33, 7, &[7], "/srv/web")),
            ("1000", identity(1000, 0, &[0], "/")),
            ("1000:1000", identity(1000, 1000, &[1000], "/")),
        ];
        for (text, wanted) in table {
            assert_eq!(find(&inside, text, &[]).unwrap(), wanted, "{text}");
        }
        let more = find(&inside, "web", &["audio".into(), "50".into()]).unwrap();
        assert_eq!(more.groups, [34, 50, 60]);
    }

    #[test]
    fn an_unknown_user_or_group_is_named() {
        let (_folder, inside) = image(PASSWD, GROUP);
        for (user, groups, named) in [
            ("ghost", vec![], "ghost"),
            ("web:ghosts", vec![], "ghosts"),
            ("web", vec!["spirits".to_owned()], "spirits"),
        ] {
            let error = find(&inside, user, &groups).unwrap_err();
            assert!(matches!(&error, RunnerError::Usage(text) if text.contains(named)), "{user}: {error}");
        }
    }

    #[test]
    fn u15_a_number_that_no_id_can_be_is_an_error_and_never_root() {
        // Nor is it a name, even where the image has an account that is called so.
        let called = |number: &str| format!("{number}:x:0:0::/:\n");
        let (_folder, inside) = image(
            &[PASSWD, &called("4294967296"), &called("4294967295"), &called("-1"), &called("+4294967296")]
                .concat(),
            &[GROUP, "4294967296:x:0:\n"].concat(),
        );
        for user in ["4294967296", "4294967295", "-1", "0:4294967296", "99999999999999999999", "+4294967296"]
        {
            assert!(matches!(find(&inside, user, &[]), Err(RunnerError::Usage(_))), "{user}");
        }
        assert!(find(&inside, "0", &["4294967296".into()]).is_err());
    }

    #[test]
    fn u15_a_giant_passwd_is_not_read() {
        let giant = "x".repeat((1 << 20) + 1);
        let (folder, inside) = image(&giant, GROUP);
        assert!(matches!(find(&inside, "web", &[]), Err(RunnerError::Content(_))));
        fs::write(folder.path().join("etc/passwd"), PASSWD).unwrap();
        fs::write(folder.path().join("etc/group"), &giant).unwrap();
        assert!(matches!(find(&inside, "web", &[]), Err(RunnerError::Content(_))));
        assert_eq!(find(&inside, "1000:1000", &[]).unwrap().uid, 1000);
    }

    #[test]
    fn u15_links_and_pipes_in_place_of_passwd_lead_nowhere() {
        let (folder, inside) = image(PASSWD, GROUP);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("passwd"), "ghost:x:7:7::/:\n").unwrap();
        let passwd = folder.path().join("etc/passwd");
        let targets = [
            outside.path().join("passwd"),
            "../../../../../../etc/passwd".into(),
            "/proc/self/environ".into(),
        ];
        for target in targets {
            fs::remove_file(&passwd).unwrap();
            std::os::unix::fs::symlink(&target, &passwd).unwrap();
            assert!(find(&inside, "ghost", &[]).is_err(), "{}", target.display());
            assert_eq!(find(&inside, "", &[]).unwrap().home, Path::new("/"), "{}", target.display());
        }
        fs::remove_file(&passwd).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
            .unwrap();
        assert_eq!(find(&inside, "", &[]).unwrap().uid, 0);
    }
}
