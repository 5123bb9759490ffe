//! What went wrong, on standard error and in the file that the caller reads.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use super::arguments::{Globals, LogFormat};

/// Tells an error.
pub(super) fn error(globals: &Globals, message: &str) {
    tell(globals, "error", message);
}

/// Tells what did not stop the command.
pub(super) fn warning(globals: &Globals, message: &str) {
    tell(globals, "warning", message);
}

fn tell(globals: &Globals, level: &str, message: &str) {
    // Nobody may be listening there, and there is nowhere else to say so.
    let _told = writeln!(io::stderr(), "berth-oci: {message}");
    let Some(file) = &globals.log else { return };
    if let Err(error) = append(file, globals.log_format, level, message) {
        let _told = writeln!(io::stderr(), "berth-oci: writing the log {}: {error}", file.display());
    }
}

fn line(format: LogFormat, level: &str, message: &str, time: &str) -> String {
    match format {
        LogFormat::Json => serde_json::json!({"level": level, "msg": message, "time": time}).to_string(),
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={message:?}"),
    }
}

fn append(file: &Path, format: LogFormat, level: &str, message: &str) -> io::Result<()> {
    let time = jiff::Timestamp::now().round(jiff::Unit::Second).map_err(io::Error::other)?.to_string();
    let mut text = line(format, level, message, &time);
    text.push('\n');
    OpenOptions::new().create(true).append(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_read_objects_with_level_and_message() {
        let json = line(LogFormat::Json, "error", "a \"b\"\nc", "2026-01-01T00:00:00Z");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["level"], "error");
        assert_eq!(read["msg"], "a \"b\"\nc");
        assert!(!json.contains('\n'));
        assert_eq!(
            line(LogFormat::Text, "warning", "a b", "2026-01-01T00:00:00Z"),
            "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"a b\""
        );
    }
}
