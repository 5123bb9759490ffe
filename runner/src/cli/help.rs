//! What `--help` teaches beyond the list of commands.

/// Below the long help.
pub(super) const AFTER: &str = "\
Examples:
  berth-runner run --rm -it alpine sh              a shell in a new container, gone at its end
  berth-runner run -d --name web -p 8080:80 nginx  in the background, published on 127.0.0.1:8080
  berth-runner ps                                  what runs
  berth-runner logs -f web                         what it wrote, and goes on writing
  berth-runner exec -it web sh                     a shell beside it
  berth-runner run -v data:/data --memory 256m --cpus 0.5 IMAGE
                                                   a named volume, and limits
  berth-runner stop web && berth-runner rm web     its end
  berth-runner doctor                              what this machine lacks, and the way out

Exit status:
  0        it was done
  1        it failed; standard error says why, and the way out
  2        arguments that make no sense
  3        a registry asks for credentials, or refuses these
  4        content is not what its digest, or its format, says
  5        the signature policy refuses the image
  128 + n  stopped by signal n

Of run, start --attach, exec and attach it is that of the container's program, or:
  125      the container could not be made, or the arguments make no sense
  126      its program cannot be executed
  127      its program is not there
  128 + n  signal n ended it

Files:
  /var/lib/berth-runner, /run/berth-runner         of root
  ~/.local/share/berth-runner, $XDG_RUNTIME_DIR/berth-runner
                                                   of an ordinary user";

/// Below the short help.
pub(super) const AFTER_SHORT: &str =
    "--help shows examples, exit status and files. COMMAND --help shows a command's flags.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn help_names_the_exit_status() {
        let help = super::super::Cli::command().render_long_help().to_string();
        for number in
            ["  1  ", "  2  ", "  3  ", "  4  ", "  5  ", "  125  ", "  126  ", "  127  ", "128 + n"]
        {
            assert!(help.contains(number), "{number}: {help}");
        }
        assert!(help.contains("Examples:"));
        let short = super::super::Cli::command().render_help().to_string();
        assert!(!short.contains("Examples:") && short.contains("--help shows examples"));
    }

    #[test]
    fn every_command_says_in_one_line_what_it_does() {
        fn each(command: &clap::Command) {
            for below in command.get_subcommands() {
                let about = below.get_about().map(ToString::to_string).unwrap_or_default();
                let name = format!("{} {}", command.get_name(), below.get_name());
                assert!(
                    !about.is_empty() && about.len() <= 120 && !about.contains('\n'),
                    "{name}: {about:?}"
                );
                assert!(about.starts_with(|c: char| c.is_ascii_uppercase()), "{name}: {about:?}");
                assert!(!about.ends_with('.'), "{name}: {about:?}");
                each(below);
            }
        }
        each(&super::super::Cli::command());
    }
}
