//! `man`: the manual pages.

use std::{
    io::{self, Write},
    path::Path,
};

/// Writes the first page to standard output, or the pages of all commands into a folder, which is made
/// if it is not there.
///
/// # Errors
/// When a page cannot be written.
pub fn write(folder: Option<&Path>) -> io::Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page)?;
        return io::stdout().write_all(&page);
    };
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(super::command(), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_that_a_page_names_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/as/needed");
        write(Some(&folder)).unwrap();
        let first = std::fs::read_to_string(folder.join("berth-registry.1")).unwrap();
        let named: Vec<_> = first.lines().filter(|line| line.starts_with("berth\\-registry\\-")).collect();
        assert!(named.iter().any(|line| line.contains("serve")), "{named:?}");
        for line in named {
            let page = line.replace('\\', "").replace("(1)", ".1");
            assert!(folder.join(&page).is_file(), "{page} is not written");
        }
        assert!(folder.join("berth-registry-quota-set.1").is_file());
    }
}
